"""The option chain and the list of expiries (dhan.md 3.11): one question in three seconds each.

Off hours everything is 0 or -0; such a price is none. Greeks and volatility are the broker's opinion
and decide nothing.
"""

import asyncio
import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from holdfast.brokers.dhan.fields import Unreadable, data_of, items, number, objects, paise, whole
from holdfast.brokers.dhan.reads import NoAnswer, ask
from holdfast.brokers.dhan.rest import Answer, Rest
from holdfast.domain.instrument import (
    Instrument,
    InstrumentId,
    Kind,
    OptionType,
    Segment,
    instrument_id,
)
from holdfast.facts.ist import SECOND_NS
from holdfast.ports import Timing

CHAIN: Final = "/optionchain"
EXPIRIES: Final = "/optionchain/expirylist"

EVERY_S: Final = 3
"""One question of each kind about one underlying and expiry (dhan.md 2)."""

_SIDES: Final = (("ce", OptionType.CALL), ("pe", OptionType.PUT))


class ChainLeg(msgspec.Struct, frozen=True, kw_only=True):
    """One option of a chain. Prices in paise, `None` where there is none; quantities in contracts.

    `instrument` is `None` where the answer bears no id, as those before February 2026.
    """

    strike_paise: int
    option_type: OptionType
    instrument: InstrumentId | None
    last_paise: int | None
    bid_paise: int | None
    ask_paise: int | None
    bid_quantity: int
    ask_quantity: int
    oi: int
    volume: int
    previous_close_paise: int | None
    volatility: float
    delta: float
    gamma: float
    theta: float
    vega: float


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """A chain at `at_ns`, when its last byte came: by strike, calls first."""

    underlying: InstrumentId
    expiry: str
    at_ns: int
    spot_paise: int | None
    legs: tuple[ChainLeg, ...]


class ChainReader:
    """Reads chains no faster than the broker takes it; a question too early waits its turn."""

    def __init__(self, rest: Rest, timing: Timing) -> None:
        """Nothing was asked yet."""
        self._rest = rest
        self._timing = timing
        self._turns: dict[tuple[str, InstrumentId, str], int] = {}

    async def chain(self, underlying: Instrument, expiry: str) -> Chain | NoAnswer:
        """The chain of one expiry (an ISO date)."""
        await self._turn(CHAIN, underlying.id, expiry)
        return await ask(
            self._rest,
            "POST",
            CHAIN,
            body={**_body(underlying), "Expiry": expiry},
            parse=lambda answer: chain_of(answer, underlying, expiry),
        )

    async def expiries(self, underlying: Instrument) -> tuple[str, ...] | NoAnswer:
        """Every expiry as an ISO date, nearest first."""
        await self._turn(EXPIRIES, underlying.id, "")
        return await ask(self._rest, "POST", EXPIRIES, body=_body(underlying), parse=expiries_of)

    async def _turn(self, path: str, underlying: InstrumentId, expiry: str) -> None:
        """Wait for the next turn. Several who wait for one key get turns one after the other."""
        key = (path, underlying, expiry)
        now_ns = self._timing.now_ns()
        turn_ns = max(now_ns, self._turns.get(key, now_ns))
        self._turns[key] = turn_ns + EVERY_S * SECOND_NS
        if turn_ns > now_ns:
            await asyncio.sleep(self._timing.wall_s((turn_ns - now_ns) / SECOND_NS))


def _body(underlying: Instrument) -> dict[str, object]:
    assert underlying.kind is Kind.INDEX, "chains are asked for by the index"
    return {
        "UnderlyingScrip": underlying.security_id,
        "UnderlyingSeg": underlying.segment.value,
    }


def expiries_of(answer: Answer) -> tuple[str, ...]:
    """Read the list. Raises `Unreadable`."""
    days = [_day(one) for one in items(data_of(answer, "expirylist"), "expirylist")]
    return tuple(sorted(set(days)))


def _day(value: object) -> str:
    try:
        return dt.date.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise Unreadable("an expiry is no day") from None


def chain_of(answer: Answer, underlying: Instrument, expiry: str) -> Chain:
    """Read a chain. Raises `Unreadable`."""
    data = objects(data_of(answer, "optionchain"), "optionchain")
    strikes = objects(data.get("oc"), "oc")
    segment = Segment.BSE_FNO if underlying.exchange == "BSE" else Segment.NSE_FNO
    legs = [leg for strike, row in strikes.items() for leg in _legs(strike, row, segment)]
    return Chain(
        underlying=underlying.id,
        expiry=expiry,
        at_ns=answer.at_ns,
        spot_paise=_price(data, "last_price"),
        legs=tuple(sorted(legs, key=lambda leg: (leg.strike_paise, leg.option_type))),
    )


def _legs(strike: str, row: object, segment: Segment) -> Iterator[ChainLeg]:
    """Calls and puts of one strike, whose key is like "25650.000000"; one of the two may be absent."""
    strike_paise = paise(strike, "a strike")
    if strike_paise <= 0:
        raise Unreadable("a strike is not positive")
    sides = objects(row, f"strike {strike}")
    for name, option_type in _SIDES:
        if sides.get(name) is not None:
            yield _leg(objects(sides[name], name), strike_paise, option_type, segment)


def _leg(
    leg: Mapping[str, object], strike_paise: int, option_type: OptionType, segment: Segment
) -> ChainLeg:
    given = leg.get("greeks")
    greeks = objects(given, "greeks") if given is not None else {}
    return ChainLeg(
        strike_paise=strike_paise,
        option_type=option_type,
        instrument=_id(leg, segment),
        last_paise=_price(leg, "last_price"),
        bid_paise=_price(leg, "top_bid_price"),
        ask_paise=_price(leg, "top_ask_price"),
        bid_quantity=_count(leg, "top_bid_quantity"),
        ask_quantity=_count(leg, "top_ask_quantity"),
        oi=_count(leg, "oi"),
        volume=_count(leg, "volume"),
        previous_close_paise=_price(leg, "previous_close_price"),
        volatility=_float(leg, "implied_volatility"),
        delta=_float(greeks, "delta"),
        gamma=_float(greeks, "gamma"),
        theta=_float(greeks, "theta"),
        vega=_float(greeks, "vega"),
    )


def _id(leg: Mapping[str, object], segment: Segment) -> InstrumentId | None:
    security_id = _count(leg, "security_id")
    return instrument_id(segment, security_id) if security_id else None


def _price(row: Mapping[str, object], key: str) -> int | None:
    """A price; 0, -0 and what is absent are none. A negative one raises `Unreadable`."""
    found = paise(_given(row, key), key)
    if found < 0:
        raise Unreadable(f"{key} is negative")
    return found or None


def _count(row: Mapping[str, object], key: str) -> int:
    found = whole(_given(row, key), key)
    if found < 0:
        raise Unreadable(f"{key} is negative")
    return found


def _float(row: Mapping[str, object], key: str) -> float:
    return float(number(_given(row, key), key))


def _given(row: Mapping[str, object], key: str) -> object:
    """What is absent or null is 0."""
    value = row.get(key)
    return 0 if value is None else value
