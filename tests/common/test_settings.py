"""Settings: what reaches a constructor, and how what does not fit is told."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import Count, Location, Natural, Positive, Probability, Text, checked, fill
from flix_lightning.models.backbone import load_backbone


@dataclass
class Thing:
    count: int
    rate: float = 0.5
    names: tuple[str, ...] = ()
    size: int | None = None
    on: bool = False


@checked("tool")
@dataclass(frozen=True)
class Tool:
    """One field for every kind of annotation."""

    count: Count = 1
    workers: Natural = 0
    rate: Positive = 1.0
    p: Probability = 0.0
    budget: Count | None = None
    decay: Literal["constant", "linear"] = "linear"
    label: Text = "x"
    file: Location = "x"
    modules: str | tuple[str, ...] = "all"
    by_task: str | tuple[str, ...] | Mapping[str, tuple[str, ...]] = "all"
    rows: Mapping[Literal["train", "test"], Count] = field(default_factory=dict)
    nested: Mapping[str, Mapping[str, Count]] | None = None
    anything: Any = None
    thing: Thing | None = None


def test_values_reach_the_constructor_and_lists_become_tuples():
    thing = fill("thing", Thing, {"count": 2, "rate": 1, "names": ["a"], "size": None})
    assert thing == Thing(2, 1, ("a",), None)
    tool = fill("tool", Tool, {"by_task": {"ner": ["sw"]}, "rows": {"train": 3}})
    assert tool.by_task == {"ner": ("sw",)} and tool.rows == {"train": 3}


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


COUNT = "a whole number of at least 1"
TOLD = [
    ({"count": 0}, f"count: expected {COUNT}; got 0."),
    ({"count": "8"}, f"count: expected {COUNT}; got '8'."),
    ({"count": 8.0}, f"count: expected {COUNT}; got 8.0."),
    ({"count": True}, f"count: expected {COUNT}; got True."),
    ({"count": 10**30}, f"count: expected {COUNT} and below 2^31; got {10**30}."),
    ({"count": None}, f"count: expected {COUNT}; got None."),
    ({"workers": -1}, "workers: expected a whole number of at least 0; got -1."),
    ({"rate": math.inf}, "rate: expected a finite number above 0; got inf."),
    ({"rate": math.nan}, "rate: expected a finite number above 0; got nan."),
    ({"rate": 0}, "rate: expected a finite number above 0; got 0."),
    ({"rate": True}, "rate: expected a finite number above 0; got True."),
    ({"rate": 10**400}, f"rate: expected a finite number above 0; got {10**400}."),
    ({"p": 1.5}, "p: expected a number in [0, 1]; got 1.5."),
    ({"p": math.nan}, "p: expected a number in [0, 1]; got nan."),
    ({"budget": -4}, f"budget: expected {COUNT} or null; got -4."),
    ({"label": ""}, "label: expected text that is not empty; got ''."),
    ({"file": ""}, "file: expected a path; got ''."),
    ({"file": "a\0b"}, r"file: expected a path; got 'a\x00b'."),
    ({"modules": 0}, "modules: expected text or a list of text; got 0."),
    ({"modules": ["a", 1]}, "modules.1: expected text; got 1."),
    ({"modules": {}}, "modules: expected text or a list of text; got {}."),
    ({"by_task": {"ner": ["sw", 3]}}, "by_task.ner.1: expected text; got 3."),
    ({"by_task": {"ner": "sw"}}, "by_task.ner: expected a list of text; got 'sw'."),
    ({"by_task": [1]}, "by_task.0: expected text; got 1."),
    ({"by_task": 1}, "by_task: expected text or a list of text or a mapping of keys to values; got 1."),
    ({"rows": {"train": 0}}, f"rows.train: expected {COUNT}; got 0."),
    ({"rows": 3}, "rows: expected a mapping of keys to values; got 3."),
    ({"nested": {"a": {"b": 0}}}, f"nested.a.b: expected {COUNT}; got 0."),
    ({"nested": {"a": 1}}, "nested.a: expected a mapping of keys to values; got 1."),
    ({"nested": {False: {}}}, "nested: a key is false, which is no text. YAML reads"),
    ({"decay": 1}, "decay: expected constant or linear; got 1."),
]


@pytest.mark.parametrize(("section", "message"), TOLD)
def test_every_kind_of_setting_is_told_in_full(section, message):
    with pytest.raises(FlixError) as caught:
        fill("tool", Tool, section)
    assert str(caught.value).startswith(f"tool.{message}")
    with pytest.raises(FlixError) as caught:  # and where Python code calls the constructor
        Tool(**section)
    assert str(caught.value).startswith(f"tool.{message}")


@pytest.mark.parametrize("choice, near", [({"decay": "lineal"}, "linear"), ({"rows": {"trian": 1}}, "train")])
def test_a_choice_that_is_none_is_told_with_the_nearest(choice, near):
    with pytest.raises(FlixError, match=f"did you mean '{near}'"):
        fill("tool", Tool, choice)


@pytest.mark.parametrize("section", [{"label": False}, {"modules": ["sw", False]}, {"nested": {False: {}}}])
def test_a_word_that_yaml_reads_as_false_is_told_to_be_quoted(section):
    with pytest.raises(FlixError, match="YAML reads no"):
        fill("tool", Tool, section)


def test_constructors_are_checked_wherever_they_are_called():
    assert Tool(2, rate=1).rate == 1.0 and Tool(modules=["a"]).modules == ("a",)
    with pytest.raises(FlixError, match="tool.count.*at least 1"):
        Tool(0)
    with pytest.raises(FlixError, match="tool.count.*at least 1"):
        replace(Tool(2), count=0)
    with pytest.raises(FlixError, match="'tool.cuont'; did you mean 'tool.count'"):
        Tool(cuont=3)
    with pytest.raises(TypeError):
        Tool(1, count=2)


def test_objects_are_passed_as_they_are():
    thing = object()
    assert Tool(thing=thing).thing is thing and Tool(anything=thing).anything is thing


def test_functions_are_checked_too():
    @checked("")
    def double(path: Path, count: Count, *, more: Positive = 1.0) -> float:
        return count * more * 2

    assert double("anything", 3) == fill("", double, {"count": 3}, path=None) == 6
    with pytest.raises(FlixError, match="^more: expected a finite number above 0; got nan.$"):
        double(None, 1, more=math.nan)
    with pytest.raises(FlixError, match="^here.count: expected"):
        fill("here", double, {"count": 0}, path=None)


class Theirs:
    """As other libraries write them: annotations of their own kinds, also of what is not imported."""

    def __init__(self, folder: "str | Path", sizes: list[int], betas: tuple[float, float] = (0.9, 0.9), **more: Any):
        self.folder, self.sizes, self.betas, self.more = folder, sizes, betas, more


class Unresolved:
    def __init__(self, run: "Run", size: int = 1):  # noqa: F821
        self.run, self.size = run, size


def test_constructors_of_other_libraries_are_filled_too():
    theirs = fill("logger", Theirs, {"sizes": [1, 2], "betas": [0.5, 1], "extra": [3]}, folder=Path("x"))
    assert (theirs.sizes, theirs.betas, theirs.more) == ([1, 2], (0.5, 1.0), {"extra": [3]})
    with pytest.raises(FlixError, match="^logger.sizes.1: expected a whole number; got 'b'.$"):
        fill("logger", Theirs, {"folder": "x", "sizes": [1, "b"]})
    assert fill("logger", Unresolved, {"size": 2}, run=None).size == 2
    with pytest.raises(FlixError, match="'logger.sise'; did you mean 'logger.size'"):
        fill("logger", Unresolved, {"sise": 2}, run=None)


@pytest.mark.parametrize("target", ["os.system", "builtins.eval", "flix_lightning_evil.x", "", 7])
def test_a_config_names_only_what_is_allowed(target):
    with pytest.raises(FlixError, match="model._target_"):
        load_backbone({"_target_": target, "command": "true"})


def test_a_target_that_does_not_exist_is_told():
    with pytest.raises(FlixError, match="cannot be imported"):
        load_backbone({"_target_": "flix_lightning.models.tiny.load_huge"})
