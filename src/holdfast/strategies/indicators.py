"""Streaming indicators over TA-Lib: one closed candle in, the indicator at its close out.

Prices turn from paise into floats here, and what comes out is rounded before anybody compares it.
TA-Lib's handles cannot be saved: an indicator is restored by feeding the same candles again, which
gives the same values to the last bit.
"""

from collections.abc import Callable
from math import inf
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from talib import stream

from holdfast.domain.decision import Direction
from holdfast.domain.market import Candle

DECIMALS: Final = 6
"""Results are rounded to 1e-6: beyond it they depend on the processor and on TA-Lib's build."""

Prices = NDArray[np.float64]
T = TypeVar("T")
ResultT_co = TypeVar("ResultT_co", covariant=True)


class Trend(NamedTuple):
    """Supertrend at one close: the line, in rupees, and the side of it on which the price runs."""

    line: float
    direction: Direction


class Supertrend:
    """Supertrend with Wilder's average true range: `multiplier_e2` hundredths of it off the middle.

    Ready from candle `period` + 1. Its first trend is up whatever the market does; after two flips
    nothing is left of that.
    """

    def __init__(self, period: int = 10, *, multiplier_e2: int) -> None:
        def opened(high: Prices, low: Prices, close: Prices) -> stream.SUPERTREND:
            return stream.SUPERTREND(high, low, close, period, multiplier_e2 / 100)

        self._stream = _Stream(opened, opens_with=period + 1)

    def update(self, candle: Candle) -> Trend | None:
        """Take the next candle; `None` until ready. Raises `ValueError` like every indicator."""
        value = self._stream.update(candle)
        if value is None:
            return None
        line, sign = value
        return Trend(round(line, DECIMALS), Direction.UP if sign > 0 else Direction.DOWN)


class Adx:
    """Wilder's average directional index, 0 to 100. Ready from candle 2 x `period`."""

    def __init__(self, period: int = 14) -> None:
        def opened(high: Prices, low: Prices, close: Prices) -> stream.ADX:
            return stream.ADX(high, low, close, period)

        self._stream = _Stream(opened, opens_with=2 * period)

    def update(self, candle: Candle) -> float | None:
        """Take the next candle; `None` until ready. Raises `ValueError` like every indicator."""
        value = self._stream.update(candle)
        return None if value is None else round(value, DECIMALS)


class _Handle(Protocol[ResultT_co]):
    """A TA-Lib handle over high, low and close."""

    @property
    def value(self) -> ResultT_co: ...

    def update(self, high: float, low: float, close: float) -> ResultT_co: ...


class _Stream(Generic[T]):
    """Gathers the candles that a handle needs to open, then passes each one on.

    A candle out of order, or with prices that no market has, raises `ValueError` and changes
    nothing.
    """

    def __init__(
        self, opened: Callable[[Prices, Prices, Prices], _Handle[T]], *, opens_with: int
    ) -> None:
        self._opened = opened
        self._opens_with = opens_with
        self._waiting: list[tuple[float, float, float]] = []
        self._handle: _Handle[T] | None = None
        self._last_ns: int | None = None

    def update(self, candle: Candle) -> T | None:
        _check_prices(candle)
        self._check_order(candle)
        self._last_ns = candle.start_ns
        bar = (candle.high_paise / 100, candle.low_paise / 100, candle.close_paise / 100)
        if self._handle is not None:
            return self._handle.update(*bar)
        self._waiting.append(bar)
        if len(self._waiting) < self._opens_with:
            return None
        high, low, close = np.array(self._waiting).T
        self._handle = self._opened(high, low, close)
        self._waiting.clear()
        return self._handle.value

    def _check_order(self, candle: Candle) -> None:
        if self._last_ns is not None and candle.start_ns <= self._last_ns:
            raise ValueError(
                f"candle of {candle.instrument} at {candle.start_ns} ns came after that at "
                f"{self._last_ns} ns"
            )


def _check_prices(candle: Candle) -> None:
    """Comparisons with a NaN are false, so it is refused like a zero."""
    if not 0 < candle.low_paise <= candle.close_paise <= candle.high_paise < inf:
        raise ValueError(
            f"candle of {candle.instrument} at {candle.start_ns} ns has impossible prices: "
            f"high {candle.high_paise}, low {candle.low_paise}, close {candle.close_paise} paise"
        )
