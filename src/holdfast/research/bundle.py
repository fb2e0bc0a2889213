"""A recorded run in one file: journal, tape and configuration, to be looked at somewhere else.

What goes in is a list of names, never "everything but": no log, no lock, no key, nothing that a
later version puts into the folder of a run without a thought about this file. Taking it out is as
strict: each part has its size and hash in the manifest, nothing else may be there, and a folder is
made whole or not at all.
"""

import hashlib
import re
import shutil
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO, Final

import msgspec

from holdfast import __version__
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import Restarted
from holdfast.store import schema
from holdfast.store.migrate import REVISIONS, read_revision
from holdfast.store.records import decode
from holdfast.store.segment import UNFINISHED, sync_folder
from holdfast.store.tape import FOLDER, segments

FORMAT: Final = 1
SUFFIX: Final = ".bundle"
MANIFEST: Final = "manifest.json"
MANIFEST_BYTES_MAX: Final = 4 * 1024 * 1024
BYTES_MAX: Final = 16 * 1024**3
"""Of all parts together when they are taken out: more is refused before a byte is written."""

PARTS: Final = re.compile(
    r"journal\.db|config(-[0-9a-f]{8,64})?\.json"
    r"|tape/\d{4}-\d\d-\d\d/[a-z]+-\d{4,9}\.(parquet|arrows)",
    re.ASCII,
)
"""Every name that a bundle may hold."""

_CHUNK: Final = 1024 * 1024
_STAMP: Final = (1980, 1, 1, 0, 0, 0)
_TRIES: Final = 3
_AGAIN: Final = "ask for the file once more: it was cut off or changed on its way"
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
    msgspec.MsgspecError,
)
"""What the library raises over a file that is no archive, or not the one that was written."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a bundle: its place in the folder of a run, its bytes, their hash."""

    name: str
    size: int
    sha256: str


