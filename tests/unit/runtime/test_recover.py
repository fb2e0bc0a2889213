"""Recovery: what is whole is folded, beyond it facts count and ticks do not, the record stands."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from msgspec.structs import replace

from holdfast.core import record as standing
from holdfast.core.engine import Engine, Step
from holdfast.core.settings import ExitSettings
from holdfast.domain.audit import (
    AnyAudit,
    EntryFilled,
    ExitDecided,
    Halted,
    IntentFormed,
    PositionClosed,
    PositionOpened,
)
from holdfast.domain.command import ModifyOrder, PlaceOrder
from holdfast.domain.dated import DayFacts
from holdfast.domain.decision import HaltLevel
from holdfast.domain.event import (
    AnyEvent,
    InstrumentsLoaded,
    OperatorAsked,
    OperatorRequest,
    OrderUpdated,
    Restarted,
    StepFailed,
    TimerFired,
)
from holdfast.domain.instrument import Instrument
from holdfast.domain.market import Tick
from holdfast.domain.order import OrderState, Purpose
from holdfast.research.verify import verify
from holdfast.runtime.recover import (
    Cut,
    Numbered,
    Numbers,
    Past,
    Recovered,
    Start,
    Treatment,
    harsher,
    in_order,
    recover,
)
from holdfast.store.records import Decided, Stopped, TapeRange
from tests.support.crashes import DISKS, MASTER, Once, World, beginning, make
from tests.support.desk import DAY, FACTS, OPEN, SECOND, settings


@cache
def day() -> tuple[Numbered, ...]:
    """The record of the short day, whole."""
    with TemporaryDirectory() as folder:
        world = World(Path(folder))
        assert world.live()
        return tuple(world.journal.rows)


def past(rows: Sequence[Numbered]) -> Past:
    return lambda: iter(rows)


def recovered(rows: Sequence[Numbered]) -> tuple[Engine, Recovered]:
    found = recover(past(rows), make)
    assert found is not None
    return found


def number_of(kind: type, *, after: int = 0) -> int:
    """The number of the first record of a kind after another number."""
    return next(n for n, record in day() if n > after and isinstance(record, kind))


def decided_with(kind: type, *, purpose: Purpose | None = None) -> tuple[int, Decided]:
    """The first decision with a command of a kind (and purpose)."""
    for number, record in day():
        if isinstance(record, Decided):
            for command in record.commands:
                if isinstance(command, kind) and purpose in (
                    None,
                    getattr(command, "purpose", None),
                ):
                    return number, record
    raise AssertionError(kind)


def until(number: int) -> list[Numbered]:
    return [one for one in day() if one[0] <= number]


# -- what is folded


def test_a_whole_past_is_the_engine_that_made_it() -> None:
    """Every event, no difference; the image is that of an engine stepped through them."""
    engine, told = recovered(until(150))
    stepped = None
    for _, record in until(150):
        if isinstance(record, InstrumentsLoaded):
            stepped = make_from_day()
    assert stepped is not None
    for _, record in until(150):
        if not isinstance(record, Decided | Stopped | TapeRange):
            stepped.step(record)
    assert engine.image() == stepped.image()
    assert (told.last_sequence, told.differences, told.first_difference) == (150, 0, None)
    assert told.ticks == sum(isinstance(record, Tick) for _, record in until(150))
    assert told.cuts == (
        Cut(whole_until=150, facts=0, ticks_gone=0, others_gone=0, taken_over=0, not_sent=(),
            restarted=None),
    )  # fmt: skip
    assert told.last_at_ns == max(record.at_ns for _, record in until(150))


def make_from_day() -> Engine:
    return Engine(settings(), [Once()])


def test_a_past_without_a_tick_is_begun_anew() -> None:
    """No order can have left; but a halt is kept."""
    first_tick = number_of(Tick)
    assert recover(past(until(first_tick - 1)), make) is None
    assert recover(past([]), make) is None
    halt = OperatorAsked(at_ns=OPEN, request=OperatorRequest.PANIC, reason="early")
    engine, _ = recovered([*until(first_tick - 1), (first_tick, halt)])
    assert engine.is_halted


def test_a_start_before_the_first_tick_makes_a_new_engine() -> None:
    """What a start that came to nothing was told is told again: nothing stands twice."""
    first_tick = number_of(Tick)
    begun = [record for _, record in until(first_tick - 1)]
    rows = list(enumerate([*begun, *(record for _, record in day())], 1))
    moved = [
        (number, replace(record, cause=record.cause + len(begun)))
        if isinstance(record, Decided) and number > len(begun)
        else (number, record)
        for number, record in rows
    ]
    _, told = recovered(moved)
    assert told.differences == 0
    assert len(told.cuts) == 2


# -- beyond the first missing number


def test_the_fold_ends_at_the_first_number_that_neither_holds() -> None:
    """4.11: ticks and deadlines beyond are gone, words about orders count."""
    entry, _ = decided_with(PlaceOrder, purpose=Purpose.ENTRY)
    lost = number_of(Tick, after=entry)
    filled = number_of(OrderUpdated, after=lost)
    rows = [one for one in until(filled) if one[0] != lost]
    engine, told = recovered(rows)
    beyond = [record for number, record in rows if number > lost]
    [cut] = told.cuts
    assert cut.whole_until == lost - 1
    assert cut.ticks_gone == sum(isinstance(record, Tick) for record in beyond)
    assert cut.others_gone == sum(isinstance(record, TimerFired) for record in beyond)
    assert cut.facts >= 1
    assert engine.open_positions == 1, "the fill is a fact"


def test_a_persons_halt_beyond_it_counts() -> None:
    """Kill means killed."""
    lost = number_of(Tick, after=100)
    asked = OperatorAsked(at_ns=OPEN + 90 * SECOND, request=OperatorRequest.PAUSE, reason="enough")
    rows = [one for one in until(120) if one[0] != lost]
    for more in ([], [(122, replace(asked, request=OperatorRequest.CLOSE))]):
        engine, _ = recovered([*rows, (121, asked), *more])
        assert engine._state.halt is HaltLevel.PAUSE  # noqa: SLF001


def test_a_stop_whose_fill_is_gone_halts_nobody() -> None:
    """
    The fill was told by a read, which does not count beyond a gap; the stop of it was sent. That it
    sells more than is known to be held is no evidence, until the broker's book has been listed.
    """
    number, decided = decided_with(PlaceOrder, purpose=Purpose.STOP)
    entry, _ = decided_with(PlaceOrder, purpose=Purpose.ENTRY)
    gone = {n for n, r in until(number) if n > entry and isinstance(r, OrderUpdated)}
    engine, _ = recovered([one for one in until(number) if one[0] not in gone])
    start = Restarted(at_ns=decided.at_ns + SECOND, day=DAY, code_version="1", config_sha256="c")
    step = engine.step(start)
    assert engine.open_positions == 0
    assert not [one for one in step.audits if isinstance(one, Halted)]
    assert engine.halt is HaltLevel.NONE


def test_a_decision_whose_tick_is_gone_is_taken_over() -> None:
    """The exit's modification left, though the tick that led to it is lost."""
    number, decided = [
        (n, r) for n, r in day()
        if isinstance(r, Decided) and any(isinstance(c, ModifyOrder) for c in r.commands)
    ][-1]  # fmt: skip
    rows = [one for one in until(number) if one[0] != decided.cause]
    engine, told = recovered(rows)
    [cut] = told.cuts
    assert cut.taken_over == len(decided.commands)
    assert told.differences == 0
    [stop] = [c for c in decided.commands if isinstance(c, ModifyOrder)]
    order = engine._state.orders[stop.order_id]  # noqa: SLF001
    assert (order.state, order.terms) == (OrderState.MODIFYING, stop.terms)
    position = engine._state.positions[1]  # noqa: SLF001
    assert position.exit is not None


