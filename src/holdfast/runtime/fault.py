"""What went wrong in a part of the program, as it is logged, shown and journaled."""

import traceback
from typing import Self

import msgspec

FRAMES_MAX = 20


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One failure. `kind` is the exception's class, `stack` the innermost frames as text."""

    kind: str
    message: str
    stack: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """The fault behind an exception; a group that holds one exception stands for that one."""
        cause = single(error)
        frames = traceback.format_exception(cause, limit=-FRAMES_MAX)
        return cls(kind=type(cause).__name__, message=_told(cause), stack="".join(frames))

    @property
    def text(self) -> str:
        """Class and message, for a person."""
        return f"{self.kind}: {self.message}" if self.message else self.kind

    @property
    def fields(self) -> dict[str, str]:
        """The fields of its log record, besides the component."""
        return {"error": self.kind, "message": self.message, "stack": self.stack}


def single(error: BaseException) -> BaseException:
    """The exception itself, where groups were put around it and hold nothing else."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _told(error: BaseException) -> str:
    if not isinstance(error, BaseExceptionGroup):
        return str(error)
    return "; ".join(f"{type(one).__name__}: {_told(one)}" for one in error.exceptions)
