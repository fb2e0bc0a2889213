"""The durable past folded into an engine: applied, not decided again; the record stands.

Journal and tape are read as one run of numbers. A stretch is whole up to the first number that
neither holds; from there to the next start only facts about orders and a person's requests are
applied, and the recorded decisions taken over: ticks beyond it are gone. What an event decides now
is compared with what was recorded of it, and where the two differ the books become those of the
record, because that is what was sent. Nothing is executed and nothing is journaled.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from enum import Enum
from heapq import merge
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

import msgspec

from holdfast.core.engine import NOTHING, Engine, Step
from holdfast.core.image import ImageUnusable
from holdfast.domain.dated import DayFacts
from holdfast.domain.event import (
    AnyEvent,
    FactsLoaded,
    InstrumentsLoaded,
    OperatorAsked,
    OrderAcknowledged,
    OrderUpdated,
    PositionCarried,
    Restarted,
    SendFailed,
    StepFailed,
)
from holdfast.domain.instrument import Instrument
from holdfast.domain.market import Tick
from holdfast.domain.order import OrderId
from holdfast.runtime.stepping import StepFault, attempt, leave_out, take_over
from holdfast.store.records import Decided, Record, Stopped, TapeRange

Numbered = tuple[int, Record | AnyEvent]

Past = Callable[[], Iterator[Numbered]]
"""Reads a day from its first record on: journal and tape, merged by number. May be called again."""

Make = Callable[[DayFacts, tuple[Instrument, ...]], Engine]
"""Makes an engine that was never stepped, from the configuration in force and a day's master."""

FACTS = (
    OrderAcknowledged, OrderUpdated, SendFailed, OperatorAsked, StepFailed, PositionCarried,
)  # fmt: skip
"""What counts beyond the first missing number: words about orders, what a person asked, what was
held before the day.
"""


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """What a process that died left unfinished, up to the start after it.

    `whole_until` is the last number before the first that is missing. `facts` were applied beyond
    it; `ticks_gone` and `others_gone` (deadlines, links, reads) were not. `taken_over` counts the
    commands of decisions whose event is gone. `not_sent` are entries whose decision was not
    durable. `restarted` is the number of the start that follows, `None` for the one to come.
    """

    whole_until: int
    facts: int
    ticks_gone: int
    others_gone: int
    taken_over: int
    not_sent: tuple[OrderId, ...]
    restarted: int | None


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What was folded. `last_at_ns` is the latest stamp of anything durable.

    `differences` counts events that now decide otherwise than was recorded, the first in words:
    none with the code and configuration of the record. `left_out` are events that cannot be
    stepped, or whose record cannot be taken over whole: `faults` tells of these. `snapshot` is the number that the fold went on from, `None`: from the beginning.
    """

    last_sequence: int
    last_at_ns: int
    events: int
    ticks: int
    differences: int
    first_difference: str | None
    cuts: tuple[Cut, ...]
    left_out: tuple[int, ...]
    snapshot: int | None
    faults: tuple[str, ...] = ()


class Treatment(Enum):
    """How an event is stepped that raised when it was stepped like any other."""

    BARE = "without strategies and entries"
    LEFT_OUT = "not at all"


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Where a fold may go on instead of at the beginning: an image, and the event it ends with."""

    sequence: int
    event: AnyEvent
    image: bytes


class StepRaised(Exception):
    """Stepping an event raised: the fold begins again and treats that event otherwise."""

    def __init__(self, sequence: int, error: str) -> None:
        """`error` is what it raised, in words."""
        super().__init__(f"event {sequence}: {error}")
        self.sequence = sequence


class Numbers:
    """The run of numbers through journal and tape: where the first one of a stretch is missing."""

    def __init__(self) -> None:
        self.last = 0
        self.last_at_ns = 0
        self.missing_after: int | None = None

    def take(self, sequence: int, record: Record | AnyEvent) -> bool:
        """Note the next one; returns whether none is missing before it in its stretch."""
        if isinstance(record, Restarted):
            self.missing_after = None
        elif self.missing_after is None and self.last and sequence != self.last + 1:
            self.missing_after = self.last
        self.last = sequence
        self.last_at_ns = max(self.last_at_ns, record.at_ns)
        return self.missing_after is None

    @property
    def whole_until(self) -> int:
        """The last number before the first missing one."""
        return self.last if self.missing_after is None else self.missing_after


