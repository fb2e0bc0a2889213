"""What is held, money and guards over real sockets."""

import json
from pathlib import Path
from typing import Any

import pytest

from holdfast.simbroker.dhan.doubts import Doubts, EmptyHoldings
from tests.support.desk import OPEN, SECOND
from tests.unit.simbroker.dhan.market_day import option_tick
from tests.unit.simbroker.dhan.served import BOOK, CLIENT, Served, in_server, order_body
from tests.unit.simbroker.dhan.shapes import shape

POSITION_KEYS = [
    "dhanClientId",
    "tradingSymbol",
    "securityId",
    "positionType",
    "exchangeSegment",
    "productType",
    "buyAvg",
    "costPrice",
    "buyQty",
    "sellAvg",
    "sellQty",
    "netQty",
    "realizedProfit",
    "unrealizedProfit",
    "rbiReferenceRate",
    "multiplier",
    "carryForwardBuyQty",
    "carryForwardSellQty",
    "carryForwardBuyValue",
    "carryForwardSellValue",
    "dayBuyQty",
    "daySellQty",
    "dayBuyValue",
    "daySellValue",
    "drvExpiryDate",
    "drvOptionType",
    "drvStrikePrice",
    "crossCurrency",
]
"""As documented: nobody has published a row."""


def sample(shared_data: Path, name: str) -> Any:
    """A body that was recorded."""
    folder = shared_data.parent / "reference" / "dhan-samples"
    return json.loads((folder / f"{name}.json").read_text())


async def only_position(served: Served) -> dict[str, Any]:
    """The one row of the positions."""
    _, rows = await served.ask("GET", "/positions")
    (row,) = rows
    told: dict[str, Any] = row
    return told


def test_a_position_is_long_then_closed_and_stays_in_the_list() -> None:
    """Quantities, averages, values and results in rupees."""

    async def test(served: Served) -> None:
        await served.placed(quantity=130)
        row = await only_position(served)
        assert list(row) == POSITION_KEYS
        assert (row["positionType"], row["netQty"], row["buyAvg"]) == ("LONG", 130, 118.7)
        assert (row["dayBuyValue"], row["costPrice"]) == (15_431.0, 118.7)
        assert row["unrealizedProfit"] == -26.0
        await served.placed(transactionType="SELL", quantity=130, price=118.4)
        row = await only_position(served)
        assert (row["positionType"], row["netQty"], row["realizedProfit"]) == ("CLOSED", 0, -39.0)
        assert (row["sellQty"], row["unrealizedProfit"]) == (130, 0.0)

    in_server(test)


def test_a_product_is_a_position_of_its_own() -> None:
    """A sale in another product is a new short."""

    async def test(served: Served) -> None:
        await served.placed()
        await served.placed(transactionType="SELL", price=118.4, productType="MARGIN")
        _, rows = await served.ask("GET", "/positions")
        told = [(row["productType"], row["positionType"], row["netQty"]) for row in rows]
        assert told == [("INTRADAY", "LONG", 65), ("MARGIN", "SHORT", -65)]

    in_server(test, cash_paise=5_00_000_00)


def test_means_may_be_rounded() -> None:
    """Two decimals, off the step; or, by a switch, all digits."""
    sale = {"transactionType": "SELL", "quantity": 650, "price": 118.35}

    async def exact(served: Served) -> None:
        await served.placed(quantity=650)
        row = await served.row(await served.placed(**{**sale, "quantity": 455}))
        assert row["averageTradedPrice"] == pytest.approx(118.385714, abs=1e-6)

    async def rounded(served: Served) -> None:
        await served.placed(quantity=650)
        row = await served.row(await served.placed(**{**sale, "quantity": 455}))
        assert row["averageTradedPrice"] == 118.39
        assert (await only_position(served))["sellAvg"] == 118.39

    in_server(exact, doubts=Doubts(average_decimals=None))
    in_server(rounded)


