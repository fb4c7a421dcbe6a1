"""`flix bank`: what joined, cut and renamed banks answer is what the banks that they are made of answer."""

import json
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.composition import Composer
from flix_lightning.adapters.features import Feature
from flix_lightning.adapters.injection import inject
from flix_lightning.adapters.warm_start import WarmStart
from flix_lightning.data.cells import Cell
from flix_lightning.data.prompting import Prompting
from flix_lightning.data.tasks import Task
from flix_lightning.inference.model import FlixModel
from tests.commands.test_commands import run_command
from tests.configs import untrained_backbone

MODEL = {"_target_": "tests.configs.untrained_backbone", "kind": "llama"}
TASKS = {name: Task(name, f"{name} {{language}}: {{input}}", "f1", 6) for name in ("ner", "parse", "qa")}
PROMPTING = Prompting({"am": "Amharic", "sw": "Kiswahili", "yo": "Yoruba"}, max_tokens=64)
TEXTS = ["moja mbili tatu", "a", "nne tano"]
WEST, EAST = ("ner parse", "yo"), ("parse qa", "sw am")


def random_bank(tasks: str, languages: str, seed: int = 0) -> Bank:
    """A bank whose features have the same random factors in every bank of one seed."""
    cells = [Cell(task, language) for task in tasks.split() for language in languages.split()]
    composer, backbone = Composer.of(cells, {"task": 3, "language": 2}), untrained_backbone().model
    inject(backbone, composer.total_rank, ActiveComposition(composer.total_rank))
    bank = Bank.of(backbone, composer, {name: TASKS[name] for name in tasks.split()}, cells, PROMPTING, MODEL)

    def draw(name: str, feature: Feature, shape: torch.Size) -> torch.Tensor:
        generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {name} {feature}".encode()))
        return 0.6 * torch.randn(shape, generator=generator)

    rows = bank.rows().items()
    factors = {
        name: torch.cat([draw(name, feature, factor[list(own)].shape) for feature, own in rows])
        for name, factor in bank.factors.items()
    }
    return replace(bank, factors=factors)


@pytest.fixture
def flix(monkeypatch, capfd):
    """`flix bank WORDS` -> its exit code and what it printed."""

    def call(words: str, *more: str, command: str = "bank") -> tuple[int, str]:
        code = run_command(command, *words.split(), *more, monkeypatch=monkeypatch)
        printed = capfd.readouterr()
        return code, printed.out + printed.err

    random_bank(*WEST).write_folder(Path("west"))
    random_bank(*EAST).write_folder(Path("east"))
    return call


def answers(bank: str | Path, task: str, language: str) -> list[str]:
    model = FlixModel.from_run(bank, "cpu", trust="tests")
    return model.generate(TEXTS, task, language)


def test_a_joined_bank_answers_every_cell_as_the_bank_that_it_comes_from(flix):
    assert flix("join west east out=joined") == (0, "joined\n")
    for task, language, bank in (
        ("ner", "yo", "west"),
        ("parse", "yo", "west"),
        ("parse", "am", "east"),
        ("qa", "sw", "east"),
    ):
        assert answers("joined", task, language) == answers(bank, task, language)
    assert answers("joined", "ner", "am") not in (answers("west", "ner", "am"), answers("joined", "ner", "yo"))
    assert list(map(str, Bank.read("joined").ranks)) == [
        "task=ner", "task=parse", "task=qa", "language=am", "language=sw", "language=yo",
    ]  # fmt: skip


def test_a_dropped_language_is_an_unseen_one(flix):
    before = answers("east", "qa", "sw")
    assert flix("drop east features=[language=sw] out=without") == (0, "without\n")
    model, left = FlixModel.from_run("east", "cpu", trust="tests"), FlixModel.from_run("without", "cpu", trust="tests")
    prompts = [model.prompt(text, Cell("qa", "sw")) for text in TEXTS]
    by_task_alone = model.answer([Cell("qa", "unseen")] * 3, prompts, [6] * 3)
    assert left.generate(TEXTS, "qa", "sw") == by_task_alone != before
    assert left.generate(TEXTS, "qa", "am") == answers("east", "qa", "am"), "the others answer as before"
    code, message = flix("drop east features=[task=qa,task=parse] out=languages")
    assert code == 0 and Bank.read("languages").tasks == {}


def test_renamed_features_keep_every_answer(flix):
    assert flix("rename east out=renamed", "names={language: {sw: swh, am: sw}, task: {qa: question}}")[0] == 0
    assert answers("renamed", "question", "swh") == answers("east", "qa", "sw")
    assert answers("renamed", "question", "sw") == answers("east", "qa", "am")
    assert answers("renamed", "parse", "sw") == answers("east", "parse", "am")
    model = FlixModel.from_run("renamed", "cpu", trust="tests")
    assert model.prompt("x", model.cell("question", "swh")) == "qa Kiswahili: x"


