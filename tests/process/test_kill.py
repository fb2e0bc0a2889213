"""Show 2 of supervision: the trading program killed at seeded moments, and started again."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from holdfast.domain.event import Restarted
from holdfast.store import query, schema
from tests.support.command import environment
from tests.support.trading import Trading
from tools import CHECKOUT

pytestmark = pytest.mark.timeout(600)

KILLS: Final = int(os.environ.get("HOLDFAST_KILLS", "8"))
"""How many moments: `make kill` asks for fifty."""

FAST = 2_000
MORE = 15_000
"""Events after the restart, before the day is ended in order."""


@pytest.fixture
def begun() -> Iterator[list[Trading]]:
    """Programs that a test starts; none outlives it."""
    started: list[Trading] = []
    yield started
    for one in started:
        one.kill()


def _placed(run: Trading) -> list[str]:
    """The ids of the orders that the broker was handed, in order, as it remembers them."""
    lines = (run.folder / "broker.jsonl").read_bytes().splitlines()
    requests = (json.loads(line).get("request") for line in lines)
    return [one["order_id"] for one in requests if one and one["type"] == "PlaceOrder"]


def _verb(run: Trading, *words: str) -> dict[str, Any]:
    """The JSON answer of a verb about the run; it must end with 0."""
    done = subprocess.run(
        [sys.executable, "-m", "holdfast.app.main", "--home", run.home, *words, "--json"],
        cwd=CHECKOUT,
        env=environment(run.home),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.proves(
    *("APP-14", "TRK-4", "RACE-10", "RACE-12", "STM-3", "PIX-1", "PIX-2", "ENT-5", "ACT-4")
)
@pytest.mark.parametrize("seed", range(KILLS))
def test_a_day_killed_at_any_moment_goes_on_at_the_next_start(
    tmp_path: Path, begun: list[Trading], seed: int
) -> None:
    """
    The next start recovers to the fold of what was durable, finds the rest in the broker's book,
    sends nothing twice, and trades on to a clean end.
    """
    draw = Random(2_000 + seed)
    speed = draw.choice([0, FAST])
    what = ["partial", draw.randint(1, 8)] if seed % 4 == 0 else ["events", draw.randint(1, 60_000)]
    first = Trading(tmp_path, speed=speed, watches=True, moments=[[*what, signal.SIGKILL.value]])
    begun.append(first)
    assert first.wait() == -signal.SIGKILL, first.told()
    assert first.is_intact()
    moments = [["events", MORE, signal.SIGTERM.value]]
    second = Trading(tmp_path, speed=speed, watches=True, moments=moments)
    begun.append(second)
    assert second.wait() == 0, second.told()
    assert "goes on with" in second.stderr, second.stderr
    assert second.is_intact()
    record = second.record()
    assert (record["final_state_verified"], record["active_threads"]) == (True, [])
    assert "projections differ" not in second.events()
    placed = _placed(second)
    assert len(placed) == len(set(placed)), "no order twice"
    journal = second.folder / schema.FILE_NAME
    starts = [one for _, _, one in query.records(journal) if isinstance(one, Restarted)]
    recovered = [line for line in second.log() if line["event"] == "recovered"]
    told: dict[str, Any] = (
        recovered[-1] if recovered else {"last_sequence": 0, "differences": 0, "cuts": []}
    )
    assert told["differences"] == 0, "what is durable folds to what was recorded"
    if recovered:
        assert "the process before was killed" in second.events()
    assert second.marks()[-1].name == "ended"
    assert record["final_state"]["ticks"] > 0, "trading goes on"
    verified = _verb(second, "verify")
    _verb(second, "audit", "verify")
    print(  # noqa: T201 a Show
        f"seed {seed}: killed after {what[1]} {what[0]} at speed {speed}; {len(starts)} starts,"
        f" recovered to {told['last_sequence']}, cut {told['cuts'][-1:]}; {len(placed)} orders;"
        f" {verified}"
    )


@pytest.mark.proves("RACE-10", "ENT-6", "PLC-6")
def test_a_day_killed_again_and_again_ends_flat_with_every_order_sent_once(
    tmp_path: Path, begun: list[Trading]
) -> None:
    """Five kills in one day, then to its end: nothing is held, the books are the broker's."""
    draw = Random(7)
    for _ in range(5):
        moments = [["events", draw.randint(5_000, 40_000), signal.SIGKILL.value]]
        run = Trading(tmp_path, watches=True, moments=moments)
        begun.append(run)
        assert run.wait() == -signal.SIGKILL, run.told()
    last = Trading(tmp_path)
    begun.append(last)
    assert last.wait() == 0, last.told()
    placed = _placed(last)
    assert len(placed) == len(set(placed)) >= 10
    assert last.record()["open_positions"] == 0
    assert last.record()["final_state"]["live_orders"] == []
    used = last.record()["final_state"]["router"]["used"]
    assert used[3] > len(placed), "the rate is that of the day, not of the process (T7)"
    header = query.day_header(last.folder / schema.FILE_NAME)
    assert header is not None
    print(f"5 kills, {header.trades} trades, {len(placed)} orders")  # noqa: T201 a Show
    assert header.restarts == 6, "starts in all"
    assert header.trades >= 5


@pytest.mark.proves("APP-15", "APP-8")
def test_a_stop_before_the_past_was_folded_claims_nothing_of_it(
    tmp_path: Path, begun: list[Trading]
) -> None:
    """Unknown is not zero: nothing is written as the final state, and the next start finds all."""
    first = Trading(tmp_path, watches=True, moments=[["events", 58_000, signal.SIGKILL.value]])
    begun.append(first)
    assert first.wait() == -signal.SIGKILL
    (first.folder / "snapshot").unlink()
    kept = len(list(query.records(first.folder / schema.FILE_NAME)))
    second = Trading(tmp_path)
    begun.append(second)
    second.until(
        lambda: any(
            (line.get("component"), line["event"]) == ("engine", "service starting")
            for line in second.log()[-3:]
        ),
        "the engine's start",
    )
    second.signal(signal.SIGTERM)
    code = second.wait()
    if "recovered" in second.events():
        pytest.skip("the past was folded before the signal came")
    assert code == 0, second.told()
    record = second.record()
    assert (record["final_state"], record["open_positions"]) == (None, None)
    assert len(list(query.records(second.folder / schema.FILE_NAME))) == kept
    third = Trading(tmp_path, watches=True, moments=[["events", 1_000, signal.SIGTERM.value]])
    begun.append(third)
    assert third.wait() == 0, third.told()
    [recovered] = [line for line in third.log() if line["event"] == "recovered"]
    assert recovered["differences"] == 0
