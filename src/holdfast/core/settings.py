"""What a person may set, as the core takes it: paise, basis points, seconds of the day.

Defaults are stated here once, ranges beside the keys of the file (`app/keys.py`).
"""

import msgspec

from holdfast.domain.instrument import Product

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS


class EntrySettings(msgspec.Struct, frozen=True, kw_only=True):
    """When and how positions are opened.

    Times of day are seconds after midnight IST. `life_s` is how long an entry order may work.
    `chase_bps` is how far above the ask (below the bid for shorts) the limit may lie.
    """

    start_s: int = 9 * 3600 + 20 * 60
    cutoff_s: int = 14 * 3600 + 50 * 60
    life_s: int = 5
    chase_bps: int = 50
    cooldown_s: int = 300
    positions_open_max: int = 3
    trades_per_day_max: int = 10
    spread_bps_max: int = 200
    strike_offset: int = 0
    product: Product = Product.INTRADAY


class SizingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How much is risked. The budget is `risk_bps` of `capital_paise`."""

    capital_paise: int = 500_000_00
    risk_bps: int = 100
    lots_max: int = 10


class ExitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When positions are closed. Ratios are of the entry's reference price.

    `target_bps` and `trail_arm_bps` 0 mean none. `close_out_s` is seconds after midnight IST.
    `stop_limit_bps` is how far behind its trigger the resting stop's limit lies, of the trigger;
    exchange rules may make it less (T1).
    """

    stop_bps: int = 1_200
    stop_limit_bps: int = 1_000
    target_bps: int = 2_500
    trail_arm_bps: int = 800
    trail_giveback_bps: int = 600
    close_out_s: int = 15 * 3600 + 15 * 60
    stale_with_stop_s: int = 60
    stale_without_stop_s: int = 5


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the account for one day."""

    loss_per_day_paise_max: int = 10_000_00


class GuardSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What holds when nothing else does.

    A position without any protection is closed after `unprotected_s` (T9). `exit_all`: in a panic
    that cannot close by itself the broker may be asked to close the whole account, the owner's own
    positions too; `kill_switch`: once flat the broker is asked to refuse every order of the day.
    `loss_exit_bps` of the daily loss limit is where the broker is asked to close everything by
    itself, for the case that this machine is gone; 0: it is not asked (T25). `hold_overnight`: the
    close-out leaves MARGIN positions, without a stop until the next opening; `hold_to_settlement`:
    it leaves longs that expire today (T24).
    """

    unprotected_s: int = 5
    exit_all: bool = False
    kill_switch: bool = False
    loss_exit_bps: int = 15_000
    hold_overnight: bool = False
    hold_to_settlement: bool = False


class ReconcileSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The whole book is read each `every_s`; entries need a clean read not older than `age_s`."""

    every_s: int = 30
    age_s: int = 90


class FreshnessSettings(msgspec.Struct, frozen=True, kw_only=True):
    """When a price may be used (T10): silence of the connection, its lag, a packet's own age."""

    connection_s: int = 2
    lag_s: int = 3
    packet_s: int = 5


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the engine is told about how to trade.

    `id_prefix` (at most 13 characters) stands before every order id and is not interpreted.
    `underlyings` are the names traded. `exit_by_modify` is whether a resting stop may be modified
    into the exit; otherwise it is cancelled and replaced.
    """

    id_prefix: str
    day: str
    underlyings: tuple[str, ...]
    candle_lag_ms: int = 1_500
    exit_by_modify: bool = True
    entries: EntrySettings = EntrySettings()
    sizing: SizingSettings = SizingSettings()
    exits: ExitSettings = ExitSettings()
    limits: LimitSettings = LimitSettings()
    guards: GuardSettings = GuardSettings()
    reconcile: ReconcileSettings = ReconcileSettings()
    freshness: FreshnessSettings = FreshnessSettings()

    def __post_init__(self) -> None:
        """Order ids must fit the broker's 25 characters whatever their number."""
        if not 1 <= len(self.id_prefix) <= 13:
            raise ValueError(f"id_prefix {self.id_prefix!r} must have 1 to 13 characters")
