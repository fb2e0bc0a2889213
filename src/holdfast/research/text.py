"""How figures are written for people: Indian grouping, the clock of India, plain tables.

Everything here is a pure function of its arguments: no locale, no time zone of the machine, no
terminal. Money comes in paise, times in UTC nanoseconds.
"""

from collections.abc import Sequence
from typing import Final

from holdfast.domain.decision import Values

_SECOND_NS: Final = 1_000_000_000
_IST_AHEAD_NS: Final = 19_800 * _SECOND_NS
_DAY_NS: Final = 86_400 * _SECOND_NS
# A figure called `_ns` beyond this is a point in time, below it a span: a day has 8.64e13.
_EPOCH_NS: Final = 1_000 * _DAY_NS

LEFT: Final = "<"
RIGHT: Final = ">"


def rupees(paise: int) -> str:
    """`-1,23,456.78`: the last three digits, then pairs."""
    sign = "-" if paise < 0 else ""
    whole, fraction = divmod(abs(paise), 100)
    return f"{sign}{grouped(whole)}.{fraction:02d}"


def grouped(number: int) -> str:
    """`12,34,567`, the Indian way of grouping digits."""
    sign, digits = ("-" if number < 0 else ""), str(abs(number))
    head, tail = digits[:-3], digits[-3:]
    pairs = [head[max(end - 2, 0) : end] for end in range(len(head), 0, -2)]
    return sign + ",".join([*reversed(pairs), tail])


def average(value_paise: int, quantity: int) -> str:
    """The price per contract of a total, to the paisa, halves up; `-` for nothing."""
    if quantity == 0:
        return "-"
    return rupees((2 * value_paise + quantity) // (2 * quantity))


def percent(bps: int) -> str:
    """`12 %` for 1200, `0.5 %` for 50."""
    whole, rest = divmod(abs(bps), 100)
    digits = f".{rest:02d}".rstrip("0") if rest else ""
    return f"{'-' if bps < 0 else ''}{whole}{digits} %"


def clock(at_ns: int) -> str:
    """`14:52:07`, the time of day in India, cut to the second."""
    second = (at_ns + _IST_AHEAD_NS) % _DAY_NS // _SECOND_NS
    return f"{second // 3_600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


def clock_ms(at_ns: int) -> str:
    """`14:52:07.250`, cut to the millisecond."""
    return f"{clock(at_ns)}.{at_ns % _SECOND_NS // 1_000_000:03d}"


def span(duration_ns: int) -> str:
    """`0.250 s`, `124.4 s`, `12 min 05 s`, `2 h 07 min`."""
    second, rest = divmod(duration_ns, _SECOND_NS)
    if second < 10:
        return f"{second}.{rest // 1_000_000:03d} s"
    if second < 300:
        return f"{second}.{rest // 100_000_000} s"
    if second < 7_200:
        return f"{second // 60} min {second % 60:02d} s"
    return f"{second // 3_600} h {second // 60 % 60:02d} min"


def figures(values: Values) -> str:
    """Named figures as a person reads them: `spread 3.12 %, max 2 %`.

    The unit is the name's last part, as everywhere in the program.
    """
    return ", ".join(_figure(name, value) for name, value in values.items())


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[int] = (0,)
) -> list[str]:
    """Aligned columns, two spaces apart; the columns `left` start at the left, the rest end right."""
    lines = [headings, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    sides = [LEFT if column in left else RIGHT for column in range(len(headings))]
    return [
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(line, sides, widths, strict=True)
        ).rstrip()
        for line in lines
    ]


def _figure(name: str, value: float | str) -> str:
    stem, _, unit = name.rpartition("_")
    label = (stem or name).replace("_", " ")
    if not isinstance(value, int) or not stem:
        return f"{name.replace('_', ' ')} {value}"
    match unit:
        case "paise":
            return f"{label} {rupees(value)}"
        case "bps":
            return f"{label} {percent(value)}"
        case "ns":
            return f"{label} {clock(value) if value > _EPOCH_NS else span(value)}"
        case "s" | "ms":
            return f"{label} {value} {unit}"
        case _:
            return f"{name.replace('_', ' ')} {value}"
