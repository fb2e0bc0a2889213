"""Calls to the REST API: one request each, and whether it can have left when nobody answered."""

import asyncio
import logging
import socket
import sys
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest

from holdfast.brokers.dhan.rest import (
    BODY_MAX,
    FRESH_NS,
    Answer,
    CallKind,
    Failed,
    Reply,
    Rest,
    Source,
)
from holdfast.domain.event import (
    AccountChecked,
    AnyEvent,
    ClockChanged,
    Outcome,
    TokenChanged,
)
from holdfast.runtime.clock import ScaledClock
from tests.support.dhan_wire import (
    CLIENT_ID,
    SECRET,
    Cut,
    Drip,
    Heard,
    Said,
    Silence,
    Whose,
    WireServer,
    said,
    until,
)

NOW_NS = 1_763_700_000 * 1_000_000_000
FAST = 20
SLOW = 2
"""Most of what is asked here is answered at once: no busy machine must make it late."""

OK = said(200, {"a": 1})
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"


def exchange(
    server: WireServer,
    act: Callable[[Rest], Awaitable[Reply]],
    *,
    told: list[AnyEvent] | None = None,
    whose: Whose | None = None,
    clock: ScaledClock | None = None,
) -> Reply:
    """What `act` makes of a client of `server`."""

    async def main() -> Reply:
        events = [] if told is None else told
        timing = clock or ScaledClock(NOW_NS, SLOW)
        async with server:
            rest = Rest(server.base, whose or Whose(), timing, tell=events.append)
            try:
                return await act(rest)
            finally:
                await rest.close()

    return asyncio.run(main())


def always(answer: Said) -> WireServer:
    """A server that has one answer."""
    return WireServer(lambda _heard: answer)


def failed(reply: Reply) -> Failed:
    assert isinstance(reply, Failed), reply
    return reply


def test_an_answer_carries_status_exact_numbers_and_the_brokers_stamp() -> None:
    """Prices stay the decimals that were written; the Date header is kept in UTC nanoseconds."""
    body = b'{"price": 131.20, "big": 1.7375706E9, "count": 65, "zero": -0}'
    date = {"Date": "Fri, 21 Nov 2025 04:40:00 GMT"}
    server = always(said(200, body=body, headers=date))
    reply = exchange(server, lambda rest: rest.call("GET", "/x"))
    assert isinstance(reply, Answer)
    assert reply.is_ok
    assert reply.payload == {
        "price": Decimal("131.20"),
        "big": Decimal("1.7375706E9"),
        "count": 65,
        "zero": 0,
    }
    assert reply.date_ns == NOW_NS
    assert reply.body == body


def test_the_token_goes_in_headers_only_and_the_body_is_json() -> None:
    """Neither the address nor the body of a request shows the token; prices are exact numbers."""
    server = always(OK)
    body = {"price": Decimal("131.20"), "quantity": 65}
    exchange(
        server,
        lambda rest: rest.call("POST", "/orders", body=body, query={"q": "1"}, kind=CallKind.PLACE),
    )
    (heard,) = server.heard
    assert heard.headers["access-token"] == SECRET
    assert heard.headers["client-id"] == CLIENT_ID
    assert heard.headers["content-type"] == "application/json"
    assert heard.path == "/orders?q=1"
    assert heard.body == b'{"price":131.20,"quantity":65}'
    assert SECRET not in heard.path + heard.body.decode()


def test_without_a_token_nothing_leaves() -> None:
    """An order without a token would be refused, and tell the broker nothing but our address."""
    server = always(OK)
    reply = exchange(server, lambda rest: rest.call("GET", "/orders"), whose=Whose(secret=""))
    assert failed(reply).outcome is Outcome.NOT_SENT
    assert not server.heard


@pytest.mark.proves("GWL-2", "ORT-7")
@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "GET"])
@pytest.mark.parametrize("kind", [CallKind.CHANGE, CallKind.READ])
def test_a_request_is_never_resent_when_a_kept_connection_dies_unanswered(
    method: str, kind: CallKind
) -> None:
    """The client's own resending of PUT, DELETE and GET is off: one request, one answer or none (M1)."""
    server = WireServer(lambda heard: OK if heard.path == "/warm" else Cut())

    async def act(rest: Rest) -> Reply:
        assert isinstance(await rest.call("GET", "/warm", kind=kind), Answer)
        return await rest.call(method, "/orders/1", kind=kind)

    reply = exchange(server, act)
    assert failed(reply).outcome is Outcome.UNANSWERED
    assert [heard.path for heard in server.heard] == ["/warm", "/orders/1"]
    assert server.connections == 1


