"""One underlying's day: the way of its index, the worth of its options, what each of them says."""

from collections.abc import Iterator
from datetime import date

import numpy as np

from holdfast.domain.dated import Session
from holdfast.domain.event import CandleLoaded
from holdfast.domain.instrument import Instrument, OptionType
from holdfast.domain.market import Candle
from holdfast.exchange.chain import RATE, black76, smile, years_left
from holdfast.exchange.noise import Floats, Integers, noise
from holdfast.exchange.packets import (
    SECOND_NS,
    OptionTerms,
    Packets,
    index_packets,
    option_packets,
)
from holdfast.exchange.path import index_path
from holdfast.exchange.universe import Universe

MINUTE_S = 60
DAY_NS = 86_400 * SECOND_NS

HISTORY_MINUTES = 375
HISTORY_BEFORE_NS = 5 * MINUTE_S * SECOND_NS
"""A full session of history is received this long before the open."""

HISTORY_RANGE = 0.03
GAP_SHARE = 0.15
"""The open lies within this share of the index's reach from the close before."""

EXPIRY_LIFT = (1.2, 0.5)
"""Implied volatility on expiry day: times the first, and half as much again towards the end."""

DRIFT_A_MINUTE = 0.004
DRIFT_MAX = 0.08
LEVERAGE = 2.0
"""Implied volatility otherwise: its steps, how far it wanders, how many percent it rises per
percent that the index falls."""


class UnderlyingDay:
    """All of one universe in one session, per second of trading. Prices in paise."""

    def __init__(self, seed: int, universe: Universe, session: Session) -> None:
        self._seed = seed
        self._universe = universe
        self._session = session
        self._starts_ns = _seconds(session)

    def history(self) -> Iterator[CandleLoaded]:
        """One-minute candles of the session before, which closed at the universe's spot."""
        spot = self._universe.spot_paise
        path = index_path(
            self._noise("history"),
            seconds=HISTORY_MINUTES * MINUTE_S,
            start_paise=spot,
            volatility_bps=self._universe.volatility_bps,
            bounds_paise=(int(spot * (1 - HISTORY_RANGE)), int(spot * (1 + HISTORY_RANGE))),
        )
        minutes = (path * spot // path[-1]).reshape(HISTORY_MINUTES, MINUTE_S)
        begun_ns = self._session.open_ns - _days_since_session(self._session.day) * DAY_NS
        at_ns = self._session.open_ns - HISTORY_BEFORE_NS
        for number, prices in enumerate(minutes):
            start_ns = begun_ns + number * MINUTE_S * SECOND_NS
            yield CandleLoaded(at_ns=at_ns, candle=self._candle(prices, start_ns))

    def packets(self) -> tuple[Packets, list[Packets]]:
        """What the index says, and each of the universe's options."""
        path = self._path()
        index = index_packets(
            self._noise("index"),
            path=path,
            starts_ns=self._starts_ns,
            ends_ns=self._session.underlying_ends_ns,
        )
        at_the_money, years = self._at_the_money(path), self._years()
        options = [
            option_packets(
                noise(self._seed, "option", option.id),
                fair=_fair(option, path, at_the_money=at_the_money, years=years),
                steps_away=np.abs(path - _strike(option)) / self._universe.strike_step_paise,
                starts_ns=self._starts_ns,
                terms=OptionTerms(option.lot_size, option.price_step_paise),
            )
            for option in self._universe.options()
        ]
        return index, options

    def _path(self) -> Integers:
        universe = self._universe
        reach = universe.reach_paise
        gap = self._noise("gap").uniform(-GAP_SHARE, GAP_SHARE)
        return index_path(
            self._noise("path"),
            seconds=len(self._starts_ns),
            start_paise=universe.spot_paise + int(gap * reach),
            volatility_bps=universe.volatility_bps,
            bounds_paise=(universe.middle_paise - reach, universe.middle_paise + reach),
        )

    def _years(self) -> Floats:
        """Time to the close of the expiry day, in years."""
        left_ns = self._session.close_ns + self._days_left * DAY_NS - self._starts_ns
        return years_left(left_ns / SECOND_NS)

    def _at_the_money(self, path: Integers) -> Floats:
        """Implied volatility at the money, a year: it wanders, and rises when the index falls."""
        seconds = np.arange(len(path))
        minutes = len(path) // MINUTE_S + 2
        walk = np.cumsum(self._noise("volatility").normal(0.0, DRIFT_A_MINUTE, minutes))
        bent = DRIFT_MAX * np.tanh(walk / DRIFT_MAX)
        wandered = np.interp(seconds / MINUTE_S, np.arange(minutes), bent)
        level: Floats = np.exp(wandered - LEVERAGE * (path / path[0] - 1.0))
        if self._days_left == 0:
            first, more = EXPIRY_LIFT
            level *= first * (1.0 + more * (seconds / len(path)) ** 2)
        return level * (self._universe.volatility_bps / 10_000)

    @property
    def _days_left(self) -> int:
        expiry, today = (date.fromisoformat(d) for d in (self._universe.expiry, self._session.day))
        return (expiry - today).days

    def _candle(self, prices: Integers, start_ns: int) -> Candle:
        return Candle(
            instrument=self._universe.index.id,
            interval_s=MINUTE_S,
            start_ns=start_ns,
            open_paise=int(prices[0]),
            high_paise=int(prices.max()),
            low_paise=int(prices.min()),
            close_paise=int(prices[-1]),
        )

    def _noise(self, kind: str) -> np.random.Generator:
        return noise(self._seed, kind, self._universe.index.id)


def _fair(option: Instrument, path: Integers, *, at_the_money: Floats, years: Floats) -> Floats:
    strike = _strike(option)
    forward = path.astype(np.float64) * np.exp(RATE * years)
    volatility = smile(forward, strike, at_the_money=at_the_money, years=years)
    call, put = black76(forward, strike, volatility=volatility, years=years)
    return call if option.option_type is OptionType.CALL else put


def _strike(option: Instrument) -> float:
    assert option.strike_paise is not None, "an option has a strike"
    return float(option.strike_paise)


def _seconds(session: Session) -> Integers:
    """The first nanosecond of every second of continuous trading."""
    windows = [np.arange(start, end, SECOND_NS, dtype=np.int64) for start, end in session.windows]
    return np.concatenate(windows)


def _days_since_session(day: str) -> int:
    """Calendar days back to the weekday before. Holidays change nothing that anybody looks at."""
    return {0: 3, 6: 2}.get(date.fromisoformat(day).weekday(), 1)
