"""The broker's answers and updates, folded into orders, positions and the ledger.

A fill is applied the moment it is heard, whatever else its row says and whatever state the order
was in: the money wins.
"""

from holdfast.core.books.charges import fill_charges, statement
from holdfast.core.books.positions import Position
from holdfast.core.books.postings import postings_of_fill
from holdfast.core.orders import asking
from holdfast.core.orders.order import Fill, Order
from holdfast.core.risk import closing, limits, protection
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import State
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.audit import EntryEnded, EntryFilled, PositionClosed, PositionOpened
from holdfast.domain.command import ReadFunds
from holdfast.domain.decision import Exit
from holdfast.domain.event import (
    Action,
    OrderAcknowledged,
    OrderUpdated,
    Outcome,
    SendFailed,
)
from holdfast.domain.order import OrderId, OrderState, Purpose


def take_acknowledgement(state: State, event: OrderAcknowledged) -> None:
    """The broker took a placement."""
    order = _known(state, event.order_id, "acknowledgement")
    if order is None:
        return
    order.acknowledge(event.broker_id)
    _after(state, order)


def take_failure(state: State, event: SendFailed) -> None:
    """A request failed: refused, never left, or unanswered; each has its one reaction."""
    order = _known(state, event.order_id, "failed request")
    if order is None:
        return
    order.reason = event.reason or order.reason
    was_live = order.is_live
    order.fail(event.action, event.outcome)
    position = state.positions[order.position]
    if event.outcome is Outcome.UNANSWERED:
        if event.action in (Action.MODIFY, Action.CANCEL) and order.state is OrderState.UNKNOWN:
            asking.repeat(state, order)
    elif order.purpose is not Purpose.ENTRY and not position.is_closed:
        closing.take_refusal(state, position, order, event.action, event.refusal)
    _after(state, order, died=was_live and not order.is_live)


def take_row(state: State, event: OrderUpdated) -> None:
    """The broker's word about one order: quantities first, then its place in the table."""
    order = _known(state, event.row.order_id, "order row")
    if order is None:
        return
    was_live = order.is_live
    value_before = order.filled_value_paise
    fill = order.fold_row(event.row, is_read=event.is_read)
    position = state.positions[order.position]
    if fill is not None:
        _apply(state, position, order, fill, value_before)
    if order.purpose is not Purpose.ENTRY:
        _take_trigger(state, position, order)
    died = was_live and not order.is_live
    if died and order.state is OrderState.REJECTED and order.purpose is not Purpose.ENTRY:
        closing.take_refusal(state, position, order, Action.PLACE, event.row.refusal)
    if order.state is OrderState.UNKNOWN:
        asking.find(state, order)
    _after(state, order, died=died)


def _known(state: State, order_id: OrderId, what: str) -> Order | None:
    order = state.orders.get(order_id)
    if order is None:
        state.alarm(f"{what} for an order that is not ours", {"order": order_id})
    return order


def _apply(
    state: State, position: Position, order: Order, fill: Fill, value_before_paise: int
) -> None:
    """Fold one fill into the position, its charges and the ledger."""
    cost_before = position.holding.cost_paise
    is_entry = order.purpose is Purpose.ENTRY
    side = position.side if is_entry else position.side.opposite
    realised = 0
    if is_entry:
        _take_entry(state, position, order, fill)
    else:
        realised = position.take_exit(fill, order.venue_at_ns)
    charges = fill_charges(
        state.charge_rates(position.instrument),
        side,
        value_paise=fill.value_paise,
        order_value_before_paise=value_before_paise,
        first_fill=value_before_paise == 0,
    )
    position.charges = position.charges + charges
    state.fills += 1
    cost_change = position.holding.cost_paise - cost_before
    state.ledger.post(postings_of_fill(cost_change, realised, charges))
    limits.renew(state, position)
    state.send(ReadFunds())


