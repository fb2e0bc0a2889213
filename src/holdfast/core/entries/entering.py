"""From signal to intent to entry order: the only path by which anything is bought or sold to open.

Each signal ends in exactly one outcome, `Denied` or `IntentFormed`.
"""

from holdfast.core.books.positions import Position
from holdfast.core.entries.candidate import Candidate, form
from holdfast.core.entries.gates import pass_gates, signal_key
from holdfast.core.entries.sizing import size
from holdfast.core.orders import asking
from holdfast.core.orders.ids import POSITION_MAX, OrderReason, order_id
from holdfast.core.orders.slices import SLICES_MAX, most_of, split
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import State
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.audit import Denied, IntentFormed, SignalSeen
from holdfast.domain.decision import Denial, Intent, Passed, Signal, Sizing
from holdfast.domain.order import OrderTerms, OrderType, Purpose


def consider(state: State, signal: Signal) -> None:
    """Take a signal to its one outcome."""
    state.tell(SignalSeen(signal=signal))
    candidate = form(state, signal)
    passed, denial = pass_gates(state, candidate)
    # The candle and side are spent by the first signal that asks, whatever its outcome.
    state.day.signals_seen.add(signal_key(candidate))
    if denial is None:
        sizing = _size(state, candidate)
        denial = _too_small(sizing) or _too_large(candidate, sizing)
        if denial is None:
            _enter(state, candidate, passed, sizing)
            return
    state.tell(Denied(signal=signal, denial=denial))


def _size(state: State, candidate: Candidate) -> Sizing:
    assert candidate.instrument is not None
    assert candidate.limit_paise is not None
    assert candidate.stop_limit_paise is not None
    assert state.funds_paise is not None
    return size(
        state.settings.sizing,
        candidate.instrument,
        state.charge_rates(candidate.instrument),
        entry_limit_paise=candidate.limit_paise,
        stop_limit_paise=candidate.stop_limit_paise,
        cash_paise=state.funds_paise,
    )


def _too_small(sizing: Sizing) -> Denial | None:
    """Zero lots is a denial, with the arithmetic."""
    if sizing.lots > 0:
        return None
    return Denial(
        gate="sizing",
        values={
            "bound": sizing.bound,
            "budget_paise": sizing.budget_paise,
            "entry_limit_paise": sizing.entry_limit_paise,
            "stop_limit_paise": sizing.stop_limit_paise,
            "cash_paise": sizing.cash_paise,
        },
    )


def _too_large(candidate: Candidate, sizing: Sizing) -> Denial | None:
    """More slices than can be looked after, or not a lot that the exchange takes: a denial (T23)."""
    instrument = candidate.instrument
    assert instrument is not None
    most, quantity = most_of(instrument), sizing.lots * sizing.lot_size
    slices = len(split(quantity, most))
    if most < instrument.freeze_quantity and slices <= SLICES_MAX:
        return None
    return Denial(
        gate="slices",
        values={
            "quantity": quantity,
            "freeze_quantity": instrument.freeze_quantity,
            "slices": slices,
            "max": SLICES_MAX,
        },
    )


def _enter(state: State, candidate: Candidate, passed: tuple[Passed, ...], sizing: Sizing) -> None:
    """Form the intent, open its (still empty) position and send the entry order."""
    assert candidate.instrument is not None
    assert candidate.plan is not None
    assert candidate.limit_paise is not None
    number = state.day.positions + 1
    assert number <= POSITION_MAX, "more positions in a day than order ids can name"
    state.day.positions = number
    quantity = sizing.lots * sizing.lot_size
    intent = Intent(
        position=number,
        signal=candidate.signal,
        instrument=candidate.instrument.id,
        product=candidate.product,
        side=candidate.side,
        quantity=quantity,
        limit_paise=candidate.limit_paise,
        plan=candidate.plan,
        sizing=sizing,
        passed=passed,
    )
    entry = order_id(state.settings.id_prefix, OrderReason(Purpose.ENTRY, number, 1))
    position = Position(intent, candidate.instrument, entry)
    state.positions[number] = position
    state.live.append(position)
    state.tell(IntentFormed(intent=intent))
    _place_slices(state, position)
    life_ends_ns = state.now_ns + state.settings.entries.life_s * SECOND_NS
    state.timers.set(TimerKey(Rank.POSITION, number, "entry"), life_ends_ns)
    state.timers.set(TimerKey(Rank.POSITION, number, "close_out"), candidate.plan.close_out_ns)


def _place_slices(state: State, position: Position) -> None:
    """The entry as one order, or as several where one would be above the freeze quantity (T23)."""
    intent = position.intent
    quantities = split(intent.quantity, most_of(position.instrument))
    position.entries.clear()
    for number, quantity in enumerate(quantities):
        terms = OrderTerms(
            instrument=intent.instrument,
            product=intent.product,
            side=intent.side,
            order_type=OrderType.LIMIT,
            quantity=quantity,
            limit_paise=intent.limit_paise,
        )
        reason = OrderReason(Purpose.ENTRY, position.number, 1, number)
        position.entries.append(asking.place(state, position, reason, terms=terms).name)
