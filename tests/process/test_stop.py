"""Show 1 of supervision: fifty seeded signals to the trading program itself, and twenty pairs."""

import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from holdfast.store import query, schema
from tests.support.trading import Trading

pytestmark = pytest.mark.timeout(120)

INT, TERM = signal.SIGINT, signal.SIGTERM

SECONDS_MAX = 5.0 + 0.5
"""From the first signal to the end of the process: five, and a half on a loaded machine."""

FAST = 2_000
"""A day in eleven seconds, with the threads of a day in real time."""


class Calls:
    """How many calls the program makes until it is ready, and within its stop."""

    def __init__(self, until_ready: int, within_stop: int) -> None:
        self.until_ready = until_ready
        self.within_stop = within_stop


@pytest.fixture(scope="session")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Calls:
    """Counted once, in a run whose market ends early."""
    start = Trading(tmp_path_factory.mktemp("dry"), moments=[["calls", 10**9, INT]])
    start.until_logged("everything is ready").signal(TERM)
    assert start.wait() == 0, start.told()
    ups = [mark.calls for mark in start.marks() if mark.name == "up"]
    moments = [["stop", 10**9, INT]]
    stop = Trading(tmp_path_factory.mktemp("dry"), moments=moments, watches=True, batches=2)
    assert stop.wait() == 0, stop.told()
    return Calls(max(ups), stop.mark("stopped").calls)


@pytest.fixture
def begun() -> Iterator[list[Trading]]:
    """Programs that a test starts; none outlives it."""
    started: list[Trading] = []
    yield started
    for one in started:
        one.kill()


def _plan(seed: int, calls: Calls) -> tuple[dict[str, Any], str]:
    """What is done under a seed: one of five kinds, ten of each."""
    draw = Random(seed)
    number = draw.choice([INT, TERM]).value
    speed = draw.choice([0, FAST])
    match seed % 5:
        case 0:
            moment = draw.randint(1, calls.until_ready)
            return {"moments": [["calls", moment, number]], "speed": speed}, "before ready"
        case 1:
            moments = [["partial", seed // 5 + 1, number]]
            return {"moments": moments, "watches": True, "speed": 0}, "partial fill"
        case 2:
            moments = [["stop", draw.randint(1, calls.within_stop), number]]
            plan = {"moments": moments, "watches": True, "batches": draw.randint(2, 8)}
            return {**plan, "speed": speed}, "within the stop"
        case _:
            moments = [["events", draw.randint(100, 150_000), number]]
            return {"moments": moments, "watches": True, "speed": speed}, "while it runs"


def _signalled(home: Path, begun: list[Trading], plan: dict[str, Any]) -> tuple[Trading, int]:
    """Run it. Where it ended before its moment came, which hangs on the machine, half as late."""
    for attempt in range(6):
        run = Trading(home / str(attempt), **plan)
        begun.append(run)
        code = run.wait()
        if any(mark.name.startswith("signal") for mark in run.marks()):
            return run, code
        plan["moments"][0][1] //= 2
    raise AssertionError("it was never signalled")


@pytest.mark.proves(
    *("APP-1", "APP-2", "APP-4", "APP-7", "APP-8", "APP-10", "APP-11", "APP-12", "APP-13"),
    *("APP-15", "SUP-15", "I-116", "VER-1", "VER-2", "ORM-2", "PRM-2", "STM-2", "STM-3", "B-01"),
)
@pytest.mark.parametrize("seed", range(50))
def test_a_signal_at_any_moment_ends_a_trading_day_cleanly(
    tmp_path: Path, begun: list[Trading], calls: Calls, seed: int
) -> None:
    """
    Before ready, with a fill in flight, within the stop, at any event: the right code within five
    seconds, the record last, the journal whole, nothing of ours alive.
    """
    plan, kind = _plan(seed, calls)
    run, code = _signalled(tmp_path, begun, plan)
    assert code == 0, run.told()
    sent = next(mark for mark in run.marks() if mark.name.startswith("signal"))
    seconds = run.ended_s - sent.at_s
    print(f"seed {seed}: {kind}, {sent.name}, over after {seconds:.3f} s")  # noqa: T201 a Show
    assert seconds <= SECONDS_MAX
    assert run.is_intact()
    if "stopped before it began" in run.stderr:
        assert kind == "before ready"
        return
    caught = f"Caught signal {sent.name.removeprefix('signal')}, initiating shutdown..."
    assert caught in [*run.events(), *run.stderr.splitlines()]
    record = run.record()
    assert (record["exit_code"], record["final_state_verified"]) == (0, True), record
    assert (record["active_threads"], record["active_tasks"]) == ([], [])
    assert record["db_connections"] == 0
    assert set(record["cleanup_status"].values()) <= {"stopped", "waiting"}
    assert record["open_positions"] == record["final_state"]["open_positions"]
    if kind == "partial fill":
        filled = [order.filled_quantity for order in query.orders(run.folder / schema.FILE_NAME)]
        assert any(filled), "what had filled is written down"


@pytest.mark.proves("APP-3", "APP-14", "LOG-4", "RACE-10", "TST-8", "ORM-3")
@pytest.mark.parametrize("seed", range(20))
def test_a_second_signal_ends_a_trading_day_at_once(
    tmp_path: Path, begun: list[Trading], calls: Calls, seed: int
) -> None:
    """The forced line with the stacks of all, code 1, everything flushed, the journal intact."""
    draw = Random(1_000 + seed)
    first, second = draw.choice([(INT, INT), (INT, TERM), (TERM, INT), (TERM, TERM)])
    begins = (
        ["partial", draw.randint(1, 8), first.value]
        if seed % 2
        else ["events", draw.randint(100, 60_000), first.value]
    )
    moments = [begins, ["calls", draw.randint(1, calls.within_stop * 3 // 4), second.value]]
    run = Trading(
        tmp_path, moments=moments, watches=True, speed=0 if seed % 2 else draw.choice([0, FAST])
    )
    begun.append(run)
    assert run.wait() == 1, run.told()
    seconds = run.ended_s - run.marks()[-1].at_s
    print(f"seed {seed}: forced, over after {seconds:.3f} s")  # noqa: T201 a Show
    assert seconds <= 1.0
    forced = run.log()[-1]
    assert (forced["event"], forced["level"]) == (
        "Forced exit requested, calling os._exit(1)",
        "warning",
    )
    assert {"MainThread", "supervisor", "Watchdog"} <= forced["stacks"].keys()
    assert run.is_intact()


@pytest.mark.proves("APP-15")
def test_the_handlers_are_in_place_within_a_tenth_of_a_second(
    tmp_path: Path, begun: list[Trading]
) -> None:
    """Of the process's own time, interpreter and all: what others do meanwhile is not ours."""
    run = Trading(tmp_path, moments=[["calls", 10, INT]])
    begun.append(run)
    assert run.wait() == 0
    installed = run.mark("installed").cpu_s
    print(f"handlers after {installed * 1_000:.0f} ms of the process's time")  # noqa: T201 a Show
    assert installed <= 0.1
