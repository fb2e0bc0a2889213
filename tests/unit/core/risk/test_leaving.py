"""Shorts go before longs, hedges after what they cover; near the square-off nothing goes blind."""

import msgspec
import pytest

from holdfast.core.books.positions import Position
from holdfast.domain.audit import Anomaly, ExitDecided, PositionClosed
from holdfast.domain.book import ForeignRow
from holdfast.domain.command import (
    CancelOrder,
    Command,
    ModifyOrder,
    OrderRequest,
    PlaceOrder,
    ReadBook,
)
from holdfast.domain.event import OperatorRequest
from holdfast.domain.instrument import Instrument, Product
from holdfast.domain.order import BrokerOrderId, BrokerStatus, OrderType, Purpose, Side
from tests.support.desk import CALL, OPEN, PUT, SECOND, SESSION, Desk

NEAR_S = (SESSION.square_off_ns - OPEN) // SECOND - 60
"""A minute before the broker begins to close by itself, in seconds after the opening."""


def leg(desk: Desk, side: Side, instrument: Instrument, *, structure: int | None = 1) -> PlaceOrder:
    """One filled leg of a structure; its entry order."""
    entry = desk.intend(side, instrument=instrument)
    position = desk.state.positions[entry.position]
    position.intent = msgspec.structs.replace(position.intent, structure=structure)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, price=100.0)
    desk.funds()
    return entry


def spread() -> tuple[Desk, Position, Position, PlaceOrder]:
    """A long call that hedges a short put's place in a structure: long, short, the short's stop."""
    desk = Desk()
    desk.at(60).spot()
    leg(desk, Side.BUY, CALL)
    short = leg(desk, Side.SELL, PUT)
    stop = desk.last(PlaceOrder)
    assert (stop.position, stop.purpose) == (short.position, Purpose.STOP)
    desk.acknowledge(stop.order_id)
    desk.row(stop.order_id, terms=stop.terms)
    return desk, desk.state.positions[1], desk.state.positions[2], stop


def sent(desk: Desk) -> list[Command]:
    """What changes something at the broker, in order."""
    return [c for c in desk.commands if isinstance(c, OrderRequest)]


@pytest.mark.proves("T12")
def test_only_the_short_leg_carries_a_stop() -> None:
    """A stop on the hedge would end the hedge benefit the moment it is placed."""
    desk, _, _, stop = spread()
    assert [one.position for one in desk.all(PlaceOrder) if one.purpose is Purpose.STOP] == [2]
    desk.row(stop.order_id, terms=stop.terms)
    for second in range(61, 70):
        desk.at(second).tick()
        desk.tick(PUT)
    assert [one.position for one in desk.all(PlaceOrder) if one.purpose is Purpose.STOP] == [2]


@pytest.mark.proves("T12")
@pytest.mark.parametrize("request_", [OperatorRequest.FLATTEN, OperatorRequest.PANIC])
def test_a_flattening_closes_the_short_first_and_the_hedge_when_it_has_gone(
    request_: OperatorRequest,
) -> None:
    """However long the short takes: its hedge is not sold before it is bought back."""
    desk, _, _, stop = spread()
    desk.forget()
    desk.ask_operator(request_)
    assert {one.position for one in desk.told(ExitDecided)} == {1, 2}
    assert [getattr(one, "order_id", "") for one in sent(desk)] == [stop.order_id]
    for second in range(61, 100):
        desk.at(second).tick()
        desk.tick(PUT)
    assert all(one.position != 1 for one in desk.all(PlaceOrder))
    waits = [one for one in desk.told(Anomaly) if "waits for the shorts" in one.what]
    assert len(waits) == 3, "a person hears each ten seconds"
    assert waits[0].values["by_hand"] == f"SELL 195 {CALL.symbol}"
    terms = desk.last(ModifyOrder).terms
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=terms, filled=195, price=101.0)
    desk.at(101)
    [placed] = [one for one in desk.all(PlaceOrder) if one.position == 1]
    assert (placed.purpose, placed.terms.side) == (Purpose.EXIT, Side.SELL)


@pytest.mark.proves("T12")
def test_a_hedges_own_levels_do_not_speak_while_it_covers_a_short() -> None:
    """Its premium is worthless: the structure's rule protects it, and it stays."""
    desk, _, _, _ = spread()
    desk.at(61).tick(last=93.0, bid=92.9, ask=93.1)
    for second in range(62, 75):
        desk.at(second).tick(last=80.0, bid=79.9, ask=80.1)
        desk.tick(PUT)
    assert desk.told(ExitDecided) == []


@pytest.mark.proves("T12")
def test_a_hedge_leaves_when_its_short_was_stopped_out() -> None:
    """What it was there for has ended: out at once, not only at the close-out."""
    desk, _, _, stop = spread()
    terms = msgspec.structs.replace(stop.terms, order_type=OrderType.LIMIT, trigger_paise=None)
    desk.at(62).tick()
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=terms, filled=195, price=112.0)
    assert [one.position for one in desk.told(PositionClosed)] == [2]
    desk.at(63).tick()
    assert [(one.position, one.exit.rule) for one in desk.told(ExitDecided)][-1] == (1, "structure")
    assert desk.last(PlaceOrder).position == 1


