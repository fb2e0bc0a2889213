"""The way out for orders as a connection: warm, or said to be gone."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from holdfast.brokers.dhan.orderline import WARM_NS, OrderLine
from holdfast.brokers.dhan.rest import Answer, CallKind, Rest
from holdfast.runtime.clock import ScaledClock
from tests.support.dhan_wire import Cut, Heard, Said, Silence, Whose, WireServer, said

NOW_NS = 1_763_700_000 * 1_000_000_000
OK = said(200, {"availabelBalance": 1.0})

Act = Callable[[OrderLine, Rest, ScaledClock], Awaitable[None]]


def on_line(server: WireServer, act: Act) -> None:
    """Do `act` with a line to `server`."""

    async def main() -> None:
        clock = ScaledClock(NOW_NS, 10)
        async with server:
            rest = Rest(server.base, Whose(), clock)
            try:
                await act(OrderLine(rest), rest, clock)
            finally:
                await rest.close()

    asyncio.run(main())


@pytest.mark.proves("T26")
def test_connected_means_that_both_connections_answered() -> None:
    """Two are open before the first order (T26)."""
    server = WireServer(lambda _heard: OK)

    async def act(line: OrderLine, rest: Rest, _clock: ScaledClock) -> None:
        await line.connect()
        assert server.connections == 2
        await line.ping()
        assert len(server.heard) == 2, "they have only just answered"
        await rest.call("PUT", "/orders/1", kind=CallKind.CHANGE)
        assert server.connections == 2

    on_line(server, act)


@pytest.mark.proves("T26")
def test_a_ping_asks_over_each_that_was_silent() -> None:
    """So that an idle hour ends on a connection that answered seconds ago (T26)."""
    server = WireServer(lambda _heard: OK)

    async def act(line: OrderLine, _rest: Rest, clock: ScaledClock) -> None:
        await line.connect()
        for _ in range(3):
            await asyncio.sleep(clock.wall_s(WARM_NS / 1e9) + 0.01)
            await line.ping()

    on_line(server, act)
    assert server.connections == 2
    assert [heard.connection for heard in server.heard].count(1) == 4
    assert [heard.connection for heard in server.heard].count(2) == 4


@pytest.mark.parametrize("answer", [Cut(), Silence(), said(502, body=b"<html>")])
def test_a_line_that_gets_no_answer_is_gone(answer: Cut | Silence | bytes) -> None:
    """The link counts as down, and entries stop."""
    server = WireServer(lambda _heard: answer)

    async def act(line: OrderLine, _rest: Rest, _clock: ScaledClock) -> None:
        with pytest.raises(ConnectionError):
            await line.connect()
        with pytest.raises(ConnectionError):
            await line.ping()

    on_line(server, act)


def test_a_no_is_an_answer() -> None:
    """A dead token is told elsewhere; the way to the broker is there."""
    refusal = {"errorCode": "DH-906", "errorMessage": "Invalid Token"}
    server = WireServer(lambda _heard: said(400, refusal))

    async def act(line: OrderLine, _rest: Rest, _clock: ScaledClock) -> None:
        await line.connect()

    on_line(server, act)


def test_without_a_token_it_is_not_there() -> None:
    """And nobody is asked for anything."""
    server = WireServer(lambda _heard: OK)

    async def main() -> None:
        async with server:
            rest = Rest(server.base, Whose(secret=""), ScaledClock(NOW_NS, 1))
            with pytest.raises(ConnectionError, match="no token"):
                await OrderLine(rest).connect()
            await rest.close()

    asyncio.run(main())
    assert not server.heard


@pytest.mark.proves("DEG-1")
def test_it_comes_back_with_the_broker() -> None:
    """A broken connection is replaced by the next ping, no order is needed for it."""
    server = WireServer(lambda _heard: OK)

    async def act(line: OrderLine, _rest: Rest, clock: ScaledClock) -> None:
        await line.connect()
        server.break_all()
        await asyncio.sleep(clock.wall_s(WARM_NS / 1e9) + 0.01)
        await line.ping()
        await line.ping()

    on_line(server, act)
    assert server.connections == 4


@pytest.mark.proves("T26", "DEG-1")
def test_what_was_dead_unnoticed_is_made_anew_by_the_ping_that_notices() -> None:
    """The gateway took the request and hung up: an order must not be the first to find out."""
    cuts: list[int] = []

    def answer(_heard: Heard) -> Said:
        if cuts:
            cuts.pop()
            return Cut()
        return OK

    server = WireServer(answer)

    async def act(line: OrderLine, rest: Rest, clock: ScaledClock) -> None:
        await line.connect()
        await asyncio.sleep(clock.wall_s(WARM_NS / 1e9) + 0.01)
        cuts.extend((1, 2))
        await line.ping()
        assert cuts == []
        assert isinstance(await rest.call("PUT", "/orders/1", kind=CallKind.CHANGE), Answer)

    on_line(server, act)
    assert [heard.connection for heard in server.heard][2:] == [1, 2, 3, 4, 4]


@pytest.mark.proves("T26")
def test_one_way_out_is_enough() -> None:
    """The other is tried anew each time; an order takes the one that answered."""
    lost = {2, 3, 4}
    server = WireServer(lambda heard: Cut() if heard.connection in lost else OK)

    async def act(line: OrderLine, rest: Rest, _clock: ScaledClock) -> None:
        await line.connect()
        await line.ping()
        assert isinstance(await rest.call("PUT", "/orders/1", kind=CallKind.CHANGE), Answer)

    on_line(server, act)
    assert server.heard[-1].connection not in lost
    assert max(heard.connection for heard in server.heard) > len(lost)


def test_closed_it_holds_no_connection_and_orders_may_still_leave() -> None:
    """A second close does nothing; an exit does not wait for a service to begin again."""
    server = WireServer(lambda _heard: OK)

    async def act(line: OrderLine, rest: Rest, _clock: ScaledClock) -> None:
        await line.connect()
        await line.close()
        await line.close()
        await rest.call("PUT", "/orders/1", kind=CallKind.CHANGE)

    on_line(server, act)
    assert server.heard[-1].connection == 3
