"""One day as it is told, driven, paused and closed: nothing is lost, nothing decided too late."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import pairwise
from typing import TypeGuard

import pytest
from typing_extensions import override

from holdfast.core.engine import Engine
from holdfast.domain.audit import Halted
from holdfast.domain.command import (
    CancelOrder,
    ModifyOrder,
    Notify,
    PlaceOrder,
    ReadBook,
    ReadFunds,
    Severity,
    Subscribe,
)
from holdfast.domain.decision import HaltLevel
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import (
    AnyEvent,
    FundsRead,
    JournalChanged,
    Link,
    LinkChanged,
    OperatorAsked,
    OperatorRequest,
    OrderAcknowledged,
    OrderUpdated,
    ReadFailed,
    SendFailed,
    ServiceChanged,
    ServiceState,
    StopAsked,
    TimerFired,
)
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.market import Tick
from holdfast.domain.order import BrokerOrderId, OrderId, OrderType, Purpose
from holdfast.runtime.clock import DayClock, VirtualClock
from holdfast.runtime.day import LAST_WORDS_NS, STOP_WORDS_NS, Begun, Day, Standing
from holdfast.runtime.router import ALREADY, Sent
from tests.support.chain import END, Filling, beginning, entering, quiet, until
from tests.support.desk import CALL, NIFTY, OPEN, PUT, SECOND, Parrot, settings
from tests.support.shell import START, MemoryJournal, ToldVenue, placement, ready, tick
from tests.support.virtual import LoopClock, virtually


def nothing() -> None:
    """Nobody asks whether it lives."""


class Stage:
    """A day that a test begins, drives and ends by hand."""

    def __init__(self, venue: ToldVenue | None = None, *, speed: int = 0) -> None:
        """Made inside the event loop. With a `speed` its time passes by itself."""
        self.parrot = Parrot()
        self.engine = Engine(settings(), [self.parrot])
        self.journal = MemoryJournal()
        self.venue = venue or ToldVenue()
        self.clock: DayClock = LoopClock(START, speed) if speed else VirtualClock(START)
        self.progress: list[int] = []
        self.told: list[Notify] = []
        self.halts: list[Halted] = []
        self.day = Day(
            self.clock,
            ends_ns=END,
            progress=self.progress.append,
            notify=self.told.append,
        )

    def begin(self) -> None:
        """What every start tells; and that links and services are up."""
        self.begin_with(beginning())
        for link in Link:
            self.day.tell(LinkChanged(at_ns=START, link=link, is_up=True))
        self.day.tell(ready("engine"))

    def begin_with(self, told: Iterable[AnyEvent]) -> None:
        """Only these."""
        begun = Begun(engine=self.engine, beginning=told, write_halt=self.halts.append)
        self.day.begin(begun, self.venue, self.journal)

    async def play(self, ticks: Iterable[Tick]) -> None:
        """The market, whole, and the day to its end."""
        await self.day.inbox.put_market(list(ticks))
        self.day.inbox.end_market()
        await self.day.drive(nothing)

    async def enter(self) -> PlaceOrder:
        """Let the strategy's entry leave; the market goes on after it."""
        await self.day.inbox.put_market([*entering(self.parrot), *quiet(60.3, 61)])
        driving = asyncio.ensure_future(self.day.drive(nothing))
        await until(lambda: self.day.inbox.depth == (0, 0), every_s=0)
        driving.cancel()
        await asyncio.wait({driving})
        return next(c for c in self.venue.asked() if isinstance(c, PlaceOrder))

    def journaled(self, kind: type[AnyEvent]) -> list[AnyEvent]:
        """Events of one kind, in order."""
        return [event for event in self.journal.events if isinstance(event, kind)]


def staged(
    story: Callable[[Stage], Awaitable[None]], venue: ToldVenue | None = None, *, speed: int = 0
) -> Stage:
    """Tell a story on a stage of its own, in virtual time."""

    async def play() -> Stage:
        stage = Stage(venue, speed=speed)
        await story(stage)
        return stage

    return virtually(play())


def word(at_ns: int, what: str) -> ReadFailed:
    """Something to hear."""
    return ReadFailed(at_ns=at_ns, what=what, reason="")


# -- its life


