"""What the feed of a world shows of its market, brought in slots of time."""

from collections.abc import Sequence

from holdfast.domain.market import Tick


class Feed:
    """The told ticks in order of receipt. It goes on while our process is down."""

    def __init__(self, told: Sequence[Tick]) -> None:
        """Nothing was brought yet."""
        self._told = told
        self._next = 0

    def until(self, now_ns: int) -> Sequence[Tick]:
        """What has come up to `now_ns`, and was not brought before."""
        first = self._next
        while self._next < len(self._told) and self._told[self._next].at_ns <= now_ns:
            self._next += 1
        return self._told[first : self._next]
