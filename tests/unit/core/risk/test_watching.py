"""Looking at positions: on their packets, by the clock, and the short way through a packet."""

from collections.abc import Callable
from typing import ClassVar

import pytest
from msgspec.structs import replace

from holdfast.core.books.positions import Position
from holdfast.core.orders.order import Fill
from holdfast.core.risk import watching
from holdfast.core.risk.exits import MarketView
from holdfast.core.risk.levels import compile_levels
from holdfast.core.settings import LimitSettings
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.audit import (
    ExitDecided,
    Halted,
    LevelMoved,
    PositionClosed,
    QuotesStale,
    RuleFailed,
)
from holdfast.domain.command import CancelOrder, ModifyOrder, PlaceOrder, ReadQuotes
from holdfast.domain.decision import Exit, HaltLevel, Trail
from holdfast.domain.event import Action, OperatorRequest, Outcome, QuotesRead, TimerFired
from holdfast.domain.market import Tick
from holdfast.domain.order import BrokerStatus, OrderType, Refusal, Side
from tests.support.by_hand import a_position, packet, plan, ready_state
from tests.support.desk import CALL, OPEN, PUT, SECOND, Desk

SIDES = pytest.mark.parametrize("side", Side)


class Spy:
    """A rule that only notes that it was asked."""

    name: ClassVar[str] = "spy"
    always: ClassVar[bool] = False

    def __init__(self, note: Callable[[int], None]) -> None:
        self._note = note

    def __call__(self, position: Position, market: MarketView, /) -> Exit | None:
        assert market.net_today_paise == 0, "a figure of a confirmed loss only"
        self._note(position.number)
        return None


class Stumbling:
    """A rule with a bug in what it does about a touched stop."""

    name: ClassVar[str] = "stumbling"
    always: ClassVar[bool] = False

    def __call__(self, position: Position, market: MarketView, /) -> Exit | None:
        if market.touched_paise is not None:
            raise ZeroDivisionError(position.number)
        return None


def replace_rules(desk: Desk, note: Callable[[int], None]) -> Spy:
    """Let the engine ask a spy alone."""
    spy = Spy(note)
    desk.engine._rules = (spy,)  # noqa: SLF001
    return spy


LOOSE = Trail(arm_paise=20_000, giveback_bps=300)


def rules_told(desk: Desk) -> list[str]:
    """The rules that decided to close, in order."""
    return [told.exit.rule for told in desk.told(ExitDecided)]


def a_desk(side: Side = Side.BUY, *, trail: Trail | None = None) -> Desk:
    """A position at 100 rupees, its stop at the broker, a minute into the day."""
    desk = Desk()
    desk.at(60).spot()
    desk.hold_by_hand(side, trail=trail)
    desk.at(61).tick()
    desk.forget()
    return desk


# -- the short way


@pytest.mark.parametrize(
    ("side", "last", "bid", "ask", "quiet"),
    [
        # a long with its stop at 88, its peak at 101 and its target at 125
        (Side.BUY, 10_000, 10_100, 10_105, True),
        (Side.BUY, 10_000, 10_105, 10_110, False),
        (Side.BUY, 8_805, 8_805, 8_810, True),
        (Side.BUY, 8_800, 8_805, 8_810, False),
        (Side.BUY, 8_805, 8_800, 8_810, False),
        (Side.BUY, 8_805, None, 8_810, False),
        (Side.BUY, 8_805, 8_805, None, True),
        # a short with its stop at 112, its best at 99 and its target at 75
        (Side.SELL, 10_000, 9_895, 9_900, True),
        (Side.SELL, 10_000, 9_890, 9_895, False),
        (Side.SELL, 11_195, 11_190, 11_195, True),
        (Side.SELL, 11_200, 11_190, 11_195, False),
        (Side.SELL, 11_195, 11_190, 11_200, False),
        (Side.SELL, 11_195, 11_190, None, False),
        (Side.SELL, 11_195, None, 11_195, True),
    ],
)
def test_a_packet_between_the_levels_is_quiet(
    side: Side, last: int, bid: int | None, ask: int | None, *, quiet: bool
) -> None:
    """Neither the trade nor the closing side reaches a level, and the peak does not move."""
    state = ready_state()
    exits = plan(8_800, 12_500) if side is Side.BUY else plan(11_200, 7_500)
    position = a_position(side=side, exits=exits)
    position.peak_paise = 10_100 if side is Side.BUY else 9_900
    compile_levels(position)
    tick = packet(last=last, bid=bid, ask=ask)
    quote = state.quotes[CALL.id]
    quote.take(tick)
    assert watching.is_quiet(position, quote, tick) is quiet
    merged = replace(tick, count=2)
    assert not watching.is_quiet(position, quote, merged), "its extremes are not on it"
    position.exit = Exit(rule="test")
    assert not watching.is_quiet(position, quote, tick), "an exit is worked with every packet"


