"""Every experiment opens with the command that launches it, and that command composes and builds."""

import re
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from flix_lightning.data.benchmarks.benchmark import load_benchmark
from flix_lightning.training.assembly import build_experiment
from tests.configs import ROOT, composed, untrained_backbone

BANK = "compositional_calibration"  # needs a trained bank: test_calibrated.py
EXPERIMENTS = sorted(
    (path for path in (ROOT / "conf" / "experiment").glob("*.yaml") if path.stem != BANK), key=lambda path: path.stem
)


def first_and_last(command: str) -> tuple[list[str], list[str]]:
    """The overrides of a sweep's first run and of its last."""
    words = [word for word in shlex.split(command)[2:] if word != "-m"]
    parsed = OverridesParser.create().parse_overrides(words)
    swept = [(o, list(o.sweep_string_iterator()) if o.is_sweep_override() else None) for o in parsed]
    return tuple(
        [o.input_line if values is None else f"{o.get_key_element()}={values[place]}" for o, values in swept]
        for place in (0, -1)
    )


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_composes_by_the_command_it_opens_with(path):
    package, launch, *_ = path.read_text(encoding="utf8").splitlines()
    assert package == "# @package _global_"
    command = re.fullmatch(rf"# (python train.py (?:-m )?experiment={path.stem}\b.*?)(?: {{3,}}\S.*)?", launch).group(1)
    for overrides in first_and_last(command):
        config = composed(*overrides)
        benchmark = load_benchmark(config["benchmark"])
        assert build_experiment(config, benchmark, untrained_backbone()).module.composer.total_rank > 0
