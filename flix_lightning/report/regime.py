"""The regimes of the tables: what the frozen model knows before it is adapted, and what training has to teach it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Regime:
    """
    Args:
        name: in sentences and headings.
        model: the name of the embedded model.
        knows: what it knows, and what is new to it.
    """

    name: str
    model: str
    knows: str

    @property
    def where(self) -> dict[str, str]:
        """Settings by dotted key that all its runs have."""
        return {"model._target_": f"flix_lightning.models.{self.model}.load_{self.model}"}

    @property
    def line(self) -> str:
        """What stands above a table."""
        return f"*{self.name.capitalize()}: the model `{self.model}` {self.knows}.*"


LANGUAGES_KNOWN = Regime(
    "first regime",
    "tiny",
    "knows the languages, and the forms of two tasks are new to it, as in the paper",
)
TASKS_KNOWN = Regime(
    "second regime",
    "tiny_bytes",
    "knows the tasks, and the languages are new to it, the reverse of the paper",
)
REGIMES = (LANGUAGES_KNOWN, TASKS_KNOWN)
