"""What a client asks of an order, read before anything is taken."""

from typing import Any

import pytest

from holdfast.domain.order import Side
from holdfast.simbroker.dhan.asked import (
    Changing,
    Placing,
    paise,
    price_objection,
    read_changing,
    read_placing,
    whole,
)
from holdfast.simbroker.dhan.order import AccountOrder, DhanType
from holdfast.simbroker.dhan.route import Answer
from tests.unit.simbroker.dhan.market_day import CALL, INDEX
from tests.unit.simbroker.dhan.served import CLIENT, order_body

CONTRACTS = {one.id: one for one in (CALL, INDEX)}
ORDER = AccountOrder(
    order_id="1",
    instrument=CALL,
    side=Side.SELL,
    product="INTRADAY",
    order_type=DhanType.STOP_LOSS,
    quantity=130,
    price_paise=110_00,
    trigger_paise=112_00,
    created_ns=0,
    updated_ns=0,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (118.7, 118_70),
        (0.05, 5),
        (26_050, 26_050_00),
        (None, 0),
        (0, 0),
        (118.705, None),
        (-1, None),
        ("118.70", None),
        (True, None),
    ],
)
def test_rupees_become_paise(value: Any, expected: int | None) -> None:
    """Or nothing where they are no price."""
    assert paise(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (65, 65),
        ("130", 130),
        (None, 0),
        (0, 0),
        (-65, None),
        (65.5, None),
        (True, None),
        ("x", None),
    ],
)
def test_a_quantity_is_whole(value: Any, expected: int | None) -> None:
    """The SDK sends a number, others a word."""
    assert whole(value) == expected


def test_an_order_is_read_into_plain_values() -> None:
    """Prices in paise, 0 where there is none."""
    fields = order_body(correlationId="mine", disclosedQuantity=0, afterMarketOrder=False)
    assert read_placing(fields, CONTRACTS, client_id=CLIENT) == Placing(
        instrument=CALL.id,
        side="BUY",
        product="INTRADAY",
        order_type="LIMIT",
        validity="DAY",
        quantity=65,
        disclosed_quantity=0,
        price_paise=118_70,
        trigger_paise=0,
        correlation_id="mine",
        is_offline=False,
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ("STOP_LOSS", 130, 110_00, 112_00)),
        ({"triggerPrice": 113.0}, ("STOP_LOSS", 130, 110_00, 113_00)),
        ({"orderType": "LIMIT", "price": 109}, ("LIMIT", 130, 109_00, 0)),
        ({"orderType": "MARKET"}, ("MARKET", 130, 0, 0)),
        ({"quantity": 65}, ("STOP_LOSS", 65, 110_00, 112_00)),
    ],
)
def test_a_change_keeps_what_it_leaves_out(
    fields: dict[str, Any], expected: tuple[str, int, int, int]
) -> None:
    """A stop that becomes a limit order loses its trigger."""
    told = read_changing(fields, ORDER)
    assert isinstance(told, Changing)
    assert (told.order_type, told.quantity, told.price_paise, told.trigger_paise) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"orderType": "FOO"},
        {"validity": "GTC"},
        {"quantity": 66},
        {"quantity": -1},
        {"price": 1.001},
        {"legName": ""},
        {"price": 113},
    ],
    ids=str,
)
def test_a_change_that_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    """With 400."""
    told = read_changing(fields, ORDER)
    assert isinstance(told, Answer)
    assert told.status == 400


@pytest.mark.parametrize(
    ("order_type", "side", "price", "trigger", "is_good"),
    [
        ("LIMIT", Side.BUY, 0, 0, False),
        ("LIMIT", Side.BUY, 1, 0, True),
        ("MARKET", Side.BUY, 0, 0, True),
        ("STOP_LOSS", Side.SELL, 110, 110, True),
        ("STOP_LOSS", Side.SELL, 111, 110, False),
        ("STOP_LOSS", Side.BUY, 110, 110, True),
        ("STOP_LOSS", Side.BUY, 109, 110, False),
        ("STOP_LOSS_MARKET", Side.BUY, 0, 0, False),
    ],
)
def test_prices_belong_to_their_type(
    order_type: str, side: Side, price: int, trigger: int, *, is_good: bool
) -> None:
    """A stop's limit lies behind its trigger, or on it."""
    assert (price_objection(order_type, side, price, trigger) is None) is is_good
