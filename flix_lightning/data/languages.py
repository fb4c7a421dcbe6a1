"""What is known of a language by its tag, before any training: its words, its usual script, its family.

A tag is a code of ISO 639 with a script and a region if need be, as `sw`, `pt_br`, `zh-Hant`; old codes and those of
three letters (`iw`, `swa`, `zho_Hant`) stand for the ones that Unicode CLDR uses.
"""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from babel import Locale
from babel.core import get_global

from flix_lightning.data.cells import JOIN

# Family > branch > ... : languages, for those of the FLix paper's mixtures and of the embedded benchmark. Grouped as in
# Unicode CLDR's supplemental data (languageGroup.xml), with the names of ISO 639-5. Twi and Goan Konkani stand with the
# languages that CLDR counts them to. A language of its own group (Korean) is a family alone.
FAMILIES = """
Afro-Asiatic > Berber: kab
Afro-Asiatic > Chadic: ha
Afro-Asiatic > Cushitic: om so
Afro-Asiatic > Semitic: am ar he ti
Altaic > Mongolian: mn
Altaic > Turkic: az kk ky tk tr ug uz
Austro-Asiatic > Mon-Khmer: km vi
Austronesian > Malayo-Polynesian: id jv ms
Austronesian > Malayo-Polynesian > Philippine: ceb fil tl
Basque: eu
Caucasian > South Caucasian: ka
Creoles and pidgins > English-based: pcm
Creoles and pidgins > Portuguese-based: kea
Dravidian: kn ml ta te
Indo-European: hy sq
Indo-European > Baltic: lt lv
Indo-European > Celtic: cy ga
Indo-European > Germanic > North Germanic: nb nn da is no sv
Indo-European > Germanic > West Germanic: af de en nl
Indo-European > Greek: el
Indo-European > Indo-Iranian > Indic: as bho bn gom gu hi hne kok mai mr mwr ne or pa sa sd si ur xnr
Indo-European > Indo-Iranian > Iranian: ckb fa ku ps tg
Indo-European > Italic > Romance: ca es fr gl it pt ro
Indo-European > Slavic > East Slavic: be ru uk
Indo-European > Slavic > South Slavic: bg bs hr mk sl sr
Indo-European > Slavic > West Slavic: cs pl sk
Japanese: ja
Korean: ko
Niger-Kordofanian > Atlantic-Congo: ak ee ff fon ig mos tw wo yo
Niger-Kordofanian > Atlantic-Congo > Bamileke: bbj
Niger-Kordofanian > Atlantic-Congo > Bantu: bem lg ln ny rw sn st sw tn ts xh zu
Niger-Kordofanian > Mande: bm
Nilo-Saharan > Eastern Sudanic: luo
Sino-Tibetan: mni
Sino-Tibetan > Chinese: yue zh
Sino-Tibetan > Tibeto-Burman: brx my
Tai: lo th
Uralic > Finno-Ugrian: et fi hu
"""


@cache
def _paths() -> dict[str, tuple[str, ...]]:
    paths = {}
    for line in FAMILIES.strip().splitlines():
        groups, _, codes = line.partition(": ")
        paths |= dict.fromkeys(codes.split(), tuple(groups.split(" > ")))
    return paths


def family(language: str) -> tuple[str, ...]:
    """From the family down to the smallest group, `bn` -> (Indo-European, Indo-Iranian, Indic); () if not listed."""
    return _paths().get(Tag.parse(language).base, ())


def script(language: str) -> str | None:
    """The script that the tag names, else the usual one there: `bn` -> Beng, `zh_TW` -> Hant; None if CLDR has none."""
    tag = Tag.parse(language)
    return tag.script or _likely_script(tag.base, tag.region)


def in_words(code: str, names: Mapping[str, str]) -> str:
    """A language for a prompt: a name of the user's, else CLDR's English one, else the code itself.

    `sw` -> Swahili, `zh_TW` -> Traditional Chinese, `sr_Latn` -> Serbian (Latin), `en+es` -> English and Spanish.

    Args:
        code: as file names and columns have it.
        names: code -> words, which come before CLDR's.
    """
    if code in names or JOIN not in code:
        return names.get(code) or _english(code) or code
    return " and ".join(in_words(part, names) for part in code.split(JOIN))


class Tag(NamedTuple):
    """The parts of a language tag.

    Attributes:
        language: as it is written.
        base: as CLDR calls it.
        script, region: that the tag names, or that an old code stands for.
        plain: neither is named.
    """

    language: str
    base: str
    script: str | None
    region: str | None
    plain: bool

    @staticmethod
    def parse(text: str) -> "Tag":
        """Any text has a tag; what is no script or region, as in `de_localized`, is left out."""
        language, *parts = text.replace("-", "_").split("_")
        language = language.lower()
        base, *implied = get_global("language_aliases").get(language, language).split("_")
        script, region = _script_in(parts), _region_in(parts)
        plain = script is None and region is None
        return Tag(language, base, script or _script_in(implied), region or _region_in(implied), plain)


def _script_in(parts: list[str]) -> str | None:
    return next((part.title() for part in parts if len(part) == 4 and part.isalpha()), None)


def _region_in(parts: list[str]) -> str | None:
    regions = (p for p in parts if (len(p) == 2 and p.isalpha()) or (len(p) == 3 and p.isdecimal()))
    return next((part.upper() for part in regions), None)


def _likely_script(language: str, region: str | None = None) -> str | None:
    likely = get_global("likely_subtags")
    found = likely.get(f"{language}_{region}") or likely.get(language)
    return found.split("_")[1] if found else None


@cache
def _english(code: str) -> str | None:
    """CLDR's English name of the tag; with the script behind it where that is not the language's usual one."""
    tag, english = Tag.parse(code), Locale("en")
    languages = dict.fromkeys((tag.language, tag.base))
    written, usual = tag.script or _likely_script(tag.base, tag.region), _likely_script(tag.base)
    scripts = [tag.script] if written == usual else [written]
    for further in (f"_{tag.region}", *(f"_{script}" for script in scripts)):
        for language in languages:
            if language + further in english.languages:
                return english.languages[language + further]
    name = next((english.languages[language] for language in languages if language in english.languages), None)
    unusual = english.scripts.get(written) if written != usual and not tag.plain else None
    return f"{name} ({unusual})" if name and unusual else name
