"""The book of one instrument."""

import pytest

from holdfast.domain.order import Side
from holdfast.exchange.book import Book
from tests.unit.exchange.floor import ASKS, BIDS, at, told

FIVE = tuple((10_005 + 5 * level, 65) for level in range(5))


def book(**changes: object) -> Book:
    """A book that was told the usual levels at the open."""
    made = Book()
    made.tell(told(0, **changes))  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize(
    ("side", "quantity", "limit", "traded", "value"),
    [
        (Side.BUY, 65, 10_005, 65, 65 * 10_005),
        (Side.BUY, 65, 10_004, 0, 0),
        (Side.BUY, 200, 10_005, 130, 130 * 10_005),
        (Side.BUY, 200, 10_010, 200, 130 * 10_005 + 70 * 10_010),
        (Side.BUY, 1_000, None, 390, 130 * 10_005 + 260 * 10_010),
        (Side.SELL, 65, 9_995, 65, 65 * 9_995),
        (Side.SELL, 65, 9_996, 0, 0),
        (Side.SELL, 200, 9_990, 200, 130 * 9_995 + 70 * 9_990),
        (Side.SELL, 1_000, None, 390, 130 * 9_995 + 260 * 9_990),
    ],
)
def test_an_order_takes_levels_within_its_limit_at_their_prices(
    side: Side, quantity: int, limit: int | None, traded: int, value: int
) -> None:
    """Best first, and no more than is offered."""
    assert book().take(side, quantity=quantity, limit_paise=limit) == (traded, value)


def test_what_was_taken_is_gone_until_the_next_tick() -> None:
    """And the sides do not touch each other."""
    made = book()
    made.take(Side.BUY, quantity=100, limit_paise=10_005)
    assert made.take(Side.BUY, quantity=100, limit_paise=10_005) == (30, 30 * 10_005)
    assert made.take(Side.SELL, quantity=130, limit_paise=9_995) == (130, 130 * 9_995)
    made.tell(told(1))
    assert made.take(Side.BUY, quantity=100, limit_paise=10_005) == (100, 100 * 10_005)


def test_a_level_told_twice_is_not_taken_twice() -> None:
    """A tape may repeat a level; what was taken at its price is taken from both."""
    made = book(asks=((10_005, 65), (10_005, 65)))
    assert made.take(Side.BUY, quantity=200, limit_paise=10_005) == (65, 65 * 10_005)


@pytest.mark.parametrize(
    ("taken", "asks", "swept"),
    [(389, ASKS, False), (390, ASKS, True), (0, ASKS, False), (0, (), False)],
)
def test_a_side_is_swept_when_we_took_all_of_it(
    taken: int, asks: tuple[tuple[int, int], ...], *, swept: bool
) -> None:
    """A side that offered nothing was not swept: nobody is there."""
    made = book(asks=asks)
    made.take(Side.BUY, quantity=taken, limit_paise=None)
    assert made.is_swept(Side.BUY) is swept


@pytest.mark.parametrize(
    ("side", "price", "ahead"),
    [
        (Side.SELL, 10_005, 65),
        (Side.SELL, 10_000, 0),  # better than all
        (Side.SELL, 10_007, 0),  # between two levels
        (Side.SELL, 10_025, 65),  # the deepest told
        (Side.SELL, 10_030, None),  # deeper: nobody knows
        (Side.BUY, 9_995, 130),
        (Side.BUY, 9_990, 260),
        (Side.BUY, 9_985, 0),  # two levels are the whole book
        (Side.BUY, 10_000, 0),
    ],
)
def test_the_queue_ahead_is_what_the_level_was_told_to_hold(
    side: Side, price: int, ahead: int | None
) -> None:
    """On the order's own side of the book."""
    assert book(asks=FIVE, bids=BIDS).ahead(side, price) == ahead


@pytest.mark.parametrize(("age_s", "fresh"), [(0, True), (5, True), (5.001, False)])
def test_a_book_is_fresh_up_to_its_age(age_s: float, *, fresh: bool) -> None:
    """The bound itself is still fresh."""
    assert book().is_fresh(at(age_s), 5_000_000_000) is fresh


def test_a_book_that_was_told_nothing_offers_nothing() -> None:
    """It is not fresh, holds no queue and gives no contract."""
    made = Book()
    assert not made.is_fresh(at(0), 10**18)
    assert made.take(Side.BUY, quantity=65, limit_paise=None) == (0, 0)
    assert made.ahead(Side.BUY, 10_000) == 0


@pytest.mark.parametrize(
    ("side", "limit", "reach"),
    [(Side.BUY, 10_004, 0), (Side.BUY, 10_005, 130), (Side.BUY, 10_010, 390),
     (Side.SELL, 9_996, 0), (Side.SELL, 9_990, 390)],
)  # fmt: skip
def test_what_is_within_reach_is_counted_and_not_taken(side: Side, limit: int, reach: int) -> None:
    """Less what we took already."""
    made = book()
    assert [made.reach(side, limit_paise=limit) for _ in range(2)] == [reach, reach]
    made.take(side, quantity=65, limit_paise=limit)
    assert made.reach(side, limit_paise=limit) == max(reach - 65, 0)
