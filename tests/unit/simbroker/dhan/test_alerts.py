"""An order as the order updates tell it."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from holdfast.domain.instrument import Kind
from holdfast.domain.order import Side
from holdfast.simbroker.dhan.alerts import order_alert
from holdfast.simbroker.dhan.order import AccountOrder, DhanType, Source, Status
from tests.support.desk import OPEN, SECOND
from tests.unit.simbroker.dhan.market_day import CALL, share

STOP = AccountOrder(
    order_id="102250300000001",
    instrument=CALL,
    side=Side.SELL,
    product="INTRADAY",
    order_type=DhanType.STOP_LOSS,
    quantity=130,
    created_ns=OPEN,
    updated_ns=OPEN + 90 * SECOND,
    status=Status.PENDING,
    exchange_id="1300000000000001",
    correlation_id="L1120S0001A1",
    price_paise=131_00,
    trigger_paise=131_20,
    exchange_ns=OPEN + SECOND,
    is_modified=True,
)


def tell(row: AccountOrder, **rest: Any) -> dict[str, Any]:
    """The message's data."""
    told = order_alert(row, client_id="1000000001", last_paise=133_20, **rest)
    assert told["Type"] == "order_alert"
    data: dict[str, Any] = told["Data"]
    return data


def test_a_modified_stop_as_on_the_wire() -> None:
    """Words, cut symbol, whole rupees without a fraction; what is zero is not there."""
    assert tell(STOP) == {
        "exchange": "NSE",
        "segment": "D",
        "source": "P",
        "securityId": "40005",
        "clientId": "1000000001",
        "exchOrderNo": "1300000000000001",
        "orderNo": "102250300000001",
        "product": "I",
        "txnType": "S",
        "orderType": "SL",
        "validity": "DAY",
        "remainingQuantity": 130,
        "quantity": 130,
        "price": 131,
        "triggerPrice": 131.2,
        "strategyId": "NA",
        "offMktFlag": "0",
        "orderDateTime": "2026-11-20 09:15:00",
        "exchOrderTime": "2026-11-20 09:15:01",
        "lastUpdatedTime": "2026-11-20 09:16:30",
        "remarks": " ",
        "mktType": "NL",
        "reasonDescription": "CONFIRMED",
        "legNo": 1,
        "instrument": "OPTIDX",
        "symbol": "NIFTY-Nov2026-2",
        "productName": "INTRADAY",
        "status": "Modified",
        "lotSize": 65,
        "strikePrice": 24500,
        "expiryDate": "2026-11-24",
        "optType": "CE",
        "displayName": "NIFTY 24 NOV 24500 CALL",
        "isin": "NA",
        "series": "XX",
        "goodTillDaysDate": "2026-11-20",
        "refLtp": 133.2,
        "tickSize": 0.05,
        "algoId": "0",
        "multiplier": 1,
        "correlationId": "L1120S0001A1",
    }


SHARE = replace(STOP, instrument=share(11_630), correlation_id="NA", source=Source.WEB)
SAMPLES = {
    "modified_sl_option": STOP,
    "traded_option_api": replace(
        STOP,
        order_type=DhanType.LIMIT,
        trigger_paise=0,
        status=Status.TRADED,
        filled_quantity=130,
        filled_value_paise=130 * 133_55,
        fill_paise=133_55,
    ),
    "pending_limit": replace(
        SHARE, order_type=DhanType.LIMIT, trigger_paise=0, quantity=1, is_modified=False
    ),
    "traded_after_modify_to_market": replace(
        SHARE,
        order_type=DhanType.MARKET,
        price_paise=0,
        trigger_paise=0,
        quantity=1,
        status=Status.TRADED,
        filled_quantity=1,
        filled_value_paise=379_55,
        fill_paise=379_55,
    ),
    "rejected_funds": replace(
        SHARE,
        order_type=DhanType.MARKET,
        price_paise=0,
        trigger_paise=0,
        quantity=1,
        status=Status.REJECTED,
        exchange_id="0",
        exchange_ns=None,
        reason="RMS:102250300000001:You have insufficient funds.",
    ),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_messages_have_the_keys_and_types_of_the_samples(shared_data: Path, name: str) -> None:
    """In their order too; two keys were not there yet when the older ones were recorded."""
    samples = shared_data.parent / "reference" / "dhan-samples"
    recorded = json.loads((samples / f"order_update_{name}.json").read_text())["Data"]
    told = json.loads(json.dumps(tell(SAMPLES[name])))
    for key in {"strategyId", "correlationId"} - recorded.keys():
        del told[key]
    assert list(told) == list(recorded)
    assert {key: _type(value) for key, value in told.items()} == {
        key: _type(value) for key, value in recorded.items()
    }
    assert told["status"] == recorded["status"]
    assert told["segment"] == recorded["segment"]
    assert told["expiryDate"][:2] in (recorded["expiryDate"][:2], "20")


def _type(value: object) -> str:
    return "number" if isinstance(value, int | float) else type(value).__name__


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (Status.TRANSIT, "Transit"),
        (Status.PENDING, "Pending"),
        (Status.PART_TRADED, "Pending"),
        (Status.TRADED, "Traded"),
        (Status.REJECTED, "Rejected"),
        (Status.CANCELLED, "Cancelled"),
        (Status.EXPIRED, "Expired"),
    ],
)
def test_statuses_begin_with_a_capital(status: Status, word: str) -> None:
    """A partial fill is told by its quantities alone; what was taken back has nothing left."""
    told = tell(replace(STOP, status=status, is_modified=False, filled_quantity=65))
    left = 0 if status in {Status.CANCELLED, Status.EXPIRED} else 65
    assert (told["status"], told["tradedQty"]) == (word, 65)
    assert told.get("remainingQuantity", 0) == left


def test_a_mean_price_is_rounded_where_asked() -> None:
    """Otherwise it is as exact as a float."""
    row = replace(STOP, filled_quantity=3, filled_value_paise=400_00, fill_paise=133_30)
    assert tell(row)["avgTradedPrice"] == pytest.approx(133.333333333)
    assert tell(row, decimals=2)["avgTradedPrice"] == 133.33


def test_an_equity_says_so() -> None:
    """Sentinels stand where a derivative has terms."""
    told = tell(SHARE)
    assert share(1).kind is Kind.EQUITY
    assert (told["segment"], told["optType"], told["series"]) == ("E", "XX", "EQ")
    assert told["expiryDate"] == "0001-01-01 00:00:00"
    assert "strikePrice" not in told
