"""What stands before every answer: tokens, limits, and everything that the wire does."""

import asyncio
import json
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from holdfast.simbroker.dhan.doubts import DeadToken, Doubts
from tests.support.desk import OPEN, SECOND
from tests.unit.simbroker.dhan.served import Served, in_server, order_body

ORDER_FIELDS = ("method", "path", "fate", "endpoint")


def sample(shared_data: Path, name: str) -> Any:
    """A body that was recorded."""
    folder = shared_data.parent / "reference" / "dhan-samples"
    return json.loads((folder / f"{name}.json").read_text())


async def is_cut(served: Served, method: str = "POST", path: str = "/orders") -> bool:
    """Whether a request ends in a reset connection."""
    try:
        await served.raw(method, path, order_body() if method == "POST" else None)
    except (aiohttp.ClientConnectionError, ConnectionError):
        return True
    return False


@pytest.mark.parametrize(
    ("path", "status", "name"),
    [
        ("/orders", 401, "error_401_dh901"),
        ("/positions", 401, "error_401_dh901"),
        ("/profile", 400, "charts_error_400_invalid_token"),
        ("/RenewToken", 400, "charts_error_400_invalid_token"),
    ],
)
def test_a_token_is_refused_in_the_way_of_the_endpoint(
    shared_data: Path, path: str, status: int, name: str
) -> None:
    """Word for word as recorded; quotes have numbers for it."""

    async def test(served: Served) -> None:
        served.token = served.token[::-1]
        assert await served.ask("GET", path) == (status, sample(shared_data, name))
        told = await served.ask("POST", "/marketfeed/ltp", {"IDX_I": [13]})
        assert told == (401, sample(shared_data, "marketfeed_ltp_error_401_808"))

    in_server(test)


def test_trading_may_refuse_a_token_in_the_newer_way(shared_data: Path) -> None:
    """A switch: 400 DH-906 instead of 401 DH-901."""

    async def test(served: Served) -> None:
        served.token = ""
        recorded = 400, sample(shared_data, "charts_error_400_invalid_token")
        assert await served.ask("GET", "/orders") == recorded

    in_server(test, doubts=Doubts(dead_token=DeadToken.DH_906))


def test_a_token_lives_for_a_day() -> None:
    """Counted in the server's own time."""

    async def test(served: Served) -> None:
        served.go(OPEN + 86_000 * SECOND)
        assert (await served.ask("GET", "/orders"))[0] == 200
        served.go(OPEN + 86_401 * SECOND)
        assert (await served.ask("GET", "/orders"))[0] == 401

    in_server(test)


def test_a_path_that_nobody_serves_is_told_by_the_gateway(shared_data: Path) -> None:
    """Also what is not built: super, forever, alerts, convert, slicing."""

    async def test(served: Served) -> None:
        recorded = sample(shared_data, "error_404_unknown_path")
        for method, path in (
            ("GET", "/invalid_endpoint"),
            ("POST", "/super/orders"),
            ("GET", "/forever/orders"),
            ("POST", "/alerts/orders"),
            ("POST", "/positions/convert"),
            ("POST", "/orders/slicing"),
        ):
            status, told = await served.ask(method, path, {} if method == "POST" else None)
            assert (status, list(told)) == (404, list(recorded))
            assert told | {"timestamp": 0} == {
                **recorded,
                "timestamp": 0,
                "path": f"/v2{path}",
            }

    in_server(test)


def test_answers_bear_the_servers_own_time() -> None:
    """The date is that of the day that is played: a client's clock is judged by it."""

    async def test(served: Served) -> None:
        _, _, headers = await served.raw("GET", "/orders")
        assert headers["Content-Type"] == "application/json"
        stamp = parsedate_to_datetime(headers["Date"]).timestamp()
        assert stamp == (OPEN + SECOND) // 1_000_000_000

    in_server(test)


def test_the_date_may_be_wrong() -> None:
    """As if the two clocks did not agree."""

    async def test(served: Served) -> None:
        await served.faults({"kind": "date_skewed", "delay_s": 7})
        _, _, headers = await served.raw("GET", "/orders")
        stamp = parsedate_to_datetime(headers["Date"]).timestamp()
        assert stamp == (OPEN + 8 * SECOND) // 1_000_000_000

    in_server(test)


def test_eleven_orders_in_a_second_are_one_too_many(shared_data: Path) -> None:
    """429 in the recorded words, without a hint when to come back; reads are counted apart."""

    async def test(served: Served) -> None:
        statuses = [(await served.place(price=1))[0] for _ in range(10)]
        assert statuses == [200] * 10
        status, text, headers = await served.raw("POST", "/orders", order_body(price=1))
        assert (status, json.loads(text)) == (429, sample(shared_data, "charts_error_429_dh904"))
        assert "Retry-After" not in headers
        assert (await served.ask("GET", "/orders"))[0] == 200
        served.wait(1.01)
        assert (await served.place(price=1))[0] == 200

    in_server(test)


def test_quotes_are_asked_for_once_a_second() -> None:
    """Their refusal has the number 805."""

    async def test(served: Served) -> None:
        body = {"IDX_I": [13]}
        assert (await served.ask("POST", "/marketfeed/ltp", body))[0] == 200
        status, told = await served.ask("POST", "/marketfeed/ltp", body)
        assert (status, list(told["data"]), told["status"]) == (429, ["805"], "failed")

    in_server(test)


