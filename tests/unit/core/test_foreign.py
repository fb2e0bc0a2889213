"""Others trade in the account too: the owner's thumb and the broker's own square-off (T11, T14)."""

import pytest
from msgspec.structs import replace

from holdfast.domain.audit import Anomaly
from holdfast.domain.book import ForeignRow
from holdfast.domain.command import (
    CancelOrder,
    ModifyOrder,
    Notify,
    PlaceOrder,
    ReadBook,
    Severity,
)
from holdfast.domain.event import BOOK, FactsLoaded, OperatorRequest, ReadFailed
from holdfast.domain.instrument import Product
from holdfast.domain.order import BrokerOrderId, BrokerStatus, OrderRow, OrderType, Purpose, Side
from tests.support.desk import CALL, FACTS, OPEN, PUT, SECOND, SESSION, Desk

SALE = ForeignRow(
    broker_id=BrokerOrderId("77"),
    instrument=CALL.id,
    product=Product.INTRADAY,
    side=Side.SELL,
    quantity=65,
    filled_quantity=0,
    is_live=True,
)
SOLD = replace(SALE, filled_quantity=65, is_live=False)
DIED = replace(SALE, is_live=False)


class Owned:
    """195 contracts are held with a resting stop; at 70 s the owner takes out his phone."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.stop = self.desk.hold()
        self.entry = self.desk.all(PlaceOrder)[0]
        self.prices(70)
        self.desk.forget()

    def prices(self, second: float, last: float = 100.0) -> None:
        self.desk.at(second).tick(last=last)
        self.desk.tick(PUT)
        self.desk.spot()

    @property
    def rows(self) -> tuple[OrderRow, OrderRow]:
        order = self.desk.state.orders[self.stop.order_id]
        entered = self.desk.book_row(self.entry, BrokerStatus.FILLED, filled=195, venue_ns=OPEN)
        resting = self.desk.book_row(self.stop, terms=order.terms, venue_ns=order.venue_at_ns)
        return entered, resting

    def cuts(self) -> list[int]:
        return [one.terms.quantity for one in self.desk.all(ModifyOrder)]


@pytest.mark.proves("T14")
def test_a_working_order_of_the_owner_cuts_our_stop_in_the_same_step() -> None:
    """Before any read: together they could close 195 and no more."""
    owned = Owned()
    step = owned.desk.foreign(SALE)
    [cut] = [one for one in step.commands if isinstance(one, ModifyOrder)]
    assert (cut.order_id, cut.terms.quantity) == (owned.stop.order_id, 130)
    assert cut.terms.order_type is OrderType.STOP_LIMIT
    assert step.commands[0] is not cut, "a person is told"
    assert any(isinstance(one, ReadBook) for one in step.commands)


@pytest.mark.proves("T14", "RACE-2")
def test_an_order_of_the_owner_that_dies_unfilled_gives_back_what_was_cut() -> None:
    """Not before the book was read: it may have filled on its way out (T11)."""
    owned = Owned()
    owned.desk.foreign(SALE)
    owned.desk.row(owned.stop.order_id, terms=owned.desk.last(ModifyOrder).terms)
    owned.prices(71)
    owned.desk.foreign(DIED)
    owned.prices(71.5)
    assert owned.cuts() == [130]
    owned.desk.at(72).book(*owned.rows, foreign=(DIED,))
    owned.prices(72.1)
    assert owned.cuts() == [130, 195]


@pytest.mark.proves("T14", "RACE-2", "I-42")
def test_what_the_owner_has_sold_is_never_sold_again() -> None:
    """The exit after it sells 130; read late, twice, or out of order changes nothing."""
    owned = Owned()
    for row in (SOLD, SALE, SOLD, replace(SALE, filled_quantity=1)):
        owned.desk.foreign(row)
    owned.desk.row(owned.stop.order_id, terms=owned.desk.last(ModifyOrder).terms)
    owned.desk.at(71).book(*owned.rows, foreign=(SOLD,))
    owned.desk.breach(72)
    assert owned.cuts() == [130, 130]
    assert owned.desk.last(ModifyOrder).terms.order_type is OrderType.LIMIT


@pytest.mark.proves("T14")
def test_all_of_it_sold_by_the_owner_takes_the_stop_away() -> None:
    """A stop that triggered now would open a short."""
    owned = Owned()
    owned.desk.foreign(replace(SALE, quantity=195))
    assert [one.order_id for one in owned.desk.all(CancelOrder)] == [owned.stop.order_id]


@pytest.mark.proves("PLC-2")
def test_what_is_flat_at_the_broker_is_said_to_be_and_nothing_is_sent() -> None:
    """The owner sold it all: asked to close it, no order leaves, and that is no failure."""
    owned = Owned()
    sold_out = replace(SALE, quantity=195, filled_quantity=195, is_live=False)
    owned.desk.foreign(sold_out)
    gone = replace(owned.rows[1], status=BrokerStatus.CANCELLED)
    owned.desk.tell_row(gone, is_read=True)
    owned.desk.read_book(owned.rows[0], gone, foreign=(sold_out,), seconds=76)
    owned.desk.forget()
    owned.desk.ask_operator(OperatorRequest.CLOSE, position=1)
    [told] = owned.desk.all(Notify)
    assert (told.severity, "position 1 is already flat" in told.text) == (Severity.INFO, True)
    owned.prices(120, 70.0)
    owned.desk.read_book(owned.rows[0], gone, foreign=(sold_out,), seconds=125)
    for order in (PlaceOrder, ModifyOrder, CancelOrder):
        assert owned.desk.all(order) == []
    assert owned.desk.told(Anomaly) == []


@pytest.mark.proves("T14")
def test_what_the_owner_adds_is_not_ours_to_sell() -> None:
    """It is outside every quantity that we close; when he sells it, ours stay whole."""
    owned = Owned()
    bought = replace(SOLD, broker_id=BrokerOrderId("70"), side=Side.BUY)
    owned.desk.foreign(bought)
    owned.desk.foreign(SALE)
    owned.desk.foreign(SOLD)
    assert owned.cuts() == []
    owned.desk.foreign(replace(SALE, broker_id=BrokerOrderId("80")))
    assert owned.cuts() == [130]


@pytest.mark.proves("T11")
def test_while_others_trade_in_a_key_an_exit_waits_for_a_read_of_a_second() -> None:
    """The resting stop is cut; the exit is sent with what the read leaves."""
    owned = Owned()
    owned.desk.foreign(SALE)
    owned.desk.row(owned.stop.order_id, terms=owned.desk.last(ModifyOrder).terms)
    owned.desk.breach(70.5)
    owned.prices(70.9, 87.5)
    assert owned.cuts() == [130]
    owned.desk.at(71.5).book(*owned.rows, foreign=(SALE,), began_s=1.2)
    assert owned.cuts() == [130], "it began before the present"
    owned.desk.at(71.8).book(*owned.rows, foreign=(SALE,), began_s=0.2)
    assert owned.cuts() == [130, 130]
    assert owned.desk.last(ModifyOrder).terms.order_type is OrderType.LIMIT


@pytest.mark.proves("T11", "T5")
def test_while_the_book_cannot_be_read_a_person_is_told_and_may_close_it_anyway() -> None:
    """A double sale is an unprotected short; what rests, rests."""
    owned = Owned()
    owned.desk.foreign(SALE)
    owned.desk.row(owned.stop.order_id, terms=owned.desk.last(ModifyOrder).terms)
    owned.desk.breach(71)
    for second in range(72, 95):
        owned.prices(second, 87.5)
        owned.desk.tell(ReadFailed(at_ns=owned.desk.now, what=BOOK, reason="504"))
    assert owned.cuts() == [130]
    calls = [one for one in owned.desk.told(Anomaly) if "others trade" in one.what]
    assert len(calls) == 2
    assert calls[0].values["by_hand"] == f"SELL 130 {CALL.symbol}"
    owned.desk.close_anyway(position=1)
    assert owned.cuts() == [130, 130]


@pytest.mark.proves("T11")
def test_no_closer_is_placed_beside_an_order_of_others_before_the_read() -> None:
    """The broker cancelled our stop and sends its own: the next one waits for what is left."""
    owned = Owned()
    theirs = replace(SALE, quantity=195)
    owned.desk.foreign(theirs)
    dead = replace(owned.rows[1], status=BrokerStatus.CANCELLED, venue_at_ns=owned.desk.now)
    owned.desk.tell_row(dead, is_read=True)
    for second in range(71, 80):
        owned.prices(second)
    assert owned.desk.all(PlaceOrder) == []
    owned.desk.foreign(replace(theirs, filled_quantity=65, is_live=False))
    owned.prices(81)
    assert owned.desk.all(PlaceOrder) == []
    died = replace(theirs, filled_quantity=65, is_live=False)
    owned.desk.at(82).book(owned.rows[0], dead, foreign=(died,))
    owned.prices(82.2)
    [stop] = owned.desk.all(PlaceOrder)
    assert (stop.purpose, stop.terms.quantity) == (Purpose.STOP, 130)


def test_an_order_first_seen_in_a_read_cuts_at_once_too() -> None:
    """One pass is enough for an order: only positions are told early."""
    owned = Owned()
    owned.desk.at(71).book(*owned.rows, foreign=(SALE,))
    assert owned.cuts() == [130]


def test_a_late_word_of_life_revives_nothing() -> None:
    """It died; a read of before its death shows it living, one of after it may."""
    owned = Owned()
    owned.desk.foreign(DIED)
    owned.desk.at(70.5).book(*owned.rows, foreign=(SALE,), began_s=1)
    assert owned.cuts() == []
    owned.desk.at(71).book(*owned.rows, foreign=(SALE,))
    assert owned.cuts() == [130]


def test_an_order_of_others_elsewhere_is_left_to_the_next_read() -> None:
    """Nothing of ours is there to be cut: the book is read three seconds later."""
    owned = Owned()
    owned.desk.foreign(replace(SALE, instrument=PUT.id))
    assert owned.desk.commands == []
    owned.desk.at(72.9)
    assert owned.desk.all(ReadBook) == []
    owned.desk.at(73)
    assert len(owned.desk.all(ReadBook)) == 1


@pytest.mark.proves("T4")
def test_our_own_fills_beside_theirs_leave_the_ration_right() -> None:
    """Two positions: the youngest's stop sells all before it is cut, so the elder's is cut."""
    desk = Desk()
    first = desk.hold_by_hand(Side.BUY)
    second = desk.hold_by_hand(Side.BUY)
    desk.at(70).tick()
    desk.forget()
    desk.foreign(SALE)
    assert [(one.order_id, one.terms.quantity) for one in desk.all(ModifyOrder)] == [
        (second.order_id, 130)
    ]
    desk.fill(second, price=88.0)
    assert [(one.order_id, one.terms.quantity) for one in desk.all(ModifyOrder)][1:] == [
        (first.order_id, 130)
    ]


def test_what_was_heard_of_others_survives_a_restart() -> None:
    """The cut stands: nothing is enlarged before the book is read again."""
    owned = Owned()
    owned.desk.foreign(SOLD)
    image = owned.desk.engine.image()
    assert image is not None
    owned.desk.engine.restore(image)
    owned.desk.restart(80)
    assert owned.desk.state.positions[1].closable_quantity == 130
    owned.desk.read_book(*owned.rows, foreign=(SOLD,), seconds=84)
    assert owned.desk.state.positions[1].closable_quantity == 130


# -- the broker's own square-off

SQUARE_OFF_S = 140


def near_square_off(second: float) -> Owned:
    """The same on a day on which the broker squares off early."""
    owned = Owned()
    early = replace(SESSION, square_off_ns=OPEN + SQUARE_OFF_S * SECOND)
    facts = replace(FACTS, sessions=(early,))
    owned.desk.tell(FactsLoaded(at_ns=owned.desk.now, sha256="f", facts=facts))
    for at_s in range(71, round(second)):
        owned.prices(at_s)
    owned.desk.forget()
    return owned


@pytest.mark.proves("T11")
def test_until_a_minute_before_the_square_off_an_exit_asks_nobody() -> None:
    """It leaves in its step."""
    owned = near_square_off(SQUARE_OFF_S - 62)
    owned.desk.breach(SQUARE_OFF_S - 61)
    assert owned.cuts() == [195]


@pytest.mark.proves("T11")
def test_in_the_last_minute_before_the_square_off_an_exit_asks_the_book_first() -> None:
    """A read younger than a second that shows it open lets it go; one that does not, does not."""
    owned = near_square_off(SQUARE_OFF_S - 59)
    owned.desk.breach(SQUARE_OFF_S - 58)
    assert owned.cuts() == []
    assert owned.desk.state.book.is_asked
    owned.desk.at(SQUARE_OFF_S - 57).book(*owned.rows, nets={CALL: 65})
    assert owned.cuts() == []
    owned.desk.at(SQUARE_OFF_S - 56).book(*owned.rows)
    owned.prices(SQUARE_OFF_S - 55.9, 87.5)
    assert owned.cuts() == [195]


@pytest.mark.proves("T11")
def test_an_order_of_the_broker_itself_keeps_ours_back_while_it_lives() -> None:
    """It sells what is held: ours would open a short."""
    owned = near_square_off(SQUARE_OFF_S - 30)
    owned.desk.breach(SQUARE_OFF_S - 29)
    for step in range(10):
        owned.desk.at(SQUARE_OFF_S - 28 + step).book(*owned.rows, foreign=(SALE,))
        owned.prices(SQUARE_OFF_S - 27.9 + step, 87.5)
    assert {one.terms.order_type for one in owned.desk.all(ModifyOrder)} == {OrderType.STOP_LIMIT}
    assert set(owned.cuts()) == {130}, "asked again until it is seen (T3)"


@pytest.mark.proves("T11")
def test_what_is_open_a_minute_before_the_square_off_is_an_alarm_with_contract_and_quantity() -> (
    None
):
    """Once, and without a tick; the book is read at the same moment."""
    owned = near_square_off(SQUARE_OFF_S - 61)
    owned.desk.at(SQUARE_OFF_S - 60)
    owned.desk.at(SQUARE_OFF_S + 5)
    [call] = [one for one in owned.desk.told(Anomaly) if "about to close it" in one.what]
    assert (call.values["held"], call.values["contract"]) == (195, CALL.symbol)
    assert owned.desk.all(ReadBook) != []


def test_a_person_hears_of_an_order_of_others_once() -> None:
    """However often it is spoken of."""
    owned = Owned()
    for row in (SALE, replace(SALE, filled_quantity=1), SOLD):
        owned.desk.foreign(row)
    texts = [one.text for one in owned.desk.all(Notify) if "not ours" in one.text]
    assert len(texts) == 1
