"""Sizing: what is lost at the stop's limit fits the budget, and no lot is forced."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.entries.sizing import charges_both_ways_paise, size
from holdfast.core.settings import SizingSettings
from holdfast.domain.decision import Sizing
from holdfast.domain.order import Side
from tests.support.desk import CALL, RATES

MANY = 10_000_000_00


def sized(  # noqa: PLR0913 one bound each
    *,
    entry: int,
    stop: int,
    cash: int = MANY,
    capital: int = 500_000_00,
    risk_bps: int = 100,
    lots_max: int = 1_000,
    freeze: int = 1_801,
) -> Sizing:
    """Sizing of a NIFTY call (lot 65) from paise."""  # fmt: skip
    settings = SizingSettings(capital_paise=capital, risk_bps=risk_bps, lots_max=lots_max)
    instrument = msgspec.structs.replace(CALL, freeze_quantity=freeze)
    return size(settings, instrument, RATES, entry_limit_paise=entry, stop_limit_paise=stop,
                cash_paise=cash)  # fmt: skip


ROWS = [
    # 5,000 rupees of risk; 20 rupees x 65 = 1,300 a lot; 3 lots and charges fit, 4 do not
    ("risk", {"entry": 10_000, "stop": 8_000}, 3),
    # 1,00,000 of cash; 65 x 150 = 9,750 a lot
    ("cash", {"entry": 15_000, "stop": 14_990, "cash": 100_000_00}, 10),
    ("lots_max", {"entry": 10_000, "stop": 9_900, "lots_max": 2}, 2),
    # strictly below 1,801: 27 lots are 1,755
    ("freeze", {"entry": 10_000, "stop": 9_990, "capital": MANY}, 27),
    ("freeze", {"entry": 10_000, "stop": 9_990, "capital": MANY, "freeze": 131}, 2),
    ("freeze", {"entry": 10_000, "stop": 9_990, "capital": MANY, "freeze": 130}, 1),
    # a lot would lose 1,300 of 1,000 rupees: no trade, not one lot anyway
    ("risk", {"entry": 10_000, "stop": 8_000, "capital": 100_000_00}, 0),
    ("cash", {"entry": 10_000, "stop": 9_000, "cash": 6_499_00}, 0),
]


@pytest.mark.proves("CAP-1", "I-76")
@pytest.mark.parametrize(("bound", "arguments", "lots"), ROWS)
def test_the_tightest_bound_decides(bound: str, arguments: dict[str, int], lots: int) -> None:
    """Each bound in turn; the answer names it, and zero lots are an answer, not an exception."""
    answer = sized(**arguments)
    assert (answer.lots, answer.bound) == (lots, bound)


@pytest.mark.proves("CAP-1")
@given(
    entry=st.integers(500, 100_000),
    distance_bps=st.integers(10, 9_000),
    cash=st.integers(0, 10_000_000_00),
    capital=st.integers(1_000_00, 50_000_000_00),
    risk_bps=st.integers(1, 2_000),
)
def test_the_loss_at_the_stops_limit_fits_the_budget_and_one_lot_more_would_not(
    entry: int, distance_bps: int, cash: int, capital: int, risk_bps: int
) -> None:
    """For any prices: budget, cash, freeze and cap hold, and the answer is the largest such."""
    stop = max(entry - max(entry * distance_bps // 10_000, 1), 1)
    answer = sized(entry=entry, stop=stop, cash=cash, capital=capital, risk_bps=risk_bps)
    budget = capital * risk_bps // 10_000

    def fits(lots: int) -> bool:
        quantity = lots * 65
        charges = 0 if lots == 0 else charges_both_ways_paise(
            RATES, Side.BUY, quantity, entry_paise=entry, exit_paise=stop)  # fmt: skip
        loss = quantity * (entry - stop) + charges
        return loss <= budget and quantity * entry + charges <= cash and quantity <= 1_800

    assert answer.lots == 0 or fits(answer.lots)
    assert answer.lots == 1_000 or not fits(answer.lots + 1)
    assert answer.loss_at_stop_paise <= budget or answer.lots == 0


def test_a_stop_above_its_entry_is_a_bug() -> None:
    """Nothing is sized without a loss to size by."""
    with pytest.raises(AssertionError):
        sized(entry=10_000, stop=10_000)