def test_numbers_run_on_after_a_start() -> None:
    """A gap ends its stretch, not the record: what a later process wrote is whole again."""
    numbers = Numbers()
    start = Restarted(at_ns=5, day=DAY, code_version="1", config_sha256="c")
    timer = TimerFired(at_ns=9)
    assert [numbers.take(n, timer) for n in (1, 2, 4, 5)] == [True, True, False, False]
    assert (numbers.whole_until, numbers.missing_after) == (2, 2)
    assert numbers.take(6, start)
    assert numbers.take(7, timer)
    assert (numbers.whole_until, numbers.last, numbers.last_at_ns) == (7, 7, 9)


# -- the tail


def test_an_entry_whose_decision_is_lost_never_left() -> None:
    """It would have waited for the disk."""
    number, decided = decided_with(PlaceOrder, purpose=Purpose.ENTRY)
    engine, told = recovered(until(number - 1))
    [entry] = [c for c in decided.commands if isinstance(c, PlaceOrder)]
    assert told.cuts[-1].not_sent == (entry.order_id,)
    assert engine.order_ids == ()
    engine, told = recovered(until(number))
    assert (told.cuts[-1].not_sent, engine.order_ids) == ((), (entry.order_id,))


def test_a_stop_whose_decision_is_lost_may_have_left() -> None:
    """It waits for nothing: only the broker's book can tell."""
    number, decided = decided_with(PlaceOrder, purpose=Purpose.STOP)
    engine, told = recovered(until(number - 1))
    [stop] = [c for c in decided.commands if isinstance(c, PlaceOrder)]
    assert told.cuts[-1].not_sent == ()
    assert engine._state.orders[stop.order_id].state is OrderState.SENT  # noqa: SLF001


