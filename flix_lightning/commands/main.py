"""The command `flix`: the list of its subcommands, each a module of this folder and a file of conf/ of its name."""

import sys
from importlib import import_module

from flix_lightning.commands.shell import command
from flix_lightning.common.errors import FlixError, unknown

COMMANDS = {
    "train": "train an experiment; the same command again continues it, or shows its table",
    "evaluate": "score a finished run on any cells",
    "validate": "look through a benchmark's data: lengths, cuts, duplicates, damage",
    "generate": "answer requests: from a file, from standard input, or one on the command line",
    "export": "write a finished run as LoRAs of cells or of features, merged models, a bank or its backbone",
    "report": "compare runs; make every table and picture of results/",
    "runs": "list runs: state, scores, and what differs between their settings",
    "studies": "list the experiments behind results/, and train what is missing",
    "data cldr": "list the cells of the embedded benchmark, or show rows of some",
    "data fetch_xtreme_up": "download XTREME-UP",
    "bank list": "list the features of a bank: ranks, sizes",
    "bank join": "join banks of one backbone",
    "bank drop": "drop features of a bank",
    "bank rename": "rename features of a bank",
    "compositional": "the study of two tasks in one example: train, score, tabulate",
    "pretrain": "pretrain the embedded model `tiny` anew",
}
HELP = """\
flix COMMAND [key=value ...]

{commands}

flix COMMAND --help shows its settings."""


def overview() -> str:
    """What `flix --help` prints: one line for each command."""
    width = max(map(len, COMMANDS))
    return HELP.format(commands="\n".join(f"  {name:{width}}  {line}" for name, line in COMMANDS.items()))


def split(words: list[str]) -> tuple[str, list[str]]:
    """The subcommand that a command line begins with, and the rest of the line.

    Raises:
        FlixError: there is no such subcommand.
    """
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in COMMANDS:
            return name, words[length:]
    second = [name.partition(" ")[2] for name in COMMANDS if name.startswith(f"{words[0]} ")]
    if not second:
        raise unknown("command", words[0], COMMANDS)
    if words[1:] and not words[1].startswith("-"):
        raise unknown(f"command flix {words[0]}", words[1], second)
    raise FlixError(f"flix {words[0]}: one of {', '.join(second)} follows, as in `flix {words[0]} {second[0]}`.")


@command
def flix(*before: str) -> None:
    """Run the command line, preceded by `before`."""
    words = [*before, *sys.argv[1:]]
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return
    name, arguments = split(words)
    import_module(f"flix_lightning.commands.{name.replace(' ', '_')}").main(arguments)
