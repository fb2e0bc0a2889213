"""Work that is done before the program runs, in an event loop of its own, and that a signal ends."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from holdfast.runtime.signals import Signals
from holdfast.runtime.stacks import thread_stacks

_Made = TypeVar("_Made")


def attended(
    work: Callable[[], Coroutine[Any, Any, _Made]], signals: Signals | None
) -> _Made | None:
    """What came of it; `None` where a signal ended it. Raises what it raises."""
    if signals is not None and signals.shutting_down:
        return None
    try:
        return asyncio.run(_watched(work, signals))
    except asyncio.CancelledError:
        return None
    finally:
        if signals is not None:
            signals.detach()


async def _watched(
    work: Callable[[], Coroutine[Any, Any, _Made]], signals: Signals | None
) -> _Made:
    """Do it in a task that the signal cancels, from wherever the main thread was."""
    task = asyncio.current_task()
    assert task is not None, "it runs in one"
    if signals is not None:
        loop = asyncio.get_running_loop()
        signals.attach(partial(loop.call_soon_threadsafe, task.cancel), thread_stacks)
    return await work()
