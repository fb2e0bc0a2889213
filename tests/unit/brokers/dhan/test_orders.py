"""Requests about orders as bytes, and the meaning of what comes back."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.brokers.dhan.orders import (
    Call,
    Change,
    answered,
    cancel_call,
    checked_number,
    modify_call,
    place_call,
    rupees,
)
from holdfast.brokers.dhan.rest import Answer, CallKind, Failed
from holdfast.domain.command import CancelOrder, ModifyOrder, PlaceOrder
from holdfast.domain.event import Action, OrderAcknowledged, Outcome, SendFailed
from holdfast.domain.instrument import (
    Exchange,
    Instrument,
    Kind,
    OptionType,
    Product,
    Segment,
    instrument_id,
)
from holdfast.domain.order import (
    BrokerOrderId,
    OrderId,
    OrderTerms,
    OrderType,
    Purpose,
    Refusal,
    Side,
)
from tests.support.dhan_samples import answer, exchanges, sample
from tests.support.dhan_wire import CLIENT_ID, PREFIX

ID = OrderId(f"{PREFIX}-E0001-1-0")
NUMBER = BrokerOrderId("512609150001")
CALL = Instrument(
    id=instrument_id(Segment.NSE_FNO, 49_081),
    segment=Segment.NSE_FNO,
    security_id=49_081,
    symbol="NIFTY 24 NOV 25000 CALL",
    exchange=Exchange.NSE,
    kind=Kind.OPTION,
    underlying="NIFTY",
    lot_size=65,
    price_step_paise=5,
    freeze_quantity=1_756,
    expiry="2026-11-24",
    strike_paise=2_500_000,
    option_type=OptionType.CALL,
)
LIMIT = OrderTerms(
    instrument=CALL.id,
    product=Product.INTRADAY,
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    quantity=130,
    limit_paise=13_120,
)
STOP = OrderTerms(
    instrument=CALL.id,
    product=Product.MARGIN,
    side=Side.SELL,
    order_type=OrderType.STOP_LIMIT,
    quantity=65,
    limit_paise=9_005,
    trigger_paise=10_000,
)
PLACE = PlaceOrder(order_id=ID, purpose=Purpose.ENTRY, position=1, terms=LIMIT, fills_seen=0)
MODIFY = ModifyOrder(order_id=ID, broker_id=NUMBER, terms=LIMIT)
CANCEL = CancelOrder(order_id=ID, broker_id=NUMBER)
COMMANDS = (PLACE, MODIFY, CANCEL)


def replied(status: int, body: bytes) -> Answer:
    return answer(body, status)


def test_a_limit_order_as_the_broker_takes_it() -> None:
    """Ids are strings, prices exact rupees, no field is empty (dhan.md 3.1)."""
    call = place_call(PLACE, CALL, CLIENT_ID)
    assert (call.method, call.path, call.kind) == ("POST", "/orders", CallKind.PLACE)
    assert call.body == {
        "dhanClientId": CLIENT_ID,
        "correlationId": ID,
        "transactionType": "BUY",
        "exchangeSegment": "NSE_FNO",
        "productType": "INTRADAY",
        "orderType": "LIMIT",
        "validity": "DAY",
        "securityId": "49081",
        "quantity": 130,
        "price": rupees(13_120),
        "afterMarketOrder": False,
    }


def test_a_stop_bears_its_trigger() -> None:
    """STOP_LOSS with our own limit; nothing else is a stop here."""
    body = place_call(msgspec.structs.replace(PLACE, terms=STOP), CALL, CLIENT_ID).body
    assert body is not None
    assert (body["orderType"], body["triggerPrice"]) == ("STOP_LOSS", rupees(10_000))
    assert (body["transactionType"], body["productType"]) == ("SELL", "MARGIN")


@pytest.mark.proves("T2")
def test_a_modification_says_the_total_quantity_and_no_trigger_with_a_limit() -> None:
    """The exit of a stop is the same order as LIMIT: total, filled part included (T2)."""
    call = modify_call(MODIFY, CLIENT_ID)
    assert (call.method, call.path, call.kind) == ("PUT", f"/orders/{NUMBER}", CallKind.CHANGE)
    assert call.body == {
        "dhanClientId": CLIENT_ID,
        "orderId": NUMBER,
        "orderType": "LIMIT",
        "legName": "ENTRY_LEG",
        "quantity": 130,
        "price": rupees(13_120),
        "validity": "DAY",
    }


def test_a_cancel_names_the_order() -> None:
    """It has no body."""
    assert cancel_call(CANCEL) == Call("DELETE", f"/orders/{NUMBER}", None, CallKind.CHANGE)


@given(st.sampled_from(OrderType), st.integers(1, 10**9))
def test_no_order_without_a_price_can_be_built(order_type: OrderType, paise: int) -> None:
    """MARKET and STOP_LOSS_MARKET are words that no command leads to."""
    trigger = paise if order_type is OrderType.STOP_LIMIT else None
    terms = msgspec.structs.replace(
        LIMIT, order_type=order_type, limit_paise=paise, trigger_paise=trigger
    )
    for call in (
        place_call(msgspec.structs.replace(PLACE, terms=terms), CALL, CLIENT_ID),
        modify_call(msgspec.structs.replace(MODIFY, terms=terms), CLIENT_ID),
    ):
        assert call.body is not None
        assert call.body["orderType"] in ("LIMIT", "STOP_LOSS")
        assert call.body["price"] == rupees(paise)
        assert "" not in call.body.values()


@given(st.integers(1, 10**12))
def test_rupees_are_exact(paise: int) -> None:
    """What goes out is the paise, to the last digit."""
    text = msgspec.json.Encoder(decimal_format="number").encode(rupees(paise)).decode()
    whole, _, part = text.partition(".")
    assert int(whole) * 100 + int(part) == paise


@pytest.mark.proves("GWL-3")
@pytest.mark.parametrize("bad", ["", "x" * 26, "a b", "a/b", "ü"])
def test_an_id_that_the_broker_cannot_give_back_is_not_sent(bad: str) -> None:
    """26 characters are refused, with a text that says nothing (dhan.md 6)."""
    with pytest.raises(ValueError, match="no id"):
        place_call(msgspec.structs.replace(PLACE, order_id=OrderId(bad)), CALL, CLIENT_ID)


@pytest.mark.proves("PLC-3", "I-118")
def test_an_order_goes_to_the_segment_of_its_own_contract() -> None:
    """A security id is unique only together with its segment (dhan.md 3.12)."""
    other = msgspec.structs.replace(
        CALL, segment=Segment.BSE_FNO, id=instrument_id(Segment.BSE_FNO, CALL.security_id)
    )
    with pytest.raises(ValueError, match="is not"):
        place_call(PLACE, other, CLIENT_ID)


@pytest.mark.parametrize("bad", ["", "1/2", "../positions", "1?x", "1 2"])
def test_a_number_that_would_be_another_path_is_not_sent(bad: str) -> None:
    """DELETE /positions would close the whole account."""
    with pytest.raises(ValueError, match="no number"):
        checked_number(BrokerOrderId(bad))


# -- answers


@pytest.mark.proves("GWL-6")
@pytest.mark.parametrize(
    "body",
    [
        b'{"orderId":"512609150001","orderStatus":"TRANSIT"}',
        b'{"orderId":512609150001}',
        b'[{"orderId":"512609150001","orderStatus":"PENDING"}]',
    ],
)
@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_placement_is_taken_when_its_number_is_known(status: int, body: bytes) -> None:
    """It says asked, not done."""
    assert answered(PLACE, replied(status, body)) == OrderAcknowledged(
        at_ns=1, order_id=ID, broker_id=NUMBER
    )


@pytest.mark.proves("GWL-6", "ORT-6")
@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"null", b'{"orderId":""}', b'{"orderId":"0"}', b'{"orderId":true}',
     b'{"status":"error","message":"Something went wrong"}', b'{"orderId":null}', b"7"],
)  # fmt: skip
def test_a_success_without_a_number_may_be_an_order(body: bytes) -> None:
    """Nobody may place another one before the book was read."""
    event = answered(PLACE, replied(200, body))
    assert isinstance(event, SendFailed)
    assert (event.action, event.outcome) == (Action.PLACE, Outcome.UNANSWERED)


@pytest.mark.parametrize("command", [MODIFY, CANCEL])
@pytest.mark.parametrize(
    ("status", "body"),
    [(202, b""), (200, b'{"orderId":"512609150001","orderStatus":"CANCELLED"}'), (200, b"")],
)
def test_a_change_is_taken_with_and_without_a_body(
    command: Change, status: int, body: bytes
) -> None:
    """Both are documented (dhan.md 3.1)."""
    assert answered(command, replied(status, body)) == OrderAcknowledged(
        at_ns=1, order_id=ID, broker_id=NUMBER
    )


@pytest.mark.proves("T13", "PLC-8", "ORT-6")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("status", "text", "refusal"),
    [
        (400, "Invalid IP", Refusal.IP),
        (400, "Order is in Transit state", Refusal.NOT_MODIFIABLE),
        (401, "Invalid Token", Refusal.TOKEN),
        (429, "Too many requests", Refusal.RATE),
        (404, "what nobody has seen", Refusal.OTHER),
    ],
)
def test_a_4xx_with_a_word_is_a_refusal(
    command: Change, status: int, text: str, refusal: Refusal
) -> None:
    """The class is the message's, and the text is kept."""
    body = msgspec.json.encode({"errorCode": "DH-906", "errorMessage": text})
    event = answered(command, replied(status, body))
    assert isinstance(event, SendFailed)
    assert (event.outcome, event.refusal, event.reason) == (Outcome.REFUSED, refusal, text)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b'{"errorCode":"DH-908","errorMessage":"internal"}'),
        (503, b""),
        (400, b""),
        (404, b"[]"),
        (408, b'{"errorCode":"DH-909","errorMessage":"timed out"}'),
    ],
)
def test_only_a_4xx_that_says_why_is_a_no(command: Change, status: int, body: bytes) -> None:
    """Behind a 5xx the order may exist (dhan.md 6)."""
    event = answered(command, replied(status, body))
    assert isinstance(event, SendFailed)
    assert (event.outcome, event.refusal) == (Outcome.UNANSWERED, None)


