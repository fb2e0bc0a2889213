"""Each exit rule by itself, at its boundaries, for long and short."""

from typing import Any

import msgspec
import pytest

from holdfast.core.books.positions import Holding, Position
from holdfast.core.market.quotes import Connection, Quote
from holdfast.core.risk.exits import (
    CloseOut,
    DailyLoss,
    KillSwitch,
    MarketView,
    StalePrice,
    StopLoss,
    Structure,
    TakeProfit,
    TrailingStop,
    Unprotected,
)
from holdfast.domain.decision import (
    Direction,
    Exit,
    ExitPlan,
    HaltLevel,
    Intent,
    Signal,
    Sizing,
    Trail,
)
from holdfast.domain.instrument import Product
from holdfast.domain.market import Tick
from holdfast.domain.order import OrderId, Side
from tests.support.desk import CALL, NIFTY

NOW = 1_000_000_000_000
SECOND = 1_000_000_000


def position(side: Side = Side.BUY, *, stop: int = 8_800, target: int | None = 12_500) -> Position:
    """65 contracts at 100 rupees with a plan."""
    signal = Signal(id="s", strategy="s", underlying=NIFTY.id, direction=Direction.UP,
                    candle_start_ns=1, reason="", values={})  # fmt: skip
    sizing = Sizing(lots=1, lot_size=65, budget_paise=1, entry_limit_paise=10_000,
                    stop_limit_paise=8_000, charges_paise=0, loss_at_stop_paise=1, cash_paise=1,
                    bound="risk")  # fmt: skip
    plan = ExitPlan(stop_paise=stop, target_paise=target, close_out_ns=NOW,
                    trail=Trail(arm_paise=11_000, giveback_bps=600))  # fmt: skip
    intent = Intent(position=1, signal=signal, instrument=CALL.id, product=Product.INTRADAY,
                    side=side, quantity=65, limit_paise=10_000, plan=plan, sizing=sizing,
                    passed=())  # fmt: skip
    made = Position(intent, CALL, OrderId("e"))
    made.holding = Holding(side.sign * 65, side.sign * 650_000)
    return made


def view(*, bid: int = 10_000, ask: int = 10_010, **changes: Any) -> MarketView:
    """A market in which nothing fires, with changes."""
    quote = Quote(CALL, Connection())
    tick = Tick(at_ns=NOW, instrument=CALL.id, last_paise=bid, venue_at_ns=NOW, volume=1,
                bids=((bid, 65),), asks=((ask, 65),))  # fmt: skip
    quote.take(tick)
    calm = MarketView(now_ns=NOW - 1, quote=quote, tick=tick, fault=None, touched_paise=None,
                      read_is_fresh=False, halt=HaltLevel.NONE, loss_confirmed=False,
                      net_today_paise=0)  # fmt: skip
    return msgspec.structs.replace(calm, **changes)


@pytest.mark.parametrize(
    ("halt", "fires"),
    [(HaltLevel.NONE, False), (HaltLevel.PAUSE, False), (HaltLevel.FLATTEN, True),
     (HaltLevel.PANIC, True)],
)  # fmt: skip
def test_kill_switch(halt: HaltLevel, *, fires: bool) -> None:
    """A pause keeps positions; flatten and panic do not."""
    exit_ = KillSwitch()(position(), view(halt=halt))
    assert (exit_ is not None) is fires
    if exit_ is not None:
        assert (exit_.rule, exit_.values) == ("kill_switch", {"halt": halt.value, "held": 65})


@pytest.mark.parametrize(("now", "fires"), [(NOW - 1, False), (NOW, True), (NOW + 1, True)])
def test_close_out(now: int, *, fires: bool) -> None:
    """From its instant on, not before."""
    exit_ = CloseOut()(position(), view(now_ns=now))
    assert exit_ == (Exit(rule="close_out", price_paise=10_000) if fires else None)


def test_the_close_out_leaves_what_may_stay() -> None:
    """By configuration only (T24); the kill switch asks for nobody's leave."""
    assert CloseOut()(position(), view(now_ns=NOW, may_stay=True)) is None
    assert KillSwitch()(position(), view(halt=HaltLevel.FLATTEN, may_stay=True)) is not None


@pytest.mark.proves("T9")
@pytest.mark.parametrize(("after", "fires"), [(4_999, False), (5_000, True), (60_000, True)])
def test_unprotected(after: int, *, fires: bool) -> None:
    """From its bound on, in milliseconds, with the figure."""
    rule = Unprotected(after_ns=5 * SECOND)
    exit_ = rule(position(), view(unprotected_ns=after * 1_000_000))
    wanted = Exit(rule="unprotected", price_paise=10_000, values={"unprotected_ms": after})
    assert exit_ == (wanted if fires else None)


def test_structure() -> None:
    """A long leg goes when every short leg that it covered has gone."""
    assert Structure()(position(), view()) is None
    assert Structure()(position(), view(is_bereft=True)) == Exit(
        rule="structure", values={"structure": 0}
    )


def test_daily_loss() -> None:
    """Only what was confirmed; the figures say why."""
    rule = DailyLoss(loss_paise_max=500)
    assert rule(position(), view(net_today_paise=-9_999)) is None
    assert rule(position(), view(loss_confirmed=True, net_today_paise=-501)) == Exit(
        rule="daily_loss", price_paise=10_000, values={"net_today_paise": -501, "limit_paise": 500}
    )


