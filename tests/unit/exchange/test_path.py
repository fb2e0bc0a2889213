"""The way of an index through a day."""

from itertools import pairwise

import numpy as np
import pytest

from holdfast.exchange.noise import Integers, noise
from holdfast.exchange.path import TREND_S, TREND_SHARE, index_path, trends

SECONDS = 23_100
BOUNDS = (24_225_00, 24_775_00)


def path(seed: int, start: int = 24_500_00, volatility_bps: int = 1_300) -> Integers:
    """A day of NIFTY."""
    return index_path(
        noise(seed, "path", "test"),
        seconds=SECONDS,
        start_paise=start,
        volatility_bps=volatility_bps,
        bounds_paise=BOUNDS,
    )


def test_it_begins_where_it_is_told_and_stays_within_its_bounds() -> None:
    """Even ten times as wild, and begun at an edge."""
    assert abs(int(path(1)[0]) - 24_500_00) < 10_00
    for wild in (path(1, volatility_bps=13_000), path(2, start=24_226_00)):
        assert BOUNDS[0] < wild.min() < wild.max() < BOUNDS[1]


def test_it_moves_about_as_much_as_its_volatility_says() -> None:
    """A day of 13 % a year is 0.8 %: recorded NIFTY minutes move by 4 to 12 points, days by 120
    to 420.
    """
    minutes = [np.diff(path(seed)[::60]).std() / 100 for seed in range(20)]
    ranges = [(path(seed).max() - path(seed).min()) / 100 for seed in range(20)]
    assert 4 < np.median(minutes) < 12
    assert 120 < np.median(ranges) < 420
    calm = np.diff(path(1, volatility_bps=650)[::60]).std() / 100
    assert calm < 0.7 * np.diff(path(1)[::60]).std() / 100


def test_it_is_wilder_at_the_open_and_the_close_than_at_noon() -> None:
    """The shape of every recorded day."""
    moves = np.array([np.abs(np.diff(path(seed))) for seed in range(10)]).mean(axis=0)
    opening, noon, closing = (
        moves[a:b].mean() for a, b in ((0, 1_200), (10_000, 13_000), (-1_200, -1))
    )
    assert opening > 1.7 * noon
    assert closing > 1.2 * noon


def test_a_quarter_of_an_hour_moves_more_than_its_minutes_alone() -> None:
    """That is what a trend is; without any the bounds would make it less."""
    days = [path(seed) for seed in range(60)]
    minutes = np.mean([np.diff(day[::60]).var() for day in days])
    quarters = np.mean([np.diff(day[::900]).var() for day in days])
    assert 1.0 < quarters / minutes / 15 < 1.3


def stretches(reach: float) -> list[tuple[int, float]]:
    """Seconds and height of the stretches of direction of some days; the last is cut off."""
    found: list[tuple[int, float]] = []
    for seed in range(12):
        level = trends(noise(seed, "trends", "test"), SECONDS, reach=reach)
        slope = np.diff(level)
        turns = np.flatnonzero(np.abs(np.diff(slope)) > 1e-12) + 1
        for start, end in pairwise([0, *turns.tolist()]):
            found.append((end - start, float(level[end] - level[start])))
    return found


def test_it_has_stretches_of_direction_between_quiet_ones() -> None:
    """Eight to thirty-five minutes long, up to a third of a day's deviation high, both ways."""
    found = stretches(reach=10.0)
    heights = [height for _, height in found if abs(height) > 1e-9]
    assert 0.15 < 1 - len(heights) / len(found) < 0.45
    assert min(seconds for seconds, _ in found) >= TREND_S[0]
    assert max(map(abs, heights)) <= TREND_SHARE[1]
    assert 0.3 < sum(height > 0 for height in heights) / len(heights) < 0.7


def test_far_out_a_stretch_leads_back() -> None:
    """Where any way is too far, each one goes against the sum of those before."""
    for seed in range(12):
        level = trends(noise(seed, "trends", "test"), SECONDS, reach=1e-9)
        assert np.abs(level).max() <= TREND_SHARE[1]
    assert max(
        np.abs(trends(noise(s, "trends", "test"), SECONDS, reach=1e9)).max() for s in range(12)
    ) > (2 * TREND_SHARE[1])


@pytest.mark.parametrize(("seconds", "most"), [(60, 40_00), (480, 250_00), (6_300, 400_00)])
def test_a_short_session_moves_by_its_share(seconds: int, most: int) -> None:
    """It has a value for every second, and not a whole day's way to go."""
    made = index_path(
        noise(1, "path", "short"),
        seconds=seconds,
        start_paise=24_500_00,
        volatility_bps=1_300,
        bounds_paise=BOUNDS,
    )
    assert len(made) == seconds
    assert made.max() - made.min() < most


def test_its_start_lies_within_its_bounds() -> None:
    """Otherwise it could not be bent back."""
    with pytest.raises(AssertionError, match="within its bounds"):
        path(1, start=BOUNDS[1])
