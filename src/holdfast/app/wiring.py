"""The composition root: the only place that knows the mode and puts the parts together."""

import asyncio
import datetime as dt
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from holdfast import __version__
from holdfast.app.config import CONFIG_FILE, Config, Mode, config_sha256, engine_settings
from holdfast.brokers.simulated import SimulatedVenue
from holdfast.core.engine import Engine
from holdfast.core.strategy import Strategy
from holdfast.domain.dated import DayFacts, Session
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import AnyEvent, FactsLoaded, InstrumentsLoaded, Restarted
from holdfast.domain.instrument import (
    Exchange,
    Instrument,
    InstrumentId,
    Kind,
    Segment,
    instrument_id,
)
from holdfast.exchange.generator import GeneratedDay
from holdfast.exchange.latency import Latency
from holdfast.exchange.universe import Universe
from holdfast.exchange.venue import SimulatedExchange
from holdfast.facts.ist import ist_date
from holdfast.facts.load import contract_terms, facts_sha256, load_day_facts
from holdfast.ports import MarketSource
from holdfast.research.verify import Checked, verify
from holdfast.runtime.clock import VirtualClock, cost_ns, elapsed_s
from holdfast.runtime.day import Day, Outcome, Pace, StopRequest
from holdfast.runtime.recover import in_order
from holdfast.store.buffers import StoreSettings
from holdfast.store.imports.recording import Recording, load_table
from holdfast.store.imports.upstox import ImportReport, OptionTerms, import_upstox_full
from holdfast.store.journal import StoreJournal
from holdfast.store.query import records
from holdfast.store.schema import FILE_NAME
from holdfast.store.segment import TapeHeader
from holdfast.store.tape import FOLDER, read_tape
from holdfast.strategies.registry import BUILT_IN

MINUTE_NS: Final = 60 * 1_000_000_000
BEFORE_OPEN_NS: Final = 10 * MINUTE_NS

Progress = Callable[[int, int], None]
"""Hears how many ticks were played, and of how many (0: unknown)."""


class SimulatedIndex(msgspec.Struct, frozen=True, kw_only=True):
    """Where a generated day of an index begins: the broker's id, a level, what options imply."""

    security_id: int
    exchange: Exchange
    spot_paise: int
    volatility_bps: int


INDICES: Final[Mapping[str, SimulatedIndex]] = {
    "NIFTY": SimulatedIndex(
        security_id=13, exchange=Exchange.NSE, spot_paise=26_050_00, volatility_bps=1_300
    ),
    "BANKNIFTY": SimulatedIndex(
        security_id=25, exchange=Exchange.NSE, spot_paise=58_900_00, volatility_bps=1_450
    ),
    "SENSEX": SimulatedIndex(
        security_id=51, exchange=Exchange.BSE, spot_paise=84_900_00, volatility_bps=1_350
    ),
}
"""Parameters of the simulation, not facts: any level would do."""

SECURITY_IDS_APART: Final = 1_000


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended. `wall` holds what it cost on this machine: seconds and counts."""

    exit_code: int
    stopped_early: bool
    wall: dict[str, float | int]


class VerifyResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared, and the first difference in words, `None` when there is none."""

    events: int
    ticks: int
    decisions: int
    first_difference: str | None


def run_sim(config: Config, run_dir: Path, progress: Progress) -> RunResult:
    """Play one generated day. Raises DataRefused or UnknownDay when it cannot begin."""
    day = dt.date.fromisoformat(config.sim.day)
    facts = load_day_facts(day)
    universes = [
        _universe(name, day, number) for number, name in enumerate(config.account.underlyings)
    ]
    source = GeneratedDay(config.sim.seed, facts, universes)
    return _run(config, facts, source, run_dir, progress, ticks_expected=0)


def run_replay(config: Config, tape_path: Path, run_dir: Path, progress: Progress) -> RunResult:
    """Play a tape through the engine and the simulated exchange.

    What is traded are the indices of the tape, whatever the configuration names. Raises
    DataRefused when the tape cannot be used, UnknownDay when there are no facts for its day.
    """
    tape = read_tape(tape_path)
    indices = [one.underlying for one in tape.instruments if one.kind is Kind.INDEX]
    if not indices:
        raise DataRefused(str(tape_path), "the tape holds no underlying", "import it with one")
    account = msgspec.structs.replace(config.account, underlyings=tuple(indices))
    played = msgspec.structs.replace(config, mode=Mode.REPLAY, account=account)
    facts = load_day_facts(dt.date.fromisoformat(tape.header.day))
    return _run(played, facts, tape, run_dir, progress, ticks_expected=tape.tick_rows)


