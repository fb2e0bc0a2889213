"""Every day of 2024-2026 against the recorded calendar; what is not known is refused."""

import csv
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.domain.dated import Session
from holdfast.domain.errors import UnknownDay
from holdfast.domain.instrument import Exchange
from holdfast.facts.calendar import (
    Calendar,
    CalendarRows,
    Covers,
    Holiday,
    Hours,
    SpecialSession,
    SquareOff,
)
from holdfast.facts.ist import ist_ns, ist_text
from holdfast.facts.load import load_calendar

SESSIONS = 745
HOLIDAYS = 51
WITHOUT_HOURS = dt.date(2026, 11, 8)
LONGER_SINCE = dt.date(2026, 8, 3)


def every_day() -> Iterator[dt.date]:
    """From the calendar's first day to its last."""
    first, last = dt.date(2024, 1, 1), dt.date(2026, 12, 31)
    return (first + dt.timedelta(days=n) for n in range((last - first).days + 1))


def recorded(shared_data: Path, name: str) -> dict[dt.date, dict[str, str]]:
    """One of the recorded calendar's lists, by date."""
    with (shared_data / "07_calendar" / name).open(newline="") as lines:
        return {dt.date.fromisoformat(row["date"]): row for row in csv.DictReader(lines)}


def hours(session: Session) -> str:
    """The windows of a session as HH:MM-HH:MM."""
    return " and ".join(f"{ist_text(a)[:5]}-{ist_text(b)[:5]}" for a, b in session.windows)


def by_exchange(day: dt.date) -> dict[Exchange, Session]:
    """The sessions of the shipped calendar."""
    return {session.exchange: session for session in load_calendar().sessions(day)}


def test_every_recorded_session_is_a_session_and_no_other_day_is(shared_data: Path) -> None:
    """All 745 sessions of 2024-2026 at both exchanges; on the other 351 days nobody trades."""
    expected = recorded(shared_data, "nse_sessions_2024_2026.csv")
    assert len(expected) == SESSIONS
    closed = 0
    for day in every_day():
        if day == WITHOUT_HOURS:
            with pytest.raises(UnknownDay, match="hours are not known"):
                load_calendar().sessions(day)
            continue
        found = by_exchange(day)
        assert set(found) == (set(Exchange) if day in expected else set()), day
        if day not in expected:
            closed += 1
            continue
        assert {session.day for session in found.values()} == {day.isoformat()}
        is_regular = found[Exchange.NSE].name == "regular"
        assert is_regular == (expected[day]["kind"] == "regular"), day
        assert hours(found[Exchange.NSE]) == hours(found[Exchange.BSE])
        if is_regular:
            close = "15:40" if day >= LONGER_SINCE else "15:30"
            assert hours(found[Exchange.NSE]) == f"09:15-{close}", day
    assert closed == 1_096 - SESSIONS


def test_every_recorded_holiday_is_known(shared_data: Path) -> None:
    """All 51 holidays, the announced-late ones too; on those that trade, the session is special."""
    holidays = recorded(shared_data, "nse_fo_holidays_2024_2026.csv")
    specials = recorded(shared_data, "nse_special_sessions_2024_2026.csv")
    assert len(holidays) == HOLIDAYS
    for day in holidays:
        if day not in specials:
            assert by_exchange(day) == {}, day
    weekdays_off = [
        d for d in every_day() if d.weekday() < 5 and d != WITHOUT_HOURS and not by_exchange(d)
    ]
    assert set(weekdays_off) <= set(holidays)


def test_special_sessions_have_their_recorded_windows(shared_data: Path) -> None:
    """Budget days, Muhurat and the Saturdays of two windows, hour by hour."""
    specials = recorded(shared_data, "nse_special_sessions_2024_2026.csv")
    seen = {}
    for day, row in specials.items():
        if day != WITHOUT_HOURS:
            given = row["open"] if row["note"] == "two windows" else f"{row['open']}-{row['close']}"
            seen[day] = given
            assert hours(by_exchange(day)[Exchange.NSE]) == given, day
    assert len(seen) == 7


