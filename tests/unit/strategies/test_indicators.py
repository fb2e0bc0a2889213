"""Streaming indicators against two other writings of them, on recorded minutes."""

import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import inf, nan

import msgspec
import numpy as np
import pytest
import talib
from talipp import indicators as talipp_indicators
from talipp.indicators.SuperTrend import Trend as TalippTrend
from talipp.ohlcv import OHLCV

from holdfast.domain.decision import Direction
from holdfast.domain.market import Candle
from holdfast.strategies.indicators import Adx, Prices, Supertrend, Trend

BARS = 4_000
Bars = Sequence[tuple[float, float, float]]
Indicator = Supertrend | Adx
MAKERS: list[Callable[[], Indicator]] = [lambda: Supertrend(multiplier_e2=200), Adx]


@pytest.fixture(name="candles")
def _candles(nifty_minutes: list[Candle]) -> list[Candle]:
    """The first minutes of 2024, across eleven nights."""
    assert len(nifty_minutes) >= BARS
    return nifty_minutes[:BARS]


def feed(indicator: Indicator, candles: Sequence[Candle]) -> list[Trend | float | None]:
    """What the indicator says of each."""
    return [indicator.update(candle) for candle in candles]


def rupees(candles: Sequence[Candle]) -> list[tuple[float, float, float]]:
    """High, low and close of each."""
    return [(c.high_paise / 100, c.low_paise / 100, c.close_paise / 100) for c in candles]


def columns(candles: Sequence[Candle]) -> tuple[Prices, Prices, Prices]:
    """The same as three arrays."""
    high, low, close = np.array(rupees(candles)).T.copy()
    return high, low, close


def true_ranges(bars: Bars) -> list[float]:
    """From the second bar on: the range, stretched to the close before."""
    return [
        max(high, before) - min(low, before) for (_, _, before), (high, low, _) in pairwise(bars)
    ]


def wilder_supertrend(bars: Bars, period: int, multiplier: float) -> list[Trend | None]:
    """The textbook: bands around the middle that only tighten while the close stays inside."""
    ranges = true_ranges(bars)
    atr = sum(ranges[:period]) / period
    upper, lower, is_up = inf, -inf, True
    trends: list[Trend | None] = [None] * period
    for i in range(period, len(bars)):
        high, low, close = bars[i]
        before = bars[i - 1][2]
        if i > period:
            atr = (atr * (period - 1) + ranges[i - 1]) / period
        middle = (high + low) / 2
        upper = (
            middle + multiplier * atr if before > upper else min(upper, middle + multiplier * atr)
        )
        lower = (
            middle - multiplier * atr if before < lower else max(lower, middle - multiplier * atr)
        )
        is_up = close >= lower if is_up else close > upper
        trends.append(Trend(lower, Direction.UP) if is_up else Trend(upper, Direction.DOWN))
    return trends


def wilder_adx(bars: Bars, period: int) -> list[float | None]:
    """The textbook: sums of one period less one bar, smoothed from there; the mean of `period` DX."""
    ranges = true_ranges(bars)
    plus, minus = [], []
    for (high0, low0, _), (high1, low1, _) in pairwise(bars):
        up, down = high1 - high0, low0 - low1
        plus.append(up if up > down and up > 0 else 0.0)
        minus.append(down if down > up and down > 0 else 0.0)
    sums = [sum(column[: period - 1]) for column in (plus, minus, ranges)]
    directional: list[float] = []
    adx: list[float | None] = [None] * period
    for column in zip(plus[period - 1 :], minus[period - 1 :], ranges[period - 1 :], strict=True):
        sums = [total - total / period + new for total, new in zip(sums, column, strict=True)]
        directional.append(100 * abs(sums[0] - sums[1]) / (sums[0] + sums[1]))
        before = adx[-1]
        if before is not None:
            adx.append((before * (period - 1) + directional[-1]) / period)
        else:
            is_ready = len(directional) == period
            adx.append(sum(directional) / period if is_ready else None)
    return adx


@pytest.mark.parametrize(("period", "multiplier_e2"), [(10, 150), (10, 200), (10, 300), (7, 250)])
def test_supertrend_is_the_textbook_one(
    candles: list[Candle], period: int, multiplier_e2: int
) -> None:
    """Line and trend are those of the definition, from the first value to the last."""
    ours = Supertrend(period, multiplier_e2=multiplier_e2)
    got = [ours.update(candle) for candle in candles]
    want = wilder_supertrend(rupees(candles), period, multiplier_e2 / 100)
    assert [i for i, trend in enumerate(got) if trend is None] == list(range(period))
    flips = 0
    for mine, theirs in zip(got[period:], want[period:], strict=True):
        assert mine is not None and theirs is not None  # noqa: PT018 narrows both
        assert mine.direction is theirs.direction
        assert mine.line == pytest.approx(theirs.line, abs=2e-6)
    for one, next_ in pairwise(got[period:]):
        flips += one is not None and next_ is not None and one.direction is not next_.direction
    assert flips >= 100


@pytest.mark.parametrize("period", [7, 14])
def test_adx_is_the_textbook_one(candles: list[Candle], period: int) -> None:
    """The index is that of the definition, from the first value to the last."""
    ours = Adx(period)
    got = [ours.update(candle) for candle in candles]
    want = wilder_adx(rupees(candles), period)
    assert [i for i, value in enumerate(got) if value is None] == list(range(2 * period - 1))
    assert got[2 * period - 1 :] == pytest.approx(want[2 * period - 1 :], abs=2e-6)


