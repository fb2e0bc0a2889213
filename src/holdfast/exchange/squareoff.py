"""Others trade in the account too: the broker squares off with its own orders, the owner by hand."""

import msgspec
from msgspec.structs import replace

from holdfast.domain.book import ForeignRow
from holdfast.domain.instrument import BrokerKey, InstrumentId
from holdfast.domain.order import BrokerOrderId, Side
from holdfast.exchange.account import Execution
from holdfast.exchange.book import Book

REASON = "cancelled by the broker's square-off"


class ForeignOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order of the account that we did not send, good until the close.

    `limit_paise` is `None` where it takes any price. `is_over`: it was withdrawn, or the day ended.
    """

    broker_id: BrokerOrderId
    key: BrokerKey
    side: Side
    quantity: int
    limit_paise: int | None = None
    filled_quantity: int = 0
    filled_value_paise: int = 0
    is_over: bool = False
    venue_at_ns: int

    @property
    def open_quantity(self) -> int:
        """What it has still to trade, in contracts."""
        return 0 if self.is_over else self.quantity - self.filled_quantity

    def row(self) -> ForeignRow:
        """The broker's view of it."""
        return ForeignRow(
            broker_id=self.broker_id,
            instrument=self.key.instrument,
            product=self.key.product,
            side=self.side,
            quantity=self.quantity,
            filled_quantity=self.filled_quantity,
            is_live=self.open_quantity > 0,
        )


class ForeignOrders:
    """The orders of the day that are not ours, in the order in which they were sent."""

    def __init__(self) -> None:
        self._orders: dict[BrokerOrderId, ForeignOrder] = {}
        self._news: list[ForeignRow] = []

    @property
    def is_any(self) -> bool:
        """Whether there was one today."""
        return bool(self._orders)

    def all(self) -> tuple[ForeignOrder, ...]:
        """Every one of them as it stands."""
        return tuple(self._orders.values())

    def take_news(self) -> list[ForeignRow]:
        """What happened to them since this was asked last."""
        news, self._news = self._news, []
        return news

    def working(self, instrument: InstrumentId) -> list[ForeignOrder]:
        """Those that have still to trade in one instrument."""
        return [
            order
            for order in self._orders.values()
            if order.key.instrument == instrument and order.open_quantity
        ]

    def send(self, order: ForeignOrder) -> None:
        """Take a new one."""
        self._keep(order)

    def close(self, key: BrokerKey, *, net: int, broker_id: BrokerOrderId, at_ns: int) -> None:
        """Send what brings `net` contracts to zero, less what is on its way already."""
        working = (o for o in self.working(key.instrument) if o.key == key)
        left = net + sum(order.side.sign * order.open_quantity for order in working)
        if left:
            side = Side.SELL if left > 0 else Side.BUY
            self.send(
                ForeignOrder(
                    broker_id=broker_id, key=key, side=side, quantity=abs(left), venue_at_ns=at_ns
                )
            )

    def withdraw(self, broker_id: BrokerOrderId, at_ns: int) -> None:
        """End what is left of one; its fills stay."""
        order = self._orders[broker_id]
        if order.open_quantity:
            self._keep(replace(order, is_over=True, venue_at_ns=at_ns))

    def trade(self, order: ForeignOrder, book: Book, at_ns: int) -> Execution | None:
        """Let one order take what the book offers within its limit; `None` when that is nothing."""
        quantity, value_paise = book.take(
            order.side, quantity=order.open_quantity, limit_paise=order.limit_paise
        )
        if quantity == 0:
            return None
        self._keep(
            replace(
                order,
                filled_quantity=order.filled_quantity + quantity,
                filled_value_paise=order.filled_value_paise + value_paise,
                venue_at_ns=at_ns,
            )
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

    def _keep(self, order: ForeignOrder) -> None:
        self._orders[order.broker_id] = order
        self._news.append(order.row())
