"""The end of the process: what is flushed before it, and how it ends when a thread would not."""

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn


class ExitHook:
    """Something to do once, when the interpreter ends and nobody has cancelled it."""

    def __init__(self, hook: Callable[[], None]) -> None:
        """Registered from here on.

        `atexit` runs after the interpreter has waited for every thread; a hook that is to end
        threads must come before, where the library's own thread pools are ended too.
        """
        self._hook: Callable[[], None] | None = hook
        before_threads = getattr(threading, "_register_atexit", None)
        if before_threads is not None:
            before_threads(self._run)
        atexit.register(self._run)

    def cancel(self) -> None:
        """It is not needed any more."""
        self._hook = None
        atexit.unregister(self._run)

    def _run(self) -> None:
        hook, self._hook = self._hook, None
        if hook is not None:
            hook()


def flush_everything() -> None:
    """Flush every handler of `logging`, stdout and stderr, each whatever the others do.

    A stream may be gone, closed, full, or interrupted in the middle of its own flush.
    """
    for stream in (*_log_handlers(), sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, RuntimeError, ValueError):
            stream.flush()


def _log_handlers() -> Iterator[Any]:
    logging = sys.modules.get("logging")  # not imported: nobody logs through it
    if logging is not None:
        root = logging.getLogger()
        for logger in (root, *list(root.manager.loggerDict.values())):
            yield from getattr(logger, "handlers", ())


def finish(code: int) -> NoReturn:
    """End the process with `code`, in the ordinary way where nothing can keep it from ending.

    A thread of a library that is stuck (a name being looked up) would be waited for until then.
    """
    main = threading.main_thread()
    if any(one is not main and not one.daemon for one in threading.enumerate()):
        leave(code)
    sys.exit(code)


def leave(code: int) -> NoReturn:
    """End the process now, flushed, although something of ours still runs.

    Ending it the ordinary way would wait for that thread or task for ever.
    """
    flush_everything()
    os._exit(code)
