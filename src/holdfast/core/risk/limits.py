"""The account's daily loss (T17): what is marked, when a breach is believed, what it stops.

A leg that is not fresh or is one-sided counts twice: at its last fresh mark for the limit that
flattens, at its stop's limit for the limit that blocks entries. So a dead feed stops entries and
does not sell the book.
"""

from holdfast.core.books.charges import closing_charges_paise
from holdfast.core.books.positions import Position
from holdfast.core.market.quotes import Quote
from holdfast.core.risk.levels import stop_limit_paise
from holdfast.core.state import State
from holdfast.domain.order import Side

CONFIRM_NS = 500_000_000


def mark(state: State, position: Position, price_paise: int) -> None:
    """Mark a position at the closing side of a fresh, two-sided quote."""
    before = position.mark_paise
    position.mark_paise = price_paise
    state.loss.marked_ns[position.number] = state.now_ns
    if before is None:
        renew(state, position)
    elif price_paise != before:
        change = position.holding.quantity * (price_paise - before)
        position.share_paise += change
        state.live_net_paise += change


def unmark(state: State, position: Position) -> None:
    """Forget its last mark: nobody has marked it since it ended, and the market went on."""
    position.mark_paise = None
    state.loss.marked_ns.pop(position.number, None)


def mark_charges(state: State, position: Position) -> None:
    """Once a second: mark by what was read outside the feed since, renew the charges to close."""
    quote = state.quote(position.id)
    marked_ns = state.loss.marked_ns.get(position.number)
    if quote.rest_at_ns is not None and (marked_ns is None or quote.rest_at_ns > marked_ns):
        price = _fresh_closing(state, position, quote)
        if price is not None:
            mark(state, position, price)
    renew(state, position)


def renew(state: State, position: Position) -> None:
    """Work out a live position's share of the day's net anew; call it after a fill."""
    if position.is_closed:
        return  # what it made is in the day's realised already
    share = _realised_net(position)
    if position.mark_paise is not None:
        position.close_charges_paise = _charges_to_close(state, position, position.mark_paise)
        share += position.open_profit_paise(position.mark_paise) - position.close_charges_paise
    state.live_net_paise += share - position.share_paise
    position.share_paise = share


def _charges_to_close(state: State, position: Position, price_paise: int) -> int:
    if not position.is_open:
        return 0
    return closing_charges_paise(
        state.charge_rates(position.instrument),
        position.closing_side,
        position.open_quantity * price_paise,
    )


def leave(state: State, position: Position) -> None:
    """A position ended: what it made counts as realised from here on."""
    state.live_net_paise -= position.share_paise
    position.share_paise = 0


def net_today_paise(state: State) -> int:
    """Realised net of the day plus open profit at the last fresh marks, less charges to close."""
    return state.day.realised_net_paise + state.live_net_paise


def _realised_net(position: Position) -> int:
    """What an open position has realised so far, less the charges of its fills, in paise."""
    return position.realised_paise - position.charges.total_paise


def worst_today_paise(state: State) -> int:
    """The same with every stale or one-sided leg at its stop's limit: what blocks entries.

    A short without a stop at the broker, and an excess, which no stop was made for, count at the
    edge of their price band.
    """
    total = state.day.realised_net_paise
    for position in state.live:
        total += _realised_net(position)
        if position.is_open:
            price = _cautious_mark(state, position)
            total += position.open_profit_paise(price) - _charges_to_close(state, position, price)
    return total


def _fresh_closing(state: State, position: Position, quote: Quote) -> int | None:
    """Where what is held could be closed on a fresh, two-sided quote, else `None`."""
    if quote.bid_paise is None or quote.ask_paise is None:
        return None
    if quote.fault(state.now_ns, state.settings.freshness) is not None:
        return None
    return quote.closing_paise(position.closing_side.opposite.sign)


def _cautious_mark(state: State, position: Position) -> int:
    quote = state.quote(position.id)
    closing = _fresh_closing(state, position, quote)
    if closing is not None:
        return closing
    rules = state.price_rules(position.instrument)
    if position.is_excess or (position.side is Side.SELL and not position.verified):
        low, high = rules.band(quote.last_paise)
        return high if position.closing_side is Side.BUY else low
    return stop_limit_paise(
        position.instrument,
        sign=position.sign,
        trigger_paise=position.stop_paise,
        extremes=quote.extremes(state.now_ns),
        rules=rules,
        distance_bps=state.settings.exits.stop_limit_bps,
    )


def watch_loss(state: State, *, is_fresh_packet: bool) -> bool:
    """Judge the daily loss after marks moved; returns whether it became a confirmed breach.

    Realised loss alone is believed at once. Marks are believed when the breach holds over two
    fresh packets at least 500 ms apart, not counting the loss of a leg that was only marked by
    packets of the beginning: one phantom quote is not confirmed by another leg's.
    """
    loss = state.loss
    limit = state.settings.limits.loss_per_day_paise_max
    if loss.is_confirmed:
        return False
    if net_today_paise(state) > -limit:
        loss.since_ns = None
        return False
    realised = state.day.realised_net_paise + sum(_realised_net(p) for p in state.live)
    loss.is_confirmed = realised <= -limit or (is_fresh_packet and _is_repeated(state, limit))
    return loss.is_confirmed


def _is_repeated(state: State, limit_paise: int) -> bool:
    """Whether a breach shown by this packet was shown half a second ago; the first one begins it."""
    loss = state.loss
    if loss.since_ns is None:
        loss.since_ns = state.now_ns
        return False
    if state.now_ns - loss.since_ns < CONFIRM_NS:
        return False
    return net_today_paise(state) + _doubtful_loss_paise(state, loss.since_ns) <= -limit_paise


def _doubtful_loss_paise(state: State, since_ns: int) -> int:
    """What the legs lose that were marked when a breach began and not again since."""
    total = 0
    for position in state.live:
        marked_ns = state.loss.marked_ns.get(position.number)
        if marked_ns is not None and 0 <= marked_ns - since_ns < CONFIRM_NS:
            assert position.mark_paise is not None
            total += max(-position.open_profit_paise(position.mark_paise), 0)
    return total
