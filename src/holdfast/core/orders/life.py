"""Every transition of an order's state is in this file, and every pair is decided.

Two rules hold here. What changes an order's state goes through `advance`. This file does not know
what the order is for, nor who answers it.

Reading the tables: rows are what happened, by the state it happened in. TABLE is the ordinary life.
ALARMS are pairs that the broker should not be able to produce; they have an outcome all the same,
and the caller raises an alarm. FORBIDDEN are requests that we must not make in that state; making
one is a bug of ours and asserts. NOT_SENT and REFUSED speak of the placement; the other requests
have words of their own.

PARTLY_FILLED is WORKING with fills: the table says WORKING, and `advance` names it by quantity.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from holdfast.domain.order import OrderState as S


class OrderEvent(StrEnum):
    """What can happen to one order: the first three by us, the others at the broker."""

    SEND = "send"
    MODIFY = "modify"
    CANCEL = "cancel"
    NOT_SENT = "not sent"
    REFUSED = "refused"
    NO_ANSWER = "no answer"
    ACKNOWLEDGED = "acknowledged"
    OPEN = "open"
    OPEN_UNCHANGED = "open, not yet modified"
    LAST_FILL = "last fill"
    MODIFY_REFUSED = "modify refused"
    CANCEL_REFUSED = "cancel refused"
    QUESTION = "end word in question"
    END_CANCELLED = "cancelled"
    END_REJECTED = "rejected"
    END_EXPIRED = "expired"
    ABSENT = "absent from the book"


E = OrderEvent

# fmt: off
TABLE: Final[Mapping[tuple[S, OrderEvent], S]] = {
    (S.PLANNED, E.SEND): S.SENT,

    (S.SENT, E.NOT_SENT): S.REJECTED,          # it never left: nothing exists
    (S.SENT, E.REFUSED): S.REJECTED,
    (S.SENT, E.NO_ANSWER): S.UNKNOWN,          # it may exist: look for it, never resend
    (S.SENT, E.ACKNOWLEDGED): S.WORKING,
    (S.SENT, E.OPEN): S.WORKING,               # an update can overtake the answer
    (S.SENT, E.LAST_FILL): S.FILLED,           # so can a fill
    (S.SENT, E.END_CANCELLED): S.CANCELLED,
    (S.SENT, E.END_REJECTED): S.REJECTED,
    (S.SENT, E.END_EXPIRED): S.EXPIRED,
    (S.SENT, E.ABSENT): S.REJECTED,            # two whole-book reads lack it: it never arrived

    (S.WORKING, E.ACKNOWLEDGED): S.WORKING,    # the answer came after the update
    (S.WORKING, E.NO_ANSWER): S.WORKING,       # the answer was lost, the update was not
    (S.WORKING, E.OPEN): S.WORKING,
    (S.WORKING, E.OPEN_UNCHANGED): S.WORKING,
    (S.WORKING, E.LAST_FILL): S.FILLED,
    (S.WORKING, E.MODIFY): S.MODIFYING,
    (S.WORKING, E.CANCEL): S.CANCELLING,
    (S.WORKING, E.MODIFY_REFUSED): S.WORKING,  # a repeated request's late answer
    (S.WORKING, E.CANCEL_REFUSED): S.WORKING,
    (S.WORKING, E.QUESTION): S.UNKNOWN,
    (S.WORKING, E.END_CANCELLED): S.CANCELLED,
    (S.WORKING, E.END_REJECTED): S.REJECTED,   # a stop refused at its trigger
    (S.WORKING, E.END_EXPIRED): S.EXPIRED,

    (S.MODIFYING, E.ACKNOWLEDGED): S.MODIFYING,
    (S.MODIFYING, E.NO_ANSWER): S.UNKNOWN,     # idempotent: repeated, and the row is read
    (S.MODIFYING, E.OPEN): S.WORKING,          # the row shows what we asked for: done
    (S.MODIFYING, E.OPEN_UNCHANGED): S.MODIFYING,
    (S.MODIFYING, E.LAST_FILL): S.FILLED,
    (S.MODIFYING, E.MODIFY): S.MODIFYING,      # newer values replace older ones
    (S.MODIFYING, E.CANCEL): S.CANCELLING,
    (S.MODIFYING, E.MODIFY_REFUSED): S.WORKING,  # the old order stands
    (S.MODIFYING, E.CANCEL_REFUSED): S.MODIFYING,
    (S.MODIFYING, E.QUESTION): S.UNKNOWN,      # "rejected" may mean the modification
    (S.MODIFYING, E.END_CANCELLED): S.CANCELLED,
    (S.MODIFYING, E.END_REJECTED): S.REJECTED,
    (S.MODIFYING, E.END_EXPIRED): S.EXPIRED,

    (S.CANCELLING, E.ACKNOWLEDGED): S.CANCELLING,
    (S.CANCELLING, E.NO_ANSWER): S.UNKNOWN,
    (S.CANCELLING, E.OPEN): S.CANCELLING,      # told before the cancel arrived
    (S.CANCELLING, E.OPEN_UNCHANGED): S.CANCELLING,
    (S.CANCELLING, E.LAST_FILL): S.FILLED,     # the cancel lost the race
    (S.CANCELLING, E.CANCEL): S.CANCELLING,
    (S.CANCELLING, E.MODIFY_REFUSED): S.CANCELLING,
    (S.CANCELLING, E.CANCEL_REFUSED): S.WORKING,
    (S.CANCELLING, E.QUESTION): S.UNKNOWN,
    (S.CANCELLING, E.END_CANCELLED): S.CANCELLED,
    (S.CANCELLING, E.END_REJECTED): S.REJECTED,
    (S.CANCELLING, E.END_EXPIRED): S.EXPIRED,

    (S.UNKNOWN, E.ACKNOWLEDGED): S.WORKING,
    (S.UNKNOWN, E.NO_ANSWER): S.UNKNOWN,
    (S.UNKNOWN, E.REFUSED): S.UNKNOWN,         # the row decides, not a late answer
    (S.UNKNOWN, E.OPEN): S.WORKING,
    (S.UNKNOWN, E.OPEN_UNCHANGED): S.UNKNOWN,  # not made yet: repeated, or looked at again
    (S.UNKNOWN, E.LAST_FILL): S.FILLED,
    (S.UNKNOWN, E.MODIFY): S.MODIFYING,        # names one existing order: safe to repeat
    (S.UNKNOWN, E.CANCEL): S.CANCELLING,
    (S.UNKNOWN, E.MODIFY_REFUSED): S.UNKNOWN,
    (S.UNKNOWN, E.CANCEL_REFUSED): S.UNKNOWN,
    (S.UNKNOWN, E.QUESTION): S.UNKNOWN,
    (S.UNKNOWN, E.END_CANCELLED): S.CANCELLED,
    (S.UNKNOWN, E.END_REJECTED): S.REJECTED,
    (S.UNKNOWN, E.END_EXPIRED): S.EXPIRED,
    (S.UNKNOWN, E.ABSENT): S.REJECTED,

    (S.FILLED, E.ACKNOWLEDGED): S.FILLED,      # answers that were overtaken by the fill
    (S.FILLED, E.NO_ANSWER): S.FILLED,
    (S.FILLED, E.OPEN): S.FILLED,
    (S.FILLED, E.OPEN_UNCHANGED): S.FILLED,
    (S.FILLED, E.LAST_FILL): S.FILLED,
    (S.FILLED, E.MODIFY_REFUSED): S.FILLED,
    (S.FILLED, E.CANCEL_REFUSED): S.FILLED,
    (S.FILLED, E.QUESTION): S.FILLED,

    (S.CANCELLED, E.ACKNOWLEDGED): S.CANCELLED,
    (S.CANCELLED, E.NO_ANSWER): S.CANCELLED,
    (S.CANCELLED, E.OPEN): S.CANCELLED,        # an older word, or a fill that beat the cancel
    (S.CANCELLED, E.OPEN_UNCHANGED): S.CANCELLED,
    (S.CANCELLED, E.LAST_FILL): S.FILLED,      # the money wins
    (S.CANCELLED, E.MODIFY_REFUSED): S.CANCELLED,
    (S.CANCELLED, E.CANCEL_REFUSED): S.CANCELLED,
    (S.CANCELLED, E.QUESTION): S.CANCELLED,
    (S.CANCELLED, E.END_CANCELLED): S.CANCELLED,

    (S.EXPIRED, E.ACKNOWLEDGED): S.EXPIRED,
    (S.EXPIRED, E.NO_ANSWER): S.EXPIRED,
    (S.EXPIRED, E.OPEN): S.EXPIRED,
    (S.EXPIRED, E.OPEN_UNCHANGED): S.EXPIRED,
    (S.EXPIRED, E.LAST_FILL): S.FILLED,
    (S.EXPIRED, E.MODIFY_REFUSED): S.EXPIRED,
    (S.EXPIRED, E.CANCEL_REFUSED): S.EXPIRED,
    (S.EXPIRED, E.QUESTION): S.EXPIRED,
    (S.EXPIRED, E.END_EXPIRED): S.EXPIRED,
    (S.EXPIRED, E.END_CANCELLED): S.EXPIRED,

    (S.REJECTED, E.ACKNOWLEDGED): S.REJECTED,  # the answer came after the exchange's no
    (S.REJECTED, E.NO_ANSWER): S.REJECTED,
    (S.REJECTED, E.NOT_SENT): S.REJECTED,
    (S.REJECTED, E.REFUSED): S.REJECTED,
    (S.REJECTED, E.OPEN_UNCHANGED): S.REJECTED,
    (S.REJECTED, E.LAST_FILL): S.FILLED,       # the money wins
    (S.REJECTED, E.MODIFY_REFUSED): S.REJECTED,
    (S.REJECTED, E.CANCEL_REFUSED): S.REJECTED,
    (S.REJECTED, E.QUESTION): S.REJECTED,
    (S.REJECTED, E.END_REJECTED): S.REJECTED,
}

ALARMS: Final[Mapping[tuple[S, OrderEvent], S]] = {
    # Words about an order that we have not sent: an id of ours is in use elsewhere.
    **{(S.PLANNED, event): S.UNKNOWN for event in E
       if event not in (E.SEND, E.MODIFY, E.CANCEL)},
    # Answers to requests that we did not make.
    (S.SENT, E.OPEN_UNCHANGED): S.WORKING,
    (S.SENT, E.MODIFY_REFUSED): S.SENT,
    (S.SENT, E.CANCEL_REFUSED): S.SENT,
    (S.SENT, E.QUESTION): S.UNKNOWN,
    # A placement refused or not sent that the broker has already taken: the row decides.
    (S.WORKING, E.NOT_SENT): S.UNKNOWN,
    (S.WORKING, E.REFUSED): S.UNKNOWN,
    (S.MODIFYING, E.NOT_SENT): S.UNKNOWN,
    (S.MODIFYING, E.REFUSED): S.UNKNOWN,
    (S.CANCELLING, E.NOT_SENT): S.UNKNOWN,
    (S.CANCELLING, E.REFUSED): S.UNKNOWN,
    (S.UNKNOWN, E.NOT_SENT): S.UNKNOWN,
    # An order that the broker has shown is no longer in the book of the day.
    (S.WORKING, E.ABSENT): S.UNKNOWN,
    (S.MODIFYING, E.ABSENT): S.UNKNOWN,
    (S.CANCELLING, E.ABSENT): S.UNKNOWN,
    (S.FILLED, E.ABSENT): S.FILLED,
    (S.CANCELLED, E.ABSENT): S.CANCELLED,
    (S.EXPIRED, E.ABSENT): S.EXPIRED,
    (S.REJECTED, E.ABSENT): S.REJECTED,
    # Two different ends of one order. Fills are the truth, the first end word stands.
    (S.FILLED, E.NOT_SENT): S.FILLED,
    (S.FILLED, E.REFUSED): S.FILLED,
    (S.FILLED, E.END_CANCELLED): S.FILLED,
    (S.FILLED, E.END_REJECTED): S.FILLED,
    (S.FILLED, E.END_EXPIRED): S.FILLED,
    (S.CANCELLED, E.NOT_SENT): S.CANCELLED,
    (S.CANCELLED, E.REFUSED): S.CANCELLED,
    (S.CANCELLED, E.END_REJECTED): S.CANCELLED,
    (S.CANCELLED, E.END_EXPIRED): S.CANCELLED,
    (S.EXPIRED, E.NOT_SENT): S.EXPIRED,
    (S.EXPIRED, E.REFUSED): S.EXPIRED,
    (S.EXPIRED, E.END_REJECTED): S.EXPIRED,
    (S.REJECTED, E.OPEN): S.UNKNOWN,           # it lives after all
    (S.REJECTED, E.END_CANCELLED): S.REJECTED,
    (S.REJECTED, E.END_EXPIRED): S.REJECTED,
}

FORBIDDEN: Final[frozenset[tuple[S, OrderEvent]]] = frozenset({
    (S.PLANNED, E.MODIFY), (S.PLANNED, E.CANCEL),
    (S.SENT, E.MODIFY), (S.SENT, E.CANCEL),    # the broker's number is not known yet
    (S.CANCELLING, E.MODIFY),
    *((state, E.SEND) for state in S if state not in (S.PLANNED, S.PARTLY_FILLED)),
    *((state, event) for state in S if state.is_terminal for event in (E.MODIFY, E.CANCEL)),
})
# fmt: on


def advance(state: S, event: OrderEvent, *, filled_quantity: int) -> tuple[S, bool]:
    """The state after `event`, and whether the broker did what it should not be able to do.

    `filled_quantity` is the order's cumulative fills including what came with the event. Asserts
    that we did not ask what the state forbids.
    """
    pair = (state, event)
    assert pair not in FORBIDDEN, f"{event} is not ours to ask of a {state} order"
    alarm = pair in ALARMS
    after = ALARMS[pair] if alarm else TABLE[pair]
    if after is S.WORKING and filled_quantity > 0:
        after = S.PARTLY_FILLED
    return after, alarm


def rows_of(state: S) -> S:
    """The table's row set of a state: PARTLY_FILLED behaves as WORKING."""
    return S.WORKING if state is S.PARTLY_FILLED else state
