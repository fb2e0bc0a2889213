"""Indian Standard Time: UTC+5:30 in every season, so neither a clock nor a zone database is asked."""

import datetime as dt
from typing import Final

SECOND_NS: Final = 1_000_000_000
DAY_NS: Final = 86_400 * SECOND_NS
OFFSET_NS: Final = 19_800 * SECOND_NS

_EPOCH: Final = dt.date(1970, 1, 1).toordinal()


def day_start_ns(day: dt.date) -> int:
    """Midnight in India, in UTC nanoseconds."""
    return (day.toordinal() - _EPOCH) * DAY_NS - OFFSET_NS


def ist_ns(day: dt.date, seconds: int) -> int:
    """The instant `seconds` after midnight in India, in UTC nanoseconds."""
    return day_start_ns(day) + seconds * SECOND_NS


def ist_date(at_ns: int) -> dt.date:
    """The calendar's day in India at `at_ns` (UTC)."""
    return dt.date.fromordinal((at_ns + OFFSET_NS) // DAY_NS + _EPOCH)


def ist_text(at_ns: int) -> str:
    """The time of day in India as HH:MM:SS.mmm, cut off, never rounded into the next second."""
    milliseconds = (at_ns + OFFSET_NS) % DAY_NS // 1_000_000
    seconds, rest = divmod(milliseconds, 1_000)
    return f"{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"
