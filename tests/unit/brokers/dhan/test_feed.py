"""The feed over real sockets: kept, replayed, judged by its data, and quotes while it is down."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from holdfast.brokers.dhan.codec import MESSAGE_MAX
from holdfast.brokers.dhan.sockets import MUTE_NS, QUIET_NS
from holdfast.domain.event import QuotesRead
from holdfast.domain.instrument import OptionType
from holdfast.ports import KeptFeed
from tests.support import feed_frames as frames
from tests.support.desk import CALL, NIFTY, OPEN, PUT, SECOND, SESSION, option
from tests.support.feed_desk import EVENING, NOON, SECRET, FeedDesk, feeding, row
from tests.support.feed_server import PING, TEXT, FeedServer, Served, until

ALL = [("IDX_I", "13"), ("NSE_FNO", "40001"), ("NSE_FNO", "40002")]
Story = Callable[[FeedDesk], Awaitable[None]]


def play(story: Story, **day: int | None) -> None:
    """Play a story over a feed that is kept."""

    async def main() -> None:
        async with feeding(**day) as desk:  # type: ignore[arg-type]
            await story(desk)

    asyncio.run(main())


def asked(served: Served) -> list[tuple[str, str]]:
    """What was subscribed to over one connection, by whatever mode, in order."""
    return sorted(served.asked(15) + served.asked(17) + served.asked(21))


def readings(desk: FeedDesk) -> list[list[str]]:
    """The instruments of each reading that was told."""
    return [
        [quote.instrument for quote in event.quotes]
        for event in desk.told
        if isinstance(event, QuotesRead)
    ]


def wall(at_ns: int) -> str:
    """A time as REST tells it."""
    ist = dt.datetime.fromtimestamp(at_ns // SECOND, dt.UTC) + dt.timedelta(hours=5, minutes=30)
    return ist.strftime("%d/%m/%Y %H:%M:%S")


async def held_up(desk: FeedDesk, served: Served, seconds: float) -> None:
    """Tick for some seconds of the desk's time."""
    until_ns = desk.now() + round(seconds * SECOND)
    while desk.now() < until_ns:
        desk.tick_index(served)
        await asyncio.sleep(desk.timing.wall_s(0.4))


@pytest.mark.proves("MFH-1")
def test_it_connects_as_the_broker_documents_it() -> None:
    """Version 2, the token and the client in the query; modes by kind; up with its first packet."""

    async def story(desk: FeedDesk) -> None:
        desk.feed.want([CALL.id, PUT.id])
        served = await desk.server.connected()
        assert served.query == {
            "version": "2",
            "token": SECRET,
            "clientId": "1000000001",
            "authType": "2",
        }
        await until(lambda: asked(served) == ALL)
        assert served.asked(15) == [("IDX_I", "13")]
        assert desk.links == []
        desk.tick_index(served)
        await until(lambda: desk.links == [(True, "")])
        assert isinstance(desk.feed, KeptFeed)
        await desk.feed.ping()

    play(story)


def test_ticks_come_in_order_with_the_time_of_their_frame() -> None:
    """Packets of one frame carry one receipt time; every one of them is told."""

    async def story(desk: FeedDesk) -> None:
        desk.feed.want([CALL.id])
        served = await desk.server.connected()
        await until(lambda: len(asked(served)) == 2)
        before = desk.now()
        served.send(
            frames.ticker("IDX_I", 13, 24_500.05, before)
            + frames.full("NSE_FNO", 40_001, 101.4, before, rows=[(101.35, 65, 101.45, 130)])
        )
        served.send(frames.open_interest("NSE_FNO", 40_001, 9))
        await until(lambda: len(desk.ticks) == 3)
        index, call, later = desk.ticks
        assert (index.last_paise, call.last_paise, later.oi) == (2_450_005, 10_140, 9)
        assert before <= index.at_ns == call.at_ns <= later.at_ns <= desk.now()
        assert later.bids == call.bids == ((10_135, 65),)

    play(story)


