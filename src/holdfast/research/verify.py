"""Does a recorded day decide the same again? Its events through a new engine, step by step."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from operator import itemgetter

import msgspec

from holdfast.core.engine import Engine, Step
from holdfast.domain.dated import DayFacts
from holdfast.domain.event import (
    AnyEvent,
    CandleLoaded,
    FactsLoaded,
    InstrumentsLoaded,
    QuotesRead,
    Restarted,
)
from holdfast.domain.instrument import Instrument
from holdfast.domain.market import Tick
from holdfast.store.columns import KINDS
from holdfast.store.records import Decided, Record, Stopped, TapeRange

Rebuild = Callable[[DayFacts, tuple[Instrument, ...]], Engine]
"""Makes the engine that the recorded configuration describes."""

REPORT_EVERY = 5_000


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """How much was compared. `decisions` counts the recorded steps that decided something."""

    events: int
    ticks: int
    decisions: int
    first_difference: str | None


class _Playing:
    """The engine being stepped, and what it has decided that the journal must hold next."""

    def __init__(self, rebuild: Rebuild) -> None:
        self._rebuild = rebuild
        self._engine: Engine | None = None
        self._before: list[tuple[int, AnyEvent]] = []
        self._facts: DayFacts | None = None
        self.pending: dict[int, Step] = {}
        self.events = self.ticks = 0

    @property
    def has_begun(self) -> bool:
        """Whether there is an engine, so that every event steps it."""
        return self._engine is not None

    def step(self, sequence: int, event: AnyEvent) -> None:
        """Step one event; before the master is known there is no engine to step."""
        self.events += 1
        self.ticks += isinstance(event, Tick)
        if isinstance(event, FactsLoaded):
            self._facts = event.facts
        if self._engine is None:
            self._before.append((sequence, event))
            if isinstance(event, InstrumentsLoaded):
                self._begin(event)
            return
        self._keep(sequence, self._engine.step(event))

    def _begin(self, event: InstrumentsLoaded) -> None:
        assert self._facts is not None, "facts are loaded before instruments"
        self._engine = self._rebuild(self._facts, event.instruments)
        for sequence, earlier in self._before:
            self._keep(sequence, self._engine.step(earlier))

    def _keep(self, sequence: int, step: Step) -> None:
        if step.commands or step.audits:
            self.pending[sequence] = step


class _Comparing:
    """The recorded side of the comparison. `take` answers with the first difference, in words."""

    def __init__(self, playing: _Playing, config_sha256: str) -> None:
        self._playing = playing
        self._config_sha256 = config_sha256
        self._recorded: dict[int, Decided] = {}
        self._on_tape: defaultdict[str, deque[int]] = defaultdict(deque)
        self.decisions = 0

    def take(self, sequence: int, record: Record | AnyEvent) -> str | None:
        """Take the next record of the journal, or event of the tape."""
        if isinstance(record, TapeRange):
            return self._vouch(sequence, record)
        if isinstance(record, Decided):
            return self._compare(record)
        if isinstance(record, Stopped):
            return None
        difference = self._wrong_configuration(sequence, record) or self._unrecorded()
        if isinstance(record, Tick | CandleLoaded | QuotesRead):
            self._on_tape[KINDS[type(record)].name].append(sequence)
        self._playing.step(sequence, record)
        return difference or self._compare_beginning()

    def end(self) -> str | None:
        """What is left when everything was read."""
        if not self._playing.has_begun:
            return "no instruments were loaded: there is nothing to compare"
        return self._unrecorded()

    def _vouch(self, sequence: int, written: TapeRange) -> str | None:
        """The tape must hold what the journal says was flushed to it."""
        kind = written.segment.rpartition("/")[2].partition("-")[0]
        waiting, found = self._on_tape[kind], 0
        while waiting and waiting[0] <= written.last:
            found += waiting.popleft() >= written.first
        if found == written.count:
            return None
        return (
            f"event {sequence}: {written.count} {kind} were written to the tape, it holds {found}"
        )

    def _compare(self, decided: Decided) -> str | None:
        self.decisions += 1
        step = self._playing.pending.pop(decided.cause, None)
        if step is not None:
            return _difference(decided.cause, step, decided)
        if self._playing.has_begun:
            return f"event {decided.cause}: recorded, but nothing is decided now: {decided}"
        self._recorded[decided.cause] = decided
        return None

    def _compare_beginning(self) -> str | None:
        """What was recorded before there was an engine, once there is one."""
        if not self._playing.has_begun:
            return None
        recorded, self._recorded = self._recorded, {}
        for cause, decided in recorded.items():
            step = self._playing.pending.pop(cause, Step())
            difference = _difference(cause, step, decided)
            if difference is not None:
                return difference
        return None

    def _unrecorded(self) -> str | None:
        """A decision is journaled before the next event: what still waits then was not recorded."""
        if not self._playing.pending:
            return None
        cause, step = min(self._playing.pending.items())
        return f"event {cause}: decided now, but nothing was recorded: {step}"

    def _wrong_configuration(self, sequence: int, event: object) -> str | None:
        if isinstance(event, Restarted) and event.config_sha256 != self._config_sha256:
            return f"event {sequence}: the stored configuration is not the one that was in force"
        return None


def verify(
    records: Iterable[tuple[int, int, Record]],
    tape: Iterable[tuple[int, AnyEvent]],
    rebuild: Rebuild,
    config_sha256: str,
    progress: Callable[[int, int], None],
) -> Checked:
    """Compare what a new engine decides with what the journal says was decided.

    `records` are (sequence, at_ns, record), `tape` (sequence, event), each in order of sequence.
    Decisions are compared by the number of the event that caused them; the comparison ends at the
    first difference.
    """
    playing = _Playing(rebuild)
    comparing = _Comparing(playing, config_sha256)
    difference: str | None = None
    for sequence, record in _in_order(records, tape):
        difference = comparing.take(sequence, record)
        if difference is not None:
            break
        if playing.events % REPORT_EVERY == 0:
            progress(playing.events, 0)
    return Checked(
        events=playing.events,
        ticks=playing.ticks,
        decisions=comparing.decisions,
        first_difference=difference or comparing.end(),
    )


def _in_order(
    records: Iterable[tuple[int, int, Record]], tape: Iterable[tuple[int, AnyEvent]]
) -> Iterator[tuple[int, Record | AnyEvent]]:
    journal = ((sequence, record) for sequence, _, record in records)
    return merge(journal, tape, key=itemgetter(0))


def _difference(cause: int, step: Step, decided: Decided) -> str | None:
    """The first place where two decisions about one event part, `None` when they are the same."""
    then = (*decided.commands, *decided.audits)
    now = (*step.commands, *step.audits)
    for recorded, again in zip(then, now, strict=False):
        if recorded != again:
            return f"event {cause}: then {recorded}\n  now {again}"
    if then != now:
        return f"event {cause}: then {len(then)} decisions, now {len(now)}"
    return None