def test_a_day_begins_with_what_a_start_knows_and_what_was_told_before_follows() -> None:
    """The supervisor speaks long before the engine lives: it is heard, and after the beginning."""

    async def story(stage: Stage) -> None:
        stage.day.tell(ready("store"))
        begun = [stage.day.has_begun]
        assert stage.day.standing.events == stage.day.ticks == 0
        stage.begin()
        begun.append(stage.day.has_begun)
        assert begun == [False, True]
        await stage.play([tick(number) for number in range(1, 11)])

    stage = staged(story)
    events = stage.journal.events
    first = len(list(beginning()))
    assert events[:first] == list(beginning())
    assert events[first] == ready("store"), (
        "a restart forgets what services were, so it comes after"
    )
    assert stage.journaled(Tick) == [tick(number) for number in range(1, 11)]
    assert stage.progress == [10]
    assert stage.day.standing == Standing(
        events=len(events),
        ticks=10,
        merged_ticks=0,
        commands_sent=4,
        open_positions=0,
        live_orders=(),
        is_halted=False,
        is_over=True,
    )


def test_a_beginning_that_cannot_be_read_begins_nothing_and_is_read_again() -> None:
    """Half of a beginning would be an engine without facts that trades on, or a second half."""

    def refuses() -> Iterator[AnyEvent]:
        yield next(beginning())
        raise DataRefused("tape", "its history is torn", "copy it again")

    async def story(stage: Stage) -> None:
        for _ in range(2):
            with pytest.raises(DataRefused, match="torn"):
                stage.begin_with(refuses())
            assert not stage.day.has_begun
            assert stage.journal.rows == []
        stage.begin()
        assert stage.journal.events == list(beginning())
        with pytest.raises(AssertionError, match="begins once"):
            stage.begin()

    staged(story)


def test_a_day_ends_a_minute_after_its_session() -> None:
    """Answers and deadlines until then are heard; what would come later is not."""
    last, late = word(END + LAST_WORDS_NS, "last"), word(END + LAST_WORDS_NS + 1, "late")

    async def story(stage: Stage) -> None:
        stage.venue.say(last, late)
        stage.begin()
        await stage.play([tick(1)])

    stage = staged(story)
    assert last in stage.journal.events
    assert late not in stage.journal.events
    assert stage.clock.now_ns() == END + LAST_WORDS_NS
    assert stage.day.is_over


@pytest.mark.proves("SUP-14")
def test_a_later_life_of_the_driver_goes_on_where_the_first_one_was() -> None:
    """Cancelled between two ticks, wherever that was: each is taken once, in order."""
    ticks = [tick(1 + number / 1_000) for number in range(2_000)]

    async def story(stage: Stage) -> None:
        stage.begin()
        await stage.day.inbox.put_market(ticks)
        for turns in (1, 2, 3):
            driving = asyncio.ensure_future(stage.day.drive(nothing))
            for _ in range(turns):
                await asyncio.sleep(0)
            driving.cancel()
            await asyncio.wait({driving})
        assert 0 < stage.day.ticks < 2_000
        stage.day.inbox.end_market()
        await stage.day.drive(nothing)

    stage = staged(story)
    assert stage.journaled(Tick) == ticks
    assert stage.day.is_over


def test_a_fault_in_the_day_ends_its_drive_with_its_own_name() -> None:
    """Nothing swallows it, and the day does not count as over."""

    class Faulty(ToldVenue):
        @override
        def on_tick(self, tick: Tick) -> None:
            if tick.last_paise == 0:
                raise ZeroDivisionError("a price of nothing")

    async def story(stage: Stage) -> None:
        stage.begin()
        with pytest.raises(ZeroDivisionError, match="a price of nothing"):
            await stage.play([tick(1), tick(2, 0), tick(3)])
        assert not stage.day.is_over

    assert staged(story, Faulty()).day.ticks == 2


# -- the stop


