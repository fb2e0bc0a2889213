"""The store in a process that is really killed, at moments of chance: a whole beginning is left.

One process imports everything once and forks the writers, so that a life costs no start of Python.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from holdfast.domain.event import Restarted, TimerFired
from holdfast.store.audit import audit
from holdfast.store.halt import HaltFile
from holdfast.store.schema import FILE_NAME
from tests.support.command import CODE
from tests.support.store import Owners, contents, first_missing
from tests.unit.store.samples import DAY, T0, a_day, play, tick

KILLS = int(os.environ.get("HOLDFAST_KILLS", "50"))
SEED = int(os.environ.get("HOLDFAST_SEED", "1"))
LIVES_PER_STORE = 5
LIFE_S = 0.5
FORCED = 1
"""What a process exits with that a second signal forces."""

pytestmark = pytest.mark.timeout(60 + 6 * KILLS)


# -- the children


def write_for_ever(folder: Path) -> None:
    """A life of a store: opened, written to from the first moment on, each answer noted."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(FORCED))
    answers = os.open(folder / "answers", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    journal = Owners(folder).start()
    for life in count():
        journal.append(Restarted(at_ns=T0, day=DAY, code_version="1", config_sha256="c"))
        play(journal, a_day(trades=2, ticks=20))
        for number in range(4):
            journal.append_market(tick(number, at_ns=T0 + life))
            sequence = journal.append(TimerFired(at_ns=T0 + life))
            journal.wait_durable(sequence).result()
            os.write(answers, f"{sequence}\n".encode())


def halt_for_ever(folder: Path) -> None:
    """A life of a halt file: every word noted, a halt when it was written, a lift before."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(FORCED))
    notes = os.open(folder / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    file = HaltFile(folder)
    file.open(T0)
    for number in count():
        file.write(f"halt {number} {'x' * (number % 400)}", T0 + number)
        os.write(notes, b"halted\n")
        time.sleep(0.005)
        os.write(notes, b"lifting\n")
        file.lift(f"lift {number}", T0 + number)


LIVES: dict[str, Callable[[Path], None]] = {"store": write_for_ever, "halt": halt_for_ever}


def fork_at_command() -> None:
    """The nursery: for each line a life; its number when it begins, its status when it has ended."""
    for line in sys.stdin:
        kind, folder = line.split()
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            LIVES[kind](Path(folder))
        print(child, flush=True)  # noqa: T201 the parent reads it
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 as above


# -- the parent


class Nursery:
    """Begins lives and ends them."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def live(self, kind: str, folder: Path, seconds: float, end: signal.Signals) -> int:
        """One life of so many seconds, ended by a signal; returns its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{kind} {folder}\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        time.sleep(seconds)
        os.kill(child, end)
        return int(self._process.stdout.readline())


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """A process that has imported everything."""
    with subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": CODE},
        text=True,
    ) as process:
        yield Nursery(process)
        assert process.stdin is not None
        process.stdin.close()


ENDS = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: FORCED}


@pytest.mark.proves("APP-14", "TRK-4", "RACE-10")
@pytest.mark.parametrize("end", ENDS, ids=["killed", "forced"])
def test_a_store_that_is_killed_holds_a_whole_beginning(
    tmp_path: Path, nursery: Nursery, end: signal.Signals
) -> None:
    """By SIGKILL and by `os._exit`, from opening on: nothing torn, nothing answered is missing."""
    chance = random.Random(f"{SEED} {end}")
    kills = KILLS // len(ENDS)
    reached: Counter[str] = Counter()
    for kill in range(kills):
        folder = tmp_path / str(kill // LIVES_PER_STORE)
        folder.mkdir(exist_ok=True)
        code = nursery.live("store", folder, chance.uniform(0, LIFE_S), end)
        assert code in {ENDS[end], -end}, "it ends as it is told to"
        reached += examined(folder, f"seed {SEED}, kill {kill}")
    print(f"{kills} kills, {dict(reached)}")  # noqa: T201 the work
    assert reached["answers"] >= 4 * kills
    assert reached["before an answer"] >= 1
    assert reached["with numbers lost"] >= 1


def examined(folder: Path, label: str) -> Counter[str]:
    """What the kill left, looked at; returns what was met."""
    path = folder / FILE_NAME
    records, market = contents(folder)
    numbers = {number for number, _ in records}
    answers = folder / "answers"
    # A line may be cut off: one that has no end was not answered.
    said = answers.read_text().split("\n")[:-1] if answers.exists() else []
    missing = {int(line) for line in said} - numbers
    assert not missing, label
    if records:
        report = audit(path)
        assert report.findings == (), (label, report.findings)
    end = first_missing(numbers | market.keys())
    durable = max((int(line) for line in said), default=0)
    lost_ticks = [n for n in range(end, durable) if n not in numbers and n not in market]
    if answers.exists():
        answers.unlink()
    return Counter(
        {
            "answers": len(said),
            "before an answer": not said,
            "with numbers lost": bool(lost_ticks) or end <= max(numbers, default=0),
        }
    )


@pytest.mark.proves("RACE-10")
def test_a_halt_that_was_written_is_there_whenever_the_process_is_killed(
    tmp_path: Path, nursery: Nursery
) -> None:
    """And one that was being written or lifted is one or the other; in doubt a halt."""
    chance = random.Random(SEED)
    met: Counter[str] = Counter()
    for kill in range(KILLS):
        folder = tmp_path / str(kill)
        folder.mkdir()
        nursery.live("halt", folder, chance.uniform(0, LIFE_S / 5), signal.SIGKILL)
        notes = folder / "notes"
        last = notes.read_text().split("\n")[-2:-1] if notes.exists() else []
        state = HaltFile(folder).read()
        met[last[0] if last else "nothing"] += 1
        if last == ["halted"]:
            assert (state.is_halted, state.reason[:5]) == (True, "halt "), (
                f"seed {SEED}, kill {kill}"
            )
    print(f"{KILLS} kills after {dict(met)}")  # noqa: T201 the work
    assert met["halted"] >= 1
    assert met["lifting"] >= 1


if __name__ == "__main__":
    fork_at_command()