@pytest.mark.proves("I-59", "I-57")
def test_only_differences_are_sent_on_a_connection() -> None:
    """What is wanted before the connection is asked for with it, later wants by themselves, once."""

    async def story(desk: FeedDesk) -> None:
        served = await desk.server.connected()
        await until(lambda: asked(served) == [("IDX_I", "13")])
        desk.feed.want([CALL.id, NIFTY.id])
        await until(lambda: len(served.texts) == 2)
        served.send(frames.full("NSE_FNO", 40_001, 101.4, desk.now()))
        desk.feed.want([CALL.id, PUT.id])
        await until(lambda: len(served.texts) == 3)
        assert asked(served) == ALL
        served.send(frames.full("NSE_FNO", 40_002, 101.4, desk.now()))
        await held_up(desk, served, 30)
        assert len(served.texts) == 3, "half a minute later nothing was asked for again"

    play(story)


@pytest.mark.proves("I-57", "MFH-2")
def test_what_is_wanted_before_a_late_connection_is_asked_for_with_it() -> None:
    """The broker takes nobody at first: the wish waits, and its first packet is told."""

    async def story(desk: FeedDesk) -> None:
        desk.server.refuse = [502] * 3
        desk.feed.want([CALL.id, PUT.id])
        await until(lambda: not desk.server.refuse)
        served = await desk.server.connected()
        await until(lambda: asked(served) == ALL)
        served.send(frames.full("NSE_FNO", 40_001, 101.4, desk.now()))
        await until(lambda: len(desk.ticks) == 1)
        assert desk.ticks[0].instrument == CALL.id

    play(story)


@pytest.mark.proves("I-58")
def test_wishes_from_within_what_it_tells_block_nobody() -> None:
    """Whoever hears that it is up asks for more, and for less, before the call returns."""

    async def story(desk: FeedDesk) -> None:
        def hear(is_up: bool, reason: str) -> None:  # noqa: FBT001 a callback
            desk.links.append((is_up, reason))
            desk.feed.want([CALL.id, PUT.id] if is_up else [])
            desk.feed.drop([PUT.id])

        served = await desk.server.connected()
        desk.feed._link = hear  # noqa: SLF001 who hears, from here on
        await until(lambda: asked(served) == [("IDX_I", "13")])
        desk.tick_index(served)
        await until(lambda: asked(served) == ALL[:2], within_s=2)
        served.send(frames.full("NSE_FNO", 40_001, 101.4, desk.now()))
        await until(lambda: len(desk.ticks) == 2)
        assert desk.feed.status().wanted == 2

    play(story)


@pytest.mark.proves("I-106", "MFH-5")
def test_it_may_be_stopped_from_within_what_it_tells() -> None:
    """Whoever hears of the first packet ends it there and then: nothing waits for itself."""

    async def main() -> None:
        async with FeedServer() as server:
            desk = FeedDesk(server, start_ns=NOON, sessions=(SESSION,), until_ns=None, speed=10)
            stops: list[asyncio.Task[None]] = []

            def hear(_is_up: bool, _reason: str) -> None:  # noqa: FBT001 a callback
                keeping.cancel()
                stops.append(asyncio.ensure_future(desk.feed.close()))

            await desk.feed.connect()
            keeping = asyncio.ensure_future(desk.feed.keep(hear, desk.told.append))
            served = await server.connected()
            desk.tick_index(served)
            async with asyncio.timeout(2):
                await asyncio.wait([keeping])
                await until(lambda: bool(stops) and stops[0].done() and served.is_over)
            with pytest.raises(ConnectionError):
                await desk.feed.ping()

    asyncio.run(main())


@pytest.mark.proves("I-62")
def test_held_instruments_stay_subscribed() -> None:
    """Whoever drops them hears that they stay; the others are unsubscribed."""

    async def story(desk: FeedDesk) -> None:
        desk.held = {CALL.id}
        desk.feed.want([CALL.id, PUT.id])
        served = await desk.server.connected()
        await until(lambda: asked(served) == ALL)
        assert desk.feed.drop([CALL.id, PUT.id]) == (CALL.id,)
        await until(lambda: served.asked(22) == [("NSE_FNO", "40002")])
        assert served.asked(16) == []

    play(story)


@pytest.mark.proves("T28")
def test_the_broker_pings_and_is_answered_and_never_pinged() -> None:
    """A client's pings end connections that live (T28)."""

    async def story(desk: FeedDesk) -> None:
        served = await desk.server.connected()
        for number in range(3):
            served.send(f"beat {number}".encode(), kind=PING)
            await held_up(desk, served, 10)
        await until(lambda: len(served.pongs) == 3)
        assert served.pongs[0] == b"beat 0"
        assert served.pings == []
        assert len(desk.server.connections) == 1

    play(story)