def test_funds_are_told_under_their_misspelt_names(shared_data: Path) -> None:
    """What orders hold back is used; the whole of it stands under `sodLimit`."""

    async def test(served: Served) -> None:
        await served.placed(price=100)
        _, told = await served.ask("GET", "/fundlimit")
        recorded = sample(shared_data, "fundlimit")
        assert (list(told), shape(told)) == (list(recorded), shape(recorded))
        assert {type(value) for value in list(told.values())[1:]} == {float}
        assert told["sodLimit"] == 200_000.0
        assert (told["availabelBalance"], told["utilizedAmount"]) == (193_500.0, 6_500.0)

    in_server(test)


def test_no_holdings_are_an_error_or_a_list(shared_data: Path) -> None:
    """500 DH-1111 in production, an empty list where the switch says so."""
    recorded = sample(shared_data, "holdings_empty_error_500")

    async def error(served: Served) -> None:
        assert await served.ask("GET", "/holdings") == (500, recorded)

    async def empty(served: Served) -> None:
        assert await served.ask("GET", "/holdings") == (200, [])

    in_server(error)
    in_server(empty, doubts=Doubts(empty_holdings=EmptyHoldings.LIST))


def test_margins_are_those_of_the_simulated_risk_desk(shared_data: Path) -> None:
    """A purchase needs its premium, a short far more; leverage is a word."""

    async def test(served: Served) -> None:
        body = order_body(quantity=65, price=100)
        _, told = await served.ask("POST", "/margincalculator", body)
        recorded = sample(shared_data, "margincalculator")
        assert (list(told), shape(told)) == (list(recorded), shape(recorded))
        assert (told["totalMargin"], told["leverage"]) == (6_500.0, "1X")
        short = order_body(transactionType="SELL", quantity=65, price=100)
        _, told = await served.ask("POST", "/margincalculator", short)
        assert told["totalMargin"] > 190_000
        _, both = await served.ask("POST", "/margincalculator/multi", {"scripList": [body, short]})
        assert both["totalMargin"] == 6_500.0 + told["totalMargin"]
        assert list(both)[:3] == ["clientId", "totalMargin", "spanMargin"]
        for path in ("", "/multi"):
            status, _ = await served.ask("POST", f"/margincalculator{path}", {"quantity": 1})
            assert status == 400

    in_server(test)


def test_the_ledger_is_an_array_of_balances(shared_data: Path) -> None:
    """With words for numbers, as recorded."""

    async def test(served: Served) -> None:
        query = {"from-date": "2026-11-01", "to-date": "2026-11-30"}
        _, told = await served.ask("GET", "/ledger", query=query)
        recorded = sample(shared_data, "ledger")
        assert (list(told[0]), shape(told)) == (list(recorded[0]), shape(recorded))
        assert [row["narration"] for row in told] == [row["narration"] for row in recorded]
        assert (await served.ask("GET", "/ledger"))[0] == 400

    in_server(test)


def test_exit_all_ends_orders_and_positions() -> None:
    """With orders of the broker's own, which bear no id of ours."""

    async def test(served: Served) -> None:
        await served.placed()
        resting = await served.placed(price=100)
        _, told = await served.ask("DELETE", "/positions")
        assert told == {
            "status": "SUCCESS",
            "message": "All orders and positions exited successfully",
        }
        assert (await served.row(resting))["orderStatus"] == "CANCELLED"
        assert (await only_position(served))["netQty"] == 0
        _, rows = await served.ask("GET", "/orders")
        assert (rows[-1]["correlationId"], rows[-1]["orderStatus"]) == ("NA", "TRADED")

    in_server(test)


