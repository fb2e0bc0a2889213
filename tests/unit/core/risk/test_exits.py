"""The exit rules as a list: their order, and what follows when one of them raises (2.4)."""

from typing import Any, ClassVar

import msgspec
import pytest

from holdfast.core.books.positions import Position
from holdfast.core.market.quotes import Connection, Quote
from holdfast.core.risk.exits import (
    RULES,
    CloseOut,
    DailyLoss,
    ExitRule,
    KillSwitch,
    MarketView,
    StalePrice,
    StopLoss,
    TakeProfit,
    TrailingStop,
    best_closing,
    build_rules,
    first_exit,
)
from holdfast.core.settings import SECOND_NS, ExitSettings, LimitSettings
from holdfast.domain.audit import Denied, ExitDecided, Halted, RuleFailed
from holdfast.domain.decision import Direction, Exit, HaltLevel, Values
from holdfast.domain.order import Side
from tests.support.by_hand import NOW, a_position, packet, plan
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
        "kill_switch", "close_out", "daily_loss", "stale_price", "stop_loss", "unprotected",
        "take_profit", "trailing_stop", "structure",
    ]  # fmt: skip
    assert [rule.name for rule in build_rules(settings())] == names


def test_these_rules_must_always_work() -> None:
    """Stop loss, close-out and what the account asks for; the others get a second chance (2.4)."""
    assert [rule.name for rule in RULES if rule.always] == [
        "kill_switch",
        "close_out",
        "daily_loss",
        "stop_loss",
        "unprotected",
    ]


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
    desk.at(60.5).tick(CALL, 100.2, bid=100.2, ask=100.3)
    assert len(desk.told(RuleFailed)) == 1
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
    return view(desk.engine._state.quote(CALL.id), now_ns=desk.now)  # noqa: SLF001


# -- the rules, one by one


def view(quote: Quote, **changes: Any) -> MarketView:
    """What a rule may look at; without changes nothing fires."""
    nothing = MarketView(
        now_ns=NOW,
        quote=quote,
        tick=None,
        fault=None,
        touched_paise=None,
        read_is_fresh=False,
        halt=HaltLevel.NONE,
        loss_confirmed=False,
        net_today_paise=0,
    )
    return msgspec.structs.replace(nothing, **changes)


def a_quote(bid: int | None = 9_995, ask: int | None = 10_005) -> Quote:
    """The call's, as its last packet showed it."""
    quote = Quote(CALL, Connection())
    quote.take(packet(bid=bid, ask=ask))
    return quote


@pytest.mark.parametrize(
    ("halt", "fires"),
    [(HaltLevel.NONE, False), (HaltLevel.PAUSE, False), (HaltLevel.FLATTEN, True),
     (HaltLevel.PANIC, True)],
)  # fmt: skip
def test_the_kill_switch_closes_from_flatten_on(halt: HaltLevel, *, fires: bool) -> None:
    """A pause only stops entries; the record says what was held."""
    found = KillSwitch()(a_position(), view(a_quote(), halt=halt))
    values: Values = {"halt": halt.value, "held": 65}
    assert found == (Exit(rule="kill_switch", values=values) if fires else None)


@pytest.mark.parametrize(("side", "price"), [(Side.BUY, 9_995), (Side.SELL, 10_005)])
def test_the_close_out_begins_at_its_instant(side: Side, price: int) -> None:
    """Not a nanosecond before, whatever the price; the closing side is noted."""
    position = a_position(side=side, exits=plan(close_out=NOW))
    assert CloseOut()(position, view(a_quote(), now_ns=NOW - 1)) is None
    assert CloseOut()(position, view(a_quote())) == Exit(rule="close_out", price_paise=price)


@pytest.mark.parametrize(("side", "price"), [(Side.BUY, 9_995), (Side.SELL, 10_005)])
def test_a_confirmed_loss_closes(side: Side, price: int) -> None:
    """With the figures that decided."""
    rule, position = DailyLoss(loss_paise_max=500), a_position(side=side)
    assert rule(position, view(a_quote(), net_today_paise=-900)) is None
    values: Values = {"net_today_paise": -900, "limit_paise": 500}
    found = rule(position, view(a_quote(), loss_confirmed=True, net_today_paise=-900))
    assert found == Exit(rule="daily_loss", price_paise=price, values=values)


