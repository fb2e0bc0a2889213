"""The stream of order updates over a real socket: login, pings, words, and what ends it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from holdfast.brokers.dhan.rows import OrderWords
from holdfast.brokers.dhan.updates import SILENT_NS, UpdateStream
from holdfast.domain.event import AnyEvent, ForeignUpdated, Link, LinkChanged, OrderUpdated
from holdfast.domain.order import BrokerOrderId, BrokerStatus, OrderId
from holdfast.runtime.clock import ScaledClock
from tests.support.dhan_samples import sample
from tests.support.dhan_wire import CLIENT_ID, PREFIX, SECRET, Whose, until

NOW_NS = 1_763_700_000 * 1_000_000_000
ID = OrderId(f"{PREFIX}-X0001-1-0")


def alert(**change: Any) -> str:
    """A frame of the broker's about an order of ours that half filled."""
    data = {
        "exchange": "NSE",
        "segment": "D",
        "securityId": "49081",
        "orderNo": "512609150001",
        "product": "I",
        "txnType": "S",
        "orderType": "LMT",
        "quantity": 130,
        "tradedQty": 65,
        "remainingQuantity": 65,
        "price": 101.3,
        "avgTradedPrice": 101.35,
        "lastUpdatedTime": "2025-11-21 10:00:01",
        "reasonDescription": "TRADE CONFIRMED",
        "status": "Pending",
        "correlationId": ID,
        **change,
    }
    return json.dumps({"Data": data, "Type": "order_alert"})


