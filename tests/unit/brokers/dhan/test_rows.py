"""Rows of the broker's book and of its stream as ours: quantities first, words last, nothing guessed."""

from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from holdfast.brokers.dhan.fields import Unreadable
from holdfast.brokers.dhan.rows import (
    OrderWords,
    funds_paise,
    lowered,
    net,
    stamp_ns,
    taken_ns,
    trade,
)
from holdfast.domain.book import BookNet, ForeignRow
from holdfast.domain.instrument import Product, Segment, instrument_id
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderType,
    Refusal,
    Side,
)
from tests.support.desk import CALL
from tests.support.dhan_samples import answer, exchanges, sample
from tests.support.dhan_wire import PREFIX

ID = OrderId(f"{PREFIX}-S0007-1-0")
NUMBER = BrokerOrderId("512609150001")

ROW: Mapping[str, Any] = {
    "dhanClientId": "1000000001",
    "orderId": NUMBER,
    "exchangeOrderId": "1200000000000042",
    "correlationId": ID,
    "orderStatus": "PENDING",
    "transactionType": "SELL",
    "exchangeSegment": "NSE_FNO",
    "productType": "INTRADAY",
    "orderType": "STOP_LOSS",
    "validity": "DAY",
    "securityId": "49081",
    "quantity": 100,
    "price": Decimal("90.05"),
    "triggerPrice": Decimal("100.0"),
    "createTime": "2026-09-15 09:31:02",
    "updateTime": "2026-09-15 09:31:04",
    "exchangeTime": "0001-01-01 00:00:00",
    "omsErrorCode": "0",
    "omsErrorDescription": "CONFIRMED",
    "remainingQuantity": 100,
    "averageTradedPrice": Decimal("0.0"),
    "filledQty": 0,
}
"""A row of GET /orders."""

ALERT: Mapping[str, Any] = {
    "exchange": "NSE",
    "segment": "D",
    "source": "P",
    "securityId": "49081",
    "clientId": "1000000001",
    "exchOrderNo": "1200000000000042",
    "orderNo": NUMBER,
    "product": "I",
    "txnType": "S",
    "orderType": "SL",
    "validity": "DAY",
    "remainingQuantity": 100,
    "quantity": 100,
    "price": Decimal("90.05"),
    "triggerPrice": 100,
    "orderDateTime": "2026-09-15 09:31:02",
    "exchOrderTime": "2026-09-15 09:31:02",
    "lastUpdatedTime": "2026-09-15 09:31:04",
    "reasonDescription": "CONFIRMED",
    "productName": "INTRADAY",
    "status": "Pending",
    "correlationId": ID,
}
"""The same of the stream: a zero is left out."""


def own(row: Mapping[str, Any], words: OrderWords | None = None) -> OrderRow:
    read = (words or OrderWords(PREFIX)).order(lowered(row))
    assert isinstance(read, OrderRow), read
    return read


def foreign(row: Mapping[str, Any]) -> ForeignRow:
    read = OrderWords(PREFIX).order(lowered(row))
    assert isinstance(read, ForeignRow), read
    return read


def test_a_row_of_the_book_in_full() -> None:
    """Prices are paise, times UTC, `CONFIRMED` is no reason."""
    row = own(ROW)
    assert (row.order_id, row.broker_id) == (ID, NUMBER)
    assert row.status is BrokerStatus.WORKING
    assert row.terms.instrument == instrument_id(Segment.NSE_FNO, 49_081)
    assert (row.terms.product, row.terms.side) == (Product.INTRADAY, Side.SELL)
    assert row.terms.order_type is OrderType.STOP_LIMIT
    assert (row.terms.limit_paise, row.terms.trigger_paise) == (9_005, 10_000)
    assert (row.terms.quantity, row.filled_quantity, row.filled_value_paise) == (100, 0, 0)
    assert row.venue_at_ns == 1_789_444_864 * 10**9  # 09:31:04 in India
    assert (row.refusal, row.reason) == (None, "")


def test_the_stream_and_the_book_say_the_same() -> None:
    """Two vocabularies, one order: else each read would look like a change."""
    assert own(ALERT) == own(ROW)


@pytest.mark.parametrize(
    "change", [str.upper, str.lower, str.title, lambda key: key[:1].upper() + key[1:]]
)
@pytest.mark.parametrize("row", [ROW, ALERT])
def test_keys_are_read_in_any_case(change: Any, row: Mapping[str, Any]) -> None:
    """The documents show PascalCase, the wire sends camelCase (dhan.md 5)."""
    assert own({change(key): value for key, value in row.items()}) == own(row)


