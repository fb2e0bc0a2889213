"""Levels: where stops, their limits and trails lie, and which prices are quiet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.risk.levels import is_beyond, stop_limit_paise
from tests.support.desk import CALL, PRICES

ROWS = [
    # name, sign, trigger, (low, high), distance bps, limit
    # 10 % of 88.00 behind it
    ("distance", 1, 8_800, (10_000, 10_000), 1_000, 7_920),
    # 20 % would be 17.60; one step less
    ("bound", 1, 8_800, (8_800, 8_800), 2_500, 7_045),
    # at or below 50 rupees: 10 rupees, one step less
    ("small", 1, 5_000, (5_000, 5_000), 2_500, 4_005),
    # the band around the highest of the minute: 140 - 40 % = 84
    ("band", 1, 10_000, (10_000, 14_000), 2_000, 8_400),
    # the band's edge above the trigger: never before the trigger
    ("tight", 1, 8_000, (8_000, 14_000), 1_000, 8_000),
    ("short", -1, 12_000, (10_000, 10_000), 1_000, 13_200),
    ("short, band", -1, 12_000, (8_000, 12_000), 2_000, 12_000),
]


@pytest.mark.parametrize(("sign", "trigger", "extremes", "bps", "limit"), [r[1:] for r in ROWS],
                         ids=[r[0] for r in ROWS])  # fmt: skip
def test_the_limit_of_a_stop(
    sign: int, trigger: int, extremes: tuple[int, int], bps: int, limit: int
) -> None:
    """Each bound in turn (T1)."""
    answer = stop_limit_paise(CALL, sign=sign, trigger_paise=trigger, extremes=extremes,
                              rules=PRICES, distance_bps=bps)  # fmt: skip
    assert answer == limit


@given(
    sign=st.sampled_from([1, -1]),
    trigger=st.integers(10, 40_000).map(lambda steps: steps * 5),
    low=st.integers(50, 200_000),
    spread=st.integers(0, 100_000),
    bps=st.integers(0, 5_000),
)
def test_a_limit_is_on_the_step_behind_the_trigger_and_inside_the_exchanges_bound(
    sign: int, trigger: int, low: int, spread: int, bps: int
) -> None:
    """For any minute: valid price, never before the trigger, never refused for its distance."""
    limit = stop_limit_paise(CALL, sign=sign, trigger_paise=trigger, extremes=(low, low + spread),
                             rules=PRICES, distance_bps=bps)  # fmt: skip
    assert limit % 5 == 0
    assert limit > 0
    assert sign * limit <= sign * trigger
    assert abs(trigger - limit) <= max(PRICES.stop_distance(trigger) - 5, 0)


@pytest.mark.proves("I-24")
@pytest.mark.parametrize(
    ("sign", "price", "beyond"),
    [(1, 8_800, True), (1, 8_805, False), (-1, 8_800, True), (-1, 8_795, False)],
)
def test_beyond_is_judged_from_the_positions_side(sign: int, price: int, *, beyond: bool) -> None:
    """A long's stop is touched from above, a short's from below; at the level counts."""
    assert is_beyond(sign, price, 8_800) is beyond
