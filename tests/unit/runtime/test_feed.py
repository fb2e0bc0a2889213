"""The market feed: ready at its first packet, cut and back without a lost tick, refused in order."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future

import pytest
from typing_extensions import override

from holdfast.brokers.played import PlayedFeed
from holdfast.domain.errors import DataRefused, HoldfastError
from holdfast.domain.event import (
    AnyEvent,
    Link,
    LinkChanged,
    ServiceChanged,
    ServiceState,
    StopAsked,
    TapeEvent,
    TimerFired,
)
from holdfast.domain.market import Tick
from holdfast.ports import FeedStatus, MarketFeed
from holdfast.runtime.connected import Redial
from holdfast.runtime.feed import FeedService
from holdfast.runtime.inbox import Inbox
from tests.support.chain import Chain, Shown, entering, lived, living, quiet, until
from tests.support.desk import OPEN, SECOND
from tests.support.shell import START, MemoryJournal, tick
from tests.support.virtual import NoWallClock, virtually


class Alone:
    """The feed's service without an engine: its inbox, its words, and a gate before the first tick."""

    def __init__(
        self,
        ticks: Sequence[Tick],
        *,
        speed: int = 0,
        room: int = 4_096,
        feed: MarketFeed | None = None,
    ) -> None:
        """Made inside the event loop. The gate is open. `feed` stands in for a played one."""
        self.feed = PlayedFeed(Shown(ticks), speed=speed) if feed is None else feed
        self.inbox = Inbox(market_room=room)
        self.told: list[AnyEvent] = []
        self.refused: list[HoldfastError] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.service = FeedService(
            self.feed,
            self.inbox,
            NoWallClock(),
            tell=self.told.append,
            may_begin=self.may_begin,
            refuse=self.refused.append,
            interval_s=10.0,
            timeout_s=5.0,
        )

    async def may_begin(self) -> None:
        """Until the gate is open."""
        await self.gate.wait()

    def taken(self) -> list[AnyEvent]:
        """Everything that waits in the inbox, in order."""
        taken = []
        while (event := self.inbox.take_nowait()) is not None:
            taken.append(event)
        return taken


@pytest.mark.proves("MFH-1", "SUP-4")
def test_it_is_ready_at_its_first_packet_and_not_when_it_is_connected() -> None:
    """A connection without data is no market; the link is told up at the same moment."""

    class Mute(PlayedFeed):
        spoken: asyncio.Event

        @override
        async def packets(self) -> Sequence[Tick]:
            await self.spoken.wait()
            return await super().packets()

    async def story() -> None:
        alone = Alone([])
        feed = Mute(Shown([tick(1)]), speed=0)
        feed.spoken = asyncio.Event()
        alone.service._feed = alone.service._connection = feed  # noqa: SLF001 before it runs
        async with living(alone.service) as said:
            await asyncio.sleep(60)
            before = (said.copy(), alone.told.copy(), alone.service.health().is_healthy)
            feed.spoken.set()
            await asyncio.sleep(0.01)
            assert (before, said) == (([], [], False), [(True, "")])
            [up] = alone.told
            assert isinstance(up, LinkChanged)
            assert (up.link, up.is_up, up.at_ns) == (Link.FEED, True, 60_001_000_000)
            names = [task.get_name() for task in alone.service.tasks]
            assert names == ["WebSocketListener", "KeepAliveTimer"]

    virtually(story())


@pytest.mark.proves("RACE-4", "ACT-1")
def test_the_first_packet_waits_until_the_day_may_begin() -> None:
    """Nothing that came before is lost, and nothing is taken too early."""

    async def story() -> None:
        alone = Alone([tick(1), tick(2)])
        alone.gate.clear()
        async with living(alone.service) as said:
            await asyncio.sleep(5)
            assert (said, alone.taken()) == ([(True, "")], [])
            alone.gate.set()
            await asyncio.sleep(0.01)
            assert alone.taken() == [tick(1), tick(2)]

    virtually(story())


