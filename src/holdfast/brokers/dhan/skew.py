"""How far our clock is from the broker's, by the `Date` of its answers (T30, decisions 2.12)."""

from typing import Final

from holdfast.domain.event import ClockChanged

SECOND_NS: Final = 1_000_000_000
MILLISECOND_NS: Final = 1_000_000
STEP_MS: Final = 500
"""A change of less is not told."""


def skew_ns(sent_ns: int, heard_ns: int, date_ns: int) -> int:
    """How far ahead of the broker our clock surely is, negative when behind; 0 when it may be right.

    The broker stamped its answer, in whole seconds, at some moment between sending and hearing.
    """
    if heard_ns < date_ns:
        return heard_ns - date_ns
    return max(sent_ns - (date_ns + SECOND_NS), 0)


class SkewWatch:
    """Tells when the difference changes by half a second."""

    def __init__(self) -> None:
        """Nothing is known: the clocks are taken to agree."""
        self._told_ms = 0

    def hear(self, sent_ns: int, heard_ns: int, date_ns: int) -> ClockChanged | None:
        """Take the stamp of one answer; the event when it says something new."""
        ms = skew_ns(sent_ns, heard_ns, date_ns) // MILLISECOND_NS
        if abs(ms - self._told_ms) < STEP_MS:
            return None
        self._told_ms = ms
        return ClockChanged(at_ns=heard_ns, skew_ms=ms)
