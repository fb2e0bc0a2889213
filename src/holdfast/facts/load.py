"""Reads the dated facts: the files shipped beside this module, and a user's own calendar over them."""

import datetime as dt
import difflib
import hashlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from holdfast.domain.dated import ChargeRates, DayFacts, PriceRules
from holdfast.domain.errors import DataRefused
from holdfast.facts.calendar import (
    Calendar,
    CalendarRows,
    Covers,
    Holiday,
    Hours,
    SpecialSession,
    SquareOff,
)
from holdfast.facts.contracts import ContractRows, ContractTerms, ExpiryRule, Freeze, Lots, Steps
from holdfast.facts.reading import FactsDocument

OVERRIDES_BYTES_MAX: Final = 1_000_000

Dated = TypeVar("Dated", ChargeRates, PriceRules)


def load_day_facts(day: dt.date, overrides: Path | None = None) -> DayFacts:
    """Everything dated that `day` needs; `sessions` is empty on a weekend or holiday.

    `overrides` is a file of the form of sessions.toml: its rows replace the shipped ones of the
    same day and add days; its [[covers]] add to what is known.

    Raises UnknownDay for a day outside the calendar or whose hours nobody announced, and
    DataRefused for a file that cannot be used.
    """
    return DayFacts(
        day=day.isoformat(),
        sessions=load_calendar(overrides).sessions(day),
        charges=_in_force(_charges(), day, lambda rates: (rates.exchange, rates.kind)),
        prices=_in_force(_prices(), day, lambda rules: rules.exchange),
    )


def facts_sha256(facts: DayFacts) -> str:
    """The hash of what a day was traded by, as 64 hexadecimal digits."""
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()


def contract_terms(underlying: str, day: dt.date, overrides: Path | None = None) -> ContractTerms:
    """The terms of the options on `underlying` ("NIFTY") on `day`; overrides as above.

    Raises UnknownDay for a day that the facts do not reach, DataRefused for an underlying that
    they do not name. In live trading the broker's instrument master says all this of each day.
    """
    contracts = _contracts()
    if underlying not in contracts.underlyings:
        close = difflib.get_close_matches(underlying, contracts.underlyings, n=1)
        known = ", ".join(contracts.underlyings)
        raise DataRefused(
            "holdfast/facts/contracts.toml",
            f"no facts for the underlying {underlying!r}",
            f"did you mean {close[0]!r}?" if close else f"known are {known}",
        )
    return contracts.terms(underlying, day, load_calendar(overrides))


def load_calendar(overrides: Path | None = None) -> Calendar:
    """The days and hours of every exchange. Raises DataRefused."""
    if overrides is None:
        return _shipped_calendar()
    return Calendar((_calendar_rows(_shipped("sessions.toml")), _calendar_rows(_own(overrides))))


@cache
def _shipped_calendar() -> Calendar:
    return Calendar((_calendar_rows(_shipped("sessions.toml")),))


def _shipped(file: str) -> FactsDocument:
    text = resources.files("holdfast.facts").joinpath(file).read_text("utf-8")
    return FactsDocument(f"holdfast/facts/{file}", text)


def _own(path: Path) -> FactsDocument:
    try:
        content = path.read_bytes()
    except OSError as error:
        remedy = "check the path of the calendar's overrides and its permissions"
        raise DataRefused(str(path), f"cannot be read: {error.strerror}", remedy) from error
    if len(content) > OVERRIDES_BYTES_MAX:
        what = f"holds {len(content)} bytes, more than {OVERRIDES_BYTES_MAX}"
        raise DataRefused(str(path), what, "give a calendar: days and hours only")
    try:
        return FactsDocument(str(path), content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataRefused(
            f"{path}:{line}", "is not UTF-8 text", "save the file as UTF-8"
        ) from error


def _calendar_rows(document: FactsDocument) -> CalendarRows:
    document.only(*CalendarRows._fields)
    return CalendarRows(
        covers=document.rows("covers", Covers, lambda row: [(row.exchange, row.first)]),
        hours=document.rows("hours", Hours, lambda row: [(row.since, e) for e in row.exchanges]),
        square_off=document.rows("square_off", SquareOff, lambda row: [row.since]),
        holidays=document.rows("holidays", Holiday, _days),
        special=document.rows("special", SpecialSession, _days),
    )


def _days(row: Holiday | SpecialSession) -> Sequence[Hashable]:
    return [(row.date, exchange) for exchange in row.exchanges]


@cache
def _charges() -> tuple[ChargeRates, ...]:
    document = _shipped("charges.toml")
    document.only("rates")
    return document.rows("rates", ChargeRates, lambda row: [(row.since, row.exchange, row.kind)])


@cache
def _prices() -> tuple[PriceRules, ...]:
    document = _shipped("prices.toml")
    document.only("rules")
    return document.rows("rules", PriceRules, lambda row: [(row.since, row.exchange)])


@cache
def _contracts() -> ContractRows:
    document = _shipped("contracts.toml")
    document.only("steps", "freeze", "lots", "expiries")
    return ContractRows(
        steps=document.rows("steps", Steps, lambda row: [(row.underlying, row.since)]),
        freeze=document.rows("freeze", Freeze, lambda row: [(row.underlying, row.since)]),
        lots=document.rows(
            "lots", Lots, lambda row: [(row.underlying, row.expiries_from, row.cycle)]
        ),
        expiries=document.rows(
            "expiries", ExpiryRule, lambda row: [(row.underlying, row.expiries_from)]
        ),
    )


def _in_force(
    rows: Iterable[Dated], day: dt.date, of: Callable[[Dated], Hashable]
) -> tuple[Dated, ...]:
    """The newest row of each kind that holds on `day`; ISO dates sort as text."""
    newest: dict[Hashable, Dated] = {}
    for row in sorted(rows, key=lambda row: row.since):
        if row.since <= day.isoformat():
            newest[of(row)] = row
    return tuple(newest.values())