@pytest.mark.parametrize(
    ("day", "close", "underlying_ends"),
    [
        (dt.date(2024, 1, 1), "15:30:00.000", "15:30:00.000"),
        (dt.date(2026, 7, 31), "15:30:00.000", "15:30:00.000"),  # the last Friday of the old hours
        (dt.date(2026, 8, 3), "15:40:00.000", "15:15:00.000"),  # the first Monday of the new ones
        (dt.date(2026, 12, 31), "15:40:00.000", "15:15:00.000"),
    ],
)
@pytest.mark.parametrize("exchange", list(Exchange))
def test_the_hours_change_in_august_2026(
    exchange: Exchange, day: dt.date, close: str, underlying_ends: str
) -> None:
    """Derivatives close at 15:40 from 3 August on and outlive their underlying by 25 minutes."""
    session = by_exchange(day)[exchange]
    assert ist_text(session.open_ns) == "09:15:00.000"
    assert ist_text(session.close_ns) == close
    assert ist_text(session.underlying_ends_ns) == underlying_ends
    assert ist_text(session.square_off_ns) == "15:20:00.000"


def test_every_session_ends_after_the_broker_squares_off() -> None:
    """On no day of three years does the broker's time lie outside the trading windows."""
    seen = 0
    for day in every_day():
        if day != WITHOUT_HOURS:
            for session in by_exchange(day).values():
                assert session.is_open(session.square_off_ns), day
                assert session.open_ns < session.underlying_ends_ns <= session.close_ns
                seen += 1
    assert seen == 2 * (SESSIONS - 1)


@pytest.mark.parametrize("day", [dt.date(2023, 12, 31), dt.date(2027, 1, 1), dt.date(2027, 1, 4)])
def test_a_day_outside_is_unknown_and_never_closed(day: dt.date) -> None:
    """The message names the day, what is known, the consequence and the remedy."""
    with pytest.raises(UnknownDay) as unknown:
        load_calendar().sessions(day)
    for part in (str(day), "2024-01-01 to 2026-12-31", "nothing is entered", "[[covers]]"):
        assert part in str(unknown.value)


# A calendar of one week, Monday 3 to Sunday 9 March 2025, made for the rules of layering.
MONDAY = dt.date(2025, 3, 3)
NINE, TEN, NOON, ONE = (dt.time(hour) for hour in (9, 10, 12, 13))
WEEK = CalendarRows(
    covers=tuple(
        Covers(exchange=exchange, first=MONDAY, last=MONDAY + dt.timedelta(days=6), source="-")
        for exchange in Exchange
    ),
    hours=(Hours(since=MONDAY, open=NINE, close=ONE, underlying_ends=NOON, source="-"),),
    square_off=(SquareOff(since=MONDAY, broker="b", at=NOON, verified_on=MONDAY, source="-"),),
    holidays=(Holiday(date=MONDAY, name="a holiday", source="-"),),
)


def special(day: dt.date, *windows: tuple[dt.time, dt.time]) -> SpecialSession:
    """A special session with these windows at NSE alone."""
    return SpecialSession(
        date=day,
        exchanges=(Exchange.NSE,),
        name="special",
        windows=windows,
        underlying_ends=windows[-1][1],
        square_off=windows[-1][1],
        source="-",
    )


def test_what_a_later_layer_says_of_a_day_holds() -> None:
    """A session can be added to a holiday at one exchange, and another called off."""
    tuesday = MONDAY + dt.timedelta(days=1)
    own = CalendarRows(
        holidays=(Holiday(date=tuesday, name="called off", source="-"),),
        special=(special(MONDAY, (NINE, TEN), (NOON, ONE)),),
    )
    calendar = Calendar((WEEK, own))
    (session,) = calendar.sessions(MONDAY)
    assert (session.exchange, session.name) == (Exchange.NSE, "special")
    assert hours(session) == "09:00-10:00 and 12:00-13:00"
    assert not session.is_open(ist_ns(MONDAY, 11 * 3_600))
    assert calendar.sessions(tuesday) == ()
    assert len(Calendar((WEEK,)).sessions(tuesday)) == 2


def test_later_hours_of_the_same_date_replace_the_earlier() -> None:
    """A person's own row wins over the shipped one; the exchange not named keeps its own."""
    longer = Hours(
        since=MONDAY,
        exchanges=(Exchange.BSE,),
        open=NINE,
        close=dt.time(14),
        underlying_ends=NOON,
        source="-",
    )
    nse, bse = Calendar((WEEK, CalendarRows(hours=(longer,)))).sessions(dt.date(2025, 3, 4))
    assert (hours(nse), hours(bse)) == ("09:00-13:00", "09:00-14:00")


