"""Terms of the index contracts by date: lots, freeze quantities, steps, and the days they expire."""

import datetime as dt
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from holdfast.domain.errors import UnknownDay
from holdfast.domain.instrument import Exchange
from holdfast.facts.calendar import Calendar

_ONE_DAY = dt.timedelta(days=1)
_ONE_WEEK = dt.timedelta(days=7)


class Weekday(StrEnum):
    """Days that contracts expire on."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"

    @property
    def number(self) -> int:
        """As `datetime.date.weekday()` counts: Monday is 0."""
        return list(Weekday).index(self)


class Cycle(StrEnum):
    """How far apart a contract's expiries lie."""

    WEEKLY = "weekly"
    MONTHLY = "monthly"


class Steps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an underlying's options trade, and the steps of price and strike near the money."""

    underlying: str
    since: dt.date
    exchange: Exchange
    price_step_paise: int
    strike_step_paise: int
    source: str


class Freeze(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first quantity (contracts, not lots) that the exchange refuses in one order."""

    underlying: str
    since: dt.date
    quantity: int
    source: str


class Lots(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The lot of contracts that expire on or after a day; of one cycle, or of both.

    A lot belongs to the contract, not to the day it is traded on: two sizes trade side by side.
    """

    underlying: str
    expiries_from: dt.date
    cycle: Cycle | None = None
    lot_size: int
    source: str


class ExpiryRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The weekdays of the expiries that are due on or after a day. No `weekly`: monthly ones only.

    The monthly expiry is the month's last `monthly`; its week has no weekly one. An expiry due on
    a day without a full session moves to the full trading day before.
    """

    underlying: str
    expiries_from: dt.date
    weekly: Weekday | None = None
    monthly: Weekday
    source: str


class Expiry(msgspec.Struct, frozen=True, kw_only=True):
    """One expiry, moved off holidays, with the lot of its contracts."""

    day: dt.date
    cycle: Cycle
    lot_size: int


class ContractTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for the options on one underlying on one day.

    `lot_size` is that of the nearest expiry. `freeze_quantity` is the first quantity refused.
    `price_step_paise` is that of options (futures have other steps). `expiries` are those due from
    the day on until the calendar ends, nearest first, by the rules known today.
    """

    underlying: str
    day: str
    exchange: Exchange
    lot_size: int
    freeze_quantity: int
    price_step_paise: int
    strike_step_paise: int
    expiries: tuple[Expiry, ...]

    def next_expiry(self, day: dt.date) -> dt.date:
        """The first expiry on or after `day`. Raises UnknownDay beyond the calendar."""
        for expiry in self.expiries:
            if expiry.day >= day:
                return expiry.day
        raise _beyond(self.underlying, day)


class ContractRows:
    """The dated rows of every underlying, in the order of their dates."""

    def __init__(
        self,
        *,
        steps: Sequence[Steps],
        freeze: Sequence[Freeze],
        lots: Sequence[Lots],
        expiries: Sequence[ExpiryRule],
    ) -> None:
        self._steps = sorted(steps, key=lambda row: row.since)
        self._freeze = sorted(freeze, key=lambda row: row.since)
        self._lots = sorted(lots, key=lambda row: row.expiries_from)
        self._rules = sorted(expiries, key=lambda row: row.expiries_from)
        self.underlyings = sorted({row.underlying for row in steps})

    def terms(self, underlying: str, day: dt.date, calendar: Calendar) -> ContractTerms:
        """The terms of `underlying`, one of `underlyings`, on `day`. Raises UnknownDay."""
        steps = self._steps_on(underlying, day)
        expiries = self._expiries(underlying, day, calendar, steps.exchange)
        if not expiries:
            raise _beyond(underlying, day)
        freeze = [r for r in self._freeze if r.underlying == underlying and r.since <= day][-1]
        return ContractTerms(
            underlying=underlying,
            day=day.isoformat(),
            exchange=steps.exchange,
            lot_size=expiries[0].lot_size,
            freeze_quantity=freeze.quantity,
            price_step_paise=steps.price_step_paise,
            strike_step_paise=steps.strike_step_paise,
            expiries=expiries,
        )

    def _steps_on(self, underlying: str, day: dt.date) -> Steps:
        rows = [row for row in self._steps if row.underlying == underlying]
        known = [row for row in rows if row.since <= day]
        if not known:
            raise UnknownDay(
                f"{day}: the terms of {underlying} contracts are known from {rows[0].since} on\n"
                "  trade or replay a later day"
            )
        return known[-1]

    def _expiries(
        self, underlying: str, day: dt.date, calendar: Calendar, exchange: Exchange
    ) -> tuple[Expiry, ...]:
        rules = [rule for rule in self._rules if rule.underlying == underlying]
        found: list[Expiry] = []
        due, last = day, calendar.known_until(exchange, day)
        while due <= last:
            cycle = _cycle([rule for rule in rules if rule.expiries_from <= due][-1], due)
            if cycle is not None:
                moved = calendar.full_day_until(exchange, due)
                lot_size = self._lot_size(underlying, moved, cycle)
                found.append(Expiry(day=moved, cycle=cycle, lot_size=lot_size))
            due += _ONE_DAY
        return tuple(expiry for expiry in found if expiry.day >= day)

    def _lot_size(self, underlying: str, expiry: dt.date, cycle: Cycle) -> int:
        rows = [
            row
            for row in self._lots
            if row.underlying == underlying
            and row.expiries_from <= expiry
            and row.cycle in (None, cycle)
        ]
        return rows[-1].lot_size


def _cycle(rule: ExpiryRule, due: dt.date) -> Cycle | None:
    """Which contracts are due on `due` by the weekdays of `rule`, before holidays move them."""
    monthly_due = due + (rule.monthly.number - due.weekday()) * _ONE_DAY
    is_monthly_week = (monthly_due + _ONE_WEEK).month != monthly_due.month
    if is_monthly_week:
        return Cycle.MONTHLY if due == monthly_due else None
    is_weekly = rule.weekly is not None and due.weekday() == rule.weekly.number
    return Cycle.WEEKLY if is_weekly else None


def _beyond(underlying: str, day: dt.date) -> UnknownDay:
    return UnknownDay(
        f"{day}: the next expiry of {underlying} lies beyond the calendar, whose holidays would "
        "move it\n  give the next year's holidays as the overrides of the calendar, or upgrade"
    )
