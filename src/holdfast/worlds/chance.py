"""Chance of a world: each draw is a hash of the seed and of what it decides, never of a stream."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

from holdfast.exchange.draws import draw, draw_within

_T = TypeVar("_T")


class Chance:
    """The draws of one seed under one name: one more of them moves no other."""

    def __init__(self, seed: int, name: str) -> None:
        """`name` keeps the draws of one part of a world apart from all others."""
        self._seed = seed
        self._name = name

    def within(self, key: str, low: int, high: int) -> int:
        """A number in [low, high], both included."""
        return draw_within(self._seed, self._name, key, low=low, high=high)

    def happens(self, key: str, bps: int) -> bool:
        """Whether something with this probability in basis points happens."""
        return draw(self._seed, self._name, key) % 10_000 < bps

    def one_of(self, key: str, choices: Sequence[_T]) -> _T:
        """One of several, alike in weight."""
        return choices[draw(self._seed, self._name, key) % len(choices)]

    def part(self, key: str) -> "Chance":
        """The draws of one thing among many of its kind."""
        return Chance(self._seed, f"{self._name}/{key}")

    def bytes_of(self, key: str) -> bytes:
        """Sixty-four bytes at once, for whoever needs many small numbers."""
        return blake2b(f"{self._seed}\0{self._name}\0{key}".encode(), digest_size=64).digest()
