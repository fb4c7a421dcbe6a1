"""`flix data cldr`: the cells of the embedded benchmark, or rows of some."""

from collections.abc import Sequence
from itertools import islice

from omegaconf import DictConfig

from flix_lightning.commands.hydra_shell import start
from flix_lightning.commands.shell import resolved
from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import Count, Seed, fill
from flix_lightning.data.benchmarks.cldr.languages import CELLS, language_name
from flix_lightning.data.benchmarks.cldr.rows import draw_rows
from flix_lightning.data.benchmarks.cldr.tasks import TASKS


def listing() -> str:
    """One line for each task: its name, its number of languages, their codes."""
    width = max(map(len, CELLS))
    lines = [f"{task:{width}} {len(codes):3}  {' '.join(codes)}" for task, codes in CELLS.items()]
    languages = {code for codes in CELLS.values() for code in codes}
    return "\n".join([*lines, f"{sum(map(len, CELLS.values()))} cells, {len(languages)} languages"])


def preview(cell: str, split: str, seed: Seed, rows: Count) -> str:
    """A header and the first `rows` examples as `prompt -> target` lines; they are those of `Cldr(..., seed)`.

    Any language with complete CLDR data is accepted, not only those of the benchmark's cells.

    Raises:
        FlixError: `cell` is not `task/language`; unknown task, language or split; a language that has no English name
            for prompts.
    """
    task, slash, language = cell.partition("/")
    if not (task and slash and language):
        raise FlixError(f"a cell is written task/language, e.g. semantic_parsing/sw; got {cell!r}.")
    drawn = list(islice(draw_rows(task, language, split, seed), rows))
    try:
        name = language_name(language)
    except KeyError:
        raise FlixError(f"CLDR has no English name of language {language!r}, which its prompts need.") from None
    lines = [f"{TASKS[task].render(name, input=row.input)} -> {row.target}" for row in drawn]
    return "\n".join([f"# {cell}, {split}, seed {seed}", *lines])


def show(cells: Sequence[str], rows: Count, split: str, seed: Seed) -> str:
    """The listing, or rows of each of `cells`."""
    return "\n\n".join([preview(cell, split, seed, rows) for cell in cells]) if cells else listing()


def task(config: DictConfig) -> None:
    print(fill("", show, resolved(config)))


def main(words: Sequence[str]) -> None:
    start(task, "data cldr", words, positional="cells")
