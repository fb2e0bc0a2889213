"""Orders and trades over real sockets: what Dhan answers, and what becomes of an order."""

import json
from pathlib import Path
from typing import Any

import pytest

from holdfast.exchange.checks import Behaviour, ModifyBehaviour
from holdfast.simbroker.dhan.doubts import CancelAnswer, Doubts, External, Released, StopMarket
from tests.support.desk import CLOSE, OPEN, SECOND
from tests.unit.simbroker.dhan.market_day import option_tick
from tests.unit.simbroker.dhan.served import BOOK, Served, in_server, order_body
from tests.unit.simbroker.dhan.shapes import shape

DH_905 = {
    "errorType": "Input_Exception",
    "errorCode": "DH-905",
    "errorMessage": "Missing required fields, bad values for parameters etc.",
}


def sample(shared_data: Path, name: str) -> Any:
    """A body that was recorded."""
    folder = shared_data.parent / "reference" / "dhan-samples"
    return json.loads((folder / f"{name}.json").read_text())


def order_error(message: str) -> dict[str, str]:
    """A refusal of the trading family."""
    return {"errorType": "Order_Error", "errorCode": "DH-906", "errorMessage": message}


def test_an_order_is_in_transit_until_the_exchange_has_it(shared_data: Path) -> None:
    """Then it rests, trades, and its row and trade tell so in the keys of the samples."""

    async def test(served: Served) -> None:
        status, told = await served.place(quantity=130, correlationId="mine-1")
        assert (status, told["orderStatus"]) == (200, "TRANSIT")
        assert shape(told) == shape(sample(shared_data, "order_place_amo"))
        assert list(told) == list(sample(shared_data, "order_place_amo"))
        row = await served.row(told["orderId"])
        assert (row["orderStatus"], row["exchangeOrderId"]) == ("TRANSIT", "0")
        assert row["exchangeTime"] == "0001-01-01 00:00:00"
        served.wait(0.2)
        row = await served.row(told["orderId"])
        recorded = sample(shared_data, "orders_list")[0]
        assert (list(row), shape(row)) == (list(recorded), shape(recorded))
        assert {name: type(value) for name, value in row.items()} == {
            name: type(value) for name, value in recorded.items()
        }
        assert (row["orderStatus"], row["filledQty"], row["averageTradedPrice"]) == (
            "TRADED",
            130,
            118.7,
        )
        assert (row["correlationId"], row["remainingQuantity"]) == ("mine-1", 0)
        assert row["createTime"] == row["updateTime"] == "2026-11-20 09:15:01"
        assert row["drvExpiryDate"] == "2026-11-24"
        assert (row["drvOptionType"], row["drvStrikePrice"]) == ("CALL", 24_500.0)
        _, trades = await served.ask("GET", "/trades")
        traded = sample(shared_data, "trades_today")[4]
        assert (list(trades[0]), shape(trades)) == (list(traded), [shape(traded)])
        assert (trades[0]["tradedQuantity"], trades[0]["tradedPrice"]) == (130, 118.7)
        assert await served.ask("GET", f"/trades/{told['orderId']}") == (200, trades)
        assert await served.ask("GET", "/trades/") == (200, trades)
        assert await served.ask("GET", "/trades/1") == (200, [])

    in_server(test)


def test_books_are_empty_arrays_and_an_unknown_id_is_one_too() -> None:
    """As recorded: neither is an error."""

    async def test(served: Served) -> None:
        for path in ("/orders", "/orders/512609150001", "/trades", "/positions"):
            assert await served.ask("GET", path) == (200, [])

    in_server(test)


