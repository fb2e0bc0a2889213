"""Who hears that a price went stale or came back: held instruments and whole connections.

Staleness is a level; each edge of it is told once (I-66). A connection is judged by a deadline
after its last packet, so that a mute one is noticed without anything arriving. Silence means
something only while the exchange is open.
"""

from holdfast.core.books.positions import Position
from holdfast.core.market.quotes import QUIET, Connection
from holdfast.core.readiness import first_failing, unprotected_ns, unwatched_ns
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
    at_ns = connection.last_at_ns + _silence_ns(state) + 1
    state.timers.set(_key(exchange), max(at_ns, state.now_ns + 1))


def judge(state: State, exchange: Exchange) -> None:
    """Tell the edges of a connection's faults, each kind by itself, and come back for the next."""
    connection = state.connections[exchange]
    fault = connection.fault(state.now_ns, state.settings.freshness)
    if fault != connection.stale_reason:
        _feed_came_back(state, connection)
    if fault is None:
        arm(state, exchange)
    elif _must_speak(state, exchange):
        _feed_is_stale(state, exchange, fault)
    else:
        _judge_later(state, exchange)
    note_readiness(state)


def _key(exchange: Exchange) -> TimerKey:
    return TimerKey(Rank.CONNECTION, 0, exchange.value)


def _silence_ns(state: State) -> int:
    return state.settings.freshness.connection_s * SECOND_NS


def _must_speak(state: State, exchange: Exchange) -> bool:
    """Whether a window is open, and has been for longer than a connection may be silent."""
    session = state.session(exchange)
    if session is None:
        return False
    silence_ns = _silence_ns(state)
    return any(start + silence_ns < state.now_ns < end for start, end in session.windows)


def _judge_later(state: State, exchange: Exchange) -> None:
    """Judge at the first packet, or when the next window has been open for long enough."""
    state.connections[exchange].is_armed = False
    session = state.session(exchange)
    if session is None:
        return
    for start_ns, _ in session.windows:
        due_ns = start_ns + _silence_ns(state) + 1
        if due_ns > state.now_ns:
            state.timers.set(_key(exchange), due_ns)
            return


def _feed_is_stale(state: State, exchange: Exchange, fault: str) -> None:
    """Tell it once. One that lags may yet fall silent; one that is silent is heard when it speaks."""
    connection = state.connections[exchange]
    if fault != QUIET:
        arm(state, exchange)
    if connection.stale_since_ns is not None:
        return
    since_ns = connection.last_at_ns if fault == QUIET else connection.trade_at_ns
    connection.stale_since_ns = state.now_ns if since_ns is None else since_ns
    connection.stale_reason = fault
    held = tuple(position.number for position in state.live if position.is_open)
    state.tell(
        QuotesStale(instrument=None, since_ns=connection.stale_since_ns, reason=fault, held=held)
    )


def _feed_came_back(state: State, connection: Connection) -> None:
    if connection.stale_since_ns is not None:
        after_ns = state.now_ns - connection.stale_since_ns
        connection.stale_since_ns = connection.stale_reason = None
        state.tell(QuotesFresh(instrument=None, after_ns=after_ns))


def note_readiness(state: State) -> None:
    """Tell when the account's first failing term changes, and what needs a person at once."""
    failing = first_failing(state)
    term, values = (None, {}) if failing is None else failing
    if term != state.blocked_term:
        state.blocked_term = term
        state.tell(EntriesBlocked(term=term, values=values))
    for position in state.live:
        bare_ns, blind_ns = unprotected_ns(state, position), unwatched_ns(state, position)
        if bare_ns is None and blind_ns is None and not state.called:
            continue
        _call(state, position, "position unprotected", bare_ns)
        _call(state, position, "position not looked at", blind_ns)


def _call(state: State, position: Position, what: str, age_ns: int | None) -> None:
    """Call a person once for each stretch of what must not be (T9, I-01)."""
    key = (position.number, what)
    if age_ns is None:
        state.called.discard(key)
    elif key not in state.called:
        state.called.add(key)
        state.alarm(what, {"position": position.number, "for_ms": age_ns // 1_000_000})


def watch_held(state: State, position: Position) -> None:
    """Keep the stale-price policy of one position (T16): hold, ask for a quote, alarm once."""
    quote = state.quote(position.id)
    fault = quote.fault(state.now_ns, state.settings.freshness)
    if fault is None:
        _came_back(state, position)
        return
    if position.stale_since_ns is None:
        if not _must_speak(state, position.instrument.exchange):
            return
        _went_stale(state, position, fault)
    assert position.stale_since_ns is not None
    elapsed_ns = state.now_ns - position.stale_since_ns
    if elapsed_ns >= ALARM_NS and "alarmed" not in position.stale_told:
        _acted(state, position, "alarmed", {"fault": fault})
        text = f"price of {position.instrument.symbol} is stale ({fault}), position held"
        state.send(Notify(severity=Severity.ALARM, text=text))
    _say_helpless(state, position, elapsed_ns)


def _went_stale(state: State, position: Position, fault: str) -> None:
    position.stale_since_ns = state.now_ns
    state.tell(
        QuotesStale(
            instrument=position.id, since_ns=state.now_ns, reason=fault, held=(position.number,)
        )
    )
    holder = "the resting stop" if position.verified else "nothing at the broker"
    _acted(state, position, f"held by {holder}", {"stop_paise": position.stop_paise})


def _say_helpless(state: State, position: Position, elapsed_ns: int) -> None:
    """Once the bound has passed without a price from either source, only the stop is left."""
    exits = state.settings.exits
    bound_s = exits.stale_with_stop_s if position.verified else exits.stale_without_stop_s
    has_read = state.quote(position.id).has_read(state.now_ns, state.settings.freshness)
    if elapsed_ns >= bound_s * SECOND_NS and not has_read and position.exit is None:
        rest = "stop left alone" if position.verified else "held by nothing"
        _acted(state, position, f"no price from either source: {rest}", {"bound_s": bound_s})


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
    quiet = [position for position in state.live if _is_quiet(state, position)]
    if not quiet:
        return
    state.quotes_asked_ns = state.now_ns
    state.send(ReadQuotes(instruments=tuple(sorted({position.id for position in quiet}))))
    for position in quiet:
        if position.stale_since_ns is not None:
            _acted(state, position, "asked for a quote outside the feed", {})


def _is_quiet(state: State, position: Position) -> bool:
    if not position.is_open or not _must_speak(state, position.instrument.exchange):
        return False
    newest_ns = state.quote(position.id).newest_ns
    is_old = newest_ns is None or state.now_ns - newest_ns >= QUIET_NS
    return is_old or position.stale_since_ns is not None
