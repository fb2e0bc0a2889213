"""A desk with a position to close, and the words for what becomes of it."""

from holdfast.domain.command import ModifyOrder, OrderRequest, PlaceOrder
from holdfast.domain.decision import Trail
from holdfast.domain.event import OperatorRequest
from holdfast.domain.order import BrokerStatus, OrderId, OrderTerms, Side
from tests.support.desk import Desk


def a_desk(*, exit_by_modify: bool = True) -> Desk:
    """A minute into the day, the index just seen."""
    desk = Desk(exit_by_modify=exit_by_modify)
    desk.at(60).spot()
    return desk


def close(desk: Desk, position: int = 1) -> None:
    """A person closes a position: an exit that needs no price."""
    desk.forget()
    desk.ask_operator(OperatorRequest.CLOSE, position=position)


def asked(desk: Desk) -> list[tuple[type[OrderRequest], OrderId]]:
    """What was asked of orders since the last look, in order."""
    requests = [command for command in desk.commands if isinstance(command, OrderRequest)]
    desk.forget()
    return [(type(request), request.order_id) for request in requests]


def ended(desk: Desk, order_id: OrderId, terms: OrderTerms, filled: int = 0) -> None:
    """The broker's book shows an order cancelled."""
    desk.row(order_id, BrokerStatus.CANCELLED, terms=terms, filled=filled, price=88.0, is_read=True)


def exit_of(stop: PlaceOrder, attempt: int = 1) -> OrderId:
    """The id of an exit order of the position that a stop belongs to."""
    return OrderId(stop.order_id.replace("-S", "-X").removesuffix("1-0") + f"{attempt}-0")


TRAIL = Trail(arm_paise=10_200, giveback_bps=300)


def trailing(desk: Desk) -> PlaceOrder:
    """A long whose stop is being moved up to 106.70."""
    stop = desk.hold_by_hand(Side.BUY, trail=TRAIL)
    desk.at(70).tick(last=110.0, bid=110.0)
    assert desk.last(ModifyOrder).terms.trigger_paise == 10_670
    desk.forget()
    return stop


def working_exit(desk: Desk, side: Side = Side.BUY) -> PlaceOrder:
    """A position whose stop has become the exit, at the touch, and rests unfilled."""
    stop = desk.hold_by_hand(side)
    close(desk)
    desk.row(stop.order_id, terms=desk.last(ModifyOrder).terms)
    desk.forget()
    return stop


def partly_held() -> tuple[Desk, PlaceOrder, PlaceOrder]:
    """65 contracts of an entry that works on are held, and their stop rests; returns both."""
    desk = a_desk()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, quantity=65, price=100.0)
    stop = desk.last(PlaceOrder)
    desk.acknowledge(stop.order_id)
    desk.row(stop.order_id, terms=stop.terms)
    return desk, entry, stop
