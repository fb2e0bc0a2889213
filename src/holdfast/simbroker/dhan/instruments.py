"""The instrument master as the broker publishes it: compact, detailed, and by segment.

Columns and formats are those measured (dhan.md 3.12, and rows of August 2026): lots as `65.0`,
strikes with five decimals, price steps in paise with four, an index without a strike, and a last
column that is empty. Besides the contracts that are really traded there are a few thousand others,
so that whoever reads it has to look for his own: the same numbers in other segments, other
underlyings, later expiries, futures, equities.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import Final

from msgspec.structs import replace

from holdfast.domain.instrument import (
    Exchange,
    Instrument,
    Kind,
    OptionType,
    Segment,
    instrument_id,
)
from holdfast.exchange.draws import draw_within
from holdfast.simbroker.dhan.route import (
    Answer,
    Answering,
    Call,
    Family,
    Limit,
    Route,
    bad_input,
)
from holdfast.simbroker.dhan.wire_faults import Endpoint

COMPACT: Final = (
    "SEM_EXM_EXCH_ID",
    "SEM_SEGMENT",
    "SEM_SMST_SECURITY_ID",
    "SEM_INSTRUMENT_NAME",
    "SEM_EXPIRY_CODE",
    "SEM_TRADING_SYMBOL",
    "SEM_LOT_UNITS",
    "SEM_CUSTOM_SYMBOL",
    "SEM_EXPIRY_DATE",
    "SEM_STRIKE_PRICE",
    "SEM_OPTION_TYPE",
    "SEM_TICK_SIZE",
    "SEM_EXPIRY_FLAG",
    "SEM_EXCH_INSTRUMENT_TYPE",
    "SEM_SERIES",
    "SM_SYMBOL_NAME",
)

DETAILED: Final = (
    "EXCH_ID",
    "SEGMENT",
    "SECURITY_ID",
    "ISIN",
    "INSTRUMENT",
    "UNDERLYING_SECURITY_ID",
    "UNDERLYING_SYMBOL",
    "SYMBOL_NAME",
    "DISPLAY_NAME",
    "INSTRUMENT_TYPE",
    "SERIES",
    "LOT_SIZE",
    "SM_EXPIRY_DATE",
    "STRIKE_PRICE",
    "OPTION_TYPE",
    "TICK_SIZE",
    "EXPIRY_FLAG",
    "BRACKET_FLAG",
    "COVER_FLAG",
    "ASM_GSM_FLAG",
    "ASM_GSM_CATEGORY",
    "BUY_SELL_INDICATOR",
    "BUY_CO_MIN_MARGIN_PER",
    "BUY_CO_SL_RANGE_MAX_PERC",
    "BUY_CO_SL_RANGE_MIN_PERC",
    "BUY_BO_MIN_MARGIN_PER",
    "BUY_BO_PROFIT_RANGE_MAX_PERC",
    "BUY_BO_PROFIT_RANGE_MIN_PERC",
    "MTF_LEVERAGE",
    "SM_UPPER_LIMIT",
    "SM_LOWER_LIMIT",
    "SM_FREEZE_QTY",
    "",
)

UNDERLYING_IDS: Final = {"NIFTY": 26_000, "BANKNIFTY": 26_009, "FINNIFTY": 26_037, "SENSEX": 1}
"""Derivatives name their index by a number of its own, which is not the index's own id."""

_INDICES: Final = (
    (Exchange.NSE, 13, "NIFTY", "Nifty 50"),
    (Exchange.NSE, 25, "BANKNIFTY", "Nifty Bank"),
    (Exchange.NSE, 27, "FINNIFTY", "Nifty Fin Service"),
    (Exchange.NSE, 21, "INDIA VIX", "India VIX"),
    (Exchange.NSE, 1, "NIFTY MIDCAP 150", "Nifty Midcap 150"),
    (Exchange.BSE, 51, "SENSEX", "Sensex"),
)
_LETTERS: Final = {Segment.IDX_I: "I", Segment.NSE_EQ: "E", Segment.BSE_EQ: "E"}
_SUFFIXES: Final = {OptionType.CALL: "CALL", OptionType.PUT: "PUT"}
_MARGINS: Final = ("N", "N", "N", "NA", "A", "0", "0", "0", "0", "0", "0", "0")

EQUITIES: Final = 1_200
STRIKES: Final = 40
LATER_WEEKS: Final = 4


