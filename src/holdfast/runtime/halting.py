"""The halt as it is written down, beside the journal and before it: either one says halted."""

import structlog

from holdfast.domain.audit import Halted
from holdfast.domain.decision import HaltLevel
from holdfast.domain.event import OperatorAsked, OperatorRequest
from holdfast.ports import Clock
from holdfast.store.halt import HaltFile, HaltState

_log = structlog.get_logger("halt")


class WrittenHalt:
    """Keeps the halt file of one folder in step with the engine."""

    def __init__(self, file: HaltFile, clock: Clock) -> None:
        """Nothing is touched before `open`."""
        self._file = file
        self._clock = clock
        self._found: HaltState | None = None

    def open(self) -> None:
        """Look what stands, and make sure that a halt can be written on a full disk. Before the
        database is made. Raises OSError.
        """
        self._found = self._file.open(self._clock.now_ns())

    def asked(self, *, is_halted: bool) -> OperatorAsked | None:
        """What an engine that is not halted must be told, where the file says that it is."""
        found = self._found
        if found is None or not found.is_halted or is_halted:
            return None
        return OperatorAsked(
            at_ns=self._clock.now_ns(), request=OperatorRequest.PAUSE, reason=found.reason
        )

    def write(self, halted: Halted) -> None:
        """Write down a halt, or that a person lifted it.

        A disk that cannot is told of and no more: the engine is halted, and so is the journal's fold.
        """
        try:
            if halted.level is HaltLevel.NONE:
                self._file.lift(halted.reason, self._clock.now_ns())
            else:
                reason = f"{halted.level.value}: {halted.reason}"
                self._file.write(reason, self._clock.now_ns())
        except OSError as error:
            _log.critical(
                "a halt could not be written to its file",
                component="halt",
                error=type(error).__name__,
                message=str(error),
            )

    def close(self) -> None:
        """Give the file back."""
        self._file.close()
