"""The halt, as a file beside the database: written where the database cannot be.

It is made at the start, at its full size, and from then on overwritten in place: a disk that is
full, or a process that may open no more files, cannot keep a halt from being written. What the file
does not say plainly counts as halted: torn, unreadable, or missing beside a database. Only a
person's resume, with a reason, makes it say otherwise, and it stands there who lifted what and why.
"""

import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec

from holdfast.domain.errors import DataRefused
from holdfast.store.schema import FILE_NAME
from holdfast.store.segment import UNFINISHED, sync_folder

HALT_FILE: Final = "halt"
"""Beside the database."""

SIZE: Final = 4096
"""Of the file: one block, which a disk writes whole or not at all as far as one does."""

REASON_BYTES_MAX: Final = 500
_FIRST_LINE: Final = b"holdfast halt 1\n"
_UNKNOWN: Final = "the halt file %s: nobody knows whether trading was halted"


class HaltWord(msgspec.Struct, frozen=True, kw_only=True):
    """One word about halting: that it is, or that somebody lifted it."""

    is_halted: bool
    reason: str
    at_ns: int


class HaltState(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says. `at_ns` is unknown where it cannot be read; `before`: newest first."""

    is_halted: bool
    reason: str
    at_ns: int | None = None
    before: tuple[HaltWord, ...] = ()


class HaltFile:
    """The file of one folder. Whoever opens it closes it."""

    def __init__(self, folder: Path) -> None:
        """Nothing is touched yet."""
        self.path = folder / HALT_FILE
        self._database = folder / FILE_NAME
        self._handle: int | None = None

    def open(self, at_ns: int) -> HaltState:
        """Make sure that a halt can be written whatever happens; returns what stands.

        Before the database is made: a folder that holds a database and no halt file has lost it.
        What was lost or torn is written anew, as a halt. Raises `OSError`.
        """
        state = self.read()
        if state.at_ns is None:
            self._put(HaltWord(is_halted=state.is_halted, reason=state.reason, at_ns=at_ns), ())
        elif self._handle is None:
            self._handle = self._opened()
        return state

    def read(self) -> HaltState:
        """What stands: in any doubt a halt, with the doubt as its reason."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            if not self._database.exists():
                return HaltState(is_halted=False, reason="never halted")
            return HaltState(is_halted=True, reason=_UNKNOWN % "is missing")
        except OSError as error:
            return HaltState(is_halted=True, reason=_UNKNOWN % f"cannot be read ({error})")
        return _parsed(content)

    def write(self, reason: str, at_ns: int) -> None:
        """Halt. On the disk when it returns. Raises `OSError` when it may not be."""
        self._change(HaltWord(is_halted=True, reason=reason, at_ns=at_ns))

    def lift(self, reason: str, at_ns: int) -> None:
        """Halt no more, because a person says so.

        Raises `DataRefused` without a reason, and `OSError`: then the halt may still stand.
        """
        if not reason.strip():
            raise DataRefused(str(self.path), "a halt is not lifted without a reason", "give one")
        self._change(HaltWord(is_halted=False, reason=reason, at_ns=at_ns))

    def close(self) -> None:
        """Give the file back; writing opens it again."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _change(self, word: HaltWord) -> None:
        state = self.read()
        before = state.before
        if state.at_ns is not None:
            now = HaltWord(is_halted=state.is_halted, reason=state.reason, at_ns=state.at_ns)
            before = (now, *before)
        self._put(word, before)

    def _put(self, word: HaltWord, before: tuple[HaltWord, ...]) -> None:
        content = _printed(word, before)
        if self._handle is not None and not os.fstat(self._handle).st_nlink:
            self.close()  # somebody removed the file: what is written there nobody would find
        try:
            if self._handle is None:
                self._handle = self._opened()
        except FileNotFoundError:
            self._make(content)
            self._handle = self._opened()
            return
        written = os.pwrite(self._handle, content, 0)
        if written != len(content):
            raise OSError(f"{self.path}: {written} of {len(content)} bytes were written")
        os.fsync(self._handle)

    def _opened(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_CLOEXEC)

    def _make(self, content: bytes) -> None:
        """A new file, there whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_name(self.path.name + UNFINISHED)
        unfinished.unlink(missing_ok=True)
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        unfinished.rename(self.path)
        sync_folder(self.path.parent)


class _Written(msgspec.Struct, frozen=True, kw_only=True):
    now: HaltWord
    before: tuple[HaltWord, ...]


def _printed(word: HaltWord, before: tuple[HaltWord, ...]) -> bytes:
    """The whole file: the word, and as many of those before it as there is room for."""
    kept = [_shortened(one) for one in (word, *before)]
    while len(content := _sealed(_said(kept))) > SIZE:
        kept.pop()
    return content


def _said(words: list[HaltWord]) -> bytes:
    return msgspec.json.encode(_Written(now=words[0], before=tuple(words[1:])))


def _sealed(said: bytes) -> bytes:
    """What the file holds when it says `said`, byte for byte."""
    content = _FIRST_LINE + said + b"\n" + hashlib.sha256(said).hexdigest().encode()
    return content.ljust(SIZE, b"\n")


def _shortened(word: HaltWord) -> HaltWord:
    reason = word.reason.encode("utf-8", "replace")[:REASON_BYTES_MAX].decode("utf-8", "ignore")
    return msgspec.structs.replace(word, reason=reason)


def _parsed(content: bytes) -> HaltState:
    said = content.removeprefix(_FIRST_LINE).partition(b"\n")[0]
    if _sealed(said) != content:
        return HaltState(is_halted=True, reason=_UNKNOWN % "is torn or damaged")
    try:
        found = msgspec.json.decode(said, type=_Written)
    except (ValueError, msgspec.MsgspecError) as error:
        return HaltState(is_halted=True, reason=_UNKNOWN % f"was written by another ({error})")
    return HaltState(
        is_halted=found.now.is_halted,
        reason=found.now.reason,
        at_ns=found.now.at_ns,
        before=found.before,
    )
