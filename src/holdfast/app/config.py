"""The configuration: one file, parsed once and strictly, with units; the rest gets values.

`load_config` refuses what it does not know, naming file and line, and says what was probably
meant. What the file leaves out has its one default, the same in every mode.
"""

import hashlib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.app.keys import KEYS, SECTIONS, Key
from holdfast.app.kinds import NOW, Shown, Unfit, is_here, literal, nearest
from holdfast.app.toml import Document, Dotted, load_toml
from holdfast.core.settings import (
    SECOND_NS,
    EngineSettings,
    EntrySettings,
    ExitSettings,
    FreshnessSettings,
    GuardSettings,
    LimitSettings,
    ReconcileSettings,
    SizingSettings,
)
from holdfast.domain.dated import Session
from holdfast.domain.errors import DataRefused
from holdfast.domain.instrument import Product
from holdfast.strategies.supertrend import SupertrendSettings

CONFIG_FILE: Final = "config.json"
"""In the folder of a run: the effective configuration that it was made with."""


class Mode(StrEnum):
    """What stands behind the ports. Known here and in the wiring, nowhere below."""

    SIM = "sim"
    REPLAY = "replay"
    PAPER = "paper"
    LIVE = "live"

    @property
    def letter(self) -> str:
        """The first character of every order id."""
        return self.value[0].upper()

    @property
    def is_live(self) -> bool:
        """Whether real money is at stake."""
        return self is Mode.LIVE

    @property
    def is_real_time(self) -> bool:
        """Whether the market is the broker's, and its time passes by itself."""
        return self in (Mode.PAPER, Mode.LIVE)


class AccountSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Whose account, and what is traded in it."""

    client_id: str = "SIM0001"
    underlyings: tuple[str, ...] = ("NIFTY",)
    exit_by: str = "modify"


class SimSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The simulated exchange and its day. `speed` 0 is as fast as possible, else a factor."""

    day: str = "2026-11-20"
    seed: int = 1
    speed: int = 0
    cash_paise: int = 500_000_00


class DhanSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker's services are (dhan.md, hosts)."""

    rest_url: str = "https://api.dhan.co/v2"
    auth_url: str = "https://auth.dhan.co"
    feed_url: str = "wss://api-feed.dhan.co"
    updates_url: str = "wss://api-order-update.dhan.co"
    instruments_url: str = "https://images.dhan.co/api-data"

    @property
    def urls(self) -> tuple[str, ...]:
        """All of them."""
        return msgspec.structs.astuple(self)

    @property
    def is_here(self) -> bool:
        """Whether every one of them is on this machine: a simulated broker."""
        return all(is_here(url) for url in self.urls)


class ClockSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The clock of paper and live: the wall's, unless the broker is simulated (decisions 2.15).

    It showed `start` (a moment in India; "now": the wall's) at `since_ms`, UTC, 0: when the program began.
    """

    start: str = NOW
    since_ms: int = 0
    speed: int = 1

    @property
    def is_walls(self) -> bool:
        """Whether it shows what the wall's does."""
        return self == ClockSettings()


class CandleSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long after its end a candle waits for trades that are late (T30)."""

    lag_ms: int = 1_500


class StrategySettings(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of each strategy that trades."""

    supertrend: SupertrendSettings = SupertrendSettings()


class RuntimeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Intervals and bounds of the shell, in seconds: equal in every mode, seldom touched."""

    monitor_loop_interval_s: float = 0.1
    shutdown_timeout_order_s: float = 2.0
    shutdown_timeout_price_s: float = 1.0
    shutdown_timeout_state_s: float = 2.0
    websocket_ping_interval_s: float = 10.0
    websocket_ping_timeout_s: float = 5.0
    db_transaction_batch_size: int = 100
    db_commit_interval_s: float = 1.0


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The whole effective configuration. Immutable through and through: nobody can share a change."""

    mode: Mode = Mode.SIM
    account: AccountSettings = AccountSettings()
    sim: SimSettings = SimSettings()
    dhan: DhanSettings = DhanSettings()
    clock: ClockSettings = ClockSettings()
    entries: EntrySettings = EntrySettings()
    sizing: SizingSettings = SizingSettings()
    exits: ExitSettings = ExitSettings()
    limits: LimitSettings = LimitSettings()
    guards: GuardSettings = GuardSettings()
    reconcile: ReconcileSettings = ReconcileSettings()
    freshness: FreshnessSettings = FreshnessSettings()
    strategy: StrategySettings = StrategySettings()
    candles: CandleSettings = CandleSettings()
    runtime: RuntimeSettings = RuntimeSettings()


def load_config(path: Path) -> Config:
    """Parse the file. Raises DataRefused naming file, line and remedy."""
    document = load_toml(path)
    _refuse_unknown(document)
    config = _converted(document)
    _refuse_sim_in_live(document, config)
    for fault in _contradictions(config):
        raise DataRefused(document.where(fault.dotted), fault.what, fault.remedy)
    return config


def with_setting(config: Config, path: str, given: object, *, where: str) -> Config:
    """The configuration with one key set otherwise, judged as in the file. Raises DataRefused."""
    key = _PATHS[tuple(path.split("."))]
    try:
        value = key.kind.parse(key.name, given)
    except Unfit as unfit:
        raise DataRefused(where, unfit.what, unfit.remedy) from None
    section = msgspec.structs.replace(getattr(config, key.section), **{key.field: value})
    return msgspec.structs.replace(config, **{key.section: section})


def config_sha256(config: Config) -> str:
    """The hash that `Restarted` carries: equal exactly when every effective value is equal."""
    return hashlib.sha256(msgspec.json.encode(config, order="sorted")).hexdigest()


def effective(config: Config) -> dict[str, Shown]:
    """Every key by its path with the value in force, as a person writes it."""
    return {key.path: key.kind.shown(_value(config, key)) for key in KEYS}


def engine_settings(config: Config, session: Session) -> EngineSettings:
    """What the engine is told for one day. Raises DataRefused when the day is shorter than the plan."""
    _refuse_late_close_out(config.exits.close_out_s, session)
    return EngineSettings(
        id_prefix=order_prefix(config, session),
        day=session.day,
        underlyings=config.account.underlyings,
        candle_lag_ms=config.candles.lag_ms,
        exit_by_modify=config.account.exit_by == "modify",
        entries=config.entries,
        sizing=config.sizing,
        exits=config.exits,
        limits=config.limits,
        guards=_guards(config),
        reconcile=config.reconcile,
        freshness=config.freshness,
    )


def order_prefix(config: Config, session: Session) -> str:
    """What every order id of ours of a day begins with: mode, account and day (decisions 2.6)."""
    client = config.account.client_id[-6:]
    return f"{config.mode.letter}{client}{session.day[2:].replace('-', '')}"


def _guards(config: Config) -> GuardSettings:
    """The broker's own loss exit guards real money only: elsewhere nobody offers one (T25)."""
    if config.mode.is_live:
        return config.guards
    return msgspec.structs.replace(config.guards, loss_exit_bps=0)


def init_text() -> str:
    """The commented file that `init` writes. It loads back to the defaults."""
    blocks = [_HEADER]
    for section in ("", *SECTIONS):
        lines = [_init_line(key) for key in KEYS if key.section == section and key.shown]
        if lines:
            blocks.append("\n".join([f"[{section}]", *lines] if section else lines))
    return "\n\n".join(blocks) + "\n"


_HEADER: Final = """\
# holdfast. A name ends in its unit: _bps are basis points (100 = 1 %), _ist is a time in India.
# Unknown keys, repeated keys and impossible values refuse to start. Check: holdfast config check"""

_PATHS: Final = {tuple(key.path.split(".")): key for key in KEYS}
_SECTIONS: Final = frozenset(path[:end] for path in _PATHS for end in range(1, len(path)))


class _Fault(msgspec.Struct, frozen=True):
    """Something wrong at a place of the file."""

    dotted: Dotted
    what: str
    remedy: str


def _init_line(key: Key) -> str:
    setting = f"{key.name} = {literal(key.kind.shown(_value(Config(), key)))}"
    return f"{setting:<32} # {key.says}"


def _value(config: Config, key: Key) -> Any:
    value: Any = config
    for part in key.section.split(".") if key.section else ():
        value = getattr(value, part)
    return getattr(value, key.field)


def _refuse_unknown(document: Document) -> None:
    for fault in _unknown(document.values, ()):
        raise DataRefused(document.where(fault.dotted), fault.what, fault.remedy)


def _unknown(table: dict[str, Any], at: Dotted) -> Iterator[_Fault]:
    for name, value in table.items():
        dotted = (*at, name)
        if isinstance(value, dict):
            if dotted in _SECTIONS:
                yield from _unknown(value, dotted)
            else:
                yield _unknown_section(dotted)
        elif dotted in _SECTIONS:
            yield _Fault(
                dotted, f"{name} is a section", f"write [{'.'.join(dotted)}] above its keys"
            )
        elif dotted not in _PATHS:
            yield _unknown_key(dotted)


def _unknown_section(dotted: Dotted) -> _Fault:
    section, name = ".".join(dotted), dotted[-1]
    if dotted in _PATHS:
        return _Fault(dotted, f"{name} is one value", f"write {name} = ..., without a section")
    if name in SECTIONS:
        remedy = f"{name} is a section of its own: write [{name}]"
    elif near := nearest(section, SECTIONS):
        remedy = f"did you mean [{near}]?"
    else:
        remedy = f"the sections are {', '.join(SECTIONS)}"
    return _Fault(dotted, f"unknown section [{section}]", remedy)


def _unknown_key(dotted: Dotted) -> _Fault:
    section, name = ".".join(dotted[:-1]), dotted[-1]
    what = f"unknown key {name}" + (f" in [{section}]" if section else "")
    return _Fault(dotted, what, _home_of(section, name))


def _home_of(section: str, name: str) -> str:
    """Where a misplaced key belongs, or what a misspelt one was meant to be."""
    siblings = tuple(key.name for key in KEYS if key.section == section)
    if home := next((key for key in KEYS if key.name == name), None):
        return f"{name} belongs to {_place(home.section)}; move it there"
    if near := nearest(name, siblings):
        return f"did you mean {near}?"
    if near := nearest(name, tuple(key.name for key in KEYS)):
        home = next(key for key in KEYS if key.name == near)
        return f"did you mean {near} of {_place(home.section)}?"
    return f"{_place(section)} takes {', '.join(siblings)}"


def _place(section: str) -> str:
    return f"[{section}]" if section else "the top of the file"


def _refuse_sim_in_live(document: Document, config: Config) -> None:
    """Whoever trades real money means nothing by a seed: the file was meant for another mode."""
    if config.mode.is_live and "sim" in document.values:
        raise DataRefused(
            document.where(("sim",)),
            "[sim] has no effect in live",
            'remove the section, or set mode = "sim"',
        )


def _fields(document: Document) -> dict[str, Any]:
    """What the file sets, by the program's field names and in its units."""
    fields: dict[str, Any] = {}
    for dotted, key in _PATHS.items():
        table: Any = document.values
        for part in dotted[:-1]:
            table = table.get(part, {})
        if dotted[-1] in table:
            target = fields
            for part in dotted[:-1]:
                target = target.setdefault(part, {})
            target[key.field] = _parsed(document, dotted, key, table[dotted[-1]])
    return fields


def _converted(document: Document) -> Config:
    """Each value has been judged alone by now; a strategy also judges its own together."""
    try:
        return msgspec.convert(_fields(document), Config)
    except msgspec.ValidationError as error:
        what, _, at = str(error).partition(" - at `$.")
        dotted = tuple(at.rstrip("`").split("."))
        raise DataRefused(
            document.where(dotted), what, "the parameters of a strategy must fit each other"
        ) from None


def _parsed(document: Document, dotted: Dotted, key: Key, given: object) -> Any:
    try:
        return key.kind.parse(key.name, given)
    except Unfit as unfit:
        raise DataRefused(document.where(dotted), unfit.what, unfit.remedy) from None


def _contradictions(config: Config) -> Iterator[_Fault]:
    """Values that each fit and cannot all be meant."""
    entries, exits = config.entries, config.exits
    if entries.start_s >= entries.cutoff_s:
        yield _Fault(
            ("entries", "cutoff_ist"),
            "cutoff_ist is not after start_ist: nothing could ever be entered",
            "set cutoff_ist to a later time",
        )
    if entries.cutoff_s >= exits.close_out_s:
        yield _Fault(
            ("exits", "close_out_ist"),
            "close_out_ist is not after the entries' cutoff_ist",
            "end entries before everything is closed",
        )
    if exits.stale_without_stop_s > exits.stale_with_stop_s:
        yield _Fault(
            ("exits", "stale_without_stop_s"),
            "stale_without_stop_s is longer than stale_with_stop_s",
            "a position without a stop at the broker cannot wait longer than one with it",
        )
    if config.limits.loss_per_day_paise_max > config.sizing.capital_paise:
        yield _Fault(
            ("limits", "loss_per_day_rupees_max"),
            "loss_per_day_rupees_max is more than the capital: it would limit nothing",
            "set it to what may be lost in one day",
        )
    if config.guards.hold_overnight and config.entries.product is not Product.MARGIN:
        yield _Fault(
            ("guards", "hold_overnight"),
            "hold_overnight has no effect on INTRADAY positions: the broker squares them off",
            'set product = "MARGIN" in [entries], or leave it false',
        )
    yield from _clock_contradictions(config)
    if config.reconcile.age_s <= config.reconcile.every_s:
        yield _Fault(
            ("reconcile", "age_s"),
            "age_s is not longer than every_s: nothing could ever be entered",
            "set it to three times every_s",
        )


def _clock_contradictions(config: Config) -> Iterator[_Fault]:
    """Whose time it is, and where the broker is, must fit each other (decisions 2.15)."""
    clock, dhan = config.clock, config.dhan
    changed = next((name for name in _CLOCK_KEYS if _differs(clock, name)), None)
    if changed is not None and not config.mode.is_real_time:
        yield _Fault(
            ("clock", changed),
            f"[clock] has no effect in {config.mode.value}",
            "for sim set speed in [sim]",
        )
    elif changed is not None and not dhan.is_here:
        yield _Fault(
            ("clock", changed),
            "[clock] is the wall's unless every address of [dhan] is on this machine",
            "remove it, or point [dhan] at: holdfast sim-broker",
        )
    if clock.since_ms and clock.start == NOW:
        yield _Fault(
            ("clock", "since_ms"),
            "since_ms has no effect without start",
            "set the moment that the clock showed then",
        )
    here = [name for name in dhan.__struct_fields__ if is_here(getattr(dhan, name))]
    if here and not dhan.is_here:
        yield _Fault(
            ("dhan", here[0]),
            "some addresses of [dhan] are on this machine and others are not",
            "set all of them, or none",
        )


_CLOCK_KEYS: Final = ClockSettings.__struct_fields__


def _differs(clock: ClockSettings, name: str) -> bool:
    return bool(getattr(clock, name) != getattr(ClockSettings(), name))


_BEFORE_BROKER_NS: Final = 300 * SECOND_NS
_IST_AHEAD_NS: Final = 19_800 * SECOND_NS


def _refuse_late_close_out(close_out_s: int, session: Session) -> None:
    """Close-out begins before the close, and five minutes before the broker's own (T11).

    In a special session, which may end hours earlier, the engine closes in time whatever is set.
    """
    latest_ns = min(session.close_ns - 60 * SECOND_NS, session.square_off_ns - _BEFORE_BROKER_NS)
    if session.name == "regular" and close_out_s > _second_of_day(latest_ns):
        raise DataRefused(
            "[exits] close_out_ist",
            f"is too late on {session.day}: the {session.name} session closes at "
            f"{_face(session.close_ns)} and the broker squares off at "
            f"{_face(session.square_off_ns)}",
            f"set it to {_face(latest_ns)} or earlier",
        )


def _second_of_day(at_ns: int) -> int:
    return (at_ns + _IST_AHEAD_NS) // SECOND_NS % 86_400


def _face(at_ns: int) -> str:
    second = _second_of_day(at_ns)
    return f"{second // 3_600:02d}:{second // 60 % 60:02d}"