@pytest.mark.proves("T29")
def test_an_answer_that_is_lost_is_an_order_that_exists() -> None:
    """The connection is reset after it was done."""

    async def test(served: Served) -> None:
        await served.faults({"kind": "answer_lost", "endpoints": ["place"]})
        assert await is_cut(served)
        truth = await served.truth()
        assert [one["status"] for one in truth["orders"]] == ["TRANSIT"]
        assert truth["requests"][0]["fate"] == "200"
        assert truth["struck"] == {"answer_lost": 1}
        assert not await is_cut(served, "GET")

    in_server(test)


def test_a_request_that_is_lost_is_no_order() -> None:
    """The connection is reset before anything was done; the truth has the request all the same."""

    async def test(served: Served) -> None:
        await served.faults({"kind": "request_lost", "times": 1})
        assert await is_cut(served)
        truth = await served.truth()
        assert truth["orders"] == []
        told = truth["requests"][0]
        assert [told[name] for name in ORDER_FIELDS] == ["POST", "/v2/orders", "lost", "place"]
        assert json.loads(told["body"]) == order_body()
        assert not await is_cut(served)

    in_server(test)


def test_a_fault_strikes_only_what_its_window_names() -> None:
    """A share of all, an endpoint, fields of the request."""

    async def test(served: Served) -> None:
        only = {"transactionType": "SELL"}
        await served.faults({"kind": "rate_storm", "only": only, "for_s": 10})
        assert (await served.place())[0] == 200
        assert (await served.place(transactionType="SELL"))[0] == 429
        served.wait(11)
        assert (await served.place(transactionType="SELL"))[0] == 200

    in_server(test)


def test_a_cancel_is_struck_by_what_its_order_is() -> None:
    """The path names the order, the window its side."""

    async def test(served: Served) -> None:
        order_id = await served.placed(price=100)
        await served.faults({"kind": "bad_gateway", "only": {"transactionType": "BUY"}})
        assert (await served.raw("DELETE", f"/orders/{order_id}"))[0] == 502

    in_server(test)


def test_a_page_of_html_comes_from_a_gateway_that_asked_nobody() -> None:
    """502, and no order."""

    async def test(served: Served) -> None:
        await served.faults({"kind": "bad_gateway"})
        status, text, headers = await served.raw("POST", "/orders", order_body())
        assert (status, headers["Content-Type"]) == (502, "text/html")
        assert text.startswith("<html>")
        await served.ask("DELETE", "/faults", host="control")
        assert (await served.truth())["orders"] == []

    in_server(test)


def test_an_internal_error_leaves_open_whether_it_is_done() -> None:
    """A draw decides: of twenty, some are."""

    async def test(served: Served) -> None:
        await served.faults({"kind": "server_error", "endpoints": ["place"]})
        for _ in range(20):
            assert (await served.place(price=1))[0] == 500
            served.wait(1)
        assert 0 < len((await served.truth())["orders"]) < 20

    in_server(test)


def test_bodies_are_empty_or_cut_in_half() -> None:
    """Both come with 200, and both are done."""

    async def test(served: Served) -> None:
        await served.faults({"kind": "empty_body", "times": 1})
        assert (await served.raw("POST", "/orders", order_body()))[:2] == (200, "")
        await served.faults({"kind": "half_json", "times": 1})
        status, text, _ = await served.raw("POST", "/orders", order_body())
        assert (status, text[:12]) == (200, '{"orderId":"')
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
        assert len((await served.truth())["orders"]) == 2

    in_server(test)


@pytest.mark.parametrize("kind", ["answer_slow", "slow_drip", "request_slow"])
def test_slow_answers_are_whole_in_the_end(kind: str) -> None:
    """They take so much of the server's time; 300 seconds of it are 300 ms of the wall here."""

    async def test(served: Served) -> None:
        await served.faults({"kind": kind, "delay_s": 300})
        began = asyncio.get_running_loop().time()
        status, told = await served.place()
        took_s = asyncio.get_running_loop().time() - began
        assert (status, told["orderStatus"]) == (200, "TRANSIT")
        assert took_s > 0.25

    in_server(test)


def test_whoever_leaves_a_dripping_answer_is_not_missed(caplog: pytest.LogCaptureFixture) -> None:
    """As a client does whose time is up: it was done, and the server has nothing to complain of."""

    async def test(served: Served) -> None:
        await served.faults({"kind": "slow_drip", "delay_s": 300, "times": 1})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await served.place()
        await served.faults({"kind": "answer_slow", "delay_s": 300, "times": 1})
        assert (await served.place())[0] == 200, "by then the other answer has dripped to its end"
        assert len((await served.truth())["orders"]) == 2

    in_server(test)
    assert [one.message for one in caplog.records if one.levelname == "ERROR"] == []


def test_a_placement_may_be_answered_after_its_first_word() -> None:
    """By then the order has reached the exchange."""

    async def test(served: Served) -> None:
        await served.faults({"kind": "update_first", "delay_s": 100})

        async def answered() -> None:
            assert (await served.place())[0] == 200
            assert served.server.host.at_ns >= OPEN + SECOND

        taken = asyncio.Event()
        served.server.host.on_row(lambda _row: taken.set())
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(answered())
            await taken.wait()
            served.wait(0.2)
            words = (await served.truth())["words"]
            assert [word["status"] for word in words] == ["TRANSIT", "PENDING", "TRADED"]
            assert not asking.done()

    in_server(test)


def test_a_token_that_is_dead_for_a_while_comes_back() -> None:
    """The broker refuses it without another login."""

    async def test(served: Served) -> None:
        await served.faults({"kind": "token_dead", "for_s": 10})
        assert (await served.ask("GET", "/orders"))[0] == 401
        served.wait(11)
        assert (await served.ask("GET", "/orders"))[0] == 200

    in_server(test)
