"""Which print of an index is believed: one that no market can have reached is not (T18)."""

import msgspec
import pytest

from holdfast.core.market.prints import STANDS_NS, Prints
from holdfast.domain.market import Tick
from tests.support.by_hand import NOW
from tests.support.desk import NIFTY, SECOND


def a_print(paise: int, at_ns: int = NOW) -> Tick:
    """A packet of the index."""
    return Tick(at_ns=at_ns, instrument=NIFTY.id, last_paise=paise)


def after(*paise: int) -> Prints:
    """What is known after these."""
    prints = Prints()
    for one in paise:
        prints.believed(a_print(one))
    return prints


@pytest.mark.parametrize("paise", [1_100_000, 900_000, 1_000_000, 1_050_000])
def test_a_tenth_is_believed(paise: int) -> None:
    """That is as far as an index goes before the market is halted."""
    tick = a_print(paise)
    assert after(1_000_000).believed(tick) is tick


@pytest.mark.proves("T18")
@pytest.mark.parametrize("paise", [1_100_001, 899_999, 3_000_000, 1, 0, -1])
def test_more_is_not(paise: int) -> None:
    """Nor is no price; what came before stays the measure."""
    prints = after(1_000_000)
    assert prints.believed(a_print(paise)) is None
    assert prints.refused == 1
    assert prints.believed(a_print(1_090_000)) is not None


def test_the_first_is_believed_when_it_is_a_price() -> None:
    """Nothing is known before it."""
    assert after().believed(a_print(5)) is not None
    assert after(0).believed(a_print(0)) is None


@pytest.mark.proves("T18")
def test_one_that_stands_is_true() -> None:
    """After a halt, or where the first of the day was wrong: five seconds of nothing else."""
    prints = after(3_000_000)
    for second in range(5):
        assert prints.believed(a_print(1_000_000 + second, NOW + second * SECOND)) is None
    assert prints.believed(a_print(1_000_005, NOW + STANDS_NS)) is not None
    assert prints.believed(a_print(3_000_000, NOW + STANDS_NS + 1)) is None


def test_it_stands_alone() -> None:
    """A print near the last, or far from both, begins the seconds anew."""
    prints = after(1_000_000)
    for at_s, paise in enumerate((3_000_000, 3_000_000, 1_000_000, 3_000_000, 9_000_000)):
        prints.believed(a_print(paise, NOW + at_s * SECOND))
    for at_s in range(5, 10):
        assert prints.believed(a_print(3_000_000, NOW + at_s * SECOND)) is None
    assert prints.believed(a_print(3_000_000, NOW + 10 * SECOND)) is not None


@pytest.mark.parametrize(("low", "high"), [(1, 1_000_000), (1_000_000, 3_000_000)])
def test_extremes_of_a_batch_are_left_out_where_they_cannot_be(low: int, high: int) -> None:
    """The last price of the batch is true all the same."""
    batch = msgspec.structs.replace(a_print(1_000_000), last_low_paise=low, last_high_paise=high)
    assert after(1_000_000).believed(batch) == a_print(1_000_000)
    near = msgspec.structs.replace(batch, last_low_paise=950_000, last_high_paise=1_050_000)
    assert after(1_000_000).believed(near) is near
