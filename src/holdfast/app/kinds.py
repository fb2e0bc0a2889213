"""The kinds of values a configuration file holds, each read strictly and shown as it is written.

A value that does not fit is refused with what was probably meant: 12 where basis points stand is
12 %, 0.12 a ratio, "5,00,000" an amount in rupees. It is never converted silently.
"""

import difflib
import ipaddress
import math
import re
from collections.abc import Iterator
from datetime import date, datetime, time
from enum import Enum
from typing import Any, Final, Protocol

import msgspec

Shown = int | float | str | list[str]
"""A value as TOML and JSON hold it."""

_AMOUNT: Final = re.compile(r"\s*₹?\s*([\d,_]*\d(?:\.\d+)?)\s*(?:%|bps|s|sec|ms|rupees)?\s*")
_TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_SHORT_TIME: Final = re.compile(r"(\d{1,2})[:.h]?(\d{2})(?::\d{2})?")
NOW: Final = "now"
_MOMENT: Final = "%Y-%m-%d %H:%M:%S"
_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9]{4,20}")


class Unfit(Exception):
    """A value that its key does not take; who reads the file adds the place."""

    def __init__(self, what: str, remedy: str) -> None:
        """`remedy` says what to write instead."""
        super().__init__(what)
        self.what = what
        self.remedy = remedy


class Kind(Protocol):
    """How one sort of value is read from the file and shown again."""

    @property
    def takes(self) -> str:
        """What may be written, in words."""
        ...

    def parse(self, name: str, given: object) -> Any:
        """The value as the program keeps it. Raises Unfit."""
        ...

    def shown(self, value: Any) -> Shown:
        """The value as a person writes it."""
        ...


class Unit(Enum):
    """What a whole number counts: in words, and how many of the program's make one."""

    COUNT = "", 1
    SECONDS = " of seconds", 1
    MILLISECONDS = " of milliseconds", 1
    BPS = " of basis points", 1
    RUPEES = " of rupees", 100

    def __init__(self, words: str, scale: int) -> None:
        """`scale` is 100 for rupees, which the program keeps as paise."""
        self.words = words
        self.scale = scale


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """A whole number from `low` to `high`; `zero`, where given, says what 0 means besides."""

    low: int
    high: int
    unit: Unit = Unit.COUNT
    zero: str = ""

    @property
    def takes(self) -> str:
        """The range, with percent beside basis points."""
        span = f"{self._told(self.low)} to {self._told(self.high)}"
        return f"{span}, or 0: {self.zero}" if self.zero else span

    def parse(self, name: str, given: object) -> int:
        """In the program's unit: paise for rupees."""
        if type(given) is not int:
            what = f"{name} = {literal(given)} is not a whole number{self.unit.words}"
            raise Unfit(what, self._meant(name, _number(given)))
        if not self._holds(given):
            what = f"{name} = {self._told(given)} is out of range"
            raise Unfit(what, self._meant(name, given))
        return given * self.unit.scale

    def shown(self, value: int) -> int:
        """Paise come back as rupees."""
        return value // self.unit.scale

    def _holds(self, number: int) -> bool:
        return self.low <= number <= self.high or (number == 0 and bool(self.zero))

    def _told(self, number: int) -> str:
        return f"{number} ({number / 100:g} %)" if self.unit is Unit.BPS else str(number)

    def _meant(self, name: str, number: float | None) -> str:
        """The first reading of `number` that the range takes, else the range."""
        for reading in self._readings(number):
            if reading and self._holds(reading):
                return f"did you mean {name} = {self._told(reading)}?"
        return f"{name} takes {self.takes}"

    def _readings(self, number: float | None) -> Iterator[int]:
        if number is None:
            return
        if self.unit is Unit.BPS:
            if number < 1:
                yield round(number * 10_000)
            yield round(number * 100)
        yield round(number)