class Master:
    """Offers the files, and the way to them that the REST host names."""

    def __init__(self, traded: Sequence[Instrument], *, day: str, others: bool = True) -> None:
        """`others` `False`: the files hold what is traded and nothing else."""
        self._rows = tuple(_everything(traded, day) if others else traded)

    def files(self) -> list[Route]:
        """What the host of the files offers."""
        return [
            _open("/api-data/api-scrip-master.csv", self.compact),
            _open("/api-data/api-scrip-master-detailed.csv", self.detailed),
            _open("/api-data/instrument/{segment}.csv", self.segment),
        ]

    def routes(self, files_url: str) -> list[Route]:
        """What the REST host offers: the way to the file of a segment on the host at `files_url`."""

        async def answer(call: Call) -> Answer:
            segment = call.named["segment"]
            if segment not in Segment.__members__:
                return bad_input()
            url = f"{files_url}/api-data/instrument/{segment}.csv"
            return Answer(status=302, text="", headers={"Location": url})

        return [_open("/v2/instrument/{segment}", answer)]

    async def compact(self, _call: Call) -> Answer:
        """The compact file."""
        return _csv(_file(COMPACT, (_compact(one) for one in self._rows)))

    async def detailed(self, _call: Call) -> Answer:
        """The detailed file."""
        return _csv(_file(DETAILED, (_detailed(one) for one in self._rows)))

    async def segment(self, call: Call) -> Answer:
        """The part of the detailed file that is one segment's; a heading alone where it has none."""
        rows = (one for one in self._rows if one.segment == call.named["segment"])
        return _csv(_file(DETAILED, (_detailed(one) for one in rows)))


def _open(path: str, answer: Answering) -> Route:
    """Nobody is asked for a token here."""
    return Route(
        "GET",
        path,
        answer,
        endpoint=Endpoint.INSTRUMENTS,
        family=Family.OPEN,
        limit=Limit.NONE,
    )


def _csv(text: str) -> Answer:
    return Answer(text=text, media="text/csv")


def trading_symbol(one: Instrument) -> str:
    """The broker's symbol: `NIFTY-Sep2026-25000-CE`, `NIFTY-Sep2026-FUT`, or the plain name."""
    if one.expiry is None:
        return one.underlying
    month = date.fromisoformat(one.expiry).strftime("%b%Y")
    if one.option_type is None:
        return f"{one.underlying}-{month}-FUT"
    return f"{one.underlying}-{month}-{_rupees(one)}-{one.option_type.value}"


def display_name(one: Instrument) -> str:
    """The name for people: `NIFTY 29 SEP 25000 CALL`."""
    if one.expiry is None:
        return next((shown for _, _, name, shown in _INDICES if name == one.symbol), one.symbol)
    expiry = date.fromisoformat(one.expiry)
    if one.option_type is None:
        return f"{one.underlying} {expiry:%b} FUT".upper()
    day = f"{expiry:%d %b}".upper()
    return f"{one.underlying} {day} {_rupees(one)} {_SUFFIXES[one.option_type]}"


def instrument_word(one: Instrument) -> str:
    """The broker's word for what sort of contract it is."""
    is_index = any(name == one.underlying for _, _, name, _ in _INDICES)
    return {
        Kind.INDEX: "INDEX",
        Kind.EQUITY: "EQUITY",
        Kind.OPTION: "OPTIDX" if is_index else "OPTSTK",
        Kind.FUTURE: "FUTIDX" if is_index else "FUTSTK",
    }[one.kind]


def _file(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"{','.join(row)}\n" for row in (columns, *rows))


def _everything(traded: Sequence[Instrument], day: str) -> Iterator[Instrument]:
    """The real contracts among the others; the others never take one of their keys."""
    keys = {one.id for one in traded}
    others = [one for one in _others(traded, day) if one.id not in keys]
    middle = len(others) // 2
    yield from others[:middle]
    yield from traded
    yield from others[middle:]


