"""Order ids: a pure function of why an order exists, so that it can be found and understood.

The id finds; the broker does not de-duplicate (T21). Shape, at most 25 characters of
`[A-Za-z0-9_-]`: prefix, purpose letter, position number, attempt, slice.
"""

import re
from typing import Final, NamedTuple

from holdfast.domain.order import OrderId, Purpose

LENGTH_MAX: Final = 25
POSITION_MAX: Final = 9_999
ATTEMPT_MAX: Final = 999
SLICE_MAX: Final = 9

_TAIL: Final = re.compile(r"-([EXS])(?!0000)([0-9]{4})-([1-9][0-9]{0,2})-([0-9])")
"""What `order_id` writes, and nothing else: another writing of the same numbers is not ours."""


class OrderReason(NamedTuple):
    """Why an order exists. `slice_number` counts the pieces of a large order from 0."""

    purpose: Purpose
    position: int
    attempt: int
    slice_number: int = 0


def order_id(prefix: str, reason: OrderReason) -> OrderId:
    """The id for a reason: equal reasons give equal ids. Asserts that the numbers fit."""
    assert 0 < reason.position <= POSITION_MAX, f"position {reason.position} does not fit an id"
    assert 0 < reason.attempt <= ATTEMPT_MAX, f"attempt {reason.attempt} does not fit an id"
    assert 0 <= reason.slice_number <= SLICE_MAX, "slice does not fit an id"
    text = (
        f"{prefix}-{reason.purpose.value}{reason.position:04d}"
        f"-{reason.attempt}-{reason.slice_number}"
    )
    assert len(text) <= LENGTH_MAX, f"{text} is longer than the broker takes"
    return OrderId(text)


def read_order_id(prefix: str, text: str) -> OrderReason | None:
    """What an id found in a broker's book tells, `None` when it is not one of ours."""
    if not text.startswith(prefix):
        return None
    match = _TAIL.fullmatch(text[len(prefix) :])
    if match is None:
        return None
    letter, position, attempt, slice_number = match.groups()
    return OrderReason(Purpose(letter), int(position), int(attempt), int(slice_number))
