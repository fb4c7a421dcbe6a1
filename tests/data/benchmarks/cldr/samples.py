"""Rows and drafts of the embedded benchmark, for its tests."""

from itertools import islice
from random import Random

from flix_lightning.data.benchmarks.cldr.inventory import load_inventory
from flix_lightning.data.benchmarks.cldr.languages import CELLS
from flix_lightning.data.benchmarks.cldr.rows import TASKS as DRAW
from flix_lightning.data.benchmarks.cldr.rows import Draft, draw_rows

FEW = {"train": 30, "validation": 4, "test": 6}
ALL_CELLS = [(task, language) for task, languages in CELLS.items() for language in languages]
LANGUAGES = sorted({language for _, language in ALL_CELLS})


def rows(task: str, language: str, split: str, count: int, seed: int = 0):
    return list(islice(draw_rows(task, language, split, seed), count))


def drafts(task: str, language: str, count: int) -> list[Draft]:
    """Drafts of every split."""
    rng = Random(f"drafts/{task}/{language}")
    return [DRAW[task](rng, load_inventory(language)) for _ in range(count)]
