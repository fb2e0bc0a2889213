"""The buffers: kept in order until written, within bounds, answered when on the disk."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
from typing_extensions import override

from holdfast.domain.event import OrderAcknowledged, TapeEvent, TimerFired
from holdfast.domain.order import BrokerOrderId, OrderId
from holdfast.store.buffers import RecordBuffer, StoreSettings, TapeBuffer
from holdfast.store.records import Record, TapeRange
from holdfast.store.tape import TapeWriter
from holdfast.store.writer import EventsTable
from tests.unit.store.samples import DAY, HEADER, SECOND_NS, T0, candle, quotes, tick


class Disk(EventsTable):
    """A table whose disk can be full, and that notes every group."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.is_full = self.refuses_all = False
        self.groups: list[list[int]] = []

    @override
    def commit(self, records: Sequence[tuple[int, Record]]) -> None:
        if self.is_full:
            raise sa.exc.OperationalError("COMMIT", {}, OSError("disk is full"))
        super().commit(records)
        self.groups.append([sequence for sequence, _ in records])

    @override
    def probe(self) -> None:
        if self.refuses_all:
            raise sa.exc.OperationalError("COMMIT", {}, OSError("disk is full"))
        super().probe()


class Stopwatch:
    """A clock that moves by `step_ns` each time it is read."""

    def __init__(self) -> None:
        self.at_ns = 0
        self.step_ns = 0

    def now_ns(self) -> int:
        self.at_ns += self.step_ns
        return self.at_ns


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """An empty table."""
    table = Disk(tmp_path / "journal.db")
    yield table
    table.close()


def buffer(disk: Disk, *, clock: Stopwatch | None = None, records_max: int = 100) -> RecordBuffer:
    """A buffer of groups of ten."""
    settings = StoreSettings(db_transaction_batch_size=10, buffered_records_max=records_max)
    return RecordBuffer(threading.Lock(), settings=settings, clock=clock, table=disk)


def push(records: RecordBuffer, numbers: Sequence[int]) -> None:
    """Timers under these numbers."""
    for number in numbers:
        records.push(number, TimerFired(at_ns=T0 + number))


def test_records_are_committed_in_groups_in_order(disk: Disk) -> None:
    """The oldest first; the last group is what is left; nothing left is no group."""
    records = buffer(disk)
    push(records, range(1, 26))
    assert records.is_due
    while len(records):
        assert records.commit()
    assert records.commit()
    assert disk.groups == [list(range(1, 11)), list(range(11, 21)), list(range(21, 26))]


def test_a_failed_group_is_kept_and_written_later_in_order(disk: Disk) -> None:
    """The reason stands as long as it fails, and what came meanwhile follows."""
    records = buffer(disk)
    push(records, range(1, 4))
    disk.is_full = True
    assert not records.commit()
    assert records.fault == "the journal cannot be written: disk is full"
    push(records, range(4, 6))
    disk.is_full = False
    assert records.commit()
    assert (records.fault, disk.groups) == ("", [[1, 2, 3, 4, 5]])


def test_who_waits_is_answered_when_the_record_is_on_the_disk(disk: Disk) -> None:
    """Not when it is queued, not while the disk is full; at once for what is there already."""
    records = buffer(disk)
    push(records, range(1, 16))
    first, second, both = records.wait(1), records.wait(15), records.wait(10)
    disk.is_full = True
    records.commit()
    assert [future.done() for future in (first, second, both)] == [False] * 3
    disk.is_full = False
    records.commit()
    assert (first.done(), second.done(), both.done()) == (True, False, True)
    records.commit()
    assert second.done()
    assert records.wait(3).done()


def test_who_gave_up_waiting_disturbs_nobody(disk: Disk) -> None:
    """A cancelled future is passed over."""
    records = buffer(disk)
    push(records, [1])
    gone, there = records.wait(1), records.wait(1)
    gone.cancel()
    records.commit()
    assert there.result(timeout=0) is None


def test_an_answer_may_ask_again(disk: Disk) -> None:
    """Answers run without the lock: one that waits for more does not hang."""
    records = buffer(disk)
    push(records, [1, 2])
    asked = []
    records.wait(1).add_done_callback(lambda _: asked.append(records.wait(2)))
    records.commit()
    assert [future.done() for future in asked] == [True]


def test_a_full_buffer_takes_facts_about_orders_only(disk: Disk) -> None:
    """The rest is counted; what was kept is in order."""
    records = buffer(disk, records_max=5)
    push(records, range(1, 9))
    fact = OrderAcknowledged(at_ns=T0, order_id=OrderId("E1"), broker_id=BrokerOrderId("B1"))
    records.push(9, fact)
    assert (len(records), records.dropped) == (6, 3)
    records.commit()
    assert disk.groups == [[1, 2, 3, 4, 5, 9]]


def vouching(number: int) -> TapeRange:
    """A range of one flush of the tape."""
    segment = f"d/ticks-{number:04d}"
    return TapeRange(at_ns=T0, first=1, last=2, count=2, sha256="", segment=segment)


def test_what_is_bound_together_is_never_parted(disk: Disk) -> None:
    """Three that vouch for one flush wait for the next group; no group is larger than ten."""
    records = buffer(disk)
    push(records, range(1, 10))
    for number in (10, 11, 12):
        records.push(number, vouching(number), is_bound=number > 10)
    push(records, range(13, 20))
    while len(records):
        assert records.commit()
    assert disk.groups == [list(range(1, 10)), list(range(10, 20))]


