"""Cells from a dataset of the Hugging Face `datasets` library, by name on the hub or by path."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Value, get_dataset_config_names, load_dataset, load_from_disk
from datasets.utils import disable_progress_bars

from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.data.benchmarks.benchmark import SPLITS
from flix_lightning.data.benchmarks.labels import named, undecoded
from flix_lightning.data.benchmarks.part import Part
from flix_lightning.data.benchmarks.rows import LeftOut, Row, RowFile

MISSING = "of CSV files the library reads NA, nan, null and nothing at all as no value"
SAVED = ("dataset_dict.json", "state.json")  # files in a folder that `save_to_disk` made


@dataclass(frozen=True)
class Table:
    """A split of a dataset, memory-mapped, or some of its rows; a class label's number is read as its name.

    Audio, images and videos are not decoded: no prompt uses them.
    """

    name: str
    data: Dataset

    def __str__(self) -> str:
        return self.name

    def fingerprint(self) -> str:
        """The library's own, of the rows and of what was done to them."""
        return self.data._fingerprint

    def rows(self, left_out: LeftOut) -> Iterator[Row]:
        """All rows; none is malformed by itself.

        Raises:
            FlixError: the library cannot read one.
        """
        left_out.start(self)
        number, kinds = 0, self.data.features
        try:
            for number, fields in enumerate(self.data, start=1):
                yield Row(number, named(fields, kinds))
        except FlixError:
            raise
        except Exception as error:  # whatever the library's readers raise
            raise FlixError(f"{self}, line {number + 1}: cannot be read: {in_a_line(error)}") from error


def dataset_parts(
    name: str, configs: Mapping[str, str | None], column: str | None, names: Mapping[str, str], held_back: int
) -> list[Part]:
    """The languages of a dataset.

    Args:
        name: on the hub, or a path: a folder that `save_to_disk` made, or one of files that `load_dataset` reads.
        configs: language -> its configuration of the dataset, None for the only one.
        column: the column that tells a row's language, for the rows of a dataset of many; `configs` is then empty.
        names: split -> its name in the dataset, if it differs.
        held_back: see `Part`.

    Raises:
        FlixError: a dataset, configuration or column that is not there, or none of the splits.
    """
    if bool(configs) == (column is not None):
        raise FlixError(f"dataset {name!r}: say either configs, as {{sw: swa}}, or language_column.")
    name = str(Path(name).expanduser()) if name.startswith("~") else name
    found: dict[tuple[str, str], dict[str, Table]] = {}
    for language, config in configs.items() if configs else [("", None)]:
        place = f"{name}/{config}" if config else name
        for split, data in _splits(place, _load(name, config), names).items():
            data = undecoded(data)
            for code, share in (_by_language(place, split, data, column) if column else {language: data}).items():
                about = f"dataset {place}, {split}" + (f", {column}={code}" if column else "")
                found.setdefault((place, code), {})[split] = Table(about, share)
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
    except Exception as error:  # whatever the library's readers raise
        _check_rows(name)
        allowed = _configs(name)
        if config and allowed and config not in allowed:
            raise unknown(f"configuration of dataset {name!r}:", config, allowed) from error
        raise FlixError(f"dataset {name!r} cannot be loaded: {in_a_line(error)}") from error


def in_a_line(error: BaseException) -> str:
    """The library's message and its cause's on one line, and what can be done."""
    words = " ".join(f"{error} {error.__cause__ or ''}".split()) or type(error).__name__
    if "scripts are no longer supported" in words:
        return f"{words}. Load it with an earlier version of `datasets`, save_to_disk it, and give that folder."
    return words


def _check_rows(name: str) -> None:
    """
    Raises:
        FlixError: a file of JSON lines in the folder `name` has a malformed row; with file and line.
    """
    for path in sorted(Path(name).rglob("*.jsonl")) if Path(name).is_dir() else ():
        for _ in RowFile(path).rows(LeftOut(0)):
            pass


def _configs(name: str) -> list[str]:
    try:
        return get_dataset_config_names(name)
    except Exception:  # it cannot be loaded, for a reason that is reported already
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


def _by_language(place: str, split: str, table: Dataset, column: str) -> dict[str, Dataset]:
    """Language -> its rows.

    Raises:
        FlixError: there is no such column, or it holds other than text, numbers or labels; or a row has no language.
    """
    if column not in table.features:
        raise unknown(f"language_column of dataset {place!r}:", column, table.features)
    kind = table.features[column]
    if not isinstance(kind, ClassLabel | Value) or kind.dtype.startswith(("float", "bool")):
        raise FlixError(f"language_column {column!r} of dataset {place!r} holds {kind}; it must hold text.")
    values = table.select_columns([column]).with_format("arrow")[:][column].combine_chunks().dictionary_encode()
    names = named(dict(enumerate(values.dictionary.to_pylist())), dict.fromkeys(range(len(values.dictionary)), kind))
    codes = values.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    absent = [-1, *(code for code, name in names.items() if name in (None, ""))]
    if (lacking := np.flatnonzero(np.isin(codes, absent))).size:
        raise FlixError(
            f"dataset {place!r}, {split}, line {lacking[0] + 1}: no language in the column {column!r}, as in "
            f"{lacking.size} rows; give it one or leave the rows out ({MISSING})."
        )
    return {str(name): table.select(np.flatnonzero(codes == code)) for code, name in names.items()}