class Fraction(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds with at most three decimals, for intervals of the shell; never money."""

    low: float
    high: float

    @property
    def takes(self) -> str:
        """The range."""
        return f"{self.low:g} to {self.high:g} seconds"

    def parse(self, name: str, given: object) -> float:
        """Whole numbers are taken too."""
        number = math.nan
        if isinstance(given, int | float) and not isinstance(given, bool):
            number = float(given)
        # NaN fails every comparison.
        if self.low <= number <= self.high and round(number, 3) == number:
            return number
        raise Unfit(f"{name} = {literal(given)} does not fit", f"{name} takes {self.takes}")

    def shown(self, value: float) -> float:
        """As it is."""
        return value


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """On or off."""

    @property
    def takes(self) -> str:
        """The two words of TOML."""
        return "true or false"

    def parse(self, name: str, given: object) -> bool:
        """1, "yes" and "on" are refused: there is one spelling."""
        if isinstance(given, bool):
            return given
        raise Unfit(f"{name} = {literal(given)} is no switch", f"{name} takes {self.takes}")

    def shown(self, value: bool) -> bool:  # noqa: FBT001 the protocol's shape
        """As it is."""
        return value


class ClockTime(msgspec.Struct, frozen=True, kw_only=True):
    """A time of day in India, to the minute: "09:20". Kept as seconds after midnight."""

    low_s: int
    high_s: int

    @property
    def takes(self) -> str:
        """The range."""
        return f'"{self.shown(self.low_s)}" to "{self.shown(self.high_s)}"'

    def parse(self, name: str, given: object) -> int:
        """Seconds after midnight IST."""
        match = _TIME.fullmatch(given) if isinstance(given, str) else None
        if match is None:
            what = f"{name} = {literal(given)} is not a time of day in quotes"
            raise Unfit(what, self._meant(name, given))
        seconds = int(match[1]) * 3_600 + int(match[2]) * 60
        if not self.low_s <= seconds <= self.high_s:
            raise Unfit(f"{name} = {literal(given)} is out of range", f"{name} takes {self.takes}")
        return seconds

    def shown(self, value: int) -> str:
        """The clock's face."""
        return f"{value // 3_600:02d}:{value // 60 % 60:02d}"

    def _meant(self, name: str, given: object) -> str:
        if match := _SHORT_TIME.fullmatch(str(given)):
            face = f"{int(match[1]):02d}:{match[2]}"
            if _TIME.fullmatch(face):
                return f'did you mean {name} = "{face}"?'
        return f"{name} takes {self.takes}"


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """A date, "2026-11-20"."""

    @property
    def takes(self) -> str:
        """The form."""
        return 'a date in quotes: "2026-11-20"'

    def parse(self, name: str, given: object) -> str:
        """The same text, once it is a day of the calendar."""
        if type(given) is date:
            raise Unfit(f"{name} = {given} has no quotes", f'did you mean {name} = "{given}"?')
        try:
            day = date.fromisoformat(given) if isinstance(given, str) else None
        except ValueError:
            day = None
        if day is None or day.isoformat() != given:
            raise Unfit(f"{name} = {literal(given)} is not a day", f"{name} takes {self.takes}")
        return day.isoformat()

    def shown(self, value: str) -> str:
        """As it is."""
        return value


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A date and a time of day in India, "2026-11-20 09:10:00", or "now"."""

    @property
    def takes(self) -> str:
        """The form."""
        return 'a moment in India in quotes: "2026-11-20 09:10:00", or "now"'

    def parse(self, name: str, given: object) -> str:
        """The same text, once there is such a moment."""
        try:
            moment = datetime.strptime(given, _MOMENT) if isinstance(given, str) else None  # noqa: DTZ007 India's wall
        except ValueError:
            moment = None
        if given == NOW or (moment is not None and moment.strftime(_MOMENT) == given):
            return str(given)
        raise Unfit(f"{name} = {literal(given)} is not a moment", f"{name} takes {self.takes}")

    def shown(self, value: str) -> str:
        """As it is."""
        return value


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a service of the broker is. Secrets travel there: in the open only on this host."""

    schemes: tuple[str, str]

    @property
    def takes(self) -> str:
        """The form."""
        plain, secure = self.schemes
        return f'"{secure}://HOST/PATH" or "{plain}://127.0.0.1:PORT/PATH"'

    def parse(self, name: str, given: object) -> str:
        """The text itself, without a "/" at its end."""
        if isinstance(given, str) and _fits(given, self.schemes):
            return given.rstrip("/")
        raise Unfit(f"{name} = {literal(given)} does not fit", f"{name} takes {self.takes}")

    def shown(self, value: str) -> str:
        """As it is."""
        return value


PORT_MAX: Final = 65_535
_ADDRESS: Final = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?:/[A-Za-z0-9._~-]+)*/?"
)
"""The whole of an address, so that no two parsers can read another host out of it: a name or a
number, a port and a plain path; no user, query, mark, blank or escape."""


