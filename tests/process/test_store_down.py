"""The database unavailable for long: it is asked once a second, and the machine is left in peace."""

import os
import time
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa

from holdfast.domain.event import TimerFired
from holdfast.store.buffers import StoreSettings
from holdfast.store.records import Record
from holdfast.store.writer import EventsTable
from tests.support.store import Owners, end_owners, unwritable  # noqa: F401 a fixture
from tests.unit.store.samples import T0, tick

DOWN_S = float(os.environ.get("HOLDFAST_DOWN_S", "6"))
"""How long; the incident speaks of 60."""

CPU_MOST = 0.20
EVENTS_A_SECOND = 20


def session(owners: Owners, seconds: float) -> float:
    """Append as a quiet session does, with somebody who waits; returns the share of one core."""
    journal = owners.journal
    began, cpu = time.monotonic(), time.process_time()
    while (spent := time.monotonic() - began) < seconds:
        journal.append_market(tick(round(spent * 1_000)))
        journal.wait_durable(journal.append(TimerFired(at_ns=T0 + round(spent * 1e9))))
        journal.watch()
        time.sleep(1 / EVENTS_A_SECOND)
    return (time.process_time() - cpu) / (time.monotonic() - began)


@pytest.mark.proves("I-117")
@pytest.mark.timeout(DOWN_S + 60)
def test_a_database_that_refuses_is_asked_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every attempt fails at once: between two of them the thread waits."""
    attempts: list[float] = []
    commit = EventsTable.commit

    def down(_table: EventsTable, _records: list[tuple[int, Record]]) -> None:
        attempts.append(time.monotonic())
        raise sa.exc.OperationalError("BEGIN IMMEDIATE", {}, OSError("the server is gone"))

    owners = Owners(tmp_path, settings=StoreSettings())
    owners.start()
    monkeypatch.setattr(EventsTable, "commit", down)
    share = session(owners, DOWN_S)
    monkeypatch.setattr(EventsTable, "commit", commit)
    assert owners.told.get(timeout=5)[0] is False
    pauses = [later - earlier for earlier, later in pairwise(attempts)]
    print(f"down {DOWN_S:.0f} s: {len(attempts)} attempts, {share:.1%} of a core")  # noqa: T201 the work
    assert DOWN_S / 2 <= len(attempts) <= DOWN_S + 1
    assert min(pauses) >= 0.95
    assert share < CPU_MOST
    assert owners.told.get(timeout=10) == (True, "")
    assert owners.end().is_complete


@pytest.mark.proves("I-117")
@pytest.mark.timeout(DOWN_S + 60)
def test_a_database_that_is_locked_costs_no_more(tmp_path: Path) -> None:
    """Every attempt waits for the lock first; then everything is made up for."""
    owners = Owners(tmp_path, settings=StoreSettings())
    owners.start()
    with unwritable(tmp_path):
        share = session(owners, DOWN_S)
    print(f"locked {DOWN_S:.0f} s: {share:.1%} of a core")  # noqa: T201 the work
    assert owners.journal.lag >= DOWN_S * EVENTS_A_SECOND / 2
    assert share < CPU_MOST
    assert [owners.told.get(timeout=10)[0] for _ in range(2)] == [False, True]
    assert owners.end().is_complete
