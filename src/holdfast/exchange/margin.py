"""The cash that working orders and shorts hold back: a model, not the broker's risk engine.

Every buy holds its premium at its limit, resting buy stops too (T12). What could be sold beyond
the contracts held is a short: it needs its premium and 12 % of its strike, which is close to what
span and exposure come to for a naked near-the-money index option. A long of the same underlying,
expiry, type and product that is not itself for sale bounds a short's loss: the short then needs no
more than that bound beside its premium. Any working sale of the long, a resting stop too, takes
the relief away (T12).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from holdfast.domain.instrument import Instrument, OptionType, Product
from holdfast.domain.order import OrderTerms, Side

SHORT_BPS = 1_200

OpenOrder = tuple[OrderTerms, int]
"""Terms of a live order and its open quantity."""


def short_margin(contract: Instrument, *, quantity: int, premium_paise: int) -> int:
    """Paise held for `quantity` contracts short; without a strike the premium takes its place."""
    basis_paise = premium_paise if contract.strike_paise is None else contract.strike_paise
    return quantity * (premium_paise + basis_paise * SHORT_BPS // 10_000)


def short_quantity(net: int, orders: Iterable[OpenOrder]) -> int:
    """Contracts short if every working sale filled and no buy did."""
    selling = sum(quantity for terms, quantity in orders if terms.side is Side.SELL)
    return max(selling - net, 0)


def held_back(
    contract: Instrument, *, net: int, orders: Iterable[OpenOrder], last_paise: int | None
) -> int:
    """Paise that one broker key holds back: its buys at their limits, its shorts at the margin.

    A short's premium is the last price, before any the highest limit among the sales.
    """
    working = tuple(orders)
    buying = sum(t.limit_paise * quantity for t, quantity in working if t.side is Side.BUY)
    limits = (terms.limit_paise for terms, _ in working if terms.side is Side.SELL)
    premium_paise = max(limits, default=0) if last_paise is None else last_paise
    shorts = short_quantity(net, working)
    return buying + short_margin(contract, quantity=shorts, premium_paise=premium_paise)


class Leg(NamedTuple):
    """One broker key as hedging sees it: contracts short, and contracts long that are not for sale."""

    contract: Instrument
    product: Product
    shorts: int
    longs: int


def leg(contract: Instrument, product: Product, *, net: int, orders: Iterable[OpenOrder]) -> Leg:
    """The leg that a key is, with its working sales."""
    working = tuple(orders)
    selling = sum(quantity for terms, quantity in working if terms.side is Side.SELL)
    longs = max(net - selling, 0)
    return Leg(contract, product, shorts=short_quantity(net, working), longs=longs)


def hedge_relief(legs: Sequence[Leg]) -> int:
    """Paise by which longs lessen what shorts hold back; each contract hedges one."""
    left = [one.longs for one in legs]
    relief = 0
    for short in legs:
        open_shorts = short.shorts
        for number in sorted(range(len(legs)), key=lambda n: _worst(short, legs[n])):
            hedged = min(open_shorts, left[number]) if _hedges(short, legs[number]) else 0
            left[number] -= hedged
            open_shorts -= hedged
            relief += hedged * max(_exposure(short) - _worst(short, legs[number]), 0)
    return relief


def _exposure(short: Leg) -> int:
    return (short.contract.strike_paise or 0) * SHORT_BPS // 10_000


def _hedges(short: Leg, long: Leg) -> bool:
    one, other = short.contract, long.contract
    return one.strike_paise is not None and (
        (one.underlying, one.expiry, one.option_type, short.product)
        == (other.underlying, other.expiry, other.option_type, long.product)
    )


def _worst(short: Leg, long: Leg) -> int:
    """The most that one contract of the pair can lose beside its premiums, in paise."""
    distance = (long.contract.strike_paise or 0) - (short.contract.strike_paise or 0)
    return max(distance if short.contract.option_type is OptionType.CALL else -distance, 0)
