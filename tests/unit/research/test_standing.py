"""What people read against what is traded on: every difference is found, and nothing else."""

import pytest

from holdfast.core.engine import Books
from holdfast.domain.order import OrderId
from holdfast.research.standing import differences
from holdfast.store import rows
from holdfast.store.fold import Rows, fold
from tests.support.trades import a_day


def written() -> tuple[list[rows.Order], list[rows.Position]]:
    """The projections of a day of two trades and of an entry that never filled."""
    held = Rows()
    for number, record in a_day():
        fold(held, number, record)
    return held.held(rows.Order), held.held(rows.Position)


def traded() -> Books:
    """The engine's books of the same day."""
    orders, positions = written()
    return Books(
        orders=tuple((OrderId(one.order_id), one.filled_quantity) for one in orders),
        positions=tuple((one.position, True) for one in positions),
    )


def test_books_that_agree_have_no_difference() -> None:
    """Orders, fills and ends of positions, the unfilled entry's too."""
    books = traded()
    assert len(books.positions) == 3
    assert differences(books, *written()) == []


ORDERS, POSITIONS = traded().orders, traded().positions
NAME, FILLED = ORDERS[0]
DIFFERENT = {
    "an order less": (
        Books(orders=ORDERS[1:], positions=POSITIONS),
        f"order {NAME}: written, but not traded on",
    ),
    "an order more": (
        Books(orders=(*ORDERS, (OrderId("X"), 0)), positions=POSITIONS),
        "order X: traded on, but not written",
    ),
    "a fill less": (
        Books(orders=((NAME, FILLED - 1), *ORDERS[1:]), positions=POSITIONS),
        f"order {NAME}: {FILLED} filled as written, {FILLED - 1} as traded on",
    ),
    "a position more": (
        Books(orders=ORDERS, positions=(*POSITIONS, (9, False))),
        "position 9: traded on, but not written",
    ),
    "a position still held": (
        Books(orders=ORDERS, positions=((1, False), *POSITIONS[1:])),
        "position 1: ended as written, open as traded on",
    ),
}


@pytest.mark.proves("TRK-3", "REC-1")
@pytest.mark.parametrize("kind", DIFFERENT)
def test_each_difference_is_found_and_named(kind: str) -> None:
    """One at a time: an order, its fills, a position, its end."""
    books, text = DIFFERENT[kind]
    assert differences(books, *written()) == [text]
