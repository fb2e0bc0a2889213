"""One file of the tape: whole batches, then Parquet with a hash; damage is refused by name."""

import errno
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from holdfast.domain.errors import DataRefused
from holdfast.domain.market import Tick
from holdfast.store.columns import KINDS, TICKS
from holdfast.store.segment import (
    FORMAT,
    Content,
    GrowingSegment,
    TapeHeader,
    described,
    read_growing,
    read_segment,
    seal,
    write_sealed,
)
from holdfast.store.stops import Interrupted
from tests.unit.store.samples import HEADER, flip, tick

OF_TICKS = replace(HEADER, kind="ticks", notes={"offset_ns": 5_093_000_000, "source": "made"})


def batch(first: int, count: int = 50) -> pa.RecordBatch:
    """Ticks from number `first` on."""
    return KINDS[Tick].encode([(number, tick(number)) for number in range(first, first + count)])


def growing(path: Path, batches: int = 4) -> Path:
    """A closed stream of `batches` batches of 50."""
    segment = GrowingSegment(path, TICKS, OF_TICKS)
    for number in range(batches):
        segment.append(batch(1 + 50 * number), sync=True)
    segment.close()
    return path


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    """Four batches."""
    return growing(tmp_path / "ticks-0001.arrows")


@pytest.fixture
def sealed(stream: Path) -> Path:
    """The same, sealed."""
    path = seal(stream)
    assert path is not None
    return path


def test_a_stream_is_read_while_it_grows(tmp_path: Path) -> None:
    """Every batch is there as soon as it was appended, the header from the beginning."""
    segment = GrowingSegment(tmp_path / "ticks-0001.arrows", TICKS, OF_TICKS)
    for number in range(3):
        content = read_segment(segment.path)
        assert content.header == OF_TICKS
        assert (content.table.num_rows, content.cut_bytes) == (50 * number, 0)
        segment.append(batch(1 + 50 * number), sync=False)
    assert segment.rows == 150
    segment.close()


def test_sealing_keeps_rows_and_header_and_removes_the_stream(stream: Path) -> None:
    """The sealed file is the only one left, and smaller."""
    before, size = read_segment(stream), stream.stat().st_size
    sealed = seal(stream)
    assert sealed is not None
    assert list(stream.parent.iterdir()) == [sealed]
    after = read_segment(sealed)
    assert after.header == before.header == OF_TICKS
    assert after.table.to_pylist() == before.table.to_pylist()
    assert sealed.stat().st_size < size


