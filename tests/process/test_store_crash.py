"""The store in a process that is killed: what was said to be durable is there, and nothing is torn."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.domain.event import Restarted, TimerFired
from holdfast.store import query
from holdfast.store.audit import audit
from holdfast.store.buffers import StoreSettings
from holdfast.store.schema import FILE_NAME
from tests.support.command import CODE
from tests.support.journal import StoreJournal
from tests.unit.store.samples import DAY, HEADER, T0, a_day, play, tick

KILLS = 6
ANSWERS_FLOOR = 300
"""Commits that were reported before the kills, over all of them."""


def restarted(at_ns: int) -> Restarted:
    """What every run of the engine begins with."""
    return Restarted(at_ns=at_ns, day=DAY, code_version="1", config_sha256="c")


def write_for_ever(folder: Path) -> None:
    """The child: days without end, each commit that is durable said on stdout."""
    settings = StoreSettings(db_commit_interval_s=0.001, tape_batch_rows=20)
    journal = StoreJournal(folder, HEADER, settings=settings)
    at_ns = T0
    while True:
        journal.append(restarted(at_ns))
        play(journal, a_day(trades=2, ticks=40))
        for number in range(5):
            journal.append_market(tick(number, at_ns=at_ns))
            sequence = journal.append(TimerFired(at_ns=at_ns))
            journal.wait_durable(sequence).result()
            print(sequence, flush=True)  # noqa: T201 the parent reads it


@pytest.mark.timeout(90)
def test_kill_9_in_the_middle_of_commits_leaves_a_valid_prefix(tmp_path: Path) -> None:
    """Six times into one store: every answered record is there, the audit has no finding."""
    answered = 0
    for kill in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, __file__, str(tmp_path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": CODE},
            text=True,
        )
        assert child.stdout is not None
        durable = [int(child.stdout.readline()) for _ in range(20 + 23 * kill)]
        child.send_signal(signal.SIGKILL)
        whole_lines, _, _cut_off = child.stdout.read().rpartition("\n")
        durable += map(int, whole_lines.split())
        child.wait()
        child.stdout.close()
        answered += len(durable)

        path = tmp_path / FILE_NAME
        kept = {sequence for sequence, _, _ in query.records(path)}
        assert set(durable) <= kept
        report = audit(path)
        assert report.findings == ()
    assert answered >= ANSWERS_FLOOR

    journal = StoreJournal(tmp_path, HEADER, settings=StoreSettings(threaded=False))
    journal.append(restarted(T0))
    journal.append_market(tick(1))
    assert journal.close().is_complete
    report = audit(tmp_path / FILE_NAME)
    assert report.findings == ()
    assert report.tape_rows >= ANSWERS_FLOOR
    header = query.day_header(tmp_path / FILE_NAME)
    assert header is not None
    assert header.restarts >= KILLS + 1


if __name__ == "__main__":
    write_for_ever(Path(sys.argv[1]))
