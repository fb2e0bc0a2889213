"""The driver: who comes first, what is journaled when, and that a late wake-up changes nothing."""

import asyncio
import threading
from concurrent.futures import Future

import pytest
from msgspec.structs import replace

from holdfast.core.engine import Engine
from holdfast.domain.audit import Halted
from holdfast.domain.command import (
    AnyCommand,
    ModifyOrder,
    PlaceOrder,
    ReadBook,
    ReadFunds,
    Subscribe,
)
from holdfast.domain.decision import HaltLevel
from holdfast.domain.errors import DataRefused, StepGivenUp
from holdfast.domain.event import (
    Action,
    AnyEvent,
    BookRead,
    BookRepeated,
    CandleLoaded,
    FundsRead,
    InstrumentsLoaded,
    OperatorAsked,
    OperatorRequest,
    OrderAcknowledged,
    OrderUpdated,
    Outcome,
    QuotesRead,
    ReadFailed,
    Restarted,
    SendFailed,
    StepFailed,
    TimerFired,
)
from holdfast.domain.market import Candle, Tick
from holdfast.domain.order import BrokerOrderId, BrokerStatus, OrderRow, Purpose
from holdfast.runtime.checkpoint import Checkpoint
from holdfast.runtime.driver import YIELD_EVERY
from holdfast.runtime.inbox import Inbox
from holdfast.runtime.rates import TRAVEL_NS
from holdfast.runtime.router import NOT_DURABLE, Sent
from tests.support.chain import entering, until
from tests.support.desk import DAY, NIFTY, OPEN, SECOND, Parrot, settings
from tests.support.shell import START, Shell, empty_book, placement, tick
from tests.support.virtual import virtually


def test_an_event_is_journaled_before_anything_is_done_about_it() -> None:
    """Event, then decision under its number, then the commands; quiet steps decide nothing."""
    shell = Shell().begin()
    journal = shell.journal
    numbers = [number for number, row in enumerate(journal.rows, 1) if row in journal.decisions]
    assert [decided.cause for decided in journal.decisions] == [n - 1 for n in numbers]
    loaded, read = [d for d in journal.decisions if d.commands]
    assert isinstance(journal.rows[loaded.cause - 1], InstrumentsLoaded)
    assert isinstance(loaded.commands[0], Subscribe)
    assert loaded.commands[1:] == (ReadFunds(), ReadBook())
    assert isinstance(journal.rows[read.cause - 1], BookRead)
    assert read.commands == (ReadBook(),)
    assert shell.venue.asked() == [*loaded.commands[:2]]
    rows = len(journal.rows)
    shell.driver.take(FundsRead(at_ns=START, available_paise=1))
    assert len(journal.rows) == rows + 1


def test_a_halt_is_written_down_before_anything_else_happens() -> None:
    """Before the decision is in the journal, and before what it asks for has left (I-67)."""
    shell = Shell().begin()
    rows, sent = len(shell.journal.rows), len(shell.venue.submitted)
    found: list[tuple[HaltLevel, int, int]] = []

    def write(halted: Halted) -> None:
        found.append((halted.level, len(shell.journal.rows), len(shell.venue.submitted)))

    shell.driver.halt_by(write)
    asked = OperatorAsked(at_ns=START + SECOND, request=OperatorRequest.FLATTEN, reason="enough")
    shell.driver.take(asked)
    assert found == [(HaltLevel.FLATTEN, rows + 1, sent)], "only the person's word is journaled"
    assert any(isinstance(one, Halted) for one in shell.journal.decisions[-1].audits)


def test_a_pass_over_the_book_that_repeats_the_one_before_is_journaled_in_short() -> None:
    """In full it would be most of a day's journal."""
    shell = Shell().begin()
    passes = [row for row in shell.journal.rows if isinstance(row, BookRead | BookRepeated)]
    assert [type(one) for one in passes] == [BookRead, BookRepeated]
    at_ns, last_ns = START + SECOND, passes[-1].began_at_ns
    shell.driver.take(empty_book(at_ns, began_at_ns=at_ns - 1))
    repeated = [row for row in shell.journal.rows if isinstance(row, BookRepeated)]
    assert repeated[-1] == BookRepeated(
        at_ns=at_ns, began_at_ns=at_ns - 1, repeats_ns=last_ns, funds_paise=500_000_00
    )


