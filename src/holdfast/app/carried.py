"""What an earlier day has left open, found when a new one begins (T24).

Yesterday's orders cannot be read any more: what the earlier run's own record holds at its end is all
that tells whose contracts the broker shows. It is looked for once, when the day begins, and kept in
the folder of the run: a simulated broker, too, begins with it after every restart.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from holdfast.app.paths import earlier_run
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import CARRIED, AnyEvent, PositionCarried, ReadFailed
from holdfast.domain.instrument import BrokerKey, Instrument
from holdfast.exchange.account import Carried

FILE: Final = "carried.json"
"""Its name in the folder of a run."""


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What the record of an earlier day holds at its end, and the contracts that it speaks of."""

    positions: tuple[PositionCarried, ...] = ()
    instruments: tuple[Instrument, ...] = ()


class Brought(msgspec.Struct, frozen=True, kw_only=True):
    """What a day begins with; `faults`, in words, are what of it cannot be told."""

    positions: tuple[PositionCarried, ...] = ()
    faults: tuple[str, ...] = ()

    def events(self, at_ns: int) -> tuple[AnyEvent, ...]:
        """What the engine is told of it."""
        held = [msgspec.structs.replace(one, at_ns=at_ns) for one in self.positions]
        failed = [ReadFailed(at_ns=at_ns, what=CARRIED, reason=fault) for fault in self.faults]
        return (*held, *failed)

    @property
    def holdings(self) -> tuple[Carried, ...]:
        """The same as a simulated broker holds it."""
        return tuple(
            Carried(
                key=BrokerKey(one.intent.instrument, one.intent.product),
                net=one.quantity,
                cost_paise=one.cost_paise,
            )
            for one in self.positions
        )


def bring_in(
    folder: Path, day: str, instruments: Iterable[Instrument], left_in: Callable[[Path], Left]
) -> Brought:
    """Look for what the newest earlier run of the same account, mode and name has left open.

    `left_in` folds the record of a run. Where that is damaged or missing nothing is carried, and
    `faults` says so. What is found is kept in `folder`.
    """
    earlier = earlier_run(folder, day)
    if earlier is None:
        return Brought()
    try:
        left = left_in(earlier)
    except DataRefused as error:
        brought = Brought(faults=(f"{earlier.name}: {error}",))
    else:
        brought = _sorted_out(left, day, instruments)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{FILE}"
    unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(brought)))
    unfinished.replace(folder / FILE)
    return brought


def brought_in(folder: Path) -> Brought:
    """What a day that has begun began with. Raises DataRefused when that cannot be read."""
    path = folder / FILE
    if not path.exists():
        return Brought()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Brought)
    except (msgspec.MsgspecError, OSError) as error:
        raise DataRefused(
            str(path), str(error), "restore it, or begin the day anew with: --anew"
        ) from error


def _sorted_out(left: Left, day: str, instruments: Iterable[Instrument]) -> Brought:
    """What can be held today; a contract that has expired was settled, and is no fault."""
    then = {one.id: one for one in left.instruments}
    now = {one.id: one for one in instruments}
    positions, faults = [], []
    for one in left.positions:
        known = then[one.intent.instrument]
        if known.expiry is not None and known.expiry < day:
            continue
        today = now.get(known.id)
        if today is None or not _is_same(known, today):
            held = f"{one.quantity} {known.symbol} {one.intent.product.value}"
            faults.append(f"{one.day} left {held}, and today's master does not hold the contract")
        else:
            positions.append(one)
    return Brought(positions=tuple(positions), faults=tuple(faults))


def _is_same(one: Instrument, other: Instrument) -> bool:
    """Whether two days mean one contract by an id; its lot and its freeze quantity may change."""
    return (one.underlying, one.kind, one.expiry, one.strike_paise, one.option_type) == (
        other.underlying,
        other.kind,
        other.expiry,
        other.strike_paise,
        other.option_type,
    )
