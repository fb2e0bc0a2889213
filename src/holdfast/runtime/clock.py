"""Time for the shell: the wall's, one that runs faster, or that of the market data being played."""

import time
from typing import Final, Protocol

SPEED_MAX: Final = 20
"""Above it the host's own jitter is no longer small against the seconds that are promised."""


class DayClock(Protocol):
    """The time of one trading day. `is_real_time`: it passes by itself, not with what is heard.

    It is a `Timing` of the ports, written out: the signal handlers need this module before anything
    heavy is imported.
    """

    is_real_time: bool

    def now_ns(self) -> int:
        """UTC nanoseconds, never going back within a process."""
        ...

    def wall_s(self, seconds: float) -> float:
        """How many seconds of the wall so many of its own are."""
        ...

    def move(self, to_ns: int) -> None:
        """Something stamped `to_ns` has happened: it is not earlier than that any more."""
        ...


class WallClock:
    """UTC at the start plus monotonic time: it never goes back, whatever the host's clock does."""

    def __init__(self) -> None:
        self._base_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        """UTC nanoseconds."""
        return self._base_ns + time.monotonic_ns()

    def wall_s(self, seconds: float) -> float:
        """The same seconds."""
        return seconds


class ScaledClock:
    """Real time from a day's instant on, `speed` times as fast as the wall's; it never goes back.

    `start_ns` is what it shows now; `None` is the wall's UTC. With `since_ns` it is what it showed
    when the wall showed that, so that several processes, and one that begins again, agree. Only
    against a simulated broker may it differ from the wall's: the configuration sees to that.
    """

    is_real_time = True

    def __init__(self, start_ns: int | None, speed: int, *, since_ns: int | None = None) -> None:
        assert 1 <= speed <= SPEED_MAX, f"speed {speed}"
        wall_ns = time.time_ns()
        start_ns = wall_ns if start_ns is None else start_ns
        passed_ns = 0 if since_ns is None else wall_ns - since_ns
        self._start_ns = start_ns + passed_ns * speed
        self._began_ns = time.monotonic_ns()
        self._speed = speed
        self._least_ns = 0

    def now_ns(self) -> int:
        """UTC nanoseconds of the day that it counts."""
        now_ns = self._start_ns + (time.monotonic_ns() - self._began_ns) * self._speed
        return max(now_ns, self._least_ns)

    def move(self, to_ns: int) -> None:
        """It moves by itself; where something is stamped a little ahead it waits for it."""
        self._least_ns = max(self._least_ns, to_ns)

    def wall_s(self, seconds: float) -> float:
        """How many seconds of the wall `seconds` of its time are."""
        return seconds / self._speed


class VirtualClock:
    """The time of the newest event. It moves only when somebody moves it."""

    is_real_time = False

    def __init__(self, start_ns: int) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """UTC nanoseconds of the day being played."""
        return self._now_ns

    def move(self, to_ns: int) -> None:
        """Go on to `to_ns`; an earlier stamp changes nothing."""
        self._now_ns = max(self._now_ns, to_ns)

    def wall_s(self, seconds: float) -> float:
        """The same seconds: what runs beside a played day runs on the wall's time."""
        return seconds


def steady_s() -> float:
    """Seconds that only pass: the event loop's own time, for bounds that begin outside of it."""
    return time.monotonic()


def elapsed_s(since_ns: int) -> float:
    """Seconds of wall time since `cost_ns()` gave `since_ns`: for costs, never for decisions."""
    return (time.monotonic_ns() - since_ns) / 1e9


def cpu_ns() -> int:
    """Processor time that this process has used: what something costs, whoever else runs."""
    return time.process_time_ns()


def cost_ns() -> int:
    """A stamp for `elapsed_s`."""
    return time.monotonic_ns()
