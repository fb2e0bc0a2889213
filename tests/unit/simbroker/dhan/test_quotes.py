"""Quotes by request."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from holdfast.simbroker.dhan.quotes import rupees
from holdfast.simbroker.dhan.route import Answer, Limit
from tests.support.desk import OPEN, SECOND
from tests.unit.simbroker.dhan.market_day import CALL, PUT, Day, candles, index_tick, option_tick
from tests.unit.simbroker.dhan.shapes import shape

DAY_TICKS = [
    option_tick(OPEN, 110_00, volume=0, traded_at_ns=None),
    index_tick(OPEN + SECOND, 24_500_05),
    option_tick(OPEN + 2 * SECOND, 118_50, traded_at_ns=OPEN + SECOND),
]


def ask(day: Day, name: str, body: Any) -> Answer:
    """What `/marketfeed/name` answers."""
    route = next(one for one in day.side.routes("") if one.path == f"/v2/marketfeed/{name}")
    assert route.limit is Limit.QUOTES

    async def answered() -> Answer:
        return await route.answer(day.call(body))

    return asyncio.run(answered())


def opened() -> Day:
    """A day two seconds after its open."""
    day = Day(DAY_TICKS, candles(2))
    day.go(OPEN + 3 * SECOND)
    return day


def test_a_last_price_is_told_by_segment_and_id() -> None:
    """What has no price yet is 0; what nobody knows is left out; strange keys are no segments."""
    body = {"NSE_FNO": [CALL.security_id, PUT.security_id, 1], "dhanClientId": "1", "FOO": [1]}
    assert ask(opened(), "ltp", body).payload == {
        "data": {"NSE_FNO": {"40005": {"last_price": 118.5}, "40006": {"last_price": 0}}},
        "status": "success",
    }


def test_close_is_that_of_the_session_before() -> None:
    """The index opened above it."""
    told = ask(opened(), "ohlc", {"IDX_I": [13]}).payload["data"]["IDX_I"]["13"]
    assert told == {
        "last_price": 24500.05,
        "ohlc": {"open": 24500.05, "close": 24405.05, "high": 24500.05, "low": 24500.05},
    }


def test_a_whole_quote_has_depth_and_the_time_of_its_trade() -> None:
    """Day first, in India; empty before the first trade."""
    body = {"NSE_FNO": [CALL.security_id, PUT.security_id]}
    told = ask(opened(), "quote", body).payload["data"]["NSE_FNO"]
    call, put = told["40005"], told["40006"]
    assert call["last_trade_time"] == "20/11/2026 09:15:01"
    assert call["depth"]["buy"][:2] == [
        {"quantity": 325, "orders": 2, "price": 118.4},
        {"quantity": 650, "orders": 3, "price": 118.35},
    ]
    assert call["depth"]["sell"][1:] == [{"quantity": 0, "orders": 0, "price": 0}] * 4
    assert (call["net_change"], call["buy_quantity"], call["volume"]) == (8.5, 975, 65)
    assert call["lower_circuit_limit"] < 118.5 < call["upper_circuit_limit"]
    assert (put["last_trade_time"], put["last_price"], put["net_change"]) == ("", 0, 0)


@pytest.mark.parametrize(
    ("name", "sample"),
    [("ltp", "ltp_zero"), ("ohlc", "ohlc_fno_zero"), ("quote", "quote_fno_zero")],
)
def test_answers_have_the_keys_of_the_samples(shared_data: Path, name: str, sample: str) -> None:
    """The same keys, nested alike, and the same types."""
    samples = shared_data.parent / "reference" / "dhan-samples"
    recorded = json.loads((samples / f"marketfeed_{sample}.json").read_text())
    (one,) = next(iter(recorded["data"].values())).values()
    told = ask(opened(), name, {"NSE_FNO": [PUT.security_id]}).payload
    assert shape(told["data"]["NSE_FNO"][str(PUT.security_id)]) == shape(one)
    assert told["status"] == recorded["status"]


def test_what_nobody_knows_is_left_out_as_recorded(shared_data: Path) -> None:
    """An unknown id, and a body whose keys are no segments."""
    samples = shared_data.parent / "reference" / "dhan-samples"
    for sample, body in (
        ("unknown_id", {"NSE_FNO": [11_111]}),
        ("bad_request_shape", {"instruments": ["NSE:INFY"], "fields": ["lastPrice"]}),
    ):
        recorded = json.loads((samples / f"marketfeed_ltp_{sample}.json").read_text())
        assert ask(opened(), "ltp", body).payload == recorded


def test_too_many_or_no_list_at_all() -> None:
    """A thousand instruments go into one request."""
    day = opened()
    assert ask(day, "ltp", {"NSE_FNO": list(range(1_001))}).status == 400
    assert ask(day, "ltp", {"NSE_FNO": 1}).payload["data"] == {"814": "Invalid Request"}
    assert ask(day, "ltp", ["NSE_FNO"]).payload == {"data": {}, "status": "success"}


def test_whole_rupees_have_no_fraction() -> None:
    """As measured: `0`, `24028.05`."""
    assert [repr(rupees(paise)) for paise in (0, 2_402_805, 100, -5)] == [
        "0",
        "24028.05",
        "1",
        "-0.05",
    ]
