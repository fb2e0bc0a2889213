"""Seeded noise by name: each array of a generated day has a generator of its own."""

import numpy as np
from numpy.typing import NDArray

from holdfast.exchange.draws import draw

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


def noise(seed: int, kind: str, key: str | int) -> np.random.Generator:
    """The generator of one array: no other array can shift what it draws."""
    return np.random.Generator(np.random.PCG64(draw(seed, kind, key)))
