"""Orders in the account that are not ours: the owner's hand and the broker's own (T11, T14).

They act the moment they are heard of, by the stream or in a read: what they close, or could, is
taken out of our closing orders first, and then nothing but such a cut leaves in their key until
the book has been read.
"""

from msgspec.structs import replace

from holdfast.core import bookread, ration
from holdfast.core.orders import answers
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import State
from holdfast.domain.book import ForeignRow
from holdfast.domain.command import Notify, Severity
from holdfast.domain.event import BookRead, ForeignUpdated
from holdfast.domain.instrument import BrokerKey

YOUNG_NS = SECOND_NS
"""A read that took longer is not the present (T11)."""

PATIENCE_NS = 10 * SECOND_NS
"""After so long a slower read must do: with a slow broker there is no younger one."""


def take_foreign(state: State, event: ForeignUpdated) -> None:
    """Act on the stream's word about an order that is not ours."""
    if not _fold(state, event.row, is_newer=False):
        return
    key = event.row.key
    if any(position.key == key for position in state.live):
        state.book.strangers.setdefault(key, state.now_ns)
        bookread.ask_soon(state)
    else:
        bookread.ask_later(state, bookread.SETTLED_NS)
    _cut(state, key)


def take_rows(state: State, read: BookRead) -> None:
    """Take over what one pass shows of orders of others: a fill is a fact, whoever tells it first.

    Each key about which the pass tells more than was heard is cut at once.
    """
    changed = set()
    for row in read.foreign:
        heard_ns = state.foreign_heard_ns.get(row.key, 0)
        if _fold(state, row, is_newer=read.began_at_ns > heard_ns):
            changed.add(row.key)
    _free(state, read)
    for key in sorted(changed):
        _cut(state, key)


def _free(state: State, read: BookRead) -> None:
    """A pass that began after the last word of others in a key: ours may act there again."""
    strangers = state.book.strangers
    for key in sorted(strangers):
        waited_ns = state.now_ns - strangers[key]
        is_after = read.began_at_ns >= state.foreign_heard_ns.get(key, 0)
        is_young = state.now_ns - read.began_at_ns < YOUNG_NS
        if is_after and (is_young or waited_ns >= PATIENCE_NS):
            del strangers[key]


def _fold(state: State, row: ForeignRow, *, is_newer: bool) -> bool:
    """Keep a word about an order; returns whether it told anything.

    Words come late and twice: quantities only grow, and what was dead lives only by a read that
    began after its death was heard.
    """
    known = state.foreign.get(row.broker_id)
    if known is not None:
        if row.filled_quantity < known.filled_quantity:
            return False
        is_live = row.is_live and (known.is_live or is_newer)
        row = replace(row, is_live=is_live)
    if row == known:
        return False
    state.foreign[row.broker_id] = row
    state.foreign_heard_ns[row.key] = state.now_ns
    if known is None and ration.held_in(state, row.key):
        _tell(state, row)
    return True


def _tell(state: State, row: ForeignRow) -> None:
    what = f"{row.side.value} {row.quantity} {row.instrument}"
    text = f"an order that is not ours: {what} ({row.broker_id}); ours are kept within what remains"
    state.send(Notify(severity=Severity.WARNING, text=text))


def _cut(state: State, key: BrokerKey) -> None:
    """The youngest position's stop is cut before anything else is done (T4)."""
    first = ration.share_out(state, key)
    for position in (*first, *ration.held_in(state, key)):
        answers.settle(state, position)
