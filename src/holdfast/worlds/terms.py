"""Under what terms a world trades: settings, contracts, latencies, all drawn from its seed."""

import msgspec

from holdfast.core.settings import (
    EngineSettings,
    EntrySettings,
    ExitSettings,
    LimitSettings,
    SizingSettings,
)
from holdfast.domain.instrument import Instrument
from holdfast.exchange.checks import Behaviour, ModifyBehaviour
from holdfast.worlds.acts import Script
from holdfast.worlds.chance import Chance
from holdfast.worlds.disk import DiskPace
from holdfast.worlds.ground import BEGIN_S, DAY, options

LEGS = "legs"
"""The mix whose worlds hold legs of a structure: no signal makes one yet."""

RUSH = "rush"
"""The mix whose worlds hold much in many slices, so that the broker's rate is what is short."""

MS = 1_000_000
CASH_PAISE = 50_000_000_00


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What does not change while a world lasts. `speaks_bps` of the candles bring a signal.

    `has_structures`: every position is a long leg of one structure (T12).
    """

    settings: EngineSettings
    contracts: tuple[Instrument, ...]
    behaviour: Behaviour
    pace: DiskPace
    cash_paise: int
    speaks_bps: int
    has_structures: bool = False


def terms(script: Script) -> Terms:
    """The terms of a script: its seed's, with the close-out where the script has it."""
    chance = Chance(script.seed, "terms")
    freeze = 261 if script.mix == RUSH else chance.one_of("freeze", (1_801, 1_801, 261))
    behaviours = (
        ModifyBehaviour.ACCEPTS,
        ModifyBehaviour.ACCEPTS,
        ModifyBehaviour.REFUSES,
        ModifyBehaviour.IGNORES,
    )
    return Terms(
        settings=_settings(script, chance),
        contracts=options(freeze),
        behaviour=Behaviour(stop_to_limit=chance.one_of("stop_to_limit", behaviours)),
        pace=DiskPace(
            commit_ns=chance.one_of("commit", (0, 0, 300, 1_000)) * MS,
            flush_ns=chance.one_of("flush", (0, 0, 700, 1_300)) * MS,
            wait_ns=chance.one_of("wait", (0, 0, 3, 40, 600)) * MS,
        ),
        cash_paise=CASH_PAISE,
        speaks_bps=chance.one_of("speaks", (3_000, 5_000, 8_000)),
        has_structures=script.mix == LEGS,
    )


def _settings(script: Script, chance: Chance) -> EngineSettings:
    stop_bps = chance.one_of("stop", (200, 400, 800))
    is_rush = script.mix == RUSH
    return EngineSettings(
        id_prefix="SSIM001261120",
        day=DAY,
        underlyings=("NIFTY",),
        exit_by_modify=not chance.happens("replaces", 2_500),
        entries=EntrySettings(
            start_s=BEGIN_S,
            cooldown_s=0,
            life_s=chance.one_of("life", (2, 5)),
            positions_open_max=5 if is_rush else chance.one_of("positions", (1, 3, 5)),
            trades_per_day_max=200,
            spread_bps_max=400,
        ),
        sizing=SizingSettings(
            capital_paise=CASH_PAISE,
            risk_bps=1_000,
            lots_max=11 if is_rush else chance.one_of("lots", (1, 2, 6, 12)),
        ),
        exits=ExitSettings(
            stop_bps=stop_bps,
            target_bps=chance.one_of("target", (0, 300, 900)),
            trail_arm_bps=10 if is_rush else chance.one_of("arm", (0, 100, 300)),
            trail_giveback_bps=chance.one_of("giveback", (100, 250)),
            close_out_s=BEGIN_S + script.close_s,
            stale_with_stop_s=chance.one_of("stale", (20, 60)),
        ),
        limits=LimitSettings(
            loss_per_day_paise_max=chance.one_of("loss", (2_000_00, *(200_000_00,) * 7)),
        ),
    )