def test_an_image_can_be_taken_wherever_a_process_was_killed() -> None:
    """Each start takes one before it tells anything: what is owed is in it too."""
    owed: Counter[str] = Counter()
    for number in range(60, len(day())):
        found = recover(past(day()[:number]), make)
        if found is None or not (waits := found[0]._state.owed):  # noqa: SLF001
            continue
        owed.update(type(one).__name__ for one in waits)
        taken = found[0].image()
        assert taken is not None
        again = make(FACTS, MASTER)
        again.restore(taken)
        assert again._state.owed == waits  # noqa: SLF001
        assert again.image() == taken
    assert len(owed) >= 4, owed


@pytest.mark.parametrize("kind", [EntryFilled, PositionOpened, ExitDecided, PositionClosed])
def test_what_a_lost_decision_told_of_the_books_the_next_start_tells(kind: type[AnyAudit]) -> None:
    """Its event is durable and folded; nothing else would ever say that the position ended."""
    number, lost = next(
        (n, one)
        for n, one in day()
        if isinstance(one, Decided) and any(isinstance(a, kind) for a in one.audits)
    )
    engine, _ = recovered(until(number - 1))
    owed = [one for one in lost.audits if isinstance(one, kind)]
    start = Restarted(at_ns=lost.at_ns + SECOND, day=DAY, code_version="1", config_sha256="c")
    told = engine.step(start).audits
    assert [one for one in told if isinstance(one, kind)] == owed
    assert not any(isinstance(one, IntentFormed) for one in told)
    again = engine.step(replace(start, at_ns=start.at_ns + SECOND)).audits
    assert not any(isinstance(one, kind) for one in again)


def test_what_is_owed_is_in_the_record_of_the_start_and_verified_there() -> None:
    """Killed between an end and its record: the next life tells it, and every later fold agrees.

    Also where that life died as early as the first, before what it told was durable.
    """
    number, lost = next(
        (n, one)
        for n, one in day()
        if isinstance(one, Decided) and any(isinstance(a, PositionClosed) for a in one.audits)
    )
    rows = list(until(number - 1))
    engine, _ = recovered(rows)
    start = Restarted(at_ns=lost.at_ns + SECOND, day=DAY, code_version="1", config_sha256="c")
    done = engine.step(start)
    assert any(isinstance(one, PositionClosed) for one in done.audits)
    told = Decided(at_ns=start.at_ns, cause=number, commands=done.commands, audits=done.audits)
    whole = [*rows, (number, start), (number + 1, told)]
    again, found = recovered(whole)
    assert (found.differences, found.first_difference) == (0, None)
    assert again.image() == engine.image()
    assert verify(past(whole), lambda _: make, lambda *_: None).first_difference is None
    twice, found = recovered(whole[:-1])
    later = replace(start, at_ns=start.at_ns + SECOND)
    assert [one for one in twice.step(later).audits if isinstance(one, PositionClosed)] == [
        one for one in done.audits if isinstance(one, PositionClosed)
    ]
    assert found.differences == 0


def test_an_adopted_entrys_intent_is_owed_and_that_of_one_that_did_not_leave_is_not() -> None:
    """The position of the first stands: without its plan nothing could be told of it."""
    number, decided = decided_with(PlaceOrder, purpose=Purpose.ENTRY)
    [formed] = [one for one in decided.audits if isinstance(one, IntentFormed)]
    engine, _ = recovered(until(number - 1))
    assert formed not in engine._state.owed  # noqa: SLF001
    engine, _ = recovered(until(number))
    standing.owe(engine._state, [formed])  # noqa: SLF001
    assert engine._state.owed == [formed]  # noqa: SLF001


