"""How many requests about orders the broker takes, over all of its windows at once."""

from bisect import bisect_right
from typing import Final

import msgspec

SECOND_NS: Final = 1_000_000_000


class RateLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Requests about orders that one account may make (places, modifications, cancels together)."""

    second: int = 10
    minute: int = 250
    hour: int = 1_000
    day: int = 7_000

    def windows(self) -> tuple[tuple[str, int, int], ...]:
        """Name, length in nanoseconds and limit of each; the shortest first."""
        return (
            ("second", SECOND_NS, self.second),
            ("minute", 60 * SECOND_NS, self.minute),
            ("hour", 3_600 * SECOND_NS, self.hour),
            ("day", 86_400 * SECOND_NS, self.day),
        )


class RequestRates:
    """Counts the requests that were taken. Windows slide; what was refused does not count."""

    def __init__(self, limits: RateLimits) -> None:
        self._windows = limits.windows()
        self._taken_ns: list[int] = []

    def take(self, at_ns: int) -> str | None:
        """Take a request at `at_ns`, or say which window has no room for it. Time never goes back."""
        for name, length_ns, limit in self._windows:
            if len(self._taken_ns) - bisect_right(self._taken_ns, at_ns - length_ns) >= limit:
                return name
        self._taken_ns.append(at_ns)
        return None
