"""How the command line ends: every outcome becomes an exit code here, and nowhere else."""

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import click
import msgspec

from holdfast.domain.errors import DataRefused, HoldfastError
from holdfast.runtime.clock import WallClock


class ExitCode(IntEnum):
    """The codes that this version ends with; they are stable."""

    CLEAN = 0
    FORCED = 1
    USAGE = 2
    REFUSED = 3
    ANOTHER_INSTANCE = 4
    BROKER_UNAVAILABLE = 5
    BROKER_REFUSED = 6
    RISK_REFUSED = 7
    HALTED = 10
    UNCLEAN_STOP = 20
    VERIFICATION_FAILED = 21
    INTERNAL = 70


MEANINGS: Final = {
    ExitCode.CLEAN: "clean",
    ExitCode.FORCED: "interrupted, or forced by a second signal",
    ExitCode.USAGE: "the command line was not understood",
    ExitCode.REFUSED: "configuration or data refused; the message says where and what to do",
    ExitCode.ANOTHER_INSTANCE: "another instance runs for this account",
    ExitCode.BROKER_UNAVAILABLE: "broker or login unavailable at the start",
    ExitCode.BROKER_REFUSED: "the broker refused, or what was asked of it is not done yet",
    ExitCode.RISK_REFUSED: "refused by the program's own rules",
    ExitCode.HALTED: "the run ended halted",
    ExitCode.UNCLEAN_STOP: "the run did not stop cleanly",
    ExitCode.VERIFICATION_FAILED: "a verification failed",
    ExitCode.INTERNAL: "internal error; the trace is in the log",
}


def end(command: Callable[[], Any], args: Sequence[str]) -> int:
    """Run `command` and tell how it ended. What is not foreseen here is left to `tell_uncaught`."""
    try:
        code = command()
    except click.UsageError as error:
        error.show()
        return ExitCode.USAGE
    except click.Abort:
        click.echo("holdfast: interrupted", err=True)
        return ExitCode.FORCED
    except HoldfastError as error:
        _tell(error, as_json="--json" in args)
        return error.exit_code
    except OSError as error:
        _tell(_refused(error), as_json="--json" in args)
        return ExitCode.REFUSED
    return code or ExitCode.CLEAN


@contextmanager
def unwrapped() -> Iterator[None]:
    """Tasks that end together wrap what one of them refused; raise that alone. Bugs stay wrapped."""
    try:
        yield
    except ExceptionGroup as group:
        refused, others = group.split((HoldfastError, OSError))
        if refused is None or others is not None:
            raise
        raise _first(refused) from group


def _first(group: ExceptionGroup[Exception]) -> Exception:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first


def tell_uncaught(
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
    /,
    *,
    log_file: Path | None = None,
) -> None:
    """The last resort, as `sys.excepthook`: a short message, the trace in the log, exit code 70."""
    lines = "".join(traceback.format_exception(kind, error, trace))
    click.echo(f"holdfast: internal error: {kind.__name__}: {error}", err=True)
    entry = {
        "at_ns": WallClock().now_ns(),
        "level": "critical",
        "event": "uncaught",
        "trace": lines,
    }
    if log_file is None:
        click.echo(lines, err=True)
        sys.exit(ExitCode.INTERNAL)
    try:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("ab") as log:
            log.write(msgspec.json.encode(entry) + b"\n")
        click.echo(f"  this is a bug of holdfast; its trace is in {log_file}", err=True)
    except OSError:
        click.echo(lines, err=True)
    sys.exit(ExitCode.INTERNAL)


def _tell(error: HoldfastError, *, as_json: bool) -> None:
    if not as_json:
        click.echo(f"holdfast: {error}", err=True)
        return
    told: dict[str, Any] = {"exit_code": error.exit_code, "message": str(error)}
    if isinstance(error, DataRefused):
        told |= {"where": error.where, "what": error.what, "remedy": error.remedy}
    click.echo(msgspec.json.encode({"error": told}), err=True)


def _refused(error: OSError) -> DataRefused:
    """A file or folder that the system does not let us use."""
    what = f"cannot be used: {error.strerror or error}"
    where = str(error.filename) if error.filename else "a file"
    return DataRefused(where, what, "check the path, its permissions and the free space")
