"""Candles by request: `/charts/intraday`, `historical` and `rollingoption` (dhan.md 3.9).

Parallel arrays of floats, the large ones in E-notation; times are true UTC seconds of a candle's
beginning, unlike those of the feed. A minute that has just closed is not there yet; an index has
one more candle after each session.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby
from typing import Any, Final, NamedTuple

from holdfast.domain.dated import DayFacts
from holdfast.domain.instrument import Instrument, Kind, OptionType, Segment, instrument_id
from holdfast.facts.ist import DAY_NS, SECOND_NS, day_start_ns, ist_date, ist_ns
from holdfast.simbroker.dhan.board import MINUTE_S, Board, Minute
from holdfast.simbroker.dhan.pricing import Terms, implied_volatility, years_until
from holdfast.simbroker.dhan.route import Answer, Call, Family, Limit, Route, bad_input
from holdfast.simbroker.dhan.wire_faults import Endpoint

INTERVALS: Final = (1, 5, 15, 25, 60)
SPAN_DAYS: Final = 90
ROLLING_DAYS: Final = 30
PUBLISHED_AFTER_S: Final = 120
"""How long a closed minute is not told yet."""

OPENS_S: Final = 9 * 3_600 + 15 * 60
"""Candles are cut from 09:15 in India on."""

LATE_SPAN: Final = "Data for Intraday Charts can be fetched for 90 days at a time"
NO_DATA: Final = "System is unable to fetch data due to incorrect parameters or no data present"
_MINUTE_NS: Final = MINUTE_S * SECOND_NS


class Span(NamedTuple):
    """From the first instant on and before the second (UTC nanoseconds); calendar days between."""

    from_ns: int
    until_ns: int
    days: int

    def has(self, at_ns: int) -> bool:
        """Whether an instant lies in it."""
        return self.from_ns <= at_ns < self.until_ns


class Charts:
    """Answers from the board: its history and what it has seen of today."""

    def __init__(
        self, board: Board, facts: DayFacts, *, published_after_s: int = PUBLISHED_AFTER_S
    ) -> None:
        self._board = board
        self._facts = facts
        self._today_ns = day_start_ns(date.fromisoformat(facts.day))
        self._published_after_ns = published_after_s * SECOND_NS

    def routes(self) -> list[Route]:
        """What the REST host offers."""
        paths = {
            "/v2/charts/intraday": self.intraday,
            "/v2/charts/historical": self.historical,
            "/v2/charts/rollingoption": self.rolling,
        }
        return [
            Route(
                "POST",
                path,
                answer,
                endpoint=Endpoint.CHARTS,
                family=Family.RECENT,
                limit=Limit.DATA,
            )
            for path, answer in paths.items()
        ]

    async def intraday(self, call: Call) -> Answer:
        """Candles of some minutes; bare dates include their last day."""
        span = _span(call.fields, is_last_included=True)
        seconds = _interval_s(call.fields.get("interval"))
        if span is None or seconds is None:
            return bad_input()
        if span.days > SPAN_DAYS:
            return bad_input(LATE_SPAN)
        contract = self._contract(call.fields)
        if contract is None:
            is_index = call.fields.get("exchangeSegment") == Segment.IDX_I
            return _told([]) if is_index else bad_input(NO_DATA)
        known = (one for one in self._published(contract, call.at_ns) if span.has(one.start_ns))
        return _told(list(_cut(known, seconds)), has_oi=call.fields.get("oi") is True)

    async def historical(self, call: Call) -> Answer:
        """Candles of whole days before today; the last date is not included."""
        span = _span(call.fields, is_last_included=False)
        contract = self._contract(call.fields)
        if span is None:
            return bad_input()
        minutes = [] if contract is None else self._board.minutes(contract.id)
        before = [one for one in minutes if one.start_ns < self._today_ns]
        days = [one for one in _daily(before) if span.has(one.start_ns)]
        return _told(days) if days else bad_input(NO_DATA)

    async def rolling(self, call: Call) -> Answer:
        """An option at a fixed distance from the money, minute by minute, whichever it was."""
        span = _span(call.fields, is_last_included=True)
        steps = _steps(call.fields.get("strike"))
        wanted = _option_type(call.fields.get("drvOptionType"))
        index = self._rolling_index(call.fields.get("securityId"))
        if span is None or steps is None or wanted is None or index is None:
            return bad_input()
        if span.days > ROLLING_DAYS:
            return bad_input(NO_DATA)
        rows = [
            row
            for row in self._rolled(index, wanted, steps)
            if span.has(row["timestamp"] * SECOND_NS)
        ]
        required = call.fields.get("requiredData")
        leg = _arrays(rows, required if isinstance(required, list) else [])
        data = {"ce": leg, "pe": None} if wanted is OptionType.CALL else {"ce": None, "pe": leg}
        return Answer(payload={"data": data})

    def _contract(self, fields: Mapping[str, Any]) -> Instrument | None:
        number, segment = (str(fields.get(key)) for key in ("securityId", "exchangeSegment"))
        if segment not in Segment.__members__ or not number.isdecimal():
            return None
        return self._board.instruments.get(instrument_id(Segment(segment), int(number)))

    def _published(self, contract: Instrument, at_ns: int) -> Iterator[Minute]:
        """Closed minutes that are told already; an index has one more after the day's last."""
        told_ns = at_ns - _MINUTE_NS - self._published_after_ns
        minutes = self._board.minutes(contract.id)
        if contract.kind is Kind.INDEX:
            minutes = list(self._with_one_more(contract, minutes))
        return (one for one in minutes if one.start_ns <= told_ns)

    def _with_one_more(self, index: Instrument, minutes: Sequence[Minute]) -> Iterator[Minute]:
        session = self._facts.session(index.exchange)
        for day, group in groupby(minutes, lambda one: ist_date(one.start_ns)):
            of_day = list(group)
            yield from of_day
            last = of_day[-1]
            is_today = session is not None and day.isoformat() == self._facts.day
            ends_ns = last.start_ns + _MINUTE_NS
            if is_today and session is not None:
                ends_ns = max(ends_ns, session.underlying_ends_ns)
            close = last.close_paise
            yield Minute(
                start_ns=ends_ns,
                open_paise=close,
                high_paise=close,
                low_paise=close,
                close_paise=close,
            )

    def _rolling_index(self, number: object) -> Instrument | None:
        text = str(number)
        if not text.isdecimal():
            return None
        return self._board.instruments.get(instrument_id(Segment.IDX_I, int(text)))

    def _rolled(
        self, index: Instrument, wanted: OptionType, steps: int
    ) -> Iterator[dict[str, Any]]:
        expiry = next(iter(self._board.expiries(index.underlying)), None)
        if expiry is None:
            return
        chain = self._board.strikes(index.underlying, expiry)
        strikes = list(chain)
        minutes = {
            paise: {one.start_ns: one for one in self._board.minutes(pair[wanted].id)}
            for paise, pair in chain.items()
            if wanted in pair
        }
        for spot in self._board.minutes(index.id):
            nearest = min(range(len(strikes)), key=lambda at: abs(strikes[at] - spot.close_paise))
            place = nearest + steps
            strike = strikes[place] if 0 <= place < len(strikes) else None
            candle = None if strike is None else minutes.get(strike, {}).get(spot.start_ns)
            if strike is not None and candle is not None:
                yield self._rolled_row(candle, spot, strike, wanted, expiry)

    def _rolled_row(
        self, candle: Minute, spot: Minute, strike: int, wanted: OptionType, expiry: str
    ) -> dict[str, Any]:
        expires_ns = ist_ns(date.fromisoformat(expiry), OPENS_S) + 6 * 3_600 * SECOND_NS
        years = years_until(expires_ns, candle.start_ns)
        terms = Terms(spot.close_paise, strike, years, wanted)
        return {
            "iv": implied_volatility(terms, candle.close_paise) * 100,
            "oi": candle.oi,
            "strike": strike / 100,
            "spot": spot.close_paise / 100,
            "open": candle.open_paise / 100,
            "high": candle.high_paise / 100,
            "low": candle.low_paise / 100,
            "close": candle.close_paise / 100,
            "volume": candle.volume,
            "timestamp": candle.start_ns // SECOND_NS,
        }