def test_an_exit_that_is_owed_stays_decided_where_the_start_recorded_nothing() -> None:
    """What an earlier step decided may have left, whatever the record of the start says."""
    number, lost = next(
        (n, one)
        for n, one in day()
        if isinstance(one, Decided) and any(isinstance(a, ExitDecided) for a in one.audits)
    )
    rows = list(until(number - 1))
    start = Restarted(at_ns=lost.at_ns + SECOND, day=DAY, code_version="1", config_sha256="c")
    timer = TimerFired(at_ns=start.at_ns + SECOND)
    engine, _ = recovered([*rows, (number, start), (number + 1, timer)])
    [decided] = [one for one in lost.audits if isinstance(one, ExitDecided)]
    assert engine._state.positions[decided.position].exit == decided.exit  # noqa: SLF001


# -- newer code or configuration


def tighter(facts: DayFacts, instruments: tuple[Instrument, ...]) -> Engine:
    """The same day's engine with a stop that lies nearer: it sizes and places otherwise."""
    del facts, instruments
    return Engine(settings(exits=ExitSettings(stop_bps=600)), [Once()])


@pytest.mark.parametrize("number", range(60, 260, 10))
def test_under_another_configuration_the_record_stands(number: int) -> None:
    """Orders, fills, attempts and positions are those that were sent; differences are counted."""
    found = recover(past(until(number)), tighter)
    assert found is not None
    engine, told = found
    same, _ = recovered(until(number))
    mine, theirs = engine._state, same._state  # noqa: SLF001
    assert engine.order_ids == same.order_ids
    for name in engine.order_ids:
        one, other = mine.orders[name], theirs.orders[name]
        assert (one.terms.quantity, one.filled_quantity) == (
            other.terms.quantity,
            other.filled_quantity,
        )
        assert (one.is_live, one.broker_id) == (other.is_live, other.broker_id)
    for mine_one, other_one in zip(mine.positions.values(), theirs.positions.values(), strict=True):
        assert mine_one.holding == other_one.holding
        assert mine_one.plan == other_one.plan
        assert (mine_one.stop_attempts, mine_one.exit_attempts) == (
            other_one.stop_attempts,
            other_one.exit_attempts,
        )
    assert told.differences >= 1
    assert told.first_difference is not None


def test_what_is_decided_now_and_was_not_recorded_never_left() -> None:
    """Newer code speaks where the old one was silent: no order came of it."""
    number, _ = decided_with(PlaceOrder, purpose=Purpose.ENTRY)
    ticks = [record for n, record in day() if n > number and isinstance(record, Tick)]
    silent = [*until(number - 1), *enumerate(ticks, number)]
    engine, told = recovered(silent)
    assert (engine.order_ids, engine.open_positions) == ((), 0)
    assert told.differences >= 1
    assert told.first_difference is not None
    assert told.first_difference.startswith(f"event {number - 1}: decided now")


# -- snapshots


def start_at(number: int) -> Start:
    """A snapshot as the process that ran then would have taken it."""
    engine, _ = recovered(until(number))
    event = dict(day())[number]
    assert not isinstance(event, Decided | Stopped | TapeRange)
    taken = engine.image()
    assert taken is not None
    return Start(sequence=number, event=event, image=taken)


def test_restoring_and_stepping_the_rest_is_stepping_everything() -> None:
    """At each tenth event of the day; the image at the end is the same."""
    whole, _ = recovered(day())
    used = 0
    for number, record in day():
        if number % 10 or isinstance(record, Decided) or number < number_of(Tick):
            continue
        entry = any(isinstance(r, Decided) and r.cause == number for _, r in day())
        if entry:
            continue
        found = recover(past(day()), make, start_at(number))
        assert found is not None
        engine, told = found
        assert told.snapshot == number
        assert engine.image() == whole.image()
        assert told.differences == 0
        used += 1
    assert used >= 8


