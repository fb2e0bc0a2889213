"""Time for the shell: it never goes back, and virtual time moves only when it is moved."""

import time

import pytest

from holdfast.runtime.clock import VirtualClock, WallClock, cost_ns, cpu_ns, elapsed_s


def test_the_wall_clock_is_utc_and_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set once at the start: the host's clock may jump, ours goes on by the monotonic one."""
    before = time.time_ns()
    clock = WallClock()
    first = clock.now_ns()
    assert before - 1_000_000_000 <= first <= time.time_ns() + 1_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    stamps = [first, *(clock.now_ns() for _ in range(100))]
    assert stamps == sorted(stamps)
    assert stamps[-1] - first < 60_000_000_000


def test_virtual_time_moves_forward_only() -> None:
    """An earlier stamp changes nothing."""
    clock = VirtualClock(100)
    assert clock.now_ns() == 100
    clock.move(250)
    clock.move(90)
    assert clock.now_ns() == 250


def test_costs_are_seconds_of_wall_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run cost on this machine, for people."""
    monkeypatch.setattr(time, "monotonic_ns", lambda: 5_000_000_000)
    since = cost_ns()
    monkeypatch.setattr(time, "monotonic_ns", lambda: 7_500_000_000)
    assert elapsed_s(since) == 2.5


def test_processor_time_is_not_the_walls(monkeypatch: pytest.MonkeyPatch) -> None:
    """What others do on the machine is not counted."""
    monkeypatch.setattr(time, "process_time_ns", lambda: 7)
    assert cpu_ns() == 7
