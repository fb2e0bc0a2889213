"""REST of orders and trades (dhan.md 3.1, 3.8)."""

from collections.abc import Sequence
from typing import Final

from holdfast.domain.instrument import Instrument
from holdfast.simbroker.dhan.asked import (
    CLOSED_CHANGE,
    CLOSED_PLACE,
    IN_TRANSIT,
    INVALID_IP,
    NO_SUCH,
    SELL_TRIGGER,
    Placing,
    quantity_objection,
    read_changing,
    read_placing,
)
from holdfast.simbroker.dhan.book import Book
from holdfast.simbroker.dhan.desk import MODIFICATIONS_MAX, Desk
from holdfast.simbroker.dhan.doubts import CancelAnswer, External, StopMarket
from holdfast.simbroker.dhan.host import Host
from holdfast.simbroker.dhan.order import AccountOrder, DhanType, Status
from holdfast.simbroker.dhan.profile import Addresses
from holdfast.simbroker.dhan.route import Answer, Call, Limit, Route, bad_input, order_error
from holdfast.simbroker.dhan.shown import ist_stamp, order_row, statement_row, trade_row
from holdfast.simbroker.dhan.wire_faults import Endpoint, WireFault, WireFaults

PAGE_ROWS: Final = 20
CLOSED: Final = WireFault.REFUSED_CLOSED
TOO_OFTEN: Final = f"Order can be modified {MODIFICATIONS_MAX} times only"


