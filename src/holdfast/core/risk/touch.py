"""Which price touches a level (T18): trades for stops, the closing side for targets and peaks.

A print far from the one before it is a spike: it touches a level only when the next packet, or
half a second, confirms it.
"""

from holdfast.core.books.positions import Position
from holdfast.core.market.quotes import Quote
from holdfast.core.risk.levels import is_beyond
from holdfast.core.settings import SECOND_NS
from holdfast.domain.dated import PriceRules
from holdfast.domain.market import Tick

BEYOND_NS = SECOND_NS
SPIKE_NS = 500_000_000


def is_spike(price_paise: int, previous_paise: int, rules: PriceRules) -> bool:
    """Whether a print lies further from the packet before than a quarter of the band's reach."""
    low, high = rules.band(previous_paise)
    return abs(price_paise - previous_paise) * 8 > high - low


def worst_trade(tick: Tick, sign: int) -> int:
    """The traded price of a packet that is worst for a position of `sign`; merged ones count."""
    if sign == 1:
        return tick.last_paise if tick.last_low_paise is None else tick.last_low_paise
    return tick.last_paise if tick.last_high_paise is None else tick.last_high_paise


def note_packet(
    position: Position, quote: Quote, *, now_ns: int, rules: PriceRules, spread_bps_max: int
) -> int | None:
    """Take one packet into the position's waits; returns the price that touched the stop, if any.

    The stop is touched by a trade at or past it, or when the closing side has stood beyond it for
    a second over at least two packets on a book no wider than the bound.
    """
    tick = quote.tick
    assert tick is not None
    touched = _note_trade(position, quote, tick, now_ns, rules)
    _note_closing_side(position, quote, now_ns, spread_bps_max)
    if touched is not None:
        return touched
    return stood_beyond(position, quote, now_ns)


def _note_trade(
    position: Position, quote: Quote, tick: Tick, now_ns: int, rules: PriceRules
) -> int | None:
    sign, stop = position.sign, position.stop_paise
    if position.spike_at_ns is not None:
        return _answer_spike(position, quote, tick)
    price = worst_trade(tick, sign)
    if not quote.traded or not is_beyond(sign, price, stop):
        return None
    if not is_spike(price, quote.previous_paise, rules):
        return price
    if price != tick.last_paise:
        # The batch's last trade came after the spike, and confirms it or not.
        return price if is_beyond(sign, tick.last_paise, stop) else None
    position.spike_at_ns = now_ns
    return None


def _answer_spike(position: Position, quote: Quote, tick: Tick) -> int | None:
    """The packet after a spike confirms it or shows that it was no market.

    By its trade; without one, as the print is only repeated, by the closing side. A packet with
    neither says nothing.
    """
    closing = quote.closing_paise(position.sign)
    price = worst_trade(tick, position.sign) if quote.traded else closing
    if price is None:
        return None
    position.spike_at_ns = None
    return price if is_beyond(position.sign, price, position.stop_paise) else None


def _note_closing_side(position: Position, quote: Quote, now_ns: int, spread_bps_max: int) -> None:
    closing = quote.closing_paise(position.sign)
    spread = quote.spread_bps()
    if (
        closing is None
        or spread is None
        or spread > spread_bps_max
        or not is_beyond(position.sign, closing, position.stop_paise)
    ):
        position.beyond_since_ns, position.beyond_packets = None, 0
        return
    if position.beyond_since_ns is None:
        position.beyond_since_ns = now_ns
    position.beyond_packets += 1


def stood_beyond(position: Position, quote: Quote, now_ns: int) -> int | None:
    """The closing price when it has stood beyond the stop long enough, else `None`."""
    since = position.beyond_since_ns
    if since is None or position.beyond_packets < 2 or now_ns - since < BEYOND_NS:
        return None
    return quote.closing_paise(position.sign)


def confirmed_spike(position: Position, quote: Quote, now_ns: int) -> int | None:
    """The price of a spike that nothing has contradicted for half a second, else `None`.

    A closing side that stayed before the stop contradicts it.
    """
    if position.spike_at_ns is None or now_ns - position.spike_at_ns < SPIKE_NS:
        return None
    position.spike_at_ns = None
    sign, stop = position.sign, position.stop_paise
    closing = quote.closing_paise(sign)
    is_contradicted = closing is not None and not is_beyond(sign, closing, stop)
    is_touched = is_beyond(sign, quote.last_paise, stop)
    return quote.last_paise if is_touched and not is_contradicted else None
