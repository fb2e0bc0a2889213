"""Order ids: a pure function of the reason, short enough, and readable again."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.orders.ids import (
    ATTEMPT_MAX,
    LENGTH_MAX,
    POSITION_MAX,
    SLICE_MAX,
    OrderReason,
    order_id,
    read_order_id,
)
from holdfast.domain.order import Purpose

LONGEST_PREFIX = "SSIM001261120"

reasons = st.builds(
    OrderReason,
    st.sampled_from(Purpose),
    st.integers(1, POSITION_MAX),
    st.integers(1, ATTEMPT_MAX),
    st.integers(0, SLICE_MAX),
)


def test_the_longest_id_fits_the_broker() -> None:
    """The largest numbers under the longest prefix use exactly the 25 characters allowed."""
    longest = order_id(
        LONGEST_PREFIX, OrderReason(Purpose.ENTRY, POSITION_MAX, ATTEMPT_MAX, SLICE_MAX)
    )
    print(f"longest id: {longest} ({len(longest)} characters)")  # noqa: T201 decisions 2.6
    assert longest == "SSIM001261120-E9999-999-9"
    assert len(longest) == LENGTH_MAX


@pytest.mark.proves("GWL-3", "I-32", "RACE-7")
@given(reason=reasons)
def test_an_id_tells_its_reason_and_nothing_else_is_one(reason: OrderReason) -> None:
    """Equal reasons give equal ids, an id gives its reason back, and its alphabet is allowed."""
    text = order_id(LONGEST_PREFIX, reason)
    assert text == order_id(LONGEST_PREFIX, reason)
    assert read_order_id(LONGEST_PREFIX, text) == reason
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,25}", text)


@pytest.mark.proves("GWL-3", "I-32", "RACE-7")
@given(one=reasons, other=reasons)
def test_ids_of_different_reasons_differ(one: OrderReason, other: OrderReason) -> None:
    """No two reasons share an id, so no two orders of a day can."""
    same = order_id(LONGEST_PREFIX, one) == order_id(LONGEST_PREFIX, other)
    assert same == (one == other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SSIM001261120",
        "SSIM001261120-E1-1-0",
        "XSIM001261120-E0001-1-0",
        "owner-order",
        "SSIM001261120-E0000-1-0",
        "SSIM001261120-E0001-0-0",
        "SSIM001261120-E0001-01-0",
        "SSIM001261120-E0001-1-0 ",
        "SSIM001261120-E000\N{ARABIC-INDIC DIGIT ONE}-1-0",
        "SSIM001261120-A0001-1-0",
    ],
)
def test_a_foreign_id_is_not_ours(text: str) -> None:
    """An order of the owner or of another day is never taken for one of ours."""
    assert read_order_id(LONGEST_PREFIX, text) is None


@pytest.mark.parametrize(
    "reason",
    [
        OrderReason(Purpose.ENTRY, 0, 1),
        OrderReason(Purpose.ENTRY, POSITION_MAX + 1, 1),
        OrderReason(Purpose.EXIT, 1, 0),
        OrderReason(Purpose.EXIT, 1, ATTEMPT_MAX + 1),
        OrderReason(Purpose.STOP, 1, 1, SLICE_MAX + 1),
        OrderReason(Purpose.STOP, 1, 1, -1),
    ],
)
def test_numbers_that_do_not_fit_are_a_bug(reason: OrderReason) -> None:
    """An id is never cut short to fit: two reasons could then share it."""
    with pytest.raises(AssertionError):
        order_id(LONGEST_PREFIX, reason)


def test_a_prefix_that_is_too_long_is_a_bug() -> None:
    """One character more than the settings allow would not fit the broker."""
    with pytest.raises(AssertionError, match="longer than the broker takes"):
        order_id(LONGEST_PREFIX + "x", OrderReason(Purpose.EXIT, 1, ATTEMPT_MAX))
