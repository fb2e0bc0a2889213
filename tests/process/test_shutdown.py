"""The stop of a real process: real signals, real threads, a real database, and the parent's clock."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.command import CODE
from tests.support.running import Running

pytestmark = pytest.mark.timeout(90)

INT, TERM = signal.SIGINT, signal.SIGTERM

SECONDS_MAX = 5.0 + 0.5
"""From the first signal to the end of the process: five, and a half on a loaded machine."""

Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the program with a plan."""
    begun: list[Running] = []

    def begin(*, environ: dict[str, str] | None = None, **plan: Any) -> Running:
        begun.append(Running(tmp_path, plan, **(environ or {})))
        return begun[-1]

    yield begin
    for run in begun:
        run.kill()


@pytest.fixture(scope="session")
def calls(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, int]:
    """How many calls the program makes until everything is ready, and in its stop."""
    run = Running(tmp_path_factory.mktemp("dry"), {"counting": True, "moments": [[10**9, INT]]})
    run.until("router:ready").signal(INT)
    assert run.wait() == 0, run.told()
    marks = run.marks()
    return marks["router:ready"].calls, marks["ended"].calls - marks["router:stopping"].calls


# -- thirty moments


@pytest.mark.proves("APP-1", "APP-2", "APP-7", "APP-10", "APP-12", "APP-15", "SUP-15", "I-116")
@pytest.mark.parametrize("seed", range(20))
def test_one_signal_at_any_moment_ends_it_cleanly(
    start: Start, calls: tuple[int, int], seed: int
) -> None:
    """
    Ten within the start, imports and all, ten while it runs: code 0, the record last, the
    database whole and saved, nothing of ours alive, within five seconds.
    """
    draw = Random(seed)
    until_ready, _ = calls
    number = draw.choice([INT, TERM])
    moment = draw.randint(1, until_ready) + (until_ready if seed % 2 else 0)
    run = start(counting=True, moments=[[moment, number]])
    assert run.wait() == 0, run.told()
    seconds = run.ended_s - run.marks()[f"signal{number.value}"].at_s
    told = f"seed {seed}: signal {number.value} after {moment} calls, over after {seconds:.3f} s"
    print(told)  # noqa: T201 shown when it fails, and with -s
    assert seconds <= SECONDS_MAX
    record = run.record()
    assert (record["exit_code"], record["final_state_verified"]) == (0, True)
    assert (record["active_threads"], record["active_tasks"], record["db_connections"]) == (
        [],
        [],
        0,
    )
    assert set(record["cleanup_status"].values()) == {"stopped"}
    assert run.is_intact()
    lines = run.events() + (run.folder / "stderr").read_text().splitlines()
    assert f"Caught signal {number.value}, initiating shutdown..." in lines
    assert lines.index("Starting shutdown sequence") < lines.index("Shutdown complete")


@pytest.mark.proves("APP-3", "APP-14", "LOG-4")
@pytest.mark.parametrize("seed", range(10))
def test_a_second_signal_within_the_stop_ends_it_at_once(
    start: Start, calls: tuple[int, int], seed: int
) -> None:
    """
    Wherever the stop is: the forced line with the stacks of threads and tasks, code 1, and a
    database that was being written to the whole time is intact.
    """
    draw = Random(1_000 + seed)
    until_ready, within_stop = calls
    first, second = draw.choice([(INT, INT), (INT, TERM), (TERM, INT)])
    moments = [[until_ready + 2_000, first], [draw.randint(1, within_stop), second]]
    run = start(counting=True, moments=moments, draining_s=0.2)
    assert run.wait() == 1, run.told()
    forced = run.log()[-1]
    assert (forced["event"], forced["level"]) == (
        "Forced exit requested, calling os._exit(1)",
        "warning",
    )
    assert {"MainThread", "supervisor"} <= forced["stacks"].keys()
    assert "in count" in forced["stacks"]["MainThread"], "where the second signal met it"
    assert run.is_intact()


@pytest.mark.proves("APP-3", "APP-1")
def test_two_signals_before_anything_is_there_end_it_too(start: Start) -> None:
    """In the first imports, when nobody logs yet: the line goes to stderr."""
    run = start(counting=True, moments=[[100, INT], [100, INT]])
    assert run.wait() == 1
    lines = (run.folder / "stderr").read_text().splitlines()
    assert lines[0] == "Caught signal 2, initiating shutdown..."
    assert lines[1] == "Forced exit requested, calling os._exit(1)"
    assert "MainThread:" in lines


# -- services that do not do as they should


