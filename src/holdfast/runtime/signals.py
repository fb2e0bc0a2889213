"""INT and TERM: the first asks for the end, the second takes it.

The handlers are put in place by `app/main` before anything heavy is imported, so this module
imports nothing heavy. They are `signal.signal`'s, because those of the event loop do not run while
the loop is blocked. They start no thread, and nobody else installs any.
"""

import faulthandler
import os
import signal
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Final, Protocol

from holdfast.runtime.clock import steady_s
from holdfast.runtime.process import flush_everything
from holdfast.runtime.stacks import thread_stacks

ENDING: Final = (signal.SIGINT, signal.SIGTERM)

STUCK_S: Final = 5.5
"""After the first signal: when even a main thread that never returns from C is ended, by C."""

FORCED_S: Final = 0.5
"""After the second signal: how long logging and flushing may take."""

CAUGHT: Final = "Caught signal {number}, initiating shutdown..."
FORCED: Final = "Forced exit requested, calling os._exit(1)"

Stacks = Mapping[str, str]


class Say(Protocol):
    """Writes one log record: at level info without stacks, warning with them."""

    def __call__(self, text: str, stacks: Stacks | None = None) -> None:
        """Log `text`."""
        ...


class Signals:
    """The end, as a person or the system asks for it. One object, made once and handed down."""

    def __init__(self) -> None:
        """Nothing is caught before `install`."""
        self.number: int | None = None
        self.at_s: float | None = None
        self._say: Say = _to_stderr
        self._wake: Callable[[], object] = _nothing
        self._describe: Callable[[], Stacks] = thread_stacks
        self._stacks_to = 2
        self._before: dict[int, Any] = {}

    @property
    def shutting_down(self) -> bool:
        """Whether a signal came. `number` says which, `at_s` when, in seconds of `steady_s`."""
        return self.number is not None

    def install(self) -> None:
        """Catch INT and TERM from here on. The main thread only; a second call does nothing."""
        for number in ENDING:
            if number not in self._before:
                before = signal.signal(number, self._take)
                self._before[number] = signal.SIG_DFL if before is None else before

    def restore(self) -> None:
        """Put back what caught them before."""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()
        self.disarm()

    def give_back(self) -> None:
        """The same for a program that does not end in order: one that came ends it now."""
        number = self.number
        self.restore()
        if number is not None:
            signal.raise_signal(number)

    def disarm(self) -> None:
        """The stop is over: what still follows may take longer than a stop."""
        faulthandler.cancel_dump_traceback_later()

    def ignore(self) -> None:
        """Let nothing that comes now change how the program ended: everything has been done."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def log_by(self, say: Say, *, stacks_to: int | None = None) -> None:
        """Log through `say` from here on, instead of to stderr.

        `stacks_to` is a file descriptor for the stacks that the interpreter itself writes when it
        ends a stuck program. A file: writing to a full pipe would be one more thing to be stuck in.
        """
        self._say = say
        if stacks_to is not None:
            self._stacks_to = stacks_to
            if self.shutting_down:
                self._end_when_stuck(STUCK_S)

    def attach(self, wake: Callable[[], object], describe: Callable[[], Stacks]) -> None:
        """Call `wake` at the first signal, at once when it has come; `describe` at the second.

        `wake` is run inside whatever the main thread was doing: it may do no more than
        `call_soon_threadsafe` does.
        """
        self._wake, self._describe = wake, describe
        if self.shutting_down:
            wake()

    def hush(self) -> None:
        """Say what still comes on stderr: the log has its last record."""
        self._say = _to_stderr

    def detach(self) -> None:
        """Forget what was attached: its event loop has ended, and its log will."""
        self.hush()
        self._wake, self._describe = _nothing, thread_stacks
        self._stacks_to = 2

    def _take(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.number is None:
            self._first(number)
        else:
            self._second()

    def _first(self, number: int) -> None:
        self.at_s, self.number = steady_s(), number
        self._end_when_stuck(STUCK_S)
        try:
            self._say(CAUGHT.format(number=number))
        finally:
            self._wake()

    def _second(self) -> None:
        """Whatever blocks or fails in here, the process ends with 1, half a second from now."""
        self._end_when_stuck(FORCED_S)
        stacks: Stacks = {}
        try:
            stacks = self._describe()
        finally:
            try:
                self._say(FORCED, stacks)
                flush_everything()
            finally:
                os._exit(1)

    def _end_when_stuck(self, seconds: float) -> None:
        """Have the interpreter's C code end the process by then, whoever holds what."""
        faulthandler.dump_traceback_later(seconds, exit=True, file=self._stacks_to)


def _nothing() -> None:
    """What is called while nobody listens."""


def _to_stderr(text: str, stacks: Stacks | None = None) -> None:
    """Before there is a log. Not through `sys.stderr`, which may be in the middle of a write."""
    lines = [text, *(f"{name}:\n{stack}" for name, stack in (stacks or {}).items())]
    os.write(2, ("\n".join(lines) + "\n").encode(errors="replace"))
