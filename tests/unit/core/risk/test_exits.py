"""The exit rules as a list: their order, and what follows when one of them raises (2.4)."""

from typing import ClassVar

import pytest

from holdfast.core.books.positions import Position
from holdfast.core.risk.exits import RULES, ExitRule, MarketView, build_rules, first_exit
from holdfast.domain.audit import Denied, ExitDecided, Halted, RuleFailed
from holdfast.domain.decision import Direction, Exit, HaltLevel
from tests.support.desk import CALL, Desk, settings


class Broken:
    """A rule with a bug."""

    name: ClassVar[str] = "broken"
    always: ClassVar[bool] = False

    def __call__(self, position: Position, market: MarketView, /) -> Exit | None:
        del position, market
        raise KeyError("peak")


class BrokenAlways(Broken):
    """A rule with a bug that must never fail."""

    name: ClassVar[str] = "stop_loss"
    always: ClassVar[bool] = True


def with_rules(rules: tuple[ExitRule, ...]) -> Desk:
    """A desk with a position watched by these rules."""
    desk = Desk()
    desk.hold()
    desk.engine._rules = rules  # noqa: SLF001 a rule with a bug cannot be configured
    desk.forget()
    return desk


def test_the_rules_are_these_in_this_order() -> None:
    """First match wins, so the order is part of the promise; the built rules follow it."""
    names = [rule.name for rule in RULES]
    assert names == [
        "kill_switch", "close_out", "daily_loss", "stale_price", "stop_loss", "take_profit",
        "trailing_stop",
    ]  # fmt: skip
    assert [rule.name for rule in build_rules(settings())] == names


@pytest.mark.proves("I-10", "I-11")
def test_a_rule_that_raises_is_told_halts_entries_and_leaves_the_others_running() -> None:
    """One step: counted, entries off, nothing closed; and the stop still works."""
    built = build_rules(settings())
    desk = with_rules((Broken(), *built))
    desk.at(60.5).tick(CALL, 100.2, bid=100.2, ask=100.3)
    [failed] = desk.told(RuleFailed)
    assert (failed.name, failed.position, failed.error) == ("broken", 1, "KeyError: 'peak'")
    assert [a.level for a in desk.told(Halted)] == [HaltLevel.PAUSE]
    assert desk.told(ExitDecided) == []
    desk.engine._rules = built  # noqa: SLF001
    desk.signal(Direction.DOWN, minute=2)
    assert desk.told(Denied)[-1].denial.gate == "halted"
    desk.breach(130)
    assert desk.told(ExitDecided)[-1].exit.rule == "stop_loss"


@pytest.mark.proves("I-10")
def test_a_rule_that_raises_twice_running_closes_the_position() -> None:
    """The second time is no accident: out, under the rule's name."""
    desk = with_rules((Broken(), *build_rules(settings())))
    desk.at(60.5).tick(CALL, 100.2, bid=100.2, ask=100.3)
    desk.at(60.7).tick(CALL, 100.4, bid=100.4, ask=100.5)
    assert [a.exit.rule for a in desk.told(ExitDecided)] == ["rule_failed:broken"]


@pytest.mark.proves("I-10")
def test_a_rule_that_must_always_work_closes_the_position_at_once() -> None:
    """Without its stop loss a position is not kept for one more step."""
    desk = with_rules((BrokenAlways(),))
    desk.at(70).tick(CALL, 100.2, bid=100.2, ask=100.3)
    assert [a.exit.rule for a in desk.told(ExitDecided)] == ["rule_failed:stop_loss"]


def test_only_a_failure_in_the_step_before_counts_as_running() -> None:
    """Raised, worked, raised: two accidents, no exit."""
    desk = with_rules(())
    position = desk.engine._state.live[0]  # noqa: SLF001
    view = watch(desk)
    assert first_exit((Broken(),), position, view)[0] is None
    assert first_exit((), position, view) == (None, ())
    assert first_exit((Broken(),), position, view)[0] is None
    found, failures = first_exit((Broken(),), position, view)
    assert found == Exit(rule="rule_failed:broken")
    assert [f.rule for f in failures] == ["broken"]


def watch(desk: Desk) -> MarketView:
    """A view of the market in which nothing fires."""
    return MarketView(
        now_ns=desk.now,
        quote=desk.engine._state.quote(CALL.id),  # noqa: SLF001
        tick=None,
        fault=None,
        touched_paise=None,
        read_is_fresh=False,
        halt=HaltLevel.NONE,
        loss_confirmed=False,
        net_today_paise=0,
    )
