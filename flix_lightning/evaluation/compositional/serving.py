"""A method ready to answer composite examples, in one pass or several; its scores and its time."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from flix_lightning.data.benchmarks.benchmark import Benchmark, Example
from flix_lightning.data.cells import JOIN, Cell
from flix_lightning.data.scores import CellScores
from flix_lightning.data.tokens.encoding import encode, generation_batch
from flix_lightning.inference.model import FlixModel
from flix_lightning.models.generation import new_tokens

Pass = Callable[[Cell, Example, str], tuple[str, str]]
"""(composite cell, example, answer of the pass before) -> (task whose features serve, prompt)."""

NO_TOKEN = -1  # taken for the end of text: no answer ends before its limit
BARE = "none"  # a task that no bank has: the bare backbone answers


@dataclass(frozen=True)
class Served:
    """A model, and the passes it makes over an example."""

    model: FlixModel
    passes: tuple[Pass, ...]

    def answer(self, cells: Sequence[Cell], examples: Sequence[Example], limits: Mapping[str, int]) -> list[str]:
        """Greedy answers; `limits` holds the tokens that each composite task's may have."""
        answers = [""] * len(examples)
        longest = [limits[cell.task] for cell in cells]
        for one in self.passes:
            served = [one(*row) for row in zip(cells, examples, answers, strict=True)]
            serving = [replace(cell, task=task) for (task, _), cell in zip(served, cells)]
            answers = self.model.answer(serving, [prompt for _, prompt in served], longest)
        return answers


def composed(cell: Cell, example: Example, _: str) -> tuple[str, str]:
    """With the features of the composite task."""
    return cell.task, example.prompt


def bare(cell: Cell, example: Example, _: str) -> tuple[str, str]:
    """Without any feature."""
    return BARE, example.prompt


def in_context(shots: Mapping[Cell, Example]) -> Pass:
    """Without any feature, after one solved example of the same task."""

    def solved_first(cell: Cell, example: Example, _: str) -> tuple[str, str]:
        return BARE, f"{shots[cell].prompt}\n{shots[cell].target}\n{example.prompt}"

    return solved_first


def steps(benchmark: Benchmark) -> tuple[Pass, Pass]:
    """The main task on the text, then the auxiliary task on its answer, each with its own feature and prompt."""

    def words(task: str, cell: Cell, text: str) -> tuple[str, str]:
        return task, benchmark.tasks[task].render(benchmark.words[cell.language], input=text)

    def main(cell: Cell, example: Example, _: str) -> tuple[str, str]:
        return words(cell.task.split(JOIN)[0], cell, example.prompt.partition(": ")[2])

    def auxiliary(cell: Cell, _: Example, answer: str) -> tuple[str, str]:
        return words(cell.task.split(JOIN)[1], cell, answer)

    return main, auxiliary


def scores(served: Served, benchmark: Benchmark, cells: Sequence[Cell]) -> dict[Cell, float]:
    """Cell -> score in 0 to 100 over all its test rows."""
    rows = [(cell, example) for cell in cells for example in benchmark.examples(cell, "test")]
    serving, examples = ([row[i] for row in rows] for i in (0, 1))
    limits = {cell.task: benchmark.tasks[cell.task].max_target_tokens for cell in cells}
    found = CellScores(cells, benchmark.tasks)
    found.update(serving, served.answer(serving, examples, limits), [example.target for example in examples])
    return found.compute()


def generation_seconds(served: Served, cells: Sequence[Cell], examples: Sequence[Example], tokens: int) -> float:
    """Processor time of one batch through all passes, every answer `tokens` long whatever it says.

    A later pass reads the true answer in place of the one before it.
    """
    model, spent = served.model, 0.0
    for one in served.passes:
        told = [one(cell, example, example.target) for cell, example in zip(cells, examples)]
        is_encoder_decoder = model.backbone.config.is_encoder_decoder
        rows = encode(model.tokenizer, [prompt for _, prompt in told], [""] * len(told), is_encoder_decoder)
        inputs = generation_batch(rows, model.tokenizer.pad_token_id, is_encoder_decoder)
        started = time.process_time()
        model.active.set(model.composer.compose([replace(cell, task=task) for (task, _), cell in zip(told, cells)]))
        new_tokens(model.backbone, inputs, [tokens] * len(rows), model.tokenizer.pad_token_id, NO_TOKEN)
        spent += time.process_time() - started
    return spent


def latency_ratio(
    served: Served,
    plain: Served,
    cells: Sequence[Cell],
    examples: Sequence[Example],
    tokens: int = 16,
    rounds: int = 16,
) -> float:
    """The median over rounds of a method's time over that of the plain composition.

    The two are measured right after each other, the first of them in turn; one round more warms up.
    """
    ratios = []
    for turn in range(rounds + 1):
        pair = (served, plain) if turn % 2 else (plain, served)
        first, second = (generation_seconds(one, cells, examples, tokens) for one in pair)
        ratios.append(first / second if turn % 2 else second / first)
    return median(ratios[1:])
