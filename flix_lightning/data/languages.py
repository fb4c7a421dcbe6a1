"""What is known of a language before any training: its family and its usual script."""

from functools import cache

from babel.core import get_global

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
Indo-European > Germanic > North Germanic: da is no sv
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
    return _paths().get(_base(language), ())


def script(language: str) -> str | None:
    """The script a language is usually written in, `bn` -> Beng (CLDR's likely subtags); None if CLDR has none."""
    tag = get_global("likely_subtags").get(_base(language))
    return tag.split("_")[1] if tag else None


def _base(language: str) -> str:
    """The code without a region or variant: `pt_br` -> `pt`."""
    return language.replace("-", "_").partition("_")[0]