def test_a_quiet_packet_counts_as_looking() -> None:
    """The watermark moves, the rules are not asked; after a stale stretch they are."""
    desk = a_desk()
    position = desk.engine._state.positions[1]  # noqa: SLF001
    looked: list[int] = []
    rule = replace_rules(desk, looked.append)
    desk.at(61.5).tick(last=100.0, bid=99.95, ask=100.05)
    assert (position.evaluated_at_ns, looked) == (desk.now, [])
    position.stale_since_ns = desk.now
    desk.tick(last=100.0, bid=99.95, ask=100.05)
    assert len(looked) == 1
    assert rule.name == "spy"


# -- by the clock


@pytest.mark.proves("RSK-4")
def test_the_sweep_comes_every_second_while_something_is_held() -> None:
    """It begins a second after the first fill and ends with the last position."""
    desk = a_desk()
    looked: list[int] = []
    replace_rules(desk, looked.append)
    key = TimerKey(Rank.SWEEP)
    timers = desk.engine._state.timers  # noqa: SLF001
    desk.at(71.5)
    assert looked == [1] * 11, "at 62, 63 ... 71, and at the end of the entry's life"
    assert timers._at[key] == OPEN + 72 * SECOND  # noqa: SLF001
    desk.ask_operator(OperatorRequest.CLOSE, position=1)
    change = desk.last(ModifyOrder)
    desk.row(change.order_id, BrokerStatus.FILLED, terms=change.terms, filled=195, price=99.0)
    assert len(desk.told(PositionClosed)) == 1
    desk.at(90)
    assert key not in timers._at  # noqa: SLF001


def test_the_sweep_looks_at_held_positions_only() -> None:
    """An entry on its way has nothing to close; its orders are tended by their own watches."""
    desk = a_desk()
    desk.intend(Side.BUY, instrument=PUT)
    looked: list[int] = []
    replace_rules(desk, looked.append)
    desk.at(62.5)
    assert looked == [1]


def test_the_sweep_keeps_watch_without_packets() -> None:
    """A stale price is told, asked for outside the feed, and taken as the mark when it comes."""
    desk = a_desk()
    position = desk.engine._state.positions[1]  # noqa: SLF001
    desk.at(70)
    assert any(told.instrument == CALL.id for told in desk.told(QuotesStale))
    assert [read.instruments for read in desk.all(ReadQuotes)][-1] == (CALL.id,)
    assert position.evaluated_at_ns == OPEN + 70 * SECOND
    read = packet(last=9_700, bid=9_690, ask=9_710, at=desk.now, venue=desk.now, volume=9_999)
    desk.spot()
    desk.tell(QuotesRead(at_ns=desk.now, quotes=(read,)))
    desk.at(71)
    assert position.mark_paise == 9_690


def test_the_sweep_counts_the_time_without_protection() -> None:
    """No stop at the broker, then no price either: unprotected, and entries stop (T9)."""
    desk = Desk()
    desk.at(60).spot()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    desk.fill(entry, price=100.0)
    desk.fail(desk.last(PlaceOrder).order_id, Action.PLACE, Outcome.REFUSED, Refusal.FUNDS)
    position = desk.engine._state.positions[1]  # noqa: SLF001
    desk.at(60.5).tick()
    assert position.unprotected_since_ns is None
    desk.at(63.5)
    assert position.unprotected_since_ns == OPEN + 63 * SECOND


def test_a_realised_loss_closes_the_rest_without_a_packet() -> None:
    """The sweep believes what was realised; one packet's marks it does not (T17)."""
    desk = Desk(limits=LimitSettings(loss_per_day_paise_max=150_000))
    desk.at(60).spot()
    first = desk.hold_by_hand(Side.BUY)
    desk.hold_by_hand(Side.BUY, instrument=PUT)
    desk.at(61).tick(last=91.0, bid=91.0, ask=91.1)
    desk.at(61.9)
    assert rules_told(desk) == [], "a second of sweeps is no second packet"
    desk.at(62).tick(last=95.0, bid=95.0)
    terms = replace(first.terms, order_type=OrderType.LIMIT, trigger_paise=None)
    desk.row(first.order_id, BrokerStatus.FILLED, terms=terms, filled=195, price=91.0)
    assert desk.told(Halted) == []
    desk.at(63)
    assert [told.level for told in desk.told(Halted)] == [HaltLevel.PAUSE]
    assert rules_told(desk) == ["stop_loss", "daily_loss"]


