"""Bytes and JSON values, hurt under a seed: what wires, proxies and bugs make of good messages."""

import random
from collections.abc import Callable
from typing import Any

BREAKERS = [b"\0\0", b"\xff\xff", b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\0\0\x80\xff", b"\0\0\0\x80"]
"""Bytes that break decoders: zeros and ones, NaN, both infinities, minus zero, as 32-bit floats."""

ODD: list[Any] = [
    None,
    True,
    "",
    "NA",
    "0",
    "nan",
    "-1",
    "1e400",
    [],
    {},
    [[]],
    {"data": None},
    -1,
    0,
    0.0,
    -0.0,
    1e308,
    5e-324,
    2**63,
    -(2**64),
    10**40,
    0.1,
    "0001-01-01 00:00:00",
    "x" * 300,
    "\x00",
    "\ud800",
]


def _flip(message: bytes, _at: int, chance: random.Random) -> bytes:
    hurt = bytearray(message)
    for _ in range(chance.randrange(1, 6) if hurt else 0):
        hurt[chance.randrange(len(hurt))] ^= 1 << chance.randrange(8)
    return bytes(hurt)


def _overwrite(message: bytes, at: int, chance: random.Random) -> bytes:
    breaker = chance.choice(BREAKERS)
    return message[:at] + breaker + message[at + len(breaker) :]


HURTS: list[Callable[[bytes, int, random.Random], bytes]] = [
    _flip,
    _overwrite,
    lambda message, at, _chance: message[:at],
    lambda message, at, _chance: message[at:],
    lambda message, at, _chance: message + message[:at],
    lambda message, at, chance: message[:at] + chance.randbytes(9) + message[at:],
    lambda message, at, chance: message[:at] + message[at + chance.randrange(1, 20) :],
    lambda _message, _at, chance: chance.randbytes(chance.randrange(200)),
]


def damage(message: bytes, chance: random.Random) -> bytes:
    """One hurt of a message."""
    return chance.choice(HURTS)(message, chance.randrange(len(message) + 1), chance)


def _spoil_object(value: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    key = chance.choice(sorted(value))
    act = chance.randrange(5)
    if act == 0:
        return {name: one for name, one in value.items() if name != key}
    if act == 1:
        return {**value, key.upper(): chance.choice(ODD)}
    if act == 2:
        return {name.swapcase(): one for name, one in value.items()}
    return {**value, key: spoil(value[key], chance)}


def spoil(value: Any, chance: random.Random) -> Any:
    """A JSON value with something in it replaced, dropped, doubled or renamed."""
    if chance.randrange(4) == 0:
        return chance.choice(ODD)
    if isinstance(value, dict) and value:
        return _spoil_object(value, chance)
    if isinstance(value, list) and value:
        at = chance.randrange(len(value))
        return [*value[:at], spoil(value[at], chance), *value[chance.choice([at, at + 1]) :]]
    return chance.choice(ODD)