def test_not_sent_is_said_where_nothing_listens() -> None:
    """A refused connect wrote no byte: it is the one failure that proves that nothing left."""
    server = always(OK)

    async def act(rest: Rest) -> Reply:
        server._server.close()  # noqa: SLF001 the test's own
        return await rest.call("POST", "/orders", body={}, kind=CallKind.PLACE)

    assert failed(exchange(server, act)).outcome is Outcome.NOT_SENT


def test_not_sent_is_said_where_tls_fails() -> None:
    """A handshake that fails is before the first byte of the request."""

    async def main() -> Reply:
        async def no_tls(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"this is no handshake\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(no_tls, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        rest = Rest(f"https://127.0.0.1:{port}", Whose(), ScaledClock(NOW_NS, SLOW))
        try:
            return await rest.call("POST", "/orders", body={}, kind=CallKind.PLACE)
        finally:
            await rest.close()
            server.close()

    reply = failed(asyncio.run(main()))
    assert reply.outcome is Outcome.NOT_SENT
    assert "no answer within" not in reply.reason


def test_not_sent_is_said_where_the_connect_takes_too_long() -> None:
    """A listener that accepts nobody in time is not reached."""

    async def main() -> Reply:
        full = socket.socket()
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)  # noqa: FBT003
            one.connect_ex(address)
        rest = Rest(f"http://127.0.0.1:{address[1]}", Whose(), ScaledClock(NOW_NS, FAST))
        try:
            return await rest.call("DELETE", "/orders/1", kind=CallKind.CHANGE)
        finally:
            await rest.close()
            for one in (*waiting, full):
                one.close()

    assert failed(asyncio.run(main())).outcome is Outcome.NOT_SENT


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Cut(), id="nothing"),
        pytest.param(Cut(b"HTTP/1.1 2"), id="half a status line"),
        pytest.param(Cut(HEAD), id="headers only"),
        pytest.param(Cut(HEAD + b'{"orderId": "1'), id="cut body"),
        pytest.param(said(200, body=b'{"orderId": "1'), id="half a JSON"),
        pytest.param(said(200, body=b"<html>busy</html>"), id="HTML"),
        pytest.param(said(502, body=b"<html>bad gateway</html>"), id="HTML of a gateway"),
        pytest.param(said(200, body=b"\xff\xfe"), id="no text"),
        pytest.param(said(200, body=b"[" * 100_000), id="nested without end"),
        pytest.param(said(200, body=b"NaN"), id="no JSON number"),
        pytest.param(b"nonsense\r\n\r\n", id="no HTTP"),
        pytest.param(said(302, {}, headers={"Location": "http://127.0.0.1:1/"}), id="redirect"),
        pytest.param(Silence(), id="silence"),
        pytest.param(Drip(HEAD + b"x" * 100, 0.02), id="slow drip"),
        pytest.param(said(200, body=b"[" + b" " * BODY_MAX + b"]"), id="too long"),
    ],
)
def test_what_cannot_be_read_is_unanswered(answer: Said) -> None:
    """The request has left: whatever came of it, nobody may say that it did not happen."""
    server = always(answer)
    reply = exchange(server, lambda rest: rest.call("DELETE", "/orders/1", kind=CallKind.CHANGE))
    assert failed(reply).outcome is Outcome.UNANSWERED
    assert len(server.heard) == 1


def test_a_redirect_is_not_followed() -> None:
    """Where it points to would be sent the token."""
    other = always(OK)

    async def main() -> list[Heard]:
        async with other:
            server = always(said(307, {}, headers={"Location": f"{other.base}/orders"}))
            async with server:
                rest = Rest(server.base, Whose(), ScaledClock(NOW_NS, SLOW))
                for kind in (CallKind.READ, CallKind.PLACE):
                    assert isinstance(await rest.call("GET", "/x", kind=kind), Failed)
                await rest.close()
        return other.heard

    assert not asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "status", "payload"),
    [
        (said(202), 202, None),
        (said(200, body=b" \r\n"), 200, None),
        (said(204), 204, None),
        (said(400, {"errorMessage": "no"}), 400, {"errorMessage": "no"}),
        (said(500, []), 500, []),
    ],
)
def test_an_empty_body_and_every_status_with_json_are_answers(
    answer: bytes, status: int, payload: object
) -> None:
    """What they mean is for whoever asked."""
    reply = exchange(always(answer), lambda rest: rest.call("GET", "/x"))
    assert isinstance(reply, Answer)
    assert (reply.status, reply.payload) == (status, payload)


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [(CallKind.CHANGE, 2.0), (CallKind.READ, 5.0), (CallKind.PLACE, 8.0), (CallKind.GUARD, 8.0)],
)
def test_each_kind_has_its_time_out_in_seconds_of_the_clock(kind: CallKind, seconds: float) -> None:
    """A modification is given up after 2 s, because it may be repeated; a placement after 8 s (T3)."""
    clock = ScaledClock(NOW_NS, FAST)
    reply = exchange(always(Silence()), lambda rest: rest.call("GET", "/x", kind=kind), clock=clock)
    waited_s = (failed(reply).at_ns - NOW_NS) / 1e9
    assert seconds - 0.1 <= waited_s <= seconds + 60
    assert f"{seconds:g} s" in failed(reply).reason


