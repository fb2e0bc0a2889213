"""The broker's answers and updates, folded into orders, positions and the ledger.

A fill is applied the moment it is heard, whatever else its row says and whatever state the order
was in: the money wins.
"""

from holdfast.core import adoption, bookread, correction, ration, reduction
from holdfast.core.books.charges import fill_charges, statement
from holdfast.core.books.positions import Position
from holdfast.core.books.postings import postings_of_fill
from holdfast.core.orders import asking
from holdfast.core.orders.order import Fill, Order
from holdfast.core.risk import closing, limits, protection, refusals
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import State
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.audit import EntryEnded, EntryFilled, PositionClosed, PositionOpened
from holdfast.domain.command import Notify, ReadFunds, Severity
from holdfast.domain.decision import Exit, HaltLevel, Values
from holdfast.domain.event import (
    Action,
    OrderAcknowledged,
    OrderUpdated,
    Outcome,
    SendFailed,
)
from holdfast.domain.order import OrderId, OrderRow, OrderState, Purpose, Refusal

LASTS_NS = 5 * SECOND_NS
"""A closing order that rests so long after it was sent was taken: refusals count anew."""


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
    if order is None or event.action is Action.FIND:
        return  # a search that failed is no evidence; the watch searches again
    order.reason = event.reason or order.reason
    was_live = order.is_live
    order.fail(event.action, event.outcome, event.refusal, at_ns=state.now_ns)
    if event.is_outdated:
        _take_outdated(state, order)
    elif event.outcome is Outcome.UNANSWERED:
        _take_silence(state, order, event.action)
    elif order.is_live or was_live:
        refused = event.outcome is Outcome.REFUSED
        _take_no(state, order, event.action, (event.refusal or Refusal.OTHER) if refused else None)
    _after(state, order)


def _take_outdated(state: State, order: Order) -> None:
    """It never left because fills came while it waited: what is wanted now is asked in this step."""
    position = state.positions[order.position]
    position.reprice_at_ns, position.reprice_same_rung = state.now_ns, True
    position.retry_at_ns = state.now_ns


def _take_silence(state: State, order: Order, action: Action) -> None:
    """Nobody answered. A placement is looked for; a closing one needs a person's eyes (T3)."""
    if order.state is not OrderState.UNKNOWN:
        return
    asking.take_silence(state, order, closing.newest_terms(state, order))
    if action is Action.PLACE:
        bookread.ask(state)
    if action is Action.PLACE and order.purpose is not Purpose.ENTRY:
        symbol = state.positions[order.position].instrument.symbol
        todo = f"{order.terms.side.value} {order.open_quantity} {symbol}"
        text = f"no answer to {order.id}: {todo} by hand unless the broker's book shows the order"
        state.send(Notify(severity=Severity.ALARM, text=text))


def _take_no(state: State, order: Order, action: Action, reason: Refusal | None) -> None:
    """An explicit no, or (`None`) a request that never left."""
    position = state.positions[order.position]
    if not order.is_live:
        _take_end(state, position, order, reason=reason)
        return
    if order.state is OrderState.UNKNOWN:
        asking.find(state, order)
    if order.purpose is Purpose.ENTRY:
        asking.hold(state, order, refusals.pause_ns(reason, refusals=1))
    elif action is not Action.PLACE:
        refusals.take_refusal(state, position, order, action=action, reason=reason)


def take_row(state: State, event: OrderUpdated) -> None:
    """The broker's word about one order: quantities first, then its place in the table."""
    order = order_of(state, event.row) or _adopted(state, event.row)
    if order is None:
        return
    was_live, asked, value_before = order.is_live, order.asked, order.filled_value_paise
    fill = order.fold_row(event.row, is_read=event.is_read, at_ns=state.now_ns)
    position = state.positions[order.position]
    if position.is_closed and (fill is not None or order.is_live):
        _reopen(state, position)
    if fill is not None:
        _apply(state, position, order, fill, value_before)
    correction.take_correction(state, position, order)
    if order.purpose is not Purpose.ENTRY:
        _take_closer(state, position, order, event.row, is_progress=fill is not None)
    if was_live and not order.is_live:
        ours = asked is Action.CANCEL
        _take_end(state, position, order, reason=event.row.refusal, is_ours=ours)
    elif order.is_live and not was_live:
        closing.take_revival(state, position, order)
    if order.name != order.id:
        _leave_second(state, position, order)
    _look(state, order, is_read=event.is_read)
    _after(state, order)


