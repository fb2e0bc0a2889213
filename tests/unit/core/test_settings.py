"""What applies when a person sets nothing, and the one setting that has a shape."""

import msgspec
import pytest

from holdfast.core.settings import (
    MINUTE_NS,
    SECOND_NS,
    EngineSettings,
    EntrySettings,
    ExitSettings,
    FreshnessSettings,
    LimitSettings,
    SizingSettings,
)
from holdfast.domain.instrument import Product

DEFAULTS: list[tuple[msgspec.Struct, dict[str, object]]] = [
    (
        EntrySettings(),
        {
            "start_s": 33_600,  # 09:20
            "cutoff_s": 53_400,  # 14:50
            "life_s": 5,  # T6
            "chase_bps": 50,
            "cooldown_s": 300,
            "positions_open_max": 3,
            "trades_per_day_max": 10,
            "spread_bps_max": 200,
            "strike_offset": 0,
            "product": Product.INTRADAY,  # T8
        },
    ),
    (SizingSettings(), {"capital_paise": 50_000_000, "risk_bps": 100, "lots_max": 10}),
    (
        ExitSettings(),
        {
            "stop_bps": 1_200,
            "stop_limit_bps": 1_000,
            "target_bps": 2_500,
            "trail_arm_bps": 800,
            "trail_giveback_bps": 600,
            "close_out_s": 54_900,  # 15:15
            "stale_with_stop_s": 60,  # T16
            "stale_without_stop_s": 5,  # T16
        },
    ),
    (LimitSettings(), {"loss_per_day_paise_max": 1_000_000}),
    (FreshnessSettings(), {"connection_s": 2, "lag_s": 3, "packet_s": 5}),  # T10
]


@pytest.mark.parametrize(("section", "values"), DEFAULTS, ids=lambda v: type(v).__name__)
def test_the_defaults_are_these(section: msgspec.Struct, values: dict[str, object]) -> None:
    """Somebody who sets nothing trades by these; a change of one is a change of behaviour."""
    assert msgspec.structs.asdict(section) == values


def made(prefix: str = "SSIM001261120") -> EngineSettings:
    """Settings with the defaults."""
    return EngineSettings(id_prefix=prefix, day="2026-11-20", underlyings=("NIFTY",))


def test_the_engine_waits_for_late_trades_and_exits_by_modifying() -> None:
    """The defaults of the whole: one interval, a bounded lag (T30), the resting stop is the exit."""
    engine = made()
    assert engine.candle_lag_ms == 1_500
    assert engine.exit_by_modify is True
    assert engine.entries == EntrySettings()
    assert engine.freshness == FreshnessSettings()


@pytest.mark.parametrize("prefix", ["S", "S" * 13])
def test_a_prefix_that_leaves_room_is_taken(prefix: str) -> None:
    """1 to 13 characters: with the longest number an order id has 25."""
    assert made(prefix).id_prefix == prefix


@pytest.mark.parametrize("prefix", ["", "S" * 14])
def test_a_prefix_without_room_is_refused(prefix: str) -> None:
    """A longer one would be cut by the broker, and the order never found again."""
    with pytest.raises(ValueError, match=r"id_prefix '.*' must have 1 to 13 characters"):
        made(prefix)


def test_units() -> None:
    """Time is nanoseconds."""
    assert (SECOND_NS, MINUTE_NS) == (10**9, 60 * 10**9)
