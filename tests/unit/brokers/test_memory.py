"""The simulated broker's memory: every line whole or not received, and in order."""

import os
from pathlib import Path

import pytest

from holdfast.brokers.memory import FILE, BrokerMemory, Remembered, read_memory
from holdfast.domain.command import CancelOrder, ReadBook, ReadFunds
from holdfast.domain.errors import DataRefused
from holdfast.domain.order import BrokerOrderId, OrderId
from tests.support.shell import placement, tick

LINES = [
    Remembered(at_ns=1, ticks=0, request=ReadFunds()),
    Remembered(at_ns=2, ticks=0, request=placement()),
    Remembered(at_ns=3, ticks=4, merged=tick(1)),
    Remembered(
        at_ns=5,
        ticks=9,
        request=CancelOrder(order_id=OrderId("A"), broker_id=BrokerOrderId("1")),
    ),
]


def kept(path: Path, lines: list[Remembered]) -> None:
    memory = BrokerMemory(path)
    for line in lines:
        memory.keep(line)
    memory.close()


def test_what_was_kept_is_read_in_order(tmp_path: Path) -> None:
    """Over two processes; the file is its owner's alone."""
    path = tmp_path / FILE
    assert read_memory(path) == []
    kept(path, LINES[:2])
    kept(path, LINES[2:])
    assert read_memory(path) == LINES
    assert path.stat().st_mode & 0o777 == 0o600


def test_each_line_is_one_call_and_waits_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between two requests loses neither."""
    writes: list[bytes] = []
    write = os.write

    def counted(file: int, data: bytes) -> int:
        writes.append(data)
        return write(file, data)

    monkeypatch.setattr(os, "write", counted)
    kept(tmp_path / FILE, LINES)
    assert len(writes) == len(LINES)
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in writes)


def test_a_torn_last_line_was_not_received(tmp_path: Path) -> None:
    """Cut at every byte: what is whole counts, and the next process goes on behind it."""
    path = tmp_path / FILE
    kept(path, LINES)
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    for length in range(last, len(whole)):
        path.write_bytes(whole[:length])
        assert read_memory(path) == LINES[:-1]
    path.write_bytes(whole[: last + 5])
    kept(path, LINES[:1])
    assert read_memory(path) == [*LINES[:-1], LINES[0]]


def test_a_damaged_line_is_refused_by_its_number(tmp_path: Path) -> None:
    """It is no line that a kill could have made."""
    path = tmp_path / FILE
    kept(path, LINES)
    path.write_bytes(path.read_bytes().replace(b"ReadFunds", b"BuyEvery!"))
    with pytest.raises(DataRefused, match="line 1"):
        read_memory(path)


def test_a_full_disk_does_not_silence_the_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines wait in order, half of one too, and are written when there is space."""
    path = tmp_path / FILE
    memory = BrokerMemory(path)
    memory.keep(LINES[0])
    write, space = os.write, [10]

    def scarce(file: int, data: bytes) -> int:
        if not space[0]:
            raise OSError(28, "no space left")
        done = write(file, bytes(data[: space[0]]))
        space[0] = 0
        return done

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", scarce)
        memory.keep(LINES[1])
        memory.keep(LINES[2])
    assert read_memory(path) == LINES[:1]
    memory.keep(Remembered(at_ns=9, ticks=9, request=ReadBook()))
    memory.close()
    assert read_memory(path)[:3] == LINES[:3]
    assert len(read_memory(path)) == 4
