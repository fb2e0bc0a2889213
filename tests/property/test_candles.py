"""Candles of any sequence of packets are a fold by trade time of those that came in time."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.market.candles import LAG_NS, CandleBuilder
from holdfast.core.settings import SECOND_NS
from holdfast.domain.dated import Session
from holdfast.domain.instrument import Exchange, Segment, instrument_id
from holdfast.domain.market import Candle, Tick

NIFTY = instrument_id(Segment.IDX_I, 13)
OPEN_S = 1_765_770_300  # 2025-12-15 09:15 IST
WINDOWS_S = ((OPEN_S, OPEN_S + 2_700), (OPEN_S + 8_100, OPEN_S + 11_700))
SESSION = Session(
    day="2025-12-15",
    exchange=Exchange.NSE,
    windows=tuple((start * SECOND_NS, end * SECOND_NS) for start, end in WINDOWS_S),
    square_off_ns=(OPEN_S + 11_000) * SECOND_NS,
    underlying_ends_ns=(OPEN_S + 11_700) * SECOND_NS,
)
INTERVALS_S = st.sampled_from([1, 60, 180, 300, 420, 900, 1_800, 3_600])


class Slot(NamedTuple):
    """An interval, by brute force."""

    start_ns: int
    end_ns: int


@st.composite
def packets(draw: st.DrawFn) -> list[Tick]:
    """Trades around a few instants of the day, each late by up to 5 s, some of them repeated."""
    centres = draw(
        st.lists(st.sampled_from([0, 0, 2_640, 2_700, 8_100, 9_000, 11_690]), min_size=1)
    )
    trades = [
        (
            OPEN_S + centre + draw(st.integers(-5, 130)),
            draw(st.integers(1, 500)),
            draw(st.integers(0, 5_000)),
            draw(st.integers(1, 3)),
        )
        for centre in centres
        for _ in range(draw(st.integers(1, 12)))
    ]
    ticks = [
        Tick(
            at_ns=trade_s * SECOND_NS + (lag_ms + 40 * copy) * 1_000_000,
            instrument=NIFTY,
            last_paise=paise,
            venue_at_ns=trade_s * SECOND_NS,
            volume=10 * number,
        )
        for number, (trade_s, paise, lag_ms, copies) in enumerate(sorted(trades), start=1)
        for copy in range(copies)
    ]
    return sorted(ticks, key=lambda tick: tick.at_ns)


def slot(tick: Tick, interval_s: int) -> Slot | None:
    """The interval of a trade, found by walking through all of them."""
    trade_ns = tick.venue_at_ns
    assert trade_ns is not None
    for open_s, close_s in WINDOWS_S:
        for start_s in range(open_s, close_s, interval_s):
            end_s = min(start_s + interval_s, close_s)
            if start_s * SECOND_NS <= trade_ns < end_s * SECOND_NS:
                return Slot(start_s * SECOND_NS, end_s * SECOND_NS)
    return None


def folded(ticks: list[Tick], interval_s: int) -> tuple[dict[Slot, list[Tick]], int]:
    """Per interval the packets in time, in order of trades; and how many trades came too late.

    In time is: before any packet of a later interval, and before the interval's end plus the lag.
    """
    slots = [slot(tick, interval_s) for tick in ticks]
    taken: dict[Slot, list[Tick]] = {}
    late = 0
    latest_ns = 0
    for number, (tick, its) in enumerate(zip(ticks, slots, strict=True)):
        if its is None:
            continue
        if its.start_ns >= latest_ns and tick.at_ns < its.end_ns + LAG_NS:
            taken.setdefault(its, []).append(tick)
            latest_ns = its.start_ns
        else:
            late += number == 0 or not is_repeat(ticks[number - 1], tick)
    for trades in taken.values():
        trades.sort(key=lambda tick: tick.venue_at_ns or 0)
    return taken, late


def is_repeat(before: Tick, tick: Tick) -> bool:
    """Whether a packet says of trades what the one before it said."""
    return (before.venue_at_ns, before.last_paise, before.volume) == (
        tick.venue_at_ns,
        tick.last_paise,
        tick.volume,
    )


def built(ticks: list[Tick], interval_s: int, *, with_timer: bool) -> tuple[list[Candle], int]:
    """What the builder makes of them, its deadlines kept by a timer or only by later packets."""
    builder = CandleBuilder(NIFTY, interval_s, session=SESSION, since_ns=0)
    candles: list[Candle] = []
    for tick in ticks:
        deadline_ns = builder.deadline_ns
        if with_timer and deadline_ns is not None and deadline_ns < tick.at_ns:
            due = builder.close_due(deadline_ns)
            assert due is not None
            candles.append(due)
        candles += builder.on_tick(tick)
    last = builder.close_due((OPEN_S + 86_400) * SECOND_NS)
    return (candles if last is None else [*candles, last]), builder.late


@pytest.mark.proves("I-74")
@given(ticks=packets(), interval_s=INTERVALS_S, with_timer=st.booleans())
def test_candles_are_the_fold_by_trade_time(
    ticks: list[Tick], interval_s: int, *, with_timer: bool
) -> None:
    """Starts lie on the session's grid and increase; prices and late trades are those of a fold."""
    candles, late = built(ticks, interval_s, with_timer=with_timer)
    taken, late_expected = folded(ticks, interval_s)
    starts = [candle.start_ns for candle in candles]
    assert starts == sorted(set(starts))
    assert starts == [its.start_ns for its in taken]
    assert late == late_expected
    for candle, trades in zip(candles, taken.values(), strict=True):
        prices = [tick.last_paise for tick in trades]
        assert (candle.open_paise, candle.close_paise) == (prices[0], prices[-1])
        assert (candle.high_paise, candle.low_paise) == (max(prices), min(prices))


@given(packets(), INTERVALS_S)
def test_no_volume_is_lost_or_counted_twice(ticks: list[Tick], interval_s: int) -> None:
    """The candles' volumes add up to the highest day's volume among the packets in time."""
    candles, _ = built(ticks, interval_s, with_timer=True)
    taken, _ = folded(ticks, interval_s)
    volumes = [tick.volume for trades in taken.values() for tick in trades]
    assert sum(candle.volume for candle in candles) == max(volumes, default=0)
    assert all(candle.volume >= 0 for candle in candles)
