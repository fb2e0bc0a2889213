"""The control endpoint over a real socket: faults, others, time, truth."""

import pytest

from holdfast.simbroker.dhan.control import AT_THE_EXCHANGE
from tests.support.desk import OPEN, SECOND
from tests.unit.simbroker.dhan.market_day import CALL, option_tick
from tests.unit.simbroker.dhan.served import BOOK, Served, in_server

LATER = option_tick(OPEN + 5 * SECOND, 118_50, volume=130, traded_at_ns=OPEN + 5 * SECOND)
TOUCHED = option_tick(
    OPEN + 8 * SECOND,
    112_00,
    volume=195,
    traded_at_ns=OPEN + 8 * SECOND,
    bids=((111_95, 650),),
    asks=((112_05, 650),),
)
STOP = {
    "transactionType": "SELL",
    "orderType": "STOP_LOSS",
    "price": 110,
    "triggerPrice": 112,
}
DAY = [BOOK, LATER, TOUCHED]


async def status(served: Served, order_id: str) -> str:
    """The word of an order."""
    word: str = (await served.row(order_id))["orderStatus"]
    return word


@pytest.mark.parametrize(
    "asked",
    [
        {"kind": "nonsense"},
        {"kind": "entry_answer_lost"},
        {"kind": "answer_lost", "for_s": 0},
        {"kind": "answer_lost", "endpoints": ["nowhere"]},
        {"kind": "answer_lost", "unknown": 1},
        {"kind": "mute"},
    ],
    ids=str,
)
def test_a_fault_that_means_nothing_is_refused(asked: dict[str, object]) -> None:
    """400, and none of the others with it is set."""

    async def test(served: Served) -> None:
        code, told = await served.ask(
            "POST", "/faults", [{"kind": "rate_storm"}, asked], host="control"
        )
        assert (code, list(told)) == (400, ["error"])
        assert (await served.place())[0] == 200

    in_server(test)


def test_every_kind_at_the_exchange_can_be_set() -> None:
    """They change nothing before their time."""

    async def test(served: Served) -> None:
        await served.faults(*({"kind": kind.value, "in_s": 60} for kind in AT_THE_EXCHANGE))
        assert await status(served, await served.placed()) == "TRADED"
        assert len(served.server.host.faults.windows) + 8 == len(AT_THE_EXCHANGE)

    in_server(test)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("refused_funds", "RMS:"),
        ("refused_band", "RMS:"),
        ("refused_quantity", "RMS:"),
        ("refused_other", "RMS:"),
    ],
)
def test_a_refusal_without_a_reason_of_ours_comes_as_a_row(kind: str, expected: str) -> None:
    """The answer was 200."""

    async def test(served: Served) -> None:
        await served.faults({"kind": kind, "for_s": 5})
        row = await served.row(await served.placed())
        assert row["orderStatus"] == "REJECTED"
        assert row["omsErrorDescription"].startswith(expected)

    in_server(test)


@pytest.mark.proves("T29")
def test_a_stop_dies_at_its_trigger() -> None:
    """The exchange refuses it where it would enter the book."""

    async def test(served: Served) -> None:
        await served.placed()
        order_id = await served.placed(**STOP)
        await served.faults({"kind": "stop_refused_at_trigger"})
        assert await status(served, order_id) == "PENDING"
        served.go(OPEN + 9 * SECOND)
        assert await status(served, order_id) == "REJECTED"

    in_server(test, ticks=DAY)


