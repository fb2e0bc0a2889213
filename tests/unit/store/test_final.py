"""The last words of a process: on the disk, read back, compared; and none after a crash."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from holdfast.domain.decision import HaltLevel
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import JournalEvent, Restarted, ServiceChanged, ServiceState, TimerFired
from holdfast.domain.order import BrokerStatus, OrderId
from holdfast.runtime.threads import StopFlag
from holdfast.store.audit import audit
from holdfast.store.final import NotAsWritten, last_stop, read_back, require_integrity
from holdfast.store.records import Stopped
from holdfast.store.schema import FILE_NAME
from holdfast.store.stops import Interrupted
from tests.support.store import Owners
from tests.unit.store.samples import DAY, T0, a_day, closed, play, tick, updated

BEGUN = Restarted(at_ns=T0, day=DAY, code_version="1", config_sha256="c")


def left(owners: Owners) -> Stopped:
    """What is left behind in the middle of a position."""
    return Stopped(
        at_ns=T0 + 9,
        day=DAY,
        last_sequence=owners.journal.last_sequence,
        open_positions=(1, 4),
        live_orders=(OrderId("P001S1"),),
        halt=HaltLevel.PAUSE,
        reason="signal 15",
    )


class Ended:
    """A process that ended as it should: its words, their number, and where they stand."""

    def __init__(self, folder: Path) -> None:
        owners = Owners(folder)
        journal = owners.start()
        play(journal, a_day(trades=3, ticks=100))
        self.path = folder / FILE_NAME
        self.stopped = left(owners)
        self.sequence = journal.append_stopped(self.stopped)
        journal.wait_durable(self.sequence).result(timeout=10)
        journal.append_market(tick(2_000))
        told = ServiceChanged(at_ns=T0, service="store", state=ServiceState.STOPPED, is_core=True)
        journal.append(told)
        assert owners.end().is_complete
        self.checked = journal.checked


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Such a process. Only read it."""
    return Ended(tmp_path_factory.mktemp("ended"))


def test_the_last_words_are_read_back(once: Ended) -> None:
    """As they were written, with the tape's last range and the parts' ends behind them."""
    assert last_stop(once.path) == (once.sequence, once.stopped)
    read_back(once.path, once.sequence, once.stopped)
    require_integrity(once.path)
    require_integrity(once.path, after=once.sequence - 5)
    assert audit(once.path).is_clean


def test_reading_back_leaves_nothing_beside_the_database(once: Ended) -> None:
    """Neither a log nor its index: on a full disk there may be no room for one."""
    before = sorted(once.path.parent.iterdir())
    read_back(once.path, once.sequence, once.stopped)
    require_integrity(once.path)
    assert sorted(once.path.parent.iterdir()) == before


