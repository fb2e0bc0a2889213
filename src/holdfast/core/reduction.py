"""Contracts that leave a position without an order of its own: others closed them, or a settlement.

What others have closed is booked from their executions, once a stable read shows the broker's net
with the trades that explain it (T5): quantity and price are theirs, postings and charges as for a
fill of ours. How much of each order of others is booked is kept, so that no word about it, late,
repeated or after a restart, is booked twice. Only what is against ours is booked: what others add,
what they take back of it, and what they held before us is theirs.

What one of our positions has closed too much has closed what another holds in the key: the broker
has netted both, and so do we, at the price of the excess (T4, T21).
"""

from holdfast.core import ration
from holdfast.core.books.charges import Charges, fill_charges
from holdfast.core.books.positions import Position
from holdfast.core.books.postings import postings_of_fill
from holdfast.core.orders.order import Fill
from holdfast.core.risk import closing, limits
from holdfast.core.state import State
from holdfast.domain.audit import ReducedOutside
from holdfast.domain.book import ForeignRow
from holdfast.domain.command import ReadFunds
from holdfast.domain.decision import Exit, Values
from holdfast.domain.event import BookRead
from holdfast.domain.instrument import BrokerKey
from holdfast.domain.order import BrokerOrderId, Side

RULE = "closed_by_others"
"""Stands for the rule that decided where others closed all of a position."""

EXCESS_RULE = "closed_by_excess"
"""The same where another position of ours has closed it."""

CLOSED = "closed by others"


def is_due(state: State, key: BrokerKey) -> bool:
    """Whether others have closed something of ours in a key that is not booked yet."""
    side = Side.SELL if _against_ours(state, key) < 0 else Side.BUY
    held = ration.held_in(state, key)
    return _against_ours(state, key) != 0 and any(one.closing_side is side for one in held)


def take_closed(state: State, key: BrokerKey, read: BookRead) -> tuple[Position, ...] | None:
    """Book what others have closed of ours in a key; the caller has found that it explains the net.

    The youngest position first (T4). Returns those that it reduced; `None` where something is to be
    booked and cannot be yet: its price is not shown, or our orders could still close it too.
    """
    gone = _against_ours(state, key)
    side = Side.SELL if gone < 0 else Side.BUY
    held = [one for one in ration.held_in(state, key) if one.closing_side is side]
    most = sum(one.open_quantity for one in held)
    left = min(abs(gone), most)
    if not left:
        return ()
    rows = [row for row in reversed(ration.foreign_in(state, key)) if row.side is side]
    values = {row.broker_id: _value_paise(read, row) for row in rows}
    if None in values.values() or ration.could_close(state, key, side) > most - left:
        return None
    reduced = []
    for position in reversed(held):
        if left:
            left -= _close(state, position, rows, values, left)
            reduced.append(position)
    return tuple(reduced)


def note_aside(state: State, key: BrokerKey) -> None:
    """Nothing of ours is held in a key, or about to be: what others have done there is theirs.

    What they sell while an entry works closes what it fills.
    """
    if state.book.is_listed and not any(position.key == key for position in state.live):
        state.aside[key] = ration.outside(state, key)


def _against_ours(state: State, key: BrokerKey) -> int:
    """What is to be booked, signed: the part of what is missing that others have done since we hold.

    Something believed that nobody explains may be what they have closed instead.
    """
    outside = ration.outside(state, key)
    since = outside - state.aside.get(key, 0)
    net = outside + state.extra.get(key, 0)
    sign = 1 if outside > 0 else -1
    return sign * max(min(sign * outside, sign * since, sign * net), 0)


def _value_paise(read: BookRead, row: ForeignRow) -> int | None:
    """What the executions of an order are worth in all; `None` where not all of them are shown."""
    trades = [trade for trade in read.trades if trade.broker_id == row.broker_id]
    is_whole = sum(trade.quantity for trade in trades) == row.filled_quantity
    return sum(trade.value_paise for trade in trades) if is_whole else None


