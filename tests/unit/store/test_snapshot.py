"""Snapshots: whole or not at all, and read only where everything they hang on is the same."""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from holdfast.domain.event import FundsRead
from holdfast.store.snapshot import FILE, Origin, Snapshot, read_snapshot, write_snapshot
from tests.support.shell import tick

ORIGIN = Origin(code_version="1", config_sha256="c", facts_sha256="f", master_sha256="m")
TAKEN = Snapshot(origin=ORIGIN, sequence=17, event=tick(3), image=b"\x00image" * 100)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Whatever event it ends with; nobody else may read it, nothing is left beside it."""
    for snapshot in (TAKEN, replace(TAKEN, event=FundsRead(at_ns=3, available_paise=5))):
        write_snapshot(tmp_path, snapshot)
        assert read_snapshot(tmp_path, ORIGIN) == snapshot
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("field", Origin.__struct_fields__)
def test_of_another_origin_it_is_ignored(field: str, tmp_path: Path) -> None:
    """Other code, configuration, facts or master make another state of the same events (4.7)."""
    write_snapshot(tmp_path, TAKEN)
    assert read_snapshot(tmp_path, replace(ORIGIN, **{field: "other"})) is None


def test_none_is_no_fault(tmp_path: Path) -> None:
    """The day is folded from its beginning."""
    assert read_snapshot(tmp_path, ORIGIN) is None


def test_cut_off_at_any_byte_it_is_ignored(tmp_path: Path) -> None:
    """And with any byte flipped."""
    write_snapshot(tmp_path, TAKEN)
    whole = (tmp_path / FILE).read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / FILE).write_bytes(whole[:length])
        assert read_snapshot(tmp_path, ORIGIN) is None
    for place in range(0, len(whole), 11):
        flipped = bytearray(whole)
        flipped[place] ^= 0x40
        (tmp_path / FILE).write_bytes(bytes(flipped))
        assert read_snapshot(tmp_path, ORIGIN) is None


def test_a_write_that_fails_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full: nothing half-written is ever found."""
    write_snapshot(tmp_path, TAKEN)

    def full(_file: int) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_snapshot(tmp_path, replace(TAKEN, sequence=99))
    assert read_snapshot(tmp_path, ORIGIN) == TAKEN
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
