"""The token of the broker's session: who holds it in memory, and the file that outlives us.

One token per client is alive: minting another one kills it (dhan.md 1.2). So whoever minted it wrote
it down with its time, and every other process of the account uses that one (T20). The secret stands
in memory, in one file of mode 0600 and in requests; no repr, log or error shows it.
"""

import base64
import binascii
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec
from typing_extensions import override

from holdfast.domain.errors import DataRefused

SECOND_NS: Final = 1_000_000_000
LIFE_NS: Final = 24 * 3_600 * SECOND_NS
"""A token lives a day from its minting (dhan.md 1.2)."""

LIFE_MAX_NS: Final = 400 * LIFE_NS
"""No token lives longer than that; the sandbox's live 30 days (dhan.md 3.14)."""

TOKEN_FILE: Final = "token.json"  # noqa: S105 a name
"""Its name in the account's folder."""

_PRIVATE: Final = 0o600
_BYTES_MAX: Final = 65_536


class Consumer(StrEnum):
    """How a token was made: SELF on the broker's page, APP by its API (dhan.md 1.2)."""

    SELF = "SELF"
    APP = "APP"
    UNKNOWN = "UNKNOWN"


class StoredToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it lies in the file. Times are UTC nanoseconds.

    `minted_ns` is when it was made, as far as we know; `valid_until_ns` when it ends by itself.
    """

    client_id: str
    secret: str
    minted_ns: int
    valid_until_ns: int
    consumer: Consumer = Consumer.UNKNOWN

    @property
    def mark(self) -> str:
        """What tells it from others and tells nobody its secret."""
        return hashlib.sha256(self.secret.encode()).hexdigest()[:16]

    @override
    def __repr__(self) -> str:
        return (
            f"StoredToken(client_id={self.client_id!r}, secret=<hidden>, mark={self.mark!r}, "
            f"minted_ns={self.minted_ns}, valid_until_ns={self.valid_until_ns}, "
            f"consumer={self.consumer.value!r})"
        )

    @override
    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What a pretty printer shows: everything but the secret."""
        return [("mark", self.mark), ("valid_until_ns", self.valid_until_ns)]


class Claims(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a token says of itself, unverified: only the broker can tell whether it is true.

    `exp` and `iat` are UTC seconds (dhan.md 1.2).
    """

    exp: float | None = None
    iat: float | None = None
    dhan_client_id: str | int | None = None
    token_consumer_type: str | None = None


def claims_of(secret: str) -> Claims:
    """What the token says of itself; nothing at all when the text is no JWT."""
    parts = secret.split(".")
    if len(parts) != 3:
        return Claims()
    try:
        text = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return msgspec.json.decode(text, type=Claims)
    except (binascii.Error, msgspec.MsgspecError, ValueError):
        return Claims()


def token_of(
    client_id: str, secret: str, *, minted_ns: int, valid_until_ns: int | None = None
) -> StoredToken:
    """A token with what it says of itself. `valid_until_ns`: what the broker said beside it.

    The earlier of both ends counts; without either it is taken to live a day from `minted_ns`.
    """
    claims = claims_of(secret)
    ends = [end for end in (valid_until_ns, _ns(claims.exp)) if end is not None]
    kind = claims.token_consumer_type or ""
    return StoredToken(
        client_id=client_id,
        secret=secret,
        minted_ns=_ns(claims.iat) or _minted_ns(claims, minted_ns),
        valid_until_ns=max(0, min([*(ends or [minted_ns + LIFE_NS]), minted_ns + LIFE_MAX_NS])),
        consumer=Consumer(kind) if kind in set(Consumer) else Consumer.UNKNOWN,
    )


def _minted_ns(claims: Claims, at_ns: int) -> int:
    """When it was made: a day before its end, unless it is of a kind that lives longer."""
    end_ns = _ns(claims.exp)
    return at_ns if end_ns is None else min(at_ns, end_ns - LIFE_NS)


def _ns(seconds: float | None) -> int | None:
    """UTC nanoseconds; `None` for what no clock shows."""
    if seconds is None or not 0 < seconds < 1 << 33:
        return None
    return int(seconds * 1_000) * 1_000_000


class TokenHolder:
    """The newest token of the process. Whoever speaks to the broker asks it before each request."""

    def __init__(self, client_id: str) -> None:
        """It holds none yet."""
        self.client_id = client_id
        self.token: StoredToken | None = None

    @property
    def secret(self) -> str:
        """The text that requests carry; empty while there is none."""
        return self.token.secret if self.token is not None else ""

    def put(self, token: StoredToken) -> None:
        """Use `token` from the next request on."""
        assert token.client_id == self.client_id, "another account's token"
        self.token = token

    @override
    def __repr__(self) -> str:
        return f"TokenHolder(client_id={self.client_id!r}, token={self.token!r})"


class PrivateFile:
    """A small file of ours that nobody else may read, written whole or not at all."""

    def __init__(self, path: Path) -> None:
        """`path` need not exist; its folder is made at the first writing."""
        self.path = path

    def read(self) -> bytes | None:
        """What stands in it, `None` when there is none. Raises DataRefused when others may read it."""
        try:
            with self.path.open("rb") as opened:
                mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
                if mode & 0o077:
                    raise DataRefused(
                        str(self.path),
                        f"others may read it (mode {mode:04o}), and it holds secrets",
                        f"make it yours alone: chmod 600 {self.path}",
                    )
                return opened.read(_BYTES_MAX)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error

    def write(self, content: bytes) -> None:
        """Replace it: durable when this returns. Raises DataRefused when it cannot be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _beside(self.path) as (fresh, descriptor):
                _write_all(descriptor, content)
                os.fsync(descriptor)
                fresh.replace(self.path)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> DataRefused:
        return DataRefused(
            str(self.path),
            f"cannot be used: {error.strerror}",
            "make sure that its folder exists, is yours and has room",
        )


@contextmanager
def _beside(path: Path) -> Iterator[tuple[Path, int]]:
    """A new file of the process in the same folder; gone at the end unless it was renamed."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        fresh.unlink()  # of a process of this number that was killed
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE)
    try:
        yield fresh, descriptor
    finally:
        os.close(descriptor)
        with suppress(FileNotFoundError):
            fresh.unlink()


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


class TokenFile:
    """The token of one account on disk, for the next start and for other processes."""

    def __init__(self, folder: Path, client_id: str) -> None:
        """`folder` is the account's."""
        self._file = PrivateFile(folder / TOKEN_FILE)
        self._client_id = client_id

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self._file.path

    def load(self) -> StoredToken | None:
        """What was written last, `None` when nothing was.

        Raises DataRefused when it is damaged, another account's, or readable by others.
        """
        if (content := self._file.read()) is None:
            return None
        try:
            token = msgspec.json.decode(content, type=StoredToken)
        except (msgspec.MsgspecError, ValueError):
            # Without its cause: that would quote the content.
            raise self._refused("is damaged") from None
        if token.client_id != self._client_id:
            raise self._refused(f"holds the token of {token.client_id}")
        return token

    def save(self, token: StoredToken) -> None:
        """Write it down. Raises DataRefused."""
        assert token.client_id == self._client_id, "another account's token"
        self._file.write(msgspec.json.encode(token))

    def _refused(self, what: str) -> DataRefused:
        return DataRefused(str(self.path), what, "remove it and log in again with: holdfast login")
