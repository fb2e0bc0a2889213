"""What each byte of an SQLite file is for: which row a damaged byte belongs to, or that none does.

Written from the published file format (sqlite.org/fileformat2.html), section numbers beside the
lines that follow it. Only what our databases have: no auto-vacuum, pages never reserved in part.
"""

import struct
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Final, NamedTuple

import sqlalchemy as sa

from holdfast.domain.errors import DataRefused
from holdfast.store import schema

_HEADER_BYTES: Final = 100
_INTERIOR: Final = (2, 5)
_TABLE: Final = (5, 13)
_INDEX_LEAF: Final = 10

# 1.3: bytes of the file header that only steer SQLite's caches and versions. Whatever stands there,
# the same rows are read.
_BOOKKEEPING: Final = {
    (24, 28): "the file change counter",
    (40, 44): "the schema cookie",
    (48, 52): "the suggested cache size",
    (60, 64): "the user version",
    (92, 96): "the version-valid-for number",
    (96, 100): "the number of the SQLite version that wrote last",
}

# 1.3: bytes that have one value in every database of ours.
_FIXED: Final[dict[tuple[int, int], tuple[bytes, str]]] = {
    (0, 16): (b"SQLite format 3\0", "the magic"),
    (16, 18): (struct.pack(">H", 4096), "the page size"),
    (18, 20): (b"\x02\x02", "the log mode (WAL)"),
    (20, 21): (b"\x00", "the reserved space of a page"),
    (21, 24): (b"\x40\x20\x20", "the payload fractions"),
    (44, 48): (struct.pack(">I", 4), "the schema format"),
    (48, 52): (bytes(4), "the suggested cache size"),
    (52, 56): (bytes(4), "the largest root page"),
    (56, 60): (struct.pack(">I", 1), "the text encoding"),
    (60, 64): (bytes(4), "the user version"),
    (64, 68): (bytes(4), "the vacuum mode"),
    (68, 72): (struct.pack(">I", schema.APPLICATION_ID), "the application id"),
    (72, 92): (bytes(20), "the space reserved for expansion"),
}


class Place(NamedTuple):
    """Where a byte lies. A byte that is not live can have any value and the same rows are read."""

    is_live: bool
    text: str


class Part(NamedTuple):
    """A named stretch of the file, `end` excluded."""

    name: str
    start: int
    end: int


class Cell(NamedTuple):
    """One cell of a b-tree page: its parts follow each other. `row` is a table row's own number."""

    row: int | None
    parts: tuple[Part, ...]
    child: int | None
    overflow: int | None
    spilled: int

    @property
    def start(self) -> int:
        """Its first byte in the file."""
        return self.parts[0].start

    @property
    def end(self) -> int:
        """The byte behind its last. The smallest cell takes four bytes (1.6)."""
        return max(self.parts[-1].end, self.start + 4)


class _Owner(NamedTuple):
    """A table or index; `number` is the column that is the row's own number and not stored."""

    name: str
    columns: tuple[str, ...]
    number: str | None = None

    def column(self, at: int) -> str:
        """The name of a column by its place."""
        return self.columns[at] if at < len(self.columns) else f"column {at + 1}"


class _Use(NamedTuple):
    """What a page is for: a tree's, the continuation of a row, or free."""

    role: str
    owner: _Owner
    row: int | None = None
    used: int = 0


