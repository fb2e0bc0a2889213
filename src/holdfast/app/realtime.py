"""The wiring of paper and live: which day it is, what is asked before it begins, and its market."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from holdfast.app.carried import Brought
from holdfast.app.chain import MakeMarket
from holdfast.app.config import Config
from holdfast.app.dhan import DhanDay, Morning, live_market, morning, paper_market
from holdfast.app.kinds import NOW
from holdfast.app.paths import Paths
from holdfast.app.wiring import (
    INDICES,
    Run,
    RunResult,
    Stage,
    begin,
    brought_from_before,
    first_master,
    known_until,
    trade,
)
from holdfast.brokers.memory import FILE as MEMORY
from holdfast.brokers.paper import PaperBroker
from holdfast.brokers.simulated import SimulatedVenue
from holdfast.domain.dated import DayFacts, Session
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import CandleLoaded
from holdfast.domain.instrument import Exchange, Instrument
from holdfast.domain.market import Tick
from holdfast.exchange.latency import Latency
from holdfast.exchange.venue import SimulatedExchange
from holdfast.facts.ist import ist_date, ist_ns, ist_text
from holdfast.facts.load import contract_terms, load_day_facts
from holdfast.runtime.attended import attended
from holdfast.runtime.clock import ScaledClock
from holdfast.store.schema import FILE_NAME
from holdfast.store.tape import FOLDER, read_tape, segments

CALENDAR: Final = "calendar.toml"
"""In the folder of the configuration: days and hours that replace the shipped ones."""

HISTORY_DAYS_MAX: Final = 60
"""So far back past candles are looked for: one call for charts may ask for 90 days."""


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """The day that a start in real time meets: its clock, its facts, the hours that are traded.

    `waits_s` is how long the market is still closed, in seconds of the day's clock; 0: it is open.
    """

    clock: ScaledClock
    facts: DayFacts
    session: Session
    waits_s: int


def outlook(config: Config, calendar: Path | None = None) -> Outlook:
    """What day it is, and whether there is anything to trade in it; `calendar` as for the facts.

    Raises DataRefused once it is over, or on a day without a session: it says when the next begins.
    """
    clock = real_clock(config)
    now_ns = clock.now_ns()
    day = ist_date(now_ns)
    facts = load_day_facts(day, calendar)
    exchange = INDICES[config.account.underlyings[0]].exchange
    session = facts.session(exchange)
    if session is None or now_ns >= session.close_ns:
        begins = _next_open_ns(exchange, day, calendar)
        raise DataRefused(
            f"{exchange.value}, {_moment(now_ns)}",
            "the market is closed for today",
            f"it opens at {_moment(begins)}: start on that day, before or after it does",
        )
    waits_s = max(session.open_ns - now_ns, 0) // 1_000_000_000
    return Outlook(clock=clock, facts=facts, session=session, waits_s=waits_s)


def real_clock(config: Config) -> ScaledClock:
    """The clock of paper and live: the wall's, unless the broker is simulated (decisions 2.15)."""
    clock = config.clock
    start_ns = None
    if clock.start != NOW:
        moment = dt.datetime.fromisoformat(clock.start)
        seconds = moment.hour * 3_600 + moment.minute * 60 + moment.second
        start_ns = ist_ns(moment.date(), seconds)
    since_ns = clock.since_ms * 1_000_000 or None
    return ScaledClock(start_ns, clock.speed, since_ns=since_ns)


def _next_open_ns(exchange: Exchange, day: dt.date, calendar: Path | None) -> int:
    """When the exchange opens on the next day that it does. Raises UnknownDay."""
    while True:
        day += dt.timedelta(days=1)
        session = load_day_facts(day, calendar).session(exchange)
        if session is not None:
            return session.open_ns


class Household(msgspec.Struct, frozen=True, kw_only=True):
    """Where the account's own things lie, whatever the mode, and the environment of the process.

    `calendar` is the user's own, over the facts that are shipped; `None`: there is none.
    """

    folder: Path
    env: Mapping[str, str]
    calendar: Path | None = None


def household(paths: Paths, config: Config, env: Mapping[str, str]) -> Household:
    """What there is of it."""
    calendar = paths.config_dir / CALENDAR
    return Household(
        folder=paths.account_dir(config.account.client_id),
        env=env,
        calendar=calendar if calendar.exists() else None,
    )