def import_tape(source: Path, target: Path) -> ImportReport:
    """Make a tape of a recording in Upstox's form, with the contract facts of its day.

    Raises DataRefused when the recording cannot be used, UnknownDay when there are no facts.
    """
    recorded = Recording(source, load_table(source))
    day = ist_date(int(recorded.ts_ns[0]))
    terms = [
        OptionTerms(
            underlying=name,
            expiry=expiry.day.isoformat(),
            lot_size=expiry.lot_size,
            price_step_paise=contract.price_step_paise,
            freeze_quantity=contract.freeze_quantity,
        )
        for name in INDICES
        for contract in (contract_terms(name, day),)
        for expiry in contract.expiries
    ]
    return import_upstox_full(source, target, terms=terms)


def verify_run(run_dir: Path, progress: Progress) -> VerifyResult:
    """Step a new engine through a run's journal and tape and compare every decision."""
    config = _stored_config(run_dir)

    def rebuild(facts: DayFacts, instruments: tuple[Instrument, ...]) -> Engine:
        return _engine(config, _session(config, facts, instruments), instruments)

    in_force = config_sha256(config)
    checked: Checked = verify(
        lambda: in_order(records(run_dir / FILE_NAME), _tape_events(run_dir)),
        lambda wanted: rebuild if wanted == in_force else None,
        progress,
    )
    return VerifyResult(
        events=checked.events,
        ticks=checked.ticks,
        decisions=checked.decisions,
        first_difference=checked.first_difference,
    )


def _tape_events(run_dir: Path) -> Iterator[tuple[int, AnyEvent]]:
    for folder in sorted((run_dir / FOLDER).glob("*")):
        yield from read_tape(folder).events()


def _run(
    config: Config,
    facts: DayFacts,
    source: MarketSource,
    run_dir: Path,
    progress: Progress,
    *,
    ticks_expected: int,
) -> RunResult:
    began = cost_ns()
    instruments = tuple(source.instruments)
    session = _session(config, facts, instruments)
    engine = _engine(config, session, instruments)
    _store_config(config, run_dir)
    clock = VirtualClock(session.open_ns - BEFORE_OPEN_NS)
    seed = config.sim.seed
    exchange = SimulatedExchange(instruments, facts, cash_paise=config.sim.cash_paise, seed=seed)
    is_sim = config.mode is Mode.SIM
    venue = SimulatedVenue(exchange, Latency(seed=seed), quotes_available=is_sim)
    stop = StopRequest()
    told: list[Callable[[bool, str], None]] = []

    def journal_changed(is_durable: bool, reason: str) -> None:  # noqa: FBT001 a callback
        for tell in told:
            tell(is_durable, reason)

    journal = StoreJournal(
        run_dir,
        _header(config, facts, source),
        settings=_store_settings(config, threaded=config.sim.speed > 0),
        on_changed=journal_changed,
    )
    day = Day(engine, journal, venue, clock)
    told.append(day.journal_changed)
    try:
        with _stopping_on_signals(stop):
            outcome = asyncio.run(
                day.play(
                    _beginning(config, facts, source, clock.now_ns()),
                    source.ticks(),
                    ends_ns=session.close_ns,
                    pace=Pace(speed=config.sim.speed),
                    stop=stop,
                    progress=lambda done: progress(done, ticks_expected),
                )
            )
    finally:
        closed = journal.close()
    return _result(outcome, is_complete=closed.is_complete, halted=engine.is_halted,
                   seconds=elapsed_s(began))  # fmt: skip


def _result(outcome: Outcome, *, is_complete: bool, halted: bool, seconds: float) -> RunResult:
    exit_code = 20 if not is_complete else 10 if halted and not outcome.stopped_early else 0
    wall: dict[str, float | int] = {
        "seconds": round(seconds, 3),
        "events": outcome.events,
        "ticks": outcome.ticks,
        "merged_ticks": outcome.merged_ticks,
        "commands_sent": outcome.commands_sent,
        "open_positions": outcome.open_positions,
        "live_orders": len(outcome.live_orders),
        "microseconds_per_event": round(seconds * 1e6 / max(outcome.events, 1), 2),
    }
    return RunResult(exit_code=exit_code, stopped_early=outcome.stopped_early, wall=wall)


