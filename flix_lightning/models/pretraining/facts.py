"""The language-independent meaning of a content: its kind, and its fields in numbers, ISO codes and English words."""

from flix_lightning.data.benchmarks.cldr.content import Content, Date, Measure, Money, Name, Relative

KINDS = ("date", "relative", "money", "measure", "place", "language", "currency")
_NAMES = {"LOC": "place", "LANG": "language", "CUR": "currency"}


def kind_of(content: Content) -> str:
    """One of `KINDS`."""
    if isinstance(content, Name):
        return _NAMES[content.label]
    return type(content).__name__.lower()


def fields_of(content: Content, merged: bool) -> dict[str, str]:
    """Field -> value.

    Args:
        content: what is said.
        merged: the period or unit is the field's name, and a relative time's direction its sign: `week: -5` instead of
            `period: week, direction: past, amount: 5`.
    """
    match content:
        case Date(value):
            return {"year": str(value.year), "month": str(value.month), "day": str(value.day)}
        case Relative(period, direction, amount) if merged:
            return {period: f"{'-' if direction == 'past' else '+'}{amount}"}
        case Relative(period, direction, amount):
            return {"period": period, "direction": direction, "amount": str(amount)}
        case Money(currency, amount):
            return {"amount": str(amount), "code": currency}
        case Measure(unit, amount) if merged:
            return {unit.lower(): str(amount)}
        case Measure(unit, amount):
            return {"amount": str(amount), "unit": unit.lower()}
        case Name(_, code):
            return {"code": code}


def compact(content: Content) -> str:
    """The shortest way to write a content down: `2040-11-01`, `week -5`, `236 KES`, `gram 12`, `KE`."""
    match content:
        case Date(value):
            return value.isoformat()
        case Relative() | Measure():
            ((field, value),) = fields_of(content, merged=True).items()
            return f"{field} {value}"
    return " ".join(fields_of(content, merged=True).values())