def header_flaws(path: Path) -> list[str]:
    """Bytes of the file header that differ from those of every database of ours."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    return [
        f"bytes {start} to {end - 1}: {what} is {head[start:end].hex()}, not {wanted.hex()}"
        for (start, end), (wanted, what) in _FIXED.items()
        if head[start:end] != wanted
    ]


def locate(path: Path, offset: int) -> str:
    """Which page, cell and column the byte at `offset` of a database file lies in.

    Raises `DataRefused` when the file is not laid out as a database.
    """
    return DatabaseFile(path).place(offset).text


class DatabaseFile:
    """The layout of one database file, its log folded in. Reads, never writes."""

    def __init__(self, path: Path) -> None:
        """Walk every tree. Raises `DataRefused` when the file is not laid out as a database."""
        self._bytes = path.read_bytes()
        self._uses: dict[int, _Use] = {}
        self._cells: dict[int, list[Cell]] = {}
        try:
            (size,) = struct.unpack_from(">H", self._bytes, 16)
            self.page_size = 65_536 if size == 1 else size
            self._usable = self.page_size - self._bytes[20]
            if not 512 <= self.page_size <= 65_536:
                raise IndexError(f"a page size of {self.page_size}")  # noqa: TRY301 as any misfit
            self._walk_all()
        except (IndexError, struct.error, UnicodeDecodeError) as error:
            raise DataRefused(
                str(path),
                f"is not laid out as a database: {error}",
                "run `holdfast audit verify`; restore the last backup",
            ) from error

    def _walk_all(self) -> None:
        self._walk(1, _Owner("sqlite_schema", ("type", "name", "tbl_name", "rootpage", "sql")))
        for owner, root in list(self._roots()):
            self._walk(root, owner)
        self._walk_free()

    def _roots(self) -> Iterator[tuple[_Owner, int]]:
        for cell in self.cells("sqlite_schema"):
            kind, name, table, root, _sql = (self._value(part) for part in cell.parts[-5:])
            yield _owner(str(kind), str(name), str(table)), int(root)

    def _value(self, part: Part) -> str | int:
        """A column of `sqlite_schema`: the root page is its only number."""
        raw = self._bytes[part.start : part.end]
        return int.from_bytes(raw, "big") if part.name == "rootpage" else raw.decode()

    def cells(self, table: str) -> Iterator[Cell]:
        """The cells of every page of a table or index, interior ones included, page by page."""
        for page, use in sorted(self._uses.items()):
            if use.role == "tree" and use.owner.name == table:
                yield from self._cells[page]

    def place(self, offset: int) -> Place:
        """Where the byte at `offset` lies."""
        page, at = divmod(offset, self.page_size)
        page += 1
        if page == 1 and at < _HEADER_BYTES:
            return _header_place(offset)
        use = self._uses.get(page)
        if use is None:
            return Place(is_live=False, text=f"page {page}: reached by no table")
        if use.role == "tree":
            return self._tree_place(page, use.owner, offset)
        is_live = at < use.used
        what = use.role if use.row is None else f"{use.role} of {use.owner.name} row {use.row}"
        return Place(is_live, f"page {page}: {what}{'' if is_live else ', unused space'}")

    def _base(self, page: int) -> int:
        return (page - 1) * self.page_size

    def _walk(self, root: int, owner: _Owner) -> None:
        waiting = [root]
        while waiting:
            page = waiting.pop()
            if page in self._uses:  # a damaged pointer may lead in a circle
                continue
            self._uses[page] = _Use("tree", owner)
            self._cells[page] = self._page_cells(page, owner)
            for cell in self._cells[page]:
                if cell.child is not None:
                    waiting.append(cell.child)
                if cell.overflow is not None:
                    self._walk_overflow(cell.overflow, cell.spilled, owner, cell.row)
            start = self._start(page)
            if self._bytes[start] in _INTERIOR:
                waiting.append(struct.unpack_from(">I", self._bytes, start + 8)[0])

    def _walk_overflow(self, page: int, spilled: int, owner: _Owner, row: int | None) -> None:
        """1.6: each page holds the number of the next and as much of the payload as fits."""
        while page and spilled > 0 and page not in self._uses:
            here = min(spilled, self._usable - 4)
            self._uses[page] = _Use("continuation", owner, row, 4 + here)
            spilled -= here
            (page,) = struct.unpack_from(">I", self._bytes, self._base(page))

    def _walk_free(self) -> None:
        """1.5: trunks hold the next trunk, a count and the numbers of wholly free pages."""
        nobody = _Owner("", ())
        (trunk,) = struct.unpack_from(">I", self._bytes, 32)
        while trunk and trunk not in self._uses:
            following, count = struct.unpack_from(">II", self._bytes, self._base(trunk))
            self._uses[trunk] = _Use("list of free pages", nobody, None, 8 + 4 * count)
            leaves = struct.unpack_from(f">{count}I", self._bytes, self._base(trunk) + 8)
            self._uses.update({page: _Use("free page", nobody) for page in leaves})
            trunk = following

    def _start(self, page: int) -> int:
        return self._base(page) + (_HEADER_BYTES if page == 1 else 0)

    def _page_head(self, page: int) -> tuple[int, int, int, list[int]]:
        """1.6: kind of the page, first free block, start of the content, where the cells are."""
        start = self._start(page)
        kind, free, count, content = struct.unpack_from(">BHHH", self._bytes, start)
        pointers = start + (12 if kind in _INTERIOR else 8)
        cells = struct.unpack_from(f">{count}H", self._bytes, pointers)
        base = self._base(page)
        return kind, free, base + (content or 65_536), [base + cell for cell in cells]

    def _page_cells(self, page: int, owner: _Owner) -> list[Cell]:
        kind, _free, _content, starts = self._page_head(page)
        return [self._cell(kind, start, owner) for start in starts]

    def _cell(self, kind: int, start: int, owner: _Owner) -> Cell:
        """1.6: [child] [size of the payload] [row] [payload] [page it continues on]."""
        at, child, parts = start, None, []
        if kind in _INTERIOR:
            (child,) = struct.unpack_from(">I", self._bytes, at)
            parts.append(Part("the child's page", at, at + 4))
            at += 4
        size = row = None
        if kind != 5:
            size, end = self._varint(at)
            parts.append(Part("the size", at, end))
            at = end
        if kind in _TABLE:
            row, end = self._varint(at)
            parts.append(Part("the row's number", at, end))
            at = end
        if size is None:
            return Cell(row, tuple(parts), child, None, 0)
        local = self._local(kind, size)
        parts += self._record(at, at + local, owner)
        if local == size:
            return Cell(row, tuple(parts), child, None, 0)
        end = at + local
        parts.append(Part("the page it continues on", end, end + 4))
        (overflow,) = struct.unpack_from(">I", self._bytes, end)
        return Cell(row, tuple(parts), child, overflow, size - local)

    def _local(self, kind: int, size: int) -> int:
        """1.6: how much of a payload of `size` stays on the page."""
        usable = self._usable
        most = usable - 35 if kind in _TABLE else (usable - 12) * 64 // 255 - 23
        least = (usable - 12) * 32 // 255 - 23
        if size <= most:
            return size
        kept = least + (size - least) % (usable - 4)
        return kept if kept <= most else least

    def _record(self, start: int, end: int, owner: _Owner) -> list[Part]:
        """2.1: a header of types, then the columns; only what lies before `end`."""
        head_bytes, at = self._varint(start)
        parts = [Part("the size of the columns' types", start, at)]
        widths: list[int] = []
        while at < start + head_bytes:
            kind, behind = self._varint(at)
            parts.append(Part(f"the type of {owner.column(len(widths))}", at, behind))
            widths.append(_width(kind))
            at = behind
        bounds = accumulate(widths, initial=start + head_bytes)
        for number, (first, behind) in enumerate(pairwise(bounds)):
            parts.append(Part(owner.column(number), first, behind))
        return [Part(name, min(first, end), min(behind, end)) for name, first, behind in parts]

    def _varint(self, at: int) -> tuple[int, int]:
        """1.6: big-endian, seven bits a byte, at most nine bytes, the ninth whole."""
        value = 0
        for byte in self._bytes[at : at + 8]:
            at += 1
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value, at
        return value << 8 | self._bytes[at], at + 1

    def _tree_place(self, page: int, owner: _Owner, offset: int) -> Place:
        kind, free, content, starts = self._page_head(page)
        pointers = self._start(page) + (12 if kind in _INTERIOR else 8)
        where = f"page {page} of {owner.name}"
        if offset < pointers:
            return Place(is_live=True, text=f"{where}: the page's header")
        if offset < pointers + 2 * len(starts):
            number = (offset - pointers) // 2
            return Place(is_live=True, text=f"{where}: the pointer to cell {number + 1}")
        for cell in self._cells[page]:
            if cell.start <= offset < cell.end:
                return _cell_place(where, owner, cell, offset)
        if offset < content:
            return Place(is_live=False, text=f"{where}: unallocated space")
        return self._free_place(where, self._base(page), free, offset)

    def _free_place(self, where: str, base: int, block: int, offset: int) -> Place:
        """1.6: free blocks begin with the next one and their size; up to three bytes are nobody's."""
        while block:
            following, size = struct.unpack_from(">HH", self._bytes, base + block)
            if base + block <= offset < base + block + size:
                is_live = offset < base + block + 4
                what = "the header of a free block" if is_live else "a free block"
                return Place(is_live, f"{where}: {what}")
            block = following if following > block else 0
        return Place(is_live=False, text=f"{where}: a fragment between cells")


