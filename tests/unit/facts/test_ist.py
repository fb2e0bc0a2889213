"""Indian time by arithmetic, against the standard library's zone of fixed offset."""

import datetime as dt

import pytest

from holdfast.facts.ist import day_start_ns, ist_date, ist_ns, ist_text

IST = dt.timezone(dt.timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    ("day", "seconds", "text"),
    [
        (dt.date(1970, 1, 1), 19_800, "05:30:00.000"),  # the epoch itself
        (dt.date(2024, 2, 29), 0, "00:00:00.000"),
        (dt.date(2025, 12, 15), 9 * 3_600 + 15 * 60, "09:15:00.000"),
        (dt.date(2026, 8, 3), 86_399, "23:59:59.000"),
    ],
)
def test_a_time_of_day_is_the_same_instant_as_the_librarys(
    day: dt.date, seconds: int, text: str
) -> None:
    """Days and seconds of day become UTC nanoseconds and come back as day and text."""
    at_ns = ist_ns(day, seconds)
    midnight = dt.datetime.combine(day, dt.time(), IST)
    assert at_ns == round(midnight.timestamp() + seconds) * 1_000_000_000
    assert (ist_date(at_ns), ist_text(at_ns)) == (day, text)


def test_the_day_turns_at_midnight_in_india() -> None:
    """18:30 UTC belongs to the next Indian day, one nanosecond earlier to the one before."""
    day = dt.date(2026, 4, 1)
    assert day_start_ns(day) == ist_ns(day, 0)
    assert ist_date(day_start_ns(day)) == day
    assert ist_date(day_start_ns(day) - 1) == dt.date(2026, 3, 31)


def test_text_is_cut_off_and_never_rounded_into_the_next_second() -> None:
    """The last nanosecond before 15:15 still reads as 15:14."""
    assert ist_text(ist_ns(dt.date(2026, 4, 1), 15 * 3_600 + 15 * 60) - 1) == "15:14:59.999"
