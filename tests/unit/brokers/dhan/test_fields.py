"""Single fields of the broker's JSON: read exactly or not at all."""

from decimal import Decimal

import pytest

from holdfast.brokers.dhan.fields import (
    SHOWN_MAX,
    Unreadable,
    data_of,
    ist_stamp,
    ist_wall,
    items,
    number,
    objects,
    paise,
    shown,
    text,
    whole,
)
from tests.support.dhan_account import NOW_NS, answer


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (115.64, 11564),
        (Decimal("23092.19921875"), 2309220),
        ("25650.000000", 2565000),
        (Decimal("1.7454579E7"), 1745457900),
        (-0.0, 0),
        (0, 0),
        ("-12.5", -1250),
        (0.05, 5),
    ],
)
def test_rupees_become_the_nearest_paise(given: object, expected: int) -> None:
    """With a fraction, an exponent, as text, as a 32-bit float's shadow."""
    assert paise(given, "it") == expected


@pytest.mark.parametrize(
    "given",
    [None, True, "", "NA", [], {}, float("nan"), float("inf"), "NaN", 1e300, Decimal("1E+99")],
)
def test_what_is_no_number_is_unreadable(given: object) -> None:
    """And says so with the name of the field."""
    with pytest.raises(Unreadable, match=r"^it is no number"):
        number(given, "it")


def test_whole_numbers_may_be_written_with_a_point() -> None:
    """65.0 is 65; 65.5 is no quantity."""
    assert whole("65.0", "it") == 65
    with pytest.raises(Unreadable, match="not whole"):
        whole(65.5, "it")


def test_ids_are_texts_whatever_they_came_as() -> None:
    """Numbers become text, null and absence the default; a list is none."""
    row: dict[str, object] = {"a": 5, "b": "x", "c": None, "d": [], "e": True}
    assert [text(row, key) for key in "abcz"] == ["5", "x", "", ""]
    for key in "de":
        with pytest.raises(Unreadable, match=f"^{key} is no text"):
            text(row, key)


def test_times_are_indias() -> None:
    """Both ways, whatever this machine's zone."""
    at_ns = ist_stamp("20/11/2026 08:45", "%d/%m/%Y %H:%M", "it")
    assert at_ns == NOW_NS
    assert ist_wall(at_ns) == "2026-11-20 08:45:00"
    with pytest.raises(Unreadable, match="no time"):
        ist_stamp("yesterday", "%d/%m/%Y", "it")


def test_a_message_shows_little_of_what_was_seen() -> None:
    """One short line, whatever came."""
    for value in ("x" * 10_000, {"a": "x" * 10_000}, ["x"] * 10_000, "a\nb", 10**200):
        assert len(shown(value)) <= SHOWN_MAX
        assert "\n" not in shown(value)


def test_shapes_are_judged() -> None:
    """An array is no object and the other way round; only a success holds data."""
    with pytest.raises(Unreadable, match="no object"):
        objects([], "it")
    with pytest.raises(Unreadable, match="no array"):
        items({}, "it")
    assert data_of(answer('{"data":[1],"status":"success"}'), "it") == [1]
    for body in ('{"data":{"813":"x"},"status":"failed"}', '{"status":"success"}'):
        with pytest.raises(Unreadable, match="no success"):
            data_of(answer(body), "it")