# -- spikes and waits


@pytest.mark.parametrize(("side", "spike"), [(Side.BUY, 70.0), (Side.SELL, 130.0)])
def test_a_spike_that_nothing_contradicts_closes_after_half_a_second(
    side: Side, spike: float
) -> None:
    """By the clock alone; the closing side has gone with it."""
    desk = a_desk(side)
    desk.at(70).tick()
    desk.at(70.1).tick(last=spike)
    desk.at(70.599)
    assert rules_told(desk) == []
    desk.at(70.6)
    assert rules_told(desk) == ["stop_loss"]


@pytest.mark.parametrize(("side", "spike"), [(Side.BUY, 70.0), (Side.SELL, 130.0)])
def test_a_position_closed_by_hand_within_a_spike_is_not_looked_at_for_ever(
    side: Side, spike: float
) -> None:
    """The wait for the spike's confirmation ends with the decision; the instant passes."""
    desk = a_desk(side)
    desk.at(70).tick()
    desk.at(70.1).tick(last=spike)
    desk.ask_operator(OperatorRequest.CLOSE, position=1)
    desk.events.clear()
    desk.at(71)
    assert len([e for e in desk.events if isinstance(e, TimerFired)]) < 10
    assert rules_told(desk) == ["operator"]


@pytest.mark.proves("T18")
@pytest.mark.parametrize(
    ("side", "bid", "ask"), [(Side.BUY, 88.0, 88.05), (Side.SELL, 111.95, 112.0)]
)
def test_a_closing_side_that_stands_beyond_the_stop_closes_after_a_second(
    side: Side, bid: float, ask: float
) -> None:
    """Two packets without a trade, then the clock (T18)."""
    desk = a_desk(side)
    desk.at(69.9).tick(last=100.0, bid=99.0, ask=101.0)
    desk.at(70.25).tick(last=100.0, bid=bid, ask=ask, traded=False)
    desk.at(70.5).tick(last=100.0, bid=bid, ask=ask, traded=False)
    desk.at(71.249)
    assert rules_told(desk) == []
    desk.at(71.25)
    assert rules_told(desk) == ["stop_loss"]


# -- peaks


@pytest.mark.parametrize(
    ("side", "best", "level"), [(Side.BUY, 110.0, 10_670), (Side.SELL, 90.0, 9_270)]
)
def test_a_new_level_is_tested_against_the_last_trade_of_its_own_packet(
    side: Side, best: float, level: int
) -> None:
    """The closing side moved the stop past what has just traded: out in the same step (4.4)."""
    sign = side.sign
    trail = Trail(arm_paise=10_000 + sign * 200, giveback_bps=300)
    for traded, expected in ((True, ["trailing_stop"]), (False, [])):
        desk = a_desk(side, trail=trail)
        bid, ask = (best, best + 0.1) if sign > 0 else (best - 0.1, best)
        age_s = 0.0 if traded else 0.5
        desk.at(61.5).tick(last=100.0, bid=bid, ask=ask, traded=traded, venue_age_s=age_s)
        [moved] = desk.told(LevelMoved)
        assert (moved.peak_paise, moved.stop_paise) == (round(best * 100), level)
        assert rules_told(desk) == expected
        if expected:
            assert desk.told(ExitDecided)[0].exit.price_paise == 10_000


def test_a_rule_that_fails_on_the_new_level_is_told_too() -> None:
    """Asked twice about one packet, it failed the second time."""
    desk = a_desk(trail=Trail(arm_paise=10_200, giveback_bps=300))
    desk.engine._rules = (Stumbling(),)  # noqa: SLF001
    desk.at(70).tick(last=100.0, bid=110.0, ask=110.1)
    assert [told.name for told in desk.told(RuleFailed)] == ["stumbling"]
    assert desk.engine._state.rules_failed  # noqa: SLF001
    assert [told.reason for told in desk.told(Halted)] == [
        "rule stumbling failed: ZeroDivisionError: 1"
    ]


