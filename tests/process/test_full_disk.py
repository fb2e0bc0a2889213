"""A disk without a free byte in mid-session: a halt is written, records wait, and all is made up for."""

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from holdfast.domain.event import TimerFired
from holdfast.store import query
from holdfast.store.audit import audit
from holdfast.store.buffers import StoreSettings
from holdfast.store.halt import HaltFile
from holdfast.store.room import MEBIBYTE
from holdfast.store.schema import FILE_NAME
from holdfast.store.tape import FOLDER, read_tape
from tests.support.small_disk import fill_up, in_memory, make_room, on_blocks
from tests.support.store import QUICK, Owners, end_owners  # noqa: F401 a fixture
from tests.unit.store.samples import DAY, T0, tick

pytestmark = pytest.mark.timeout(90)


class Disk(NamedTuple):
    """A small file system, and how the store uses it."""

    path: Path
    settings: StoreSettings


DISKS = ("memory", *(("blocks",) if os.environ.get("HOLDFAST_BLOCKS") else ()))
"""On blocks smaller than a page a full disk may end the process that runs the test: asked for only."""


@pytest.fixture(params=DISKS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """In memory the store goes on to the last byte, on blocks smaller than a page it must not."""
    if request.param == "memory":
        with in_memory(tmp_path, mebibytes=8) as path:
            yield Disk(path, replace(QUICK, free_bytes_min=0))
    else:
        with on_blocks(tmp_path, mebibytes=24) as path:
            yield Disk(path, replace(QUICK, free_bytes_min=MEBIBYTE))


def test_a_halt_is_written_and_lifted_where_not_a_byte_is_free(disk: Disk) -> None:
    """Its file was made at the start; another process reads what was written."""
    file = HaltFile(disk.path / "store")
    file.open(T0)
    fill_up(disk.path)
    for number in range(50):
        file.write(f"halt {number}", T0 + number)
        assert HaltFile(disk.path / "store").read().reason == f"halt {number}"
        file.lift(f"lifted {number}", T0 + number)
        assert not HaltFile(disk.path / "store").read().is_halted
    HaltFile(disk.path / "store").write("from another program", T0)
    assert HaltFile(disk.path / "store").read().is_halted
    file.close()


def test_a_halt_is_written_where_no_file_can_be_opened(tmp_path: Path) -> None:
    """A leak of descriptors is as good a reason to halt as any."""
    file = HaltFile(tmp_path)
    file.open(T0)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            (tmp_path / "another").open("wb").close()
        file.write("too many open files", T0 + 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert file.read().reason == "too many open files"
    file.close()


@pytest.mark.proves("CBR-3")
def test_a_session_on_a_full_disk_loses_nothing(disk: Disk) -> None:
    """Told, kept, halted; with space again everything is there in order, tape and journal."""
    halt = HaltFile(disk.path / "store")
    halt.open(T0)
    owners = Owners(disk.path / "store", settings=disk.settings)
    journal = owners.start()
    events: list[int] = []
    ticks: list[tuple[int, object]] = []

    def append(count: int) -> None:
        for _ in range(count):
            number = len(events) + len(ticks)
            events.append(journal.append(TimerFired(at_ns=T0 + number)))
            ticks.append((journal.append_market(tick(number)), tick(number)))

    append(300)
    journal.wait_durable(events[-1]).result(timeout=30)
    while journal.lag:  # a page that is being written while the last block goes is not guarded
        time.sleep(0.01)
    fill_up(disk.path)
    append(2_000)
    is_durable, reason = owners.told.get(timeout=30)
    assert not is_durable
    assert "cannot be written" in reason
    halt.write(reason, T0)
    append(2_000)
    waiting = journal.wait_durable(events[-1])
    assert journal.reason
    assert owners.told.empty()
    make_room(disk.path)
    assert owners.told.get(timeout=30) == (True, "")
    assert waiting.result(timeout=30) is None
    assert owners.end().is_complete
    found = [
        n
        for n, _, one in query.records(disk.path / "store" / FILE_NAME)
        if isinstance(one, TimerFired)
    ]
    assert found == events
    assert list(read_tape(disk.path / "store" / FOLDER / DAY).events()) == ticks
    assert audit(disk.path / "store" / FILE_NAME).is_clean
    assert HaltFile(disk.path / "store").read().is_halted
    halt.close()


def test_what_is_not_on_a_full_disk_at_the_end_is_counted_and_the_rest_is_sound(disk: Disk) -> None:
    """A stop without space: the report says how much; the next start goes on from what is there."""
    owners = Owners(disk.path / "store", settings=disk.settings)
    journal = owners.start()
    journal.wait_durable(journal.append(TimerFired(at_ns=T0))).result(timeout=30)
    fill_up(disk.path)
    journal.wait_durable(journal.append(TimerFired(at_ns=T0)))
    assert owners.told.get(timeout=30)[0] is False
    more = [journal.append(TimerFired(at_ns=T0)) for _ in range(500)]
    report = owners.end()
    assert not report.is_complete
    assert report.records_unwritten >= 500
    assert report.durable + report.records_unwritten == report.last_sequence == more[-1]
    make_room(disk.path)
    again = Owners(disk.path / "store", settings=disk.settings)
    assert again.start().append(TimerFired(at_ns=T0)) == report.durable + 1
    assert again.end().is_complete
    assert audit(disk.path / "store" / FILE_NAME).is_clean
