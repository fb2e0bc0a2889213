"""Orders taken over by their id: numbers only go up, and nothing is opened without a plan."""

import pytest
from msgspec.structs import replace

from holdfast.core import adoption
from holdfast.core.orders.ids import OrderReason, order_id
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.decision import Direction
from holdfast.domain.event import Action
from holdfast.domain.instrument import Instrument, Product
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderState,
    OrderTerms,
    OrderType,
    Purpose,
    Side,
)
from tests.support.by_hand import NOW, a_position, held, ready_state
from tests.support.desk import CALL, NIFTY, PUT, settings


def a_row(
    reason: OrderReason, side: Side = Side.SELL, *, instrument: Instrument = CALL, filled: int = 0
) -> OrderRow:
    terms = OrderTerms(
        instrument=instrument.id,
        product=Product.INTRADAY,
        side=side,
        order_type=OrderType.LIMIT,
        quantity=65,
        limit_paise=10_000,
    )
    return OrderRow(
        order_id=order_id(settings().id_prefix, reason),
        broker_id=BrokerOrderId("7"),
        status=BrokerStatus.WORKING,
        terms=terms,
        filled_quantity=filled,
        filled_value_paise=filled * 9_000,
        venue_at_ns=NOW - 5,
    )


@pytest.mark.proves("T21")
@pytest.mark.parametrize(
    ("purpose", "attempt", "stops", "exits"),
    [
        (Purpose.STOP, 3, 3, 1),
        (Purpose.STOP, 1, 2, 1),
        (Purpose.EXIT, 4, 2, 4),
        (Purpose.EXIT, 1, 2, 1),
    ],
)
def test_attempts_follow_the_highest_that_is_known(
    purpose: Purpose, attempt: int, stops: int, exits: int
) -> None:
    """T21: of each purpose by itself; a lower one changes nothing."""
    position = a_position()
    position.stop_attempts, position.exit_attempts = 2, 1
    state = held(ready_state(), position)
    order = adoption.take_over(state, a_row(OrderReason(purpose, 1, attempt)))
    assert order is not None
    assert (position.stop_attempts, position.exit_attempts) == (stops, exits)
    assert (order.state, order.asked, order.sent_at_ns) == (OrderState.SENT, Action.PLACE, NOW - 5)
    assert state.orders[order.id] is order


def test_the_first_closer_stays_while_it_lives() -> None:
    """A second one is a stray; after the first's end it is the closer."""
    position = a_position()
    state = held(ready_state(), position)
    first = adoption.take_over(state, a_row(OrderReason(Purpose.STOP, 1, 1)))
    second = adoption.take_over(state, a_row(OrderReason(Purpose.EXIT, 1, 1)))
    assert first is not None
    assert second is not None
    assert (position.closers, position.strays) == ([first.id], [second.id])
    first.state = OrderState.CANCELLED
    third = adoption.take_over(state, a_row(OrderReason(Purpose.EXIT, 1, 2)))
    assert third is not None
    assert position.strays == [second.id, third.id], "the second could still fill beside it"
    second.state = third.state = OrderState.CANCELLED
    fourth = adoption.take_over(state, a_row(OrderReason(Purpose.EXIT, 1, 3)))
    assert fourth is not None
    assert position.closers == [fourth.id]


@pytest.mark.parametrize(
    ("filled", "reference"), [(0, 10_000), (65, 9_000)], ids=["limit", "average"]
)
@pytest.mark.parametrize(("instrument", "direction"), [(CALL, Direction.UP), (PUT, Direction.DOWN)])
def test_an_unknown_entry_opens_a_position_with_the_settings_plan(
    filled: int, reference: int, instrument: Instrument, direction: Direction
) -> None:
    """Around what was paid, or would be at worst; it is closed in time, too."""
    state = ready_state()
    row = a_row(OrderReason(Purpose.ENTRY, 6, 1), Side.BUY, instrument=instrument, filled=filled)
    order = adoption.take_over(state, row)
    assert order is not None
    position = state.positions[6]
    assert position.plan.stop_paise == reference * 88 // 100
    assert position.intent.signal.direction is direction
    assert position.intent.signal.underlying == NIFTY.id
    assert (state.day.positions, state.live) == (6, [position])
    key = TimerKey(Rank.POSITION, 6, "close_out")
    assert state.timers._at[key] == position.plan.close_out_ns  # noqa: SLF001


@pytest.mark.parametrize(
    "row",
    [
        a_row(OrderReason(Purpose.STOP, 9, 1)),
        a_row(OrderReason(Purpose.ENTRY, 9, 1), Side.SELL),
        replace(
            a_row(OrderReason(Purpose.ENTRY, 9, 1), Side.BUY), order_id=OrderId("by the owner")
        ),
        a_row(
            OrderReason(Purpose.ENTRY, 9, 1),
            Side.BUY,
            instrument=replace(CALL, security_id=49_999, id="NSE_FNO:49999"),
        ),
    ],
    ids=["no position", "a short", "no id of ours", "not in the master"],
)
def test_what_belongs_to_nothing_is_not_taken_over(row: OrderRow) -> None:
    """Nothing is opened, nothing linked."""
    state = ready_state()
    assert adoption.take_over(state, row) is None
    assert (state.positions, state.orders, state.live) == ({}, {}, [])


def test_a_second_order_is_kept_beside_the_first() -> None:
    """Under a name of its own, with the id that the broker knows it by."""
    position = a_position()
    state = held(ready_state(), position)
    row = a_row(OrderReason(Purpose.STOP, 1, 1))
    first = adoption.take_over(state, row)
    assert first is not None
    second = adoption.take_second(state, first, replace(row, broker_id=BrokerOrderId("8")))
    assert second.id == first.id
    assert second.name == f"{first.id}/8"
    assert position.strays == [second.name]
    assert state.orders == {first.name: first, second.name: second}


@pytest.mark.proves("T23")
def test_each_slice_of_a_lost_entry_belongs_to_its_position() -> None:
    """The first opens it, the next are pieces of the same."""
    state = ready_state()
    rows = [a_row(OrderReason(Purpose.ENTRY, 6, 1, number), Side.BUY) for number in (0, 1)]
    for row in rows:
        assert adoption.take_over(state, row) is not None
    assert state.positions[6].entries == [row.order_id for row in rows]
    assert len(state.live) == 1


@pytest.mark.proves("T23", "T4")
def test_slices_of_a_lost_stop_close_together_as_far_as_there_is_room() -> None:
    """What would close more than is held is a stray."""
    position = a_position(quantity=130)
    state = held(ready_state(), position)
    rows = [a_row(OrderReason(Purpose.STOP, 1, 1, number)) for number in range(3)]
    for row in rows:
        assert adoption.take_over(state, row) is not None
    assert position.closers == [row.order_id for row in rows[:2]]
    assert position.strays == [rows[2].order_id]
    assert position.stop_attempts == 1
