"""When each instrument of a generated day speaks, and what it says: columns, one row a packet."""

from typing import NamedTuple

import numpy as np

from holdfast.exchange.noise import Flags, Floats, Integers

SECOND_NS = 1_000_000_000
NEVER = -1
"""Stands in columns of times where nothing has traded yet; it leaves them as `None`."""

SENT_NS_MAX = 880_000_000
FEED_NS = (8_000_000, 100_000_000)
"""Where in its second a packet is sent, and how long it travels: together less than a second, so
that packets of one instrument never overtake each other."""

STEPS_NEAR = 2.5
SPEECH = ([0.0, STEPS_NEAR, 3.5, 5.0, 7.0], [0.98, 0.98, 0.6, 0.4, 0.35])
"""Chance of a packet in a second, by strikes from the money."""

INDEX_SPEECH = 0.98
FROZEN_SPEECH = 0.2
"""The same for the index, while it follows trades and after."""

QUIET_FROM_STEPS = 3.5
QUIET_CHANCE = 0.4
QUIET_S = (5, 30)
"""Far strikes fall silent now and then: chance a minute, and for how many seconds."""

TRADES = ([0.0, 2.0, 6.0], [0.5, 0.4, 0.1])
"""Chance that a packet brings a trade, by strikes from the money."""

LOTS_P = 0.3
SPREAD_BPS = (12.0, 5.0)
"""Width of the quote: at the money, and more for each strike away. Recorded near-the-money index
options stood at 15 to 25."""

SPREAD_STEPS = 0.7
OI_LOTS = (3_000, 30_000)
OI_EVERY_S = 180
"""Open interest is told anew every three minutes, as recorded sessions do."""


class Packets(NamedTuple):
    """The packets of one instrument in order of time. Prices in paise, quantities in contracts.

    `traded_ns` is the second of the last trade, `NEVER` before the first. An index has no quote:
    its `bid` and `ask` are 0.
    """

    at_ns: Integers
    last: Integers
    traded_ns: Integers
    volume: Integers
    oi: Integers
    bid: Integers
    ask: Integers


class OptionTerms(NamedTuple):
    """What the packets of an option depend on besides its fair price."""

    lot_size: int
    price_step_paise: int


def index_packets(
    chance: np.random.Generator, *, path: Integers, starts_ns: Integers, ends_ns: int
) -> Packets:
    """About one packet a second. From `ends_ns` on value and trade time stand still."""
    follows = starts_ns < ends_ns
    speech = np.where(follows, INDEX_SPEECH, FROZEN_SPEECH)
    at = np.flatnonzero(_speaks(chance, speech))
    source = np.minimum(at, np.count_nonzero(follows) - 1)
    nothing = np.zeros(len(at), np.int64)
    return Packets(
        at_ns=_received_ns(chance, starts_ns[at]),
        last=path[source],
        traded_ns=starts_ns[source],
        volume=nothing,
        oi=nothing,
        bid=nothing,
        ask=nothing,
    )


def option_packets(
    chance: np.random.Generator,
    *,
    fair: Floats,
    steps_away: Floats,
    starts_ns: Integers,
    terms: OptionTerms,
) -> Packets:
    """Packets around a fair price (paise, per second), `steps_away` strikes from the money."""
    speaks = _speaks(chance, np.interp(steps_away, *SPEECH))
    _fall_silent(chance, speaks, steps_away)
    at = np.flatnonzero(speaks)
    away = steps_away[at]
    bid, ask = _quotes(chance, fair[at], away, step=terms.price_step_paise)
    trades = chance.random(len(at)) < np.interp(away, *TRADES)
    lots = chance.geometric(LOTS_P, len(at))
    return Packets(
        at_ns=_received_ns(chance, starts_ns[at]),
        last=_last_prices(chance, bid, ask, trades),
        traded_ns=_last_of(trades, starts_ns[at], otherwise=NEVER),
        volume=np.cumsum(np.where(trades, lots, 0)) * terms.lot_size,
        oi=_open_interest(chance, seconds=len(fair), steps_away=steps_away[0])[at] * terms.lot_size,
        bid=bid,
        ask=ask,
    )


def _speaks(chance: np.random.Generator, speech: Floats) -> Flags:
    """In which seconds a packet comes; always in the first, which tells everybody where it is."""
    speaks = chance.random(len(speech)) < speech
    speaks[0] = True
    return speaks


def _fall_silent(chance: np.random.Generator, speaks: Flags, steps_away: Floats) -> None:
    """Silence the spells of far strikes in `speaks`: one a minute at most, a packet on each side."""
    seconds = len(speaks)
    minutes = np.arange(0, seconds, 60)
    lengths = chance.integers(*QUIET_S, len(minutes), endpoint=True)
    starts = minutes + chance.integers(1, 60 - QUIET_S[1], len(minutes))
    falls = chance.random(len(minutes)) < QUIET_CHANCE
    falls &= starts + lengths < seconds
    falls[falls] = steps_away[starts[falls]] >= QUIET_FROM_STEPS
    for start, length in zip(starts[falls].tolist(), lengths[falls].tolist(), strict=True):
        speaks[start : start + length] = False
        speaks[start - 1] = speaks[start + length] = True


def _received_ns(chance: np.random.Generator, second_ns: Integers) -> Integers:
    sent_ns = chance.integers(0, SENT_NS_MAX, len(second_ns))
    return second_ns + sent_ns + chance.integers(*FEED_NS, len(second_ns))


def _quotes(
    chance: np.random.Generator, fair: Floats, steps_away: Floats, *, step: int
) -> tuple[Integers, Integers]:
    """Bid and ask on the step, the bid at least one step, the fair price between them."""
    base, more = SPREAD_BPS
    width = fair * (base + more * steps_away) / 10_000 / step
    width = np.maximum(np.rint(width + chance.exponential(SPREAD_STEPS, len(fair))), 1.0)
    lean = chance.uniform(0.25, 0.75, len(fair))
    bid = np.maximum(np.rint(fair / step - lean * width), 1.0).astype(np.int64)
    return bid * step, (bid + width.astype(np.int64)) * step


def _last_prices(
    chance: np.random.Generator, bid: Integers, ask: Integers, trades: Flags
) -> Integers:
    """Trades print on a side of the quote. Before the first stands the close of the day before."""
    prints = np.where(chance.random(len(bid)) < 0.5, bid, ask)
    return _last_of(trades, prints, otherwise=int(bid[0]))


def _last_of(happens: Flags, values: Integers, *, otherwise: int) -> Integers:
    """For each row the value of the last row at or before it in which it happened."""
    rows = np.where(happens, np.arange(len(happens)), -1)
    latest = np.maximum.accumulate(rows)
    return np.where(latest < 0, otherwise, values[np.maximum(latest, 0)])


def _open_interest(chance: np.random.Generator, *, seconds: int, steps_away: float) -> Integers:
    """Lots open, per second: most of them near the money, drifting, never below one."""
    begun = chance.integers(*OI_LOTS) * np.exp(-((steps_away / 5.0) ** 2))
    changes = chance.normal(0.001, 0.01, seconds // OI_EVERY_S + 1)
    told = np.maximum(np.rint(begun * np.exp(np.cumsum(changes))), 1.0).astype(np.int64)
    lots: Integers = told[np.arange(seconds) // OI_EVERY_S]
    return lots
