"""Methods side by side: mean and spread over seeds of every column, as a Markdown table."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from flix_lightning.adapters.strengths import Strengths
from flix_lightning.common.errors import FlixError
from flix_lightning.common.markdown import markdown_table
from flix_lightning.report.shared import Columns
from flix_lightning.training.results import columns, precision_of
from flix_lightning.training.run_directory import INCIDENTAL

Record = Mapping[str, Any]
DATA = "data"  # digests of a run's rows: a setting where the config says the same and the rows are others
FOLLOWS_FROM_METHOD = ("adapter.axes", "adapter.budget", "adapter.matched_axes", "adapter.dropout_axes")
NOT_COMPARED = {"name", "seed", *INCIDENTAL}
SHORT = {"seen": "", "unseen combination": "unseen comb.", "unseen language": "unseen lang."}


def flat(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"rank": {"task": 4}}` -> `{"rank.task": 4}`."""
    found: dict[str, Any] = {}
    for key, value in section.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return found


def setting(section: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key, as of `flat`; None where there is none."""
    first, _, rest = key.partition(".")
    value = section.get(first)
    return setting(value, rest) if rest and isinstance(value, Mapping) else None if rest else value


def settings(record: Record) -> dict[str, Any]:
    """The settings that identify a run, by dotted key, without its seed."""
    compared = {
        "adapter.method" if key == "adapter.name" else key: value for key, value in flat(record["config"]).items()
    }
    if "precision" in record:
        compared["trainer.precision"] = record["precision"]  # what `auto` became
    compared = {key: value for key, value in compared.items() if not NOT_COMPARED & {key, key.partition(".")[0]}}
    if "data" in record:
        compared[DATA] = " ".join(f"{split} {digest[:6]}" for split, digest in record["data"].items())
    return {
        key: ", ".join(map(str, value)) or "none" if isinstance(value, list) else value
        for key, value in compared.items()
    }


def scored_by(record: Record) -> dict[str, Any]:
    """What tells an evaluation from others of the same run; training scores by the paper's rule."""
    return {
        "split": record.get("split", "test"),
        "strengths": str(Strengths.parse(record.get("strengths") or {})) or "1",
        "unseen_language": record.get("unseen_language", {}).get("stand_in", "task_only"),
    }


def is_run_of(record: Record, config: Mapping[str, Any]) -> bool:
    """Whether a record is that of a run with this config; a setting newer than the record is not a difference."""
    own = record["config"]
    if any(own.get(key) != config.get(key) for key in ("name", "seed")):
        return False
    known, asked = settings({"config": own}), settings({"config": config})
    return all(_same(key, known[key], asked[key]) for key in known.keys() & asked.keys())


def _same(key: str, one: Any, other: Any) -> bool:
    """Whether two values are one setting; a class may have moved to another module."""
    if key.endswith("._target_"):
        return str(one).rpartition(".")[2] == str(other).rpartition(".")[2]
    return one == other


def check_one_format(place: str, records: Iterable[Record]) -> None:
    """
    Raises:
        FlixError: the records were computed in several number formats, which no table averages over.
    """
    formats = sorted({precision_of(record) for record in records} - {""})
    if len(formats) > 1:
        raise FlixError(f"{place}: records in the number formats {' and '.join(formats)} make no one table.")


def check_one_model(place: str, records: Sequence[Record]) -> None:
    """A setting of the model that came after an earlier record is no difference.

    Raises:
        FlixError: the records are of several models, or were computed in several number formats.
    """
    models = [flat(record["config"].get("model", {})) for record in records]
    for key in sorted(set().union(*models)):
        if len(values := list(dict.fromkeys(repr(one[key]) for one in models if key in one))) > 1:
            raise FlixError(f"{place}: records of several models make no one table ({key}: {' and '.join(values)}).")
    check_one_format(place, records)


def check_alike(place: str, records: Sequence[Record]) -> None:
    """A setting that came after an earlier record is no difference.

    Raises:
        FlixError: two of the records differ in more than the seed.
    """
    compared = list(map(settings, records))
    for key in sorted(set().union(*compared)):
        values = list(dict.fromkeys(repr(one[key]) for one in compared if key in one))
        if len(values) > 1:
            raise FlixError(f"{place}: runs differ in more than the seed ({key}: {' and '.join(values)}).")


def by_setting(records: Iterable[Record]) -> tuple[list[str], dict[tuple, list[Record]]]:
    """The settings that differ between the records, and the records of each choice of them, one a seed.

    A setting that came after an earlier record is no difference from it. A record that is given twice counts once.
    """
    once = {json.dumps(record, sort_keys=True): record for record in records}
    records = sorted(once.values(), key=lambda record: record["config"]["seed"])
    compared = [settings(record) | scored_by(record) for record in records]
    keys = ["adapter.method", *varying(compared)]
    groups: dict[tuple, list[Record]] = {}
    for record, values in zip(records, compared, strict=True):
        groups.setdefault(tuple(values.get(key) for key in keys), []).append(record)
    return keys, groups


def varying(compared: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys, but for the method, in which settings differ; one that some lack is no difference."""
    return sorted(key for key in set().union(*compared) - {"adapter.method"} if _varies(key, compared))


def _varies(key: str, compared: Sequence[Mapping[str, Any]]) -> bool:
    """Whether runs differ in it; in what follows from others of their settings, runs that have these in common."""
    found: dict[Any, set[str]] = {}
    for values in compared:
        if key in values:
            found.setdefault(_decided_by(key, values), set()).add(repr(values[key]))
    return any(len(different) > 1 for different in found.values())


def _decided_by(key: str, values: Mapping[str, Any]) -> Any:
    """The settings from which one follows: of an adapter's, its method; of the rows, what the config says of them."""
    if key == DATA:
        return tuple(sorted((k, repr(v)) for k, v in values.items() if k.startswith(("benchmark.", "mixture."))))
    return values.get("adapter.method") if key in FOLLOWS_FROM_METHOD else None


def average(record: Record) -> float:
    """The mean over the table's columns, each column the mean over its cells."""
    return fmean(columns(record["cells"]).values())


def spread(values: Sequence[float]) -> str:
    """`mean ± sample standard deviation`; the mean alone for one value."""
    return f"{fmean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def comparison(records: Iterable[Record]) -> str:
    """A Markdown table: a row a setting, a column a (task, group), the best mean of each column in bold.

    Below it stands what was left out, so that a column is over the same cells in every row; see `Columns`.
    """
    keys, groups = by_setting(records)
    columns = Columns([record for seeds in groups.values() for record in seeds])
    heads = {(task, group): f"{task} {SHORT.get(group, group)}".strip() for task, group in columns.places}
    scores = {
        values: [
            _known(record.get("best_validation_score") for record in seeds),
            *(_known(columns.score(record, place) for record in seeds) for place in columns.places),
            _known(columns.mean(record) for record in seeds),
        ]
        for values, seeds in groups.items()
    }
    best = [max((round(fmean(cell), 1) for cell in column if cell), default=None) for column in zip(*scores.values())]
    titles = [*(key.rpartition(".")[2] for key in keys), "seeds", "trainable", "active rank", "validation"]
    rows = []
    for values in sorted(scores, key=lambda values: -fmean(scores[values][-1] or [0.0])):
        seeds = groups[values]
        parameters = seeds[0].get("parameters")
        cells = [*values, str(len(seeds)), f"{sum(parameters.values()):,}" if parameters else ""]
        cells.append(str(seeds[0].get("active_rank", "")))
        for found, top in zip(scores[values], best, strict=True):
            of_all = "" if len(found) in (0, len(seeds)) else f" ({len(found)} of {len(seeds)})"
            text = spread(found) + of_all if found else ""
            cells.append(f"**{text}**" if found and round(fmean(found), 1) == top else text)
        rows.append(cells)
    notes = [*columns.notes(heads), *_twice(groups)]
    return markdown_table([*titles, *heads.values(), "mean"], rows) + "".join(f"\n{note}.\n" for note in notes)


def by_model(records: Sequence[Record], table: Callable[[Sequence[Record]], str]) -> str:
    """A table; where records are of several models or number formats, one for each under a heading of its own."""
    found: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        found.setdefault((model_of(record), precision_of(record)), []).append(record)
    if len(found) == 1:
        return table(records)
    heads = {place: f"## `{place[0]}`" + f", {place[1]}" * bool(place[1]) for place in sorted(found)}
    return "\n".join(f"{head}\n\n{table(found[place])}" for place, head in heads.items())


def model_of(record: Record) -> str:
    """The name of a run's model: as others load it, or that of the embedded one."""
    model = record["config"].get("model", {})
    return model.get("name") or model.get("_target_", "").rpartition(".load_")[2]


def _known(scores: Iterable[float | None]) -> list[float]:
    return [score for score in scores if score is not None]


def _twice(groups: Mapping[tuple, Sequence[Record]]) -> Iterator[str]:
    """Seeds that a row has several runs of."""
    for values, records in groups.items():
        counted = Counter(record["config"]["seed"] for record in records)
        if twice := [f"{count} of seed {seed}" for seed, count in counted.items() if count > 1]:
            yield f"{', '.join(map(str, values))}: the runs are not one a seed, but {', '.join(twice)}"


def two_settings(place: str, records: Sequence[Record]) -> dict[str, list[Record]]:
    """The name and the records, one a seed, of each of two settings; FLix first.

    Args:
        place: of what shows their difference, for messages.

    Raises:
        FlixError: there are not two.
    """
    _, settings = by_setting(records)
    if len(settings) != 2:
        raise FlixError(f"{place}: shows the difference of two settings; these runs have {len(settings)}.")
    in_order = sorted(settings.items(), key=lambda item: item[0][0] != "flix")
    return {", ".join(map(str, setting)): found for setting, found in in_order}