def test_the_exchange_drops_a_stop() -> None:
    """At the next tick, in the words of the exchange."""

    async def test(served: Served) -> None:
        await served.placed()
        order_id = await served.placed(**STOP)
        await served.faults({"kind": "stop_dropped"})
        served.go(OPEN + 6 * SECOND)
        row = await served.row(order_id)
        assert (row["orderStatus"], row["omsErrorDescription"]) == (
            "CANCELLED",
            "cancelled by the exchange",
        )
        _, truth = await served.ask("GET", "/truth", host="control")
        assert truth["struck"]["stop_dropped"] == 1, "what others do counts like every fault"
        await served.ask("DELETE", "/faults", host="control")
        order_id = await served.placed(**STOP, correlationId="again")
        served.go(OPEN + 7 * SECOND)
        assert await status(served, order_id) == "PENDING"

    in_server(test, ticks=DAY)


@pytest.mark.proves("T29")
def test_modifications_are_ignored_or_refused_later() -> None:
    """Both are answered 200; the refused one's word reads like the order's end."""

    async def test(served: Served) -> None:
        order_id = await served.placed(price=100)
        path, change = f"/orders/{order_id}", {"orderType": "LIMIT", "price": 101}
        await served.faults({"kind": "modify_ignored", "for_s": 5})
        assert (await served.ask("PUT", path, change))[0] == 200
        served.wait(1)
        assert (await served.row(order_id))["price"] == 100.0
        served.wait(5)
        await served.faults({"kind": "modify_refused_later"})
        assert (await served.ask("PUT", path, change))[0] == 200
        served.wait(1)
        row = await served.row(order_id)
        assert (row["price"], row["orderStatus"]) == (100.0, "PENDING")
        word = (await served.truth())["words"][-1]
        assert (word["status"], word["order_id"]) == ("REJECTED", order_id)

    in_server(test)


def test_a_cancel_meets_a_fill() -> None:
    """Answered as cancelled; the book says what really happened."""

    async def test(served: Served) -> None:
        order_id = await served.placed(price=100, quantity=130)
        await served.faults({"kind": "filled_during_cancel", "quantity": 65})
        _, told = await served.ask("DELETE", f"/orders/{order_id}")
        assert told["orderStatus"] == "CANCELLED"
        served.wait(0.2)
        row = await served.row(order_id)
        assert (row["orderStatus"], row["filledQty"]) == ("CANCELLED", 65)

    in_server(test)


def test_the_owner_sells_by_hand() -> None:
    """An order from the web, without an id; the next tick trades it."""

    async def test(served: Served) -> None:
        await served.placed(quantity=130)
        asked = {"act": "trade", "security_id": CALL.security_id, "side": "SELL", "quantity": 65}
        _, told = await served.ask("POST", "/owner", asked, host="control")
        assert await status(served, told["order_id"]) == "PENDING"
        served.go(OPEN + 6 * SECOND)
        row = await served.row(told["order_id"])
        assert (row["orderStatus"], row["correlationId"], row["filledQty"]) == ("TRADED", "NA", 65)
        _, rows = await served.ask("GET", "/positions")
        assert rows[0]["netQty"] == 65
        trade = (await served.truth())["trades"][-1]
        assert (trade["order_id"], trade["price_paise"]) == (told["order_id"], 118_40)

    in_server(test, ticks=DAY)


def test_the_owner_changes_and_cancels_orders() -> None:
    """Ours and his own; what is no live order is refused."""

    async def test(served: Served) -> None:
        await served.placed()
        stop = await served.placed(**STOP)
        change = {"act": "modify", "order_id": stop, "price": 109.0, "trigger": 111.0}
        assert (await served.ask("POST", "/owner", change, host="control"))[0] == 200
        row = await served.row(stop)
        assert (row["price"], row["triggerPrice"]) == (109.0, 111.0)
        cancel = {"act": "cancel", "order_id": stop}
        assert (await served.ask("POST", "/owner", cancel, host="control"))[0] == 200
        assert await status(served, stop) == "CANCELLED"
        assert (await served.ask("POST", "/owner", cancel, host="control"))[0] == 400
        offer = {
            "act": "trade",
            "security_id": CALL.security_id,
            "side": "BUY",
            "quantity": 65,
            "price": 1.0,
        }
        _, told = await served.ask("POST", "/owner", offer, host="control")
        cancel = {"act": "cancel", "order_id": told["order_id"]}
        assert (await served.ask("POST", "/owner", cancel, host="control"))[0] == 200
        assert await status(served, told["order_id"]) == "CANCELLED"

    in_server(test)