def test_a_lookup_by_correlation_id_knows_nothing_of_what_is_in_transit(
    shared_data: Path,
) -> None:
    """404 for it and for what nobody knows, word for word; then the youngest with the id."""

    async def test(served: Served) -> None:
        unknown = 404, sample(shared_data, "order_external_error_404")
        assert await served.ask("GET", "/orders/external/mine-1") == unknown
        await served.place(correlationId="mine-1")
        assert await served.ask("GET", "/orders/external/mine-1") == unknown
        served.wait(0.2)
        second = await served.placed(correlationId="mine-1", price=100)
        status, told = await served.ask("GET", "/orders/external/mine-1")
        assert (status, told["orderId"], told["correlationId"]) == (200, second, "mine-1")

    in_server(test)


def test_where_nobody_knows_the_lookup_may_answer_an_array() -> None:
    """A switch: object or array."""

    async def test(served: Served) -> None:
        order_id = await served.placed(correlationId="mine-1")
        _, told = await served.ask("GET", "/orders/external/mine-1")
        assert [one["orderId"] for one in told] == [order_id]

    in_server(test, doubts=Doubts(external=External.ARRAY))


def test_one_id_twice_is_two_orders() -> None:
    """Nothing makes a correlation id unique (dhan.md 6)."""

    async def test(served: Served) -> None:
        ids = [await served.placed(correlationId="mine-1", price=100) for _ in range(2)]
        assert len({*ids}) == 2
        _, rows = await served.ask("GET", "/orders")
        assert [row["orderId"] for row in rows] == ids

    in_server(test)


def test_an_order_without_an_id_gets_one_of_the_brokers() -> None:
    """Client id, a dash and 13 digits of milliseconds: 24 characters, each another."""

    async def test(served: Served) -> None:
        ids = [await served.placed(price=100) for _ in range(2)]
        tags = [(await served.row(one))["correlationId"] for one in ids]
        assert len({*tags}) == 2
        for tag in tags:
            assert tag.startswith("1000000001-17")
            assert len(tag) == 24

    in_server(test)


@pytest.mark.parametrize(
    "fields",
    [
        {"correlationId": "x" * 26},
        {"correlationId": "a/b"},
        {"transactionType": "buy"},
        {"exchangeSegment": "nse_fno"},
        {"securityId": "99999"},
        {"securityId": "13", "exchangeSegment": "IDX_I"},
        {"orderType": "FOO"},
        {"validity": None},
        {"productType": ""},
        {"quantity": 66},
        {"price": -1},
        {"price": 118.701},
        {"dhanClientId": "1"},
        {"orderType": "STOP_LOSS"},
    ],
    ids=str,
)
def test_what_cannot_be_an_order_is_refused_at_once(fields: dict[str, Any]) -> None:
    """400 DH-905, and nothing is in the book."""

    async def test(served: Served) -> None:
        assert await served.place(**fields) == (400, DH_905)
        assert await served.ask("GET", "/orders") == (200, [])

    in_server(test)


def test_an_id_of_25_characters_is_taken() -> None:
    """The limit as it was measured, not the 30 of the documentation."""

    async def test(served: Served) -> None:
        assert (await served.place(correlationId="x" * 25))[0] == 200

    in_server(test)


def test_quantity_is_judged_before_the_address_and_that_before_the_rest(
    shared_data: Path,
) -> None:
    """The order that was measured, with the recorded bodies."""

    async def test(served: Served) -> None:
        await served.faults({"kind": "ip_refused"})
        bad = {"securityId": "99999"}
        assert await served.ask("POST", "/orders") == (400, DH_905)
        assert await served.place(quantity=None, **bad) == (
            400,
            sample(shared_data, "order_error_400_quantity_required"),
        )
        refused = 400, sample(shared_data, "order_error_400_invalid_ip")
        assert await served.place(**bad) == refused
        await served.ask("DELETE", "/faults", host="control")
        assert await served.place(**bad) == (400, DH_905)

    in_server(test)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"orderType": "STOP_LOSS", "transactionType": "SELL", "price": 110, "triggerPrice": 1},
            "Trigger Price should be greater than Price",
        ),
        (
            {"orderType": "STOP_LOSS", "price": 110, "triggerPrice": 111},
            "Trigger Price should be less than Price",
        ),
        (
            {"orderType": "STOP_LOSS_MARKET", "price": None, "triggerPrice": 120},
            "Trigger Price should be greater than Price",
        ),
    ],
    ids=["sell", "buy", "market"],
)
def test_a_stop_on_the_wrong_side_is_an_order_error(fields: dict[str, Any], message: str) -> None:
    """DH-906, also for the stop-market that Dhan mangles."""

    async def test(served: Served) -> None:
        assert await served.place(**fields) == (400, order_error(message))

    in_server(test)


