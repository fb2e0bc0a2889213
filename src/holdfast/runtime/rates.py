"""How many requests may leave: each window that the broker counts, and what of it exits keep (T7).

Time is an argument. A token comes back a whole window after it was taken, so that no stretch of
that length holds more than its limit, wherever the broker's own windows begin. Nothing is assumed
to be unused: what the journal and the broker's book tell of was taken, whichever process took it.
"""

from bisect import bisect_left, insort
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

SECOND_NS: Final = 1_000_000_000


TRAVEL_NS: Final = SECOND_NS // 4
"""Requests reach the broker so much closer together than they left: it counts when they arrive."""


class Category(StrEnum):
    """What the broker counts apart."""

    ORDERS = "orders"
    READS = "reads"
    QUOTES = "quotes"
    DATA = "data"
    CHAIN = "chain"


class Window(NamedTuple):
    """At most `most` requests in any `length_ns`; ordinary ones leave only below `ordinary`."""

    length_ns: int
    most: int
    ordinary: int


LIMITS: Final[Mapping[Category, tuple[Window, ...]]] = {
    Category.ORDERS: (
        Window(SECOND_NS + TRAVEL_NS, 10, 8),
        Window(60 * SECOND_NS, 250, 150),
        Window(3_600 * SECOND_NS, 1_000, 600),
        Window(24 * 3_600 * SECOND_NS, 7_000, 5_000),
    ),
    Category.READS: (Window(SECOND_NS + TRAVEL_NS, 20, 10),),  # T9: twenty a second are allowed
    Category.QUOTES: (Window(SECOND_NS + TRAVEL_NS, 1, 1),),
    Category.DATA: (Window(SECOND_NS + TRAVEL_NS, 5, 5),),
    Category.CHAIN: (Window(3 * SECOND_NS + TRAVEL_NS, 1, 1),),
}
"""The broker's limits for one account, and the share of ordinary traffic (T7)."""


class Bucket:
    """The tokens of one category, for all of its windows at once."""

    def __init__(self, windows: tuple[Window, ...]) -> None:
        """Full: nothing was taken yet. The longest window stands last."""
        assert list(windows) == sorted(windows), "the longest window stands last"
        self._windows = windows
        self._stamps: list[int] = []

    def take(self, at_ns: int, cost: int = 1) -> None:
        """A request left at `at_ns`, here or elsewhere; `cost` of them together."""
        for _ in range(cost):
            insort(self._stamps, at_ns)
        room = self._windows[-1].most
        if len(self._stamps) > 2 * room:
            del self._stamps[:-room]

    def give_back(self, at_ns: int) -> None:
        """What was to leave at `at_ns` has not left: the broker never knew of it."""
        at = bisect_left(self._stamps, at_ns)
        if at < len(self._stamps) and self._stamps[at] == at_ns:
            del self._stamps[at]

    def free_ns(self, *, is_ordinary: bool = False, cost: int = 1) -> int:
        """The earliest moment at which `cost` requests may leave, 0 when nothing is in their way.

        Ordinary ones may when everything that left, exits too, is below their share: what is kept
        for exits is there when one comes.
        """
        free_ns, taken = 0, len(self._stamps)
        for window in self._windows:
            room = (window.ordinary if is_ordinary else window.most) - cost
            assert room >= 0, f"{cost} requests never fit into {window}"
            if taken > room:
                free_ns = max(free_ns, self._stamps[taken - room - 1] + window.length_ns)
        return free_ns

    def used(self, now_ns: int) -> tuple[int, ...]:
        """How many tokens of each window are gone, the shortest window first."""
        return tuple(
            sum(1 for stamp in self._stamps if stamp > now_ns - window.length_ns)
            for window in self._windows
        )


class Governor:
    """One bucket per category, for one account."""

    def __init__(self, limits: Mapping[Category, tuple[Window, ...]] = LIMITS) -> None:
        """All of them full."""
        self._buckets = {category: Bucket(windows) for category, windows in limits.items()}

    def __getitem__(self, category: Category) -> Bucket:
        return self._buckets[category]
