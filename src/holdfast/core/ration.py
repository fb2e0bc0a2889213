"""The ration of one broker key: what of our positions others have closed, or could at any moment.

The broker nets every order of the account in a key. What others sell of it is missing from the
youngest position first (T4); nothing of ours may close it a second time.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from holdfast.core.bookread import AGAIN_NS, is_near_square_off
from holdfast.core.books.positions import Position
from holdfast.core.orders.order import Order
from holdfast.core.risk.halt import raise_halt
from holdfast.core.state import State
from holdfast.domain.book import ForeignRow
from holdfast.domain.command import AnyCommand, ModifyOrder, OrderRequest, PlaceOrder
from holdfast.domain.decision import HaltLevel, Values
from holdfast.domain.instrument import BrokerKey, InstrumentId, Product
from holdfast.domain.order import OrderId, Purpose, Side


def missing_of(held: Sequence[tuple[int, int]], *, sold: int, bought: int) -> dict[int, int]:
    """What each position lacks, signed as it is held, for all of `held` (number, contracts).

    `sold` contracts of longs and `bought` of shorts are not ours to close any more; what is more
    than all of them is nobody's of ours.
    """
    left = {True: max(sold, 0), False: max(bought, 0)}
    missing: dict[int, int] = {}
    for number, quantity in sorted(held, reverse=True):
        is_long = quantity > 0
        lost = min(left[is_long], abs(quantity))
        left[is_long] -= lost
        missing[number] = lost if is_long else -lost
    return missing


def held_in(state: State, key: BrokerKey) -> list[Position]:
    """Our positions that hold contracts of a key, oldest first."""
    return [one for one in state.live if one.key == key and one.is_open]


def ours_in(state: State, key: BrokerKey) -> int:
    """What our fills say is held of a key, in signed contracts."""
    return sum(position.holding.quantity for position in held_in(state, key))


def foreign_in(state: State, key: BrokerKey) -> list[ForeignRow]:
    """Orders of others in a key, by the broker's number, shortest first: as they were taken."""
    rows = [row for row in state.foreign.values() if row.key == key]
    return sorted(rows, key=lambda row: (len(row.broker_id), row.broker_id))


def outside(state: State, key: BrokerKey) -> int:
    """What others have added to the net of a key by orders that we know of, signed.

    What is booked as having closed ours is in ours (`core/reduction.py`).
    """
    rows = foreign_in(state, key)
    return sum(row.signed_fill - _booked(state, row) for row in rows)


def _booked(state: State, row: ForeignRow) -> int:
    booked = state.booked.get(row.broker_id)
    return 0 if booked is None else row.side.sign * booked.quantity


def share_out(state: State, key: BrokerKey) -> tuple[Position, ...]:
    """Set anew what is missing of each position of a key; returns those of which it changed.

    The youngest first. Orders of others that could still fill count as filled where they close:
    the resting stop is cut while theirs works, and restored when it dies unfilled (T14).
    """
    held = held_in(state, key)
    gone = outside(state, key) + state.extra.get(key, 0)
    rows = [row for row in foreign_in(state, key) if row.is_live]
    open_ = {side: sum(_open(row) for row in rows if row.side is side) for side in Side}
    missing = missing_of(
        [(position.number, position.holding.quantity) for position in held],
        sold=open_[Side.SELL] - gone,
        bought=open_[Side.BUY] + gone,
    )
    changed = []
    for position in reversed(held):
        if position.missing != missing[position.number]:
            position.missing = missing[position.number]
            changed.append(position)
    return tuple(changed)


def _open(row: ForeignRow) -> int:
    return max(row.quantity - row.filled_quantity, 0)


def must_read(state: State, position: Position) -> bool:
    """Whether nothing but a cut may be asked for a position until the book is read (T11).

    Somebody else trades in its key, or the broker is about to square it off: what we would close
    may be closed by them in the same moment. A person may close it anyway.
    """
    if position.number in state.book.anyway:
        return False
    return position.key in state.book.strangers or (
        may_be_squared_off(state, position) and not _is_shown_open(state, position)
    )


