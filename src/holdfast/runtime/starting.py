"""How a day begins: the engine from what is durable of it, and what this start tells that engine."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import structlog

from holdfast.core.engine import Engine
from holdfast.domain.dated import DayFacts
from holdfast.domain.event import AccountChecked, AnyEvent, ClockChanged, TokenChanged
from holdfast.domain.instrument import Instrument
from holdfast.runtime.checkpoint import Checkpoint
from holdfast.runtime.day import Begun
from holdfast.runtime.halting import WrittenHalt
from holdfast.runtime.recover import Make, Numbered, Past, Recovered, Start, recover
from holdfast.runtime.router import Sent, sent_of
from holdfast.runtime.snapshots import Snapshots
from holdfast.runtime.threads import StopFlag, Threads
from holdfast.store.final import last_stop
from holdfast.store.records import Decided, Record, Stopped
from holdfast.store.schema import FILE_NAME
from holdfast.store.snapshot import Origin, read_snapshot
from holdfast.store.stops import Interrupted

_log = structlog.get_logger("recovery")


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine is made of, and what there is of the day.

    `past` reads what is durable of it, `None` when it begins. `beginning` is what a start tells
    the engine; it is told whether the engine was recovered.
    """

    make: Make
    facts: DayFacts
    instruments: tuple[Instrument, ...]
    origin: Origin
    past: Past | None
    beginning: Callable[[bool], Iterable[AnyEvent]]


DAY_NS: Final = 24 * 3_600 * 1_000_000_000


def simulated_access(at_ns: int) -> tuple[AnyEvent, ...]:
    """What a start is told of an account whose broker is simulated: its session lasts a day."""
    return (
        TokenChanged(at_ns=at_ns, is_valid=True, valid_until_ns=at_ns + DAY_NS),
        AccountChecked(at_ns=at_ns, orders_allowed=True),
        ClockChanged(at_ns=at_ns, skew_ms=0),
    )


class Starting:
    """Makes the engine of one start."""

    def __init__(
        self, ground: Ground, folder: Path, threads: Threads, snapshots: Snapshots,
        halt: WrittenHalt,
    ) -> None:  # fmt: skip
        """A snapshot in `folder` saves time where it is of the very code and configuration.

        `halt` was opened by the store, before this.
        """
        self._halt = halt
        self._ground = ground
        self._folder = folder
        self._threads = threads
        self.snapshots = snapshots
        self.recovered: Recovered | None = None
        self._sent: dict[int, tuple[Sent, ...]] = {}

    async def __call__(self) -> Begun:
        """A new engine, or the one that the durable past makes."""
        ground = self._ground
        make = partial(ground.make, ground.facts, ground.instruments)
        found = None
        if ground.past is not None:
            _tell_end(last_stop(self._folder / FILE_NAME))
            found = await self._folded(ground.past)
        engine = make()
        if found is not None:
            engine, self.recovered = found
            _tell(self.recovered)
        return Begun(
            engine=engine,
            beginning=self._beginning(engine, recovered=found is not None),
            write_halt=self._halt.write,
            checkpoint=Checkpoint(engine, make, keep=self.snapshots.keep),
            sent=tuple(one for number in sorted(self._sent) for one in self._sent[number]),
        )

    def _beginning(self, engine: Engine, *, recovered: bool) -> Iterator[AnyEvent]:
        """What this start tells the engine; at last that it is halted, where the file says so."""
        yield from self._ground.beginning(recovered)
        asked = self._halt.asked(engine.halt)
        if asked is not None:
            yield asked

    async def _folded(self, past: Past) -> tuple[Engine, Recovered] | None:
        """Fold beside the event loop: a signal meanwhile ends the program in order."""
        kept = read_snapshot(self._folder, self._ground.origin)
        start = Start(sequence=kept.sequence, event=kept.event, image=kept.image) if kept else None
        flag = StopFlag()

        def until_told() -> Iterator[Numbered]:
            for one in past():
                if flag.is_set:
                    raise Interrupted("the start was ended before the past was folded")
                self._note(*one)
                yield one

        def fold() -> tuple[Engine, Recovered] | None:
            with suppress(Interrupted):
                return recover(until_told, self._ground.make, start)
            return None

        try:
            return await self._threads.call("Recovery", fold, owner="engine")
        finally:
            flag.set()

    def _note(self, sequence: int, record: Record | AnyEvent) -> None:
        """Keep what was sent, however often the past is read: its rate and its ids are used up."""
        if isinstance(record, Decided) and (sent := sent_of(record)):
            self._sent[sequence] = sent


def _tell_end(stop: tuple[int, Stopped] | None) -> None:
    """How the process before this one ended: in order, or not."""
    if stop is None:
        _log.warning("the process before was killed", component="engine")
        return
    left = stop[1]
    _log.info(
        "the process before ended in order",
        component="engine",
        why=left.reason,
        open_positions=left.open_positions,
        live_orders=left.live_orders,
        halt=left.halt.value,
    )


def _tell(recovered: Recovered) -> None:
    """What was folded, and what the process before took with it."""
    _log.info("recovered", component="engine", **msgspec.structs.asdict(recovered))
    if recovered.first_difference is not None:
        _log.warning(
            "the record stands where this code or configuration decides otherwise",
            component="engine",
            differences=recovered.differences,
            first=recovered.first_difference,
        )
