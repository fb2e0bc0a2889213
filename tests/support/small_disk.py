"""File systems of a few megabytes, for tests that fill one to the last byte."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

WHY_NOT = "mounting a file system needs a privilege that this process lacks"


@contextmanager
def in_memory(folder: Path, *, mebibytes: int) -> Iterator[Path]:
    """A file system in memory, where one may mount; else the test is skipped and says so."""
    with _mounted(folder, ["-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs"]) as disk:
        yield disk


@contextmanager
def on_blocks(folder: Path, *, mebibytes: int) -> Iterator[Path]:
    """A file system with blocks and a journal of its own, in a file; where one may mount."""
    image = folder / "image"
    image.write_bytes(bytes(mebibytes * 1024 * 1024))
    make = ["mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0", str(image)]
    if _fails(make):
        pytest.skip("there is no mkfs.ext4 that can be run")
    with _mounted(folder, ["-o", "loop", str(image)]) as disk:
        yield disk


def fill_up(disk: Path) -> None:
    """Leave not one byte: a file that takes whatever is free."""
    with (disk / "ballast").open("ab", buffering=0) as ballast:
        for size in (65_536, 4_096, 512, 1):
            try:
                while ballast.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    with pytest.raises(OSError, match="No space left"):
        (disk / "one-more").write_bytes(b"x" * 4_096)
    (disk / "one-more").unlink(missing_ok=True)


def make_room(disk: Path) -> None:
    """Take the ballast away."""
    (disk / "ballast").unlink()


@contextmanager
def _mounted(folder: Path, options: list[str]) -> Iterator[Path]:
    disk = folder / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or _fails(["mount", *options, str(disk)]):
        pytest.skip(WHY_NOT)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _fails(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode != 0
    except FileNotFoundError:
        return True
