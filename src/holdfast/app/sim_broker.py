"""Starts the simulated broker: its market, its time, its state, and the line that says it is up."""

import asyncio
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from holdfast.app.wiring import day_of_market, tape_of_market
from holdfast.exchange.checks import Behaviour, ModifyBehaviour
from holdfast.exchange.latency import MILLISECOND_NS, Latency
from holdfast.facts.ist import ist_ns
from holdfast.runtime.signals import Signals
from holdfast.simbroker.dhan.clock import ServerClock
from holdfast.simbroker.dhan.doubts import Doubts
from holdfast.simbroker.dhan.host import World
from holdfast.simbroker.dhan.memory import Memory
from holdfast.simbroker.dhan.server import SITES, Ready, Server, Settings
from holdfast.simbroker.dhan.tokens import Login

UNDERLYINGS: Final = ("NIFTY",)


class SimBroker(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. `start_s` is seconds after midnight in India, `None` the wall's time.

    `port` is the first of six in a row, 0: any. `transit_ms` bounds how long an order is TRANSIT.
    """

    port: int = 0
    seed: int = 1
    day: str = "2026-11-20"
    start_s: int | None = 9 * 3_600 + 10 * 60
    speed: int = 1
    underlyings: tuple[str, ...] = UNDERLYINGS
    tape: Path | None = None
    facts: Path | None = None
    state: Path | None = None
    cash_paise: int = 2_000_000_00
    client_id: str = Login().client_id
    stop_to_limit: ModifyBehaviour = ModifyBehaviour.ACCEPTS
    transit_ms: tuple[int, int] = (40, 120)
    doubts: Doubts = Doubts()
    is_logged_in: bool = True


def serve(asked: SimBroker, tell: Callable[[Ready], None], signals: Signals | None = None) -> None:
    """Serve until asked to stop. `tell` hears once where everything is.

    Raises DataRefused or UnknownDay for a day that cannot be played, OSError for a port in use.
    """
    asyncio.run(_serve(asked, tell, signals))


async def _serve(asked: SimBroker, tell: Callable[[Ready], None], signals: Signals | None) -> None:
    server = Server(
        _world(asked),
        ServerClock(_start_ns(asked), asked.speed),
        _settings(asked),
        None if asked.state is None else Memory(asked.state),
    )
    loop = asyncio.get_running_loop()
    if signals is not None:
        signals.attach(lambda: loop.call_soon_threadsafe(server.stopping.set), dict)
    try:
        ports = {} if asked.port == 0 else _ports(asked.port)
        tell(await server.start(ports))
        await server.run()
    finally:
        await server.close()
        if signals is not None:
            signals.detach()


def _ports(first: int) -> dict[str, int]:
    return {name: first + number for number, name in enumerate(SITES)}


def _start_ns(asked: SimBroker) -> int | None:
    if asked.start_s is None:
        return None
    return ist_ns(dt.date.fromisoformat(asked.day), asked.start_s)


def _world(asked: SimBroker) -> World:
    if asked.tape is not None:
        facts, source = tape_of_market(asked.tape, overrides=asked.facts)
    else:
        facts, source = day_of_market(
            dt.date.fromisoformat(asked.day),
            seed=asked.seed,
            names=asked.underlyings,
            overrides=asked.facts,
        )
    return World(
        facts=facts,
        source=source,
        seed=asked.seed,
        cash_paise=asked.cash_paise,
        behaviour=Behaviour(stop_to_limit=asked.stop_to_limit),
    )


def _settings(asked: SimBroker) -> Settings:
    low, high = (milliseconds * MILLISECOND_NS for milliseconds in asked.transit_ms)
    return Settings(
        login=Login(client_id=asked.client_id),
        doubts=asked.doubts,
        latency=Latency(seed=asked.seed, request_ns=(low, high)),
        is_logged_in=asked.is_logged_in,
    )


def at_clock(text: str) -> int:
    """Seconds after midnight of `HH:MM` or `HH:MM:SS`. Raises ValueError."""
    time = dt.time.fromisoformat(text)
    since_midnight = dt.timedelta(hours=time.hour, minutes=time.minute, seconds=time.second)
    return round(since_midnight.total_seconds())
