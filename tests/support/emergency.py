"""What a simulated broker holds after a process has died: built again from its own memory alone."""

import datetime as dt
import json
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.app import wiring
from holdfast.app.config import CONFIG_FILE
from holdfast.brokers.memory import FILE, read_memory
from holdfast.brokers.simulated import SimulatedVenue, rebuilt
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.order import Purpose
from holdfast.exchange.generator import GeneratedDay
from holdfast.exchange.latency import Latency
from holdfast.exchange.venue import SimulatedExchange
from holdfast.facts.load import load_day_facts


class Truth(NamedTuple):
    """What the exchange says: what is held of each contract, and the orders that could still fill."""

    held: dict[InstrumentId, int]
    working: list[str]


def truth_of(folder: Path, *, after_ns: int = 0) -> Truth:
    """The exchange of a run, `after_ns` after the last request that it has had."""
    config = wiring.stored_config(folder / CONFIG_FILE)
    facts = load_day_facts(dt.date.fromisoformat(config.sim.day))
    universes = [
        wiring.universe(name, dt.date.fromisoformat(config.sim.day), number)
        for number, name in enumerate(config.account.underlyings)
    ]
    source = GeneratedDay(config.sim.seed, facts, universes)
    exchange = SimulatedExchange(
        tuple(source.instruments), facts, cash_paise=config.sim.cash_paise, seed=config.sim.seed
    )
    venue = SimulatedVenue(exchange, Latency(seed=config.sim.seed), quotes_available=True)
    remembered = read_memory(folder / FILE)
    until_ns = remembered[-1].at_ns + after_ns
    rebuilt(venue, source.ticks(), remembered, until_ns=until_ns)
    held = {net.instrument: net.net for net in exchange.book_nets() if net.net}
    return Truth(held, [row.order_id for row in exchange.orders() if row.status.is_live])


def closers_of(folder: Path) -> dict[int, list[str]]:
    """The closing orders that the broker was handed, by position, in order."""
    found: dict[int, list[str]] = defaultdict(list)
    for line in (folder / FILE).read_bytes().splitlines():
        request: dict[str, Any] = json.loads(line).get("request") or {}
        if request.get("type") == "PlaceOrder" and request["purpose"] != Purpose.ENTRY:
            found[request["position"]].append(request["order_id"])
    return dict(found)


def placed_in(folder: Path) -> list[str]:
    """Every order that the broker was handed, in order."""
    lines = (json.loads(line) for line in (folder / FILE).read_bytes().splitlines())
    requests = (line.get("request") or {} for line in lines)
    return [one["order_id"] for one in requests if one.get("type") == "PlaceOrder"]
