"""From a request to the inputs that training had: values on all axes, and a prompt in the same words and length."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from string import Formatter
from typing import Any

from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.data.benchmarks.benchmark import Benchmark
from flix_lightning.data.cells import JOIN, RESERVED
from flix_lightning.data.languages import in_words
from flix_lightning.data.tasks import Task, check_text

TEXT = "text"  # how a request may call the only field of a prompt


@dataclass(frozen=True)
class Prompting:
    """What determines prompts and values on further axes, beside the task; a bank keeps it.

    Args:
        words: code -> language in words, of every language that the benchmark has.
        fields: further axis -> the field of a row that its value is read from.
        tables: further axis -> (axis it follows from, value there -> value).
        max_tokens: longer prompts are cut; None for no limit.
    """

    words: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    max_tokens: int | None = None

    @staticmethod
    def of(benchmark: Benchmark, max_tokens: int) -> "Prompting":
        """The prompting of a benchmark's examples."""
        return Prompting(dict(benchmark.words), benchmark.axes.fields, benchmark.axes.tables, max_tokens)

    @staticmethod
    def read(stored: Mapping[str, Any]) -> "Prompting":
        """From its JSON."""
        tables = {axis: (other, table) for axis, (other, table) in stored["tables"].items()}
        return Prompting(**{**stored, "tables": tables})

    def after(self, earlier: "Prompting | None") -> "Prompting":
        """This one, completed by the words, fields and tables of `earlier`."""
        if earlier is None:
            return self
        own = {name: {**getattr(earlier, name), **getattr(self, name)} for name in ("words", "fields", "tables")}
        return Prompting(**own, max_tokens=self.max_tokens)

    def renamed(self, name: Callable[[str, str], str], languages: Iterable[str]) -> "Prompting":
        """The same prompts under other names.

        Args:
            name: (axis, old value) -> new value.
            languages: those that get another name; each keeps its words.
        """
        moved = {code: name("language", code) for code in languages}
        words = {
            code: words for code, words in self.words.items() if code not in {**moved, **dict.fromkeys(moved.values())}
        }
        said = {new: in_words(old, self.words) for old, new in moved.items()}
        words |= {code: spoken for code, spoken in said.items() if spoken != in_words(code, {})}
        tables = {
            axis: (other, {name(other, key): name(axis, value) for key, value in table.items()})
            for axis, (other, table) in self.tables.items()
        }
        return replace(self, words=words, tables=tables)

    def attributes(
        self, task: str, language: str, given: Mapping[str, Any], axes: Mapping[str, set[str]]
    ) -> dict[str, str]:
        """A request's values on further axes.

        Args:
            given: the request's own keys; an axis is given by its name or by the field that training read it from.
            axes: further axis of the model -> its known values.

        Raises:
            FlixError: an axis that is not given and does not follow from another, or a value that is unknown.
        """
        found: dict[str, Any] = {"task": task, "language": language}
        sources = {**dict.fromkeys([*axes, *self.tables]), **self.fields}
        for axis, source in sources.items():
            if axis in given or source in given:
                found[axis] = _value(axis, given[axis if axis in given else source], axes.get(axis))
        for axis, (other, table) in self.tables.items():
            if axis not in found and other in found:
                found[axis] = table.get(found[other])
        for axis, known in axes.items():
            if axis not in found:
                asked = self.tables[axis][0] if axis in self.tables else axis
                raise FlixError(
                    f"axis {asked!r}: this model has features of it, and the request gives no value. "
                    f"Allowed: {', '.join(sorted(known)) if asked == axis else 'text'}, or null for none."
                )
        return {axis: value for axis, value in found.items() if axis not in RESERVED and value is not None}

    def prompt(self, task: Task, language: str, given: Mapping[str, Any]) -> str:
        """What the model reads for a request.

        Args:
            given: its keys; where the prompt has one field only, its text may also be called `text`.

        Raises:
            FlixError: a field of the prompt is missing or holds no text.
        """
        names = prompt_fields(task)
        if len(names) == 1 and names[0] not in given and TEXT in given:
            given = {names[0]: given[TEXT]}
        if missing := [name for name in names if name not in given]:
            raise FlixError(
                f"task {task.name!r} takes the fields {', '.join(names)}; the request lacks {', '.join(missing)}."
            )
        fields = {name: given[name] for name in names}
        coded = {name: in_words(fields[name], self.words) for name in task.codes if isinstance(fields.get(name), str)}
        prompt = task.render(in_words(language, self.words), **{**fields, **coded})
        check_text(prompt)
        return prompt


PLAIN = Prompting()  # CLDR's words, no further axes, no limit


def prompt_fields(task: Task) -> list[str]:
    """The fields of a task's prompt that come with each example."""
    names = [name.partition(".")[0] for _, name, _, _ in Formatter().parse(task.prompt) if name]
    return [name for name in dict.fromkeys(names) if name != "language"]


def _value(axis: str, value: Any, known: set[str] | None) -> str | None:
    """A given value on an axis; None, and an empty text as in rows, stand for none."""
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise FlixError(f"axis {axis!r}: its value must be text; got {value!r}.")
    if value in (None, ""):
        return None
    for part in str(value).split(JOIN):
        if known is not None and part not in known:
            raise unknown(f"value of the axis {axis!r}:", part, known)
    return str(value)
