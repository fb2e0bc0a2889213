"""A trading program as a process of its own, as `holdfast run` starts it, and what it left behind."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.control.socket import ask, socket_path
from holdfast.domain.errors import DataRefused
from holdfast.store.chain import require_intact
from tests.support.command import environment
from tools import CHECKOUT

LARGE = """mode = "sim"
[sim]
speed = {speed}
cash_rupees = 100000000
[sizing]
capital_rupees = 100000000
risk_bps = 1000
lots_max = {lots}
[limits]
loss_per_day_rupees_max = 10000000
"""
"""Orders larger than what stands in the book, so that they fill in part."""

WHOLE_LOTS = 27
"""So many are below the freeze quantity: one order closes a position."""


class Mark(NamedTuple):
    """When something happened: monotonic seconds, CPU seconds of the process, calls so far."""

    name: str
    at_s: float
    cpu_s: float
    calls: int


class Trading:
    """One run of the real program, in a home of its own."""

    def __init__(  # noqa: PLR0913 each is another way to run it
        self,
        home: Path,
        *,
        speed: int = 0,
        lots: int = 60,
        moments: list[list[Any]] | None = None,
        watches: bool = False,
        batches: int | None = None,
        beside: Sequence[dict[str, Any]] | None = None,
        poison: dict[str, Any] | None = None,
        full: dict[str, Any] | None = None,
        arguments: tuple[str, ...] = ("run",),
        **environ: str,
    ) -> None:
        """Start it. `moments`, `watches` and `batches` are those of `tests.support.traded`.

        With `beside`, services that misbehave run with it: those of `tests.support.faulty`.
        """
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        (home / "holdfast.toml").write_text(LARGE.format(speed=speed, lots=lots))
        self.marks_file = home / "marks"
        plan = {
            "argv": ["--home", str(home), *arguments],
            "marks": str(self.marks_file),
            "moments": moments or [],
            "watches": watches,
            "batches": batches,
            "beside": beside,
            "poison": poison,
            "full": full,
        }
        module = "traded" if beside is None else "faulty"
        self.stderr_file = home / "stderr"
        with self.stderr_file.open("ab") as stderr, (home / "stdout").open("ab") as stdout:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"tests.support.{module}", json.dumps(plan)],
                cwd=CHECKOUT,
                env=environment(home, **environ),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        self.ended_s = 0.0

    def wait(self) -> int:
        """Its exit code."""
        code = self.process.wait()
        self.ended_s = time.monotonic()
        return code

    def kill(self) -> None:
        """End it if it still runs: a failed test leaves nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.wait()

    def signal(self, number: signal.Signals) -> float:
        """Send a signal; returns when."""
        self.process.send_signal(number)
        return time.monotonic()

    def until(self, holds: Callable[[], bool], what: str) -> "Trading":
        """Wait for something that it does; fails when it ends before."""
        while not holds():
            assert self.process.poll() is None, f"ended without {what}: {self.told()}"
            time.sleep(0.005)
        return self

    def until_logged(self, event: str) -> "Trading":
        """Wait until it has logged this."""
        return self.until(lambda: event in self.events(), event)

    @property
    def folder(self) -> Path:
        """The folder of the run: the one that is being made, else the finished one."""
        runs = self.home / "data" / "SIM0001" / "sim" / "runs"
        found = sorted(runs.glob(".*.new")) or sorted(runs.glob("[!.]*"))
        assert found, f"no run in {runs}: {self.told()}"
        return found[0]

    def log(self) -> list[dict[str, Any]]:
        """Its log, line by line; none before there is one."""
        runs = self.home / "data" / "SIM0001" / "sim" / "runs"
        files = sorted(runs.glob(".*.new/log.jsonl")) or sorted(runs.glob("[!.]*/log.jsonl"))
        return [json.loads(line) for line in files[0].read_bytes().splitlines()] if files else []

    def events(self) -> list[str]:
        """What it logged, in words."""
        return [line["event"] for line in self.log()]

    def record(self) -> dict[str, Any]:
        """The last line of its log, which must be the final record."""
        last = self.log()[-1]
        assert last["event"] == "Shutdown complete", last
        return last

    def marks(self) -> list[Mark]:
        """What its observer wrote down, in order."""
        lines = (line.split() for line in self.marks_file.read_text().splitlines())
        return [Mark(name, float(at), float(cpu), int(calls)) for name, at, cpu, calls in lines]

    def mark(self, name: str) -> Mark:
        """The first of a name."""
        return next(one for one in self.marks() if one.name == name)

    @property
    def stderr(self) -> str:
        """What it said on stderr."""
        return self.stderr_file.read_text(errors="replace")

    def is_intact(self) -> bool:
        """Whether its journal, if there is one, holds whole transactions in an unbroken chain."""
        runs = self.home / "data" / "SIM0001" / "sim" / "runs"
        for database in (*runs.glob(".*.new/journal.db"), *runs.glob("[!.]*/journal.db")):
            require_intact(database)
        return True

    def status(self) -> dict[str, Any]:
        """What `holdfast status --json` answers about it, from another process."""
        done = subprocess.run(
            [sys.executable, "-m", "holdfast.app.main", "--home", self.home, "status", "--json"],
            env=environment(self.home),
            capture_output=True,
            text=True,
            check=True,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def service(self, name: str) -> dict[str, Any]:
        """How one service stands, asked over the control socket; empty while nobody answers."""
        try:
            answer = json.loads(ask(socket_path(self.home / "locks", "SIM0001"), "status"))
        except DataRefused:
            return {}
        return next((one for one in answer["services"] if one["name"] == name), {})

    def told(self) -> str:
        """Everything that it said, for a failing test."""
        logged = [str(line)[:400] for line in self.log()[-10:]]
        return "\n".join([self.stderr[-3_000:], *logged])


def sockets_of(pid: int) -> list[str]:
    """The sockets that a process holds (Linux)."""
    folder = Path(f"/proc/{pid}/fd")
    links = (str(entry.readlink()) for entry in folder.iterdir())
    return [link for link in links if link.startswith("socket:")]
