"""An engine restored from an image goes on as the one that it was taken of, byte for byte."""

import datetime as dt
from collections import deque
from collections.abc import Sequence
from functools import cache
from itertools import takewhile

import pytest

from holdfast.app import wiring
from holdfast.brokers.simulated import SimulatedVenue
from holdfast.core.engine import Engine, Step
from holdfast.domain.audit import AnyAudit, LevelMoved, PositionClosed, SignalSeen
from holdfast.domain.event import (
    AnyEvent,
    FactsLoaded,
    InstrumentsLoaded,
    JournalChanged,
    Link,
    LinkChanged,
    Restarted,
    ServiceChanged,
    ServiceState,
)
from holdfast.domain.market import Tick
from holdfast.exchange.generator import GeneratedDay
from holdfast.exchange.latency import Latency
from holdfast.exchange.venue import SimulatedExchange
from holdfast.facts.load import load_day_facts
from holdfast.runtime.clock import VirtualClock
from holdfast.runtime.driver import Driver
from holdfast.runtime.router import Router
from holdfast.runtime.starting import simulated_access
from holdfast.store.records import Decided
from holdfast.strategies.supertrend import SupertrendAdx, SupertrendSettings
from tests.support.desk import DAY, NIFTY, OPEN, SECOND, settings
from tests.support.shell import MemoryJournal

SEEDS = (1, 2, 3)
MINUTES = 30
EVERY = 500
START = OPEN - 60 * SECOND


def make() -> Engine:
    """The engine of these days, never stepped."""
    quick = SupertrendSettings(interval_s=15, warmup_candles=28, adx_min=10)
    strategy = SupertrendAdx(name="supertrend", underlying=NIFTY.id, settings=quick)
    return Engine(settings(), [strategy])


@cache
def events(seed: int) -> tuple[AnyEvent, ...]:
    """What the engine of one short day was told: its market, and its broker's answers."""
    facts = load_day_facts(dt.date.fromisoformat(DAY))
    source = GeneratedDay(seed, facts, [wiring.universe("NIFTY", facts_day(), 0)])
    master = tuple(source.instruments)
    exchange = SimulatedExchange(master, facts, cash_paise=500_000_00, seed=seed)
    venue = SimulatedVenue(exchange, Latency(seed=seed), quotes_available=True)
    journal, late = MemoryJournal(), deque[AnyEvent]()
    driver = Driver(
        make(),
        journal,
        router=Router(venue, journal, late.append),
        venue=venue,
        clock=VirtualClock(START),
        late=late,
    )
    driver.take(Restarted(at_ns=START, day=DAY, code_version="1", config_sha256="c"))
    driver.take(FactsLoaded(at_ns=START, sha256="f", facts=facts))
    driver.take(InstrumentsLoaded(at_ns=START, sha256="i", instruments=master))
    driver.take(
        ServiceChanged(at_ns=START, service="engine", state=ServiceState.READY, is_core=True)
    )
    for link in Link:
        driver.take(LinkChanged(at_ns=START, link=link, is_up=True))
    driver.take(JournalChanged(at_ns=START, is_durable=True))
    for told in simulated_access(START):
        driver.take(told)
    until = OPEN + MINUTES * 60 * SECOND
    for tick in takewhile(lambda tick: tick.at_ns < until, source.ticks()):
        driver.take(tick)
    return tuple(row for row in journal.rows if not isinstance(row, Decided))


def facts_day() -> dt.date:
    return dt.date.fromisoformat(DAY)


def stepped(engine: Engine, told: Sequence[AnyEvent]) -> list[Step]:
    return [engine.step(event) for event in told]


@pytest.mark.parametrize("seed", SEEDS)
def test_restored_at_every_500th_event_it_decides_the_same_to_the_end(seed: int) -> None:
    """Each stretch from a restored engine: the same steps, and the same image at its end.

    What is equal there goes on equally: so the equality reaches to the end of the day.
    """
    told = events(seed)
    engine = make()
    engine_image = engine.image()
    restores = 0
    for first in range(0, len(told), EVERY):
        part = told[first : first + EVERY]
        again = make()
        assert engine_image is not None
        again.restore(engine_image)
        assert again.image() == engine_image
        steps = stepped(engine, part)
        assert stepped(again, part) == steps
        engine_image = engine.image()
        assert again.image() == engine_image, f"after event {first + len(part)}"
        assert again.deadline_ns == engine.deadline_ns
        restores += 1
    assert restores >= 60


def test_the_days_have_work() -> None:
    """Floor: 30,000 ticks each; positions opened, trailed and closed among them."""
    counts = [sum(isinstance(event, Tick) for event in events(seed)) for seed in SEEDS]
    assert min(counts) >= 30_000
    audits: list[AnyAudit] = []
    for seed in SEEDS:
        for step in stepped(make(), events(seed)):
            audits += step.audits
    signals = sum(isinstance(audit, SignalSeen) for audit in audits)
    closed = sum(isinstance(audit, PositionClosed) for audit in audits)
    moved = sum(isinstance(audit, LevelMoved) for audit in audits)
    print(f"{sum(counts)} ticks, {signals} signals, {moved} moves, {closed} positions closed")  # noqa: T201
    assert (signals >= 3, closed >= 2) == (True, True)
