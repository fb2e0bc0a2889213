"""The parts of the program, as the engine hears of them: what bars an entry, what calls a person."""

import pytest

from holdfast.domain.audit import Anomaly, Denied, EntriesBlocked, ExitDecided, IntentFormed
from holdfast.domain.command import Notify, PlaceOrder, Severity
from holdfast.domain.event import ProjectionDiffers, Restarted, ServiceState
from tests.support.desk import DAY, Desk

NOT_READY = [state for state in ServiceState if state is not ServiceState.READY]


@pytest.mark.proves("SUP-19")
@pytest.mark.parametrize("state", NOT_READY)
def test_a_core_part_that_is_not_ready_bars_entries(state: ServiceState) -> None:
    """Any state but ready does, until it is ready again."""
    desk = Desk()
    desk.service(state, "feed", reason="broke")
    desk.signal()
    assert desk.told(Denied)[-1].denial.values == {
        "term": "services",
        "service": "feed",
        "state": state.value,
    }
    desk.service(ServiceState.READY, "feed")
    desk.signal(minute=2)
    assert len(desk.told(IntentFormed)) == 1


@pytest.mark.parametrize("state", NOT_READY)
def test_no_part_bars_an_exit(state: ServiceState) -> None:
    """What is held is got out of as ever."""
    desk = Desk()
    desk.hold()
    desk.service(state, "feed")
    desk.service(state, "engine")
    desk.breach(70)
    assert len(desk.told(ExitDecided)) == 1


def test_a_side_part_bars_nothing() -> None:
    """The page may be dead all day."""
    desk = Desk()
    told = len(desk.told(EntriesBlocked))
    desk.service(ServiceState.PARKED, "page", core=False)
    assert len(desk.told(EntriesBlocked)) == told


def test_silence_is_no_yes() -> None:
    """After a restart nothing is known of the parts before they are told of again."""
    desk = Desk()
    desk.tell(Restarted(at_ns=desk.now, day=DAY, code_version="1", config_sha256="c"))
    desk.signal()
    told = desk.told(Denied)[-1].denial.values
    assert told == {"term": "services", "services": "none told"}


@pytest.mark.proves("SUP-19")
@pytest.mark.parametrize(
    ("core", "severity"), [(True, Severity.ALARM), (False, Severity.WARNING)], ids=["core", "side"]
)
def test_a_part_that_was_given_up_calls_a_person(core: bool, severity: Severity) -> None:  # noqa: FBT001
    """It will not come back by itself; the reason is in the text."""
    desk = Desk()
    step = desk.service(ServiceState.PARKED, "feed", core=core, reason="3 crashes within 60 s")
    called = [command for command in step.commands if isinstance(command, Notify)]
    assert [(one.severity, one.text) for one in called] == [
        (severity, "feed was given up: 3 crashes within 60 s")
    ]
    assert not [command for command in step.commands if isinstance(command, PlaceOrder)]


def test_projections_that_differ_call_a_person_and_trading_goes_on() -> None:
    """What people read is wrong, what is traded on is not: entries and exits go on as ever (1.4)."""
    desk = Desk()
    differs = ProjectionDiffers(at_ns=desk.now, differences=("positions at 7", "orders at 7"))
    step = desk.tell(differs)
    called = [command for command in step.commands if isinstance(command, Notify)]
    assert [(one.severity, one.text) for one in called] == [
        (Severity.ALARM, "projections differ: first positions at 7")
    ]
    [anomaly] = [audit for audit in step.audits if isinstance(audit, Anomaly)]
    assert anomaly.values == {"first": "positions at 7"}
    desk.hold()
    desk.tell(ProjectionDiffers(at_ns=desk.now, differences=("positions at 9",)))
    desk.breach(70)
    assert len(desk.told(ExitDecided)) == 1


def test_the_watermark_is_that_of_the_position_that_waits_longest() -> None:
    """None is held, one is opened, its rules run: the stamp of their last run."""
    desk = Desk()
    marks = [desk.engine.evaluated_ns]
    desk.hold()
    opened = desk.engine.evaluated_ns
    desk.at(70).tick()
    marks.append(desk.engine.evaluated_ns)
    assert opened is not None
    assert marks == [None, desk.now]
    assert opened < desk.now
