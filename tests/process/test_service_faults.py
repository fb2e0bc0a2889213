"""Show 3 of supervision: faults of services, seen from outside by `holdfast status` and the journal."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.domain.event import ServiceChanged, ServiceState
from holdfast.store import query, schema
from tests.support.trading import Trading

pytestmark = pytest.mark.timeout(120)

SLOW = 20
"""A day that is far from over when everything has been seen."""

Start = Callable[..., Trading]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the program in company; it does not outlive the test."""
    begun: list[Trading] = []

    def begin(*beside: dict[str, Any]) -> Trading:
        begun.append(Trading(tmp_path, speed=SLOW, beside=beside))
        return begun[-1]

    yield begin
    for run in begun:
        run.kill()


def _stories(run: Trading, name: str) -> list[ServiceState]:
    """Where a service has been, as the journal tells it."""
    records = query.records(run.folder / schema.FILE_NAME)
    changes = (record for _, _, record in records if isinstance(record, ServiceChanged))
    return [change.state for change in changes if change.service == name]


S = ServiceState


@pytest.mark.proves("SUP-6", "SUP-7", "SUP-8", "SUP-5", "B-20")
@pytest.mark.parametrize(
    ("act", "fault"),
    [
        ("fails to start", "ValueError: odd cannot start"),
        ("never ready", "NotReady: not ready within 0.5 s"),
    ],
)
def test_a_critical_service_that_does_not_start_undoes_the_start(
    start: Start, act: str, fault: str
) -> None:
    """Tried three times, then everything is stopped again: who and why is said, code 70."""
    run = start({"name": "odd", "act": act, "critical": True})
    run.until(lambda: bool(run.service("odd").get("last_error")), "a first failure")
    assert run.wait() == 70, run.told()
    failed = next(line for line in run.log() if line["event"] == "the start failed")
    assert (failed["level"], failed["component"]) == ("critical", "odd")
    assert fault in f"{failed['error']}: {failed['message']}"
    assert run.record()["cleanup_status"]["odd"] == "parked"
    assert run.record()["cleanup_status"]["store"] == "stopped"
    assert (run.record()["exit_code"], run.record()["final_state_verified"]) == (70, True)
    assert run.record()["db_connections"] == 0
    assert fault.rsplit(": ", maxsplit=1)[-1] in run.stderr
    story = _stories(run, "odd")
    assert story.count(S.STARTING) == 3
    assert S.PARKED in story
    assert run.is_intact()


@pytest.mark.proves("SUP-5", "SUP-8", "SUP-19")
@pytest.mark.parametrize("act", ["fails to start", "never ready", "crashes", "hangs"])
def test_a_side_service_at_fault_is_parked_alone(start: Start, act: str) -> None:
    """The day goes on without it, and it is listed with the reason."""
    run = start({"name": "odd", "act": act})
    run.until(lambda: run.service("odd").get("state") == "parked", "parked")
    told = {one["name"]: one for one in run.status()["program"]["services"]}
    assert told["odd"]["running"] is False
    assert told["odd"]["reason"] or told["odd"]["last_error"]
    assert {one["state"] for name, one in told.items() if name != "odd"} == {"ready"}
    assert {one["restarts"] for name, one in told.items() if name != "odd"} == {0}
    run.signal(signal.SIGTERM)
    assert run.wait() == 0, run.told()
    assert _stories(run, "odd").count(S.STARTING) == 3
    assert _stories(run, "engine").count(S.STARTING) == 1


@pytest.mark.proves("SUP-14", "SUP-19", "SUP-11", "I-14", "I-09")
@pytest.mark.parametrize(
    ("act", "fault"), [("crashes", "ValueError: odd crashed"), ("hangs", "NoProgress")]
)
def test_a_core_service_at_fault_is_restarted_then_parked_and_bars_entries(
    start: Start, act: str, fault: str
) -> None:
    """Three times within the minute: parked, an alarm, no entries, while exits go on."""
    run = start({"name": "odd", "act": act, "critical": True})
    run.until(lambda: run.service("odd").get("state") == "parked", "parked")
    assert fault in run.service("odd")["last_error"]
    assert run.status()["program"]["services"]
    assert run.service("engine")["running"], "exits go on"
    run.until(lambda: "odd was given up" in run.stderr, "an alarm")
    run.signal(signal.SIGINT)
    assert run.wait() == 0, run.told()
    story = _stories(run, "odd")
    assert story.count(S.STARTING) == 3
    assert S.RESTARTING in story
    parked = next(line for line in run.log() if line["event"] == "service parked")
    assert parked["level"] == "critical"
    if act == "hangs":
        assert "asyncio.sleep(FOR_EVER)" in parked["stack"]


@pytest.mark.proves("SUP-11", "LOG-3")
@pytest.mark.parametrize("critical", [True, False])
def test_a_hang_in_c_is_seen_by_the_watchdog_and_passes(start: Start, *, critical: bool) -> None:
    """Stacks of all threads while it lasts; afterwards everything is ready again."""
    run = start({"name": "odd", "act": "hangs in C", "critical": critical})
    run.until_logged("the event loop hangs")
    run.until_logged("the event loop goes on")
    run.until(lambda: run.service("odd").get("state") == "ready", "ready again")
    hang = next(line for line in run.log() if line["event"] == "the event loop hangs")
    assert "time.sleep(2.5)" in hang["stacks"]["MainThread"]
    run.signal(signal.SIGTERM)
    assert run.wait() == 0, run.told()


@pytest.mark.proves("SUP-8", "SUP-13", "APP-9", "LOG-3", "B-04")
@pytest.mark.parametrize("critical", [True, False])
def test_one_that_raises_in_its_stop_keeps_nobody_from_stopping(
    start: Start, *, critical: bool
) -> None:
    """Recorded with its trace, everything else stopped and verified, code 20."""
    run = start({"name": "odd", "act": "raises in stop", "critical": critical})
    run.until_logged("everything is ready").signal(signal.SIGTERM)
    assert run.wait() == 20, run.told()
    record = run.record()
    assert "odd raised in its stop" in record["cleanup_status"]["odd"]
    assert record["final_state_verified"] is True
    error = next(line for line in run.log() if line["event"] == "Shutdown error")
    assert "raised in its stop" in error["stack"]


@pytest.mark.proves("SUP-17", "SUP-18")
@pytest.mark.parametrize("critical", [True, False])
@pytest.mark.parametrize(
    ("beside", "words"),
    [
        ([("one", ["other"]), ("other", ["one"])], ["one", "other"]),
        ([("one", []), ("one", [])], ["one"]),
        ([("one", ["nobody"])], ["one", "nobody"]),
        ([("store", [])], ["store"]),
    ],
    ids=["two that need each other", "a name twice", "an unknown need", "a name that is taken"],
)
def test_services_that_do_not_fit_together_are_refused_before_any_starts(
    start: Start, beside: list[tuple[str, list[str]]], words: list[str], *, critical: bool
) -> None:
    """They are named; nothing was started, nothing is left running."""
    run = start(
        *({"name": n, "act": "", "needs": needs, "critical": critical} for n, needs in beside)
    )
    assert run.wait() == 70
    assert [word for word in words if word not in run.stderr] == []
    assert "service starting" not in run.events()