class _Beyond:
    """What came after the first missing number of a stretch, and what became of it."""

    def __init__(self) -> None:
        self.facts: list[int] = []
        self.ticks_gone = self.others_gone = self.taken_over = 0


class Fold:
    """Folds one record after the other. `take` answers with differences, in words.

    `treatments` are of events that raised in a fold before this one. With an `engine` it goes on
    from there: that one has been stepped through number `engine_until`. With `is_strict` a decision
    whose record is missing is a difference, also where a crash may have cut it off.
    """

    def __init__(
        self,
        make: Make,
        treatments: Mapping[int, Treatment],
        *,
        engine: Engine | None = None,
        numbers: Numbers | None = None,
        is_strict: bool = False,
    ) -> None:
        self._make = make
        self._treatments = treatments
        self._is_strict = is_strict
        self.engine = engine
        self.numbers = numbers or Numbers()
        self._engine_until = self.numbers.last
        self._has_ticks = engine is not None
        self._before: list[Numbered] = []
        self._facts: DayFacts | None = None
        self._pending: dict[int, Step] = {}
        self._held: tuple[int, AnyEvent] | None = None
        self._has_stopped = False
        self._beyond = _Beyond()
        self.events = self.ticks = 0
        self.cuts: list[Cut] = []
        self.faults: list[str] = []

    @property
    def is_begun(self) -> bool:
        """Whether it has folded what must be kept: a tick, a halt, or an order.

        Before the first tick only what is carried into the day has orders (T24). Without any of
        these a start begins with a new engine.
        """
        if self.engine is None:
            return False
        return self._has_ticks or self.engine.is_halted or bool(self.engine.order_ids)

    def take(self, sequence: int, record: Record | AnyEvent) -> Iterator[str]:
        """Fold the next record. After a `StepRaised` the fold is of no use any more."""
        if isinstance(record, Restarted):
            self._end_stretch(sequence)
            self._has_stopped = False
        is_whole = self.numbers.take(sequence, record)
        if isinstance(record, Stopped):
            self._has_stopped = True
        if self._has_stopped or isinstance(record, TapeRange):
            self.events += not isinstance(record, TapeRange | Stopped | Decided)
            return  # what comes after a process's last word is how its parts ended, and moves nothing
        if self.engine is None:
            yield from self._take_before(sequence, record)
        else:
            yield from self._take(sequence, record, is_whole=is_whole)

    def end(self) -> None:
        """Nothing more is durable: a start follows. Raises `StepRaised` as `take` does."""
        self._end_stretch(None)

    def unrecorded(self) -> str | None:
        """What was decided about the last event and stands nowhere, in words."""
        self._step_held()
        return next(iter(self._resolved()), None)

    def _take_before(self, sequence: int, record: Record | AnyEvent) -> Iterator[str]:
        """Keep what comes before the master is known; then there is an engine to step."""
        self._before.append((sequence, record))
        if isinstance(record, FactsLoaded):
            self._facts = record.facts
        elif isinstance(record, InstrumentsLoaded):
            assert self._facts is not None, "facts are loaded before instruments"
            self.engine = self._make(self._facts, record.instruments)
            before, self._before = self._before, []
            for number, earlier in before:
                yield from self._take(number, earlier, is_whole=True)

    def _take(self, sequence: int, record: Record | AnyEvent, *, is_whole: bool) -> Iterator[str]:
        if self._held is not None and not self._is_failure_of(self._held[0], record):
            self._step_held()
        if not is_whole and self.engine is not None:
            self.engine.lack_some()
        if isinstance(record, Decided):
            yield from self._stand(record)
        elif isinstance(record, TapeRange | Stopped):
            return  # not for the engine
        elif is_whole or isinstance(record, FACTS):
            yield from self._resolved()
            if not is_whole:
                self._beyond.facts.append(sequence)
            self._step(sequence, record)
        else:
            is_tick = isinstance(record, Tick)
            self._beyond.ticks_gone += is_tick
            self._beyond.others_gone += not is_tick

    # -- stepping

    def _step(self, sequence: int, event: AnyEvent) -> None:
        assert self.engine is not None
        self.events += 1
        self.ticks += isinstance(event, Tick)
        self._has_ticks = self._has_ticks or isinstance(event, Tick)
        treatment = self._treatments.get(sequence)
        if treatment is Treatment.BARE:
            self._held = (sequence, event)
        elif treatment is Treatment.LEFT_OUT:
            leave_out(self.engine, sequence, event)
        else:
            self._keep(sequence, event, self.engine.step)
            if isinstance(event, StepFailed) and self._held is not None:
                self._step_bare()

    def _keep(self, sequence: int, event: AnyEvent, step: Callable[[AnyEvent], Step]) -> None:
        done = attempt(step, event)
        if isinstance(done, StepFault):
            raise StepRaised(sequence, done.error)
        if done is not NOTHING:
            self._pending[sequence] = done

    def _step_bare(self) -> None:
        assert self.engine is not None
        assert self._held is not None
        (sequence, event), self._held = self._held, None
        self._keep(sequence, event, self.engine.step_bare)

    def _step_held(self) -> None:
        """An event that raises, and whose `StepFailed` is not durable: it fails here all the same."""
        if self._held is None or self.engine is None:
            return
        sequence, event = self._held
        failed = StepFailed(at_ns=event.at_ns, sequence=sequence, error="when folded")
        done = attempt(self.engine.step, failed)
        if isinstance(done, StepFault):
            raise StepRaised(sequence, done.error)
        self._step_bare()

    def _is_failure_of(self, sequence: int, record: Record | AnyEvent) -> bool:
        return isinstance(record, StepFailed) and record.sequence == sequence

    # -- the record

    def _stand(self, decided: Decided) -> Iterator[str]:
        """Compare a recorded decision with what its event decides now; the recorded one stands."""
        assert self.engine is not None
        if decided.cause <= self._engine_until:
            return
        recorded = Step(commands=decided.commands, audits=decided.audits)
        now = self._pending.pop(decided.cause, NOTHING)
        yield from self._take_over(decided.cause, now, recorded)
        if self._is_beyond(decided.cause):
            if decided.cause not in self._beyond.facts:
                self._beyond.taken_over += len(decided.commands)
        elif now is NOTHING:
            yield f"event {decided.cause}: recorded, but nothing is decided now: {decided}"
        elif now != recorded:
            yield difference(decided.cause, now, recorded)

    def _take_over(self, cause: int, now: Step, recorded: Step) -> Iterator[str]:
        """The books become those of the record; where they cannot, that is a difference of its own.

        It does not raise: a fault that every decision meets would else cost a fold for each.
        """
        assert self.engine is not None
        for fault in take_over(self.engine, cause, now, recorded):
            yield self._fault(cause, fault)

    def _fault(self, cause: int, error: str) -> str:
        told = f"event {cause}: what was recorded of it cannot be taken over: {error}"
        self.faults.append(told)
        return told

    def _is_beyond(self, cause: int) -> bool:
        """Whether what it decides now proves nothing, because something before it is missing.

        The record that is missing may be that of the decision itself: whoever recovers takes it for
        that, whoever verifies does not.
        """
        after = self.numbers.missing_after
        return after is not None and cause >= after + self._is_strict

    def _resolved(self) -> Iterator[str]:
        """A decision is journaled before the next event: what waits then was not recorded."""
        for cause in sorted(self._pending):
            step = self._pending.pop(cause)
            yield from self._take_over(cause, step, NOTHING)
            if not self._is_beyond(cause):
                yield f"event {cause}: decided now, but nothing was recorded: {step}"

    # -- stretches

    def _end_stretch(self, restarted: int | None) -> None:
        """A process ended here: what its last step decided may have left, but for its entries."""
        if not self.numbers.last:
            return
        self._step_held()
        not_sent: list[OrderId] = []
        if self.engine is not None:
            for cause in sorted(self._pending):
                left = attempt(self.engine.leave_entries, self._pending[cause])
                if isinstance(left, StepFault):
                    self._fault(cause, left.error)
                    self.engine.disarm(cause)
                else:
                    not_sent += left
        self._pending.clear()
        self.cuts.append(
            Cut(
                whole_until=self.numbers.whole_until,
                facts=len(self._beyond.facts),
                ticks_gone=self._beyond.ticks_gone,
                others_gone=self._beyond.others_gone,
                taken_over=self._beyond.taken_over,
                not_sent=tuple(not_sent),
                restarted=restarted,
            )
        )
        self._beyond = _Beyond()
        if not self.is_begun:
            self.engine, self._before = None, []