def _width(kind: int) -> int:
    """2.1: bytes of a value of a serial type."""
    if kind >= 12:
        return (kind - 12) // 2
    return (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)[kind]


def _header_place(offset: int) -> Place:
    for (start, end), what in _BOOKKEEPING.items():
        if start <= offset < end:
            is_live = (start, end) in _FIXED
            return Place(is_live, f"file header: {what}")
    return Place(is_live=True, text="file header")


def _cell_place(where: str, owner: _Owner, cell: Cell, offset: int) -> Place:
    part = next((part for part in cell.parts if part.start <= offset < part.end), None)
    if part is None:
        return Place(is_live=False, text=f"{where}: padding of a small cell")
    if cell.child is not None and part.name == "the row's number":
        # 1.6: the largest row on the left or any number up to the smallest on the right will do.
        what = f"{where}: the boundary {cell.row} between its left and right pages"
        return Place(is_live=False, text=what)
    row = "an entry" if cell.row is None else f"row {cell.row}"
    # 2.1: what is stored for the row's own number is not looked at, as long as it takes no space.
    is_live = part.name != f"the type of {owner.number}"
    return Place(is_live, f"{where}, {row}: {part.name}")


def _owner(kind: str, name: str, table: str) -> _Owner:
    """The owner of a tree, with its columns where the table is one of ours."""
    known = schema.metadata.tables.get(table)
    if known is None or kind != "table":
        return _Owner(name, ())
    key = list(known.primary_key)
    number = key[0].name if len(key) == 1 and isinstance(key[0].type, sa.BigInteger) else None
    return _Owner(name, tuple(known.columns.keys()), number)
