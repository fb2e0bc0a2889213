"""Candles by trade time: when they close, what they take, and what a series refuses."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from holdfast.core.market.candles import CandleBuilder, CandleSeries, check_interval
from holdfast.core.settings import SECOND_NS
from holdfast.domain.dated import Session
from holdfast.domain.instrument import Exchange, Segment, instrument_id
from holdfast.domain.market import Candle, Tick

NIFTY = instrument_id(Segment.IDX_I, 13)
IST = timezone(timedelta(hours=5, minutes=30))


def at(text: str) -> int:
    """Nanoseconds of an IST time of 15 December 2025: "09:15" or "09:15:01.5"."""
    hour, minute, *rest = text.split(":")
    seconds = float(rest[0]) if rest else 0.0
    day = datetime(2025, 12, 15, int(hour), int(minute), tzinfo=IST).astimezone(UTC)
    return int(day.timestamp()) * SECOND_NS + round(seconds * SECOND_NS)


def session(*windows: tuple[str, str]) -> Session:
    """A day with these hours; the regular ones unless told."""
    hours = windows or (("09:15", "15:30"),)
    return Session(
        day="2025-12-15",
        exchange=Exchange.NSE,
        windows=tuple((at(start), at(end)) for start, end in hours),
        square_off_ns=at("15:20"),
        underlying_ends_ns=at("15:30"),
    )


def builder(
    interval_s: int = 60, *, day: Session | None = None, since: str = "09:00"
) -> CandleBuilder:
    """One for the NIFTY that listens since before the opening."""
    return CandleBuilder(NIFTY, interval_s, session=day or session(), since_ns=at(since))


def tick(trade: str, paise: int, *, lag_s: float = 0.2, **fields: Any) -> Tick:
    """A trade at a time of day, received `lag_s` later."""
    trade_ns = at(trade)
    received_ns = trade_ns + round(lag_s * SECOND_NS)
    return Tick(
        at_ns=received_ns, instrument=NIFTY, last_paise=paise, venue_at_ns=trade_ns, **fields
    )


def ohlc(candle: Candle) -> tuple[int, int, int, int]:
    """The four prices."""
    return candle.open_paise, candle.high_paise, candle.low_paise, candle.close_paise


def test_a_candle_is_the_trades_of_its_interval() -> None:
    """Start, prices, volume and completeness, handed out by the first packet of the next one."""
    made = builder()
    rows = [("09:15", 100, 10), ("09:15:20", 130, 15), ("09:15:40", 90, 40), ("09:15:59", 110, 41)]
    for trade, paise, volume in rows:
        assert made.on_tick(tick(trade, paise, volume=volume)) == ()
    assert made.on_tick(tick("09:16", 120, volume=50)) == (
        Candle(
            instrument=NIFTY,
            interval_s=60,
            start_ns=at("09:15"),
            open_paise=100,
            high_paise=130,
            low_paise=90,
            close_paise=110,
            volume=41,
        ),
    )
    last = made.close_due(at("09:17:01.5"))
    assert last is not None
    assert (last.start_ns, ohlc(last), last.volume) == (at("09:16"), (120, 120, 120, 120), 9)


def test_without_a_packet_it_closes_at_its_end_plus_the_lag_and_never_before() -> None:
    """The deadline is 1.5 s after the end; one nanosecond earlier nothing closes."""
    made = builder()
    assert [made.deadline_ns, made.close_due(at("09:14"))] == [None, None]
    made.on_tick(tick("09:15:30", 100))
    assert made.deadline_ns == at("09:16:01.5")
    assert made.close_due(at("09:16:01.5") - 1) is None
    closed = made.close_due(at("09:16:01.5"))
    assert closed is not None
    assert closed.start_ns == at("09:15")
    assert [made.deadline_ns, made.close_due(at("09:16:01.5"))] == [None, None]


@pytest.mark.parametrize(
    ("trade", "lag_s", "close", "late"),
    [
        ("09:15:59", 0.5, 777, 0),
        ("09:15:59", 2.4, 777, 0),  # received 09:16:01.4, before the candle closes
        ("09:15:59", 2.5, 100, 1),  # received as it closes
        ("09:15:59", 40.0, 100, 1),
    ],
)
def test_a_trade_counts_while_its_candle_is_open_whatever_the_lag(
    trade: str, lag_s: float, close: int, late: int
) -> None:
    """Receive time decides whether it is in time, trade time where it belongs."""
    made = builder()
    made.on_tick(tick("09:15:10", 100))
    closed = list(made.on_tick(tick(trade, 777, lag_s=lag_s)))
    due = made.close_due(at("09:20"))
    candles = closed + ([] if due is None else [due])
    assert [(candle.start_ns, candle.close_paise) for candle in candles] == [(at("09:15"), close)]
    assert made.late == late


def test_a_trade_for_a_closed_candle_is_counted_and_dropped() -> None:
    """The first packet of the next interval closes for good, however soon the late one comes."""
    made = builder()
    made.on_tick(tick("09:15:10", 100))
    assert len(made.on_tick(tick("09:16", 200, lag_s=0.1))) == 1
    assert made.on_tick(tick("09:15:59", 999, lag_s=1.2)) == ()
    assert made.late == 1
    closed = made.close_due(at("09:17:02"))
    assert closed is not None
    assert ohlc(closed) == (200, 200, 200, 200)


@pytest.mark.parametrize("lag_s", [51.5, 60.0])
def test_an_interval_that_never_had_a_candle_closes_too(lag_s: float) -> None:
    """A trade that arrives at its interval's deadline is late even if it would be the first."""
    made = builder()
    assert made.on_tick(tick("09:15:10", 100, lag_s=lag_s)) == ()
    assert (made.late, made.deadline_ns) == (1, None)


