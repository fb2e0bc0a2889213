"""The played broker: an account that answers, lines that are up or not, ticks at their time."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from holdfast.brokers.played import (
    BATCH,
    TURN,
    PlayedAccount,
    PlayedBroker,
    PlayedFeed,
    PlayedLine,
)
from holdfast.brokers.simulated import SimulatedVenue
from holdfast.domain.errors import DataRefused
from holdfast.domain.market import Tick
from holdfast.exchange.latency import Latency
from holdfast.exchange.market_faults import MarketFaultKind, MarketFaults, MarketFaultWindow
from holdfast.exchange.venue import SimulatedExchange
from holdfast.ports import Profile, Token
from tests.support.chain import Shown
from tests.support.desk import CALL, FACTS, NIFTY
from tests.support.shell import tick
from tests.support.virtual import virtually
from tests.unit.exchange.floor import at, told


def test_the_account_answers_with_what_it_was_made_of() -> None:
    """Login, profile and master, from the day itself."""

    async def story() -> None:
        broker = Shown(())
        account = PlayedAccount("1000000001", broker, [NIFTY, CALL], valid_until_ns=7)
        assert await account.login() == Token(valid_until_ns=7)
        assert broker.opened == 1, "a login is where a broker that was left is found again"
        assert await account.profile() == Profile(client_id="1000000001")
        assert await account.instruments() == (NIFTY, CALL)

    virtually(story())


def test_a_line_answers_while_it_is_up() -> None:
    """Before it was connected and after it was closed a ping fails, by the error of the port."""

    async def story() -> None:
        line = PlayedLine()
        with pytest.raises(ConnectionError):
            await line.ping()
        await line.connect()
        await line.ping()
        await line.close()
        await line.close()
        with pytest.raises(ConnectionError):
            await line.ping()

    virtually(story())


async def drawn(feed: PlayedFeed) -> list[tuple[float, Sequence[Tick]]]:
    """Every packet to the end, each with the time at which it came."""
    loop = asyncio.get_running_loop()
    await feed.connect()
    packets = []
    while packet := await feed.packets():
        packets.append((loop.time(), packet))
    return packets


def test_what_can_wait_comes_in_batches_and_takes_no_time() -> None:
    """As fast as it is taken; the end is an empty packet, again and again."""
    ticks = [tick(number) for number in range(2 * BATCH + 1)]

    async def story() -> None:
        feed = PlayedFeed(Shown(ticks), speed=0)
        assert feed.can_wait
        packets = await drawn(feed)
        assert [len(packet) for _, packet in packets] == [BATCH, BATCH, 1]
        assert [one for _, packet in packets for one in packet] == ticks
        assert asyncio.get_running_loop().time() == 0.0
        assert await feed.packets() == ()

    virtually(story())


@pytest.mark.parametrize("speed", [1, 10])
def test_paced_ticks_come_at_their_time(speed: int) -> None:
    """Those of one moment together; a silence is waited for, an hour of it too."""
    ticks = [tick(1), tick(1, instrument=NIFTY.id), tick(1.5), tick(3_601)]

    async def story() -> None:
        feed = PlayedFeed(Shown(ticks), speed=speed)
        assert not feed.can_wait
        packets = await drawn(feed)
        assert [list(packet) for _, packet in packets] == [ticks[:2], ticks[2:3], ticks[3:]]
        due = [0.0, 0.5, 3_600.0]
        assert [at_s * speed for at_s, _ in packets] == pytest.approx(due, abs=1e-6)
        assert await feed.packets() == ()

    virtually(story())


def test_a_pace_that_cannot_be_kept_gives_others_their_turns_and_loses_nothing() -> None:
    """A thousand ticks that are due at once come in parts, each of which waits for a turn."""
    ticks = [tick(1 + number / 1_000_000) for number in range(1_000)]
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def story() -> None:
        turning = asyncio.ensure_future(others())
        packets = await drawn(PlayedFeed(Shown(ticks), speed=1_000_000))
        turning.cancel()
        await asyncio.wait({turning})
        assert [one for _, packet in packets for one in packet] == ticks
        assert max(len(packet) for _, packet in packets) == TURN
        assert turns >= len(packets)

    asyncio.run(story())


@pytest.mark.proves("MFH-2", "MFH-7")
@pytest.mark.parametrize("turns", range(1, 8))
def test_a_paced_feed_that_is_left_at_any_turn_keeps_every_tick(turns: int) -> None:
    """Whoever takes is cancelled after so many turns of the loop: none is lost, none comes twice."""
    ticks = [tick(1 + number / 1_000_000_000) for number in range(500)]
    taken: list[Tick] = []

    async def take(feed: PlayedFeed) -> None:
        while packet := await feed.packets():
            taken.extend(packet)

    async def story() -> None:
        feed = PlayedFeed(Shown(ticks), speed=1_000_000)
        for _ in range(3):
            await feed.connect()
            taking = asyncio.ensure_future(take(feed))
            for _ in range(turns):
                await asyncio.sleep(0)
            taking.cancel()
            await asyncio.wait({taking})
            await feed.close()
        await feed.connect()
        await take(feed)

    virtually(story())
    assert taken == ticks


def test_a_feed_that_is_down_brings_nothing_and_forgets_nothing() -> None:
    """The error is the connection's; connected again it goes on with the next tick."""

    async def story() -> None:
        for speed in (0, 1):
            feed = PlayedFeed(Shown([tick(1), tick(2)]), speed=speed)
            with pytest.raises(ConnectionError):
                await feed.packets()
            await feed.connect()
            assert (await feed.packets())[0] == tick(1)

    virtually(story())


