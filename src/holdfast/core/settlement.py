"""The close, the night and expiry (T24): what ends without a fill, and what stays without a stop.

All orders are of the day: what is held at the close has no protection until the exchange opens
again, and that is told. Besides fills only a published settlement ends a position.
"""

from holdfast.core import bookread, ration, reduction
from holdfast.core.books.charges import exercise_charges
from holdfast.core.books.positions import Position
from holdfast.core.orders import answers
from holdfast.core.orders.order import Fill
from holdfast.core.risk import closing
from holdfast.core.state import State
from holdfast.domain.decision import Exit, Values
from holdfast.domain.event import Settled
from holdfast.domain.instrument import Instrument, Product
from holdfast.domain.order import Side


def expires_today(state: State, instrument: Instrument) -> bool:
    """Whether today is the contract's last day."""
    return instrument.expiry == state.settings.day


def may_stay(state: State, position: Position) -> bool:
    """Whether the close-out leaves a position alone: by configuration only, and never a short
    on its last day.

    One that the broker squares off cannot stay; one that expires stays for its settlement.
    """
    guards = state.settings.guards
    if expires_today(state, position.instrument):
        return guards.hold_to_settlement and position.holding.quantity > 0
    return guards.hold_overnight and position.key.product is Product.MARGIN


def on_edge(state: State) -> None:
    """A session opened, closed, or the broker's square-off is near: tell of what is still held."""
    for position in state.live:
        if not position.is_open:
            continue
        if ration.may_be_squared_off(state, position):
            _tell_once(state, position, "open when the broker is about to close it")
            bookread.ask_soon(state)
        session = state.session(position.instrument.exchange)
        if session is not None and state.now_ns >= session.close_ns:
            is_last = expires_today(state, position.instrument)
            night = "open at its expiry, a settlement must end it"
            _tell_once(state, position, night if is_last else "overnight without protection")


def _tell_once(state: State, position: Position, what: str) -> None:
    key = (position.number, what)
    if key in state.called:
        return
    state.called.add(key)
    values: Values = {
        "position": position.number,
        "contract": position.instrument.symbol,
        "held": position.holding.quantity,
        "product": position.key.product.value,
    }
    state.alarm(what, values)


def take_settlement(state: State, event: Settled) -> None:
    """End what is held of a contract at its published settlement.

    Told twice it finds nothing left to end. One of a contract that still trades ends nothing.
    """
    fault = _fault(state, event)
    if fault is not None:
        values: Values = {"instrument": event.instrument, "paise": event.settlement_paise}
        state.alarm(f"a settlement is not believed: {fault}", {**values, "source": event.source})
        return
    for position in tuple(state.live):
        if position.id == event.instrument and position.is_open:
            _settle(state, position, event)


def _fault(state: State, event: Settled) -> str | None:
    instrument = state.instruments.get(event.instrument)
    if instrument is None:
        return "the contract is not known"
    if event.settlement_paise < 0 or not event.source:
        return "it has no price or no source"
    if instrument.expiry is None or instrument.expiry > state.settings.day:
        return "the contract lives on"
    session = state.session(instrument.exchange)
    is_over = session is None or state.now_ns >= session.close_ns
    return None if instrument.expiry < state.settings.day or is_over else "it still trades today"


def _settle(state: State, position: Position, event: Settled) -> None:
    """Fold the settlement like a fill that no order made, with the charge of an exercise."""
    quantity = position.open_quantity
    held_side = position.closing_side.opposite
    values: Values = {"source": event.source, "paise": event.settlement_paise}
    closing.decide(state, position, Exit(rule="settled", values=values))
    fill = Fill(quantity, quantity * event.settlement_paise)
    rates = state.charge_rates(position.instrument)
    charges = exercise_charges(rates, held_side, fill.value_paise)
    reduction.reduce(
        state, position, fill, charges, at_ns=event.at_ns, reason=f"settled: {event.source}"
    )
    if held_side is Side.SELL and event.settlement_paise:
        state.alarm("a short was settled in the money", {"position": position.number})
    answers.settle(state, position)