@pytest.mark.parametrize("flaw", ["another event", "damaged", "ahead", "behind a gap"])
def test_a_snapshot_that_does_not_belong_is_ignored(flaw: str) -> None:
    """The day is folded from its beginning, to the same engine."""
    number = number_of(Tick, after=120)
    start, rows = start_at(number), list(day())
    if flaw == "another event":
        start = replace(start, event=TimerFired(at_ns=1))
    elif flaw == "damaged":
        start = replace(start, image=start.image[:-9])
    elif flaw == "ahead":
        rows = until(number - 1)
    else:
        rows = [one for one in day() if one[0] != number_of(Tick, after=60)]
    found = recover(past(rows), make, start)
    assert found is not None
    engine, told = found
    assert told.snapshot is None
    assert engine.image() == recovered(rows)[0].image()


# -- events that cannot be stepped


class Poisoned:
    """Makes engines that raise at one tick, bare or not, as broken code would."""

    def __init__(self, number: int, *, bare: bool) -> None:
        [self.event] = [record for n, record in day() if n == number]
        self.bare = bare

    def make(self, facts: DayFacts, instruments: tuple[Instrument, ...]) -> Engine:
        engine = make(facts, instruments)
        inner = engine.step

        def step(event: AnyEvent) -> Step:
            done = inner(event)
            if event == self.event and (self.bare or not engine._is_bare):  # noqa: SLF001
                raise ZeroDivisionError("poison")
            return done

        engine.step = step  # type: ignore[method-assign]
        return engine


def test_an_event_that_raises_is_stepped_bare_and_entries_halt() -> None:
    """A start never loops over it."""
    number = number_of(Tick, after=100)
    found = recover(past(until(number + 5)), Poisoned(number, bare=False).make)
    assert found is not None
    engine, told = found
    assert engine.is_halted
    assert told.left_out == ()
    assert engine.open_positions == 1


@pytest.mark.parametrize("kind", [Tick, OrderUpdated, TimerFired])
def test_an_event_that_raises_bare_is_left_out_of_all_but_the_books(kind: type) -> None:
    """Disarmed, and said so; a fill in it is in the books."""
    number = number_of(kind, after=46)
    found = recover(past(until(number + 3)), Poisoned(number, bare=True).make)
    assert found is not None
    engine, told = found
    assert told.left_out == (number,)
    assert engine.left_out == (number,)
    if kind is OrderUpdated:
        filled = sum(order.filled_quantity for order in engine._state.orders.values())  # noqa: SLF001
        assert filled > 0
    step = engine.step(Restarted(at_ns=OPEN + 200 * SECOND, day=DAY, code_version="1",
                                 config_sha256="c"))  # fmt: skip
    texts = [getattr(command, "text", "") for command in step.commands]
    assert any(f"events {number} cannot be stepped" in text for text in texts)


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("kind", [Tick, OrderUpdated, TimerFired])
def test_an_event_that_raises_may_be_the_last_that_is_durable(kind: type, *, bare: bool) -> None:
    """A kill before its `StepFailed` is written must not make every start fail."""
    number = number_of(kind, after=46)
    poisoned = Poisoned(number, bare=bare)
    found = recover(past(until(number)), poisoned.make)
    assert found is not None
    engine, told = found
    assert (told.last_sequence, told.left_out) == (number, (number,) if bare else ())
    assert engine.is_halted or bare
    assert [cut.whole_until for cut in told.cuts] == [number]
    checked = verify(past(until(number)), lambda _: poisoned.make, lambda *_: None)
    assert checked.left_out == told.left_out


def test_treatments_only_get_harsher() -> None:
    """So the folds come to an end."""
    assert harsher(None) is Treatment.BARE
    assert harsher(Treatment.BARE) is Treatment.LEFT_OUT
    assert harsher(Treatment.LEFT_OUT) is Treatment.LEFT_OUT


def failed_day() -> list[Numbered]:
    """The day up to a tick whose step raised, and what the process then wrote of it."""
    number = number_of(Tick, after=100)
    poisoned = Poisoned(number, bare=False)
    rows: list[Numbered] = until(number)
    stamp = rows[-1][1].at_ns
    failed = StepFailed(at_ns=stamp, sequence=number, error="ZeroDivisionError: poison")
    engine = recover(past(until(number - 1)), poisoned.make)
    assert engine is not None
    for event, sequence in ((failed, number + 1), (poisoned.event, number)):
        assert not isinstance(event, Decided | Stopped | TapeRange)
        if event is failed:
            rows.append((number + 1, failed))
        step = engine[0].step(event) if event is failed else engine[0].step_bare(event)
        if step.commands or step.audits:
            rows.append((rows[-1][0] + 1, Decided(at_ns=stamp, cause=sequence,
                                                  commands=step.commands,
                                                  audits=step.audits)))  # fmt: skip
    return rows


