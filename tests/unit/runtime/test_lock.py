"""The instance lock: one holder per client id on the host, named to whoever is refused."""

import os
from pathlib import Path

import pytest

from holdfast.domain.errors import DataRefused, InstanceRunning
from holdfast.runtime.lock import InstanceLock

AT_NS = 1_765_770_300_000_000_000
"""2025-12-15 03:45:00 UTC."""


@pytest.mark.proves("I-96")
def test_a_second_start_is_refused_with_the_holder_named(tmp_path: Path) -> None:
    """Its process, what it is for and since when; also within one process."""
    lock = InstanceLock.acquire(tmp_path, "1000000001", at_ns=AT_NS, purpose="paper")
    with lock, pytest.raises(InstanceRunning) as refusal:
        InstanceLock.acquire(tmp_path, "1000000001", at_ns=AT_NS + 1)
    said = str(refusal.value)
    assert f"process {os.getpid()} (paper), since 2025-12-15 03:45:00 UTC" in said
    assert "1000000001" in said
    assert refusal.value.exit_code == 4


def test_it_can_be_taken_again_after_its_release(tmp_path: Path) -> None:
    """As often as one likes; releasing twice does nothing to the next holder."""
    lock = InstanceLock.acquire(tmp_path, "1000000001", at_ns=AT_NS)
    for _ in range(50):
        lock.release()
        lock = InstanceLock.acquire(tmp_path, "1000000001", at_ns=AT_NS)
    lock.release()
    with InstanceLock.acquire(tmp_path, "1000000001", at_ns=AT_NS):
        lock.release()
        with pytest.raises(InstanceRunning):
            InstanceLock.acquire(tmp_path, "1000000001", at_ns=AT_NS)


def test_two_client_ids_do_not_meet(tmp_path: Path) -> None:
    """Two accounts on one machine are two processes."""
    with InstanceLock.acquire(tmp_path, "1", at_ns=AT_NS):
        InstanceLock.acquire(tmp_path, "2", at_ns=AT_NS).release()


def test_a_holder_that_has_not_written_itself_down_yet_is_refused_too(tmp_path: Path) -> None:
    """Between its lock and its name there is a moment."""
    with InstanceLock.acquire(tmp_path, "1", at_ns=AT_NS) as lock:
        lock.path.write_bytes(b"")
        with pytest.raises(InstanceRunning, match="another process, which has just started"):
            InstanceLock.acquire(tmp_path, "1", at_ns=AT_NS)


def test_what_a_dead_holder_left_locks_nobody_out(tmp_path: Path) -> None:
    """The file is not the lock."""
    (tmp_path / "1.lock").write_text('{"pid":1,"since_ns":0,"purpose":"live"}')
    InstanceLock.acquire(tmp_path, "1", at_ns=AT_NS).release()


def test_nobody_else_can_read_who_trades(tmp_path: Path) -> None:
    """Folder and file are the user's own."""
    with InstanceLock.acquire(tmp_path / "run", "1", at_ns=AT_NS) as lock:
        assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
        assert lock.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("client_id", ["", "../1", "a/b", "a b", "x" * 65])
def test_a_client_id_that_is_none_is_refused(tmp_path: Path, client_id: str) -> None:
    """It becomes the name of a file."""
    with pytest.raises(DataRefused, match="client id"):
        InstanceLock.acquire(tmp_path, client_id, at_ns=AT_NS)


def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    """With the remedy."""
    (tmp_path / "run").write_text("in the way")
    with pytest.raises(DataRefused, match="make sure that its folder"):
        InstanceLock.acquire(tmp_path / "run", "1", at_ns=AT_NS)
