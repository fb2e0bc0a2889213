"""An event loop whose time jumps to the next deadline, and which can die between any two turns.

Minutes of waiting take milliseconds and give the same order every time; a deadlock raises. There is
no place in it for threads, signals or sockets: a world that starts a thread fails.
"""

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from typing_extensions import override


class Died(BaseException):
    """The process is gone. Nobody inside of it may catch this."""


class CallbackFailed(AssertionError):
    """Something that the loop called went wrong, and nobody heard of it."""


class ThreadStarted(AssertionError):
    """Something in a world started a thread: its order would differ from run to run."""


class _Jumping(selectors.SelectSelector):
    """Nobody can write to a virtual loop: the selector only says how long to wait."""

    now_s = 0.0

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "deadlock: everybody waits, and for nothing"
        self.now_s += max(timeout, 0.0)
        return []


class WorldLoop(asyncio.SelectorEventLoop):
    """See above. It begins at 0; `turn` is called before each turn and may raise `Died`."""

    def __init__(self, turn: Callable[[], None] = lambda: None) -> None:
        """Make a loop of its own time."""
        self._jumping = _Jumping()
        super().__init__(self._jumping)
        self._turn = turn
        self._faults: list[Mapping[str, Any]] = []
        self.set_exception_handler(lambda _loop, context: self._faults.append(context))

    @override
    def time(self) -> float:
        return self._jumping.now_s

    def _run_once(self) -> None:
        self._turn()
        for fault in self._faults:
            raise fault.get("exception") or CallbackFailed(str(fault))
        super()._run_once()  # type: ignore[misc]

    def live(self, main: Coroutine[Any, Any, None]) -> bool:
        """Run one process to its end; returns whether it came there alive.

        What it raises is raised here. A dead one runs none of its `finally`.
        """
        task = self.create_task(main)
        try:
            self.run_until_complete(task)
        except Died:
            return False
        finally:
            self._forget()
        left = asyncio.all_tasks(self)
        assert not left, f"tasks were left behind: {left}"
        return True

    def _forget(self) -> None:
        """Drop what a dead process was about to do."""
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 it is dead, not lost
        self._ready.clear()  # type: ignore[attr-defined]
        self._scheduled.clear()  # type: ignore[attr-defined]


@contextmanager
def no_threads() -> Iterator[None]:
    """Fail whatever starts a thread inside."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        raise ThreadStarted(f"a world started the thread {thread.name}")

    threading.Thread.start = refuse  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        threading.Thread.start = start  # type: ignore[method-assign]
