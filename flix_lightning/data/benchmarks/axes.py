"""Feature axes beyond task and language: where a cell's value on each comes from."""

from collections.abc import Mapping
from typing import Any

from flix_lightning.common.errors import FlixError
from flix_lightning.common.quoting import hint
from flix_lightning.data.cells import RESERVED


class Axes:
    """Values on further axes, from fields of rows and names of files, or by value of another axis.

    Args:
        sources: axis -> the field it is read from (a column, or a name in a file pattern); or axis -> {other axis:
            {its value: value}}, as in `family: {language: {sw: bantu, zu: bantu}}`.

    Raises:
        FlixError: a source of another form, or an axis that has its own meaning.
    """

    def __init__(self, sources: Mapping[str, Any]) -> None:
        self.fields: dict[str, str] = {}
        self.tables: dict[str, tuple[str, Mapping[str, str]]] = {}
        for axis, source in sources.items():
            place = f"benchmark.axes.{axis}"
            if axis in RESERVED:
                raise FlixError(f"{place}: that axis has its own meaning; choose another name than {sorted(RESERVED)}.")
            if isinstance(source, str):
                self.fields[axis] = source
            elif isinstance(source, Mapping) and len(source) == 1 and isinstance(*source.values(), Mapping):
                ((other, table),) = source.items()
                for value in table.values():
                    if isinstance(value, bool) or not isinstance(value, str | int):
                        raise FlixError(f"{place}.{other}: a value is text; got {value!r}.{hint(value)}")
                self.tables[axis] = other, {str(key): str(value) for key, value in table.items()}
            else:
                raise FlixError(
                    f"{place}: the name of a field, or {{axis: {{value: value}}}}; got {source!r}.{hint(source)}"
                )

    def attributes(self, task: str, language: str, fields: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
        """(axis, value) pairs of an example with `fields`; an axis that it has no value on is left out.

        Raises:
            FlixError: a field that is neither text nor a whole number.
        """
        values = {"task": task, "language": language}
        for axis, field in self.fields.items():
            value = fields.get(field)
            if isinstance(value, bool) or not isinstance(value, str | int | None):
                raise FlixError(f"field {field!r}, the axis {axis!r}, is a {type(value).__name__}; it must be text.")
            if value not in (None, ""):
                values[axis] = str(value)
        for axis, (other, table) in self.tables.items():
            if values.get(other) in table:
                values[axis] = table[values[other]]
        return tuple((axis, value) for axis, value in values.items() if axis not in RESERVED)
