"""The words of a command line in Hydra's form: options first, then overrides, with texts quoted."""

import argparse
import re
from collections.abc import Collection, Sequence
from typing import NoReturn

from flix_lightning.common.errors import FlixError, unknown

OVERRIDE = re.compile(r"(?P<key>[+~]{0,2}[\w./@:-]+)=(?P<value>.*)", re.DOTALL)
QUOTED = re.compile(r"""(["']).*\1""", re.DOTALL)
EXTRA = "+"  # among a command's literal keys: any key that its config does not have


class Options(argparse.ArgumentParser):
    """Hydra's options, anywhere on the line; its own parser takes them before the overrides only."""

    def __init__(self) -> None:
        super().__init__(add_help=False, allow_abbrev=False)
        self.add_argument("--help", "-h", action="store_true")
        self.add_argument("--multirun", "-m", action="store_true")
        self.add_argument("--config-dir", "-cd")
        self.add_argument("--config-name", "-cn")
        self.add_argument("--config-path", "-cp")
        self.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
        self.add_argument("--resolve", action="store_true")
        self.add_argument("--package", "-p")
        self.add_argument("--info", "-i", nargs="?", const="all")
        self.add_argument("overrides", nargs="*")
        self.set_defaults(run=False, hydra_help=False, shell_completion=False, experimental_rerun=None)

    def error(self, message: str) -> NoReturn:
        if unrecognised := re.match(r"unrecognized arguments: (\S+)", message):
            known = [option for action in self._actions for option in action.option_strings]
            raise FlixError(
                f"{unknown('option', unrecognised[1], known)} Settings are written key=value, as in seed=1."
            )
        raise FlixError(f"{message}.")


def quoted(text: str) -> str:
    """The text as a value of an override, with Hydra's quotes and OmegaConf's references escaped."""
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    text = re.sub(r'(\\*)"', r'\1\1\\"', text)
    trailing = len(text) - len(text.rstrip("\\"))
    return f'"{text}{trailing * chr(92)}"'


def overrides(
    words: Sequence[str],
    positional: str | None = None,
    several: bool = False,
    texts: Collection[str] = (),
    literal: Collection[str] = (),
) -> list[str]:
    """The overrides that the words of a command line stand for.

    Args:
        words: without the options.
        positional: the key of words without `=`; None accepts no such words.
        several: whether that key is a list.
        texts: keys whose values are text even if they look like numbers; quotes around one are Hydra's.
        literal: keys whose values are taken verbatim, quotes included; `EXTRA` stands for all keys after a `+`.

    Raises:
        FlixError: a word that is not a setting.
    """
    found, alone = [], []
    for word in words:
        override = OVERRIDE.fullmatch(word)
        if override is None and not word.startswith(("~", "+")) and "=" not in word:
            alone.append(word)
            continue
        key, value = (override["key"], override["value"]) if override else ("", "")
        if key in literal or (EXTRA in literal and key.startswith("+")):
            word = f"{key}={quoted(value)}"
        elif key in texts and not QUOTED.fullmatch(value):
            word = f"{key}={quoted(value)}"
        found.append(word)
    if alone and positional is None:
        raise FlixError(f"{alone[0]!r}: settings are written key=value; --help shows them.")
    if len(alone) > 1 and not several:
        raise FlixError(f"{alone[1]!r}: {positional} is {alone[0]!r} already; settings are written key=value.")
    if alone and any(word.partition("=")[0] == positional for word in found):
        raise FlixError(f"{alone[0]!r}: {positional} is given already; settings are written key=value.")
    if alone:
        values = ",".join(map(quoted, alone))
        found.append(f"{positional}=[{values}]" if several else f"{positional}={values}")
    return found


def readable(words: Sequence[str]) -> list[str]:
    """The overrides, with quotes around values that Hydra's grammar refuses without: `~/x`, `a=b`, `ünï`, `p(1)`.

    So are those of a list, `[language=sw]`; lists in lists, mappings and what may be a sweep stay as they are.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    def is_readable(override: str) -> bool:
        try:
            OverridesParser.create().parse_override(override)
        except HydraException:
            return False
        return True

    def made_readable(argument: str) -> str:
        key, equals, value = argument.partition("=")
        if not equals or not value or key.startswith("-") or is_readable(argument):
            return argument
        items = value[1:-1] if value[0] == "[" and value[-1] == "]" else None
        if items is None:
            whole = f"{key}={quoted(value)}" if not set(value) & set('"[]{},') else argument
        else:
            texts = (item if is_readable(f"{key}={item}") else quoted(item.strip()) for item in items.split(","))
            whole = f"{key}=[{','.join(texts)}]" if not set(items) & set('"[]{}') else argument
        return whole if is_readable(whole) else argument

    return list(map(made_readable, words))
