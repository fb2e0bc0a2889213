"""Positions as folds of fills: cost is a total, nothing is lost, sides never mix up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.books.positions import Holding, fold_fill
from holdfast.core.orders.order import Fill
from holdfast.domain.order import Side

BUY, SELL = Side.BUY, Side.SELL

ROWS = [
    # name, before, side, fill, after, realised
    ("opens long", Holding(0, 0), BUY, Fill(65, 65 * 15_000), Holding(65, 975_000), 0),
    ("adds", Holding(65, 975_000), BUY, Fill(10, 151_000), Holding(75, 1_126_000), 0),
    # 65 x (180 - 150) rupees = 1,950 rupees
    ("closes", Holding(65, 975_000), SELL, Fill(65, 65 * 18_000), Holding(0, 0), 195_000),
    # releases 1000 * 1 // 3 = 333; the rest keeps 667
    ("part", Holding(3, 1_000), SELL, Fill(1, 400), Holding(2, 667), 67),
    ("opens short", Holding(0, 0), SELL, Fill(65, 975_000), Holding(-65, -975_000), 0),
    # sold at 150, bought back at 120: 65 x 30 rupees
    ("covers", Holding(-65, -975_000), BUY, Fill(65, 780_000), Holding(0, 0), 195_000),
    # 10 long at 100, 15 sold at 110: 10 closed (+100), 5 short at 110
    ("crosses", Holding(10, 1_000), SELL, Fill(15, 1_650), Holding(-5, -550), 100),
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