def is_here(url: str) -> bool:
    """Whether an address is on this machine: only then may time be scaled (decisions 2.15).

    "localhost" counts by its name; any other name does not, whatever it resolves to.
    """
    parts = _ADDRESS.fullmatch(url)
    if parts is None:
        return False
    host = parts["host"].strip("[]").lower()
    return host == "localhost" or (_is_number(host) and ipaddress.ip_address(host).is_loopback)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _fits(url: str, schemes: tuple[str, str]) -> bool:
    plain, secure = schemes
    parts = _ADDRESS.fullmatch(url)
    if parts is None or not 0 < int(parts["port"] or 1) <= PORT_MAX:
        return False
    if parts["host"].startswith("[") and not _is_number(parts["host"].strip("[]")):
        return False
    return parts["scheme"] == secure or (parts["scheme"] == plain and is_here(url))


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """One of a few words."""

    options: tuple[str, ...]

    @property
    def takes(self) -> str:
        """The words."""
        return _listed(self.options)

    def parse(self, name: str, given: object) -> str:
        """The word itself."""
        if isinstance(given, str) and given in self.options:
            return given
        raise Unfit(f"{name} = {literal(given)} is not known", _nearest_word(name, given, self))

    def shown(self, value: str) -> str:
        """As it is."""
        return value


class Name(msgspec.Struct, frozen=True, kw_only=True):
    """The number of an account: letters and digits, because folders and order ids hold it."""

    @property
    def takes(self) -> str:
        """The form."""
        return "4 to 20 letters and digits in quotes"

    def parse(self, name: str, given: object) -> str:
        """The text itself."""
        if isinstance(given, str) and _CLIENT_ID.fullmatch(given):
            return given
        remedy = f"{name} takes {self.takes}"
        if type(given) is int and _CLIENT_ID.fullmatch(str(given)):
            remedy = f'did you mean {name} = "{given}"?'
        raise Unfit(f"{name} = {literal(given)} is not a client id", remedy)

    def shown(self, value: str) -> str:
        """As it is."""
        return value


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """A list of different names out of a few, at least one."""

    options: tuple[str, ...]

    @property
    def takes(self) -> str:
        """The names."""
        return f"a list of {_listed(self.options)}"

    def parse(self, name: str, given: object) -> tuple[str, ...]:
        """In the file's order."""
        if not isinstance(given, list):
            raise Unfit(
                f"{name} = {literal(given)} is not a list", f'write {name} = ["{self.options[0]}"]'
            )
        word = Word(options=self.options)
        names = tuple(word.parse(name, entry) for entry in given)
        if not names or len(set(names)) < len(names):
            raise Unfit(
                f"{name} = {literal(given)} is empty or repeats a name",
                f"{name} takes {self.takes}",
            )
        return names

    def shown(self, value: tuple[str, ...]) -> list[str]:
        """A list again."""
        return list(value)


def literal(value: object) -> str:
    """A value in TOML's spelling, for the file and for messages."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case list():
            return f"[{', '.join(literal(entry) for entry in value)}]"
        case time():
            return value.isoformat()
        case dict():
            return "{...}"
        case _:
            return str(value)


def nearest(word: str, options: tuple[str, ...]) -> str | None:
    """The option that `word` is probably a slip of."""
    found = difflib.get_close_matches(word.lower(), [o.lower() for o in options], n=1, cutoff=0.6)
    return next((o for o in options if found and o.lower() == found[0]), None)


def _nearest_word(name: str, given: object, word: Word) -> str:
    option = nearest(given, word.options) if isinstance(given, str) else None
    return f'did you mean "{option}"?' if option else f"{name} takes {word.takes}"


def _listed(options: tuple[str, ...]) -> str:
    return " or ".join(f'"{option}"' for option in options)


def _number(given: object) -> float | None:
    """The number in what was given, `None` when there is none to be found."""
    if type(given) is float:
        return given if math.isfinite(given) else None
    if isinstance(given, str) and (match := _AMOUNT.fullmatch(given)):
        return float(match[1].replace(",", "").replace("_", ""))
    return None
