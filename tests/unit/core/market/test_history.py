"""History in the interval that a strategy asks for."""

import pytest

from holdfast.core.market.history import HistoryFold
from holdfast.domain.market import Candle
from tests.support.desk import NIFTY, OPEN, SECOND

YESTERDAY = OPEN - 86_400 * SECOND


def minute(number: int, close: int, *, start: int = YESTERDAY, complete: bool = True) -> Candle:
    """A candle of the given minute of a session: 10 around its close, volume 1."""
    return Candle(
        instrument=NIFTY.id, interval_s=60, start_ns=start + number * 60 * SECOND,
        open_paise=close - 1, high_paise=close + 10, low_paise=close - 10, close_paise=close,
        volume=1, complete=complete,
    )  # fmt: skip


def shown(candle: Candle) -> tuple[int, int, int, int, int, int]:
    """Start in minutes of yesterday's session, then open, high, low, close, volume."""
    start = (candle.start_ns - YESTERDAY) // (60 * SECOND)
    return (start, candle.open_paise, candle.high_paise, candle.low_paise, candle.close_paise,
            candle.volume)  # fmt: skip


def test_five_minutes_become_one_candle_with_its_last_part() -> None:
    """Open of the first, close of the last, extremes of all; complete at once, not a candle later."""
    fold = HistoryFold(300, open_ns=OPEN)
    made = [fold.add(minute(n, 100 + n)) for n in range(6)]
    assert [len(each) for each in made] == [0, 0, 0, 0, 1, 0]
    [whole] = made[4]
    assert shown(whole) == (0, 99, 114, 90, 104, 5)
    assert (whole.interval_s, whole.complete) == (300, True)


def test_a_missing_last_part_ends_with_the_next_interval() -> None:
    """A gap does not join two intervals."""
    fold = HistoryFold(300, open_ns=OPEN)
    for n in (0, 1, 2):
        assert fold.add(minute(n, 100)) == ()
    [whole] = fold.add(minute(7, 200))
    assert shown(whole) == (0, 99, 110, 90, 100, 3)
    assert fold.add(minute(8, 200)) == ()
    [after] = fold.add(minute(9, 200))
    assert shown(after) == (5, 199, 210, 190, 200, 3)
    assert not after.complete


def test_a_candle_that_misses_its_beginning_is_not_complete() -> None:
    """So no indicator takes it for the whole interval."""
    fold = HistoryFold(300, open_ns=OPEN)
    [whole] = [done for n in (2, 3, 4) for done in fold.add(minute(n, 100))]
    assert not whole.complete
    fold = HistoryFold(300, open_ns=OPEN)
    parts = [fold.add(minute(n, 100, complete=n != 3)) for n in range(5)]
    assert not parts[-1][0].complete


def test_intervals_are_counted_from_the_open_on_every_day() -> None:
    """Seven minutes do not divide an hour: the first of each day begins at 09:15 all the same."""
    fold = HistoryFold(420, open_ns=OPEN)
    made = [done for n in range(375) for done in fold.add(minute(n, 100))]
    made += [done for n in range(7) for done in fold.add(minute(n, 100, start=OPEN))]
    assert len(made) == 55
    assert made[-1].start_ns == OPEN
    assert shown(made[0])[0] == 0
    assert shown(made[53])[0] == 53 * 7


def test_as_long_already_it_passes_and_what_does_not_divide_is_refused() -> None:
    """Nothing is invented: five minutes cannot be had from three."""
    assert HistoryFold(60, open_ns=OPEN).add(minute(3, 100)) == (minute(3, 100),)
    with pytest.raises(ValueError, match="60 s candles make none of 90 s"):
        HistoryFold(90, open_ns=OPEN).add(minute(0, 100))
