"""`flix evaluate strengths=...`: features left out, weakened and replaced, against banks changed by hand."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.bank_file import ADAPTER
from flix_lightning.adapters.strengths import Strengths
from flix_lightning.data.predictions import read_predictions
from tests.commands.test_commands import run_command
from tests.configs import SMALL, untrained_backbone

TRAIN = (
    *SMALL, "model=pretrained", "model.name=model", "trainer.max_steps=2", "trainer.validate_every=2",
    "trainer.precision=32-true", "optimizer.lr=0.5", "optimizer.warmup_steps=0",
)  # fmt: skip
CHOSEN = ("tasks=[semantic_parsing,qa_cross_lang]", "languages=[sw,gu]", "accelerator=cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with a model and one run, whose adapters change every answer."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        backbone = untrained_backbone()
        backbone.model.save_pretrained("model")
        backbone.tokenizer.save_pretrained("model")
        assert run_command("train", *TRAIN, monkeypatch=patch) == 0
        (record,) = folder.glob("runs/*/*/record.json")
        record.parent.rename("run")
    return folder


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    shutil.copytree(trained, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")


def answers(scores: str) -> dict[tuple[str, str], list[str]]:
    """(task, language) -> its predictions."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in read_predictions(Path(scores)):
        found.setdefault((one.cell.task, one.cell.language), []).append(one.prediction)
    return found


def multiply(axis: str, factor: float) -> None:
    """Change the bank of the run itself: all features of an axis so many times as strong."""
    bank, factors = Bank.read(Path("run")), load_file(f"run/{ADAPTER}")
    rows = [row for feature, own in bank.rows().items() if feature.axis == axis for row in own]
    for name, tensor in factors.items():
        if name.endswith("lora_b"):
            tensor[rows] *= factor
    Path("changed").mkdir()
    for file in Path("run").iterdir():
        if file.is_file():
            shutil.copy(file, "changed")
    metadata = read_metadata(Path("run", ADAPTER))
    save_file(factors, f"changed/{ADAPTER}", metadata)


def read_metadata(path: Path) -> dict[str, str]:
    content = path.read_bytes()
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]


@pytest.mark.parametrize(
    "axis, factor",
    [("language", 0), *(pytest.param(*one, marks=pytest.mark.slow) for one in (("language", 0.5), ("task", 0)))],
)
def test_strengths_of_an_axis_are_those_of_a_bank_that_was_changed(axis, factor, here, monkeypatch):
    multiply(axis, factor)
    assert run_command("evaluate", "run=run", f"+strengths.{axis}={factor}", *CHOSEN, monkeypatch=monkeypatch) == 0
    for run in ("run", "changed"):
        assert run_command("evaluate", f"run={run}", *CHOSEN, monkeypatch=monkeypatch) == 0
    ours, theirs = f"run/scores-cldr-test-{axis}-{factor}.json", "changed/scores-cldr-test.json"
    assert answers(ours) == answers(theirs) != answers("run/scores-cldr-test.json")
    scores = json.loads(Path(ours).read_text())
    assert scores["strengths"] == {axis: factor}
    assert scores["cells"] == json.loads(Path(theirs).read_text())["cells"]


@pytest.mark.slow
def test_a_language_left_out_is_the_unseen_language_of_the_paper(here, monkeypatch, capsys):
    """Gujarati was never trained, so its task alone serves it: leaving Gujarati out as well changes nothing."""
    without = "strengths={language: 0}"
    assert run_command("evaluate", "run=run", *CHOSEN, monkeypatch=monkeypatch) == 0
    assert run_command("evaluate", "run=run", without, *CHOSEN, monkeypatch=monkeypatch) == 0
    assert 'strengths {"language": 0.0}' in capsys.readouterr().out
    whole, left_out = answers("run/scores-cldr-test.json"), answers("run/scores-cldr-test-language-0.json")
    same = {cell for cell in whole if whole[cell] == left_out[cell]}
    assert ("qa_cross_lang", "gu") in same and ("semantic_parsing", "sw") not in same


@pytest.mark.slow
def test_a_feature_in_the_place_of_another_and_of_a_policy(here, monkeypatch):
    named = "strengths={language: {gu: {sw: 0.5, bn: 0.5}}}"
    half = ("unseen_language=mean", "strengths={language: 0.5}")
    for words in ((named,), (named, "unseen_language=mean"), half):
        assert run_command("evaluate", "run=run", *words, *CHOSEN, monkeypatch=monkeypatch) == 0
    by_name = answers("run/scores-cldr-test-language.gu-0.5bn+0.5sw.json")
    assert by_name == answers("run/scores-cldr-test-mean-language.gu-0.5bn+0.5sw.json"), "what is named holds"
    scores = json.loads(Path("run/scores-cldr-test-mean-language-0.5.json").read_text())
    assert set(scores["stand_ins"]) == {"language=gu"}
    composer = Bank.read(Path("run")).composer()
    known = [str(feature) for feature in composer.space if feature.axis == "language"]
    assert list(scores["stand_ins"]["language=gu"]) == known


@pytest.mark.parametrize(
    ("strengths", "told"),
    [
        ("+strengths.langauge=0", "unknown axis of strengths 'langauge'; did you mean 'language'"),
        ("+strengths.language=low", "strengths.language: a finite number; got 'low'"),
        (
            "strengths={language: {gu: {swa: 1}}}",
            "in the place of language=gu 'language=swa'; did you mean 'language=sw'",
        ),
        ("strengths=0", "strengths"),
    ],
)
def test_strengths_that_cannot_be_are_one_line(strengths, told, here, monkeypatch, capsys):
    assert run_command("evaluate", "run=run", strengths, *CHOSEN, monkeypatch=monkeypatch) == 1
    assert told in capsys.readouterr().err
    assert not list(Path("run").glob("scores-*")), "nothing is written"


def test_a_word_of_strengths_is_the_same_for_any_order():
    one = {"task": 2, "language": {"xx": {"sw": 0.7, "rw": 0.3}, "sw": 0, "yo": 0.25}}
    other = {"language": {"yo": 0.25, "sw": 0, "xx": {"rw": 0.3, "sw": 0.7}}, "task": 2}
    word = "language.sw=0,language.xx=0.3rw+0.7sw,language.yo=0.25,task=2"
    assert str(Strengths.parse(one)) == str(Strengths.parse(other)) == word
    assert str(Strengths.parse({})) == ""
