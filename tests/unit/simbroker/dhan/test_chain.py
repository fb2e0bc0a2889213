"""The option chain and its expiries."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from holdfast.simbroker.dhan.route import Answer, Limit
from tests.support.desk import OPEN, SECOND
from tests.unit.simbroker.dhan.market_day import CALL, EXPIRY, Day, index_tick, option_tick
from tests.unit.simbroker.dhan.shapes import shape

INVALID = {"data": {"813": "Invalid SecurityId"}, "status": "failed"}
NIFTY = {"UnderlyingScrip": 13, "UnderlyingSeg": "IDX_I", "Expiry": EXPIRY}


def ask(path: str, body: Any) -> Answer:
    """What an open day answers."""
    day = Day([index_tick(OPEN, 24_490_00), option_tick(OPEN + SECOND, 118_50)])
    day.go(OPEN + 2 * SECOND)
    route = next(one for one in day.side.routes("") if one.path == f"/v2/optionchain{path}")
    assert route.limit is Limit.CHAIN

    async def answered() -> Answer:
        return await route.answer(day.call(body))

    return asyncio.run(answered())


@pytest.mark.parametrize(
    "body",
    [
        NIFTY,
        {"underlyingScrip": 13, "underlyingSeg": "IDX_I", "expiry": EXPIRY},
        {"UnderlyingScrip": 26_000, "UnderlyingSeg": "NSE_FNO", "Expiry": EXPIRY},
    ],
)
def test_every_strike_has_both_legs(body: dict[str, Any]) -> None:
    """Asked for in each of the three ways that work."""
    data = ask("", body).payload["data"]
    assert data["last_price"] == 24490
    assert list(data["oc"]) == [f"{rupees}.000000" for rupees in range(24_400, 24_601, 50)]
    leg = data["oc"]["24500.000000"]["ce"]
    assert (leg["security_id"], leg["last_price"], leg["oi"]) == (CALL.security_id, 118.5, 6_500)
    assert (leg["top_bid_price"], leg["top_bid_quantity"]) == (118.4, 325)
    assert (leg["top_ask_price"], leg["top_ask_quantity"]) == (118.7, 650)
    assert 5 < leg["implied_volatility"] < 30
    assert 0.4 < leg["greeks"]["delta"] < 0.6
    assert leg["greeks"]["theta"] < 0 < leg["greeks"]["vega"]
    quiet = data["oc"]["24400.000000"]["pe"]
    assert (quiet["last_price"], quiet["implied_volatility"]) == (0, 0)


def test_a_leg_has_the_keys_of_the_samples(shared_data: Path) -> None:
    """And the two that were added since they were recorded (dhan.md 3.11)."""
    samples = shared_data.parent / "reference" / "dhan-samples"
    recorded = json.loads((samples / "optionchain_idx.json").read_text())
    _, pair = next(iter(recorded["data"]["oc"].items()))
    told = ask("", NIFTY).payload
    leg = shape(told["data"]["oc"]["24500.000000"]["ce"])
    assert {leg.pop("average_price"), leg.pop("security_id")} == {"number"}
    assert leg == shape(pair["ce"])
    assert list(told) == list(recorded)


@pytest.mark.parametrize("body", [NIFTY, {"UnderlyingScrip": 26_000, "UnderlyingSeg": "NSE_FNO"}])
def test_expiries_are_told_nearest_first(body: dict[str, Any]) -> None:
    """A generated day has one."""
    assert ask("/expirylist", body).payload == {"data": [EXPIRY], "status": "success"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        None,
        {"UnderlyingScrip": 99_999_999, "UnderlyingSeg": "IDX_I", "Expiry": EXPIRY},
        {"UnderlyingScrip": 13, "UnderlyingSeg": "NSE_EQ", "Expiry": EXPIRY},
        {"UnderlyingScrip": "13", "UnderlyingSeg": "IDX_I", "Expiry": EXPIRY},
        {"UnderlyingScrip": 13, "UnderlyingSeg": "IDX_I", "Expiry": "2026-11-23"},
    ],
)
def test_whatever_is_wrong_is_one_error(body: Any) -> None:
    """400 and 813, as measured."""
    told = ask("", body)
    assert (told.status, told.payload) == (400, INVALID)
