"""What the command line reads."""

from pathlib import Path

import pytest

from holdfast.domain.errors import DataRefused
from holdfast.domain.event import Restarted
from holdfast.store import query
from holdfast.store.schema import FILE_NAME
from tests.unit.store.samples import DAY, flip


def test_a_day_is_read_without_writing(finished: Path) -> None:
    """Records, header, orders, fills, positions, postings and signals of the day; no file moves."""
    path = finished / FILE_NAME
    content = path.read_bytes()
    records = list(query.records(path))
    assert len(records) >= 200
    assert isinstance(records[0][2], Restarted)
    header = query.day_header(path)
    assert header is not None
    assert (header.day, header.trades, header.restarts) == (DAY, 15, 1)
    assert len(query.positions(path, DAY)) == 30
    assert len(query.orders(path, DAY)) == 30
    assert len(query.fills(path, DAY)) == 45
    assert sum(line.amount_paise for line in query.postings(path, DAY)) == 0
    signals = query.signals(path, DAY)
    assert [signal.at_ns for signal in signals] == sorted(signal.at_ns for signal in signals)
    assert len(signals) == header.signals
    assert path.read_bytes() == content


def test_another_day_is_empty(finished: Path) -> None:
    """Not an error: nothing happened."""
    path = finished / FILE_NAME
    assert query.day_header(path, "2025-12-16") is None
    assert query.orders(path, "2025-12-16") == []


def test_records_begin_where_they_are_asked_to(finished: Path) -> None:
    """For whoever follows a journal."""
    path = finished / FILE_NAME
    everything = list(query.records(path))
    assert list(query.records(path, first=everything[50][0])) == everything[50:]


def test_a_damaged_file_is_refused(damaged: Path) -> None:
    """Naming the file and the row or the driver's word, never a bare exception."""
    flip(damaged, 3, 1)
    with pytest.raises(DataRefused, match=FILE_NAME):
        query.orders(damaged)
    with pytest.raises(DataRefused, match=FILE_NAME):
        list(query.records(damaged))


def test_no_file_is_refused(tmp_path: Path) -> None:
    """And none is made."""
    with pytest.raises(DataRefused, match="no such database"):
        query.days(tmp_path / FILE_NAME)
    assert list(tmp_path.iterdir()) == []
