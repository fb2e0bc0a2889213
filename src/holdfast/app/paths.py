"""Where things lie: the configuration, the data of each account and mode, the runs.

Modes share no folder. A run of a simulated or recorded day is a folder of its own, which a
rerun replaces as a whole: a reader sees the old one or the new one, never half of either.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from holdfast.domain.errors import DataRefused, HoldfastError, StepGivenUp
from holdfast.store.files import DATABASE

JOURNAL: Final = DATABASE
UNFINISHED: Final = "unfinished"
"""In the folder of a run whose day is not over: the next run of that name goes on with it."""

ASIDE: Final = "aside-"
"""In the folder of a run, with a number: what could not be used and was kept as evidence."""

_DAY_NAME: Final = re.compile(r"\.?(?P<day>\d{4}-\d{2}-\d{2})(?P<rest>(-[A-Za-z0-9]+)?)(\.new)?")
_RUN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Paths(msgspec.Struct, frozen=True, kw_only=True):
    """The roots that everything else lies under, and the folder of the instance locks."""

    config_dir: Path
    data_dir: Path
    locks_dir: Path

    @property
    def config_file(self) -> Path:
        """The configuration."""
        return self.config_dir / "holdfast.toml"

    @property
    def strategies_dir(self) -> Path:
        """The user's own strategies."""
        return self.config_dir / "strategies"

    @property
    def log_file(self) -> Path:
        """What the command line could not say in a line."""
        return self.data_dir / "holdfast.log"

    def account_dir(self, client_id: str) -> Path:
        """Everything of one account, a folder for each mode in it."""
        return self.data_dir / client_id

    def tapes_dir(self, client_id: str) -> Path:
        """Imported tapes: they belong to no run."""
        return self.account_dir(client_id) / "tapes"


def find_paths(home: Path | None, env: Mapping[str, str]) -> Paths:
    """All of it under `home` when given, else where the XDG convention puts it."""
    if home is not None:
        root = home.absolute()
        return Paths(config_dir=root, data_dir=root / "data", locks_dir=root / "locks")
    return Paths(
        config_dir=_xdg(env, "XDG_CONFIG_HOME", ".config") / "holdfast",
        data_dir=_xdg(env, "XDG_DATA_HOME", ".local/share") / "holdfast",
        locks_dir=_xdg(env, "XDG_STATE_HOME", ".local/state") / "holdfast" / "locks",
    )


def _xdg(env: Mapping[str, str], name: str, default: str) -> Path:
    """The convention says that a path which is not absolute is to be ignored."""
    if (given := Path(env.get(name, ""))).is_absolute():
        return given
    if (home := Path(env.get("HOME", ""))).is_absolute():
        return home / default
    raise DataRefused("HOME", "names no folder", "set it, or give --home DIR")


class RunFolder:
    """Where a run is made. `continues`: its journal holds the beginning of the day already."""

    def __init__(self, path: Path, *, continues: bool) -> None:
        """Made by `Runs.playing`."""
        self.path = path
        self.continues = continues
        self.is_finished = False

    def finish(self) -> None:
        """The day is over: nobody goes on with it."""
        self.is_finished = True


