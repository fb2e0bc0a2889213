"""The option chain: as the wire shows it, zeros and all, and no faster than the broker takes it."""

import asyncio
import json
from pathlib import Path

import pytest
from typing_extensions import override

from holdfast.brokers.dhan.chain import Chain, ChainReader, chain_of, expiries_of
from holdfast.brokers.dhan.fields import Unreadable
from holdfast.brokers.dhan.reads import NoAnswer
from holdfast.brokers.dhan.rest import Rest
from holdfast.domain.instrument import OptionType
from holdfast.domain.order import Refusal
from holdfast.runtime.clock import ScaledClock
from tests.support.dhan_account import NOW_NS, HandClock, answer, recorded, sample
from tests.support.dhan_wire import Heard, Said, Whose, WireServer, said
from tests.unit.brokers.dhan.test_charts import INDEX

EXPIRY = "2026-11-24"
LEG = {
    "average_price": 120.2,
    "greeks": {"delta": 0.53, "theta": -15.1, "gamma": 0.0013, "vega": 12.1},
    "implied_volatility": 12.4,
    "last_price": 118.5,
    "oi": 1_250_000,
    "previous_close_price": 110.0,
    "previous_oi": 1_200_000,
    "previous_volume": 31_000_000,
    "security_id": 49_081,
    "top_ask_price": 118.7,
    "top_ask_quantity": 650,
    "top_bid_price": 118.4,
    "top_bid_quantity": 325,
    "volume": 45_000_000,
}


def body(**changed: object) -> dict[str, object]:
    """A chain of one strike, its call changed."""
    strike = {"ce": {**LEG, **changed}, "pe": {**LEG, "security_id": 49_082}}
    return {"data": {"last_price": 25_010.5, "oc": {"25000.000000": strike}}, "status": "success"}


def read(value: object) -> Chain:
    """What is made of a body."""
    return chain_of(answer(json.dumps(value)), INDEX, EXPIRY)


def test_a_leg_is_read_whole() -> None:
    """Calls before puts, with the id of each in the options' segment."""
    chain = read(body())
    call, put = chain.legs
    assert (chain.underlying, chain.expiry, chain.spot_paise) == ("IDX_I:13", EXPIRY, 25_010_50)
    assert (call.option_type, put.option_type) == (OptionType.CALL, OptionType.PUT)
    assert (call.strike_paise, call.instrument, put.instrument) == (
        25_000_00,
        "NSE_FNO:49081",
        "NSE_FNO:49082",
    )
    assert (call.last_paise, call.bid_paise, call.ask_paise) == (118_50, 118_40, 118_70)
    assert (call.bid_quantity, call.ask_quantity, call.oi, call.volume) == (
        325,
        650,
        1_250_000,
        45_000_000,
    )
    assert (call.volatility, call.delta, call.theta) == (12.4, 0.53, -15.1)
    assert call.previous_close_paise == 110_00


@pytest.mark.parametrize(
    ("name", "strikes"),
    [
        ("optionchain_idx.json", 238),
        ("optionchain_nsefno.json", 238),
        ("optionchain_jan2025.json", 238),
    ],
)
def test_the_samples_are_read(shared_data: Path, name: str, strikes: int) -> None:
    """Off hours: zeros and -0 are no price, ids are not there yet."""
    chain = chain_of(answer(sample(shared_data, name)), INDEX, EXPIRY)
    assert len(chain.legs) > strikes
    assert chain.spot_paise is not None
    assert all(leg.instrument is None for leg in chain.legs)
    assert any(leg.last_paise is None for leg in chain.legs)
    assert all(
        price != 0 for leg in chain.legs for price in (leg.last_paise, leg.bid_paise, leg.ask_paise)
    )
    strikes_paise = [leg.strike_paise for leg in chain.legs]
    assert strikes_paise == sorted(strikes_paise)


def test_recorded_chains_and_expiries_are_read(shared_data: Path) -> None:
    """All of others' recordings; a refusal among them is unreadable."""
    chains = [one for one in recorded(shared_data) if one.uri.endswith("/optionchain")]
    assert chains
    for one in chains:
        if '"success"' in one.body:
            assert chain_of(answer(one.body), INDEX, EXPIRY).legs
        else:
            with pytest.raises(Unreadable):
                chain_of(answer(one.body), INDEX, EXPIRY)
    lists = [one for one in recorded(shared_data) if one.uri.endswith("/expirylist")]
    assert lists
    assert all(expiries_of(answer(one.body)) for one in lists if '"success"' in one.body)


