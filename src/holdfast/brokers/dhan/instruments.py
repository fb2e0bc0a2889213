"""Today's list of contracts: fetched once a day, kept with its hash, read again at each restart.

Yesterday's file is no list of today: contracts expire, ids are given anew (dhan.md 3.12).
"""

import asyncio
import datetime as dt
import hashlib
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
import structlog

from holdfast.brokers.dhan.master import ROWS_AT_ONCE, Master, MasterReading, Wanted
from holdfast.brokers.dhan.settings import Urls
from holdfast.domain.errors import BrokerUnavailable, DataRefused
from holdfast.domain.instrument import Segment
from holdfast.ports import Timing

_log = structlog.get_logger("instruments")

FOLDER: Final = "instruments"
"""In the account's folder: a file for the day, and beside it what is known of it."""

WHOLE: Final = "/api-scrip-master-detailed.csv"
BYTES_MAX: Final = 256 * 1024 * 1024
FETCH_S: Final = 180.0
SILENT_S: Final = 20.0
"""A download is given up when it takes longer, or brings nothing for that long."""

SHRINKS_MAX: Final = 2
"""A list that is shorter than the last day's by more than this factor is half of one."""

_CHUNK: Final = 1 << 20
_GZIP: Final = 16 + zlib.MAX_WBITS
_REDIRECTS_MAX: Final = 3
_SEGMENTS: Final = (Segment.IDX_I, Segment.NSE_FNO, Segment.BSE_FNO)
"""What the lists by segment are asked for when the whole one does not come."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a day's file. `last_modified` is the host's word, for people."""

    day: str
    sha256: str
    size: int
    source: str
    fetched_ns: int
    last_modified: str = ""


class NotFetched(Exception):
    """A download did not come to its end. The text says why."""


