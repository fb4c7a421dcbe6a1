"""Dialogues of the user's own: composite tasks from a directory, scored by ROUGE."""

import json
from pathlib import Path

from flix_lightning.data.benchmarks.benchmark import load_benchmark
from flix_lightning.data.cells import Cell
from flix_lightning.data.mixture import build_mixture
from flix_lightning.data.scores import CellScores
from flix_lightning.training.assembly import build_composer
from tests.configs import composed
from tests.docs.test_readme import COMMANDS

ROWS = [{"text": "A: lunch? B: at noon", "target": "They meet at noon."}, {"text": "A: hi", "target": "A greets."}]
TASKS = ("summarization", "tone_witty", "summarization+tone_witty", "reply+translation_es")


def test_a_directory_of_dialogues_is_read_composed_and_scored():
    for task in TASKS:
        for split in ("train", "test"):
            path = Path("data", task, split, "en.jsonl")
            path.parent.mkdir(parents=True)
            path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (command,) = [arguments for arguments in COMMANDS if "benchmark=dialogue" in arguments]
    config = composed(*(part.replace("DIR", "data") for part in command[2:]))
    benchmark = load_benchmark(config["benchmark"])
    cells = {cell.task: cell for cell in benchmark.cells}
    assert set(cells) == set(TASKS)
    assert len(benchmark.tasks) == 2 + 7 + 14
    assert benchmark.examples(cells["summarization+tone_witty"], "test")[0][1:] == (
        "Summarize the dialogue in a witty tone: A: lunch? B: at noon", "They meet at noon."
    )  # fmt: skip
    composer = build_composer(config, build_mixture(config, benchmark))
    assert [feature.value for feature in composer.space] == [
        "reply", "summarization", "tone_witty", "translation_es"
    ]  # fmt: skip
    pair = [Cell("summarization", "en"), Cell("reply+translation_es", "en")]
    scores = CellScores(pair, benchmark.tasks)
    scores.update(pair, ["they meet at one", "a greets"], ["They meet at noon.", "A greets."])
    found = scores.compute()
    assert round(found[pair[0]], 4) == 75  # three of four words, in order
    assert round(found[pair[1]], 4) == 50  # words and pairs are right, and no triple is possible: 1/6 + 1/3
