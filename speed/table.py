"""Records -> speed.md and speed.png."""

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from flix_lightning.common.markdown import markdown_table
from speed.paths import MULTIPLES
from speed.shapes import SHAPES
from speed.timing import ratios

FEATURES = SHAPES["tiny_bytes"].features
Records = Mapping[tuple[str, str], dict[str, Any]]  # (shape, part) -> record
INTRO = """\
# Speed

Made by `python -m speed` from the records in [records/](records). Contestants take turns, a round each; a ratio is
the median over rounds of processor time, on a GPU of time on the clock, in brackets the extremes. Same backbone
(random weights), batch, active rank (6) and number format for all; peak memory is what building and two steps hold
beyond what stood there before.
"""


def read(folder: Path) -> Records:
    found = {}
    for path in sorted(folder.glob("*.json")):
        record = json.loads(path.read_text(encoding="utf8"))
        on = "" if record["device"] == "cpu" else f" on {record['device']}"
        found[record["shape"] + on, record["part"]] = record
    return found


def clock(record: Mapping[str, Any]) -> str:
    """Which time counts: of the processor, which other work does not lengthen, unless a GPU does the work."""
    return "cpu" if record["device"] == "cpu" else "wall"


def ratio(record: Mapping[str, Any], one: str, other: str) -> str:
    """`1.02 (0.98 to 1.10)`."""
    seconds, kind = record["seconds"], clock(record)
    found = ratios(seconds[one][kind], seconds[other][kind])
    return f"{found['median']:.2f} ({found['low']:.2f} to {found['high']:.2f})"


def page(records: Records) -> str:
    """The whole document; a part that was not measured has no rows."""
    sections = [INTRO, *_environment(records), *_training(records), *_features(records)]
    sections += [*_generation(records), *_paths(records), *_loading(records), *_start(records)]
    return "\n".join(sections) + "\n"


def _of(records: Records, part: str) -> dict[str, dict[str, Any]]:
    return {shape: record for (shape, kind), record in records.items() if kind == part}


def _table(title: str, header: list[str], rows: list[list[str]]) -> list[str]:
    if not rows:
        return []
    return [f"## {title}", "", markdown_table(header, rows)]


def _environment(records: Records) -> list[str]:
    shapes: dict[str, list[str]] = {}
    for (shape, _), record in sorted(records.items()):
        shapes.setdefault(record["environment"], []).append(shape)
    told = [f"{', '.join(dict.fromkeys(names))} on {environment}" for environment, names in sorted(shapes.items())]
    return ["Measured: " + "; ".join(told) + ".", ""]


def _training(records: Records) -> list[str]:
    rows = []
    for shape, record in _of(records, "training").items():
        memory = record["peak_mib"]
        rows += [
            [
                shape,
                name,
                ratio(record, name, "peft_lora"),
                ratio(record, name, "frozen"),
                f"{memory[name] / memory['peft_lora']:.2f}",
            ]
            for name in record["seconds"]
        ]
    header = ["shape", "method", "time / PEFT LoRA", "time / frozen", "peak memory / PEFT LoRA"]
    return _table("Training step", header, rows)


def _features(records: Records) -> list[str]:
    rows = []
    for shape, record in _of(records, "features").items():
        counts = list(record["seconds"])
        rows.append(
            [shape, *(ratio(record, count, counts[0]) if count in counts else "" for count in map(str, FEATURES))]
        )
    return _table("Training step by number of features, / 8 features", ["shape", *map(str, FEATURES)], rows)


def _generation(records: Records) -> list[str]:
    rows = [
        [shape, str(record["rows"]), ratio(record, "peft_adapter_names", "flix"), ratio(record, "flix", "merged")]
        for shape, record in _of(records, "generation").items()
    ]
    header = ["shape", "cells in the batch", "PEFT `adapter_names` / FLix", "FLix / merged single cell"]
    return _table("Generation in mixed batches", header, rows)


def _paths(records: Records) -> list[str]:
    rows = []
    for shape, record in _of(records, "paths").items():
        for step, other in (("training", "all ranks"), ("generation", "the batch's own")):
            seconds, kind = record["seconds"][step], clock(record)
            found = {
                m: ratios(seconds[f"other {m}"][kind], seconds[f"gathered {m}"][kind]) for m in record["multiples"]
            }
            rows.append([shape, step, other, *(f"{found[m]['median']:.2f}" if m in found else "" for m in MULTIPLES)])
    title = "One product over many ranks / gathering each example's own, by ranks over the active rank"
    return _table(title, ["shape", "step", "product over", *map(str, MULTIPLES)], rows)


def _loading(records: Records) -> list[str]:
    rows = []
    for shape, record in _of(records, "loading").items():
        load, sample, step = (fmean(record["seconds"][name][clock(record)]) for name in ("load", "sample", "step"))
        each = record["rows"]
        rows.append([shape, f"{each / sample:,.0f}", f"{each / load:,.0f}", f"{100 * load / (load + step):.2f} %"])
    return _table("Data", ["shape", "sampled rows/s", "loaded rows/s", "wait, share of a step"], rows)


def _start(records: Records) -> list[str]:
    rows = [[shape, ratio(record, "first_step", "bare")] for shape, record in _of(records, "start").items()]
    return _table("Launch to first step / same imports and model", ["shape", "ratio"], rows)


def plot(records: Records, path: Path) -> None:
    """Step time against the number of features, a line a shape."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.2), layout="constrained")
    for shape, record in _of(records, "features").items():
        counts, kind = list(record["seconds"]), clock(record)
        found = [ratios(record["seconds"][c][kind], record["seconds"][counts[0]][kind]) for c in counts]
        middle = [r["median"] for r in found]
        spread = [[m - r["low"] for m, r in zip(middle, found)], [r["high"] - m for m, r in zip(middle, found)]]
        axes.errorbar(list(map(int, counts)), middle, yerr=spread, marker="o", capsize=3, label=shape)
    axes.set(xscale="log", xlabel="features", ylabel=f"step time / {FEATURES[0]} features", ylim=(0, 2))
    axes.axhline(1, color="grey", linewidth=0.8)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