def test_a_packet_past_the_deadline_closes_the_candle_as_the_timer_would() -> None:
    """Whoever comes first, timer or packet, the candle is the same and handed out once."""
    made = builder()
    made.on_tick(tick("09:15:10", 100))
    closed = made.on_tick(tick("09:18:30", 200))
    assert [candle.start_ns for candle in closed] == [at("09:15")]
    assert made.deadline_ns == at("09:19:01.5")
    closed = made.on_tick(tick("09:15:20", 300, lag_s=600))
    assert [candle.start_ns for candle in closed] == [at("09:18")]


def test_an_interval_without_a_trade_has_no_candle() -> None:
    """Two minutes of silence leave a gap, not two flat candles."""
    made = builder()
    made.on_tick(tick("09:15:10", 100))
    made.on_tick(tick("09:18:10", 101))
    closed = made.on_tick(tick("09:19:10", 102))
    assert [candle.start_ns for candle in closed] == [at("09:18")]


def test_open_and_close_go_by_trade_time_not_by_arrival() -> None:
    """Packets of one candle out of order: the earliest trade opens, the latest closes it."""
    made = builder()
    for trade, paise, lag_s in (("09:15:20", 120, 0), ("09:15:50", 150, 0), ("09:15:05", 105, 46)):
        made.on_tick(tick(trade, paise, lag_s=lag_s))
    made.on_tick(tick("09:15:40", 140, lag_s=12))
    made.on_tick(tick("09:15:50", 151, lag_s=3))
    made.on_tick(tick("09:15:05", 104, lag_s=50))
    closed = made.close_due(at("09:17"))
    assert closed is not None
    assert ohlc(closed) == (105, 151, 104, 151)


def test_without_a_trade_time_the_receipt_counts() -> None:
    """A synthetic underlying has no exchange stamp: its receive time is its trade time."""
    made = builder()
    made.on_tick(Tick(at_ns=at("09:15:59.9"), instrument=NIFTY, last_paise=100))
    closed = made.on_tick(Tick(at_ns=at("09:16"), instrument=NIFTY, last_paise=200))
    assert [ohlc(candle) for candle in closed] == [(100, 100, 100, 100)]


def test_a_depth_update_long_after_the_trade_is_no_late_trade() -> None:
    """A quiet contract's packets repeat its last trade for minutes; none of them is dropped data."""
    made = builder()
    made.on_tick(tick("09:15:10", 100, volume=5))
    for lag_s in (30, 120, 300):
        made.on_tick(tick("09:15:10", 100, volume=5, lag_s=lag_s, bids=((99, 1),)))
    assert (made.late, made.ignored) == (0, 0)
    made.on_tick(tick("09:15:10", 100, volume=6, lag_s=310))
    assert made.late == 1


