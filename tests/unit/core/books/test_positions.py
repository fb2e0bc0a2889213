"""Positions as folds of fills: cost is a total, nothing is lost, sides never mix up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.books.charges import Charges
from holdfast.core.books.positions import Holding, Position, fold_fill
from holdfast.core.orders.order import Fill
from holdfast.domain.instrument import Product
from holdfast.domain.order import Side
from tests.support.by_hand import a_position
from tests.support.desk import CALL

BUY, SELL = Side.BUY, Side.SELL

ROWS = [
    # name, before, side, fill, after, realised
    ("opens long", Holding(0, 0), BUY, Fill(65, 65 * 15_000), Holding(65, 975_000), 0),
    ("adds", Holding(65, 975_000), BUY, Fill(10, 151_000), Holding(75, 1_126_000), 0),
    ("adds to one", Holding(1, 100), BUY, Fill(1, 120), Holding(2, 220), 0),
    # 65 x (180 - 150) rupees = 1,950 rupees
    ("closes", Holding(65, 975_000), SELL, Fill(65, 65 * 18_000), Holding(0, 0), 195_000),
    # releases 1000 * 1 // 3 = 333; the rest keeps 667
    ("part", Holding(3, 1_000), SELL, Fill(1, 400), Holding(2, 667), 67),
    ("opens short", Holding(0, 0), SELL, Fill(65, 975_000), Holding(-65, -975_000), 0),
    # sold at 150, bought back at 120: 65 x 30 rupees
    ("covers", Holding(-65, -975_000), BUY, Fill(65, 780_000), Holding(0, 0), 195_000),
    # 10 long at 100, 15 sold at 110: 10 closed (+100), 5 short at 110
    ("crosses", Holding(10, 1_000), SELL, Fill(15, 1_650), Holding(-5, -550), 100),
    # 10 short at 100, 15 bought at 90: 10 covered (+100), 5 long at 90
    ("crosses back", Holding(-10, -1_000), BUY, Fill(15, 1_350), Holding(5, 450), 100),
]


@pytest.mark.parametrize(("before", "side", "fill", "after", "realised"), [r[1:] for r in ROWS],
                         ids=[r[0] for r in ROWS])  # fmt: skip
def test_one_fill(before: Holding, side: Side, fill: Fill, after: Holding, realised: int) -> None:
    """Each kind of fill changes quantity, cost and profit as the arithmetic beside it says."""
    assert fold_fill(before, side, fill) == (after, realised)


fills = st.builds(
    lambda side, quantity, price: (side, Fill(quantity, quantity * price)),
    st.sampled_from(Side),
    st.integers(1, 500),
    st.integers(5, 500_000),
)


@given(sequence=st.lists(fills, max_size=30))
def test_money_is_conserved(sequence: list[tuple[Side, Fill]]) -> None:
    """Cash paid out less cost still held plus profit is zero after every fill; flat costs nothing."""
    holding, cash, realised = Holding(), 0, 0
    for side, fill in sequence:
        holding, gained = fold_fill(holding, side, fill)
        cash -= side.sign * fill.value_paise
        realised += gained
        assert cash + holding.cost_paise == realised
        if holding.quantity == 0:
            assert holding.cost_paise == 0


@pytest.mark.proves("I-24")
@pytest.mark.parametrize("option", ["CE", "PE"])
def test_a_bought_option_gains_when_its_premium_rises(option: str) -> None:
    """Profit follows the position's side only: a long put is no short."""
    holding, _ = fold_fill(Holding(), BUY, Fill(65, 65 * 10_000))
    _, realised = fold_fill(holding, SELL, Fill(65, 65 * 11_000))
    assert realised == 65_000, option


# -- a position


def test_before_its_first_fill_a_position_holds_nothing() -> None:
    """It has its key, plan and entry; the key names the product."""
    position = a_position(quantity=0)
    assert (position.is_open, position.open_quantity, position.fills) == (False, 0, 0)
    assert (position.key.instrument, position.key.product) == (CALL.id, Product.INTRADAY)
    assert position.id == CALL.id
    assert position.stop_paise == position.plan.stop_paise


def test_a_new_position_has_counted_nothing() -> None:
    """No packet beyond its stop, no attempt, refusal, death or move, and no clock has run."""
    made = a_position(quantity=0)
    begun = vars(Position(made.intent, made.instrument, made.entry))
    counted = {name for name, value in begun.items() if type(value) is int and value == 0}
    assert counted >= {
        *("fills", "entry_quantity", "entry_value_paise", "exit_quantity", "exit_value_paise"),
        *("realised_paise", "close_charges_paise", "share_paise", "floor_paise", "ceiling_paise"),
        *("beyond_packets", "stop_attempts", "exit_attempts", "ladder_step", "refusals", "deaths"),
        *("band_refusals", "band_refused_at_ns"),
        *("exit_at_ns", "reprice_at_ns", "retry_at_ns", "opened_at_ns", "closed_at_ns"),
        *("evaluated_at_ns", "without_stop_ns", "unprotected_ns"),
    }


