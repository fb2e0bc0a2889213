"""Whether exits are really evaluated: looked at from outside the engine, ten times a second.

The engine may claim what it likes; a position whose rules have not run for two seconds of the
session is an alarm, and no entry leaves until they do.
"""

from collections.abc import Callable
from typing import Final

import structlog
from typing_extensions import override

from holdfast.domain.command import Notify, Severity
from holdfast.runtime.health import HEALTHY, Health, unhealthy
from holdfast.runtime.service import Group, Ready, Service

_log = structlog.get_logger("monitor")

WATERMARK_S: Final = 2.0

Watermark = Callable[[], float | None]
"""Seconds since the rules of the position that waits longest ran; `None` when none is held."""


class Monitor(Service):
    """Reads the watermarks. The watchdog thread reads them too, when the loop itself is stuck."""

    name = "monitor"
    needs: tuple[str, ...] = ("engine",)
    group = Group.ORDER

    def __init__(
        self,
        watermark: Watermark,
        *,
        interval_s: float,
        notify: Callable[[Notify], None] = lambda _notify: None,
    ) -> None:
        """`interval_s` between two looks. `notify` tells people; called from any thread."""
        self._watermark = watermark
        self._interval_s = interval_s
        self._notify = notify
        self._age_s: float | None = None
        self._is_read = self._is_alarmed = False

    @override
    async def run(self, ready: Ready) -> None:
        await self._look()
        ready()
        name = "PositionMonitor"
        self.task(self.periodic(name, self._look, every_s=self._interval_s), name=name)

    async def _look(self) -> None:
        self._age_s = self._watermark()
        self._is_read = True
        is_old = self._age_s is not None and self._age_s > WATERMARK_S
        if is_old and not self._is_alarmed:
            self._alarm("PositionMonitor")
        self._is_alarmed = is_old

    def while_hung(self, age_s: float) -> None:
        """Called by the watchdog's thread while the event loop is stuck: nobody looks, then."""
        if self._watermark() is not None and not self._is_alarmed and age_s > WATERMARK_S:
            self._is_alarmed, self._age_s = True, age_s
            self._alarm("Watchdog")

    def _alarm(self, component: str) -> None:
        _log.critical("exits are not evaluated", component=component, age_s=self._age_s)
        text = f"the rules of an open position last ran {self._age_s:.1f} s ago"
        self._notify(Notify(severity=Severity.ALARM, text=text))

    @override
    def health(self) -> Health:
        if not self._is_read:
            return unhealthy("no watermark was read")
        if self._is_alarmed:
            return unhealthy(f"exits were last evaluated {self._age_s:.1f} s ago")
        return HEALTHY
