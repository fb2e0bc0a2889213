"""Whether anything may be entered now: one function, the first failing term.

It reads the engine's state alone; what the shell knows reaches it as events. The terms of the
account come first, those of one contract are asked with that contract.
"""

from collections.abc import Callable
from typing import Final

from holdfast.core import account, bookread
from holdfast.core.books.positions import Position
from holdfast.core.market.quotes import Quote
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import State
from holdfast.domain.decision import HaltLevel, Values
from holdfast.domain.event import Link, ServiceState

WATERMARK_NS = 2 * SECOND_NS
UNPROTECTED_NS = 2 * SECOND_NS

Term = Callable[[State], Values | None]
"""A term answers `None` when it holds, else the figures that show why not."""


def _facts(state: State) -> Values | None:
    """The day's facts are loaded, and the day has a session."""
    if state.facts is None:
        return {"facts": "not loaded"}
    return None if state.facts.sessions else {"day": state.facts.day, "session": "none"}


def _instruments(state: State) -> Values | None:
    """The instrument master of the day was loaded."""
    return None if state.instruments else {"instruments": 0}


def _session(state: State) -> Values | None:
    """An exchange is in continuous trading."""
    assert state.facts is not None
    for session in state.facts.sessions:
        if session.is_open(state.now_ns):
            return None
    return {"day": state.facts.day, "session": "closed"}


def _halted(state: State) -> Values | None:
    """No person, limit or failed rule has halted the account, and the program is not being stopped."""
    if state.is_stopping:
        return {"level": "stopping", "reason": "the program is being stopped"}
    if state.halt is HaltLevel.NONE:
        return None
    return {"level": state.halt.value, "reason": state.halt_reason}


def _rules(state: State) -> Values | None:
    """No exit rule has raised since somebody last resumed."""
    return {"rules": "a rule failed"} if state.rules_failed else None


def _services(state: State) -> Values | None:
    """Every core part of the program says that it can work; nobody's silence is a yes."""
    if not state.services:
        return {"services": "none told"}
    waiting = [name for name, told in state.services.items() if told is not ServiceState.READY]
    if not waiting:
        return None
    return {"service": min(waiting), "state": state.services[min(waiting)].value}


def _journal(state: State) -> Values | None:
    """What is appended becomes durable in time."""
    return None if state.journal_durable else {"journal": "not durable"}


def _token(state: State) -> Values | None:
    """The session at the broker lasts past the close of every exchange of the day."""
    assert state.facts is not None
    return account.token_fault(state, max(one.close_ns for one in state.facts.sessions))


def _account(state: State) -> Values | None:
    """The broker takes orders from here: no check and no refusal since says otherwise (T27)."""
    if not state.access.is_checked:
        return {"orders": "not asked"}
    return {"orders": state.access.refused_reason} if state.access.is_refused else None


def _clock(state: State) -> Values | None:
    """Our clock was compared with the broker's and is near it (T30)."""
    if account.is_clock_sane(state):
        return None
    skew_ms = state.access.skew_ms
    return {"clock": "not compared"} if skew_ms is None else {"skew_ms": skew_ms}


def _links(state: State) -> Values | None:
    """Feed, order updates and the order path are up."""
    if all(state.links.values()):
        return None
    for link in Link:
        if not state.links[link]:
            return {"link": link.value}
    return None


