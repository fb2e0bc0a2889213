"""Chance without a stream: a draw is a hash of what it decides, so one more moves no other."""

from hashlib import blake2b


def draw(seed: int, kind: str, key: str | int) -> int:
    """A number in [0, 2**32) that depends on its arguments alone; 1 and "1" are the same key."""
    text = f"{seed}\0{kind}\0{key}"
    return int.from_bytes(blake2b(text.encode(), digest_size=4).digest())


def draw_within(seed: int, kind: str, key: str | int, *, low: int, high: int) -> int:
    """A number in [low, high], both included. The range must be narrower than 2**32."""
    assert 0 <= high - low < 2**32, f"no range: {low} to {high}"
    return low + (draw(seed, kind, key) * (high - low + 1) >> 32)
