"""One order of ours as we know it: terms asked, terms seen, fills, and requests in flight."""

from typing import NamedTuple

from holdfast.core.orders.life import OrderEvent, advance, rows_of
from holdfast.core.settings import SECOND_NS
from holdfast.domain.event import Action, Outcome
from holdfast.domain.order import (
    END_STATES,
    TERMINAL,
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderState,
    OrderTerms,
    OrderType,
    Purpose,
    Refusal,
)

MODIFICATIONS_MAX = 25
"""The broker's limit for one order (reference/dhan.md 2)."""

GIVE_UP_AFTER_NS = 4 * SECOND_NS
"""A modification that no row has shown for so long was not made (T2)."""

QUESTION_NS = 5 * SECOND_NS
"""So long after the refusal of a modification or cancel, an end word may mean that one (T15)."""

_END_WORDS = {
    BrokerStatus.CANCELLED: OrderEvent.END_CANCELLED,
    BrokerStatus.REJECTED: OrderEvent.END_REJECTED,
    BrokerStatus.EXPIRED: OrderEvent.END_EXPIRED,
}
_UNCLEAR = (BrokerStatus.UNKNOWN, BrokerStatus.FILLED)
"""Words that end nothing by themselves: one that nobody knows, and "filled" without the fills."""

_OPEN = (OrderEvent.OPEN, OrderEvent.OPEN_UNCHANGED)


class Fill(NamedTuple):
    """What one word of the broker added: contracts, and their value in paise (price x quantity).

    The quantity is final; the value is the broker's cumulative figure minus what we had, never below
    nothing: cumulative figures that come of mean prices may go back (T30).
    """

    quantity: int
    value_paise: int


