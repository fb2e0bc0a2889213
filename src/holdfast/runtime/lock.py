"""One process per broker client id on this host, whatever its mode and database.

The lock is the operating system's, on an open file: it goes with the process, however that ends.
The file stays, because removing it would let two processes lock two files of one name.
"""

import fcntl
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from holdfast.domain.errors import DataRefused, InstanceRunning

_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HOLDER_BYTES_MAX: Final = 4_096


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds the lock, as it wrote itself down. `since_ns` is UTC nanoseconds."""

    pid: int
    since_ns: int
    purpose: str


class InstanceLock:
    """The lock of one client id, held from `acquire` to `release` or the end of the process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Made by `acquire`."""
        self.path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, folder: Path, client_id: str, *, at_ns: int, purpose: str = "") -> Self:
        """Take the lock of `client_id` in the per-user `folder`, made if need be, at `at_ns`.

        `purpose` is told to whoever is refused ("paper", "live"). Raises `InstanceRunning` naming
        the holder, also within one process; `DataRefused` when the folder cannot be used.
        """
        if not _CLIENT_ID.fullmatch(client_id):
            raise DataRefused(
                "client id", f"{client_id!r} is none", "use letters, digits, '-' and '_'"
            )
        path = folder / f"{client_id}.lock"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write_holder(descriptor, Holder(pid=os.getpid(), since_ns=at_ns, purpose=purpose))
        except BlockingIOError as error:
            holder = _read_holder(descriptor)
            os.close(descriptor)
            raise InstanceRunning(_refusal(client_id, holder)) from error
        except OSError as error:
            os.close(descriptor)
            raise _unusable(path, error) from error
        return cls(path, descriptor)

    def release(self) -> None:
        """Let the next one in. A second call does nothing."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def _write_holder(descriptor: int, holder: Holder) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, msgspec.json.encode(holder), 0)


def _read_holder(descriptor: int) -> Holder | None:
    """Who holds it; `None` in the moment between its lock and its writing."""
    try:
        return msgspec.json.decode(os.pread(descriptor, _HOLDER_BYTES_MAX, 0), type=Holder)
    except msgspec.MsgspecError:
        return None


def _refusal(client_id: str, holder: Holder | None) -> str:
    if holder is None:
        who = "another process, which has just started"
    else:
        since = datetime.fromtimestamp(holder.since_ns // 1_000_000_000, UTC)
        purpose = f" ({holder.purpose})" if holder.purpose else ""
        who = f"process {holder.pid}{purpose}, since {since:%Y-%m-%d %H:%M:%S} UTC"
    return (
        f"client id {client_id} is in use by {who}\n"
        "  stop it first; two processes on one account would undo each other's orders"
    )


def _unusable(path: Path, error: OSError) -> DataRefused:
    return DataRefused(
        str(path),
        f"the lock cannot be used: {error.strerror}",
        "make sure that its folder exists and can be written",
    )