class Runs:
    """The runs of one account: a folder each, `MODE/runs/NAME`; `latest` names the newest."""

    def __init__(self, account_dir: Path) -> None:
        """`account_dir` need not exist yet."""
        self._root = account_dir

    def names(self) -> list[str]:
        """Every finished run as `MODE/NAME`, sorted."""
        folders = (entry for entry in self._root.glob("*/runs/*") if entry.is_dir())
        return sorted(
            f"{folder.parent.parent.name}/{folder.name}"
            for folder in folders
            if _RUN_NAME.fullmatch(folder.name)
        )

    def find(self, wanted: str | None) -> Path:
        """The folder of a run: the latest, one by its name or the start of it, or any by its path.

        Raises DataRefused when there is none, or more than one.
        """
        if wanted and os.sep in wanted and wanted not in self.names() and Path(wanted).is_dir():
            return Path(wanted)
        name = self._latest() if wanted is None else self._named(wanted)
        mode, _, run = name.partition("/")
        # Between the two renames of a replacement only the old one is there, set aside.
        folders = (self._root / mode / "runs" / form for form in (run, f".{run}.old"))
        for folder in folders:
            if folder.is_dir():
                return folder
        raise DataRefused(str(self._root), f"there is no run {name}", self._known())

    def unfinished(self) -> Path | None:
        """The folder of the run whose day was not over when it was last worked on; `None`: none.

        Its journal may be damaged or gone: what the broker knows of it counts.
        """
        marks = (
            *self._root.glob(f"*/runs/*/{UNFINISHED}"),
            *self._root.glob(f"*/runs/.*.new/{UNFINISHED}"),
        )
        folders = [mark.parent for mark in marks if any(_worked_on(mark.parent))]
        return max(folders, key=lambda folder: max(_worked_on(folder)), default=None)

    def settle(self, folder: Path) -> Path:
        """Give a run that a killed process left its name; returns where it lies now."""
        name = folder.name.removeprefix(".").removesuffix(".new")
        target = folder.with_name(name)
        if folder != target and (folder / JOURNAL).exists():
            _swap(folder, target)
            folder = target
        self._point_to(f"{folder.parent.parent.name}/{name}")
        return folder

    @contextmanager
    def playing(self, mode: str, name: str, *, anew: bool = False) -> Iterator["RunFolder"]:
        """A folder that becomes the run when the block ends without an exception.

        A run of that name that was killed, or stopped before its day was over, is continued in it,
        unless it is to begin `anew`; otherwise the folder is empty. One that is still without a
        journal at the end is no run: it was stopped before it began.
        """
        assert _RUN_NAME.fullmatch(name), f"{name!r} cannot name a run"
        runs = self._root / mode / "runs"
        made = RunFolder(runs / f".{name}.new", continues=self._prepare(runs, name, anew=anew))
        try:
            yield made
        except StepGivenUp:
            raise  # positions may be open: the next start goes on with what is written
        except (HoldfastError, OSError):
            # Refused: nothing half-written stays. After a bug it does stay, as the evidence; and
            # what was continued stays to be continued again.
            if not made.continues:
                shutil.rmtree(made.path)
            raise
        if not (made.path / JOURNAL).exists():
            shutil.rmtree(made.path)
            return
        _swap(made.path, runs / name)
        if made.is_finished:
            # Last of all: a kill before this lets the next start look once more, and find the end.
            (runs / name / UNFINISHED).unlink(missing_ok=True)
        self._point_to(f"{mode}/{name}")

    def _point_to(self, label: str) -> None:
        pointer = self._root / f".latest.{os.getpid()}"
        pointer.write_text(f"{label}\n", encoding="ascii")
        pointer.replace(self._root / "latest")

    def _prepare(self, runs: Path, name: str, *, anew: bool) -> bool:
        """Make the folder: what a process left of the run, a copy of it, or an empty one.

        Whoever plays holds the lock of the account, so nobody else is at work here: what lies about
        was left by a process that is gone, whatever its number.
        """
        folder, copy = runs / f".{name}.new", runs / f".{name}.copy"
        shutil.rmtree(copy, ignore_errors=True)
        if anew or not _is_unfinished(folder):
            shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            return True
        if not anew and _is_unfinished(runs / name):
            shutil.copytree(runs / name, copy)
            copy.rename(folder)  # whole, or not there
            return True
        folder.mkdir(parents=True, mode=0o700)
        (folder / UNFINISHED).touch()
        return False

    def _latest(self) -> str:
        try:
            return (self._root / "latest").read_text(encoding="ascii").strip()
        except FileNotFoundError:
            raise DataRefused(
                str(self._root), "holds no run yet", "make one with: holdfast run"
            ) from None

    def _named(self, wanted: str) -> str:
        """The one run called so, else the one whose name begins so ("2026-11-20")."""
        for fits in (_is_called, _begins):
            found = [name for name in self.names() if fits(name, wanted)]
            if len(found) == 1:
                return found[0]
            if found:
                raise DataRefused(
                    str(self._root),
                    f"{wanted} may be {' or '.join(found)}",
                    "say which, as MODE/NAME",
                )
        raise DataRefused(str(self._root), f"there is no run {wanted}", self._known())

    def _known(self) -> str:
        return f"the runs are: {', '.join(self.names()) or 'none'}"


def earlier_run(folder: Path, day: str) -> Path | None:
    """The newest run of a day before `day` beside a run's folder, whose name goes on alike.

    Runs are named after their day ("2026-11-20-seed1"); one that a killed process left counts. What
    is named otherwise has no day before it.
    """
    named = _DAY_NAME.fullmatch(folder.name)
    if named is None:
        return None
    found = []
    for other in sorted(folder.parent.glob("*")):
        match = _DAY_NAME.fullmatch(other.name)
        if match is not None and match["day"] < day and match["rest"] == named["rest"]:
            worked_on = _worked_on(other)
            if worked_on:
                found.append((match["day"], max(worked_on), other))
    return max(found)[2] if found else None


def _worked_on(folder: Path) -> list[int]:
    """When each file was changed that tells how far a run has come."""
    files = (folder / JOURNAL, *folder.glob(f"{JOURNAL}-wal"), *folder.glob("broker.jsonl"))
    return [file.stat().st_mtime_ns for file in files if file.exists()]


def _is_unfinished(folder: Path) -> bool:
    return (folder / UNFINISHED).exists() and (folder / JOURNAL).exists()


def _is_called(name: str, wanted: str) -> bool:
    return wanted in (name, name.partition("/")[2])


def _begins(name: str, wanted: str) -> bool:
    return name.partition("/")[2].startswith(wanted)


def _swap(fresh: Path, target: Path) -> None:
    old = target.with_name(f".{target.name}.old")
    if target.exists():
        if old.exists():
            shutil.rmtree(old)
        target.rename(old)
    fresh.rename(target)
    if old.exists():
        shutil.rmtree(old)


def is_alive(process_id: int) -> bool:
    """Whether a process of that number runs on this machine. One that waits to be buried does not."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        status = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return True  # no such file system, or it has just ended: then it is gone at the next look
    return status.rpartition(")")[2].split()[0] != "Z"
