"""In which order positions leave (T12).

Shorts go before longs: a hedge that is sold first leaves a naked short, and the margin that it
needs is refused. Nothing else waits here, and nothing waits unseen: a long that covers no short
waits ten seconds at most, a hedge until the short that it covers is closed.
"""

from typing import Final

from holdfast.core import ration
from holdfast.core.books.positions import Position
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import State
from holdfast.domain.decision import Values

SHORTS_FIRST_NS: Final = 10 * SECOND_NS
"""So long a long that covers nothing waits for the shorts of a flattening (T12)."""

TELL_NS: Final = 10 * SECOND_NS

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
    entries = [state.orders[name] for name in position.entries if name in state.orders]
    return position.holding.quantity < 0 or any(entry.is_live for entry in entries)


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
    """Whether anything new may be asked now about the closing orders of a position that is open.

    Not while shorts go first (T12), nor while others may close it and the book must be read (T11).
    """
    return not must_wait(state, position) and not ration.must_read(state, position)


def must_wait(state: State, position: Position) -> bool:
    """Whether its exit waits for the shorts; a person hears it each ten seconds."""
    if may_leave(state, position):
        return False
    _tell_waiting(state, position, "an exit waits for the shorts to be closed")
    return True


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
