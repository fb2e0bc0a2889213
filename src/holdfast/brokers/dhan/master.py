"""The broker's list of contracts: read by column name, strictly, and only what is traded.

Two forms of it exist (dhan.md 3.12). A security id is unique only together with its segment. What a
row lacks is never guessed: a row of ours that cannot be read is left out and told, a column that is
missing refuses the file.
"""

import csv
import datetime as dt
import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from holdfast.brokers.dhan.fields import Unreadable, number, paise, shown, whole
from holdfast.domain.errors import DataRefused
from holdfast.domain.instrument import (
    Exchange,
    Instrument,
    InstrumentId,
    Kind,
    OptionType,
    Segment,
    instrument_id,
)

ROWS_AT_ONCE: Final = 20_000
"""About a twentieth of a second."""

ROWS_MAX: Final = 2_000_000
"""The real one has 200,000: more is no list of contracts."""

_SEGMENTS: Final[Mapping[tuple[str, str], Segment]] = {
    ("NSE", "I"): Segment.IDX_I,
    ("BSE", "I"): Segment.IDX_I,
    ("NSE", "E"): Segment.NSE_EQ,
    ("BSE", "E"): Segment.BSE_EQ,
    ("NSE", "D"): Segment.NSE_FNO,
    ("BSE", "D"): Segment.BSE_FNO,
}
"""What an exchange and a letter name in requests. Others (currency, commodity) are not traded."""

_KINDS: Final[Mapping[str, Kind]] = {
    "INDEX": Kind.INDEX,
    "OPTIDX": Kind.OPTION,
    "OPTSTK": Kind.OPTION,
    "FUTIDX": Kind.FUTURE,
    "FUTSTK": Kind.FUTURE,
    "EQUITY": Kind.EQUITY,
}

_TRADED: Final = frozenset({"INDEX", "OPTIDX"})
"""What of an underlying is imported; of what is held, everything."""

_RUPEES_BELOW: Final = Decimal(1)
"""A smaller tick size is in rupees: 0.05 paise do not exist. Others are paise (5.0000 is 0.05)."""


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """Where a form of the list keeps what is needed: the names of its columns.

    `underlying` empty: it is the first part of the symbol. `freeze` may be missing from a file.
    """

    exchange: str
    segment: str
    security_id: str
    instrument: str
    symbol: str
    lot: str
    expiry: str
    strike: str
    option_type: str
    tick: str
    underlying: str = ""
    freeze: str = ""

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns without which a file is refused."""
        names = msgspec.structs.asdict(self).items()
        return tuple(name for field, name in names if name and field != "freeze")


DETAILED: Final = Form(
    exchange="EXCH_ID",
    segment="SEGMENT",
    security_id="SECURITY_ID",
    instrument="INSTRUMENT",
    symbol="SYMBOL_NAME",
    lot="LOT_SIZE",
    expiry="SM_EXPIRY_DATE",
    strike="STRIKE_PRICE",
    option_type="OPTION_TYPE",
    tick="TICK_SIZE",
    underlying="UNDERLYING_SYMBOL",
    freeze="SM_FREEZE_QTY",
)
COMPACT: Final = Form(
    exchange="SEM_EXM_EXCH_ID",
    segment="SEM_SEGMENT",
    security_id="SEM_SMST_SECURITY_ID",
    instrument="SEM_INSTRUMENT_NAME",
    symbol="SEM_TRADING_SYMBOL",
    lot="SEM_LOT_UNITS",
    expiry="SEM_EXPIRY_DATE",
    strike="SEM_STRIKE_PRICE",
    option_type="SEM_OPTION_TYPE",
    tick="SEM_TICK_SIZE",
)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is taken from the list on `day`.

    `freeze` is each underlying's first quantity refused, by the dated facts (0: unknown). `held`
    are contracts that must be known whatever their underlying.
    """

    day: dt.date
    freeze: Mapping[str, int]
    held: frozenset[InstrumentId] = frozenset()

    @property
    def underlyings(self) -> Collection[str]:
        """The plain names of what is traded."""
        return self.freeze.keys()


