"""Supertrend with ADX: follow the trend line where the trend is strong, once per stretch."""

from collections.abc import Sequence

import msgspec

from holdfast.core.market.candles import check_interval
from holdfast.core.strategy import Opinion, Warmup
from holdfast.domain.decision import Direction
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.market import Candle, Tick
from holdfast.strategies.indicators import Adx, Supertrend, Trend


class SupertrendSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `SupertrendAdx`.

    `multiplier_e2` is in hundredths. `adx_min` is the ADX from which a trend counts as strong.
    With `confirm` the candle that speaks closes on the trend's side of its own open and of the
    line, which a spike can throw past its own close.

    `warmup_candles` is part of the configuration because a smoothed value depends on where its
    history began. 375 is a full session of minutes: in a thousand windows of recorded NIFTY
    minutes the ADX(14) then differed from one with all history by 4e-9 at most, far inside the
    rounding of 1e-6; with 150 candles by 5e-2. The default of 60 is the least that is of use: a day
    without history begins to trade after an hour, with an ADX that can be some points off. Where
    history is at hand all of it is fed.
    """

    interval_s: int = 60
    supertrend_period: int = 10
    multiplier_e2: int = 200
    adx_period: int = 14
    adx_min: int = 18
    confirm: bool = True
    warmup_candles: int = 60

    def __post_init__(self) -> None:
        """Raise `ValueError` on a parameter outside of its range, naming both."""
        check_interval(self.interval_s)
        needed = max(self.supertrend_period + 1, 2 * self.adx_period)
        ranges = (
            ("supertrend_period", self.supertrend_period, 3, 100),
            ("multiplier_e2", self.multiplier_e2, 150, 300),
            ("adx_period", self.adx_period, 3, 100),
            ("adx_min", self.adx_min, 1, 100),
            ("warmup_candles", self.warmup_candles, needed, 5_000),
        )
        for name, value, low, high in ranges:
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}, must be {low} to {high}")


class SupertrendAdx:
    """Speaks when a strong trend begins: the line turns, or the ADX reaches its minimum.

    One stretch of one direction and an unbroken minimum gets one opinion. Incomplete candles are
    left out: half a candle's range would bend both indicators.
    """

    def __init__(
        self, *, name: str, underlying: InstrumentId, settings: SupertrendSettings
    ) -> None:
        self.name = name
        self.underlying = underlying
        self.hears_ticks = False
        self._settings = settings
        self._supertrend = Supertrend(
            settings.supertrend_period, multiplier_e2=settings.multiplier_e2
        )
        self._adx = Adx(settings.adx_period)
        self._candles_taken = 0
        self._direction: Direction | None = None
        self._has_spoken = False

    def warmup(self) -> Sequence[Warmup]:
        """One full session of minutes unless configured otherwise (see the settings)."""
        settings = self._settings
        return (Warmup(interval_s=settings.interval_s, candles=settings.warmup_candles),)

    def on_candle(self, candle: Candle, *, live: bool) -> Opinion | None:
        """Take the next candle. Raises `ValueError` when it is out of order or has no prices.

        A stretch that began in the history has had its opinion: a restart does not repeat it.
        """
        assert candle.instrument == self.underlying, "a strategy hears its own underlying"
        if candle.interval_s != self._settings.interval_s or not candle.complete:
            return None
        trend, adx = self._supertrend.update(candle), self._adx.update(candle)
        self._candles_taken += 1
        if trend is None or adx is None:
            return None
        turned = trend.direction is not self._direction
        self._direction = trend.direction
        speaks = self._begins_stretch(candle, trend, adx, turned=turned)
        if not speaks or not live or self._candles_taken <= self._settings.warmup_candles:
            return None
        return self._opinion(candle, trend, adx, turned=turned)

    def on_tick(self, tick: Tick) -> Opinion | None:  # noqa: ARG002 the protocol's name
        """Ticks say nothing to it."""
        return None

    def _begins_stretch(self, candle: Candle, trend: Trend, adx: float, *, turned: bool) -> bool:
        """Whether this candle is the one of its stretch that speaks."""
        is_strong = adx >= self._settings.adx_min
        if turned or not is_strong:
            self._has_spoken = False
        if self._has_spoken or not is_strong or not self._is_confirmed(candle, trend):
            return False
        self._has_spoken = True
        return True

    def _is_confirmed(self, candle: Candle, trend: Trend) -> bool:
        if not self._settings.confirm:
            return True
        sign = 1 if trend.direction is Direction.UP else -1
        is_beyond_open = (candle.close_paise - candle.open_paise) * sign > 0
        return is_beyond_open and (candle.close_paise / 100 - trend.line) * sign > 0

    def _opinion(self, candle: Candle, trend: Trend, adx: float, *, turned: bool) -> Opinion:
        """Values are points of the underlying, as its prices are quoted."""
        settings = self._settings
        return Opinion(
            direction=trend.direction,
            reason=(
                f"Supertrend({settings.supertrend_period}, {settings.multiplier_e2 / 100:g}) "
                f"{'turned' if turned else 'is'} {trend.direction} and "
                f"ADX({settings.adx_period}) {adx:.2f} is at least {settings.adx_min}"
            ),
            values={"supertrend": trend.line, "adx": adx, "close": candle.close_paise / 100},
        )
