"""Exports pushed to a hub and banks loaded from there, by the commands, against a small server that answers."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from flix_lightning.adapters.bank import Bank
from flix_lightning.common.errors import FlixError
from flix_lightning.inference.export.folders import export
from flix_lightning.inference.hub import downloaded
from flix_lightning.inference.model import FlixModel
from tests.configs import FLIX, ROOT
from tests.inference.hub_server import Hub, running_hub

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def hub():
    with running_hub() as hub:
        yield hub


def call(hub: Hub, *words: str, **settings: str) -> subprocess.CompletedProcess:
    """A command of a user who is logged in on that hub and has an empty cache."""
    given = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_x", "HF_HOME": "hf", **settings}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_DISABLE_XET": "1", **given}
    return subprocess.run([*FLIX, *words], env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_a_bank_is_pushed_and_answers_from_the_hub(run, hub):
    done = call(hub, "export", f"run={run}", "to=bank", "push=org/served", "out=bank")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "bank\n" and f"pushed to {hub.url}/org/served" in done.stderr
    files = hub.repositories["org/served"]
    assert files == {name: Path("bank", name).read_bytes() for name in ("adapter.safetensors", "README.md")}

    request = ("task=semantic_parsing", "language=sw", "text=9 Januari 1982", "max_new_tokens=8")
    done = call(hub, "generate", "run=hf://org/served", *request)
    assert done.returncode == 0, done.stderr
    wanted = FlixModel.from_run(run, "cpu").generate("9 Januari 1982", "semantic_parsing", "sw", max_new_tokens=8)
    assert done.stdout == wanted[0] + "\n"
    assert not any("README" in line for line in hub.told if "/resolve/" in line), "the bank alone is downloaded"
    again = call(hub, "generate", "run=hf://org/served", *request, HF_HUB_OFFLINE="1")
    assert again.stdout == done.stdout, "from the cache"


@pytest.mark.slow
def test_several_folders_are_pushed_side_by_side_and_nothing_else(run, hub):
    Path("out").mkdir()
    Path("out/private.txt").write_text("mine")
    done = call(
        hub, "export", f"run={run}", "to=peft", "cells=[translation/sw,translation/yo]", "push=org/x", "out=out"
    )
    assert done.returncode == 0, done.stderr
    names = ("README.md", "adapter_config.json", "adapter_model.safetensors")
    assert set(hub.repositories["org/x"]) == {f"translation-{language}/{n}" for language in ("sw", "yo") for n in names}


@pytest.mark.slow
@pytest.mark.parametrize(
    "words, settings, told",
    [
        (["generate", "run=hf://org/none", "task=ner", "language=sw", "text=x"], {}, "no such repository"),
        (["generate", "run=hf://a b/c", "task=ner", "language=sw", "text=x"], {}, "named ORG/NAME; got 'a b/c'"),
        (
            ["generate", "run=hf://o/n", "task=ner", "language=sw", "text=x"],
            {"HF_ENDPOINT": NOBODY},
            "reached",
        ),
        (["export", "run={run}", "to=bank", "push=org/x", "out=bank"], {"HF_TOKEN": ""}, "hub: 'org/x'"),
    ],
)
def test_what_the_hub_refuses_is_one_line(run, hub, words, settings, told):
    done = call(hub, *(word.format(run=run) for word in words), **settings)
    assert done.returncode == 1 and told in done.stderr and "Traceback" not in done.stderr


def test_a_name_that_is_none_is_refused_before_anything_is_written(run):
    with pytest.raises(FlixError, match="hub: a repository is named ORG/NAME; got 'a/b/c'"):
        export(str(run), "bank", out="bank", push="a/b/c")
    assert not Path("bank").exists()
    with pytest.raises(FlixError, match="ORG/NAME"):
        downloaded("hf://../..")


def test_a_bank_that_was_exported_loads_without_a_backbone(run):
    (folder,) = export(str(run), "bank", out="bank")
    request = ("9 Januari 1982", "semantic_parsing", "sw")
    wanted = FlixModel.from_run(run, "cpu").generate(*request, max_new_tokens=8)
    assert FlixModel.from_bank(folder, device="cpu").generate(*request, max_new_tokens=8) == wanted
    assert FlixModel.from_bank(run, device="cpu").generate(*request, max_new_tokens=8) == wanted, "by its name"


def test_a_bank_may_name_a_backbone_of_this_project_only(run):
    bank = Bank.read(run)
    replace(bank, model={"_target_": "os.system", "command": "touch done"}).write("bank.safetensors")
    with pytest.raises(FlixError, match="os.system"):
        FlixModel.from_bank("bank.safetensors", device="cpu")
    assert not Path("done").exists()
