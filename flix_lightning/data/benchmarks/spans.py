"""Entities given twice, as UTF-8 byte offsets and in the target, must agree (MasakhaNER-X)."""

from typing import Any

from flix_lightning.common.errors import FlixError


def check_spans(text: Any, spans: Any, target: str) -> None:
    """Every span cuts out of `text` the entity that `target`, `PER: a $$ LOC: b`, names at its place.

    A tab in the text may be a space in the target, as in the official conversion.

    Args:
        text, spans: of the row, as they came.
        target: what the model is to give.

    Raises:
        FlixError: spans of another shape than [{start_byte, limit_byte, label}], an offset outside the text or inside a
            character, or entities that are not the target's.
    """
    if not isinstance(text, str):
        raise FlixError(f"the text that spans count in is {text!r}.")
    if not isinstance(spans, list):
        raise FlixError(f"spans is a list of {{start_byte, limit_byte, label}}; got {spans!r}.")
    data, entities = text.encode("utf8"), []
    for span in spans:
        try:
            start, limit, label = (span[key] for key in ("start_byte", "limit_byte", "label"))
            inside = 0 <= start < limit <= len(data)
        except (KeyError, TypeError):
            raise FlixError(f"a span is {{start_byte, limit_byte, label}}; got {span!r}.") from None
        if not inside:
            raise FlixError(f"span {start}-{limit} lies outside the text of {len(data)} bytes.")
        try:
            entities.append(f"{label}: {data[start:limit].decode('utf8')}")
        except UnicodeDecodeError:
            raise FlixError(f"span {start}-{limit} begins or ends inside a character.") from None
    found = " $$ ".join(entities)
    if found.replace("\t", " ") != target.replace("\t", " "):
        raise FlixError(f"the spans cut out {found!r}; the target is {target!r}.")
