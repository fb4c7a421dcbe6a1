"""The shares of a global batch: the same examples whatever the number of processes, micro-batches and workers."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.strategies import ModelParallelStrategy

from flix_lightning.common.errors import FlixError
from flix_lightning.data.tokens.file import TokenFile
from flix_lightning.training.assembly import build_experiment
from tests.configs import SMALL, composed, small_benchmark, untrained_backbone


def shares(processes: int, micro: int | None, step: int, workers: int = 0, overrides=(), steps: int = 1):
    """Every process's first training batches, as if it had started at `step`."""
    batches = []
    for rank in range(processes):
        settings = [f"data.micro_batch_size={micro or 'null'}", f"data.workers={workers}", *overrides]
        data = build_experiment(composed(*SMALL, *settings), small_benchmark(), untrained_backbone()).datamodule
        data.setup("fit")
        data.trainer = SimpleNamespace(global_rank=rank, world_size=processes, global_step=step)
        loader = iter(data.train_dataloader())
        batches += [next(loader) for _ in range(steps * data.batching.micro_batches(processes))]
    return batches


def rows_of(batches) -> dict[int, tuple]:
    """Place in the global batch -> its cell and its tokens without padding."""
    found = {}
    for batch in batches:
        for place, ids, mask in zip(batch.positions, batch.inputs["input_ids"], batch.inputs["attention_mask"]):
            assert place not in found, "an example is served twice"
            found[place] = (batch.global_cells[place], ids[mask.bool()].tolist())
    return found


@pytest.mark.parametrize(("processes", "micro"), [(2, None), (4, None), (1, 2), (2, 1)])
def test_processes_and_micro_batches_share_one_global_batch(processes, micro):
    one = shares(1, None, step=3)
    many = shares(processes, micro, step=3)
    assert len(many) == processes * (8 // processes // micro if micro else 1)
    assert rows_of(many) == rows_of(one)
    assert {batch.global_targets for batch in many} == {one[0].global_targets}
    assert {batch.step for batch in many} == {3}


@pytest.mark.parametrize(("processes", "micro"), [(1, None), (4, None), (2, 1)])
def test_a_process_reads_its_own_rows_of_a_global_batch_once(processes, micro, monkeypatch):
    read, tokens = [], TokenFile.__getitem__
    monkeypatch.setattr(TokenFile, "__getitem__", lambda file, row: read.append((file, int(row))) or tokens(file, row))
    batches = shares(processes, micro, step=3)
    assert len(read) == sum(len(batch.positions) for batch in batches) == 8


def test_loader_processes_change_nothing():
    (here,), (there,) = shares(1, None, 0), shares(1, None, 0, workers=1)
    assert torch.equal(here.inputs["input_ids"], there.inputs["input_ids"])


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(FlixError, match="8 does not divide into 3 process"):
        shares(3, None, 0)


@pytest.mark.parametrize(
    ("processes", "strategy"), [(1, None), (2, None), (4, None), (9, None), (3, ModelParallelStrategy())]
)
def test_scoring_serves_the_batches_of_one_process_once_in_as_many_turns(processes, strategy):
    served, lengths = [], set()
    for rank in range(processes):
        overrides = ["data.eval_batch_size=4"]
        data = build_experiment(composed(*SMALL, *overrides), small_benchmark(), untrained_backbone()).datamodule
        data.trainer = SimpleNamespace(global_rank=rank, world_size=processes, strategy=strategy)
        batches = list(data.test_dataloader())
        lengths.add(len(batches))
        served += [(batch.ids, batch.inputs["input_ids"].tolist()) for batch in batches if batch.counted]
    wanted = [e.id for cell in data.mixture.cells for e in data.benchmark.examples(cell, "test")]
    assert sorted(i for ids, _ in served for i in ids) == sorted(wanted)
    assert len(lengths) == 1, "uneven turns hang a backbone that is shared out"
    assert sorted(served) == sorted(scoring_of_one())


def test_scoring_within_a_budget_of_tokens():
    settings = ("data.eval_batch_size=4", "data.eval_batch_tokens=400")
    data = build_experiment(composed(*SMALL, *settings), small_benchmark(), untrained_backbone()).datamodule
    data.trainer = SimpleNamespace(global_rank=0, world_size=1, strategy=None)
    batches = list(data.test_dataloader())
    wanted = [e.id for cell in data.mixture.cells for e in data.benchmark.examples(cell, "test")]
    assert sorted(i for batch in batches for i in batch.ids) == sorted(wanted)
    sizes = {len(batch.ids) for batch in batches}
    assert len(sizes) > 1 and max(sizes) <= 4
    for batch in batches:
        longest = batch.inputs["input_ids"].shape[1] + max(batch.limits)
        assert len(batch.ids) == 1 or len(batch.ids) * longest <= 400


def scoring_of_one():
    data = build_experiment(
        composed(*SMALL, "data.eval_batch_size=4"), small_benchmark(), untrained_backbone()
    ).datamodule
    data.trainer = SimpleNamespace(global_rank=0, world_size=1, strategy=None)
    return [(batch.ids, batch.inputs["input_ids"].tolist()) for batch in data.test_dataloader()]


def test_what_is_cut_keeps_its_end_and_is_counted():
    overrides = ["data.max_prompt_tokens=12"]
    data = build_experiment(composed(*SMALL, *overrides), small_benchmark(), untrained_backbone()).datamodule
    cell = data.mixture.train[0]
    rows = data.tokenised.encoded(cell, "train")
    assert all(len(row.prompt) == 12 and row.prompt[-1] == ord("\n") + 3 for row in rows)
    assert data.tokenised.truncated == len(rows)


@pytest.mark.parametrize(("processes", "step"), [(1, 0), (2, 3), (1, 5)])
def test_streamed_cells_give_every_process_and_restart_the_same_batches(processes, step, monkeypatch):
    def streamed(directory: str) -> dict[int, tuple]:
        monkeypatch.setenv("XDG_CACHE_HOME", directory)
        return rows_of(shares(processes, None, step, overrides=["data.stream_chunk=6"]))

    walked = shares(1, None, 0, overrides=["data.stream_chunk=6"], steps=step + 1)[step:]
    assert streamed("kept") == streamed("kept") == streamed("fresh") == rows_of(walked)
    monkeypatch.setenv("XDG_CACHE_HOME", "whole")
    assert rows_of(shares(1, None, step)) != rows_of(walked), "the order is another one than without chunks"


def test_a_streamed_cell_is_tokenised_only_as_far_as_training_came():
    config = composed(*SMALL, "data.stream_chunk=5", "data.cache.directory=cache")
    data = build_experiment(config, small_benchmark(), untrained_backbone()).datamodule
    data.prepare_data()
    data.setup("fit")
    assert not list(Path("cache").glob("*-5-*")), "nothing before training"
    drawn = [{r // 5 for s in range(4) for r in rows_in(data, s, c)} for c in range(len(data.mixture.train))]
    assert len(list(Path("cache").glob("*-5-*"))) == sum(map(len, drawn)) < 4 * len(drawn)


def rows_in(data, step: int, cell: int) -> list[int]:
    draws = data.global_batches[step]
    return draws.rows[draws.cells == cell].tolist()


def test_a_second_run_tokenises_nothing(monkeypatch):
    first = rows_of(shares(1, None, 0))
    monkeypatch.setattr("flix_lightning.data.tokens.tokenised.encode", None)
    assert rows_of(shares(1, None, 0)) == first