def test_the_kill_switch_wants_a_flat_account() -> None:
    """Then it refuses every order, and lets go when told."""

    async def test(served: Served) -> None:
        await served.placed()
        path = "/killswitch?killSwitchStatus="
        status, told = await served.ask("POST", f"{path}ACTIVATE")
        assert (status, told["errorCode"]) == (400, "DH-906")
        await served.ask("DELETE", "/positions")
        _, told = await served.ask("POST", f"{path}ACTIVATE")
        assert told == {
            "dhanClientId": CLIENT,
            "killSwitchStatus": "Kill Switch has been successfully activated",
        }
        assert (await served.ask("GET", "/killswitch"))[1]["killSwitchStatus"] == "ACTIVATE"
        row = await served.row(await served.placed())
        assert row["orderStatus"] == "REJECTED"
        assert (await served.ask("POST", f"{path}DEACTIVATE"))[0] == 200
        assert (await served.row(await served.placed()))["orderStatus"] == "TRADED"
        assert (await served.ask("POST", f"{path}FOO"))[0] == 400

    in_server(test)


FALLEN = option_tick(
    OPEN + 5 * SECOND,
    100_00,
    volume=130,
    traded_at_ns=OPEN + 5 * SECOND,
    bids=((100_00, 650),),
    asks=((100_05, 650),),
)


def test_the_loss_exit_closes_everything_once_it_is_broken() -> None:
    """It is told while it waits, and gone when it is deleted."""

    async def test(served: Served) -> None:
        body = {
            "dhanClientId": CLIENT,
            "profitValue": 0,
            "lossValue": 500,
            "productType": ["INTRADAY"],
            "enableKillSwitch": False,
        }
        await served.placed()
        _, told = await served.ask("POST", "/pnlExit", body)
        assert told["pnlExitStatus"] == "ACTIVE"
        _, told = await served.ask("GET", "/pnlExit")
        assert list(told) == ["pnlExitStatus", "profit", "loss", "productType", "enableKillSwitch"]
        assert (await only_position(served))["netQty"] == 65
        served.go(OPEN + 6 * SECOND)
        assert (await only_position(served))["netQty"] == 0
        _, told = await served.ask("DELETE", "/pnlExit")
        assert told["pnlExitStatus"] == "DISABLED"
        assert (await served.ask("GET", "/pnlExit"))[1] == {"pnlExitStatus": "INACTIVE"}

    in_server(test, ticks=[BOOK, FALLEN])


RISEN = option_tick(
    OPEN + 5 * SECOND,
    130_00,
    volume=130,
    traded_at_ns=OPEN + 5 * SECOND,
    bids=((130_00, 650),),
    asks=((130_05, 650),),
)


def test_the_profit_exit_keeps_what_was_gained() -> None:
    """Once, at the last prices; afterwards it is no longer set."""

    async def test(served: Served) -> None:
        body = {"dhanClientId": CLIENT, "profitValue": 700, "productType": ["INTRADAY"]}
        await served.placed()
        assert (await served.ask("POST", "/pnlExit", body))[0] == 200
        served.wait(1)
        assert (await only_position(served))["netQty"] == 65
        served.go(OPEN + 6 * SECOND)
        row = await only_position(served)
        assert (row["netQty"], row["realizedProfit"]) == (0, 734.5)
        assert (await served.ask("GET", "/pnlExit"))[1] == {"pnlExitStatus": "INACTIVE"}

    in_server(test, ticks=[BOOK, RISEN])


@pytest.mark.parametrize(
    "fields",
    [{"dhanClientId": None}, {"lossValue": -1}, {"lossValue": 0}, {"productType": "INTRADAY"}],
    ids=str,
)
def test_a_loss_exit_that_is_none_is_refused(fields: dict[str, Any]) -> None:
    """400 DH-905."""

    async def test(served: Served) -> None:
        body = {"dhanClientId": CLIENT, "lossValue": 5, "productType": ["INTRADAY"], **fields}
        status, told = await served.ask("POST", "/pnlExit", body)
        assert (status, told["errorCode"]) == (400, "DH-905")

    in_server(test)
