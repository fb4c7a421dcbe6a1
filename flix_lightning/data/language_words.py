"""Languages in words, for prompts: a name of the user's, else CLDR's English one, else the code itself."""

from collections.abc import Mapping
from functools import cache

from babel import Locale


@cache
def _english(code: str) -> str | None:
    """CLDR's English name: `sw` -> `Swahili`, `pt_br` -> `Brazilian Portuguese`; of `de_localized` that of `de`."""
    names = Locale("en").languages
    language, _, region = code.replace("-", "_").partition("_")
    return names.get(f"{language}_{region.upper()}") or names.get(language)


def in_words(code: str, names: Mapping[str, str]) -> str:
    """A language for a prompt.

    Args:
        code: as file names and columns have it.
        names: code -> words, which come before CLDR's.
    """
    return names.get(code) or _english(code) or code