def fold_books(state: State, row: OrderRow) -> None:
    """Fold the fills that a row tells of into order, position and ledger, and decide nothing."""
    order = order_of(state, row)
    if order is None:
        return
    value_before = order.filled_value_paise
    fill = order.fold_row(row, is_read=True, at_ns=state.now_ns)
    position = state.positions[order.position]
    if fill is not None:
        if position.is_closed:
            _reopen(state, position)
        _apply(state, position, order, fill, value_before)
    correction.take_correction(state, position, order)


def order_of(state: State, row: OrderRow) -> Order | None:
    """The order that a row speaks of, `None` when it is not known: one id may name two (T21)."""
    order = state.orders.get(row.order_id)
    if order is None or order.broker_id in (None, row.broker_id):
        return order
    return state.orders.get(adoption.second_name(row))


def _adopted(state: State, row: OrderRow) -> Order | None:
    """Take over an order that its id tells to be ours.

    While the book has not been listed since the start its word can wait: the read will show it
    beside all that it belongs to.
    """
    if not (state.book.is_listed or state.book.is_applying):
        return None
    known = state.orders.get(row.order_id)
    if known is not None:
        text = f"two orders under {row.order_id}: {row.broker_id} is taken back"
        state.send(Notify(severity=Severity.ALARM, text=text))
        return adoption.take_second(state, known, row)
    order = adoption.take_over(state, row)
    if order is None:
        state.alarm("order row for an order that is not ours", {"order": row.order_id})
    return order


def _leave_second(state: State, position: Position, order: Order) -> None:
    """What the second of two orders bought was decided by nobody: the position is closed."""
    if order.purpose is Purpose.ENTRY and order.filled_quantity:
        values: Values = {"second": str(order.broker_id), "bought": order.filled_quantity}
        closing.decide(state, position, Exit(rule="second_order", values=values))


def take_absence(state: State, order: Order) -> None:
    """Two stable reads of the whole book lack the order: if it was never seen, it never was."""
    was_live, position = order.is_live, state.positions[order.position]
    order.miss()
    if was_live and not order.is_live:
        _take_end(state, position, order, reason=None)
    _after(state, order)


def _look(state: State, order: Order, *, is_read: bool) -> None:
    """A question is asked of the broker at once; if the answer leaves it open, after a moment."""
    if order.state is not OrderState.UNKNOWN:
        return
    if is_read:
        asking.watch(state, order, asking.LOOK_NS)
    else:
        asking.find(state, order)


def _take_closer(
    state: State, position: Position, order: Order, row: OrderRow, *, is_progress: bool
) -> None:
    if order.name == order.id:
        _take_trigger(state, position, order)
    has_lasted = order.is_settled and state.now_ns - order.sent_at_ns >= LASTS_NS
    if is_progress or has_lasted:
        position.refusals = position.deaths = 0
        position.refused = None
    if order.was_changed and state.book.is_listed:
        refusals.take_change(state, position, order)
    if order.was_denied:
        reason = row.refusal or Refusal.OTHER
        refusals.take_refusal(state, position, order, action=Action.MODIFY, reason=reason)


def _take_end(
    state: State,
    position: Position,
    order: Order,
    *,
    reason: Refusal | None,
    is_ours: bool = False,
) -> None:
    """An order came to its end: `reason` is that of a refusal, `is_ours` that we had asked."""
    if order.purpose is Purpose.ENTRY:
        refusals.take_entry_end(state, position)
    elif order.name in position.closers:
        never_was = order.broker_id is None
        if reason is not None or never_was:
            refusals.take_refusal(state, position, order, action=Action.PLACE, reason=reason)
        is_settled = is_ours or reason is not None or never_was
        refusals.take_death(state, position, order, is_settled=is_settled)


def _known(state: State, order_id: OrderId, what: str) -> Order | None:
    order = state.orders.get(order_id)
    if order is None:
        state.alarm(f"{what} for an order that is not ours", {"order": order_id})
    return order


def _reopen(state: State, position: Position) -> None:
    """What had ended comes alive: the broker's word has changed, and the money wins."""
    position.begin_again()
    state.day.realised_net_paise -= position.net_paise
    state.live.append(position)
    state.live.sort(key=lambda one: one.number)
    limits.unmark(state, position)
    limits.renew(state, position)
    state.alarm("an ended position comes alive", {"position": position.number})


