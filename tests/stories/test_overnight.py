"""Two days: a process dies while something is held, and the next day begins with it (T24).

The night takes every order. The next day is played against the exchange that still holds the
contracts, killed and begun again at many records.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from holdfast.domain.audit import Drift, ExitDecided, PositionClosed, PositionResumed
from holdfast.domain.event import PositionCarried
from holdfast.domain.market import Tick
from holdfast.domain.order import OrderType, Purpose
from holdfast.research.verify import verify
from holdfast.runtime.recover import Numbered, recover
from holdfast.store.records import Decided
from tests.support.crashes import DISKS, MASTER, Disk, World, make, tick
from tests.support.desk import CALL, NIFTY, OPEN, SECOND

pytestmark = pytest.mark.timeout(120)
BEFORE_OPEN = OPEN - 5 * SECOND
HELD_AT = 75
"""The second of the first day, after the opening, at which its process dies: 195 are held."""


@cache
def left() -> PositionCarried:
    """What the record of the first day holds: its process died in mid-trade, and nobody came."""
    with TemporaryDirectory() as folder:
        whole = World(Path(folder))
        assert whole.live()
        rows = whole.journal.rows
    cut = sum(record.at_ns <= OPEN + HELD_AT * SECOND for _, record in rows)
    found = recover(lambda: iter(rows[:cut]), make)
    assert found is not None
    (one,) = found[0].left_over
    assert one.exit is None
    return msgspec.structs.replace(one, day="2026-11-19", opened_day="2026-11-19")


def market(rupees: float) -> Iterator[Tick]:
    """Nothing before the opening, then the call at one price for a minute and a half.

    The index comes too late for the first candle, so that the strategy says nothing.
    """
    volumes = dict.fromkeys((one.id for one in MASTER), 0)
    for second in range(110):
        yield tick(CALL, second + 0.2, round(rupees * 20) * 5, volumes)
        if second > 60:
            yield tick(NIFTY, second + 0.3, 2_450_000, volumes)


def next_day(folder: Path, opens_at: Callable[[], Iterator[Tick]]) -> World:
    """The day after: exchange and record begin with what was left, before the opening."""
    return World(folder, carried=(left(),), begins_ns=BEFORE_OPEN, market=opens_at)


def audits(rows: list[Numbered]) -> list[object]:
    """All that was told."""
    return [audit for _, record in rows if isinstance(record, Decided) for audit in record.audits]


INSIDE = partial(market, 108.0)
BEYOND = partial(market, 60.0)


@pytest.mark.proves("T24")
def test_an_open_inside_has_its_stop_within_the_first_second(tmp_path: Path) -> None:
    """Nothing reaches the broker before the opening; then the stop, and no difference all day."""
    world = next_day(tmp_path, INSIDE)
    assert world.live()
    world.assert_reconciled()
    first = world.exchange.placements[0]
    assert first.refusal is None
    assert OPEN <= first.at_ns < OPEN + SECOND
    assert first.terms.order_type is OrderType.STOP_LIMIT
    assert (first.terms.quantity, first.terms.trigger_paise) == (195, left().stop_paise)
    told = audits(world.journal.rows)
    assert sum(isinstance(one, PositionResumed) for one in told) == 1
    assert not any(isinstance(one, Drift) for one in told)


@pytest.mark.proves("T24")
def test_an_open_beyond_the_stop_is_an_exit_at_once(tmp_path: Path) -> None:
    """What opens far below the level is sold in the first seconds, once, at what is bid."""
    world = next_day(tmp_path, BEYOND)
    assert world.live()
    world.assert_reconciled()
    told = audits(world.journal.rows)
    (decided,) = [one for one in told if isinstance(one, ExitDecided)]
    assert decided.exit.rule in {"stop_loss", "trailing_stop"}
    (closed,) = [one for one in told if isinstance(one, PositionClosed)]
    assert closed.closed_at_ns - OPEN < 3 * SECOND
    assert closed.quantity == 195
    assert 5_500 * 195 < closed.exit_value_paise <= 6_000 * 195


@pytest.mark.proves("T24", "T21", "I-42")
@pytest.mark.parametrize("opens_at", [INSIDE, BEYOND], ids=["inside", "beyond"])
@pytest.mark.parametrize("disk", [DISKS[0], DISKS[3]], ids=["each record", "each second"])
def test_killed_at_the_open_nothing_is_sold_twice(
    tmp_path: Path, opens_at: Callable[[], Iterator[Tick]], disk: Disk
) -> None:
    """At every third record of the first seconds, before any tick too: one position, flat, even."""
    for kill_at in range(4, 64, 3):
        world = next_day(tmp_path, opens_at)
        if not world.live(disk=disk, kill_at=kill_at):
            assert world.live(world.journal.durable(), disk)
        world.assert_reconciled()
        assert world.most_sold <= 195
        assert sorted(world.engine._state.positions) == [1]  # noqa: SLF001 tests look inside


@pytest.mark.proves("T24")
def test_recovered_before_the_first_tick_the_stop_is_known(tmp_path: Path) -> None:
    """Its stop left at the opening, and no price had come: the next process has it in its books."""
    world = next_day(tmp_path, INSIDE)
    assert world.live()
    rows = world.journal.rows
    before = [one for one in rows if one[1].at_ns <= OPEN + SECOND // 10]
    found = recover(lambda: iter(before), make)
    assert found is not None
    ids = found[0].order_ids
    assert [name.split("-")[1][0] for name in ids] == [Purpose.STOP.value]


def test_the_record_of_such_a_day_is_verified(tmp_path: Path) -> None:
    """Folding it again decides the same."""
    world = next_day(tmp_path, BEYOND)
    assert world.live()
    rows = world.journal.rows
    checked = verify(lambda: iter(rows), lambda _: make, lambda *_: None)
    assert checked.first_difference is None
