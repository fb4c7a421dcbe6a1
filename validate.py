"""Look through a benchmark's data: `python validate.py benchmark=directory benchmark.root=DIR`; `--help` lists more."""

import json
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from flix_lightning.command import resolved
from flix_lightning.errors import FlixError
from hydra_shell import start

EVERY = 1 << 60  # malformed rows are all collected here, not refused one by one


@hydra.main(config_path="conf", config_name="validate", version_base="1.3")
def main(config: DictConfig) -> None:
    plain = resolved(config)
    if not isinstance(plain["json"], str | None):
        raise FlixError(f"json: a file for the findings, or null; got {plain['json']!r}.")

    from flix_lightning.assembly import construct
    from flix_lightning.benchmarks.rows import LeftOut
    from flix_lightning.filling import fill
    from flix_lightning.inspection import Inspector
    from flix_lightning.mixture import Mixture
    from flix_lightning.models.positions import check_positions
    from flix_lightning.quiet import quieten
    from flix_lightning.report.data import print_findings
    from flix_lightning.run_directory import write_whole

    quieten()
    section = plain["benchmark"]
    tolerance = section.get("tolerance", 0)
    LeftOut(tolerance)  # refuses impossible settings
    benchmark = construct("benchmark", section | ({"tolerance": EVERY} if "tolerance" in section else {}))
    model, tokenizer = construct("model", plain["model"])
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


if __name__ == "__main__":
    start(main, "validate")
