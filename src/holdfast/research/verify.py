"""Does a recorded day decide the same again? Its events through a new engine, step by step.

A day may have been cut by crashes: each stretch is compared up to the last durable event before the
start that follows it, with the configuration in force. Across a start the record is folded as the
recovery itself folds it, so that what was decided after it compares again.
"""

from collections import defaultdict, deque
from collections.abc import Callable

import msgspec

from holdfast.domain.audit import Remedied
from holdfast.domain.event import AnyEvent, CandleLoaded, QuotesRead, Restarted
from holdfast.domain.market import Tick
from holdfast.runtime.recover import (
    Cut,
    Fold,
    Make,
    Past,
    StepRaised,
    Treatment,
    harsher,
    recorded_treatments,
)
from holdfast.store.columns import KINDS
from holdfast.store.records import Decided, Record, TapeRange

Rebuild = Make
"""Makes the engine that a recorded configuration describes."""

Configurations = Callable[[str], Rebuild | None]
"""By the hash that a start recorded; `None` where that configuration is not at hand."""

REPORT_EVERY = 5_000


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """How much was compared. `decisions` counts the recorded steps that decided something.

    `cuts` are the crashes in it: what each left behind, and `brought_in` what the book read after
    the starts has told of orders. `left_out` are events that cannot be stepped.
    """

    events: int
    ticks: int
    decisions: int
    first_difference: str | None
    cuts: tuple[Cut, ...] = ()
    brought_in: tuple[Remedied, ...] = ()
    left_out: tuple[int, ...] = ()


class _Tape:
    """What the journal says was flushed to the tape, against what it holds."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, deque[int]] = defaultdict(deque)

    def take(self, sequence: int, record: Record | AnyEvent) -> str | None:
        """Note an event of the tape, or check a range that the journal vouches for."""
        if isinstance(record, Tick | CandleLoaded | QuotesRead):
            self._waiting[KINDS[type(record)].name].append(sequence)
        return self._vouch(sequence, record) if isinstance(record, TapeRange) else None

    def _vouch(self, sequence: int, written: TapeRange) -> str | None:
        kind = written.segment.rpartition("/")[2].partition("-")[0]
        waiting, found = self._waiting[kind], 0
        while waiting and waiting[0] <= written.last:
            found += waiting.popleft() >= written.first
        if found == written.count:
            return None
        return (
            f"event {sequence}: {written.count} {kind} were written to the tape, it holds {found}"
        )


class _Comparing:
    """One pass over the record. Raises `StepRaised` where an event must be treated otherwise."""

    def __init__(
        self, past: Past, configurations: Configurations, treatments: dict[int, Treatment]
    ) -> None:
        self._past = past
        self._configurations = configurations
        self._treatments = treatments
        self._config_sha256: str | None = None
        self._fold: Fold | None = None
        self._tape = _Tape()
        self._before = 0
        self._ticks_before = 0
        self._brought_in: list[Remedied] = []
        self.decisions = 0

    @property
    def events(self) -> int:
        """How many were stepped and compared."""
        return self._before + (0 if self._fold is None else self._fold.events)

    def take(self, sequence: int, record: Record | AnyEvent) -> str | None:
        """Take the next record of the journal, or event of the tape; answers with a difference."""
        if isinstance(record, Restarted) and record.config_sha256 != self._config_sha256:
            wrong = self._change(sequence, record)
            if wrong is not None:
                return wrong
        if isinstance(record, Decided):
            self.decisions += 1
            self._brought_in += [one for one in record.audits if isinstance(one, Remedied)]
        flaw = self._tape.take(sequence, record)
        if self._fold is None:
            return flaw
        return next(iter([*self._fold.take(sequence, record)]), flaw)

    def _change(self, sequence: int, started: Restarted) -> str | None:
        """Another configuration from here on: fold with it what was before, as its start did."""
        make = self._configurations(started.config_sha256)
        if make is None:
            return f"event {sequence}: the stored configuration is not the one that was in force"
        again = Fold(make, self._treatments, is_strict=True)
        if self._fold is not None:
            self._before += self._fold.events
            self._ticks_before += self._fold.ticks
            for number, record in self._past():
                if number >= sequence:
                    break
                deque(again.take(number, record), maxlen=0)
            self._before -= again.events
            self._ticks_before -= again.ticks
        self._fold, self._config_sha256 = again, started.config_sha256
        return None

    def checked(self, difference: str | None) -> Checked:
        """The result. What is left when everything was read is a difference, too."""
        fold = self._fold
        if difference is None:
            difference = self._end()
        ticks = self._ticks_before + (0 if fold is None else fold.ticks)
        engine = None if fold is None else fold.engine
        return Checked(
            events=self.events,
            ticks=ticks,
            decisions=self.decisions,
            first_difference=difference,
            cuts=() if fold is None else tuple(fold.cuts),
            brought_in=tuple(self._brought_in),
            left_out=() if engine is None else engine.left_out,
        )

    def _end(self) -> str | None:
        if self._fold is None or self._fold.engine is None:
            return "no instruments were loaded: there is nothing to compare"
        return self._fold.unrecorded()


def verify(
    past: Past, configurations: Configurations, progress: Callable[[int, int], None]
) -> Checked:
    """Compare what new engines decide with what the journal says was decided.

    Decisions are compared by the number of the event that caused them; the comparison ends at the
    first difference. `past` begins with the first start of the day and is read again where a start
    has changed the configuration.
    """
    treatments = recorded_treatments(past())
    while True:
        try:
            return _compared(_Comparing(past, configurations, treatments), past, progress)
        except StepRaised as raised:
            treatments[raised.sequence] = harsher(treatments.get(raised.sequence))


def _compared(comparing: _Comparing, past: Past, progress: Callable[[int, int], None]) -> Checked:
    for sequence, record in past():
        found = comparing.take(sequence, record)
        if found is not None:
            return comparing.checked(found)
        if comparing.events % REPORT_EVERY == 0:
            progress(comparing.events, 0)
    return comparing.checked(None)
