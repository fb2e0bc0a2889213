"""Seeds that once found something: each world is played again and holds.

A seed means another world when mixes or terms change: what each of them found has a test of its
own beside the code as well.
"""

import pytest

from holdfast.worlds.mixes import script
from holdfast.worlds.verdict import judge

FOUND = [
    (204, "deaths", "refusals of several slices added up to one pause"),
    (1082, "words", "a word that was lost about an order that rests barred entries all day"),
    (
        20103,
        "hands",
        "what others sold of ours and bought for themselves in one key are two things",
    ),
    (7012, "everything", "a start was told that the disk takes nothing, which was over by then"),
    (1101, "answers", "a stop that was dropped twice is taken to be the owner's will"),
    (1440, "requests", "what could not connect for minutes used up the hour's requests of exits"),
]
"""Seed, the mix that it is played with, and what it found."""


@pytest.mark.worlds
@pytest.mark.parametrize(("seed", "mix", "what"), FOUND)
def test_a_seed_that_found_something_finds_nothing(seed: int, mix: str, what: str) -> None:
    """No checker speaks, at any step or at the end."""
    verdict, _ = judge(script(seed, mix))
    assert verdict.checker is None, f"{what}: {verdict.text}"
