"""The server's time."""

import pytest

from holdfast.simbroker.dhan.clock import Pace, ServerClock
from tests.unit.simbroker.dhan.served import HandWall


def test_time_runs_as_fast_as_told_and_waits_are_shorter() -> None:
    """Fifteen seconds a second."""
    wall = HandWall(100)
    clock = ServerClock(1_000, 15, wall=wall)
    assert clock.now_ns() == 1_000
    wall.at_ns = 110
    assert (clock.now_ns(), clock.wall_s(30)) == (1_150, 2.0)


def test_without_a_start_it_is_the_walls() -> None:
    """The real day, at its own speed."""
    wall = HandWall(100)
    clock = ServerClock(None, 1, wall=wall)
    wall.at_ns = 123
    assert clock.now_ns() == 123


def test_another_speed_begins_where_the_old_one_ended() -> None:
    """And a standstill stays where it is, however long."""
    wall = HandWall()
    clock = ServerClock(0, 10, wall=wall)
    wall.at_ns = 5
    clock.change(speed=2)
    wall.at_ns = 8
    assert clock.now_ns() == 56
    clock.change(is_paused=True)
    wall.at_ns = 100
    assert clock.now_ns() == 56
    clock.change(is_paused=False)
    wall.at_ns = 101
    assert clock.now_ns() == 58


def test_a_clock_that_resumes_has_missed_nothing() -> None:
    """The wall went on while nobody counted; one that went back changes nothing."""
    wall = HandWall(50)
    clock = ServerClock(0, 1, wall=wall)
    clock.resume(Pace(wall_ns=20, start_ns=1_000, speed=10))
    assert clock.now_ns() == 1_300
    wall.at_ns = 10
    assert clock.now_ns() == 1_000


@pytest.mark.parametrize("speed", [0, -1, 1_001])
def test_a_speed_that_is_none_is_refused(speed: int) -> None:
    """Before anything is played by it."""
    with pytest.raises(ValueError, match="is not within"):
        ServerClock(0, speed, wall=HandWall())
