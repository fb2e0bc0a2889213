"""The composition root: the only place that knows the mode and puts the parts together."""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from holdfast import __version__
from holdfast.app.carried import Brought, Left, bring_in, brought_in
from holdfast.app.chain import MakeMarket, Market
from holdfast.app.config import CONFIG_FILE, Config, Mode, config_sha256, engine_settings
from holdfast.app.paths import ASIDE
from holdfast.app.program import Host, Program, Work
from holdfast.brokers.memory import FILE as MEMORY
from holdfast.brokers.memory import read_memory
from holdfast.brokers.played import PlayedAccount, PlayedBroker, PlayedFeed, PlayedLine
from holdfast.brokers.simulated import SimulatedVenue
from holdfast.core.engine import Engine
from holdfast.core.strategy import Strategy
from holdfast.core.view import View
from holdfast.domain.command import PlaceOrder
from holdfast.domain.dated import DayFacts, Session
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import (
    AnyEvent,
    FactsLoaded,
    InstrumentsLoaded,
    Restarted,
    StopAsked,
)
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
from holdfast.runtime.clock import DayClock, VirtualClock, cost_ns, elapsed_s
from holdfast.runtime.day import Standing
from holdfast.runtime.recover import Make, Numbered, in_order, recover
from holdfast.runtime.starting import Ground, simulated_access
from holdfast.store.chain import require_intact
from holdfast.store.final import last_stop
from holdfast.store.imports.recording import Recording, load_table
from holdfast.store.imports.upstox import ImportReport, OptionTerms, import_upstox_full
from holdfast.store.query import last_at_ns, records
from holdfast.store.records import Decided
from holdfast.store.schema import FILE_NAME
from holdfast.store.segment import TapeHeader
from holdfast.store.snapshot import Origin
from holdfast.store.tape import FOLDER, last_tick_ns, read_tape, segments
from holdfast.strategies.registry import BUILT_IN

MINUTE_NS: Final = 60 * 1_000_000_000
DAY_NS: Final = 24 * 60 * MINUTE_NS
BEFORE_OPEN_NS: Final = 10 * MINUTE_NS

ALONE: Final = Host()
"""A program without a terminal, a service manager or anybody who asks."""

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

CONFIGS: Final = "configs"
"""In the folder of a run: every configuration that it was begun or continued with."""

SECURITY_IDS_APART: Final = 1_000


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended. `wall` holds what it cost on this machine: seconds and counts.

    `has_begun`: there is a journal. `view` is how the account stood, `None` without an engine.
    """

    exit_code: int
    has_begun: bool
    stopped_early: bool
    wall: dict[str, float | int]
    view: View | None = None


def run_sim(config: Config, run_dir: Path, progress: Progress, host: Host = ALONE) -> RunResult:
    """Play one generated day. Raises DataRefused or UnknownDay when it cannot begin."""
    day = dt.date.fromisoformat(config.sim.day)
    facts = load_day_facts(day)
    universes = [
        universe(name, day, number) for number, name in enumerate(config.account.underlyings)
    ]
    source = GeneratedDay(config.sim.seed, facts, universes)
    run = Run(folder=run_dir, progress=lambda done: progress(done, 0), host=host)
    return play(config, facts, source, run)


def run_replay(
    config: Config, tape_path: Path, run_dir: Path, progress: Progress, host: Host = ALONE
) -> RunResult:
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
    run = Run(folder=run_dir, progress=lambda done: progress(done, tape.tick_rows), host=host)
    return play(played, facts, tape, run)


def day_of_market(
    day: dt.date, *, seed: int, names: Iterable[str], overrides: Path | None = None
) -> tuple[DayFacts, MarketSource]:
    """A generated day with its facts. Raises DataRefused or UnknownDay when it cannot be made."""
    facts = load_day_facts(day, overrides)
    universes = [universe(name, day, number) for number, name in enumerate(names)]
    return facts, GeneratedDay(seed, facts, universes)


def tape_of_market(path: Path, *, overrides: Path | None = None) -> tuple[DayFacts, MarketSource]:
    """A recorded day with its facts. Raises DataRefused or UnknownDay when it cannot be used."""
    tape = read_tape(path)
    return load_day_facts(dt.date.fromisoformat(tape.header.day), overrides), tape


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


def verify_run(run_dir: Path, progress: Progress) -> Checked:
    """Step a new engine through a run's journal and tape and compare every decision."""
    configs = _stored_configs(run_dir)

    def engine_of(sha256: str) -> Make | None:
        config = configs.get(sha256)
        return _maker(config) if config is not None else None

    return verify(lambda: _past(run_dir), engine_of, progress)


