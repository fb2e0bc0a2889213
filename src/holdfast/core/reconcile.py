"""The broker's book against ours: each difference has one remedy, and each remedy is told.

Only a stable read decides; agreement is per broker key, so that one that moves holds up no other
(T22). Rows of orders that we know are folded like any row that was read; orders of ours that we do
not know are adopted by their id; what never arrived ends; what is held of each key is compared, and
what nobody can explain stops entries in that underlying.
"""

from holdfast.core import bookread
from holdfast.core.bookread import SETTLED_NS
from holdfast.core.orders import answers
from holdfast.core.orders.ids import OrderReason, read_order_id
from holdfast.core.orders.order import Order
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import Drifted, State
from holdfast.domain.audit import BookReconciled, Difference, Drift, Remedied
from holdfast.domain.command import Notify, Severity
from holdfast.domain.decision import Values
from holdfast.domain.event import BookRead, OrderUpdated
from holdfast.domain.instrument import BrokerKey
from holdfast.domain.order import BrokerOrderId, OrderRow, OrderState, Purpose

BELIEVED_NS = 10 * SECOND_NS
"""A smaller net that nobody explains is believed after stable reads have shown it so long (T5)."""


def take_read(state: State, read: BookRead) -> None:
    """Take one pass over the book; what it and the one before agree on is stable, and decides."""
    book = state.book
    bookread.take_answer(state)
    before, book.last = book.last, read
    if before is None:
        bookread.ask(state)
        return
    bookread.note_moving(state, bookread.unstable_keys(before, read))
    _reconcile(state, before, read)


def _reconcile(state: State, before: BookRead, read: BookRead) -> None:
    book, told = state.book, len(state.out.audits)
    book.is_applying = True
    strangers = _take_rows(state, read, bookread.agreed_orders(before, read))
    own_before, own = bookread.own_ids(before), bookread.own_ids(read)
    for row in strangers:
        if (row.order_id, row.broker_id) in own_before:
            _adopt(state, row)
    _end_absent(state, before, read)
    book.is_applying = False
    if not book.is_listed and own == own_before and _is_listing(state, read):
        book.is_listed = True
        book.awaited = {key for key in book.moving if bookread.may_settle(state, key)}
    if not book.moving:
        state.funds_paise, state.funds_at_fills = read.funds_paise, state.fills
    points = (*_awaited(state), *_compare_nets(state, read))
    remedies = sum(isinstance(one, Remedied) for one in state.out.audits[told:])
    for position in tuple(state.live):
        answers.settle(state, position)
    _conclude(state, read, points, remedies)


def _conclude(state: State, read: BookRead, points: tuple[str, ...], remedies: int) -> None:
    """Say what came of it, and read on while something is awaited."""
    book = state.book
    if book.open_points or remedies or points:
        drifts = sum(drifted.is_present for drifted in state.drifts.values())
        state.tell(
            BookReconciled(
                began_at_ns=read.began_at_ns,
                orders=len(read.orders),
                remedies=remedies,
                drifts=drifts,
                open_points=points,
            )
        )
    book.open_points = points
    if not points:
        book.clean_ns = read.began_at_ns
    if points or book.moving:
        bookread.ask_later(state)
    else:
        bookread.rest(state)


# -- orders


def _take_rows(state: State, read: BookRead, agreed: set[BrokerOrderId]) -> list[OrderRow]:
    """Fold the agreed rows of orders that we know; returns ours that we do not, entries first."""
    strangers: list[tuple[OrderReason, OrderRow]] = []
    for row in read.orders:
        order = answers.order_of(state, row)
        if order is None:
            reason = read_order_id(state.settings.id_prefix, row.order_id)
            if reason is not None:
                strangers.append((reason, row))
        elif row.broker_id in agreed and not _is_older(order, row, read):
            _take_row(state, order, row)
    strangers.sort(key=lambda one: (one[0].position, one[0].purpose is not Purpose.ENTRY, one[0]))
    return [row for _, row in strangers]


def _is_older(order: Order, row: OrderRow, read: BookRead) -> bool:
    """Whether a row tells of an instant before the last that we heard or asked about its order."""
    if row.filled_quantity > order.filled_quantity:
        return False
    return row.venue_at_ns < order.venue_at_ns or (
        order.asked is not None and order.asked_at_ns > read.began_at_ns
    )


