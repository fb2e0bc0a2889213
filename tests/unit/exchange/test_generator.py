"""A market day without a recording."""

import hashlib
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise

import msgspec
import pytest
from msgspec.structs import replace

from holdfast.domain.errors import DataRefused
from holdfast.domain.instrument import Exchange, InstrumentId, OptionType, instrument_id
from holdfast.domain.market import Candle, Tick
from holdfast.exchange.chain import RATE
from holdfast.exchange.generator import GeneratedDay
from holdfast.exchange.universe import Universe
from holdfast.ports import MarketSource
from holdfast.strategies.supertrend import SupertrendAdx, SupertrendSettings
from tests.support.desk import CLOSE, FACTS, NIFTY, OPEN, SECOND, SESSION
from tests.unit.exchange.made import SHORT_FACTS, UNIVERSE

MINUTE = 60 * SECOND
TICKS_MIN = 250_000
DAY_S = 86_400


def fault(tick: Tick, before: Tick | None, step: int, lot: int) -> str | None:
    """What no believable packet of an option does, or `None`."""
    prices = [*reversed([p for p, _ in tick.bids]), *(p for p, _ in tick.asks)]
    quantities = [quantity for _, quantity in (*tick.bids, *tick.asks)]
    checks = {
        "no quote": tick.bid_paise is None or tick.ask_paise is None,
        "depth": not (1 <= len(tick.bids) <= 5 and len(tick.asks) == 5),
        "not strictly rising": any(a >= b for a, b in pairwise(prices)),
        "no price": prices[0] <= 0 or tick.last_paise <= 0,
        "off the step": any(price % step for price in (*prices, tick.last_paise)),
        "no lots": any(q <= 0 or q % lot for q in (*quantities, tick.oi)),
        "late": tick.venue_at_ns is not None and tick.at_ns < tick.venue_at_ns,
        "merged": tick.count != 1,
    }
    if before is not None:
        checks["volume back"] = tick.volume < before.volume
        checks["trade back"] = (tick.venue_at_ns or 0) < (before.venue_at_ns or 0)
        checks["time back"] = tick.at_ns <= before.at_ns
    return next((name for name, is_found in checks.items() if is_found), None)


class Day:
    """What one pass over a whole day sees; the ticks themselves would not fit into memory."""

    def __init__(self, made: GeneratedDay) -> None:
        self.made = made
        self.count = 0
        self.faults: list[str] = []
        self.counts: dict[InstrumentId, int] = defaultdict(int)
        self.last: dict[InstrumentId, Tick] = {}
        self.minutes: dict[int, dict[InstrumentId, Tick]] = defaultdict(dict)
        self.index: dict[int, list[int]] = defaultdict(list)
        self.is_ordered = True
        options = {option.id: option for option in made.instruments[1:]}
        at_ns = 0
        for tick in made.ticks():
            self.is_ordered &= at_ns <= tick.at_ns
            at_ns = tick.at_ns
            self.count += 1
            self.counts[tick.instrument] += 1
            minute = (at_ns - OPEN) // MINUTE
            if tick.instrument == NIFTY.id:
                self.index[minute].append(tick.last_paise)
            else:
                option = options[tick.instrument]
                before = self.last.get(tick.instrument)
                found = fault(tick, before, option.price_step_paise, option.lot_size)
                if found is not None:
                    self.faults.append(f"{found}: {tick}")
            if at_ns % MINUTE < SECOND:
                self.minutes[minute][tick.instrument] = tick
            self.last[tick.instrument] = tick


@pytest.fixture(scope="module")
def day() -> Day:
    """The whole default day of seed 1."""
    return Day(GeneratedDay(1, FACTS, [UNIVERSE]))


def test_it_is_a_source_of_market_data() -> None:
    """The protocol of the port, and the indices first."""
    source: MarketSource = GeneratedDay(1, FACTS, [UNIVERSE])
    assert source.instruments == (NIFTY, *UNIVERSE.options())


@pytest.mark.timeout(60)
def test_a_day_is_large_enough(day: Day) -> None:
    """Its floor of work: 250,000 ticks, 12 instruments, all of them through the whole session."""
    assert day.count >= TICKS_MIN
    assert len(day.counts) == 27
    assert all(day.last[option.id].at_ns > CLOSE - 60 * SECOND for option in UNIVERSE.options())
    assert day.counts[NIFTY.id] > 20_000
    assert sorted(day.counts.values())[-6] > 18_000  # those near the money
    assert min(day.counts.values()) > 5_000
    assert max(tick.at_ns for tick in day.last.values()) < CLOSE


@pytest.mark.timeout(60)
def test_every_tick_is_believable(day: Day) -> None:
    """In order of receipt; quotes, depth, volume and trade times as an exchange sends them."""
    assert day.is_ordered
    assert day.faults == []


@pytest.mark.timeout(60)
def test_calls_and_puts_keep_parity_within_their_spreads(day: Day) -> None:
    """At each minute each near strike implies one forward, within the quotes it comes from."""
    checked = 0
    pairs = list(zip(UNIVERSE.options()[::2], UNIVERSE.options()[1::2], strict=True))
    for minute, told in day.minutes.items():
        years = (
            (SESSION.close_ns + 4 * DAY_S * SECOND - OPEN - minute * MINUTE) / SECOND / DAY_S / 365
        )
        lows, highs = [], []
        for call, put in pairs:
            if call.id in told and put.id in told:
                c, p = told[call.id], told[put.id]
                assert call.strike_paise is not None
                growth = 1 + RATE * years
                lows.append(call.strike_paise + (c.bids[0][0] - p.asks[0][0]) * growth)
                highs.append(call.strike_paise + (c.asks[0][0] - p.bids[0][0]) * growth)
        if len(lows) >= 5:
            checked += 1
            assert max(lows) <= min(highs) + 5, f"minute {minute}: {lows} {highs}"
    assert checked > 350


