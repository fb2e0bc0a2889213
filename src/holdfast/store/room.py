"""Free space that is never used while the program runs: what keeps a full disk survivable.

A database in WAL mode maps a file into memory. Where the disk has not a block left for a page of
it, writing there does not fail: the system ends the process (SIGBUS; seen on a file system with
blocks smaller than a page). So nothing is begun that could come so far; what is kept free serves
the end, when the last records are worth more than the reserve. A disk on which all of the reserve
vanishes within one commit is not guarded against.
"""

import os
from pathlib import Path
from typing import Final

MEBIBYTE: Final = 1024 * 1024

_AT_THE_END: Final = 16
"""The part of the reserve that even the last records leave."""


class Room:
    """The free space beside one folder, of which `least` bytes are kept."""

    def __init__(self, folder: Path, least: int) -> None:
        """The folder need not exist yet."""
        self._folder = folder
        self._least = least
        self.is_end = False
        """Whether what is written now is the last: it may use the reserve."""

    def lack(self) -> str:
        """Why nothing should be written; empty when it may, or when nobody knows."""
        least = self._least // _AT_THE_END if self.is_end else self._least
        free = _free_bytes(self._folder)
        if free is None or free >= least:
            return ""
        return f"{free / MEBIBYTE:.1f} MiB are free on its disk, {least / MEBIBYTE:.1f} must be"


def _free_bytes(folder: Path) -> int | None:
    for place in (folder, *folder.parents):
        try:
            found = os.statvfs(place)
        except FileNotFoundError:
            continue
        except OSError:
            return None
        return found.f_bavail * found.f_frsize
    return None
