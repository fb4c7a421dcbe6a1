"""Measure what a trained bank costs to serve: `python -m speed.serving RUN`.

Sizes on disk of the bank, of its features and of all its cells; how long a cell takes to compose; and, where `make
test-vllm` has installed vLLM, the requests a second of composed cells beside the same cells as LoRAs that the server
was given at its start. Writes speed/serving.json and speed/serving.md.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.bank_file import bank_file
from flix_lightning.commands.shell import command
from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import write_whole
from flix_lightning.common.markdown import markdown_table
from flix_lightning.data.tokens.encoding import PROMPT_END
from flix_lightning.inference.export.folders import export
from flix_lightning.inference.serving.folders import ComposedFolders
from speed.device import environment
from speed.timing import ratios
from speed.vllm_server import INSTALLED, Server

SERVED, REQUESTS, TOGETHER, TOKENS, ROUNDS = 24, 48, 24, 16, 7
PROMPT = "Parse Swahili: 9 Januari 1982" + PROMPT_END
PAGE = """\
# Serving one bank

Made by `python -m speed.serving RUN`; {environment}. {tasks} tasks x {languages} languages on `{backbone}`.

{sizes}

A cell is composed in {compose:.0f} ms (median of {cells}; the file written included).
{rate}"""
RATE = """
vLLM on the same CPU, {served} cells, {together} requests at once, {tokens} tokens each: {composed:.1f} requests a
second by cells composed on demand, {static:.1f} by the same cells as LoRAs given at the server's start; their ratio is
{median:.2f} ({low:.2f} to {high:.2f} over {rounds} rounds in turns).
"""


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return path.stat().st_size if path.is_file() else sum(f.stat().st_size for f in path.rglob("*") if f.is_file())


def measured(run: Path, folder: Path) -> dict[str, Any]:
    bank = Bank.read(run)
    values = {axis: [f.value for f in bank.ranks if f.axis == axis] for axis in ("task", "language")}
    names = [f"{task}/{language}" for task in values["task"] for language in values["language"]]
    (features,) = export(str(run), "features", out=str(folder / "features"))
    (backbone,) = export(str(run), "backbone", out=str(folder / "backbone"))
    composed, seconds, found = ComposedFolders(run, folder / "cells"), [], []
    for name in names:
        start = time.perf_counter()
        found.append(composed.folder(name, "backbone"))
        seconds.append(time.perf_counter() - start)
    record = {
        "environment": environment(),
        "backbone": bank.backbone,
        "tasks": len(values["task"]),
        "languages": len(values["language"]),
        "cells": len(names),
        "sizes": {
            "the bank": size(bank_file(run)),
            f"{len(bank.ranks)} features": sum(map(size, features.glob("*/*.safetensors"))),
            f"{len(names)} cells": sum(size(path / "adapter_model.safetensors") for path in found),
            "the backbone": size(backbone / "model.safetensors"),
        },
        "compose": 1000 * statistics.median(seconds),
    }
    return {**record, **(rates(run, backbone, names[:: len(names) // SERVED], folder) if INSTALLED else {})}


def rates(run: Path, backbone: Path, names: Sequence[str], folder: Path) -> dict[str, Any]:
    """Requests a second of each round, composed and given at the start."""
    paths = export(str(run), "peft", tuple(names), out=str(folder / "static"))
    given = [f"{name.replace('/', '-')}={path}" for name, path in zip(names, paths, strict=True)]
    options = ["--lora-modules", *given, "--max-cpu-loras", str(3 * len(names))]
    settings = {"FLIX_VLLM_BANK": str(run.absolute()), "FLIX_VLLM_CACHE": str(folder / "cache")}
    kinds = {"composed": names, "static": [name.replace("/", "-") for name in names]}
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    with Server(backbone, settings, folder / "server.log", options) as server:
        for number in range(ROUNDS + 1):  # the first loads what is asked for
            for kind in sorted(kinds, reverse=number % 2 == 1):
                asked = [(kinds[kind][i % len(names)], PROMPT, TOKENS) for i in range(REQUESTS)]
                start = time.perf_counter()
                answers = server.at_once(asked, TOGETHER)
                found[kind].append(REQUESTS / (time.perf_counter() - start))
                if {status for status, _ in answers} != {200}:
                    raise FlixError(f"the server says {next(told for status, told in answers if status != 200)!r}.")
    about = {"served": len(names), "together": TOGETHER, "tokens": TOKENS}
    return {**about, "rates": {kind: rounds[1:] for kind, rounds in found.items()}}


def page(record: dict[str, Any]) -> str:
    rows = [[name, f"{bytes_ / 1e6:.1f} MB"] for name, bytes_ in record["sizes"].items()]
    rate = ""
    if "rates" in record:
        composed, static = record["rates"]["composed"], record["rates"]["static"]
        rate = RATE.format(
            composed=statistics.median(composed), static=statistics.median(static), **ratios(composed, static),
            rounds=len(composed), **{key: record[key] for key in ("served", "together", "tokens")},
        )  # fmt: skip
    return PAGE.format(**{**record, "sizes": markdown_table(["", "on disk"], rows).rstrip(), "rate": rate})


@command
def main() -> None:
    if len(sys.argv) != 2:
        raise FlixError("a finished run is given: python -m speed.serving RUN")
    with tempfile.TemporaryDirectory() as folder:
        record = measured(Path(sys.argv[1]), Path(folder))
    write_whole(Path("speed/serving.json"), json.dumps(record, indent=1) + "\n")
    write_whole(Path("speed/serving.md"), page(record))
    print(page(record))


if __name__ == "__main__":
    main()
