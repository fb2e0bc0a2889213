"""The tape of a day: written in segments, read back as the market it was."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from msgspec.structs import replace

from holdfast.domain.errors import DataRefused
from holdfast.domain.event import TapeEvent
from holdfast.domain.market import Tick
from holdfast.store.columns import KINDS
from holdfast.store.records import TapeRange
from holdfast.store.segment import GROWING, SEALED, GrowingSegment, read_segment, write_sealed
from holdfast.store.tape import TapeWriter, read_tape, seal_leftovers, segments
from tests.unit.store.samples import (
    DAY,
    HEADER,
    INSTRUMENTS,
    SECOND_NS,
    T0,
    candle,
    merged,
    option,
    quotes,
    tick,
)


def written(
    folder: Path, batches: Sequence[Sequence[TapeEvent]], *, rows_max: int = 1_000, first: int = 1
) -> list[TapeRange]:
    """Write batches under numbers from `first` on and close."""
    writer = TapeWriter(folder, HEADER, rows_max=rows_max)
    ranges = []
    for batch in batches:
        ranges.append(writer.write(list(enumerate(batch, first))))
        first += len(batch)
    writer.close()
    return ranges


def test_a_day_is_read_back_as_it_was(tmp_path: Path) -> None:
    """Ticks, history and reads, under their numbers; the header says what market it was."""
    ticks: list[TapeEvent] = [merged(n) if n % 9 == 0 else tick(n) for n in range(1, 200)]
    candles: list[TapeEvent] = [candle(n) for n in range(30)]
    reads: list[TapeEvent] = [quotes(n, count=n % 3) for n in range(10)]
    written(tmp_path / DAY, [candles, ticks[:100], reads, ticks[100:]])
    tape = read_tape(tmp_path / DAY)
    assert [event for _, event in tape.events()] == [*candles, *ticks[:100], *reads, *ticks[100:]]
    assert [number for number, _ in tape.events()] == list(range(1, 240))
    assert list(tape.ticks()) == ticks
    assert list(tape.history()) == candles
    assert tape.instruments == INSTRUMENTS
    assert (tape.header.day, tape.header.source) == (DAY, "made for a test")
    assert (tape.rows, tape.tick_rows, tape.cut_bytes) == (30 + 199 + 10 + 3, 199, 0)


def test_a_range_tells_what_to_look_for(tmp_path: Path) -> None:
    """First and last number, how many, when, and where."""
    (found,) = written(tmp_path / DAY, [[tick(n) for n in range(5)]], first=40)
    assert (found.first, found.last, found.count) == (40, 44, 5)
    assert found.at_ns == tick(4).at_ns
    assert found.segment == f"{DAY}/ticks-0001"


def test_segments_are_sealed_when_they_are_full_and_at_the_end(tmp_path: Path) -> None:
    """Three of 100 rows and one of 50, numbered on; nothing unsealed is left."""
    batches = [[tick(50 * k + n) for n in range(50)] for k in range(7)]
    written(tmp_path / DAY, batches, rows_max=100)
    names = [path.name for path in segments(tmp_path / DAY)]
    assert names == [f"ticks-000{n}{SEALED}" for n in (1, 2, 3, 4)]
    assert list(read_tape(tmp_path / DAY).ticks()) == [tick(n) for n in range(350)]


def test_after_a_sync_that_failed_the_batch_is_written_to_a_new_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, and under the range that says where."""
    writer = TapeWriter(tmp_path / DAY, HEADER)
    first = writer.write([(1, tick(1)), (2, tick(2))])
    synced = os.fsync

    def failing_once(handle: int) -> None:
        monkeypatch.setattr("os.fsync", synced)
        raise OSError(errno.EIO, f"Input/output error on {handle}")

    monkeypatch.setattr("os.fsync", failing_once)
    with pytest.raises(OSError, match="Input/output error"):
        writer.write([(3, tick(3))])
    second = writer.write([(3, tick(3))])
    writer.close()
    assert [first.segment, second.segment] == [f"{DAY}/ticks-0001", f"{DAY}/ticks-0002"]
    numbers = [number for number, _ in read_tape(tmp_path / DAY).events()]
    seal_leftovers(tmp_path)
    assert numbers == [number for number, _ in read_tape(tmp_path / DAY).events()] == [1, 2, 3]