def test_a_stop_market_may_be_mangled_instead() -> None:
    """Then it rests as a stop with a price of the broker's behind its trigger."""

    async def test(served: Served) -> None:
        order_id = await served.placed(orderType="STOP_LOSS_MARKET", price=0, triggerPrice=120)
        row = await served.row(order_id)
        assert (row["orderStatus"], row["orderType"]) == ("PENDING", "STOP_LOSS")
        assert (row["triggerPrice"], row["price"]) == (120.0, 123.6)

    in_server(test, doubts=Doubts(stop_market=StopMarket.MANGLED))


def test_a_market_order_becomes_a_limit_order() -> None:
    """It takes what the book has and rests at its protected price with what is left."""

    async def test(served: Served) -> None:
        order_id = await served.placed(orderType="MARKET", price=0, quantity=715)
        row = await served.row(order_id)
        assert (row["orderType"], row["price"]) == ("LIMIT", 122.3)
        assert (row["orderStatus"], row["filledQty"]) == ("PART_TRADED", 650)

    in_server(test)


def test_what_the_risk_desk_refuses_is_rejected_later(shared_data: Path) -> None:
    """The answer was 200; the row says why, in Dhan's words, and the exchange never had it."""

    async def test(served: Served) -> None:
        order_id = await served.placed(quantity=1_690, price=118.7)
        row = await served.row(order_id)
        recorded = sample(shared_data, "orders_list_rejected_funds_row")[0]
        assert (list(row), shape(row)) == (list(recorded), shape(recorded))
        assert (row["orderStatus"], row["exchangeOrderId"]) == ("REJECTED", "0")
        text = f"RMS:{order_id}:You have insufficient funds. Please add Rs.603.00 to trade."
        assert (row["omsErrorDescription"], row["omsErrorCode"]) == (text, "0")

    in_server(test)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"productType": "CNC"}, "Product CNC is not allowed"),
        ({"price": 118.72}, "is not a multiple of the tick size"),
        ({"price": 300}, "Order Price needs to be Circuit Limits of "),
        ({"quantity": 1_820, "price": 1}, "freeze quantity"),
    ],
    ids=["product", "step", "band", "freeze"],
)
def test_every_later_no_stands_in_the_row(fields: dict[str, Any], words: str) -> None:
    """REJECTED and `RMS:` with the order's number before the reason."""

    async def test(served: Served) -> None:
        order_id = await served.placed(**fields)
        row = await served.row(order_id)
        assert row["orderStatus"] == "REJECTED"
        assert row["omsErrorDescription"].startswith(f"RMS:{order_id}:")
        assert words in row["omsErrorDescription"]

    in_server(test)


def test_an_order_is_changed_and_its_quantity_is_the_total() -> None:
    """A part that traded counts: what is asked for is the new whole."""

    async def test(served: Served) -> None:
        order_id = await served.placed(quantity=715)
        change = {
            "dhanClientId": "1000000001",
            "orderId": order_id,
            "orderType": "LIMIT",
            "legName": "NA",
            "quantity": 780,
            "price": 118.65,
            "validity": "DAY",
        }
        told = await served.ask("PUT", f"/orders/{order_id}", change)
        assert told == (200, {"orderId": order_id, "orderStatus": "TRANSIT"})
        served.wait(0.2)
        row = await served.row(order_id)
        assert (row["quantity"], row["filledQty"], row["remainingQuantity"]) == (780, 650, 130)
        assert (row["price"], row["orderStatus"]) == (118.65, "PART_TRADED")

    in_server(test)


