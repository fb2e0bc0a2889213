"""Time for the shell: the wall's, or that of the market data being played."""

import time


class WallClock:
    """UTC at the start plus monotonic time: it never goes back, whatever the host's clock does."""

    def __init__(self) -> None:
        self._base_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        """UTC nanoseconds."""
        return self._base_ns + time.monotonic_ns()


class VirtualClock:
    """The time of the newest event. It moves only when somebody moves it."""

    def __init__(self, start_ns: int) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """UTC nanoseconds of the day being played."""
        return self._now_ns

    def move(self, to_ns: int) -> None:
        """Go on to `to_ns`; an earlier stamp changes nothing."""
        self._now_ns = max(self._now_ns, to_ns)


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