@pytest.mark.parametrize(
    "stray",
    [
        tick("09:14:59", 100),
        tick("15:30", 100),
        tick("09:20", 0),
        tick("09:20", -5),
        tick("11:00", 100, lag_s=-3_600),
        Tick(at_ns=at("09:20"), instrument=NIFTY, last_paise=100, venue_at_ns=0),
        Tick(at_ns=at("09:20"), instrument=NIFTY, last_paise=100, venue_at_ns=at("09:21:00.1")),
    ],
    ids=["before", "after", "no price", "negative", "ahead", "epoch", "a minute ahead"],
)
def test_what_is_no_trade_of_this_session_is_counted_and_ignored(stray: Tick) -> None:
    """It neither opens a candle nor closes one."""
    made = builder()
    assert made.on_tick(stray) == ()
    assert (made.ignored, made.late, made.deadline_ns) == (1, 0, None)


def test_a_clock_that_is_a_little_behind_loses_nothing() -> None:
    """A trade stamped seconds after its receipt is taken: clocks differ, stamps are not wrong."""
    made = builder()
    made.on_tick(tick("09:16:05", 100, lag_s=-5))
    assert made.ignored == 0
    assert made.deadline_ns == at("09:17:01.5")


def test_a_merged_tick_brings_its_extremes() -> None:
    """Low and high are those of all it stands for, even when it repeats the last trade."""
    made = builder()
    made.on_tick(tick("09:15:10", 100))
    made.on_tick(tick("09:15:20", 110, count=7, last_low_paise=80, last_high_paise=140))
    made.on_tick(tick("09:15:20", 110, count=3, last_low_paise=75, last_high_paise=110))
    closed = made.close_due(at("09:17"))
    assert closed is not None
    assert ohlc(closed) == (100, 140, 75, 110)


def test_volume_is_what_the_day_s_volume_grew_by() -> None:
    """Late packets' growth is in the next one; a volume that goes back takes nothing away."""
    made = builder()
    rows = [
        ("09:15:10", 50, 0.2),
        ("09:15:30", 80, 0.2),
        ("09:15:20", 60, 20),  # overtaken
        ("09:16:10", 100, 0.2),
        ("09:15:50", 90, 25),  # late
        ("09:16:50", 130, 0.2),
    ]
    candles: list[Candle] = []
    for trade, volume, lag_s in rows:
        candles += made.on_tick(tick(trade, 100, volume=volume, lag_s=lag_s))
    last = made.close_due(at("09:18"))
    assert last is not None
    assert [candle.volume for candle in [*candles, last]] == [80, 50]


@pytest.mark.parametrize(("since", "volume"), [("09:15", 5_025), ("09:15:01", 25)])
def test_who_comes_late_does_not_count_the_volume_of_before(since: str, volume: int) -> None:
    """Joining after the opening, the first packet's cumulative volume is where counting begins."""
    made = builder(since=since)
    made.on_tick(tick("11:00:30", 100, volume=5_000))
    made.on_tick(tick("11:00:40", 100, volume=5_025))
    closed = made.close_due(at("11:02"))
    assert closed is not None
    assert closed.volume == volume


@pytest.mark.parametrize(
    ("since", "complete"),
    [("09:00", [True, True]), ("09:15", [True, True]), ("09:15:01", [False, True])],
)
def test_a_candle_we_did_not_see_from_its_start_is_incomplete(
    since: str, complete: list[bool]
) -> None:
    """Listening since the very start is enough; a second later is not."""
    made = builder(since=since)
    candles = [*made.on_tick(tick("09:15:30", 100)), *made.on_tick(tick("09:16:30", 100))]
    last = made.close_due(at("09:18"))
    assert last is not None
    assert [candle.complete for candle in [*candles, last]] == complete


def test_an_outage_makes_the_candles_it_touches_incomplete() -> None:
    """From 09:16:30 to 09:18:10 nothing came: those minutes are marked, those around are not."""
    made = builder()
    candles = [*made.on_tick(tick("09:15:30", 100)), *made.on_tick(tick("09:16:10", 100))]
    made.missed(at("09:16:30"))
    made.missed(at("09:15:20"))
    due = made.close_due(at("09:17:02"))
    assert due is not None
    made.missed(at("09:18:10"))
    for trade in ("09:18:20", "09:19:20", "09:20:20"):
        closed = made.on_tick(tick(trade, 100))
        candles += [due, *closed] if trade == "09:18:20" else closed
    marks = [(candle.start_ns, candle.complete) for candle in candles]
    assert marks == [
        (at("09:15"), True),
        (at("09:16"), False),
        (at("09:18"), False),
        (at("09:19"), True),
    ]


