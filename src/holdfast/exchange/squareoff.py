"""The broker trades too: at its square-off time it closes INTRADAY positions with its own orders."""

import msgspec
from msgspec.structs import replace

from holdfast.domain.instrument import BrokerKey, InstrumentId
from holdfast.domain.order import BrokerOrderId, Side
from holdfast.exchange.account import Execution
from holdfast.exchange.book import Book

REASON = "cancelled by the broker's square-off"


class ForeignOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order of the account that we did not send: at any price, good until the close."""

    broker_id: BrokerOrderId
    key: BrokerKey
    side: Side
    quantity: int
    filled_quantity: int = 0
    filled_value_paise: int = 0
    venue_at_ns: int

    @property
    def open_quantity(self) -> int:
        """What it has still to trade, in contracts."""
        return self.quantity - self.filled_quantity


class ForeignOrders:
    """The broker's own orders of the day, in the order in which it sent them."""

    def __init__(self) -> None:
        self._orders: dict[BrokerOrderId, ForeignOrder] = {}

    @property
    def is_any(self) -> bool:
        """Whether the broker has sent one today."""
        return bool(self._orders)

    def all(self) -> tuple[ForeignOrder, ...]:
        """Every one of them as it stands."""
        return tuple(self._orders.values())

    def working(self, instrument: InstrumentId) -> list[ForeignOrder]:
        """Those that have still to trade in one instrument."""
        return [
            order
            for order in self._orders.values()
            if order.key.instrument == instrument and order.open_quantity
        ]

    def close(self, key: BrokerKey, *, net: int, broker_id: BrokerOrderId, at_ns: int) -> None:
        """Send what brings `net` contracts to zero, less what is on its way already."""
        working = (o for o in self.working(key.instrument) if o.key == key)
        left = net + sum(order.side.sign * order.open_quantity for order in working)
        if left:
            self._orders[broker_id] = ForeignOrder(
                broker_id=broker_id,
                key=key,
                side=Side.SELL if left > 0 else Side.BUY,
                quantity=abs(left),
                venue_at_ns=at_ns,
            )

    def trade(self, order: ForeignOrder, book: Book, at_ns: int) -> Execution | None:
        """Let one order take what the book offers at any price; `None` when it offers nothing."""
        quantity, value_paise = book.take(
            order.side, quantity=order.open_quantity, limit_paise=None
        )
        if quantity == 0:
            return None
        self._orders[order.broker_id] = replace(
            order,
            filled_quantity=order.filled_quantity + quantity,
            filled_value_paise=order.filled_value_paise + value_paise,
            venue_at_ns=at_ns,
        )
        return Execution(
            order_id=None,
            broker_id=order.broker_id,
            key=order.key,
            side=order.side,
            quantity=quantity,
            value_paise=value_paise,
            at_ns=at_ns,
        )