class Broker:
    """The other end: it keeps each socket, and what was said on it."""

    def __init__(self, *, is_token_good: bool = True) -> None:
        self._is_token_good = is_token_good
        self.logins: list[dict[str, Any]] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.pongs: list[bytes] = []
        self.pings: list[bytes] = []
        self.texts: list[str] = []
        self.requests: list[web.Request] = []

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Its address, while it is there."""
        app = web.Application()
        app.router.add_get("/", self._serve)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            self.reset()
            await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        self.requests.append(request)
        self.logins.append(json.loads(await socket.receive_str()))
        if not self._is_token_good:
            self._abort(request)
            return socket
        self.sockets.append(socket)
        async for message in socket:
            if message.type is WSMsgType.PONG:
                self.pongs.append(message.data)
            elif message.type is WSMsgType.PING:
                self.pings.append(message.data)
            elif message.type is WSMsgType.TEXT:
                self.texts.append(message.data)
        return socket

    @staticmethod
    def _abort(request: web.Request) -> None:
        if request.transport is not None:
            request.transport.abort()

    def reset(self) -> None:
        """Break every connection without a word."""
        for request in self.requests:
            self._abort(request)

    async def say(self, stream: UpdateStream, text: str) -> None:
        """Say something on the newest connection, and see that it was heard."""
        heard = stream.words_heard + stream.refused
        await until(lambda: self.sockets)
        await self.sockets[-1].send_str(text)
        await until(lambda: stream.words_heard + stream.refused > heard)


Act = Callable[[UpdateStream, Broker, ScaledClock], Awaitable[None]]


def streaming(
    act: Act,
    *,
    broker: Broker | None = None,
    words: OrderWords | None = None,
    speed: int = 20,
) -> list[AnyEvent]:
    """What is told while `act` goes on."""
    told: list[AnyEvent] = []
    other = broker or Broker()

    async def main() -> None:
        clock = ScaledClock(NOW_NS, speed)
        async with other.serving() as url:
            stream = UpdateStream(
                url, Whose(), clock, words=words or OrderWords(PREFIX), tell=told.append
            )
            try:
                await act(stream, other, clock)
            finally:
                await stream.close()

    asyncio.run(main())
    return told


def test_the_login_is_a_message_and_silence_is_success() -> None:
    """The token goes in the first message, never in the address (dhan.md 5)."""
    broker = Broker()

    async def act(stream: UpdateStream, broker: Broker, _clock: ScaledClock) -> None:
        await stream.connect()
        await stream.ping()
        assert SECRET not in str(broker.requests[0].rel_url)

    streaming(act, broker=broker)
    assert broker.logins == [
        {"LoginReq": {"MsgCode": 42, "ClientId": CLIENT_ID, "Token": SECRET}, "UserType": "SELF"}
    ]


@pytest.mark.proves("I-15")
def test_a_reset_after_the_login_is_a_no() -> None:
    """A bad token is answered so, some 10 ms later: connected is not logged in."""

    async def act(stream: UpdateStream, _broker: Broker, _clock: ScaledClock) -> None:
        with pytest.raises(ConnectionResetError, match="dead token"):
            await stream.connect()
        with pytest.raises(ConnectionError):
            await stream.ping()

    assert not streaming(act, broker=Broker(is_token_good=False), speed=1)


def test_a_broker_that_is_not_there_is_an_oserror_without_its_address() -> None:
    """Whoever keeps it up tries again."""

    async def main(url: str) -> None:
        stream = UpdateStream(
            url, Whose(), ScaledClock(NOW_NS, 20), words=OrderWords(PREFIX), tell=print
        )
        with pytest.raises(ConnectionError) as caught:
            await stream.connect()
        assert "127.0.0.1" not in str(caught.value)
        await stream.close()

    asyncio.run(main("ws://127.0.0.1:1"))


def test_without_a_token_nobody_is_asked() -> None:
    """An empty login would only be reset."""

    async def main() -> None:
        stream = UpdateStream(
            "ws://127.0.0.1:1", Whose(secret=""), ScaledClock(NOW_NS, 20),
            words=OrderWords(PREFIX), tell=print,
        )  # fmt: skip
        with pytest.raises(ConnectionError, match="no token"):
            await stream.connect()
        await stream.close()

    asyncio.run(main())


@pytest.mark.proves("T28", "I-70", "OUH-5")
def test_the_brokers_pings_are_answered_and_hours_without_words_are_well() -> None:
    """It drops who is silent for 40 s; quiet is not dead (T28)."""
    broker = Broker()

    async def act(stream: UpdateStream, broker: Broker, clock: ScaledClock) -> None:
        await stream.connect()
        for number in range(4):
            await asyncio.sleep(clock.wall_s(10))
            await broker.sockets[-1].ping(f"p{number}".encode())
            await until(lambda: len(broker.pongs) > number)  # noqa: B023
            await stream.ping()

    assert not streaming(act, broker=broker)
    assert broker.pongs == [b"p0", b"p1", b"p2", b"p3"]
    assert (broker.texts, broker.pings) == ([], []), "we ping nobody"


@pytest.mark.proves("T28")
def test_nobody_is_pinged_in_an_idle_hour_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client would do so by itself, after any silence that it is told of: it is told of none."""
    asked: list[object] = []
    connect = aiohttp.ClientSession.ws_connect

    def noted(self: aiohttp.ClientSession, *args: Any, **how: Any) -> Any:
        asked.append(how["heartbeat"])
        return connect(self, *args, **how)

    monkeypatch.setattr(aiohttp.ClientSession, "ws_connect", noted)

    async def act(stream: UpdateStream, broker: Broker, clock: ScaledClock) -> None:
        await stream.connect()
        await asyncio.sleep(clock.wall_s(20))
        await stream.ping()
        assert (broker.pings, asked) == ([], [None])

    streaming(act)


@pytest.mark.proves("T28")
def test_a_stream_without_pings_is_gone_after_25_s() -> None:
    """Open and mute: a connection that only looks alive."""

    async def act(stream: UpdateStream, _broker: Broker, clock: ScaledClock) -> None:
        await stream.connect()
        await asyncio.sleep(clock.wall_s(SILENT_NS / 1e9) + 0.01)
        with pytest.raises(ConnectionError, match="no ping"):
            await stream.ping()

    streaming(act)


