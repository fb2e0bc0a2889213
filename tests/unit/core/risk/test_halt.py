"""Halt levels only rise by themselves; a person alone lifts them, and not the day's loss."""

import itertools

import pytest

from holdfast.core.risk.halt import raise_halt, resume, take_request
from holdfast.core.state import State
from holdfast.domain.audit import Halted
from holdfast.domain.command import Notify, Severity
from holdfast.domain.decision import HaltLevel
from holdfast.domain.event import OperatorAsked, OperatorRequest
from tests.support.by_hand import NOW, ready_state

LEVELS = [HaltLevel.NONE, HaltLevel.PAUSE, HaltLevel.FLATTEN, HaltLevel.PANIC]


@pytest.mark.parametrize(("present", "asked"), list(itertools.product(LEVELS, LEVELS)))
def test_a_halt_is_raised_and_never_lowered(present: HaltLevel, asked: HaltLevel) -> None:
    """For each pair of levels: the higher stands, with its reason, and only a rise is told."""
    state = ready_state()
    state.halt, state.halt_reason = present, "before"
    raise_halt(state, asked, "now")
    rises = LEVELS.index(asked) > LEVELS.index(present)
    assert (state.halt, state.halt_reason) == ((asked, "now") if rises else (present, "before"))
    assert state.out.audits == ([Halted(level=asked, reason="now")] if rises else [])
    text = f"halted ({asked.value}): now"
    assert state.out.commands == ([Notify(severity=Severity.ALARM, text=text)] if rises else [])


@pytest.mark.parametrize("level", LEVELS[1:])
def test_a_person_lifts_any_halt_with_a_reason(level: HaltLevel) -> None:
    """Told with the reason; a failed rule gets another chance, and nobody is called."""
    state = ready_state()
    raise_halt(state, level, "why")
    state.rules_failed = True
    state.out.audits.clear()
    state.out.commands.clear()
    resume(state, "looked at it")
    assert (state.halt, state.halt_reason) == (HaltLevel.NONE, "looked at it")
    assert state.rules_failed is False
    assert state.out.audits == [Halted(level=HaltLevel.NONE, reason="looked at it")]
    assert state.out.commands == []


def test_lifting_what_is_not_halted_changes_nothing() -> None:
    """It is no event."""
    state = ready_state()
    resume(state, "for nothing")
    assert (state.halt_reason, state.out.audits) == ("", [])


def test_the_days_loss_is_not_lifted_with_a_halt() -> None:
    """That limit ends with the day, whatever a person says."""
    state = ready_state()
    state.loss.is_confirmed = True
    raise_halt(state, HaltLevel.PAUSE, "daily loss")
    resume(state, "try again")
    assert state.loss.is_confirmed is True


def test_time_lifts_nothing() -> None:
    """A halt has no end of its own, however late it is."""
    state = ready_state()
    raise_halt(state, HaltLevel.PAUSE, "why")
    state.now_ns += 10**18
    raise_halt(state, HaltLevel.NONE, "later")
    assert state.halt is HaltLevel.PAUSE


def asks(state: State, request: OperatorRequest) -> None:
    """A person asks it of the account."""
    take_request(state, OperatorAsked(at_ns=NOW, request=request, reason="a person"))


@pytest.mark.parametrize(
    ("request_", "level"),
    [
        (OperatorRequest.PAUSE, HaltLevel.PAUSE),
        (OperatorRequest.FLATTEN, HaltLevel.FLATTEN),
        (OperatorRequest.PANIC, HaltLevel.PANIC),
        (OperatorRequest.CLOSE, HaltLevel.NONE),
        (OperatorRequest.RESUME, HaltLevel.NONE),
    ],
)
def test_each_request_means_its_level(request_: OperatorRequest, level: HaltLevel) -> None:
    """CLOSE is about one position and halts nothing."""
    state = ready_state()
    asks(state, request_)
    assert state.halt is level
    assert state.halt_reason == ("a person" if level is not HaltLevel.NONE else "")


def test_resume_is_asked_for_like_the_rest() -> None:
    """The reason given with it stands."""
    state = ready_state()
    asks(state, OperatorRequest.PANIC)
    asks(state, OperatorRequest.CLOSE)
    assert state.halt is HaltLevel.PANIC
    asks(state, OperatorRequest.RESUME)
    assert (state.halt, state.halt_reason) == (HaltLevel.NONE, "a person")
