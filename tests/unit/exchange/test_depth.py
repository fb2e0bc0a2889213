"""The five levels behind a quote."""

from itertools import pairwise

import numpy as np

from holdfast.domain.market import Level
from holdfast.exchange.depth import levels
from holdfast.exchange.noise import noise


def made(*best: int, outward: int = 5, lot: int = 65) -> list[tuple[Level, ...]]:
    """The levels of some quotes on one side."""
    ones = np.ones(len(best), np.int64)
    return levels(noise(1, "depth", 0), np.array(best), lots=ones * lot, outward=ones * outward)


def test_levels_go_outward_from_the_best_in_whole_lots() -> None:
    """One to three steps apart."""
    for side, outward in ((made(*[12_000] * 200), 5), (made(*[12_000] * 200, outward=-5), -5)):
        for told in side:
            prices = [price for price, _ in told]
            assert prices[0] == 12_000
            gaps = {(b - a) // outward for a, b in pairwise(prices)}
            assert gaps <= {1, 2, 3}
            assert all(quantity > 0 and quantity % 65 == 0 for _, quantity in told)
            assert len(told) == 5


def test_quantities_are_a_few_lots_and_grow_outward() -> None:
    """An order of ten lots often needs more than one level."""
    lots = np.array([[q // 65 for _, q in told] for told in made(*[12_000] * 2_000)])
    assert 3 < np.median(lots[:, 0]) < 8
    assert (lots[:, 0] < 10).mean() > 0.6
    assert lots[:, 4].mean() > 2 * lots[:, 0].mean()


def test_a_cheap_option_has_fewer_bids() -> None:
    """No level lies at no price."""
    (told,) = made(10, outward=-5)
    assert [price for price, _ in told] in ([10], [10, 5])


def test_what_has_no_quote_has_no_book() -> None:
    """An index."""
    assert made(0, 12_000, 0)[::2] == [(), ()]
