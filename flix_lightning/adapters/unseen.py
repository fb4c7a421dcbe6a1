"""What serves an unseen language: its task alone, as in the paper, or known languages in its place.

A policy changes the composition only: which language features stand in for the unknown one, and with what weights.
Adapted layers and training know nothing of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from flix_lightning.adapters.features import Feature, FeatureSpace
from flix_lightning.adapters.strengths import StandIns
from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import Natural, NotNegative, checked
from flix_lightning.data.cells import Cell
from flix_lightning.data.languages import family, script

if TYPE_CHECKING:
    from flix_lightning.adapters.composition import Composer

StandIn = Literal["task_only", "mean", "family", "script", "few_shot"]
STAND_INS = get_args(StandIn)
LANGUAGE = "language"  # the axis this is about


@checked("unseen_language")
@dataclass(frozen=True)
class UnseenLanguage:
    """A policy for unseen languages.

    Args:
        stand_in: the known languages that stand in, with weights that sum to 1: none, `task_only` (the paper); the
            `mean` of all, of those nearest by `family`, of those that share the `script`; or all with weights learned
            from labelled examples, `few_shot`. A language for which there are none keeps its task alone.
        examples: labelled examples a cell to learn from, its first training rows.
        steps, lr: of the learning.

    Raises:
        FlixError: a setting out of its range.
    """

    stand_in: StandIn = "task_only"
    examples: Natural = 0
    steps: Natural = 0
    lr: NotNegative = 0.0

    def __post_init__(self) -> None:
        if self.stand_in == "few_shot" and not min(self.examples, self.steps, self.lr) > 0:
            raise FlixError(
                "unseen_language: few_shot needs examples, steps and lr above 0; got "
                f"examples={self.examples!r}, steps={self.steps!r}, lr={self.lr!r}."
            )

    def stand_ins(self, features: Sequence[Feature], space: FeatureSpace) -> StandIns:
        """Stand-ins for those of `features` that are unknown languages; none where they are yet to be learned."""
        known = [feature for feature in space if feature.axis == LANGUAGE]
        absent = [feature for feature in features if feature.axis == LANGUAGE and feature not in space]
        found = {feature: self._nearest(feature.value, known) for feature in absent}
        return {feature: dict.fromkeys(near, 1 / len(near)) for feature, near in found.items() if near}

    def serve(self, composer: "Composer", cells: Iterable[Cell]) -> "Composer":
        """`composer` with stand-ins for the unknown languages of `cells`.

        Raises:
            FlixError: the policy is learned from examples, of which there are none here.
        """
        if self.stand_in == "few_shot":
            raise FlixError(
                "unseen_language: few_shot is learned in evaluation; serve what it found as strengths. "
                f"Allowed here: {', '.join(name for name in STAND_INS if name != 'few_shot')}."
            )
        features = dict.fromkeys(feature for cell in cells for feature in composer.featurizer(cell))
        found = self.stand_ins(list(features), composer.space)
        return composer.with_stand_ins(found) if found else composer

    def _nearest(self, language: str, known: Sequence[Feature]) -> list[Feature]:
        if self.stand_in == "family":
            shared = {feature: _shared_groups(language, feature.value) for feature in known}
            closest = max(shared.values(), default=0)
            return [feature for feature in known if shared[feature] == closest > 0]
        if self.stand_in == "script":
            return [feature for feature in known if script(feature.value) == script(language) is not None]
        return list(known) if self.stand_in == "mean" else []


TASK_ONLY = UnseenLanguage()  # the paper's rule


def _shared_groups(one: str, other: str) -> int:
    """How many groups two languages share, from the family down."""
    pairs = zip(family(one), family(other))
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(family(one)), len(family(other))))
