"""Does a recorded day decide the same again? Its events through a new engine, step by step."""

from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from operator import itemgetter

import msgspec

from holdfast.core.engine import Engine, Step
from holdfast.domain.dated import DayFacts
from holdfast.domain.event import AnyEvent, FactsLoaded, InstrumentsLoaded, Restarted
from holdfast.domain.instrument import Instrument
from holdfast.domain.market import Tick
from holdfast.store.records import Decided, Record, TapeRange

Rebuild = Callable[[DayFacts, tuple[Instrument, ...]], Engine]
"""Makes the engine that the recorded configuration describes."""

REPORT_EVERY = 5_000


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """How much was compared. `decisions` counts steps that decided something, then or now."""

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
    recorded: dict[int, Decided] = {}
    decisions = 0
    difference: str | None = None
    for sequence, record in _in_order(records, tape):
        if isinstance(record, TapeRange):
            continue
        if isinstance(record, Decided):
            recorded[record.cause] = record
            decisions += 1
            difference = _first_difference(playing.pending, recorded)
        else:
            difference = _wrong_configuration(sequence, record, config_sha256)
            difference = difference or _unrecorded(playing.pending)
            playing.step(sequence, record)
        if difference is not None:
            break
        if playing.events % REPORT_EVERY == 0:
            progress(playing.events, 0)
    if difference is None:
        difference = _left_over(playing.pending, recorded)
    return Checked(
        events=playing.events,
        ticks=playing.ticks,
        decisions=decisions,
        first_difference=difference,
    )


def _in_order(
    records: Iterable[tuple[int, int, Record]], tape: Iterable[tuple[int, AnyEvent]]
) -> Iterator[tuple[int, Record | AnyEvent]]:
    journal = ((sequence, record) for sequence, _, record in records)
    return merge(journal, tape, key=itemgetter(0))


def _wrong_configuration(sequence: int, event: object, config_sha256: str) -> str | None:
    if isinstance(event, Restarted) and event.config_sha256 != config_sha256:
        return f"event {sequence}: the stored configuration is not the one that was in force"
    return None


def _first_difference(pending: dict[int, Step], recorded: dict[int, Decided]) -> str | None:
    """Compare what both sides have; the engine may not have been built yet."""
    for cause in sorted(pending.keys() & recorded.keys()):
        step, decided = pending.pop(cause), recorded.pop(cause)
        if (step.commands, step.audits) != (decided.commands, decided.audits):
            return _words(cause, step, decided)
    return None


def _unrecorded(pending: dict[int, Step]) -> str | None:
    """A decision is journaled before the next event: what still waits then was not recorded."""
    if not pending:
        return None
    cause = min(pending)
    return f"event {cause}: decided now, but nothing was recorded: {pending[cause]}"


def _left_over(pending: dict[int, Step], recorded: dict[int, Decided]) -> str | None:
    if recorded:
        cause = min(recorded)
        return f"event {cause}: recorded, but nothing is decided now: {recorded[cause]}"
    return _unrecorded(pending)


def _words(cause: int, step: Step, decided: Decided) -> str:
    """The first place where two decisions about one event part."""
    then = (*decided.commands, *decided.audits)
    now = (*step.commands, *step.audits)
    for recorded, again in zip(then, now, strict=False):
        if recorded != again:
            return f"event {cause}: then {recorded}\n  now {again}"
    return f"event {cause}: then {len(then)} decisions, now {len(now)}"
