"""docs/data.md and the README's own-data recipe: the files they show, the commands they give, on data of that shape."""

import json
import re
import shlex
from itertools import product
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from flix_lightning.data.benchmarks.benchmark import SPLITS, load_benchmark
from flix_lightning.data.mixture import build_mixture
from flix_lightning.training.assembly import build_composer
from tests.commands.test_commands import run_command
from tests.configs import ROOT
from tests.data.benchmarks.test_xtreme_up import write_release

PAGES = {name: (ROOT / name).read_text(encoding="utf8") for name in ("README.md", "docs/data.md")}
LANGUAGES = ("sw", "qya", "tlh")
TINY = [
    "trainer.max_steps=2",
    "trainer.validate_every=1",
    "data.batch_size=4",
    "trainer.accelerator=cpu",
    "logger=none",
]


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGES[page], re.DOTALL)


def commands(page: str) -> list[list[str]]:
    lines = [line.replace("DIR", "dir") for block in blocks(page, "bash") for line in block.splitlines()]
    quoted = [re.sub(r"(\S*=\{.*?\})", r"'\1'", line) if "'" not in line else line for line in lines]
    return [shlex.split(line, comments=True)[1:] for line in quoted if line.startswith("flix")]


OWN = [
    pytest.param(page, command, id=" ".join(command))
    for page in PAGES
    for command in commands(page)
    if command[0] in ("train", "validate") and ("--config-dir" in command or page == "docs/data.md")
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Page -> a folder with the files that it shows, and rows for them."""
    found = {}
    for page in PAGES:
        found[page] = tmp_path_factory.mktemp("own")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(found[page])
            write_files(page)
    return found


def write_files(page: str) -> None:
    """Three tasks in three languages, two of them odd, and what else the page's commands read."""
    for block in blocks(page, "yaml"):
        path = Path(re.match(r"# (\S+\.yaml)", block)[1])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block)
    row = {"text": "mae govannen", "label": "greeting", "title": "Suilad", "target": "PER: Legolas"}
    for task, split, language in product(("topic", "title", "people"), SPLITS, LANGUAGES):
        path = Path(f"mine/data/{task}/{split}/{language}.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps({**row, "domain": domain}) + "\n" for domain in ("news", "law")))
    if page == "docs/data.md":
        table = Dataset.from_dict({"message": ["a", "b"], "label": ["good", "bad"], "lang": ["sw", "tlh"]})
        DatasetDict(train=table, dev=table, test=table).save_to_disk("mine/saved")
        write_release(Path("data/xtreme_up_v1.1"), Path("data/MasakhaNER-X"))
        for split, rows in (("train", 150), ("test", 1)):
            Path(f"dir/ner/{split}").mkdir(parents=True)
            Path(f"dir/ner/{split}/sw.jsonl").write_text('{"text": "Otii", "target": "PER: Otii"}\n' * rows)


def overrides_of(command: list[str]) -> list[str]:
    """The command's, with its config folder in the form that Hydra's composing in place takes."""
    rest = command[1:]
    if rest[0] == "--config-dir":
        return [f"hydra.searchpath=[file://{Path(rest[1]).resolve()}]", *rest[2:]]
    return rest


def config_of(command: list[str]) -> dict:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return OmegaConf.to_container(compose(command[0], overrides=overrides_of(command)), resolve=True)


@pytest.mark.parametrize(("page", "command"), OWN)
def test_every_command_builds(page, command, folders, monkeypatch):
    monkeypatch.chdir(folders[page])
    config = config_of(command)
    benchmark = load_benchmark(config["benchmark"])
    if command[0] == "train":
        composer = build_composer(config, build_mixture(config, benchmark))
        assert composer.space.axes() == tuple(config["adapter"]["axes"])
        cell = next(cell for cell in benchmark.cells if "train" in benchmark.splits(cell))
        assert benchmark.examples(cell, "train")


def test_the_recipe_of_the_readme_is_short_and_finds_three_tasks_and_odd_languages(folders, monkeypatch):
    monkeypatch.chdir(folders["README.md"])
    (recipe,) = blocks("README.md", "yaml")
    own = [command for command in commands("README.md") if "--config-dir" in command]
    assert recipe.count("\n") + len(own) < 10
    cells = load_benchmark(config_of(own[-1])["benchmark"]).cells
    assert {c.task for c in cells} == {"topic", "title", "people"} and {c.language for c in cells} == set(LANGUAGES)


def test_a_held_out_domain_is_scored_as_an_unseen_combination(folders, monkeypatch):
    monkeypatch.chdir(folders["docs/data.md"])
    command = next(c for c in commands("docs/data.md") if any("held_out=" in part for part in c))
    config = config_of(command)
    mixture = build_mixture(config, load_benchmark(config["benchmark"]))
    assert {str(c) for c in mixture.zero_shot} == {
        f"topic/{language}/domain=law/family={family}" for language, family in (("sw", "bantu"), ("qya", "elvish"))
    }
    assert {mixture.group(c) for c in mixture.zero_shot} == {"unseen combination"}


@pytest.mark.slow
def test_the_recipe_runs_as_written(folders, monkeypatch, capsys):
    monkeypatch.chdir(folders["README.md"])
    looked, trained = (command for command in commands("README.md") if "--config-dir" in command)
    assert run_command("validate", *looked[1:], monkeypatch=monkeypatch) == 0
    assert "topic/qya" in capsys.readouterr().out
    assert run_command("train", *trained[1:], *TINY, monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr().out
    assert "people" in printed and "trainable parameters" in printed


@pytest.mark.slow
def test_training_over_four_axes_writes_a_table_with_their_values(folders, monkeypatch, capsys):
    monkeypatch.chdir(folders["docs/data.md"])
    command = next(c for c in commands("docs/data.md") if any(part.startswith("adapter.axes=") for part in c))
    malformed = Path("mine/data/title/train/sw.jsonl")
    whole = malformed.read_text()
    malformed.write_text(whole + "x\n")
    more = ["mixture.held_out=[{task: topic, domain: law}]", "benchmark.tolerance=1"]
    assert run_command("train", *command[1:], *more, *TINY, monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr().out
    assert "1 malformed rows were left out" in printed
    assert (
        "domain=law" in printed
        and "family=elvish" in printed
        and "unseen combination" in printed
        and ", domain " in printed
    )
    run = f"run={printed.split()[-1]}"
    assert run_command("evaluate", run, "+where={domain: [law], task: [topic]}", monkeypatch=monkeypatch) == 0
    printed = capsys.readouterr().out
    assert "domain=law" in printed and "domain=news" not in printed and "title" not in printed
    malformed.write_text(whole)