def _maker(config: Config) -> Make:
    """Makes engines of one configuration that were never stepped."""

    def make(facts: DayFacts, instruments: tuple[Instrument, ...]) -> Engine:
        return _engine(config, _session(config, facts, instruments), instruments)

    return make


def _tape_events(run_dir: Path) -> Iterator[tuple[int, AnyEvent]]:
    for folder in sorted((run_dir / FOLDER).glob("*")):
        if segments(folder):  # a day may be killed before its first tick is written
            yield from read_tape(folder).events()


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Where one day is played, who hears how far it is, and in which process."""

    folder: Path
    progress: Callable[[int], None]
    host: Host


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """On what a day is played: its time, what stands behind the ports, what a start tells of access.

    `access` is what is known of token, account and clock when the engine begins. Since `alone_ns`
    this process holds the account, in the clock's time; `None`: nobody else's orders can be there.
    `brought` is what an earlier day has left open.
    """

    clock: DayClock
    market: MakeMarket
    access: Callable[[int], Iterable[AnyEvent]]
    alone_ns: int | None = None
    brought: Brought = Brought()


def play(config: Config, facts: DayFacts, source: MarketSource, run: Run) -> RunResult:
    """Play one day of market data as a supervised program. Raises what it failed for."""
    session = begin(config, facts, source, run.folder)
    until_ns = known_until(run.folder, facts.day)
    brought = brought_from_before(config, facts, source, run.folder)
    known = Known(until_ns=until_ns, brought=brought)
    market = _market(config, facts, source, run.folder, known)
    stage = Stage(
        clock=VirtualClock(until_ns or session.open_ns - BEFORE_OPEN_NS),
        market=lambda _day: market,
        access=simulated_access,
        brought=brought,
    )
    return trade(config, facts, source, run, stage=stage)


def begin(config: Config, facts: DayFacts, source: MarketSource, folder: Path) -> Session:
    """Make sure that the day can be traded, and go on; the hours of its exchange."""
    instruments = tuple(source.instruments)
    session = _session(config, facts, instruments)
    _require_same_contracts(config, facts, instruments, folder)
    _store_config(config, folder)
    return session


def trade(
    config: Config, facts: DayFacts, source: MarketSource, run: Run, *, stage: Stage
) -> RunResult:
    """Trade one day on a stage as a supervised program. Raises what it failed for."""
    began = cost_ns()
    instruments = tuple(source.instruments)
    clock = stage.clock

    def beginning(recovered: bool) -> Iterator[AnyEvent]:  # noqa: FBT001 a callback
        now_ns = clock.now_ns()
        yield _start(config, facts, now_ns, alone_ns=stage.alone_ns)
        yield from _beginning(facts, source, now_ns, recovered=recovered)
        yield from () if recovered else stage.brought.events(now_ns)
        yield from stage.access(now_ns)
        yield from _mandate(run.host, now_ns)

    ground = Ground(
        make=_maker(config),
        facts=facts,
        instruments=instruments,
        origin=_origin(config, facts, instruments),
        past=(lambda: _past(run.folder)) if (run.folder / FILE_NAME).exists() else None,
        beginning=beginning,
    )
    work = Work(
        ground=ground,
        clock=clock,
        session=_session(config, facts, instruments),
        header=_header(config, facts, source),
        progress=run.progress,
    )
    program = Program(config, run.folder, stage.market, work, run.host)
    exit_code = program.run()
    result = _result(
        program.standing,
        exit_code=exit_code,
        has_begun=(run.folder / FILE_NAME).exists(),
        seconds=elapsed_s(began),
    )
    return msgspec.structs.replace(result, view=program.view)


def _mandate(host: Host, at_ns: int) -> Iterator[AnyEvent]:
    """What a start that is not for trading is told: what it is for, and that nothing is entered."""
    if host.mandate is not None:
        for asked in host.mandate.told:
            yield msgspec.structs.replace(asked, at_ns=at_ns)
        yield StopAsked(at_ns=at_ns, reason="started for one thing only")


def _require_same_contracts(
    config: Config, facts: DayFacts, instruments: tuple[Instrument, ...], folder: Path
) -> None:
    """A day that has begun goes on with the contracts it was begun with. Raises DataRefused.

    What is held in others could be neither priced nor sold, and a name that joins has no strategy.
    """
    if not (folder / FILE_NAME).exists():
        return
    begun = first_master(folder)
    if begun is None:
        return
    names, now = _names(begun.instruments), {one.id: one for one in instruments}
    joined = [name for name in config.account.underlyings if name not in names]
    if joined or any(now.get(one.id) != one for one in begun.instruments):
        sent = ", ".join(_traded(folder, begun.instruments))
        orders = f"orders were sent in {sent}" if sent else "no order was sent"
        raise _not_traded(config, f"{facts.day} was begun with {', '.join(names)}, {orders}")


def first_master(folder: Path) -> InstrumentsLoaded | None:
    """The master that a day was begun with, if it came so far."""
    rows = records(folder / FILE_NAME)
    return next((one for _, _, one in rows if isinstance(one, InstrumentsLoaded)), None)


def _not_traded(config: Config, told: str) -> DataRefused:
    return DataRefused(
        "account.underlyings",
        f"{told}; {', '.join(config.account.underlyings)} has other contracts",
        "go on with the configuration of that run, or begin the day anew with: --anew",
    )


def _names(instruments: Iterable[Instrument]) -> list[str]:
    return [one.underlying for one in instruments if one.kind is Kind.INDEX]


def _traded(folder: Path, instruments: Iterable[Instrument]) -> list[str]:
    """The underlyings that orders were sent in, by name."""
    names = {one.id: one.underlying for one in instruments}
    sent = {
        names.get(command.terms.instrument, "another")
        for _, _, record in records(folder / FILE_NAME)
        if isinstance(record, Decided)
        for command in record.commands
        if isinstance(command, PlaceOrder)
    }
    return sorted(sent)


def known_until(folder: Path, day: str) -> int | None:
    """The last moment that journal, tape or the simulated broker know of; `None`: the day begins.

    The broker goes by its own memory: a journal that was lost takes nothing from it.
    """
    remembered = read_memory(folder / MEMORY)
    stamps = (
        last_at_ns(folder / FILE_NAME) if (folder / FILE_NAME).exists() else None,
        last_tick_ns(folder / FOLDER / day),
        *(last_tick_ns(tape / day) for tape in sorted(folder.glob(f"{ASIDE}*/{FOLDER}"))),
        remembered[-1].at_ns if remembered else None,
    )
    return max((stamp for stamp in stamps if stamp is not None), default=None)


def _past(folder: Path) -> Iterator[Numbered]:
    """What is durable of a day, journal and tape as one run of numbers."""
    return in_order(records(folder / FILE_NAME), _tape_events(folder))


def _origin(config: Config, facts: DayFacts, instruments: tuple[Instrument, ...]) -> Origin:
    return Origin(
        code_version=__version__,
        config_sha256=config_sha256(config),
        facts_sha256=facts_sha256(facts),
        master_sha256=_master_sha256(instruments),
    )


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulated broker knows of a day: how far it is, and what it began with."""

    until_ns: int | None
    brought: Brought


