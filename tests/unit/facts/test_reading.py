"""A facts file is understood completely or refused with the line and what to do."""

import datetime as dt

import msgspec
import pytest

from holdfast.domain.errors import DataRefused
from holdfast.facts.reading import FactsDocument


class Fact(msgspec.Struct, frozen=True, kw_only=True, rename={"last": "to"}):
    """A row of these tests."""

    since: dt.date
    rate_e7: int
    at: dt.time | None = None
    last: dt.date | None = None


class DomainFact(msgspec.Struct, frozen=True, kw_only=True):
    """A row that keeps its date as text, as the journaled facts do."""

    since: str
    rate_e7: int


def read(text: str) -> tuple[Fact, ...]:
    """The rows of [[facts]], the only table allowed."""
    document = FactsDocument("facts.toml", text)
    document.only("facts")
    return document.rows("facts", Fact, lambda row: [row.since])


GOOD = "[[facts]]\nsince = 2024-01-01\nrate_e7 = 3_503\nat = 09:15:00\nto = 2024-12-31\n"


def test_rows_come_in_the_files_order() -> None:
    """Dates, times and renamed keys are read; a file without the table has no rows."""
    later = GOOD.replace("2024-01-01", "2023-01-01")
    first, second = read(GOOD + later)
    assert first.since == dt.date(2024, 1, 1)
    assert (first.rate_e7, first.at, first.last) == (3_503, dt.time(9, 15), dt.date(2024, 12, 31))
    assert second.since == dt.date(2023, 1, 1)
    assert read("# nothing yet\n") == ()


def test_a_date_may_be_kept_as_text_but_not_written_so() -> None:
    """Rows of the domain hold ISO text; in the file a date is a date."""
    document = FactsDocument("facts.toml", "[[facts]]\nsince = 2024-01-01\nrate_e7 = 1\n")
    (row,) = document.rows("facts", DomainFact, lambda row: [row.since])
    assert row.since == "2024-01-01"
    quoted = FactsDocument("facts.toml", '[[facts]]\nsince = "2024-01-01"\nrate_e7 = 1\n')
    with pytest.raises(DataRefused, match=r"facts\.toml:2: since: '2024-01-01' is no date"):
        quoted.rows("facts", DomainFact, lambda row: [row.since])


REFUSED = [
    ("unknown key", GOOD + "rate_e8 = 1\n", "facts.toml:6", "'rate_e8'", "'rate_e7'"),
    ("unknown key far from any", GOOD + "xyzzy = 1\n", "facts.toml:6", "'xyzzy'", "known are at, "),
    ("unknown table", GOOD + "[[fatcs]]\na = 1\n", "facts.toml:6", "[[fatcs]]", "'facts'"),
    ("key above any table", "day = 1\n" + GOOD, "facts.toml:1", "[[day]]", "facts"),
    ("a single table", "[facts]\nsince = 2024-01-01\n", "facts.toml:1", "no list", "[[facts]]"),
    ("a number for a table", "facts = 3\n", "facts.toml:1", "no list", "[[facts]]"),
    ("a missing key", "\n[[facts]]\nsince = 2024-01-01\n", "facts.toml:2", "rate_e7", "[[facts]]"),
    ("text for a number", GOOD.replace("3_503", '"3503"'), "facts.toml:3", "`int`", "[[facts]]"),
    ("a float for a rate", GOOD.replace("3_503", "0.5"), "facts.toml:3", "`float`", "[[facts]]"),
    ("text for a date", GOOD.replace("= 2024-01-01", '= "2024-01-01"'), ":2", "`date`", "correct"),
    ("a moment for a date", GOOD.replace("-01-01", "-01-01T09:00:00"), ":2", "`date`", "correct"),
    ("a row twice", GOOD + "\n" + GOOD, "facts.toml:7", "facts.toml:1 says", "delete one"),
    ("no TOML", GOOD + "rate\n", "facts.toml:6", "is not TOML", "correct the line"),
    ("an open list", GOOD + "x = [\n", "facts.toml:7", "is not TOML", "correct the line"),
]


@pytest.mark.parametrize(
    ("text", "where", "what", "remedy"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
def test_what_is_not_understood_is_refused(text: str, where: str, what: str, remedy: str) -> None:
    """The refusal names the file and line, the fault, and the remedy or the nearest right word."""
    with pytest.raises(DataRefused) as refusal:
        read(text)
    assert refusal.value.where.endswith(where)
    assert what in refusal.value.what
    assert remedy in refusal.value.remedy


@pytest.mark.proves("I-121")
@pytest.mark.parametrize(
    ("text", "line", "first"),
    [
        (GOOD + "rate_e7 = 3_504\n", 6, 3),
        (GOOD + GOOD.replace("2024-01-01", "2025-01-01") + "rate_e7 = 3_504\n", 11, 8),
        ("a = 1\nb = 2\na = 1\n", 3, 1),
    ],
    ids=["in the only row", "in the second row", "above the tables"],
)
def test_a_key_that_stands_twice_is_refused(text: str, line: int, first: int) -> None:
    """Which of two values holds must not depend on their order in the file."""
    with pytest.raises(DataRefused, match=rf"facts\.toml:{line}: .* twice, first on line {first}"):
        read(text)


def test_nesting_without_end_is_refused() -> None:
    """A hostile file ends in a refusal, not in a crash."""
    with pytest.raises(DataRefused, match="nested too deep"):
        read("x = " + "[" * 100_000)
