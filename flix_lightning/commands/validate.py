"""`flix validate`: inspect a benchmark's data before training."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from flix_lightning.commands.hydra_shell import start
from flix_lightning.commands.shell import resolved
from flix_lightning.common.errors import FlixError

EVERY = 1 << 60  # malformed rows are collected, not refused


def task(config: DictConfig) -> None:
    plain = resolved(config)
    if not isinstance(plain["json"], str | None):
        raise FlixError(f"json: a file for the findings, or null; got {plain['json']!r}.")

    from flix_lightning.common.console import quieten
    from flix_lightning.common.files import write_whole
    from flix_lightning.common.settings import fill
    from flix_lightning.common.targets import COMPOSED
    from flix_lightning.data.benchmarks.benchmark import load_benchmark
    from flix_lightning.data.benchmarks.rows import LeftOut
    from flix_lightning.data.inspection import Inspector
    from flix_lightning.data.mixture import Mixture
    from flix_lightning.models.backbone import load_backbone
    from flix_lightning.models.positions import check_positions
    from flix_lightning.report.data import print_findings

    quieten()
    section = plain["benchmark"]
    tolerance = section.get("tolerance", 0)
    LeftOut(tolerance)  # refuses impossible settings
    benchmark = load_benchmark(section | ({"tolerance": EVERY} if "tolerance" in section else {}), COMPOSED)
    model, tokenizer = load_backbone(plain["model"], COMPOSED)
    chosen = {key: plain[key] for key in ("tasks", "languages", "where")}
    cells = fill("", Mixture.select, chosen, cells=benchmark.cells).cells
    reads = {"tokenizer": tokenizer, "is_encoder_decoder": model.config.is_encoder_decoder}
    inspector = fill("data", Inspector, plain["data"], benchmark=benchmark, **reads)
    looked_at = {cell.task: benchmark.tasks[cell.task] for cell in cells}
    check_positions(model, looked_at.values(), inspector.max_prompt_tokens)
    findings = list(inspector.inspect(cells))
    reasons = benchmark.left_out.reasons if "tolerance" in section else {}
    malformed = [f"{path}, {reason}" for path, rows in reasons.items() for reason in rows]
    print_findings(findings, malformed, tolerance)
    if plain["json"]:
        report = {"cells": [found.plain() for found in findings], "malformed": malformed}
        write_whole(Path(plain["json"]), json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    if any(found.error for found in findings) or any(len(rows) > tolerance for rows in reasons.values()):
        sys.exit(1)


def main(words: Sequence[str]) -> None:
    start(task, "validate", words)