def test_what_is_absent_is_zero() -> None:
    """A parser that keeps old values would show fills that never were (dhan.md 5)."""
    words = OrderWords(PREFIX)
    partly = {**ALERT, "tradedQty": 40, "avgTradedPrice": Decimal("90.10")}
    assert own(partly, words).filled_quantity == 40
    assert own(ALERT, words).filled_quantity == 0


@pytest.mark.parametrize(
    ("word", "filled", "status"),
    [
        ("TRANSIT", 0, BrokerStatus.TRANSIT),
        ("Transit", 40, BrokerStatus.WORKING),
        ("PENDING", 0, BrokerStatus.WORKING),
        ("Pending", 40, BrokerStatus.WORKING),
        ("Pending", 100, BrokerStatus.FILLED),
        ("PART_TRADED", 40, BrokerStatus.WORKING),
        ("Part Traded", 40, BrokerStatus.WORKING),
        ("MODIFIED", 0, BrokerStatus.WORKING),
        ("Modified", 40, BrokerStatus.WORKING),
        ("TRIGGERED", 0, BrokerStatus.TRIGGERED),
        ("TRADED", 100, BrokerStatus.FILLED),
        ("Traded", 40, BrokerStatus.WORKING),
        ("TRADED", 0, BrokerStatus.UNKNOWN),
        ("CANCELLED", 0, BrokerStatus.CANCELLED),
        ("Cancelled", 40, BrokerStatus.CANCELLED),
        ("REJECTED", 0, BrokerStatus.REJECTED),
        ("EXPIRED", 0, BrokerStatus.EXPIRED),
        ("INACTIVE", 0, BrokerStatus.UNKNOWN),
        ("Frozen", 0, BrokerStatus.UNKNOWN),
        ("", 0, BrokerStatus.UNKNOWN),
        ("Cancelled", 100, BrokerStatus.FILLED),
    ],
)
@pytest.mark.proves("T15")
def test_the_state_is_the_quantities_and_then_the_word(
    word: str, filled: int, status: BrokerStatus
) -> None:
    """`Modified` and TRIGGERED work, INACTIVE and what nobody knows is unknown (T15)."""
    row = {**ROW, "orderStatus": word, "filledQty": filled, "averageTradedPrice": Decimal("90.1")}
    assert own(row).status is status


def test_an_unknown_word_is_logged_once() -> None:
    """It is an alarm; repeated a thousand times it would be noise."""
    words = OrderWords(PREFIX)
    row = {**ROW, "orderStatus": "Frozen"}
    with capture_logs() as logged:
        assert own(row, words).status is own(row, words).status is BrokerStatus.UNKNOWN
    assert [(one["log_level"], one["status"]) for one in logged] == [("error", "'FROZEN'")]


def test_a_fills_value_is_its_average_times_its_quantity() -> None:
    """The average has two decimals: the value is provisional until the trades tell it (T30)."""
    row = own({**ROW, "filledQty": 40, "averageTradedPrice": Decimal("90.13")})
    assert row.filled_value_paise == 9_013 * 40
    alert = own({**ALERT, "tradedQty": 40, "tradedPrice": Decimal("90.15")})
    assert alert.filled_value_paise == 9_015 * 40
    unpriced = own({**ROW, "filledQty": 40})
    assert unpriced.filled_value_paise == 9_005 * 40


@pytest.mark.parametrize(
    ("lots", "prices", "average", "expected"),
    [
        (3, (12_925, 12_925, 12_930), "129.27", 65 * 38_780),
        (4, (10_485, 10_485, 10_490, 10_500), "104.90", 65 * 41_960),
        (1, (10_485,), "104.85", 65 * 10_485),
    ],
)
def test_a_mean_price_of_few_digits_becomes_the_value_of_whole_lots(
    lots: int, prices: tuple[int, ...], average: str, expected: int
) -> None:
    """Two digits of a mean are wrong by up to a rupee; whole lots on the step are not."""
    assert sum(65 * price for price in prices) == expected
    words = OrderWords(PREFIX, {CALL.id: CALL})
    row = {**ROW, "securityId": str(CALL.security_id), "quantity": 65 * lots}
    change = {"filledQty": 65 * lots, "averageTradedPrice": Decimal(average)}
    assert own({**row, **change}, words).filled_value_paise == expected
    odd = {"quantity": 100, "filledQty": 40, "averageTradedPrice": Decimal("129.27")}
    assert own({**row, **odd}, words).filled_value_paise == 40 * 12_927


