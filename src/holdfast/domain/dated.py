"""Facts that hold for one trading day: hours, charges, price rules. Loaded from dated files.

Rates are integers of 1e-7 (0.03503 % is 3_503). Nothing of the kind is a constant in code.
"""

import msgspec

from holdfast.domain.instrument import Exchange, Kind


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """The hours of one day in one exchange's derivatives segment.

    `windows` are the continuous trading phases in order, half open, as UTC nanoseconds (a special
    Saturday has two). `square_off_ns` is when the broker begins to close INTRADAY positions by
    itself. From `underlying_ends_ns` on the underlying index no longer follows trades.
    """

    day: str
    exchange: Exchange
    windows: tuple[tuple[int, int], ...]
    square_off_ns: int
    underlying_ends_ns: int
    name: str = "regular"

    @property
    def open_ns(self) -> int:
        """Start of the first window."""
        return self.windows[0][0]

    @property
    def close_ns(self) -> int:
        """End of the last window."""
        return self.windows[-1][1]

    def is_open(self, at_ns: int) -> bool:
        """Whether orders match at `at_ns`."""
        for start, end in self.windows:  # noqa: SIM110 asked with every event: a generator costs
            if start <= at_ns < end:
                return True
        return False


class ChargeRates(msgspec.Struct, frozen=True, kw_only=True):
    """What a fill costs in one exchange and kind of contract, from a date on.

    Brokerage is per executed order: `brokerage_paise_max` flat when `brokerage_e7` is 0, else the
    smaller of the two. STT falls on sales, stamp duty on purchases, GST on brokerage, transaction
    fee, SEBI fee and IPFT. `stt_exercise_e7` falls on the intrinsic value of exercised longs.
    """

    since: str
    exchange: Exchange
    kind: Kind
    brokerage_paise_max: int
    brokerage_e7: int
    stt_sell_e7: int
    stt_exercise_e7: int
    transaction_e7: int
    ipft_e7: int
    sebi_e7: int
    stamp_buy_e7: int
    gst_e7: int
    source: str


class PriceRules(msgspec.Struct, frozen=True, kw_only=True):
    """Which prices one exchange takes for options, from a date on.

    Limit price protection: with a reference price at or below `band_pivot_paise` a price may lie
    `band_low_paise` from it, above it `band_bps` of the reference, at least `band_min_paise`. The
    reference is the mean of the trades of the last `band_reference_s` seconds, renewed as often.
    A stop's limit may lie `stop_distance_bps` of the trigger behind it, for triggers at or below
    `stop_pivot_paise` at most `stop_low_paise`.
    """

    since: str
    exchange: Exchange
    band_pivot_paise: int
    band_low_paise: int
    band_bps: int
    band_min_paise: int
    band_reference_s: int
    stop_distance_bps: int
    stop_pivot_paise: int
    stop_low_paise: int
    source: str

    def band(self, reference_paise: int) -> tuple[int, int]:
        """Lowest and highest price allowed around `reference_paise`, in paise, not rounded."""
        if reference_paise <= self.band_pivot_paise:
            width = self.band_low_paise
        else:
            width = max(reference_paise * self.band_bps // 10_000, self.band_min_paise)
        return max(reference_paise - width, 1), reference_paise + width

    def stop_distance(self, trigger_paise: int) -> int:
        """How far behind its trigger a stop's limit may lie, in paise."""
        if trigger_paise <= self.stop_pivot_paise:
            return self.stop_low_paise
        return trigger_paise * self.stop_distance_bps // 10_000


class DayFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything dated that one trading day needs. `sessions` is empty on a day without trading."""

    day: str
    sessions: tuple[Session, ...]
    charges: tuple[ChargeRates, ...]
    prices: tuple[PriceRules, ...]

    def session(self, exchange: Exchange) -> Session | None:
        """The day's hours at `exchange`, `None` when it does not open."""
        for session in self.sessions:  # asked with every event
            if session.exchange is exchange:
                return session
        return None

    def charge_rates(self, exchange: Exchange, kind: Kind) -> ChargeRates:
        """The rates in force. Raises `LookupError` when there are none: unknown is not free."""
        for rates in self.charges:
            if rates.exchange is exchange and rates.kind is kind:
                return rates
        raise LookupError(f"no charges for {kind} at {exchange} on {self.day}")

    def price_rules(self, exchange: Exchange) -> PriceRules:
        """The price rules in force. Raises `LookupError` when there are none."""
        for rules in self.prices:
            if rules.exchange is exchange:
                return rules
        raise LookupError(f"no price rules at {exchange} on {self.day}")
