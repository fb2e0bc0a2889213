"""A person takes hold of a running day: through the command line, and by a thousand hands at once."""

import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from holdfast.control.operator import Deed, Done
from holdfast.control.socket import NoAnswer, ask, do, socket_path
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import OperatorAsked, OperatorRequest
from holdfast.store import query, schema
from holdfast.store.halt import HaltFile
from tests.support.command import holdfast
from tests.support.emergency import closers_of, placed_in, truth_of
from tests.support.trading import LARGE, WHOLE_LOTS, Trading

pytestmark = pytest.mark.timeout(90)

SPEED = 100
"""Times real time: fast enough to meet a position soon, slow enough to be spoken to."""

PATIENT = (
    LARGE.format(speed=SPEED, lots=WHOLE_LOTS)
    + """
[exits]
stop_bps = 9000
target_bps = 0
trail_arm_bps = 0
"""
)

HANDS, TRIGGERS = 16, 1_000


@pytest.fixture
def begun() -> Iterator[list[Trading]]:
    """Programs that a test starts; none outlives it."""
    started: list[Trading] = []
    yield started
    for one in started:
        one.kill()


def view_of(run: Trading) -> dict[str, Any]:
    """How the account stands; empty while nobody answers."""
    try:
        told = json.loads(ask(socket_path(run.home / "locks", "SIM0001"), "view"))
    except DataRefused:
        return {}
    return told or {}


def has(run: Trading, test: Callable[[dict[str, Any]], Any]) -> Callable[[], bool]:
    """Whether the account stands so."""

    def holds() -> bool:
        view = view_of(run)
        return bool(view) and bool(test(view))

    return holds


def arguments(home: Path) -> tuple[str, ...]:
    """A run whose positions end by a person's hand only, as far as the market has a say."""
    file = home / "patient.toml"
    file.write_text(PATIENT)
    return ("--config", str(file), "run")


def holding(home: Path, begun: list[Trading]) -> Trading:
    """A run that holds a position whose stop was seen at the broker."""
    run = Trading(home, speed=SPEED, lots=WHOLE_LOTS, arguments=arguments(home))
    begun.append(run)
    return run.until(
        has(run, lambda view: any(p["is_stop_seen"] for p in view["positions"])), "a stop"
    )


def did(run: Trading, *words: str, code: int = 0) -> dict[str, Any]:
    """The JSON answer of a verb on the run's home."""
    done = holdfast("--home", str(run.home), *words, "--json", home=run.home)
    assert done.returncode == code, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def asked_of(run: Trading) -> list[OperatorRequest]:
    """What a person asked, by the journal."""
    rows = query.records(run.folder / schema.FILE_NAME)
    return [one.request for _, _, one in rows if isinstance(one, OperatorAsked)]