def test_a_peak_without_a_new_level_is_not_told() -> None:
    """The trail is not armed: the peak is noted and nobody hears of it."""
    desk = a_desk(trail=LOOSE)
    desk.at(70).tick(last=105.0, bid=105.0)
    assert desk.told(LevelMoved) == []
    assert desk.engine._state.positions[1].peak_paise == 10_500  # noqa: SLF001


def test_a_level_moved_by_an_old_packet_counts_nothing() -> None:
    """The peak is a price at which we could have sold: a late feed moves none."""
    desk = a_desk(trail=Trail(arm_paise=10_200, giveback_bps=300))
    desk.at(70).tick(last=110.0, bid=110.0, venue_age_s=9)
    assert desk.told(LevelMoved) == []


# -- the account


def test_a_believed_loss_closes_everything_and_takes_back_entries_in_the_same_step() -> None:
    """Positions of other contracts too, and what has not filled yet."""
    desk = Desk(limits=LimitSettings(loss_per_day_paise_max=150_000))
    desk.at(60).spot()
    desk.hold_by_hand(Side.BUY)
    desk.hold_by_hand(Side.BUY, instrument=PUT)
    desk.at(62).spot()
    desk.tick(PUT)
    entry = desk.intend(Side.BUY, instrument=PUT)
    desk.acknowledge(entry.order_id)
    for at in (62.1, 62.7):
        desk.at(at).tick(last=91.0, bid=91.0, ask=91.1)
    assert [told.level for told in desk.told(Halted)] == [HaltLevel.PAUSE]
    assert rules_told(desk) == ["daily_loss", "daily_loss"]
    [net_paise, other] = [told.exit.values["net_today_paise"] for told in desk.told(ExitDecided)]
    assert isinstance(net_paise, int)
    assert net_paise <= -150_000
    assert other == net_paise
    assert [cancel.order_id for cancel in desk.all(CancelOrder)] == [entry.order_id]


@pytest.mark.proves("T17")
@pytest.mark.parametrize(
    ("bid", "ask", "age_s"), [(0.0, 91.1, 0.0), (91.0, 0.0, 0.0), (91.0, 91.1, 9.0)]
)
def test_a_one_sided_book_or_a_late_feed_marks_nothing(
    bid: float, ask: float, age_s: float
) -> None:
    """No loss is seen in a quote that is no market (T17)."""
    desk = Desk(limits=LimitSettings(loss_per_day_paise_max=100_000))
    desk.at(60).spot()
    desk.hold_by_hand(Side.BUY)
    desk.at(61).tick()
    for tenth in range(670, 690, 5):
        desk.at(tenth / 10).tick(last=94.0, bid=bid, ask=ask, venue_age_s=age_s)
    assert desk.engine._state.positions[1].mark_paise == 9_995  # noqa: SLF001
    assert rules_told(desk) == []


def test_a_short_is_marked_at_the_ask() -> None:
    """Where it could be bought back."""
    desk = a_desk(Side.SELL)
    assert desk.engine._state.positions[1].mark_paise == 10_005  # noqa: SLF001


@pytest.mark.proves("T17")
def test_an_excess_of_a_long_is_marked_where_it_could_be_bought_back() -> None:
    """What is held is short by now: at the ask, whatever the position was."""
    desk = a_desk(Side.BUY)
    position = desk.state.positions[1]
    position.take_exit(Fill(260, 2_600_000), desk.now)
    desk.at(63).tick(last=100.0)
    assert (position.is_excess, position.mark_paise) == (True, 10_005)


def test_merged_packets_touch_with_their_extremes() -> None:
    """A stop that was crossed within the batch fires, although its last trade is back above."""
    desk = a_desk()
    batch = Tick(
        at_ns=OPEN + 70 * SECOND,
        instrument=CALL.id,
        last_paise=9_500,
        venue_at_ns=OPEN + 70 * SECOND,
        volume=100_000,
        bids=((9_495, 650),),
        asks=((9_505, 650),),
        count=5,
        last_low_paise=8_790,
        last_high_paise=9_600,
        bid_low_paise=8_785,
        bid_high_paise=9_595,
        ask_low_paise=8_795,
        ask_high_paise=9_605,
    )
    desk.at(69.5).tick(last=93.0)
    desk.now = OPEN + 70 * SECOND
    desk.tell(batch)
    assert [told.exit.price_paise for told in desk.told(ExitDecided)] == [8_790]
