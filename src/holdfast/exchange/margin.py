"""The cash that working orders and shorts hold back: a model, not the broker's risk engine.

Every buy holds its premium at its limit, resting buy stops too (T12). What could be sold beyond
the contracts held is a short: it needs its premium and 12 % of its strike, which is close to what
span and exposure come to for a naked near-the-money index option. Hedges give no relief.
"""

from collections.abc import Iterable

from holdfast.domain.instrument import Instrument
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