@pytest.mark.proves("T28")
def test_nobody_is_pinged_in_an_idle_hour_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client would do so by itself, after any silence that it is told of: it is told of none."""
    asked: list[object] = []
    connect = aiohttp.ClientSession.ws_connect

    def noted(self: aiohttp.ClientSession, *args: Any, **how: Any) -> Any:
        asked.append(how["heartbeat"])
        return connect(self, *args, **how)

    monkeypatch.setattr(aiohttp.ClientSession, "ws_connect", noted)

    async def story(desk: FeedDesk) -> None:
        served = await desk.server.connected()
        await asyncio.sleep(desk.timing.wall_s(5))
        assert (served.pings, asked) == ([], [None])

    play(story, start_ns=EVENING)


@pytest.mark.proves("MFH-3", "MFH-7", "I-71")
def test_a_reset_is_answered_by_a_new_connection_with_everything_that_is_wanted() -> None:
    """The link is down meanwhile, and up with the first packet of the new one."""

    async def story(desk: FeedDesk) -> None:
        desk.feed.want([CALL.id, PUT.id])
        first = await desk.server.connected()
        await until(lambda: asked(first) == ALL)
        desk.tick_index(first)
        await until(lambda: desk.links == [(True, "")])
        first.reset()
        second = await desk.server.connected(2)
        await until(lambda: asked(second) == ALL)
        desk.tick_index(second, 24_600.0)
        await until(lambda: len(desk.links) == 3)
        assert [is_up for is_up, _ in desk.links] == [True, False, True]
        await until(lambda: desk.ticks[-1].last_paise == 2_460_000)

    play(story)


@pytest.mark.proves("I-68")
def test_nothing_from_before_an_outage_looks_new_after_it() -> None:
    """Open interest alone tells no price until the new connection has told one."""

    async def story(desk: FeedDesk) -> None:
        desk.feed.want([CALL.id])
        first = await desk.server.connected()
        await until(lambda: len(asked(first)) == 2)
        first.send(frames.full("NSE_FNO", 40_001, 101.4, desk.now()))
        await until(lambda: len(desk.ticks) == 1)
        first.reset()
        second = await desk.server.connected(2)
        await until(lambda: len(asked(second)) == 2)
        second.send(frames.open_interest("NSE_FNO", 40_001, 7))
        desk.tick_index(second)
        await until(lambda: len(desk.ticks) > 1)
        assert [tick.instrument for tick in desk.ticks] == [CALL.id, NIFTY.id]

    play(story)


@pytest.mark.proves("I-69")
def test_a_connection_that_never_brings_anything_is_given_up() -> None:
    """Its deadline runs from when it was made; the link never comes up."""

    async def story(desk: FeedDesk) -> None:
        await desk.server.connected()
        began = desk.now()
        await desk.server.connected(2)
        assert desk.now() - began >= MUTE_NS - SECOND
        assert desk.links == []
        assert desk.server.connections[0].is_over

    play(story)


@pytest.mark.proves("I-66")
def test_silence_is_told_at_its_edges_and_ends_the_connection() -> None:
    """Down after two seconds in session, given up after five; a second silence is told again."""

    async def story(desk: FeedDesk) -> None:
        served = await desk.server.connected()
        spoke_ns = 0
        for _ in range(2):
            desk.tick_index(served)
            spoke_ns = desk.now()
            ups = len(desk.links) + 1
            await until(lambda ups=ups: len(desk.links) == ups)  # type: ignore[misc]
            await until(lambda ups=ups: len(desk.links) == ups + 1)  # type: ignore[misc]
            assert desk.now() - spoke_ns >= QUIET_NS
        assert [is_up for is_up, _ in desk.links] == [True, False, True, False]
        await desk.server.connected(2)
        assert desk.now() - spoke_ns >= MUTE_NS

    play(story)


@pytest.mark.proves("I-71")
def test_outside_of_the_session_silence_means_nothing() -> None:
    """Connected is up, nobody is given up, nobody is asked for again, no quote is read."""

    async def story(desk: FeedDesk) -> None:
        desk.feed.want([CALL.id])
        served = await desk.server.connected()
        await until(lambda: desk.links == [(True, "")])
        await asyncio.sleep(desk.timing.wall_s(15))
        assert (len(desk.server.connections), len(served.texts)) == (1, 2)
        assert desk.rest.asked == []
        assert desk.links == [(True, "")]

    play(story, start_ns=EVENING)


@pytest.mark.proves("I-60", "DEG-4", "T28")
@pytest.mark.parametrize("how", ["805", "429"])
def test_a_penalty_is_kept_and_what_is_held_is_read_by_rest(how: str) -> None:
    """No connection for a minute; one reading a few seconds, of what is held only (T28)."""

    async def story(desk: FeedDesk) -> None:
        desk.held = {CALL.id}
        desk.rest.rows = {"NSE_FNO": {"40001": row(99.5), "40002": row(8.0)}}
        desk.feed.want([CALL.id, PUT.id])
        served = await desk.server.connected(2)
        if how == "805":
            desk.tick_index(served)
            for each in desk.server.connections:
                each.send(frames.disconnect(805))
        else:
            desk.server.refuse = [429]
            for each in desk.server.connections:
                each.reset()
            await until(lambda: not desk.server.refuse)
        await until(lambda: desk.feed.status().penalty_until_ns > 0)
        begun = desk.feed.status().penalty_until_ns - 60 * SECOND
        attempts = desk.server.attempts
        await until(lambda: desk.now() >= begun + 15 * SECOND)
        assert desk.server.attempts == attempts
        assert len(desk.rest.asked) >= 2
        assert all(body == {"NSE_FNO": [40_001]} for _, body in desk.rest.asked[1:])
        stamps = [at_ns for at_ns, _ in desk.rest.asked]
        assert all(b - a >= 2 * SECOND for a, b in pairwise(stamps))
        assert readings(desk)[-1] == [CALL.id]

    play(story)


def test_after_a_penalty_it_connects_again() -> None:
    """When its minute is over, by itself."""

    async def story(desk: FeedDesk) -> None:
        served = await desk.server.connected()
        served.send(frames.disconnect(805))
        began = desk.now()
        await desk.server.connected(2)
        assert 58 * SECOND <= desk.now() - began <= 75 * SECOND

    play(story, speed=20)


@pytest.mark.proves("TST-6")
@pytest.mark.parametrize("code", [807, 808, 809, 810])
def test_a_dead_token_is_told_and_not_shown_again(code: int) -> None:
    """Whoever logs in hears of it, typed; the new token is used at once."""

    async def story(desk: FeedDesk) -> None:
        served = await desk.server.connected()
        desk.tick_index(served)
        served.send(frames.disconnect(code))
        await until(lambda: len(desk.rejected) == 1)
        assert str(code) in str(desk.rejected[0])
        await asyncio.sleep(desk.timing.wall_s(10))
        assert desk.server.attempts == 1
        desk.holder.secret = "another"  # noqa: S105 nobody's
        served = await desk.server.connected(2)
        assert served.query["token"] == "another"  # noqa: S105

    play(story)


def test_without_a_token_it_waits_for_one() -> None:
    """Nothing is dialled with an empty one."""

    async def story(desk: FeedDesk) -> None:
        desk.holder.secret = ""
        await asyncio.sleep(desk.timing.wall_s(5))
        assert desk.server.attempts == 0
        desk.holder.secret = SECRET
        await desk.server.connected()

    play(story)


@pytest.mark.proves("MFH-3")
def test_what_is_not_seen_is_asked_for_again_and_read_once() -> None:
    """Five seconds after it was asked for; a quote of an old trade proves it quiet: that is all."""

    async def story(desk: FeedDesk) -> None:
        desk.rest.rows = {"NSE_FNO": {"40001": row(99.5, wall(NOON - 60 * SECOND))}}
        desk.feed.want([CALL.id])
        served = await desk.server.connected()
        await until(lambda: len(asked(served)) == 2)
        asked_ns = desk.now()
        await held_up(desk, served, 25)
        assert served.asked(21) == [("NSE_FNO", "40001")] * 2
        assert [body for _, body in desk.rest.asked] == [{"NSE_FNO": [40_001]}]
        assert desk.rest.asked[0][0] - asked_ns >= 4 * SECOND
        assert readings(desk) == [[CALL.id]]

    play(story)


@pytest.mark.proves("MFH-3")
def test_what_trades_without_a_packet_is_lost_and_asked_for_once_more() -> None:
    """Another trade time proves that packets of it exist; but not for ever."""

    async def story(desk: FeedDesk) -> None:
        desk.rest.rows = {"NSE_FNO": {"40001": row(99.5, wall(NOON + 3_600 * SECOND))}}
        desk.feed.want([CALL.id])
        served = await desk.server.connected()
        await held_up(desk, served, 40)
        assert len(desk.rest.asked) == 4
        assert served.asked(21) == [("NSE_FNO", "40001")] * 8

    play(story)


@pytest.mark.proves("DEG-1", "DEG-4")
def test_while_it_is_down_everything_wanted_is_read_what_is_held_first() -> None:
    """In one call that stays within the broker's one a second; told as what it is."""

    async def story(desk: FeedDesk) -> None:
        desk.rest.rows = {"NSE_FNO": {"40001": row(99.5), "40002": row(8.0)}}
        desk.held = {PUT.id}
        desk.feed.want([CALL.id, PUT.id])
        desk.server.refuse = [502] * 50
        await until(lambda: len(readings(desk)) >= 3)
        for _, body in desk.rest.asked:
            assert body == {"NSE_FNO": [40_002, 40_001], "IDX_I": [13]}
        assert readings(desk)[0] == [PUT.id, CALL.id]
        stamps = [at_ns for at_ns, _ in desk.rest.asked]
        assert all(b - a >= SECOND for a, b in pairwise(stamps))
        assert desk.ticks == []
        assert desk.links == []

    play(story)


