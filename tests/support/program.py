"""What the supervised program of the process tests does: services around a real database.

A writer thread commits one transaction after the other, each of which must be there whole: fills,
and their sum. Whatever ends the program, the sum must be that of the fills.
"""

import asyncio
import gc
import os
import signal
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import structlog
from typing_extensions import override

from holdfast.app.log import logging_to
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import ServiceChanged
from holdfast.runtime.application import Application, Parts
from holdfast.runtime.clock import WallClock
from holdfast.runtime.health import HEALTHY, Health
from holdfast.runtime.service import Group, Ready, Service
from holdfast.runtime.shutdown import Saved, StopReport
from holdfast.runtime.signals import Signals
from holdfast.runtime.systemd import Systemd
from holdfast.runtime.threads import StopFlag, Threads
from holdfast.runtime.watchdog import Watchdog
from tests.support.supervised import Moments

_log = structlog.get_logger("program")

SCHEMA: Final = """
begin;
create table if not exists fills (id integer primary key, quantity integer not null);
create table if not exists total (quantity integer not null);
create table if not exists state (saved text not null);
commit;
"""
ROWS: Final = 20


class Bench(Service):
    """Loops under names, a service that misbehaves as it is told, and nothing else."""

    def __init__(
        self, name: str, group: Group, needs: tuple[str, ...], plan: dict[str, Any]
    ) -> None:
        self.name, self.group, self.needs = name, group, needs
        self.critical = group.is_core
        self.loops = {
            "feed": ("WebSocketListener", "KeepAliveTimer"),
            "monitor": ("PositionMonitor",),
        }
        self.loops["book"] = ("StateReconciliation",)
        self.act = plan.get("acts", {}).get(name, "")
        self.ready_within_s = 1.0
        self.draining_s = plan.get("draining_s", 0.0)

    @override
    async def run(self, ready: Ready) -> None:
        if self.act == "fails":
            raise DataRefused("profile.json", "the profile was refused", "log in again")
        if self.act == "never":
            await asyncio.sleep(1_000)
        for loop in self.loops.get(self.name, (f"{self.name}Loop",)):
            self.task(self.periodic(loop, self._turn, every_s=0.005), name=loop)
        ready()
        await self._misbehave()

    async def _misbehave(self) -> None:
        match self.act:
            case "blocks":
                await asyncio.sleep(0.05)
                time.sleep(1_000)  # noqa: ASYNC251 this is the misbehaviour
            case "exits":
                await asyncio.sleep(0.05)
                sys.exit(33)
            case "thread":
                self.thread("Stuck", lambda _flag: time.sleep(1_000))
            case _:
                pass
        try:
            await asyncio.sleep(1_000)
        finally:
            if self.act == "raises":
                raise RuntimeError(f"{self.name} raised in its end")
            while self.act == "hangs":
                try:
                    await asyncio.sleep(1_000)
                except asyncio.CancelledError:
                    _log.info("not I", service=self.name)

    async def _turn(self) -> None:
        """Work."""

    @override
    async def drain(self) -> None:
        if self.name == "router":
            await asyncio.sleep(self.draining_s)

    @override
    def health(self) -> Health:
        return HEALTHY


class Store(Service):
    """The database and its one writing thread."""

    name = "store"
    group = Group.STATE

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connections = 0
        self.lock = threading.Lock()

    @override
    async def run(self, ready: Ready) -> None:
        self.thread("JournalWriter", self._write)
        ready()
        await self.periodic("storeLoop", self._turn, every_s=0.005)

    async def _turn(self) -> None:
        """Nothing: the thread works."""

    def _write(self, flag: StopFlag) -> None:
        with self.lock:  # one at a time makes it what it is to be
            database = connect(self.path)
        self.connections += 1
        number = database.execute("select coalesce(max(id), 0) from fills").fetchone()[0]
        while not flag.wait(0.001):
            with self.lock, database:
                for _ in range(ROWS):
                    number += 1
                    database.execute("insert into fills values (?, ?)", (number, number % 7))
                database.execute("delete from total")
                database.execute("insert into total select sum(quantity) from fills")
        database.close()
        self.connections -= 1

    @override
    def health(self) -> Health:
        return HEALTHY


class LastFill:
    """The number of the last fill, saved at the end and read back."""

    def __init__(self, store: Store, threads: Threads, plan: dict[str, Any]) -> None:
        self._store, self._threads, self._plan = store, threads, plan

    async def save(self) -> Saved:
        """Write it, beside the writer."""
        return await self._threads.call("FinalState", self._save, owner="application")

    def _save(self) -> Saved:
        with self._store.lock:
            database = connect(self._store.path)
        try:
            with self._store.lock, database:
                last = database.execute("select count(*) from fills").fetchone()[0]
                database.execute("delete from state")
                database.execute("insert into state values (?)", (str(last),))
        finally:
            database.close()
        return Saved(state={"fills": last}, open_positions=1)

    async def verify(self, saved: Saved) -> None:
        """It is what was saved, and the database is whole."""
        await self._threads.call("FinalState", lambda: self._verify(saved), owner="application")

    def _verify(self, saved: Saved) -> None:
        if self._plan.get("unverifiable"):
            raise DataRefused(str(self._store.path), "is not as it was saved", "look at it")
        assert saved.state is not None
        assert read_state(self._store.path) == str(saved.state["fills"])
        assert intact(self._store.path)

    async def tidy(self, within_s: float) -> None:
        """Nothing is left."""

    async def db_connections(self) -> int:
        """What the writer still holds."""
        return self._store.connections


