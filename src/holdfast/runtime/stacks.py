"""What every thread and task is doing right now, as text: for a hung loop and a forced exit."""

import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, Protocol

FRAMES_MAX = 30
"""The innermost frames of one thread or task that are shown."""


class Suspended(Protocol):
    """What is needed of a task. Asyncio itself is not: this module is imported before it."""

    def get_name(self) -> str:
        """The task's name."""
        ...

    def get_coro(self) -> Any:
        """What the task runs."""
        ...


def thread_stacks() -> dict[str, str]:
    """The stack of each running thread by its name, the outermost frame first."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = sys._current_frames()  # noqa: SLF001 documented, and there is no other way
    return {
        names.get(ident, f"thread {ident}"): "".join(traceback.format_stack(frame, FRAMES_MAX))
        for ident, frame in frames.items()
    }


def task_stacks(tasks: Iterable[Suspended]) -> dict[str, str]:
    """Where each task waits, by its name, down the whole chain of awaits.

    Asyncio's own `Task.get_stack` ends at the first await, which says nothing about what hangs.
    """
    return {task.get_name(): _text(awaits(task.get_coro())) for task in tasks}


def awaits(coroutine: Any) -> Iterator[FrameType]:
    """The frames of a suspended coroutine, then of what it awaits, and so on."""
    for _ in range(FRAMES_MAX):
        frame = _first(coroutine, "cr_frame", "gi_frame", "ag_frame")
        if frame is None:
            return
        yield frame
        coroutine = _first(coroutine, "cr_await", "gi_yieldfrom", "ag_await")


def _first(thing: Any, *names: str) -> Any:
    return next(
        (found for name in names if (found := getattr(thing, name, None)) is not None), None
    )


def _text(frames: Iterable[FrameType]) -> str:
    lines = ((frame, frame.f_lineno) for frame in frames)
    return "".join(traceback.StackSummary.extract(lines).format())