@pytest.mark.proves("MFH-2", "MFH-7")
def test_a_feed_that_ends_while_it_waits_for_room_hands_over_the_rest_in_its_next_life() -> None:
    """What it held in its hand is the first that the next life brings."""
    ticks = [tick(number) for number in range(2_000)]

    async def story() -> None:
        alone = Alone(ticks, room=4)
        taken: list[AnyEvent] = []
        for _ in range(3):
            async with living(alone.service):
                await asyncio.sleep(1)
                assert alone.inbox.depth[1] >= 4
            taken += alone.taken()
        async with living(alone.service):
            while len(taken) < len(ticks):
                await asyncio.sleep(0.01)
                taken += alone.taken()
        assert taken == ticks
        assert alone.inbox.merged == 0
        assert alone.inbox.is_over

    virtually(story())


@pytest.mark.proves("MFH-2", "MFH-5", "MFH-7", "SUP-14")
def test_a_cut_in_mid_session_is_told_survived_and_costs_no_played_tick() -> None:
    """The link goes down and comes up, entries are barred between, each tick comes once."""
    states: list[tuple[str, str, int]] = []

    async def story(chain: Chain) -> None:
        await chain.until_market(62)
        await chain.feed.close()
        await chain.until_market(68)
        states.append(chain.state("feed"))
        await until(lambda: chain.overs > 0)

    def market(chain: Chain) -> list[Tick]:
        return [*entering(chain.parrot), *quiet(60.3, 70)]

    chain = lived(market, story)
    expected = sorted(tick.at_ns for tick in market(chain))
    assert sorted(event.at_ns for event in chain.journaled(Tick)) == expected
    assert states == [("ready", "", 1)]
    feed = [e for e in chain.journal.events if isinstance(e, LinkChanged) and e.link is Link.FEED]
    assert [event.is_up for event in feed] == [True, False, True, False]
    cut = chain.journal.events.index(feed[1])
    assert all(e.at_ns <= feed[1].at_ns for e in chain.journal.events[:cut])
    assert chain.day.standing.open_positions == 1


@pytest.mark.proves("B-22")
def test_the_streams_words_go_to_the_inbox_whatever_the_journal_does() -> None:
    """
    An error of the database in what follows from a word is the engine's, which may have done half of
    it and is given up: the stream lives on.
    """

    class Failing(MemoryJournal):
        """Breaks at the hundredth tick."""

        @override
        def append_market(self, event: TapeEvent) -> int:
            if len(self.market) == 99:
                raise OSError("disk I/O error")
            return super().append_market(event)

    lives: list[tuple[str, str, int]] = []

    async def story(chain: Chain) -> None:
        await until(lambda: bool(chain.refused))
        lives.append(chain.state("feed"))

    async def play() -> Chain:
        chain = Chain(lambda _chain: quiet(58, 70))
        chain.journal = Failing()
        await chain.live(story)
        return chain

    chain = virtually(play())
    assert lives == [("ready", "", 0)]
    assert "in the middle of an event" in str(chain.refused[0])


@pytest.mark.parametrize("speed", [0, 10])
def test_data_that_cannot_be_used_is_refused_and_the_day_is_not_seen_out(speed: int) -> None:
    """No clock is run to the close for want of ticks: what is held stays as it is, and is reported."""
    last_s = 120.0

    def market(chain: Chain) -> Iterator[Tick]:
        yield from entering(chain.parrot)
        yield from quiet(60.3, last_s)
        raise DataRefused("tape", "ends in the middle", "copy it again")

    async def story(chain: Chain) -> None:
        await until(lambda: bool(chain.refused))

    chain = lived(market, story, speed=speed)
    [error] = chain.refused
    assert "ends in the middle" in str(error)
    assert (chain.overs, chain.day.is_over) == (0, False)
    assert chain.day.standing.open_positions == 1
    assert len(chain.journaled(StopAsked)) == 1, "the stop took the waiting entries back"
    timers = chain.journaled(TimerFired)
    assert all(timer.at_ns < OPEN + (last_s + 10) * SECOND for timer in timers)