def test_expiries_are_days_in_order(shared_data: Path) -> None:
    """The samples, and one out of order."""
    for name in ("optionchain_expirylist_idx.json", "optionchain_expirylist_nsefno.json"):
        days = expiries_of(answer(sample(shared_data, name)))
        assert len(days) == 18
        assert list(days) == sorted(days)
    mixed = answer('{"data":["2026-12-01","2026-11-24","2026-12-01"],"status":"success"}')
    assert expiries_of(mixed) == ("2026-11-24", "2026-12-01")


@pytest.mark.parametrize(
    "changed",
    [
        {"last_price": "x"},
        {"last_price": -1},
        {"oi": -5},
        {"oi": 1.5},
        {"greeks": []},
        {"greeks": {"delta": "x"}},
        {"security_id": "x"},
        {"top_bid_price": {}},
        {"top_ask_quantity": True},
    ],
)
def test_a_leg_that_cannot_be_read_makes_no_chain(changed: dict[str, object]) -> None:
    """Nobody would know which of them is wrong."""
    with pytest.raises(Unreadable):
        read(body(**changed))


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"status": "success"},
        {"data": [], "status": "success"},
        {"data": {"oc": []}, "status": "success"},
        {"data": {"oc": {"x": {}}}, "status": "success"},
        {"data": {"oc": {"-5": {}}}, "status": "success"},
        {"data": {"oc": {"5": []}}, "status": "success"},
        {"data": {"813": "Invalid SecurityId"}, "status": "failed"},
    ],
)
def test_what_is_no_chain_is_refused(value: object) -> None:
    """In whatever shape."""
    with pytest.raises(Unreadable):
        read(value)


def test_what_is_absent_is_none() -> None:
    """One side of a strike, a price, greeks, the spot."""
    chain = read({"data": {"oc": {"5.0": {"pe": {}, "ce": None}}}, "status": "success"})
    (leg,) = chain.legs
    assert leg.option_type is OptionType.PUT
    assert (leg.last_paise, leg.oi, leg.delta, chain.spot_paise) == (None, 0, 0.0, None)


@pytest.mark.proves("I-61")
def test_one_question_in_three_seconds_of_each_kind() -> None:
    """Whoever asks sooner waits his turn; another expiry, or the list, waits for nobody."""
    waits: list[float] = []

    class Timing(HandClock):
        @override
        def wall_s(self, seconds: float) -> float:
            waits.append(seconds)
            return super().wall_s(seconds)

    def answers(heard: Heard) -> Said:
        is_list = heard.path == "/optionchain/expirylist"
        return said(200, {"data": [EXPIRY], "status": "success"} if is_list else body())

    async def main() -> None:
        clock = Timing()
        async with WireServer(answers) as server:
            rest = Rest(server.base, Whose(), ScaledClock(NOW_NS, 1))
            reader = ChainReader(rest, clock)
            try:
                for _ in range(3):
                    assert isinstance(await reader.chain(INDEX, EXPIRY), Chain)
                assert isinstance(await reader.chain(INDEX, "2026-12-01"), Chain)
                assert await reader.expiries(INDEX) == (EXPIRY,)
                assert waits == [3.0, 6.0]
                clock.pass_s(9)
                await reader.chain(INDEX, EXPIRY)
                assert waits == [3.0, 6.0]
            finally:
                await rest.close()

    asyncio.run(main())


def test_the_limit_of_the_broker_is_a_refusal() -> None:
    """Its number stands in the data (805)."""
    refusal = {"data": {"805": "Too many requests."}, "status": "failed"}

    async def main() -> object:
        async with WireServer(lambda _: said(429, refusal)) as server:
            rest = Rest(server.base, Whose(), ScaledClock(NOW_NS, 5))
            try:
                return await ChainReader(rest, ScaledClock(NOW_NS, 5)).chain(INDEX, EXPIRY)
            finally:
                await rest.close()

    found = asyncio.run(main())
    assert isinstance(found, NoAnswer)
    assert found.refusal is Refusal.RATE
