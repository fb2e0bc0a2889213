"""Single fields of the broker's JSON, read strictly: what is not of its form raises `Unreadable`.

Numbers come with a fraction, with an exponent, as `-0`, as a 32-bit float's shadow (23092.19921875)
or as text; money becomes paise here and nowhere later.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final

from holdfast.brokers.dhan.rest import Answer
from holdfast.facts.ist import ist_date, ist_ns

SHOWN_MAX: Final = 60
"""Characters of something unreadable that a message shows."""

_MAGNITUDE_MAX: Final = Decimal(10) ** 15
_SECONDS_A_DAY: Final = 86_400


class Unreadable(ValueError):
    """An answer is not of its documented form. The text says what was seen, in few words."""


def shown(value: object) -> str:
    """A few characters of what was seen, on one line; of what is large only its sort."""
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    text = ascii(value[:SHOWN_MAX] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 3] + "..."


def objects(value: object, what: str) -> Mapping[str, object]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise Unreadable(f"{what} is no object: {shown(value)}")
    return value


def items(value: object, what: str) -> Sequence[object]:
    """A JSON array."""
    if not isinstance(value, list):
        raise Unreadable(f"{what} is no array: {shown(value)}")
    return value


def text(row: Mapping[str, object], key: str, default: str = "") -> str:
    """A string; `default` when it is absent or null. A number becomes its text: ids come as both."""
    value = row.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Unreadable(f"{key} is no text: {shown(value)}")
    return str(value)


def number(value: object, what: str) -> Decimal:
    """A finite number, as JSON or as text."""
    found = _decimal(value)
    if found is None:
        raise Unreadable(f"{what} is no number: {shown(value)}")
    if not found.is_finite() or abs(found) >= _MAGNITUDE_MAX:
        raise Unreadable(f"{what} is no number of this world: {shown(value)}")
    return found


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        return Decimal(value.strip()) if isinstance(value, str) else Decimal(value)
    except InvalidOperation:
        return None


def paise(value: object, what: str) -> int:
    """Rupees as paise, the nearest of them."""
    return int((number(value, what) * 100).to_integral_value())


def whole(value: object, what: str) -> int:
    """A whole number, also where it is written as 65.0 or 1.2E7."""
    found = number(value, what)
    if found != found.to_integral_value():
        raise Unreadable(f"{what} is not whole: {shown(value)}")
    return int(found)


def ist_stamp(value: str, form: str, what: str) -> int:
    """A time on India's wall in `strptime`'s `form`, as UTC nanoseconds; fractions are cut off."""
    try:
        read = dt.datetime.strptime(value, form)  # noqa: DTZ007 India's wall, by its offset below
    except ValueError:
        raise Unreadable(f"{what} is no time: {shown(value)}") from None
    seconds = read.hour * 3_600 + read.minute * 60 + read.second
    return ist_ns(read.date(), seconds)


def ist_wall(at_ns: int) -> str:
    """`YYYY-MM-DD HH:MM:SS` in India, as requests name times (dhan.md 3.9)."""
    day = ist_date(at_ns)
    second = (at_ns - ist_ns(day, 0)) // 1_000_000_000 % _SECONDS_A_DAY
    return f"{day.isoformat()} {second // 3_600:02}:{second // 60 % 60:02}:{second % 60:02}"


def data_of(answer: Answer, what: str) -> object:
    """What `{"data": .., "status": "success"}` holds (dhan.md 1.10)."""
    wrapped = objects(answer.payload, what)
    if wrapped.get("status") != "success" or "data" not in wrapped:
        raise Unreadable(f"{what} is no success: {shown(wrapped)}")
    return wrapped["data"]