def test_a_change_in_transit_is_taken_and_a_cancel_is_not(shared_data: Path) -> None:
    """As measured. Later the cancel is taken, and the order ends a little after the answer."""

    async def test(served: Served) -> None:
        _, told = await served.place(price=100)
        path = f"/orders/{told['orderId']}"
        assert await served.ask("DELETE", path) == (
            400,
            sample(shared_data, "order_error_400_cancel_in_transit"),
        )
        assert (await served.ask("PUT", path, {"orderType": "LIMIT", "price": 101}))[0] == 200
        served.wait(0.5)
        assert (await served.row(told["orderId"]))["price"] == 101.0
        done = await served.ask("DELETE", path)
        assert done == (200, {"orderId": told["orderId"], "orderStatus": "CANCELLED"})
        assert (await served.row(told["orderId"]))["orderStatus"] == "PENDING"
        served.wait(0.2)
        row = await served.row(told["orderId"])
        assert (row["orderStatus"], row["filledQty"]) == ("CANCELLED", 0)
        assert row["remainingQuantity"] == 0
        no_such = 400, order_error("Incorrect request for order and cannot be processed")
        assert await served.ask("DELETE", path) == no_such
        assert await served.ask("PUT", path, {"price": 102}) == no_such
        assert await served.ask("DELETE", "/orders/1") == no_such

    in_server(test)


def test_a_cancel_may_be_answered_without_a_body() -> None:
    """202 and nothing: the other reading of the documentation."""

    async def test(served: Served) -> None:
        order_id = await served.placed(price=100)
        status, body, _ = await served.raw("DELETE", f"/orders/{order_id}")
        assert (status, body) == (202, "")
        served.wait(0.2)
        assert (await served.row(order_id))["orderStatus"] == "CANCELLED"

    in_server(test, doubts=Doubts(cancel_answer=CancelAnswer.EMPTY))


def test_the_twenty_sixth_modification_is_refused() -> None:
    """Twenty-five are taken, whatever they came to."""

    async def test(served: Served) -> None:
        order_id = await served.placed(price=100)
        for number in range(25):
            change = {"orderType": "LIMIT", "price": 101 + number / 20}
            assert (await served.ask("PUT", f"/orders/{order_id}", change))[0] == 200
            served.wait(0.2)
        status, told = await served.ask("PUT", f"/orders/{order_id}", {"price": 100})
        assert (status, told["errorCode"]) == (400, "DH-906")
        assert (await served.row(order_id))["price"] == 102.2

    in_server(test)


STOP = {
    "transactionType": "SELL",
    "orderType": "STOP_LOSS",
    "price": 110,
    "triggerPrice": 112,
}


async def _held_with_stop(served: Served) -> str:
    await served.placed()
    return await served.placed(**STOP)


@pytest.mark.parametrize("behaviour", list(ModifyBehaviour))
def test_a_stop_becomes_a_limit_order_or_not(behaviour: ModifyBehaviour) -> None:
    """Accepted, refused with DH-906, or answered 200 and ignored."""

    async def test(served: Served) -> None:
        order_id = await _held_with_stop(served)
        change = {"orderType": "LIMIT", "price": 118.4, "quantity": 65}
        status, _ = await served.ask("PUT", f"/orders/{order_id}", change)
        assert status == (400 if behaviour is ModifyBehaviour.REFUSES else 200)
        served.wait(0.2)
        row = await served.row(order_id)
        if behaviour is ModifyBehaviour.ACCEPTS:
            assert (row["orderStatus"], row["orderType"]) == ("TRADED", "LIMIT")
        else:
            assert (row["orderStatus"], row["orderType"]) == ("PENDING", "STOP_LOSS")
            assert (row["price"], row["triggerPrice"]) == (110.0, 112.0)

    how = Behaviour(stop_to_limit=behaviour, quote_age_ns_max=3_600 * SECOND)
    in_server(test, behaviour=how)


