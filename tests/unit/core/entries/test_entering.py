"""From signal to entry order: one path, one outcome, and the intent before the order."""

import msgspec
import pytest

from holdfast.core.entries import entering
from holdfast.core.settings import SizingSettings
from holdfast.domain.audit import Denied, IntentFormed, SignalSeen
from holdfast.domain.command import PlaceOrder
from holdfast.domain.decision import Direction
from holdfast.domain.instrument import Product
from holdfast.domain.order import OrderType, Purpose, Side
from tests.support.desk import CALL, NIFTY, PUT, SECOND, Desk


@pytest.mark.proves("ENT-2")
def test_an_intent_holds_the_whole_reason_and_its_order_follows() -> None:
    """Signal, gates passed, sizing, plan; then one limit order of that size under its id."""
    desk = Desk()
    entry = desk.enter()
    [intent] = [audit.intent for audit in desk.told(IntentFormed)]
    assert (intent.position, intent.instrument, intent.product) == (1, CALL.id, Product.INTRADAY)
    assert (intent.side, intent.quantity) == (Side.BUY, intent.sizing.lots * 65)
    assert intent.sizing.loss_at_stop_paise <= intent.sizing.budget_paise
    assert entry.order_id == "SSIM001261120-E0001-1-0"
    assert (entry.purpose, entry.position, entry.fills_seen) == (Purpose.ENTRY, 1, 0)
    terms = entry.terms
    assert (terms.order_type, terms.trigger_paise) == (OrderType.LIMIT, None)
    assert (terms.quantity, terms.limit_paise) == (intent.quantity, intent.limit_paise)
    audits = [type(audit).__name__ for audit in desk.audits[-2:]]
    assert audits == ["SignalSeen", "IntentFormed"]


def test_positions_are_numbered_by_the_day_not_by_what_is_open() -> None:
    """A refused one keeps its number: no id is ever used twice."""
    desk = Desk()
    for minute, number in ((1, 1), (3, 2), (5, 3)):
        assert desk.enter(minute=minute).position == number


def test_a_denied_signal_sends_nothing_and_spends_its_candle() -> None:
    """Zero lots: said with the arithmetic; the same candle may not try again."""
    desk = Desk(sizing=SizingSettings(capital_paise=100_000_00))
    desk.signal()
    [denied] = desk.told(Denied)
    assert denied.denial.gate == "sizing"
    assert denied.denial.values["bound"] == "risk"
    assert desk.all(PlaceOrder) == []
    entering.consider(desk.engine._state, denied.signal)  # noqa: SLF001 another caller
    desk.at(61).tick()
    assert [a.denial.gate for a in desk.told(Denied)] == ["sizing", "one_signal"]
    assert len(desk.told(SignalSeen)) == 2


def test_one_lot_is_enough() -> None:
    """The least that can be traded is traded."""
    desk = Desk(sizing=SizingSettings(lots_max=1))
    assert desk.enter().terms.quantity == 65


def test_a_position_is_in_the_books_before_its_order_is_answered() -> None:
    """Empty, numbered, watched and found by its instrument's own row (ENT-3)."""
    desk = Desk()
    entry = desk.enter()
    [position] = desk.state.live
    assert desk.state.positions == {1: position}
    assert (position.number, position.entry, position.is_open) == (1, entry.order_id, False)
    assert position.instrument is desk.state.instruments[entry.terms.instrument]
    assert desk.engine.open_positions == 0


def test_zero_lots_are_said_with_the_whole_arithmetic() -> None:
    """Budget, prices and cash: who reads the denial needs no calculator."""
    desk = Desk(sizing=SizingSettings(capital_paise=100_000_00))
    desk.signal()
    [denied] = desk.told(Denied)
    assert denied.denial.values == {
        "bound": "risk",
        "budget_paise": 1_000_00,
        "entry_limit_paise": 10_055,
        "stop_limit_paise": 7_920,
        "cash_paise": 500_000_00,
    }


def test_an_entry_is_looked_at_when_its_life_and_its_day_end() -> None:
    """Both deadlines are set with the order, ticks or not."""
    desk = Desk()
    entry = desk.enter()
    desk.acknowledge(entry.order_id)
    timers = desk.engine._state.timers  # noqa: SLF001
    due = {key.text: at for key, at in timers._at.items() if key.number == 1}  # noqa: SLF001
    assert due["entry"] == desk.now + 5 * SECOND
    assert due["close_out"] == desk.told(IntentFormed)[0].intent.plan.close_out_ns


def test_more_positions_than_ids_can_name_is_a_bug_not_a_wrong_id() -> None:
    """The number is never cut short."""
    desk = Desk()
    desk.enter()
    signal = desk.told(IntentFormed)[0].intent.signal
    state = desk.engine._state  # noqa: SLF001
    state.day.positions = 9_999
    other = msgspec.structs.replace(signal, direction=Direction.DOWN)
    with pytest.raises(AssertionError, match="more positions"):
        entering.consider(state, other)


def a_frozen_desk(freeze: int, lots_max: int) -> Desk:
    """A desk whose call is frozen at so much, with capital for any number of lots."""
    sizing = SizingSettings(capital_paise=100_00_00_000_00, lots_max=lots_max)
    desk = Desk(ready=False, sizing=sizing)
    call = msgspec.structs.replace(CALL, freeze_quantity=freeze)
    desk.load((NIFTY, call, PUT))
    desk.funds(100_00_00_000)
    return desk


@pytest.mark.proves("T23")
@pytest.mark.parametrize(("lots", "slices"), [(1, 1), (2, 2), (8, 8), (9, None)])
def test_an_entry_is_sliced_into_eight_orders_at_most(lots: int, slices: int | None) -> None:
    """Whole lots below the freeze quantity; one that needs more is denied, not made smaller."""
    desk = a_frozen_desk(130, lots)
    desk.signal()
    placed = desk.all(PlaceOrder)
    if slices is None:
        [denied] = desk.told(Denied)
        assert (denied.denial.gate, placed) == ("slices", [])
        assert denied.denial.values == {
            "quantity": 585, "freeze_quantity": 130, "slices": 9, "max": 8,
        }  # fmt: skip
        return
    assert [order.terms.quantity for order in placed] == [65] * slices
    assert len({order.order_id for order in placed}) == slices
    assert desk.state.positions[1].entries == [order.order_id for order in placed]


@pytest.mark.proves("T23")
@pytest.mark.parametrize(("freeze", "gate"), [(0, "contract"), (64, "slices"), (65, "slices")])
def test_a_contract_of_which_no_lot_is_taken_is_not_entered(freeze: int, gate: str) -> None:
    """The freeze quantity is the first that is refused."""
    desk = a_frozen_desk(freeze, 1)
    desk.signal()
    assert [told.denial.gate for told in desk.told(Denied)] == [gate]
    assert desk.all(PlaceOrder) == []