def _take_entry(state: State, position: Position, order: Order, fill: Fill) -> None:
    first = position.fills == 0
    position.take_entry(fill, order.venue_at_ns)
    if first:
        # Both clocks start at the exchange's time of the fill, before we heard of it (T9).
        position.stop_missing_since_ns = position.opened_at_ns
        position.unprotected_since_ns = position.opened_at_ns
        position.evaluated_at_ns = state.now_ns
        state.day.trades += 1
        state.held.setdefault(position.id, []).append(position)
        state.timers.set_earlier(TimerKey(Rank.SWEEP), state.now_ns + SECOND_NS)
        state.tell(
            PositionOpened(
                position=position.number,
                instrument=position.id,
                venue_at_ns=order.venue_at_ns,
            )
        )
    state.tell(
        EntryFilled(
            position=position.number,
            order_id=order.id,
            quantity=order.filled_quantity,
            value_paise=order.filled_value_paise,
        )
    )


def _take_trigger(state: State, position: Position, order: Order) -> None:
    """A stop that triggered at the exchange is the exit; its remainder is priced like any (T2)."""
    has_filled = order.purpose is Purpose.STOP and order.filled_quantity > 0
    if position.exit is None and (order.was_triggered or has_filled):
        moved = position.stop_paise != position.plan.stop_paise
        exit_ = Exit(
            rule="trailing_stop" if moved else "stop_loss",
            level_paise=order.terms.trigger_paise,
            values={"by": "resting stop"},
        )
        closing.decide(state, position, exit_, price_after_ns=SECOND_NS)


def _after(state: State, order: Order, *, died: bool = False) -> None:
    """Alarm, tend and close what the change of one order asks for."""
    position = state.positions[order.position]
    if order.alarm:
        order.alarm = False
        state.alarm("the broker contradicts itself", {"order": order.id, "state": order.state})
    if order.is_settled or not order.is_live:
        state.timers.clear(TimerKey(Rank.ORDER, order.position, order.id))
    if died and order.purpose is not Purpose.ENTRY and not position.is_closed:
        closing.take_death(state, position, order)
    closing.tend(state, position)
    protection.keep_clocks(state, position)
    _finish(state, position)


def _finish(state: State, position: Position) -> None:
    """End a position once nothing is held and nothing of it can fill any more."""
    if position.is_closed or position.is_open or state.orders[position.entry].is_live:
        return
    closer = state.orders.get(position.closer) if position.closer is not None else None
    if closer is not None and closer.is_live:
        return
    position.is_closed = True
    state.live.remove(position)
    limits.leave(state, position)
    for reason in ("beyond", "close_out", "entry", "price", "spike"):
        state.timers.clear(TimerKey(Rank.POSITION, position.number, reason))
    if position.entry_quantity == 0:
        reason = state.orders[position.entry].reason or state.orders[position.entry].state.value
        state.tell(EntryEnded(position=position.number, order_id=position.entry, reason=reason))
        return
    _close(state, position)


def _close(state: State, position: Position) -> None:
    state.held[position.id].remove(position)
    charges = statement(position.charges)
    net_paise = position.realised_paise - charges.pop("total")
    state.day.realised_net_paise += net_paise
    signal = position.intent.signal
    state.day.last_exit_ns[signal.underlying, signal.direction] = state.now_ns
    assert position.exit is not None, "contracts were sold that no rule decided to sell"
    state.tell(
        PositionClosed(
            position=position.number,
            rule=position.exit.rule,
            quantity=position.entry_quantity,
            entry_value_paise=position.entry_value_paise,
            exit_value_paise=position.exit_value_paise,
            gross_paise=position.realised_paise,
            charges=charges,
            net_paise=net_paise,
            opened_at_ns=position.opened_at_ns,
            closed_at_ns=position.closed_at_ns,
            unprotected_ns=position.unprotected_ns,
            without_stop_ns=position.without_stop_ns,
        )
    )