@pytest.mark.proves("APP-6", "APP-7", "SUP-16", "ORM-2", "PRM-2", "STM-2", "I-116")
@pytest.mark.parametrize(
    ("acts", "code", "texts"),
    [
        ({"router": "hangs"}, 20, ["OrderManager failed to stop in time"]),
        ({"page": "hangs"}, 20, ["OrderManager failed to stop in time"]),
        ({"feed": "hangs"}, 20, ["PriceManager failed to stop in time"]),
        ({"book": "hangs"}, 20, ["StateManager failed to stop in time"]),
        ({"engine": "raises"}, 20, ["Shutdown error"]),
        (
            {"router": "hangs", "feed": "hangs", "book": "hangs", "engine": "raises"},
            20,
            [
                "Shutdown error",
                "OrderManager failed to stop in time",
                "PriceManager failed to stop in time",
                "StateManager failed to stop in time",
            ],
        ),
        ({"monitor": "thread"}, 20, ["a thread did not end in time"]),
    ],
    ids=lambda acts: "-".join(acts) if isinstance(acts, dict) else "",
)
def test_what_does_not_end_is_told_and_ends_with_the_process(
    start: Start, acts: dict[str, str], code: int, texts: list[str]
) -> None:
    """A hung task, a hung thread, an error: in time, state saved and verified, code 20."""
    run = start(acts=acts).until("router:ready")
    at_s = run.signal(TERM)
    assert run.wait() == code, run.told()
    assert run.ended_s - at_s <= SECONDS_MAX
    assert [text for text in texts if text not in run.events()] == []
    record = run.record()
    assert record["final_state"] is not None
    hung = {name for name, act in acts.items() if act == "hangs"}
    assert hung <= set(record["active_tasks"])
    assert ("Stuck" in record["active_threads"]) == ("thread" in acts.values())
    assert run.is_intact()


@pytest.mark.proves("APP-8", "APP-10", "VER-5", "B-04")
def test_a_state_that_does_not_verify_ends_with_21(start: Start) -> None:
    """The trace is in the log, the record is last, and the process says so."""
    run = start(unverifiable=True).until("router:ready")
    run.signal(INT)
    assert run.wait() == 21
    failed = next(line for line in run.log() if line["event"] == "State verification failed")
    assert "in _verify" in failed["stack"]
    assert run.record()["final_state_verified"] is False


@pytest.mark.proves("APP-4", "APP-7", "I-116")
def test_an_event_loop_that_never_comes_back_is_ended_by_the_interpreter(start: Start) -> None:
    """
    Blocked in C: the handler runs at once all the same, the watchdog has told of the hang with the
    stacks, and five and a half seconds after the signal it is over.
    """
    run = start(acts={"engine": "blocks"}).until("router:ready")
    run.until_logged("the event loop hangs")
    at_s = run.signal(INT)
    run.until_logged("Caught signal 2, initiating shutdown...")
    assert run.wait() == 1
    assert 5.0 <= run.ended_s - at_s <= 6.0
    assert "in _misbehave" in (run.folder / "stacks").read_text()
    hang = next(line for line in run.log() if line["event"] == "the event loop hangs")
    assert "time.sleep(1_000)" in hang["stacks"]["MainThread"]
    assert run.is_intact()


@pytest.mark.proves("APP-3")
def test_a_second_signal_ends_even_a_blocked_loop_at_once(start: Start) -> None:
    """It shows where the loop is stuck."""
    run = start(acts={"engine": "blocks"}).until("router:ready")
    run.until_logged("the event loop hangs")
    run.signal(INT)
    run.until_logged("Caught signal 2, initiating shutdown...")
    at_s = run.signal(INT)
    assert run.wait() == 1
    assert run.ended_s - at_s <= 1.0
    assert "time.sleep(1_000)" in run.log()[-1]["stacks"]["MainThread"]


@pytest.mark.proves("APP-3", "LOG-4")
def test_output_that_nobody_reads_does_not_keep_a_forced_exit_from_ending(start: Start) -> None:
    """Flushing stdout would block for ever; half a second later it is over, with code 1."""
    run = start(fill=True, acts={"router": "hangs"}).until("router:ready")
    run.signal(INT)
    run.until_logged("Starting shutdown sequence")
    at_s = run.signal(INT)
    assert run.wait() == 1
    assert run.ended_s - at_s <= 1.5
    assert "Forced exit requested, calling os._exit(1)" in run.events()


# -- other ways to the end


