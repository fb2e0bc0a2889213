"""The store on a disk that is full or may not be written: told, kept, made up for; or refused."""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path
from queue import SimpleQueue

import pytest

from holdfast.domain.errors import DataRefused
from holdfast.domain.event import TimerFired
from holdfast.store import query
from holdfast.store.audit import audit
from holdfast.store.buffers import StoreSettings
from holdfast.store.migrate import open_current, revision_of
from holdfast.store.schema import FILE_NAME
from holdfast.store.tape import FOLDER, read_tape
from tests.support.command import CODE
from tests.support.journal import StoreJournal
from tests.support.small_disk import in_memory
from tests.unit.store.samples import DAY, HEADER, T0, tick

NOBODY = 65_534
TO_THE_LAST_BYTE = StoreSettings(
    db_commit_interval_s=0.01, retry_s=0.05, join_s_max=10, free_bytes_min=0
)


class Session:
    """A journal that is fed until it says that nothing is durable any more."""

    def __init__(self, folder: Path) -> None:
        self.told: SimpleQueue[tuple[bool, str]] = SimpleQueue()
        self.folder = folder
        self.events = self.ticks = 0
        self.journal = StoreJournal(
            folder,
            HEADER,
            settings=TO_THE_LAST_BYTE,
            on_changed=lambda *change: self.told.put(change),
        )

    def append(self, *, timers: int, ticks: int) -> None:
        """Timers and ticks, each with a time of its own."""
        for _ in range(timers):
            self.events += 1
            self.journal.append(TimerFired(at_ns=T0 + self.events))
        for _ in range(ticks):
            self.ticks += 1
            self.journal.append_market(tick(self.ticks))

    def fill(self, *, timers: int, ticks: int) -> str:
        """Go on, no faster than the disk, until it is told; returns the reason."""
        while self.told.empty():
            assert self.events + self.ticks < 400_000, "the disk did not fill"
            self.append(timers=timers, ticks=ticks)
            written = self.journal.wait_durable(self.journal.last_sequence)
            while not written.done() and self.told.empty():
                wait([written], timeout=0.01)
        is_durable, reason = self.told.get()
        assert not is_durable
        return reason

    def end(self) -> None:
        """Wait until it is durable again; close; everything appended must be there."""
        assert self.told.get(timeout=20) == (True, "")
        assert self.journal.close().is_complete
        kept = list(query.records(self.folder / FILE_NAME))
        assert sum(isinstance(record, TimerFired) for _, _, record in kept) == self.events
        if self.ticks:
            assert read_tape(self.folder / FOLDER / DAY).tick_rows == self.ticks
        assert audit(self.folder / FILE_NAME).is_clean


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB in memory, where one may mount."""
    with in_memory(tmp_path, mebibytes=4) as disk:
        yield disk


@pytest.mark.timeout(90)
def test_a_full_disk_is_told_and_made_up_for_when_there_is_space(small_disk: Path) -> None:
    """Records and ticks go on being taken; with space all are written in order."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2_500_000))
    session = Session(small_disk / "store")
    reason = session.fill(timers=200, ticks=50)
    assert "cannot be written" in reason
    session.append(timers=100, ticks=10)
    ballast.unlink()
    session.end()


@pytest.mark.timeout(90)
def test_a_disk_that_is_full_at_the_start_is_refused(small_disk: Path) -> None:
    """With the remedy, and the next start with space works."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(4 * 1024 * 1024 - 16 * 1024))
    for settings in (StoreSettings(), TO_THE_LAST_BYTE):
        with pytest.raises(DataRefused, match="has free space"):
            StoreJournal(small_disk / "store", HEADER, settings=settings)
    ballast.unlink()
    assert revision_of(small_disk / "store" / FILE_NAME) is None
    StoreJournal(small_disk / "store", HEADER, settings=TO_THE_LAST_BYTE).close()


@pytest.mark.timeout(90)
def test_a_file_that_may_not_grow_is_told_and_made_up_for(tmp_path: Path) -> None:
    """The same by a limit of the process, which needs no privilege."""
    run_child("limit", tmp_path)


def under_a_limit(folder: Path) -> None:
    """The child: files of at most 600 KB, until the journal says so."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    session = Session(folder)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
    session.fill(timers=100, ticks=50)
    session.append(timers=100, ticks=10)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    session.end()


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody may enter; pytest's own are private."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.timeout(60)
def test_a_folder_that_may_not_be_written_is_refused(public: Path) -> None:
    """By somebody else's permissions: nothing is made, the folder and the remedy are named."""
    folder = public / "theirs"
    folder.mkdir(mode=0o555)
    run_child("forbidden", folder)
    assert list(folder.iterdir()) == []


def forbidden(folder: Path) -> None:
    """The child: neither a new store nor one in a folder below can be opened."""
    become_nobody()
    for where in (folder, folder / "below"):
        with pytest.raises(DataRefused) as refusal:
            StoreJournal(where, HEADER)
        assert str(where) in refusal.value.where
        assert "can be written" in refusal.value.remedy


@pytest.mark.timeout(60)
def test_a_database_that_may_only_be_read_is_refused_for_writing(public: Path) -> None:
    """At the start, not at the first record; reading it goes on, and makes no file beside it."""
    folder = public / "theirs"
    journal = StoreJournal(folder, HEADER)
    journal.append(TimerFired(at_ns=T0))
    journal.close()
    (folder / FILE_NAME).chmod(0o444)
    folder.chmod(0o555)
    run_child("read_only", folder)
    folder.chmod(0o755)
    assert sorted(path.name for path in folder.iterdir()) == [FILE_NAME, FOLDER]


def read_only(folder: Path) -> None:
    """The child: refused for writing, read all the same."""
    become_nobody()
    with pytest.raises(DataRefused) as refusal:
        open_current(folder / FILE_NAME)
    assert "can be written" in refusal.value.remedy
    assert len(list(query.records(folder / FILE_NAME))) == 1
    assert audit(folder / FILE_NAME).is_clean


def become_nobody() -> None:
    """Give up root, to whom no permission applies; what will be needed is imported before."""
    with tempfile.TemporaryDirectory() as name:
        StoreJournal(Path(name), HEADER).close()
        assert audit(Path(name) / FILE_NAME).is_clean
    if os.geteuid() == 0:
        os.setuid(NOBODY)


def run_child(what: str, folder: Path) -> None:
    """Run one of the functions above in a process of its own, which must end well."""
    ran = subprocess.run(
        [sys.executable, __file__, what, str(folder)],
        env={**os.environ, "PYTHONPATH": CODE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


if __name__ == "__main__":
    chosen = {"limit": under_a_limit, "forbidden": forbidden, "read_only": read_only}
    chosen[sys.argv[1]](Path(sys.argv[2]))