class Orders:
    """Answers what is asked about orders and trades."""

    def __init__(
        self, host: Host, desk: Desk, *, book: Book, addresses: Addresses, faults: WireFaults
    ) -> None:
        """`book` shows the account, `addresses` says who may trade."""
        self._host = host
        self._desk = desk
        self._book = book
        self._addresses = addresses
        self._faults = faults

    def routes(self) -> Sequence[Route]:
        """Everything under /v2/orders and /v2/trades."""
        one = "/v2/orders/{order_id}"
        return (
            Route("POST", "/v2/orders", self._place, Endpoint.PLACE, limit=Limit.ORDERS),
            Route("PUT", one, self._modify, Endpoint.MODIFY, limit=Limit.ORDERS),
            Route("DELETE", one, self._cancel, Endpoint.CANCEL, limit=Limit.ORDERS),
            Route("GET", "/v2/orders", self._all, Endpoint.ORDERS),
            Route("GET", "/v2/orders/external/{tag}", self._by_tag, Endpoint.EXTERNAL),
            Route("GET", one, self._by_id, Endpoint.ORDER),
            Route("GET", "/v2/trades", self._trades, Endpoint.TRADES),
            Route("GET", "/v2/trades/", self._trades, Endpoint.TRADES),
            Route("GET", "/v2/trades/{order_id}", self._trades, Endpoint.TRADES),
            Route("GET", "/v2/trades/{first}/{last}/{page}", self._statement, Endpoint.TRADES),
        )

    async def _place(self, call: Call) -> Answer:
        """Judged in the order that was measured: quantity, then IP, then the rest (dhan.md 1.9)."""
        no = quantity_objection(call.fields)
        if no is not None:
            return no
        if not self._addresses.may_trade(call):
            return bad_input(INVALID_IP)
        asked = read_placing(call.fields, self._host.contracts, client_id=call.client_id)
        if isinstance(asked, Answer):
            return asked
        is_refused = self._desk.doubts.stop_market is StopMarket.REFUSED
        if is_refused and asked.order_type == DhanType.STOP_LOSS_MARKET:
            return order_error(SELL_TRIGGER)
        contract = self._host.contracts[asked.instrument]
        is_open = self._is_open(contract, call.at_ns) and not self._is_struck(CLOSED, call)
        if not is_open and not self._waits(asked, call.at_ns):
            return order_error(CLOSED_PLACE)
        return _taken(self._desk.place(asked), Status.TRANSIT)

    async def _modify(self, call: Call) -> Answer:
        """An offline order cannot be changed before the open either (recorded so)."""
        order = self._changeable(call)
        if isinstance(order, Answer):
            return order
        if not self._is_open(order.instrument, call.at_ns):
            return order_error(CLOSED_CHANGE)
        asked = read_changing(call.fields, order)
        if isinstance(asked, Answer):
            return asked
        if self._desk.modifications[order.order_id] >= MODIFICATIONS_MAX:
            return order_error(TOO_OFTEN)
        if not order.is_live or self._desk.refuses_limit(order, asked, call.at_ns):
            return order_error(NO_SUCH)
        self._desk.modify(asked)
        return _taken(order, Status.TRANSIT)

    async def _cancel(self, call: Call) -> Answer:
        order = self._changeable(call)
        if isinstance(order, Answer):
            return order
        if order.status is Status.TRANSIT:
            return order_error(IN_TRANSIT)
        if not order.is_live:
            return order_error(NO_SUCH)
        self._desk.cancel(order.order_id)
        if self._desk.doubts.cancel_answer is CancelAnswer.EMPTY:
            return Answer(status=202, text="")
        return _taken(order, Status.CANCELLED)

    def _changeable(self, call: Call) -> AccountOrder | Answer:
        """The order that a request names, or the no that comes before anything it asks."""
        order = self._desk.orders.get(call.named["order_id"])
        if not call.named["order_id"].isdecimal():
            return bad_input()
        if not self._addresses.may_trade(call):
            return bad_input(INVALID_IP)
        if order is None:
            return order_error(NO_SUCH)
        is_open = self._is_open(order.instrument, call.at_ns) or order.is_offline
        if not is_open or self._is_struck(CLOSED, call):
            return order_error(CLOSED_CHANGE)
        if self._is_struck(WireFault.REFUSED_NOT_MODIFIABLE, call):
            return order_error(NO_SUCH)
        return order

    def _is_struck(self, kind: WireFault, call: Call) -> bool:
        struck = self._faults.strikes(
            kind, call.key, call.at_ns, endpoint=call.endpoint, fields=call.fields
        )
        return struck is not None

    async def _all(self, call: Call) -> Answer:
        return Answer(payload=[self._row(order, call) for order in self._book.orders(call)])

    async def _by_id(self, call: Call) -> Answer:
        """An array of one; an unknown id is 200 and an empty one (order_by_id_unknown.json)."""
        if not call.named["order_id"].isdecimal():
            return bad_input()
        order = self._known(call.named["order_id"], call)
        return Answer(payload=[] if order is None else [self._row(order, call)])

    async def _by_tag(self, call: Call) -> Answer:
        """404 for what nobody knows, and for what is in TRANSIT still (order_external_error_404)."""
        order = self._desk.by_tag(call.named["tag"])
        known = None if order is None else self._known(order.order_id, call)
        if known is None or known.status is Status.TRANSIT:
            return order_error(NO_SUCH, status=404)
        row = self._row(known, call)
        is_array = self._desk.doubts.external is External.ARRAY
        return Answer(payload=[row] if is_array else row)

    async def _trades(self, call: Call) -> Answer:
        wanted = call.named.get("order_id")
        orders = self._desk.orders
        rows = [
            trade_row(fill, orders[fill.order_id], client_id=call.client_id)
            for fill in self._book.fills(call)
            if wanted in (None, fill.order_id)
        ]
        return Answer(payload=rows)

    async def _statement(self, call: Call) -> Answer:
        """A day's trades stand in the statement once its session is over."""
        first, last, page = (call.named[name] for name in ("first", "last", "page"))
        ends = [session.close_ns for session in self._host.facts.sessions]
        day = ist_stamp(call.at_ns)[:10]
        is_over = bool(ends) and call.at_ns >= max(ends)
        if not page.isdecimal():
            return bad_input()
        fills = self._book.fills(call) if is_over and first <= day <= last else []
        begin = int(page) * PAGE_ROWS
        rows = [
            statement_row(
                fill,
                self._desk.orders[fill.order_id],
                client_id=call.client_id,
                facts=self._host.facts,
            )
            for fill in fills[begin : begin + PAGE_ROWS]
        ]
        return Answer(payload=rows)

    def _known(self, order_id: str, call: Call) -> AccountOrder | None:
        order = self._desk.orders.get(order_id)
        fields = {} if order is None else self._row(order, call)
        is_hidden = order is not None and self._faults.strikes(
            WireFault.ORDER_NOT_FOUND, call.key, call.at_ns, endpoint=call.endpoint, fields=fields
        )
        return None if is_hidden else order

    def _row(self, order: AccountOrder, call: Call) -> dict[str, object]:
        decimals = self._desk.doubts.average_decimals
        return order_row(order, client_id=call.client_id, decimals=decimals)

    def _is_open(self, contract: Instrument, at_ns: int) -> bool:
        return self._host.exchange.is_open(contract.id, at_ns)

    def _waits(self, asked: Placing, at_ns: int) -> bool:
        """Whether an offline order may wait for the next open; by day it is refused too."""
        return asked.is_offline and not any(
            session.open_ns <= at_ns < session.close_ns for session in self._host.facts.sessions
        )


def _taken(order: AccountOrder, status: Status) -> Answer:
    return Answer(payload={"orderId": order.order_id, "orderStatus": status.value})