@pytest.mark.parametrize("word", ["MARKET", "MKT", "STOP_LOSS_MARKET", "SLM"])
def test_an_order_of_ours_that_somebody_made_a_market_order_is_still_read(word: str) -> None:
    """The owner can in the app; it must not make the book unreadable."""
    row = own({**ROW, "orderType": word, "price": Decimal(0), "triggerPrice": Decimal(0)})
    assert row.terms.order_type is OrderType.LIMIT
    assert row.terms.limit_paise > 0


def test_a_stop_that_lost_its_trigger_is_a_limit_order() -> None:
    """It rests in the book at its limit."""
    row = own({**ALERT, "triggerPrice": None})
    assert (row.terms.order_type, row.terms.limit_paise) == (OrderType.LIMIT, 9_005)


@pytest.mark.proves("T13")
def test_a_rejections_class_is_that_of_its_text() -> None:
    """Risk refusals come after the 200, in the row, and its error code says nothing (dhan.md 3.1)."""
    text = f"RMS:{NUMBER}:You have insufficient funds. Please add Rs.23.67 to trade."
    row = own({**ROW, "orderStatus": "REJECTED", "omsErrorDescription": text})
    assert (row.refusal, row.reason) == (Refusal.FUNDS, text)
    alert = own({**ALERT, "status": "Rejected", "reasonDescription": "of a new kind"})
    assert (alert.refusal, alert.reason) == (Refusal.OTHER, "of a new kind")


def test_a_self_trade_may_be_told_as_a_cancel() -> None:
    """Any other cancel has no class."""
    text = "Cancelled to prevent a self trade"
    row = own({**ROW, "orderStatus": "CANCELLED", "omsErrorDescription": text})
    assert row.refusal is Refusal.SELF_TRADE
    assert own({**ROW, "orderStatus": "CANCELLED"}).refusal is None


# -- whose it is


@pytest.mark.parametrize("named", ["NA", "", None, "1000000001-1742967679712", "by hand",
                                   f"{PREFIX}-Q0001-1-0", "L000001261119-E0001-1-0"])  # fmt: skip
def test_what_bears_no_id_of_ours_is_somebody_elses(named: str | None) -> None:
    """The owner's, the broker's own, another day's."""
    row = foreign({**ROW, "correlationId": named, "filledQty": 40})
    assert (row.quantity, row.filled_quantity, row.side, row.is_live) == (100, 40, Side.SELL, True)


@pytest.mark.parametrize(
    ("word", "filled", "is_live"),
    [("Pending", 0, True), ("Frozen", 0, True), ("Cancelled", 0, False), ("Traded", 100, False)],
)
def test_a_foreign_order_is_live_until_it_surely_is_not(
    word: str,
    filled: int,
    is_live: bool,  # noqa: FBT001 a parameter of the case
) -> None:
    """What nobody knows may still fill."""
    row = {**ALERT, "correlationId": "NA", "status": word, "tradedQty": filled}
    assert foreign(row).is_live is is_live


@pytest.mark.proves("I-40")
def test_an_order_is_ours_by_its_number_too_once_the_broker_named_it() -> None:
    """Frames without our id have been seen (dhan.md 5)."""
    words = OrderWords(PREFIX)
    unnamed = {key: value for key, value in ALERT.items() if key != "correlationId"}
    assert isinstance(words.order(lowered(unnamed)), ForeignRow)
    words.know(ID, NUMBER)
    assert own(unnamed, words).order_id == ID


@pytest.mark.proves("T21")
def test_the_first_of_two_orders_under_one_id_keeps_the_name() -> None:
    """Both are rows of that id; a search by number asks for the first (T21)."""
    words = OrderWords(PREFIX)
    first, second = own(ROW, words), own({**ROW, "orderId": "512609150002"}, words)
    assert first.order_id == second.order_id == ID
    assert words.number_of(ID) == NUMBER