def test_a_feed_that_was_refused_stays_refused() -> None:
    """A later life does not take the torn end of the data for the end of the day."""

    def torn() -> Iterator[Tick]:
        for number in range(10):
            if number == 5:
                raise DataRefused("tape", "is torn", "copy it again")
            yield tick(number)

    async def story() -> None:
        alone = Alone([])
        feed = PlayedFeed(Shown(torn()), speed=0)
        alone.service._feed = alone.service._connection = feed  # noqa: SLF001 before it runs
        for _ in range(2):
            async with living(alone.service) as said:
                await asyncio.sleep(1)
                assert said == []
        assert len(alone.refused) == 1
        assert not alone.inbox.is_over

    virtually(story())


def test_a_day_without_a_tick_is_over_at_once() -> None:
    """Its feed is ready all the same: it was asked and answered."""

    async def story(chain: Chain) -> None:
        await until(lambda: chain.overs > 0)

    for speed in (0, 1):
        chain = lived(lambda _chain: [], story, speed=speed)
        assert chain.day.is_over
        assert chain.journaled(Tick) == []
        told = [e for e in chain.journal.events if isinstance(e, ServiceChanged)]
        assert ServiceState.READY in [e.state for e in told if e.service == "feed"]


@pytest.mark.parametrize("speed", [0, 1, 10])
def test_only_a_market_in_real_time_goes_on_while_an_entry_waits_for_the_disk(speed: int) -> None:
    """An exit must not wait for it there; elsewhere a second may pass in no time at all."""

    async def story(chain: Chain) -> None:
        await chain.until_market(1)

    chain = lived(lambda _chain: [tick(number) for number in range(1, 4)], story, speed=speed)
    assert chain.day.inbox.is_played == (speed != 1)


@pytest.mark.parametrize("speed", [2, 500])
def test_a_market_that_is_played_fast_is_not_merged_while_it_stands_still(speed: int) -> None:
    """Seconds of its time pass while a disk answers: what piled up would be what the engine sees."""
    futures: list[Future[None]] = []

    def market(chain: Chain) -> Iterable[Tick]:
        def wait_durable(sequence: int) -> Future[None]:
            chain.journal.asked.append(sequence)
            futures.append(Future())
            return futures[-1]

        chain.journal.wait_durable = wait_durable  # type: ignore[method-assign]
        return [*entering(chain.parrot), *quiet(60.3, 119, every_s=0.02)]

    async def story(chain: Chain) -> None:
        await until(lambda: bool(futures))
        await asyncio.sleep(0.5)
        futures[0].set_result(None)
        chain.day.inbox.poke()
        await until(lambda: chain.overs > 0)

    chain = lived(market, story, speed=speed)
    standing = chain.day.standing
    assert (standing.open_positions, standing.merged_ticks) == (1, 0)


class Kept:
    """A feed that keeps its own connections, and says what a test tells it to."""

    can_wait = False
    is_real_time = True

    def __init__(self) -> None:
        """Nothing has come; nobody keeps it."""
        self.waiting: asyncio.Queue[Sequence[Tick]] = asyncio.Queue()
        self.link: Callable[[bool, str], None] | None = None
        self.tell: Callable[[AnyEvent], None] | None = None

    async def connect(self) -> None:
        """Nothing is in the way."""

    async def ping(self) -> None:
        """Answered, whatever its connections do."""

    async def close(self) -> None:
        """Nothing is open."""

    async def packets(self) -> Sequence[Tick]:
        """What the test puts in."""
        return await self.waiting.get()

    async def keep(
        self, link: Callable[[bool, str], None], tell: Callable[[AnyEvent], None]
    ) -> None:
        """Until cancelled."""
        self.link, self.tell = link, tell
        try:
            await asyncio.Event().wait()
        finally:
            self.link = self.tell = None

    def status(self) -> FeedStatus:
        """It has one connection while somebody keeps it."""
        count = int(self.link is not None)
        return FeedStatus(
            is_up=count > 0,
            connections=count,
            dials=count,
            wanted=0,
            age_ms=None,
            lag_ms={},
            flaws={},
            quotes_read=0,
            penalty_until_ns=0,
        )


