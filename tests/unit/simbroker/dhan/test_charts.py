"""Candles by request."""

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from holdfast.simbroker.dhan.charts import LATE_SPAN, NO_DATA, java_double
from holdfast.simbroker.dhan.route import Answer, Family
from tests.support.desk import DAY, OPEN, SECOND
from tests.unit.simbroker.dhan.market_day import (
    CALL,
    INDEX,
    Day,
    candles,
    index_tick,
    option_tick,
)

BEFORE = "2026-11-19"
MINUTE = 60 * SECOND
INTRADAY = {
    "securityId": "13",
    "exchangeSegment": "IDX_I",
    "instrument": "INDEX",
    "interval": "1",
    "fromDate": BEFORE,
    "toDate": DAY,
}
TICKS = [
    index_tick(OPEN + minute * MINUTE + second * SECOND, 24_500_00 + 100 * minute + second)
    for minute in range(12)
    for second in (0, 30)
]


def ask(day: Day, name: str, body: Mapping[str, Any]) -> Answer:
    """What `/charts/name` answers."""
    route = next(one for one in day.side.routes("") if one.path == f"/v2/charts/{name}")
    assert route.family is Family.RECENT

    async def answered() -> Answer:
        return await route.answer(day.call(dict(body)))

    return asyncio.run(answered())


def read(answer: Answer) -> dict[str, list[float]]:
    """The arrays of an answer."""
    assert answer.status == 200
    arrays: dict[str, list[float]] = json.loads(answer.text or "")
    return arrays


def played(minutes: int, history: int = 375) -> Day:
    """A day so many minutes after its open."""
    day = Day(TICKS, candles(history))
    day.go(OPEN + minutes * MINUTE)
    return day


def test_a_minute_that_has_just_closed_is_not_there_yet() -> None:
    """It comes two minutes later; the index has one candle more after the session before."""
    told = read(ask(played(10), "intraday", INTRADAY))
    today = [second for second in told["timestamp"] if second >= OPEN / SECOND]
    assert today == [OPEN / SECOND + 60 * minute for minute in range(8)]
    assert len(told["timestamp"]) == 375 + 1 + 8
    assert told["timestamp"][375] == OPEN / SECOND - 86_400 + 375 * 60
    assert told["open"][376:378] == [24_500.0, 24_501.0]
    assert told["high"][376] == 24_500.3


def test_just_after_the_open_there_is_nothing() -> None:
    """200 and empty arrays."""
    told = read(ask(played(1), "intraday", {**INTRADAY, "fromDate": DAY}))
    assert set(told) == {"open", "high", "low", "close", "volume", "timestamp"}
    assert all(values == [] for values in told.values())


def test_five_minutes_are_cut_from_the_open_on() -> None:
    """Numbers or text name the interval; an hour begins at 09:15."""
    day = played(12)
    told = read(ask(day, "intraday", {**INTRADAY, "interval": 5, "fromDate": DAY}))
    assert told["timestamp"] == [OPEN / SECOND, OPEN / SECOND + 300]
    assert (told["open"][0], told["close"][0], told["low"][1]) == (24_500.0, 24_504.3, 24_505.0)
    hours = read(ask(day, "intraday", {**INTRADAY, "interval": "60", "toDate": BEFORE}))
    assert [second % 86_400 for second in hours["timestamp"]][:2] == [
        OPEN // SECOND % 86_400,
        OPEN // SECOND % 86_400 + 3_600,
    ]


def test_bare_dates_include_their_last_day_and_instants_their_minute() -> None:
    """Measured on the wire for bare dates; with times both ends are taken in."""
    day = played(12)
    assert len(read(ask(day, "intraday", {**INTRADAY, "toDate": BEFORE}))["open"]) == 376
    times = {"fromDate": f"{DAY} 09:16:00", "toDate": f"{DAY} 09:18:00"}
    told = read(ask(day, "intraday", {**INTRADAY, **times}))
    assert told["timestamp"] == [OPEN / SECOND + 60 * minute for minute in (1, 2, 3)]


def test_numbers_are_written_as_java_does(shared_data: Path) -> None:
    """Every number of a recorded body comes out as it came in."""
    assert java_double(1_737_570_600.0) == "1.7375706E9"
    assert [java_double(value) for value in (0.0, 8_929_728.0, 1e7, 1_648.6)] == [
        "0.0",
        "8929728.0",
        "1.0E7",
        "1648.6",
    ]
    samples = shared_data.parent / "reference" / "dhan-samples"
    for name in ("charts_intraday_5m_index", "charts_historical_daily"):
        numbers = re.findall(r"[-\d.E]+\d", (samples / f"{name}.json").read_text())
        assert numbers == [java_double(float(number)) for number in numbers]


def test_open_interest_comes_when_asked_for() -> None:
    """One array more."""
    day = Day([option_tick(OPEN, 118_50, oi=6_500)])
    day.go(OPEN + 10 * MINUTE)
    body = {**INTRADAY, "securityId": str(CALL.security_id), "exchangeSegment": "NSE_FNO"}
    assert "open_interest" not in read(ask(day, "intraday", body))
    told = read(ask(day, "intraday", {**body, "oi": True}))
    assert (told["open_interest"], told["volume"]) == ([6_500.0], [65.0])


