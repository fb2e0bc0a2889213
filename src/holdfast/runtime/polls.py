"""Looking at our orders once a second (T9) without drowning in answers that tell nothing new.

At most one poll of an order is on its way. An answer that shows what the engine was told already
need not be told again; now and then one is, because an answered call is how the engine knows that
the order path works.
"""

from typing import Final

from holdfast.domain.event import OrderUpdated
from holdfast.domain.order import BrokerOrderId, OrderId, OrderRow

SECOND_NS: Final = 1_000_000_000

LOST_NS: Final = 5 * SECOND_NS
"""A read without an answer by then was lost: its time-out."""

TOLD_EVERY_NS: Final = 2 * SECOND_NS
"""So often one answer is told although it tells nothing new: T9 asks for one in five seconds."""


class Polls:
    """What was asked about orders and is not answered, and what was told of each."""

    def __init__(self) -> None:
        """Nothing was told yet: the first answer about an order always is."""
        self._polled: dict[OrderId, int] = {}
        self._searched: dict[OrderId, int] = {}
        self._shown: dict[tuple[OrderId, BrokerOrderId], OrderRow] = {}
        self._told_ns: int | None = None

    def may_poll(self, order_id: OrderId, at_ns: int) -> bool:
        """Whether no poll of this order is on its way."""
        asked_ns = self._polled.get(order_id)
        return asked_ns is None or at_ns - asked_ns >= LOST_NS

    def ask(self, order_id: OrderId, at_ns: int, *, is_poll: bool) -> None:
        """A poll leaves, or a search, whose answer is told whatever it says."""
        (self._polled if is_poll else self._searched)[order_id] = at_ns

    def miss(self, order_id: OrderId) -> None:
        """The question about an order was answered without a row, or failed."""
        if self._searched.pop(order_id, None) is None:
            self._polled.pop(order_id, None)

    def is_news(self, event: OrderUpdated) -> bool:
        """Whether a word about an order is to be told."""
        row = event.row
        key = row.order_id, row.broker_id
        if event.is_read and not self._must_tell(event):
            is_due = self._told_ns is None or event.at_ns - self._told_ns >= TOLD_EVERY_NS
            if self._shown.get(key) == row and not is_due:
                return False
        self._shown[key] = row
        if event.is_read:
            self._told_ns = event.at_ns
        return True

    def _must_tell(self, event: OrderUpdated) -> bool:
        """Whether it answers a search, or nothing that we know of having asked."""
        order_id = event.row.order_id
        if self._searched.pop(order_id, None) is not None:
            return True
        return self._polled.pop(order_id, None) is None