class Instruments:
    """The day's lists in the account's folder."""

    def __init__(self, account_folder: Path, urls: Urls, timing: Timing) -> None:
        """The folder need not exist yet."""
        self._folder = account_folder / FOLDER
        self._urls = urls
        self._timing = timing

    async def load(self, wanted: Wanted, *, anew: bool = False) -> tuple[Master, Kept]:
        """Today's contracts: from the file kept of today, else from the broker.

        Raises BrokerUnavailable when the list cannot be had, DataRefused when it cannot be read.
        A kept file that is damaged is fetched anew, as is every one when asked `anew`.
        """
        kept = None if anew else await self._kept(wanted.day)
        if kept is not None:
            try:
                return await self._read(wanted), kept
            except DataRefused as error:
                _log.warning("the list is fetched anew", component="Instruments", why=error.what)
        kept = await self._fetch(wanted.day)
        master = await self._read(wanted)
        self._tell(master, kept)
        return master, kept

    async def _read(self, wanted: Wanted) -> Master:
        """Through the file, letting others run between stretches of it."""
        with closing(MasterReading(self._path(wanted.day), wanted)) as reading:
            is_more = True
            while is_more:
                is_more = reading.go_on(ROWS_AT_ONCE)
                await asyncio.sleep(0)
            return reading.master()

    async def _kept(self, day: dt.date) -> Kept | None:
        """What is known of today's file when it still is the one that was fetched."""
        try:
            kept = msgspec.json.decode(self._beside(day).read_bytes(), type=Kept)
            is_whole = kept.day == day.isoformat() and kept.sha256 == await _sha256(self._path(day))
        except (OSError, msgspec.MsgspecError):
            return None
        return kept if is_whole else None

    async def _fetch(self, day: dt.date) -> Kept:
        """From the broker: the whole list, else those by segment. Then the files of other days go."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with closing(_Part(self._folder / ".part")) as part:
            async with self._session() as session:
                try:
                    part.modified = await _download(
                        session,
                        f"{self._urls.instruments}{WHOLE}",
                        part,
                        least=self._last_size(day) // SHRINKS_MAX,
                    )
                    source = WHOLE
                except NotFetched as error:
                    await self._by_segment(session, part, why=str(error))
                    source = "/instrument"
            part.becomes(self._path(day))
        kept = Kept(
            day=day.isoformat(),
            sha256=part.sha256,
            size=part.size,
            source=source,
            fetched_ns=self._timing.now_ns(),
            last_modified=part.modified,
        )
        self._beside(day).write_bytes(msgspec.json.encode(kept))
        self._forget_others(day)
        return kept

    async def _by_segment(self, session: aiohttp.ClientSession, part: "_Part", *, why: str) -> None:
        """One after the other into one file. A segment that does not come may not be needed.

        Raises BrokerUnavailable when none comes.
        """
        _log.warning("the whole list did not come", component="Instruments", why=why)
        missed = [f"{WHOLE}: {why}"]
        for segment in _SEGMENTS:
            path = f"/instrument/{segment.value}"
            try:
                await _download(session, f"{self._urls.rest}{path}", part)
            except NotFetched as error:
                missed.append(f"{path}: {error}")
        if not part.size:
            raise BrokerUnavailable(
                "today's list of contracts could not be fetched\n"
                + "".join(f"  {line}\n" for line in missed)
                + "  yesterday's is no list of today: try again with: holdfast instruments"
            )

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Without a token: lists are public, and redirects are followed."""
        timeout = aiohttp.ClientTimeout(
            total=self._timing.wall_s(FETCH_S), sock_read=self._timing.wall_s(SILENT_S)
        )
        async with aiohttp.ClientSession(
            timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        ) as session:
            yield session

    def _tell(self, master: Master, kept: Kept) -> None:
        _log.info(
            "today's list of contracts",
            component="Instruments",
            rows=master.rows,
            taken=len(master.instruments),
            sha256=kept.sha256,
            last_modified=kept.last_modified,
        )
        for why, count in master.left_out:
            _log.warning(
                "rows of ours were left out", component="Instruments", count=count, why=why
            )

    def _last_size(self, day: dt.date) -> int:
        """How many bytes the whole list had on the last day that it came on; 0: nobody knows."""
        for beside in sorted(self._folder.glob("*.json"), reverse=True):
            with suppress(OSError, msgspec.MsgspecError):
                kept = msgspec.json.decode(beside.read_bytes(), type=Kept)
                if kept.source == WHOLE and kept.day < day.isoformat():
                    return kept.size
        return 0

    def _forget_others(self, day: dt.date) -> None:
        today = {self._path(day), self._beside(day)}
        for other in self._folder.glob("*"):
            if other not in today:
                with suppress(OSError):
                    other.unlink()

    def _path(self, day: dt.date) -> Path:
        return self._folder / f"{day.isoformat()}.csv"

    def _beside(self, day: dt.date) -> Path:
        return self._folder / f"{day.isoformat()}.json"