def _stream(state: State) -> Values | None:
    """The stream of order updates has told all that it owed: nobody enters on a mute one (T9)."""
    since_ns = state.path.suspect_since_ns
    return None if since_ns is None else {"mute_ms": (state.now_ns - since_ns) // 1_000_000}


def _self_test(state: State) -> Values | None:
    """A made-up breach was answered since the start: a risk loop that nobody calls is no loop."""
    fault = state.self_test_fault
    return {"self_test": fault} if fault is not None else None


def _whole(state: State) -> Values | None:
    """Every event of the day could be stepped: what was left out, nothing here knows."""
    return {"left_out": state.left_out[0]} if state.left_out else None


def _book(state: State) -> Values | None:
    """The broker's book has been read since the start and of late, and nothing in it is awaited.

    Where the broker squares off by itself, a clean read of after that is wanted (T11).
    """
    points, clean_ns = state.book.open_points, state.book.clean_ns
    if points:
        return {"book": points[0], "points": len(points)}
    age_ns = state.now_ns - clean_ns
    if clean_ns and age_ns > state.settings.reconcile.age_s * SECOND_NS:
        return {"book": "not read of late", "age_s": age_ns // SECOND_NS}
    return {"book": "the broker squares off"} if bookread.squares_off(state) else None


def _seen(state: State) -> Values | None:
    """Every contract that is held has shown a price since the start."""
    began_ns = state.book.began_ns
    for position in state.live:
        newest_ns = state.quote(position.id).newest_ns
        if position.is_open and (newest_ns is None or newest_ns < began_ns):
            return {"position": position.number, "instrument": position.instrument.symbol}
    return None


def _feed(state: State) -> Values | None:
    """Each exchange that is open is heard, has shown a trade, and does not lag; closed ones say nothing."""
    for exchange in sorted(state.connections):
        session = state.session(exchange)
        if session is None or not session.is_open(state.now_ns):
            continue
        fault = state.connections[exchange].fault(state.now_ns, state.settings.freshness)
        if fault is not None:
            return {"exchange": exchange.value, "fault": fault}
    return None


def _evaluating(state: State) -> Values | None:
    """The rules have looked at every open position within two seconds."""
    for position in state.live:
        age_ns = unwatched_ns(state, position)
        if age_ns is not None:
            return {"position": position.number, "evaluated_ms_ago": age_ns // 1_000_000}
    return None


def _protected(state: State) -> Values | None:
    """No open position has been without any protection for two seconds."""
    for position in state.live:
        age_ns = unprotected_ns(state, position)
        if age_ns is not None:
            return {"position": position.number, "unprotected_ms": age_ns // 1_000_000}
    return None


def _loss(state: State) -> Values | None:
    """The daily loss was not reached; once it was, it holds for the rest of the day."""
    return {"daily_loss": "reached"} if state.loss.is_confirmed else None


TERMS: Final[tuple[tuple[str, Term], ...]] = (
    ("facts", _facts),
    ("instruments", _instruments),
    ("session", _session),
    ("halted", _halted),
    ("rules", _rules),
    ("daily_loss", _loss),
    ("services", _services),
    ("journal", _journal),
    ("token", _token),
    ("account", _account),
    ("clock", _clock),
    ("links", _links),
    ("stream", _stream),
    ("self_test", _self_test),
    ("whole", _whole),
    ("book", _book),
    ("seen", _seen),
    ("feed", _feed),
    ("evaluating", _evaluating),
    ("protected", _protected),
)
"""Every term of the account, in the order in which the first failing one is shown."""


def first_failing(state: State) -> tuple[str, Values] | None:
    """The first term of the account that fails now, with its figures; `None` when ready."""
    for name, term in TERMS:
        values = term(state)
        if values is not None:
            return name, values
    return None


def unwatched_ns(state: State, position: Position) -> int | None:
    """For how long the rules have not looked at an open position, once it is too long (I-01)."""
    age_ns = state.now_ns - position.evaluated_at_ns
    return age_ns if position.is_open and age_ns > WATERMARK_NS else None


def unprotected_ns(state: State, position: Position) -> int | None:
    """For how long a position has been without any protection, once it is too long (T9)."""
    since_ns = position.unprotected_since_ns
    if since_ns is None:
        return None
    age_ns = open_for_ns(state, position, since_ns)
    return None if age_ns < UNPROTECTED_NS else age_ns


def open_for_ns(state: State, position: Position, since_ns: int) -> int:
    """How much of the time since an instant lies in the present window of the exchange.

    Nothing can rest or be closed outside of one: that gap is told by itself (T24).
    """
    session = state.session(position.instrument.exchange)
    for start_ns, end_ns in () if session is None else session.windows:
        if start_ns <= state.now_ns < end_ns:
            return state.now_ns - max(since_ns, start_ns)
    return 0


def quote_fault(state: State, quote: Quote) -> Values | None:
    """Why one instrument's quote bars an entry, `None` when it does not."""
    fault = quote.fault(state.now_ns, state.settings.freshness)
    if fault is None:
        return None
    return {"instrument": quote.instrument.symbol, "fault": fault}
