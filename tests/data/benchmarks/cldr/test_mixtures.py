"""The cells of the embedded benchmark, and the paper's mixtures over them (appendix B)."""

from collections import defaultdict
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from flix_lightning.common.errors import FlixError
from flix_lightning.data.benchmarks.cldr.benchmark import Cldr
from flix_lightning.data.benchmarks.cldr.inventory import load_inventory
from flix_lightning.data.benchmarks.cldr.languages import CELLS, PRETRAINING, language_name
from flix_lightning.data.benchmarks.cldr.rows import TASKS as DRAW
from flix_lightning.data.benchmarks.cldr.tasks import TASKS
from flix_lightning.data.mixture import Mixture
from tests.data.benchmarks.cldr.samples import ALL_CELLS, FEW, LANGUAGES

CONF = Path(__file__).parents[4] / "conf" / "mixture"

PAPER = {
    "semantic_parsing": "am be bn fi ha hu ja pt ru sw ta tr yo zu en de es fr hi th",  # pt for pt_br
    "qa_in_lang": "ar bn fi id ko ru sw te en",
    # kok for gom
    "qa_cross_lang": "ar bn fi ko ru te as bho brx gbm kok gu hi hne kn mai ml mni mr mwr or pa ps sa ta ur",
    "ner": "am bm bbj ee ha ig rw lg luo mos ny pcm sn sw tn tw wo xh yo zu",
    "translation": "id es hi yo ja lg ny ru be ar de bn fr tr ig th fi zu te ko sw xh hu ha sn ta am",
}
STAND_INS = {"qa_cross_lang": "az fil jv ms sd ug uz xnr", "ner": "af ak kab kea so ti"}


@pytest.mark.parametrize("task", CELLS)
def test_cells_are_the_papers_wherever_cldr_has_the_language(task):
    paper, here = set(PAPER[task].split()), set(CELLS[task])
    assert here - paper == set(STAND_INS.get(task, "").split())
    for language in paper - here:
        with pytest.raises(FlixError, match=f"'{language}'"):
            load_inventory(language)
    assert len(CELLS[task]) == len(here)


def test_the_benchmark_is_wide_and_apart_from_pretraining():
    assert len(LANGUAGES) >= 50 and len(ALL_CELLS) >= 84
    assert [(cell.task, cell.language) for cell in Cldr(FEW).cells] == ALL_CELLS
    assert len(PRETRAINING) >= 40 and not set(PRETRAINING) & set(LANGUAGES)
    assert set(CELLS) == set(TASKS) == set(DRAW)
    assert language_name("sw") == "Swahili" and len({language_name(code) for code in LANGUAGES}) == len(LANGUAGES)


def mixture(name: str, **filled: str) -> Mixture:
    """A mixture of conf/, its rule applied to the benchmark."""
    config = OmegaConf.create({"mixture": OmegaConf.load(CONF / f"{name}.yaml")})
    config.mixture.update(filled)
    chosen = OmegaConf.to_container(config, resolve=True)["mixture"]
    return Mixture.select(Cldr(FEW).cells, chosen["tasks"], chosen["languages"], chosen["train"])


def languages_of(cells, task: str) -> set[str]:
    return {cell.language for cell in cells if cell.task == task}


def grouped(mixture: Mixture, group: str) -> dict[str, set[str]]:
    found = defaultdict(set)
    for cell in mixture.cells:
        if mixture.group(cell) == group:
            found[cell.task].add(cell.language)
    return dict(found)


def test_the_joint_mixture_is_the_papers():
    joint = mixture("joint")
    assert languages_of(joint.train, "qa_cross_lang") == set("ar bn fi ko ru te".split())
    for task in ("semantic_parsing", "qa_in_lang", "ner", "translation"):
        assert languages_of(joint.train, task) == set(CELLS[task])
    assert grouped(joint, "unseen combination") == {"qa_cross_lang": {"hi", "ta"}}
    paper = set("brx kok mr as gu kn ml or pa ps ur".split())  # bho gbm hne mai mni mwr sa are not in CLDR
    stand_ins = set(STAND_INS["qa_cross_lang"].split())
    assert grouped(joint, "unseen language") == {"qa_cross_lang": paper | stand_ins}


def test_held_out_semantic_parsing_is_the_papers():
    held_out = mixture("held_out_semantic_parsing")
    assert languages_of(held_out.train, "semantic_parsing") == set("fi hu ja pt ru tr en de es fr hi".split())
    for task in ("qa_in_lang", "qa_cross_lang", "ner", "translation"):
        assert languages_of(held_out.train, task) == set(CELLS[task])
    assert grouped(held_out, "unseen combination") == {"semantic_parsing": set("am be bn ha sw ta yo zu th".split())}
    assert grouped(held_out, "unseen language") == {}


@pytest.mark.parametrize(
    "language, tasks",
    [
        ("sw", {"semantic_parsing", "ner", "qa_in_lang"}),
        ("bn", {"semantic_parsing", "qa_in_lang", "qa_cross_lang"}),
    ],
)
def test_multitask_mixtures_are_the_papers(language, tasks):
    cells = mixture("multitask", language=language).cells
    assert {cell.task for cell in cells} == tasks and {cell.language for cell in cells} == {language}


@pytest.mark.parametrize("task", CELLS)
def test_a_multilingual_mixture_is_one_task_in_all_its_languages(task):
    chosen = mixture("multilingual", task=task)
    assert chosen.zero_shot == () and {(c.task, c.language) for c in chosen.train} == {(task, x) for x in CELLS[task]}
