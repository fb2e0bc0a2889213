"""Candles of the past: minutes of the sessions, each once, and what is missing by name."""

import asyncio
import datetime as dt
import itertools
import json
from pathlib import Path

import msgspec
import pytest

from holdfast.brokers.dhan.charts import (
    DAYS_MAX,
    LATE_S,
    MINUTE_NS,
    History,
    Row,
    checked,
    read_history,
    series,
)
from holdfast.brokers.dhan.fields import Unreadable
from holdfast.brokers.dhan.reads import NoAnswer
from holdfast.brokers.dhan.rest import Rest
from holdfast.domain.dated import Session
from holdfast.domain.instrument import Exchange, Instrument, Kind, Segment, instrument_id
from holdfast.facts.ist import SECOND_NS, ist_ns
from holdfast.runtime.clock import ScaledClock
from tests.support.dhan_account import NOW_NS, answer, recorded, sample
from tests.support.dhan_wire import Heard, Said, Whose, WireServer, said

INDEX = Instrument(
    id=instrument_id(Segment.IDX_I, 13),
    segment=Segment.IDX_I,
    security_id=13,
    symbol="NIFTY",
    exchange=Exchange.NSE,
    kind=Kind.INDEX,
    underlying="NIFTY",
    lot_size=0,
    price_step_paise=0,
    freeze_quantity=0,
)


def session(day: dt.date) -> Session:
    """A regular one."""
    open_ns = ist_ns(day, 33_300)
    close_ns = ist_ns(day, 55_800)
    return Session(
        day=day.isoformat(),
        exchange=Exchange.NSE,
        windows=((open_ns, close_ns),),
        square_off_ns=close_ns,
        underlying_ends_ns=close_ns,
    )


DAY = session(dt.date(2026, 11, 19))
OPEN_NS = DAY.open_ns


def row(minute: int, close: int = 2_600_000) -> Row:
    """One of a quiet market, `minute` after the open."""
    return (
        OPEN_NS + minute * MINUTE_NS,
        2_600_000,
        max(2_600_000, close),
        min(2_600_000, close),
        close,
        0,
    )


def read(*rows: Row, now_ns: int = NOW_NS) -> History:
    """What is made of them."""
    return checked(rows, INDEX, [DAY], now_ns=now_ns)


def test_a_whole_day_has_375_minutes() -> None:
    """In the order of time, whatever the order in which they came."""
    history = read(*(row(minute) for minute in reversed(range(375))))
    starts = [candle.start_ns for candle in history.candles]
    assert starts == [OPEN_NS + minute * MINUTE_NS for minute in range(375)]
    assert (history.missing_ns, history.left_out, history.may_come) == ((), {}, False)
    assert [loaded.at_ns for loaded in history.loaded(7)] == [7] * 375


@pytest.mark.parametrize(
    "start_ns",
    [DAY.close_ns, ist_ns(dt.date(2026, 11, 19), 67_800), OPEN_NS - MINUTE_NS, OPEN_NS + SECOND_NS],
)
def test_what_is_no_minute_of_the_session_is_left_out(start_ns: int) -> None:
    """The extra one at 15:30, that of 18:50, one before the open, one off the minute."""
    history = read(*(row(minute) for minute in range(375)), (start_ns, *row(0)[1:]))
    assert len(history.candles) == 375
    assert history.left_out == {"it is no closed minute of the sessions": 1}


def test_an_index_ends_before_its_options_do() -> None:
    """They trade until 15:40 now: the index has candles until 15:29, and owes none after 15:15."""
    longer = msgspec.structs.replace(
        DAY,
        windows=((OPEN_NS, OPEN_NS + 385 * MINUTE_NS),),
        underlying_ends_ns=OPEN_NS + 360 * MINUTE_NS,
    )
    rows = [row(minute) for minute in range(386)]
    history = checked(rows, INDEX, [longer], now_ns=NOW_NS)
    assert len(history.candles) == 375
    assert sum(history.left_out.values()) == 11
    assert checked(rows[:360], INDEX, [longer], now_ns=NOW_NS).missing_ns == ()
    assert len(checked(rows[:359], INDEX, [longer], now_ns=NOW_NS).missing_ns) == 1
    share = msgspec.structs.replace(INDEX, kind=Kind.EQUITY, lot_size=1, price_step_paise=5)
    assert len(checked(rows, share, [longer], now_ns=NOW_NS).candles) == 385
    assert len(checked(rows[:360], share, [longer], now_ns=NOW_NS).missing_ns) == 25


