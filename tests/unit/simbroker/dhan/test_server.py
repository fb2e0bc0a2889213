"""The whole server: where it is, and how it comes back after it was killed."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from holdfast.domain.errors import DataRefused
from holdfast.simbroker.dhan.memory import FILE
from tests.support.desk import OPEN, SECOND
from tests.unit.simbroker.dhan.market_day import option_tick
from tests.unit.simbroker.dhan.served import BOOK, CLIENT, HandWall, Served, in_server, serving

LATER = option_tick(OPEN + 5 * SECOND, 100_00, volume=130, traded_at_ns=OPEN + 5 * SECOND)
TICKS = [BOOK, LATER]

SAME = ("orders", "trades", "positions", "requests", "words", "cash_paise", "tokens", "ticks")
"""What a server that came back tells as before."""


def test_ready_says_where_everything_is() -> None:
    """Five hosts of the broker and the control, on loopback, each on a port of its own."""

    async def test(served: Served) -> None:
        ready = served.ready
        assert list(ready.urls) == ["rest", "auth", "feed", "updates", "instruments"]
        ports = {url.split(":")[2].split("/")[0] for url in (*ready.urls.values(), ready.control)}
        assert len(ports) == 6
        assert all("//127.0.0.1:" in url for url in (*ready.urls.values(), ready.control))
        assert (ready.account.client_id, ready.day, ready.speed) == (CLIENT, "2026-11-20", 1_000)
        assert not ready.continues
        assert ready.clock == {"start": "2026-11-20 09:14:00", "since_ms": 0, "speed": 1_000}

    in_server(test)


def test_all_parts_are_on_their_hosts() -> None:
    """Quotes, chain, charts and the way to the files beside the account; files on their own."""

    async def test(served: Served) -> None:
        status, told = await served.ask("POST", "/marketfeed/ltp", {"NSE_FNO": [40005]})
        assert (status, told["data"]["NSE_FNO"]["40005"]["last_price"]) == (200, 118.5)
        chain = {"UnderlyingScrip": 13, "UnderlyingSeg": "IDX_I"}
        assert (await served.ask("POST", "/optionchain/expirylist", chain))[0] == 200
        status, _, headers = await served.raw("GET", "/instrument/NSE_FNO")
        assert (status, headers["Location"].startswith(served.ready.urls["instruments"])) == (
            302,
            True,
        )
        status, text, _ = await served.raw("GET", "/api-scrip-master.csv", host="instruments")
        assert (status, text.startswith("SEM_EXM_EXCH_ID,")) == (200, True)

    in_server(test)


async def _traded(served: Served) -> dict[str, Any]:
    """Orders of all sorts, an order in TRANSIT at the last instant."""
    await served.placed(quantity=130, correlationId="entry")
    await served.placed(
        transactionType="SELL", orderType="STOP_LOSS", price=110, triggerPrice=112, quantity=130
    )
    resting = await served.placed(price=100)
    await served.ask("PUT", f"/orders/{resting}", {"orderType": "LIMIT", "price": 101})
    served.wait(1)
    await served.ask("POST", "/token", host="control")
    truth = await served.truth()
    served.token = served.server.tokens.minted[-1].secret
    await served.place(correlationId="in transit", price=99)
    return truth


def test_a_server_that_was_killed_knows_its_day(tmp_path: Path) -> None:
    """Orders, trades, money, words, requests and the active token; on the same ports."""

    async def run() -> None:
        wall = HandWall()
        async with serving(TICKS, state=tmp_path, wall=wall) as served:
            await _traded(served)
            served.go(OPEN + 6 * SECOND)
            before, urls, token = await served.truth(), served.ready.urls, served.token
        wall.at_ns += 3_000_000
        async with serving(TICKS, state=tmp_path, wall=wall) as again:
            assert (again.ready.urls, again.ready.continues) == (urls, True)
            assert again.ready.token == token
            assert again.server.host.at_ns == OPEN + 9 * SECOND
            after = await again.truth()
            assert {name: after[name] for name in SAME} == {name: before[name] for name in SAME}
            assert (await again.ask("GET", "/orders"))[0] == 200
            order_id = await again.placed(price=98)
            assert order_id not in {one["order_id"] for one in before["orders"]}

    asyncio.run(run())


def test_faults_and_the_pace_outlive_the_server(tmp_path: Path) -> None:
    """What goes wrong goes on; a standstill too."""

    async def run() -> None:
        wall = HandWall()
        async with serving(TICKS, state=tmp_path, wall=wall) as served:
            await served.faults({"kind": "bad_gateway", "times": 1})
            assert (await served.raw("GET", "/orders"))[0] == 502
            await served.faults({"kind": "rate_storm"}, {"kind": "refused_other"})
            await served.ask("POST", "/market", {"pause": True}, host="control")
            stood_ns = served.server.host.at_ns
        wall.at_ns += 3_000_000
        async with serving(TICKS, state=tmp_path, wall=wall) as again:
            assert (await again.place())[0] == 429
            assert again.server.host.faults.windows
            assert again.server.host.at_ns == stood_ns

    asyncio.run(run())


def test_another_day_does_not_go_on_with_this_one(tmp_path: Path) -> None:
    """Refused, with both of them named."""

    async def run() -> None:
        async with serving(TICKS, state=tmp_path):
            pass
        with pytest.raises(DataRefused, match="cash_paise"):
            async with serving(TICKS, state=tmp_path, cash_paise=1):
                pass

    asyncio.run(run())


def test_no_secret_is_written_down(tmp_path: Path) -> None:
    """The token is made again from seed and instant; orders stand there as they were asked for."""

    async def run() -> None:
        async with serving(TICKS, state=tmp_path) as served:
            await served.placed(correlationId="mine-1")
            tokens.append(served.token)

    tokens: list[str] = []
    asyncio.run(run())
    text = (tmp_path / FILE).read_text()
    assert tokens[0] not in text
    assert tokens[0].split(".")[2] not in text
    names = [json.loads(line)["name"] for line in text.splitlines()]
    assert names == ["", "mint", "place", "request"]


def test_a_host_that_takes_no_connection_comes_back_on_its_port() -> None:
    """Connections that it has are cut, new ones are refused, and afterwards all is as before."""

    async def refused(served: Served) -> bool:
        await asyncio.sleep(0.01)
        try:
            await served.ask("GET", "/orders")
        except aiohttp.ClientConnectorError:
            return True
        except aiohttp.ClientConnectionError:
            return False
        return False

    async def test(served: Served) -> None:
        running = asyncio.ensure_future(served.server.run())
        await served.place()
        await served.faults({"kind": "connect_refused", "for_s": 60})
        async with asyncio.timeout(5):
            while not await refused(served):
                pass
        assert (await served.truth())["struck"] == {"connect_refused": 1}
        served.wait(61)
        async with asyncio.timeout(5):
            while await refused(served):
                pass
        assert len((await served.ask("GET", "/orders"))[1]) == 1
        served.server.stopping.set()
        await running

    in_server(test)


def test_connections_are_cut_once() -> None:
    """One that waited is gone; a new one is taken at once."""

    async def test(served: Served) -> None:
        running = asyncio.ensure_future(served.server.run())
        host, port = served.ready.urls["rest"].split("/")[2].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /v2/orders HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 401")
        await served.faults({"kind": "connections_cut"})
        async with asyncio.timeout(5):
            with suppress(ConnectionResetError):
                await reader.read()
        writer.close()
        assert await served.ask("GET", "/orders") == (200, [])
        served.server.stopping.set()
        await running

    in_server(test)
