"""One instrument at the exchange: its book, its reference price, our live orders in it."""

from typing import NamedTuple

from holdfast.domain.dated import PriceRules
from holdfast.domain.instrument import Instrument
from holdfast.domain.market import Tick
from holdfast.exchange.book import Book
from holdfast.exchange.order import LiveOrder
from holdfast.exchange.reference import TradeReference


class Trade(NamedTuple):
    """What one tick tells of the trades since the tick before: prices in paise, contracts.

    `quantity` is 0 where the trade's time moved and its volume did not.
    """

    low_paise: int
    high_paise: int
    quantity: int


class Market:
    """Everything about one instrument; the exchange alone touches it.

    Without `rules` (an index, a closed exchange) nothing can be traded and no reference is kept.
    """

    __slots__ = ("_reference", "book", "contract", "orders")

    def __init__(self, contract: Instrument, rules: PriceRules | None) -> None:
        self.contract = contract
        self.book = Book()
        self.orders: list[LiveOrder] = []
        self._reference = None if rules is None else TradeReference(rules.band_reference_s)

    @property
    def last_paise(self) -> int | None:
        """The price of the last trade, `None` before the day's first."""
        tick = self.book.tick
        return tick.last_paise if tick is not None and tick.venue_at_ns is not None else None

    def reference_paise(self, at_ns: int) -> int | None:
        """The reference of the price band in force, `None` before the day's first trade."""
        return None if self._reference is None else self._reference.at(at_ns)

    def tell(self, tick: Tick) -> Trade | None:
        """Take a tick. Returns the trade it brings, `None` when it only moves the book.

        A tick trades when its volume or its trade time moved (T18). The first one of the day has
        nothing to compare with: it prices the reference, and touches nothing.
        """
        before = self.book.tick
        self.book.tell(tick)
        if tick.venue_at_ns is None:
            return None
        if before is not None and not _has_traded(before, tick):
            return None
        if self._reference is not None:
            self._reference.trade(tick.last_paise, tick.at_ns)
        return None if before is None else _trade(before, tick)

    def by_priority(self) -> list[LiveOrder]:
        """Live orders, each side by price, then time. A copy: matching removes what fills."""
        return sorted(self.orders, key=_priority)


def _has_traded(before: Tick, tick: Tick) -> bool:
    if before.venue_at_ns is None:
        return True
    assert tick.venue_at_ns is not None, "asked of ticks with a trade only"
    return tick.volume > before.volume or tick.venue_at_ns > before.venue_at_ns


def _trade(before: Tick, tick: Tick) -> Trade:
    last = tick.last_paise
    return Trade(
        low_paise=last if tick.last_low_paise is None else tick.last_low_paise,
        high_paise=last if tick.last_high_paise is None else tick.last_high_paise,
        quantity=max(tick.volume - before.volume, 0),
    )


def _priority(order: LiveOrder) -> tuple[int, int]:
    terms = order.terms
    return -terms.side.sign * terms.limit_paise, order.rank
