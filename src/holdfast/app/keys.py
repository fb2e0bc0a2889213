"""Every key of the configuration file: its kind, its range and what it says, in one table.

A name ends in its unit (`_bps`, `_rupees`, `_s`, `_ms`, `_ist`). Numbers are whole, there is no
'unlimited', money is never a fraction. Reading, `init`, `config check` and the manual all come
from this table, so that none of them can know a key that the others do not.
"""

from typing import Final

import msgspec

from holdfast.app.kinds import (
    Address,
    ClockTime,
    Day,
    Fraction,
    Kind,
    Moment,
    Name,
    Names,
    Switch,
    Unit,
    Whole,
    Word,
)

SPEED_MAX: Final = 20
HOUR_S: Final = 3_600
CRORE: Final = 10_000_000


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key. `section` is "" for the top; a key that is not `shown` is left out by `init`."""

    section: str
    name: str
    kind: Kind
    says: str
    shown: bool = True

    @property
    def field(self) -> str:
        """Its name in the program, which counts paise and seconds after midnight."""
        return self.name.replace("_rupees", "_paise").replace("_ist", "_s")

    @property
    def path(self) -> str:
        """How it is spoken of: `exits.stop_bps`."""
        return f"{self.section}.{self.name}" if self.section else self.name


def _bps(low: int, high: int, zero: str = "") -> Whole:
    return Whole(low=low, high=high, unit=Unit.BPS, zero=zero)


def _seconds(low: int, high: int, zero: str = "") -> Whole:
    return Whole(low=low, high=high, unit=Unit.SECONDS, zero=zero)


def _count(low: int, high: int) -> Whole:
    return Whole(low=low, high=high)


def _rupees(low: int, high: int) -> Whole:
    return Whole(low=low, high=high, unit=Unit.RUPEES)


# A regular session lies between 09:15 and 15:40; what is set outside it could never act.
_TIME: Final = ClockTime(low_s=9 * HOUR_S + 15 * 60, high_s=15 * HOUR_S + 39 * 60)
_UNDERLYINGS: Final = ("NIFTY", "BANKNIFTY", "SENSEX")


def _key(path: str, kind: Kind, says: str, *, shown: bool = True) -> Key:
    section, _, name = path.rpartition(".")
    return Key(section=section, name=name, kind=kind, says=says, shown=shown)


KEYS: Final = (
    _key(
        "mode",
        Word(options=("sim", "replay", "paper", "live")),
        "sim, replay: played; paper: the broker's market; live: real money",
    ),
    _key("account.client_id", Name(), "the broker's number of the account"),
    _key("account.underlyings", Names(options=_UNDERLYINGS), "what is traded"),
    _key(
        "account.exit_by",
        Word(options=("modify", "replace")),
        "make the resting stop the exit, or cancel it and place a new order",
        shown=False,
    ),
    _key("sim.day", Day(), "the trading day that is generated"),
    _key("sim.seed", _count(0, 4_294_967_295), "another seed, another day"),
    _key(
        "sim.speed",
        Whole(low=1, high=10_000, zero="as fast as possible"),
        "0: as fast as possible; 1: as the clock goes",
    ),
    _key("sim.cash_rupees", _rupees(10_000, 100 * CRORE), "free cash in the morning"),
    _key(
        "dhan.rest_url",
        Address(schemes=("http", "https")),
        "orders, books and quotes",
        shown=False,
    ),
    _key("dhan.auth_url", Address(schemes=("http", "https")), "makes tokens", shown=False),
    _key("dhan.feed_url", Address(schemes=("ws", "wss")), "market data", shown=False),
    _key("dhan.updates_url", Address(schemes=("ws", "wss")), "words about orders", shown=False),
    _key(
        "dhan.instruments_url",
        Address(schemes=("http", "https")),
        "the folder of the instrument masters",
        shown=False,
    ),
    _key(
        "clock.start",
        Moment(),
        "against a simulated broker: the moment that it shows",
        shown=False,
    ),
    _key(
        "clock.since_ms",
        Whole(
            low=1_600_000_000_000,
            high=10_000_000_000_000,
            unit=Unit.MILLISECONDS,
            zero="when the program begins",
        ),
        "the host's UTC when it showed that",
        shown=False,
    ),
    _key("clock.speed", _count(1, SPEED_MAX), "times as fast as the wall's", shown=False),
    _key("entries.start_ist", _TIME, "first entry"),
    _key("entries.cutoff_ist", _TIME, "no entry from here on"),
    _key("entries.life_s", _seconds(1, 60), "how long an entry order may work"),
    _key("entries.chase_bps", _bps(5, 500), "how far beyond the touch it may pay"),
    _key("entries.cooldown_s", _seconds(1, 7_200, "none"), "pause after a trade, per underlying"),
    _key("entries.positions_open_max", _count(1, 50), "at once"),
    _key("entries.trades_per_day_max", _count(1, 200), "in one day"),
    _key("entries.spread_bps_max", _bps(10, 2_000), "the only spread limit, of the mid price"),
    _key("entries.strike_offset", _count(-10, 10), "0: at the money; 1: one strike out of it"),
    _key(
        "entries.product",
        Word(options=("INTRADAY", "MARGIN")),
        "INTRADAY: the broker squares off what a dead program leaves open",
    ),
    _key("sizing.capital_rupees", _rupees(10_000, 100 * CRORE), "what risk_bps is a part of"),
    _key("sizing.risk_bps", _bps(10, 1_000), "lost at most when a stop fills at its limit"),
    _key("sizing.lots_max", _count(1, 500), "in one position"),
    _key("exits.stop_bps", _bps(100, 9_000), "below the entry price"),
    _key("exits.stop_limit_bps", _bps(50, 1_950), "the stop order's limit, behind its trigger"),
    _key("exits.target_bps", _bps(100, 50_000, "no target"), "above the entry price; 0: none"),
    _key("exits.trail_arm_bps", _bps(50, 50_000, "no trailing"), "gain that arms it; 0: none"),
    _key("exits.trail_giveback_bps", _bps(50, 9_000), "of the peak, once armed"),
    _key("exits.close_out_ist", _TIME, "everything is closed from here on"),
    _key("exits.stale_with_stop_s", _seconds(5, 600), "without a price, stop at the broker"),
    _key("exits.stale_without_stop_s", _seconds(1, 60), "without a price and without a stop"),
    _key("limits.loss_per_day_rupees_max", _rupees(100, CRORE), "then flat and halted"),
    _key("guards.unprotected_s", _seconds(2, 60), "then what nothing protects is closed"),
    _key(
        "guards.exit_all", Switch(), "a stuck panic may close your own positions at the broker too"
    ),
    _key("guards.kill_switch", Switch(), "after a panic the broker refuses every order of the day"),
    _key(
        "guards.loss_exit_bps",
        _bps(10_000, 100_000, "not set"),
        "live: the broker's own loss exit, of the daily limit",
        shown=False,
    ),
    _key(
        "guards.hold_overnight",
        Switch(),
        "MARGIN positions stay, without a stop at night",
        shown=False,
    ),
    _key(
        "guards.hold_to_settlement",
        Switch(),
        "longs that expire today stay, shorts never",
        shown=False,
    ),
    _key(
        "reconcile.every_s",
        _seconds(10, 300),
        "between reads of the broker's whole book",
        shown=False,
    ),
    _key("reconcile.age_s", _seconds(20, 900), "entries need a clean read this young", shown=False),
    _key("freshness.connection_s", _seconds(1, 30), "silence of the feed"),
    _key("freshness.lag_s", _seconds(1, 60), "of the feed behind the exchange"),
    _key("freshness.packet_s", _seconds(1, 60), "age of an instrument's own price"),
    _key("strategy.supertrend.interval_s", _seconds(60, 900), "length of a candle"),
    _key("strategy.supertrend.supertrend_period", _count(3, 100), "candles"),
    _key("strategy.supertrend.multiplier_e2", _count(150, 300), "in hundredths: 200 is 2.00"),
    _key("strategy.supertrend.adx_period", _count(3, 100), "candles"),
    _key("strategy.supertrend.adx_min", _count(1, 99), "from here on a trend is strong"),
    _key("strategy.supertrend.confirm", Switch(), "the candle itself must agree"),
    _key("strategy.supertrend.warmup_candles", _count(7, 5_000), "of history", shown=False),
    _key(
        "candles.lag_ms",
        Whole(low=100, high=10_000, unit=Unit.MILLISECONDS),
        "how long a candle waits for late trades",
        shown=False,
    ),
    _key(
        "runtime.monitor_loop_interval_s",
        Fraction(low=0.01, high=1),
        "pause of a periodic loop",
        shown=False,
    ),
    _key(
        "runtime.shutdown_timeout_order_s",
        Fraction(low=0.1, high=5),
        "share of a stop for orders",
        shown=False,
    ),
    _key(
        "runtime.shutdown_timeout_price_s",
        Fraction(low=0.1, high=5),
        "share of a stop for the feed",
        shown=False,
    ),
    _key(
        "runtime.shutdown_timeout_state_s",
        Fraction(low=0.1, high=5),
        "share of a stop for the store",
        shown=False,
    ),
    _key(
        "runtime.websocket_ping_interval_s",
        Fraction(low=1, high=60),
        "between pings, paper and live",
        shown=False,
    ),
    _key(
        "runtime.websocket_ping_timeout_s",
        Fraction(low=1, high=60),
        "until a ping counts as lost, paper and live",
        shown=False,
    ),
    _key(
        "runtime.db_transaction_batch_size",
        _count(1, 10_000),
        "records committed together at most",
        shown=False,
    ),
    _key(
        "runtime.db_commit_interval_s",
        Fraction(low=0.01, high=5),
        "a record waits for its commit at most",
        shown=False,
    ),
)

SECTIONS: Final = tuple(dict.fromkeys(key.section for key in KEYS if key.section))