@pytest.mark.parametrize(("speed", "broke_s"), [(0, 0.0), (1, 1.5)])
def test_a_connection_breaks_at_its_instant_and_nothing_is_lost(speed: int, broke_s: float) -> None:
    """What came before it is told first; what comes after it, after the next connect."""
    ticks = [tick(1), tick(2), tick(4), tick(5)]
    cut_ns = tick(2.5).at_ns

    async def story() -> None:
        feed = PlayedFeed(Shown(ticks), speed=speed, cuts=[cut_ns])
        loop = asyncio.get_running_loop()
        taken: list[Tick] = []
        await feed.connect()
        while len(taken) < 2:
            taken += await feed.packets()
        with pytest.raises(ConnectionError, match="was cut"):
            await feed.packets()
        assert taken == ticks[:2]
        assert loop.time() == pytest.approx(broke_s)
        with pytest.raises(ConnectionError, match="is down"):
            await feed.packets()
        rest = await drawn(feed)
        assert [one for _, packet in rest for one in packet] == ticks[2:]

    virtually(story())


def test_a_feed_tells_the_market_as_its_faults_have_it(tmp_path: Path) -> None:
    """The broker's ticks are what is heard; what really trades is the venue's own."""
    ticks = [told(number) for number in range(5)]
    mute = MarketFaultWindow(kind=MarketFaultKind.MUTE, from_ns=at(1), until_ns=at(4))
    faults = MarketFaults(1, [mute])
    exchange = SimulatedExchange((NIFTY, CALL), FACTS, cash_paise=0, seed=1)
    venue = SimulatedVenue(exchange, Latency(seed=1), quotes_available=True, market=iter(ticks))
    broker = PlayedBroker(
        venue, iter(ticks), tmp_path / "broker", until_ns=None, market_faults=faults
    )
    assert list(broker.ticks) == [ticks[0], ticks[4]]
    assert faults.struck[MarketFaultKind.MUTE] == 3


def test_data_that_cannot_be_used_says_so_itself() -> None:
    """The reader's own refusal, in either pace."""

    def torn() -> Iterator[Tick]:
        yield tick(1)
        raise DataRefused("tape", "ends in the middle", "copy it again")

    async def story() -> None:
        for speed in (0, 1):
            with pytest.raises(DataRefused, match="ends in the middle"):
                await drawn(PlayedFeed(Shown(torn()), speed=speed))

    virtually(story())