TOUCHED = option_tick(
    OPEN + 5 * SECOND,
    112_00,
    volume=130,
    traded_at_ns=OPEN + 5 * SECOND,
    bids=((109_00, 65),),
    asks=((113_00, 65),),
)
DEEPER = option_tick(OPEN + 6 * SECOND, 112_00, bids=((109_50, 65),), volume=130)
"""A bid below the limit: the stop that triggered rests."""


@pytest.mark.parametrize("released", list(Released))
def test_a_stop_that_triggered_rests_under_either_name(released: Released) -> None:
    """LIMIT and PENDING, or STOP_LOSS and TRIGGERED: nobody has seen it."""

    async def test(served: Served) -> None:
        order_id = await _held_with_stop(served)
        served.go(OPEN + 7 * SECOND)
        row = await served.row(order_id)
        expected = {
            Released.LIMIT: ("LIMIT", "PENDING", 0.0),
            Released.TRIGGERED: ("STOP_LOSS", "TRIGGERED", 112.0),
        }[released]
        assert (row["orderType"], row["orderStatus"], row["triggerPrice"]) == expected

    in_server(test, ticks=[BOOK, TOUCHED, DEEPER], doubts=Doubts(released=released))


def test_an_order_that_takes_at_once_or_not_at_all() -> None:
    """IOC: what is left is cancelled on arrival."""

    async def test(served: Served) -> None:
        order_id = await served.placed(validity="IOC", quantity=715)
        row = await served.row(order_id)
        assert (row["orderStatus"], row["filledQty"], row["validity"]) == ("CANCELLED", 650, "IOC")

    in_server(test)


def test_a_closed_market_is_said_in_its_own_words(shared_data: Path) -> None:
    """Another text for a new order than for one that is to be changed."""

    async def test(served: Served) -> None:
        order_id = await served.placed(price=100, productType="MARGIN")
        served.go(CLOSE + SECOND)
        assert await served.place() == (
            400,
            order_error("Market is Closed! Want to place an offline order?"),
        )
        recorded = sample(shared_data, "order_modify_error_400_market_closed")
        change = {"orderType": "LIMIT", "price": 101}
        assert await served.ask("PUT", f"/orders/{order_id}", change) == (400, recorded)
        assert await served.ask("DELETE", f"/orders/{order_id}") == (400, recorded)
        assert (await served.row(order_id))["orderStatus"] == "EXPIRED"

    in_server(test)


def test_an_offline_order_waits_for_the_open(shared_data: Path) -> None:
    """PENDING at once without a number of the exchange, as recorded; then it trades."""

    async def test(served: Served) -> None:
        status, told = await served.place(afterMarketOrder=True, amoTime="OPEN")
        assert (status, told["orderStatus"]) == (200, "TRANSIT")
        row = await served.row(told["orderId"])
        recorded = sample(shared_data, "order_by_id")[0]
        for name in ("orderStatus", "exchangeOrderId", "exchangeTime", "afterMarketOrder"):
            assert row[name] == recorded[name]
        served.go(OPEN + SECOND)
        assert (await served.row(told["orderId"]))["orderStatus"] == "TRADED"

    in_server(test, at_ns=OPEN - 30 * SECOND)


def test_trades_of_several_prices_are_rows_of_whole_lots_on_the_step() -> None:
    """Their sum is the order's value to the paisa."""

    async def test(served: Served) -> None:
        await served.placed(quantity=650)
        order_id = await served.placed(
            transactionType="SELL", quantity=650, price=118.35, productType="INTRADAY"
        )
        _, trades = await served.ask("GET", f"/trades/{order_id}")
        assert {row["tradedQuantity"] % 65 for row in trades} == {0}
        value = sum(row["tradedQuantity"] * round(row["tradedPrice"] * 100) for row in trades)
        assert value == 325 * 118_40 + 325 * 118_35
        row = await served.row(order_id)
        assert round(row["averageTradedPrice"] * row["filledQty"] * 100) == value

    in_server(test, doubts=Doubts(average_decimals=None))