@pytest.mark.proves("T17")
def test_the_mark_that_decided_is_part_of_the_record() -> None:
    """Each position's own, as the loss was judged by it."""
    marked = position()
    marked.mark_paise = 9_990
    exit_ = DailyLoss(loss_paise_max=500)(marked, view(loss_confirmed=True, net_today_paise=-501))
    assert exit_ is not None
    assert exit_.values["mark_paise"] == 9_990


STALE = [
    # stale for, verified stop, fresh read, fault, fires
    (60, True, True, "connection quiet", True),
    (59, True, True, "connection quiet", False),
    (5, False, True, "connection quiet", True),
    (4, False, True, "connection quiet", False),
    (60, True, False, "connection quiet", False),  # no price from either source
    (60, True, True, None, False),  # fresh again
]


@pytest.mark.parametrize(("seconds", "verified", "read", "fault", "fires"), STALE)
def test_stale_price(
    seconds: int,
    verified: bool,  # noqa: FBT001 rows
    read: bool,  # noqa: FBT001
    fault: str | None,
    fires: bool,  # noqa: FBT001 rows
) -> None:
    """A minute with a stop at the broker, five seconds without, and only on a price (T16)."""
    rule = StalePrice(with_stop_ns=60 * SECOND, without_stop_ns=5 * SECOND)
    held = position()
    held.verified = verified
    held.stale_since_ns = NOW - seconds * SECOND
    exit_ = rule(held, view(now_ns=NOW, fault=fault, read_is_fresh=read))
    assert (exit_ is not None) is fires
    if exit_ is not None:
        assert exit_.values == {"stale_ms": seconds * 1_000, "fault": fault or ""}
        assert exit_.price_paise == 10_000
    held.stale_since_ns = None
    assert rule(held, view(now_ns=NOW, fault=fault, read_is_fresh=read)) is None


@pytest.mark.proves("RSK-3", "I-24")
@pytest.mark.parametrize("side", list(Side))
def test_a_touched_level_is_the_stop_while_it_is_the_planned_one(side: Side) -> None:
    """The planned level is the stop loss; one that the peak has moved is the trailing stop."""
    stop = 8_800 if side is Side.BUY else 11_200
    moved = 9_500 if side is Side.BUY else 10_500
    held = position(side, stop=stop, target=None)
    assert StopLoss()(held, view()) is None
    assert TrailingStop()(held, view()) is None
    touched = view(touched_paise=stop)
    assert StopLoss()(held, touched) == Exit(rule="stop_loss", level_paise=stop, price_paise=stop)
    assert TrailingStop()(held, touched) is None
    held.stop_paise, held.peak_paise = moved, 11_500
    touched = view(touched_paise=moved)
    assert StopLoss()(held, touched) is None
    assert TrailingStop()(held, touched) == Exit(
        rule="trailing_stop", level_paise=moved, price_paise=moved, values={"peak_paise": 11_500}
    )
    assert TrailingStop()(held, view()) is None


TARGETS = [
    # side, target, bid, ask, fires
    (Side.BUY, 12_500, 12_500, 12_510, True),
    (Side.BUY, 12_500, 12_495, 12_600, False),
    (Side.SELL, 7_500, 7_400, 7_500, True),
    (Side.SELL, 7_500, 7_400, 7_505, False),
]


@pytest.mark.proves("I-24")
@pytest.mark.parametrize(("side", "target", "bid", "ask", "fires"), TARGETS)
def test_take_profit(side: Side, target: int, bid: int, ask: int, *, fires: bool) -> None:
    """Reached by the closing side: the bid for a long, the ask for a short; at the level counts."""
    held = position(side, stop=8_800 if side is Side.BUY else 11_200, target=target)
    exit_ = TakeProfit()(held, view(bid=bid, ask=ask))
    price = bid if side is Side.BUY else ask
    expected = Exit(rule="take_profit", level_paise=target, price_paise=price)
    assert exit_ == (expected if fires else None)


def test_take_profit_needs_a_fresh_packet_and_a_target() -> None:
    """A stale price, a sweep without a packet, a missing bid or no target sell nothing."""
    held = position()
    reached = view(bid=13_000, ask=13_010)
    assert TakeProfit()(held, reached) is not None
    assert TakeProfit()(held, msgspec.structs.replace(reached, fault="feed lags")) is None
    assert TakeProfit()(held, msgspec.structs.replace(reached, tick=None)) is None
    assert reached.tick is not None
    one_sided = msgspec.structs.replace(reached.tick, bids=())
    assert TakeProfit()(held, msgspec.structs.replace(reached, tick=one_sided)) is None
    assert TakeProfit()(position(target=None), reached) is None


def test_take_profit_believes_the_best_of_a_merged_packet() -> None:
    """A bid that was there inside the lag was a price at which we could have sold."""
    calm = view(bid=10_000, ask=10_010)
    assert calm.tick is not None
    merged = msgspec.structs.replace(
        calm.tick, count=3, bid_high_paise=12_500, bid_low_paise=9_000, ask_low_paise=7_500,
        ask_high_paise=12_510,
    )  # fmt: skip
    lagged = msgspec.structs.replace(calm, tick=merged)
    assert TakeProfit()(position(), lagged) is not None
    short = position(Side.SELL, stop=11_200, target=7_500)
    assert TakeProfit()(short, lagged) is not None