@pytest.mark.proves("RACE-12")
def test_a_stop_takes_back_waiting_entries_and_hears_their_ends() -> None:
    """The rest of the market is left; five seconds of its time are for the last answers."""
    entries: list[OrderId] = []

    async def story(stage: Stage) -> None:
        stage.begin()
        entry = await stage.enter()
        entries.append(entry.order_id)
        answered = stage.clock.now_ns() + SECOND
        stage.venue.say(
            OrderAcknowledged(
                at_ns=answered, order_id=entry.order_id, broker_id=BrokerOrderId("B1")
            )
        )
        await stage.day.inbox.put_market([tick(number) for number in range(70, 80)])
        stage.day.pause()
        stage.day.pause()
        assert stage.clock.now_ns() < answered
        await stage.day.settle()

    stage = staged(story)
    asked = stage.journaled(StopAsked)
    assert len(asked) == 1
    others = [c for c in stage.venue.asked() if not isinstance(c, PlaceOrder)]
    assert isinstance(others[-1], CancelOrder)
    assert stage.day.standing.live_orders == tuple(entries)
    assert stage.journaled(OrderAcknowledged)
    assert stage.day.inbox.depth == (0, 10), "the market is left where it was"
    stopped_ns = asked[0].at_ns
    assert isinstance(stage.journal.events[-1], TimerFired)
    assert stage.journal.events[-1].at_ns < stopped_ns + STOP_WORDS_NS
    assert stage.clock.now_ns() >= stopped_ns + STOP_WORDS_NS - SECOND
    assert not stage.day.is_over


def test_an_entry_that_waits_for_the_disk_is_taken_back_by_a_stop() -> None:
    """It never leaves, also when the disk answers afterwards, and the engine hears so first."""

    async def story(stage: Stage) -> None:
        stage.begin()
        stage.journal.durable = None
        await stage.day.inbox.put_market(list(entering(stage.parrot)))
        driving = asyncio.ensure_future(stage.day.drive(nothing))
        await until(lambda: bool(stage.journal.asked), every_s=0)
        driving.cancel()
        await asyncio.wait({driving})
        assert stage.day.standing.router.waiting == 1
        stage.day.pause()
        await stage.day.settle()

    stage = staged(story)
    assert not [c for c in stage.venue.asked() if isinstance(c, PlaceOrder)]
    [failed] = stage.journaled(SendFailed)
    events = stage.journal.events
    assert events.index(failed) < events.index(stage.journaled(StopAsked)[0])
    assert stage.day.standing.live_orders == ()


def test_the_writer_wakes_the_day_from_its_own_thread() -> None:
    """What an entry waited for is on the disk: nobody waits for the next tick to look."""

    async def story() -> None:
        stage = Stage()
        stage.begin()
        waiting: Future[None] = Future()
        stage.journal.wait_durable = lambda sequence: waiting  # type: ignore[method-assign] # noqa: ARG005
        for one in entering(stage.parrot):
            stage.day.inbox.offer(one)
        driving = asyncio.ensure_future(stage.day.drive(nothing))
        await until(lambda: stage.day.inbox.depth == (0, 0), every_s=0)
        disk = threading.Thread(target=waiting.set_result, args=(None,))
        disk.start()
        async with asyncio.timeout(0.9):  # an idle day looks by itself each second
            await until(
                lambda: any(isinstance(c, PlaceOrder) for c in stage.venue.asked()), every_s=0.001
            )
        disk.join()
        driving.cancel()
        await asyncio.wait({driving})

    asyncio.run(story())


@pytest.mark.proves("RACE-3", "EXE-2")
def test_a_thousand_tasks_that_close_one_position_send_one_closing_order() -> None:
    """While its price falls through the stop: the stop becomes the exit, once, in its own order."""

    async def story(stage: Stage) -> None:
        stage.begin()
        await stage.enter()
        close = OperatorAsked(
            at_ns=stage.clock.now_ns(), request=OperatorRequest.CLOSE, reason="now", position=1
        )

        async def ask() -> None:
            await asyncio.sleep(0)
            stage.day.tell(close)

        async with asyncio.TaskGroup() as group:
            for _ in range(1_000):
                group.create_task(ask())
        await stage.play([tick(62, 8_700), tick(62.1, 8_700)])

    stage = staged(story, Filling())
    assert len(stage.journaled(OperatorAsked)) == 1_000
    closing = [c for c in stage.venue.asked() if not isinstance(c, Subscribe | ReadFunds)]
    changed = [c for c in closing if isinstance(c, ModifyOrder)]
    placed = [c.order_id for c in closing if isinstance(c, PlaceOrder)]
    assert len(placed) == len(set(placed)) == 2, "the entry and its stop"
    assert {c.order_id for c in changed} == {placed[1]}
    assert all(c.terms.order_type is OrderType.LIMIT for c in changed)


