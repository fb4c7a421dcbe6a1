"""Folders composed on demand: PEFT computes with them what FlixModel does, whatever becomes of bank and cache."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from flix_lightning.adapters.strengths import Strengths
from flix_lightning.adapters.unseen import UnseenLanguage
from flix_lightning.common.errors import FlixError
from flix_lightning.inference.model import FlixModel
from tests.configs import untrained_backbone
from tests.inference.serving.toy import toy_bank

fcntl = pytest.importorskip("fcntl", reason="the folders of a server are locked by POSIX, as where vLLM runs")
from flix_lightning.inference.serving import folders as module  # noqa: E402
from flix_lightning.inference.serving.folders import IN_USE, ComposedFolders, trim  # noqa: E402

IDS = torch.arange(3, 40)[None]


@pytest.fixture
def bank() -> Path:
    path = Path("bank.safetensors")
    toy_bank().write(path)
    return path.absolute()


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


@pytest.mark.parametrize(
    "name, strengths, policy",
    [
        ("ner/sw", {}, "task_only"),
        ("qa/yo", {}, "task_only"),  # not trained together
        ("ner/xx", {}, "family"),  # without relatives
        ("ner/rw", {}, "family"),
        ("ner/gu", {}, "mean"),
        ("ner/sw@language=0.5@task=-2", {"language": 0.5, "task": -2}, "task_only"),
        ("ner/gu@language=0.7*sw+0.3*yo", {"language": {"gu": {"sw": 0.7, "yo": 0.3}}}, "mean"),
        ("ner/gu@language=0.5", {"language": 0.5}, "mean"),
    ],
)
def test_a_folder_is_the_composition(bank, name, strengths, policy):
    found = ComposedFolders(bank, Path("cache"), UnseenLanguage(policy)).folder(name, "some/backbone")
    config = json.loads((found / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "some/backbone" and config["lora_alpha"] == config["r"]
    theirs = PeftModel.from_pretrained(untrained_backbone().model, found)
    model = FlixModel.from_bank(bank, untrained_backbone(), "cpu")
    cell = model.cell(*name.partition("@")[0].split("/"))
    composer = UnseenLanguage(policy).serve(model.composer.with_strengths(Strengths.parse(strengths)), [cell])
    model.active.set(composer.compose([cell]))
    torch.testing.assert_close(logits(theirs), logits(model.backbone))
    with theirs.disable_adapter():
        assert (logits(theirs) - logits(model.backbone)).abs().max() > 1e-3


def test_a_cell_is_composed_once_and_again_where_its_files_are_gone(bank):
    served = ComposedFolders(bank, Path("cache"))
    first = served.folder("ner/sw", "b")
    made = (first / "adapter_model.safetensors").stat()
    assert served.folder("ner/sw", "b") == ComposedFolders(bank, Path("cache")).folder("ner/sw", "b") == first
    assert (first / "adapter_model.safetensors").stat() == made
    others = [served.folder(name, backbone) for name, backbone in (("ner/yo", "b"), ("ner/sw", "c"), ("ner/SW", "b"))]
    assert len({first, *others}) == 4
    (first / "adapter_config.json").unlink()
    assert (served.folder("ner/sw", "b") / "adapter_config.json").is_file()
    shutil.rmtree("cache")
    assert (served.folder("ner/sw", "b") / "adapter_config.json").is_file()
    assert {path.name for path in first.parent.iterdir()} == {first.name, IN_USE, "composing"}


def test_a_name_of_any_characters_stays_in_the_cache(bank):
    names = ["ner/" + "語" * 400, "ner/s.w", "ner/sw@task=1e5"]
    served = ComposedFolders(bank, Path("cache"))
    found = [served.folder(name, "b") for name in names]
    assert {folder.parent.parent for folder in found} == {Path("cache")}
    assert max(len(folder.name.encode()) for folder in found) < 200


def test_a_bank_that_is_damaged_replaced_or_gone(bank):
    served = ComposedFolders(bank, Path("cache"))
    first, whole = served.folder("ner/sw", "b"), bank.read_bytes()
    bank.write_bytes(whole[:1000])
    with pytest.raises(FlixError, match="damaged"):
        served.folder("ner/sw", "b")
    bank.unlink()
    with pytest.raises(FlixError, match="there is no file"):
        served.folder("ner/sw", "b")
    toy_bank(seed=2).write(bank)
    second = served.folder("ner/sw", "b")
    assert second.parent != first.parent and (first / "adapter_config.json").is_file()
    bank.write_bytes(whole)
    assert served.folder("ner/sw", "b") == first


def test_nothing_is_left_of_a_name_that_nothing_serves(bank):
    served = ComposedFolders(bank, Path("cache"))
    for name in ("nre/sw", "ner/sw@task=0@language=0", "../sw"):
        with pytest.raises(FlixError):
            served.folder(name, "b")
    assert not Path("cache").exists()


def test_an_error_while_writing_leaves_nothing(bank, monkeypatch):
    served = ComposedFolders(bank, Path("cache"))
    with monkeypatch.context() as patched:
        patched.setattr(module, "write_peft_folder", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            served.folder("ner/sw", "b")
    assert {path.name for path in next(Path("cache").iterdir()).iterdir()} == {IN_USE, "composing"}
    assert served.folder("ner/sw", "b").is_dir()


def test_servers_that_share_a_cache_compose_a_cell_at_the_same_time(bank):
    with ThreadPoolExecutor(8) as pool:
        servers = [ComposedFolders(bank, Path("cache")) for _ in range(8)]
        found = list(pool.map(lambda served: served.folder("ner/sw", "b"), servers))
    assert len(set(found)) == 1 and (found[0] / "adapter_config.json").is_file()


def test_trim_deletes_what_no_server_holds_the_longest_unused_first(bank):
    cache, banks = Path("cache"), []
    for seed in range(3):
        path = Path(f"{seed}.safetensors").absolute()
        toy_bank(seed).write(path)
        banks.append(ComposedFolders(path, cache).folder("ner/sw", "b").parent)
    held = ComposedFolders(Path("0.safetensors"), cache)
    held.folder("ner/sw", "b")
    size = sum(file.stat().st_size for file in banks[0].rglob("*") if file.is_file())
    trim(cache, 3 * size)
    assert all(folder.is_dir() for folder in banks)
    trim(cache, 2 * size)
    assert [folder.is_dir() for folder in banks] == [True, False, True], "the first was used last, and is held"
    trim(cache, 0)
    assert [folder.is_dir() for folder in banks] == [True, False, False]
    with (banks[0] / IN_USE).open("rb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_few_shot_is_no_policy_of_a_server(bank):
    policy = UnseenLanguage("few_shot", examples=1, steps=1, lr=1.0)
    with pytest.raises(FlixError, match="Allowed here: task_only, mean, family, script"):
        ComposedFolders(bank, Path("cache"), policy).folder("ner/sw", "b")
