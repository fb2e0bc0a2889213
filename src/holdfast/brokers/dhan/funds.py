"""What cash is free at the broker (dhan.md 3.7)."""

from typing import Final

from holdfast.brokers.dhan.fields import Unreadable, objects, paise
from holdfast.brokers.dhan.reads import NoAnswer, ask
from holdfast.brokers.dhan.rest import Answer, Rest

PATH: Final = "/fundlimit"

_KEYS: Final = ("availabelBalance", "availableBalance")
"""The broker's spelling, and the one that it may be mended to."""


async def read_funds(rest: Rest) -> int | NoAnswer:
    """Free cash in paise; negative when the account owes."""
    return await ask(rest, "GET", PATH, parse=funds_of)


def funds_of(answer: Answer) -> int:
    """Free cash in paise. Raises `Unreadable`."""
    row = objects(answer.payload, "fundlimit")
    for key in _KEYS:
        if key in row:
            return paise(row[key], key)
    raise Unreadable("fundlimit lacks availabelBalance")
