"""The end of the process: what is flushed, and the hook that runs when nobody else did."""

import logging
import subprocess
import sys

import pytest
from typing_extensions import override

from holdfast.runtime.process import flush_everything
from tools import CHECKOUT


class Handler(logging.Handler):
    """Counts its flushes, or fails."""

    def __init__(self, fault: Exception | None = None) -> None:
        super().__init__()
        self.flushes = 0
        self.fault = fault

    @override
    def flush(self) -> None:
        self.flushes += 1
        if self.fault is not None:
            raise self.fault


class Stream:
    """A stdout that counts, or fails."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.flushes = 0
        self.fault = fault

    def flush(self) -> None:
        """As a stream does."""
        self.flushes += 1
        if self.fault is not None:
            raise self.fault


@pytest.mark.proves("LOG-4")
@pytest.mark.parametrize(
    "fault",
    [None, OSError("gone"), ValueError("closed"), RuntimeError("reentrant call")],
    ids=lambda fault: type(fault).__name__,
)
def test_everything_is_flushed_whatever_one_of_them_does(
    monkeypatch: pytest.MonkeyPatch, fault: Exception | None
) -> None:
    """Handlers of the root and of others, stdout, stderr; one that fails stops none."""
    root, other = Handler(fault), Handler()
    stdout, stderr = Stream(fault), Stream()
    monkeypatch.setattr(logging.getLogger(), "handlers", [root])
    monkeypatch.setattr(logging.getLogger("some.other"), "handlers", [other])
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(sys, "stderr", stderr)
    flush_everything()
    assert [one.flushes for one in (root, other, stdout, stderr)] == [1, 1, 1, 1]
    root.fault = None  # `logging` flushes every handler that was ever made, at its own end


def test_a_program_without_streams_can_be_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon may have neither."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    flush_everything()


STUCK = """
import threading, time, sys
from holdfast.runtime.process import finish
threading.Thread(target=time.sleep, args=(1000,), daemon=DAEMON).start()
sys.stdout.write("flushed")
finish(7)
"""


@pytest.mark.parametrize("daemon", [True, False])
def test_no_thread_of_a_library_keeps_the_process_from_ending(*, daemon: bool) -> None:
    """With its code, and with what was written."""
    done = subprocess.run(
        [sys.executable, "-c", STUCK.replace("DAEMON", str(daemon))],
        env={"PYTHONPATH": str(CHECKOUT / "src")},
        capture_output=True,
        text=True,
        check=False,
        timeout=15,
    )
    assert (done.returncode, done.stdout) == (7, "flushed")


HOOKED = """
import threading
from holdfast.runtime.process import ExitHook
told = threading.Event()
threading.Thread(target=told.wait).start()
def end():
    print("hook", flush=True)
    told.set()
kept = ExitHook(end)
ExitHook(lambda: print("cancelled", flush=True)).cancel()
print("over", flush=True)
"""


@pytest.mark.proves("SUP-15")
def test_the_exit_hook_runs_once_and_before_threads_are_waited_for() -> None:
    """A thread that only the hook ends does not keep the interpreter from getting to the hook."""
    done = subprocess.run(
        [sys.executable, "-c", HOOKED],
        env={"PYTHONPATH": str(CHECKOUT / "src")},
        capture_output=True,
        text=True,
        check=True,
        timeout=15,
    )
    assert done.stdout.split() == ["over", "hook"]
    assert done.stderr == ""
