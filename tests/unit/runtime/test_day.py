"""One day from its beginning to a clean end, an early one, or a failure that keeps its name."""

import asyncio
import threading
from collections.abc import Iterable, Iterator

import pytest

from holdfast.core.engine import Engine
from holdfast.domain.command import CancelOrder, PlaceOrder
from holdfast.domain.decision import Direction
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import (
    AnyEvent,
    FactsLoaded,
    FundsRead,
    InstrumentsLoaded,
    JournalChanged,
    Link,
    LinkChanged,
    OperatorAsked,
    OperatorRequest,
    OrderAcknowledged,
    ReadFailed,
    TimerFired,
)
from holdfast.domain.market import Tick
from holdfast.domain.order import BrokerOrderId, OrderId
from holdfast.runtime import day as module
from holdfast.runtime.clock import VirtualClock
from holdfast.runtime.day import LAST_WORDS_NS, STOP_WORDS_NS, Day, Outcome, Pace, StopRequest
from tests.support.desk import CALL, FACTS, NIFTY, OPEN, PUT, SECOND, Parrot, settings
from tests.support.shell import MemoryJournal, ToldVenue, tick

START = OPEN - 60 * SECOND
END = OPEN + 120 * SECOND


def beginning() -> Iterator[AnyEvent]:
    """What a start tells the engine."""
    yield FactsLoaded(at_ns=START, sha256="f", facts=FACTS)
    yield InstrumentsLoaded(at_ns=START, sha256="i", instruments=(NIFTY, CALL, PUT))
    yield FundsRead(at_ns=START, available_paise=500_000_00)


class Stage:
    """A day ready to be played."""

    def __init__(self) -> None:
        self.parrot = Parrot()
        self.engine = Engine(settings(), [self.parrot])
        self.journal = MemoryJournal()
        self.venue = ToldVenue()
        self.clock = VirtualClock(START)
        self.day = Day(self.engine, self.journal, self.venue, self.clock)
        self.stop = StopRequest()
        self.told: list[int] = []

    def play(self, ticks: Iterable[Tick], *, speed: int = 0) -> Outcome:
        """Play it to its end; one that does not end within ten seconds fails."""

        async def bounded() -> Outcome:
            async with asyncio.timeout(10):
                return await self.day.play(
                    beginning(),
                    iter(ticks),
                    ends_ns=END,
                    pace=Pace(speed=speed),
                    stop=self.stop,
                    progress=self.told.append,
                )

        return asyncio.run(bounded())

    def journaled(self, kind: type[AnyEvent]) -> list[AnyEvent]:
        """Events of one kind, in order."""
        return [event for event in self.journal.events if isinstance(event, kind)]


def entering(stage: Stage) -> Iterator[Tick]:
    """Ticks of a minute, at whose end the strategy buys the call; and one more."""
    for second in (58.0, 59.0):
        for instrument, last in ((NIFTY, 2_450_000), (CALL, 10_000), (PUT, 10_000)):
            yield tick(second, last, instrument.id)
    stage.parrot.say = Direction.UP
    yield tick(60.1)
    yield tick(60.1, 2_450_000, NIFTY.id)
    yield tick(60.2)


def test_a_day_begins_with_what_a_start_knows_then_the_market() -> None:
    """The beginning, every link, the journal; then each tick; progress is told at the end."""
    stage = Stage()
    outcome = stage.play([tick(number) for number in range(1, 11)])
    events = stage.journal.events
    assert events[:3] == list(beginning())
    assert [type(event) for event in events[3:7]] == [*[LinkChanged] * len(Link), JournalChanged]
    assert [e.link for e in events if isinstance(e, LinkChanged)] == list(Link)
    assert all(e.is_up for e in events if isinstance(e, LinkChanged))
    assert stage.journaled(Tick) == [tick(number) for number in range(1, 11)]
    assert stage.told == [10]
    assert outcome == Outcome(
        events=len(events),
        ticks=10,
        merged_ticks=0,
        commands_sent=1,
        stopped_early=False,
        open_positions=0,
        live_orders=(),
    )


def test_a_day_ends_a_minute_after_its_session() -> None:
    """Answers and deadlines until then are heard; what would come later is not."""
    stage = Stage()
    last = ReadFailed(at_ns=END + LAST_WORDS_NS, what="last", reason="")
    late = ReadFailed(at_ns=END + LAST_WORDS_NS + 1, what="late", reason="")
    stage.venue.say(last, late)
    stage.play([tick(1)])
    assert last in stage.journal.events
    assert late not in stage.journal.events
    assert stage.clock.now_ns() == END + LAST_WORDS_NS


def test_a_long_day_comes_through_in_batches_without_merging() -> None:
    """More ticks than the lane has room for: all of them, in order."""
    stage = Stage()
    ticks = [tick(1 + number / 1_000) for number in range(10_000)]
    outcome = stage.play(ticks)
    assert stage.journaled(Tick) == ticks
    assert (outcome.ticks, outcome.merged_ticks) == (10_000, 0)


