"""One file of the tape: an Arrow stream while it grows, Parquet once it is sealed.

A stream that was cut off by a crash is good up to its last complete batch; a Parquet file is not,
which is why nothing is written as Parquet before it is whole. Both carry the header in their
schema's metadata, so that a tape needs nothing beside it; a sealed one also the hash of header and
content, so that a flipped byte is found.
"""

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from holdfast.domain.errors import DataRefused
from holdfast.domain.instrument import Instrument
from holdfast.store.columns import KINDS_BY_NAME, content_sha256
from holdfast.store.stops import Interrupted, Stops, require_going

FORMAT: Final = 1
"""The version of columns and header. A reader refuses a newer one."""

GROWING: Final = ".arrows"
SEALED: Final = ".parquet"
UNFINISHED: Final = ".unfinished"

_GROUP_ROWS: Final = 32_768
"""Rows of a sealed file that are written between two looks at whether to end."""

_HEADER: Final = b"holdfast"
_DIGEST: Final = b"holdfast.sha256"
_RECORD_AGAIN: Final = "import or record it again"


class TapeHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What every file of a tape says of itself.

    `source` names where the market came from; `notes` what was done to it on the way.
    """

    format: int = FORMAT
    kind: str = ""
    day: str
    source: str
    notes: dict[str, str | int] = {}
    instruments: tuple[Instrument, ...] = ()


class Content(NamedTuple):
    """A file as read. `cut_bytes` is what a crash left behind the last complete batch."""

    header: TapeHeader
    table: pa.Table
    cut_bytes: int = 0


def described(schema: pa.Schema, header: TapeHeader) -> pa.Schema:
    """The schema with the header in its metadata."""
    return schema.with_metadata({_HEADER: msgspec.json.encode(header)})


class GrowingSegment:
    """A stream that is appended to, batch by batch. Each batch is there whole or not at all."""

    def __init__(self, path: Path, schema: pa.Schema, header: TapeHeader) -> None:
        """Create the file, its header complete. Raises `OSError`; then there is none."""
        self.path = path
        self.rows = 0
        self.is_doubtful = False
        self._schema = schema
        unfinished = path.with_name(path.name + UNFINISHED)
        self._file = unfinished.open("wb", buffering=0)
        try:
            self._append(described(schema, header).serialize(), sync=False)
            unfinished.rename(path)
            sync_folder(path.parent)
        except OSError:
            self.close()
            unfinished.unlink(missing_ok=True)
            raise

    def append(self, batch: pa.RecordBatch, *, sync: bool) -> None:
        """Write a batch; with `sync` it is on the disk on return.

        Raises `OSError`, and then the file holds what it held before. After a sync that failed
        nothing more may be appended: nobody can say what became of the pages.
        """
        assert batch.schema.equals(self._schema), "one stream, one schema"
        assert not self.is_doubtful, "a stream whose sync failed is left as it is"
        self._append(batch.serialize(), sync=sync)
        self.rows += batch.num_rows

    def _append(self, message: pa.Buffer, *, sync: bool) -> None:
        start = self._file.tell()
        rest = memoryview(message)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            self.is_doubtful = sync
            if sync:
                os.fsync(self._file.fileno())
            self.is_doubtful = False
        except OSError:
            self._file.truncate(start)
            self._file.seek(start)
            raise

    def close(self) -> None:
        """Close the file; it stays a stream until `seal`."""
        self._file.close()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a file whose name is lost is lost. Raises `OSError`."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def seal(growing: Path, flag: Stops | None = None) -> Path | None:
    """Turn a closed stream into Parquet beside it and remove it; `None` when it held no row.

    What a crash cut off is left behind. Raises `OSError`, or `Interrupted` soon after `flag` was
    set, and then the stream is as it was.
    """
    content = read_growing(growing, flag)
    sealed = growing.with_suffix(SEALED)
    if content.table.num_rows:
        write_sealed(sealed, content.table, content.header, flag)
    growing.unlink()
    return sealed if content.table.num_rows else None


def write_sealed(
    path: Path, table: pa.Table, header: TapeHeader, flag: Stops | None = None
) -> None:
    """Write rows as one sealed file: whole and on the disk, or not at all.

    Raises `OSError`, or `Interrupted` soon after `flag` was set.
    """
    unfinished = path.with_name(path.name + UNFINISHED)
    schema = described(table.schema, header)
    digest = _digest(schema.metadata[_HEADER], table, flag)
    schema = schema.with_metadata({**schema.metadata, _DIGEST: digest.encode()})
    try:
        with unfinished.open("wb") as file:
            with pq.ParquetWriter(
                file, schema, compression="zstd", write_page_checksum=True
            ) as writer:
                for rows in _groups(table.replace_schema_metadata(schema.metadata)):
                    require_going(flag, str(path))
                    writer.write_table(rows)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
        sync_folder(path.parent)
    except Interrupted:
        unfinished.unlink(missing_ok=True)
        raise
    except (OSError, pa.ArrowException) as error:
        unfinished.unlink(missing_ok=True)
        raise OSError(f"{path}: cannot be written: {error}") from error


def _groups(table: pa.Table) -> list[pa.Table]:
    return [table.slice(at, _GROUP_ROWS) for at in range(0, table.num_rows, _GROUP_ROWS)]


def _digest(header: bytes, table: pa.Table, flag: Stops | None = None) -> str:
    return hashlib.sha256(header + content_sha256(table, flag).encode()).hexdigest()


def read_segment(path: Path) -> Content:
    """The rows of a file of either form. Raises `DataRefused` when it is damaged or not ours."""
    content = read_growing(path) if path.suffix == GROWING else _read_sealed(path)
    kind = KINDS_BY_NAME.get(content.header.kind)
    if kind is None:
        raise DataRefused(str(path), f"unknown kind {content.header.kind!r}", _RECORD_AGAIN)
    _require_columns(path, content.table.schema, kind.schema)
    return content


def _read_sealed(path: Path) -> Content:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            metadata = file.schema_arrow.metadata or {}
            table = file.read()
            table.validate(full=True)
    except (OSError, pa.ArrowException) as error:
        raise DataRefused(
            str(path), f"truncated, damaged or no tape: {_line(error)}", _RECORD_AGAIN
        ) from error
    header = _header(path, metadata)
    if metadata.get(_DIGEST, b"").decode("ascii", "replace") != _digest(metadata[_HEADER], table):
        raise DataRefused(
            str(path), "content and header are not those that were sealed", _RECORD_AGAIN
        )
    return Content(header, table)


def read_growing(path: Path, flag: Stops | None = None) -> Content:
    """The complete batches of a stream, which may still grow. Raises `DataRefused` on damage.

    Raises `Interrupted` soon after `flag` was set.

    A tail that a crash cut off is the beginning of one message; where a whole message follows
    what cannot be read, the file is not cut but damaged.
    """
    buffer = pa.py_buffer(path.read_bytes())
    source = pa.BufferReader(buffer)
    batches: list[pa.RecordBatch] = []
    schema, good = None, 0
    try:
        reader = pa.ipc.open_stream(source)
        schema, good = reader.schema, source.tell()
        with contextlib.suppress(StopIteration):
            while True:
                require_going(flag, str(path))
                batch = reader.read_next_batch()
                batch.validate(full=True)
                batches.append(batch)
                good = source.tell()
    except (OSError, pa.ArrowException) as error:
        if schema is None or _message_follows(buffer, good):
            raise DataRefused(
                str(path), f"damaged at byte {good}: {_line(error)}", _RECORD_AGAIN
            ) from error
    table = pa.Table.from_batches(batches, schema)
    return Content(_header(path, schema.metadata or {}), table, buffer.size - good)


def _message_follows(buffer: pa.Buffer, start: int) -> bool:
    """Whether a complete message begins anywhere behind `start` (they are aligned to 8 bytes)."""
    content = buffer.to_pybytes()
    at = content.find(b"\xff\xff\xff\xff", start + 8)
    while at >= 0:
        if at % 8 == 0:
            with contextlib.suppress(OSError, EOFError, pa.ArrowException):
                pa.ipc.read_message(buffer.slice(at))
                return True
        at = content.find(b"\xff\xff\xff\xff", at + 1)
    return False


def _line(error: Exception) -> str:
    """The first line of a library's message: the rest is its stack."""
    return str(error).partition("\n")[0]


def _header(path: Path, metadata: dict[bytes, bytes]) -> TapeHeader:
    if _HEADER not in metadata:
        raise DataRefused(
            str(path), "is no tape of holdfast: it has no header", "run `holdfast tape import`"
        )
    try:
        version = msgspec.json.decode(metadata[_HEADER])["format"]
        if version > FORMAT:
            raise DataRefused(
                str(path), f"tape format {version} is newer than {FORMAT}", "upgrade holdfast"
            )
        return msgspec.json.decode(metadata[_HEADER], type=TapeHeader)
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError) as error:
        raise DataRefused(
            str(path), f"the header cannot be read: {error}", _RECORD_AGAIN
        ) from error


def _require_columns(path: Path, found: pa.Schema, wanted: pa.Schema) -> None:
    missing = [name for name in wanted.names if name not in found.names]
    if missing:
        raise DataRefused(str(path), f"missing columns: {', '.join(missing)}", _RECORD_AGAIN)
    for field in wanted:
        if found.field(field.name).type != field.type:
            raise DataRefused(
                str(path),
                f"column {field.name} holds {found.field(field.name).type}, not {field.type}",
                "prices and times are whole paise and nanoseconds; " + _RECORD_AGAIN,
            )