@pytest.mark.proves("T28")
def test_what_is_held_comes_over_two_connections_once() -> None:
    """A reset of one is no outage: what is held goes on; the same packet counts once (T28)."""

    async def story(desk: FeedDesk) -> None:
        desk.held = {CALL.id}
        desk.feed.want([CALL.id, PUT.id])
        await desk.server.connected(2)
        one, two = sorted(desk.server.connections, key=lambda each: len(asked(each)))
        await until(lambda: sorted(map(len, (asked(one), asked(two)))) == [2, 3])
        small, large = (one, two) if len(asked(one)) == 2 else (two, one)
        assert asked(small) == ALL[:2]
        packet = frames.full("NSE_FNO", 40_001, 101.4, desk.now(), volume=50)
        old = frames.full("NSE_FNO", 40_001, 99.0, desk.now() - 9 * SECOND, volume=40)
        large.send(packet)
        small.send(packet + old)
        await until(lambda: desk.feed.status().connections == 2 and len(desk.ticks) > 0)
        await asyncio.sleep(0.05)
        assert [tick.last_paise for tick in desk.ticks] == [10_140]
        large.reset()
        small.send(frames.full("NSE_FNO", 40_001, 102.0, desk.now(), volume=60))
        await until(lambda: len(desk.ticks) == 2)
        assert desk.ticks[1].last_paise == 10_200

    play(story)


