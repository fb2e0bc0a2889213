"""Levels: where stops, their limits and trails lie, and which prices are quiet."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.risk.levels import (
    compile_levels,
    is_beyond,
    move_peak,
    stop_limit_paise,
    trail_level,
)
from holdfast.domain.decision import Trail
from holdfast.domain.instrument import Instrument
from holdfast.domain.order import Side
from tests.support.by_hand import NOW, a_position, plan
from tests.support.desk import CALL, PRICES, PUT

LIMITS = [
    # name, sign, trigger, (low, high), distance bps, limit
    # 10 % of 88.00 behind it; 10 % of 88.05 is 8.805, of which paise count
    ("distance", 1, 8_800, (10_000, 10_000), 1_000, 7_920),
    ("distance, rounded towards the trigger", 1, 8_805, (10_000, 10_000), 1_000, 7_925),
    # of a large premium, where a basis point counts
    ("distance, large", 1, 1_000_000, (1_000_000, 1_000_000), 1_000, 900_000),
    # 20 % would be 17.60; one step less
    ("bound", 1, 8_800, (8_800, 8_800), 2_500, 7_045),
    # at or below 50 rupees: 10 rupees, one step less
    ("small", 1, 5_000, (5_000, 5_000), 2_500, 4_005),
    # the band around the highest of the minute: 140 - 40 % = 84
    ("band", 1, 10_000, (10_000, 14_000), 2_000, 8_400),
    # its edge at 84.03 lies between two steps: inside it
    ("band, rounded inside", 1, 10_000, (10_000, 14_005), 2_000, 8_405),
    # the band's edge above the trigger: never before the trigger
    ("tight", 1, 8_000, (8_000, 14_000), 1_000, 8_000),
    # a trigger of two steps: a price of one step is the least there is
    ("least", 1, 10, (10, 10), 2_500, 10),
    ("none", 1, 8_800, (8_800, 8_800), 0, 8_800),
    ("short", -1, 12_000, (10_000, 10_000), 1_000, 13_200),
    ("short, rounded towards the trigger", -1, 12_005, (10_000, 10_000), 1_000, 13_205),
    ("short, bound", -1, 12_000, (12_000, 12_000), 2_500, 14_395),
    ("short, band", -1, 12_000, (9_000, 12_000), 2_000, 12_600),
    ("short, band, rounded inside", -1, 12_000, (9_005, 12_000), 2_000, 12_605),
    ("short, tight", -1, 12_000, (8_000, 12_000), 2_000, 12_000),
]


@pytest.mark.parametrize(
    ("sign", "trigger", "extremes", "bps", "limit"),
    [row[1:] for row in LIMITS],
    ids=[row[0] for row in LIMITS],
)
def test_the_limit_of_a_stop(
    sign: int, trigger: int, extremes: tuple[int, int], bps: int, limit: int
) -> None:
    """Each bound in turn (T1)."""
    answer = stop_limit_paise(
        CALL, sign=sign, trigger_paise=trigger, extremes=extremes, rules=PRICES, distance_bps=bps
    )
    assert answer == limit


def test_a_distance_smaller_than_a_step_leaves_the_limit_at_the_trigger() -> None:
    """Where the exchange allows less than a step, nothing is behind it, and nothing before it."""
    tight = msgspec.structs.replace(PRICES, stop_low_paise=3)
    for sign in (1, -1):
        answer = stop_limit_paise(
            CALL, sign=sign, trigger_paise=100, extremes=(100, 100), rules=tight, distance_bps=2_000
        )
        assert answer == 100


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
    limit = stop_limit_paise(
        CALL,
        sign=sign,
        trigger_paise=trigger,
        extremes=(low, low + spread),
        rules=PRICES,
        distance_bps=bps,
    )
    assert limit % 5 == 0
    assert limit > 0
    assert sign * limit <= sign * trigger
    assert abs(trigger - limit) <= max(PRICES.stop_distance(trigger) - 5, 0)


@pytest.mark.proves("I-24")
@pytest.mark.parametrize(
    ("sign", "price", "beyond"),
    [
        (1, 8_795, True),
        (1, 8_800, True),
        (1, 8_805, False),
        (-1, 8_805, True),
        (-1, 8_800, True),
        (-1, 8_795, False),
    ],
)
def test_beyond_is_judged_from_the_positions_side(sign: int, price: int, *, beyond: bool) -> None:
    """A long's stop is touched from above, a short's from below; at the level counts."""
    assert is_beyond(sign, price, 8_800) is beyond


# -- trailing

TRAILS = [
    # side, peak, level; armed at 108 (92), 6 % behind
    (Side.BUY, None, None),
    (Side.BUY, 10_799, None),
    (Side.BUY, 10_800, 10_150),  # 101.52
    (Side.BUY, 100_000, 94_000),
    (Side.SELL, None, None),
    (Side.SELL, 9_201, None),
    (Side.SELL, 9_200, 9_755),  # 97.52
    (Side.SELL, 8_345, 8_850),  # 88.457
]


def trailing(side: Side) -> Trail:
    """Armed 8 % in the position's favour, 6 % behind the peak."""
    return Trail(arm_paise=10_800 if side is Side.BUY else 9_200, giveback_bps=600)


@pytest.mark.parametrize(("side", "peak", "level"), TRAILS)
def test_the_trail_follows_the_peak_once_it_is_armed(
    side: Side, peak: int | None, level: int | None
) -> None:
    """At the arming price and not a paisa before; the level lies on the step, rather too far."""
    position = a_position(side=side, exits=plan(trail=trailing(side)))
    position.peak_paise = peak
    assert trail_level(position) == level