def brought_from_before(
    config: Config, facts: DayFacts, source: MarketSource, folder: Path
) -> Brought:
    """What the day begins with of an earlier one; a replay begins flat, whatever was replayed."""
    if config.mode is Mode.REPLAY:
        return Brought()
    if (folder / FILE_NAME).exists() or (folder / MEMORY).exists():
        return brought_in(folder)
    return bring_in(folder, facts.day, source.instruments, _left_in)


def _left_in(folder: Path) -> Left:
    """What the record of a run holds at its end. Raises DataRefused where it cannot be read."""
    journal = folder / FILE_NAME
    stop = last_stop(journal)
    if stop is not None and not stop[1].open_positions:
        return Left()
    require_intact(journal)
    found = recover(lambda: _past(folder), _maker(stored_config(folder / CONFIG_FILE)))
    master = first_master(folder)
    if found is None or master is None:
        return Left()
    return Left(positions=found[0].left_over, instruments=master.instruments)


def _market(
    config: Config, facts: DayFacts, source: MarketSource, folder: Path, known: Known
) -> Market:
    """What stands behind the ports in this mode; a broker that lives on is as it was left."""
    instruments = tuple(source.instruments)
    session = _session(config, facts, instruments)
    seed = config.sim.seed
    exchange = SimulatedExchange(
        instruments,
        facts,
        cash_paise=config.sim.cash_paise,
        seed=seed,
        carried=known.brought.holdings,
    )
    # A tape knows nothing newer than its last tick: only a generated market answers a read.
    is_sim = config.mode is Mode.SIM
    venue = SimulatedVenue(exchange, Latency(seed=seed), quotes_available=is_sim)
    broker = PlayedBroker(venue, source.ticks(), folder / MEMORY, until_ns=known.until_ns)
    return Market(
        venue=venue,
        account=PlayedAccount(
            config.account.client_id, broker, instruments, valid_until_ns=session.close_ns + DAY_NS
        ),
        feed=PlayedFeed(broker, speed=config.sim.speed),
        updates=PlayedLine(),
        orders=PlayedLine(),
        close=broker.close,
    )