def test_what_lies_on_the_tape_is_numbered_with_the_rest() -> None:
    """Ticks, loaded candles and quotes read; everything else goes to the journal."""
    shell = Shell().begin()
    candle = Candle(instrument=NIFTY.id, interval_s=60, start_ns=START, open_paise=1, high_paise=1,
                    low_paise=1, close_paise=1)  # fmt: skip
    begun = len(shell.journal.rows)
    shell.driver.take(CandleLoaded(at_ns=START, candle=candle))
    shell.driver.take(QuotesRead(at_ns=START, quotes=()))
    shell.driver.take(ReadFailed(at_ns=START, what="quotes", reason="test"))
    shell.driver.take(tick(1))
    kinds = (CandleLoaded, QuotesRead, ReadFailed, Tick)
    events = [event for event in shell.journal.events if isinstance(event, kinds)]
    assert [type(event) for event in events] == list(kinds)
    on_tape = [type(shell.journal.rows[number - 1]) for number in shell.journal.market]
    assert on_tape == [CandleLoaded, QuotesRead, Tick]
    assert min(shell.journal.market) > begun


def test_deadlines_are_stepped_before_later_events_with_their_own_stamp() -> None:
    """However late the next packet comes, each is stamped as if somebody had slept for it (4.2)."""
    shell = Shell().begin()
    shell.driver.take(tick(10))
    deadline_ns = shell.engine.deadline_ns
    assert deadline_ns is not None
    assert deadline_ns < OPEN + 100 * SECOND
    before = len(shell.journal.events)
    shell.driver.take(tick(100))
    fired = shell.journal.events[before:-1]
    assert fired
    assert all(isinstance(event, TimerFired) for event in fired)
    assert fired[0].at_ns == deadline_ns
    assert [event.at_ns for event in fired] == sorted(event.at_ns for event in fired)


def test_a_deadline_at_the_stamp_of_an_event_comes_after_it() -> None:
    """It is stepped when something later is, or when time is moved on."""
    shell = Shell().begin()
    shell.driver.take(tick(10))
    deadline_ns = shell.engine.deadline_ns
    assert deadline_ns is not None
    shell.driver.take(tick((deadline_ns - OPEN) / SECOND))
    assert isinstance(shell.journal.events[-1], Tick)
    shell.driver.advance(deadline_ns)
    assert isinstance(shell.journal.events[-1], Tick)
    shell.driver.advance(deadline_ns + 1)
    assert shell.journal.events[-1] != shell.journal.events[-2]


def test_answers_due_come_before_the_tick_and_before_deadlines_of_their_time() -> None:
    """The driver steps the exchange: who comes first hangs on stamps alone (4.12)."""
    shell = Shell().begin()
    shell.driver.take(tick(10))
    deadline_ns = shell.engine.deadline_ns
    assert deadline_ns is not None
    at_deadline = ReadFailed(at_ns=deadline_ns, what="a", reason="")
    at_tick = ReadFailed(at_ns=OPEN + 20 * SECOND, what="b", reason="")
    after = ReadFailed(at_ns=OPEN + 20 * SECOND + 1, what="c", reason="")
    shell.venue.say(after, at_tick, at_deadline)
    before = len(shell.journal.events)
    shell.driver.take(tick(20))
    told = shell.journal.events[before:]
    assert told[0] == at_deadline
    assert isinstance(told[1], TimerFired)
    assert told[-2:] == [at_tick, tick(20)]
    assert after not in told
    shell.driver.advance(OPEN + 21 * SECOND)
    assert after in shell.journal.events


def test_the_exchange_hears_a_tick_before_the_engine_does() -> None:
    """What it fills on this packet is an answer of later; the clock is the newest stamp."""
    shell = Shell().begin()
    shell.driver.take(tick(5))
    assert shell.venue.ticks == [tick(5)]
    assert shell.clock.now_ns() == OPEN + 5 * SECOND
    shell.driver.take(tick(4))
    assert shell.clock.now_ns() == OPEN + 5 * SECOND
    assert (shell.driver.ticks, shell.driver.events) == (2, len(shell.journal.events))


def test_commands_leave_with_the_time_of_the_decision() -> None:
    """Under the clock's stamp, and an entry with the number of its decision."""
    shell = Shell().begin()
    entry = shell.enter()
    [at_ns] = [at_ns for at_ns, command in shell.venue.submitted if command == entry]
    assert at_ns == OPEN + round(60.1 * SECOND)
    [number] = [n for n, row in enumerate(shell.journal.rows, 1) if row in shell.journal.decisions
                and entry in row.commands]  # fmt: skip
    assert shell.journal.asked == [number]


