"""The desk of the wire's bench: its orders are numbered as the real broker's, their stops are near."""

from collections.abc import Mapping
from typing import Final

from typing_extensions import override

from holdfast.domain.command import PlaceOrder
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.order import BrokerOrderId, OrderId
from tests.support.desk import Desk

PREFIX: Final = "SSIM001261120"
STOP_BPS: Final = 100
"""How far below its entry each stop rests."""


class NumberedDesk(Desk):
    """A desk whose broker numbers orders as the real one does: with digits alone."""

    @override
    def broker_id(self, order_id: OrderId) -> BrokerOrderId:
        """The digits of an order's id, which are its own."""
        return BrokerOrderId(f"9{''.join(one for one in order_id if one.isdecimal())}")


def stops_of(desk: Desk) -> Mapping[InstrumentId, tuple[OrderId, BrokerOrderId]]:
    """The stop of each contract, by our id and the broker's."""
    placed = [one for one in desk.commands if isinstance(one, PlaceOrder)]
    return {
        one.terms.instrument: (one.order_id, desk.broker_id(one.order_id))
        for one in placed
        if one.terms.trigger_paise
    }
