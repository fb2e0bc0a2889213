"""A program that is started for one thing, and ends when that is done: not to trade on.

It recovers like every start, is told what it is here for and that it is being stopped, so that
nothing is entered, and its exits go on until the broker's own book shows that the thing is done.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog
from typing_extensions import override

from holdfast.core.view import View
from holdfast.domain.decision import HaltLevel
from holdfast.domain.event import OperatorAsked
from holdfast.runtime.day import SECOND_NS, Day
from holdfast.runtime.health import HEALTHY, Health
from holdfast.runtime.service import Group, Ready, Service

_log = structlog.get_logger("mandate")

LOOK_S: Final = 0.02
READ_EVERY_NS: Final = SECOND_NS
WITHIN_NS: Final = 180 * SECOND_NS
"""Of the market's time: by then somebody else must help."""

WITHIN_S: Final = 120.0
"""Of our own time, where the market's stands still."""


class Mandate(msgspec.Struct, frozen=True, kw_only=True):
    """What a start is for. `told` is told to its engine first; it ends once `is_done`.

    `told_settled` is told once the broker's book is read and nothing in it is awaited.
    """

    told: Sequence[OperatorAsked]
    is_done: Callable[[View], bool]
    told_settled: Sequence[OperatorAsked] = ()


def is_flat(view: View) -> bool:
    """Whether nothing of ours is left, and a read of the broker's book shows it (T5).

    The read began late enough after our last order to tell of it, and nothing in it is awaited.
    Whatever the broker holds in excess of ours is not ours to sell (T14).
    """
    return view.is_flat and view.is_read_since and not view.open_points


def is_settled(view: View) -> bool:
    """Whether the broker's book was read since the start, and nothing in it is awaited."""
    return view.broker_read_ns is not None and not view.open_points


def is_unlocked(view: View) -> bool:
    """Whether no halt stands, or the books that were read show what is in the way."""
    return view.halt is HaltLevel.NONE or (is_settled(view) and view.in_the_way is not None)


class Until(Service):
    """Looks whether a mandate is done, and ends the program then."""

    name = "mandate"
    needs: tuple[str, ...] = ("router",)
    group = Group.SIDE
    critical = False

    def __init__(self, day: Day, mandate: Mandate, over: Callable[[str], None]) -> None:
        """`over` ends the program, and is told why."""
        self._day = day
        self._mandate = mandate
        self._over = over
        self._began_ns: int | None = None
        self._began_s = 0.0
        self._read_ns = 0
        self._is_told = False

    @override
    async def run(self, ready: Ready) -> None:
        self._began_s = asyncio.get_running_loop().time()
        ready()
        await self.periodic("Mandate", self._look, every_s=LOOK_S)

    async def _look(self) -> None:
        engine = self._day.engine
        if engine is None or not self._day.has_begun:
            return
        view = engine.view
        self._began_ns = self._began_ns or view.now_ns
        if not self._is_told and is_settled(view):
            self._is_told = True
            for asked in self._mandate.told_settled:
                self._day.tell(msgspec.structs.replace(asked, at_ns=view.now_ns))
            return
        if self._mandate.is_done(view):
            self._over("it is done")
        elif view.now_ns - self._began_ns >= WITHIN_NS or self._is_late():
            _log.critical("not done in time", component=self.name, live_orders=view.live_orders)
            self._over("it was not done in time")
        elif view.now_ns - self._read_ns >= READ_EVERY_NS:
            self._read_ns = view.now_ns
            self._day.read_book()

    def _is_late(self) -> bool:
        return asyncio.get_running_loop().time() - self._began_s >= WITHIN_S

    @override
    def health(self) -> Health:
        return HEALTHY
