"""The ration of a key: what others have closed is missing from the youngest, and no one closes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from holdfast.core.engine import NOTHING, Step
from holdfast.core.ration import asked_alone, check_ration, missing_of
from holdfast.domain.command import CancelOrder, ModifyOrder, ReadFunds
from holdfast.domain.decision import HaltLevel
from holdfast.domain.order import BrokerOrderId, BrokerStatus
from tests.support.desk import PUT, Desk

HELD = st.lists(st.integers(-500, 500).filter(bool), max_size=5)


@pytest.mark.proves("T4")
@pytest.mark.parametrize(
    ("held", "sold", "bought", "missing"),
    [
        ([], 65, 65, {}),
        ([(1, 195)], 0, 0, {1: 0}),
        ([(1, 195)], 65, 0, {1: 65}),
        ([(1, 195)], 260, 0, {1: 195}),
        ([(1, 195)], 0, 65, {1: 0}),
        ([(1, 195)], -65, -65, {1: 0}),
        ([(1, 195), (2, 130)], 65, 0, {1: 0, 2: 65}),
        ([(1, 195), (2, 130)], 195, 0, {1: 65, 2: 130}),
        ([(2, 130), (1, 195)], 195, 0, {1: 65, 2: 130}),
        ([(1, -195), (2, 130)], 65, 0, {1: 0, 2: 65}),
        ([(1, -195), (2, 130)], 0, 200, {1: -195, 2: 0}),
    ],
)
def test_what_others_close_is_missing_from_the_youngest_of_its_side(
    held: list[tuple[int, int]], sold: int, bought: int, missing: dict[int, int]
) -> None:
    """What is sold closes longs, what is bought shorts; what is more is nobody's of ours."""
    assert missing_of(held, sold=sold, bought=bought) == missing


@pytest.mark.proves("T4")
@given(HELD, st.integers(-900, 900), st.integers(-900, 900))
def test_the_rations_of_a_key_come_to_what_is_left_and_never_change_sides(
    quantities: list[int], sold: int, bought: int
) -> None:
    """What may still be closed of longs is what is held less what was sold, or nothing."""
    held = list(enumerate(quantities, 1))
    missing = missing_of(held, sold=sold, bought=bought)
    for number, quantity in held:
        assert 0 <= missing[number] * (1 if quantity > 0 else -1) <= abs(quantity)
    longs = sum(quantity for quantity in quantities if quantity > 0)
    shorts = -sum(quantity for quantity in quantities if quantity < 0)
    assert sum(one for one in missing.values() if one > 0) == min(max(sold, 0), longs)
    assert -sum(one for one in missing.values() if one < 0) == min(max(bought, 0), shorts)


@pytest.mark.proves("T4")
@pytest.mark.parametrize("was_filled", [True, False])
def test_with_a_part_of_the_record_gone_the_listed_book_tells_whether_too_much_is_offered(
    *, was_filled: bool
) -> None:
    """A stop whose entry seems unfilled halts once it is known that it is, and not before."""
    other = Desk()
    stop = other.hold(stop_rests=False)
    desk = Desk()
    entry = desk.enter()
    desk.acknowledge(entry.order_id)
    desk.engine.lack_some()
    desk.engine.stand(NOTHING, Step(commands=(stop,)))
    desk.restart(70)
    desk.at(71).tick()
    assert desk.state.halt is HaltLevel.NONE
    status = BrokerStatus.FILLED if was_filled else BrokerStatus.CANCELLED
    entered = desk.book_row(entry, status, filled=195 if was_filled else 0)
    desk.read_book(entered, desk.book_row(stop), seconds=74)
    assert desk.state.book.is_listed
    assert desk.state.halt is (HaltLevel.NONE if was_filled else HaltLevel.PAUSE)


@pytest.mark.proves("T4")
def test_a_tick_that_asked_in_one_instrument_alone_is_judged_there_and_forgets_no_other() -> None:
    """What is offered too much of elsewhere was found in the step that did it, and stays known."""
    desk = Desk()
    stop = desk.hold()
    state, one = desk.state, stop.terms.instrument
    state.orders[stop.order_id].most_quantity += 65
    check_ration(state, PUT.id)
    assert not state.over_offered
    check_ration(state, one)
    assert {key.instrument for key in state.over_offered} == {one}
    assert state.halt is HaltLevel.PAUSE
    check_ration(state, PUT.id)
    assert {key.instrument for key in state.over_offered} == {one}
    state.orders[stop.order_id].most_quantity -= 65
    check_ration(state)
    assert not state.over_offered


def test_a_step_that_asks_of_another_instrument_or_cancels_is_judged_as_a_whole() -> None:
    """A cancel does not say of what; words and reads ask nothing of an order."""
    desk = Desk()
    stop = desk.hold()
    terms, one = stop.terms, stop.terms.instrument
    cancel = CancelOrder(order_id=stop.order_id, broker_id=BrokerOrderId("1"))
    away = replace(terms, instrument=PUT.id)
    modify = ModifyOrder(order_id=stop.order_id, broker_id=BrokerOrderId("1"), terms=terms)
    assert asked_alone(one, [modify, ReadFunds()]) == one
    assert asked_alone(one, [modify, replace(modify, terms=away)]) is None
    assert asked_alone(one, [modify, cancel]) is None
