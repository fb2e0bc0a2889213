"""Panic, flatten and unlock where nothing runs, or what runs does not answer (decisions 5, 6.1).

The lock is taken, the halt is written, and then the same program starts as ever: it folds the
record, reads the broker's book until it settles, and closes by the same code under the same ids. A
journal that cannot be used is kept aside, and the broker's book alone tells what is held.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Final

import msgspec

from holdfast.app.config import CONFIG_FILE, Config, Mode
from holdfast.app.log import logging_to
from holdfast.app.mandate import Mandate, is_flat, is_unlocked
from holdfast.app.paths import ASIDE, JOURNAL, Paths, Runs
from holdfast.app.program import Host
from holdfast.app.realtime import household, outlook, run_dhan
from holdfast.app.wiring import Run, RunResult, run_sim, stored_config
from holdfast.app.yes import host_lock
from holdfast.control.operator import HALTS
from holdfast.core.view import View
from holdfast.domain.decision import HaltLevel
from holdfast.domain.errors import DataRefused, InstanceRunning, StepGivenUp
from holdfast.domain.event import OperatorAsked, OperatorRequest
from holdfast.runtime.clock import WallClock, steady_s
from holdfast.runtime.lock import Holder, InstanceLock
from holdfast.store.chain import require_intact
from holdfast.store.halt import HaltFile
from holdfast.store.query import records
from holdfast.store.snapshot import FILE as SNAPSHOT
from holdfast.store.tape import FOLDER as TAPE

Say = Callable[[str], None]

ENDING_S: Final = 5.0
"""A process that was killed has given its lock back by then, or the system does not work."""

PAUSE_S: Final = 0.02

_LEVELS: Final = (HaltLevel.NONE, HaltLevel.PAUSE, HaltLevel.FLATTEN, HaltLevel.PANIC)


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How an emergency ended. `view` is how the account stood, `None`: nobody could tell.

    `aside` is where a journal lies now that could not be used.
    """

    run: Path
    view: View | None
    aside: Path | None

    @property
    def is_flat(self) -> bool:
        """Whether nothing of ours is left, by the broker's own book."""
        return self.view is not None and is_flat(self.view)