@pytest.mark.parametrize(
    "change",
    [
        {"open_positions": (1,)},
        {"live_orders": ()},
        {"halt": HaltLevel.NONE},
        {"reason": "signal 2"},
        {"last_sequence": 1},
        {"day": "2025-12-16"},
        {"at_ns": T0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_words_than_were_written_are_told(once: Ended, change: dict[str, object]) -> None:
    """Whichever part of them differs, and under which number."""
    with pytest.raises(NotAsWritten, match="is not what was written") as refusal:
        read_back(once.path, once.sequence, replace(once.stopped, **change))
    assert refusal.value.exit_code == 21
    with pytest.raises(NotAsWritten, match="is not what was written"):
        read_back(once.path, once.sequence - 1, once.stopped)


@pytest.mark.parametrize(
    "moved",
    [
        updated("P001E1", T0 + 10, status=BrokerStatus.FILLED, filled=(75, 750_000)),
        None,
    ],
    ids=["a fill", "a decision"],
)
def test_a_final_state_after_which_something_moved_is_not_final(
    tmp_path: Path, moved: JournalEvent | None
) -> None:
    """A fill that came in between must not be lost sight of."""
    owners = Owners(tmp_path)
    journal = owners.start()
    cause = journal.append(BEGUN)
    stopped = left(owners)
    sequence = journal.append_stopped(stopped)
    if moved is None:
        journal.append_decision(cause, T0, [], [closed(1, T0)])
    else:
        journal.append(moved)
    assert owners.end().is_complete
    with pytest.raises(NotAsWritten, match="is not final: events row 3"):
        read_back(tmp_path / FILE_NAME, sequence, stopped)


def test_a_process_that_was_killed_left_no_words(tmp_path: Path) -> None:
    """Those of an earlier one are not taken for its own."""
    path = tmp_path / FILE_NAME
    owners = Owners(tmp_path)
    owners.start().append(BEGUN)
    stopped = left(owners)
    sequence = owners.journal.append_stopped(stopped)
    owners.end()
    assert last_stop(path) == (sequence, stopped)
    killed = Owners(tmp_path)
    killed.start().append(BEGUN)
    killed.end()
    assert last_stop(path) is None
    with pytest.raises(DataRefused, match="cannot be read"):
        last_stop(tmp_path / "none.db")


DAMAGE = [
    (lambda path: path.write_bytes(b"no database"), "cannot be read"),
    (lambda path: path.unlink(), "cannot be read"),
    (lambda path: change(path, "DELETE FROM events WHERE kind = 'Stopped'"), "is not what was"),
    (lambda path: change(path, "UPDATE events SET payload = x'00' WHERE kind = 'Stopped'"), "read"),
    (
        lambda path: change(
            path,
            "UPDATE events SET kind = 'Stopped' WHERE sequence IN (SELECT max(sequence) FROM events)",
        ),
        "not of its kind",
    ),
]


def change(path: Path, sql: str) -> None:
    """Change the database behind the program's back."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(sql)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.mark.proves("VER-1")
@pytest.mark.parametrize(
    ("damage", "said"), DAMAGE, ids=["no database", "gone", "no words", "no JSON", "another kind"]
)
def test_damage_is_told_and_never_passes_for_the_final_state(
    once: Ended, tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    """By reading back as by the check of the file."""
    path = Path(shutil.copy(once.path, tmp_path / FILE_NAME))
    damage(path)
    with pytest.raises(NotAsWritten, match=said):
        read_back(path, once.sequence, once.stopped)
    with pytest.raises(NotAsWritten):
        require_integrity(path)


@pytest.mark.proves("VER-1")
def test_only_what_is_new_need_be_checked(once: Ended, tmp_path: Path) -> None:
    """The rows behind a number, from the hash that stands there."""
    path = Path(shutil.copy(once.path, tmp_path / FILE_NAME))
    change(path, "UPDATE events SET at_ns = at_ns + 1 WHERE sequence = 1")
    require_integrity(path, after=1)
    with pytest.raises(NotAsWritten, match="row 1: its hash is not that of its content"):
        require_integrity(path)
    change(path, "UPDATE events SET hash = zeroblob(32) WHERE sequence = 1")
    with pytest.raises(NotAsWritten, match="does not follow row 1"):
        require_integrity(path, after=1)
    require_integrity(path, after=3)  # that number is on the tape: row 2 is the last up to it
    change(path, "DELETE FROM events WHERE sequence = 2")
    with pytest.raises(NotAsWritten, match="does not follow row 3"):
        require_integrity(path, after=3)


def test_a_check_ends_when_told(once: Ended) -> None:
    """So that the stop's own deadline holds on a long journal."""
    flag = StopFlag()
    flag.set()
    with pytest.raises(Interrupted):
        require_integrity(once.path, flag=flag)


@pytest.mark.proves("VER-4")
def test_no_connection_is_left(tmp_path: Path) -> None:
    """Counted by the journal; and the file can be removed and made anew by the same process."""
    owners = Owners(tmp_path)
    journal = owners.start()
    journal.wait_durable(journal.append(TimerFired(at_ns=T0))).result(timeout=10)
    assert journal.connections == 1
    owners.end()
    assert journal.connections == 0
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [FILE_NAME]
