"""In which order positions leave, and when the broker is about to close them itself (T11, T12).

Shorts go before longs: a hedge that is sold first leaves a naked short, and the margin that it
needs is refused. Nothing else waits here, and nothing waits unseen: a long that covers no short
waits ten seconds at most, a hedge until the short that it covers is closed.
"""

from typing import Final

from holdfast.core import bookread
from holdfast.core.books.positions import Position
from holdfast.core.settings import MINUTE_NS, SECOND_NS
from holdfast.core.state import State
from holdfast.domain.decision import Values
from holdfast.domain.instrument import Product

SHORTS_FIRST_NS: Final = 10 * SECOND_NS
"""So long a long that covers nothing waits for the shorts of a flattening (T12)."""

TELL_NS: Final = 10 * SECOND_NS
READ_NS: Final = SECOND_NS
"""How young the book must be for an order shortly before the broker's own square-off (T11)."""

FLATTENING: Final = ("kill_switch", "close_out", "daily_loss")
"""The rules that close everything at once."""

HEDGE_RULES: Final = (*FLATTENING, "structure")
"""The rules that speak of a hedge while it covers a short: its own levels are the structure's."""


def is_hedge(state: State, position: Position) -> bool:
    """Whether a long leg covers a short leg of its structure that is held or may still fill."""
    structure = position.intent.structure
    if structure is None or position.sign < 0:
        return False
    return any(
        other.intent.structure == structure and other.sign < 0 and _may_be_short(state, other)
        for other in state.live
    )


def _may_be_short(state: State, position: Position) -> bool:
    entry = state.orders.get(position.entry)
    return position.holding.quantity < 0 or (entry is not None and entry.is_live)


def is_bereft(state: State, position: Position) -> bool:
    """Whether every short leg that a long leg was there for has ended: so does its reason."""
    structure = position.intent.structure
    if structure is None or position.sign < 0 or is_hedge(state, position):
        return False
    return any(
        other.intent.structure == structure and other.sign < 0 for other in state.positions.values()
    )


def wants_stop(position: Position) -> bool:
    """Whether a stop of its own may rest: a long leg's would end the hedge benefit at once."""
    return position.intent.structure is None or position.sign < 0


def may_leave(state: State, position: Position) -> bool:
    """Whether a position whose exit is decided may be closed now, or shorts go first.

    What is short always may, and what lies on the wrong side.
    """
    if position.holding.quantity < 0 or position.is_excess or position.exit is None:
        return True
    if is_hedge(state, position):
        return False
    if position.exit.rule not in FLATTENING:
        return True
    is_over = state.now_ns - position.exit_at_ns >= SHORTS_FIRST_NS
    return is_over or not any(other.holding.quantity < 0 for other in state.live)


def may_act(state: State, position: Position) -> bool:
    """Whether anything may be asked now about the closing order of a position that is open.

    A person hears each ten seconds of an exit that waits.
    """
    if not may_leave(state, position):
        _tell_waiting(state, position, "an exit waits for the shorts to be closed")
        return False
    if not _may_send(state, position):
        _tell_waiting(state, position, "the broker is about to close, nothing is sent")
        return False
    return True


def is_square_off_near(state: State, position: Position) -> bool:
    """Whether the broker begins to close the position by itself within a minute, or has begun."""
    session = state.session(position.instrument.exchange)
    if session is None or position.key.product is not Product.INTRADAY:
        return False
    return state.now_ns >= session.square_off_ns - MINUTE_NS


def _may_send(state: State, position: Position) -> bool:
    """From a minute before the broker's square-off on only a young read allows for an order.

    It must show what we hold, and no order of anybody else's at work there. While it does not,
    the book is asked for, so that an exit waits for an answer and no longer.
    """
    if not is_square_off_near(state, position):
        return True
    read = state.book.last
    if read is None or state.now_ns - read.began_at_ns > READ_NS:
        bookread.ask(state)
        return False
    ours = sum(one.holding.quantity for one in state.live if one.key == position.key)
    theirs = sum(net.net for net in read.nets if net.key == position.key)
    is_met = any(row.is_live and row.key == position.key for row in read.foreign)
    return ours == theirs and not is_met


def _tell_waiting(state: State, position: Position, what: str) -> None:
    """From the first ten seconds on, each ten seconds, with what a person would have to do."""
    if position.exit is None:
        return
    name = f"position {position.number}"
    told_ns = max(state.guard.told_ns.get(name, 0), position.exit_at_ns)
    if state.now_ns - told_ns >= TELL_NS:
        state.guard.told_ns[name] = state.now_ns
        values: Values = {"position": position.number, "by_hand": by_hand(position)}
        state.alarm(what, values)


def by_hand(position: Position) -> str:
    """What a person would have to do to close a position in the program's place."""
    side, symbol = position.closing_side.value, position.instrument.symbol
    return f"{side} {position.closable_quantity} {symbol}"
