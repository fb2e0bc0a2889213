"""Panic, flatten and unlock where nothing runs: a process killed with positions open, as users do it."""

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.store import schema
from holdfast.store.halt import HaltFile
from tests.support.command import holdfast
from tests.support.emergency import closers_of, placed_in, truth_of
from tests.support.trading import Trading

pytestmark = pytest.mark.timeout(90)

ONE_OPEN, TWO_OPEN = 3, 6
"""Partial fills after which, with seed 1, so many positions are open, with a stop at the broker."""

A_WHILE = 2_000
TO_THE_NEXT_SIGNAL = 30_000
"""Events after which a day that goes on is ended in order."""


@pytest.fixture
def begun() -> Iterator[list[Trading]]:
    """Programs that a test starts; none outlives it."""
    started: list[Trading] = []
    yield started
    for one in started:
        one.kill()


def killed(home: Path, begun: list[Trading], partial: int = ONE_OPEN) -> Trading:
    """A run that was killed while it held something."""
    run = Trading(home, watches=True, moments=[["partial", partial, signal.SIGKILL.value]])
    begun.append(run)
    assert run.wait() == -signal.SIGKILL, run.told()
    assert len(truth_of(run.folder).held) == (1 if partial == ONE_OPEN else 2)
    return run


def did(run: Trading, *words: str, code: int = 0) -> dict[str, Any]:
    """The JSON answer of a verb on the run's home."""
    done = holdfast("--home", str(run.home), *words, "--json", home=run.home)
    assert done.returncode == code, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return {**answer, "stderr": done.stderr}


def goes_on(run: Trading, begun: list[Trading], events: int = A_WHILE) -> tuple[Trading, list[str]]:
    """The day goes on for a while; the orders that were placed meanwhile."""
    before = placed_in(run.folder)
    more = Trading(run.home, watches=True, moments=[["events", events, signal.SIGTERM.value]])
    begun.append(more)
    more.wait()
    return more, placed_in(more.folder)[len(before) :]


@pytest.mark.proves("T25")
@pytest.mark.parametrize("verb", ["panic", "flatten"])
def test_what_a_killed_process_held_is_closed_and_status_says_halted(
    tmp_path: Path, begun: list[Trading], verb: str
) -> None:
    """
    Flat at the exchange itself, by the one closing order that each position had; a second time
    changes nothing.
    """
    run = killed(tmp_path, begun, TWO_OPEN)
    before = placed_in(run.folder)
    answer = did(run, verb, "--yes", "--reason", "it died")
    assert (answer["where"], answer["flat"], answer["exit_code"]) == ("here", True, 0)
    assert answer["view"]["positions"] == []
    truth = truth_of(run.folder, after_ns=10**9)
    assert (truth.held, truth.working) == ({}, [])
    assert placed_in(run.folder) == before, "the resting stop became the exit"
    assert all(len(closers) == 1 for closers in closers_of(run.folder).values())
    told = holdfast("--home", str(tmp_path), "status", home=tmp_path).stdout
    assert f"halted ({verb}): it died" in told
    assert "holdfast unlock --reason TEXT" in told
    again = did(run, verb, "--yes")
    assert (again["flat"], placed_in(run.folder)) == (True, before)
    assert HaltFile(run.folder).read().reason == "it died"


@pytest.mark.proves("T25")
def test_a_panicked_day_enters_nothing_until_a_person_unlocks_it(
    tmp_path: Path, begun: list[Trading]
) -> None:
    """The next run says no to its signals and ends halted; the one after unlock enters."""
    run = killed(tmp_path, begun)
    did(run, "panic", "--yes")
    halted, placed = goes_on(run, begun, TO_THE_NEXT_SIGNAL)
    assert (placed, halted.process.returncode) == ([], 10), halted.told()
    denied = [s for s in did(run, "signals")["signals"] if s["denial"]]
    assert "halted" in [one["denial"]["gate"] for one in denied]
    assert did(run, "unlock", "--yes", "--reason", "looked")["exit_code"] == 0
    assert not HaltFile(run.folder).read().is_halted
    _, placed = goes_on(run, begun, TO_THE_NEXT_SIGNAL)
    assert placed, "entries go out again"


@pytest.mark.proves("T25")
def test_a_flatten_does_not_lower_a_panic(tmp_path: Path, begun: list[Trading]) -> None:
    """What was halted higher stays so, with its reason."""
    run = killed(tmp_path, begun)
    did(run, "panic", "--yes", "--reason", "first")
    did(run, "flatten", "--yes", "--reason", "second")
    halt = HaltFile(run.folder).read()
    assert (halt.level, halt.reason) == ("panic", "first")