@pytest.mark.proves("MFH-1", "MFH-7")
def test_a_feed_that_makes_its_own_connections_says_itself_when_it_is_down() -> None:
    """The service stays the same through every outage: it is unready meanwhile, and not restarted."""

    async def story() -> None:
        feed = Kept()
        alone = Alone([], feed=feed)
        async with living(alone.service) as said:
            await asyncio.sleep(1)
            assert said == []
            assert feed.link is not None
            feed.link(True, "")  # noqa: FBT003 a callback
            assert said == [(True, "")]
            assert alone.service.health().is_healthy
            feed.link(False, "it was reset")  # noqa: FBT003 a callback
            assert not alone.service.health().is_healthy
            await asyncio.sleep(60)
            feed.link(True, "")  # noqa: FBT003 a callback
            assert alone.service.health().is_healthy
            told = [event for event in alone.told if isinstance(event, LinkChanged)]
            assert [(one.is_up, one.reason) for one in told] == [
                (True, ""),
                (False, "it was reset"),
                (True, ""),
            ]
            feed.waiting.put_nowait([tick(1)])
            await asyncio.sleep(0.01)
            assert alone.taken() == [tick(1)]
        assert feed.link is None, "nobody keeps it any more"

    virtually(story())


def test_a_kept_feed_whose_day_is_over_ends_the_market() -> None:
    """Its connections are kept no longer; the service stays up, as after any day."""

    async def story() -> None:
        feed = Kept()
        alone = Alone([], feed=feed)
        async with living(alone.service):
            feed.waiting.put_nowait([tick(1)])
            feed.waiting.put_nowait([])
            await asyncio.sleep(1)
            assert alone.taken() == [tick(1)]
            assert alone.inbox.is_over
            assert feed.link is None

    virtually(story())


# -- a real one


class Lost(PlayedFeed):
    """A feed whose packets fail a few times."""

    failures = 0
    dials = 0

    @override
    async def connect(self) -> None:
        self.dials += 1
        await super().connect()

    @override
    async def packets(self) -> Sequence[Tick]:
        if self.failures:
            self.failures -= 1
            await self.close()
            raise ConnectionResetError("by the other side")
        return await super().packets()


def real_service(stage: Alone, feed: PlayedFeed, *, silent: bool = False) -> FeedService:
    """The service of paper and live: connections are made anew, and a closed market is silent."""
    return FeedService(
        feed,
        stage.inbox,
        NoWallClock(),
        tell=stage.told.append,
        may_begin=stage.may_begin,
        refuse=stage.refused.append,
        interval_s=10.0,
        timeout_s=5.0,
        redial=Redial(first_s=1.0, most_s=8.0),
        may_be_silent=lambda: silent,
    )


@pytest.mark.proves("MFH-7")
def test_a_feed_that_is_lost_is_made_anew_within_its_life() -> None:
    """The engine lives on; what came before and after the loss is all there, and the loss is told."""

    async def story() -> None:
        ticks = [tick(number) for number in range(1, 40)]
        stage = Alone(())
        feed = Lost(Shown(ticks), speed=1)
        async with living(real_service(stage, feed)) as said:
            await asyncio.sleep(5)
            feed.failures = 1
            await asyncio.sleep(60)
            assert said == [(True, "")]
            assert feed.dials == 2
            ups = [event.is_up for event in stage.told if isinstance(event, LinkChanged)]
            assert ups == [True, False, True]
            assert len(stage.taken()) == len(ticks)

    virtually(story())


def test_while_the_market_is_closed_no_packet_is_waited_for() -> None:
    """A program that is started at seven in the morning is ready at seven."""

    async def story() -> None:
        for silent in (True, False):
            stage = Alone(())
            feed = PlayedFeed(Shown([tick(600), tick(601)]), speed=1)
            feed._began = (asyncio.get_running_loop().time(), START)  # noqa: SLF001 it is 660 s early
            async with living(real_service(stage, feed, silent=silent)) as said:
                await asyncio.sleep(3)
                assert (said == [(True, "")]) is silent
                assert bool(stage.told) is silent

    virtually(story())
