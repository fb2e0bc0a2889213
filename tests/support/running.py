"""The supervised program as a process of its own, and what it left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.runtime.loopback import VARIABLE
from tests.support.command import CODE
from tests.support.program import intact
from tools import CHECKOUT

KEPT = ("PATH", "HOME", "TMPDIR")
"""Of the environment; whether output is buffered, above all, is the program's own business."""


class Mark(NamedTuple):
    """What the program wrote down: when (monotonic seconds), after how many calls and how much CPU."""

    at_s: float
    calls: int
    cpu_s: float


class Running:
    """One run of `tests.support.supervised`, in a folder of its own."""

    def __init__(self, folder: Path, plan: dict[str, Any], **environ: str) -> None:
        """Start it. A pipe is its stdout when the plan says that it is to be full."""
        self.folder = folder
        self.started_s = time.monotonic()
        told = json.dumps({**plan, "folder": str(folder)})
        with (folder / "stderr").open("wb") as stderr, (folder / "stdout").open("wb") as stdout:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.supervised", told],
                cwd=CHECKOUT,
                env={
                    **{name: os.environ[name] for name in KEPT if name in os.environ},
                    "PYTHONPATH": CODE,
                    VARIABLE: "1",
                    **environ,
                },
                stdout=subprocess.PIPE if plan.get("fill") else stdout,
                stderr=stderr,
            )
        self.ended_s = 0.0
        self.code: int | None = None

    def wait(self) -> int:
        """Its exit code. Nothing is read from it meanwhile."""
        self.code = self.process.wait()
        self.ended_s = time.monotonic()
        if self.process.stdout is not None:
            self.process.stdout.close()
        return self.code

    def kill(self) -> None:
        """End it if it still runs: a failed test leaves nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.wait()

    def until(self, mark: str) -> "Running":
        """Wait until it has written this down; fails when it ends before."""
        return self.until_so(lambda: mark in self.marks(), mark)

    def until_logged(self, event: str) -> "Running":
        """Wait until it has logged this."""
        return self.until_so(lambda: event in self.events(), event)

    def until_so(self, holds: Callable[[], bool], what: str) -> "Running":
        """Wait for something that it does; fails when it ends before, with what it said."""
        while not holds():
            assert self.process.poll() is None, f"ended without {what}: {self.told()}"
            time.sleep(0.002)
        return self

    def signal(self, number: signal.Signals) -> float:
        """Send a signal; returns when."""
        self.process.send_signal(number)
        return time.monotonic()

    def marks(self) -> dict[str, Mark]:
        """What it wrote down, the last of each name."""
        path = self.folder / "marks"
        lines = path.read_text().splitlines() if path.exists() else []
        rows = (line.split() for line in lines if line.count(" ") == 3)
        return {row[0]: Mark(float(row[1]), int(row[2]), float(row[3])) for row in rows}

    def log(self) -> list[dict[str, Any]]:
        """Its log, line by line."""
        path = self.folder / "log.jsonl"
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    def events(self) -> list[str]:
        """What it logged, in words."""
        return [line["event"] for line in self.log()]

    def record(self) -> dict[str, Any]:
        """The last line of its log, which must be the final record."""
        last = self.log()[-1]
        assert last["event"] == "Shutdown complete", last
        return last

    def is_intact(self) -> bool:
        """Whether its database, if there is one, holds whole transactions only."""
        path = self.folder / "data.db"
        return not path.exists() or intact(path)

    def told(self) -> str:
        """Everything that it said, for a failing test."""
        return "\n".join(self._texts())

    def _texts(self) -> Iterator[str]:
        for name in ("stdout", "stderr", "stacks"):
            path = self.folder / name
            if path.exists():
                yield f"{name}: {path.read_text(errors='replace')[-2_000:]}"
        yield from (str(line)[:300] for line in self.log()[-10:])
