"""A run knows its data: it goes on with the rows that it began with, however they lie, and with no others."""

import json
import os
import random
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flix_lightning.common.errors import FlixError
from flix_lightning.data.benchmarks.benchmark import SPLITS, Benchmark, Example
from flix_lightning.data.cells import Cell
from flix_lightning.data.mixture import Mixture
from flix_lightning.data.row_digests import RowDigests
from flix_lightning.data.tokens.store import Caching
from flix_lightning.training.checkpoints import newest_sound
from flix_lightning.training.feature_rows import moved, places
from flix_lightning.training.run_data import RunData
from tests.commands.test_commands import run_command
from tests.training import test_calibrated_module as calibrated
from tests.training.test_resume import PowerCut, cut_at, result, run_small, stopped

# ------------------------------------------------------------------ what differs


class Listed(Benchmark):
    """Rows given as cell -> split -> (prompt, target); fingerprints by `kind`."""

    name, tasks, left_out = "listed", {}, ()

    def __init__(self, rows, kind):
        self.rows, self.kind, self.cells = rows, kind, tuple(rows)

    def splits(self, cell):
        return [split for split in SPLITS if split in self.rows[cell]]

    def examples(self, cell, split):
        return [Example(f"{cell}/{split}/{i}", *row) for i, row in enumerate(self.rows[cell][split])]

    def stream(self, cell, split):
        return iter(self.examples(cell, split))

    def fingerprint(self, cell, split):
        if self.kind == "none":
            return None
        return repr(self.examples(cell, split)) + (f" {random.random()}" if self.kind == "touched" else "")


def data_of(rows, kind="message") -> RunData:
    benchmark = Listed(rows, kind)
    train = tuple(cell for cell in rows if "train" in rows[cell])
    return RunData(Mixture(train, tuple(c for c in rows if c not in train)), RowDigests(benchmark, Caching(None)))


languages = st.lists(st.sampled_from(["am", "no", "sw", "yo", "zh-Hant"]), min_size=2, max_size=4, unique=True)
some_rows = st.lists(st.tuples(st.text("ab", max_size=2), st.text("xy", max_size=1)), min_size=1, max_size=3)
some_splits = st.lists(st.sampled_from(SPLITS), min_size=1, unique=True)


@st.composite
def listed(draw):
    """Cells of two tasks in some languages with the rows of some splits; the first one trains."""
    cells = [Cell(task, language) for language in draw(languages) for task in ("qa", "topic")]
    cells = draw(st.permutations(cells))
    rows = {cell: {split: draw(some_rows) for split in SPLITS if split in draw(some_splits)} for cell in cells}
    rows[cells[0]]["train"] = draw(some_rows)
    return {cell: found for cell, found in rows.items() if found}


def used(rows) -> tuple:
    """All that decides a run, by hand: who trains in which order; the rows by cell, of zero-shot cells the test's."""
    train = [cell for cell in rows if "train" in rows[cell]]
    read = {str(c): {s: r for s, r in found.items() if c in train or s == "test"} for c, found in rows.items()}
    return train, read


@settings(deadline=None)
@given(before=listed(), now=listed(), kinds=st.tuples(*[st.sampled_from(["message", "touched", "none"])] * 2))
def test_data_differ_where_what_decides_the_run_does(before, now, kinds):
    message = data_of(before, kinds[0]).plain()
    assert data_of(before, kinds[1]).differs(message) is None
    assert (data_of(now, kinds[1]).differs(message) is None) == (used(now) == used(before))


@given(
    rows=listed(),
    new=st.sampled_from(["ha", "nb"]),
    number=st.integers(0, 20),
    kind=st.sampled_from(["message", "none"]),
)
def test_a_change_is_told_by_the_name_of_its_cell(rows, new, number, kind):
    cells = list(rows)
    cell = cells[number % len(cells)]
    message, renamed = data_of(rows, kind).plain(), Cell(cell.task, new)
    changes = {
        "gone": {c: found for c, found in rows.items() if c != cell},
        "new": {**rows, renamed: {"train": [("a", "b")]}},
        "renamed": {renamed if c == cell else c: found for c, found in rows.items()},
    }
    parts = {"gone": [f"cells that are gone: {cell}"], "new": [f"new cells: {renamed}"]}
    parts["renamed"] = [*parts["gone"], *parts["new"]]
    for name, changed in changes.items():
        if changed:
            found = data_of(changed, kind).differs(message)
            assert all(part in found for part in parts[name])
            assert "\n" not in found


# --------------------------------------------------------- through the command