@pytest.mark.proves("I-74")
@pytest.mark.parametrize(
    ("interval_s", "trade", "start", "deadline"),
    [
        (3_600, "09:20", "09:15", "10:00:01.5"),  # cut by the end of the first window
        (3_600, "12:20", "11:30", "12:30:01.5"),
        (1_800, "09:50", "09:45", "10:00:01.5"),  # cut
        (420, "11:38", "11:37", "11:44:01.5"),  # counted from 11:30, not on from 09:15
        (300, "09:59:59", "09:55", "10:00:01.5"),
        (60, "12:29:59", "12:29", "12:30:01.5"),
    ],
)
def test_intervals_count_from_their_window_s_opening_and_end_with_it(
    interval_s: int, trade: str, start: str, deadline: str
) -> None:
    """A special Saturday with two windows: nothing spans the pause, nothing hangs on the epoch."""
    made = builder(interval_s, day=session(("09:15", "10:00"), ("11:30", "12:30")))
    made.on_tick(tick(trade, 100))
    assert made.deadline_ns == at(deadline)
    closed = made.close_due(at(deadline))
    assert closed is not None
    assert (closed.start_ns, closed.interval_s) == (at(start), interval_s)


@pytest.mark.proves("I-74")
@pytest.mark.parametrize("interval_s", [0, -60, 3_601, 86_400])
def test_an_interval_that_is_none_is_refused(interval_s: int) -> None:
    """No candle lasts nothing, less than nothing or longer than an hour."""
    for make in (
        lambda: check_interval(interval_s),
        lambda: builder(interval_s),
        lambda: CandleSeries(NIFTY, interval_s, length_max=1),
    ):
        with pytest.raises(ValueError, match=f"1 to 3600 seconds, not {interval_s}"):
            make()


def test_a_tick_of_another_instrument_is_a_fault() -> None:
    """Mixing two price domains into one candle ends the process."""
    stray = msgspec.structs.replace(
        tick("09:20", 100), instrument=instrument_id(Segment.NSE_FNO, 13)
    )
    with pytest.raises(AssertionError, match="one instrument"):
        builder().on_tick(stray)


