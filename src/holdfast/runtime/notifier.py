"""Tells people: from a thread of its own, so that a slow channel never holds up a decision."""

import queue
from collections.abc import Callable
from typing import Final

import structlog
from typing_extensions import override

from holdfast.domain.command import Notify, Severity
from holdfast.runtime.health import HEALTHY, Health, unhealthy
from holdfast.runtime.service import Group, Ready, Service
from holdfast.runtime.threads import SLICE_S, StopFlag

_log = structlog.get_logger("notifier")

ROOM: Final = 1_000
"""Messages that wait. Beyond it the oldest would be old news: newer ones are counted instead."""

Channel = Callable[[Notify], None]
"""Says one thing to people. May take its time; raises OSError when it could not."""


class Notifier(Service):
    """A side service. What a channel could not say is in the log all the same."""

    name = "notifier"
    needs: tuple[str, ...] = ("store",)
    group = Group.SIDE
    critical = False

    def __init__(self, channel: Channel) -> None:
        """`channel` is called from the thread `Notifier`."""
        self._channel = channel
        self._waiting: queue.Queue[Notify | None] = queue.Queue(ROOM)
        self.told = self.lost = 0
        self._is_failing = False

    def put(self, notify: Notify) -> None:
        """Queue one message. Never waits."""
        try:
            self._waiting.put_nowait(notify)
        except queue.Full:
            self.lost += 1
            self._is_failing = True

    @override
    async def run(self, ready: Ready) -> None:
        self.thread("Notifier", self._tell, wake=self._wake)
        ready()
        await self.stay()

    def _wake(self) -> None:
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            return  # it has enough to wake it

    def _tell(self, flag: StopFlag) -> None:
        """Say what waits, one after the other; the end is looked for at least each tenth second."""
        while not flag.is_set:
            try:
                notify = self._waiting.get(timeout=SLICE_S)
            except queue.Empty:
                continue
            if notify is not None:
                self._say(notify)

    def _say(self, notify: Notify) -> None:
        try:
            self._channel(notify)
            self.told += 1
            self._is_failing = False
        except OSError as error:
            self.lost += 1
            self._is_failing = True
            _log.warning("not told", component=self.name, error=str(error), text=notify.text)

    @override
    def health(self) -> Health:
        return unhealthy(f"{self.lost} messages lost") if self._is_failing else HEALTHY


def is_urgent(notify: Notify) -> bool:
    """Whether a person should look now."""
    return notify.severity is Severity.ALARM
