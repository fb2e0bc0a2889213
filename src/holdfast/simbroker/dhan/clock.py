"""The server's time: that of the day it plays, at any speed, standing still when asked."""

from typing import Final

import msgspec

from holdfast.ports import Clock
from holdfast.runtime.clock import WallClock

SPEED_MAX: Final = 1_000


class ServerClock:
    """Scaled time that is a function of the wall's, so a server that returns is not behind.

    `wall_ns` and `start_ns` are one instant, on the wall and in the day.
    """

    def __init__(self, start_ns: int | None, speed: int, *, wall: Clock | None = None) -> None:
        """Begin at `start_ns` (UTC; `None`: the wall's own time) with `speed` seconds a second."""
        self._wall = wall or WallClock()
        wall_ns = self._wall.now_ns()
        self.pace = Pace(
            wall_ns=wall_ns, start_ns=wall_ns if start_ns is None else start_ns, speed=speed
        )

    def now_ns(self) -> int:
        """UTC nanoseconds of the day that is played."""
        return self.pace.at(self._wall.now_ns())

    def wall_s(self, seconds: float) -> float:
        """How many seconds of the wall `seconds` of the day are at the speed of now."""
        return seconds / self.pace.speed

    def change(self, *, speed: int | None = None, is_paused: bool | None = None) -> "Pace":
        """Go on from now at another speed, or stand still. Returns the pace from now on."""
        wall_ns = self._wall.now_ns()
        self.pace = Pace(
            wall_ns=wall_ns,
            start_ns=self.pace.at(wall_ns),
            speed=self.pace.speed if speed is None else speed,
            is_paused=self.pace.is_paused if is_paused is None else is_paused,
        )
        return self.pace

    def resume(self, pace: "Pace") -> None:
        """Go on at the pace of a server that died, as if it had not."""
        self.pace = pace


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How the day's time follows the wall's from one instant on (UTC nanoseconds)."""

    wall_ns: int
    start_ns: int
    speed: int
    is_paused: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no speed."""
        if not 1 <= self.speed <= SPEED_MAX:
            raise ValueError(f"speed {self.speed} is not within 1 to {SPEED_MAX}")

    def at(self, wall_ns: int) -> int:
        """The day's time at an instant of the wall."""
        passed_ns = 0 if self.is_paused else max(wall_ns - self.wall_ns, 0)
        return self.start_ns + passed_ns * self.speed
