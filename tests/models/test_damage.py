"""Model folders that are not whole, told by `flix train` in one line with what to do, before anything is trained."""

import json
import shutil
from pathlib import Path

import pytest

from tests.own import LEAST, OWN, call, write_project

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_project()
    return folder


def point(name: str) -> None:
    Path("model", name).write_text(POINTER)


def halve() -> None:
    path = Path("model/model.safetensors")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change(**settings: object) -> None:
    path = Path("model/config.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


DAMAGE = {
    "weights are a pointer": (lambda: point("model.safetensors"), ["model.safetensors", "git lfs pull"]),
    "the tokenizer is a pointer": (lambda: point("tokenizer_config.json"), ["tokenizer_config.json", "git lfs pull"]),
    "the config is a pointer": (lambda: point("config.json"), ["config.json", "git lfs pull"]),
    "half a download": (halve, ["model.safetensors", "not whole", "download it again"]),
    "no weights": (lambda: Path("model/model.safetensors").unlink(), ["model.safetensors"]),
    "another vocabulary": (lambda: change(vocab_size=392), ["(384, 16)", "(392, 16)", "config.json"]),
    "more layers than weights": (lambda: change(num_hidden_layers=3), ["lack", "layers.2"]),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_model_folder_that_is_not_whole_is_one_line(kind, project, tmp_path, monkeypatch, capsys):
    shutil.copytree(project, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    damage, parts = DAMAGE[kind]
    damage()
    assert call("train", *OWN, *LEAST, "logger=none") == 1
    told = capsys.readouterr().err
    (line,) = (line for line in told.splitlines() if line.startswith("error: "))
    assert line.startswith("error: model.name 'model'") and "Traceback" not in told and not Path("runs").exists()
    for part in parts:
        assert part in line