class Emergency:
    """One request of a person, carried out by a process of its own. Holds the account's lock."""

    def __init__(self, paths: Paths, config: Config, *, host: Host, say: Say) -> None:
        """`config` names the account; the run is gone on with by its own. `say` tells people."""
        self._paths = paths
        self._config = config
        self._client_id = config.account.client_id
        self._runs = Runs(paths.account_dir(self._client_id))
        self._host = host
        self._say = say

    def write_halt(self, request: OperatorRequest, reason: str) -> None:
        """Write the halt, or its end, before anything else; who starts meanwhile finds it.

        Raises DataRefused where there is no run to halt.
        """
        self._write(self._folder(), request, reason)

    def _folder(self) -> Path:
        folder = self._runs.unfinished()
        if folder is None:
            raise DataRefused(
                str(self._paths.account_dir(self._client_id)),
                "holds no run that is not over: nothing is held there, and nothing is halted",
                "look in the broker's app whether anything is open; holdfast run begins a day",
            )
        return folder

    def do(self, request: OperatorRequest, reason: str) -> Ended:
        """Carry it out in the run that is not over. The lock of the account must be held.

        Raises DataRefused where there is no such run, or nothing can be made of it.
        """
        folder = self._folder()
        self._write(folder, request, reason)
        config = self._config_of(folder)
        if config.mode is Mode.REPLAY:
            raise DataRefused(
                str(folder),
                "is the replay of a tape: nobody holds its positions",
                "replay it again",
            )
        mandate = _mandate(request, reason)
        with host_lock(config, purpose=request.value), logging_to(folder):
            aside, result = self._play(config, folder, mandate)
        return Ended(run=self._runs.settle(folder), view=result.view, aside=aside)

    def _config_of(self, folder: Path) -> Config:
        """The configuration that the run keeps; where that cannot be read, the one in force."""
        try:
            return stored_config(folder / CONFIG_FILE)
        except DataRefused as error:
            self._say(f"{error}\n  going on with the configuration in force")
            return self._config

    def _write(self, folder: Path, request: OperatorRequest, reason: str) -> None:
        """The halt, or its end, before anything else. A higher halt that stands is not lowered."""
        file, now_ns = HaltFile(folder), WallClock().now_ns()
        level = HALTS.get(request)
        try:
            state = file.read()
            if level is None:
                if state.is_halted:
                    file.lift(reason, now_ns)
            elif not state.is_halted or _rank(level.value) > _rank(state.level):
                file.write(reason, now_ns, level=level.value)
        finally:
            file.close()

    def _play(
        self, config: Config, folder: Path, mandate: Mandate
    ) -> tuple[Path | None, RunResult]:
        """Recover and carry it out; with the broker's book alone where the record cannot be used."""
        host = msgspec.structs.replace(self._host, mandate=mandate)
        aside = None if (folder / JOURNAL).exists() else self._set_aside(folder, "it is missing")
        for _ in range(2):
            try:
                return aside, self._run(config, folder, host)
            except StepGivenUp as error:
                self._say(f"{error}\n  once more, without that event")
            except DataRefused as error:
                fault = _damage(folder)
                if aside is not None or not fault:
                    raise
                del error
                aside = self._set_aside(folder, fault)
        return aside, self._run(config, folder, host)

    def _run(self, config: Config, folder: Path, host: Host) -> RunResult:
        """Go on with the day, wherever its market is. What closes asks for no yes to real money."""
        if not config.mode.is_real_time:
            return run_sim(config, folder, _nobody, host)
        home = household(self._paths, config, os.environ)
        run = Run(folder=folder, progress=lambda _done: None, host=host)
        return run_dhan(config, outlook(config, home.calendar), run, home=home)

    def _set_aside(self, folder: Path, fault: str) -> Path:
        """Keep what cannot be used as it is, and begin a record anew."""
        number = len(list(folder.glob(f"{ASIDE}*"))) + 1
        aside = folder / f"{ASIDE}{number}"
        aside.mkdir()
        for name in (JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm", SNAPSHOT, TAPE):
            with suppress(FileNotFoundError):
                (folder / name).rename(aside / name)
        self._say(
            f"the journal cannot be used: {fault}\n"
            f"  kept in {aside}; what is held is taken from the broker's book"
        )
        return aside


def take_lock(
    paths: Paths, client_id: str, *, purpose: str, holder: Callable[[], Holder | None], say: Say
) -> InstanceLock:
    """The lock of the account; a holder that has not answered is ended for it, and that is said.

    Ended at once and hard: what it holds rests at the broker, what it knew is in the journal, and a
    process that does not answer would not stop in order either. Raises InstanceRunning when the
    lock does not come free.
    """
    until_s, told = steady_s() + ENDING_S, 0
    while True:
        try:
            return InstanceLock.acquire(
                paths.locks_dir, client_id, at_ns=WallClock().now_ns(), purpose=purpose
            )
        except InstanceRunning:
            found = holder()
            if found is not None and found.pid != told:
                say(f"process {found.pid} ({found.purpose}) does not answer: ending it")
                told = found.pid
                with suppress(ProcessLookupError):
                    os.kill(found.pid, signal.SIGKILL)
            if steady_s() >= until_s:
                raise
        Event().wait(PAUSE_S)


def _mandate(request: OperatorRequest, reason: str) -> Mandate:
    """What the program is told, and when it is done."""
    asked = OperatorAsked(at_ns=0, request=request, reason=reason)
    if request is OperatorRequest.UNLOCK:
        return Mandate(told=(), told_settled=(asked,), is_done=is_unlocked)
    return Mandate(told=(asked,), is_done=is_flat)


def _damage(folder: Path) -> str:
    """Why the record of a run cannot be used; empty when it can."""
    try:
        require_intact(folder / JOURNAL)
        for _ in records(folder / JOURNAL):
            pass
    except DataRefused as error:
        return error.what
    return ""


def _rank(level: str) -> int:
    known = [one.value for one in _LEVELS]
    return known.index(level) if level in known else 1


def _nobody(_done: int, _of: int) -> None:
    """Nobody looks at how far the market is."""