class Order:
    """The fold of everything said and asked about one order. Owned by the engine.

    `terms` are the newest asked, `standing` those that hold at the broker as far as we know,
    `seen` those of its last row (`None` before the first): only `seen` is evidence. `in_question`:
    an end word was heard that may mean a request of ours. `may_have_ended`: since the last such
    word, or a no that may mean its end, no row has shown it open. `was_denied`: the last row showed
    that a modification of ours was not made. `trigger_paise` is the trigger it had last, released
    or not. `name` is what we keep it by: its id, but for the second of two orders under one id
    (T21). `most_quantity` is the largest total that it may have at the broker, whatever becomes of
    the `unseen` modifications: those of which neither a row nor a no has told yet. `own_terms` are
    all that we ever asked, in order. `was_changed`: the last row showed terms that nobody here
    asked for. `must_replace`: it is cancelled and placed anew rather than modified. `has_rested`: a
    row has shown it working. `is_ordinary`: what is in flight only trails (T7). `corrected_paise`:
    by so much the last row changed the value of fills that were known, none added (T30).
    """

    __slots__ = (
        "alarm",
        "asked",
        "asked_at_ns",
        "asked_first_ns",
        "asked_times",
        "broker_id",
        "corrected_paise",
        "filled_quantity",
        "filled_value_paise",
        "has_rested",
        "held_until_ns",
        "id",
        "in_question",
        "is_ordinary",
        "may_have_ended",
        "modifications",
        "most_quantity",
        "must_replace",
        "name",
        "own_terms",
        "position",
        "purpose",
        "reason",
        "refusal",
        "refused_at_ns",
        "seen",
        "sent_at_ns",
        "standing",
        "state",
        "status",
        "terms",
        "trail_moved_at_ns",
        "trail_moves",
        "trigger_paise",
        "unseen",
        "venue_at_ns",
        "was_changed",
        "was_denied",
    )

    def __init__(
        self, order_id: OrderId, purpose: Purpose, position: int, terms: OrderTerms
    ) -> None:
        self.id = self.name = order_id
        self.purpose = purpose
        self.position = position
        self.terms = terms
        self.standing = terms
        self.trigger_paise = terms.trigger_paise
        self.seen: OrderTerms | None = None
        self.state = OrderState.PLANNED
        self.status: BrokerStatus | None = None
        self.broker_id: BrokerOrderId | None = None
        self.filled_quantity = 0
        self.filled_value_paise = 0
        self.corrected_paise = 0
        self.modifications = 0
        self.asked: Action | None = None
        self.asked_at_ns = 0
        self.asked_first_ns = 0
        self.asked_times = 0
        self.held_until_ns = 0
        self.refused_at_ns: int | None = None
        self.sent_at_ns = 0
        self.venue_at_ns = 0
        self.reason = ""
        self.refusal: Refusal | None = None
        self.alarm = False
        self.in_question = False
        self.may_have_ended = False
        self.was_denied = False
        self.was_changed = False
        self.most_quantity = terms.quantity
        self.unseen = 0
        self.own_terms: list[OrderTerms] = []
        self.must_replace = False
        self.is_ordinary = False
        self.has_rested = False
        self.trail_moves = 0
        self.trail_moved_at_ns = 0

    @property
    def is_live(self) -> bool:
        """Whether it could still fill: everything that is not at an end, unknown included."""
        return self.state not in TERMINAL

    @property
    def is_settled(self) -> bool:
        """Whether it rests at the broker and nothing of ours is in flight."""
        return self.state in (OrderState.WORKING, OrderState.PARTLY_FILLED)

    @property
    def open_quantity(self) -> int:
        """What it will still fill once it is as it was asked for, in contracts."""
        return self.terms.quantity - self.filled_quantity if self.is_live else 0

    @property
    def could_fill(self) -> int:
        """What it could still fill at worst, whatever became of our requests, in contracts (T4)."""
        most = max(self.most_quantity, self.terms.quantity)
        return max(most - self.filled_quantity, 0) if self.is_live else 0

    @property
    def touched_ns(self) -> int:
        """When something last happened to it, or was asked of it, as far as we know."""
        return max(self.venue_at_ns, self.sent_at_ns, self.asked_at_ns)

    def may_ask(self, now_ns: int) -> bool:
        """Whether a modification or cancel may leave: nothing is in flight, nothing held back."""
        return self.is_settled and now_ns >= self.held_until_ns

    @property
    def is_released(self) -> bool:
        """Whether it is a plain limit order in the book: sent as one, modified, or triggered."""
        shown = self.standing if self.seen is None else self.seen
        return self.status is BrokerStatus.TRIGGERED or shown.order_type is OrderType.LIMIT

    def note(self, event: OrderEvent) -> None:
        """Move through the table. `alarm` stays set once the broker did the impossible."""
        self.state, alarm = advance(
            rows_of(self.state), event, filled_quantity=self.filled_quantity
        )
        self.alarm = self.alarm or alarm
        is_asked = event is OrderEvent.QUESTION
        if is_asked or event in _OPEN:
            self.may_have_ended = is_asked
        self.in_question = self.state is OrderState.UNKNOWN and (is_asked or self.in_question)

    def ask(
        self, action: Action, terms: OrderTerms, at_ns: int, *, is_repeat: bool = False
    ) -> None:
        """Record a request of ours that leaves now.

        `asked_first_ns` is kept, and `asked_times` counts, over repeats of the same request:
        one that `is_repeat` may ask for the terms of now.
        """
        event = {
            Action.PLACE: OrderEvent.SEND,
            Action.MODIFY: OrderEvent.MODIFY,
            Action.CANCEL: OrderEvent.CANCEL,
        }[action]
        self.note(event)
        if self.asked is not action or not (is_repeat or terms == self.terms):
            self.asked_first_ns, self.asked_times = at_ns, 0
        self.most_quantity = max(self.most_quantity, terms.quantity)
        if terms not in self.own_terms:
            self.own_terms.append(terms)
        if action is Action.PLACE:
            self.sent_at_ns = at_ns
        elif action is Action.MODIFY:
            self.modifications += 1
            self.unseen += 1
        self.asked, self.terms, self.asked_at_ns = action, terms, at_ns
        self.asked_times += 1

    def acknowledge(self, broker_id: BrokerOrderId) -> None:
        """The broker took a placement: its number is known.

        It answers no question that was asked about the order meanwhile.
        """
        self.broker_id = broker_id
        if self.asked is Action.PLACE:
            self.asked = None
        elif self.state is OrderState.UNKNOWN:
            return
        self.note(OrderEvent.ACKNOWLEDGED)

    def fail(
        self, action: Action, outcome: Outcome, refusal: Refusal | None = None, *, at_ns: int
    ) -> None:
        """A request of ours failed. After a refusal the terms that stood before stand again.

        A failed search says nothing about the order, nor does the lost answer to a placement that
        has shown itself since.
        """
        if action is Action.FIND:
            return
        if outcome is Outcome.UNANSWERED:
            if action is not Action.PLACE or self.broker_id is None:
                self.note(OrderEvent.NO_ANSWER)
            return
        self.note(self._no_to(action, outcome, refusal))
        if action is not Action.PLACE:
            self.refused_at_ns = at_ns
        if self.asked is action:
            self.asked = None
            self.terms = self.standing
        if action is Action.MODIFY:
            self._see(self.unseen - 1)

    def _no_to(self, action: Action, outcome: Outcome, refusal: Refusal | None) -> OrderEvent:
        if action is Action.PLACE:
            return OrderEvent.REFUSED if outcome is Outcome.REFUSED else OrderEvent.NOT_SENT
        if refusal is Refusal.NOT_MODIFIABLE:
            return OrderEvent.QUESTION  # it may be at its end: the row decides (T13)
        if action is Action.MODIFY:
            return OrderEvent.MODIFY_REFUSED
        # Where a cancel got no answer, a no to its repeat may mean that the first was made.
        is_repeat = self.asked is Action.CANCEL and self.asked_times > 1
        return OrderEvent.QUESTION if is_repeat else OrderEvent.CANCEL_REFUSED

    def miss(self) -> None:
        """The whole book, read twice, does not hold it."""
        self.note(OrderEvent.ABSENT)
        if self.state.is_terminal:
            self.asked = None

    def lose_answers(self, at_ns: int) -> None:
        """The process that asked is gone: what became of its request only a row can tell.

        A modification or cancel is forgotten. A later one of that process, of which nothing is
        known, may have replaced it, so that repeating it could undo what was asked last; an end
        word heard now may still mean either.
        """
        if self.asked is None or not self.is_live:
            return
        self.note(OrderEvent.NO_ANSWER)
        if self.asked is not Action.PLACE:
            self.asked, self.terms = None, self.standing
            self.refused_at_ns = at_ns

    def withdraw(self) -> None:
        """A modification or cancel that was asked for now did not leave after all."""
        assert self.asked in (Action.MODIFY, Action.CANCEL)
        self.modifications -= self.asked is Action.MODIFY
        self.asked, self.terms = None, self.standing
        self._see(self.unseen - 1)
        self.state = OrderState.PARTLY_FILLED if self.filled_quantity else OrderState.WORKING

    def fold_row(self, row: OrderRow, *, is_read: bool, at_ns: int) -> Fill | None:
        """Take the broker's word. Returns what it added, `None` when it added no contracts.

        Cumulative figures never go back, and an open word that is older than one heard before tells
        only its fills, when it comes by the stream or after the end. An end word of the stream is a
        question, not an end, when it tells nothing new or may speak of a request of ours (T15).
        """
        self.broker_id = row.broker_id
        fill = self._fold_quantities(row)
        is_news = fill is not None or row.venue_at_ns > self.venue_at_ns
        in_doubt = not is_read and (not is_news or self._may_mean_request(at_ns))
        event = self._classify(row, in_doubt=in_doubt)
        self.was_denied = self._denies(event, is_read=is_read, at_ns=at_ns)
        self.was_changed = False
        if self.was_denied:
            self.refused_at_ns = at_ns
        is_history = row.venue_at_ns < self.venue_at_ns and (not is_read or self.state.is_terminal)
        if is_history and event in _OPEN:
            return fill
        self.was_changed = self._is_stranger(row, event)
        if event is not OrderEvent.QUESTION:
            self.seen, self.standing, self.status = row.terms, row.terms, row.status
            self.reason, self.refusal = row.reason or self.reason, row.refusal
            self.has_rested = self.has_rested or row.status is BrokerStatus.WORKING
            if row.terms.trigger_paise is not None:
                self.trigger_paise = row.terms.trigger_paise
        self.venue_at_ns = max(self.venue_at_ns, row.venue_at_ns)
        self.note(OrderEvent.OPEN if self.was_denied else event)
        self._see_row(row, is_read=is_read, at_ns=at_ns)
        if self.is_settled:
            self.asked, self.terms = None, self.standing
        elif self.state.is_terminal:
            self.asked = None
        return fill

    def has_ended_as(self, row: OrderRow) -> bool:
        """Whether it is at an end, and a row says just that again: folding it moves nothing."""
        return (
            self.state is END_STATES.get(row.status)
            and row.terms == self.seen == self.standing
            and (row.filled_quantity >= row.terms.quantity) is (self.state is OrderState.FILLED)
            and (self.asked, self.was_denied, self.was_changed) == (None, False, False)
            and (self.unseen > 0 or self.most_quantity == row.terms.quantity)
            and row.terms.trigger_paise in (None, self.trigger_paise)
            and row.reason in ("", self.reason)
            and (row.broker_id, row.status, row.refusal)
            == (self.broker_id, self.status, self.refusal)
            and (row.filled_quantity, row.filled_value_paise, row.venue_at_ns)
            == (self.filled_quantity, self.filled_value_paise, self.venue_at_ns)
        )

    def _see_row(self, row: OrderRow, *, is_read: bool, at_ns: int) -> None:
        """Take what a row tells of the modifications that nothing had told of.

        It shows the only one; or it was read so long after the last that none is on its way.
        """
        is_shown = self.asked is Action.MODIFY and row.terms == self.terms and self.unseen == 1
        is_quiet = is_read and at_ns - self.asked_at_ns >= GIVE_UP_AFTER_NS
        if self.is_settled and (is_shown or is_quiet):
            self._see(0)
        elif not self.unseen:
            self.most_quantity = self.standing.quantity

    def _see(self, unseen: int) -> None:
        self.unseen = max(unseen, 0)
        if not self.unseen:
            self.most_quantity = self.standing.quantity

    def _is_stranger(self, row: OrderRow, event: OrderEvent) -> bool:
        """Whether a row of a stop at rest shows terms that somebody else gave it (T14)."""
        return (
            event is OrderEvent.OPEN
            and self.is_settled
            and row.terms.order_type is OrderType.STOP_LIMIT
            and row.terms not in self.own_terms
        )

    def _fold_quantities(self, row: OrderRow) -> Fill | None:
        """Quantities never go back; the value of what is known only the trade book corrects."""
        quantity = row.filled_quantity - self.filled_quantity
        change_paise = row.filled_value_paise - self.filled_value_paise
        self.corrected_paise = change_paise if quantity == 0 and row.is_exact else 0
        self.filled_value_paise += self.corrected_paise
        if quantity <= 0:
            return None
        fill = Fill(quantity, max(change_paise, 0))
        self.filled_quantity += fill.quantity
        self.filled_value_paise += fill.value_paise
        return fill

    def _classify(self, row: OrderRow, *, in_doubt: bool) -> OrderEvent:
        """The table's event for a row: by quantities and terms first, by the word last."""
        if row.filled_quantity >= row.terms.quantity:
            return OrderEvent.LAST_FILL
        if row.status in _END_WORDS:
            return OrderEvent.QUESTION if in_doubt else _END_WORDS[row.status]
        if row.status in _UNCLEAR:
            return OrderEvent.QUESTION
        if self.asked is Action.MODIFY and not self._shows_request(row.terms):
            return OrderEvent.OPEN_UNCHANGED
        return OrderEvent.OPEN

    def _may_mean_request(self, at_ns: int) -> bool:
        """Whether a modification or cancel of ours is in flight, or was refused just now."""
        is_refused = self.refused_at_ns is not None and at_ns - self.refused_at_ns < QUESTION_NS
        return self.asked in (Action.MODIFY, Action.CANCEL) or is_refused

    def _shows_request(self, seen: OrderTerms) -> bool:
        """Whether a row shows what was asked, or what became of it (a stop that triggered)."""
        if self.terms.order_type is OrderType.STOP_LIMIT and seen.order_type is OrderType.LIMIT:
            return True
        return seen == self.terms

    def _denies(self, event: OrderEvent, *, is_read: bool, at_ns: int) -> bool:
        """Whether a row answers that a modification was not made.

        It does to a question that was asked about it, and when it was read long after the asking.
        """
        if event is not OrderEvent.OPEN_UNCHANGED:
            return False
        is_late = at_ns - self.asked_first_ns >= GIVE_UP_AFTER_NS
        return is_read and (self.in_question or is_late)
