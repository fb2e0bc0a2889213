"""The order updates over real sockets."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from holdfast.domain.order import Side
from holdfast.simbroker.dhan.doubts import Doubts, IdleUpdates
from holdfast.simbroker.dhan.order import AccountOrder, DhanType, Status
from holdfast.simbroker.dhan.tokens import Consumer
from holdfast.simbroker.dhan.wire_faults import WireFault
from tests.support.desk import OPEN, SECOND
from tests.unit.simbroker.dhan.market_day import CALL, Client, Day, Sockets, option_tick

ORDER = AccountOrder(
    order_id="10225",
    instrument=CALL,
    side=Side.BUY,
    product="INTRADAY",
    order_type=DhanType.LIMIT,
    quantity=130,
    created_ns=OPEN,
    updated_ns=OPEN,
    correlation_id="L1120E0001A1",
    price_paise=118_50,
)
PENDING = replace(ORDER, status=Status.PENDING, exchange_id="13")
FILLED = replace(
    PENDING, status=Status.TRADED, filled_quantity=130, filled_value_paise=130 * 118_50
)
OTHER = replace(PENDING, order_id="10226", correlation_id="NA")

Story = Callable[[Sockets], Awaitable[None]]


def run(story: Story, day: Day | None = None) -> Day:
    """Tell a story over sockets of a day, by default one that has begun."""
    if day is None:
        day = Day([option_tick(OPEN, 118_50)])
        day.go(OPEN + 1)

    async def told() -> None:
        async with asyncio.timeout(15), day.served() as sockets:
            await story(sockets)

    asyncio.run(told())
    return day


async def told(socket: Client) -> list[tuple[str, str, int]]:
    """Order, status and filled quantity of each message; absent is zero."""
    data: list[dict[str, Any]] = [json.loads(text)["Data"] for text in await socket.frames()]
    return [(one["orderNo"], one["status"], one.get("tradedQty", 0)) for one in data]


def test_a_good_login_is_answered_by_silence_and_then_by_orders() -> None:
    """Every word in order, to everybody who is there; nothing is said again."""

    async def story(sockets: Sockets) -> None:
        socket = await sockets.updates()
        assert await socket.frames() == []
        for row in (ORDER, PENDING, OTHER, FILLED):
            sockets.day.host.tell_row(row)
        assert await told(socket) == [
            ("10225", "Transit", 0),
            ("10225", "Pending", 0),
            ("10226", "Pending", 0),
            ("10225", "Traded", 130),
        ]
        late = await sockets.updates()
        assert await late.frames() == []

    run(story)


@pytest.mark.parametrize(
    "login",
    [
        {"LoginReq": {"MsgCode": 42, "ClientId": "1000000001", "Token": "a.b.c"}},
        {"LoginReq": {"MsgCode": 42, "ClientId": "2"}, "UserType": "SELF"},
        {"LoginReq": {"MsgCode": 41}},
        {"UserType": "PARTNER"},
        [],
        "{",
    ],
)
def test_a_bad_login_is_answered_by_a_reset(login: Any) -> None:
    """A moment later, without a Close frame."""

    async def story(sockets: Sockets) -> None:
        socket = await sockets.updates(login)
        assert await socket.end() is not aiohttp.WSMsgType.CLOSE

    day = run(story)
    assert [one["what"] for one in day.truth.connections] == ["opened", "login refused", "closed"]


def test_a_token_that_dies_cuts_the_stream() -> None:
    """Another one was made."""

    async def story(sockets: Sockets) -> None:
        socket = await sockets.updates()
        sockets.day.tokens.mint(OPEN, consumer=Consumer.APP, by="the owner")
        assert await socket.end() is not aiohttp.WSMsgType.CLOSE

    run(story)


@pytest.mark.parametrize("idle", IdleUpdates)
def test_a_silent_stream_is_reset_before_the_open_where_the_broker_does_so(
    idle: IdleUpdates,
) -> None:
    """Within seconds; in the session silence is nothing."""

    async def story(sockets: Sockets) -> None:
        socket = await sockets.updates()
        sockets.day.go(OPEN - 14 * SECOND)
        if idle is IdleUpdates.RESET:
            assert await socket.end() is not aiohttp.WSMsgType.CLOSE
            sockets.day.go(OPEN)
            socket = await sockets.updates()
        sockets.day.go(OPEN + 10 * SECOND)
        assert await socket.frames() == []
        assert socket.ended_by is None

    run(story, Day(at_ns=OPEN - 20 * SECOND, doubts=Doubts(idle_updates=idle)))


def test_words_can_be_lost_or_come_twice() -> None:
    """A lost one is gone, a double one comes later."""

    async def story(sockets: Sockets) -> None:
        socket = await sockets.updates()
        day = sockets.day
        day.strike(WireFault.UPDATE_LOST, times=1, only={"orderStatus": "PENDING"})
        day.strike(WireFault.UPDATE_DUPLICATED, times=1)
        for row in (PENDING, OTHER):
            day.host.tell_row(row)
        assert await told(socket) == [("10226", "Pending", 0)]
        day.go(OPEN + SECOND)
        assert await told(socket) == [("10226", "Pending", 0)]

    run(story)


def test_a_late_word_holds_up_those_behind_it_and_a_reordered_one_does_not() -> None:
    """Of the same order; others go on."""

    async def story(sockets: Sockets) -> None:
        socket = await sockets.updates()
        day = sockets.day
        day.strike(WireFault.UPDATE_LATE, times=1)
        for row in (PENDING, FILLED, OTHER):
            day.host.tell_row(row)
        assert await told(socket) == [("10226", "Pending", 0)]
        day.go(OPEN + 4 * SECOND)
        assert await told(socket) == [("10225", "Pending", 0), ("10225", "Traded", 130)]
        day.strike(WireFault.UPDATE_REORDERED, times=1)
        for row in (PENDING, FILLED):
            day.host.tell_row(row)
        assert await told(socket) == [("10225", "Traded", 130)]
        day.go(OPEN + 6 * SECOND)
        assert await told(socket) == [("10225", "Pending", 0)]

    run(story)


def test_a_mute_stream_answers_pings_and_says_nothing() -> None:
    """What was said meanwhile is not said again."""

    async def story(sockets: Sockets) -> None:
        socket = await sockets.updates()
        sockets.day.strike(WireFault.UPDATES_MUTE, for_s=1)
        sockets.day.host.tell_row(PENDING)
        assert await socket.frames() == []
        sockets.day.go(OPEN + 2 * SECOND)
        sockets.day.host.tell_row(FILLED)
        assert await told(socket) == [("10225", "Traded", 130)]

    run(story)


def test_a_dropped_stream_lets_nobody_in_until_its_end() -> None:
    """What happens meanwhile is told to nobody."""

    async def story(sockets: Sockets) -> None:
        socket = await sockets.updates()
        day = sockets.day
        day.go(OPEN + SECOND)
        day.strike(WireFault.UPDATES_DROP, for_s=10)
        assert await socket.end() is not aiohttp.WSMsgType.CLOSE
        with pytest.raises(aiohttp.ClientError):
            await sockets.updates()
        day.host.tell_row(PENDING)
        day.go(OPEN + 12 * SECOND)
        assert await (await sockets.updates()).frames() == []

    run(story)


def test_rubbish_can_come_between() -> None:
    """A message that is no message, then the word."""

    async def story(sockets: Sockets) -> None:
        socket = await sockets.updates()
        sockets.day.strike(WireFault.UPDATE_GARBAGE, times=1)
        sockets.day.host.tell_row(PENDING)
        rubbish, word = await socket.frames()
        assert "Pending" in word
        assert rubbish != word

    run(story)