@pytest.mark.proves("GWL-5", "PLC-6", "I-31")
def test_what_an_earlier_process_of_the_day_sent_is_neither_sent_again_nor_free() -> None:
    """Its record tells the router: ids are used up, and the rate is not assumed to be full (T7)."""
    lost = placement(Purpose.ENTRY, "SSIM001261120-E0001-1-0")

    async def story(stage: Stage) -> None:
        sent = [Sent(START - number, None) for number in range(7)]
        told = [*sent, Sent(START - 9, lost.order_id)]
        begun = Begun(
            engine=stage.engine, beginning=beginning(), write_halt=stage.halts.append, sent=told
        )
        stage.day.begin(begun, stage.venue, stage.journal)
        assert stage.day.standing.router.used == (8, 8, 8, 8)
        for link in Link:
            stage.day.tell(LinkChanged(at_ns=START, link=link, is_up=True))
        stage.day.tell(ready("engine"))
        await stage.play(entering(stage.parrot))

    stage = staged(story)
    assert lost.order_id not in [
        c.order_id for c in stage.venue.asked() if isinstance(c, PlaceOrder)
    ]
    [failed] = stage.journaled(SendFailed)
    assert isinstance(failed, SendFailed)
    assert (failed.order_id, failed.reason) == (lost.order_id, ALREADY)


def test_what_was_told_before_the_stop_is_taken_before_it_and_what_comes_after_at_once() -> None:
    """The day's last words are journaled and stepped like all others, without a taker."""

    async def story(stage: Stage) -> None:
        stage.begin()
        early = FundsRead(at_ns=START, available_paise=1)
        stage.day.tell(early)
        stage.day.pause()
        events = stage.journal.events
        assert events.index(early) < events.index(stage.journaled(StopAsked)[0])
        assert stage.day.inbox.depth == (0, 0)
        steps = stage.day.standing.events
        parked = ServiceChanged(
            at_ns=START, service="feed", state=ServiceState.PARKED, is_core=True, reason="mute"
        )
        stage.day.tell(parked)
        assert stage.journal.events[-1] == parked
        assert stage.day.standing.events == steps + 1
        called = stage.told[-1]
        assert (called.severity, called.text) == (Severity.ALARM, "feed was given up: mute")

    staged(story)


def test_what_is_told_while_the_final_state_is_written_is_kept_and_moves_nothing() -> None:
    """The state that was written is the last one: a word after it is a record and no step."""

    async def story(stage: Stage) -> None:
        stage.begin()
        stage.day.pause()
        standing, told = stage.day.standing, len(stage.told)
        stage.day.seal()
        parked = ServiceChanged(
            at_ns=START, service="store", state=ServiceState.PARKED, is_core=True, reason="late"
        )
        stage.day.tell(parked)
        stage.day.tell(tick(1))
        assert stage.journal.events[-1] == parked
        assert (stage.day.standing, len(stage.told)) == (standing, told)

    staged(story)


@pytest.mark.parametrize("request_", [OperatorRequest.PAUSE, OperatorRequest.PANIC])
def test_a_halt_is_written_down_as_it_is_decided(request_: OperatorRequest) -> None:
    """To the file, not only to the journal; a stop writes none, because it is none."""

    async def story(stage: Stage) -> None:
        stage.begin()
        stage.day.tell(OperatorAsked(at_ns=START, request=request_, reason="enough"))
        stage.day.pause()
        assert [(one.level.value, one.reason) for one in stage.halts] == [
            (request_.value, "enough")
        ]

    staged(story)


def test_nothing_is_told_after_the_close() -> None:
    """The journal is closed: a word too many would be an error, or lost without a number."""

    async def story(stage: Stage) -> None:
        stage.begin()
        stage.day.pause()
        stage.day.close()
        rows = len(stage.journal.rows)
        stage.day.tell(ready("feed"))
        stage.day.journal_changed(is_durable=False, reason="closed")
        await asyncio.sleep(0)
        assert len(stage.journal.rows) == rows
        assert stage.day.inbox.depth == (0, 0)

    staged(story)