def test_a_stop_takes_back_waiting_entries_and_hears_their_ends() -> None:
    """The rest of the market is left; five seconds of its time are for the last answers."""
    stage = Stage()
    unread: list[Tick] = []

    def market() -> Iterator[Tick]:
        yield from entering(stage)
        yield from [tick(61)] * module.BATCH
        stage.stop.set()
        for number in range(5_000):
            unread.append(tick(70 + number))
            yield unread[-1]

    answered = OPEN + 61 * SECOND
    stage.venue.say(
        OrderAcknowledged(
            at_ns=answered,
            order_id=_entry_id(),
            broker_id=BrokerOrderId("B1"),
        )
    )
    assert not stage.stop.is_set
    outcome = stage.play(market())
    assert outcome.stopped_early
    assert len(unread) < module.BATCH
    asked = [event for event in stage.journal.events if isinstance(event, OperatorAsked)]
    assert [event.request for event in asked] == [OperatorRequest.PAUSE]
    assert [type(c) for c in stage.venue.asked() if not isinstance(c, PlaceOrder)][
        -1
    ] is CancelOrder
    assert outcome.live_orders == (_entry_id(),)
    stopped_ns = asked[0].at_ns
    assert stage.journal.events[-1].at_ns < stopped_ns + STOP_WORDS_NS
    assert isinstance(stage.journal.events[-1], TimerFired)
    assert stage.clock.now_ns() >= stopped_ns + STOP_WORDS_NS - SECOND


def _entry_id() -> OrderId:
    """The id of the day's first entry."""
    stage = Stage()
    stage.play(entering(stage))
    [entry] = [c for c in stage.venue.asked() if isinstance(c, PlaceOrder)]
    return entry.order_id


def test_a_day_that_is_stopped_before_its_first_tick_ends_cleanly() -> None:
    """Nothing of the market is read."""
    stage = Stage()
    stage.stop.set()
    outcome = stage.play([tick(1)])
    assert (outcome.ticks, outcome.stopped_early) == (0, True)


# -- paced


def test_a_paced_day_takes_its_time_and_loses_no_tick() -> None:
    """Ten seconds of market at a hundred times real time: a tenth of a second at least."""
    stage = Stage()
    ticks = [tick(number) for number in range(1, 12)]

    async def timed() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await stage.day.play(
            beginning(),
            iter(ticks),
            ends_ns=END,
            pace=Pace(speed=100),
            stop=stage.stop,
            progress=stage.told.append,
        )
        return loop.time() - began

    assert asyncio.run(timed()) >= 0.1
    assert stage.journaled(Tick) == ticks


def test_a_pace_that_the_engine_cannot_keep_slips_and_loses_nothing() -> None:
    """A whole day at once: the engine gets its turns all along, and sees each tick."""
    stage = Stage()
    taken: list[int] = []

    def market() -> Iterator[Tick]:
        for number in range(20_000):
            if number % 5_000 == 4_999:
                taken.append(len(stage.journal.market))
            yield tick(1 + number / 1_000_000)

    outcome = stage.play(market(), speed=1_000_000)
    for before, now in zip((0, 5_000, 10_000, 15_000), taken, strict=True):
        assert now > before, "the engine was at most a moment behind"
    assert (outcome.ticks, outcome.merged_ticks) == (20_000, 0)


def test_a_stop_ends_a_paced_day_in_the_middle_of_a_silence() -> None:
    """It does not wait for the next packet, an hour away."""
    stage = Stage()

    def market() -> Iterator[Tick]:
        yield tick(1)
        threading.Timer(0.05, stage.stop.set).start()
        yield tick(3_600)

    outcome = stage.play(market(), speed=1)
    assert (outcome.stopped_early, outcome.ticks) == (True, 1)


# -- what goes wrong


def test_a_market_that_cannot_be_read_further_says_so_itself() -> None:
    """The command line must see the refusal, not a group of errors around it."""

    def market() -> Iterator[Tick]:
        yield tick(1)
        raise DataRefused("tape", "ends in the middle", "copy it again")

    for speed in (0, 1_000):
        with pytest.raises(DataRefused, match="ends in the middle"):
            Stage().play(market(), speed=speed)


def test_a_fault_in_the_day_ends_it_with_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing swallows it, and the feed does not go on alone."""
    stage = Stage()
    read: list[int] = []

    def market() -> Iterator[Tick]:
        for number in range(100_000):
            read.append(number)
            yield tick(1 + number / 1_000, 0 if number == 100 else 10_000)

    monkeypatch.setattr(stage.venue, "on_tick", _refuse_zero)
    with pytest.raises(ZeroDivisionError, match="a price of nothing"):
        stage.play(market())
    assert len(read) < 20_000


def _refuse_zero(told: Tick) -> None:
    if told.last_paise == 0:
        raise ZeroDivisionError("a price of nothing")


# -- the journal's word


def test_the_journals_word_reaches_the_engine_whenever_it_comes() -> None:
    """Before the day from the writer's thread or ours, and in the middle of it."""
    stage = Stage()
    stage.day.journal_changed(is_durable=False, reason="before")

    def market() -> Iterator[Tick]:
        yield from [tick(1)] * module.BATCH
        writer = threading.Thread(target=stage.day.journal_changed, args=(False, "disk full"))
        writer.start()
        writer.join()
        yield from [tick(2)] * (3 * module.BATCH)

    stage.play(market())
    told = [event for event in stage.journal.events if isinstance(event, JournalChanged)]
    assert [(event.is_durable, event.reason) for event in told] == [
        (False, "before"),
        (True, ""),
        (False, "disk full"),
    ]
    assert stage.engine.live_orders == ()


def test_after_the_day_the_journals_word_harms_nobody() -> None:
    """Its last thread may speak while the loop is gone."""
    stage = Stage()
    stage.play([tick(1)])
    rows = len(stage.journal.rows)
    stage.day.journal_changed(is_durable=False, reason="closing")
    assert len(stage.journal.rows) == rows
