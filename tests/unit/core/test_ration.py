"""The ration of a key: what others have closed is missing from the youngest, and no one closes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.ration import missing_of

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
