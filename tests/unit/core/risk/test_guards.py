"""The broker's own guards: asked only where configured, a bounded number of times, never assumed."""

import pytest

from holdfast.core.risk import guards
from holdfast.core.settings import GuardSettings
from holdfast.core.state import State
from holdfast.domain.audit import Anomaly
from holdfast.domain.command import BrokerKillSwitch, ExitAll, Notify, SetLossExit, Severity
from holdfast.domain.event import Guard, GuardAnswered
from tests.support.by_hand import NOW, ready_state
from tests.support.desk import SECOND, Desk, settings


def state_with(**changes: object) -> State:
    """A ready state with these guards."""
    return ready_state(settings(guards=GuardSettings(**changes)))  # type: ignore[arg-type]


def answer(guard: Guard, *, done: bool, reason: str = "") -> GuardAnswered:
    """The broker's word."""
    return GuardAnswered(at_ns=NOW, guard=guard, is_done=done, reason=reason)


@pytest.mark.proves("T25")
def test_no_guard_is_asked_that_nobody_configured() -> None:
    """Both act on the whole account, the owner's trades included."""
    state = state_with()
    guards.ask_exit_all(state)
    guards.ask_kill_switch(state)
    assert state.out.commands == []


@pytest.mark.proves("T25")
def test_a_guard_is_asked_each_half_minute_five_times_at_most() -> None:
    """Unanswered or refused: a person is told, and has to do it."""
    state = state_with(exit_all=True)
    for second in range(300):
        state.now_ns = NOW + second * SECOND
        guards.ask_exit_all(state)
    asked = [one for one in state.out.commands if isinstance(one, ExitAll)]
    assert len(asked) == guards.ASKS_MAX
    assert [one.what for one in state.out.audits if isinstance(one, Anomaly)] == [
        "a guard of the broker is asked for the last time"
    ]


@pytest.mark.proves("T25")
def test_a_guard_that_was_taken_is_not_asked_again() -> None:
    """Its answer is told; a refusal too, and it is tried again later."""
    state = state_with(kill_switch=True)
    guards.ask_kill_switch(state)
    guards.take_answer(state, answer(Guard.KILL_SWITCH, done=False, reason="pending orders"))
    state.now_ns += guards.AGAIN_NS
    guards.ask_kill_switch(state)
    guards.take_answer(state, answer(Guard.KILL_SWITCH, done=True))
    state.now_ns += guards.AGAIN_NS
    guards.ask_kill_switch(state)
    assert len([one for one in state.out.commands if isinstance(one, BrokerKillSwitch)]) == 2
    told = [one.what for one in state.out.audits if isinstance(one, Anomaly)]
    assert told == ["guard refused", "guard taken"]


@pytest.mark.proves("T25")
def test_the_loss_exit_lies_beyond_our_own_limit_and_is_set_once_armed() -> None:
    """Half as much again by default; a start sets it anew, nothing else does."""
    desk = Desk(guards=GuardSettings())
    assert desk.all(SetLossExit) == [], "entries are not armed"
    desk.at(1).spot()
    desk.tick()
    desk.tick()
    desk.funds()
    limit = desk.state.settings.limits.loss_per_day_paise_max
    assert desk.all(SetLossExit) == [SetLossExit(loss_paise=limit * 3 // 2)]
    desk.at(3).spot()
    desk.funds()
    assert len(desk.all(SetLossExit)) == 1


def test_a_loss_exit_that_is_not_offered_is_told_and_no_alarm() -> None:
    """Our own limit stands; the day goes on."""
    state = state_with()
    guards.take_answer(state, answer(Guard.LOSS_EXIT, done=False, reason="not offered"))
    [told] = [one for one in state.out.commands if isinstance(one, Notify)]
    assert (told.severity, "not offered" in told.text) == (Severity.WARNING, True)
    assert state.out.audits == []


def test_a_loss_exit_of_nought_is_not_asked_for() -> None:
    """0: it is not asked."""
    state = state_with(loss_exit_bps=0)
    guards.set_loss_exit(state)
    assert state.out.commands == []


def test_what_was_recorded_was_asked() -> None:
    """Folded by newer code that would not ask: the request counts all the same."""
    state = state_with()
    guards.stand(state, (ExitAll(), SetLossExit(loss_paise=1)))
    assert state.guard.asks == {"exit_all": 1, "loss_exit": 1}
    guards.stand(state, (ExitAll(),))
    assert state.guard.asks["exit_all"] == 1, "decided and recorded in one step is one request"
