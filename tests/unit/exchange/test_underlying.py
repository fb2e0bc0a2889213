"""One underlying's day."""

import datetime as dt
from itertools import pairwise

import numpy as np
import pytest
from msgspec.structs import replace

from holdfast.domain.instrument import OptionType
from holdfast.exchange.packets import Packets
from holdfast.exchange.underlying import UnderlyingDay
from holdfast.exchange.universe import Universe
from tests.support.desk import OPEN, SECOND, SESSION
from tests.unit.exchange.made import EXPIRING, SHORT, UNIVERSE

MINUTE = 60 * SECOND
IST = dt.timezone(dt.timedelta(hours=5, minutes=30))


def mids(packets: Packets, *, of: slice) -> float:
    """The mean middle of the quotes of some packets, in paise."""
    return float(((packets.bid + packets.ask) / 2)[of].mean())


def test_history_is_a_full_session_of_minutes_that_leads_to_the_spot() -> None:
    """Strictly increasing, complete, from the day before, received before the open."""
    history = list(UnderlyingDay(1, UNIVERSE, SESSION).history())
    candles = [loaded.candle for loaded in history]
    assert len(candles) == 375
    assert [b.start_ns - a.start_ns for a, b in pairwise(candles)] == [MINUTE] * 374
    assert candles[0].start_ns == OPEN - 24 * 3_600 * SECOND
    assert candles[-1].close_paise == UNIVERSE.spot_paise
    assert {loaded.at_ns < OPEN for loaded in history} == {True}
    for candle in candles:
        assert candle.low_paise <= min(candle.open_paise, candle.close_paise)
        assert candle.high_paise >= max(candle.open_paise, candle.close_paise)
        assert (candle.interval_s, candle.complete, candle.volume) == (60, True, 0)
    assert len({candle.high_paise - candle.low_paise for candle in candles}) > 100


@pytest.mark.parametrize(
    ("day", "before"),
    [
        ("2026-11-20", "2026-11-19"),  # a Friday
        ("2026-11-23", "2026-11-20"),  # a Monday
        ("2026-11-08", "2026-11-06"),  # a Sunday
        ("2026-11-07", "2026-11-06"),  # a Saturday
    ],
)
def test_history_lies_on_the_weekday_before(day: str, before: str) -> None:
    """Never on a weekend."""
    shift = (dt.date.fromisoformat(day) - dt.date.fromisoformat(SESSION.day)).days * 86_400 * SECOND
    session = replace(SHORT, day=day, windows=((OPEN + shift, OPEN + shift + MINUTE),))
    universe = replace(UNIVERSE, expiry="2026-12-29")
    first = next(iter(UnderlyingDay(1, universe, session).history())).candle
    start = dt.datetime.fromtimestamp(first.start_ns / SECOND, tz=IST)
    assert start.isoformat() == f"{before}T09:15:00+05:30"


def test_the_day_opens_near_the_close_before() -> None:
    """With a gap of some points either way."""
    opens = [int(UnderlyingDay(seed, UNIVERSE, SHORT).packets()[0].last[0]) for seed in range(12)]
    gaps = [value - UNIVERSE.spot_paise for value in opens]
    assert max(map(abs, gaps)) < 60_00
    assert min(gaps) < -5_00 < 5_00 < max(gaps)


def test_two_windows_leave_the_break_between_them_silent() -> None:
    """As on a special Saturday."""
    windows = ((OPEN, OPEN + MINUTE), (OPEN + 5 * MINUTE, OPEN + 6 * MINUTE))
    index, options = UnderlyingDay(1, UNIVERSE, replace(SHORT, windows=windows)).packets()
    for packets in (index, *options):
        seconds = (packets.at_ns - OPEN) // SECOND
        assert not ((seconds >= 60) & (seconds < 300)).any()
        assert ((seconds >= 0) & (seconds < 360)).all()
        assert (seconds >= 300).any()


def straddle(universe: Universe, seed: int, *, of: slice) -> float:
    """The middle of the at-the-money straddle over some packets, in paise."""
    _, options = UnderlyingDay(seed, universe, SESSION).packets()
    middle = len(options) // 2
    return mids(options[middle - 1], of=of) + mids(options[middle], of=of)


def test_on_expiry_day_time_value_collapses() -> None:
    """It begins a fraction of what four days cost, and ends as what is in the money."""
    first = slice(0, 60)
    assert 0 < straddle(EXPIRING, 1, of=first) < 0.6 * straddle(UNIVERSE, 1, of=first)
    _, options = UnderlyingDay(1, EXPIRING, SESSION).packets()
    index = int(
        UnderlyingDay(1, replace(EXPIRING), replace(SESSION, underlying_ends_ns=SESSION.close_ns))
        .packets()[0]
        .last[-1]
    )
    for option, packets in zip(EXPIRING.options(), options, strict=True):
        assert option.strike_paise is not None
        sign = 1 if option.option_type is OptionType.CALL else -1
        intrinsic = max(sign * (index - option.strike_paise), 0)
        assert packets.bid[-1] <= intrinsic + 12_00
        assert packets.ask[-1] >= intrinsic - 12_00


def test_on_expiry_day_implied_volatility_is_higher() -> None:
    """Two minutes after the open the straddle costs more than its square root of time alone."""
    early = slice(120, 180)
    left = 23_000 / 86_400
    plain = straddle(UNIVERSE, 3, of=early) * np.sqrt(left / (4 + left))
    assert straddle(EXPIRING, 3, of=early) > 1.1 * plain
