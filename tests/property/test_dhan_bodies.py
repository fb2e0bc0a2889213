"""Bodies of the broker about orders, damaged: read, refused as unreadable, and nothing else.

Rows of the book, answers to requests and words of the order stream begin from bodies of the shapes
that the broker sends (dhan.md 3 and 5), and from its recorded ones where they are at hand.
"""

import json
import os
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from holdfast.brokers.dhan import rows
from holdfast.brokers.dhan.bookread import Rows, Unread, rows_of
from holdfast.brokers.dhan.errors import refusal_of, text_of
from holdfast.brokers.dhan.fields import Unreadable
from holdfast.brokers.dhan.orders import answered
from holdfast.brokers.dhan.rest import Answer
from holdfast.brokers.dhan.updates import UpdateStream
from holdfast.domain.command import CancelOrder, PlaceOrder
from holdfast.domain.event import (
    AnyEvent,
    ForeignUpdated,
    OrderAcknowledged,
    OrderUpdated,
    SendFailed,
)
from holdfast.domain.instrument import Product
from holdfast.domain.order import BrokerOrderId, OrderId, OrderTerms, OrderType, Purpose, Side
from holdfast.runtime.clock import ScaledClock
from tests.support.desk import CALL, OPEN
from tests.support.feed_desk import Holder
from tests.support.hurting import damage, spoil
from tools import CHECKOUT

INPUTS = int(os.environ.get("HOLDFAST_FUZZ", "50000")) // 2
PREFIX: Final = "L1-261120-"
ORDER: Final[dict[str, Any]] = {
    "dhanClientId": "1000000001",
    "orderId": "512611200001",
    "exchangeOrderId": "0",
    "correlationId": "L1-261120-E1-1",
    "orderStatus": "PART_TRADED",
    "transactionType": "BUY",
    "exchangeSegment": "NSE_FNO",
    "productType": "INTRADAY",
    "orderType": "STOP_LOSS",
    "validity": "DAY",
    "securityId": "40001",
    "quantity": 75,
    "price": 101.5,
    "triggerPrice": 101.0,
    "updateTime": "2026-11-20 09:31:04",
    "createTime": "2026-11-20 09:31:02",
    "omsErrorDescription": "CONFIRMED",
    "remainingQuantity": 35,
    "averageTradedPrice": 101.45,
    "filledQty": 40,
}
TRADE: Final = {"orderId": "512611200001", "exchangeTradeId": "7", "tradedQuantity": 40} | {
    "tradedPrice": 101.45
}
POSITION: Final[dict[str, Any]] = {
    "securityId": "40001",
    "exchangeSegment": "NSE_FNO",
    "productType": "INTRADAY",
    "buyQty": 40,
    "sellQty": 0,
    "netQty": 40,
    "dayBuyQty": 40,
    "daySellQty": 0,
    "carryForwardBuyQty": 0,
    "carryForwardSellQty": 0,
}
ALERT: Final[dict[str, Any]] = {
    "Type": "order_alert",
    "Data": {
        "exchange": "NSE",
        "segment": "D",
        "securityId": "40001",
        "orderNo": "512611200001",
        "product": "I",
        "txnType": "B",
        "orderType": "SL",
        "quantity": 75,
        "tradedQty": 40,
        "price": 101.5,
        "triggerPrice": 101.0,
        "avgTradedPrice": 101.45,
        "lastUpdatedTime": "2026-11-20 09:31:04",
        "status": "Pending",
        "reasonDescription": "TRADE CONFIRMED",
        "correlationId": "L1-261120-E1-1",
    },
}
BODIES: Final[list[Any]] = [
    [ORDER],
    ORDER,
    [TRADE],
    [POSITION],
    ALERT,
    {"availabelBalance": 250_000.0, "sodLimit": 1},
    {"orderId": "512611200001", "orderStatus": "TRANSIT"},
    {"errorType": "Order_Error", "errorCode": "DH-906", "errorMessage": "Invalid Token"},
    {"data": {"805": "Too many requests."}, "status": "failed"},
    [{"message": "Something went wrong", "status": "ERROR"}],
    {"timestamp": 1, "status": 404, "error": "Not Found", "path": "/v2/x"},
]
TERMS: Final = OrderTerms(
    instrument=CALL.id,
    product=Product.INTRADAY,
    side=Side.BUY,
    quantity=75,
    order_type=OrderType.LIMIT,
    limit_paise=10_150,
)
PLACE: Final = PlaceOrder(
    order_id=OrderId("L1-261120-E1-1"),
    purpose=Purpose.ENTRY,
    position=1,
    terms=TERMS,
    fills_seen=0,
)
CANCEL: Final = CancelOrder(order_id=PLACE.order_id, broker_id=BrokerOrderId("512611200001"))


