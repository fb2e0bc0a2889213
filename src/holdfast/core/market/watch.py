"""Who hears that a price went stale or came back: held instruments and whole connections.

Staleness is a level; each edge of it is told once (I-66). A connection is judged by a deadline
after its last packet, so that a mute one is noticed without anything arriving.
"""

from holdfast.core.books.positions import Position
from holdfast.core.market.quotes import QUIET
from holdfast.core.readiness import first_failing
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import State
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.audit import EntriesBlocked, QuotesFresh, QuotesStale, StalePolicyActed
from holdfast.domain.command import Notify, ReadQuotes, Severity
from holdfast.domain.decision import Values
from holdfast.domain.instrument import Exchange

QUIET_NS = 4 * SECOND_NS
"""A held instrument without a packet for so long is asked for outside the feed (T10)."""

ALARM_NS = 5 * SECOND_NS
"""Staleness of a held instrument that lasts so long calls a person (decisions 1.7)."""


def arm(state: State, exchange: Exchange) -> None:
    """Judge a connection when its silence would become a fault."""
    connection = state.connections[exchange]
    if connection.last_at_ns is None:
        return
    at_ns = connection.last_at_ns + state.settings.freshness.connection_s * SECOND_NS + 1
    state.timers.set(_key(exchange), max(at_ns, state.now_ns + 1))


def _key(exchange: Exchange) -> TimerKey:
    return TimerKey(Rank.CONNECTION, 0, exchange.value)


def judge(state: State, exchange: Exchange) -> None:
    """Tell the edges of a connection's faults, each kind by itself, and come back for the next."""
    connection = state.connections[exchange]
    fault = connection.fault(state.now_ns, state.settings.freshness)
    session = state.session(exchange)
    is_open = session is not None and session.is_open(state.now_ns)
    if connection.stale_since_ns is not None and fault != connection.stale_reason:
        after_ns = state.now_ns - connection.stale_since_ns
        connection.stale_since_ns = None
        state.tell(QuotesFresh(instrument=None, after_ns=after_ns))
    if fault is not None and is_open and connection.stale_since_ns is None:
        since = connection.last_at_ns if fault == QUIET else connection.trade_at_ns
        connection.stale_since_ns = since if since is not None else state.now_ns
        connection.stale_reason = fault
        held = tuple(p.number for p in state.live if p.is_open)
        state.tell(
            QuotesStale(
                instrument=None, since_ns=connection.stale_since_ns, reason=fault, held=held
            )
        )
    if fault is None:
        arm(state, exchange)
    note_readiness(state)


def note_readiness(state: State) -> None:
    """Tell when the account's first failing term changes."""
    failing = first_failing(state)
    term, values = (None, {}) if failing is None else failing
    if term != state.blocked_term:
        state.blocked_term = term
        state.tell(EntriesBlocked(term=term, values=values))


def watch_held(state: State, position: Position) -> None:
    """Keep the stale-price policy of one position (T16): alarm once, ask for a quote, hold."""
    fault = state.quote(position.id).fault(state.now_ns, state.settings.freshness)
    if fault is None:
        _came_back(state, position)
        return
    if position.stale_since_ns is None:
        position.stale_since_ns = state.now_ns
        state.tell(
            QuotesStale(
                instrument=position.id, since_ns=state.now_ns, reason=fault, held=(position.number,)
            )
        )
        action = "held by the resting stop" if position.verified else "held by nothing at the broker"
        _acted(state, position, action, {"stop_paise": position.stop_paise})
    elapsed_ns = state.now_ns - position.stale_since_ns
    if elapsed_ns >= ALARM_NS and "alarmed" not in position.stale_told:
        _acted(state, position, "alarmed", {"fault": fault})
        text = f"price of {position.instrument.symbol} is stale ({fault}), position held"
        state.send(Notify(severity=Severity.ALARM, text=text))
    exits = state.settings.exits
    bound_s = exits.stale_with_stop_s if position.verified else exits.stale_without_stop_s
    has_read = state.quote(position.id).has_read(state.now_ns, state.settings.freshness)
    if elapsed_ns >= bound_s * SECOND_NS and not has_read and position.exit is None:
        _acted(state, position, "no price from either source: stop left alone", {"bound_s": bound_s})


def _came_back(state: State, position: Position) -> None:
    if position.stale_since_ns is not None:
        after_ns = state.now_ns - position.stale_since_ns
        position.stale_since_ns, position.stale_told = None, ()
        state.tell(QuotesFresh(instrument=position.id, after_ns=after_ns))


def _acted(state: State, position: Position, action: str, values: Values) -> None:
    """Tell each act of the policy once per stretch of staleness."""
    if action not in position.stale_told:
        position.stale_told = (*position.stale_told, action)
        state.tell(StalePolicyActed(position=position.number, action=action, values=values))


def ask_quiet(state: State) -> None:
    """Ask for full quotes of held instruments whose packets stopped, once a second at most."""
    if state.now_ns - state.quotes_asked_ns < SECOND_NS:
        return
    quiet = sorted({p.id for p in state.live if p.is_open and _is_quiet(state, p)})
    if quiet:
        state.quotes_asked_ns = state.now_ns
        state.send(ReadQuotes(instruments=tuple(quiet)))
        for position in state.live:
            if position.is_open and position.stale_since_ns is not None:
                _acted(state, position, "asked for a quote outside the feed", {})


def _is_quiet(state: State, position: Position) -> bool:
    quote = state.quote(position.id)
    newest_ns = max(quote.at_ns or 0, quote.rest_at_ns or 0)
    return state.now_ns - newest_ns >= QUIET_NS or position.stale_since_ns is not None
