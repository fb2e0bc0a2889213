"""Show 4 of supervision: what runs is listed by name while it runs, and is gone afterwards."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.store import schema
from holdfast.store.final import last_stop
from tests.support.command import environment
from tests.support.trading import WHOLE_LOTS, Trading, sockets_of
from tools import CHECKOUT

pytestmark = pytest.mark.timeout(90)

MANAGERS = {
    "feed": ["WebSocketListener", "KeepAliveTimer"],
    "monitor": ["PositionMonitor"],
    "book": ["StateReconciliation"],
}
"""Exactly two, one and one (the price, order and state managers of the source documents)."""

CHAIN = {
    "store": [],
    "recorder": ["store"],
    "login": ["store"],
    "instruments": ["login"],
    "book": ["login"],
    "feed": ["login", "instruments"],
    "engine": ["store", "recorder", "book", "feed"],
    "monitor": ["engine"],
    "updates": ["login", "engine"],
    "router": ["engine", "updates"],
}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Trading]:
    """A trading day at twenty times real time, ready."""
    run = Trading(tmp_path, speed=20).until_logged("everything is ready")
    yield run
    run.kill()


@pytest.mark.proves(
    *("PRM-1", "ORM-1", "STM-1", "TST-7", "B-07", "APP-5", "SUP-3", "SUP-10", "SUP-11"),
    *("ACT-1", "ACT-5", "SUP-12", "BAS-4", "BAS-6", "VER-2", "VER-3", "MFH-5", "PSY-1", "THR-3"),
)
def test_the_managers_tasks_run_by_name_and_none_is_left_after(running: Trading) -> None:
    """
    `holdfast status --json` lists them while it runs; at the stop the groups end in order, and
    nothing of ours is alive.
    """
    program = running.status()["program"]
    services = {one["name"]: one for one in program["services"]}
    assert {name: services[name]["tasks"] for name in MANAGERS} == MANAGERS
    assert {name: services[name]["needs"] for name in CHAIN} == CHAIN
    assert {one["state"] for one in services.values()} == {"ready"}
    assert all(one["running"] and one["ready"] for one in services.values())
    assert all(one["heartbeat_age_ms"] < 5_000 for one in services.values())
    threads = [name for one in services.values() for name in one["threads"]]
    assert set(threads) == {"JournalWriter", "JournalCheck", "TapeWriter", "Notifier"}
    assert sockets_of(running.process.pid), "the control socket, at least"
    running.signal(signal.SIGINT)
    assert running.wait() == 0, running.told()
    record = running.record()
    assert (record["active_tasks"], record["active_threads"]) == ([], [])
    assert record["other_threads"] == []
    assert record["final_state_verified"] is True
    ended = [line["component"] for line in running.log() if line["event"] == "service stopped"]
    order = [name for name in ended if name in CHAIN]
    for name, needs in CHAIN.items():
        assert all(order.index(name) < order.index(need) for need in needs), (name, order)
    assert order.index("router") < order.index("feed") < order.index("book")


@pytest.mark.proves("RACE-6", "SUP-1", "I-03", "I-97")
def test_a_second_process_on_the_account_is_refused_and_told_who_holds_it(
    running: Trading,
) -> None:
    """Code 4, with the process and what it does; the first one goes on."""
    second = Trading(running.home, speed=20)
    try:
        assert second.wait() == 4
    finally:
        second.kill()
    assert f"process {running.process.pid}" in second.stderr
    assert running.process.poll() is None
    assert running.service("engine")["state"] == "ready"


def test_the_status_of_nothing_says_so(tmp_path: Path) -> None:
    """Before anything runs, and after it ended: no program, no stale answer."""
    run = Trading(tmp_path, speed=0)
    assert run.wait() == 0, run.told()
    answer = run.status()
    assert (answer["running"], answer["program"]) == (None, None)
    assert answer["day"]["trades"] > 0


TIMES = 100


@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="counts by /proc")
@pytest.mark.proves("SUP-2", "SUP-9", "APP-12", "I-105", "THR-3", "B-21")
def test_a_hundred_days_in_one_process_leave_nothing_behind(tmp_path: Path) -> None:
    """The same threads, tasks and open files as after the third, and at most 2 MB more memory.

    With one pool of the allocator: how many it makes for its threads hangs on the load.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.again", tmp_path, str(TIMES)],
        cwd=CHECKOUT,
        env=environment(tmp_path, MALLOC_ARENA_MAX="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    counted = [json.loads(line) for line in done.stdout.splitlines()]
    third, last = counted[2], counted[-1]
    more_kb = last["memory_kb"] - third["memory_kb"]
    print(f"{len(counted)} starts and stops, {more_kb} KB more than after the third: {last}")  # noqa: T201 a Show
    assert len(counted) == TIMES
    assert {one["code"] for one in counted} == {0}
    assert {one["ticks"] for one in counted} == {third["ticks"]} != {0}
    for what in ("threads", "tasks", "files"):
        assert last[what] == third[what], what
    assert more_kb <= 2_048


@pytest.mark.proves("APP-16")
def test_what_is_held_at_the_stop_is_reported_and_keeps_its_stop(tmp_path: Path) -> None:
    """In the final record, in the database's last words, and on the screen, with its resting stop."""
    moments = [["events", 58_000, signal.SIGTERM.value]]
    run = Trading(tmp_path, lots=WHOLE_LOTS, watches=True, moments=moments)
    try:
        assert run.wait() == 0, run.told()
    finally:
        run.kill()
    state = run.record()["final_state"]
    assert (run.record()["open_positions"], state["open_positions"]) == (1, 1)
    [stop] = state["live_orders"]
    told = last_stop(run.folder / schema.FILE_NAME)
    assert told is not None
    [held] = told[1].open_positions
    assert f"-S{held:04}-" in stop
    assert told[1].live_orders == (stop,)
    report = (tmp_path / "stdout").read_text()
    assert "STILL OPEN" in report