def connect(path: Path) -> sqlite3.Connection:
    """The database, made if need be."""
    database = sqlite3.connect(path, timeout=5)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=full")
    database.executescript(SCHEMA)
    return database


def intact(path: Path) -> bool:
    """Whether the file is whole and no transaction is there in part."""
    database = sqlite3.connect(path)
    try:
        if not database.execute("select count(*) from sqlite_master").fetchone()[0]:
            return True  # ended before anything was made
        checked = database.execute("pragma integrity_check").fetchone()[0]
        total = database.execute("select coalesce(sum(quantity), 0) from total").fetchone()[0]
        fills, rows = database.execute(
            "select coalesce(sum(quantity), 0), count(*) from fills"
        ).fetchone()
    finally:
        database.close()
    return bool(checked == "ok" and total == fills and rows % ROWS == 0)


def read_state(path: Path) -> str:
    """What was saved last."""
    database = sqlite3.connect(path)
    try:
        return str(database.execute("select saved from state").fetchone()[0])
    finally:
        database.close()


def make_parts(plan: dict[str, Any], record: Any) -> Parts:
    """The services of the table in small."""
    threads = Threads()
    store = Store(Path(plan["folder"]) / "data.db")

    def bench(name: str, group: Group, *needs: str) -> Bench:
        return Bench(name, group, needs, plan)

    services = [
        store,
        bench("book", Group.STATE, "store"),
        bench("feed", Group.PRICE, "store"),
        bench("engine", Group.ORDER, "store", "book", "feed"),
        bench("monitor", Group.ORDER, "engine"),
        bench("router", Group.ORDER, "engine"),
        bench("page", Group.SIDE, "engine"),
    ]
    return Parts(
        services=services,
        final=LastFill(store, threads, plan),
        clock=WallClock(),
        record=record,
        threads=threads,
    )


def run(signals: Signals, plan: dict[str, Any], moments: Moments) -> int:
    """The program, from its first service to its exit code."""
    folder = Path(plan["folder"])
    stacks = os.open(folder / "stacks", os.O_WRONLY | os.O_CREAT)
    signals.log_by(_say, stacks_to=stacks)

    def record(change: ServiceChanged) -> None:
        moments.mark(f"{change.service}:{change.state.value}")

    with logging_to(folder):
        application = Application(
            lambda: make_parts(plan, record),
            signals=signals,
            systemd=Systemd.of(os.environ),
            watchdog=Watchdog(hung_s=0.5),
        )
        if plan.get("day_s"):
            return _for_a_day(application, plan)
        if plan.get("again"):
            return _again(plan)
        _fill(plan)
        code = application.run()
    assert signal.getsignal(signal.SIGINT) == signals._take  # noqa: SLF001 still ours (B-01)
    return code


def _say(text: str, stacks: Any = None) -> None:
    """As `Application` does, for what comes before it."""
    (_log.info if stacks is None else _log.warning)(text, stacks=stacks)


def _fill(plan: dict[str, Any]) -> None:
    """Let stdout be a pipe that takes nothing more, with something left to be flushed."""
    if plan.get("fill"):
        os.set_blocking(1, False)
        try:
            while True:
                os.write(1, b"x" * 4_096)
        except BlockingIOError:
            os.set_blocking(1, True)
        sys.stdout.write("and this was never read")


def _again(plan: dict[str, Any]) -> int:
    """Start and stop often, each time in a new event loop, and count what is there after each."""
    code = 0
    for _ in range(plan["again"]):
        code = max(code, asyncio.run(_once(plan)).exit_code)
        _count()
    return code


async def _once(plan: dict[str, Any]) -> StopReport:
    application = Application(lambda: make_parts(plan, _forget), watchdog=Watchdog())
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(application.serve())
        await application.wait_up()
        application.ask_stop("that was all")
        report = await serving
        left = len(asyncio.all_tasks())
    assert left == 1, "the task that asks, and nobody else"
    return report


def _forget(change: ServiceChanged) -> None:
    """A record that nobody reads."""


def _count() -> None:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    _log.info(
        "counted",
        threads=threading.active_count(),
        tasks=sum(isinstance(thing, asyncio.Task) for thing in gc.get_objects()),
        files=len(list(Path("/proc/self/fd").iterdir())),
        memory_kb=pages * os.sysconf("SC_PAGE_SIZE") // 1_024,
    )


def _for_a_day(application: Application, plan: dict[str, Any]) -> int:
    """In a loop of our own, which is left without a stop: the exit hook has to do it."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(application.serve())
    loop.run_until_complete(application.wait_up())
    loop.run_until_complete(asyncio.sleep(plan["day_s"]))
    assert not task.done()
    return 0