@pytest.mark.parametrize(
    "change",
    [
        {"exchangeSegment": "MCX_COMM"},
        {"exchangeSegment": "NSE_CURRENCY"},
        {"productType": "CNC"},
        {"productType": "MTF"},
    ],
)
def test_where_we_trade_nothing_no_row_is_told(change: dict[str, str]) -> None:
    """The broker nets those apart from anything of ours (T8)."""
    assert OrderWords(PREFIX).order(lowered({**ROW, **change})) is None


def test_a_leg_of_somebody_else_for_nothing_is_no_reason_to_lose_the_book() -> None:
    """Legs of the owner's bracket orders stand in the book too (dhan.md 3.2)."""
    row = {**ROW, "correlationId": "NA", "quantity": 0}
    assert OrderWords(PREFIX).order(lowered(row)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"orderId": ""},
        {"orderId": "0"},
        {"orderId": None},
        {"securityId": "NA"},
        {"exchangeSegment": ""},
        {"productType": None},
        {"transactionType": "HOLD"},
        {"orderType": "BASKET"},
        {"quantity": 0},
        {"quantity": -65},
        {"quantity": "many"},
        {"filledQty": -1},
        {"filledQty": Decimal("1.5")},
        {"price": Decimal("NaN")},
        {"price": True},
        {"updateTime": "yesterday"},
        {"price": Decimal("1E+999999")},
    ],
)
def test_a_row_that_cannot_be_read_raises_one_error(change: dict[str, object]) -> None:
    """No state is guessed, and nothing else than `Unreadable` is raised."""
    with pytest.raises(Unreadable):
        OrderWords(PREFIX).order(lowered({**ROW, **change}))


_ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.text(max_size=8),
    st.decimals(allow_nan=True), st.just([]), st.just({}),
)  # fmt: skip


@given(
    st.sampled_from([ROW, ALERT]),
    st.dictionaries(st.sampled_from([*ROW, *ALERT]), _ANYTHING, max_size=4),
)
def test_whatever_stands_in_a_row_it_is_read_or_refused(
    row: Mapping[str, Any], change: dict[str, object]
) -> None:
    """No other exception reaches the loop."""
    with suppress(Unreadable):
        OrderWords(PREFIX).order(lowered({**row, **change}))


# -- trades, positions, cash


def test_a_trade_is_price_times_quantity() -> None:
    """One row per fill."""
    row = {"orderId": NUMBER, "exchangeTradeId": "233251898", "tradedQuantity": 65,
           "tradedPrice": Decimal("101.35")}  # fmt: skip
    read = trade(lowered(row), 1)
    assert (read.trade_id, read.broker_id) == ("233251898", NUMBER)
    assert (read.quantity, read.value_paise) == (65, 10_135 * 65)
    assert trade(lowered({**row, "exchangeTradeId": "0"}), 3).trade_id == f"{NUMBER}/3"


@pytest.mark.parametrize(
    "change", [{"tradedQuantity": 0}, {"tradedPrice": 0}, {"orderId": "NA"}, {"tradedPrice": None}]
)
def test_a_trade_of_nothing_is_refused(change: dict[str, object]) -> None:
    """It would explain a fill by nothing."""
    row = {"orderId": "1", "exchangeTradeId": "2", "tradedQuantity": 1, "tradedPrice": 1}
    with pytest.raises(Unreadable):
        trade(lowered({**row, **change}), 1)


POSITION: Mapping[str, Any] = {
    "tradingSymbol": None,
    "securityId": "49081",
    "positionType": "LONG",
    "exchangeSegment": "NSE_FNO",
    "productType": "INTRADAY",
    "buyQty": 130,
    "sellQty": 65,
    "netQty": 65,
    "carryForwardBuyQty": 0,
    "carryForwardSellQty": 0,
    "dayBuyQty": 130,
    "daySellQty": 65,
}


@pytest.mark.parametrize(
    ("change", "bought", "sold"),
    [
        ({}, 130, 65),
        ({"netQty": 0, "sellQty": 130}, 130, 130),
        ({"carryForwardBuyQty": 65, "netQty": 130, "buyQty": 195}, 195, 65),
        ({"carryForwardBuyQty": 65, "netQty": 130}, 195, 65),
    ],
)
def test_a_position_is_what_was_bought_and_sold_carried_ones_included(
    change: dict[str, object], bought: int, sold: int
) -> None:
    """Whether the sums hold what was carried is not documented; the net decides."""
    assert net(lowered({**POSITION, **change})) == BookNet(
        instrument=instrument_id(Segment.NSE_FNO, 49_081),
        product=Product.INTRADAY,
        bought=bought,
        sold=sold,
    )


