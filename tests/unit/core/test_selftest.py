"""The self-test before arming: a breach must be answered with an exit, through the day's own rules."""

from collections.abc import Sequence

import pytest

from holdfast.core.risk import closing, watching
from holdfast.core.risk.exits import CloseOut, ExitRule, KillSwitch, StopLoss
from holdfast.core.selftest import contract
from holdfast.domain.audit import SelfTested
from holdfast.domain.instrument import Instrument
from tests.support.desk import CALL, NIFTY, PUT, Desk


def told(desk: Desk) -> str:
    """The fault that the last self-test named."""
    return desk.told(SelfTested)[-1].fault


@pytest.mark.parametrize("exit_by_modify", [True, False])
def test_the_rules_of_the_day_answer(*, exit_by_modify: bool) -> None:
    """However an exit is executed; nothing of it touches the real books."""
    desk = Desk(ready=False, exit_by_modify=exit_by_modify)
    desk.load()
    assert told(desk) == ""
    assert desk.state.positions == {}
    assert desk.state.orders == {}
    assert desk.state.quote(CALL.id).tick is None


@pytest.mark.proves("I-05")
@pytest.mark.parametrize("rules", [(), (KillSwitch(), CloseOut())], ids=["none", "without stops"])
def test_rules_that_do_not_answer_are_found(rules: Sequence[ExitRule]) -> None:
    """The stop loss is missing from the tuple."""
    desk = Desk(ready=False)
    desk.engine._rules = tuple(rules)  # noqa: SLF001
    desk.load()
    assert told(desk) == "a breach of the stop decided no exit"
    assert desk.state.self_test_fault == told(desk)


@pytest.mark.proves("I-05")
def test_a_loop_that_nobody_calls_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules are there, and packets no longer reach them."""
    monkeypatch.setattr(watching, "on_packet", lambda *_: None)
    desk = Desk(ready=False)
    desk.load()
    assert told(desk) == "a breach of the stop decided no exit"


def test_a_decision_that_asks_for_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deciding is not closing."""
    monkeypatch.setattr(closing, "tend", lambda *_: None)
    desk = Desk(ready=False)
    desk.load()
    assert told(desk) == "the exit that was decided asked nothing of the broker"


@pytest.mark.parametrize("master", [(NIFTY,), ()], ids=["index only", "empty"])
def test_without_a_contract_nothing_is_tested_and_nothing_armed(
    master: tuple[Instrument, ...],
) -> None:
    """Silence is no yes."""
    desk = Desk(ready=False)
    desk.load(master)
    assert told(desk) == "today's master holds no contract that can be traded"


def test_it_takes_the_first_contract_that_trades_today() -> None:
    """In the order of their keys."""
    desk = Desk(ready=False)
    desk.load((NIFTY, PUT, CALL))
    assert contract(desk.state) == CALL
    assert any(isinstance(rule, StopLoss) for rule in desk.engine._rules)  # noqa: SLF001
