"""How figures are written."""

import pytest

from holdfast.research.text import (
    average,
    clock,
    clock_ms,
    figures,
    grouped,
    percent,
    rupees,
    span,
    table,
)
from tests.support.trades import at


@pytest.mark.parametrize(
    ("paise", "text"),
    [
        (0, "0.00"),
        (5, "0.05"),
        (-5, "-0.05"),
        (99_999, "999.99"),
        (100_000, "1,000.00"),
        (9_999_999, "99,999.99"),
        (10_000_000, "1,00,000.00"),
        (-1_23_45_678_90, "-1,23,45,678.90"),
    ],
)
def test_rupees_are_grouped_the_indian_way(paise: int, text: str) -> None:
    """The last three digits, then pairs; always two decimals, the sign in front."""
    assert rupees(paise) == text


def test_other_figures_keep_their_unit_and_sign() -> None:
    """One row for each kind."""
    assert [grouped(n) for n in (0, 999, 1_000, 262_341, -1_00_000)] == [
        "0",
        "999",
        "1,000",
        "2,62,341",
        "-1,00,000",
    ]
    assert [percent(n) for n in (0, 5, 50, 312, 1_200, -150)] == [
        "0 %",
        "0.05 %",
        "0.5 %",
        "3.12 %",
        "12 %",
        "-1.5 %",
    ]


# Halves go up: 3 contracts for 1.00 are 0.33, 2 for 0.05 are 0.03 each.
@pytest.mark.parametrize(
    ("value", "quantity", "text"),
    [(100, 3, "0.33"), (5, 2, "0.03"), (130 * 150_20, 130, "150.20"), (0, 0, "-")],
)
def test_an_average_is_rounded_to_the_paisa(value: int, quantity: int, text: str) -> None:
    """Of nothing there is none."""
    assert average(value, quantity) == text


def test_times_are_those_of_india_whatever_the_machine_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The clock is arithmetic: no time zone of the machine enters."""
    monkeypatch.setenv("TZ", "America/New_York")
    assert clock(at("09:15:00")) == "09:15:00"
    assert clock(at("15:29:59.999")) == "15:29:59"
    assert clock_ms(at("00:00:00.250")) == "00:00:00.250"


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0.000 s"),
        (9_999_999_999, "9.999 s"),
        (124_400_000_000, "124.4 s"),
        (300_000_000_000, "5 min 00 s"),
        (7_199_000_000_000, "119 min 59 s"),
        (7_260_000_000_000, "2 h 01 min"),
    ],
)
def test_a_span_is_as_precise_as_it_is_short(ns: int, text: str) -> None:
    """Milliseconds below ten seconds, minutes beyond two hours."""
    assert span(ns) == text


def test_figures_take_their_unit_from_their_name() -> None:
    """What the program counts in paise, a person reads in rupees."""
    values: dict[str, int | float | str] = {
        "spread_bps": 312,
        "limit_paise": 150_75,
        "age_s": 12,
        "lag_ms": 80,
        "now_ns": at("09:20:00"),
        "held_ns": 1_500_000_000,
        "adx": 24.25,
        "open": 3,
        "freeze_quantity": 1_756,
        "fault": "silent",
    }
    assert figures(values) == (
        "spread 3.12 %, limit 150.75, age 12 s, lag 80 ms, now 09:20:00, held 1.500 s,"
        " adx 24.25, open 3, freeze quantity 1756, fault silent"
    )
    assert figures({}) == ""


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    """Text stands left, numbers right; lines end without blanks."""
    assert table(("name", "n"), [("a", "1"), ("long name", "12345")]) == [
        "name           n",
        "a              1",
        "long name  12345",
    ]
    assert table(("n", "name"), [("1", "a")], left=(1,)) == ["n  name", "1  a"]