def decide_entry(shell: Shell) -> None:
    """Take a minute of ticks, at whose end the strategy buys."""
    for event in list(entering(shell.parrot))[:-1]:
        shell.driver.take(event)


def test_an_order_that_did_not_leave_is_heard_of_at_once() -> None:
    """Before the next answer, deadline or tick; also when there is none to come."""
    shell = Shell().begin()
    shell.journal.durable = DataRefused("journal", "is closed", "see above")
    decide_entry(shell)
    failed = shell.journal.events[-1]
    assert isinstance(failed, SendFailed)
    assert (failed.action, failed.outcome) == (Action.PLACE, Outcome.NOT_SENT)
    assert failed.at_ns == OPEN + round(60.1 * SECOND)
    assert shell.engine.live_orders == ()
    assert shell.driver.events == len(shell.journal.events)


@pytest.mark.proves("T7", "I-44")
def test_what_waits_for_its_turn_leaves_between_answers_and_deadlines_of_its_time() -> None:
    """Stamped with that time, also when the next event comes much later (T7)."""
    shell = Shell().begin()
    shell.driver.take(tick(10))
    at_ns = shell.clock.now_ns()
    shell.router.resume([Sent(at_ns, None)] * 10)
    exit_ = placement(Purpose.EXIT)
    shell.engine.is_live = lambda order_id: True  # type: ignore[method-assign] # noqa: ARG005
    shell.router.execute(exit_, sequence=1, at_ns=at_ns)
    due_ns = at_ns + SECOND + TRAVEL_NS
    shell.venue.say(ReadFailed(at_ns=due_ns, what="at its time", reason=""))
    fired = [event.at_ns for event in shell.journal.events if isinstance(event, TimerFired)]
    shell.driver.take(tick(30))
    assert (due_ns, exit_) in shell.venue.submitted
    later = [event.at_ns for event in shell.journal.events if isinstance(event, TimerFired)]
    assert later[len(fired) :] == sorted(later[len(fired) :])
    assert shell.router.due_ns is None


