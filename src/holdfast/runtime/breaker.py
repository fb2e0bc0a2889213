"""The breaker of the order path: open after repeated failures, it lets nothing new be entered.

It never stands in the way of an exit, a stop or a cancel: each of them is a probe (design 6). Time
is an argument. A refusal is no failure: somebody answered.
"""

from enum import StrEnum
from typing import Final

SECOND_NS: Final = 1_000_000_000
FAILURES_MAX: Final = 5
WITHIN_NS: Final = 30 * SECOND_NS
PROBE_AFTER_NS: Final = 15 * SECOND_NS
PROBE_AFTER_NS_MAX: Final = 120 * SECOND_NS

ANSWER_NS: Final = 5 * SECOND_NS
"""A probe without an answer by then has failed: the time-out of a read."""


class BreakerState(StrEnum):
    """CLOSED: the path works. OPEN: it does not. HALF_OPEN: a probe is on its way."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Opens after `FAILURES_MAX` calls failed within `WITHIN_NS`; doubles its wait with each probe."""

    def __init__(self) -> None:
        """Closed."""
        self.state = BreakerState.CLOSED
        self.opened = 0
        self._failed: list[int] = []
        self._wait_ns = PROBE_AFTER_NS
        self._due_ns: int | None = None
        self._closed_ns: int | None = None

    @property
    def is_closed(self) -> bool:
        """Whether anything may leave that is not an exit's."""
        return self.state is BreakerState.CLOSED

    @property
    def due_ns(self) -> int | None:
        """When to probe, or to give a probe up; `None` while it is closed."""
        return self._due_ns

    def fail(self, at_ns: int) -> bool:
        """A call failed: time-out, reset, 5xx, no connection. Returns whether that opened it."""
        if self.state is BreakerState.HALF_OPEN:
            self._wait_ns = min(2 * self._wait_ns, PROBE_AFTER_NS_MAX)
            self._open(at_ns)
        if self.state is BreakerState.OPEN:
            return False
        self._failed = [one for one in self._failed if at_ns - one < WITHIN_NS] + [at_ns]
        if len(self._failed) < FAILURES_MAX:
            return False
        if self._closed_ns is not None and at_ns - self._closed_ns >= PROBE_AFTER_NS_MAX:
            self._wait_ns = PROBE_AFTER_NS
        self._failed.clear()
        self.opened += 1
        self._open(at_ns)
        return True

    def answer(self, at_ns: int, *, is_order: bool) -> bool:
        """A call was answered. Returns whether that closed it.

        The answer to a request about an order (`is_order`) does so at once: it is the best probe.
        That to a read does while it is probed; before, it brings the next probe forward, however
        long the wait has become.
        """
        if self.is_closed:
            return False
        if not is_order and self._due_ns is not None and self.state is BreakerState.OPEN:
            self._due_ns = min(self._due_ns, at_ns + 2 * PROBE_AFTER_NS)
            return False
        self.state, self._due_ns, self._closed_ns = BreakerState.CLOSED, None, at_ns
        return True

    def turn(self, now_ns: int) -> bool:
        """Do what is due; returns whether a probe is to be sent now."""
        if self._due_ns is None or now_ns < self._due_ns:
            return False
        if self.state is BreakerState.HALF_OPEN:
            self.fail(now_ns)
            return False
        self.state, self._due_ns = BreakerState.HALF_OPEN, now_ns + ANSWER_NS
        return True

    def _open(self, at_ns: int) -> None:
        self.state, self._due_ns = BreakerState.OPEN, at_ns + self._wait_ns