class Start(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one start of the program ran on, as the journal says."""

    sequence: int
    day: str
    code_version: str
    config_sha256: str
    libraries: tuple[str, ...]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a bundle says of itself. `made_by` are the versions that made it."""

    format: int
    run: str
    made_by: tuple[str, ...]
    starts: tuple[Start, ...]
    parts: tuple[Part, ...]

    @property
    def bytes(self) -> int:
        """The size of all parts when they are taken out."""
        return sum(part.size for part in self.parts)


def make_bundle(run: Path, target: Path, *, label: str) -> Manifest:
    """Write the run in the folder `run` to the new file `target`; the same run gives the same bytes.

    The run may still go on: the journal is copied as it stands at one moment, the tape after it.
    Raises `DataRefused` when there is no journal, or `target` is there already.
    """
    if target.exists():
        raise DataRefused(str(target), "is there already", "name another file, or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    with _unfinished(target) as work:
        staged = work / "parts"
        _copy_database(run / schema.FILE_NAME, staged / schema.FILE_NAME)
        _copy_files(run, staged)
        manifest = Manifest(
            format=FORMAT,
            run=label,
            made_by=(f"holdfast {__version__}", f"pyarrow {version('pyarrow')}"),
            starts=tuple(_starts(staged / schema.FILE_NAME)),
            parts=tuple(_part(staged, name) for name in _names(staged)),
        )
        _write(work / "bundle", staged, manifest)
        (work / "bundle").rename(target)
        sync_folder(target.parent)
    return manifest


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """A folder beside the target for what is not whole yet; gone at the end."""
    work = target.with_name(f".{target.name}{UNFINISHED}")
    shutil.rmtree(work, ignore_errors=True)
    (work / "parts").mkdir(parents=True, mode=0o700)
    try:
        yield work
    finally:
        shutil.rmtree(work)


def _copy_database(path: Path, copy: Path) -> None:
    if not path.is_file():
        raise DataRefused(str(path.parent), "holds no journal", "name the folder of a run")
    try:
        with closing(schema.connect_reader(path)) as source, closing(sqlite3.connect(copy)) as made:
            source.backup(made)
    except schema.UNREADABLE as error:
        raise DataRefused(
            str(path), f"cannot be read: {error}", "run `holdfast audit verify`"
        ) from error


def _copy_files(run: Path, staged: Path) -> None:
    """Configurations and tapes. A stream that is sealed meanwhile is looked for once more."""
    for attempt in range(_TRIES):
        try:
            for path in _files(run):
                copy = staged / path.relative_to(run)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
        except FileNotFoundError:
            if attempt == _TRIES - 1:
                raise
            shutil.rmtree(staged / FOLDER, ignore_errors=True)
        else:
            return


def _files(run: Path) -> Iterator[Path]:
    for path in (*run.glob("config*.json"), *(run / FOLDER).glob("*")):
        found = segments(path) if path.is_dir() else [path]
        yield from (one for one in found if PARTS.fullmatch(one.relative_to(run).as_posix()))


def _names(staged: Path) -> list[str]:
    """The parts that lie there, in order; the database's own side files are none."""
    names = (path.relative_to(staged).as_posix() for path in staged.rglob("*") if path.is_file())
    return sorted(name for name in names if PARTS.fullmatch(name))


def _part(staged: Path, name: str) -> Part:
    with (staged / name).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Part(name=name, size=file.tell(), sha256=digest)


def _starts(journal: Path) -> Iterator[Start]:
    query = "SELECT sequence, payload FROM events WHERE kind = 'Restarted' ORDER BY sequence"
    try:
        with closing(schema.connect_reader(journal, is_closed=True)) as connection:
            rows = connection.execute(query).fetchall()
    except schema.UNREADABLE as error:
        raise DataRefused(
            str(journal), f"cannot be read: {error}", "run `holdfast audit verify`"
        ) from error
    for sequence, payload in rows:
        record = decode(payload, f"events row {sequence}")
        if isinstance(record, Restarted):
            yield Start(
                sequence=sequence,
                day=record.day,
                code_version=record.code_version,
                config_sha256=record.config_sha256,
                libraries=record.libraries,
            )


def _write(path: Path, staged: Path, manifest: Manifest) -> None:
    with zipfile.ZipFile(path, "x") as archive:
        text = msgspec.json.format(msgspec.json.encode(manifest))
        with archive.open(_entry(MANIFEST), "w") as file:
            file.write(text)
        for part in manifest.parts:
            entry = _entry(part.name)
            is_large = part.size > zipfile.ZIP64_LIMIT // 2
            with (
                (staged / part.name).open("rb") as source,
                archive.open(entry, "w", force_zip64=is_large) as file,
            ):
                shutil.copyfileobj(source, file, _CHUNK)


def _entry(name: str) -> zipfile.ZipInfo:
    """An entry without the time and the machine; what is compressed already is not again."""
    entry = zipfile.ZipInfo(name, _STAMP)
    entry.create_system = 3
    entry.external_attr = 0o600 << 16
    is_dense = name.endswith(".parquet")
    entry.compress_type = zipfile.ZIP_STORED if is_dense else zipfile.ZIP_DEFLATED
    return entry


def open_bundle(path: Path, target: Path, *, bytes_max: int = BYTES_MAX) -> Manifest:
    """Take a bundle out into the new folder `target`, which then is the folder of that run.

    Raises `DataRefused` when it is no bundle, was cut off or altered, holds anything but the parts
    of a run or more than `bytes_max`, or when `target` is there already; then nothing is left.
    """
    if target.exists():
        raise DataRefused(str(target), "is there already", "name a new folder")
    if not path.is_file():
        raise DataRefused(str(path), "no such bundle", "name a file that `holdfast bundle` made")
    with _reading(path, "no bundle, or cut off"):
        archive = zipfile.ZipFile(path)
    with archive:
        manifest = _manifest(path, archive)
        _require_fitting(path, archive, manifest, bytes_max)
        target.parent.mkdir(parents=True, exist_ok=True)
        with _unfinished(target) as work:
            for part in manifest.parts:
                _take_out(path, archive, part, work / "parts")
            _require_journal(path, work / "parts" / schema.FILE_NAME)
            (work / "parts").rename(target)
    return manifest


def _require_journal(path: Path, journal: Path) -> None:
    """Raises `DataRefused` when it cannot be a journal of this program, or of an older one."""
    try:
        with closing(schema.connect_reader(journal, is_closed=True)) as connection:
            revision = read_revision(connection)
    except schema.UNREADABLE as error:
        raise DataRefused(str(path), f"its journal cannot be read: {error}", _AGAIN) from error
    if revision not in REVISIONS:
        raise DataRefused(
            str(path), f"its journal has the unknown schema {revision}", "upgrade holdfast"
        )


def tape_of(run: Path) -> Path:
    """The folder of the newest tape of a run. Raises `DataRefused` when there is none."""
    days = sorted(day for day in (run / FOLDER).glob("*") if day.is_dir())
    if not days:
        raise DataRefused(str(run), "holds no tape", "name a run, or a bundle of one")
    return days[-1]


@contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise DataRefused(str(path), f"{what}: {error}", _AGAIN) from error


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    entries = archive.infolist()
    if not entries or entries[0].filename != MANIFEST or not _is_plain(*entries):
        raise DataRefused(str(path), "is no bundle: no manifest, or not packed as one", _AGAIN)
    with _reading(path, "the manifest cannot be read"), archive.open(entries[0]) as file:
        text = file.read(MANIFEST_BYTES_MAX + 1)
    if len(text) > MANIFEST_BYTES_MAX:
        raise DataRefused(str(path), "the manifest is too large", _AGAIN)
    with _reading(path, "the manifest cannot be read"):
        found = msgspec.json.decode(text, type=_Versioned).format
        if found > FORMAT:
            raise DataRefused(
                str(path), f"format {found} is newer than {FORMAT}", "upgrade holdfast"
            )
        return msgspec.json.decode(text, type=Manifest)


def _is_plain(*entries: zipfile.ZipInfo) -> bool:
    """Whether they are packed as ours are: without a password, in one of two ways."""
    ways = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    return all(one.compress_type in ways and not one.flag_bits & 1 for one in entries)


class _Versioned(msgspec.Struct, frozen=True, kw_only=True):
    format: int


def _require_fitting(
    path: Path, archive: zipfile.ZipFile, manifest: Manifest, bytes_max: int
) -> None:
    """The entries are the parts of the manifest, in order, each of them one that may be there."""
    entries = archive.infolist()[1:]
    names = [part.name for part in manifest.parts]
    strange = [name for name in names if not PARTS.fullmatch(name)]
    if strange:
        raise DataRefused(
            str(path), f"holds what no bundle holds: {strange[0]!r}", "do not open it"
        )
    if [entry.filename for entry in entries] != names or len(set(names)) != len(names):
        raise DataRefused(str(path), "does not hold what its manifest names", _AGAIN)
    if schema.FILE_NAME not in names:
        raise DataRefused(str(path), "holds no journal", _AGAIN)
    sizes = [part.size for part in manifest.parts]
    if [entry.file_size for entry in entries] != sizes or min(sizes) < 0:
        raise DataRefused(str(path), "its parts are not as large as its manifest says", _AGAIN)
    if manifest.bytes > bytes_max:
        raise DataRefused(
            str(path), f"would take {manifest.bytes} bytes, more than {bytes_max}", "do not open it"
        )


def _take_out(path: Path, archive: zipfile.ZipFile, part: Part, folder: Path) -> None:
    target = folder / part.name
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as file, _opened(path, archive, part) as source:
        while chunk := _chunk(path, source, part):
            size += len(chunk)
            if size > part.size:
                break
            digest.update(chunk)
            file.write(chunk)
    if (size, digest.hexdigest()) != (part.size, part.sha256):
        raise DataRefused(f"{path}: {part.name}", "is not what was put in", _AGAIN)


def _opened(path: Path, archive: zipfile.ZipFile, part: Part) -> IO[bytes]:
    with _reading(path, f"{part.name} cannot be read"):
        return archive.open(part.name)


def _chunk(path: Path, source: IO[bytes], part: Part) -> bytes:
    with _reading(path, f"{part.name} cannot be read"):
        return source.read(_CHUNK)