def test_without_a_trail_nothing_follows() -> None:
    """Whatever the peak."""
    position = a_position(exits=plan(trail=None))
    position.peak_paise = 100_000
    assert trail_level(position) is None


@pytest.mark.proves("I-24")
@pytest.mark.parametrize("instrument", [CALL, PUT], ids=["call", "put"])
@pytest.mark.parametrize(
    ("side", "steps"),
    [
        # closing price, peak afterwards, stop afterwards, whether it moved
        (
            Side.BUY,
            [
                (9_900, 9_900, 8_800, False),
                (9_800, 9_900, 8_800, False),
                (10_800, 10_800, 10_150, True),
                (10_800, 10_800, 10_150, False),
                (10_801, 10_801, 10_150, False),
                (11_000, 11_000, 10_340, True),
                (10_500, 11_000, 10_340, False),
            ],
        ),
        (
            Side.SELL,
            [
                (10_100, 10_100, 11_200, False),
                (10_200, 10_100, 11_200, False),
                (9_200, 9_200, 9_755, True),
                (9_200, 9_200, 9_755, False),
                (9_199, 9_199, 9_755, False),
                (9_000, 9_000, 9_540, True),
                (9_500, 9_000, 9_540, False),
            ],
        ),
    ],
)
def test_a_new_peak_moves_the_stop_and_only_closer(
    side: Side, steps: list[tuple[int, int, int, bool]], instrument: Instrument
) -> None:
    """A bought put gains as a bought call does, when its premium rises: the side alone decides."""
    stop = 8_800 if side is Side.BUY else 11_200
    exits = plan(stop=stop, trail=trailing(side))
    position = a_position(side=side, instrument=instrument, exits=exits)
    seen = []
    for closing, *_ in steps:
        moved = move_peak(position, closing)
        seen.append((closing, position.peak_paise, position.stop_paise, moved))
    assert seen == steps


def test_a_trail_wider_than_the_stop_does_not_loosen_it() -> None:
    """A trail of 30 percent from 108 lies below the stop at 88: the stop stays."""
    position = a_position(exits=plan(trail=Trail(arm_paise=10_800, giveback_bps=3_000)))
    assert move_peak(position, 10_800) is False
    assert (position.peak_paise, position.stop_paise) == (10_800, 8_800)
    assert move_peak(position, 12_575) is False
    assert move_peak(position, 12_580) is True
    assert position.stop_paise == 8_805


@pytest.mark.proves("I-13")
@given(
    sign=st.sampled_from([1, -1]),
    moves=st.lists(st.integers(-400, 400), min_size=1, max_size=80),
    arm_bps=st.integers(50, 3_000),
    giveback_bps=st.integers(50, 3_000),
)
def test_on_any_path_the_peak_is_reached_and_the_level_only_tightens(
    sign: int, moves: list[int], arm_bps: int, giveback_bps: int
) -> None:
    """The peak is the best price shown, the trail is armed only past its arm, no stop loosens."""
    side = Side.BUY if sign > 0 else Side.SELL
    trail = Trail(arm_paise=10_000 + sign * arm_bps, giveback_bps=giveback_bps)
    stop = 8_800 if sign > 0 else 11_200
    position = a_position(side=side, exits=plan(stop=stop, target=None, trail=trail))
    price, best = 10_000, None
    for move in moves:
        price = max(price + move, 5)
        best = price if best is None else sign * max(sign * best, sign * price)
        before = position.stop_paise
        moved = move_peak(position, price)
        assert position.peak_paise == best
        assert sign * best >= sign * price
        assert sign * position.stop_paise >= sign * before
        assert moved is (position.stop_paise != before)
        assert not moved or sign * best >= sign * trail.arm_paise
        assert moved is False or position.stop_paise == trail_level(position)


# -- quiet prices

QUIET = [
    # side, peak, target, floor, ceiling
    # for a long a bid above the floor and up to the ceiling is quiet
    (Side.BUY, 11_000, 12_500, (8_800, 11_000)),
    (Side.BUY, 11_000, None, (8_800, 11_000)),
    (Side.BUY, 12_499, 12_500, (8_800, 12_499)),
    (Side.BUY, 12_600, 12_500, (8_800, 12_499)),
    # for a short an ask below the ceiling and down to the floor
    (Side.SELL, 9_000, 7_500, (9_000, 8_800)),
    (Side.SELL, 9_000, None, (9_000, 8_800)),
    (Side.SELL, 7_501, 7_500, (7_501, 8_800)),
    (Side.SELL, 7_400, 7_500, (7_501, 8_800)),
]


@pytest.mark.parametrize(("side", "peak", "target", "bounds"), QUIET)
def test_quiet_prices_end_where_a_rule_could_fire(
    side: Side, peak: int, target: int | None, bounds: tuple[int, int]
) -> None:
    """At the stop, past the peak, or at the target, whichever is nearest."""
    position = a_position(side=side, exits=plan(target=target))
    position.peak_paise = peak
    compile_levels(position)
    assert (position.floor_paise, position.ceiling_paise) == bounds


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("case", ["no peak", "a spike", "a closing side beyond the stop"])
def test_nothing_is_quiet_while_something_is_waited_for(side: Side, case: str) -> None:
    """Neither before the first closing price nor during a wait: no price lies in between."""
    position = a_position(side=side)
    position.peak_paise = None if case == "no peak" else 10_000
    position.spike_at_ns = NOW if case == "a spike" else None
    position.beyond_since_ns = NOW if case == "a closing side beyond the stop" else None
    compile_levels(position)
    assert (position.floor_paise, position.ceiling_paise) == (1, 0)
