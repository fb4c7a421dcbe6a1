"""The commands of the README and of the pages in docs/ are commands that work."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import flix_lightning
from flix_lightning.commands.arguments import overrides as as_overrides
from flix_lightning.commands.arguments import readable
from flix_lightning.commands.main import split
from flix_lightning.data.mixture import build_mixture
from flix_lightning.training.assembly import build_composer
from tests.configs import FLIX, ROOT, SMALL, composed, small_benchmark

DIALECTS = {  # the words without `=` that the pages use
    "report": {"positional": "runs", "several": True},
    "studies": {"positional": "studies", "several": True},
    "data cldr": {"positional": "cells", "several": True},
    "generate": {"positional": "requests", "literal": ["text"]},
    "bank list": {"positional": "bank"},
    "bank join": {"positional": "banks", "several": True},
    "bank drop": {"positional": "bank"},
    "bank rename": {"positional": "bank"},
}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, kind: str) -> list[str]:
    """The code blocks of one kind."""
    return re.findall(rf"```{kind}\n(.*?)```", page.read_text(encoding="utf8"), re.DOTALL)


COMMANDS = [
    shlex.split(line, comments=True) for page in PAGES for block in blocks(page, "bash") for line in block.splitlines()
]
TRAIN = [
    arguments[2:]
    for arguments in COMMANDS
    if arguments[:2] == ["flix", "train"]
    and not any(
        argument.startswith(("--config-dir", "benchmark.root", "adapter.bank")) for argument in arguments
    )  # test_data_page.py, test_calibrated.py, test_dialogue.py
]


@pytest.mark.parametrize("overrides", TRAIN, ids=" ".join)
def test_every_training_command_composes_and_builds(overrides):
    firsts = [re.sub(r"=([^,\[]+),.*", r"=\1", o) for o in overrides if o != "-m"]  # of a sweep, its first run
    config = composed(*firsts)
    assert build_composer(config, build_mixture(config, small_benchmark())).total_rank > 0


@pytest.mark.parametrize("target", re.findall(r"^    make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE))
def test_every_make_target_is_there(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_every_command_is_one_and_its_settings_compose():
    """`flix train` is composed in more detail above; a line is a flix command, or starts flix or Python elsewhere."""
    for arguments in COMMANDS:
        if arguments[:1] == ["flix"]:
            name, words = split(arguments[1:])
            words = words[: words.index("<")] if "<" in words else words
            if name not in ("train", "compositional") and "--config-dir" not in words:
                config = name.replace(" ", "_")
                composed(*readable(as_overrides(words, **DIALECTS.get(name, {}))), config=config)
        else:
            assert not arguments or arguments[0] in ("torchrun", "python"), arguments


def test_every_file_that_a_command_or_a_link_names_is_there():
    named = {word for arguments in COMMANDS for word in arguments if word.endswith(".py")}
    linked = {
        (page.parent / link).relative_to(ROOT)
        for page in PAGES
        for link in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf8"))
    }
    assert [name for name in named | linked if not (ROOT / name).exists()] == []


def test_the_models_page_names_every_model():
    page = (ROOT / "docs/models.md").read_text(encoding="utf8")
    for path in (ROOT / "conf/model").glob("*.yaml"):
        assert f"`{path.stem}`" in page or f"model={path.stem} " in page
        name = re.search(r"^name: (\S+/\S+)", path.read_text(), re.MULTILINE)
        assert name is None or name[1] in page


def test_reading_the_code_takes_five_files_and_names_every_folder():
    section = (ROOT / "README.md").read_text(encoding="utf8").partition("## Reading the code")[2].partition("\n## ")[0]
    files = re.findall(r"\]\((flix_lightning/\S+\.py)\)", section)
    assert len(files) <= 5 and f"`flix {Path(files[0]).stem}`" in section
    assert "y = x W0^T + b + scaling * sum_i w_i (x a_i) b_i^T" in (ROOT / files[-1]).read_text(encoding="utf8")
    folders = {path.parent.name for path in (ROOT / "flix_lightning").glob("*/__init__.py")}
    assert sorted(re.findall(r"^\| `(\w+)/` \|", section, re.MULTILINE)) == sorted(folders)


def test_the_citation_is_of_this_version_and_names_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
    assert citation["cff-version"] == "1.2.0" and {"message", "title", "authors"} <= citation.keys()
    assert project["dynamic"] == ["version"] and citation["version"] == flix_lightning.__version__
    assert citation["license"] == project["license"]
    (paper,) = citation["references"]
    assert "2402.17934" in paper["doi"] and [a["family-names"] for a in paper["authors"]][:2] == ["Lin", "Wang"]


@pytest.mark.slow
def test_train_evaluate_report_and_preview_run_as_written(tmp_path):
    """On the shipped model, with the smallest settings added."""
    overrides = [*TRAIN[0], *SMALL, f"runs_dir={tmp_path}/runs"]
    told = call("train", *overrides)
    assert "semantic_parsing" in told and "trainable parameters" in told
    run = told.split()[-1]
    assert "unseen" in call("evaluate", f"run={run}", "split=validation", "tasks=[qa_cross_lang]")
    preview = next(arguments[1:] for arguments in COMMANDS if arguments[1:3] == ["data", "cldr"])
    assert "Swahili" in call(*preview)
    (tmp_path / "README.md").write_text((ROOT / "README.md").read_text())
    folders = [f"results={tmp_path}/results", f"readme={tmp_path}/README.md"]
    call("report", f"collect=[{tmp_path}/runs]", *folders)
    assert list((tmp_path / "results").glob("*.md"))


EVALUATE = [arguments[2:] for arguments in COMMANDS if arguments[:2] == ["flix", "evaluate"]]


@pytest.mark.parametrize("overrides", EVALUATE, ids=" ".join)
def test_every_evaluation_composes(overrides):
    assert f"run={composed(*overrides, config='evaluate')['run']}" in overrides


@pytest.mark.slow
def test_a_newcomer_compares_two_runs_and_has_a_picture(tmp_path):
    """The README's two commands with `experiment=smoke`, and its report; then a policy, collected."""
    compare = next(arguments for arguments in COMMANDS if arguments[1:2] == ["report"])[1:]
    for train in TRAIN[:2]:
        call("train", "experiment=smoke", *train, *SMALL[3:], "trainer.max_steps=4", cwd=tmp_path)
    told = call("report", "runs/smoke", *compare[3:], cwd=tmp_path)
    assert "| flix |" in told and "| lora |" in told
    assert (tmp_path / "difference.png").read_bytes().startswith(b"\x89PNG")
    run = next(path.parent for path in tmp_path.glob("runs/smoke/*/record.json") if "task" in path.read_text())
    policy = EVALUATE[1][1:]
    call("evaluate", f"run={run}", *policy, "tasks=[qa_cross_lang]", "languages=[gu]", cwd=tmp_path)
    assert list(run.glob("scores-cldr-test-family.json"))