def test_the_folder_is_read_by_generate_export_and_warm_start(flix):
    assert flix("join west east out=joined")[0] == 0
    typed = "run=joined task=qa language=sw trust=[tests] device=cpu"
    assert flix(typed, f"text={TEXTS[0]}", command="generate") == (0, answers("east", "qa", "sw")[0] + "\n")
    code, printed = flix("run=joined to=peft trust=[tests]", command="export")
    folders = set(printed.split())
    assert code == 0 and folders == {f"joined/export/peft/{c.task}-{c.language}" for c in Bank.read("joined").cells}
    assert json.loads(Path("joined/export/peft/qa-sw/adapter_config.json").read_text())["r"] == 8
    assert "No scores of this bank are known" in Path("joined/export/peft/qa-sw/README.md").read_text()
    assert "language=yo" in flix("list joined")[1]
    assert list(WarmStart(bank="joined").read().bank.ranks) == list(Bank.read("joined").ranks)


def test_a_bank_without_a_model_section_names_its_backbone(flix):
    bank = replace(random_bank(*EAST), model=None)
    bank.write_folder(Path("nameless"))
    assert "does not name its backbone" in flix("run=nameless to=peft", command="export")[1]
    replace(bank, backbone="tiny").write_folder(Path("named"))
    assert "it was trained on another backbone, 'tiny'" in flix("run=named to=peft", command="export")[1]


REFUSED = {
    "another backbone": ("join west other out=new", "the first has backbone '', number 2 'else'"),
    "another model section": ("join west other_model out=new", "the first has model.kind 'llama', number 2 't5'"),
    "one bank": ("join west out=new", "banks: at least two to be joined; got 1"),
    "no bank": ("join west nowhere out=new", "banks: no run lies in 'nowhere'"),
    "two values of a feature": ("join west other_seed out=new", "task=ner differs in bank number 2; drop or rename it"),
    "other words": ("join west other_words out=new", "the first has words.sw 'Kiswahili', number 2 'Swahili'"),
    "another cut": ("join west other_cut out=new", "max_prompt_tokens 64, number 2 32"),
    "an unknown feature": ("drop west features=[language=yor] out=new", "'language=yor'; did you mean 'language=yo'?"),
    "no feature": ("drop west features=[] out=new", "features: at least one"),
    "a value alone": ("drop west features=[yo] out=new", "a feature is written axis=value, e.g. language=sw; got 'yo'"),
    "all features": ("drop west features=[task=ner,task=parse,language=yo] out=new", "leaves no feature"),
    "an unknown old name": ("rename west names={language:{yor:yo}} out=new", "did you mean 'language=yo'?"),
    "a name that is taken": ("rename west names={task:{ner:parse}} out=new", "two features would be named task=parse"),
    "a name that joins": ("rename west names={task:{ner:ner+qa}} out=new", "cannot be named 'ner+qa'"),
    "another folder there": ("rename west names={task:{ner:x}} out=taken", "exists and holds something else"),
    "no place": ("drop west features=[task=ner]", "these keys must be given: out"),
    "no folder": ("drop west features=[task=ner] out=.", "'.' names no folder of its own"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_in_a_line_and_nothing_is_written(flix, case):
    words, message = REFUSED[case]
    west = random_bank(*WEST)
    replace(west, backbone="else").write_folder(Path("other"))
    replace(west, model={**MODEL, "kind": "t5"}).write_folder(Path("other_model"))
    random_bank(*WEST, seed=1).write_folder(Path("other_seed"))
    replace(west, prompting=replace(PROMPTING, words={"sw": "Swahili"})).write_folder(Path("other_words"))
    replace(west, prompting=replace(PROMPTING, max_tokens=32)).write_folder(Path("other_cut"))
    Path("taken").mkdir()
    Path("taken/notes.txt").write_text("mine")
    before = sorted(Path().rglob("*"))
    code, printed = flix(words)
    assert code == 1 and message in printed and printed.startswith("error: ")
    assert len(printed.splitlines()) == 2, "the message, and how to see where"
    assert sorted(Path().rglob("*")) == before


def test_a_bank_takes_the_place_of_an_earlier_one_whole(flix):
    assert flix("drop west features=[task=ner] out=west")[0] == 0
    assert [path.name for path in Path("west").iterdir()] == ["adapter.safetensors"]
    assert Feature("task", "ner") not in Bank.read("west").ranks
