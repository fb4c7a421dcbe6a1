"""The package as others get it: a wheel made from the source distribution, and its command in another folder."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.configs import ROOT, SMALL

pytestmark = pytest.mark.slow
BUILD = "import sys, setuptools.build_meta as build; build.{what}(sys.argv[1])"


def built(what: str, source: Path, folder: Path, suffix: str) -> Path:
    """What setuptools makes of a source folder."""
    command = [sys.executable, "-c", BUILD.format(what=what), folder]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (found,) = folder.glob(f"*{suffix}")
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "copy"  # a build leaves files beside the source
    for name in ("flix_lightning", "conf"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (
        "pyproject.toml",
        "setup.py",
        "MANIFEST.in",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "constraints.txt",
    ):
        shutil.copy(ROOT / name, copy)
    archive = built("build_sdist", copy, folder, ".tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    return built("build_wheel", folder / archive.name.removesuffix(".tar.gz"), folder, ".whl")


@pytest.fixture(scope="module")
def flix(wheel, tmp_path_factory):
    """`flix` installed from the wheel into an environment that sees this one's libraries, in an empty folder."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home / "venv", with_pip=False)
    programs = home / "venv" / ("Scripts" if os.name == "nt" else "bin")
    paths = {"base": str(home / "venv"), "platbase": str(home / "venv")}
    site = Path(sysconfig.get_path("purelib", vars=paths))
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    install = [sys.executable, "-m", "pip", f"--python={programs / 'python'}", "install", "-q", "--no-deps", wheel]
    subprocess.run(install, check=True, env=environment)
    (site / "outer.pth").write_text(sysconfig.get_path("purelib") + "\n")
    folder = home / "elsewhere"
    folder.mkdir()

    def call(*words: str, stdin: str = "") -> str:
        options = {"cwd": folder, "env": environment, "input": stdin, "capture_output": True, "text": True}
        done = subprocess.run([programs / "flix", *words], **options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    call.folder, call.python, call.environment = folder, programs / "python", environment
    return call


def test_every_config_and_every_file_of_the_embedded_models_is_in_it(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, place in (("conf", "flix_lightning/conf"), ("flix_lightning/models", "flix_lightning/models")):
        files = [p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts]
        wanted = {f"{place}/{path.relative_to(ROOT / folder).as_posix()}" for path in files}
        assert len(wanted) > 20 and wanted <= names
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"flix_lightning"}


def test_train_evaluate_export_generate_report_and_runs_in_another_folder(flix):
    where = "import flix_lightning; print(flix_lightning.__file__)"
    options = {"cwd": flix.folder, "env": flix.environment, "capture_output": True, "text": True, "check": True}
    assert "site-packages" in subprocess.run([flix.python, "-c", where], **options).stdout
    assert "train" in flix("--help") and "adapter" in flix("train", "--help")

    run = flix("train", *SMALL, "trainer.max_steps=2").splitlines()[-1].split()[-1]
    assert (flix.folder / run / "record.json").is_file()
    assert json.loads((flix.folder / run / "record.json").read_text())["environment"]["commit"] == ""
    assert "qa_cross_lang" in flix("evaluate", f"run={Path(run).name[:5]}", "tasks=[qa_cross_lang]", "languages=[bn]")
    flix("export", f"run={run}", "to=peft", "cells=[translation/sw]")
    assert (flix.folder / run / "export/peft/translation-sw/adapter_model.safetensors").is_file()
    request = json.dumps({"task": "translation", "language": "sw", "text": "Kenya"})
    assert "answer" in json.loads(flix("generate", f"run={run}", "-", "max_new_tokens=3", stdin=request))
    assert "finished" in flix("runs")
    assert "| flix |" in flix("report", "runs")
    flix("report", f"collect=[{run}]")
    assert (flix.folder / "results/README.md").is_file()
    assert "Swahili" in flix("data", "cldr", "ner/sw")
    assert "table1_joint: 0 of 6 runs done" in flix("studies", "table1_joint")
    assert "language=sw" in flix("bank", "list", run)