def test_no_reason_shows_the_token_or_an_address() -> None:
    """Some addresses hold a PIN; a reason is journaled."""
    for answer in (Cut(), said(302, {}), said(200, body=b"<x>"), b"junk\r\n\r\n"):
        server = always(answer)
        query = {"pin": "123456"}
        reply = exchange(server, lambda rest: rest.call("POST", "/app/x", query=query))  # noqa: B023
        reason = failed(reply).reason
        assert "123456" not in reason
        assert SECRET not in reason
        assert str(server.port) not in reason


def test_after_the_close_nothing_leaves() -> None:
    """It is said, not raised."""
    server = always(OK)

    async def act(rest: Rest) -> Reply:
        await rest.close()
        return await rest.call("POST", "/orders", body={}, kind=CallKind.PLACE)

    assert failed(exchange(server, act)).outcome is Outcome.NOT_SENT


# -- warm connections for orders


@pytest.mark.proves("T26")
def test_two_connections_are_kept_warm_and_an_order_takes_one_that_answered() -> None:
    """An order makes no connection of its own while one that answered within 15 s is there (T26)."""
    server = always(OK)

    async def act(rest: Rest) -> Reply:
        assert len(await rest.keep_warm(older_ns=0)) == 2
        return await rest.call("POST", "/orders", body={}, kind=CallKind.PLACE)

    exchange(server, act)
    assert server.connections == 2
    assert [heard.method for heard in server.heard] == ["GET", "GET", "POST"]


@pytest.mark.proves("T26")
def test_a_connection_that_was_silent_for_15_s_carries_no_order() -> None:
    """The gateway may have closed it: the order would leave and nobody would hear it (T26)."""
    server = always(OK)
    clock = ScaledClock(NOW_NS, FAST)

    async def act(rest: Rest) -> Reply:
        await rest.keep_warm(older_ns=0)
        await asyncio.sleep(clock.wall_s(FRESH_NS / 1e9) + 0.01)
        return await rest.call("POST", "/orders", body={}, kind=CallKind.PLACE)

    assert isinstance(exchange(server, act, clock=clock), Answer)
    assert server.heard[-1].connection == 3


@pytest.mark.parametrize("answer", [Silence(), said(502, body=b"<html>"), Cut()])
def test_a_connection_that_failed_carries_nothing_more(answer: Said) -> None:
    """The next order goes over another one, also where it still stands: a gateway is in trouble."""
    server = WireServer(lambda heard: answer if heard.path == "/orders/1" else OK)

    async def act(rest: Rest) -> Reply:
        await rest.keep_warm(older_ns=0)
        await rest.call("PUT", "/orders/1", kind=CallKind.CHANGE)
        return await rest.call("PUT", "/orders/2", kind=CallKind.CHANGE)

    assert isinstance(exchange(server, act), Answer)
    broken, fine = server.heard[-2:]
    assert broken.connection != fine.connection


def test_a_third_order_beside_two_that_wait_has_a_connection_of_its_own() -> None:
    """No exit waits for the answer to another one."""
    server = WireServer(lambda heard: Silence() if heard.path == "/slow" else OK)

    async def act(rest: Rest) -> Reply:
        await rest.keep_warm(older_ns=0)
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(rest.call("PUT", "/slow", kind=CallKind.CHANGE))
            await until(lambda: len(server.heard) == 4)
            return await rest.call("PUT", "/fast", kind=CallKind.CHANGE)

    assert isinstance(exchange(server, act), Answer)
    assert server.heard[-1].path == "/fast"
    assert server.heard[-1].connection == 3


