"""The release's layout, languages, mixtures of appendix B and both averages, on a made-up release of its shape."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from flix_lightning.common.errors import FlixError
from flix_lightning.data.benchmarks.benchmark import load_benchmark
from flix_lightning.data.mixture import build_mixture
from flix_lightning.report.screen import score_table
from flix_lightning.training.results import cell_rows
from tests.configs import ROOT, composed

LAYOUT = ["benchmark=xtreme_up", "benchmark.root=up"]
LISTED = OmegaConf.to_container(OmegaConf.load(ROOT / "conf/benchmark/xtreme_up.yaml"))["tasks"]
ROWS = {
    "translation": {"input": "tea", "target": "ሻይ"},
    "semantic_parsing": {"input": "wake me", "target": "[IN:X ]"},
    "qa_in_lang": {"question": "Q", "title": "T", "context": "C", "target": "A"},
    "qa_cross_lang": {"question": "Q", "title": "T", "context": "C", "target": "A"},
    "ner": {"example_id": "1", "language": "luo", "text": "Otii", "spans": [], "target": ""},
}


def write_release(up: Path, ner: Path) -> None:
    """Every file of the official layout with one row, other tasks and code-switched languages beside them."""
    for task, listed in LISTED.items():
        root = ner if task == "ner" else up / task
        others = ["bn_cs", "hi_cs", "ta_cs"] if task == "semantic_parsing" else []
        for split in ("train", "validation", "test"):
            (root / split).mkdir(parents=True)
            for language in [*listed["languages"], *others]:
                name = f"en2{language}" if task == "translation" else language
                (root / split / f"{name}.jsonl").write_text(json.dumps(ROWS[task]) + "\n")
    (up / "asr/train").mkdir(parents=True)
    (up / "asr/train/af_za.jsonl").write_text("{}\n")


@pytest.fixture
def release():
    write_release(Path("up"), Path("MasakhaNER-X"))


def made(*overrides: str):
    config = composed(*LAYOUT, *overrides)
    benchmark = load_benchmark(config["benchmark"])
    return benchmark, build_mixture(config, benchmark)


def test_numbers_of_languages_are_the_official_ones():
    counts = {task: (len(set(t["languages"])), len(set(t["scored"]))) for task, t in LISTED.items()}
    assert counts == {
        "translation": (93, 70), "ner": (20, 20), "semantic_parsing": (21, 9), "qa_in_lang": (9, 4),
        "qa_cross_lang": (26, 21),
    }  # fmt: skip
    assert all(set(t["scored"]) <= set(t["languages"]) for t in LISTED.values())
    assert set(LISTED["qa_cross_lang"]["languages"]) - set(LISTED["qa_cross_lang"]["scored"]) == {
        "ar", "fi", "ko", "ru", "hi"
    }  # fmt: skip


def test_the_release_is_found_and_read(release):
    benchmark, mixture = made("mixture=all")
    assert len(benchmark.cells) == 169 and len(mixture.train) == 169
    prompts = {str(c): benchmark.examples(c, "test")[0].prompt for c in benchmark.cells}
    assert prompts["translation/no"] == "Translate to Norwegian: tea"
    assert prompts["semantic_parsing/pt_br"] == "Parse Brazilian Portuguese: wake me"
    assert prompts["ner/luo"] == "Entities Luo: Otii"


# FLix, appendix B
JOINT_TRANSLATION = "id es hi yo ja lg ny ru be ar de bn fr tr ig th fi zu te ko sw xh hu ha sn ta am".split()
UNSEEN = "bho brx gbm gom hne mai mni mr mwr sa as gu kn ml or pa ps ur".split()


def grouped(mixture, group: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for cell in mixture.cells:
        if mixture.group(cell) == group:
            found.setdefault(cell.task, set()).add(cell.language)
    return found


def test_the_joint_mixture_of_appendix_b(release):
    _, mixture = made("mixture=xtreme_up/joint")
    assert {c.language for c in mixture.train if c.task == "translation"} == set(JOINT_TRANSLATION)
    assert {c.language for c in mixture.train if c.task == "qa_cross_lang"} == set("ar bn fi ko ru te".split())
    counts = {task: sum(c.task == task for c in mixture.train) for task in ROWS}
    assert counts == {"translation": 27, "semantic_parsing": 21, "qa_in_lang": 9, "qa_cross_lang": 6, "ner": 20}
    assert grouped(mixture, "unseen combination") == {"qa_cross_lang": {"hi", "ta"}}
    assert grouped(mixture, "unseen language") == {"qa_cross_lang": set(UNSEEN)}


def test_the_held_out_mixture_of_appendix_b(release):
    _, mixture = made("mixture=xtreme_up/held_out_semantic_parsing")
    trained = {c.language for c in mixture.train if c.task == "semantic_parsing"}
    assert trained == set("fi hu ja pt_br ru tr de_localized en de es fr hi".split())
    unseen = {"semantic_parsing": set("am be bn ha sw ta yo zu th".split())}
    assert grouped(mixture, "unseen combination") == unseen and len(mixture.zero_shot) == 9
    assert sum(c.task == "qa_cross_lang" for c in mixture.train) == 26


@pytest.mark.parametrize(
    ("overrides", "cells"),
    [
        (["mixture=multilingual", "mixture.task=qa_cross_lang"], 26),
        (["mixture=multilingual", "mixture.task=semantic_parsing"], 21),
        (["mixture=multitask", "mixture.language=sw"], 3),
        (["mixture=multitask", "mixture.language=bn"], 3),
    ],
)
def test_the_other_mixtures_of_appendix_b(release, overrides, cells):
    _, mixture = made(*overrides)
    assert len(mixture.train) == cells and not mixture.zero_shot


def test_both_averages_stand_in_the_table(release):
    benchmark, mixture = made("mixture=multilingual", "mixture.task=qa_in_lang")
    scores = {cell: 80.0 if cell.language in ("bn", "id", "sw", "te") else 20.0 for cell in mixture.cells}
    rows = cell_rows(scores, mixture, benchmark.tasks)
    table = score_table({"name": "x", "split": "test", "cells": rows})
    lines = list(zip(*(column.cells for column in table.columns)))
    assert [column.header for column in table.columns] == ["task", "seen", "scored languages"]
    assert lines[0] == ("qa_in_lang", f"{(4 * 80 + 5 * 20) / 9:.1f} (9)", "80.0 (4)")


def test_absent_data_is_told_with_where_to_get_it():
    with pytest.raises(
        FlixError, match="^benchmark.root: 'up/semantic_parsing' is no directory. unpack https"
    ) as message:
        made()
    assert "flix data fetch_xtreme_up folder=DIR" in str(message.value) and "~benchmark.tasks.semantic_parsing" in str(
        message.value
    )


def test_absent_entities_are_told_with_where_to_get_them(release):
    Path("MasakhaNER-X").rename("elsewhere")
    with pytest.raises(
        FlixError, match="'up/../MasakhaNER-X' is no directory. copy xtreme-up/MasakhaNER-X of https://github"
    ):
        made()
    assert len(made("~benchmark.tasks.ner", "mixture=all")[0].cells) == 149


def test_an_absent_language_is_told_and_may_be_left_out(release):
    for split in ("train", "validation", "test"):
        Path(f"up/translation/{split}/en2zu.jsonl").unlink()
    with pytest.raises(FlixError, match="translation.languages: there are no rows in 'zu'"):
        made()
    assert len(made("benchmark.tasks.translation.languages=[am, no]", "mixture=all")[0].cells) == 78
