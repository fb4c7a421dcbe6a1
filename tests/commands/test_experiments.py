"""Every experiment opens with the command that launches it, and that command composes and builds."""

import re
import shlex

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

from flix_lightning.commands.grids import combinations, planned
from flix_lightning.commands.hydra_shell import composed as hydra_config
from flix_lightning.data.benchmarks.benchmark import load_benchmark
from flix_lightning.training.assembly import build_experiment
from flix_lightning.training.run_directory import fingerprint
from tests.configs import ROOT, composed, untrained_backbone

BANK = "compositional_calibration"  # needs a trained bank: test_calibrated.py
SEARCHES = ("search_learning_rate",)  # choose their runs as they go
EXPERIMENTS = sorted(
    (path for path in (ROOT / "conf" / "experiment").glob("*.yaml") if path.stem != BANK), key=lambda path: path.stem
)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_composes_by_the_command_it_opens_with(path):
    package, launch, *_ = path.read_text(encoding="utf8").splitlines()
    assert package == "# @package _global_"
    command = re.fullmatch(rf"# (flix train (?:-m )?experiment={path.stem}\b.*?)(?: {{3,}}\S.*)?", launch).group(1)
    words = [word for word in shlex.split(command)[2:] if word != "-m"]
    swept = combinations(path.stem)
    assert bool(swept) == ("-m" in command and path.stem not in SEARCHES), "a sweep lists its runs in the file"
    for overrides in [swept[0], swept[-1]] if swept else [words]:
        config = composed(*overrides)
        config["model"].pop("vocabulary", None)  # the stand-in's tokenizer has no tokens to leave out
        benchmark = load_benchmark(config["benchmark"])
        assert build_experiment(config, benchmark, untrained_backbone()).module.composer.total_rank > 0


@pytest.mark.parametrize("more", [[], ["feature_dropout.p=0.5"], ["seed=1", "feature_dropout.p=0.1,0.2"]])
def test_a_sweep_of_an_experiment_is_what_hydra_makes_of_it(more):
    """Its values, and a user's in their place, are read by Hydra's own sweeper when `flix train -m` runs it."""
    config = hydra_config("train", ["experiment=ablation_dropout_axes"], hydra=True)
    params = [f"{key}={value}" for key, value in config.hydra.sweeper.params.items()] + more
    (batch,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(params), None)
    swept = [set(overrides[1:]) for overrides in combinations("ablation_dropout_axes", more)]
    assert swept == list(map(set, batch))


def test_every_run_of_a_study_is_another_run():
    hashes = [fingerprint(run.config) for run in planned("ablation_axis_lr")]
    assert len(set(hashes)) == len(hashes) == 4
