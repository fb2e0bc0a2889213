"""The halt as it is written down, beside the journal and before it: either one says halted."""

from collections.abc import Callable
from typing import Final

import structlog

from holdfast.domain.audit import Halted
from holdfast.domain.decision import HaltLevel
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import OperatorAsked, OperatorRequest
from holdfast.ports import Clock
from holdfast.store.halt import HaltFile, HaltState

_log = structlog.get_logger("halt")

_REQUESTS: Final = {
    HaltLevel.PAUSE: OperatorRequest.PAUSE,
    HaltLevel.FLATTEN: OperatorRequest.FLATTEN,
    HaltLevel.PANIC: OperatorRequest.PANIC,
}
_ORDER: Final = (HaltLevel.NONE, *_REQUESTS)

Aside = Callable[[Callable[[], None]], None]
"""Has something done where nobody waits for it."""


class WrittenHalt:
    """Keeps the halt file of one folder in step with the engine."""

    def __init__(self, file: HaltFile, clock: Clock, *, aside: Aside) -> None:
        """Nothing is touched before `open`. `aside` waits for the disk: the exits of a halt do not."""
        self._file = file
        self._clock = clock
        self._aside = aside
        self._found: HaltState | None = None

    @property
    def stands(self) -> bool:
        """Whether the file said at the start that trading is halted."""
        return self._found is not None and self._found.is_halted

    def open(self) -> None:
        """Look what stands, and make sure that a halt can be written on a full disk.

        Before the database is made. Raises OSError.
        """
        self._found = self._file.open(self._clock.now_ns())

    def asked(self, present: HaltLevel) -> OperatorAsked | None:
        """What an engine that is halted to `present` must be told, where the file says more."""
        found = self._found
        if found is None or not found.is_halted:
            return None
        level = _level(found.level)
        if _ORDER.index(level) <= _ORDER.index(present):
            return None
        return OperatorAsked(
            at_ns=self._clock.now_ns(), request=_REQUESTS[level], reason=found.reason
        )

    def write(self, halted: Halted) -> None:
        """Write down a halt, or that a person lifted it.

        A disk that cannot is told of and no more: the engine is halted, and so is the journal's fold.
        """
        try:
            self._write(halted)
        except (OSError, DataRefused) as error:
            _tell(error)

    def _write(self, halted: Halted) -> None:
        now_ns = self._clock.now_ns()
        if halted.level is HaltLevel.NONE:
            self._file.lift(halted.reason, now_ns)
        else:
            self._file.write(halted.reason, now_ns, level=halted.level.value, sync=False)
            self._aside(self._sync)

    def _sync(self) -> None:
        try:
            self._file.sync()
        except OSError as error:
            _tell(error)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


def _level(written: str) -> HaltLevel:
    """The level of a word; one that nobody knows halts entries."""
    known = {level.value: level for level in _REQUESTS}
    return known.get(written, HaltLevel.PAUSE)


def _tell(error: Exception) -> None:
    _log.critical(
        "a halt could not be written to its file",
        component="halt",
        error=type(error).__name__,
        message=str(error),
    )
