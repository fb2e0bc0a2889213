"""What a client of the market feed asks for: its messages, and what it is subscribed to."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from holdfast.domain.instrument import InstrumentId, Segment, instrument_id
from holdfast.simbroker.dhan.packets import Reason

MODES: Final = (15, 17, 21)
"""Ticker, quote, full: each contains the one before, and the next code takes it back."""

DISCONNECT: Final = 12
PER_MESSAGE_MAX: Final = 100
PER_CONNECTION_MAX: Final = 5_000


class Wish(NamedTuple):
    """One message read: its request code and the instruments it names."""

    code: int
    instruments: tuple[InstrumentId, ...] = ()


def read_wish(text: str | bytes) -> Wish | Reason:
    """What a message says (dhan.md 4.1), or why the server lets go of whoever sent it.

    Codes that are none of the feed's are taken for nothing; a number where the id must be a
    string is a bad request.
    """
    try:
        told = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Reason.BAD_REQUEST
    code = told.get("RequestCode") if isinstance(told, dict) else None
    if not isinstance(code, int):
        return Reason.BAD_REQUEST
    if code not in MODES and code - 1 not in MODES:
        return Wish(code)
    listed = told.get("InstrumentList")
    if not isinstance(listed, list):
        return Reason.BAD_REQUEST
    if len(listed) > PER_MESSAGE_MAX:
        return Reason.TOO_MANY_INSTRUMENTS
    return _wish(code, listed)


def _wish(code: int, listed: Sequence[Any]) -> Wish | Reason:
    found = []
    for one in listed:
        told = one if isinstance(one, Mapping) else {}
        segment, number = told.get("ExchangeSegment"), told.get("SecurityId")
        if not isinstance(segment, str) or not isinstance(number, str):
            return Reason.BAD_REQUEST
        if segment not in Segment.__members__:
            return Reason.BAD_REQUEST
        if number.isdecimal():
            found.append(instrument_id(Segment(segment), int(number)))
    return Wish(code, tuple(found))


class Subscriptions:
    """The modes in which one connection follows each instrument; the richest one is served."""

    def __init__(self) -> None:
        self._modes: dict[InstrumentId, set[int]] = {}

    def __len__(self) -> int:
        """How many instruments are followed."""
        return len(self._modes)

    def add(self, instrument: InstrumentId, mode: int) -> None:
        """Follow an instrument in a mode as well."""
        self._modes.setdefault(instrument, set()).add(mode)

    def remove(self, instrument: InstrumentId, mode: int) -> None:
        """Follow it in this mode no longer; of what is not followed nothing happens."""
        modes = self._modes.get(instrument, set())
        modes.discard(mode)
        if not modes:
            self._modes.pop(instrument, None)

    def mode(self, instrument: InstrumentId) -> int | None:
        """The richest mode asked for, `None` where it is not followed."""
        modes = self._modes.get(instrument)
        return max(modes) if modes else None

    def all(self) -> dict[InstrumentId, int]:
        """Every instrument followed, with its mode."""
        return {instrument: max(modes) for instrument, modes in self._modes.items()}
