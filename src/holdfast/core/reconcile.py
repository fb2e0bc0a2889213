"""The broker's book against ours: each difference has one remedy, and each remedy is told.

Only a stable read decides; agreement is per broker key, so that one that moves holds up no other
(T22). Rows of orders that we know are folded like any row that was read; orders of ours that we do
not know are adopted by their id; what never arrived ends; one that belongs to nothing and would
open a position is cancelled. Orders of others and what is held of each key: `foreign`, `drift`.
"""

from holdfast.core import bookread, drift, foreign
from holdfast.core.bookread import SETTLED_NS
from holdfast.core.orders import answers
from holdfast.core.orders.ids import OrderReason, read_order_id
from holdfast.core.orders.order import Order
from holdfast.core.state import State
from holdfast.domain.audit import BookReconciled, Difference, Remedied
from holdfast.domain.command import CancelOrder, Notify, Severity
from holdfast.domain.decision import Values
from holdfast.domain.event import BookRead, OrderUpdated
from holdfast.domain.order import BrokerOrderId, OrderRow, OrderState, Purpose


def take_read(state: State, read: BookRead) -> None:
    """Take one pass over the book; what it and the one before agree on is stable, and decides.

    A pass that began no later than the one before is that one again, or was overtaken by it; one
    that began before this process asked another's question. Neither is a second opinion.
    """
    book = state.book
    if read.began_at_ns <= (book.began_ns - 1 if book.last is None else book.last.began_at_ns):
        return
    bookread.take_answer(state)
    before, book.last = book.last, read
    foreign.take_rows(state, read)
    if before is None:
        bookread.ask(state)
        return
    bookread.note_moving(state, bookread.unstable_keys(before, read))
    _reconcile(state, before, read)


def _reconcile(state: State, before: BookRead, read: BookRead) -> None:
    book, told = state.book, len(state.out.audits)
    book.is_applying = True
    agreed = bookread.agreed_orders(before, read)
    strangers = _take_rows(state, read, agreed)
    own_before, own = bookread.own_ids(before), bookread.own_ids(read)
    for row in strangers:
        if (row.order_id, row.broker_id) in own_before:
            _adopt(state, row)
    _end_absent(state, before, read)
    orphans = _cancel_orphans(state, read, agreed)
    book.is_applying = False
    if not book.is_listed and own == own_before and _is_listing(state, read):
        book.is_listed, state.is_partial = True, False
        book.awaited = {key for key in book.moving if bookread.may_settle(state, key)}
    if not book.moving:
        state.funds_paise, state.funds_at_fills = read.funds_paise, state.fills
    points = (*_awaited(state), *orphans, *drift.compare_nets(state, before, read))
    _watch_cash(state, read)
    remedies = sum(isinstance(one, Remedied) for one in state.out.audits[told:])
    for position in tuple(state.live):
        answers.settle(state, position)
    _conclude(state, read, points, remedies)


def _conclude(state: State, read: BookRead, points: tuple[str, ...], remedies: int) -> None:
    """Say what came of it, and read on while something is awaited."""
    book = state.book
    if book.open_points or remedies or points:
        drifts = sum(found.is_present for found in state.drifts.values())
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
    """Fold the agreed rows of orders that we know; returns ours that we do not, entries first.

    By the broker's number, which grows: of two under one id the younger is the second (T21).
    """
    strangers: list[tuple[OrderReason, OrderRow]] = []
    for row in sorted(read.orders, key=lambda one: (len(one.broker_id), one.broker_id)):
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
    is_over = state.positions[order.position].is_closed and order.name == order.id
    if is_over and order.has_ended_as(row):
        return  # most of a day's book, in every read of it
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
    if row.broker_id in state.unowned and not _has_position(state, row):
        return  # it was told; a person has seen it, or will
    known = state.orders.get(row.order_id)
    before: Values = {}
    if known is not None:
        before = {"broker_id": str(known.broker_id), **_figures(known)}
    answers.take_row(state, OrderUpdated(at_ns=state.now_ns, row=row, is_read=True))
    order = answers.order_of(state, row)
    if order is None:
        state.unowned.add(row.broker_id)
        drift.bar(state, bookread.key_of(row))
        return
    state.unowned.discard(row.broker_id)
    _follow_trigger(state, order)
    _tell(state, Difference.UNKNOWN if known is None else Difference.SECOND, order, before)


def _has_position(state: State, row: OrderRow) -> bool:
    reason = read_order_id(state.settings.id_prefix, row.order_id)
    return reason is not None and reason.position in state.positions


