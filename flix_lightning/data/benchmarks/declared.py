"""A benchmark of tasks declared in a few lines of YAML, each read from files of a directory or from a dataset."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.common.settings import Count, Location, Natural, Text, checked, fill
from flix_lightning.data.benchmarks.axes import Axes
from flix_lightning.data.benchmarks.benchmark import SPLITS, Benchmark, Example, Split, code_of
from flix_lightning.data.benchmarks.directory import FilePattern, find_parts, task_folders
from flix_lightning.data.benchmarks.part import Part
from flix_lightning.data.benchmarks.rows import LeftOut, Row, Tolerance
from flix_lightning.data.benchmarks.spans import check_spans
from flix_lightning.data.cells import Cell
from flix_lightning.data.languages import in_words
from flix_lightning.data.metrics import METRICS
from flix_lightning.data.tasks import Task, check_text


@checked("benchmark.tasks")
@dataclass(frozen=True)
class Declaration:
    """A task as YAML declares it.

    Args:
        prompt, target, metric, max_target_tokens, scored: see `Task`.
        files: the form of its files' names; names in it beside `language` are fields too, codes of languages in words,
            and may be axes.
        folder: where its splits lie; `<root>/<task>` when not given.
        languages: the ones it is about; all that are found when not given.
        splits: split -> its name as a folder or in the dataset, if it differs.
        dataset: of the Hugging Face library, by name or path, instead of files; with `configs` or `language_column`.
        configs: language -> configuration of the dataset, null for its only one.
        language_column: the dataset's column of languages.
        id: a field that no two rows of a file share.
        spans: the field whose bytes the rows' `spans` count, which are then checked against the target.
    """

    prompt: Text
    metric: Text | Mapping[str, Any]
    max_target_tokens: Count
    target: Text = "{target}"
    files: Text = "{language}"
    folder: Location | None = None
    languages: tuple[str, ...] | None = None
    scored: tuple[str, ...] | None = None
    splits: Mapping[Split, Text] = field(default_factory=dict)
    dataset: Location | None = None
    configs: Mapping[str, Text | None] = field(default_factory=dict)
    language_column: Text | None = None
    id: Text | None = None
    spans: Text | None = None

    def task(self, name: str) -> Task:
        if isinstance(self.metric, str) and self.metric not in METRICS:
            raise unknown(f"benchmark.tasks.{name}.metric", self.metric, METRICS)
        names = () if self.dataset else FilePattern(f"benchmark.tasks.{name}.files", self.files).names
        codes = tuple(code for code in names if code != "language")
        return Task(name, self.prompt, self.metric, self.max_target_tokens, self.target, self.scored, codes)


@checked("benchmark")
class DeclaredBenchmark(Benchmark):
    """Declared tasks over a directory `<root>/<task>/<split>/<name>.jsonl` (or .tsv, .csv), or over datasets.

    Args:
        root: the directory; None where every task names its dataset or folder.
        tasks: name -> a `Declaration`; one that has no folder below `root` has no cells.
        name: of the benchmark, for messages and results.
        axes: further feature axes, see `Axes`; where one is read from rows, its values split a file into cells.
        names: language -> its name in words, in place of CLDR's English one.
        rows: split -> the most rows of a cell; the first ones are taken.
        held_back: rows at the end of training that serve as validation where a cell has no validation file.
        tolerance: malformed rows that a file may have; they are left out and counted.

    Raises:
        FlixError: an invalid declaration, or a directory of another layout.
    """

    def __init__(
        self,
        root: Location | None,
        tasks: Mapping[str, Mapping[str, Any]],
        name: Text = "directory",
        axes: Mapping[str, Any] | None = None,
        names: Mapping[str, Text] | None = None,
        rows: Mapping[Split, Count] | None = None,
        held_back: Natural = 0,
        tolerance: Tolerance = 0,
    ) -> None:
        self.root, self.name = root and Path(root).expanduser(), name
        self.declarations = {task: fill(f"benchmark.tasks.{task}", Declaration, t) for task, t in tasks.items()}
        self.tasks = {task: declaration.task(task) for task, declaration in self.declarations.items()}
        self.axes = Axes(axes or {})
        self.rows, self.held_back, self.left_out = rows or {}, held_back, LeftOut(tolerance)
        self._parts: dict[Cell, list[tuple[Part, set[str]]]] = {}
        folders = self._folders()
        for task, declaration in self.declarations.items():
            found = self._in_dataset(declaration) if declaration.dataset else self._in_folder(task, folders.get(task))
            for part in self._chosen(task, found):
                for cell, splits in self._cells(task, part):
                    self._parts.setdefault(cell, []).append((part, splits))
        self.cells = tuple(self._parts)
        codes = {code for parts in self._parts.values() for part, _ in parts for code in part.captured.values()}
        self.words = {code: in_words(code, names or {}) for code in sorted(codes)} | dict(names or {})
        if not self.cells:
            raise FlixError(
                f"benchmark.root: {root!r} holds no folder of a declared task: {', '.join(tasks) or 'none'}."
            )

    def splits(self, cell: Cell) -> tuple[str, ...]:
        """The splits that a cell has rows of."""
        return tuple(split for split in SPLITS if any(split in splits for _, splits in self._parts[cell]))

    def examples(self, cell: Cell, split: str) -> Sequence[Example]:
        return tuple(self.stream(cell, split))

    def stream(self, cell: Cell, split: str) -> Iterator[Example]:
        """The examples of a cell's split one by one, read anew each time.

        Raises:
            FlixError: unknown cell or split, no rows of this split, or malformed rows.
        """
        if cell not in self._parts:
            raise unknown(f"cell of benchmark {self.name}", cell, self.cells)
        if split not in self.splits(cell):
            raise unknown(f"split of {cell}", split, self.splits(cell))
        parts = [part for part, splits in self._parts[cell] if split in splits]
        return islice((e for part in parts for e in self._examples(cell, part, split)), self.rows.get(split))

    def fingerprint(self, cell: Cell, split: str) -> str | None:
        """None with a tolerance: the rows left out are counted in every run."""
        if self.left_out.tolerance:
            return None
        parts = [part for part, splits in self._parts[cell] if split in splits]
        seen = [(part.name, part.captured, part.source(split).fingerprint()) for part in parts]
        words = [self.words[code] for part in parts for code in part.captured.values()]
        axes, limits = (self.axes.fields, self.axes.tables), (self.rows.get(split), self.held_back)
        code = code_of(Path(__file__).parent)
        return repr((cell, split, seen, words, self.declarations[cell.task], axes, limits, code))

    def _examples(self, cell: Cell, part: Part, split: str) -> Iterator[Example]:
        task, declaration = self.tasks[cell.task], self.declarations[cell.task]
        words = {name: self.words[code] for name, code in part.captured.items()}
        seen: dict[str, int] = {}
        for own, row in self._rows(cell.task, part, split):
            if own != cell:
                continue
            try:
                fields = {**row.fields, **words}
                prompt, target = task.render(**fields), task.answer(**fields)
                check_text(prompt, target)
                if declaration.spans and "spans" in row.fields:
                    check_spans(row.fields.get(declaration.spans), row.fields["spans"], target)
                if declaration.id:
                    _check_id(declaration.id, row, seen)
            except FlixError as error:
                self.left_out.add(part.source(split), row.line, error)
            else:
                yield Example(f"{cell.task}/{split}/{part.name}:{row.line}", prompt, target)

    def _folders(self) -> dict[str, Path]:
        """Task -> folder, of the declared tasks that have one."""
        folders = task_folders(self.root) if self.root else {}
        for task in folders:
            if task not in self.declarations:
                raise unknown(f"task folder in {self.root} (declare it as benchmark.tasks.{task}):", task, self.tasks)
        return folders | {
            task: Path(d.folder).expanduser() for task, d in self.declarations.items() if d.folder is not None
        }

    def _in_folder(self, task: str, folder: Path | None) -> Sequence[Part]:
        if folder is None:
            return ()
        declaration = self.declarations[task]
        pattern = FilePattern(f"benchmark.tasks.{task}.files", declaration.files)
        return find_parts(folder, pattern, declaration.splits, self.held_back)

    def _in_dataset(self, task: Declaration) -> Sequence[Part]:
        from flix_lightning.data.benchmarks.huggingface import dataset_parts

        return dataset_parts(task.dataset, task.configs, task.language_column, task.splits, self.held_back)

    def _chosen(self, task: str, parts: Sequence[Part]) -> Sequence[Part]:
        """The parts of the languages that the task is about."""
        languages, have = self.declarations[task].languages, {part.captured["language"] for part in parts}
        if languages is None:
            return parts
        for language in languages:
            if language not in have:
                raise unknown(f"benchmark.tasks.{task}.languages: there are no rows in", language, have)
        return [part for part in parts if part.captured["language"] in languages]

    def _cells(self, task: str, part: Part) -> Iterator[tuple[Cell, set[str]]]:
        """The cells that a part has rows of, with the splits; one cell unless an axis is read from the rows."""
        if not self._varies(part):
            yield self._cell(task, part, {}), set(part.splits)
            return
        found: dict[Cell, set[str]] = {}
        for split in part.splits:
            for cell, _ in self._rows(task, part, split):
                found.setdefault(cell, set()).add(split)
        yield from found.items()

    def _varies(self, part: Part) -> bool:
        """Whether an axis is read from the part's rows."""
        return not set(self.axes.fields.values()) <= part.captured.keys()

    def _cell(self, task: str, part: Part, fields: Mapping[str, Any]) -> Cell:
        language = part.captured["language"]
        return Cell(task, language, self.axes.attributes(task, language, {**fields, **part.captured}))

    def _rows(self, task: str, part: Part, split: str) -> Iterator[tuple[Cell, Row]]:
        """A part's rows with the cell that each belongs to."""
        one = None if self._varies(part) else self._cell(task, part, {})
        for row in part.rows(split, self.left_out):
            try:
                cell = one or self._cell(task, part, row.fields)
            except FlixError as error:
                self.left_out.add(part.source(split), row.line, error)
            else:
                yield cell, row


def _check_id(field: str, row: Row, seen: dict[str, int]) -> None:
    """Add the row's id to those `seen`, id -> line."""
    if field not in row.fields:
        raise unknown("field id", field, row.fields)
    if (first := seen.setdefault(str(row.fields[field]), row.line)) != row.line:
        raise FlixError(f"{field} {row.fields[field]!r} is that of line {first} too.")