def _apply(
    state: State, position: Position, order: Order, fill: Fill, value_before_paise: int
) -> None:
    """Fold one fill into the position, its charges and the ledger."""
    was_flat, cost_before = not position.is_open, position.holding.cost_paise
    state.day.trades += position.fills == 0
    side = order.terms.side
    take = position.take_entry if side is position.side else position.take_exit
    realised = take(fill, order.venue_at_ns)
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
    _tell_fill(state, position, order, was_flat=was_flat)
    state.send(ReadFunds())
    for other in reduction.net_out(state, position.key):
        settle(state, other)
    if state.foreign or state.extra:
        for other in ration.share_out(state, position.key):
            if other is not position:
                closing.tend(state, other)


def _tell_fill(state: State, position: Position, order: Order, *, was_flat: bool) -> None:
    held = state.held.setdefault(position.id, [])
    if position not in held:
        _open(state, position)
        held.append(position)
    # What fills on may have been flat for a while, and nobody comes to look at what is flat.
    was_looked_at = state.now_ns - position.evaluated_at_ns <= SECOND_NS
    wait_ns = SECOND_NS if was_looked_at else 0
    state.timers.set_earlier(TimerKey(Rank.SWEEP), state.now_ns + wait_ns)
    if was_flat:
        position.evaluated_at_ns = state.now_ns
    if order.purpose is Purpose.ENTRY:
        state.tell(
            EntryFilled(
                position=position.number,
                order_id=order.id,
                quantity=order.filled_quantity,
                value_paise=order.filled_value_paise,
            )
        )
    if position.is_excess:
        values: Values = {"position": position.number, "contracts": position.open_quantity}
        state.alarm("more was closed than was held, the excess is closed", values)


def _open(state: State, position: Position) -> None:
    """The first contracts are held. Rules look at them within a second, or at once to get out."""
    # Both clocks start at the exchange's time of the fill, before we heard of it (T9).
    position.stop_missing_since_ns = position.held_since_ns
    position.unprotected_since_ns = position.held_since_ns
    position.evaluated_at_ns = state.now_ns
    must_leave = (
        state.halt in (HaltLevel.FLATTEN, HaltLevel.PANIC)
        or state.loss.is_confirmed
        or state.now_ns >= position.plan.close_out_ns
    )
    wait_ns = 0 if must_leave else SECOND_NS
    state.timers.set_earlier(TimerKey(Rank.SWEEP), state.now_ns + wait_ns)
    state.tell(
        PositionOpened(
            position=position.number,
            instrument=position.id,
            venue_at_ns=position.held_since_ns,
        )
    )


def _take_trigger(state: State, position: Position, order: Order) -> None:
    """A stop that triggered at the exchange is the exit; its remainder is priced like any (T2)."""
    if order.is_released or order.filled_quantity:
        exit_ = Exit(
            rule=refusals.stop_rule(position, order.trigger_paise),
            level_paise=order.trigger_paise,
            values={"by": "resting stop"},
        )
        closing.decide(state, position, exit_, price_after_ns=SECOND_NS)


def _after(state: State, order: Order) -> None:
    """Alarm, tend and close what the change of one order asks for."""
    position = state.positions[order.position]
    if order.alarm:
        order.alarm = False
        state.alarm("the broker contradicts itself", {"order": order.id, "state": order.state})
    asking.forget_settled(state, order)
    bookread.note_order(state, order)
    settle(state, position)


def settle(state: State, position: Position) -> None:
    """Ask for what the position needs now, keep its clocks, and end it when nothing is left."""
    closing.tend(state, position)
    protection.keep_clocks(state, position)
    finish(state, position)


def finish(state: State, position: Position) -> None:
    """End a position once nothing is held and nothing of it can fill any more."""
    if position.is_closed or position.is_open:
        return
    could_fill = (*position.entries, *position.strays, *position.closers)
    if any(state.orders[order_id].is_live for order_id in could_fill):
        return
    position.is_closed = True
    state.live.remove(position)
    bookread.ask_later(state, bookread.SETTLED_NS)
    limits.leave(state, position)
    for reason in ("beyond", "close_out", "entry", "price", "spike"):
        state.timers.clear(TimerKey(Rank.POSITION, position.number, reason))
    state.day.realised_net_paise += position.net_paise
    if position in state.held.get(position.id, ()):
        _close(state, position)
    elif position.fills == 0:
        entry = state.orders[position.entry]
        reason = entry.reason or entry.state.value
        state.tell(EntryEnded(position=position.number, order_id=entry.id, reason=reason))


def _close(state: State, position: Position) -> None:
    state.held[position.id].remove(position)
    charges = statement(position.charges)
    del charges["total"]
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
            net_paise=position.net_paise,
            opened_at_ns=position.opened_at_ns,
            closed_at_ns=position.closed_at_ns,
            unprotected_ns=position.unprotected_ns,
            without_stop_ns=position.without_stop_ns,
        )
    )