def test_the_statement_has_the_day_once_it_is_over(shared_data: Path) -> None:
    """With what each trade cost; pages of twenty; before it, and outside of it, nothing."""

    async def test(served: Served) -> None:
        await served.placed()
        path = "/trades/2026-11-01/2026-11-30"
        assert await served.ask("GET", f"{path}/0") == (200, [])
        served.go(CLOSE + SECOND)
        _, rows = await served.ask("GET", f"{path}/0")
        recorded = sample(shared_data, "trades_history")[0]
        assert (list(rows[0]), shape(rows)) == (list(recorded), [shape(recorded)])
        for name in ("exchangeTradeId", "createTime", "drvExpiryDate", "isin", "instrument"):
            assert rows[0][name] == recorded[name]
        assert (rows[0]["tradedPrice"], rows[0]["brokerageCharges"]) == (118.7, 20.0)
        assert await served.ask("GET", f"{path}/1") == (200, [])
        assert await served.ask("GET", "/trades/2026-10-01/2026-10-31/0") == (200, [])

    in_server(test)


def test_orders_may_be_refused_for_a_while() -> None:
    """As if the market were closed, or the order could not be changed; nothing happens to it."""

    async def test(served: Served) -> None:
        order_id = await served.placed(price=100)
        path = f"/orders/{order_id}"
        await served.faults({"kind": "refused_not_modifiable", "for_s": 5})
        no_such = 400, order_error("Incorrect request for order and cannot be processed")
        assert await served.ask("DELETE", path) == no_such
        assert await served.ask("PUT", path, {"price": 101}) == no_such
        assert (await served.place())[0] == 200
        served.wait(6)
        await served.faults({"kind": "refused_closed"})
        assert (await served.ask("DELETE", path))[1]["errorMessage"].startswith("Market is Closed!")
        assert (await served.place())[1]["errorMessage"].startswith("Market is Closed! Want")
        assert (await served.row(order_id))["orderStatus"] == "PENDING"

    in_server(test)


def test_an_id_that_is_no_number_is_bad_input() -> None:
    """However it is asked for."""

    async def test(served: Served) -> None:
        for method in ("GET", "PUT", "DELETE"):
            assert await served.ask(method, "/orders/mine-1") == (400, DH_905)

    in_server(test)


def test_an_offline_order_can_be_cancelled_and_not_be_changed(shared_data: Path) -> None:
    """Before the open the change is refused, as recorded."""

    async def test(served: Served) -> None:
        _, told = await served.place(afterMarketOrder=True, amoTime="OPEN")
        path = f"/orders/{told['orderId']}"
        recorded = sample(shared_data, "order_modify_error_400_market_closed")
        assert await served.ask("PUT", path, {"price": 100}) == (400, recorded)
        assert (await served.ask("DELETE", path))[0] == 200
        served.wait(0.2)
        row = await served.row(told["orderId"])
        assert (row["orderStatus"], row["omsErrorDescription"]) == ("CANCELLED", "")
        served.go(OPEN + SECOND)
        assert (await served.row(told["orderId"]))["orderStatus"] == "CANCELLED"

    in_server(test, at_ns=OPEN - 30 * SECOND)


def test_a_body_of_nothing_but_the_account_is_bad_input() -> None:
    """So is one that cannot be read."""

    async def test(served: Served) -> None:
        assert await served.ask("POST", "/orders", {"dhanClientId": "1"}) == (400, DH_905)
        assert await served.ask("POST", "/orders", [order_body()]) == (400, DH_905)

    in_server(test)