def _cancel_orphans(state: State, read: BookRead, agreed: set[BrokerOrderId]) -> tuple[str, ...]:
    """A live order of ours that belongs to no position and would open one is taken back.

    Evidence is that stable reads three seconds apart show it, and nothing that it could close.
    Returns those that still live, in words: they are read on.
    """
    rows = [row for row in read.orders if row.broker_id in agreed]
    living = {row.broker_id: row for row in rows if _is_orphan(state, row)}
    orphans = state.book.orphans
    for number in sorted(orphans.keys() - living.keys()):
        del orphans[number]
    for number in sorted(living):
        row, first_ns = living[number], orphans.setdefault(number, read.began_at_ns)
        if read.began_at_ns - first_ns >= SETTLED_NS:
            orphans[number] = read.began_at_ns  # asked again when it lives three seconds later
            _cancel_orphan(state, read, row)
    return tuple(f"{living[number].order_id} belongs to no position" for number in sorted(living))


def _is_orphan(state: State, row: OrderRow) -> bool:
    if not row.status.is_live or answers.order_of(state, row) is not None:
        return False
    return read_order_id(state.settings.id_prefix, row.order_id) is not None


def _cancel_orphan(state: State, read: BookRead, row: OrderRow) -> None:
    """Ask for its end, which may be repeated (T3), unless it closes what the broker holds."""
    held = sum(one.net for one in read.nets if one.key == bookread.key_of(row))
    if held * row.terms.side.sign < 0:
        return  # it closes something that the broker holds: a person's business
    left = row.terms.quantity - row.filled_quantity
    state.send(CancelOrder(order_id=row.order_id, broker_id=row.broker_id))
    state.tell(
        Remedied(
            difference=Difference.ORPHAN,
            order_id=row.order_id,
            position=None,
            before={"broker_id": str(row.broker_id), "state": row.status.value, "open": left},
            after={"asked": "cancel"},
        )
    )


def _watch_cash(state: State, read: BookRead) -> None:
    """In session cash is judged by its sign only, once a day, as a warning (T22)."""
    told = (0, "cash")
    if read.funds_paise < 0 and told not in state.called:
        state.called.add(told)
        text = f"the broker shows free cash of {read.funds_paise} paise"
        state.send(Notify(severity=Severity.WARNING, text=text))


def _end_absent(state: State, before: BookRead, read: BookRead) -> None:
    """An order that was sent and that two stable reads lack, three seconds apart, never was.

    In a key that moves both passes must lack it, once the time to settle is over (T3). A pass
    without any order of ours, where the broker has numbered some today, is empty because it failed.
    """
    if not read.orders and any(order.broker_id for order in state.orders.values()):
        return
    shown = {row.order_id for one in (before, read) for row in one.orders}
    living = state.living()
    for order_id in sorted(state.book.missing.keys() - {order.name for order in living}):
        del state.book.missing[order_id]
    for order in living:
        if order.id in shown or not order.is_live:
            state.book.missing.pop(order.name, None)
        elif _may_be_absent(state, order, read):
            first_ns = state.book.missing.setdefault(order.name, read.began_at_ns)
            if read.began_at_ns - first_ns >= SETTLED_NS:
                _miss(state, order)


def _may_be_absent(state: State, order: Order, read: BookRead) -> bool:
    """One that waits its turn to leave is still owed an answer: no read proves anything of it."""
    if order.state is OrderState.SENT and order.sent_at_ns > state.book.began_ns:
        return False
    key = bookread.key_of_terms(order.terms)
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

    One that was on its way when the process before ended has arrived by then; that had ended before
    this one got hold of the account, whatever this one has done since. Where neither side knows of
    an order today there was no such process.
    """
    if read.began_at_ns - state.book.alone_ns >= SETTLED_NS:
        return True
    return not state.orders and not read.orders


def _awaited(state: State) -> tuple[str, ...]:
    """The list itself, keys that may yet settle, and orders whose fate a further read must tell."""
    points = [] if state.book.is_listed else ["an order may still be on its way"]
    if state.book.open_points:  # what was settled is not opened by passes that differ
        moving = sorted(key for key in state.book.moving if bookread.may_settle(state, key))
        points += [f"the book of {key.instrument} moves" for key in moving]
    for order in state.living():
        if order.state is OrderState.UNKNOWN or (
            order.state is OrderState.SENT and order.sent_at_ns <= state.book.began_ns
        ):
            points.append(f"{order.name} is {order.state.value}")
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
