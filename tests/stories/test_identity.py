"""What an order is about is never guessed: no contract, no size and no side has a default."""

from typing import Any

import msgspec
import pytest

from holdfast.domain.audit import Denied
from holdfast.domain.command import CancelOrder, Notify, PlaceOrder
from holdfast.domain.decision import Direction
from holdfast.domain.instrument import OptionType
from holdfast.domain.order import OrderTerms, Side
from tests.support.desk import CALL, NIFTY, PUT, Desk, option

TERMS: dict[str, Any] = {
    "instrument": CALL.id,
    "product": "INTRADAY",
    "side": "BUY",
    "order_type": "LIMIT",
    "quantity": 65,
    "limit_paise": 100_00,
}


@pytest.mark.proves("I-49")
def test_a_contract_whose_freeze_quantity_is_not_known_is_not_traded() -> None:
    """There is no usual one to fall back to."""
    unknown = msgspec.structs.replace(CALL, freeze_quantity=0)
    desk = Desk(ready=False)
    desk.load((NIFTY, unknown, PUT))
    desk.signal()
    assert desk.all(PlaceOrder) == []
    assert [one.denial.gate for one in desk.told(Denied)] == ["contract"]


@pytest.mark.proves("I-53", "I-54")
def test_a_contract_that_the_master_lacks_is_replaced_by_no_other() -> None:
    """The strike wanted is missing: its neighbours and the put stand there, and nothing is bought."""
    desk = Desk(ready=False)
    desk.load((NIFTY, PUT))
    desk.at(59).spot()
    desk.tick(PUT)
    desk.parrot.say = Direction.UP
    desk.at(60.2).spot()
    desk.tick(PUT)
    assert desk.all(PlaceOrder) == []
    assert [one.denial.gate for one in desk.told(Denied)] == ["contract"]


@pytest.mark.proves("I-54")
def test_an_order_of_a_contract_that_nobody_listed_is_not_taken_over() -> None:
    """Its id looks like ours; what it is about is in no master: a person hears, nothing is asked."""
    desk = Desk()
    stop = desk.hold()
    stranger = option(49_999, 30_000, OptionType.CALL)
    terms = msgspec.structs.replace(stop.terms, instrument=stranger.id)
    placed = msgspec.structs.replace(
        stop, order_id=type(stop.order_id)(stop.order_id.replace("S0001", "S0007")), terms=terms
    )
    desk.forget()
    desk.tell_row(desk.book_row(placed))
    assert [type(one) for one in desk.commands] == [Notify]
    assert desk.all(PlaceOrder) + desk.all(CancelOrder) == []


@pytest.mark.proves("B-15")
@pytest.mark.parametrize("side", ["HOLD", "buy", "", None])
def test_a_side_that_nobody_knows_is_no_side(side: str | None) -> None:
    """Neither an unknown nor a missing one becomes a purchase."""
    assert msgspec.convert(TERMS, OrderTerms).side is Side.BUY
    wrong = {name: value for name, value in TERMS.items() if name != "side"}
    if side is not None:
        wrong["side"] = side
    with pytest.raises(msgspec.ValidationError, match="side"):
        msgspec.convert(wrong, OrderTerms)