@pytest.mark.proves("OUH-1")
def test_a_reset_is_noticed_and_the_next_connect_logs_in_again() -> None:
    """What happened between is not told again: the book must be read."""
    broker = Broker()

    async def act(stream: UpdateStream, broker: Broker, _clock: ScaledClock) -> None:
        await stream.connect()
        broker.reset()
        await until(lambda: not stream.is_up)
        # It was told at once: the service asks only every ten seconds.
        with pytest.raises(ConnectionError, match="gone"):
            await stream.ping()
        await stream.connect()
        await broker.say(stream, alert())

    lost, event = streaming(act, broker=broker)
    assert isinstance(lost, LinkChanged)
    assert (lost.link, lost.is_up) == (Link.UPDATES, False)
    assert isinstance(event, OrderUpdated)
    assert len(broker.logins) == 2


@pytest.mark.proves("I-105", "OUH-4")
def test_many_lives_leave_nothing_behind() -> None:
    """Each close ends the connection and its task."""
    broker = Broker()

    async def act(stream: UpdateStream, broker: Broker, _clock: ScaledClock) -> None:
        before = len(asyncio.all_tasks())
        for _ in range(8):
            await stream.connect()
            await stream.close()
            await stream.close()
        await until(lambda: len(asyncio.all_tasks()) <= before)
        await until(lambda: all(socket.closed for socket in broker.sockets))

    streaming(act, broker=broker)


@pytest.mark.proves("I-106", "OUH-4")
def test_it_may_be_stopped_from_within_what_it_tells() -> None:
    """Whoever hears a word closes it before the next one: nothing waits for itself."""

    async def main() -> None:
        broker, stops = Broker(), list[asyncio.Task[None]]()

        def hear(_event: AnyEvent) -> None:
            stops.append(asyncio.ensure_future(stream.close()))

        async with broker.serving() as url:
            stream = UpdateStream(
                url, Whose(), ScaledClock(NOW_NS, 20), words=OrderWords(PREFIX), tell=hear
            )
            await stream.connect()
            await until(lambda: broker.sockets)
            for _ in range(2):
                await broker.sockets[-1].send_str(alert())
            async with asyncio.timeout(2):
                await until(lambda: stops and all(stop.done() for stop in stops))
            assert not stream.is_up
            assert [stop.exception() for stop in stops] == [None] * len(stops)
            await until(lambda: broker.sockets[-1].closed)

    asyncio.run(main())


# -- words


def told_of(*texts: str, words: OrderWords | None = None) -> list[AnyEvent]:
    """What is told of frames that come one after another."""

    async def act(stream: UpdateStream, broker: Broker, _clock: ScaledClock) -> None:
        await stream.connect()
        for text in texts:
            await broker.say(stream, text)
        await stream.ping()

    return streaming(act, words=words)


@pytest.mark.proves("I-40")
def test_a_word_before_the_answer_is_matched_by_our_own_id() -> None:
    """The stream beats the HTTP answer: the broker's number is not known yet."""
    (event,) = told_of(alert())
    assert isinstance(event, OrderUpdated)
    assert not event.is_read
    assert event.row.order_id == ID
    assert event.row.status is BrokerStatus.WORKING
    assert (event.row.filled_quantity, event.row.filled_value_paise) == (65, 65 * 10_135)
    assert event.at_ns > NOW_NS


def test_a_word_without_our_id_is_matched_by_the_number_once_that_is_known() -> None:
    """Older frames bear no id at all (dhan.md 5)."""
    words = OrderWords(PREFIX)
    words.know(ID, BrokerOrderId("512609150001"))
    (event,) = told_of(alert(correlationId=None), words=words)
    assert isinstance(event, OrderUpdated)


@pytest.mark.proves("T14")
def test_orders_of_the_owner_and_of_the_broker_are_told_apart() -> None:
    """They act on what we hold, at once (T11, T14)."""
    (event,) = told_of(alert(correlationId="NA", source="W"))
    assert isinstance(event, ForeignUpdated)
    assert (event.row.filled_quantity, event.row.is_live) == (65, True)