@pytest.mark.proves("T28")
def test_one_wrong_stamp_of_two_connections_mutes_nobody() -> None:
    """A trade of tomorrow on one of them is forgotten with its next tick, or with its end."""

    async def story(desk: FeedDesk) -> None:
        desk.held = {CALL.id}
        desk.feed.want([CALL.id])
        await desk.server.connected(2)
        one, two = desk.server.connections
        await until(lambda: len(asked(one)) == len(asked(two)) == 2)
        await until(lambda: desk.feed.status().connections == 2)

        async def send(served: Served, last: float, traded_ns: int) -> None:
            count = len(desk.ticks)
            served.send(frames.full("NSE_FNO", 40_001, last, traded_ns))
            await until(lambda: len(desk.ticks) == count + 1)

        tomorrow = desk.now() + 90_000 * SECOND
        await send(one, 100.0, tomorrow)
        await send(one, 101.0, desk.now())
        await send(two, 102.0, desk.now() + SECOND)
        await send(two, 103.0, tomorrow)
        two.reset()
        await desk.server.connected(3)
        await until(lambda: desk.feed.status().connections == 2)
        await send(one, 104.0, desk.now())

    play(story)


def test_no_second_connection_while_nothing_is_held() -> None:
    """The budget of five is not ours alone."""

    async def story(desk: FeedDesk) -> None:
        desk.feed.want([CALL.id])
        served = await desk.server.connected()
        await held_up(desk, served, 20)
        assert desk.server.attempts == 1
        desk.held = {CALL.id}
        second = await desk.server.connected(2)
        await until(lambda: len(asked(second)) == 2)

    play(story)