class Master(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken from a list: indices first, then by expiry, strike and type.

    `rows` is how many lines there were. `left_out` counts rows of ours by why they cannot be used,
    with one example each. `lacking` are held contracts that the list does not know.
    """

    instruments: tuple[Instrument, ...]
    rows: int
    left_out: tuple[tuple[str, int], ...] = ()
    lacking: tuple[InstrumentId, ...] = ()


class MasterReading:
    """Goes through a file a stretch at a time, so that nothing else waits for it."""

    def __init__(self, path: Path, wanted: Wanted) -> None:
        """Raises OSError; DataRefused when a column is missing."""
        self._name = path.name
        self._file = path.open(newline="", encoding="utf-8-sig", errors="replace")
        self._lines = csv.reader(self._file)
        try:
            self._taking = _Taking(_Columns(self._name, next(self._lines, [])), wanted)
        except csv.Error as error:
            self.close()
            raise _refused(self._name, f"line 1: {error}") from error
        except DataRefused:
            self.close()
            raise

    def go_on(self, rows: int) -> bool:
        """Look at that many more rows; returns whether there are more. Raises DataRefused."""
        try:
            for row in itertools.islice(self._lines, rows):
                self._taking.see(row)
        except csv.Error as error:
            raise _refused(self._name, f"line {self._lines.line_num}: {error}") from error
        if self._taking.rows > ROWS_MAX:
            raise _refused(self._name, f"has more than {ROWS_MAX} rows")
        return self._taking.is_behind(self._lines.line_num)

    def master(self) -> Master:
        """What was taken from all of it.

        Raises DataRefused when it was cut off, or an underlying has no index or no option in it.
        """
        return self._taking.master(self._name)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_master(path: Path, wanted: Wanted) -> Master:
    """Take what is `wanted` from a file of either form. Raises OSError, DataRefused."""
    with closing(MasterReading(path, wanted)) as reading:
        while reading.go_on(ROWS_AT_ONCE):
            pass
        return reading.master()


class _Columns:
    """Where each column of one file stands."""

    def __init__(self, name: str, header: Sequence[str]) -> None:
        """Raises DataRefused when a needed one is missing. Others may be there, and change."""
        places: dict[str, int] = {}
        for place, column in enumerate(header):
            places.setdefault(column.strip().upper(), place)
        form = COMPACT if COMPACT.security_id in places else DETAILED
        missing = [column for column in form.needed if column not in places]
        if missing:
            raise _refused(name, f"lacks the column {', '.join(missing)}")
        self.form = form
        self.exchange = places[form.exchange]
        self.segment = places[form.segment]
        self.security_id = places[form.security_id]
        self.instrument = places[form.instrument]
        self.symbol = places[form.symbol]
        self.lot = places[form.lot]
        self.expiry = places[form.expiry]
        self.strike = places[form.strike]
        self.option_type = places[form.option_type]
        self.tick = places[form.tick]
        self.underlying = places.get(form.underlying)
        self.freeze = places.get(form.freeze)
        self.width = 1 + max(places[column] for column in form.needed)
        self.heading = len(header)

    def underlying_of(self, row: Sequence[str]) -> str:
        """The plain name; in the compact form it is the beginning of the symbol."""
        if self.underlying is not None:
            return row[self.underlying].strip()
        symbol = row[self.symbol].strip()
        return symbol if row[self.instrument] == "INDEX" else symbol.partition("-")[0]


class _Taking:
    """Goes through the rows of one file."""

    def __init__(self, columns: _Columns, wanted: Wanted) -> None:
        self._columns = columns
        self._wanted = wanted
        self._names = frozenset(wanted.underlyings)
        self._held_ids = frozenset(str(one).rpartition(":")[2] for one in wanted.held)
        self._found: dict[InstrumentId, Instrument] = {}
        self._left_out: Counter[str] = Counter()
        self._torn = False
        self._line = 0
        self.rows = 0

    def is_behind(self, line: int) -> bool:
        """Whether the file has moved on to another `line` since the last time."""
        before, self._line = self._line, line
        return line > before

    def see(self, row: list[str]) -> None:
        """Take it, leave it, or count why it cannot be taken."""
        self.rows += 1
        columns = self._columns
        self._torn = len(row) < columns.heading
        if len(row) < columns.width:
            self._left_out["a row is too short"] += 1
            return
        is_ours = row[columns.instrument] in _TRADED and columns.underlying_of(row) in self._names
        if is_ours or row[columns.security_id] in self._held_ids:
            try:
                self._take(row, is_ours=is_ours)
            except Unreadable as error:
                self._left_out[str(error)] += 1

    def _take(self, row: list[str], *, is_ours: bool) -> None:
        segment = _SEGMENTS.get((row[self._columns.exchange], row[self._columns.segment]))
        if segment is None:
            if is_ours:
                where = f"{row[self._columns.exchange]} {row[self._columns.segment]}"
                raise Unreadable(f"an unknown segment: {shown(where)}")
            return
        key = instrument_id(segment, _positive(row[self._columns.security_id], "a security id"))
        if not is_ours and key not in self._wanted.held:
            return
        made = _instrument(row, self._columns, self._wanted, segment)
        if made.expiry is not None and made.expiry < self._wanted.day.isoformat():
            return
        if self._found.setdefault(made.id, made) != made:
            raise Unreadable("one id names two contracts")

    def master(self, name: str) -> Master:
        """What was taken. Raises DataRefused when something of ours is not there at all."""
        if self._torn:
            raise _refused(name, "ends in the middle of a row: it was cut off")
        for underlying in sorted(self._names):
            for kind in (Kind.INDEX, Kind.OPTION):
                if not any(_is(one, underlying, kind) for one in self._found.values()):
                    raise _refused(name, f"has no {kind} of {underlying}{self._example()}")
        return Master(
            instruments=tuple(sorted(self._found.values(), key=_order)),
            rows=self.rows,
            left_out=tuple(self._left_out.most_common()),
            lacking=tuple(sorted(self._wanted.held - self._found.keys())),
        )

    def _example(self) -> str:
        why = next(iter(self._left_out), "")
        return f" that can be read ({why})" if why else ""


def _is(one: Instrument, underlying: str, kind: Kind) -> bool:
    return one.underlying == underlying and one.kind is kind


def _order(one: Instrument) -> tuple[bool, str, str, int, str]:
    kind = one.kind is not Kind.INDEX
    strike_paise = one.strike_paise or 0
    return (kind, one.underlying, one.expiry or "", strike_paise, one.option_type or "")


def _instrument(
    row: Sequence[str], columns: _Columns, wanted: Wanted, segment: Segment
) -> Instrument:
    kind = _KINDS.get(row[columns.instrument])
    if kind is None:
        raise Unreadable(f"an unknown kind of contract: {shown(row[columns.instrument])}")
    security_id = _positive(row[columns.security_id], "a security id")
    underlying = columns.underlying_of(row)
    is_index = kind is Kind.INDEX
    is_option = kind is Kind.OPTION
    return Instrument(
        id=instrument_id(segment, security_id),
        segment=segment,
        security_id=security_id,
        symbol=row[columns.symbol].strip(),
        exchange=Exchange(row[columns.exchange]),
        kind=kind,
        underlying=underlying,
        lot_size=0 if is_index else _positive(row[columns.lot], "a lot size"),
        price_step_paise=0 if is_index else tick_paise(row[columns.tick]),
        freeze_quantity=0 if is_index else _freeze(row, columns, wanted.freeze.get(underlying, 0)),
        expiry=_expiry(row[columns.expiry]) if kind in (Kind.OPTION, Kind.FUTURE) else None,
        strike_paise=_strike(row[columns.strike]) if is_option else None,
        option_type=_option_type(row[columns.option_type]) if is_option else None,
    )


def tick_paise(given: str) -> int:
    """A price step in paise: the list gives contracts' in paise and indices' in rupees.

    Below one it can only be rupees. Raises `Unreadable` for what is no whole number of paise.
    """
    found = number(given, "a tick size")
    step = found * 100 if found < _RUPEES_BELOW else found
    if step <= 0 or step != step.to_integral_value():
        raise Unreadable(f"a tick size is no price step: {shown(given)}")
    return int(step)


def _freeze(row: Sequence[str], columns: _Columns, known: int) -> int:
    """The first quantity refused: the smaller of the list's and the facts' (0: unknown).

    Lists print the largest quantity allowed, or another number near it, or a negative one for none;
    to stay strictly below the smallest is safe under every reading.
    """
    if columns.freeze is None or columns.freeze >= len(row) or not row[columns.freeze].strip():
        return known
    listed = max(whole(row[columns.freeze], "a freeze quantity"), 0)
    return min(listed, known) if listed and known else listed or known


def _positive(given: str, what: str) -> int:
    found = whole(given, what)
    if found <= 0:
        raise Unreadable(f"{what} is not positive: {shown(given)}")
    return found


def _strike(given: str) -> int:
    found = paise(given, "a strike")
    if found <= 0:
        raise Unreadable(f"a strike is not positive: {shown(given)}")
    return found


def _option_type(given: str) -> OptionType:
    try:
        return OptionType(given.strip())
    except ValueError:
        raise Unreadable(f"an option is neither CE nor PE: {shown(given)}") from None


def _expiry(given: str) -> str:
    """The compact form puts a time behind the day. Sentinels are no day."""
    try:
        day = dt.date.fromisoformat(given.strip()[:10])
    except ValueError:
        raise Unreadable(f"an expiry is no day: {shown(given)}") from None
    if day.year < 2000:
        raise Unreadable(f"an expiry is none: {shown(given)}")
    return day.isoformat()


def _refused(name: str, what: str) -> DataRefused:
    return DataRefused(
        f"instrument list {name}",
        what,
        "fetch it again with: holdfast instruments --anew; if that does not help, the broker has "
        "changed its list and this version cannot read it",
    )


def by_kind(instruments: Iterable[Instrument]) -> Mapping[str, int]:
    """How many there are of each underlying and kind, for people."""
    return Counter(f"{one.underlying} {one.kind.value}" for one in instruments)