def test_both_agree_with_another_library(candles: list[Candle]) -> None:
    """Once the different first averages have faded, an independent library says the same."""
    bars = [OHLCV(0.0, *bar) for bar in rupees(candles)]
    theirs = list(talipp_indicators.SuperTrend(10, 2, bars))
    their_adx = list(talipp_indicators.ADX(14, 14, bars))
    supertrend, adx = Supertrend(multiplier_e2=200), Adx()
    compared = 0
    for i, candle in enumerate(candles):
        trend, value = supertrend.update(candle), adx.update(candle)
        if i < 500:
            continue
        assert trend is not None
        assert trend.line == pytest.approx(theirs[i].value, abs=2e-6)
        assert (trend.direction is Direction.UP) == (theirs[i].trend is TalippTrend.UP)
        assert value == pytest.approx(their_adx[i].adx, abs=2e-6)
        compared += 1
    assert compared >= 2_000


def test_streaming_equals_batch(candles: list[Candle]) -> None:
    """One candle at a time gives what TA-Lib gives for the whole series, after the same rounding."""
    lines, signs = talib.SUPERTREND(*columns(candles), timeperiod=10, multiplier=2.0)
    batch_adx = talib.ADX(*columns(candles), timeperiod=14)
    supertrend, adx = Supertrend(multiplier_e2=200), Adx()
    trends = [supertrend.update(candle) for candle in candles]
    values = [adx.update(candle) for candle in candles]
    up_down = [Direction.UP if sign > 0 else Direction.DOWN for sign in signs.tolist()]
    assert trends[10:] == [
        (round(line, 6), direction)
        for line, direction in zip(lines.tolist()[10:], up_down[10:], strict=True)
    ]
    assert values[27:] == [round(value, 6) for value in batch_adx.tolist()[27:]]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("cut", [5, 28, 375, 1_999])
def test_an_indicator_fed_again_goes_on_as_if_never_stopped(
    candles: list[Candle], make: Callable[[], Indicator], cut: int
) -> None:
    """Restoring is feeding the same candles: every later value is the same to the last bit."""
    continued, rebuilt = make(), make()
    assert feed(continued, candles[:cut]) == feed(rebuilt, candles[:cut])
    assert feed(continued, candles[cut:]) == feed(rebuilt, candles[cut:])


def test_a_session_of_warm_up_hides_where_the_history_began(nifty_minutes: list[Candle]) -> None:
    """After 375 candles the values are within rounding of those with all history before them."""
    lines, signs = talib.SUPERTREND(*columns(nifty_minutes), timeperiod=10, multiplier=2.0)
    all_adx = talib.ADX(*columns(nifty_minutes), timeperiod=14)
    ends = range(2_000, len(nifty_minutes), 997)
    assert len(ends) >= 35
    for end in ends:
        supertrend, adx = Supertrend(multiplier_e2=200), Adx()
        window = nifty_minutes[end - 375 : end]
        trends = [supertrend.update(candle) for candle in window]
        values = [adx.update(candle) for candle in window]
        assert trends[-1] is not None
        assert trends[-1].line == pytest.approx(lines[end - 1], abs=1e-6)
        assert (trends[-1].direction is Direction.UP) == (signs[end - 1] > 0)
        assert values[-1] == pytest.approx(all_adx[end - 1], abs=1e-6)


@pytest.mark.proves("I-75")
@pytest.mark.parametrize("make", MAKERS)
def test_shuffled_candles_are_refused(candles: list[Candle], make: Callable[[], Indicator]) -> None:
    """No order but the strictly increasing one is taken, before the handle opens and after."""
    order = random.Random(75)
    for length in (2, 3, 10, 60):
        shuffled = candles[:length]
        while shuffled == candles[:length]:
            order.shuffle(shuffled)
        with pytest.raises(ValueError, match="came after"):
            feed(make(), shuffled)


@pytest.mark.proves("I-75")
@pytest.mark.parametrize("make", MAKERS)
def test_a_refused_candle_leaves_no_trace(
    candles: list[Candle], make: Callable[[], Indicator]
) -> None:
    """A candle given twice raises, and the values after it are those without the attempt."""
    clean, troubled = make(), make()
    for number, candle in enumerate(candles[:200]):
        assert clean.update(candle) == troubled.update(candle)
        if number % 7 == 0:
            with pytest.raises(ValueError, match="came after"):
                troubled.update(candle)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    "prices",
    [
        {"low_paise": 0},
        {"low_paise": -1},
        {"low_paise": nan},
        {"close_paise": nan},
        {"high_paise": nan},
        {"high_paise": inf},
        {"close_paise": 1},
        {"high_paise": 1, "low_paise": 1},
    ],
)
def test_impossible_prices_are_refused(
    candles: list[Candle], make: Callable[[], Indicator], prices: dict[str, int]
) -> None:
    """Zero, negative, not a number, infinite, outside high and low: an error, never a value."""
    indicator = make()
    feed(indicator, candles[:40])
    with pytest.raises(ValueError, match="impossible prices"):
        indicator.update(msgspec.structs.replace(candles[40], **prices))


def test_a_market_that_does_not_move_has_values(candles: list[Candle]) -> None:
    """A flat price divides by no range: the index is 0, the line is the price."""
    supertrend, adx = Supertrend(multiplier_e2=200), Adx()
    flat = {"high_paise": 2_500_000, "low_paise": 2_500_000, "close_paise": 2_500_000}
    still = [msgspec.structs.replace(candle, **flat) for candle in candles[:100]]
    assert set(feed(supertrend, still)[10:]) == {Trend(25_000.0, Direction.UP)}
    assert set(feed(adx, still)[27:]) == {0.0}