def test_a_position_that_contradicts_itself_is_refused() -> None:
    """Half of a position would shrink an exit."""
    with pytest.raises(Unreadable):
        net(lowered({**POSITION, "netQty": 64}))
    assert net(lowered({**POSITION, "productType": "CNC"})) is None


def test_free_cash_is_found_under_its_misspelt_name(shared_data: Path) -> None:
    """And under the right one, should the broker correct it."""
    told = answer(sample(shared_data, "fundlimit.json")).payload
    assert isinstance(told, dict)
    assert funds_paise(lowered(told)) == 11_564
    sandbox = answer(sample(shared_data, "fundlimit_sandbox.json")).payload
    assert isinstance(sandbox, dict)
    assert funds_paise(lowered(sandbox)) == 100_000_000
    assert funds_paise(lowered({"availableBalance": Decimal("-12.345")})) == -1_234
    with pytest.raises(Unreadable):
        funds_paise({})


def test_sentinels_are_no_times() -> None:
    """An order that the exchange never had has none (dhan.md 3)."""
    never = {"updateTime": "0001-01-01 00:00:00", "exchangeTime": "NA"}
    assert stamp_ns(lowered(never)) == 0
    assert stamp_ns(lowered({**never, "createTime": "1970-01-01 05:30:01"})) == 10**9
    assert taken_ns(lowered(ROW)) == 1_789_444_862 * 10**9


# -- what the broker really sent


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("order_update_modified_sl_option.json", BrokerStatus.WORKING),
        ("order_update_pending_limit.json", BrokerStatus.WORKING),
        ("order_update_rejected_funds.json", BrokerStatus.REJECTED),
        ("order_update_traded_after_modify_to_market.json", BrokerStatus.FILLED),
        ("order_update_traded_option_api.json", BrokerStatus.FILLED),
    ],
)
def test_every_recorded_alert_is_read(shared_data: Path, name: str, status: BrokerStatus) -> None:
    """As an order of somebody else, and as one of ours would be."""
    message = answer(sample(shared_data, name)).payload
    assert isinstance(message, dict)
    data = message["Data"]
    assert isinstance(OrderWords(PREFIX).order(lowered(data)), ForeignRow)
    row = own({**data, "correlationId": ID})
    assert row.status is status
    assert row.venue_at_ns > 0
    if status is BrokerStatus.REJECTED:
        assert row.refusal is Refusal.FUNDS


def test_the_recorded_stop_of_an_option_in_full(shared_data: Path) -> None:
    """A frame of the API's own, of an option."""
    message = answer(sample(shared_data, "order_update_modified_sl_option.json")).payload
    assert isinstance(message, dict)
    row = own({**message["Data"], "correlationId": ID})
    assert row.terms.instrument == instrument_id(Segment.NSE_FNO, 45_471)
    assert (row.terms.limit_paise, row.terms.trigger_paise) == (13_100, 13_120)
    assert (row.terms.side, row.terms.quantity) == (Side.SELL, 75)


@pytest.mark.parametrize(
    "name",
    ["orders_list.json", "orders_list_rejected_row.json", "orders_list_rejected_funds_row.json",
     "order_by_id.json"],
)  # fmt: skip
def test_every_recorded_order_row_is_read(shared_data: Path, name: str) -> None:
    """Also those of products that we do not trade, once they are in ours."""
    told = answer(sample(shared_data, name)).payload
    assert isinstance(told, list)
    for data in told:
        row = own({**data, "correlationId": ID, "productType": "INTRADAY"})
        assert row.terms.quantity >= 1
        is_rejected = data["orderStatus"] == "REJECTED"
        assert (row.refusal is not None) is is_rejected
        assert row.refusal in (None, Refusal.FUNDS, Refusal.BAND)


def test_every_recorded_trade_is_read(shared_data: Path) -> None:
    """35 fills of a day, several of one order."""
    found = [one for one in exchanges(shared_data) if one.uri.endswith("/v2/trades")]
    assert found
    for one in found:
        rows = msgspec.json.Decoder(float_hook=Decimal).decode(one.body)
        trades = [trade(lowered(row), number) for number, row in enumerate(rows, 1)]
        assert all(read.quantity > 0 and read.value_paise > 0 for read in trades)
        assert len({(read.broker_id, read.trade_id) for read in trades}) == len(rows)
