"""Which CLDR languages stand in a cell of the benchmark, and which the embedded model `tiny_bytes` knows."""

from functools import cache

from babel import Locale

from flix_lightning.common.errors import unknown

SEMANTIC_PARSING = tuple("am be bn de en es fi fr ha hi hu ja pt ru sw ta th tr yo zu".split())
QA_IN_LANG = tuple("ar bn en fi id ko ru sw te".split())
QA_CROSS_LANG = tuple("ar as bn brx fi gu hi kn ko kok ml mr or pa ps ru ta te ur".split()) + tuple(
    # in place of the paper's bho gbm hne mai mni mwr sa, which CLDR lacks
    "az fil jv ms sd ug uz xnr".split()
)
NER = tuple("am ha ig pcm sw yo zu".split()) + tuple(
    # in place of the paper's bm bbj ee rw lg luo mos ny sn tn tw wo xh, of which CLDR has a part only
    "af ak kab kea so ti".split()
)
TRANSLATION = tuple("am ar be bn de es fi fr ha hi hu id ig ja ko ru sw ta te th tr yo zu".split())

CELLS = {
    "semantic_parsing": SEMANTIC_PARSING,
    "qa_in_lang": QA_IN_LANG,
    "qa_cross_lang": QA_CROSS_LANG,
    "ner": NER,
    "translation": TRANSLATION,
}

PRETRAINING = tuple(
    "bg bs ca cs cy da el et eu fa ga gl he hr hy is it ka kk km ky lo lt lv mk mn my ne nl no pl ro si sk sl sq sr sv "
    "tk uk vi zh".split()
)


@cache
def language_name(code: str) -> str:
    """The English name of a language, as prompts use it: `sw` -> `Swahili`."""
    names = Locale("en").languages
    if code not in names:
        raise unknown("language: CLDR has no English name for", code, names)
    return names[code]
