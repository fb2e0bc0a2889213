"""A simulated disk: what lay in a folder after each write of a run, to be looked at one by one.

For the length of `watching` every commit, flush, seal and close of the store adds a moment; whoever
writes other files there adds moments with `take`. Only what changed is kept, in blocks, so that a
day of thousands of writes fits into memory. `images` lays each moment out in a folder, and between
two of them what a kill in the middle of the second write leaves: files written up to somewhere.
The run must write on the caller's thread (`StoreSettings(threaded=False)`).
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from holdfast.store import segment
from holdfast.store.tape import TapeWriter
from holdfast.store.writer import EventsTable

BLOCK = 4096
NOT_DURABLE = "-shm"
"""The ending of the one file that no kill leaves behind to anybody's use: it is made anew."""

Blocks = dict[int, bytes]


class Change(NamedTuple):
    """What became of one file: its size, and the blocks that are others than before."""

    size: int
    blocks: Blocks


class Moment(NamedTuple):
    """One write: in which order files changed, which are gone, and the caller's mark."""

    what: str
    changed: dict[str, Change]
    removed: tuple[str, ...]
    mark: Any


class Image(NamedTuple):
    """What a kill leaves. A torn one lies between this moment and the one before it.

    `folder` holds it until the next image is asked for. `mark` and `before` are what the caller's
    function answered at this moment and at the one before.
    """

    number: int
    what: str
    is_torn: bool
    folder: Path
    mark: Any
    before: Any


class SimulatedDisk:
    """Keeps every moment of one folder."""

    def __init__(self, folder: Path, mark: Callable[[], Any] = lambda: None) -> None:
        """`mark` is called at each moment: what it answers stands in the image."""
        self._folder = folder
        self._mark = mark
        self._now: dict[str, bytes] = {}
        self._moments: list[Moment] = []

    def __len__(self) -> int:
        return len(self._moments)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take a moment after each write of the store, in this process, on this thread."""
        with pytest.MonkeyPatch.context() as patch:
            for owner, name, what in (
                (EventsTable, "__init__", "open"),
                (EventsTable, "commit", "commit"),
                (EventsTable, "close", "close"),
                (segment.GrowingSegment, "__init__", "begin"),
                (TapeWriter, "write", "flush"),
                (segment, "write_sealed", "sealed"),
                (segment, "seal", "seal"),
            ):
                patch.setattr(owner, name, self._taking(getattr(owner, name), what))
            patch.setattr("holdfast.store.tape.seal", segment.seal)
            yield

    def _taking(self, call: Callable[..., Any], what: str) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            self.take(f"before {what}")
            done = call(*args, **kwargs)
            self.take(what)
            return done

        return called

    def take(self, what: str) -> None:
        """Keep how the folder lies now, where that is otherwise than at the last moment."""
        now = {
            path.relative_to(self._folder).as_posix(): path.read_bytes()
            for path in sorted(self._folder.rglob("*"))
            if path.is_file() and not path.name.endswith(NOT_DURABLE)
        }
        changed = {
            name: _change(self._now.get(name, b""), content)
            for name, content in now.items()
            if self._now.get(name) != content
        }
        removed = tuple(name for name in self._now if name not in now)
        if changed or removed:
            self._moments.append(Moment(what, changed, removed, self._mark()))
        self._now = now

    def images(self, where: Path, *, torn: bool = True) -> Iterator[Image]:
        """Every moment in order, each laid out in a folder below `where`; the torn ones too."""
        files: dict[str, bytes] = {}
        nothing = Moment("nothing", {}, (), None)
        for number, (before, moment) in enumerate(pairwise([nothing, *self._moments])):
            states = [(one, True) for one in _torn(files, moment)] if torn else []
            for name, change in moment.changed.items():
                files[name] = _changed(files.get(name, b""), change)
            for name in moment.removed:
                del files[name]
            for state, is_torn in [*states, (files, False)]:
                folder = _laid_out(where / "image", state)
                yield Image(number, moment.what, is_torn, folder, moment.mark, before.mark)


def _change(old: bytes, new: bytes) -> Change:
    starts = range(0, len(new), BLOCK)
    blocks = {
        at: new[at : at + BLOCK] for at in starts if old[at : at + BLOCK] != new[at : at + BLOCK]
    }
    return Change(len(new), blocks)


def _changed(old: bytes, change: Change) -> bytes:
    content = bytearray(old[: change.size].ljust(change.size, b"\0"))
    for at, block in change.blocks.items():
        content[at : at + len(block)] = block
    return bytes(content)


def _torn(files: dict[str, bytes], moment: Moment) -> Iterator[dict[str, bytes]]:
    """The files in the middle of a write: one of them half written, those before it wholly.

    Committing writes the log and then, now and then, the database; closing the other way round, and
    a file is cut or removed only when what it held is elsewhere. Opening is many writes of SQLite's
    own, of which nothing is known here; processes that are really killed show those.
    """
    if moment.what.endswith("open"):
        return
    state = dict(files)
    order = sorted(
        moment.changed, key=lambda name: (name.endswith("-wal") == (moment.what == "close"), name)
    )
    for name in order:
        change, old = moment.changed[name], state.get(name, b"")
        if change.blocks and (old or name.endswith("-wal")):  # others get their name when whole
            yield {**state, name: _half(old, change)}
        state[name] = _changed(old, change)


def _half(old: bytes, change: Change) -> bytes:
    """A file whose blocks were written one after the other, up to the middle of one of them."""
    starts = sorted(change.blocks)
    middle = starts[len(starts) // 2]
    new = _changed(old, change)
    cut = middle + max(len(change.blocks[middle]) // 2, 1)
    written = bytearray(old)
    for at in starts:
        end = min(at + BLOCK, cut, len(new))
        if at < end:
            written[at:end] = new[at:end]
    return bytes(written)


def _laid_out(folder: Path, files: dict[str, bytes]) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
