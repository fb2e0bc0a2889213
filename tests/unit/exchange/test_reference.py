"""The reference price of limit price protection."""

import pytest

from holdfast.exchange.reference import TradeReference
from tests.support.desk import OPEN, SECOND

TRADES = ((1, 10_000), (10, 10_100), (29, 10_203), (31, 9_000), (200, 8_000))


@pytest.mark.parametrize(
    ("seconds", "reference"),
    [
        (29.999, 10_000),  # the first trade, until the first window ends
        (30, 10_101),  # 30,303 over three, rounded down
        (59.999, 10_101),
        (60, 9_000),  # one trade in the second window
        (199, 9_000),  # nothing traded since: nothing renewed
        (209.999, 9_000),
        (210, 8_000),
        (5_000, 8_000),
    ],
)
def test_it_is_the_mean_of_the_last_window_that_traded(seconds: float, reference: int) -> None:
    """Renewed each thirty seconds, and standing while nothing trades."""
    folded = TradeReference(window_s=30)
    for second, price in TRADES:
        if second <= seconds:
            folded.trade(price, OPEN + second * SECOND)
    assert folded.at(OPEN + round(seconds * SECOND)) == reference


def test_before_the_first_trade_there_is_none() -> None:
    """And the first trade is the first reference at once."""
    folded = TradeReference(window_s=30)
    assert folded.at(OPEN) is None
    folded.trade(12_345, OPEN)
    assert folded.at(OPEN) == 12_345
