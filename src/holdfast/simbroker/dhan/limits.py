"""How many requests one account may make, over all windows of each class at once (dhan.md 2)."""

from bisect import bisect_right
from collections.abc import Mapping
from typing import Final

from holdfast.simbroker.dhan.route import Limit

SECOND_NS: Final = 1_000_000_000
_DAY_S: Final = 86_400

WINDOWS: Final[Mapping[Limit, tuple[tuple[int, int], ...]]] = {
    Limit.ORDERS: ((1, 10), (60, 250), (3_600, 1_000), (_DAY_S, 7_000)),
    Limit.DATA: ((1, 5), (_DAY_S, 100_000)),
    Limit.QUOTES: ((1, 1),),
    Limit.READS: ((1, 20),),
    Limit.CHAIN: ((3, 1),),
    Limit.NONE: (),
}
"""Seconds of each window, and how many requests fit into it; the longest stands last."""


class Limits:
    """Counts what was taken. Windows slide; what was refused does not count."""

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self._taken: dict[tuple[Limit, str], list[int]] = {}

    def take(self, limit: Limit, at_ns: int, *, key: str = "") -> bool:
        """Take a request at `at_ns`, or say that there is no room. Time never goes back.

        `key` keeps apart what is counted apart: two chains of different underlyings.
        """
        windows = WINDOWS[limit]
        taken = self._taken.setdefault((limit, key), [])
        for seconds, most in windows:
            if len(taken) - bisect_right(taken, at_ns - seconds * SECOND_NS) >= most:
                return False
        taken.append(at_ns)
        most = windows[-1][1] if windows else 0
        del taken[: max(len(taken) - most, 0)]
        return True
