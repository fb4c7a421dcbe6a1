"""The file of the compositional study's records, and which methods it lacks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.training.record_form import checked_form, read_json
from flix_lightning.training.run_directory import INCIDENTAL

METHODS = (
    "no adapter", "in-context example", "main task only", "auxiliary task only", "concat merge", "linear merge",
    "TIES merge", "DARE merge", "Slerp merge", "LoraHub", "multi-step", "joint-expert LoRA", "calibration (LC)",
    "calibration ++ (LC++)", "calibration, shared", "calibration ++, shared", "FLix, both features trained jointly",
)  # fmt: skip


class TaskScore(TypedDict):
    task: str
    score: float


class MethodRecord(TypedDict):
    """What a method scored with one seed."""

    method: str
    seed: int
    passes: int
    added_parameters: int
    stored_bytes: int
    latency_ratio: float
    cells: list[TaskScore]
    precision: NotRequired[str]
    overrides: NotRequired[list[str]]


def read_records(file: Path) -> list[dict[str, Any]]:
    """All records kept so far.

    Raises:
        FlixError: the file holds something else.
    """
    if not file.exists():
        return []
    place = f"results: {str(file)!r}"
    records = checked_form(place, "records of the study's methods", list[MethodRecord], read_json(file, place))
    for record in records:
        if record["method"] not in METHODS:
            raise unknown(f"{place} holds no records of the study's methods: method", record["method"], METHODS)
    return records


def lacking(file: Path, seed: int) -> list[str]:
    """The methods of the table that have no record of this seed."""
    known = {record["method"] for record in read_records(file) if record["seed"] == seed}
    return [method for method in METHODS if method not in known]


def deciding(overrides: Sequence[str]) -> list[str]:
    """Those overrides that change results."""
    return sorted(o for o in overrides if o.lstrip("+~").partition("=")[0] not in INCIDENTAL)


def check_file(file: Path, overrides: Sequence[str]) -> None:
    """
    Raises:
        FlixError: the file is no file of records, or holds those of another study.
    """
    if file.suffix != ".json":
        raise FlixError(f"results: a file that ends in .json, for the table lies beside it; got {str(file)!r}.")
    for record in read_records(file):
        if record.get("overrides", []) != deciding(overrides):
            raise FlixError(
                f"results: {str(file)!r} holds records of a study with the overrides {record.get('overrides', [])}, "
                f"this one has {deciding(overrides)}; name another file."
            )
