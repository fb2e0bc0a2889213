"""The owner sold part of what is held: what he sold is never sold again, whatever fills how.

We hold 195 with a resting stop; 65 were sold in the broker's own app, so 130 are left to sell. The
broker's net is counted here by hand from every fill: it must never fall below nothing.
"""

import pytest

from holdfast.core.books.positions import Position
from holdfast.domain.audit import Drift, PositionClosed
from holdfast.domain.book import ForeignRow
from holdfast.domain.command import ModifyOrder, PlaceOrder
from holdfast.domain.event import OrderUpdated
from holdfast.domain.instrument import Product
from holdfast.domain.order import BrokerOrderId, BrokerStatus, OrderTerms, OrderType, Side
from tests.support.desk import CALL, OPEN, SECOND, Desk

HELD, SOLD_BY_OWNER = 195, 65
LEFT = HELD - SOLD_BY_OWNER

OWNERS = ForeignRow(
    broker_id=BrokerOrderId("77"),
    instrument=CALL.id,
    product=Product.INTRADAY,
    side=Side.SELL,
    quantity=SOLD_BY_OWNER,
    filled_quantity=SOLD_BY_OWNER,
    is_live=False,
)


class Story:
    """A day that begins again at 70 s, and whose first stable read shows the owner's sale."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.stop = self.desk.hold()
        entry = self.desk.all(PlaceOrder)[0]
        self.entered = self.desk.book_row(entry, BrokerStatus.FILLED, filled=HELD, venue_ns=OPEN)
        self.desk.at(61)
        self.desk.restart(70)
        self.desk.forget()
        rows = (
            self.entered,
            self.desk.book_row(self.stop, venue_ns=OPEN + 61 * SECOND),
        )
        self.desk.read_book(*rows, foreign=(OWNERS,), seconds=74)
        self.cut = self.desk.last(ModifyOrder).terms
        self.desk.row(self.stop.order_id, terms=self.cut)
        self.prices(75)

    @property
    def position(self) -> Position:
        return self.desk.state.positions[1]

    def prices(self, second: float, last: float = 100.0) -> None:
        """Packets of everything at a time."""
        self.desk.at(second)
        self.desk.spot()
        self.desk.tick(last=last)

    def sold(self, filled: int, terms: OrderTerms) -> None:
        """The broker says how much of the closing order has filled so far."""
        whole = filled == terms.quantity
        status = BrokerStatus.FILLED if whole else BrokerStatus.WORKING
        self.desk.row(self.stop.order_id, status, terms=terms, filled=filled, price=88.0)

    def assert_told_as_it_is(self, *, ours: int) -> None:
        """What our fills say is held stays held; the difference was told; nothing was closed."""
        assert (self.position.open_quantity, self.position.closable_quantity) == (ours, 0)
        assert not self.position.is_closed
        assert self.desk.told(PositionClosed) == []
        [drift] = self.desk.told(Drift)
        assert (drift.ours, drift.theirs, drift.foreign) == (HELD, LEFT, -SOLD_BY_OWNER)


def test_the_stop_is_cut_to_what_is_left() -> None:
    """Floor of these stories: the cut is asked of the resting stop, and seen."""
    story = Story()
    assert (story.cut.quantity, story.cut.order_type) == (LEFT, OrderType.STOP_LIMIT)
    assert story.position.closable_quantity == LEFT


def test_a_cut_stop_that_fills_whole_leaves_nothing_to_sell() -> None:
    """130 were there and are sold: any further order would open a short."""
    story = Story()
    story.desk.at(80)
    story.sold(LEFT, story.cut)
    for second in range(81, 200):
        story.prices(second, 80.0)
    assert story.desk.all(PlaceOrder) == []
    assert [one.terms.quantity for one in story.desk.all(ModifyOrder)] == [LEFT]
    story.assert_told_as_it_is(ours=SOLD_BY_OWNER)


def test_a_cut_exit_that_fills_in_part_is_never_raised_above_what_is_left() -> None:
    """A modification's quantity is filled plus open: 130 in all, however often it is priced."""
    story = Story()
    story.desk.breach(80)
    terms = story.desk.last(ModifyOrder).terms
    assert (terms.quantity, terms.order_type) == (LEFT, OrderType.LIMIT)
    for second, filled in ((80.5, 1), (81, 65), (83, 129)):
        story.desk.at(second)
        story.sold(filled, terms)
        for step in range(3):
            story.prices(second + 0.6 * step, 87.0 - step)
            terms = story.desk.last(ModifyOrder).terms
            story.sold(filled, terms)
    asked = story.desk.all(ModifyOrder)
    assert len(asked) >= 5, "it was priced again after its fills"
    assert {one.terms.quantity for one in asked} == {LEFT}
    story.sold(LEFT, terms)
    story.prices(140, 80.0)
    assert story.desk.all(PlaceOrder) == []
    story.assert_told_as_it_is(ours=SOLD_BY_OWNER)


@pytest.mark.parametrize("filled", [0, 1, 65, 129])
def test_the_next_order_after_a_death_sells_what_is_left(filled: int) -> None:
    """The cut stop dies with part of it filled: the next attempt covers the rest, no more."""
    story = Story()
    story.desk.at(80)
    story.sold(filled, story.cut)
    dead = story.desk.book_row(
        story.stop, BrokerStatus.CANCELLED, terms=story.cut, filled=filled, price=88.0
    )
    story.desk.tell_row(dead, is_read=True)
    story.prices(83)
    [placed] = story.desk.all(PlaceOrder)
    assert (placed.terms.side, placed.terms.quantity) == (Side.SELL, LEFT - filled)


def test_fills_that_are_only_folded_count_too() -> None:
    """A step that cannot be stepped folds its fills and decides nothing: they were sold all the same."""
    story = Story()
    row = story.desk.book_row(
        story.stop, BrokerStatus.FILLED, terms=story.cut, filled=LEFT, price=88.0
    )
    story.desk.engine.step_books(OrderUpdated(at_ns=story.desk.now, row=row))
    for second in range(81, 100):
        story.prices(second, 80.0)
    assert story.desk.all(PlaceOrder) == []
    story.assert_told_as_it_is(ours=SOLD_BY_OWNER)


def test_a_second_start_does_not_forget_it() -> None:
    """Not before it has read, and not while its reads show a net that nobody explains."""
    story = Story()
    story.desk.at(80)
    story.sold(LEFT, story.cut)
    story.desk.restart(90)
    rows = (
        story.entered,
        story.desk.book_row(
            story.stop, BrokerStatus.FILLED, terms=story.cut, filled=LEFT, price=88.0
        ),
    )
    for second in range(91, 120):
        if second > 93:
            story.desk.read_book(*rows, nets={CALL: 0}, seconds=second)
        story.prices(second, 80.0)
    assert story.desk.state.book.is_listed
    assert story.desk.all(PlaceOrder) == []
    assert story.position.closable_quantity == 0