def difference(cause: int, now: Step, recorded: Step) -> str:
    """The first place where two decisions about one event part."""
    then_all = (*recorded.commands, *recorded.audits)
    now_all = (*now.commands, *now.audits)
    for then, again in zip(then_all, now_all, strict=False):
        if then != again:
            return f"event {cause}: then {then}\n  now {again}"
    return f"event {cause}: then {len(then_all)} decisions, now {len(now_all)}"


class Tally(NamedTuple):
    """A fold that came through, and the differences it met."""

    fold: Fold
    differences: int
    first: str | None


def recover(past: Past, make: Make, start: Start | None = None) -> tuple[Engine, Recovered] | None:
    """The engine as the durable past left it; `None` when nothing in it must be kept.

    `start` is a snapshot of the same code, configuration, facts and master; one that is not of this
    past is ignored. An event that cannot be stepped is treated as decisions 2.5 says, so that it
    never keeps the program from starting. The next event must be a `Restarted`.
    """
    tally, resumed = _folded_somehow(past, make, start)
    fold = tally.fold
    if fold.engine is None:
        return None
    return fold.engine, Recovered(
        last_sequence=fold.numbers.last,
        last_at_ns=fold.numbers.last_at_ns,
        events=fold.events,
        ticks=fold.ticks,
        differences=tally.differences,
        first_difference=tally.first,
        cuts=tuple(fold.cuts),
        left_out=fold.engine.left_out,
        snapshot=resumed,
        faults=tuple(fold.faults),
    )


