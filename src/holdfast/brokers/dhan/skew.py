"""How far our clock is from the broker's, by the `Date` of its answers (T30, decisions 2.12)."""

from typing import Final

from holdfast.domain.event import ClockChanged

SECOND_NS: Final = 1_000_000_000
MILLISECOND_NS: Final = 1_000_000
STEP_MS: Final = 500
"""A change of less is not told."""

_FAR_NS: Final = 1 << 62


class SkewWatch:
    """Tells when the difference changes by half a second.

    The broker stamps in whole seconds, at some moment between our sending and our hearing: one
    answer leaves more than a second open. Each further one narrows that, for as long as they agree;
    where they do not, a clock was set, and what was known of it is forgotten.
    """

    def __init__(self) -> None:
        """Nothing is known: the clocks are taken to agree."""
        self._least_ns, self._most_ns = -_FAR_NS, _FAR_NS
        self._told_ms = 0

    @property
    def skew_ns(self) -> int:
        """How far ahead of the broker our clock surely is, negative when behind; 0 when it may be right."""
        if self._most_ns < 0:
            return self._most_ns
        return max(self._least_ns, 0)

    def hear(self, sent_ns: int, heard_ns: int, date_ns: int) -> ClockChanged | None:
        """Take the stamp of one answer; the event when it says something new."""
        least_ns, most_ns = sent_ns - date_ns - SECOND_NS, heard_ns - date_ns
        if least_ns > self._most_ns or most_ns < self._least_ns:
            self._least_ns, self._most_ns = least_ns, most_ns
        else:
            self._least_ns = max(self._least_ns, least_ns)
            self._most_ns = min(self._most_ns, most_ns)
        ms = int(self.skew_ns / MILLISECOND_NS)
        if abs(ms - self._told_ms) < STEP_MS:
            return None
        self._told_ms = ms
        return ClockChanged(at_ns=heard_ns, skew_ms=ms)
