"""The plugin behind a stand-in for the few names of vLLM that it uses; tests/inference/serving/test_vllm.py is real."""

import asyncio
import importlib
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from flix_lightning.common.errors import FlixError
from tests.configs import untrained_backbone
from tests.inference.serving.toy import toy_bank

pytest.importorskip("fcntl", reason="the folders of a server are locked by POSIX, as where vLLM runs")


@dataclass
class Request:
    """vLLM's LoRARequest, as far as it is used."""

    lora_name: str
    lora_int_id: int
    lora_path: str


@pytest.fixture
def plugin(monkeypatch, caplog):
    """The module of the plugin; `registered` holds what it gave to vLLM."""
    registered: dict[str, object] = {}
    parts = {
        "vllm": {},
        "vllm.logger": {"init_logger": logging.getLogger},
        "vllm.lora": {},
        "vllm.lora.request": {"LoRARequest": Request},
        "vllm.lora.resolver": {
            "LoRAResolver": object,
            "LoRAResolverRegistry": SimpleNamespace(register_resolver=registered.__setitem__),
        },
    }
    for name, content in parts.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    name = "flix_lightning.inference.serving.vllm"
    monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module(name)
    module.registered = registered
    yield module
    sys.modules.pop(name, None)


def resolved(plugin, name: str, backbone: str = "backbone") -> Request | None:
    return asyncio.run(plugin.registered["FLix"].resolve_lora(backbone, name))


@pytest.fixture
def bank() -> Path:
    toy_bank().write("bank.safetensors")
    untrained_backbone().model.config.save_pretrained("backbone")
    return Path("bank.safetensors").absolute()


def test_without_its_variable_the_plugin_does_nothing(plugin, monkeypatch):
    monkeypatch.delenv("FLIX_VLLM_BANK", raising=False)
    plugin.register()
    assert plugin.registered == {}


def test_one_bank(plugin, bank, monkeypatch, caplog, tmp_path):
    monkeypatch.setenv("FLIX_VLLM_BANK", str(bank))
    plugin.register()
    found = resolved(plugin, "ner/sw")
    assert found.lora_name == "ner/sw" and found.lora_int_id >= 1
    assert Path(found.lora_path).is_relative_to(tmp_path / "cache") and Path(found.lora_path).is_absolute()
    for name, told in {"nre/sw": "did you mean 'ner'", "ner/..": "a cell is written", "some-lora": "a cell is"}.items():
        caplog.clear()
        assert resolved(plugin, name) is None
        (line,) = caplog.messages
        assert told in line and repr(name) in line and "\n" not in line


def test_a_bank_of_another_model_is_refused_and_one_that_cannot_be_compared_is_told(plugin, bank, monkeypatch, caplog):
    monkeypatch.setenv("FLIX_VLLM_BANK", str(bank))
    plugin.register()
    config = untrained_backbone().model.config
    for change, told in ({"intermediate_size": 48}, "it is 48 x 16."), ({"num_hidden_layers": 1}, "is absent."):
        folder = next(iter(change))
        type(config)(**{**config.to_dict(), **change}).save_pretrained(folder)
        caplog.clear()
        assert resolved(plugin, "ner/sw", folder) is None and told in caplog.messages[-1]
    assert resolved(plugin, "ner/sw", "unknown/model") is not None
    assert "whether the bank fits 'unknown/model' is not known" in caplog.messages[-1]


def test_several_banks_and_a_policy(plugin, bank, monkeypatch, caplog):
    toy_bank(seed=2).write("other.safetensors")
    monkeypatch.setenv("FLIX_VLLM_BANK", f"a={bank}:b={Path('other.safetensors').absolute()}")
    monkeypatch.setenv("FLIX_VLLM_CACHE", "loras")
    monkeypatch.setenv("FLIX_VLLM_UNSEEN_LANGUAGE", "mean")
    plugin.register()
    paths = {resolved(plugin, name).lora_path for name in ("a:ner/sw", "b:ner/sw", "a:ner/gu")}
    assert len(paths) == 3 and all(Path(path).is_relative_to(Path("loras").absolute()) for path in paths)
    for name in ("ner/sw", "c:ner/sw"):
        assert resolved(plugin, name) is None and "NAME:task/language" in caplog.messages[-1]


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"FLIX_VLLM_BANK": "nowhere.safetensors"}, "there is no file 'nowhere.safetensors'"),
        ({"FLIX_VLLM_BANK": "one:b=two"}, "FLIX_VLLM_BANK: a path, or NAME=PATH"),
        ({"FLIX_VLLM_BANK": "a=one:a=two"}, "FLIX_VLLM_BANK: a path, or NAME=PATH"),
        ({"FLIX_VLLM_BANK": "a=:b=two"}, "FLIX_VLLM_BANK: a path, or NAME=PATH"),
        ({"FLIX_VLLM_BANK": "hf://org/none"}, "hub: 'hf://org/none' is not in"),
        ({"FLIX_VLLM_BANK": "{bank}", "FLIX_VLLM_CACHE_MIB": "lots"}, "FLIX_VLLM_CACHE_MIB: a whole number"),
        ({"FLIX_VLLM_BANK": "{bank}", "FLIX_VLLM_UNSEEN_LANGUAGE": "famly"}, "FLIX_VLLM_UNSEEN_LANGUAGE.*family"),
        ({"FLIX_VLLM_BANK": "{bank}", "FLIX_VLLM_UNSEEN_LANGUAGE": "few_shot"}, "unseen_language: few_shot"),
    ],
)
def test_a_setting_that_cannot_be_stops_the_server_at_its_start(plugin, bank, monkeypatch, settings, told):
    for name, value in settings.items():
        monkeypatch.setenv(name, value.format(bank=bank))
    with pytest.raises(FlixError, match=told):
        plugin.register()
    assert plugin.registered == {}


def test_names_of_several_banks(plugin, monkeypatch):
    monkeypatch.setattr(plugin, "downloaded", lambda named: Path("hub", named.removeprefix("hf://")))
    assert plugin.banks_named("runs/a=b") == {"runs/a": Path("b")}
    assert plugin.banks_named("hf://o/n@v1") == {"": Path("hub/o/n@v1")}
    assert plugin.banks_named("a=hf://o/n:b=/x:y/z") == {"a": Path("hub/o/n"), "b": Path("/x:y/z")}