def _take_row(state: State, order: Order, row: OrderRow) -> None:
    before, seen = _figures(order), order.seen
    answers.take_row(state, OrderUpdated(at_ns=state.now_ns, row=row, is_read=True))
    _follow_trigger(state, order)
    after = _figures(order)
    if before == after and (seen is None or seen == order.seen):
        return
    if order.filled_quantity != before["filled"]:
        difference = Difference.MISSED_FILL
    elif not order.is_live:
        difference = Difference.ENDED
    elif seen is not None and seen != order.seen:
        difference = Difference.OTHER_TERMS
    else:
        difference = Difference.ANSWER
    _tell(state, difference, order, before)


def _follow_trigger(state: State, order: Order) -> None:
    """A resting stop that is tighter than the level we know of was moved by what we forgot."""
    position = state.positions[order.position]
    trigger = order.seen.trigger_paise if order.seen is not None else None
    is_stop = order.is_live and order.purpose is not Purpose.ENTRY and trigger is not None
    if (
        is_stop
        and trigger is not None
        and position.sign * trigger > position.sign * position.stop_paise
    ):
        position.stop_paise = trigger


def _adopt(state: State, row: OrderRow) -> None:
    """Take over an order of ours that the record has lost: its id tells what it is for (T21)."""
    known = state.orders.get(row.order_id)
    before: Values = {}
    if known is not None:
        before = {"broker_id": str(known.broker_id), **_figures(known)}
    answers.take_row(state, OrderUpdated(at_ns=state.now_ns, row=row, is_read=True))
    order = answers.order_of(state, row)
    if order is None:
        _bar(state, bookread.key_of(row))
        return
    _follow_trigger(state, order)
    _tell(state, Difference.UNKNOWN if known is None else Difference.SECOND, order, before)


def _bar(state: State, key: BrokerKey) -> None:
    """An order bears our id and belongs to nothing: no entries there until a person has looked."""
    if key not in state.drifts:
        state.drifts[key] = Drifted(ours=0, theirs=0, since_ns=state.now_ns, is_present=False)


def _end_absent(state: State, before: BookRead, read: BookRead) -> None:
    """An order that was sent and that two stable reads lack, three seconds apart, never was.

    In a key that moves both passes must lack it, once the time to settle is over (T3).
    """
    shown = {row.order_id for one in (before, read) for row in one.orders}
    for order_id in sorted(state.orders):
        order = state.orders[order_id]
        if order.id in shown or not order.is_live:
            state.book.missing.pop(order_id, None)
        elif _may_be_absent(state, order, read):
            first_ns = state.book.missing.setdefault(order_id, read.began_at_ns)
            if read.began_at_ns - first_ns >= SETTLED_NS:
                _miss(state, order)


def _may_be_absent(state: State, order: Order, read: BookRead) -> bool:
    """One that waits its turn to leave is still owed an answer: no read proves anything of it."""
    if order.state is OrderState.SENT and order.sent_at_ns > state.book.began_ns:
        return False
    key = BrokerKey(order.terms.instrument, order.terms.product)
    sent_ns = max(order.sent_at_ns, state.book.unknown.get(order.name, 0))
    is_late = read.began_at_ns - sent_ns >= SETTLED_NS
    return is_late and not bookread.may_settle(state, key)


def _miss(state: State, order: Order) -> None:
    before = _figures(order)
    if order.broker_id is None:
        answers.take_absence(state, order)
        _tell(state, Difference.ABSENT, order, before)
    elif order.state is not OrderState.UNKNOWN:
        answers.take_absence(state, order)
        state.alarm("an order is gone from the broker's book", {"order": order.id, **before})


def _is_listing(state: State, read: BookRead) -> bool:
    """Whether no order of another process can turn up after this read.

    One that was on its way when the process ended has arrived by then. Where neither side knows of
    an order today there was no such process.
    """
    if read.began_at_ns - state.book.began_ns >= SETTLED_NS:
        return True
    return not state.orders and not read.orders


def _awaited(state: State) -> tuple[str, ...]:
    """The list itself, keys that may yet settle, and orders whose fate a further read must tell."""
    points = [] if state.book.is_listed else ["an order may still be on its way"]
    if state.book.open_points:  # what was settled is not opened by passes that differ
        moving = sorted(key for key in state.book.moving if bookread.may_settle(state, key))
        points += [f"the book of {key.instrument} moves" for key in moving]
    for order_id in sorted(state.orders):
        order = state.orders[order_id]
        if order.state is OrderState.UNKNOWN or (
            order.state is OrderState.SENT and order.sent_at_ns <= state.book.began_ns
        ):
            points.append(f"{order_id} is {order.state.value}")
    return tuple(points)