@pytest.mark.proves("SUP-15")
@pytest.mark.parametrize(("acts", "code"), [({}, 0), ({"feed": "hangs"}, 20)], ids=["", "hangs"])
def test_the_interpreters_end_takes_the_same_stop(
    start: Start, acts: dict[str, str], code: int
) -> None:
    """Nobody asked and nobody waited: the exit hook stops everything, threads included."""
    run = start(day_s=0.1, acts=acts)
    assert run.wait() == code, run.told()
    stdout = (run.folder / "stdout").read_text()
    assert "Starting shutdown sequence" in stdout
    assert "reason='the interpreter ends'" in stdout
    assert "Shutdown complete" in stdout
    assert (run.folder / "stderr").read_text() == ""
    assert run.is_intact()


@pytest.mark.proves("PHB-2", "APP-4")
def test_an_interrupt_from_inside_takes_the_same_stop_and_keeps_its_code(start: Start) -> None:
    """`sys.exit(33)` in a service: in order, saved, verified, and then 33."""
    run = start(acts={"engine": "exits"})
    assert run.wait() == 33, run.told()
    assert run.record()["final_state_verified"] is True
    assert run.is_intact()


@pytest.mark.proves("SUP-7", "SUP-6", "APP-11")
@pytest.mark.parametrize(
    ("act", "code", "why"),
    [
        ("fails", 3, "book could not be started: DataRefused: profile.json: the profile was"),
        ("never", 70, "book could not be started: NotReady: not ready within 1 s"),
    ],
)
def test_a_start_that_fails_is_undone_and_says_who_and_why(
    start: Start, act: str, code: int, why: str
) -> None:
    """What the world did has its code; the record is last here too."""
    run = start(acts={"book": act})
    assert run.wait() == code, run.told()
    failed = next(line for line in run.log() if line["event"] == "the start failed")
    assert (failed["level"], failed["component"]) == ("critical", "book")
    began = next(line for line in run.log() if line["event"] == "Starting shutdown sequence")
    assert began["reason"].startswith(why)
    assert run.record()["cleanup_status"]["book"] == "parked"
    assert run.is_intact()


def test_systemd_hears_ready_alive_and_stopping(start: Start, tmp_path: Path) -> None:
    """Over a real socket, in this order, and alive again and again while it runs."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "500000"}
        run = start(environ=environ)
        heard: list[str] = []
        while heard.count("WATCHDOG=1") < 4 or "READY=1" not in heard:
            heard.append(manager.recv(4_096).decode())
        run.signal(TERM)
        assert run.wait() == 0
        manager.setblocking(False)  # noqa: FBT003 the standard library's
        while not heard[-1].startswith("STOPPING=1"):
            heard.append(manager.recv(4_096).decode())
    assert heard[-1] == "STOPPING=1\nSTATUS=signal 15"
    assert set(heard[:-1]) == {"READY=1", "WATCHDOG=1"}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="counts by /proc")
@pytest.mark.proves("SUP-2", "APP-12", "I-105")
def test_a_hundred_starts_and_stops_in_one_process_leave_nothing_behind(start: Start) -> None:
    """The same threads, tasks and open files as after the third, and at most 2 MB more memory."""
    run = start(again=100)
    assert run.wait() == 0, run.told()
    counted = [line for line in run.log() if line["event"] == "counted"]
    assert len(counted) == 100
    after_three, after_all = counted[2], counted[-1]
    for what in ("threads", "tasks", "files"):
        assert after_all[what] == after_three[what], what
    assert after_all["memory_kb"] - after_three["memory_kb"] <= 2_048


# -- what is in place before anything else


HEAVY = {
    *("asyncio", "logging", "msgspec", "structlog", "numpy", "pyarrow", "sqlalchemy", "click"),
    *("holdfast.domain", "holdfast.core", "socket", "ssl", "subprocess"),
}


@pytest.mark.proves("APP-15")
def test_the_handlers_need_nothing_heavy() -> None:
    """What is imported before they are in place, in an interpreter of its own."""
    text = (
        "import sys; from holdfast.runtime.signals import Signals; Signals().install();"
        "print('\\n'.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", text],
        env={**os.environ, "PYTHONPATH": CODE},
        capture_output=True,
        text=True,
        check=True,
    )
    assert HEAVY & set(done.stdout.split()) == set()


def test_the_handlers_are_in_place_within_a_tenth_of_a_second(start: Start) -> None:
    """Of the process's own time, interpreter and all: what others do meanwhile is not ours."""
    run = start()
    run.until("installed")
    run.signal(INT)
    assert run.wait() == 0
    assert run.marks()["installed"].cpu_s <= 0.1
