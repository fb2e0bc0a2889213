"""The driver: who comes first, what is journaled when, and that a late wake-up changes nothing."""

import asyncio

import pytest
from msgspec.structs import replace

from holdfast.domain.audit import Halted
from holdfast.domain.command import ReadBook, ReadFunds, Subscribe
from holdfast.domain.decision import Direction, HaltLevel
from holdfast.domain.event import (
    Action,
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
    SendFailed,
    TimerFired,
)
from holdfast.domain.market import Candle, Tick
from holdfast.domain.order import BrokerOrderId, BrokerStatus, OrderRow
from holdfast.runtime.driver import YIELD_EVERY
from holdfast.runtime.inbox import Inbox
from tests.support.desk import CALL, NIFTY, OPEN, PUT, SECOND
from tests.support.shell import START, Shell, tick
from tests.support.virtual import virtually


def test_an_event_is_journaled_before_anything_is_done_about_it() -> None:
    """Event, then decision under its number, then the commands; quiet steps decide nothing."""
    shell = Shell().begin()
    journal = shell.journal
    numbers = [number for number, row in enumerate(journal.rows, 1) if row in journal.decisions]
    assert [decided.cause for decided in journal.decisions] == [n - 1 for n in numbers]
    loaded = next(d for d in journal.decisions if d.commands)
    assert isinstance(journal.rows[loaded.cause - 1], InstrumentsLoaded)
    assert [type(command) for command in loaded.commands] == [Subscribe, ReadFunds, ReadBook]
    decided = [command for d in journal.decisions for command in d.commands]
    assert decided == [command for _, command in shell.venue.submitted]
    rows = len(journal.rows)
    shell.driver.take(FundsRead(at_ns=START, available_paise=1))
    assert len(journal.rows) == rows + 1


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


def test_an_order_that_did_not_leave_is_heard_of_at_once() -> None:
    """Before the next answer, deadline or tick; also when there is none to come."""
    shell = Shell().begin()
    shell.journal.durable = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("holdfast.runtime.router.DURABLE_WAIT_S", 0.01)
        for second in (58.0, 59.0):
            for instrument, last in ((NIFTY, 2_450_000), (CALL, 10_000), (PUT, 10_000)):
                shell.driver.take(tick(second, last, instrument.id))
        shell.parrot.say = Direction.UP
        shell.driver.take(tick(60.1))
        shell.driver.take(tick(60.1, 2_450_000, NIFTY.id))
    failed = shell.journal.events[-1]
    assert isinstance(failed, SendFailed)
    assert (failed.action, failed.outcome) == (Action.PLACE, Outcome.NOT_SENT)
    assert failed.at_ns == OPEN + round(60.1 * SECOND)
    assert shell.engine.live_orders == ()
    assert shell.driver.events == len(shell.journal.events)


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


def test_a_halt_is_written_down_before_anything_else_is_done_about_it() -> None:
    """Before its decision is journaled and before an order leaves for it (design, promise 8)."""
    shell = Shell().begin()
    entry = shell.enter()
    found: list[tuple[int, int]] = []

    def write(halted: Halted) -> None:
        assert halted.level is HaltLevel.PANIC
        found.append((len(shell.journal.decisions), len(shell.venue.submitted)))

    shell.driver.halt_by(write)
    before = len(shell.journal.decisions), len(shell.venue.submitted)
    at_ns = shell.clock.now_ns()
    shell.driver.take(
        OperatorAsked(at_ns=at_ns, request=OperatorRequest.PANIC, reason="a person asked")
    )
    assert found == [before]
    after = len(shell.journal.decisions), len(shell.venue.submitted)
    assert after > before
    assert entry.order_id in shell.engine.live_orders