def test_polls_leave_one_connection_to_orders() -> None:
    """A poll goes over the lines for orders only while both are free."""
    server = WireServer(lambda heard: Silence() if heard.path == "/slow" else OK)

    async def act(rest: Rest) -> Reply:
        await rest.keep_warm(older_ns=0)
        async with asyncio.TaskGroup() as group:
            group.create_task(rest.call("PUT", "/slow", kind=CallKind.CHANGE))
            await until(lambda: len(server.heard) == 3)
            return await rest.call("GET", "/poll", kind=CallKind.POLL)

    exchange(server, act)
    assert server.heard[-1].connection == 3


@pytest.mark.proves("T26", "T9")
def test_polls_keep_both_connections_warm() -> None:
    """Each goes over the one that has been silent for longer (T26)."""
    server = always(OK)

    async def act(rest: Rest) -> Reply:
        await rest.keep_warm(older_ns=0)
        for _ in range(3):
            await rest.call("GET", "/poll", kind=CallKind.POLL)
        return await rest.call("GET", "/poll", kind=CallKind.POLL)

    exchange(server, act)
    polled = [heard.connection for heard in server.heard if heard.path == "/poll"]
    assert sorted(polled) == [1, 1, 2, 2]


@pytest.mark.proves("T27")
def test_orders_leave_by_the_registered_address_family_only() -> None:
    """A host with both would now and then send an order from the address that is not registered."""
    server = always(OK)

    async def main() -> list[Reply]:
        async with server:
            replies = []
            for family in (socket.AF_INET6, socket.AF_INET):
                base = f"http://localhost:{server.port}"
                clock = ScaledClock(NOW_NS, SLOW)
                rest = Rest(base, Whose(), clock, order_sources=[Source(family)])
                replies.append(await rest.call("PUT", "/orders/1", kind=CallKind.CHANGE))
                await rest.close()
            return replies

    by_six, by_four = asyncio.run(main())
    assert failed(by_six).outcome is Outcome.NOT_SENT, "the server listens on the other family"
    assert isinstance(by_four, Answer)
    assert len(server.heard) == 1


SECOND = "127.0.0.2"
"""Another address of this machine's loopback, which has it on Linux and nowhere else."""

needs_second = pytest.mark.skipif(sys.platform != "linux", reason=f"no {SECOND} here")
INVALID_IP = {"errorCode": "DH-905", "errorMessage": "Invalid IP"}


@needs_second
@pytest.mark.proves("T27")
def test_an_order_refused_for_its_address_leaves_from_the_other_one_next() -> None:
    """And from the first again once that one is refused too; reads stay where they are."""
    taken = {SECOND}
    server = WireServer(
        lambda heard: OK if heard.peer in taken or heard.method == "GET" else said(400, INVALID_IP)
    )

    async def main() -> list[int]:
        async with server:
            sources = [Source(socket.AF_INET), Source(socket.AF_INET, SECOND)]
            clock = ScaledClock(NOW_NS, SLOW)
            rest = Rest(server.base, Whose(), clock, order_sources=sources)
            statuses = []
            for method in ("PUT", "PUT", "GET", "PUT", "PUT"):
                kind = CallKind.READ if method == "GET" else CallKind.CHANGE
                reply = await rest.call(method, "/orders/1", kind=kind)
                assert isinstance(reply, Answer)
                statuses.append(reply.status)
                if method == "GET":
                    taken.symmetric_difference_update({SECOND, "127.0.0.1"})
            await rest.close()
            return statuses

    assert asyncio.run(main()) == [400, 200, 200, 400, 200]
    first = "127.0.0.1"
    assert [heard.peer for heard in server.heard] == [first, SECOND, first, SECOND, first]


@pytest.mark.proves("T27")
def test_an_address_that_nothing_leaves_from_is_given_up_for_the_other_one() -> None:
    """The machine may have lost it since, and the first may be taken again: exits go on."""
    answers = [OK, said(400, INVALID_IP)]
    server = WireServer(lambda _heard: answers.pop())

    async def main() -> list[int | Outcome]:
        async with server:
            sources = [Source(socket.AF_INET), Source(socket.AF_INET6)]
            base = f"http://localhost:{server.port}"
            rest = Rest(base, Whose(), ScaledClock(NOW_NS, SLOW), order_sources=sources)
            ended: list[int | Outcome] = []
            for _ in range(3):
                reply = await rest.call("PUT", "/orders/1", kind=CallKind.CHANGE)
                ended.append(reply.status if isinstance(reply, Answer) else reply.outcome)
            await rest.close()
            return ended

    assert asyncio.run(main()) == [400, Outcome.NOT_SENT, 200]