def java_double(value: float) -> str:
    """A float as the broker writes it: `1648.6`, `8929728.0`, `1.7375706E9`."""
    if value == 0.0 or 1e-3 <= abs(value) < 1e7:
        return repr(float(value))
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int), "a price is a finite number"
    rest = "".join(str(digit) for digit in digits[1:]) or "0"
    return f"{'-' if sign else ''}{digits[0]}.{rest}E{len(digits) + exponent - 1}"


def _told(minutes: Sequence[Minute], *, has_oi: bool = False) -> Answer:
    columns: dict[str, Iterable[float]] = {
        "open": (one.open_paise / 100 for one in minutes),
        "high": (one.high_paise / 100 for one in minutes),
        "low": (one.low_paise / 100 for one in minutes),
        "close": (one.close_paise / 100 for one in minutes),
        "volume": (float(one.volume) for one in minutes),
        "timestamp": (one.start_ns / SECOND_NS for one in minutes),
    }
    if has_oi:
        columns["open_interest"] = (float(one.oi) for one in minutes)
    arrays = (
        f'"{name}":[{",".join(java_double(value) for value in values)}]'
        for name, values in columns.items()
    )
    return Answer(text=f"{{{','.join(arrays)}}}")


def _span(fields: Mapping[str, Any], *, is_last_included: bool) -> Span | None:
    """What is asked for; `None` where it is no span."""
    first, last = _instant(fields.get("fromDate")), _instant(fields.get("toDate"))
    if first is None or last is None or first[0] > last[0]:
        return None
    from_ns, until_ns = first[0], last[0]
    if is_last_included:
        until_ns += DAY_NS if last[1] else 1
    return Span(from_ns, until_ns, (ist_date(last[0]) - ist_date(from_ns)).days)