@pytest.mark.proves("OUH-2")
def test_words_repeated_and_out_of_order_are_told_as_they_come() -> None:
    """Each is cumulative, so that the engine's fold loses nothing and counts nothing twice."""
    whole = alert(tradedQty=130, remainingQuantity=None, status="Traded")
    events = told_of(whole, alert(), whole)
    filled = [event.row.filled_quantity for event in events if isinstance(event, OrderUpdated)]
    assert filled == [130, 65, 130]


@pytest.mark.parametrize(
    "bad",
    [
        "", "{", "null", "[]", "7", '"x"', "{}", '{"Type":"order_alert"}',
        '{"Type":"order_alert","Data":{}}', '{"Type":"news","Data":{}}', "[" * 5_000,
        alert(txnType="HOLD"), alert(quantity=None), alert(price=1e300), alert(orderNo=[1]),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_counted_and_the_connection_kept(bad: str) -> None:
    """The next word is heard all the same."""

    async def act(stream: UpdateStream, broker: Broker, _clock: ScaledClock) -> None:
        await stream.connect()
        await broker.say(stream, bad)
        await broker.say(stream, bad)
        assert stream.refused == 2
        await broker.say(stream, alert())
        await stream.ping()

    with capture_logs() as logged:
        (event,) = streaming(act)
    assert isinstance(event, OrderUpdated)
    assert len([one for one in logged if one["event"].startswith("an order update")]) == 1


def test_a_heartbeat_that_some_have_met_is_answered() -> None:
    """A two is answered with a three (dhan.md 5)."""
    broker = Broker()

    async def act(stream: UpdateStream, broker: Broker, _clock: ScaledClock) -> None:
        await stream.connect()
        await broker.sockets[-1].send_str("2")
        await until(lambda: broker.texts)

    streaming(act, broker=broker)
    assert broker.texts == ["3"]


def test_a_frame_beyond_all_measure_ends_the_connection() -> None:
    """It is not held in memory; the service connects anew."""

    async def act(stream: UpdateStream, broker: Broker, _clock: ScaledClock) -> None:
        await stream.connect()
        await broker.sockets[-1].send_str("x" * (1 << 21))
        await until(lambda: not stream.is_up)
        with pytest.raises(ConnectionError):
            await stream.ping()

    streaming(act)


def test_the_token_is_in_no_log() -> None:
    """The official client prints it (dhan.md 8)."""

    async def act(stream: UpdateStream, broker: Broker, _clock: ScaledClock) -> None:
        await stream.connect()
        await broker.say(stream, "{")
        broker.reset()
        await until(lambda: not stream.is_up)

    with capture_logs() as logged:
        streaming(act)
    assert logged
    assert SECRET not in str(logged)


@pytest.mark.parametrize(
    "name",
    [
        "order_update_modified_sl_option.json",
        "order_update_pending_limit.json",
        "order_update_rejected_funds.json",
        "order_update_traded_after_modify_to_market.json",
        "order_update_traded_option_api.json",
    ],
)
def test_every_captured_frame_is_told(shared_data: Path, name: str) -> None:
    """As it came over the wire."""
    told: list[AnyEvent] = []
    stream = UpdateStream(
        "ws://127.0.0.1:1", Whose(), ScaledClock(NOW_NS, 1), words=OrderWords(PREFIX),
        tell=told.append,
    )  # fmt: skip
    stream.take(sample(shared_data, name))
    assert [type(event) for event in told] == [ForeignUpdated]
    assert stream.refused == 0


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_no_bytes_raise(data: bytes | str) -> None:
    """Whatever comes, it is told or counted."""
    told: list[AnyEvent] = []
    stream = UpdateStream(
        "ws://127.0.0.1:1", Whose(), ScaledClock(NOW_NS, 1), words=OrderWords(PREFIX),
        tell=told.append,
    )  # fmt: skip
    stream.take(data)
    assert len(told) + stream.refused == 1