@pytest.mark.proves("T25", "PLC-6")
@pytest.mark.parametrize("damage", ["missing", "bytes", "row"])
def test_without_a_journal_the_brokers_book_tells_what_is_held(
    tmp_path: Path, begun: list[Trading], damage: str
) -> None:
    """
    The orders there bear our ids, so their positions are taken over and closed; what could not be
    read is kept. The next start goes on from the record that this one began.
    """
    run = killed(tmp_path, begun, TWO_OPEN)
    journal = run.folder / schema.FILE_NAME
    if damage == "missing":
        for file in run.folder.glob(f"{schema.FILE_NAME}*"):
            file.unlink()
    elif damage == "bytes":
        for file in run.folder.glob(f"{schema.FILE_NAME}-*"):
            file.unlink()
        journal.write_bytes(b"\xff" * 100_000)
    else:
        with sqlite3.connect(journal) as database:
            database.execute(
                "update events set payload = x'00' where sequence = "
                "(select sequence from events order by sequence desc limit 1 offset 9)"
            )
    answer = did(run, "panic", "--yes")
    assert (answer["flat"], answer["exit_code"]) == (True, 0)
    assert "what is held is taken from the broker's book" in answer["stderr"]
    truth = truth_of(run.folder, after_ns=10**9)
    assert (truth.held, truth.working) == ({}, [])
    assert all(len(closers) == 1 for closers in closers_of(run.folder).values())
    kept = Path(answer["aside"])
    assert kept.name == "aside-1"
    assert (run.folder / kept.name / schema.FILE_NAME).exists() == (damage != "missing")
    halted, placed = goes_on(run, begun)
    assert placed == []
    assert halted.process.returncode == 10, halted.told()
    assert "projections differ" not in halted.events()
    assert len(did(run, "positions")["positions"]) == TWO_OPEN


@pytest.mark.proves("T25")
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks at processes by /proc")
def test_a_process_that_hangs_is_ended_and_its_positions_are_closed(
    tmp_path: Path, begun: list[Trading]
) -> None:
    """It does not answer for two seconds: that is said, with its number, and it is gone."""
    run = Trading(tmp_path, watches=True, moments=[["partial", ONE_OPEN, signal.SIGSTOP.value]])
    begun.append(run)
    run.until(
        lambda: "signal19" in (run.marks_file.read_text() if run.marks_file.exists() else ""),
        "its stop",
    )
    answer = did(run, "panic", "--yes")
    assert (
        f"process {run.process.pid} (sim/2026-11-20-seed1) does not answer: ending it"
        in (answer["stderr"])
    )
    assert run.wait() == -signal.SIGKILL
    assert answer["flat"] is True
    assert truth_of(run.folder, after_ns=10**9).held == {}


def test_unlock_ends_nobody(tmp_path: Path, begun: list[Trading]) -> None:
    """A process that does not answer keeps its lock: who lifts a halt can wait."""
    run = Trading(tmp_path, watches=True, moments=[["partial", 1, signal.SIGSTOP.value]])
    begun.append(run)
    run.until(
        lambda: "signal19" in (run.marks_file.read_text() if run.marks_file.exists() else ""),
        "its stop",
    )
    done = holdfast("--home", str(tmp_path), "unlock", "--yes", "--reason", "x", home=tmp_path)
    assert done.returncode == 4, done.stderr
    assert f"process {run.process.pid}" in done.stderr
    os.kill(run.process.pid, signal.SIGCONT)


def test_where_there_is_nothing_to_close_it_says_where_to_look(tmp_path: Path) -> None:
    """No run, or one whose day is over: refused, and nothing is made."""
    for words in (["panic", "--yes"], ["flatten", "--yes"], ["unlock", "--yes", "--reason", "x"]):
        done = holdfast("--home", str(tmp_path), *words, home=tmp_path)
        assert done.returncode == 3
        assert "holds no run that is not over" in done.stderr


@pytest.mark.parametrize(
    "words", [["panic"], ["flatten"], ["unlock", "--reason", "x"], ["close", "1"]]
)
def test_what_moves_money_is_asked_for_twice(tmp_path: Path, words: list[str]) -> None:
    """Where nobody can be asked it needs --yes: a slip of the hand, or a script, does nothing."""
    done = holdfast("--home", str(tmp_path), *words, home=tmp_path)
    assert done.returncode == 2
    assert "--yes" in done.stderr


@pytest.mark.proves("T25")
def test_a_panic_that_is_itself_killed_is_gone_on_with(
    tmp_path: Path, begun: list[Trading]
) -> None:
    """Killed in mid-way, with the halt on the disk: the next one, or the next run, closes the rest."""
    run = killed(tmp_path, begun)
    half = Trading(
        tmp_path, watches=True, moments=[["events", 12, signal.SIGKILL.value]],
        arguments=("panic", "--yes", "--reason", "first"),
    )  # fmt: skip
    begun.append(half)
    assert half.wait() == -signal.SIGKILL, half.told()
    assert HaltFile(half.folder).read().level == "panic"
    more, placed = goes_on(run, begun)
    assert more.process.returncode == 10, more.told()
    truth = truth_of(more.folder, after_ns=10**9)
    assert (truth.held, truth.working) == ({}, [])
    assert all(len(closers) == 1 for closers in closers_of(more.folder).values())
    assert placed == []