@pytest.mark.parametrize("command", [MODIFY, CANCEL])
def test_an_error_that_comes_as_a_success_is_a_no_to_a_change(command: Change) -> None:
    """The broker does so elsewhere (dhan.md 1.10)."""
    body = b'[{"message":"Order is already traded","status":"ERROR"}]'
    event = answered(command, replied(200, body))
    assert isinstance(event, SendFailed)
    assert event.refusal is Refusal.NOT_MODIFIABLE


@pytest.mark.proves("ORT-3")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("outcome", [Outcome.NOT_SENT, Outcome.UNANSWERED])
def test_no_answer_keeps_its_outcome(command: Change, outcome: Outcome) -> None:
    """What the connection knows is what the engine learns."""
    event = answered(command, Failed(outcome=outcome, reason="why", at_ns=9))
    assert isinstance(event, SendFailed)
    assert (event.at_ns, event.outcome, event.reason) == (9, outcome, "why")


# -- what the broker really answered


def test_the_sample_answers_are_understood(shared_data: Path) -> None:
    """The bodies of the broker about orders."""
    placed = answered(PLACE, replied(200, sample(shared_data, "order_place_amo.json")))
    assert isinstance(placed, OrderAcknowledged)
    assert placed.broker_id == "787837052138"


def test_the_recorded_answers_to_orders_are_understood(shared_data: Path) -> None:
    """Each recorded placement, modification and cancel is taken or refused, never unknown."""
    commands: dict[str, Change] = {"post": PLACE, "put": MODIFY, "delete": CANCEL}
    found = [one for one in exchanges(shared_data)
             if "/orders" in one.uri and one.method in commands]  # fmt: skip
    assert len(found) >= 7
    for one in found:
        event = answered(commands[one.method], replied(one.status, one.body.encode()))
        is_taken = one.status < 300
        assert isinstance(event, OrderAcknowledged if is_taken else SendFailed), one.cassette
        if isinstance(event, SendFailed):
            assert event.outcome is Outcome.REFUSED