def bodies() -> list[Any]:
    """Ours, and the recorded ones that are not large."""
    shared = Path(os.environ.get("HOLDFAST_SHARED", CHECKOUT.parent / "shared"))
    found = sorted((shared / "reference" / "dhan-samples").glob("*.json"))
    small = [path for path in found if path.stat().st_size < 4_096]
    return BODIES * 5 + [json.loads(path.read_bytes()) for path in small]


def hurt(seed: int) -> Iterator[bytes]:
    """Bodies with hurt values, and now and then hurt bytes."""
    chance, whole = random.Random(seed), bodies()
    for _ in range(INPUTS):
        value = chance.choice(whole)
        for _ in range(chance.randrange(3)):
            value = spoil(value, chance)
        body = json.dumps(value).encode()
        yield damage(body, chance) if chance.randrange(5) == 0 else body


def answer(body: bytes, status: int) -> Answer | None:
    """What the client makes of a body, or that it is no JSON."""
    try:
        payload = msgspec.json.Decoder(float_hook=Decimal).decode(body) if body else None
    except (msgspec.MsgspecError, ValueError, ArithmeticError):
        return None
    return Answer(status=status, payload=payload, body=body, at_ns=OPEN)


def reads(row: rows.Row, reader: Callable[[rows.Row], object]) -> bool:
    """Whether a row can be read; `Unreadable` is the only other way."""
    try:
        return reader(row) is not None
    except Unreadable:
        return False


@pytest.mark.timeout(300)
def test_no_row_of_the_book_raises_anything_but_that_it_cannot_be_read() -> None:
    """Orders, trades, positions and funds, whichever body they come in."""
    words = rows.OrderWords(PREFIX)
    read = dict.fromkeys(["order", "trade", "net", "funds"], 0)
    for body in hurt(3):
        reply = answer(body, 200)
        if reply is None:
            continue
        found = rows_of(reply)
        assert isinstance(found, Rows | Unread)
        for row in found.rows if isinstance(found, Rows) else ():
            read["order"] += reads(row, words.order)
            read["trade"] += reads(row, lambda one: rows.trade(one, 1))
            read["net"] += reads(row, rows.net)
        if isinstance(reply.payload, dict):
            read["funds"] += reads(reply.payload, lambda one: rows.funds_paise(rows.lowered(one)))
    assert min(read.values()) > INPUTS // 200, read


@pytest.mark.timeout(300)
def test_no_answer_to_a_request_raises() -> None:
    """Taken, refused or unanswered: each status with each body is one of them."""
    outcomes: dict[str, int] = {}
    for number, body in enumerate(hurt(5)):
        status = (200, 202, 400, 401, 404, 429, 500, 502)[number % 8]
        reply = answer(body, status)
        if reply is None:
            continue
        refusal_of(text_of(reply.payload))
        for command in (PLACE, CANCEL):
            told = answered(command, reply)
            assert isinstance(told, OrderAcknowledged | SendFailed)
            kind = "taken" if isinstance(told, OrderAcknowledged) else told.outcome.value
            outcomes[kind] = outcomes.get(kind, 0) + 1
            assert kind != "taken" or status in {200, 202}
    assert outcomes.keys() == {"taken", "refused", "unanswered"}


@pytest.mark.timeout(300)
def test_no_word_of_the_order_stream_raises() -> None:
    """It is a word about an order, or counted as refused; half a message is neither a word nor a fault."""
    told: list[AnyEvent] = []
    stream = UpdateStream(
        "ws://127.0.0.1:9",
        Holder(),
        ScaledClock(OPEN, 1),
        words=rows.OrderWords(PREFIX),
        tell=told.append,
    )
    for body in hurt(7):
        stream.take(body)
    assert all(isinstance(event, OrderUpdated | ForeignUpdated) for event in told)
    assert len(told) > INPUTS // 50
    assert stream.refused > INPUTS // 50
    for event in told:
        row = event.row if isinstance(event, OrderUpdated | ForeignUpdated) else None
        assert row is not None
        assert row.filled_quantity >= 0