def run_dhan(config: Config, seen: Outlook, run: Run, *, home: Household) -> RunResult:
    """Trade a day at the broker, in paper or live. Raises what it could not begin or failed for.

    A live start has been allowed by whoever calls: whose account it is, is asked here. Whoever calls
    holds the account's lock.
    """
    alone_ns = seen.clock.now_ns()
    day = DhanDay(
        config=config,
        facts=seen.facts,
        session=seen.session,
        clock=seen.clock,
        folder=home.folder,
        env=home.env,
        freeze={name: _freeze(name, seen, home) for name in config.account.underlyings},
        past=_past_sessions(config, seen, home.calendar),
        begun=_begun(run.folder),
    )
    known = attended(partial(morning, day), run.host.signals)
    if known is None:
        return _not_begun()
    source = KnownMarket(known.instruments, known.candles)
    begin(config, seen.facts, source, run.folder)
    brought = brought_from_before(config, seen.facts, source, run.folder)
    stage = Stage(
        clock=seen.clock,
        market=_real_market(day, known, run.folder, brought),
        access=known.heard.access,
        alone_ns=alone_ns,
        brought=brought,
    )
    return trade(config, seen.facts, source, run, stage=stage)


def _freeze(name: str, seen: Outlook, home: Household) -> int:
    """The first quantity of one order that is refused, by the dated facts."""
    day = dt.date.fromisoformat(seen.facts.day)
    return contract_terms(name, day, home.calendar).freeze_quantity


def _real_market(day: DhanDay, known: Morning, folder: Path, brought: Brought) -> MakeMarket:
    """What stands behind the ports in paper and live, made in the event loop of the day."""
    if day.config.mode.is_live:
        return partial(live_market, day, known)
    return partial(paper_market, day, known, _paper_broker(day, known, folder, brought))


def _paper_broker(day: DhanDay, known: Morning, folder: Path, brought: Brought) -> PaperBroker:
    """The exchange of paper, as it was left."""
    seed, facts = day.config.sim.seed, day.facts
    exchange = SimulatedExchange(
        known.instruments,
        facts,
        cash_paise=day.config.sim.cash_paise,
        seed=seed,
        carried=brought.holdings,
    )
    venue = SimulatedVenue(exchange, Latency(seed=seed), quotes_available=True)
    tape = folder / FOLDER / facts.day
    shown = read_tape(tape).ticks() if segments(tape) else iter(())
    return PaperBroker(venue, shown, folder / MEMORY, until_ns=known_until(folder, facts.day))


def _begun(folder: Path) -> tuple[Instrument, ...]:
    """The contracts that a day was begun with; none where it begins."""
    if not (folder / FILE_NAME).exists():
        return ()
    begun = first_master(folder)
    return () if begun is None else begun.instruments


def _past_sessions(config: Config, seen: Outlook, calendar: Path | None) -> tuple[Session, ...]:
    """As many sessions before as the strategies' candles fill, oldest first, and today's so far."""
    settings = config.strategy.supertrend
    left_s = settings.interval_s * settings.warmup_candles
    day = dt.date.fromisoformat(seen.facts.day)
    found = [seen.session] if seen.clock.now_ns() > seen.session.open_ns else []
    for back in range(1, HISTORY_DAYS_MAX):
        if left_s <= 0:
            break
        facts = load_day_facts(day - dt.timedelta(days=back), calendar)
        session = facts.session(seen.session.exchange)
        if session is not None:
            found.append(session)
            left_s -= sum(end - start for start, end in session.windows) // 1_000_000_000
    return tuple(reversed(found))


class KnownMarket:
    """Contracts and candles of a day whose ticks only time will bring."""

    def __init__(
        self, instruments: tuple[Instrument, ...], candles: tuple[CandleLoaded, ...]
    ) -> None:
        """Indices first; candles oldest first."""
        self.instruments: Sequence[Instrument] = instruments
        self._candles = candles

    def history(self) -> Iterator[CandleLoaded]:
        """The candles of before."""
        return iter(self._candles)

    def ticks(self) -> Iterator[Tick]:
        """None yet."""
        return iter(())


def _not_begun() -> RunResult:
    """A signal came while the broker was asked for what a day begins with."""
    return RunResult(exit_code=0, has_begun=False, stopped_early=True, wall={})


def _moment(at_ns: int) -> str:
    """Date and time in India, to the minute."""
    return f"{ist_date(at_ns)} {ist_text(at_ns)[:5]}"