def test_garbage_is_counted_and_the_connection_stays() -> None:
    """Text, HTML, half packets and unknown instruments end nothing and tell nothing."""

    async def story(desk: FeedDesk) -> None:
        served = await desk.server.connected()
        await until(lambda: len(asked(served)) == 1)
        served.send(b"pong", kind=TEXT)
        served.send(b"<html>")
        served.send(b"")
        served.send(frames.ticker("IDX_I", 13, float("nan"), desk.now()))
        served.send(frames.ticker("IDX_I", 99, 1.0, desk.now()))
        desk.tick_index(served)
        await until(lambda: len(desk.ticks) == 1)
        assert desk.feed.status().flaws == {
            "text message": 1,
            "truncated packet": 1,
            "empty message": 1,
            "impossible price": 1,
            "unknown instrument": 1,
        }
        assert len(desk.server.connections) == 1

    play(story)


@pytest.mark.parametrize("how", ["long", "cut", "reserved"])
def test_broken_frames_end_the_connection_and_it_is_made_anew(how: str) -> None:
    """A frame beyond all bounds, one that never ends, and one against the protocol."""

    async def story(desk: FeedDesk) -> None:
        served = await desk.server.connected()
        desk.tick_index(served)
        await until(lambda: len(desk.ticks) == 1)
        if how == "long":
            served.send(bytes(MESSAGE_MAX + 1))
        elif how == "cut":
            served.send_raw(b"\x82\x7e\x00\xa2\x08\xa2")
        else:
            served.send_raw(b"\xff\xff\xff\xff")
        again = await desk.server.connected(2)
        desk.tick_index(again)
        await until(lambda: len(desk.ticks) == 2)

    play(story)


def test_no_log_and_no_reason_shows_the_token() -> None:
    """Refused, reset, not there: the address of the feed holds the token."""

    async def story(desk: FeedDesk) -> None:
        desk.server.refuse = [500, 302, 403]
        await until(lambda: len(desk.rejected) == 1)
        desk.holder.secret = SECRET + "2"
        served = await desk.server.connected()
        served.reset()
        await until(lambda: desk.feed.status().dials == 5)
        words = repr((desk.links, desk.rejected, lines, desk.feed.status(), desk.told))
        assert "very-secret" not in words
        assert len(lines) >= 4

    with capture_logs() as lines:
        play(story, speed=20)


@pytest.mark.proves("I-93")
def test_data_comes_again_as_soon_as_the_refused_token_is_taken() -> None:
    """Not a minute later: a price that old closes a position (T16)."""

    async def story(desk: FeedDesk) -> None:
        desk.server.refuse = [403]
        await until(lambda: len(desk.rejected) == 1)
        begun_ns = desk.now()
        desk.feed.take_token()
        served = await desk.server.connected()
        desk.tick_index(served)
        await until(lambda: len(desk.ticks) == 1)
        assert desk.now() - begun_ns < 30 * SECOND

    play(story)


def test_the_day_ends_when_it_is_over() -> None:
    """After its last moment nothing comes any more, and whoever takes packets hears so."""

    async def story(desk: FeedDesk) -> None:
        served = await desk.server.connected()
        desk.tick_index(served)
        await until(lambda: desk.is_ended)
        assert desk.now() >= NOON + 5 * SECOND
        assert len(desk.ticks) == 1

    play(story, until_ns=NOON + 5 * SECOND)


@pytest.mark.proves("MFH-5")
def test_closing_gives_the_connections_back() -> None:
    """The other side sees the end; a ping says that it is closed; closing again does nothing."""
    seen: list[tuple[FeedDesk, Served]] = []

    async def main() -> None:
        async with feeding() as desk:
            desk.held = {CALL.id}
            desk.feed.want([CALL.id])
            await desk.server.connected(2)
            seen.extend((desk, each) for each in desk.server.connections)
            asyncio.get_running_loop().call_later(0.2, stop.set)
            await stop.wait()
        await desk.feed.close()
        with pytest.raises(ConnectionError):
            await desk.feed.ping()

    stop = asyncio.Event()
    asyncio.run(main())
    assert [served.is_over for _, served in seen] == [True, True]