def test_covers_add_up_and_a_gap_stays_unknown() -> None:
    """What is known from a day on ends at the first day that nobody speaks of."""
    friday = MONDAY + dt.timedelta(days=4)
    next_week = CalendarRows(
        covers=(
            Covers(
                exchange=Exchange.NSE,
                first=dt.date(2025, 3, 10),
                last=friday + dt.timedelta(9),
                source="-",
            ),
            Covers(
                exchange=Exchange.BSE,
                first=dt.date(2025, 3, 12),
                last=dt.date(2025, 3, 14),
                source="-",
            ),
        )
    )
    calendar = Calendar((WEEK, next_week))
    assert calendar.known_until(Exchange.NSE, MONDAY) == dt.date(2025, 3, 16)
    assert calendar.known_until(Exchange.BSE, MONDAY) == dt.date(2025, 3, 9)
    with pytest.raises(UnknownDay, match="2025-03-03 to 2025-03-09 and 2025-03-12 to 2025-03-14"):
        calendar.sessions(dt.date(2025, 3, 10))
    assert len(calendar.sessions(dt.date(2025, 3, 12))) == 2


def test_an_expiry_needs_a_full_day() -> None:
    """Holidays, weekends and short sessions are stepped over; a Saturday of regular hours is not."""
    saturday = MONDAY + dt.timedelta(days=5)
    short = Calendar((WEEK, CalendarRows(special=(special(saturday, (NINE, TEN)),))))
    assert short.full_day_until(Exchange.NSE, saturday) == dt.date(2025, 3, 7)
    full = Calendar((WEEK, CalendarRows(special=(special(saturday, (NINE, ONE)),))))
    assert full.full_day_until(Exchange.NSE, saturday + dt.timedelta(days=1)) == saturday
    with pytest.raises(UnknownDay):
        short.full_day_until(Exchange.NSE, MONDAY)  # a holiday, and nothing known before it


def test_days_before_any_hours_are_unknown() -> None:
    """Covering a year does not invent its hours."""
    covers = Covers(
        exchange=Exchange.NSE, first=dt.date(2020, 1, 1), last=dt.date(2020, 12, 31), source="-"
    )
    with pytest.raises(UnknownDay, match="regular hours of NSE"):
        Calendar((WEEK, CalendarRows(covers=(covers,)))).sessions(dt.date(2020, 1, 2))
    without = WEEK._replace(square_off=())
    with pytest.raises(UnknownDay, match="square-off"):
        Calendar((without,)).sessions(dt.date(2025, 3, 4))


@pytest.mark.parametrize(
    ("windows", "underlying_ends", "square_off"),
    [
        (((TEN, NINE),), NINE, NINE),  # ends before it begins
        (((NINE, NOON), (TEN, ONE)), ONE, ONE),  # overlapping
        ((), NOON, NOON),  # no window at all
        (((NINE, TEN),), None, TEN),  # by halves
        (((NINE, TEN),), TEN, None),
        (((NINE, TEN),), TEN, NOON),  # squared off after the close
        (((NINE, TEN),), NINE, TEN),  # the underlying ends as it opens
        (((NINE, dt.time(10, 0, 0, 1)),), TEN, TEN),  # no whole second
        (None, NOON, None),  # a time without windows
        (None, None, NOON),
    ],
)
def test_a_special_session_makes_sense_or_is_no_value(
    windows: tuple[tuple[dt.time, dt.time], ...] | None,
    underlying_ends: dt.time | None,
    square_off: dt.time | None,
) -> None:
    """Hours out of order, by halves or outside the windows raise."""
    with pytest.raises(ValueError, match=r"windows|second"):
        SpecialSession(
            date=MONDAY,
            name="special",
            windows=windows,
            underlying_ends=underlying_ends,
            square_off=square_off,
            source="-",
        )


def test_other_rows_refuse_what_is_out_of_order() -> None:
    """Ranges run forward, a day closes after it opens, and times are whole seconds."""
    with pytest.raises(ValueError, match="lies after"):
        Covers(
            exchange=Exchange.NSE, first=dt.date(2025, 1, 2), last=dt.date(2025, 1, 1), source="-"
        )
    with pytest.raises(ValueError, match="order"):
        Hours(since=MONDAY, open=TEN, close=NINE, underlying_ends=NINE, source="-")
    with pytest.raises(ValueError, match="whole second"):
        SquareOff(
            since=MONDAY, broker="b", at=dt.time(15, 20, 0, 5), verified_on=MONDAY, source="-"
        )