@pytest.mark.timeout(60)
def test_options_follow_their_index(day: Day) -> None:
    """Where the index rose over half an hour calls did and puts did not, and the other way."""
    call, put = UNIVERSE.options()[12:14]
    agreed = moved = 0
    for minute in range(0, 330, 5):
        one, two = day.minutes[minute], day.minutes[minute + 30]
        if not all({call.id, put.id, NIFTY.id} <= told.keys() for told in (one, two)):
            continue
        change = two[NIFTY.id].last_paise - one[NIFTY.id].last_paise
        if abs(change) > 20_00:
            moved += 1
            calls = two[call.id].bids[0][0] - one[call.id].bids[0][0]
            puts = two[put.id].bids[0][0] - one[put.id].bids[0][0]
            agreed += (calls * change > 0) + (puts * change < 0)
    assert moved >= 8
    assert agreed >= 2 * moved - 1


@pytest.mark.timeout(60)
def test_a_strategy_of_trends_finds_signals(day: Day) -> None:
    """Several between the first entry and the cut-off, in both directions."""
    strategy = SupertrendAdx(name="trend", underlying=NIFTY.id, settings=SupertrendSettings())
    for loaded in day.made.history():
        strategy.on_candle(loaded.candle, live=False)
    spoken = []
    for minute, values in sorted(day.index.items()):
        candle = Candle(
            instrument=NIFTY.id,
            interval_s=60,
            start_ns=OPEN + minute * MINUTE,
            open_paise=values[0],
            high_paise=max(values),
            low_paise=min(values),
            close_paise=values[-1],
        )
        opinion = strategy.on_candle(candle, live=True)
        if opinion is not None and 5 <= minute < 335:
            spoken.append(opinion.direction)
    assert len(spoken) >= 5
    assert len(frozenset(spoken)) == 2


def digest(made: GeneratedDay) -> str:
    """The hash of everything a day says."""
    told = hashlib.sha256(msgspec.json.encode(list(made.history())))
    for tick in made.ticks():
        told.update(msgspec.msgpack.encode(tick))
    return told.hexdigest()


def test_one_seed_is_one_day_and_another_another() -> None:
    """Called again on the same object, on a new one, with another seed."""
    made = GeneratedDay(1, SHORT_FACTS, [UNIVERSE])
    assert digest(made) == digest(made) == digest(GeneratedDay(1, SHORT_FACTS, [UNIVERSE]))
    assert digest(made) != digest(GeneratedDay(2, SHORT_FACTS, [UNIVERSE]))


def test_a_second_index_changes_nothing_for_the_first() -> None:
    """Prices, volumes and times of an instrument are its own; only depths are drawn together."""
    index = replace(
        NIFTY, security_id=25, id=instrument_id(NIFTY.segment, 25), underlying="BANKNIFTY"
    )
    second = replace(UNIVERSE, index=index, spot_paise=55_000_00, strike_step_paise=100_00,
                     first_security_id=50_001)  # fmt: skip

    def said(*universes: Universe) -> list[tuple[int, int, int]]:
        ticks = GeneratedDay(1, SHORT_FACTS, universes).ticks()
        own = {NIFTY.id, *(option.id for option in UNIVERSE.options())}
        return [(t.at_ns, t.last_paise, t.volume) for t in ticks if t.instrument in own]

    assert said(UNIVERSE) == said(UNIVERSE, second)
    both = GeneratedDay(1, SHORT_FACTS, (UNIVERSE, second))
    assert both.instruments[:2] == (NIFTY, index)
    assert len(both.instruments) == 54
    starts = [loaded.candle.start_ns for loaded in both.history()]
    assert starts == sorted(starts)
    assert len(starts) == 750


def test_universes_share_no_instrument() -> None:
    """A contract cannot have two prices."""
    with pytest.raises(AssertionError, match="share an instrument"):
        GeneratedDay(1, SHORT_FACTS, [UNIVERSE, UNIVERSE])


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: GeneratedDay(1, replace(FACTS, sessions=()), [UNIVERSE]), "NSE is closed"),
        (
            lambda: GeneratedDay(1, FACTS, [replace(UNIVERSE, expiry="2026-11-19")]),
            "the options of NIFTY expired on 2026-11-19",
        ),
        (
            lambda: GeneratedDay(
                1, FACTS, [replace(UNIVERSE, index=replace(NIFTY, exchange=Exchange.BSE))]
            ),
            "BSE is closed",
        ),
    ],
)
def test_a_day_that_cannot_be_says_so(make: Callable[[], GeneratedDay], what: str) -> None:
    """Before any tick, with the day and what to do."""
    with pytest.raises(DataRefused, match="generated day 2026-11-20") as refused:
        make()
    assert refused.value.what == what
    assert refused.value.remedy


def test_calls_stand_before_puts() -> None:
    """Whoever pairs them may rely on it."""
    types = [option.option_type for option in GeneratedDay(1, FACTS, [UNIVERSE]).instruments[1:]]
    assert types == [OptionType.CALL, OptionType.PUT] * 13