def test_a_stop_before_the_beginning_leaves_no_trace() -> None:
    """There is no journal and no engine to ask."""

    async def story(stage: Stage) -> None:
        stage.day.pause()
        await stage.day.settle()
        assert stage.journal.rows == []
        assert stage.day.standing.events == 0
        assert not stage.day.standing.is_over

    staged(story)


def test_a_stop_after_the_day_is_over_asks_for_no_pause() -> None:
    """There is nothing to take back, and no time to let pass."""

    async def story(stage: Stage) -> None:
        stage.begin()
        await stage.play([tick(1)])
        stage.day.tell(ready("feed"))
        ended_ns = stage.clock.now_ns()
        stage.day.pause()
        await stage.day.settle()
        assert stage.clock.now_ns() == ended_ns
        assert stage.journaled(StopAsked) == []
        assert stage.journal.events[-1] == ready("feed")

    staged(story)


def test_a_stop_is_no_halt_but_one_before_it_is_told() -> None:
    """Taking entries back for the end of the process is nobody's decision to trade no more."""

    async def stopped(stage: Stage) -> None:
        stage.begin()
        stage.day.pause()
        assert stage.journaled(StopAsked)
        assert not stage.day.standing.is_halted

    async def halted(stage: Stage) -> None:
        stage.begin()
        panic = OperatorRequest.PANIC
        stage.day.tell(OperatorAsked(at_ns=START, request=panic, reason="test"))
        await stage.play([tick(1)])
        assert stage.day.standing.is_halted
        stage.day.pause()
        assert stage.day.standing.is_halted

    staged(stopped)
    staged(halted)


# -- what is asked of it


@pytest.mark.proves("RSK-7")
def test_the_watermark_is_the_age_of_the_rules_last_run_over_what_is_held() -> None:
    """In the market's time; nothing held, or the day over, there is none."""

    async def story(stage: Stage) -> None:
        stage.begin()
        marks = [stage.day.watermark_s]
        await stage.enter()
        marks.append(stage.day.watermark_s)
        stage.clock.move(stage.clock.now_ns() + 3 * SECOND)
        marks.append(stage.day.watermark_s)
        stage.day.inbox.end_market()
        await stage.day.drive(nothing)
        marks.append(stage.day.watermark_s)
        assert marks == [None, 0.0, 3.0, None]
        assert stage.day.standing.open_positions == 1

    staged(story, Filling())


def test_the_driver_beats_while_others_have_their_turn() -> None:
    """Also when nothing comes: a day without a packet is not a hung engine."""
    beats: list[float] = []

    async def story(stage: Stage) -> None:
        loop = asyncio.get_running_loop()
        stage.begin()
        driving = asyncio.ensure_future(stage.day.drive(lambda: beats.append(loop.time())))
        await asyncio.sleep(2.5)
        stage.day.inbox.end_market()
        await driving

    staged(story)
    assert beats == [0.0, 1.0, 2.0]


# -- the journal's word


def test_the_journals_word_reaches_the_engine_from_whatever_thread() -> None:
    """Before the day from ours, in the middle of it from the writer's."""

    async def story() -> Stage:
        stage = Stage()
        stage.day.journal_changed(is_durable=False, reason="before")
        stage.begin()
        driving = asyncio.ensure_future(stage.day.drive(nothing))
        await asyncio.sleep(0)
        writer = threading.Thread(target=stage.day.journal_changed, args=(False, "disk full"))
        writer.start()
        await until(lambda: len(stage.journaled(JournalChanged)) == 3, every_s=0.001)
        writer.join()
        stage.day.inbox.end_market()
        await driving
        return stage

    stage = asyncio.run(story())
    told = [event for event in stage.journal.events if isinstance(event, JournalChanged)]
    assert [(event.is_durable, event.reason) for event in told] == [
        (True, ""),
        (False, "before"),
        (False, "disk full"),
    ]


def test_after_the_loop_has_ended_the_journals_word_harms_nobody() -> None:
    """Its last thread may speak while the loop is gone; it must not die of it."""

    async def story(stage: Stage) -> None:
        stage.begin()

    stage = staged(story)
    rows = len(stage.journal.rows)
    stage.day.journal_changed(is_durable=False, reason="closing")
    assert len(stage.journal.rows) == rows


