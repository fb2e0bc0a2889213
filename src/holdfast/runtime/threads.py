"""The only place that starts threads: each has a name, an owner, and an end.

No thread is a daemon. Each is told to end, joined, and kept in the register until it has ended, so
that whatever is still alive can be named.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Final, TypeVar

import structlog

from holdfast.runtime.fault import Fault

_log = structlog.get_logger("threads")

SLICE_S: Final = 0.1
"""The longest time that a pausing thread does not look at its stop flag."""

JOIN_S: Final = 1.0
"""How long one thread may take to end once it was told to."""

GOING_S: Final = 0.05
"""How long a thread that has done its work may take to be gone."""

_T = TypeVar("_T")


class StopFlag:
    """What tells a thread to end."""

    def __init__(self) -> None:
        """Not set."""
        self._event = threading.Event()

    def set(self) -> None:
        """Tell it."""
        self._event.set()

    @property
    def is_set(self) -> bool:
        """Whether the thread should end now."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Pause for `seconds`, or less when told to end meanwhile; returns whether it was told."""
        slices = int(seconds / SLICE_S)
        pauses = (*(SLICE_S for _ in range(slices)), seconds - slices * SLICE_S)
        return any(self._event.wait(pause) for pause in pauses)


Target = Callable[[StopFlag], None]
"""What a thread runs: it returns when its flag is set."""


class OwnThread:
    """A thread of ours, and what came of it."""

    def __init__(self, name: str, owner: str, target: Target, *, wake: Callable[[], None]) -> None:
        """Made by `Threads.start`. `is_errand`: it ends by itself, when it has done its work."""
        self.is_errand = False
        self.name = name
        self.owner = owner
        self.error: Exception | None = None
        self._target = target
        self._wake = wake
        self._flag = StopFlag()
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], object]] = []
        self._is_over = False
        self._thread = threading.Thread(target=self._live, name=name, daemon=False)

    def start(self) -> None:
        """Start it. Raises RuntimeError when the system has no thread left."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._thread.is_alive()

    @property
    def was_told(self) -> bool:
        """Whether it was told to end."""
        return self._flag.is_set

    def tell(self) -> None:
        """Tell it to end, and wake it where it waits."""
        self._flag.set()
        self._wake()

    async def join(self, seconds: float | None = None) -> bool:
        """Wait for its end while the event loop goes on; returns whether it came."""
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        self._hear(lambda: loop.call_soon_threadsafe(over.set))
        if not self._is_over:
            try:
                async with asyncio.timeout(seconds):
                    await over.wait()
            except TimeoutError:
                return False
        self._thread.join(GOING_S)
        return not self.is_alive

    def _hear(self, listener: Callable[[], object]) -> None:
        """Call `listener` when the thread is over: from it, or at once."""
        with self._lock:
            if not self._is_over:
                self._listeners.append(listener)
                return
        listener()

    def _live(self) -> None:
        try:
            self._target(self._flag)
        except Exception as error:  # one of the places of tests/arch/test_source.py
            self.error = error
            _log.error("a thread failed", component=self.name, **Fault.of(error).fields)
        finally:
            self._tell_over()

    def _tell_over(self) -> None:
        with self._lock:
            self._is_over = True
        for listener in self._listeners:
            with contextlib.suppress(RuntimeError):  # that event loop is closed
                listener()


class Threads:
    """The register of our threads, in the order in which they were started."""

    def __init__(self) -> None:
        """Empty."""
        self._threads: list[OwnThread] = []

    def start(
        self,
        name: str,
        target: Target,
        *,
        owner: str,
        wake: Callable[[], None] = lambda: None,
    ) -> OwnThread:
        """Run `target` in a thread until it returns; it must when its flag is set.

        `wake` is called besides, for a thread that waits for something else. Raises RuntimeError
        when one of that name is still alive, or the system has no thread left.
        """
        if name in self.alive():
            raise RuntimeError(f"a thread {name} is still alive")
        thread = OwnThread(name, owner, target, wake=wake)
        thread.start()
        self._threads = [one for one in self._threads if one.name != name] + [thread]
        return thread

    def of(self, owner: str | None = None) -> tuple[OwnThread, ...]:
        """The threads that were started, of one owner or all; those that have ended too."""
        return tuple(one for one in self._threads if owner in {None, one.owner})

    def alive(self, owner: str | None = None) -> tuple[str, ...]:
        """The names of those that run."""
        return tuple(one.name for one in self.of(owner) if one.is_alive)

    def lost(self, owner: str) -> str | None:
        """The name of a thread that ended without having been told to."""
        living = (one for one in self.of(owner) if not one.is_errand)
        lost = (one.name for one in living if not one.is_alive and not one.was_told)
        return next(lost, None)

    async def stop(self, owner: str | None = None, *, within_s: float = JOIN_S) -> tuple[str, ...]:
        """Tell threads to end and wait for it, `within_s` at most; the names of those that stay.

        All are told before any is waited for. The event loop goes on meanwhile.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + within_s
        for thread in self.of(owner):
            thread.tell()
        for thread in self.of(owner):
            await thread.join(max(until_s - loop.time(), 0.0))
        stay = self.alive(owner)
        for name in stay:
            _log.error("a thread did not end in time", component=name, within_s=within_s)
        return stay

    async def call(self, name: str, function: Callable[[], _T], *, owner: str) -> _T:
        """What `function` returns or raises, run in a thread so that the event loop goes on."""
        answers: list[_T] = []

        def ask(_flag: StopFlag) -> None:
            answers.append(function())

        thread = self.start(name, ask, owner=owner)
        thread.is_errand = True
        await thread.join()
        if thread.error is not None:
            raise thread.error
        return answers[0]
