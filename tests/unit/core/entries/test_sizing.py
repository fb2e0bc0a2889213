"""Sizing: what is lost at the stop's limit fits the budget, and no lot is forced."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.books.charges import closing_charges_paise
from holdfast.core.entries.sizing import charges_both_ways_paise, size
from holdfast.core.settings import SizingSettings
from holdfast.domain.decision import Sizing
from holdfast.domain.order import Side
from tests.support.desk import CALL, RATES

MANY = 10_000_000_00


def sized(**changes: int) -> Sizing:
    """Sizing of a NIFTY call (lot 65) from paise: `entry`, `stop` and what else is set."""
    usual = {"cash": MANY, "capital": 500_000_00, "risk_bps": 100, "lots_max": 1_000}
    given = {**usual, **changes}
    return size(
        SizingSettings(
            capital_paise=given["capital"],
            risk_bps=given["risk_bps"],
            lots_max=given["lots_max"],
        ),
        CALL,
        RATES,
        entry_limit_paise=given["entry"],
        stop_limit_paise=given["stop"],
        cash_paise=given["cash"],
    )


ROWS = [
    # 5,000 rupees of risk; 20 rupees x 65 = 1,300 a lot; 3 lots and charges fit, 4 do not
    ("risk", {"entry": 10_000, "stop": 8_000}, 3),
    # 1,00,000 of cash; 65 x 150 = 9,750 a lot
    ("cash", {"entry": 15_000, "stop": 14_990, "cash": 100_000_00}, 10),
    ("lots_max", {"entry": 10_000, "stop": 9_900, "lots_max": 2}, 2),
    # above the freeze quantity it is sliced, not made smaller (T23)
    ("lots_max", {"entry": 10_000, "stop": 9_990, "capital": MANY, "lots_max": 61}, 61),
    # a lot would lose 1,300 of 1,000 rupees: no trade, not one lot anyway
    ("risk", {"entry": 10_000, "stop": 8_000, "capital": 100_000_00}, 0),
    ("cash", {"entry": 10_000, "stop": 9_000, "cash": 6_499_00}, 0),
    # an account that owes has nothing to buy with
    ("cash", {"entry": 10_000, "stop": 9_000, "cash": 0}, 0),
    ("cash", {"entry": 10_000, "stop": 9_000, "cash": -1}, 0),
    ("cash", {"entry": 10_000, "stop": 9_000, "cash": -100_000_00}, 0),
]


@pytest.mark.proves("CAP-1", "I-76")
@pytest.mark.parametrize(("bound", "arguments", "lots"), ROWS)
def test_the_tightest_bound_decides(bound: str, arguments: dict[str, int], lots: int) -> None:
    """Each bound in turn; the answer names it, and zero lots are an answer, not an exception."""
    answer = sized(**arguments)
    assert (answer.lots, answer.bound) == (lots, bound)
    assert lots or (answer.charges_paise, answer.loss_at_stop_paise) == (0, 0)


def test_charges_are_those_of_buying_dear_and_selling_cheap() -> None:
    """Both orders, each on its own value and side; a short the other way round."""
    bought = charges_both_ways_paise(RATES, Side.BUY, 65, entry_paise=10_000, exit_paise=8_000)
    assert bought == (
        closing_charges_paise(RATES, Side.BUY, 650_000)
        + closing_charges_paise(RATES, Side.SELL, 520_000)
    )
    sold = charges_both_ways_paise(RATES, Side.SELL, 65, entry_paise=8_000, exit_paise=10_000)
    assert sold == bought


def test_the_answer_is_the_whole_arithmetic() -> None:
    """10 % of 5 crore is a budget of 50 lakh; 27 lots of 65 lose 20 rupees each, and charges."""
    answer = sized(entry=10_000, stop=8_000, capital=5_00_00_000_00, risk_bps=1_000, lots_max=27)
    charges = charges_both_ways_paise(RATES, Side.BUY, 1_755, entry_paise=10_000, exit_paise=8_000)
    assert answer == Sizing(
        lots=27,
        lot_size=65,
        budget_paise=50_00_000_00,
        entry_limit_paise=10_000,
        stop_limit_paise=8_000,
        charges_paise=charges,
        loss_at_stop_paise=1_755 * 2_000 + charges,
        cash_paise=MANY,
        bound="lots_max",
    )


@pytest.mark.proves("CAP-1")
@pytest.mark.parametrize("lots", [1, 2, 7])
@pytest.mark.parametrize("bound", ["risk", "cash"])
def test_what_fits_exactly_fits_and_a_paisa_less_does_not(bound: str, lots: int) -> None:
    """With charges: by the whole loss for the budget, by the whole payment for the cash."""
    quantity = lots * 65
    charges = charges_both_ways_paise(
        RATES, Side.BUY, quantity, entry_paise=10_000, exit_paise=8_000
    )
    exact = quantity * (2_000 if bound == "risk" else 10_000) + charges
    for short, expected in ((0, lots), (1, lots - 1)):
        limit = exact - short
        given = {"capital": limit, "risk_bps": 10_000} if bound == "risk" else {"cash": limit}
        answer = sized(entry=10_000, stop=8_000, lots_max=lots, **{"capital": MANY, **given})
        assert (answer.lots, answer.bound) == (expected, bound if short else "lots_max")
        assert answer.loss_at_stop_paise == _loss(expected)


def test_a_loss_that_fits_to_the_paisa_is_not_what_bound() -> None:
    """The budget takes two lots exactly, the cash lacks a paisa: cash it was."""
    payment = _loss(2) + 130 * 8_000
    answer = sized(entry=10_000, stop=8_000, capital=_loss(2), risk_bps=10_000, cash=payment - 1)
    assert (answer.lots, answer.bound) == (1, "cash")


def _loss(lots: int) -> int:
    quantity = lots * 65
    if not quantity:
        return 0
    return quantity * 2_000 + charges_both_ways_paise(
        RATES, Side.BUY, quantity, entry_paise=10_000, exit_paise=8_000
    )


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
    """For any prices: budget, cash and cap hold, and the answer is the largest such."""
    stop = max(entry - max(entry * distance_bps // 10_000, 1), 1)
    answer = sized(entry=entry, stop=stop, cash=cash, capital=capital, risk_bps=risk_bps)
    budget = capital * risk_bps // 10_000

    def fits(lots: int) -> bool:
        quantity = lots * 65
        charges = closing_charges_paise(RATES, Side.BUY, quantity * entry)
        charges += closing_charges_paise(RATES, Side.SELL, quantity * stop)
        loss = quantity * (entry - stop) + charges
        return loss <= budget and quantity * entry + charges <= cash

    assert answer.lots == 0 or fits(answer.lots)
    assert answer.lots == 1_000 or not fits(answer.lots + 1)
    assert answer.loss_at_stop_paise <= budget or answer.lots == 0


def test_a_stop_above_its_entry_is_a_bug() -> None:
    """Nothing is sized without a loss to size by."""
    with pytest.raises(AssertionError):
        sized(entry=10_000, stop=10_000)
