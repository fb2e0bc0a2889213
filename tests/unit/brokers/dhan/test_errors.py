"""What the broker's refusals mean: the message decides, whatever envelope it comes in."""

from pathlib import Path

import pytest

from holdfast.brokers.dhan.errors import (
    TEXT_MAX,
    is_address_refused,
    is_token_dead,
    refusal_of,
    text_of,
)
from holdfast.domain.order import Refusal
from tests.support.dhan_samples import answer, sample

T13 = {
    Refusal.TOKEN: [
        "Invalid Token",
        "Client ID or user generated access token is invalid or expired.",
        "808 Authentication Failed - Client ID or Token invalid",
        "807 Access token is expired",
        "809 Access token invalid",
        "810 Client ID is invalid",
    ],
    Refusal.IP: ["Invalid IP"],
    Refusal.RATE: [
        "805 Too many requests. Further requests may result in the user being blocked.",
        "Too many requests on server from single user breaching rate limits.",
        "Rate_Limit: Too many requests",
    ],
    Refusal.CLOSED_MARKET: [
        "Market is Closed! You cannot modify/cancel an order now.",
        "Market is Closed! Want to place an offline order?",
        "Markets are Offline or Blocked",
        "NSE market is closed",
        "RMS:7:Intraday orders are not allowed after the square-off time",
    ],
    Refusal.FUNDS: [
        "RMS:341260200000001:You have insufficient funds. Please add Rs.23.67 to trade.",
        "RMS: insufficient funds",
        "Insufficient funds: required 12.00, available 3.00",
        "RMS:1:Margin Exceeds, Available: 10.00, Required: 805.00",
    ],
    Refusal.SELF_TRADE: ["Self trade with order 1", "Cancelled to prevent a self trade"],
    Refusal.TRIGGER_DISTANCE: [
        "16448: limit is too far from the trigger",
        "Limit 80.00 must lie at most 20.00 behind the trigger 100.00",
        "RMS:1:Difference between limit price and trigger price is more than permissible",
        "Trigger Price should be greater than Price",
    ],
    Refusal.BEYOND_TRIGGER: [
        "Trigger price is beyond the last price",
        "Trigger 100.00 is not below the last price 99.00",
        "RMS:1:Trigger price for stop loss sell order should be less than LTP",
        "Trigger price should be greater than last traded price",
    ],
    Refusal.BAND: [
        "RMS:712600000001:Order Price needs to be Circuit Limits of 2915.70 to 3563.50",
        "RMS:7:Order Price needs to be Circuit Limits of 807 to 810",
        "Price is outside of the permitted range",
        "Price 12.00 is outside of 13.00 to 20.00",
        "The price is out of the current execution range",
    ],
    Refusal.QUANTITY: [
        "quantity is required",
        "Quantity exceeds the freeze quantity",
        "Quantity 10 is not a multiple of the lot size 65",
    ],
    Refusal.NOT_MODIFIABLE: [
        "Order is in Transit state",
        "Incorrect request for order and cannot be processed",
        "Order is already traded",
        "Order is cancelled",
        "Order cannot be modified",
        "Order is in the book and cannot become a stop",
        "Order was modified 25 times, no more are allowed",
        "Order 12 not found: order not found",
    ],
    Refusal.OTHER: [
        "Missing required fields, bad values for parameters etc.",
        "Something went wrong",
        "Invalid Price for orderType",
        "Transaction has Failed",
        "",
    ],
}


@pytest.mark.proves("T13", "ORT-2")
@pytest.mark.parametrize(
    ("text", "refusal"), [(text, refusal) for refusal, texts in T13.items() for text in texts]
)
def test_the_message_decides_the_class(text: str, refusal: Refusal) -> None:
    """DH-905 and DH-906 cover nearly everything; a text that nobody knows is OTHER (T13)."""
    assert refusal_of(text) is refusal
    assert refusal_of(text.upper()) is refusal


def test_every_class_of_the_table_is_recognised() -> None:
    """No reaction of T13 hangs on a class that no message leads to."""
    assert T13.keys() == set(Refusal)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"errorType": "Order_Error", "errorCode": "DH-906", "errorMessage": "No"}, "No"),
        ({"data": {"808": "Authentication Failed"}, "status": "failed"},
         "808 Authentication Failed"),
        ({"errorCode": "RS-9005", "httpStatus": "BAD_REQUEST", "internalErrorCode": "RS-9005",
          "internalErrorMessage": "no data"}, "no data"),
        ({"errorCode": "DH-906", "errorMessage": None}, "DH-906"),
        ([{"message": "Something went wrong", "status": "ERROR"}], "Something went wrong"),
        ({"message": "Invalid TOTP", "status": "error"}, "Invalid TOTP"),
        ({"status": "failure"}, "failure"),
        ({"timestamp": 1, "status": 404, "error": "Not Found", "path": "/v2/x"},
         "Not Found (HTTP 404)"),
        ({"orderId": "1", "orderStatus": "REJECTED"}, ""),
        ({"data": {"NSE_EQ": {}}, "status": "success"}, ""),
        ({"status": "SUCCESS", "message": "All orders and positions exited successfully"}, ""),
        ([{"orderId": "1", "omsErrorCode": "0", "omsErrorDescription": "CONFIRMED"}], ""),
        ([], ""),
        (None, ""),
        ("text", ""),
        (7, ""),
    ],
)  # fmt: skip
def test_the_text_is_found_in_every_envelope(payload: object, text: str) -> None:
    """One client must read all of them (dhan.md 1.10); a success is no complaint."""
    assert text_of(payload) == text


def test_an_endless_message_is_cut() -> None:
    """It is journaled."""
    text = text_of({"errorCode": "DH-905", "errorMessage": "x" * 10_000})
    assert len(text) <= TEXT_MAX + 3


@pytest.mark.parametrize(
    ("name", "status", "refusal"),
    [
        ("error_401_dh901.json", 401, Refusal.TOKEN),
        ("charts_error_400_invalid_token.json", 400, Refusal.TOKEN),
        ("marketfeed_ltp_error_401_808.json", 401, Refusal.TOKEN),
        ("charts_error_429_dh904.json", 429, Refusal.RATE),
        ("order_error_400_invalid_ip.json", 400, Refusal.IP),
        ("order_error_400_cancel_in_transit.json", 400, Refusal.NOT_MODIFIABLE),
        ("order_error_400_quantity_required.json", 400, Refusal.QUANTITY),
        ("order_error_400_correlation_too_long.json", 400, Refusal.OTHER),
        ("order_place_error_400_dh905.json", 400, Refusal.OTHER),
        ("order_external_error_404.json", 404, Refusal.NOT_MODIFIABLE),
        ("order_modify_error_400_market_closed.json", 400, Refusal.CLOSED_MARKET),
        ("error_404_unknown_path.json", 404, Refusal.OTHER),
        ("ip_getip_error_200.json", 200, Refusal.OTHER),
        ("auth_generate_token_invalid_totp.json", 200, Refusal.OTHER),
        ("charts_error_500_rs9005.json", 500, Refusal.OTHER),
        ("charts_error_400_rs9005_no_data.json", 400, Refusal.OTHER),
    ],
)
def test_every_recorded_error_has_its_class(
    shared_data: Path, name: str, status: int, refusal: Refusal
) -> None:
    """The bodies that the broker sent."""
    text = text_of(answer(sample(shared_data, name), status).payload)
    assert text
    assert refusal_of(text) is refusal
    assert is_token_dead(text) is (refusal is Refusal.TOKEN)
    assert is_address_refused(text) is (refusal is Refusal.IP)