# -- twice


def test_the_same_day_twice_is_the_same_journal() -> None:
    """Whoever takes turns with the driver: the order is that of the inbox."""

    async def story(stage: Stage) -> None:
        stage.begin()
        await stage.enter()
        stage.day.tell(word(stage.clock.now_ns(), "something"))
        await stage.play([tick(number) for number in range(70, 90)])

    first, second = staged(story, Filling()), staged(story, Filling())
    assert first.journal.rows == second.journal.rows
    assert first.day.standing.open_positions == 1
    assert len(first.journal.rows) > 60


@pytest.mark.parametrize("how", ["pause", "settle"])
def test_an_engine_that_has_done_half_of_an_event_is_not_stepped_by_the_stop(how: str) -> None:
    """It may have taken over what no position saw: the next start recovers, and this one only ends."""

    async def story(stage: Stage) -> None:
        stage.begin()
        assert stage.day._driver is not None  # noqa: SLF001 broken on purpose
        stage.day._driver.is_between_events = False  # noqa: SLF001 as above
        before = len(stage.journal.rows)
        stage.day.pause()
        if how == "settle":
            await stage.day.settle()
        assert len(stage.journal.rows) == before

    staged(story)


# -- what a person asks


def asks(request: OperatorRequest = OperatorRequest.PAUSE) -> OperatorAsked:
    """A person asks something."""
    return OperatorAsked(at_ns=START, request=request, reason="a person")


def test_who_asks_hears_the_number_under_which_it_was_stepped() -> None:
    """Each of two equal ones its own; what is asked before the beginning waits for it."""

    async def story(stage: Stage) -> None:
        early = asyncio.ensure_future(stage.day.ask(asks()))
        await asyncio.sleep(0)
        assert not early.done()
        stage.begin()
        driving = asyncio.ensure_future(stage.day.drive(nothing))
        first = await early
        same = asks()
        second, third = await asyncio.gather(stage.day.ask(same), stage.day.ask(asks()))
        assert first is not None and second is not None and third is not None  # noqa: PT018
        assert [stage.journal.rows[n - 1] for n in (first, second, third)] == [asks()] * 3
        assert first < second < third
        await stage.day.until_durable(third)
        assert stage.journal.asked[-1] == third
        assert stage.engine.is_halted
        stage.day.close()
        assert await stage.day.ask(asks()) is None
        driving.cancel()
        await asyncio.wait({driving})

    staged(story)


def test_what_is_asked_while_the_program_stops_is_stepped_at_once() -> None:
    """Until the final state is being written: then nobody takes it any more."""

    async def story(stage: Stage) -> None:
        stage.begin()
        stage.day.pause()
        assert await stage.day.ask(asks(OperatorRequest.PANIC)) is not None
        assert stage.halts[-1].level is HaltLevel.PANIC
        stage.day.seal()
        assert await stage.day.ask(asks()) is None

    staged(story)


def test_the_book_is_read_once_more_for_whoever_must_know() -> None:
    """A fact like any other; nothing is asked of a day that is closed or has not begun."""

    async def story(stage: Stage) -> None:
        stage.day.read_book()
        stage.begin()
        before = [type(c) for _, c in stage.venue.submitted].count(ReadBook)
        stage.day.read_book()
        assert [type(c) for _, c in stage.venue.submitted].count(ReadBook) == before + 1
        stage.day.close()
        stage.day.read_book()
        assert [type(c) for _, c in stage.venue.submitted].count(ReadBook) == before + 1

    staged(story)


# -- in real time


async def lives(stage: Stage, seconds: float, *, market: Iterable[Tick] = ()) -> None:
    """Let so many seconds of the day pass, while `market` comes at its time and nothing else."""
    until_ns = stage.clock.now_ns() + round(seconds * SECOND)
    driving = asyncio.ensure_future(stage.day.drive(nothing))
    for one in market:
        await asyncio.sleep(stage.clock.wall_s((one.at_ns - stage.clock.now_ns()) / SECOND))
        stage.day.inbox.offer(one)
    await asyncio.sleep(stage.clock.wall_s((until_ns - stage.clock.now_ns()) / SECOND))
    driving.cancel()
    await asyncio.wait({driving})


