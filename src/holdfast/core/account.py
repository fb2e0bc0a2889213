"""What the shell tells of the account itself: its session, its right to order, our clock (T20, T27, T30).

Reads, feeds and quotes work from any address: that orders are refused for it shows in a refusal,
and until a check says otherwise nothing is entered. Exits are tried all the same.
"""

from collections.abc import Iterator
from typing import Final

from holdfast.core import bookread
from holdfast.core.books.positions import Position
from holdfast.core.state import State
from holdfast.domain.command import Notify, Severity
from holdfast.domain.decision import Values
from holdfast.domain.event import AccountChecked, ClockChanged, Outcome, SendFailed, TokenChanged
from holdfast.domain.order import Refusal

SKEW_MS_MAX: Final = 2_000
"""So far our clock and the broker's may be apart: by more, ages and candles are wrong (T30)."""


def take_token(state: State, event: TokenChanged) -> None:
    """The session at the broker began, was prolonged, or is over."""
    access, was_valid = state.access, state.access.token_until_ns > 0
    access.token_until_ns = event.valid_until_ns if event.is_valid else 0
    access.token_reason = event.reason
    if event.is_valid and not was_valid and state.instruments:
        bookread.ask_soon(state)  # what happened while nobody listened
    elif was_valid and not event.is_valid:
        _call(state, f"the broker takes our session no more: {event.reason or 'no reason given'}")


def take_check(state: State, event: AccountChecked) -> None:
    """The broker said whether it takes orders from here."""
    access, was_refused = state.access, state.access.is_refused
    access.is_checked, access.is_refused = True, not event.orders_allowed
    access.refused_reason = "" if event.orders_allowed else event.reason
    if access.is_refused and not was_refused:
        _call(state, f"the broker takes no orders from here: {event.reason}")
    elif was_refused and event.orders_allowed:
        text = "the broker takes orders from here again"
        state.send(Notify(severity=Severity.WARNING, text=text))


def take_clock(state: State, event: ClockChanged) -> None:
    """Our clock was compared with the broker's."""
    access, was_sane = state.access, is_clock_sane(state)
    access.skew_ms = event.skew_ms
    if was_sane and not is_clock_sane(state):
        state.alarm("our clock and the broker's differ", {"skew_ms": event.skew_ms})


def take_failure(state: State, event: SendFailed) -> None:
    """A refusal for our address is believed at once, until a check says otherwise (T27)."""
    if event.outcome is Outcome.REFUSED and event.refusal is Refusal.IP:
        was_refused = state.access.is_refused
        state.access.is_refused, state.access.refused_reason = True, event.reason
        if not was_refused:
            _call(state, f"the broker refuses our orders for their address: {event.reason}")


def is_clock_sane(state: State) -> bool:
    """Whether our clock was compared with the broker's and is near it."""
    skew_ms = state.access.skew_ms
    return skew_ms is not None and abs(skew_ms) <= SKEW_MS_MAX


def token_fault(state: State, close_ns: int) -> Values | None:
    """Why the session at the broker does not last past the close, `None` when it does."""
    until_ns = state.access.token_until_ns
    if not until_ns:
        return {"token": state.access.token_reason or "none"}
    return {"token": "ends before the close"} if until_ns <= close_ns else None


def _call(state: State, what: str) -> None:
    """Call a person, who alone can close now, with what is open and what stands for it (T27)."""
    held = [_words(state, one) for one in state.live if one.is_open]
    rest = f"; close in the broker's app: {'; '.join(held)}" if held else "; nothing is open"
    state.send(Notify(severity=Severity.ALARM, text=what + rest))


def _words(state: State, position: Position) -> str:
    """One position as a person finds it in the broker's app."""
    stops = ", ".join(_stops(state, position)) or "no stop rests"
    quantity, symbol = position.holding.quantity, position.instrument.symbol
    return f"position {position.number}: {quantity} {symbol} {position.key.product.value}, {stops}"


def _stops(state: State, position: Position) -> Iterator[str]:
    """The closing orders that rest, by the broker's number, with the price that they wait for."""
    for name in position.closers:
        order = state.orders[name]
        if order.is_live and order.has_rested:
            paise = order.standing.trigger_paise or order.standing.limit_paise
            yield f"order {order.broker_id} rests at {paise // 100}.{paise % 100:02d}"