def test_the_seam_to_our_own_candles_is_the_running_minute() -> None:
    """What is not over is ours to build; what is over and missing is named."""
    now_ns = OPEN_NS + 10 * MINUTE_NS + 30 * SECOND_NS
    history = read(*(row(minute) for minute in range(11) if minute != 4), now_ns=now_ns)
    assert history.candles[-1].start_ns == OPEN_NS + 9 * MINUTE_NS
    assert history.missing_ns == (OPEN_NS + 4 * MINUTE_NS,)


def test_the_newest_minutes_may_still_come() -> None:
    """They appear within about two minutes; a gap that is older stays one."""
    now_ns = OPEN_NS + 10 * MINUTE_NS
    late = read(*(row(minute) for minute in range(8)), now_ns=now_ns)
    assert late.missing_ns == (OPEN_NS + 8 * MINUTE_NS, OPEN_NS + 9 * MINUTE_NS)
    assert late.may_come
    gap = read(*(row(minute) for minute in range(10) if minute), now_ns=now_ns)
    assert not gap.may_come
    assert LATE_S > 120


def test_one_that_stands_twice_is_one() -> None:
    """Two that differ about a minute are none: nobody knows which is right."""
    history = read(row(0), row(0), row(1), row(1, close=2_600_500), row(1))
    assert [candle.start_ns for candle in history.candles] == [OPEN_NS]
    assert history.left_out == {"it stands twice": 1, "two differ about one minute": 2}
    assert history.missing_ns[0] == OPEN_NS + MINUTE_NS


@pytest.mark.parametrize(
    "bad", [(5, 4, 3, 4, 0), (5, 6, 0, 5, 0), (5, 6, 5, 4, 0), (5, 6, 4, 5, -1), (7, 6, 4, 5, 0)]
)
def test_prices_that_contradict_each_other_are_left_out(bad: tuple[int, ...]) -> None:
    """The minute is missing then."""
    history = checked([(OPEN_NS, *bad)], INDEX, [DAY], now_ns=NOW_NS)  # type: ignore[list-item]
    assert history.candles == ()
    assert sum(history.left_out.values()) == 1


def test_the_samples_are_read(shared_data: Path) -> None:
    """Exponents, three days with extra candles, an index without volume; all true UTC."""
    rows = series(answer(sample(shared_data, "charts_intraday_1m_index.json")))
    days = [session(dt.date(2025, 10, day)) for day in (29, 30, 31)]
    history = checked(rows, INDEX, days, now_ns=NOW_NS)
    assert history.candles[0].start_ns == days[0].open_ns
    assert history.candles[0].open_paise == 25_982_00
    assert len(history.candles) + len(history.missing_ns) == 3 * 375
    assert len(history.missing_ns) < 3
    assert set(history.left_out) <= {"it is no closed minute of the sessions"}
    for name, length in (
        ("charts_intraday_1m_equity.json", 100),
        ("charts_intraday_5m_index.json", 100),
        ("charts_intraday_15m_equity.json", 50),
        ("charts_historical_daily.json", 19),
    ):
        assert len(series(answer(sample(shared_data, name)))) > length
    odd = series(answer(sample(shared_data, "charts_intraday_index_unfiltered_request.json")))
    assert any(one[1] == 58_152_05 for one in odd)  # 58152.05078125
    assert series(answer(sample(shared_data, "charts_intraday_unknown_security_empty.json"))) == ()
    assert len(series(answer(sample(shared_data, "charts_historical_one_day.json")))) == 1