def test_a_batch_that_was_written_before_is_found(tmp_path: Path) -> None:
    """By number, in the segment where it lies, with the range that writing it gave."""
    batches = [[tick(20 * k + n) for n in range(20)] for k in range(4)]
    ranges = written(tmp_path / DAY, batches, rows_max=40)
    again = TapeWriter(tmp_path / DAY, HEADER)
    for at, batch in enumerate(batches):
        assert again.find(list(enumerate(batch, 1 + 20 * at))) == ranges[at]
    assert again.find([(81, tick(81))]) is None
    assert again.find([(81, candle(1))]) is None


def test_a_second_run_of_a_day_begins_a_new_segment(tmp_path: Path) -> None:
    """A restart never appends to what is sealed."""
    written(tmp_path / DAY, [[tick(n) for n in range(10)]])
    written(tmp_path / DAY, [[tick(n) for n in range(10, 20)]], first=100)
    assert [path.stem for path in segments(tmp_path / DAY)] == ["ticks-0001", "ticks-0002"]
    assert list(read_tape(tmp_path / DAY).ticks()) == [tick(n) for n in range(20)]


def test_instruments_that_become_known_stand_in_the_next_header(tmp_path: Path) -> None:
    """The reader knows those of all segments, in the order in which they were named."""
    more = (*INSTRUMENTS, option(26_100))
    writer = TapeWriter(tmp_path / DAY, HEADER)
    writer.write([(1, tick(1))])
    writer.describe(INSTRUMENTS)
    writer.write([(2, tick(2))])
    writer.describe(more)
    writer.write([(3, tick(3, instrument=more[-1].id))])
    writer.close()
    assert [path.stem for path in segments(tmp_path / DAY)] == ["ticks-0001", "ticks-0002"]
    assert read_tape(tmp_path / DAY).instruments == more