def _folded_somehow(past: Past, make: Make, start: Start | None) -> tuple[Tally, int | None]:
    """The fold that comes through, and from which number on: each that fails teaches the next.

    What was recorded of failures is known before the first, so that it costs no fold.
    """
    treatments = recorded_treatments(past())
    if start is not None:
        with suppress(ImageUnusable, StepRaised):
            return _folded(past, make, treatments, start), start.sequence
    while True:
        try:
            return _folded(past, make, treatments, None), None
        except StepRaised as raised:
            treatments[raised.sequence] = harsher(treatments.get(raised.sequence))


def recorded_treatments(records: Iterable[Numbered]) -> dict[int, Treatment]:
    """How the process of then went on after each step that failed, by the event's number.

    A failure that is final left the event out, or ended a process whose next start does so.
    """
    treatments: dict[int, Treatment] = {}
    for _, record in records:
        if isinstance(record, StepFailed):
            treatments[record.sequence] = Treatment.LEFT_OUT if record.is_final else Treatment.BARE
    return treatments


def harsher(before: Treatment | None) -> Treatment:
    """How to treat an event that raised when it was treated so."""
    return Treatment.BARE if before is None else Treatment.LEFT_OUT


def _folded(
    past: Past, make: Make, treatments: Mapping[int, Treatment], start: Start | None
) -> Tally:
    records = past()
    if start is None:
        fold = Fold(make, treatments)
    else:
        fold = _resumed(records, make, treatments, start)
        following = next(records, None)
        if following is None:
            raise ImageUnusable("what was decided of its event is not durable")
        records = chain((following,), records)
    count, first = 0, None
    for sequence, record in records:
        for found in fold.take(sequence, record):
            count += 1
            first = first or found
    fold.end()  # it steps an event that is still held, which may raise like any other
    return Tally(fold, count, first)


def _resumed(
    records: Iterator[Numbered], make: Make, treatments: Mapping[int, Treatment], start: Start
) -> Fold:
    """A fold that goes on from an image; what the image holds is only looked at.

    Raises `ImageUnusable` unless the past is whole up to there and holds the very event that the
    image ends with. Where it goes on after that, a decision of that event is durable.
    """
    numbers = Numbers()
    facts: DayFacts | None = None
    instruments: tuple[Instrument, ...] | None = None
    for sequence, record in records:
        is_whole = numbers.take(sequence, record)
        if isinstance(record, FactsLoaded):
            facts = record.facts
        elif isinstance(record, InstrumentsLoaded):
            instruments = record.instruments
        if sequence >= start.sequence:
            if sequence != start.sequence or record != start.event or not is_whole:
                break
            if facts is None or instruments is None:
                break
            engine = make(facts, instruments)
            engine.restore(start.image)
            return Fold(make, treatments, engine=engine, numbers=numbers)
    raise ImageUnusable("it is of another past than the journal's")


def in_order(
    records: Iterable[tuple[int, int, Record]], tape: Iterable[tuple[int, AnyEvent]]
) -> Iterator[Numbered]:
    """Journal, (sequence, at_ns, record), and tape, (sequence, event), as one run of numbers."""
    journal = ((sequence, record) for sequence, _, record in records)
    return merge(journal, tape, key=itemgetter(0))