@pytest.mark.parametrize(
    "asked",
    [{"act": "sleep"}, {"act": "trade", "side": "BUY", "quantity": 65}, {"act": "cancel"}],
    ids=str,
)
def test_what_the_owner_cannot_do_is_refused(asked: dict[str, object]) -> None:
    """400 with the reason."""

    async def test(served: Served) -> None:
        assert (await served.ask("POST", "/owner", asked, host="control"))[0] == 400

    in_server(test)


def test_the_broker_squares_off_when_told() -> None:
    """Orders end, positions are closed by orders of its own."""

    async def test(served: Served) -> None:
        await served.placed()
        resting = await served.placed(price=100)
        await served.ask("POST", "/squareoff", host="control")
        assert await status(served, resting) == "CANCELLED"
        _, rows = await served.ask("GET", "/positions")
        assert rows[0]["netQty"] == 0

    in_server(test)


def test_time_goes_at_another_speed_or_stands_still() -> None:
    """The day's time never goes back."""

    async def test(served: Served) -> None:
        wall = served._wall  # noqa: SLF001 the test is the wall
        _, told = await served.ask("POST", "/market", {"pause": True}, host="control")
        assert told == {"speed": 1_000, "is_paused": True}
        _, before = await served.ask("GET", "/time", host="control")
        wall.at_ns += 5_000_000
        _, stands = await served.ask("GET", "/time", host="control")
        assert stands == before
        await served.ask("POST", "/market", {"pause": False, "speed": 2}, host="control")
        wall.at_ns += 5_000_000
        _, after = await served.ask("GET", "/time", host="control")
        assert after["now_ns"] - before["now_ns"] == 10_000_000
        assert (await served.ask("POST", "/market", {"speed": 0}, host="control"))[0] == 400

    in_server(test)


def test_ticks_are_told_as_the_market_told_them() -> None:
    """From a number on."""

    async def test(served: Served) -> None:
        served.go(OPEN + 9 * SECOND)
        _, told = await served.ask("GET", "/ticks?after=1", host="control")
        assert [tick["last_paise"] for tick in told["ticks"]] == [118_50, 112_00]
        assert (await served.truth())["ticks"] == 3
        assert (await served.ask("GET", "/packets", host="control"))[1]["packets"] == []

    in_server(test, ticks=DAY)


def test_a_market_fault_moves_what_is_traded() -> None:
    """A gap: prices are a fifth lower from the next tick that is read on."""

    async def test(served: Served) -> None:
        await served.faults({"kind": "gap", "bps": -2_000})
        served.go(OPEN + 9 * SECOND)
        _, told = await served.ask("GET", "/ticks", host="control")
        assert [tick["last_paise"] for tick in told["ticks"]] == [118_50, 118_50, 89_60]

    in_server(test, ticks=DAY)


def test_the_truth_is_told_from_a_number_on() -> None:
    """Requests and words each from their own."""

    async def test(served: Served) -> None:
        await served.placed()
        path = "/truth?requests_after=1&words_after=2"
        _, told = await served.ask("GET", path, host="control")
        assert (told["requests"], [word["status"] for word in told["words"]]) == ([], ["TRADED"])
        assert told["cash_paise"] == 2_00_000_00 - 65 * 118_70
        assert told["counts"] == {"place": 1}
        assert told["open"] == {"feed": [], "updates": []}

    in_server(test)


def test_shutdown_ends_the_server() -> None:
    """It serves until then."""

    async def test(served: Served) -> None:
        assert not served.server.stopping.is_set()
        await served.ask("POST", "/shutdown", host="control")
        await served.server.run()

    in_server(test)
