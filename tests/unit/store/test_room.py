"""The reserve: a disk that has less counts as full, except for the last words."""

import os
from pathlib import Path

import pytest

from holdfast.store.room import MEBIBYTE, Room


def of(free: int) -> os.statvfs_result:
    """A file system with so many free bytes for everybody, and more for root."""
    blocks = free // 512
    return os.statvfs_result((4096, 512, 10**9, blocks + 10**6, blocks, 9, 9, 9, 0, 255))


@pytest.mark.parametrize(
    ("free", "is_end", "lack"),
    [
        (16 * MEBIBYTE, False, ""),
        (16 * MEBIBYTE - 512, False, "16.0 MiB are free on its disk, 16.0 must be"),
        (2 * MEBIBYTE, False, "2.0 MiB are free on its disk, 16.0 must be"),
        (MEBIBYTE, True, ""),
        (MEBIBYTE - 512, True, "1.0 MiB are free on its disk, 1.0 must be"),
        (0, True, "0.0 MiB are free on its disk, 1.0 must be"),
    ],
)
def test_what_is_kept_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, free: int, is_end: bool, lack: str
) -> None:
    """To the block; at the end a sixteenth of it is enough."""
    monkeypatch.setattr("os.statvfs", lambda _path: of(free))
    room = Room(tmp_path, 16 * MEBIBYTE)
    room.is_end = is_end
    assert room.lack() == lack


def test_a_folder_that_is_not_there_yet_has_the_room_of_the_one_above(tmp_path: Path) -> None:
    """And a disk of which the system says nothing is tried."""
    there = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    assert Room(tmp_path / "a" / "b", there // 2).lack() == ""
    assert Room(tmp_path / "a" / "b", there * 2).lack() != ""


def test_a_disk_that_does_not_say_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempt tells what is wrong."""

    def silent(_path: Path) -> os.statvfs_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.statvfs", silent)
    assert Room(tmp_path, 10**18).lack() == ""
