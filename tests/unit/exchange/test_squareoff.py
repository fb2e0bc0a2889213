"""The broker's own closing orders."""

import pytest

from holdfast.domain.instrument import BrokerKey, Product
from holdfast.domain.order import BrokerOrderId, Side
from holdfast.exchange.book import Book
from holdfast.exchange.squareoff import ForeignOrder, ForeignOrders
from tests.support.desk import CALL, PUT
from tests.unit.exchange.floor import at, told

KEY = BrokerKey(CALL.id, Product.INTRADAY)


def sent(net: int) -> ForeignOrders:
    """The broker's orders after it closed `net` contracts."""
    orders = ForeignOrders()
    orders.close(KEY, net=net, broker_id=BrokerOrderId("7"), at_ns=at(0))
    return orders


@pytest.mark.parametrize(("net", "side"), [(130, Side.SELL), (-130, Side.BUY)])
def test_an_order_brings_the_net_to_zero(net: int, side: Side) -> None:
    """Longs are sold, shorts bought."""
    (order,) = sent(net).all()
    assert (order.side, order.quantity, order.filled_quantity) == (side, 130, 0)


def test_a_flat_key_needs_no_order() -> None:
    """And then the broker has sent none."""
    assert sent(0).all() == ()
    assert not sent(0).is_any


def test_what_is_on_its_way_is_not_sent_again() -> None:
    """Asked twice it sends nothing; for more it sends the difference."""
    orders = sent(130)
    orders.close(KEY, net=130, broker_id=BrokerOrderId("8"), at_ns=at(1))
    assert len(orders.all()) == 1
    orders.close(KEY, net=195, broker_id=BrokerOrderId("9"), at_ns=at(2))
    assert [order.quantity for order in orders.all()] == [130, 65]


def test_it_takes_any_price_and_works_until_all_is_traded() -> None:
    """By what the book offers, level by level."""
    orders, book = sent(455), Book()
    book.tell(told(0))
    (order,) = orders.working(CALL.id)
    execution = orders.trade(order, book, at(1))
    assert execution is not None
    assert (execution.order_id, execution.side, execution.quantity) == (None, Side.SELL, 390)
    assert execution.value_paise == 130 * 9_995 + 260 * 9_990
    (order,) = orders.working(CALL.id)
    assert orders.trade(order, book, at(2)) is None
    assert (order.open_quantity, order.venue_at_ns) == (65, at(1))
    assert orders.working(PUT.id) == []
    book.tell(told(3))
    orders.trade(order, book, at(3))
    assert orders.working(CALL.id) == []
    assert [traded.filled_quantity for traded in orders.all()] == [455]


def owners(limit_paise: int | None) -> ForeignOrders:
    """One order of the owner's, for 130."""
    orders = ForeignOrders()
    orders.send(
        ForeignOrder(
            broker_id=BrokerOrderId("7"),
            key=KEY,
            side=Side.SELL,
            quantity=130,
            limit_paise=limit_paise,
            venue_at_ns=at(0),
        )
    )
    return orders


def test_an_owners_order_keeps_to_its_limit() -> None:
    """It rests until somebody pays that, or it is taken back; then nothing trades any more."""
    orders, book = owners(10_500), Book()
    book.tell(told(0))
    (order,) = orders.working(CALL.id)
    assert orders.trade(order, book, at(1)) is None
    orders.withdraw(order.broker_id, at(2))
    assert orders.working(CALL.id) == []
    assert [(o.open_quantity, o.venue_at_ns) for o in orders.all()] == [(0, at(2))]


def test_all_that_happens_to_them_is_news_once() -> None:
    """Sent, traded, taken back; withdrawing what is over says nothing."""
    orders, book = owners(None), Book()
    book.tell(told(0, bids=((9_995, 65),)))
    (order,) = orders.all()
    orders.trade(order, book, at(1))
    orders.withdraw(order.broker_id, at(2))
    orders.withdraw(order.broker_id, at(3))
    news = orders.take_news()
    assert [(row.filled_quantity, row.is_live) for row in news] == [
        (0, True),
        (65, True),
        (65, False),
    ]
    assert {(row.broker_id, row.key, row.quantity) for row in news} == {("7", KEY, 130)}
    assert orders.take_news() == []