def _beginning(
    config: Config, facts: DayFacts, source: MarketSource, at_ns: int
) -> Iterator[AnyEvent]:
    """What every start tells the engine, in order."""
    instruments = tuple(source.instruments)
    yield Restarted(
        at_ns=at_ns,
        day=facts.day,
        code_version=__version__,
        config_sha256=config_sha256(config),
        libraries=tuple(f"{name} {version(name)}" for name in ("TA-Lib", "numpy")),
    )
    yield FactsLoaded(at_ns=at_ns, sha256=facts_sha256(facts), facts=facts)
    yield InstrumentsLoaded(
        at_ns=at_ns, sha256=_master_sha256(instruments), instruments=instruments
    )
    for loaded in source.history():
        yield msgspec.structs.replace(loaded, at_ns=at_ns)


def _master_sha256(instruments: tuple[Instrument, ...]) -> str:
    import hashlib  # noqa: PLC0415 one use

    return hashlib.sha256(msgspec.json.encode(instruments)).hexdigest()


def _engine(config: Config, session: Session, instruments: tuple[Instrument, ...]) -> Engine:
    strategies: list[Strategy] = []
    built_in = BUILT_IN["supertrend"]
    for identity, name in _underlyings(config, instruments):
        settings = config.strategy.supertrend
        strategies.append(
            built_in.make(name=f"supertrend:{name}", underlying=identity, settings=settings)
        )
    return Engine(engine_settings(config, session), strategies)


def _underlyings(
    config: Config, instruments: tuple[Instrument, ...]
) -> Iterator[tuple[InstrumentId, str]]:
    for name in config.account.underlyings:
        for one in instruments:
            if one.kind is Kind.INDEX and one.underlying == name:
                yield one.id, name


def _session(config: Config, facts: DayFacts, instruments: tuple[Instrument, ...]) -> Session:
    """The hours of the exchange traded. Raises DataRefused on a day without any."""
    exchange = next(
        one.exchange
        for one in instruments
        if one.kind is Kind.INDEX and one.underlying == config.account.underlyings[0]
    )
    session = facts.session(exchange)
    if session is None:
        raise DataRefused(
            f"day {facts.day}", f"{exchange.value} does not trade", "name a trading day"
        )
    return session


def _universe(name: str, day: dt.date, number: int) -> Universe:
    if name not in INDICES:
        known = ", ".join(INDICES)
        raise DataRefused(
            "account.underlyings", f"no generated market for {name}", f"it has: {known}"
        )
    index = INDICES[name]
    terms = contract_terms(name, day)
    return Universe(
        index=Instrument(
            id=instrument_id(Segment.IDX_I, index.security_id),
            segment=Segment.IDX_I,
            security_id=index.security_id,
            symbol=name,
            exchange=index.exchange,
            kind=Kind.INDEX,
            underlying=name,
            lot_size=0,
            price_step_paise=0,
            freeze_quantity=0,
        ),
        spot_paise=index.spot_paise,
        strike_step_paise=terms.strike_step_paise,
        lot_size=terms.lot_size,
        freeze_quantity=terms.freeze_quantity,
        price_step_paise=terms.price_step_paise,
        expiry=terms.next_expiry(day).isoformat(),
        volatility_bps=index.volatility_bps,
        first_security_id=40_001 + SECURITY_IDS_APART * number,
    )


def _header(config: Config, facts: DayFacts, source: MarketSource) -> TapeHeader:
    is_sim = config.mode is Mode.SIM
    return TapeHeader(
        day=facts.day,
        source="generated" if is_sim else "replay of a tape",
        notes={"seed": config.sim.seed} if is_sim else {},
        instruments=tuple(source.instruments),
    )


def _store_settings(config: Config, *, threaded: bool) -> StoreSettings:
    return StoreSettings(
        db_transaction_batch_size=config.runtime.db_transaction_batch_size,
        db_commit_interval_s=config.runtime.db_commit_interval_s,
        threaded=threaded,
    )


def _store_config(config: Config, run_dir: Path) -> None:
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / CONFIG_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(config)))


def _stored_config(run_dir: Path) -> Config:
    path = run_dir / CONFIG_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Config)
    except FileNotFoundError as error:
        raise DataRefused(str(path), "is missing", "name the folder of a run") from error
    except msgspec.MsgspecError as error:
        raise DataRefused(str(path), str(error), "restore it, or make the run again") from error


@contextmanager
def _stopping_on_signals(stop: StopRequest) -> Iterator[None]:
    """The first INT or TERM asks for a clean end, the second ends at once with code 1."""

    def handle(number: int, frame: FrameType | None) -> None:
        del number, frame
        if stop.is_set:
            sys.stderr.write("Forced exit requested, calling os._exit(1)\n")
            sys.stderr.flush()
            os._exit(1)
        stop.set()

    before = {name: signal.signal(name, handle) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
