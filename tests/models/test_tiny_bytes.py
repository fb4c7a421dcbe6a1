"""The byte-level model: it knows the tasks of the benchmark in languages of its own, on rows it has not seen."""

import re
from collections import Counter
from random import Random

import pytest

from flix_lightning.data.benchmarks.cldr.inventory import load_inventory
from flix_lightning.data.benchmarks.cldr.languages import CELLS, PRETRAINING, language_name
from flix_lightning.data.benchmarks.cldr.rows import TASKS as DRAW
from flix_lightning.data.benchmarks.cldr.rows import split_of
from flix_lightning.data.benchmarks.cldr.tasks import TASKS
from flix_lightning.data.tokens.encoding import encode
from flix_lightning.models.pretraining.abilities import TargetLogits, right
from flix_lightning.models.tiny_bytes import WEIGHTS, load_tiny_bytes

WEIGHT = {"semantic_parsing": 2, "translation": 3, "ner": 3, "qa_in_lang": 3, "qa_cross_lang": 3}  # of its pretraining


def exact_match(rows: int) -> dict[str, float]:
    """Per task, the share (0 to 100) of held-out rows of its languages that it does right."""
    backbone, rng, drawn = load_tiny_bytes(), Random("pretrain/held out/0"), []
    while len(drawn) < rows:
        task = rng.choices(tuple(WEIGHT), tuple(WEIGHT.values()))[0]
        language = rng.choice(PRETRAINING)
        key, row = DRAW[task](rng, load_inventory(language))
        if split_of(key) == "test":
            prompt = TASKS[task].render(language_name(language), input=row.input)
            drawn.append((task, encode(backbone.tokenizer, [prompt], [row.target], False)[0]))
    done = right(TargetLogits(backbone.model), [row for _, row in drawn])
    total, correct = Counter(task for task, _ in drawn), Counter()
    for (task, _), yes in zip(drawn, done):
        correct[task] += yes
    return {task: 100 * correct[task] / total[task] for task in WEIGHT}


@pytest.mark.slow
def test_it_knows_the_tasks():
    assert min(exact_match(100).values()) > 70
    assert not set(PRETRAINING) & {language for languages in CELLS.values() for language in languages}


@pytest.mark.slow
def test_its_card_tells_its_scores():
    card = (WEIGHTS.parent / "README.md").read_text(encoding="utf8")
    documented = {task: float(score) for task, score in re.findall(r"^\| (\w+) \| ([\d.]+) \|$", card, re.MULTILINE)}
    assert exact_match(2000) == pytest.approx(documented, abs=0.5)
