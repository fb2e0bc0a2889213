"""The five levels behind a quote: prices further out, quantities in lots."""

import numpy as np

from holdfast.domain.market import Level
from holdfast.exchange.book import DEPTH
from holdfast.exchange.noise import Integers

GAP_STEPS_MAX = 3
LOTS_P = 0.16
"""Quantities are geometric: six lots at the best price on average, half as many more each level."""


def levels(
    chance: np.random.Generator, best: Integers, *, lots: Integers, outward: Integers
) -> list[tuple[Level, ...]]:
    """The levels behind each best price in `best` (paise); a best price of 0 has none.

    `outward` is the signed price step between levels, `lots` the lot size. Where the next level
    would lie at no positive price the book ends.
    """
    gaps = chance.integers(1, GAP_STEPS_MAX, (len(best), DEPTH), endpoint=True)
    gaps[:, 0] = 0
    prices = best[:, None] + np.cumsum(gaps, axis=1) * outward[:, None]
    growth = 2 + np.arange(DEPTH)
    quantities = chance.geometric(LOTS_P, (len(best), DEPTH)) * growth // 2 * lots[:, None]
    flat = zip(prices.ravel().tolist(), quantities.ravel().tolist(), strict=True)
    told: list[tuple[Level, ...]] = list(zip(*[flat] * DEPTH, strict=True))
    for row in np.flatnonzero((best == 0) | (prices[:, -1] <= 0)).tolist():
        told[row] = tuple(level for level in told[row] if level[0] > 0 and best[row])
    return told
