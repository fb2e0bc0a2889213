"""The thread that sees what the event loop cannot: that the loop itself is stuck.

It dumps the stacks of all threads, once for each time the loop hangs, and tells again when the
loop goes on. It restarts nothing: that is for systemd, which hears no more from a stuck loop.
"""

from collections.abc import Callable
from typing import Final

import structlog

from holdfast.runtime.clock import steady_s
from holdfast.runtime.stacks import thread_stacks
from holdfast.runtime.threads import SLICE_S, StopFlag, Threads

_log = structlog.get_logger("watchdog")

NAME: Final = "Watchdog"

HUNG_S: Final = 2.0
"""Without a beat of the loop for so long, it is stuck."""


class Watchdog:
    """Looks ten times a second whether the loop has beaten lately."""

    def __init__(
        self,
        *,
        hung_s: float = HUNG_S,
        while_hung: Callable[[float], None] = lambda _age_s: None,
        steady: Callable[[], float] = steady_s,
    ) -> None:
        """`while_hung` is called, from the thread, at each look at a stuck loop, with its age."""
        self._hung_s = hung_s
        self._while_hung = while_hung
        self._steady = steady
        self._beat_s = steady()
        self._hung_since_s: float | None = None
        self._threads: Threads | None = None
        self.hangs = 0

    def start(self, threads: Threads) -> None:
        """Begin to look. The loop counts as beaten just now."""
        self._threads = threads
        self.beat()
        threads.start(NAME, self.watch, owner=NAME)

    def beat(self) -> None:
        """The loop moves. Called from the loop, which in turn sees that the thread lives."""
        self._beat_s = self._steady()
        if self._threads is not None and self._threads.lost(NAME) is not None:
            _log.critical("the watchdog died and is started again", component=NAME)
            self._threads.start(NAME, self.watch, owner=NAME)

    def watch(self, flag: StopFlag) -> None:
        """What the thread does until it is told to end."""
        while not flag.wait(SLICE_S):
            self.look()

    def look(self) -> None:
        """Compare the last beat with the time, and tell when the loop hangs or goes on again."""
        age_s = self._steady() - self._beat_s
        if age_s >= self._hung_s:
            self._tell_hung(age_s)
            self._while_hung(age_s)
        elif self._hung_since_s is not None:
            seconds = self._beat_s - self._hung_since_s
            self._hung_since_s = None
            _log.error("the event loop goes on", component=NAME, seconds=round(seconds, 1))

    def _tell_hung(self, age_s: float) -> None:
        if self._hung_since_s is None:
            self._hung_since_s = self._beat_s
            self.hangs += 1
            _log.critical(
                "the event loop hangs",
                component=NAME,
                seconds=round(age_s, 1),
                stacks=thread_stacks(),
            )
