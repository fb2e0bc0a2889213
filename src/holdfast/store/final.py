"""What a process left behind, read back from the disk: by itself at its end, and by the next one."""

from contextlib import closing
from pathlib import Path
from sqlite3 import Connection
from typing import Final

from holdfast.domain.errors import DataRefused, HoldfastError
from holdfast.store import schema
from holdfast.store.chain import checked, connect
from holdfast.store.records import Stopped, decode
from holdfast.store.stops import Stops

_MOVES: Final = ("OrderAcknowledged", "OrderUpdated", "SendFailed", "OperatorAsked", "Decided")
"""Records after which a final state is not final any more."""

_LAST_STOP: Final = (
    "SELECT sequence, payload FROM events WHERE kind = 'Stopped' ORDER BY sequence DESC LIMIT 1"
)
_LAST_START: Final = "SELECT max(sequence) FROM events WHERE kind = 'Restarted'"
_FOLLOWED: Final = (
    f"SELECT sequence, kind FROM events WHERE sequence > ? AND kind IN ({', '.join('?' * len(_MOVES))})"  # noqa: S608 question marks
    " ORDER BY sequence LIMIT 1"
)


class NotAsWritten(HoldfastError):
    """The database does not hold what was written to it."""

    exit_code = 21


def last_stop(path: Path) -> tuple[int, Stopped] | None:
    """What the process before this one left behind; `None` where it did not come to that.

    A database that nobody ever stopped in, and one whose last process was killed, have none. Raises
    `DataRefused` when it cannot be read.
    """
    try:
        with closing(schema.connect_reader(path)) as connection:
            found = _last_stop(connection)
            began = connection.execute(_LAST_START).fetchone()[0]
    except schema.UNREADABLE as error:
        raise DataRefused(
            str(path), f"cannot be read: {error}", "run `holdfast audit verify`"
        ) from error
    is_of_the_last = found is not None and (began is None or began < found[0])
    return found if is_of_the_last else None


def read_back(path: Path, sequence: int, stopped: Stopped) -> None:
    """Compare the last words in a closed database with what was to be written there.

    Raises `NotAsWritten` when they are others, or when something moved after them.
    """
    try:
        with closing(schema.connect_reader(path, is_closed=True)) as connection:
            found = _last_stop(connection)
            followed = connection.execute(_FOLLOWED, (sequence, *_MOVES)).fetchone()
    except (*schema.UNREADABLE, DataRefused) as error:
        raise NotAsWritten(f"{path}: the final state cannot be read: {error}") from error
    if found != (sequence, stopped):
        raise NotAsWritten(
            f"{path}: the final state is not what was written:"
            f" {(sequence, stopped)}, but there is {found}"
        )
    if followed is not None:
        raise NotAsWritten(
            f"{path}: the final state is not final: events row {followed[0]} is {followed[1]}"
        )


def _last_stop(connection: Connection) -> tuple[int, Stopped] | None:
    row = connection.execute(_LAST_STOP).fetchone()
    if row is None:
        return None
    where = f"events row {row[0]}"
    record = decode(row[1], where)
    if not isinstance(record, Stopped):
        raise DataRefused(where, "is not of its kind", "run `holdfast audit verify`")
    return row[0], record


def require_integrity(path: Path, *, after: int = 0, flag: Stops | None = None) -> None:
    """Check a closed database: SQLite's own check of the file, the chain behind row `after`.

    Raises `NotAsWritten` at the first fault, `Interrupted` soon after `flag` was set.
    """
    try:
        with closing(connect(path, is_closed=True)) as connection:
            fault = next(checked(connection, after=after, flag=flag), None)
    except schema.UNREADABLE as error:
        raise NotAsWritten(f"{path}: cannot be read: {error}") from error
    if fault is not None:
        raise NotAsWritten(f"{path}: {fault.where}: {fault.what}")
