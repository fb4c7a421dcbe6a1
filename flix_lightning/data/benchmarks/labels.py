"""Values of a Hugging Face dataset by their kinds: class labels as names, however nested; media left undecoded."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from datasets import ClassLabel, Dataset, LargeList, List

LISTS = (List, LargeList)


def named(fields: Mapping[Any, Any], kinds: Mapping[Any, Any]) -> dict[Any, Any]:
    """A row with its class labels as names; a number without a label, as -1, becomes None."""
    return {field: _named(value, kinds.get(field)) for field, value in fields.items()}


def _named(value: Any, kind: Any) -> Any:
    if value is None:
        return None
    if isinstance(kind, ClassLabel):
        return kind.names[value] if 0 <= value < len(kind.names) else None
    if isinstance(kind, Mapping):
        return named(value, kind)
    if isinstance(kind, LISTS):
        return [_named(item, kind.feature) for item in value]
    return value


def undecoded(table: Dataset) -> Dataset:
    """The table with media as they are stored; other libraries would have to decode them."""
    for column, kind in table.features.items():
        if (plain := _undecoded(kind)) != kind:
            table = table.cast_column(column, plain)
    return table


def _undecoded(kind: Any) -> Any:
    if isinstance(kind, Mapping):
        return {name: _undecoded(inner) for name, inner in kind.items()}
    if isinstance(kind, LISTS):
        return replace(kind, feature=_undecoded(kind.feature))
    medium = getattr(kind, "decode", False) and type(kind).__name__ != "Json"  # a kind that earlier versions lack
    return replace(kind, decode=False) if medium else kind