def test_a_running_day_does_what_a_person_asks_and_keeps_it(
    tmp_path: Path, begun: list[Trading]
) -> None:
    """
    Pause, resume, close one position, flatten, unlock: each answered with how the account stands,
    each in the journal, each halt in its file; a refusal has its code, and a repetition none.
    """
    run = holding(tmp_path, begun)
    path = socket_path(tmp_path / "locks", "SIM0001")
    paused = did(run, "pause", "--reason", "news")
    assert (paused["view"]["halt"], paused["durable"], paused["where"]) == (
        "pause",
        True,
        "program",
    )
    assert HaltFile(run.folder).read().level == "pause"
    again = do(path, Deed(do=OperatorRequest.PAUSE, reason="other"))
    assert again.after is not None
    assert again.after.halt_reason == "news", "again is no other halt"
    assert did(run, "resume", "--reason", "none")["view"]["halt"] == "none"
    number = view_of(run)["live"][0]
    assert number in did(run, "close", str(number), "--yes")["view"]["closed"]
    assert do(path, Deed(do=OperatorRequest.CLOSE, position=number)).was_done, "closed is closed"
    assert did(run, "close", "99", "--yes", code=7)["refused"].startswith("there is no position 99")
    flat = did(run, "flatten", "--yes", "--reason", "enough")
    assert (flat["flat"], flat["view"]["halt"]) == (True, "flatten")
    told = holdfast("--home", str(tmp_path), "status", home=tmp_path).stdout
    assert "halted (flatten): enough" in told
    assert "holdfast unlock --reason TEXT" in told
    assert "holdfast unlock" in do(path, Deed(do=OperatorRequest.RESUME, reason="x")).refused
    truth = truth_of(run.folder, after_ns=10_000_000_000)
    assert (truth.held, truth.working) == ({}, []), "and nothing is entered while it stands"
    assert did(run, "unlock", "--yes", "--reason", "ok")["view"]["halt"] == "none"
    assert did(run, "drift")["drifts"] == []
    assert did(run, "drift", "acknowledge", "NSE_FNO:1:INTRADAY", "--reason", "x", code=7)[
        "refused"
    ]
    run.signal(signal.SIGTERM)
    assert run.wait() == 0, run.told()
    assert [one.value for one in asked_of(run)] == [
        "pause", "pause", "resume", "close", "flatten", "unlock",
    ]  # fmt: skip


def test_nothing_is_told_where_nothing_runs(tmp_path: Path) -> None:
    """Refused with 3, and what works without a process is named."""
    for words in (["pause"], ["resume", "--reason", "x"], ["close", "1", "--yes"], ["drift"]):
        done = holdfast("--home", str(tmp_path), *words, home=tmp_path)
        assert done.returncode == 3, done.stderr
        assert "run" in done.stderr


@pytest.mark.proves("RACE-3", "EXE-2")
def test_a_thousand_triggers_across_a_kill_make_one_closing_order(
    tmp_path: Path, begun: list[Trading]
) -> None:
    """
    Panic, flatten and close from many hands, each until it is answered, some before a kill -9 and the
    rest after the next start: each position had one closing order at the exchange, and nothing is held in the end.
    """
    run = holding(tmp_path, begun)
    numbers = view_of(run)["live"]
    deeds = [
        *[Deed(do=OperatorRequest.CLOSE, reason="t", position=n) for n in numbers],
        Deed(do=OperatorRequest.FLATTEN, reason="t"),
        Deed(do=OperatorRequest.PANIC, reason="t"),
    ]
    path, said = socket_path(tmp_path / "locks", "SIM0001"), Counter[str]()

    def trigger(number: int) -> None:
        """Until somebody answers: nobody does between the kill and the next start."""
        while True:
            try:
                done: Done = do(path, deeds[number % len(deeds)])
            except NoAnswer:
                said["asked again"] += 1
                Event().wait(0.05)
            else:
                said["done" if done.is_taken or done.was_done else "waits"] += 1
                return

    with ThreadPoolExecutor(HANDS) as hands:
        triggers = [hands.submit(trigger, number) for number in range(TRIGGERS)]
        triggers[0].result()
        run.signal(signal.SIGKILL)
        run.wait()
        again = Trading(tmp_path, speed=SPEED, lots=WHOLE_LOTS, arguments=arguments(tmp_path))
        begun.append(again)
        for one in triggers:
            one.result()
    assert said["done"] + said["waits"] == TRIGGERS
    again.until(has(again, lambda view: not view["positions"] and not view["live_orders"]), "flat")
    again.signal(signal.SIGTERM)
    assert again.wait() == 10, again.told()
    truth = truth_of(again.folder, after_ns=10**9)
    assert (truth.held, truth.working) == ({}, [])
    closers = closers_of(again.folder)
    assert {number: len(closers[number]) for number in numbers} == dict.fromkeys(numbers, 1)
    placed = placed_in(again.folder)
    assert len(placed) == len(set(placed))
    print(f"{TRIGGERS} triggers: {dict(said)}; closing orders {closers}")  # noqa: T201 a Show