MINE = """
defaults: [directory]
root: mine/data
tasks:
  topic: {prompt: "Topic in {language}: {text}", target: "{label}", metric: exact_match, max_target_tokens: 16}
"""
RUN = (
    "--config-dir", "mine", "benchmark=mine", "mixture=all", "trainer.precision=32-true", "data.batch_size=4",
    "trainer.max_steps=4", "trainer.checkpoint_every=1", "trainer.validate_every=2", "trainer.progress=false",
    "trainer.accelerator=cpu", "rank.language=1", "rank.task=1",
)  # fmt: skip


def path_of(language: str, split: str = "train") -> Path:
    return Path(f"mine/data/topic/{split}/{language}.jsonl")


@pytest.fixture
def mine():
    Path("mine/benchmark").mkdir(parents=True)
    Path("mine/benchmark/mine.yaml").write_text(MINE)
    for language in ("no", "sw", "zh-Hant"):
        for split, rows in (("train", 6), ("validation", 1), ("test", 1)):
            path = path_of(language, split)
            path.parent.mkdir(parents=True, exist_ok=True)
            written = [{"text": f"habari {language} {i}", "label": ("news", "sport")[i % 2]} for i in range(rows)]
            path.write_text("".join(json.dumps(row) + "\n" for row in written))


def rename() -> None:
    for split in SPLITS:
        path_of("zh-Hant", split).rename(path_of("am", split))


def remove() -> None:
    for split in SPLITS:
        path_of("sw", split).unlink()


def add() -> None:
    for split in SPLITS:
        shutil.copy(path_of("sw", split), path_of("yo", split))


def swap_rows() -> None:
    path_of("no").write_text("".join(reversed(path_of("no").read_text().splitlines(keepends=True))))


def mend_a_test_row() -> None:
    path_of("no", "test").write_text(path_of("no", "test").read_text().replace("news", "sport"))


CHANGES = {
    rename: ["cells that are gone: topic/zh-Hant; new cells: topic/am"],
    remove: ["cells that are gone: topic/sw"],
    add: ["new cells: topic/yo"],
    swap_rows: ["other rows in: topic/no (train)"],
    mend_a_test_row: ["other rows in: topic/no (test)"],
}


@pytest.fixture
def command(monkeypatch, capfd):
    """The exit code and the last words of the training command."""

    def started() -> tuple[int, str, str]:
        code = run_command("train", *RUN, monkeypatch=monkeypatch)
        message = capfd.readouterr()
        return code, message.out, message.err

    return started


def one_line(message: str) -> str:
    """The error among what was written to standard error."""
    (line,) = [line for line in message.splitlines() if line.startswith("error: ")]
    return line


def run_folder() -> Path:
    (folder,) = Path("runs/all-flix").iterdir()
    return folder