def test_a_recorded_failure_is_folded_as_it_happened() -> None:
    """Also by code that does not fail any more: the record stands; and it verifies."""
    rows = failed_day()
    number = next(r.sequence for _, r in rows if isinstance(r, StepFailed))
    for maker in (Poisoned(number, bare=False).make, make):
        found = recover(past(rows), maker)
        assert found is not None
        assert found[0].is_halted
    checked = verify(past(rows), lambda _: Poisoned(number, bare=False).make, lambda *_: None)
    assert checked.first_difference is None
    assert checked.left_out == ()


class ManyPoisoned:
    """Makes engines that raise at many ticks, and counts them: each fold makes one."""

    def __init__(self, stamps: Sequence[int], *, bare: bool) -> None:
        self.stamps = frozenset(stamps)
        self.bare = bare
        self.made = 0

    def make(self, facts: DayFacts, instruments: tuple[Instrument, ...]) -> Engine:
        self.made += 1
        engine = make(facts, instruments)
        inner = engine.step

        def step(event: AnyEvent) -> Step:
            done = inner(event)
            is_bad = isinstance(event, Tick) and event.at_ns in self.stamps
            if is_bad and (self.bare or not engine._is_bare):  # noqa: SLF001
                raise ZeroDivisionError("poison")
            return done

        engine.step = step  # type: ignore[method-assign]
        return engine


def failing_rows(count: int, *, is_final: bool) -> tuple[list[Numbered], list[int], list[int]]:
    """A day cut short at 150 whose last ticks have failed: rows, those ticks' numbers and stamps.

    The failures are written behind them all, where a crash has let nothing else come.
    """
    rows = until(150)
    bad = [(number, record) for number, record in rows if isinstance(record, Tick)][-count:]
    failures = [
        StepFailed(at_ns=tick.at_ns, sequence=number, error="poison", is_final=is_final)
        for number, tick in bad
    ]
    return (
        [*rows, *enumerate(failures, 151)],
        [number for number, _ in bad],
        [tick.at_ns for _, tick in bad],
    )


@pytest.mark.parametrize("count", [1, 5, 20])
def test_events_that_are_recorded_as_left_out_cost_no_fold(count: int) -> None:
    """A start has 120 s, however many they were: one fold, and one comparison."""
    rows, numbers, stamps = failing_rows(count, is_final=True)
    poisoned = ManyPoisoned(stamps, bare=True)
    found = recover(past(rows), poisoned.make)
    assert found is not None
    assert (found[1].left_out, poisoned.made) == (tuple(numbers), 1)
    poisoned.made = 0
    checked = verify(past(rows), lambda _: poisoned.make, lambda *_: None)
    assert poisoned.made == 1
    assert checked.left_out == tuple(numbers)[: len(checked.left_out)]


@pytest.mark.parametrize("resumes", [False, True])
def test_an_event_that_is_recorded_as_failed_is_stepped_bare_at_once(*, resumes: bool) -> None:
    """From the beginning, and from a snapshot, which is then not in vain."""
    rows = failed_day()
    number = next(r.sequence for _, r in rows if isinstance(r, StepFailed))
    poisoned = Poisoned(number, bare=False)
    many = ManyPoisoned([poisoned.event.at_ns], bare=False)
    earlier = [n for n, r in until(number - 1) if isinstance(r, Tick)][-1]
    found = recover(past(rows), many.make, start_at(earlier) if resumes else None)
    assert found is not None
    assert (many.made, found[1].snapshot) == (1, earlier if resumes else None)
    assert (found[0].is_halted, found[1].differences, found[1].left_out) == (True, 0, ())


def test_a_failure_that_was_not_recorded_is_learnt_from_all_the_same() -> None:
    """Among others that were: newer code raises where the old one did not."""
    rows, numbers, stamps = failing_rows(3, is_final=True)
    earlier = [(n, r.at_ns) for n, r in until(numbers[0] - 1) if isinstance(r, Tick)][-5]
    poisoned = ManyPoisoned([earlier[1], *stamps], bare=True)
    found = recover(past(rows), poisoned.make)
    assert found is not None
    assert (found[1].left_out, poisoned.made) == ((earlier[0], *numbers), 3)


