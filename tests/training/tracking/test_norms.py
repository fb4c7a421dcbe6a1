"""What is logged about features in training, recomputed from checkpoints and from the order of examples."""

import csv
import math
from collections import Counter
from pathlib import Path

import pytest
import torch

from flix_lightning.adapters.composition import Composer
from flix_lightning.common.errors import FlixError
from flix_lightning.training.assembly import build_experiment
from flix_lightning.training.run import train
from flix_lightning.training.tracking.metrics_file import MetricsFile
from flix_lightning.training.tracking.norms import FeatureUse, axis_norms
from tests.configs import SMALL, composed, small_benchmark, untrained_backbone
from tests.toy import CELLS, RANKS, toy_composer

TEN = [
    *SMALL, "trainer.max_steps=10", "trainer.validate_every=10", "trainer.checkpoint_every=1",
    "trainer.keep_checkpoints=10", "trainer.gradient_clip=null", "trainer.precision=32-true",
]  # fmt: skip


def test_norms_of_an_axis_by_hand():
    composer = toy_composer()
    tensors = [torch.randn(sum(RANKS.values()), width) for width in (3, 5)]
    squares = {"task": 0.0, "language": 0.0}
    for tensor in tensors:
        row = 0
        for feature, rank in RANKS.items():
            for _ in range(rank):
                squares[feature.partition("=")[0]] += sum(value**2 for value in tensor[row].tolist())
                row += 1
    found = axis_norms(tensors, composer.rows_by_axis())
    assert {axis: norm.item() for axis, norm in found.items()} == pytest.approx(
        {axis: math.sqrt(square) for axis, square in squares.items()}, rel=1e-5
    )


@pytest.mark.parametrize("micro", ["null", "4"])
def test_logged_norms_against_two_checkpoints(micro):
    """The update is a difference of checkpoints; the gradient follows from Adam's first moments before and after."""
    config = composed(*TEN, f"data.micro_batch_size={micro}")
    logger = MetricsFile("run")
    train(config, Path("run"), small_benchmark(), untrained_backbone(), logger)
    with Path("run/metrics.csv").open(newline="") as file:
        (row,) = [row for row in csv.DictReader(file) if row["update_norm/task"]]
    assert int(row["step"]) == 9, "every tenth step"
    before, after = (torch.load(f"run/checkpoints/step-{s:08d}.ckpt", weights_only=True) for s in (9, 10))
    composer = build_experiment(config, small_benchmark(), untrained_backbone()).module.composer
    updates = [after["state_dict"][name] - before["state_dict"][name] for name in after["state_dict"]]
    moments = [state["optimizer_states"][0]["state"] for state in (before, after)]
    gradients, active = [], []
    for number in moments[1]:
        old, new = moments[0][number], moments[1][number]
        moved = (new["updates"] != old["updates"]).float()
        gradients.append(moved * (new["exp_avg"] - 0.9 * old["exp_avg"]) / 0.1)
        active.append(moved.mean().item())
    assert 0 < active[0] < 1, "some features rest in this step"
    for name, tensors in {"update_norm": updates, "gradient_norm": gradients}.items():
        for axis, norm in axis_norms(tensors, composer.rows_by_axis()).items():
            assert float(row[f"{name}/{axis}"]) == pytest.approx(norm.item(), rel=1e-3)
    assert float(row["train/lr"]) >= 0


def test_feature_use_counts_the_examples_that_kept_the_feature():
    config = composed(*SMALL, "data.micro_batch_size=4", "feature_dropout.p=0.4")
    record = train(config, Path("run"), small_benchmark(), untrained_backbone(), None)
    experiment = build_experiment(config, small_benchmark(), untrained_backbone())
    module, data = experiment.module, experiment.datamodule
    data.setup("fit")
    counted, alone = Counter(), Counter()
    for step in range(6):
        cells = [data.mixture.train[c] for c in data.global_batches[step].cells]
        gates = module.dropout.gates(("task", "language"), len(cells), step, config["seed"])
        for cell, (task, language) in zip(cells, gates.tolist(), strict=True):
            counted[f"task={cell.task}"] += task > 0
            counted[f"language={cell.language}"] += language > 0
            alone[f"task={cell.task}"] += task > 0 and not language > 0
            alone[f"language={cell.language}"] += language > 0 and not task > 0
    assert 0 < sum(counted.values()) < 6 * 8 * 2
    assert record["feature_use"] == {str(f): counted[str(f)] for f in module.composer.space}
    assert record["feature_use_alone"] == {str(f): alone[str(f)] for f in module.composer.space}
    assert 0 < sum(alone.values()) < sum(counted.values())


def test_feature_use_goes_through_a_checkpoint():
    composer = toy_composer()
    one, two = (FeatureUse(composer) for _ in range(2))
    empty = one.record()
    one.count(composer.compose(CELLS, torch.tensor([[1.0, 0.0]] * len(CELLS))))
    two.load_state_dict(one.state_dict())
    assert two.record() == one.record() != empty


def test_the_only_feature_there_is_is_alone():
    composer = Composer.of(CELLS, {"shared": 3})
    use = FeatureUse(composer)
    use.count(composer.compose(CELLS))
    assert use.record() == {key: {"shared=all": len(CELLS)} for key in ("feature_use", "feature_use_alone")}


def test_a_checkpoint_that_lacks_counts_is_refused():
    with pytest.raises(FlixError, match="earlier version"):
        FeatureUse(toy_composer()).load_state_dict({"uses": {}})