@pytest.mark.proves("RSK-4")
@pytest.mark.parametrize("speed", [1, 20])
def test_in_real_time_it_wakes_for_what_is_due_although_nothing_is_heard(speed: int) -> None:
    """The exchange's answers at their time; a position is looked at each second; no stamp is late."""
    venue = Filling()

    async def story(stage: Stage) -> None:
        stage.begin()
        first_s = (entering_ns - START) / SECOND
        await lives(stage, first_s + 20, market=[*entering(stage.parrot), *quiet(60.3, 61)])

    entering_ns = OPEN + 60 * SECOND
    stage = staged(story, venue, speed=speed)
    [filled] = [
        event
        for event in stage.journaled(OrderUpdated)
        if isinstance(event, OrderUpdated) and event.row.filled_quantity
    ]
    [entry] = [c for c in venue.asked() if isinstance(c, PlaceOrder) and is_entry(c)]
    assert entry.order_id == filled.row.order_id
    fired = [event.at_ns for event in stage.journaled(TimerFired) if event.at_ns > filled.at_ns]
    pauses = [later - earlier for earlier, later in pairwise([filled.at_ns, *fired])]
    assert len(fired) >= 15
    assert max(pauses) <= SECOND


def slept(stage: Stage, until_ns: int) -> None:
    """The host did: the clock has gone on, and nobody was there."""
    assert isinstance(stage.clock, LoopClock)
    stage.clock.skip(until_ns)


def is_entry(command: PlaceOrder) -> bool:
    return command.purpose is Purpose.ENTRY


def test_a_timer_has_its_own_stamp_however_late_the_loop_wakes() -> None:
    """What is decided then is what would have been decided in time (decisions 4.2)."""

    async def story(stage: Stage) -> None:
        stage.begin()
        await lives(stage, 10)
        deadline_ns = stage.engine.deadline_ns
        assert deadline_ns is not None
        slept(stage, deadline_ns + 7 * SECOND)
        await lives(stage, 0.5)
        assert deadline_ns in {event.at_ns for event in stage.journaled(TimerFired)}

    staged(story, speed=1)


def test_in_real_time_the_day_ends_by_the_clock() -> None:
    """A minute after the close, whatever the feed says; what was told by then is heard."""

    async def story(stage: Stage) -> None:
        stage.begin()
        slept(stage, END + LAST_WORDS_NS - 2 * SECOND)
        asyncio.get_running_loop().call_later(
            1.9, lambda: stage.day.tell(word(stage.clock.now_ns(), "the last"))
        )
        await stage.day.drive(nothing)
        assert stage.day.is_over
        assert stage.clock.now_ns() >= END + LAST_WORDS_NS
        assert "the last" in {one.what for one in stage.journaled(ReadFailed) if is_read(one)}

    staged(story, speed=1)


def is_read(event: AnyEvent) -> TypeGuard[ReadFailed]:
    return isinstance(event, ReadFailed)


@pytest.mark.parametrize(("takes_s", "waits_s"), [(0.3, 0.3), (60, 1.0)])
def test_a_stop_waits_for_a_real_brokers_answers_but_not_for_ever(
    takes_s: float, waits_s: float
) -> None:
    """A second of the wall; what is not answered by then the next start finds in the book."""

    async def story(stage: Stage) -> None:
        async def settle() -> None:
            await asyncio.sleep(takes_s)

        stage.day.reach(settle=settle)
        stage.begin()
        began_s = asyncio.get_running_loop().time()
        await stage.day.settle()
        assert asyncio.get_running_loop().time() - began_s == pytest.approx(waits_s)

    staged(story, speed=1)


@pytest.mark.proves("MFH-4", "PIX-1")
def test_what_is_to_be_brought_is_told_to_whoever_brings_it() -> None:
    """A feed has its own wanted set; the venue hears nothing of it."""
    wanted: list[InstrumentId] = []

    async def story(stage: Stage) -> None:
        stage.day.reach(want=wanted.extend)
        stage.begin()

    stage = staged(story)
    assert set(wanted) == {NIFTY.id, CALL.id, PUT.id}
    assert not any(isinstance(command, Subscribe) for command in stage.venue.asked())
