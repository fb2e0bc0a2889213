"""The engine's deadlines: when it wants to be called if nothing happens first.

Equal deadlines run in key order: candles by interval then instrument, then connections, orders,
positions, sweep, session, book, poll, panic. A key has at most one deadline; setting it again
replaces it.
"""

import heapq
from enum import IntEnum
from typing import NamedTuple


class Rank(IntEnum):
    """What a deadline is for, in the order in which equal ones run."""

    CANDLE = 0
    CONNECTION = 1
    ORDER = 2
    POSITION = 3
    SWEEP = 4
    SESSION = 5
    BOOK = 6
    POLL = 7
    PANIC = 8


class TimerKey(NamedTuple):
    """Names one deadline. `number` and `text` order the deadlines of one rank."""

    rank: Rank
    number: int = 0
    text: str = ""


class Timers:
    """A heap of deadlines with replacement."""

    def __init__(self) -> None:
        self._at: dict[TimerKey, int] = {}
        self._heap: list[tuple[int, TimerKey]] = []

    def set(self, key: TimerKey, at_ns: int) -> None:
        """Call for `key` at `at_ns`, and at no other time."""
        if self._at.get(key) != at_ns:
            self._at[key] = at_ns
            heapq.heappush(self._heap, (at_ns, key))

    def set_earlier(self, key: TimerKey, at_ns: int) -> None:
        """Call for `key` at `at_ns` unless an earlier call is due anyway."""
        present = self._at.get(key)
        if present is None or at_ns < present:
            self.set(key, at_ns)

    def is_set(self, key: TimerKey) -> bool:
        """Whether a call for `key` is due some time."""
        return key in self._at

    def clear(self, key: TimerKey) -> None:
        """No call for `key`."""
        self._at.pop(key, None)

    def postpone(self, to_ns: int) -> None:
        """No call before `to_ns`: what was due earlier is due then. Nobody was there to call."""
        for key, at_ns in sorted(self._at.items()):
            if at_ns < to_ns:
                self.set(key, to_ns)

    def tidy(self) -> None:
        """Forget deadlines that were replaced, and how the others came: it means nothing."""
        self._heap = sorted((at_ns, key) for key, at_ns in self._at.items())

    @property
    def deadline_ns(self) -> int | None:
        """The earliest deadline, `None` when there is none."""
        heap = self._heap
        while heap and self._at.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now_ns: int) -> TimerKey | None:
        """Take the first deadline at or before `now_ns`, `None` when none is due."""
        deadline_ns = self.deadline_ns
        if deadline_ns is None or deadline_ns > now_ns:
            return None
        _, key = heapq.heappop(self._heap)
        del self._at[key]
        return key
