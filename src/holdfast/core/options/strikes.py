"""Which contract expresses a direction: always a bought option, chosen by whole strikes.

A direction decides call or put here and nowhere else. What follows from a position (levels, profit,
the closing side) depends on its side alone, and never on this choice.
"""

from collections.abc import Iterable, Sequence

from holdfast.domain.decision import Direction
from holdfast.domain.instrument import Instrument, Kind, OptionType


def option_type_for(direction: Direction) -> OptionType:
    """The option that gains, when bought, if the underlying goes that way."""
    match direction:
        case Direction.UP:
            return OptionType.CALL
        case Direction.DOWN:
            return OptionType.PUT


def at_the_money(strikes_paise: Iterable[int], spot_paise: int) -> int:
    """The strike nearest to the spot; of two equally near the lower. Raises `ValueError` on none."""
    return min(strikes_paise, key=lambda strike: (abs(strike - spot_paise), strike))


def choose(
    instruments: Sequence[Instrument],
    underlying: str,
    *,
    spot_paise: int,
    option_type: OptionType,
    offset: int,
    day: str,
) -> Instrument | None:
    """The option `offset` listed strikes out of the money (negative: in), of the nearest expiry.

    The nearest expiry is the first on or after `day` (ISO dates). `None` when nothing is listed
    there. The order of `instruments` has no influence; of twins the one with the smaller id.
    """
    listed = [
        (one.expiry, one.strike_paise, one.id, one)
        for one in instruments
        if one.kind is Kind.OPTION
        and one.underlying == underlying
        and one.option_type is option_type
        and one.expiry is not None
        and one.strike_paise is not None
        and one.expiry >= day
    ]
    if not listed:
        return None
    nearest = min(expiry for expiry, *_ in listed)
    strikes = sorted({strike for expiry, strike, *_ in listed if expiry == nearest})
    step = offset if option_type is OptionType.CALL else -offset
    index = strikes.index(at_the_money(strikes, spot_paise)) + step
    if not 0 <= index < len(strikes):
        return None
    wanted = (nearest, strikes[index])
    return min((row for row in listed if row[:2] == wanted), key=lambda row: row[2])[3]