@pytest.mark.parametrize("change", [rename, *(pytest.param(c, marks=pytest.mark.slow) for c in list(CHANGES)[1:])])
def test_other_data_is_refused_in_one_line_finished_or_not(change, mine, command, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_at(patch, "step", 3)
        command()
    shutil.copytree("mine", "kept")
    change()
    before = {path: path.read_bytes() for path in run_folder().rglob("*") if path.is_file()}
    code, _, message = command()
    assert code == 1 and "Traceback" not in message
    for part in (*CHANGES[change], "unfinished", "name=", "remove its folder", str(run_folder())):
        assert part in one_line(message)
    assert before == {path: path.read_bytes() for path in run_folder().rglob("*") if path.is_file()}
    shutil.rmtree("mine")
    Path("kept").rename("mine")  # other times of writing, the same rows
    code, table, _ = command()
    assert code == 0 and "topic" in table
    assert command()[:2] == (0, table)
    change()
    code, shown, message = command()
    assert code == 1 and shown == ""
    for part in (*CHANGES[change], "finished", "flix report", "name="):
        assert part in one_line(message)


def test_rows_that_only_lie_otherwise_are_the_same_data(mine, command, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_at(patch, "step", 3)
        command()
    os.utime(path_of("no"), ns=(1, 1))
    shutil.move("mine/data", "elsewhere")
    Path("mine/data").symlink_to(Path("elsewhere").resolve())
    assert command()[0] == 0


@pytest.mark.slow
def test_tasks_declared_in_another_order_train_other_batches_and_are_told(mine, command, monkeypatch):
    shutil.copytree("mine/data/topic", "mine/data/again")
    second = MINE.rstrip().splitlines()[-1].replace("topic", "again")
    declared = MINE.rstrip().splitlines()
    Path("mine/benchmark/mine.yaml").write_text("\n".join([*declared, second]))
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_at(patch, "step", 3)
        command()
    Path("mine/benchmark/mine.yaml").write_text("\n".join([*declared[:-1], second, declared[-1]]))
    code, _, message = command()
    assert code == 1 and "its training cells stand in another order" in message


@pytest.mark.slow
def test_another_bank_under_a_calibration_is_refused(tmp_path, monkeypatch):
    experts = ("mixture=single_tasks", "adapter=flix", "adapter.axes=[task]", "adapter.dropout_axes=[]")
    calibrated.run("experts", *experts)
    settings = calibrated.calibration(Path("experts"), "adapter=calibration", "trainer.checkpoint_every=1")
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_at(patch, "step", 3)
        calibrated.run("run", *settings)
    calibrated.run("other", *experts, "seed=1")
    shutil.copy("other/adapter.safetensors", "experts/adapter.safetensors")
    with pytest.raises(FlixError, match="another bank in 'experts/adapter.safetensors'"):
        calibrated.run("run", *settings)


# ------------------------------------------------------- checkpoints, by name


@given(ranks=st.dictionaries(st.text("abc", min_size=1), st.integers(1, 4), min_size=1), data=st.data())
def test_rows_are_found_by_name_in_any_order(ranks, data):
    now = dict(data.draw(st.permutations(list(ranks.items()))))
    owners = [[name, row] for name, rank in ranks.items() for row in range(rank)]
    stacked = {"x": torch.arange(len(owners))}
    found = moved(stacked, places(ranks, now))["x"].tolist()
    assert [owners[i] for i in found] == [[name, row] for name, rank in now.items() for row in range(rank)]


@given(
    before=st.dictionaries(st.sampled_from("abc"), st.integers(1, 2)),
    now=st.dictionaries(st.sampled_from("abc"), st.integers(1, 2)),
)
def test_other_features_or_ranks_are_refused(before, now):
    if before == now:
        places(before, now)
        return
    with pytest.raises(FlixError, match="checkpoint: feature [abc] has"):
        places(before, now)


def rearranged(checkpoint: dict, order: list[str]) -> None:
    """Put a checkpoint's features into another order, all rows with them; and its parameters."""
    ranks = checkpoint["features"]
    starts, start = {}, 0
    for name, rank in ranks.items():
        starts[name], start = start, start + rank
    rows = torch.tensor([starts[name] + row for name in order for row in range(ranks[name])])
    saved = checkpoint["callbacks"]["Checkpoints"]
    checkpoint["features"] = saved["features"] = {name: ranks[name] for name in order}
    (state,) = checkpoint["optimizer_states"]
    for holder in (checkpoint["state_dict"], saved["best_adapters"], *state["state"].values()):
        for name, tensor in holder.items():
            holder[name] = tensor[rows]
    (group,) = state["param_groups"]
    numbers = dict(enumerate(reversed(range(len(group["params"])))))
    state["state"] = {numbers[number]: found for number, found in state["state"].items()}
    group["param_names"] = group["param_names"][::-1]


def test_a_checkpoint_whose_features_stand_in_another_order_ends_the_same_run(monkeypatch):
    whole = result("whole", run_small("whole"))
    stopped("cut", monkeypatch)
    path = newest_sound(Path("cut/checkpoints"))
    checkpoint = torch.load(path, weights_only=True)
    rearranged(checkpoint, sorted(checkpoint["features"], key=lambda name: name[::-1]))
    torch.save(checkpoint, path)
    assert result("cut", run_small("cut")) == whole


def test_a_checkpoint_that_knows_no_names_is_refused(monkeypatch):
    path = stopped("cut", monkeypatch)[-1]
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["features"]
    torch.save(checkpoint, path)
    with pytest.raises(
        FlixError, match="step-00000004.ckpt' was written by an earlier version.*remove the run's folder"
    ):
        run_small("cut")
    Path("cut/data.json").unlink()
    with pytest.raises(FlixError, match="'cut' was begun by an earlier version.*remove the folder"):
        run_small("cut")


def test_a_run_that_has_saved_nothing_begins_anew():
    run_small("run", "trainer.max_steps=1")
    for left in (*Path("run/checkpoints").iterdir(), Path("run/record.json")):
        left.unlink()
    Path("run/data.json").write_text('{"train": [], "rows": {}}')
    run_small("run", "trainer.max_steps=1")
    assert json.loads(Path("run/data.json").read_text())["train"]
