"""Tests of features: the axes of a cell, featurizers of FLix and its baselines, the order of the feature space."""

import random

import pytest

from flix_lightning.adapters.features import Feature, FeatureSpace, Featurizer
from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import DATASET, SHARED, Cell
from tests.toy import CELLS, FLIX


def written(features) -> list[str]:
    return [str(feature) for feature in features]


@pytest.mark.parametrize("text, axis, value", [("language=sw", "language", "sw"), ("pair=en=sw", "pair", "en=sw")])
def test_parse_is_the_inverse_of_writing(text, axis, value):
    assert Feature.parse(text) == Feature(axis, value)
    assert str(Feature.parse(text)) == text


@pytest.mark.parametrize("text", ["language", "=sw", "language=", "=", ""])
def test_a_malformed_feature_is_refused_and_quoted(text):
    with pytest.raises(FlixError, match="axis=value") as caught:
        Feature.parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    "axes, expected",
    [
        (("task", "language"), ["task=ner", "language=sw"]),
        (("language", "task"), ["language=sw", "task=ner"]),
        ((SHARED,), ["shared=all"]),
        ((DATASET,), ["dataset=ner/sw"]),
        (("family", "task"), ["family=bantu", "task=ner"]),
    ],
)
def test_a_featurizer_gives_one_feature_an_axis_in_its_order(axes, expected):
    cell = Cell("ner", "sw", (("family", "bantu"), ("script", "latin")))
    assert written(Featurizer(axes)(cell)) == expected


def test_joined_values_are_features_of_their_own_except_in_a_dataset():
    cell = Cell("qa+translation", "sw", (("domain", "news+law"),))
    assert written(Featurizer(("domain", "task"))(cell)) == [
        "domain=news", "domain=law", "task=qa", "task=translation"
    ]  # fmt: skip
    assert written(Featurizer((DATASET,))(cell)) == ["dataset=qa+translation/sw"]
    assert len(FeatureSpace.of([cell, Cell("qa", "sw")], Featurizer(("task",)))) == 2


@pytest.mark.parametrize("task", ["qa+", "+qa", "qa++ner", "qa+qa"])
def test_an_empty_or_repeated_part_is_refused(task):
    with pytest.raises(FlixError, match="task.*joins"):
        Cell(task, "sw")


@pytest.mark.parametrize("axes", [(), ("task", "task")])
def test_axes_are_at_least_one_and_none_twice(axes):
    with pytest.raises(FlixError, match="at least one axis, none twice"):
        Featurizer(axes)


def test_a_missing_axis_is_refused_with_the_nearest_one():
    with pytest.raises(FlixError) as caught:
        FeatureSpace.of([Cell("ner", "sw")], Featurizer(("task", "langauge")))
    message = str(caught.value)
    assert "'langauge'" in message and "did you mean 'language'?" in message
    assert "dataset, language, shared, task" in message


def test_an_error_without_a_near_match_is_still_two_sentences():
    with pytest.raises(FlixError) as caught:
        FeatureSpace.of([Cell("ner", "sw")], Featurizer(("zzz",)))
    assert "'zzz'. Allowed: dataset" in str(caught.value)


def test_a_cell_without_a_value_on_an_axis_has_no_feature_of_it():
    cells = [Cell("ner", "sw"), Cell("qa", "sw", (("domain", "news"),))]
    axes = Featurizer(("task", "domain", "language"))
    assert written(axes(cells[0])) == ["task=ner", "language=sw"]
    assert written(FeatureSpace.of(cells, axes)) == ["task=ner", "task=qa", "domain=news", "language=sw"]


def test_a_cell_is_written_with_its_attributes_and_its_dataset_without():
    cell = Cell("ner", "sw", (("domain", "news"), ("family", "bantu")))
    assert str(cell) == "ner/sw/domain=news/family=bantu"
    assert cell.features()[DATASET] == "ner/sw"


def test_the_space_goes_axis_by_axis_and_sorts_the_values():
    expected = ["task=ner", "task=parse", "task=qa", "language=am", "language=bn", "language=sw", "language=yo"]
    assert written(FeatureSpace.of(CELLS, FLIX)) == expected
    assert written(FeatureSpace.of(CELLS, Featurizer(("language", "task")))) == expected[3:] + expected[:3]


def test_the_space_does_not_depend_on_the_order_or_repetition_of_cells():
    cells = [*CELLS, *CELLS]
    random.Random(0).shuffle(cells)
    assert cells[: len(CELLS)] != CELLS
    assert written(FeatureSpace.of(cells, FLIX)) == written(FeatureSpace.of(CELLS, FLIX))


def test_baselines_are_featurizers():
    assert len(FeatureSpace.of(CELLS, Featurizer((SHARED,)))) == 1
    assert len(FeatureSpace.of(CELLS, Featurizer((DATASET,)))) == len(CELLS) == 12


def test_index_contains_and_axes():
    space = FeatureSpace.of(CELLS, FLIX)
    assert [space.index(feature) for feature in space] == list(range(7))
    assert space.index(Feature("language", "bn")) == 4
    assert Feature("language", "bn") in space
    assert Feature("language", "ner") not in space and Feature("task", "bn") not in space
    assert space.axes() == ("task", "language")


def test_an_unknown_feature_is_refused_with_the_nearest_one():
    with pytest.raises(FlixError) as caught:
        FeatureSpace.of(CELLS, FLIX).index(Feature("task", "parser"))
    message = str(caught.value)
    assert "'task=parser'" in message and "did you mean 'task=parse'?" in message and "language=yo" in message


def test_a_cell_cannot_contradict_its_own_task():
    with pytest.raises(FlixError, match="task"):
        Cell("ner", "sw", (("task", "qa"),)).features()
