"""The option chain and its expiries (dhan.md 3.11)."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from holdfast.domain.dated import DayFacts
from holdfast.domain.instrument import Instrument, OptionType, Segment
from holdfast.facts.ist import day_start_ns
from holdfast.simbroker.dhan.board import Board, Snapshot
from holdfast.simbroker.dhan.instruments import UNDERLYING_IDS
from holdfast.simbroker.dhan.pricing import Terms, greeks, implied_volatility, years_until
from holdfast.simbroker.dhan.quotes import rupees
from holdfast.simbroker.dhan.route import Answer, Call, Family, Limit, Route, numbered
from holdfast.simbroker.dhan.wire_faults import Endpoint

LEGS: Final = {OptionType.CALL: "ce", OptionType.PUT: "pe"}
DERIVATIVES: Final = (Segment.NSE_FNO, Segment.BSE_FNO)


class Chain:
    """Answers from the board."""

    def __init__(self, board: Board, facts: DayFacts) -> None:
        self._board = board
        self._facts = facts

    def routes(self) -> list[Route]:
        """What the REST host offers: a chain once in three seconds, expiries like any quote."""
        paths = {"/v2/optionchain": self.chain, "/v2/optionchain/expirylist": self.expiries}
        return [
            Route(
                "POST",
                path,
                answer,
                endpoint=Endpoint.CHAIN,
                family=Family.QUOTES,
                limit=Limit.CHAIN,
            )
            for path, answer in paths.items()
        ]

    async def expiries(self, call: Call) -> Answer:
        """ISO dates, nearest first."""
        index = self.underlying(call.fields)
        dates = [] if index is None else self._board.expiries(index.underlying)
        if not dates:
            return _invalid()
        return Answer(payload={"data": dates, "status": "success"})

    async def chain(self, call: Call) -> Answer:
        """Every strike of one expiry with both legs; whatever is wrong is one error."""
        index = self.underlying(call.fields)
        expiry = _field(call.fields, "Expiry")
        if index is None or expiry not in self._board.expiries(index.underlying):
            return _invalid()
        spot = self._board.snapshot(index.id)
        strikes = self._board.strikes(index.underlying, expiry)
        years = years_until(self._expires_ns(index, expiry), call.at_ns)
        legs = {
            f"{paise / 100:.6f}": {
                LEGS[kind]: self._leg(one, spot, years) for kind, one in pair.items()
            }
            for paise, pair in strikes.items()
        }
        data = {"last_price": rupees(spot.last_paise), "oc": legs}
        return Answer(payload={"data": data, "status": "success"})

    def underlying(self, fields: Mapping[str, Any]) -> Instrument | None:
        """The index that is asked for: by its own number, or by that of its derivatives."""
        number, segment = _field(fields, "UnderlyingScrip"), _field(fields, "UnderlyingSeg")
        if not isinstance(number, int):
            return None
        for one in self._board.instruments.values():
            is_index = one.segment is Segment.IDX_I and segment == Segment.IDX_I
            is_derived = UNDERLYING_IDS.get(one.underlying) == number and segment in DERIVATIVES
            if (is_index and one.security_id == number) or is_derived:
                return self._board.index(one.underlying)
        return None

    def _expires_ns(self, index: Instrument, expiry: str) -> int:
        """When trading in the expiry's options ends, at the hour at which it does today."""
        session = self._facts.session(index.exchange)
        today_ns = day_start_ns(date.fromisoformat(self._facts.day))
        after_ns = 0 if session is None else session.close_ns - today_ns
        return day_start_ns(date.fromisoformat(expiry)) + after_ns

    def _leg(self, option: Instrument, spot: Snapshot, years: float) -> dict[str, Any]:
        shown = self._board.snapshot(option.id)
        assert option.strike_paise is not None, "an option has a strike"
        assert option.option_type is not None, "an option has a type"
        volatility, told = 0.0, greeks(_NOTHING, 0.0)
        if shown.last_paise and spot.last_paise:
            terms = Terms(spot.last_paise, option.strike_paise, years, option.option_type)
            volatility = implied_volatility(terms, shown.last_paise)
            told = greeks(terms, volatility)
        bid, ask = (levels[0] if levels else (0, 0) for levels in (shown.bids, shown.asks))
        return {
            "average_price": rupees(shown.average_paise),
            "greeks": {
                "delta": round(told.delta, 5),
                "theta": round(told.theta / 100, 5),
                "gamma": round(told.gamma * 100, 5),
                "vega": round(told.vega / 100, 5),
            },
            "implied_volatility": volatility * 100,
            "last_price": rupees(shown.last_paise),
            "oi": shown.oi,
            "previous_close_price": rupees(shown.close_paise),
            "previous_oi": 0,
            "previous_volume": 0,
            "security_id": option.security_id,
            "top_ask_price": rupees(ask[0]),
            "top_ask_quantity": ask[1],
            "top_bid_price": rupees(bid[0]),
            "top_bid_quantity": bid[1],
            "volume": shown.volume,
        }


_NOTHING: Final = Terms(1.0, 1.0, 1.0, OptionType.CALL)


def _field(fields: Mapping[str, Any], name: str) -> Any:
    """A field under its documented name, or with a small first letter, which works too."""
    return fields.get(name, fields.get(name[0].lower() + name[1:]))


def _invalid() -> Answer:
    return numbered("813", "Invalid SecurityId", status=400)
