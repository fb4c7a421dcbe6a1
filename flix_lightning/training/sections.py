"""The sections of a training config, checked before any of them is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flix_lightning.common.settings import Location, Seed, Text, check, checked

Section = Mapping[str, Any]


@checked("")
@dataclass(frozen=True)
class Sections:
    """The top level of a training config; each section is checked by its own constructor."""

    name: Text
    seed: Seed
    runs_dir: Location
    model: Section
    benchmark: Section
    mixture: Section
    adapter: Section
    rank: Section
    feature_dropout: Section
    data: Section
    optimizer: Section
    trainer: Section
    logger: Section
    callbacks: Section = field(default_factory=dict)
    warm_start: Section | None = None
    continue_from: Location | None = None
    trust: str | tuple[str, ...] = ()
    dry_run: bool = False

    def __post_init__(self) -> None:
        for key in ("mixture", "adapter"):
            check(f"{key}.name", Text, getattr(self, key).get("name"))
