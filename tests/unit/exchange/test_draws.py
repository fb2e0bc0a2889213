"""Draws are hashes of what they decide."""

import pytest

from holdfast.exchange.draws import draw, draw_within


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        ((1, "request", "place/A/0"), 1_189_415_596),
        ((2, "request", "place/A/0"), 4_073_226_384),
        ((1, "update", "place/A/0"), 1_983_008_797),
        ((1, "request", 7), 2_887_146_997),
    ],
)
def test_a_draw_is_the_same_in_every_run_and_version(
    arguments: tuple[int, str, str | int], number: int
) -> None:
    """A seed that was printed once repeats its day for ever: these numbers must not change."""
    assert draw(*arguments) == number


def test_what_is_drawn_before_changes_nothing() -> None:
    """There is no stream that another draw could shift."""
    alone = draw(5, "update", "B/3")
    for other in range(100):
        draw(5, "update", f"A/{other}")
    assert draw(5, "update", "B/3") == alone


def test_kind_and_key_do_not_run_together() -> None:
    """`ab` + `c` and `a` + `bc` are two draws."""
    assert draw(1, "ab", "c") != draw(1, "a", "bc")


def test_a_range_is_reached_on_both_ends_and_never_left() -> None:
    """Evenly: of 3,000 draws over three numbers each comes up near a thousand times."""
    drawn = [draw_within(1, "die", key, low=-1, high=1) for key in range(3_000)]
    assert [drawn.count(number) in range(900, 1_100) for number in (-1, 0, 1)] == [True] * 3
    assert {draw_within(1, "die", key, low=4, high=4) for key in range(9)} == {4}


@pytest.mark.parametrize(("low", "high"), [(1, 0), (0, 2**32)])
def test_a_range_is_not_empty_and_fits_the_hash(low: int, high: int) -> None:
    """Anything else is a programmer's error."""
    with pytest.raises(AssertionError, match="no range"):
        draw_within(1, "die", 0, low=low, high=high)