@pytest.mark.proves("MFH-6", "T10")
def test_its_status_tells_age_lag_and_counts() -> None:
    """Receipt against the newest trade, per exchange; from memory."""

    async def story(desk: FeedDesk) -> None:
        assert desk.feed.status().age_ms is None
        served = await desk.server.connected()
        served.send(frames.ticker("IDX_I", 13, 24_500.0, desk.now() - 40 * SECOND))
        await until(lambda: desk.feed.status().is_up)
        status = desk.feed.status()
        assert 39_000 <= status.lag_ms["NSE"] <= 42_000
        assert status.age_ms is not None
        assert (status.connections, status.dials, status.wanted) == (1, 1, 1)

    play(story)


@pytest.mark.proves("T28")
@pytest.mark.timeout(40)
def test_a_reset_before_the_open_waits_for_the_outage() -> None:
    """Between 09:14 and 09:17 nobody connects unless the market is open and silent (T28)."""

    async def story(desk: FeedDesk) -> None:
        served = await desk.server.connected()
        await until(lambda: desk.now() >= OPEN - 58 * SECOND)
        served.reset()
        await desk.server.connected(2)
        assert OPEN + 2 * SECOND <= desk.now() <= OPEN + 12 * SECOND

    play(story, start_ns=OPEN - 63 * SECOND, speed=20)


def test_a_later_life_of_its_service_hears_anew_that_it_is_up() -> None:
    """What an earlier life was told is nothing to a later one."""

    async def main() -> None:
        async with FeedServer() as server:
            desk = FeedDesk(server, start_ns=NOON, sessions=(SESSION,), until_ns=None, speed=10)
            for life in (1, 2):
                await desk.feed.connect()
                keeping = asyncio.ensure_future(desk.feed.keep(desk.hear, desk.told.append))
                served = await server.connected(life)
                desk.tick_index(served)
                await until(lambda life=life: desk.links == [(True, "")] * life)  # type: ignore[misc]
                keeping.cancel()
                await asyncio.wait([keeping])
                await desk.feed.close()

    asyncio.run(main())


def test_a_process_that_was_never_connected_may_begin_in_the_rush_of_the_open() -> None:
    """It is blind until then; only what was connected already waits for an outage."""

    async def story(desk: FeedDesk) -> None:
        served = await desk.server.connected()
        assert desk.now() < OPEN - 20 * SECOND
        served.reset()
        await asyncio.sleep(desk.timing.wall_s(10))
        assert desk.server.attempts == 1

    play(story, start_ns=OPEN - 50 * SECOND)


@pytest.mark.proves("I-60")
def test_twenty_positions_without_a_feed_are_one_call() -> None:
    """Not one for each: the budget is one a second for all of them."""

    async def story(desk: FeedDesk) -> None:
        calls = [option(50_000 + n, 20_000 + 50 * n, OptionType.CALL) for n in range(20)]
        desk.contracts += calls
        desk.held = {one.id for one in calls}
        desk.server.refuse = [502] * 50
        desk.feed.want(desk.held)
        await until(lambda: len(desk.rest.asked) >= 2)
        _, body = desk.rest.asked[-1]
        assert sorted(body["NSE_FNO"]) == [one.security_id for one in calls]
        stamps = [at_ns for at_ns, _ in desk.rest.asked]
        assert all(b - a >= SECOND for a, b in pairwise(stamps))

    play(story)


@pytest.mark.proves("MFH-8")
def test_a_burst_of_twenty_thousand_packets_arrives_whole_and_in_order() -> None:
    """Fifty in a frame, as fast as the wire takes them; nothing is merged or dropped here."""

    async def story(desk: FeedDesk) -> None:
        desk.feed.want([CALL.id])
        served = await desk.server.connected()
        await until(lambda: len(asked(served)) == 2)
        at_ns = desk.now()
        packets = [
            frames.full("NSE_FNO", 40_001, 100.0, at_ns, volume=number) for number in range(20_000)
        ]
        for first in range(0, 20_000, 50):
            served.send(b"".join(packets[first : first + 50]))
        await until(lambda: len(desk.ticks) == 20_000)
        assert [tick.volume for tick in desk.ticks] == list(range(20_000))
        assert len(desk.server.connections) == 1

    play(story)