@pytest.mark.proves("ORT-1")
def test_what_is_tried_again_is_not_told_to_the_engine() -> None:
    """No record, no step; the exit leaves again before the next tick is taken."""
    shell = protected()
    shell.driver.take(tick(62.5, 9_300))
    shell.driver.take(tick(63, 8_750))
    exit_ = shell.venue.asked()[-1]
    assert isinstance(exit_, ModifyOrder)
    count = len(shell.journal.rows)
    failed = SendFailed(
        at_ns=OPEN + 63 * SECOND,
        order_id=exit_.order_id,
        action=Action.MODIFY,
        outcome=Outcome.NOT_SENT,
    )
    shell.venue.say(failed)
    shell.driver.advance(OPEN + 63 * SECOND + SECOND // 2)
    assert failed not in shell.journal.rows[count:]
    assert shell.venue.asked()[-2:] == [exit_, exit_]


def slowly(shell: Shell) -> list[Future[None]]:
    """Let the disk take its time; what is waited for."""
    futures: list[Future[None]] = []

    def wait_durable(sequence: int) -> Future[None]:
        shell.journal.asked.append(sequence)
        futures.append(Future())
        return futures[-1]

    shell.journal.wait_durable = wait_durable  # type: ignore[method-assign]
    return futures


def test_a_market_that_is_played_stands_still_for_the_disk_and_nothing_else_does() -> None:
    """Its time may pass a thousand times as fast: no disk would be in time. Others have their turns."""
    shell = Shell().begin()
    futures = slowly(shell)
    turns: list[tuple[float, int]] = []

    async def story() -> None:
        inbox = Inbox()
        loop = asyncio.get_running_loop()

        async def disk() -> None:
            await until(lambda: bool(futures), every_s=0)
            for _ in range(3):
                await asyncio.sleep(0.1)
                turns.append((loop.time(), shell.driver.ticks))
            inbox.put(FundsRead(at_ns=OPEN + 61 * SECOND, available_paise=7))
            await asyncio.sleep(0.1)
            assert shell.journal.events[-1] == FundsRead(
                at_ns=OPEN + 61 * SECOND, available_paise=7
            )
            futures[0].set_result(None)
            inbox.poke()

        async with asyncio.TaskGroup() as group:
            inbox.is_played = True
            group.create_task(shell.driver.run(inbox, lambda _ticks: None))
            group.create_task(disk())
            await inbox.put_market([*entering(shell.parrot), tick(61.5)])
            inbox.end_market()

    virtually(story())
    assert [at for at, _ in turns] == pytest.approx([0.1, 0.2, 0.3])
    assert len({ticks for _, ticks in turns}) == 1, "no tick was taken"
    [(left_ns, _)] = [one for one in shell.venue.submitted if isinstance(one[1], PlaceOrder)]
    assert left_ns == OPEN + 61 * SECOND
    assert shell.driver.ticks == 10


def test_a_disk_that_does_not_come_back_costs_a_second_and_the_entry() -> None:
    """The engine hears of it, and the market goes on."""
    shell = Shell().begin()
    slowly(shell)
    took: list[float] = []

    async def story() -> None:
        inbox = Inbox()
        inbox.is_played = True
        await inbox.put_market([*entering(shell.parrot), tick(61.5)])
        inbox.end_market()
        await shell.driver.run(inbox, lambda _ticks: None)
        took.append(asyncio.get_running_loop().time())

    virtually(story())
    assert took == [pytest.approx(1.0)]
    assert [event.reason for event in shell.journal.events if isinstance(event, SendFailed)] == [
        NOT_DURABLE
    ]
    assert not [one for one in shell.venue.asked() if isinstance(one, PlaceOrder)]
    assert shell.driver.ticks == 10


def test_a_market_in_real_time_goes_on_and_the_entry_leaves_when_it_may() -> None:
    """Ticks are taken, rules run, exits leave; the entry follows once its intent is durable (2.3)."""
    shell = Shell().begin()
    futures = slowly(shell)

    async def story() -> None:
        inbox = Inbox()
        for one in [*entering(shell.parrot), tick(60.5)]:
            inbox.offer(one)
        async with asyncio.TaskGroup() as group:
            group.create_task(shell.driver.run(inbox, lambda _ticks: None))
            await asyncio.sleep(0.01)
            assert shell.driver.ticks == 10
            assert not [one for one in shell.venue.asked() if isinstance(one, PlaceOrder)]
            futures[0].set_result(None)
            inbox.poke()
            await asyncio.sleep(0.01)
            inbox.end_market()

    virtually(story())
    [(left_ns, _)] = [one for one in shell.venue.submitted if isinstance(one[1], PlaceOrder)]
    assert left_ns == OPEN + SECOND * 605 // 10


def test_the_same_events_in_the_same_order_give_the_same_journal() -> None:
    """Twice the same day: rows equal one by one."""

    def day() -> list[object]:
        shell = Shell().begin()
        entry = shell.enter()
        broker_id = BrokerOrderId("B1")
        row = OrderRow(
            order_id=entry.order_id,
            broker_id=broker_id,
            status=BrokerStatus.FILLED,
            terms=entry.terms,
            filled_quantity=entry.terms.quantity,
            filled_value_paise=entry.terms.quantity * 10_000,
            venue_at_ns=OPEN + 60 * SECOND,
        )
        at_ns = OPEN + 61 * SECOND
        shell.venue.say(
            OrderUpdated(at_ns=at_ns, row=row),
            OrderAcknowledged(at_ns=at_ns + 1, order_id=entry.order_id, broker_id=broker_id),
        )
        for second in range(62, 90):
            shell.driver.take(tick(second, 10_000 - 50 * (second - 62)))
        return list(shell.journal.rows)

    first = day()
    assert first == day()
    assert len(first) > 60


def test_running_takes_from_the_inbox_until_the_market_ends() -> None:
    """Others get their turn in between, and progress is told to the end."""
    shell = Shell().begin()
    turns = 0
    told: list[int] = []

    async def other() -> None:
        nonlocal turns
        while not told or told[-1] < 2 * YIELD_EVERY + 1:
            turns += 1
            await asyncio.sleep(0)

    async def story() -> None:
        inbox = Inbox()
        ticks = [tick(number / 100) for number in range(2 * YIELD_EVERY)]
        async with asyncio.TaskGroup() as group:
            group.create_task(shell.driver.run(inbox, told.append))
            group.create_task(other())
            await inbox.put_market(ticks)
            await asyncio.sleep(0)
            inbox.offer(replace(tick(30)))
            inbox.end_market()

    asyncio.run(story())
    assert shell.driver.ticks == 2 * YIELD_EVERY + 1
    assert told == [YIELD_EVERY, 2 * YIELD_EVERY, 2 * YIELD_EVERY + 1]
    assert turns >= 2


@pytest.mark.parametrize("is_real_time", [True, False])
def test_in_real_time_what_was_sent_leaves_before_the_next_event_is_taken(
    *, is_real_time: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes need two turns of the loop: behind a backlog they would wait for all of it."""
    shell = Shell().begin()
    monkeypatch.setattr(shell.clock, "is_real_time", is_real_time, raising=False)
    asked_at: list[int] = []
    left_at: list[int] = []

    async def write() -> None:
        left_at.append(shell.driver.ticks)

    async def story() -> None:
        inbox = Inbox()
        for one in [*entering(shell.parrot), tick(60.5), tick(60.6)]:
            inbox.offer(one)
        async with asyncio.TaskGroup() as group:

            async def send() -> None:
                group.create_task(write())

            def submit(command: AnyCommand, _at_ns: int) -> None:
                if isinstance(command, PlaceOrder):
                    asked_at.append(shell.driver.ticks)
                    group.create_task(send())

            monkeypatch.setattr(shell.venue, "submit", submit)
            group.create_task(shell.driver.run(inbox, lambda _ticks: None))
            inbox.end_market()

    virtually(story())
    assert len(asked_at) == 1
    assert shell.driver.ticks > asked_at[0]
    assert left_at == (asked_at if is_real_time else [shell.driver.ticks])


def test_an_idle_driver_says_that_it_lives() -> None:
    """At least each second while nothing comes, and at every turn that it gives to others."""
    shell = Shell().begin()
    beats: list[float] = []

    async def story() -> None:
        inbox = Inbox()
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            run = shell.driver.run(inbox, lambda _ticks: None, lambda: beats.append(loop.time()))
            group.create_task(run)
            await asyncio.sleep(3.5)
            await inbox.put_market([tick(number / 100) for number in range(YIELD_EVERY)])
            inbox.end_market()

    virtually(story())
    assert beats == [0.0, 1.0, 2.0, 3.0, 3.5]


# -- a step that raises


class Poison:
    """Makes the engine raise at one event: when it is stepped, and `bare` times more."""

    def __init__(self, shell: Shell, *, bare: int = 0) -> None:
        self.shell = shell
        self.event: AnyEvent | None = None
        self.left = 1 + bare
        self.checkpoint = Checkpoint(shell.engine, self._make)
        self._arm(shell.engine)

    def _make(self) -> Engine:
        engine = Engine(settings(), [Parrot()])
        self._arm(engine)
        return engine

    def _arm(self, engine: Engine) -> None:
        inner = engine._on_tick  # noqa: SLF001 the code that is broken

        def on_tick(tick: Tick) -> None:
            inner(tick)
            if tick is self.event and self.left:
                self.left -= 1
                raise ZeroDivisionError("poison")

        engine._on_tick = on_tick  # type: ignore[method-assign] # noqa: SLF001

    def swallow(self, event: Tick) -> None:
        """Take it."""
        self.event = event
        self.shell.driver.take(event)


def protected() -> Shell:
    """A shell that holds a position, its stop seen, with a way back."""
    shell = Shell().begin()
    entry = shell.enter()
    row = OrderRow(
        order_id=entry.order_id,
        broker_id=BrokerOrderId("B1"),
        status=BrokerStatus.FILLED,
        terms=entry.terms,
        filled_quantity=entry.terms.quantity,
        filled_value_paise=entry.terms.quantity * 10_000,
        venue_at_ns=OPEN + 60 * SECOND,
    )
    shell.driver.take(OrderUpdated(at_ns=OPEN + 61 * SECOND, row=row))
    stop = [one for one in shell.venue.asked() if isinstance(one, PlaceOrder)][-1]
    rests = replace(
        row,
        order_id=stop.order_id,
        broker_id=BrokerOrderId("B2"),
        status=BrokerStatus.WORKING,
        terms=stop.terms,
        filled_quantity=0,
        filled_value_paise=0,
    )
    shell.driver.take(OrderUpdated(at_ns=OPEN + 61 * SECOND, row=rests))
    return shell


def test_a_step_that_raises_is_taken_back_and_made_without_strategies() -> None:
    """2.5: nothing of it leaves, `StepFailed` is written, entries halt, exits go on."""
    shell = protected()
    poison = Poison(shell)
    shell.driver.go_back_to(poison.checkpoint)
    poison.swallow(tick(62, 9_990))
    rows = shell.journal.rows
    [failed] = [row for row in rows if isinstance(row, StepFailed)]
    assert rows[failed.sequence - 1] == tick(62, 9_990)
    assert (failed.error, failed.is_final) == ("ZeroDivisionError: poison", False)
    assert shell.engine.is_halted
    assert shell.engine.open_positions == 1
    assert shell.engine.left_out == ()
    shell.driver.take(tick(62.5, 9_300))
    shell.driver.take(tick(63, 8_750))
    assert isinstance(shell.venue.asked()[-1], ModifyOrder), "the stop became the exit"


def test_half_a_step_leaves_no_trace() -> None:
    """What the step had done when it raised is not done twice: the engine is as if told once."""
    poisoned, healthy = protected(), protected()
    poison = Poison(poisoned)
    poisoned.driver.go_back_to(poison.checkpoint)
    poison.swallow(tick(62, 9_990))
    healthy.driver.take(tick(62, 9_990))
    state, other = poisoned.engine._state, healthy.engine._state  # noqa: SLF001
    other.halt, other.halt_reason = state.halt, state.halt_reason
    other.blocked_term = state.blocked_term
    assert poisoned.engine.image() == healthy.engine.image()


def test_a_step_that_raises_twice_ends_the_process_and_says_which() -> None:
    """The next start must not fall over it: it is durable, and final."""
    shell = protected()
    poison = Poison(shell, bare=1)
    shell.driver.go_back_to(poison.checkpoint)
    with pytest.raises(StepGivenUp, match="cannot be stepped: ZeroDivisionError") as given_up:
        poison.swallow(tick(62, 9_990))
    assert given_up.value.exit_code == 70
    last = shell.journal.rows[-1]
    assert isinstance(last, StepFailed)
    assert last.is_final


def test_without_a_way_back_a_step_that_raises_ends_the_process() -> None:
    """Nobody may step on from half a step."""
    shell = protected()
    poison = Poison(shell)
    with pytest.raises(StepGivenUp):
        poison.swallow(tick(62, 9_990))
    assert isinstance(shell.journal.rows[-1], StepFailed)


def test_an_engine_that_is_disarmed_already_leaves_further_events_out() -> None:
    """A fault that every event meets must not end each start: exits of what can be stepped go on."""
    shell = protected()
    shell.engine.disarm(3)
    poison = Poison(shell, bare=1)
    shell.driver.go_back_to(poison.checkpoint)
    poison.swallow(tick(62, 9_990))
    assert len(shell.engine.left_out) == 2
    assert shell.engine.is_halted
    shell.driver.take(tick(62.5, 9_300))
    shell.driver.take(tick(63, 8_750))
    assert isinstance(shell.venue.asked()[-1], ModifyOrder)


# -- starts


def test_nothing_is_due_before_a_start() -> None:
    """The deadlines of the process before are nobody's: the first thing stepped is the start."""
    shell = protected()
    assert shell.engine.deadline_ns is not None
    count = len(shell.journal.events)
    at_ns = OPEN + 400 * SECOND
    shell.driver.take(Restarted(at_ns=at_ns, day=DAY, code_version="2", config_sha256="c"))
    assert isinstance(shell.journal.events[count], Restarted)


def test_ids_that_the_book_shows_are_never_handed_over_again() -> None:
    """GWL-5: whoever asks; also one that the journal has lost."""
    shell = Shell().begin()
    lost = placement(Purpose.EXIT, "SSIM001261120-X0001-1-0")
    row = OrderRow(
        order_id=lost.order_id,
        broker_id=BrokerOrderId("B9"),
        status=BrokerStatus.WORKING,
        terms=lost.terms,
        filled_quantity=0,
        filled_value_paise=0,
        venue_at_ns=START,
    )
    book = replace(empty_book(START + SECOND, began_at_ns=START), orders=(row,))
    shell.driver.take(book)
    shell.router.execute(lost, sequence=1, at_ns=START)
    assert shell.late.popleft() == SendFailed(
        at_ns=START,
        order_id=lost.order_id,
        action=Action.PLACE,
        outcome=Outcome.NOT_SENT,
        reason="this id was already handed to the broker",
    )


@pytest.mark.proves("THR-2")
def test_one_thread_steps_the_engine_and_no_other_may() -> None:
    """There are no locks because nothing is shared: whoever tries from elsewhere is stopped."""
    shell = Shell().begin()
    caught: list[BaseException] = []

    def elsewhere() -> None:
        try:
            shell.driver.deliver(FundsRead(at_ns=START, available_paise=1))
        except AssertionError as error:
            caught.append(error)

    rows = len(shell.journal.rows)
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert [str(error) for error in caught] == ["one thread steps the engine"]
    assert len(shell.journal.rows) == rows, "nothing was journaled either"
