"""When orders trade, and at what price: pure rules over one order and what a tick told.

An order that arrives takes the opposite levels within its limit, each at its own price. What is
left rests. While we know no price but those we took, it goes on taking new levels at theirs; once
a level beyond its limit was seen it is passive: it trades at its own limit, when the opposite side
reaches it, when a trade prints through it, or when the quantity ahead of it at its price is gone.
"""

from holdfast.domain.order import OrderTerms, Side
from holdfast.exchange.book import Book
from holdfast.exchange.market import Trade
from holdfast.exchange.order import LiveOrder


def is_touched(stop: OrderTerms, trade: Trade) -> bool:
    """Whether a trade reached the trigger of a stop: from above for a sale, from below for a buy."""
    assert stop.trigger_paise is not None, "only a stop has a trigger"
    if stop.side is Side.SELL:
        return trade.low_paise <= stop.trigger_paise
    return trade.high_paise >= stop.trigger_paise


def fill_from_book(order: LiveOrder, book: Book, *, most: int | None = None) -> tuple[int, int]:
    """Contracts and value in paise that an order in the book trades with the levels as told now.

    `most` bounds the contracts; `None`: what is open does.
    """
    terms = order.terms
    wanted = order.open_quantity if most is None else most
    quantity, value_paise = book.take(terms.side, quantity=wanted, limit_paise=terms.limit_paise)
    if order.is_passive:
        value_paise = quantity * terms.limit_paise
    if wanted < order.open_quantity and quantity == wanted:
        return quantity, value_paise  # what was held back has still not met the book
    order.is_passive = order.is_passive or not book.is_swept(terms.side)
    if order.is_passive and order.ahead is None:
        order.ahead = book.ahead(terms.side, terms.limit_paise)
    return quantity, value_paise


def fill_from_trade(order: LiveOrder, trade: Trade, *, volume: int, most: int | None = None) -> int:
    """Contracts that a passive order trades at its limit by the prints of others.

    `volume` is the traded quantity that orders of ours before this one have left; `most` bounds
    the contracts, `None`: what is open does.
    """
    terms = order.terms
    edge_paise = trade.low_paise if terms.side is Side.BUY else trade.high_paise
    beyond_paise = (terms.limit_paise - edge_paise) * terms.side.sign
    if not order.is_passive or beyond_paise < 0:
        return 0
    if beyond_paise == 0:
        if order.ahead is None:
            return 0
        passed = min(order.ahead, volume)
        order.ahead -= passed
        volume -= passed
    return min(order.open_quantity if most is None else most, volume)
