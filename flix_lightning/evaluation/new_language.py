"""How a language added to a trained bank compares with one trained jointly: what two runs and their banks say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from flix_lightning.adapters.bank import Bank
from flix_lightning.training.results import read_record

KEPT = ("name", "config", "environment", "parameters", "steps", "best_step", "cells")
Found = Mapping[str, Any]


def unchanged_features(base: Bank, extended: Bank) -> int:
    """The number of features of `base` whose factors `extended` has bit for bit."""
    before, after = base.rows(), extended.rows()
    return sum(
        all(
            torch.equal(factor[list(rows)], extended.factors[name][list(after[feature])])
            for name, factor in base.factors.items()
        )
        for feature, rows in before.items()
    )


def gather(joint: str, extended: str, base: str) -> Found:
    """The two runs' records, and how many of the base's features the extended run left as they were.

    Raises:
        FlixError: a run is unfinished.
    """
    runs = {"joint": joint, "extended": extended}
    found = {label: read_record(Path(run)) for label, run in runs.items()}
    records = {label: {key: record[key] for key in KEPT if key in record} for label, record in found.items()}
    banks = Bank.read(Path(base)), Bank.read(Path(extended))
    features = {"of_base": len(banks[0].ranks), "unchanged": unchanged_features(*banks), "in_all": len(banks[1].ranks)}
    return {**records, "features": features}