def _close(
    state: State,
    position: Position,
    rows: list[ForeignRow],
    values: dict[BrokerOrderId, int | None],
    most: int,
) -> int:
    """Book up to `most` contracts of one position by the newest orders; returns how many."""
    wanted = left = min(position.open_quantity, most)
    if wanted == position.open_quantity:
        numbers = " ".join(row.broker_id for row in rows)
        closing.decide(state, position, Exit(rule=RULE, values={"orders": numbers}))
    for row in rows:
        quantity = min(left, row.filled_quantity - _booked(state, row.broker_id).quantity)
        if quantity > 0:
            book(state, position, row, quantity, values[row.broker_id] or 0)
            left -= quantity
    return wanted - left


def book(
    state: State, position: Position, row: ForeignRow, quantity: int, value_paise: int
) -> None:
    """Book a part of an order of others, whose fills are worth `value_paise` in all, at its price."""
    before = _booked(state, row.broker_id)
    open_quantity = row.filled_quantity - before.quantity
    value = max(value_paise - before.value_paise, 0) * quantity // open_quantity
    part = Fill(quantity, value)
    fold_booked(state, position, row.broker_id, part)


def fold_booked(state: State, position: Position, number: BrokerOrderId, part: Fill) -> None:
    """Take a part of an order of others, by the broker's number, as having closed ours."""
    before = _booked(state, number)
    charges = fill_charges(
        state.charge_rates(position.instrument),
        position.closing_side,
        value_paise=part.value_paise,
        order_value_before_paise=before.value_paise,
        first_fill=before.quantity == 0,
    )
    state.booked[number] = Fill(
        before.quantity + part.quantity, before.value_paise + part.value_paise
    )
    at_ns = state.foreign_heard_ns.get(position.key, state.now_ns)
    reduce(state, position, part, charges, at_ns=at_ns, reason=CLOSED, number=number)
    values: Values = {
        "position": position.number,
        "contracts": part.quantity,
        "worth_paise": part.value_paise,
        "order": number,
    }
    state.alarm(CLOSED, values)


def _booked(state: State, number: BrokerOrderId) -> Fill:
    return state.booked.get(number, Fill(0, 0))


def net_out(state: State, key: BrokerKey) -> tuple[Position, ...]:
    """Let an excess close what others of ours hold in its key, the youngest first; returns both.

    No order is needed for it, and none may rest: the broker holds neither of both. The price is
    that of the excess, so that it makes nothing and what it has closed all of it.
    """
    held = ration.held_in(state, key)
    reduced = []
    for excess in [one for one in held if one.is_excess]:
        for other in reversed(held):
            is_opposite = other.closing_side is excess.closing_side.opposite
            if excess.is_excess and other.is_open and is_opposite and not other.is_excess:
                _net(state, excess, other)
                reduced += [other, excess]
    return tuple(reduced)


def _net(state: State, excess: Position, other: Position) -> None:
    quantity = min(excess.open_quantity, other.open_quantity)
    if quantity == other.open_quantity:
        values: Values = {"closed_by": excess.number}
        closing.decide(state, other, Exit(rule=EXCESS_RULE, values=values))
    value = abs(excess.holding.cost_paise * quantity // excess.open_quantity)
    part, at_ns = Fill(quantity, value), excess.closed_at_ns
    for one, source in ((excess, other), (other, excess)):
        reason = f"netted with position {source.number}"
        reduce(state, one, part, Charges(), at_ns=at_ns, reason=reason)
    told: Values = {"position": other.number, "contracts": quantity, "by": excess.number}
    state.alarm("what one position closed too much has closed another", told)


def reduce(  # noqa: PLR0913 a fill that no order of ours made is told by so much
    state: State,
    position: Position,
    fill: Fill,
    charges: Charges,
    *,
    at_ns: int,
    reason: str,
    number: BrokerOrderId | None = None,
) -> None:
    """Fold contracts that left into position, ledger and limits; `number`: of an order of others."""
    side, cost_before = position.closing_side, position.holding.cost_paise
    take = position.take_entry if side is position.side else position.take_exit
    realised = take(fill, at_ns)
    position.charges = position.charges + charges
    cost_change = position.holding.cost_paise - cost_before
    state.ledger.post(postings_of_fill(cost_change, realised, charges))
    state.fills += 1
    limits.renew(state, position)
    state.tell(
        ReducedOutside(
            position=position.number,
            instrument=position.id,
            side=side,
            quantity=fill.quantity,
            value_paise=fill.value_paise,
            venue_at_ns=at_ns,
            reason=reason,
            order=number,
        )
    )
    state.send(ReadFunds())
