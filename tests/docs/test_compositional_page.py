"""The study's commands on docs/compositional.md are read as meant. Its others: test_calibrated, _command, _dialogue."""

import json
from pathlib import Path

import pytest

from flix_lightning.commands.hydra_shell import composed
from tests.commands.test_commands import run_command
from tests.docs.test_readme import COMMANDS
from tests.report.test_compositional import record

STUDIES = [arguments[2:] for arguments in COMMANDS if arguments[1:2] == ["compositional"]]
READ = {  # options -> seeds, overrides, where the records are kept
    "": ([0, 1, 2], [], "results/compositional.json"),
    "seeds=[0]": ([0], [], "results/compositional.json"),
    "seeds=[0] results=runs/look.json trainer.max_steps=20": ([0], ["trainer.max_steps=20"], "runs/look.json"),
}


@pytest.mark.parametrize("arguments", STUDIES, ids=" ".join)
def test_a_study_runs_its_seeds_with_its_overrides_and_prints_the_table(arguments, monkeypatch, capsys):
    called = []

    def run_seed(seed: int, file: Path, overrides: list[str]) -> None:
        called.append((seed, list(overrides), file))
        composed("train", ["experiment=compositional_flix", f"seed={seed}", *overrides])
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps([record("concat merge", seed, 10, 30)]))

    seeds, overrides, file = READ[" ".join(arguments)]
    monkeypatch.setattr("flix_lightning.commands.compositional.run_seed", run_seed)
    assert run_command("compositional", *arguments, monkeypatch=monkeypatch) == 0
    assert called == [(seed, overrides, Path(file)) for seed in seeds]
    assert capsys.readouterr().out == Path(file).with_suffix(".md").read_text()
