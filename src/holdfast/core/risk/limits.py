"""The account's daily loss (T17): what is marked, when a breach is believed, what it stops.

A leg that is not fresh or is one-sided counts twice: at its last fresh mark for the limit that
flattens, at its stop's limit for the limit that blocks entries. So a dead feed stops entries and
does not sell the book.
"""

from holdfast.core.books.charges import closing_charges_paise
from holdfast.core.books.positions import Position
from holdfast.core.risk.levels import stop_limit_paise
from holdfast.core.state import State

CONFIRM_NS = 500_000_000


def mark(state: State, position: Position, price_paise: int) -> None:
    """Mark a position at the closing side of a fresh, two-sided quote."""
    before = position.mark_paise
    position.mark_paise = price_paise
    if before is None:
        renew(state, position)
    elif price_paise != before:
        change = position.holding.quantity * (price_paise - before)
        position.share_paise += change
        state.live_net_paise += change


def mark_charges(state: State, position: Position) -> None:
    """Renew what closing at the mark would cost in charges."""
    position.close_charges_paise = 0
    if position.mark_paise is not None and position.is_open:
        position.close_charges_paise = closing_charges_paise(
            state.charge_rates(position.instrument),
            position.side.opposite,
            position.open_quantity * position.mark_paise,
        )
    renew(state, position)


def renew(state: State, position: Position) -> None:
    """Work out a live position's share of the day's net anew; call it after a fill."""
    share = _realised_net(position)
    if position.mark_paise is not None:
        share += position.open_profit_paise(position.mark_paise) - position.close_charges_paise
    state.live_net_paise += share - position.share_paise
    position.share_paise = share


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
    """The same with every stale or one-sided leg at its stop's limit: what blocks entries."""
    total = state.day.realised_net_paise
    for position in state.live:
        total += _realised_net(position)
        if position.is_open:
            price = _cautious_mark(state, position)
            total += position.open_profit_paise(price) - position.close_charges_paise
    return total


def _cautious_mark(state: State, position: Position) -> int:
    quote = state.quote(position.id)
    closing = quote.closing_paise(position.sign)
    is_two_sided = quote.bid_paise is not None and quote.ask_paise is not None
    if closing is not None and is_two_sided:
        if quote.fault(state.now_ns, state.settings.freshness) is None:
            return closing
    return stop_limit_paise(
        position.instrument,
        sign=position.sign,
        trigger_paise=position.stop_paise,
        extremes=quote.extremes(state.now_ns),
        rules=state.price_rules(position.instrument),
        distance_bps=state.settings.exits.stop_limit_bps,
    )


def watch_loss(state: State, *, is_fresh_packet: bool) -> bool:
    """Judge the daily loss after marks moved; returns whether it became a confirmed breach.

    Realised loss alone is believed at once. Marks are believed when the breach holds over two
    fresh packets at least 500 ms apart.
    """
    loss = state.loss
    limit = state.settings.limits.loss_per_day_paise_max
    if loss.is_confirmed:
        return False
    if net_today_paise(state) > -limit:
        loss.since_ns, loss.packets = None, 0
        return False
    realised = state.day.realised_net_paise + sum(_realised_net(p) for p in state.live)
    if realised <= -limit:
        loss.is_confirmed = True
        return True
    if is_fresh_packet:
        if loss.since_ns is None:
            loss.since_ns = state.now_ns
        loss.packets += 1
    if loss.packets >= 2 and state.now_ns - (loss.since_ns or 0) >= CONFIRM_NS:  # noqa: PLR2004
        loss.is_confirmed = True
    return loss.is_confirmed