def test_a_seal_that_is_told_to_end_leaves_the_stream_as_it_was(
    stream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Soon: between two batches, two columns or two groups of rows; nothing unfinished stays."""
    monkeypatch.setattr("holdfast.store.segment._GROUP_ROWS", 64)
    before = stream.read_bytes()
    never = SetAfter(looks=1_000)
    other = seal(growing(stream.parent / "other.arrows"), never)
    assert other is not None
    other.unlink()
    taken = 1_000 - never.looks
    assert taken > len(TICKS) + 4 + 3
    for looks in range(taken):
        with pytest.raises(Interrupted):
            seal(stream, SetAfter(looks=looks))
        assert [path.read_bytes() for path in stream.parent.iterdir()] == [before]


class SetAfter:
    """A flag that is set once it was looked at so often."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    @property
    def is_set(self) -> bool:
        """Whether it was."""
        if self.looks == 0:
            return True
        self.looks -= 1
        return False

    def wait(self, seconds: float) -> bool:
        """It is never waited for."""
        raise AssertionError(seconds)


def test_a_stream_without_rows_is_removed(tmp_path: Path) -> None:
    """There is nothing to keep."""
    assert seal(growing(tmp_path / "ticks-0001.arrows", batches=0)) is None
    assert list(tmp_path.iterdir()) == []


def test_a_stream_cut_anywhere_is_good_up_to_its_last_whole_batch(stream: Path) -> None:
    """At each of 300 places of a crash: whole batches, and what was cut is counted."""
    content = stream.read_bytes()
    ends = list(
        accumulate(
            (len(batch(1 + 50 * number).serialize()) for number in range(4)),
            initial=len(described(TICKS, OF_TICKS).serialize()),
        )
    )
    assert ends[-1] == len(content)
    for size in range(ends[0], len(content), (len(content) - ends[0]) // 300):
        stream.write_bytes(content[:size])
        found = read_growing(stream)
        whole = bisect_right(ends, size) - 1
        assert (found.table.num_rows, found.cut_bytes) == (50 * whole, size - ends[whole])


def test_a_stream_damaged_before_a_whole_batch_is_refused(stream: Path) -> None:
    """A crash cuts the end off; it does not leave a whole batch behind damage."""
    schema_bytes = len(described(TICKS, OF_TICKS).serialize())
    flip(stream, schema_bytes, 0xFF)
    with pytest.raises(DataRefused, match=rf"damaged at byte {schema_bytes}") as refusal:
        read_segment(stream)
    assert refusal.value.where == str(stream)


def test_a_sync_that_failed_takes_the_batch_back(
    stream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And ends that stream: what the system says of its pages afterwards is no proof."""
    stream.unlink()
    segment = GrowingSegment(stream, TICKS, OF_TICKS)
    segment.append(batch(1), sync=True)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", failing_disk)
        with pytest.raises(OSError, match="Input/output error"):
            segment.append(batch(51), sync=True)
    assert segment.is_doubtful
    with pytest.raises(AssertionError, match="left as it is"):
        segment.append(batch(51), sync=True)
    segment.close()
    content = read_growing(stream)
    assert (content.table.num_rows, content.cut_bytes) == (50, 0)


def failing_disk(_handle: int) -> None:
    """A disk that does not answer."""
    raise OSError(errno.EIO, "Input/output error")


def test_a_full_disk_leaves_the_stream_as_it_was(
    stream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a batch is taken back, and the next attempt appends the whole one."""
    stream.unlink()
    segment = GrowingSegment(stream, TICKS, OF_TICKS)
    segment.append(batch(1), sync=True)
    size = stream.stat().st_size
    file = segment._file  # noqa: SLF001 the disk is what is played here

    class FullDisk:
        """Takes some bytes of a write, then none."""

        def __init__(self) -> None:
            self.left = 1_000

        def write(self, content: memoryview) -> int:
            if not self.left:
                raise OSError(errno.ENOSPC, "No space left on device")
            taken = file.write(content[: self.left])
            self.left = 0
            return taken

        def __getattr__(self, name: str) -> object:
            return getattr(file, name)

    with monkeypatch.context() as patch:
        patch.setattr(segment, "_file", FullDisk())
        with pytest.raises(OSError, match="No space left"):
            segment.append(batch(51), sync=True)
        assert stream.stat().st_size == size
    segment.append(batch(51), sync=True)
    segment.close()
    assert read_segment(stream).table.num_rows == 100


def test_a_sealed_file_cut_off_is_refused(sealed: Path) -> None:
    """At 40 places: none of it is believed."""
    content = sealed.read_bytes()
    for size in range(0, len(content), len(content) // 40):
        sealed.write_bytes(content[:size])
        with pytest.raises(DataRefused, match="truncated, damaged or no tape"):
            read_segment(sealed)


def test_a_flipped_byte_of_a_sealed_file_never_changes_what_is_read(sealed: Path) -> None:
    """At 300 places: refused with the file's name, or a byte that means nothing."""
    content, before = sealed.read_bytes(), read_segment(sealed)
    refused = 0
    for at in range(0, len(content), len(content) // 300):
        sealed.write_bytes(content)
        flip(sealed, at, 0x55)
        found = read_or_refusal(sealed)
        if isinstance(found, DataRefused):
            assert str(sealed) in found.where
            refused += 1
        else:
            assert found.header == before.header
            assert found.table.equals(before.table)
    assert refused >= 200


def read_or_refusal(path: Path) -> Content | DataRefused:
    """What reading the file gives, either way."""
    try:
        return read_segment(path)
    except DataRefused as refusal:
        return refusal


def test_writing_that_fails_leaves_no_file(tmp_path: Path) -> None:
    """Neither the file nor an unfinished one."""
    folder = tmp_path / "nowhere"
    table = pa.Table.from_batches([batch(1)])
    with pytest.raises(OSError, match="nowhere"):
        write_sealed(folder / "ticks-0001.parquet", table, OF_TICKS)
    assert list(tmp_path.iterdir()) == []


def rewritten(path: Path, table: pa.Table, metadata: dict[bytes, bytes] | None = None) -> Path:
    """The file as another program would write it."""
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


def test_a_parquet_file_of_somebody_else_is_refused(sealed: Path) -> None:
    """It has no header; the remedy is the import."""
    rewritten(sealed, pa.table({"price": [1.0]}))
    with pytest.raises(DataRefused, match="is no tape of holdfast") as refusal:
        read_segment(sealed)
    assert "tape import" in refusal.value.remedy


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    """What this program does not know it does not guess."""
    path = tmp_path / "ticks-0001.parquet"
    write_sealed(path, pa.Table.from_batches([batch(1)]), replace(OF_TICKS, format=FORMAT + 1))
    with pytest.raises(DataRefused, match=r"format 2 is newer than 1") as refusal:
        read_segment(path)
    assert refusal.value.remedy == "upgrade holdfast"


@pytest.mark.parametrize(
    ("header", "what"),
    [(b"{", "header cannot be read"), (b"[]", "header cannot be read"), (b'{"format":1}', "day")],
)
def test_a_header_that_is_none_is_refused(sealed: Path, header: bytes, what: str) -> None:
    """Naming the file."""
    rewritten(sealed, pa.Table.from_batches([batch(1)]), {b"holdfast": header})
    with pytest.raises(DataRefused, match=what):
        read_segment(sealed)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        (lambda table: table.drop_columns(["oi", "ask3_paise"]), "missing columns: oi, ask3_paise"),
        (
            lambda table: table.set_column(3, "last_paise", table["last_paise"].cast(pa.float64())),
            "column last_paise holds double, not int64",
        ),
    ],
    ids=["columns", "floats"],
)
def test_missing_and_mistyped_columns_are_named(tmp_path: Path, changed: object, what: str) -> None:
    """Prices are whole paise: a column that can hold NaN is refused as a column."""
    assert callable(changed)
    path = tmp_path / "ticks-0001.parquet"
    write_sealed(path, changed(pa.Table.from_batches([batch(1)])), OF_TICKS)
    with pytest.raises(DataRefused, match=what):
        read_segment(path)


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    """A header that names none of ours."""
    path = tmp_path / "news-0001.parquet"
    header = TapeHeader(day="2025-12-15", source="made", kind="news")
    write_sealed(path, pa.table({"x": [1]}), header)
    with pytest.raises(DataRefused, match="unknown kind 'news'"):
        read_segment(path)