def _others(traded: Sequence[Instrument], day: str) -> Iterator[Instrument]:
    yield from _indices()
    yield from _equities()
    number = 60_000
    for option in traded:
        for week in range(1, LATER_WEEKS + 1) if option.expiry is not None else ():
            yield _moved(option, number, expiry=_later(option.expiry or day, 7 * week))
            number += 1
    for name, spot, step in (("HDFCBANK", 1_650, 10), ("RELIANCE", 2_900, 20), ("TCS", 3_900, 20)):
        for option_type in OptionType:
            for strike in range(STRIKES):
                strike_paise = (spot + (strike - STRIKES // 2) * step) * 100
                yield _stock_option(name, number, (strike_paise, option_type), _later(day, 30))
                number += 1


def _indices() -> Iterator[Instrument]:
    for exchange, security_id, name, _ in _INDICES:
        yield _plain(Segment.IDX_I, security_id, name, exchange)


def _equities() -> Iterator[Instrument]:
    """Shares of both exchanges; 13 is one of them, as it is an index elsewhere."""
    yield _plain(Segment.NSE_EQ, 13, "ABB", Exchange.NSE)
    yield _plain(Segment.NSE_EQ, 1_333, "HDFCBANK", Exchange.NSE)
    for number in range(EQUITIES):
        name = f"SHARE{draw_within(number, 'share', 'name', low=1_000, high=9_999)}X{number}"
        yield _plain(Segment.NSE_EQ, 2_000 + number, name, Exchange.NSE)
        yield _plain(Segment.BSE_EQ, 500_000 + number, name, Exchange.BSE)


def _plain(segment: Segment, security_id: int, name: str, exchange: Exchange) -> Instrument:
    is_index = segment is Segment.IDX_I
    return Instrument(
        id=instrument_id(segment, security_id),
        segment=segment,
        security_id=security_id,
        symbol=name,
        exchange=exchange,
        kind=Kind.INDEX if is_index else Kind.EQUITY,
        underlying=name,
        lot_size=0 if is_index else 1,
        price_step_paise=0 if is_index else 5,
        freeze_quantity=0,
    )


def _moved(option: Instrument, security_id: int, *, expiry: str) -> Instrument:
    """The same contract of a later expiry."""
    key = instrument_id(option.segment, security_id)
    return replace(option, id=key, security_id=security_id, expiry=expiry)


def _stock_option(
    name: str, security_id: int, terms: tuple[int, OptionType], expiry: str
) -> Instrument:
    strike_paise, option_type = terms
    return Instrument(
        id=instrument_id(Segment.NSE_FNO, security_id),
        segment=Segment.NSE_FNO,
        security_id=security_id,
        symbol=f"{name} {expiry} {strike_paise // 100} {option_type.value}",
        exchange=Exchange.NSE,
        kind=Kind.OPTION,
        underlying=name,
        lot_size=550,
        price_step_paise=5,
        freeze_quantity=22_000,
        expiry=expiry,
        strike_paise=strike_paise,
        option_type=option_type,
    )


def _later(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def _compact(one: Instrument) -> Sequence[str]:
    is_plain = one.expiry is None
    hour = "15:30:00" if one.exchange is Exchange.BSE else "14:30:00"
    kind = {Kind.INDEX: "INDEX", Kind.EQUITY: "ES", Kind.OPTION: "OP", Kind.FUTURE: "FUT"}
    return (
        one.exchange.value,
        _LETTERS.get(one.segment, "D"),
        str(one.security_id),
        instrument_word(one),
        "0",
        trading_symbol(one),
        _lot(one),
        display_name(one),
        "0001-01-01" if is_plain else f"{one.expiry} {hour}",
        _strike(one),
        _type(one),
        _step(one),
        _flag(one),
        kind[one.kind],
        _series(one),
        one.symbol if is_plain else "",
    )


def _detailed(one: Instrument) -> Sequence[str]:
    kind = {Kind.INDEX: "INDEX", Kind.EQUITY: "ES", Kind.OPTION: "OP", Kind.FUTURE: "FUT"}
    underlying = one.security_id if one.kind is Kind.INDEX else UNDERLYING_IDS.get(one.underlying)
    limit_paise = 0 if one.strike_paise is None else one.strike_paise // 5
    return (
        one.exchange.value,
        _LETTERS.get(one.segment, "D"),
        str(one.security_id),
        "NA" if one.kind is not Kind.EQUITY else f"INE{one.security_id:06d}010",
        instrument_word(one),
        "" if underlying is None else str(underlying),
        one.underlying,
        trading_symbol(one),
        display_name(one),
        kind[one.kind],
        _series(one),
        _lot(one),
        one.expiry or "0001-01-01",
        _strike(one),
        _type(one),
        _step(one),
        _flag(one),
        *_MARGINS,
        f"{limit_paise / 100:.4f}",
        "0.0500" if limit_paise else "0.0000",
        str(one.freeze_quantity),
        "",
    )


def _series(one: Instrument) -> str:
    return {Kind.INDEX: "X", Kind.EQUITY: "EQ"}.get(one.kind, "NA")


def _lot(one: Instrument) -> str:
    return f"{max(one.lot_size, 1)}.0"


def _strike(one: Instrument) -> str:
    if one.strike_paise is not None:
        return f"{one.strike_paise / 100:.5f}"
    return "" if one.expiry is None else "-0.01000"


def _type(one: Instrument) -> str:
    return "XX" if one.option_type is None else one.option_type.value


def _step(one: Instrument) -> str:
    """Paise, but for an index, whose step is written in rupees."""
    return "0.0500" if one.kind is Kind.INDEX else f"{one.price_step_paise}.0000"


def _flag(one: Instrument) -> str:
    """Whether its expiry is the month's last: `M`, or a week's: `W`."""
    if one.expiry is None:
        return "N"
    return "M" if _later(one.expiry, 7)[:7] != one.expiry[:7] else "W"


def _rupees(one: Instrument) -> str:
    return f"{(one.strike_paise or 0) / 100:g}"