def test_flush_after_flush_is_parted_between_them(disk: Disk) -> None:
    """A run of ranges only, as of minutes in which nothing but ticks came, has its boundaries."""
    records = buffer(disk)
    for number in range(1, 25):
        records.push(number, vouching(number), is_bound=number % 3 != 1)
    while len(records):
        assert records.commit()
    assert disk.groups == [list(range(1, 10)), list(range(10, 19)), list(range(19, 25))]


def test_what_is_bound_and_larger_than_a_group_is_one(disk: Disk) -> None:
    """It cannot be parted, and it is not left."""
    settings = StoreSettings(db_transaction_batch_size=2)
    records = RecordBuffer(threading.Lock(), settings=settings, table=disk)
    for number in range(1, 6):
        records.push(number, vouching(number), is_bound=1 < number < 5)
    while len(records):
        assert records.commit()
    assert disk.groups == [[1, 2, 3, 4], [5]]


def test_a_slow_commit_is_a_fault_until_the_next_quick_one(disk: Disk) -> None:
    """Over two seconds entries could not wait for it; it is on the disk all the same."""
    clock = Stopwatch()
    records = buffer(disk, clock=clock)
    push(records, [1])
    clock.step_ns = 2 * SECOND_NS + SECOND_NS // 2
    assert records.commit()
    assert records.fault == "a commit took 2.5 s"
    clock.step_ns = 2 * SECOND_NS
    push(records, [2])
    assert records.commit()
    assert (records.fault, disk.groups) == ("", [[1], [2]])


def test_after_a_slow_commit_the_disk_is_tried_with_nothing_to_write(disk: Disk) -> None:
    """A quiet hour must not keep entries out; what is tried leaves no record."""
    clock = Stopwatch()
    records = buffer(disk, clock=clock)
    push(records, [1])
    clock.step_ns = 3 * SECOND_NS
    assert records.commit()
    assert records.commit()
    assert records.fault == "a commit took 3.0 s"
    clock.step_ns = SECOND_NS
    assert records.commit()
    assert (records.fault, disk.groups, disk.last) == ("", [[1]], 1)


def test_a_disk_that_refuses_what_is_tried_stays_refused(disk: Disk) -> None:
    """Until it takes it."""
    clock = Stopwatch()
    records = buffer(disk, clock=clock)
    push(records, [1])
    clock.step_ns = 3 * SECOND_NS
    records.commit()
    clock.step_ns = 0
    disk.refuses_all = True
    assert not records.commit()
    assert records.fault == "the journal cannot be written: disk is full"
    disk.refuses_all = False
    assert records.commit()
    assert records.fault == ""


class Paper(TapeWriter):
    """A tape whose disk can be full for one type of event."""

    refuses: type[TapeEvent] | None = None

    @override
    def write(self, rows: Sequence[tuple[int, TapeEvent]]) -> TapeRange:
        if self.refuses is not None and isinstance(rows[0][1], self.refuses):
            raise OSError(28, "No space left on device")
        return super().write(rows)


@pytest.fixture
def paper(tmp_path: Path) -> Iterator[Paper]:
    """An empty tape."""
    writer = Paper(tmp_path / DAY, HEADER)
    yield writer
    writer.close()


class Market(TapeBuffer):
    """A buffer of batches of ten, and what it vouches for."""

    def __init__(self, paper: Paper, *, ticks_max: int = 100) -> None:
        self.vouched: list[TapeRange] = []
        settings = StoreSettings(tape_batch_rows=10, buffered_ticks_max=ticks_max)
        super().__init__(
            threading.Lock(), settings=settings, vouch=self.vouched.extend, writer=paper
        )

    def flushed(self) -> list[TapeRange]:
        """What one flush vouches for."""
        self.vouched.clear()
        self.flush()
        return list(self.vouched)


def test_a_flush_writes_type_by_type(paper: Paper) -> None:
    """One range for each type that came, nothing afterwards."""
    market = Market(paper)
    events: list[TapeEvent] = [tick(1), candle(1), tick(2), quotes(3), tick(3)]
    for number, event in enumerate(events, 1):
        market.push(number, event)
    assert market.oldest_ns() == tick(1).at_ns
    written = market.flushed()
    assert [(part.segment, part.first, part.last, part.count) for part in written] == [
        (f"{DAY}/candles-0001", 2, 2, 1),
        (f"{DAY}/quotes-0001", 4, 4, 1),
        (f"{DAY}/ticks-0001", 1, 5, 3),
    ]
    assert (len(market), market.oldest_ns(), market.flushed()) == (0, None, [])


def test_what_could_not_be_written_is_written_later_in_order(paper: Paper) -> None:
    """And nothing twice: what was written before the disk was full is not repeated."""
    market = Market(paper)
    market.push(1, candle(1))
    market.push(2, tick(2))
    paper.refuses = type(tick(0))
    assert [part.first for part in market.flushed()] == [1]
    assert "No space left" in market.fault
    market.push(3, tick(3))
    assert len(market) == 2
    paper.refuses = None
    assert [(part.first, part.last) for part in market.flushed()] == [(2, 3)]
    assert market.fault == ""


def test_a_full_buffer_of_ticks_counts_what_it_drops(paper: Paper) -> None:
    """Counting what waits since an earlier failure too."""
    market = Market(paper, ticks_max=4)
    paper.refuses = type(tick(0))
    for number in range(1, 4):
        market.push(number, tick(number))
    market.flushed()
    for number in range(4, 7):
        market.push(number, tick(number))
    assert (len(market), market.dropped) == (4, 2)
    paper.refuses = None
    assert [part.count for part in market.flushed()] == [4]
