"""Time for the shell: it never goes back, and virtual time moves only when it is moved."""

import time

import pytest

from holdfast.runtime.clock import (
    ScaledClock,
    VirtualClock,
    WallClock,
    cost_ns,
    cpu_ns,
    elapsed_s,
)


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


def test_scaled_time_runs_from_its_start_at_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds of the wall are half a minute at speed 15, and half a minute is two seconds."""
    monkeypatch.setattr(time, "monotonic_ns", lambda: 5_000_000_000)
    clock = ScaledClock(1_000, 15)
    assert clock.now_ns() == 1_000
    monkeypatch.setattr(time, "monotonic_ns", lambda: 7_000_000_000)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert clock.now_ns() == 1_000 + 30_000_000_000
    assert clock.wall_s(30) == 2.0


def test_scaled_time_without_a_start_is_the_walls() -> None:
    """It begins with the host's UTC and goes on by the monotonic clock."""
    before = time.time_ns()
    assert before <= ScaledClock(None, 1).now_ns() <= time.time_ns() + 1_000_000_000


def test_no_speed_above_twenty_and_none_below_one() -> None:
    """The host's jitter would no longer be small against promised seconds."""
    for speed in (0, 21):
        with pytest.raises(AssertionError):
            ScaledClock(0, speed)


def test_seconds_of_the_wall_and_of_a_played_day_are_the_walls() -> None:
    """What runs beside a played day runs on the wall's time."""
    assert WallClock().wall_s(2.5) == 2.5
    assert VirtualClock(0).wall_s(2.5) == 2.5
