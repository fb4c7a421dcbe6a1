"""What a task is: the words of its prompt, how its answers are scored, how long they may get."""

from dataclasses import dataclass

from flix_lightning.errors import FlixError


@dataclass(frozen=True)
class Task:
    """A task of a benchmark.

    Args:
        name: the task's value of the feature axis `task`.
        prompt: a template; `{language}` becomes the language in words, any other `{field}` the example's field.
        metric: a name in `flix_lightning.metrics.METRICS`.
        max_target_tokens: generation stops there, and training targets are cut there.
    """

    name: str
    prompt: str
    metric: str
    max_target_tokens: int

    def render(self, language: str, **fields: str) -> str:
        """The model's input for one example.

        Raises:
            FlixError: the template names a field that the example does not have.
        """
        try:
            return self.prompt.format(language=language, **fields)
        except KeyError as missing:
            have = ", ".join(sorted([*fields, "language"]))
            raise FlixError(
                f"task {self.name!r}: its prompt {self.prompt!r} names {missing}; an example has {have}."
            ) from None
