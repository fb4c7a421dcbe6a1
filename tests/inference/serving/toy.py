"""A bank on a toy decoder, with random factors."""

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.injection import inject
from flix_lightning.data.tasks import Task
from tests.configs import untrained_backbone
from tests.toy import CELLS, TASKS, fill, toy_composer

PROMPTS = {name: Task(name, f"{name} {{language}}: {{input}}", "exact_match", 8) for name in TASKS}


def toy_bank(seed: int = 1, kind: str = "llama") -> Bank:
    """That of three tasks and four languages; all pairs are trained but qa/yo."""
    model, composer = untrained_backbone(kind).model, toy_composer()
    fill(inject(model, composer.total_rank, ActiveComposition(composer.total_rank), scaling=0.5), seed=seed, size=0.6)
    return Bank.of(model, composer, PROMPTS, [cell for cell in CELLS if str(cell) != "qa/yo"])