@pytest.mark.parametrize(
    ("verified", "stale_s", "changes", "fires"),
    [
        (True, 60, {}, True),
        (True, 2_000, {}, True),
        (True, 59.999, {}, False),
        (False, 5, {}, True),
        (False, 4.999, {}, False),
        (True, 60, {"fault": None}, False),
        (True, 60, {"read_is_fresh": False}, False),
        (True, None, {}, False),
    ],
)
@pytest.mark.parametrize(("side", "price"), [(Side.BUY, 9_995), (Side.SELL, 10_005)])
def test_a_stale_price_closes_on_a_read_after_its_bound(
    side: Side, price: int, stale_s: float | None, changes: dict[str, Any], *, verified: bool,
    fires: bool,
) -> None:  # fmt: skip
    """A minute with a stop at the broker, five seconds without; never without a price (T16)."""
    position = a_position(side=side)
    position.verified = verified
    stale_ns = None if stale_s is None else round(stale_s * SECOND_NS)
    position.stale_since_ns = None if stale_ns is None else NOW - stale_ns
    rule = StalePrice(with_stop_ns=60 * SECOND_NS, without_stop_ns=5 * SECOND_NS)
    seen = {"fault": "packet old", "read_is_fresh": True, **changes}
    found = rule(position, view(a_quote(), **seen))
    if not fires:
        assert found is None
    else:
        values: Values = {"stale_ms": (stale_ns or 0) // 1_000_000, "fault": "packet old"}
        assert found == Exit(rule="stale_price", price_paise=price, values=values)


@pytest.mark.parametrize("side", Side)
def test_a_touched_stop_closes_under_the_rule_that_set_it(side: Side) -> None:
    """The planned stop is the stop loss; once the peak has moved it, it is the trail."""
    level, moved = (8_800, 9_400) if side is Side.BUY else (11_200, 10_600)
    position = a_position(side=side, exits=plan(stop=level))
    touched = view(a_quote(), touched_paise=level)
    for rule in (StopLoss(), TrailingStop()):
        assert rule(position, view(a_quote())) is None
    assert StopLoss()(position, touched) == Exit(
        rule="stop_loss", level_paise=level, price_paise=level
    )
    assert TrailingStop()(position, touched) is None
    position.stop_paise, position.peak_paise = moved, 10_000
    assert StopLoss()(position, touched) is None
    assert TrailingStop()(position, touched) == Exit(
        rule="trailing_stop", level_paise=moved, price_paise=level, values={"peak_paise": 10_000}
    )


@pytest.mark.parametrize(
    ("side", "target", "bid", "ask", "price"),
    [
        (Side.BUY, 12_500, 12_500, 12_600, 12_500),
        (Side.BUY, 12_500, 12_495, 12_500, None),
        (Side.BUY, 12_500, None, 12_600, None),
        (Side.BUY, None, 99_000, 99_005, None),
        (Side.SELL, 7_500, 7_400, 7_500, 7_500),
        (Side.SELL, 7_500, 7_500, 7_505, None),
        (Side.SELL, 7_500, 7_400, None, None),
    ],
)
def test_a_target_is_reached_by_the_closing_side(
    side: Side, target: int | None, bid: int | None, ask: int | None, price: int | None
) -> None:
    """Exactly reached is reached; by the bid for a long, by the ask for a short."""
    position = a_position(side=side, exits=plan(target=target))
    tick = packet(bid=bid, ask=ask)
    found = TakeProfit()(position, view(a_quote(), tick=tick))
    expected = Exit(rule="take_profit", level_paise=target, price_paise=price)
    assert found == (None if price is None else expected)


@pytest.mark.parametrize(("side", "best"), [(Side.BUY, 10_100), (Side.SELL, 9_900)])
def test_the_best_of_a_batch_counts_on_a_fresh_quote_only(side: Side, best: int) -> None:
    """The highest bid or the lowest ask of all its packets; none in a sweep or on a stale feed."""
    position = a_position(side=side)
    batch = msgspec.structs.replace(packet(), count=3, bid_high_paise=10_100, ask_low_paise=9_900)
    assert best_closing(position, view(a_quote(), tick=batch)) == best
    single = packet(bid=9_900, ask=9_905)
    alone = 9_900 if side is Side.BUY else 9_905
    assert best_closing(position, view(a_quote(), tick=single)) == alone
    assert best_closing(position, view(a_quote(), tick=batch, fault="feed lags")) is None
    assert best_closing(position, view(a_quote())) is None


def test_the_built_rules_carry_what_a_person_set() -> None:
    """Seconds become nanoseconds; the limit is the account's."""
    changed = settings(
        exits=ExitSettings(stale_with_stop_s=90, stale_without_stop_s=7),
        limits=LimitSettings(loss_per_day_paise_max=12_345),
    )
    built = build_rules(changed)
    assert DailyLoss(loss_paise_max=12_345) in built
    assert StalePrice(with_stop_ns=90 * SECOND_NS, without_stop_ns=7 * SECOND_NS) in built


def test_the_first_rule_that_fires_wins() -> None:
    """Those after it are not asked, those before it were; nothing firing is no exit."""
    position = a_position(exits=plan(close_out=NOW))
    built = build_rules(settings())
    panic = view(a_quote(), halt=HaltLevel.PANIC, loss_confirmed=True)
    found, failures = first_exit(built, position, panic)
    assert found is not None
    assert (found.rule, failures) == ("kill_switch", ())
    found, _ = first_exit(built, position, view(a_quote(), loss_confirmed=True))
    assert found is not None
    assert found.rule == "close_out"
    assert first_exit(built, a_position(), view(a_quote())) == (None, ())


def test_a_rule_that_fires_before_a_broken_one_is_the_exit() -> None:
    """And a broken one before it is told beside it."""
    position = a_position(exits=plan(close_out=NOW))
    found, failures = first_exit((CloseOut(), BrokenAlways()), position, view(a_quote()))
    assert found is not None
    assert (found.rule, failures) == ("close_out", ())
    found, failures = first_exit((Broken(), CloseOut()), position, view(a_quote()))
    assert found is not None
    assert (found.rule, [failure.rule for failure in failures]) == ("close_out", ["broken"])