def _figures(order: Order) -> Values:
    return {
        "state": order.state.value,
        "filled": order.filled_quantity,
        "quantity": order.standing.quantity,
        "limit_paise": order.standing.limit_paise,
        "trigger_paise": order.standing.trigger_paise or 0,
    }


def _tell(state: State, difference: Difference, order: Order, before: Values) -> None:
    state.tell(
        Remedied(
            difference=difference,
            order_id=order.id,
            position=order.position,
            before=before,
            after={"broker_id": str(order.broker_id), **_figures(order)},
        )
    )


# -- what is held


def _compare_nets(state: State, read: BookRead) -> tuple[str, ...]:
    """Compare each key that is settled; returns what only a further read can decide, in words."""
    theirs = {net.key: net.net for net in read.nets}
    keys = {position.key for position in state.positions.values()} | theirs.keys()
    settled = sorted(keys - state.book.moving.keys())
    points = [_compare_net(state, read, key, theirs.get(key, 0)) for key in settled]
    return tuple(point for point in points if point is not None)


def _compare_net(state: State, read: BookRead, key: BrokerKey, theirs: int) -> str | None:
    held = [position for position in state.positions.values() if position.key == key]
    ours = sum(position.holding.quantity for position in held)
    known = state.drifts.get(key)
    if ours == theirs:
        _agree(state, key)
        return None
    if read.began_at_ns - _touched_ns(state, key) < SETTLED_NS:
        # Where reads go on for another key only, what was settled is not opened by a trade of ours.
        is_open = state.book.open_points or not state.book.unsettled
        return f"{key.instrument} was traded a moment ago" if is_open else None
    foreign = sum(row.signed_fill for row in read.foreign if row.key == key)
    is_new = known is None or not known.is_present or (known.ours, known.theirs) != (ours, theirs)
    since_ns = state.now_ns if known is None or is_new else known.since_ns
    is_believed = ours + foreign == theirs or state.now_ns - since_ns >= BELIEVED_NS
    state.drifts[key] = Drifted(
        ours=ours, theirs=theirs, since_ns=since_ns, is_believed=is_believed
    )
    if is_new:
        _tell_drift(state, key, ours=ours, theirs=theirs, foreign=foreign)
    if is_believed:
        _note_missing(state, key, theirs)
        return None
    return f"{key.instrument}: {ours} here, {theirs} at the broker"


def _touched_ns(state: State, key: BrokerKey) -> int:
    """When something last happened to an order of ours in a key: positions are told later (T5)."""
    stamps = [
        max(order.venue_at_ns, order.sent_at_ns)
        for order in state.orders.values()
        if (order.terms.instrument, order.terms.product) == key
    ]
    return max(stamps, default=0)


def _agree(state: State, key: BrokerKey) -> None:
    """Books agree: everything held may be closed. Entries stay off until a person has seen it."""
    known = state.drifts.get(key)
    if known is not None and known.is_present:
        state.drifts[key] = Drifted(
            ours=known.ours, theirs=known.theirs, since_ns=known.since_ns, is_present=False
        )
        for position in state.positions.values():
            if position.key == key:
                position.missing = 0


def _note_missing(state: State, key: BrokerKey, theirs: int) -> None:
    """Close no more than the broker holds: what is missing is missing from the youngest (T4)."""
    left = theirs
    for number in sorted(state.positions):
        position = state.positions[number]
        held = position.holding.quantity
        if position.key != key or not held:
            continue
        covered = max(min(left, held), 0) if held > 0 else min(max(left, held), 0)
        position.missing = held - covered
        left = 0 if position.missing else left - held


def _tell_drift(state: State, key: BrokerKey, *, ours: int, theirs: int, foreign: int) -> None:
    is_explained = ours + foreign == theirs
    reason = "orders that are not ours" if is_explained else "nothing in the book explains it"
    state.tell(
        Drift(
            instrument=key.instrument,
            product=key.product,
            ours=ours,
            theirs=theirs,
            foreign=foreign,
            reason=reason,
        )
    )
    text = f"{key.instrument}: {ours} contracts here, {theirs} at the broker ({reason})"
    state.send(Notify(severity=Severity.ALARM, text=text))