# -- records that cannot be taken over


@pytest.mark.parametrize("broken", ["_unsend", "_send", "_stand_changes", "_stand_exits"])
def test_a_record_that_cannot_be_taken_over_never_keeps_it_from_starting(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under another configuration: each part fails for itself, is told, and entries stay off."""
    asked: list[int] = []
    in_all = 0

    def fails(*_: object) -> None:
        asked.append(1)
        raise KeyError("poison")

    monkeypatch.setattr(standing, broken, fails)
    made = ManyPoisoned([], bare=True)
    for number in range(50, 250, 10):
        asked.clear()
        made.made = 0

        def other(facts: DayFacts, instruments: tuple[Instrument, ...]) -> Engine:
            made.made += 1
            return tighter(facts, instruments)

        found = recover(past(until(number)), other)
        assert found is not None
        _, told = found
        assert (made.made, len(told.faults)) == (1, len(asked))
        assert bool(told.left_out) == bool(asked)
        assert all("taken over: KeyError: 'poison'" in fault for fault in told.faults)
        in_all += len(asked)
    print(f"{broken} failed {in_all} times; floor 1")  # noqa: T201
    assert in_all >= 1


def test_parts_that_can_be_taken_over_are_though_another_cannot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The entry that left is in the books, though nothing of changes can be taken over."""

    def fails(*_: object) -> None:
        raise ValueError("poison")

    number, decided = decided_with(PlaceOrder, purpose=Purpose.ENTRY)
    monkeypatch.setattr(standing, "_stand_changes", fails)
    rows = until(number)
    found = recover(past(rows), tighter)
    assert found is not None
    engine, told = found
    [entry] = [one for one in decided.commands if isinstance(one, PlaceOrder)]
    assert entry.order_id in engine.order_ids
    assert decided.cause in told.left_out
    assert told.first_difference is not None


# -- verification across starts


def test_each_stretch_is_compared_with_the_configuration_in_force(tmp_path: Path) -> None:
    """4.6: another one from a start on; both must be at hand."""
    world = World(tmp_path)
    world.live(disk=DISKS[3], kill_at=150)
    rows = world.journal.durable()
    found = recover(past(rows), tighter)
    assert found is not None
    engine, _ = found
    number = rows[-1][0]
    started = Restarted(
        at_ns=OPEN + 90 * SECOND, day=DAY, code_version="2", config_sha256="tighter"
    )
    for event in (started, *list(beginning(OPEN + 90 * SECOND))[1:]):
        number += 1
        rows.append((number, event))
        step = engine.step(event)
        if step.commands or step.audits:
            number += 1
            rows.append((number, Decided(at_ns=event.at_ns, cause=number - 1,
                                         commands=step.commands, audits=step.audits)))  # fmt: skip
    both = {"c": make, "tighter": tighter}
    checked = verify(past(rows), both.get, lambda *_: None)
    assert checked.first_difference is None
    assert len(checked.cuts) == 1
    assert checked.events == sum(not isinstance(r, Decided) for _, r in rows) - (
        checked.cuts[0].ticks_gone + checked.cuts[0].others_gone
    )
    del both["tighter"]
    told = verify(past(rows), both.get, lambda *_: None).first_difference
    assert told is not None
    assert "configuration is not the one that was in force" in told


def test_journal_and_tape_are_one_run_of_numbers() -> None:
    """Merged by number, whatever their stamps."""
    one, two = TimerFired(at_ns=9), TimerFired(at_ns=1)
    tick = next(record for _, record in day() if isinstance(record, Tick))
    merged = list(in_order([(1, 9, one), (3, 1, two)], [(2, tick)]))
    assert merged == [(1, one), (2, tick), (3, two)]


def test_what_a_word_decides_beyond_a_gap_is_no_difference() -> None:
    """
    Ticks before it are gone, so it decides on another market; what was recorded of it stands, and
    nothing of it is told as a decision that this code takes otherwise.
    """
    told = []
    for lost in range(60, 150):
        rows = [(number, record) for number, record in until(150) if number != lost]
        _, result = recovered(rows)
        told.append((result.differences, result.first_difference))
        assert result.cuts[0].whole_until == lost - 1
    assert set(told) == {(0, None)}
