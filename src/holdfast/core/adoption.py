"""Orders of ours that the engine has not decided itself: found in the broker's book, or recorded.

An id tells purpose, position and attempt (T21), so an order can be taken over as if it had been
sent here. Numbers only go up: the next attempt of a purpose follows the highest that is known.
"""

from holdfast.core.books.positions import Position
from holdfast.core.entries.candidate import plan_of
from holdfast.core.orders.ids import OrderReason, order_id, read_order_id
from holdfast.core.orders.order import Order
from holdfast.core.risk import closing
from holdfast.core.state import State
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.audit import IntentFormed
from holdfast.domain.decision import Direction, Intent, Signal, Sizing
from holdfast.domain.event import Action
from holdfast.domain.instrument import Instrument, Kind, OptionType
from holdfast.domain.order import OrderId, OrderRow, OrderTerms, Purpose

ADOPTED = "adopted"
"""Stands for the strategy of a position whose signal is lost."""


def take_over(state: State, row: OrderRow) -> Order | None:
    """The order behind a row with an id of ours, as sent; `None` when it belongs to nothing.

    The row itself is the caller's to fold. An entry opens its position with the plan that the
    settings make of its price; a closing order without a position stays a person's business.
    """
    reason = read_order_id(state.settings.id_prefix, row.order_id)
    if reason is None:
        return None
    position = state.positions.get(reason.position)
    if position is None and reason.purpose is Purpose.ENTRY:
        intent = _intent(state, reason, row)
        if intent is not None:
            state.tell(IntentFormed(intent=intent))  # the record must know whose plan it is
            position = open_position(state, intent, row.order_id)
    if position is None:
        return None
    return link(state, position, reason, row.terms, sent_at_ns=row.venue_at_ns)


def link(
    state: State, position: Position, reason: OrderReason, terms: OrderTerms, *, sent_at_ns: int
) -> Order:
    """Enter an order as sent under the id of its reason, and count its attempt."""
    order = sent(state, position, reason, terms, sent_at_ns=sent_at_ns)
    if reason.purpose is Purpose.ENTRY:
        if order.name not in position.entries:
            position.entries.append(order.name)
        return order
    if reason.purpose is Purpose.STOP:
        position.stop_attempts = max(position.stop_attempts, reason.attempt)
    else:
        position.exit_attempts = max(position.exit_attempts, reason.attempt)
    closing.join(state, position, order)
    return order


def sent(
    state: State, position: Position, reason: OrderReason, terms: OrderTerms, *, sent_at_ns: int
) -> Order:
    """An order under the id of its reason that left at `sent_at_ns`."""
    prefix = state.settings.id_prefix
    order = Order(order_id(prefix, reason), reason.purpose, position.number, terms)
    order.ask(Action.PLACE, terms, sent_at_ns)
    state.orders[order.name] = order
    return order


def second_name(row: OrderRow) -> OrderId:
    """What the second order under one id is kept by; never sent anywhere."""
    return OrderId(f"{row.order_id}/{row.broker_id}")


def take_second(state: State, first: Order, row: OrderRow) -> Order:
    """The other order under an id of ours, as sent: it is wanted by nobody and is taken back."""
    second = Order(first.id, first.purpose, first.position, row.terms)
    second.name = second_name(row)
    second.ask(Action.PLACE, row.terms, row.venue_at_ns)
    state.orders[second.name] = second
    state.positions[first.position].strays.append(second.name)
    return second


def open_position(state: State, intent: Intent, entry: OrderId | None) -> Position:
    """Enter the (still empty) position of an intent, and be called at its close-out.

    `entry`: `None` where an earlier day has opened it.
    """
    number = intent.position
    position = Position(intent, state.instruments[intent.instrument], entry)
    state.day.positions = max(state.day.positions, number)
    state.positions[number] = position
    state.live.append(position)
    state.live.sort(key=lambda one: one.number)
    key = TimerKey(Rank.POSITION, number, "close_out")
    state.timers.set(key, max(intent.plan.close_out_ns, state.now_ns))
    return position


def _intent(state: State, reason: OrderReason, row: OrderRow) -> Intent | None:
    """The intent of an entry that only the broker knows, `None` when no plan can be made of it."""
    instrument = state.instruments.get(row.terms.instrument)
    if instrument is None or state.session(instrument.exchange) is None:
        return None
    filled = row.filled_quantity
    price = row.filled_value_paise // filled if filled else row.terms.limit_paise
    plan = plan_of(state, instrument, reference_paise=price)
    signal = _signal(state, instrument, row)
    if plan is None or signal is None or row.terms.side.sign < 0:
        return None
    return Intent(
        position=reason.position,
        signal=signal,
        instrument=instrument.id,
        product=row.terms.product,
        side=row.terms.side,
        quantity=row.terms.quantity,
        limit_paise=row.terms.limit_paise,
        plan=plan,
        sizing=_sizing(instrument, row.terms),
        passed=(),
    )


def _signal(state: State, instrument: Instrument, row: OrderRow) -> Signal | None:
    for identity in sorted(state.instruments):
        known = state.instruments[identity]
        if known.kind is Kind.INDEX and known.underlying == instrument.underlying:
            is_put = instrument.option_type is OptionType.PUT
            return Signal(
                id=f"{ADOPTED}|{row.order_id}",
                strategy=ADOPTED,
                underlying=identity,
                direction=Direction.DOWN if is_put else Direction.UP,
                candle_start_ns=row.venue_at_ns,
                reason="found in the broker's book: what led to it is lost",
                values={},
            )
    return None


def _sizing(instrument: Instrument, terms: OrderTerms) -> Sizing:
    """Nobody sized it here: only what is known."""
    return Sizing(
        lots=terms.quantity // instrument.lot_size,
        lot_size=instrument.lot_size,
        budget_paise=0,
        entry_limit_paise=terms.limit_paise,
        stop_limit_paise=0,
        charges_paise=0,
        loss_at_stop_paise=0,
        cash_paise=0,
        bound=ADOPTED,
    )
