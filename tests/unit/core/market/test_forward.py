"""The parity forward of one strike."""

import pytest

from holdfast.core.market.forward import parity_forward
from holdfast.domain.instrument import Segment, instrument_id
from holdfast.domain.market import Level, Tick

STRIKE = 5_940_000


def quote(bid: int | None, ask: int | None) -> Tick:
    """A tick with these best prices."""
    bids: tuple[Level, ...] = () if bid is None else ((bid, 30),)
    asks: tuple[Level, ...] = () if ask is None else ((ask, 30),)
    return Tick(
        at_ns=1,
        instrument=instrument_id(Segment.NSE_FNO, 1),
        last_paise=1,
        bids=bids,
        asks=asks,
    )


@pytest.mark.parametrize(
    ("call", "put", "forward"),
    [
        ((50_000, 50_100), (40_000, 40_200), STRIKE + 50_050 - 40_100),
        ((40_000, 40_200), (50_000, 50_100), STRIKE - 9_950),
        ((100, 105), (100, 100), STRIKE + 3),  # +2.5, halves up
        ((100, 100), (100, 105), STRIKE - 2),  # -2.5, halves up
        ((100, 105), (100, 105), STRIKE),
        ((100, 103), (200, 200), STRIKE - 98),  # -98.5, halves up
    ],
)
def test_the_forward_is_the_strike_plus_call_less_put(
    call: tuple[int, int], put: tuple[int, int], forward: int
) -> None:
    """Mids of both sides, whole paise, rounded once with halves up."""
    assert parity_forward(STRIKE, call=quote(*call), put=quote(*put)) == forward


@pytest.mark.parametrize("missing", [None, 0])
@pytest.mark.parametrize("side", range(4))
def test_without_one_of_the_four_prices_there_is_none(side: int, missing: int | None) -> None:
    """Nobody on a side, or a price of zero, is no price: nothing is guessed from the other three."""
    prices: list[int | None] = [100, 105, 100, 105]
    prices[side] = missing
    bid, ask, put_bid, put_ask = prices
    assert parity_forward(STRIKE, call=quote(bid, ask), put=quote(put_bid, put_ask)) is None