def _instant(text: object) -> tuple[int, bool] | None:
    """An instant in UTC nanoseconds, and whether it was a bare date; India's time is meant."""
    if not isinstance(text, str):
        return None
    for form in ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S"):
        try:
            moment = datetime.strptime(text, form)  # noqa: DTZ007 India's wall clock, made UTC below
        except ValueError:
            continue
        seconds = moment.hour * 3_600 + moment.minute * 60 + moment.second
        return ist_ns(moment.date(), seconds), form == "%Y-%m-%d"
    return None


def _interval_s(asked: object) -> int | None:
    text = str(asked)
    is_known = text.isdecimal() and int(text) in INTERVALS
    return int(text) * MINUTE_S if is_known else None


def _steps(strike: object) -> int | None:
    """Strikes above the money (negative: below) of `ATM`, `ATM+2`, `ATM-3`."""
    text = str(strike)
    sign, digits = text[3:4], text[4:]
    if text == "ATM":
        return 0
    if not text.startswith("ATM") or sign not in ("+", "-") or not digits.isdecimal():
        return None
    return int(digits) if sign == "+" else -int(digits)


def _option_type(word: object) -> OptionType | None:
    return {"CALL": OptionType.CALL, "PUT": OptionType.PUT}.get(str(word))


def _cut(minutes: Iterable[Minute], seconds: int) -> Iterator[Minute]:
    """Candles of so many seconds, cut from 09:15 on every day."""

    def begins(one: Minute) -> int:
        opens_ns = ist_ns(ist_date(one.start_ns), OPENS_S)
        since_ns = one.start_ns - opens_ns
        return opens_ns + since_ns // (seconds * SECOND_NS) * seconds * SECOND_NS

    for start_ns, group in groupby(minutes, begins):
        yield _merged(start_ns, list(group))


def _daily(minutes: Iterable[Minute]) -> Iterator[Minute]:
    """One candle a day, stamped with India's midnight."""
    for day, group in groupby(minutes, lambda one: ist_date(one.start_ns)):
        yield _merged(day_start_ns(day), list(group))


def _merged(start_ns: int, parts: Sequence[Minute]) -> Minute:
    return Minute(
        start_ns=start_ns,
        open_paise=parts[0].open_paise,
        high_paise=max(one.high_paise for one in parts),
        low_paise=min(one.low_paise for one in parts),
        close_paise=parts[-1].close_paise,
        volume=sum(one.volume for one in parts),
        oi=parts[-1].oi,
    )


def _arrays(rows: Sequence[Mapping[str, Any]], required: Sequence[Any]) -> dict[str, list[Any]]:
    """Columns of rows; one that was not asked for stays empty, times are always told."""
    names = ("iv", "oi", "strike", "spot", "open", "high", "low", "close", "volume")
    told: dict[str, list[Any]] = {
        name: [row[name] for row in rows] if name in required else [] for name in names
    }
    return {**told, "timestamp": [row["timestamp"] for row in rows]}
