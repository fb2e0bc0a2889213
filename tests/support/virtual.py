"""An event loop whose time jumps: to the next deadline, as soon as everybody waits.

Hours of waiting take milliseconds and give the same order every time; a deadlock raises. There is
no place in it for threads, signals or sockets.
"""

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from typing_extensions import override

_T = TypeVar("_T")


class _Jumping(selectors.SelectSelector):
    """Nobody can write to a virtual loop: the selector only says how long to wait."""

    now_s = 0.0

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "deadlock: everybody waits, and for nothing"
            self.now_s += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """See above. It begins at 0."""

    def __init__(self) -> None:
        """Make a loop of its own time."""
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    @override
    def time(self) -> float:
        return self._jumping.now_s


class NoWallClock:
    """The clock of a program that runs in virtual time: its stamps are the loop's."""

    def now_ns(self) -> int:
        """Nanoseconds of the running loop."""
        return round(asyncio.get_running_loop().time() * 1e9)


class LoopClock:
    """A day in real time on a virtual loop: so many of its seconds pass in one of the loop's."""

    is_real_time = True

    def __init__(self, start_ns: int, speed: int = 1) -> None:
        """It shows `start_ns` now. Made inside the event loop."""
        self._start_ns = start_ns
        self._speed = speed
        self._began_s = asyncio.get_running_loop().time()
        self._least_ns = 0

    def now_ns(self) -> int:
        """UTC nanoseconds of the day."""
        passed_s = asyncio.get_running_loop().time() - self._began_s
        return max(self._start_ns + round(passed_s * 1e9) * self._speed, self._least_ns)

    def move(self, to_ns: int) -> None:
        """It waits for what is stamped a little ahead of it."""
        self._least_ns = max(self._least_ns, to_ns)

    def skip(self, to_ns: int) -> None:
        """The host slept until then."""
        self._start_ns += to_ns - self.now_ns()

    def wall_s(self, seconds: float) -> float:
        """How many of the loop's seconds they are."""
        return seconds / self._speed


def virtually(main: Coroutine[Any, Any, _T]) -> _T:
    """Run to the end in virtual time. Tasks that are left over fail the test."""
    faults: list[Mapping[str, Any]] = []
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.get_loop().set_exception_handler(lambda _loop, context: faults.append(context))
        result = runner.run(main)
        left = asyncio.all_tasks(runner.get_loop())
    assert not left, left
    assert not faults, faults
    return result
