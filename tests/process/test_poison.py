"""Show 6 of supervision: an event that cannot be stepped never loops the restart."""

import datetime as dt
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.app import wiring
from holdfast.app.config import Config
from holdfast.domain.audit import Halted, PositionClosed, RuleFailed
from holdfast.domain.event import ServiceChanged, ServiceState, StepFailed
from holdfast.exchange.generator import GeneratedDay
from holdfast.facts.load import load_day_facts
from holdfast.store import query, schema
from holdfast.store.records import Decided
from tests.support.trading import Trading

pytestmark = pytest.mark.timeout(120)

AT_NS = int(dt.datetime(2026, 11, 20, 4, 32, tzinfo=dt.UTC).timestamp()) * 1_000_000_000
"""10:02 in India: a position has been open for two minutes."""


@pytest.fixture(scope="session")
def poison() -> dict[str, Any]:
    """The first tick of the index from then on."""
    config = Config()
    day = dt.date.fromisoformat(config.sim.day)
    generated = GeneratedDay(
        config.sim.seed, load_day_facts(day), [wiring.universe("NIFTY", day, 0)]
    )
    index = generated.instruments[0].id
    tick = next(one for one in generated.ticks() if one.at_ns >= AT_NS and one.instrument == index)
    return {"at_ns": tick.at_ns, "instrument": tick.instrument}


@pytest.fixture
def begun() -> Iterator[list[Trading]]:
    """Programs that a test starts; none outlives it."""
    started: list[Trading] = []
    yield started
    for one in started:
        one.kill()


def _records(run: Trading) -> list[Any]:
    return [record for _, _, record in query.records(run.folder / schema.FILE_NAME)]


def _audits(run: Trading, kind: type) -> list[Any]:
    decided = (record for record in _records(run) if isinstance(record, Decided))
    return [audit for one in decided for audit in one.audits if isinstance(audit, kind)]


def _engine_starts(run: Trading) -> int:
    changes = [one for one in _records(run) if isinstance(one, ServiceChanged)]
    states = [one.state for one in changes if one.service == "engine"]
    return states.count(ServiceState.STARTING)


@pytest.mark.proves("I-09", "RSK-5", "EXE-5", "THR-1")
def test_a_tick_that_makes_a_rule_raise_halts_entries_and_ends_nothing(
    tmp_path: Path, begun: list[Trading], poison: dict[str, Any]
) -> None:
    """Counted and alarmed; the other rules close what is held; the day goes on to its end."""
    run = Trading(tmp_path, poison={**poison, "where": "rule"})
    begun.append(run)
    assert run.wait() == 10, run.told()
    [failed] = _audits(run, RuleFailed)
    assert failed.name == "take_profit"
    assert _audits(run, Halted)
    assert "alarm" in run.stderr
    assert run.record()["open_positions"] == 0
    assert _engine_starts(run) == 1


@pytest.mark.proves("I-09", "SUP-19")
def test_a_tick_that_makes_the_step_raise_is_stepped_bare(
    tmp_path: Path, begun: list[Trading], poison: dict[str, Any]
) -> None:
    """Without strategies and entries: halted, the position closed by its rules, and no restart."""
    run = Trading(tmp_path, poison={**poison, "where": "step"})
    begun.append(run)
    assert run.wait() == 10, run.told()
    [failed] = [one for one in _records(run) if isinstance(one, StepFailed)]
    assert (failed.is_final, failed.error) == (False, "ZeroDivisionError: poison")
    assert run.record()["open_positions"] == 0
    assert _audits(run, PositionClosed)
    assert _engine_starts(run) == 1


@pytest.mark.proves("I-09", "SUP-19", "PPR-3", "PPR-5", "I-117")
def test_a_tick_that_cannot_be_stepped_at_all_is_left_out_by_the_next_start(
    tmp_path: Path, begun: list[Trading], poison: dict[str, Any]
) -> None:
    """
    The process ends with 70 and says which event it was; the next start meets it, leaves it out,
    stays disarmed, says so, closes what is held and ends in order; so does every other start.
    """
    first = Trading(tmp_path, poison={**poison, "where": "bare"})
    begun.append(first)
    assert first.wait() == 70, first.told()
    assert "cannot be stepped: ZeroDivisionError: poison" in first.stderr
    failures = [one for one in _records(first) if isinstance(one, StepFailed)]
    assert [one.is_final for one in failures] == [False, True]
    assert first.record()["active_threads"] == []
    sequence = failures[0].sequence
    second = Trading(
        tmp_path,
        poison={**poison, "where": "bare"},
        watches=True,
        moments=[["events", 2_000, signal.SIGTERM.value]],
    )
    begun.append(second)
    assert second.wait() in {0, 10}, second.told()
    assert f"events {sequence} cannot be stepped and are left out" in second.stderr
    third = Trading(tmp_path, poison={**poison, "where": "bare"})
    begun.append(third)
    assert third.wait() == 10, third.told()
    assert third.record()["open_positions"] == 0
    recovered = [line for line in third.log() if line["event"] == "recovered"]
    assert [line["left_out"] for line in recovered] == [[sequence], [sequence]]
    entries = [one for one in _records(third) if isinstance(one, Decided) and one.cause > sequence]
    placed = [c for one in entries for c in one.commands if getattr(c, "purpose", None) == "E"]
    assert placed == [], "disarmed for the rest of the day"
