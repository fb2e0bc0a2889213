"""Requests about orders: each leaves once, is watched, and repeated only where that is safe."""

import pytest

from holdfast.core.orders import asking
from holdfast.core.orders.asking import LOOK_NS, READ_AFTER_NS, REPEAT_AFTER_NS
from holdfast.core.orders.ids import OrderReason
from holdfast.core.orders.order import GIVE_UP_AFTER_NS, Order
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import State
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.command import AnyCommand, CancelOrder, FindOrder, ModifyOrder, PlaceOrder
from holdfast.domain.event import Action, Outcome
from holdfast.domain.instrument import Product
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderRow,
    OrderState,
    OrderTerms,
    OrderType,
    Purpose,
    Refusal,
    Side,
)
from tests.support.by_hand import NOW, a_position, held, ready_state
from tests.support.desk import CALL

LIMIT = OrderTerms(
    instrument=CALL.id,
    product=Product.INTRADAY,
    side=Side.SELL,
    order_type=OrderType.LIMIT,
    quantity=65,
    limit_paise=9_000,
)
KEY = TimerKey(Rank.ORDER, 1, "SSIM001261120-X0001-1-0")


def sent() -> tuple[State, Order]:
    """An exit order that has just left; nothing else waits."""
    position = a_position()
    state = held(ready_state(), position)
    order = asking.place(state, position, OrderReason(Purpose.EXIT, 1, 1), terms=LIMIT)
    state.out.commands.clear()
    return state, order


def resting() -> tuple[State, Order]:
    """The same, seen at the broker."""
    state, order = sent()
    row = OrderRow(
        order_id=order.id,
        broker_id=BrokerOrderId("B1"),
        status=BrokerStatus.WORKING,
        terms=LIMIT,
        filled_quantity=0,
        filled_value_paise=0,
        venue_at_ns=NOW,
    )
    order.fold_row(row, is_read=False, at_ns=NOW)
    asking.forget_settled(state, order)
    return state, order


def later(state: State, after_ns: int) -> list[AnyCommand]:
    """Go on in time, and forget what was asked before."""
    state.now_ns = NOW + after_ns
    state.out.commands.clear()
    return state.out.commands


def due_after(state: State) -> int | None:
    """In how many nanoseconds the order is looked at, `None` when it is not."""
    deadline_ns = state.timers.deadline_ns
    if deadline_ns is None:
        return None
    assert state.timers.pop_due(deadline_ns) == KEY
    return deadline_ns - state.now_ns


def test_the_pace_is_that_of_the_rules() -> None:
    """Looked for every half second (T3), read at one second, repeated at two (T2)."""
    assert LOOK_NS * 2 == SECOND_NS == READ_AFTER_NS
    assert REPEAT_AFTER_NS - READ_AFTER_NS == SECOND_NS


def test_a_placement_leaves_under_the_id_of_its_reason() -> None:
    """With the position's fill count, and it is watched for a second."""
    state = ready_state()
    position = a_position(number=7)
    order = asking.place(state, position, OrderReason(Purpose.STOP, 7, 3), terms=LIMIT)
    assert state.out.commands == [
        PlaceOrder(order_id=order.id, purpose=Purpose.STOP, position=7, terms=LIMIT, fills_seen=1)
    ]
    assert (order.id, order.state) == ("SSIM001261120-S0007-3-0", OrderState.SENT)
    assert state.orders == {order.id: order}
    assert state.timers.deadline_ns == NOW + READ_AFTER_NS


@pytest.mark.proves("PLC-4")
def test_no_id_is_used_twice() -> None:
    """A second placement for one reason is a bug of ours, never an order."""
    state, _ = sent()
    with pytest.raises(AssertionError, match="already sent"):
        asking.place(state, a_position(), OrderReason(Purpose.EXIT, 1, 1), terms=LIMIT)


def test_modifications_and_cancels_name_the_brokers_number() -> None:
    """Each is one command, watched for a second; without the number neither may be asked."""
    state, order = resting()
    asking.modify(state, order, LIMIT)
    assert state.out.commands == [
        ModifyOrder(
            order_id=order.id,
            broker_id=BrokerOrderId("B1"),
            terms=LIMIT,
            position=1,
            fills_seen=1,
        )
    ]
    assert due_after(state) == READ_AFTER_NS
    asking.cancel(state, order)
    assert state.out.commands[1:] == [CancelOrder(order_id=order.id, broker_id=BrokerOrderId("B1"))]
    assert due_after(state) == READ_AFTER_NS
    state, order = sent()
    with pytest.raises(AssertionError):
        asking.cancel(state, order)
    with pytest.raises(AssertionError):
        asking.modify(state, order, LIMIT)


def test_a_search_is_repeated_every_half_second() -> None:
    """An order that was sent and not heard of is looked for; nothing else is asked (T3)."""
    state, order = sent()
    assert due_after(state) == READ_AFTER_NS
    for wait_ns in (SECOND_NS, 2 * SECOND_NS, 9 * SECOND_NS):
        commands = later(state, wait_ns)
        asking.chase(state, order, order.terms)
        assert commands == [FindOrder(order_id=order.id)]
        assert due_after(state) == LOOK_NS


def test_an_order_that_ended_or_rests_is_not_chased() -> None:
    """A watch that ran out late asks nothing."""
    state, order = resting()
    asking.chase(state, order, order.terms)
    order.fail(Action.PLACE, Outcome.REFUSED, at_ns=NOW)
    order.state = OrderState.REJECTED
    asking.chase(state, order, order.terms)
    assert (state.out.commands, due_after(state)) == ([], None)