@pytest.mark.proves("T12")
def test_a_long_that_covers_nothing_waits_ten_seconds_for_the_shorts_and_no_longer() -> None:
    """A short that cannot be bought back leaves no long unsold."""
    desk = Desk()
    desk.at(60).spot()
    leg(desk, Side.SELL, PUT, structure=None)
    short_stop = desk.last(PlaceOrder)
    desk.acknowledge(short_stop.order_id)
    desk.row(short_stop.order_id, terms=short_stop.terms)
    leg(desk, Side.BUY, CALL, structure=None)
    long_stop = desk.last(PlaceOrder)
    desk.acknowledge(long_stop.order_id)
    desk.row(long_stop.order_id, terms=long_stop.terms)
    desk.forget()
    desk.ask_operator(OperatorRequest.FLATTEN)
    assert [getattr(one, "order_id", "") for one in sent(desk)] == [short_stop.order_id]
    desk.at(69.9).tick()
    assert long_stop.order_id not in [getattr(one, "order_id", "") for one in sent(desk)]
    desk.at(70).tick()
    assert long_stop.order_id in [getattr(one, "order_id", "") for one in sent(desk)]


def test_a_stop_of_one_long_waits_for_nobody() -> None:
    """Only what closes everything at once has an order."""
    desk = Desk()
    desk.at(60).spot()
    leg(desk, Side.SELL, PUT, structure=None)
    leg(desk, Side.BUY, CALL, structure=None)
    stop = desk.last(PlaceOrder)
    desk.acknowledge(stop.order_id)
    desk.row(stop.order_id, terms=stop.terms)
    desk.forget()
    desk.breach(62)
    assert [getattr(one, "order_id", "") for one in sent(desk)] == [stop.order_id]


# -- the broker's own square-off


def foreign(*, is_live: bool) -> ForeignRow:
    """An order of the broker's own in what we hold."""
    return ForeignRow(
        broker_id=BrokerOrderId("X1"),
        instrument=CALL.id,
        product=Product.INTRADAY,
        side=Side.SELL,
        quantity=195,
        filled_quantity=0,
        is_live=is_live,
    )


def leaving_late(desk: Desk) -> tuple[PlaceOrder, PlaceOrder]:
    """A position whose exit is working when the broker is about to close: entry and stop."""
    desk.at(NEAR_S - 260).spot()
    stop = desk.hold_by_hand(Side.BUY)
    entry = desk.all(PlaceOrder)[0]
    desk.at(NEAR_S - 239).tick()
    assert desk.told(ExitDecided)[-1].exit.rule == "close_out"
    while desk.now < OPEN + (NEAR_S - 1) * SECOND:
        desk.row(stop.order_id, terms=desk.last(ModifyOrder).terms)
        desk.at((desk.now - OPEN) / SECOND + 1).tick()
    desk.row(stop.order_id, terms=desk.last(ModifyOrder).terms)
    desk.forget()
    return entry, stop


@pytest.mark.proves("T11")
def test_a_minute_before_the_square_off_nothing_is_sent_without_a_young_read() -> None:
    """The alarm names contract and quantity; the book is asked for, and its answer lets it go."""
    desk = Desk()
    entry, stop = leaving_late(desk)
    for second in range(NEAR_S, NEAR_S + 80, 5):
        desk.at(second).tick(last=90.0 + second % 7)
    assert sent(desk) == []
    assert desk.all(ReadBook) != []
    [told] = [one for one in desk.told(Anomaly) if "about to close it" in one.what]
    assert (told.values["contract"], told.values["held"]) == (CALL.symbol, 195)
    entered = desk.book_row(entry, BrokerStatus.FILLED, filled=195, price=100.0, venue_ns=OPEN)
    seen = desk.state.orders[stop.order_id].seen
    assert seen is not None
    resting = desk.book_row(stop, terms=seen)
    desk.read_book(entered, resting, seconds=NEAR_S + 81, began_s=0.5)
    assert [getattr(one, "order_id", "") for one in sent(desk)] == [stop.order_id]


@pytest.mark.proves("T11")
@pytest.mark.parametrize("case", ["foreign order", "less held", "old read"])
def test_a_read_that_shows_the_broker_at_work_lets_nothing_go(case: str) -> None:
    """Its order works there, or has: ours would sell what is gone."""
    desk = Desk()
    entry, stop = leaving_late(desk)
    desk.at(NEAR_S + 1).tick(last=95.0)
    seen = desk.state.orders[stop.order_id].seen
    assert seen is not None
    entered = desk.book_row(entry, BrokerStatus.FILLED, filled=195, price=100.0, venue_ns=OPEN)
    resting = desk.book_row(stop, terms=seen)
    rows = (foreign(is_live=True),) if case == "foreign order" else ()
    nets = {CALL: 130} if case == "less held" else None
    began_s = 1.1 if case == "old read" else 0.2
    desk.read_book(entered, resting, seconds=NEAR_S + 35, foreign=rows, nets=nets, began_s=began_s)
    cuts = [stop.order_id] if case == "foreign order" else []
    assert [one.order_id for one in sent(desk) if isinstance(one, CancelOrder)] == cuts
    assert [one for one in sent(desk) if not isinstance(one, CancelOrder)] == []


def test_before_that_minute_an_exit_asks_nobody() -> None:
    """Close-out has begun five minutes before."""
    desk = Desk()
    desk.at(NEAR_S - 260).spot()
    stop = desk.hold_by_hand(Side.BUY)
    desk.at(NEAR_S - 240).tick()
    assert desk.told(ExitDecided)[-1].exit.rule == "close_out"
    assert desk.last(ModifyOrder).order_id == stop.order_id
    assert desk.state.positions[1].plan.close_out_ns <= SESSION.square_off_ns - 300 * SECOND