@pytest.mark.parametrize(("interval_s", "floor"), [(60, 3_000), (300, 600), (420, 420)])
def test_recorded_seconds_become_the_candles_of_an_independent_resample(
    shared_data: Path, interval_s: int, floor: int
) -> None:
    """NIFTY by the second, ten days of 2022: starts and prices equal a vectorised resample."""
    table = pq.read_table(shared_data / "01_index" / "nifty_1s_2022_aug_dec.parquet")
    ist_s = table["ts"].cast("int64").to_numpy() // 1_000_000
    paise = np.rint(table["ltp"].to_numpy() * 100).astype(np.int64)
    days = np.unique(ist_s // 86_400)[:10]
    candles: list[Candle] = []
    want: list[tuple[int, tuple[int, ...]]] = []
    for day_s in (days * 86_400).tolist():
        open_s, close_s = day_s + 33_300, day_s + 55_800
        chosen = (ist_s >= day_s) & (ist_s < day_s + 86_400)
        candles += built(ist_s[chosen], paise[chosen], interval_s, (open_s, close_s))
        in_hours = chosen & (ist_s >= open_s) & (ist_s < close_s)
        want += resampled(ist_s[in_hours], paise[in_hours], interval_s, open_s)
    assert [(candle.start_ns // SECOND_NS, ohlc(candle)) for candle in candles] == want
    print(f"{len(candles)} candles of {interval_s} s, floor {floor}")  # noqa: T201
    assert len(candles) >= floor


Column = np.ndarray[tuple[int], np.dtype[np.int64]]


def built(ist_s: Column, paise: Column, interval_s: int, hours: tuple[int, int]) -> list[Candle]:
    """One day's candles by the builder; the recorded IST clock stands in for UTC."""
    day = msgspec.structs.replace(
        session(), windows=((hours[0] * SECOND_NS, hours[1] * SECOND_NS),)
    )
    made = CandleBuilder(NIFTY, interval_s, session=day, since_ns=0)
    candles: list[Candle] = []
    for second, price in zip(ist_s.tolist(), paise.tolist(), strict=True):
        now_ns = second * SECOND_NS
        candles += made.on_tick(
            Tick(at_ns=now_ns + 300_000_000, instrument=NIFTY, last_paise=price, venue_at_ns=now_ns)
        )
    last = made.close_due((hours[1] + 10) * SECOND_NS)
    return candles if last is None else [*candles, last]


def resampled(
    ist_s: Column, paise: Column, interval_s: int, open_s: int
) -> list[tuple[int, tuple[int, ...]]]:
    """First, highest, lowest and last price per interval from the opening, by array reduction."""
    bucket = (ist_s - open_s) // interval_s
    first = np.flatnonzero(np.concatenate(([True], bucket[1:] != bucket[:-1])))
    last = np.concatenate((first[1:] - 1, [len(bucket) - 1]))
    high, low = np.maximum.reduceat(paise, first), np.minimum.reduceat(paise, first)
    columns = (bucket[first], paise[first], high, low, paise[last])
    return [
        (open_s + number * interval_s, tuple(prices))
        for number, *prices in zip(*(column.tolist() for column in columns), strict=True)
    ]


def candle(start: str, *, days: int = 0, **changes: Any) -> Candle:
    """A minute of that day, or of some days after it."""
    made = Candle(
        instrument=NIFTY,
        interval_s=60,
        start_ns=at(start) + days * 86_400 * SECOND_NS,
        open_paise=1,
        high_paise=1,
        low_paise=1,
        close_paise=1,
    )
    return msgspec.structs.replace(made, **changes)


def test_a_series_keeps_the_newest_candles_in_order() -> None:
    """History of yesterday, then today's: bounded, and a gap of whole intervals is no fault."""
    series = CandleSeries(NIFTY, 60, length_max=3)
    assert (series.last, len(series)) == (None, 0)
    starts = [
        candle("15:28", days=-3),
        candle("15:29", days=-3),
        candle("09:15"),
        candle("09:16"),
        candle("09:20"),
    ]
    for one in starts:
        series.append(one)
    assert list(series) == starts[-3:]
    assert (series.last, len(series)) == (starts[-1], 3)


@pytest.mark.proves("I-75")
@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        (candle("09:20"), candle("09:20"), "is not later than"),
        (candle("09:20"), candle("09:19"), "is not later than"),
        (candle("09:20"), candle("15:29", days=-1), "is not later than"),
        (candle("09:20"), candle("09:20", start_ns=at("09:20") + 1), "is not whole intervals"),
        (candle("09:20"), candle("09:20:30"), "is not whole intervals after"),
        (candle("09:20"), candle("09:25:30"), "is not whole intervals after"),
    ],
)
def test_a_seam_that_does_not_fit_is_refused_naming_both(
    first: Candle, second: Candle, what: str
) -> None:
    """Equal, earlier, overlapping and shifted starts; the series stays as it was."""
    series = CandleSeries(NIFTY, 60, length_max=10)
    series.append(first)
    with pytest.raises(ValueError, match=what) as refused:
        series.append(second)
    for one in (first, second):
        start = datetime.fromtimestamp(one.start_ns // SECOND_NS, UTC)
        assert f"{start:%Y-%m-%d %H:%M:%SZ}" in str(refused.value)
    assert list(series) == [first]


@pytest.mark.parametrize("interval_s", [420, 1_800, 3_600])
def test_another_window_or_day_begins_the_count_again(interval_s: int) -> None:
    """The second window of a special Saturday is no whole number of intervals after the first."""
    series = CandleSeries(NIFTY, interval_s, length_max=10)
    for start, days in (("09:15", 0), ("11:30", 0), ("09:15", 2)):
        series.append(candle(start, days=days, interval_s=interval_s))
    assert len(series) == 3


@pytest.mark.parametrize(
    "stray",
    [candle("09:21", interval_s=300), candle("09:21", instrument=instrument_id(Segment.IDX_I, 25))],
)
def test_a_candle_of_another_series_is_refused(stray: Candle) -> None:
    """Another interval or instrument never enters, not even first."""
    series = CandleSeries(NIFTY, 60, length_max=10)
    with pytest.raises(ValueError, match="in a series of IDX_I:13 60 s"):
        series.append(stray)
    assert len(series) == 0


def test_a_packet_stamped_before_the_timer_that_closed_its_candle_makes_no_second_one() -> None:
    """A merged packet elsewhere moved time on; what was stamped earlier comes too late."""
    made = builder()
    made.on_tick(tick("09:15:10", 100))
    closed = made.close_due(at("09:16:01.5"))
    assert closed is not None
    assert made.on_tick(tick("09:15:40", 110)) == ()
    assert made.late == 1
    assert made.close_due(at("09:17")) is None