def may_be_squared_off(state: State, position: Position) -> bool:
    """Whether the broker may close a position by itself, now or within a minute (T11)."""
    session = state.session(position.instrument.exchange)
    is_intraday = position.key.product is Product.INTRADAY
    return is_intraday and session is not None and is_near_square_off(state, session)


def _is_shown_open(state: State, position: Position) -> bool:
    """Whether a read younger than a second shows what is held, and no order of others on it."""
    read, key = state.book.last, position.key
    if read is None or state.now_ns - read.began_at_ns >= AGAIN_NS:
        return False
    if any(row.is_live for row in foreign_in(state, key)):
        return False
    shown = sum(net.net for net in read.nets if net.key == key)
    wanted = sum(one.closable_quantity for one in held_in(state, key))
    sign = 1 if position.holding.quantity > 0 else -1
    return shown * sign >= wanted


# -- what ours could close


def could_close(state: State, key: BrokerKey, side: Side) -> int:
    """What all closing orders in a key could still fill on one side, at worst."""
    return sum(
        order.could_fill
        for position in state.live
        if position.key == key
        for order in closing_orders(state, position)
        if order.terms.side is side
    )


def room(state: State, key: BrokerKey, side: Side) -> int:
    """What could yet be offered on one side of a key; below 0 where less is held than is offered.

    What the broker does not hold counts as not held (`Position.missing`).
    """
    closable = sum(
        position.closable_quantity
        for position in state.live
        if position.key == key and position.closing_side is side
    )
    return closable - could_close(state, key, side)


def check_ration(state: State, only: InstrumentId | None = None) -> None:
    """Halt entries where closing orders could fill more than our fills say is held (T4).

    It is told once, until it is over. What only the broker lacks is the reconciliation's to tell;
    and where a part of the record is gone, our fills say nothing until the book has been listed.
    `only`: nothing has changed but orders of that instrument, as `asked_alone` tells.
    """
    if state.is_partial:
        return
    if only is None:
        over = _over_offered(state, state.live)
    else:
        over = {key for key in state.over_offered if key.instrument != only}
        over |= _over_offered(state, [one for one in state.live if one.key.instrument == only])
    for key in sorted(over - state.over_offered):
        values: Values = {"key": key.instrument, "product": key.product.value}
        state.alarm("closing orders could fill more than is held", values)
        raise_halt(state, HaltLevel.PAUSE, f"more could be closed than is held of {key.instrument}")
    state.over_offered = over


def asked_alone(one: InstrumentId, commands: Sequence[AnyCommand]) -> InstrumentId | None:
    """The instrument of a tick, where its step asked something of orders in that alone; or `None`.

    A tick fills nothing: what could close more than before was asked for in its own step.
    """
    for command in commands:
        if isinstance(command, PlaceOrder | ModifyOrder):
            if command.terms.instrument != one:
                return None
        elif isinstance(command, OrderRequest):
            return None
    return one


def _over_offered(state: State, positions: Sequence[Position]) -> set[BrokerKey]:
    """The keys in which more could be closed on a side than is held: looked at after every step.

    `positions` are all that live in the keys in question.
    """
    if all(_is_covered(state, position) for position in positions):
        return set()
    offered: Counter[tuple[BrokerKey, Side]] = Counter()
    for position in positions:
        for order in closing_orders(state, position):
            offered[position.key, order.terms.side] += order.could_fill
    for position in positions:
        one = (position.key, position.closing_side)
        if one in offered:
            offered[one] -= position.open_quantity
    return {key for (key, _), left in offered.items() if left > 0}


def _is_covered(state: State, position: Position) -> bool:
    """Whether its own orders close no more than it holds: so it makes no key over-offered."""
    orders = closing_orders(state, position)
    if not orders:
        return True
    side, left = position.closing_side, position.open_quantity
    for order in orders:
        if order.terms.side is not side:
            return False
        left -= order.could_fill
    return left >= 0


def closing_orders(state: State, position: Position) -> list[Order]:
    """All that could still fill of a position but its entry."""
    names: Iterable[OrderId] = position.closers
    if position.strays or len(position.closers) > 1:
        names = dict.fromkeys((*position.closers, *position.strays))
    orders = [state.orders[name] for name in names]
    return [o for o in orders if o.is_live and o.purpose is not Purpose.ENTRY]