def test_ticks_come_in_order_of_time_though_merged_ones_do_not_lie_so(tmp_path: Path) -> None:
    """A merged tick is later than what follows it, here even beyond its segment."""
    late = replace(merged(1), at_ns=T0 + 5 * SECOND_NS // 10)
    ticks: list[TapeEvent] = [tick(0), late, tick(2), tick(3)]
    written(tmp_path / DAY, [ticks[:2], ticks[2:], [tick(6), tick(7)]], rows_max=2)
    tape = read_tape(tmp_path / DAY)
    assert list(tape.ticks()) == [tick(0), tick(2), tick(3), late, tick(6), tick(7)]
    assert [event for _, event in tape.events()][:4] == ticks


def test_ticks_of_one_instant_keep_their_order(tmp_path: Path) -> None:
    """By sequence: 200 ticks at three instants."""
    ticks: list[TapeEvent] = [replace(tick(n), at_ns=T0 + n // 67) for n in range(200)]
    ticks[66] = replace(ticks[66], at_ns=T0 + 1, count=2)
    written(tmp_path / DAY, [ticks])
    assert list(read_tape(tmp_path / DAY).ticks()) == ticks


def test_a_tape_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    """The rows that were there when it was opened, also when more have come since."""
    writer = TapeWriter(tmp_path / DAY, HEADER)
    writer.write([(1, tick(1)), (2, tick(2))])
    tape = read_tape(tmp_path / DAY)
    writer.write([(3, tick(3))])
    assert list(tape.ticks()) == [tick(1), tick(2)]
    writer.close()


def crashed(root: Path) -> Path:
    """A day whose stream was cut off in its second batch."""
    (root / DAY).mkdir()
    kind = KINDS[Tick]
    path = root / DAY / f"ticks-0001{GROWING}"
    segment = GrowingSegment(path, kind.schema, replace(HEADER, kind=kind.name))
    for numbers in (range(1, 51), range(60, 90)):
        segment.append(kind.encode([(number, tick(number)) for number in numbers]), sync=True)
    segment.close()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 100)
    return path


def test_what_a_crash_left_is_read_and_sealed(tmp_path: Path) -> None:
    """Up to the last whole batch; the next number is known."""
    crashed(tmp_path)
    (tmp_path / DAY / "ticks-0002.arrows.unfinished").write_bytes(b"begun")
    tape = read_tape(tmp_path / DAY)
    assert tape.tick_rows == 50
    assert tape.cut_bytes > 1_000
    assert seal_leftovers(tmp_path) == 50
    assert [found.name for found in (tmp_path / DAY).iterdir()] == [f"ticks-0001{SEALED}"]
    assert read_tape(tmp_path / DAY).tick_rows == 50


def test_a_crash_between_sealing_and_removing_leaves_one_tape(tmp_path: Path) -> None:
    """Both files are there; the sealed one counts, and the next start removes the other."""
    path = crashed(tmp_path)
    content = path.read_bytes()
    seal_leftovers(tmp_path)
    path.write_bytes(content)
    assert [found.suffix for found in segments(tmp_path / DAY)] == [SEALED]
    assert read_tape(tmp_path / DAY).tick_rows == 50
    assert seal_leftovers(tmp_path) == 50
    assert not path.exists()


def test_the_highest_number_is_that_of_the_latest_day(tmp_path: Path) -> None:
    """So that numbers on the tape are never given twice, even when the journal lost them."""
    assert seal_leftovers(tmp_path) == 0
    written(tmp_path / "2025-12-12", [[tick(1)]], first=7)
    written(tmp_path / DAY, [[tick(1)], [candle(1)]], first=20)
    assert seal_leftovers(tmp_path) == 21


def test_a_segment_that_repeats_another_is_refused(tmp_path: Path) -> None:
    """Somebody copied a file."""
    written(tmp_path / DAY, [[tick(n) for n in range(10)]])
    (path,) = segments(tmp_path / DAY)
    path.with_name(f"ticks-0002{SEALED}").write_bytes(path.read_bytes())
    with pytest.raises(DataRefused, match="repeats numbers of the segment before it") as refusal:
        read_tape(tmp_path / DAY)
    assert "ticks-0002" in refusal.value.where


def test_a_flawed_row_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    """A price of zero in the second segment: file, row, number, remedy."""
    path = tmp_path / f"ticks-0001{SEALED}"
    rows = KINDS[Tick].encode([(1, tick(1)), (2, replace(tick(2), last_paise=0))])
    write_sealed(path, pa.Table.from_batches([rows]), replace(HEADER, kind="ticks"))
    with pytest.raises(DataRefused, match="the last price is zero or negative") as refusal:
        read_tape(path)
    assert refusal.value.where == f"{path}: row 2 (sequence 2)"


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_a_folder_without_a_tape_is_refused(tmp_path: Path, name: str) -> None:
    """With how to get one."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no tape")
    with pytest.raises(DataRefused, match="holds no tape"):
        read_tape(tmp_path / name)


def test_a_segment_that_cannot_be_sealed_stays_a_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No space for a second copy of the rows is no reason to lose the first."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("holdfast.store.segment.write_sealed", full)
        ranges = written(tmp_path / DAY, [[tick(n) for n in range(10)] for _ in (1,)], rows_max=10)
    assert [found.count for found in ranges] == [10]
    (path,) = segments(tmp_path / DAY)
    assert path.suffix == GROWING
    assert seal_leftovers(tmp_path) == 10
    assert read_segment(path.with_suffix(SEALED)).table.num_rows == 10
