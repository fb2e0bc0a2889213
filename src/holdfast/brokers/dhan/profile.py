"""Whose session it is, until when, and what the account may do (dhan.md 1.7)."""

from typing import Final

import msgspec

from holdfast.brokers.dhan.fields import Unreadable, ist_stamp, objects, text
from holdfast.brokers.dhan.reads import NoAnswer, ask
from holdfast.brokers.dhan.rest import Answer, Rest

PATH: Final = "/profile"

_SEGMENTS: Final = {
    "e": "equity",
    "d": "derivative",
    "c": "currency",
    "m": "commodity",
}
"""Production sends the letters, "E, D, C, M, "; documents and sandbox the words."""

_VALID_FORM: Final = "%d/%m/%Y %H:%M"
_PLAN_FORM: Final = "%Y-%m-%d %H:%M:%S"


class DhanProfile(msgspec.Struct, frozen=True, kw_only=True):
    """The account as the broker tells it. Times are UTC ns, `None` where it tells none.

    `segments` are of "equity", "derivative", "currency", "commodity". `has_data` is the data plan,
    without which no feed comes (806).
    """

    client_id: str
    token_until_ns: int | None = None
    segments: frozenset[str] = frozenset()
    has_data: bool = False
    data_until_ns: int | None = None

    def fault(self, at_ns: int) -> str:
        """Why index options cannot be traded in it at `at_ns`; empty when they can."""
        if "derivative" not in self.segments:
            return "the account has no derivatives segment: have the broker activate it"
        if not self.has_data:
            return "the account has no data plan: without one no market data comes"
        if self.data_until_ns is not None and self.data_until_ns <= at_ns:
            return "the account's data plan has ended: without one no market data comes"
        return ""


async def read_profile(rest: Rest) -> DhanProfile | NoAnswer:
    """Ask whose session it is. It is the cheapest question that a dead token does not answer."""
    return await ask(rest, "GET", PATH, parse=profile_of)


def profile_of(answer: Answer) -> DhanProfile:
    """Read its answer. Raises `Unreadable` when it does not say whose account it is."""
    row = objects(answer.payload, "profile")
    client_id = text(row, "dhanClientId").strip()
    if not client_id:
        raise Unreadable("the profile names no dhanClientId")
    return DhanProfile(
        client_id=client_id,
        token_until_ns=_stamp(text(row, "tokenValidity"), _VALID_FORM, "tokenValidity"),
        segments=_segments(text(row, "activeSegment")),
        has_data=text(row, "dataPlan").strip().lower() == "active",
        data_until_ns=_stamp(text(row, "dataValidity"), _PLAN_FORM, "dataValidity"),
    )


def _segments(given: str) -> frozenset[str]:
    words = (word.strip().lower() for word in given.split(","))
    known = (_SEGMENTS.get(word, word) for word in words)
    return frozenset(word for word in known if word in _SEGMENTS.values())


def _stamp(given: str, form: str, what: str) -> int | None:
    """A time in India; `None` for the broker's words for none. Raises `Unreadable` (I-94)."""
    said = given.strip().partition(".")[0]
    if not said or said.upper() == "NA" or said.startswith("0001-01-01"):
        return None
    return ist_stamp(said, form, what)
