"""The ration of a key: what others have closed is missing from the youngest, and no one closes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.engine import NOTHING, Step
from holdfast.core.ration import missing_of
from holdfast.domain.decision import HaltLevel
from holdfast.domain.order import BrokerStatus
from tests.support.desk import Desk

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
