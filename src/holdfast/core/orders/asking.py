"""Requests about orders: each leaves as one command and is remembered until it is answered.

Placements are never repeated: an unanswered one is looked for. Modifications and cancels are
absolute and name one order, so an unanswered one is repeated with the newest values (T3).
"""

from holdfast.core.books.positions import Position
from holdfast.core.orders.ids import OrderReason, order_id
from holdfast.core.orders.order import GIVE_UP_AFTER_NS, Order
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import State
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.command import CancelOrder, FindOrder, ModifyOrder, PlaceOrder
from holdfast.domain.event import Action
from holdfast.domain.order import OrderState, OrderTerms

LOOK_NS = SECOND_NS // 2
READ_AFTER_NS = SECOND_NS
REPEAT_AFTER_NS = 2 * SECOND_NS


def place(state: State, position: Position, reason: OrderReason, *, terms: OrderTerms) -> Order:
    """Send a new order under the id of its reason."""
    purpose = reason.purpose
    identity = order_id(state.settings.id_prefix, reason)
    assert identity not in state.orders, f"{identity} was already sent"
    order = Order(identity, purpose, position.number, terms)
    state.orders[identity] = order
    order.ask(Action.PLACE, terms, state.now_ns)
    state.send(
        PlaceOrder(
            order_id=identity,
            purpose=purpose,
            position=position.number,
            terms=terms,
            fills_seen=position.fills,
        )
    )
    watch(state, order, READ_AFTER_NS)
    return order


def modify(
    state: State,
    order: Order,
    terms: OrderTerms,
    *,
    is_ordinary: bool = False,
    is_repeat: bool = False,
) -> None:
    """Ask for these terms; the broker's number is known by then.

    `is_ordinary`: it only trails. `is_repeat`: it was asked for before and has not been seen.
    """
    assert order.broker_id is not None
    order.ask(Action.MODIFY, terms, state.now_ns, is_repeat=is_repeat)
    order.is_ordinary = is_ordinary
    state.send(
        ModifyOrder(
            order_id=order.id,
            broker_id=order.broker_id,
            terms=terms,
            position=order.position,
            fills_seen=state.positions[order.position].fills,
            is_ordinary=is_ordinary,
        )
    )
    watch(state, order, READ_AFTER_NS)


def cancel(state: State, order: Order) -> None:
    """Ask for the end of what is left; the broker's number is known by then."""
    assert order.broker_id is not None
    order.ask(Action.CANCEL, order.terms, state.now_ns)
    state.send(CancelOrder(order_id=order.id, broker_id=order.broker_id))
    watch(state, order, READ_AFTER_NS)


def find(state: State, order: Order) -> None:
    """Ask for the order's row."""
    state.send(FindOrder(order_id=order.id))
    watch(state, order, LOOK_NS)


def watch(state: State, order: Order, after_ns: int) -> None:
    """Come back to this order unless it settles before."""
    state.timers.set(_key(order), state.now_ns + after_ns)


def _key(order: Order) -> TimerKey:
    return TimerKey(Rank.ORDER, order.position, order.name)


def hold(state: State, order: Order, pause_ns: int) -> None:
    """Ask nothing more of a live order for a while, and come back then if it rests."""
    if pause_ns > 0:
        order.held_until_ns = state.now_ns + pause_ns
        if order.is_settled:
            watch(state, order, pause_ns)


def may_ask(state: State, order: Order) -> bool:
    """Whether a modification or cancel may leave now: nothing is in flight, nothing held back."""
    return order.may_ask(state.now_ns)


def forget(state: State, order: Order) -> None:
    """Stop watching an order."""
    state.timers.clear(_key(order))


def forget_settled(state: State, order: Order) -> None:
    """Stop watching an order that waits for nothing.

    Where a modification may still come, the order is read until the line is quiet (T3).
    """
    if not order.is_live:
        forget(state, order)
    elif may_ask(state, order):
        forget(state, order)
        if order.unseen:
            watch(state, order, READ_AFTER_NS)


def chase(state: State, order: Order, newest: OrderTerms) -> None:
    """The order's watch ran out: look for it, or repeat what may be repeated.

    `newest` are the terms that a repeated modification asks for (T3).

    A modification that was given up is not repeated: what becomes of it is its owner's decision.
    """
    if not order.is_live:
        return
    if order.is_settled:
        hold(state, order, order.held_until_ns - state.now_ns)
        if order.unseen:
            find(state, order)
        return
    is_repeatable = order.asked in (Action.MODIFY, Action.CANCEL)
    is_late = state.now_ns - order.asked_at_ns >= REPEAT_AFTER_NS
    if is_repeatable and is_late and not is_given_up(state, order):
        _repeat(state, order, newest)
    else:
        find(state, order)


def _repeat(state: State, order: Order, newest: OrderTerms) -> None:
    """Send an unanswered modification or cancel once more."""
    if order.asked is Action.MODIFY and order.state is not OrderState.CANCELLING:
        modify(state, order, newest, is_ordinary=order.is_ordinary, is_repeat=True)
    else:
        cancel(state, order)


def take_silence(state: State, order: Order, newest: OrderTerms) -> None:
    """A request went unanswered: repeat it once at once (T3), or look for the order.

    A connection that fails at once would otherwise spend every request of the day in seconds.
    """
    if order.asked in (Action.MODIFY, Action.CANCEL) and order.asked_times == 1:
        _repeat(state, order, newest)
    else:
        find(state, order)


def is_given_up(state: State, order: Order) -> bool:
    """Whether a modification has gone unseen for so long that the order is to be replaced."""
    return order.asked is Action.MODIFY and state.now_ns - order.asked_first_ns >= GIVE_UP_AFTER_NS
