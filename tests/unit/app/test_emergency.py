"""What an emergency does before it starts anything: the halt, the lock, and who is ended for it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from holdfast.app import emergency
from holdfast.app.config import CONFIG_FILE, Config, DhanSettings, Mode
from holdfast.app.emergency import Emergency, take_lock
from holdfast.app.paths import JOURNAL, UNFINISHED, Paths, find_paths
from holdfast.app.program import Host
from holdfast.app.realtime import Household
from holdfast.app.wiring import Run, RunResult
from holdfast.domain.errors import DataRefused, InstanceRunning
from holdfast.domain.event import OperatorRequest
from holdfast.runtime.lock import Holder, InstanceLock
from holdfast.store.halt import HaltFile
from tests.support.command import environment
from tools import CHECKOUT

CLIENT = "SIM0001"

HERE = DhanSettings(
    rest_url="http://127.0.0.1:1",
    auth_url="http://127.0.0.1:1",
    feed_url="ws://127.0.0.1:1",
    updates_url="ws://127.0.0.1:1",
    instruments_url="http://127.0.0.1:1",
)

HOLD = """import sys, signal
from pathlib import Path
from holdfast.runtime.lock import InstanceLock
lock = InstanceLock.acquire(Path(sys.argv[1]), "SIM0001", at_ns=1, purpose="sim/x")
print("held", flush=True)
signal.pause()
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A home."""
    return find_paths(tmp_path, {})


def unfinished(paths: Paths, config: Config = Config()) -> Path:  # noqa: B008 frozen
    """A run that is not over."""
    folder = paths.account_dir(CLIENT) / "sim" / "runs" / "day"
    folder.mkdir(parents=True)
    for name in (UNFINISHED, JOURNAL):
        (folder / name).touch()
    (folder / CONFIG_FILE).write_bytes(msgspec.json.encode(config))
    HaltFile(folder).open(1)
    return folder


def one(paths: Paths, said: list[str] | None = None) -> Emergency:
    """An emergency of the account."""
    say = said.append if said is not None else lambda _text: None
    return Emergency(paths, Config(), host=Host(), say=say)


@pytest.mark.parametrize(
    ("stands", "asked", "level"),
    [
        ("", OperatorRequest.FLATTEN, "flatten"),
        ("pause", OperatorRequest.PANIC, "panic"),
        ("panic", OperatorRequest.FLATTEN, "panic"),
        ("panic", OperatorRequest.UNLOCK, ""),
        ("", OperatorRequest.UNLOCK, ""),
    ],
)
def test_the_halt_is_written_before_anything_else_and_never_lowered(
    paths: Paths, stands: str, asked: OperatorRequest, level: str
) -> None:
    """Whoever starts next finds it: a service manager may be faster than we are."""
    folder = unfinished(paths)
    file = HaltFile(folder)
    if stands:
        file.write("before", 2, level=stands)
    one(paths).write_halt(asked, "now")
    found = HaltFile(folder).read()
    assert (found.level if found.is_halted else "") == level
    file.close()


def test_a_halt_file_that_is_torn_is_a_halt_still_and_is_raised(paths: Paths) -> None:
    """What cannot be read counts as halted, not as panicked."""
    folder = unfinished(paths)
    (folder / "halt").write_bytes(b"torn")
    one(paths).write_halt(OperatorRequest.PANIC, "now")
    found = HaltFile(folder).read()
    assert (found.level, found.reason) == ("panic", "now")


def test_without_a_run_there_is_nothing_to_halt(paths: Paths) -> None:
    """And a replay holds nothing that anybody else could sell."""
    with pytest.raises(DataRefused, match="holds no run that is not over"):
        one(paths).write_halt(OperatorRequest.PANIC, "now")
    unfinished(paths, Config(mode=Mode.REPLAY))
    with pytest.raises(DataRefused, match="is the replay of a tape"):
        one(paths).do(OperatorRequest.PANIC, "now")


def test_the_holder_of_the_lock_is_named_and_ended_for_it(paths: Paths, tmp_path: Path) -> None:
    """Once, hard, by its own number; then the lock is ours."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(paths.locks_dir)],
        cwd=CHECKOUT,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    said: list[str] = []
    found = Holder(pid=holder.pid, since_ns=1, purpose="sim/x")
    with take_lock(paths, CLIENT, purpose="panic", holder=lambda: found, say=said.append):
        assert holder.wait() == -signal.SIGKILL
    holder.stdout.close()
    assert said == [f"process {holder.pid} (sim/x) does not answer: ending it"]


def test_a_lock_that_does_not_come_free_is_a_refusal(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is ended whose number is not known."""
    monkeypatch.setattr(emergency, "ENDING_S", 0.1)
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("nobody is known"))
    lock = InstanceLock.acquire(paths.locks_dir, CLIENT, at_ns=1, purpose="sim/x")
    with lock, pytest.raises(InstanceRunning):
        take_lock(paths, CLIENT, purpose="panic", holder=lambda: None, say=lambda _text: None)


def test_a_run_that_lost_its_configuration_is_gone_on_with_by_the_one_in_force(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that is said: what is held can be closed all the same."""
    folder, said, used = unfinished(paths), list[str](), list[Config]()
    (folder / CONFIG_FILE).unlink()

    def run_sim(config: Config, *_: object) -> RunResult:
        used.append(config)
        return RunResult(exit_code=0, has_begun=True, stopped_early=True, wall={})

    monkeypatch.setattr(emergency, "run_sim", run_sim)
    ended = one(paths, said).do(OperatorRequest.PANIC, "now")
    assert used == [Config()]
    assert "going on with the configuration in force" in said[0]
    assert (ended.is_flat, ended.aside) == (False, None), "nobody could tell"


@pytest.mark.parametrize("mode", [Mode.PAPER, Mode.LIVE])
def test_what_is_held_at_the_broker_is_closed_without_a_yes(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    """By the run's own configuration, in the market of now; the same mandate, whatever stands behind."""
    folder = unfinished(paths, Config(mode=mode, dhan=HERE))
    seen: list[object] = []

    def run_dhan(config: Config, today: object, run: Run, *, home: Household) -> RunResult:
        assert (config.mode, today, run.folder) == (mode, "today", folder)
        assert home == Household(folder=paths.account_dir(CLIENT), env=os.environ)
        assert run.host.mandate is not None
        seen.extend(asked.request for asked in run.host.mandate.told)
        return RunResult(exit_code=0, has_begun=True, stopped_early=True, wall={})

    monkeypatch.setattr(emergency, "outlook", lambda _config, _calendar: "today")
    monkeypatch.setattr(emergency, "run_dhan", run_dhan)
    ended = one(paths).do(OperatorRequest.PANIC, "by hand")
    assert seen == [OperatorRequest.PANIC]
    assert not ended.is_flat, "nobody told how it stands"
