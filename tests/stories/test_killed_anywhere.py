"""Killed at any record of a short day, and begun again: no order twice, nothing short, flat, even.

The day holds an entry in three partial fills, a trailing stop that is modified, and an exit. The
exchange is built again from the market and its broker's own memory, ours from what a disk kept.
"""

from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from holdfast.domain.audit import Difference, ExitDecided, LevelMoved, PositionClosed, Remedied
from holdfast.domain.command import ModifyOrder, PlaceOrder
from holdfast.domain.event import Restarted
from holdfast.domain.order import Purpose
from holdfast.research.verify import Checked, verify
from holdfast.runtime.recover import Numbered
from holdfast.store.records import Decided
from tests.support.crashes import DISKS, Disk, World, make

pytestmark = pytest.mark.timeout(120)  # hundreds of days each
IDS = [f"commit {disk.commit_s} s, flush {disk.flush_s} s" for disk in DISKS]


def decisions(rows: list[Numbered]) -> Iterator[Decided]:
    return (record for _, record in rows if isinstance(record, Decided))


def remedied(rows: list[Numbered]) -> list[Difference]:
    """What the reads of the book have put right."""
    told = (audit for decided in decisions(rows) for audit in decided.audits)
    return [audit.difference for audit in told if isinstance(audit, Remedied)]


@cache
def undisturbed() -> tuple[Numbered, ...]:
    """The record of the day without a crash."""
    with TemporaryDirectory() as folder:
        world = World(Path(folder))
        assert world.live()
        world.assert_reconciled()
        return tuple(world.journal.rows)


def verified(rows: list[Numbered]) -> Checked:
    return verify(lambda: iter(rows), lambda _: make, lambda *_: None)


def test_the_day_has_everything_that_can_be_cut() -> None:
    """Floor: three fills, a moved stop, an exit by modification, one closed position."""
    rows = list(undisturbed())
    commands = [one for decided in decisions(rows) for one in decided.commands]
    audits = [one for decided in decisions(rows) for one in decided.audits]
    placed = [one.purpose for one in commands if isinstance(one, PlaceOrder)]
    assert placed == [Purpose.ENTRY, Purpose.STOP]
    assert sum(isinstance(one, ModifyOrder) for one in commands) >= 5
    assert sum(isinstance(one, LevelMoved) for one in audits) >= 3
    assert [one.exit.rule for one in audits if isinstance(one, ExitDecided)] == ["trailing_stop"]
    assert sum(isinstance(one, PositionClosed) for one in audits) == 1
    assert len(rows) >= 250
    assert verified(rows).first_difference is None


@pytest.mark.proves("RACE-10", "RACE-12", "ORM-3")
@pytest.mark.parametrize("disk", DISKS, ids=IDS)
def test_a_kill_at_any_record_ends_in_a_reconciled_book(disk: Disk, tmp_path: Path) -> None:
    """At each record in turn; the record so far, with what was cut, verifies."""
    met: Counter[Difference] = Counter()
    cut = 0
    for kill_at in range(1, len(undisturbed()) + 1):
        world = World(tmp_path)
        assert not world.live(disk=disk, kill_at=kill_at)
        past = world.journal.durable()
        assert world.live(past, disk)
        world.assert_reconciled()
        rows = world.journal.rows
        met.update(remedied(rows))
        if world.recovered is not None:
            assert world.recovered.differences == 0, world.recovered.first_difference
            assert list(world.recovered.left_out) == []
            cut += 1
        if kill_at % 5 == 0:
            checked = verified(rows)
            assert checked.first_difference is None, kill_at
            assert [one.difference for one in checked.brought_in] == remedied(rows)
    print(f"killed {kill_at} times, {cut} with a position to keep; the book told {dict(met)}")  # noqa: T201
    assert cut >= 200
    assert met[Difference.ENDED] >= 3


@pytest.mark.parametrize("disk", DISKS[1:], ids=IDS[1:])
def test_a_second_kill_while_it_recovers_changes_nothing(disk: Disk, tmp_path: Path) -> None:
    """The next start meets a cut within a cut: floor 60 pairs for each disk."""
    random = Random(7)
    pairs = 0
    for kill_at in range(30, len(undisturbed()), 3):
        world = World(tmp_path)
        world.live(disk=disk, kill_at=kill_at)
        world.live(world.journal.durable(), disk, kill_at=random.choice((1, 2, 3, 5, 8, 13, 30)))
        past = world.journal.durable()
        assert world.live(past, disk)
        world.assert_reconciled()
        pairs += 1
        starts = sum(isinstance(record, Restarted) for _, record in world.journal.rows)
        if kill_at % 2 == 0:
            checked = verified(world.journal.rows)
            assert checked.first_difference is None
            assert len(checked.cuts) == starts - 1
    assert pairs >= 60
