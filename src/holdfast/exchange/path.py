"""The way of an index through a day: volatility high at both ends, stretches of trend, jumps."""

from collections.abc import Iterator

import numpy as np

from holdfast.exchange.noise import Floats, Integers

SESSIONS_A_YEAR = 252
SESSION_S = 22_500
"""A full session; a shorter one has its share of the day's movement."""

TREND_S = (480, 2_100)
"""Shortest and longest stretch of one direction, in seconds."""

TREND_SHARE = (0.0, 0.3)
"""How far a trend goes, as a share of the day's standard deviation. Trends are weak on purpose:
following them over many seeds neither wins nor loses, so that no strategy shines on made-up days.
"""

QUIET_SHARE = 0.3
"""How many stretches have no direction."""

NOISE_SHARE = 0.95
"""The part of the day's volatility that is noise; the rest comes from trends and jumps."""

JUMPS_MAX = 5
JUMP_SHARE = (0.08, 0.22)
"""How many jumps a day has at most, and their size as shares of the day's deviation."""


def index_path(
    chance: np.random.Generator,
    *,
    seconds: int,
    start_paise: int,
    volatility_bps: int,
    bounds_paise: tuple[int, int],
) -> Integers:
    """The index at the end of each second, in paise, strictly within the bounds.

    Towards the bounds the path is bent back smoothly and trends turn round, so that the strikes
    around the index always exist.
    """
    low, high = bounds_paise
    assert low < start_paise < high, "the path begins within its bounds"
    deviation_paise = start_paise * volatility_bps / 10_000 / SESSIONS_A_YEAR**0.5
    share = min(seconds / SESSION_S, 1.0)
    steps = _noise(chance, seconds) * NOISE_SHARE * share**0.5
    steps += _jumps(chance, seconds, share=share)
    reach = min(start_paise - low, high - start_paise) / deviation_paise
    walked = np.cumsum(steps) + trends(chance, seconds, reach=reach)
    centre, half = (low + high) / 2, (high - low) / 2
    begun = np.arctanh((start_paise - centre) / half)
    bent = centre + half * np.tanh(begun + walked * deviation_paise / half)
    path: Integers = np.clip(np.rint(bent).astype(np.int64), low + 1, high - 1)
    return path


def _noise(chance: np.random.Generator, seconds: int) -> Floats:
    """Steps whose sum has deviation 1: three times as wild at the open as at noon."""
    at = np.arange(seconds) / seconds
    shape = 0.75 + 1.5 * np.exp(-at / 0.07) + 0.7 * np.exp((at - 1) / 0.1)
    shape /= np.sqrt(np.sum(shape**2))
    return chance.standard_normal(seconds) * shape


def _jumps(chance: np.random.Generator, seconds: int, *, share: float) -> Floats:
    steps = np.zeros(seconds)
    count = round(int(chance.integers(2, JUMPS_MAX, endpoint=True)) * share)
    places = chance.integers(0, seconds, count)
    steps[places] = chance.uniform(*JUMP_SHARE, count) * chance.choice([-1.0, 1.0], count)
    return steps


def trends(chance: np.random.Generator, seconds: int, *, reach: float) -> Floats:
    """The sum of all stretches so far, in deviations of a day: straight lines from turn to turn.

    The nearer `reach` from the start, the likelier the next stretch leads back.
    """
    turns, levels = zip(*_turns(chance, seconds, reach=reach), strict=True)
    level: Floats = np.interp(np.arange(seconds), turns, levels)
    return level


def _turns(
    chance: np.random.Generator, seconds: int, *, reach: float
) -> Iterator[tuple[int, float]]:
    """Where stretches end, and the level there."""
    at, level = 0, 0.0
    yield at, level
    while at < seconds:
        at += int(chance.integers(*TREND_S))
        is_trend = chance.random() >= QUIET_SHARE
        sign = 1.0 if chance.random() >= 0.5 + 0.5 * level / reach else -1.0
        level += is_trend * sign * chance.uniform(*TREND_SHARE)
        yield at, level