class _Part:
    """A list while it comes, in one piece or several of the same columns."""

    def __init__(self, path: Path) -> None:
        """Begin it anew. Raises OSError."""
        self._path = path
        self._file = path.open("wb")
        self._columns = self._head = b""
        self._is_in_head = self._is_at_line_end = True
        self._began, self._began_as = 0, hashlib.sha256()
        self._digest = hashlib.sha256()
        self.size = 0
        self.modified = ""

    def begin(self) -> None:
        """A piece is about to come."""
        self._began, self._began_as = self.size, self._digest.copy()
        self._head, self._is_in_head, self._is_at_line_end = b"", True, True

    def add(self, chunk: bytes) -> None:
        """More of the piece. Raises NotFetched when it is no list, or one of other columns."""
        if self._is_in_head:
            self._head, newline, chunk = (self._head + chunk).partition(b"\n")
            self._judge_head()
            if not newline:
                return
            self._is_in_head = False
            if not self._columns:
                self._columns = self._head
                self._put(self._head + newline)
        if chunk:
            self._is_at_line_end = chunk.endswith(b"\n")
        self._put(chunk)

    def _judge_head(self) -> None:
        if self._head.lstrip()[:1] == b"<":
            raise NotFetched("it is a page, no list")
        if len(self._head) > _CHUNK:
            raise NotFetched("it has no line of columns")

    def end(self, *, least: int) -> None:
        """The piece has come whole. Raises NotFetched when it held no row, other columns, or less
        than the `least` bytes.

        Every line of a list ends, its last one too: where that does not, the host itself had only a
        part of it, whatever the length that it gave.
        """
        if self._is_in_head:
            raise NotFetched("it is empty")
        if not self._is_at_line_end:
            raise NotFetched("it was cut off in the middle of a line")
        if self.size - self._began < least:
            raise NotFetched(f"it has {self.size} bytes, less than half of the last day's")
        if self._head.strip() != self._columns.strip():
            raise NotFetched("its columns are others than those of the segment before")

    def undo(self) -> None:
        """Forget the piece."""
        self._file.flush()
        self._file.truncate(self._began)
        self._file.seek(self._began)
        self.size, self._digest = self._began, self._began_as
        if not self.size:
            self._columns = b""

    def _put(self, content: bytes) -> None:
        self.size += len(content)
        if self.size > BYTES_MAX:
            raise NotFetched(f"it is longer than {BYTES_MAX} bytes")
        self._digest.update(content)
        self._file.write(content)

    @property
    def sha256(self) -> str:
        """The hash of all of it."""
        return self._digest.hexdigest()

    def becomes(self, path: Path) -> None:
        """Give it its name."""
        self._file.flush()
        self._path.replace(path)

    def close(self) -> None:
        """Close it; it is gone where it was given no name."""
        self._file.close()
        self._path.unlink(missing_ok=True)


async def _download(
    session: aiohttp.ClientSession, url: str, part: _Part, *, least: int = 0
) -> str:
    """Take one list as the next piece; returns when it was changed last, in the host's words.

    `least` is how many bytes it must have. Raises NotFetched, with `part` as it was.
    """
    part.begin()
    try:
        async with session.get(
            url, headers={"Accept-Encoding": "gzip"}, max_redirects=_REDIRECTS_MAX
        ) as response:
            _judge_status(response.status)
            unpacking = _Unpacking(response.headers.get("Content-Encoding", ""))
            async for chunk in response.content.iter_chunked(_CHUNK):
                for piece in unpacking.pieces(chunk):
                    part.add(piece)
            unpacking.end()
            part.end(least=least)
            return response.headers.get("Last-Modified", "")
    except NotFetched:
        part.undo()
        raise
    except (aiohttp.ClientError, OSError, ValueError) as error:
        part.undo()
        raise NotFetched(type(error).__name__) from error


class _Unpacking:
    """Unpacks what came packed. The client would take a packed body that was cut off for a whole one."""

    def __init__(self, encoding: str) -> None:
        """Raises NotFetched for an encoding that we did not ask for."""
        if encoding not in ("", "identity", "gzip"):
            raise NotFetched("it is packed in a way that was not asked for")
        self._packed = zlib.decompressobj(_GZIP) if encoding == "gzip" else None

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """What a chunk holds, never much at a time. Raises NotFetched when it is damaged."""
        if self._packed is None:
            yield chunk
            return
        while chunk:
            try:
                piece = self._packed.decompress(chunk, _CHUNK)
            except zlib.error as error:
                raise NotFetched("what came packed is damaged") from error
            yield piece
            chunk = self._packed.unconsumed_tail

    def end(self) -> None:
        """Nothing more comes. Raises NotFetched when something is missing."""
        if self._packed is not None and not self._packed.eof:
            raise NotFetched("what came packed was cut off")


def _judge_status(status: int) -> None:
    if status != 200:
        raise NotFetched(f"HTTP {status}")


async def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            digest.update(chunk)
            await asyncio.sleep(0)
    return digest.hexdigest()