def test_ninety_days_are_the_most() -> None:
    """91 are too many."""
    day = played(5)
    assert ask(day, "intraday", {**INTRADAY, "fromDate": "2026-08-22"}).status == 200
    refused = ask(day, "intraday", {**INTRADAY, "fromDate": "2026-08-21"})
    assert (refused.status, refused.payload["errorMessage"]) == (400, LATE_SPAN)


@pytest.mark.parametrize(
    "change",
    [
        {"interval": "2"},
        {"interval": None},
        {"fromDate": "20-11-2026"},
        {"toDate": 5},
        {"fromDate": "2026-11-21"},
    ],
)
def test_bad_fields_are_refused(change: dict[str, Any]) -> None:
    """400 DH-905."""
    answer = ask(played(5), "intraday", {**INTRADAY, **change})
    assert (answer.status, answer.payload["errorCode"]) == (400, "DH-905")


def test_an_unknown_index_is_empty_and_any_other_an_error() -> None:
    """Both as measured."""
    day = played(5)
    unknown = {**INTRADAY, "securityId": "99999999"}
    assert read(ask(day, "intraday", unknown))["open"] == []
    refused = ask(day, "intraday", {**unknown, "exchangeSegment": "NSE_FNO"})
    assert (refused.status, refused.payload["errorMessage"]) == (400, NO_DATA)


@pytest.mark.parametrize(
    ("sample", "change"),
    [
        ("error_400_dh905_no_data", {"securityId": "12345", "exchangeSegment": "NSE_FNO"}),
        ("error_400_span_90_days", {"fromDate": "2026-01-01"}),
        ("intraday_unknown_security_empty", {"securityId": "99999999"}),
    ],
)
def test_bodies_are_those_that_were_recorded(
    shared_data: Path, sample: str, change: dict[str, Any]
) -> None:
    """Word for word."""
    answer = ask(played(5), "intraday", {**INTRADAY, **change})
    path = shared_data.parent / "reference" / "dhan-samples" / f"charts_{sample}.json"
    told = answer.payload if answer.text is None else json.loads(answer.text)
    assert told == json.loads(path.read_text())


def test_a_day_is_stamped_with_its_midnight_and_its_last_date_is_not_included() -> None:
    """Today is no day yet."""
    day = played(10)
    told = read(ask(day, "historical", INTRADAY))
    assert [second % 86_400 for second in told["timestamp"]] == [66_600.0]
    assert (told["open"], told["close"]) == ([24_400.0], [24_423.7])
    assert ask(day, "historical", {**INTRADAY, "fromDate": DAY}).payload["errorCode"] == "DH-905"
    assert ask(day, "historical", {**INTRADAY, "toDate": BEFORE}).status == 400


ROLLING = {
    "exchangeSegment": "NSE_FNO",
    "interval": "1",
    "securityId": 13,
    "instrument": "OPTIDX",
    "expiryFlag": "WEEK",
    "expiryCode": 1,
    "strike": "ATM",
    "drvOptionType": "CALL",
    "requiredData": ["close", "strike", "spot", "iv"],
    "fromDate": DAY,
    "toDate": DAY,
}


def test_a_rolling_option_follows_the_money() -> None:
    """What was not required stays empty, the other leg is null."""
    day = Day([index_tick(OPEN, 24_490_00), option_tick(OPEN + SECOND, 118_50)])
    day.go(OPEN + 10 * MINUTE)
    data = ask(day, "rollingoption", ROLLING).payload["data"]
    leg = data["ce"]
    assert data["pe"] is None
    assert (leg["close"], leg["strike"], leg["spot"]) == ([118.5], [24_500.0], [24_490.0])
    assert leg["timestamp"] == [OPEN // SECOND]
    assert 5 < leg["iv"][0] < 30
    assert leg["open"] == leg["volume"] == []
    above = ask(day, "rollingoption", {**ROLLING, "strike": "ATM+1"}).payload["data"]["ce"]
    assert above["close"] == []


@pytest.mark.parametrize(
    "change",
    [{"strike": "ITM1"}, {"drvOptionType": "CE"}, {"securityId": 5}, {"fromDate": "2026-10-01"}],
)
def test_a_rolling_option_wants_its_words(change: dict[str, Any]) -> None:
    """400 DH-905."""
    assert ask(played(5), "rollingoption", {**ROLLING, **change}).status == 400


def test_the_index_has_its_last_candle_when_it_ends() -> None:
    """Also today: at the end of the index's own hours, flat."""
    day = Day([index_tick(OPEN + 374 * MINUTE, 24_500_00)])
    day.go(OPEN + 380 * MINUTE)
    told = read(ask(day, "intraday", {**INTRADAY, "fromDate": DAY}))
    assert told["timestamp"] == [OPEN / SECOND + 60 * minute for minute in (374, 375)]
    assert day.board.minutes(INDEX.id)[-1].start_ns == OPEN + 374 * MINUTE
