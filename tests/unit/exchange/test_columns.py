"""The packets of all instruments as one table, and ticks made of it."""

import numpy as np

from holdfast.domain.market import Tick
from holdfast.exchange.columns import merge, ticks
from holdfast.exchange.noise import noise
from holdfast.exchange.packets import NEVER, Packets
from tests.support.desk import CALL, NIFTY, OPEN, SECOND


def packets(seconds: list[int], *, last: int, bid: int, traded: int = OPEN) -> Packets:
    """Packets at some seconds that all say the same."""
    ones = np.ones(len(seconds), np.int64)
    return Packets(
        at_ns=OPEN + np.array(seconds) * SECOND,
        last=last * ones,
        traded_ns=traded * ones,
        volume=np.array(seconds) * 65,
        oi=130 * ones,
        bid=bid * ones,
        ask=(bid + 5 if bid else 0) * ones,
    )


INDEX = packets([1, 2, 4], last=2_450_000, bid=0)
OPTION = packets([2, 3], last=10_000, bid=9_995, traded=NEVER)


def test_rows_are_in_order_of_receipt_and_equal_ones_in_that_of_the_instruments() -> None:
    """A cut holds the rows from its first up to its end."""
    table = merge([INDEX, OPTION])
    assert table.instrument.tolist() == [0, 0, 1, 1, 0]
    assert ((table.packets.at_ns - OPEN) // SECOND).tolist() == [1, 2, 2, 3, 4]
    part = table.cut(1, 3)
    assert part.instrument.tolist() == [0, 1]
    assert part.packets.last.tolist() == [2_450_000, 10_000]


def test_rows_become_ticks() -> None:
    """Plain integers; no trade time before the first trade; no book without a quote."""
    made = list(ticks(noise(1, "depth", 0), merge([INDEX, OPTION]), (NIFTY, CALL)))
    assert made[0] == Tick(
        at_ns=OPEN + SECOND,
        instrument=NIFTY.id,
        last_paise=2_450_000,
        venue_at_ns=OPEN,
        volume=65,
        oi=130,
    )
    option = made[2]
    assert (option.instrument, option.venue_at_ns) == (CALL.id, None)
    assert (option.bid_paise, option.ask_paise) == (9_995, 10_000)
    assert (len(option.bids), len(option.asks)) == (5, 5)
    assert {type(option.at_ns), type(option.bids[0][0]), type(option.volume)} == {int}