def _result(standing: Standing, *, exit_code: int, has_begun: bool, seconds: float) -> RunResult:
    wall: dict[str, float | int] = {
        "seconds": round(seconds, 3),
        "events": standing.events,
        "ticks": standing.ticks,
        "merged_ticks": standing.merged_ticks,
        "commands_sent": standing.commands_sent,
        "open_positions": standing.open_positions,
        "live_orders": len(standing.live_orders),
        "microseconds_per_event": round(seconds * 1e6 / max(standing.events, 1), 2),
    }
    return RunResult(
        exit_code=exit_code,
        has_begun=has_begun,
        stopped_early=not standing.is_over,
        wall=wall,
    )


def _start(config: Config, facts: DayFacts, at_ns: int, *, alone_ns: int | None) -> Restarted:
    return Restarted(
        at_ns=at_ns,
        day=facts.day,
        code_version=__version__,
        config_sha256=config_sha256(config),
        libraries=tuple(f"{name} {version(name)}" for name in ("TA-Lib", "numpy")),
        alone_ns=alone_ns,
    )


def _beginning(
    facts: DayFacts, source: MarketSource, at_ns: int, *, recovered: bool
) -> Iterator[AnyEvent]:
    """What every start tells the engine next, in order; one that was recovered knows its history."""
    instruments = tuple(source.instruments)
    yield FactsLoaded(at_ns=at_ns, sha256=facts_sha256(facts), facts=facts)
    yield InstrumentsLoaded(
        at_ns=at_ns, sha256=_master_sha256(instruments), instruments=instruments
    )
    for loaded in () if recovered else source.history():
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
    traded = {identity for identity, _ in _underlyings(config, instruments)}
    exchange = next((one.exchange for one in instruments if one.id in traded), None)
    if exchange is None:
        raise _not_traded(config, f"{facts.day} is a day of {', '.join(_names(instruments))}")
    session = facts.session(exchange)
    if session is None:
        raise DataRefused(
            f"day {facts.day}", f"{exchange.value} does not trade", "name a trading day"
        )
    return session


def universe(name: str, day: dt.date, number: int) -> Universe:
    """Index and options of one name on one day, the `number`-th of them. Raises DataRefused."""
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


_SOURCES: Final[Mapping[Mode, str]] = {
    Mode.SIM: "generated",
    Mode.REPLAY: "replay of a tape",
    Mode.PAPER: "the broker's feed",
    Mode.LIVE: "the broker's feed",
}


def _header(config: Config, facts: DayFacts, source: MarketSource) -> TapeHeader:
    is_sim = config.mode is Mode.SIM
    return TapeHeader(
        day=facts.day,
        source=_SOURCES[config.mode],
        notes={"seed": config.sim.seed} if is_sim else {},
        instruments=tuple(source.instruments),
    )


def _store_config(config: Config, run_dir: Path) -> None:
    """Keep the configuration, and every one that the day was begun with, under its hash."""
    run_dir.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(config))
    (run_dir / CONFIGS).mkdir(exist_ok=True)
    (run_dir / CONFIGS / f"{config_sha256(config)}.json").write_bytes(text)
    (run_dir / CONFIG_FILE).write_bytes(text)


def _stored_configs(run_dir: Path) -> dict[str, Config]:
    """Each configuration of a run by its hash. Raises DataRefused where one cannot be read."""
    files = [run_dir / CONFIG_FILE, *sorted((run_dir / CONFIGS).glob("*.json"))]
    configs = [stored_config(path) for path in files]
    return {config_sha256(config): config for config in configs}


def stored_config(path: Path) -> Config:
    """The configuration that a run keeps. Raises DataRefused when it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Config)
    except FileNotFoundError as error:
        raise DataRefused(str(path), "is missing", "name the folder of a run") from error
    except msgspec.MsgspecError as error:
        raise DataRefused(str(path), str(error), "restore it, or make the run again") from error
