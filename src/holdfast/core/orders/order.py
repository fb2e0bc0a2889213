"""One order of ours as we know it: terms asked, terms seen, fills, and requests in flight."""

from typing import NamedTuple

from holdfast.core.orders.life import OrderEvent, advance, rows_of
from holdfast.domain.event import Action, Outcome
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderState,
    OrderTerms,
    OrderType,
    Purpose,
)

MODIFICATIONS_MAX = 25
"""The broker's limit for one order (reference/dhan.md 2)."""

_END_WORDS = {
    BrokerStatus.CANCELLED: OrderEvent.END_CANCELLED,
    BrokerStatus.REJECTED: OrderEvent.END_REJECTED,
    BrokerStatus.EXPIRED: OrderEvent.END_EXPIRED,
}


class Fill(NamedTuple):
    """What one word of the broker added: contracts, and their value in paise (price x quantity).

    The quantity is final; the value is the broker's cumulative figure minus what we had.
    """

    quantity: int
    value_paise: int


class Order:
    """The fold of everything said and asked about one order. Owned by the engine.

    `terms` are the newest asked, `standing` those that hold at the broker as far as we know,
    `seen` those of its last row (`None` before the first): only `seen` is evidence.
    """

    __slots__ = (
        "alarm",
        "asked",
        "asked_at_ns",
        "asked_first_ns",
        "broker_id",
        "filled_quantity",
        "filled_value_paise",
        "id",
        "modifications",
        "position",
        "purpose",
        "reason",
        "seen",
        "sent_at_ns",
        "standing",
        "state",
        "status",
        "terms",
        "venue_at_ns",
    )

    def __init__(
        self, order_id: OrderId, purpose: Purpose, position: int, terms: OrderTerms
    ) -> None:
        self.id = order_id
        self.purpose = purpose
        self.position = position
        self.terms = terms
        self.standing = terms
        self.seen: OrderTerms | None = None
        self.state = OrderState.PLANNED
        self.status: BrokerStatus | None = None
        self.broker_id: BrokerOrderId | None = None
        self.filled_quantity = 0
        self.filled_value_paise = 0
        self.modifications = 0
        self.asked: Action | None = None
        self.asked_at_ns = 0
        self.asked_first_ns = 0
        self.sent_at_ns = 0
        self.venue_at_ns = 0
        self.reason = ""
        self.alarm = False

    @property
    def is_live(self) -> bool:
        """Whether it could still fill: everything that is not at an end, unknown included."""
        return not self.state.is_terminal

    @property
    def is_settled(self) -> bool:
        """Whether it rests at the broker and nothing of ours is in flight."""
        return self.state in (OrderState.WORKING, OrderState.PARTLY_FILLED)

    @property
    def open_quantity(self) -> int:
        """What it could still fill at worst, in contracts."""
        return self.terms.quantity - self.filled_quantity if self.is_live else 0

    @property
    def was_triggered(self) -> bool:
        """Whether a stop of ours has become a plain limit order at the exchange."""
        return (
            self.terms.order_type is OrderType.STOP_LIMIT
            and self.seen is not None
            and self.seen.order_type is OrderType.LIMIT
        )

    def note(self, event: OrderEvent) -> None:
        """Move through the table. `alarm` stays set once the broker did the impossible."""
        self.state, alarm = advance(
            rows_of(self.state), event, filled_quantity=self.filled_quantity
        )
        self.alarm = self.alarm or alarm

    def ask(self, action: Action, terms: OrderTerms, at_ns: int) -> None:
        """Record a request of ours that leaves now. `asked_first_ns` is kept over repeats."""
        event = {
            Action.PLACE: OrderEvent.SEND,
            Action.MODIFY: OrderEvent.MODIFY,
            Action.CANCEL: OrderEvent.CANCEL,
        }[action]
        self.note(event)
        if self.asked is not action or terms != self.terms:
            self.asked_first_ns = at_ns
        if action is Action.PLACE:
            self.sent_at_ns = at_ns
        elif action is Action.MODIFY:
            self.modifications += 1
        self.asked, self.terms, self.asked_at_ns = action, terms, at_ns

    def acknowledge(self, broker_id: BrokerOrderId) -> None:
        """The broker took a placement: its number is known."""
        self.broker_id = broker_id
        if self.asked is Action.PLACE:
            self.asked = None
        self.note(OrderEvent.ACKNOWLEDGED)

    def fail(self, action: Action, outcome: Outcome) -> None:
        """A request of ours failed. After a refusal the terms that stood before stand again."""
        if outcome is Outcome.UNANSWERED:
            self.note(OrderEvent.NO_ANSWER)
            return
        match action:
            case Action.PLACE:
                sent = outcome is Outcome.REFUSED
                self.note(OrderEvent.REFUSED if sent else OrderEvent.NOT_SENT)
            case Action.MODIFY:
                self.note(OrderEvent.MODIFY_REFUSED)
            case Action.CANCEL:
                self.note(OrderEvent.CANCEL_REFUSED)
            case Action.FIND:
                return
        if self.asked is action:
            self.asked = None
            self.terms = self.standing

    def fold_row(self, row: OrderRow, *, is_read: bool) -> Fill | None:
        """Take the broker's word. Returns what it added, `None` when it added no contracts.

        Cumulative figures never go back: an older word changes nothing. An end word of the stream
        while a request of ours is in flight is a question, not an end (T15).
        """
        self.broker_id = row.broker_id
        fill = self._fold_quantities(row)
        event = self._classify(row, is_read=is_read)
        if event is not OrderEvent.QUESTION:
            self.seen, self.standing, self.status = row.terms, row.terms, row.status
            self.reason = row.reason or self.reason
        self.venue_at_ns = max(self.venue_at_ns, row.venue_at_ns)
        self.note(event)
        if self.is_settled or self.state.is_terminal:
            self.asked = None
        return fill

    def _fold_quantities(self, row: OrderRow) -> Fill | None:
        quantity = row.filled_quantity - self.filled_quantity
        if quantity <= 0:
            return None
        fill = Fill(quantity, row.filled_value_paise - self.filled_value_paise)
        self.filled_quantity = row.filled_quantity
        self.filled_value_paise = row.filled_value_paise
        return fill

    def _classify(self, row: OrderRow, *, is_read: bool) -> OrderEvent:
        """The table's event for a row: by quantities and terms first, by the word last."""
        if row.filled_quantity >= row.terms.quantity:
            return OrderEvent.LAST_FILL
        if row.status in _END_WORDS:
            in_flight = self.asked in (Action.MODIFY, Action.CANCEL)
            if in_flight and not is_read:
                return OrderEvent.QUESTION
            return _END_WORDS[row.status]
        if row.status is BrokerStatus.UNKNOWN:
            return OrderEvent.QUESTION
        if self.asked is Action.MODIFY and not self._shows_request(row.terms):
            return OrderEvent.OPEN_UNCHANGED
        return OrderEvent.OPEN

    def _shows_request(self, seen: OrderTerms) -> bool:
        """Whether a row shows what was asked, or what became of it (a stop that triggered)."""
        if self.terms.order_type is OrderType.STOP_LIMIT and seen.order_type is OrderType.LIMIT:
            return True
        return seen == self.terms
