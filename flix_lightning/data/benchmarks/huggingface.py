"""Cells from a dataset of the Hugging Face `datasets` library, by name on the hub or by path."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, get_dataset_config_names, load_dataset, load_from_disk
from datasets.utils import disable_progress_bars

from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.data.benchmarks.benchmark import SPLITS
from flix_lightning.data.benchmarks.part import Part
from flix_lightning.data.benchmarks.rows import LeftOut, Row

SAVED = ("dataset_dict.json", "state.json")  # files in a folder that `save_to_disk` made


@dataclass(frozen=True)
class Table:
    """A split of a dataset, memory-mapped, or some of its rows; a class label's number is read as its name."""

    name: str
    data: Dataset

    def __str__(self) -> str:
        return self.name

    def fingerprint(self) -> str:
        """The library's own, of the rows and of what was done to them."""
        return self.data._fingerprint

    def rows(self, left_out: LeftOut) -> Iterator[Row]:
        """All rows; none is malformed by itself."""
        left_out.start(self)
        labels = {name: kind for name, kind in self.data.features.items() if isinstance(kind, ClassLabel)}
        return (Row(number, _named(fields, labels)) for number, fields in enumerate(self.data, start=1))


def dataset_parts(
    name: str, configs: Mapping[str, str | None], column: str | None, names: Mapping[str, str], held_back: int
) -> list[Part]:
    """The languages of a dataset.

    Args:
        name: on the hub, or a path: a folder that `save_to_disk` made, or one of files that `load_dataset` reads.
        configs: language -> its configuration of the dataset, None for the only one.
        column: the column that tells a row's language, for the rows of a dataset of many; `configs` is then empty.
        names: split -> its name in the dataset, where that is another.
        held_back: see `Part`.

    Raises:
        FlixError: a dataset, configuration or column that is not there, or none of the splits.
    """
    if bool(configs) == (column is not None):
        raise FlixError(f"dataset {name!r}: say either configs, as {{sw: swa}}, or language_column.")
    found: dict[tuple[str, str], dict[str, Table]] = {}
    for language, config in configs.items() if configs else [("", None)]:
        place = f"{name}/{config}" if config else name
        for split, data in _splits(place, _load(name, config), names).items():
            for code, share in (_by_language(place, data, column) if column else {language: data}).items():
                told = f"dataset {place}, {split}" + (f", {column}={code}" if column else "")
                found.setdefault((place, code), {})[split] = Table(told, share)
    return [
        Part(f"{place}/{code}" if column else place, {"language": code}, tables, held_back)
        for (place, code), tables in sorted(found.items())
    ]


def _load(name: str, config: str | None) -> DatasetDict:
    disable_progress_bars()
    try:
        if any((Path(name) / saved).is_file() for saved in SAVED):
            return load_from_disk(name)
        return load_dataset(name, config)
    except (OSError, ValueError) as error:
        allowed = _configs(name)
        if config and allowed and config not in allowed:
            raise unknown(f"configuration of dataset {name!r}:", config, allowed) from error
        raise FlixError(f"dataset {name!r} cannot be loaded: {error}") from error


def _configs(name: str) -> list[str]:
    try:
        return get_dataset_config_names(name)
    except (OSError, ValueError):
        return []


def _splits(place: str, loaded: DatasetDict | Dataset, names: Mapping[str, str]) -> dict[str, Dataset]:
    if isinstance(loaded, Dataset):
        raise FlixError(f"dataset {place!r} has no splits; save a DatasetDict.")
    for split, own in names.items():
        if own not in loaded:
            raise unknown(f"{split} split of dataset {place!r}:", own, loaded)
    found = {split: loaded[names.get(split, split)] for split in SPLITS if names.get(split, split) in loaded}
    if not found:
        raise FlixError(
            f"dataset {place!r} has the splits {', '.join(loaded)}; say which are meant: splits={{test: ...}}."
        )
    return found


def _by_language(place: str, table: Dataset, column: str) -> dict[str, Dataset]:
    if column not in table.features:
        raise unknown(f"language_column of dataset {place!r}:", column, table.features)
    kind, values = table.features[column], np.asarray(table.with_format("numpy")[column])
    return {
        kind.int2str(int(value)) if isinstance(kind, ClassLabel) else str(value): table.select(
            np.flatnonzero(values == value)
        )
        for value in np.unique(values)
    }


def _named(fields: Mapping[str, Any], labels: Mapping[str, ClassLabel]) -> Mapping[str, Any]:
    """A value of -1 stands for no label and stays."""
    named = {name: kind.int2str(fields[name]) for name, kind in labels.items() if fields[name] not in (None, -1)}
    return {**fields, **named}
