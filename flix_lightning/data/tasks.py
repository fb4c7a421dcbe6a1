"""A task: the templates of its prompt and target, the metric of its answers, their greatest length."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.common.settings import Count, Text, checked

FIELD = re.compile(r"\w+(\.\w+)*")


@checked("task")
@dataclass(frozen=True)
class Task:
    """A task of a benchmark.

    Args:
        name: the task's value of the feature axis `task`.
        prompt: a template; `{language}` becomes the language in words, any other `{field}` the example's field. A field
            of a field, or a list's place, is written with a dot: `{answers.text.0}`.
        metric: a name in `flix_lightning.data.metrics.METRICS`, or a mapping with the `_target_` of another class.
        max_target_tokens: generation stops there, and training targets are cut there.
        target: a template like `prompt`.
        scored: the languages that an official average is taken over; None where there is no such list.
        codes: fields, beside `language`, that hold codes of languages and stand in prompts in words.

    Raises:
        FlixError: an invalid template.
    """

    name: Text
    prompt: Text
    metric: Text | Mapping[str, Any]
    max_target_tokens: Count
    target: Text = "{target}"
    scored: tuple[str, ...] | None = None
    codes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for template in (self.prompt, self.target):
            try:
                parts = list(Formatter().parse(template))
            except ValueError as error:
                raise FlixError(f"task {self.name!r}: {template!r} is no template: {error}.") from None
            for _, field, form, conversion in parts:
                if field is not None and (form or conversion or not FIELD.fullmatch(field)):
                    raise FlixError(f"task {self.name!r}: in {template!r} a field is written {{name}}; got {field!r}.")

    @property
    def metric_path(self) -> str:
        """The metric's name, or that of its class with its modules'."""
        return self.metric if isinstance(self.metric, str) else self.metric["_target_"]

    @property
    def metric_name(self) -> str:
        """The metric as tables show it."""
        return self.metric_path.rpartition(".")[2]

    def render(self, language: str, **fields: Any) -> str:
        """The model's input for one example.

        Raises:
            FlixError: the template names a field that the example does not have, or one that is no text.
        """
        return self._filled(self.prompt, {**fields, "language": language})

    def answer(self, language: str, **fields: Any) -> str:
        """The text that the model is to give, with the errors of `render`."""
        return self._filled(self.target, {**fields, "language": language})

    def _filled(self, template: str, fields: Mapping[str, Any]) -> str:
        return "".join(
            literal + ("" if field is None else self._text(template, field, fields))
            for literal, field, _, _ in Formatter().parse(template)
        )

    def _text(self, template: str, field: str, fields: Mapping[str, Any]) -> str:
        value: Any = fields
        for step in field.split("."):
            if isinstance(value, Mapping):
                if step not in value:
                    raise unknown(f"field in {template!r} of task {self.name!r}:", field, value)
                value = value[step]
            elif isinstance(value, Sequence) and not isinstance(value, str) and step.isdecimal():
                if int(step) >= len(value):
                    raise FlixError(f"field {field!r} of task {self.name!r}: the list has {len(value)} items.")
                value = value[int(step)]
            else:
                raise FlixError(f"field {field!r} of task {self.name!r}: there is nothing to look {step!r} up in.")
        if isinstance(value, bool) or not isinstance(value, str | int):
            kind = "null" if value is None else type(value).__name__
            raise FlixError(f"field {field!r} of task {self.name!r} is {kind}; it must be text or a whole number.")
        return str(value)


def check_text(*texts: str) -> None:
    """
    Raises:
        FlixError: a lone surrogate, half a character, which neither tokenizers nor UTF-8 files accept.
    """
    for text in texts:
        try:
            text.encode("utf8")
        except UnicodeEncodeError as error:
            raise FlixError(f"holds a lone surrogate, {text[error.start]!a}, at character {error.start + 1}.") from None
