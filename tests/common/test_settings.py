"""Config sections against constructor signatures."""

from dataclasses import dataclass

import pytest

from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import fill
from flix_lightning.models.backbone import load_backbone


@dataclass
class Thing:
    count: int
    rate: float = 0.5
    names: tuple[str, ...] = ()
    size: int | None = None
    on: bool = False


def test_values_reach_the_constructor_and_lists_become_tuples():
    thing = fill("thing", Thing, {"count": 2, "rate": 1, "names": ["a"], "size": None})
    assert thing == Thing(2, 1, ("a",), None)


@pytest.mark.parametrize(
    ("section", "parts"),
    [
        ({"count": "two"}, ["thing.count", "'two'", "whole number"]),
        ({"count": True}, ["thing.count", "whole number"]),
        ({"count": 1, "rate": "fast"}, ["thing.rate", "number"]),
        ({"count": 1, "names": "a"}, ["thing.names", "list"]),
        ({"count": 1, "names": [1]}, ["thing.names"]),
        ({"count": 1, "on": 1}, ["thing.on", "true or false"]),
        ({"count": 1, "size": 1.5}, ["thing.size", "null"]),
        ({"count": 1, "rates": 1}, ["thing.rates", "did you mean 'thing.rate'"]),
        ({}, ["thing.count", "missing"]),
    ],
)
def test_what_does_not_fit_is_told_by_its_place(section, parts):
    with pytest.raises(FlixError) as caught:
        fill("thing", Thing, section)
    assert all(part in str(caught.value) for part in parts)


@pytest.mark.parametrize("target", ["os.system", "builtins.eval", "flix_lightning_evil.x", "", 7])
def test_a_config_names_only_what_is_allowed(target):
    with pytest.raises(FlixError, match="model._target_"):
        load_backbone({"_target_": target, "command": "true"})


def test_a_target_that_does_not_exist_is_told():
    with pytest.raises(FlixError, match="cannot be imported"):
        load_backbone({"_target_": "flix_lightning.models.tiny.load_huge"})