@pytest.mark.parametrize(("side", "sign"), [(BUY, 1), (SELL, -1)])
def test_a_round_trip_of_either_side(side: Side, sign: int) -> None:
    """Quantities and values are summed by side; profit is the position's side times the move."""
    position = a_position(side=side, quantity=0)
    assert position.take_entry(Fill(65, 650_000), 10) == 0
    assert position.take_entry(Fill(130, 1_313_000), 20) == 0
    assert (position.holding, position.opened_at_ns) == (Holding(sign * 195, sign * 1_963_000), 10)
    assert (position.open_quantity, position.is_open, position.is_excess) == (195, True, False)
    assert position.closing_side is side.opposite
    # 65 of 195 release a third of the cost, rounded down for a long
    released = 1_963_000 * 65 // 195 if sign > 0 else -(-1_963_000 * 65 // 195)
    assert position.take_exit(Fill(65, 700_000), 30) == sign * (700_000 - released)
    assert position.open_profit_paise(11_000) == sign * (130 * 11_000 - (1_963_000 - released))
    position.take_exit(Fill(130, 1_400_000), 40)
    assert (position.holding, position.fills) == (Holding(0, 0), 4)
    assert position.realised_paise == sign * (2_100_000 - 1_963_000)
    assert (position.entry_quantity, position.entry_value_paise) == (195, 1_963_000)
    assert (position.exit_quantity, position.exit_value_paise) == (195, 2_100_000)
    assert (position.opened_at_ns, position.closed_at_ns) == (10, 40)


@pytest.mark.parametrize("side", Side)
def test_what_was_closed_beyond_what_was_held_is_an_excess(side: Side) -> None:
    """It lies on the wrong side, and is closed by the entry's side, which realises its profit."""
    position = a_position(side=side, quantity=65)
    position.take_exit(Fill(130, 1_300_000), 20)
    assert (position.is_excess, position.open_quantity) == (True, 65)
    assert position.closing_side is side
    assert position.take_entry(Fill(65, 585_000), 30) == side.sign * 65_000
    assert (position.is_open, position.is_excess) == (False, False)
    assert (position.entry_quantity, position.exit_quantity) == (130, 130)


@pytest.mark.parametrize("side", Side)
def test_one_contract_too_many_is_an_excess(side: Side) -> None:
    """No quantity is too small to lie on the wrong side."""
    position = a_position(side=side, quantity=65)
    position.take_exit(Fill(66, 660_000), 20)
    assert (position.is_excess, position.open_quantity) == (True, 1)
    assert position.closing_side is side


def test_a_position_that_comes_alive_goes_on_with_what_it_made() -> None:
    """Its end is told anew, for all of it; what is held is held since the fill that opened it."""
    position = a_position(quantity=65)
    opened_ns, paid_paise = position.opened_at_ns, position.entry_value_paise
    position.charges = Charges(brokerage_e4=1)
    position.exit_attempts = 2
    position.take_exit(Fill(65, 700_000), 20)
    made_paise = position.realised_paise
    position.is_closed = True
    position.begin_again()
    assert (position.is_closed, position.realised_paise) == (False, made_paise)
    assert (position.entry_quantity, position.exit_quantity, position.fills) == (65, 65, 2)
    assert (position.charges, position.exit_attempts) == (Charges(brokerage_e4=1), 2)
    position.take_entry(Fill(65, 600_000), 90)
    assert (position.opened_at_ns, position.held_since_ns) == (opened_ns, 90)
    assert position.entry_value_paise == paid_paise + 600_000


def test_only_a_flat_position_that_ended_begins_again() -> None:
    """Anything else would forget what is held."""
    position = a_position(quantity=65)
    with pytest.raises(AssertionError):
        position.begin_again()
    position.is_closed = True
    with pytest.raises(AssertionError):
        position.begin_again()


@pytest.mark.parametrize(
    ("held", "missing", "closable"),
    [
        (195, 0, 195),
        (195, 65, 130),
        (65, 65, 0),
        (1, 65, 0),
        (-195, -65, 130),
        (-65, -65, 0),
        (-65, 65, 65),
        (65, -65, 65),
        (0, 65, 0),
        (0, -65, 0),
    ],
)
def test_what_is_missing_at_the_broker_is_never_closed(
    held: int, missing: int, closable: int
) -> None:
    """Of either sign; what is missing of a long is not missing of an excess that is short."""
    position = a_position(quantity=0)
    position.holding, position.missing = Holding(held, 0), missing
    assert position.closable_quantity == closable


@given(st.lists(st.integers(min_value=1, max_value=65), max_size=8), st.integers(0, 195))
def test_closing_fills_and_what_may_be_closed_sum_to_what_the_broker_held(
    fills: list[int], missing: int
) -> None:
    """However it fills, what is sold and what may still be sold stay what was there to be sold."""
    position = a_position(quantity=195)
    position.missing = missing
    left = 195 - missing
    for quantity in fills:
        filled = min(quantity, left)
        if not filled:
            break
        position.take_exit(Fill(filled, filled * 9_000), 20)
        left -= filled
        assert position.closable_quantity == left
