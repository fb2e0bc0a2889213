"""Quotes by request: `/marketfeed/ltp`, `ohlc` and `quote` (dhan.md 3.10).

A body names segments and security ids; what is not known of it is left out of the answer, and so
is every key that is no segment. Whole rupees are written without a fraction, as measured.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from holdfast.domain.instrument import InstrumentId, Segment, instrument_id
from holdfast.domain.market import Level
from holdfast.facts.ist import OFFSET_NS, SECOND_NS, ist_date
from holdfast.simbroker.dhan.board import Board, Snapshot
from holdfast.simbroker.dhan.packets import DEPTH, orders_in
from holdfast.simbroker.dhan.route import Answer, Call, Family, Limit, Route, numbered
from holdfast.simbroker.dhan.wire_faults import Endpoint

INSTRUMENTS_MAX: Final = 1_000
"""In one request (dhan.md 2)."""

Circuit = Callable[[InstrumentId], tuple[int, int]]
"""Lowest and highest price of the day in paise, zeros where there is none."""


class Quotes:
    """Answers from the board."""

    def __init__(self, board: Board, circuit: Circuit) -> None:
        self._board = board
        self._circuit = circuit

    def routes(self) -> list[Route]:
        """What the REST host offers."""
        shown: Mapping[str, Callable[[Snapshot], dict[str, Any]]] = {
            "ltp": _last,
            "ohlc": _prices,
            "quote": self._whole,
        }
        return [self._route(name, show) for name, show in shown.items()]

    def _route(self, name: str, show: Callable[[Snapshot], dict[str, Any]]) -> Route:
        async def answer(call: Call) -> Answer:
            return self.answer(call.fields, show)

        return Route(
            "POST",
            f"/v2/marketfeed/{name}",
            answer,
            endpoint=Endpoint.QUOTES,
            family=Family.QUOTES,
            limit=Limit.QUOTES,
        )

    def answer(
        self, asked: Mapping[str, Any], show: Callable[[Snapshot], dict[str, Any]]
    ) -> Answer:
        """`asked` is the body: segments to lists of numbers, and whatever else it carries."""
        wanted = {key: ids for key, ids in asked.items() if key in Segment.__members__}
        if not all(isinstance(ids, list) for ids in wanted.values()):
            return numbered("814", "Invalid Request", status=400)
        if sum(len(ids) for ids in wanted.values()) > INSTRUMENTS_MAX:
            return numbered("804", "Requested number of instruments exceeds limit", status=400)
        data = {key: self._segment(Segment(key), ids, show) for key, ids in wanted.items()}
        return Answer(payload={"data": data, "status": "success"})

    def _segment(
        self, segment: Segment, ids: list[Any], show: Callable[[Snapshot], dict[str, Any]]
    ) -> dict[str, Any]:
        told = {}
        for number in ids:
            is_number = isinstance(number, int) and not isinstance(number, bool)
            key = instrument_id(segment, number if is_number else -1)
            if self._board.has(key):
                told[str(number)] = show(self._board.snapshot(key))
        return told

    def _whole(self, shown: Snapshot) -> dict[str, Any]:
        low_paise, high_paise = self._circuit(shown.contract.id)
        has_price = bool(shown.last_paise and shown.close_paise)
        return {
            "average_price": rupees(shown.average_paise),
            "buy_quantity": shown.bought,
            "depth": {"buy": _levels(shown, shown.bids), "sell": _levels(shown, shown.asks)},
            "last_price": rupees(shown.last_paise),
            "last_quantity": shown.last_quantity,
            "last_trade_time": _trade_time(shown),
            "lower_circuit_limit": rupees(low_paise),
            "net_change": rupees(shown.last_paise - shown.close_paise if has_price else 0),
            "ohlc": _ohlc(shown),
            "oi": shown.oi,
            "oi_day_high": shown.oi_high,
            "oi_day_low": shown.oi_low,
            "sell_quantity": shown.sold,
            "upper_circuit_limit": rupees(high_paise),
            "volume": shown.volume,
        }


def rupees(paise: int) -> float | int:
    """A price as these endpoints write it: `24028.05`, `24028`."""
    whole, rest = divmod(paise, 100)
    return paise / 100 if rest else whole


def _last(shown: Snapshot) -> dict[str, Any]:
    return {"last_price": rupees(shown.last_paise)}


def _prices(shown: Snapshot) -> dict[str, Any]:
    return {"last_price": rupees(shown.last_paise), "ohlc": _ohlc(shown)}


def _ohlc(shown: Snapshot) -> dict[str, Any]:
    """`close` is that of the session before (dhan.md 3.10)."""
    return {
        "open": rupees(shown.open_paise),
        "close": rupees(shown.close_paise),
        "high": rupees(shown.high_paise),
        "low": rupees(shown.low_paise),
    }


def _levels(shown: Snapshot, levels: tuple[Level, ...]) -> list[dict[str, Any]]:
    told = [*levels[:DEPTH], *[(0, 0)] * (DEPTH - len(levels))]
    return [
        {
            "quantity": quantity,
            "orders": orders_in(quantity, shown.contract),
            "price": rupees(paise),
        }
        for paise, quantity in told
    ]


def _trade_time(shown: Snapshot) -> str:
    """Day first, in India; empty before the day's first trade."""
    if shown.traded_at_ns is None:
        return ""
    seconds = (shown.traded_at_ns + OFFSET_NS) // SECOND_NS % 86_400
    clock = f"{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{ist_date(shown.traded_at_ns):%d/%m/%Y} {clock}"
