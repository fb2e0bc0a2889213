"""The instance lock between processes: one holder, named; gone with the process, however it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdfast.domain.errors import InstanceRunning
from holdfast.runtime.lock import InstanceLock
from tests.support.command import CODE

CLIENT = "1000000001"
AT_NS = 1_765_770_300_000_000_000


def hold(folder: Path) -> None:
    """The child: take the lock, say whether one has it, and keep it until stdin ends."""
    try:
        InstanceLock.acquire(folder, CLIENT, at_ns=AT_NS, purpose="live")
    except InstanceRunning as refusal:
        print(f"refused {refusal.exit_code}", flush=True)  # noqa: T201 the parent reads it
        return
    print("held", flush=True)  # noqa: T201 as above
    sys.stdin.read()


@contextmanager
def child(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that tries to hold the lock."""
    with subprocess.Popen(
        [sys.executable, __file__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": CODE},
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: "subprocess.Popen[str]") -> str:
    """Its first line."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.proves("I-96")
@pytest.mark.timeout(60)
def test_another_process_is_named_and_its_death_frees_the_lock(tmp_path: Path) -> None:
    """Refused with its number and since when; free at once after kill -9."""
    with child(tmp_path) as holder:
        assert said(holder) == "held"
        with pytest.raises(InstanceRunning) as refusal:
            InstanceLock.acquire(tmp_path, CLIENT, at_ns=AT_NS)
        assert f"process {holder.pid} (live), since 2025-12-15 03:45:00 UTC" in str(refusal.value)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        InstanceLock.acquire(tmp_path, CLIENT, at_ns=AT_NS).release()


@pytest.mark.proves("I-96")
@pytest.mark.timeout(60)
def test_of_several_starts_at_once_one_wins(tmp_path: Path) -> None:
    """The others end with the exit code of another instance."""
    with child(tmp_path) as one, child(tmp_path) as two, child(tmp_path) as three:
        answers = sorted(said(process) for process in (one, two, three))
    assert answers == ["held", "refused 4", "refused 4"]


if __name__ == "__main__":
    hold(Path(sys.argv[1]))