@pytest.mark.slow
def test_docs_export_runs_as_written(tmp_path):
    """Its commands and its Python, on one small run; what needs other runs or LoRAs apart."""
    page, home = ROOT / "docs" / "export.md", tmp_path / "runs/joint-flix/HASH"
    small, languages = [*SMALL, "trainer.max_steps=2"], "mixture.languages=[yo, bn, sw, zu]"
    told = call("train", *small, "mixture.tasks=[ner, qa_cross_lang]", languages, cwd=tmp_path)
    (tmp_path / told.split()[-1]).rename(home)
    (tmp_path / "requests.jsonl").write_text('{"task": "ner", "language": "sw", "text": "22 Aprili 2022"}\n')
    (tmp_path / "path/of/another/bank").mkdir(parents=True)
    shutil.copy(home / "adapter.safetensors", tmp_path / "path/of/another/bank")
    for line in "".join(blocks(page, "bash")).splitlines():
        words = shlex.split(line, comments=True)[1:]
        if "path/of/lora" not in line and "new_language" not in line:
            stdin = tmp_path / words.pop() if words[-2:-1] == ["<"] else None
            words = [word for word in words if word != "<"]
            chosen = {word.partition("=")[0] for word in words}
            own = [word for word in small if word.partition("=")[0] not in chosen] if words[0] == "train" else []
            call(*words, *own, cwd=tmp_path, stdin=stdin)
    assert json.loads((tmp_path / "answers.jsonl").read_text())["answer"] is not None
    (tmp_path / "adapter.safetensors").write_bytes((home / "adapter.safetensors").read_bytes())
    for block in blocks(page, "python"):
        subprocess.run([sys.executable, "-c", block], cwd=tmp_path, check=True, stdin=subprocess.DEVNULL)


def call(*words: str, cwd: Path = ROOT, stdin: Path | None = None) -> str:
    """What `flix` prints."""
    content = stdin.read_text() if stdin else ""
    return subprocess.run([*FLIX, *words], cwd=cwd, capture_output=True, text=True, check=True, input=content).stdout
