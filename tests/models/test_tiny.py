"""The embedded model: what it can do, what it cannot, and that its card tells so."""

import json

import pytest
import torch

from flix_lightning.data.benchmarks.cldr.languages import CELLS
from flix_lightning.data.tokens.encoding import generation_batch
from flix_lightning.models.pretraining.abilities import TargetLogits, right
from flix_lightning.models.pretraining.batches import draw
from flix_lightning.models.pretraining.card import card
from flix_lightning.models.pretraining.corpus import TASKS
from flix_lightning.models.pretraining.measuring import abilities, benchmark_rows, untrained
from flix_lightning.models.pretraining.shipping import CELL_ROWS, MEASUREMENTS, ROWS
from flix_lightning.models.tiny import FOLDER, load_tiny

MEASURED = json.loads((FOLDER / MEASUREMENTS).read_text(encoding="utf8"))


@pytest.fixture(scope="module")
def tiny():
    return load_tiny()


@pytest.fixture(scope="module")
def module(tiny):
    return TargetLogits(tiny.model)


def test_its_folder_is_small_and_its_card_made_from_its_measurements(tiny):
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 10_000_000
    assert sum(parameter.numel() for parameter in tiny.model.parameters()) == MEASURED["parameters"] == 4_447_456
    assert tiny.model.get_input_embeddings().weight is tiny.model.get_output_embeddings().weight
    assert len(tiny.tokenizer) == tiny.model.config.vocab_size == MEASURED["vocabulary"]
    assert {parameter.dtype for parameter in tiny.model.parameters()} == {torch.float32}
    assert (FOLDER / "README.md").read_text(encoding="utf8") == card(MEASURED)


@pytest.mark.slow
def test_it_knows_the_languages_and_many_forms(module, tiny):
    measured_now = abilities(module, tiny.tokenizer, 32)
    assert set(measured_now) == {*TASKS, "copy"}
    for task, floor in FLOORS.items():
        assert measured_now[task]["all"] >= floor, task


FLOORS = {"to_english": 60, "from_english": 40, "code": 80, "kind": 80, "split": 60, "named_record": 60, "copy": 60}


def test_the_forms_of_parsing_and_entities_are_new_to_it(module, tiny):
    for task in ("semantic_parsing", "ner"):
        assert not any(right(module, benchmark_rows(tiny.tokenizer, task, "test", 2))), task
        assert MEASURED["untrained"][task] == 0


def test_greedy_generation_agrees_with_the_exact_match_of_teacher_forcing(module, tiny):
    from random import Random

    rng = Random("generation")
    rows = [draw(tiny.tokenizer, rng, "test", task).row for task in ("to_english", "code", "named_record") * 8]
    done = right(module, rows)
    with torch.inference_mode():
        batch = generation_batch(rows, 0, False)
        tokens = tiny.model.generate(**batch, max_new_tokens=60, do_sample=False)[:, batch["input_ids"].shape[1] :]
    assert [row.tolist()[: len(own.target)] == own.target for row, own in zip(tokens, rows)] == done
    assert sum(done) > len(rows) / 2


@pytest.mark.slow
def test_the_card_tells_its_scores(module, tiny):
    assert MEASURED["rows"] == ROWS
    for task, measured_now in abilities(module, tiny.tokenizer, ROWS).items():
        assert measured_now == pytest.approx(MEASURED["abilities"][task], abs=0.5), (
            "another machine's rounding is within this"
        )
    assert untrained(module, tiny.tokenizer, CELL_ROWS) == pytest.approx(MEASURED["untrained"], abs=0.5)
    assert set(MEASURED["untrained"]) == set(CELLS)
