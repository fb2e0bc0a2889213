"""The broker's book: what is held of a key, and what an order that is not ours added."""

import pytest

from holdfast.domain.book import BookNet, ForeignRow
from holdfast.domain.instrument import BrokerKey, Product
from holdfast.domain.order import BrokerOrderId, Side
from tests.support.desk import CALL


@pytest.mark.parametrize(
    ("bought", "sold", "net"), [(0, 0, 0), (130, 65, 65), (0, 65, -65), (195, 195, 0)]
)
def test_a_net_is_what_was_bought_less_what_was_sold(bought: int, sold: int, net: int) -> None:
    """Negative when short; its key is instrument and product."""
    row = BookNet(instrument=CALL.id, product=Product.MARGIN, bought=bought, sold=sold)
    assert (row.net, row.key) == (net, BrokerKey(CALL.id, Product.MARGIN))


@pytest.mark.parametrize(("side", "added"), [(Side.BUY, 65), (Side.SELL, -65)])
def test_a_foreign_order_adds_what_it_filled(side: Side, added: int) -> None:
    """Not what it asked for."""
    row = ForeignRow(
        broker_id=BrokerOrderId("9"),
        instrument=CALL.id,
        product=Product.INTRADAY,
        side=side,
        quantity=195,
        filled_quantity=65,
        is_live=True,
    )
    assert (row.signed_fill, row.key) == (added, BrokerKey(CALL.id, Product.INTRADAY))