def test_recorded_charts_are_read(shared_data: Path) -> None:
    """1,125 minutes of a share and others."""
    charts = [one for one in recorded(shared_data) if "/charts/" in one.uri and one.status == 200]
    lengths = [len(series(answer(one.body))) for one in charts]
    assert 1_125 in lengths
    minutes = next(one for one in charts if len(series(answer(one.body))) == 1_125)
    days = [session(dt.date(2024, 9, day)) for day in (11, 12, 13)]
    share = msgspec.structs.replace(INDEX, kind=Kind.EQUITY, lot_size=1, price_step_paise=5)
    rows = series(answer(minutes.body))
    history = checked(rows, share, days, now_ns=NOW_NS)
    assert len(history.candles) == 1_125
    assert history.missing_ns == ()
    assert all(later.start_ns > one.start_ns for one, later in itertools.pairwise(history.candles))


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "[]",
        "5",
        '{"open":[1],"high":[1],"low":[1],"close":[1],"volume":[1],"timestamp":[1,2]}',
        '{"open":[1],"high":[1],"low":[1],"close":[1],"volume":[1]}',
        '{"open":[null],"high":[1],"low":[1],"close":[1],"volume":[1],"timestamp":[1]}',
        '{"open":["x"],"high":[1],"low":[1],"close":[1],"volume":[1],"timestamp":[1]}',
        '{"open":[1],"high":[1],"low":[1],"close":[1],"volume":[1],"timestamp":[1.5]}',
        '{"open":{},"high":[1],"low":[1],"close":[1],"volume":[1],"timestamp":[1]}',
        '{"errorCode":"DH-905","errorMessage":"no","errorType":"x"}',
    ],
)
def test_columns_that_do_not_fit_each_other_are_refused(body: str) -> None:
    """A shorter one would shift every minute after the hole."""
    with pytest.raises(Unreadable):
        series(answer(body))


def asked(said_back: Said, sessions: list[Session]) -> tuple[History | NoAnswer, Heard]:
    """A request over the wire."""

    async def main() -> tuple[History | NoAnswer, Heard]:
        async with WireServer(lambda _: said_back) as server:
            rest = Rest(server.base, Whose(), ScaledClock(NOW_NS, 5))
            try:
                history = await read_history(rest, INDEX, sessions, now_ns=NOW_NS)
                return history, server.heard[0]
            finally:
                await rest.close()

    return asyncio.run(main())


def test_the_request_names_times_of_india() -> None:
    """As the documents write them."""
    body = {name: [26_000.5] for name in ("open", "high", "low", "close")}
    history, heard = asked(
        said(200, {**body, "volume": [0], "timestamp": [OPEN_NS // SECOND_NS]}),
        [session(dt.date(2026, 11, 18)), DAY],
    )
    assert isinstance(history, History)
    assert [candle.close_paise for candle in history.candles] == [26_000_50]
    assert (heard.method, heard.path) == ("POST", "/charts/intraday")
    assert json.loads(heard.body) == {
        "securityId": "13",
        "exchangeSegment": "IDX_I",
        "instrument": "INDEX",
        "interval": "1",
        "fromDate": "2026-11-18 09:15:00",
        "toDate": "2026-11-19 15:30:00",
    }


def test_a_refusal_is_no_history() -> None:
    """Failed is not empty."""
    no_data = "System is unable to fetch data due to incorrect parameters or no data present"
    refusal = {"errorType": "Input_Exception", "errorCode": "DH-905", "errorMessage": no_data}
    history, _ = asked(said(400, refusal), [DAY])
    assert isinstance(history, NoAnswer)


def test_more_days_than_the_broker_gives_are_never_asked_for() -> None:
    """It is our mistake, not the market's."""
    first = session(dt.date(2026, 11, 19) - dt.timedelta(days=DAYS_MAX))
    with pytest.raises(AssertionError):
        asked(said(200, {}), [first, DAY])