@pytest.mark.proves("T2", "T3")
@pytest.mark.parametrize(
    ("waited_ns", "expected"),
    [
        (REPEAT_AFTER_NS - 1, FindOrder),
        (REPEAT_AFTER_NS, ModifyOrder),
        (GIVE_UP_AFTER_NS - 1, ModifyOrder),
        (GIVE_UP_AFTER_NS, FindOrder),
    ],
)
def test_a_modification_is_read_then_repeated_then_given_up(
    waited_ns: int, expected: type[AnyCommand]
) -> None:
    """Read by id, repeated at two seconds, left to its owner at four (T2)."""
    state, order = resting()
    asking.modify(state, order, LIMIT)
    commands = later(state, waited_ns)
    asking.chase(state, order, order.terms)
    assert [type(command) for command in commands] == [expected]
    assert asking.is_given_up(state, order) is (waited_ns >= GIVE_UP_AFTER_NS)


@pytest.mark.proves("T3")
def test_a_cancel_is_repeated_for_ever() -> None:
    """It is never given up: what it names must end."""
    state, order = resting()
    asking.cancel(state, order)
    for wait_ns in (3 * SECOND_NS, 30 * SECOND_NS):
        commands = later(state, wait_ns)
        asking.chase(state, order, order.terms)
        assert commands == [CancelOrder(order_id=order.id, broker_id=BrokerOrderId("B1"))]
        assert not asking.is_given_up(state, order)


@pytest.mark.parametrize("action", [Action.MODIFY, Action.CANCEL])
def test_silence_is_answered_by_one_repeat_at_once_and_then_by_reading(action: Action) -> None:
    """A line that fails at once must not spend the day's requests (T3)."""
    state, order = resting()
    if action is Action.MODIFY:
        asking.modify(state, order, LIMIT)
        expected: type[AnyCommand] = ModifyOrder
    else:
        asking.cancel(state, order)
        expected = CancelOrder
    asked = []
    for _ in range(3):
        commands = later(state, 0)
        order.fail(action, Outcome.UNANSWERED, at_ns=NOW)
        asking.take_silence(state, order, order.terms)
        asked += [type(command) for command in commands]
    assert asked == [expected, FindOrder, FindOrder]
    commands = later(state, REPEAT_AFTER_NS)
    asking.chase(state, order, order.terms)
    assert [type(command) for command in commands] == [expected]


def test_an_unanswered_placement_is_looked_for_at_once() -> None:
    """And never sent again."""
    state, order = sent()
    order.fail(Action.PLACE, Outcome.UNANSWERED, at_ns=NOW)
    asking.take_silence(state, order, order.terms)
    assert state.out.commands == [FindOrder(order_id=order.id)]


def test_a_late_silence_of_a_modification_repeats_the_cancel_that_followed() -> None:
    """The newest request is what is wanted."""
    state, order = resting()
    asking.modify(state, order, LIMIT)
    asking.cancel(state, order)
    commands = later(state, SECOND_NS)
    order.fail(Action.MODIFY, Outcome.UNANSWERED, at_ns=NOW)
    asking.take_silence(state, order, order.terms)
    assert [type(command) for command in commands] == [CancelOrder]


def test_an_order_held_back_may_be_asked_again_when_its_time_comes() -> None:
    """Not an instant before, and its watch wakes us then."""
    state, order = resting()
    asking.hold(state, order, SECOND_NS)
    assert not asking.may_ask(state, order)
    asking.forget_settled(state, order)
    assert due_after(state) == SECOND_NS
    later(state, SECOND_NS - 1)
    assert not asking.may_ask(state, order)
    later(state, SECOND_NS)
    assert asking.may_ask(state, order)
    asking.chase(state, order, order.terms)
    asking.forget_settled(state, order)
    assert due_after(state) is None


def test_a_watch_that_ends_before_the_hold_waits_for_its_end() -> None:
    """A question in between set the watch anew; the hold is not forgotten."""
    state, order = resting()
    asking.hold(state, order, SECOND_NS)
    asking.watch(state, order, LOOK_NS)
    assert due_after(state) == LOOK_NS
    later(state, LOOK_NS)
    asking.chase(state, order, order.terms)
    assert due_after(state) == SECOND_NS - LOOK_NS


def test_an_order_in_question_is_held_back_from_when_it_is_answered() -> None:
    """Its search goes on as before; a hold of no time is none."""
    state, order = resting()
    asking.hold(state, order, 0)
    assert due_after(state) is None
    asking.modify(state, order, LIMIT)
    order.fail(Action.MODIFY, Outcome.REFUSED, Refusal.NOT_MODIFIABLE, at_ns=NOW)
    assert due_after(state) == READ_AFTER_NS
    asking.hold(state, order, SECOND_NS)
    assert (order.held_until_ns, due_after(state)) == (NOW + SECOND_NS, None)


def test_an_order_in_flight_stays_watched_until_it_settles_or_ends() -> None:
    """Forgetting is for what waits for nothing."""
    state, order = sent()
    asking.forget_settled(state, order)
    assert due_after(state) == READ_AFTER_NS
    asking.watch(state, order, SECOND_NS)
    order.fail(Action.PLACE, Outcome.REFUSED, at_ns=NOW)
    asking.forget_settled(state, order)
    assert due_after(state) is None