@needs_second
@pytest.mark.proves("T27")
def test_orders_that_are_refused_together_change_the_address_once() -> None:
    """An answer that is still awaited comes over the connection that it was asked on."""
    server = WireServer(lambda heard: OK if heard.peer == SECOND else said(400, INVALID_IP))

    async def main() -> list[int]:
        async with server:
            sources = [Source(socket.AF_INET), Source(socket.AF_INET, SECOND)]
            rest = Rest(server.base, Whose(), ScaledClock(NOW_NS, SLOW), order_sources=sources)

            def change() -> Awaitable[Reply]:
                return rest.call("PUT", "/orders/1", kind=CallKind.CHANGE)

            replies = [*await asyncio.gather(change(), change(), change()), await change()]
            await rest.close()
            return [one.status for one in replies if isinstance(one, Answer)]

    assert asyncio.run(main()) == [400, 400, 400, 200]


# -- what an answer says beside what was asked


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (401, {"errorCode": "DH-901",
               "errorMessage": "Client ID or user generated access token is invalid or expired."}),
        (400, {"errorCode": "DH-906", "errorMessage": "Invalid Token"}),
        (401, {"data": {"808": "Authentication Failed - Client ID or Token invalid"},
               "status": "failed"}),
    ],
)  # fmt: skip
@pytest.mark.proves("I-93")
def test_a_dead_token_is_told_once(status: int, payload: object) -> None:
    """Every family says it in its own words (dhan.md 1.8); later answers say nothing new."""
    told: list[AnyEvent] = []

    async def act(rest: Rest) -> Reply:
        await rest.call("GET", "/x")
        return await rest.call("GET", "/y")

    exchange(always(said(status, payload)), act, told=told)
    (event,) = told
    assert isinstance(event, TokenChanged)
    assert not event.is_valid
    assert SECRET not in event.reason


@pytest.mark.proves("I-93")
def test_a_death_is_told_again_when_the_token_was_taken_in_between() -> None:
    """A broker that refuses everybody for a while does so twice on some days."""
    told: list[AnyEvent] = []
    dead = said(400, {"errorCode": "DH-906", "errorMessage": "Invalid Token"})

    async def act(rest: Rest) -> Reply:
        for path in ("/dead", "/dead", "/fine", "/fine"):
            await rest.call("GET", path)
        return await rest.call("GET", "/dead")

    server = WireServer(lambda heard: dead if heard.path == "/dead" else said(200, {}))
    exchange(server, act, told=told)
    assert [type(event) for event in told] == [TokenChanged, TokenChanged]


def test_a_token_that_was_replaced_meanwhile_is_not_told_dead_again() -> None:
    """The answer speaks of the one that was sent with it."""
    told: list[AnyEvent] = []
    whose = Whose()

    def answer(_heard: Heard) -> bytes:
        whose.secret = "a.newer.token"  # noqa: S105 a test's
        return said(400, {"errorCode": "DH-906", "errorMessage": "Invalid Token"})

    exchange(WireServer(answer), lambda rest: rest.call("GET", "/x"), told=told, whose=whose)
    assert not told


@pytest.mark.proves("T27")
def test_a_refused_address_is_told() -> None:
    """Reads do not notice it: the refusal of an order does (T27)."""
    told: list[AnyEvent] = []
    refusal = {"errorCode": "DH-905", "errorMessage": "Invalid IP"}
    exchange(
        always(said(400, refusal)),
        lambda rest: rest.call("POST", "/orders", body={}, kind=CallKind.PLACE),
        told=told,
    )
    assert [type(event) for event in told] == [AccountChecked]
    assert isinstance(told[0], AccountChecked)
    assert not told[0].orders_allowed


def test_a_clock_that_is_off_is_told() -> None:
    """By the Date header of successful answers (T30)."""
    told: list[AnyEvent] = []
    date = {"Date": "Fri, 21 Nov 2025 04:40:10 GMT"}
    exchange(always(said(200, [], headers=date)), lambda rest: rest.call("GET", "/x"), told=told)
    (event,) = told
    assert isinstance(event, ClockChanged)
    assert -10_000 <= event.skew_ms <= -8_000


def test_nothing_is_logged_of_a_call(caplog: pytest.LogCaptureFixture) -> None:
    """The HTTP client's own log would show addresses."""
    with caplog.at_level(logging.INFO):
        exchange(always(OK), lambda rest: rest.call("GET", "/x", query={"pin": "123456"}))
    assert "123456" not in caplog.text
