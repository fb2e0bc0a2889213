"""The record stands: where an engine that folds the past decides otherwise than was recorded.

With the code and configuration of that past nothing differs. With newer ones the recorded commands
are nevertheless what was sent, so ids, attempts, orders, fills and positions must be theirs: what
is decided now and not recorded never left, what is recorded and not decided now is taken over.
Each order, exit and level is a part of its own: one that cannot be taken over leaves the others.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from holdfast.core import adoption, reduction
from holdfast.core.books.positions import Position
from holdfast.core.entries.gates import spent_key
from holdfast.core.orders import answers, asking
from holdfast.core.orders.ids import read_order_id
from holdfast.core.orders.life import FORBIDDEN, OrderEvent, rows_of
from holdfast.core.orders.order import Fill, Order
from holdfast.core.risk import guards
from holdfast.core.risk.levels import compile_levels
from holdfast.core.state import State
from holdfast.core.timers import Rank, TimerKey
from holdfast.domain.audit import (
    OF_BOOKS,
    AnyAudit,
    ExitDecided,
    Halted,
    IntentFormed,
    LevelMoved,
    ReducedOutside,
)
from holdfast.domain.command import AnyCommand, CancelOrder, ModifyOrder, PlaceOrder
from holdfast.domain.decision import Intent
from holdfast.domain.event import Action
from holdfast.domain.order import BrokerOrderId, OrderId, Purpose

Change = ModifyOrder | CancelOrder


Do = Callable[[Callable[[], None]], None]
"""Does one part. Whoever folds a past goes on where a part raises, and says so."""


def at_once(part: Callable[[], None]) -> None:
    """Do a part; what it raises is raised."""
    part()


def leave_entries(state: State, commands: Sequence[AnyCommand]) -> tuple[OrderId, ...]:
    """The decision was never durable: an entry in it did not leave, all else may have.

    Returns the entries that were taken back.
    """
    entries = [one for one in commands if isinstance(one, PlaceOrder)]
    never = [one.order_id for one in entries if one.purpose is Purpose.ENTRY]
    for order_id in never:
        _unsend(state, order_id)
    return tuple(never)


def owe(state: State, audits: Sequence[AnyAudit]) -> None:
    """The decision was never durable: what it told of the books stands nowhere, and is told again.

    Not the intent of an entry that was taken back. What else keeps entries off a start finds anew.
    """
    state.owed += [
        one
        for one in audits
        if isinstance(one, OF_BOOKS)
        and not (isinstance(one, IntentFormed) and one.intent.position not in state.positions)
    ]


def stand(
    state: State,
    now: tuple[Sequence[AnyCommand], Sequence[AnyAudit]],
    recorded: tuple[Sequence[AnyCommand], Sequence[AnyAudit]],
    do: Do,
) -> None:
    """Make the books those of the recorded decision, in whose place `now` was decided."""
    _stand_placements(state, _placements(now[0]), _placements(recorded[0]), recorded[1], do)
    _stand_changes(state, _changes(now[0]), _changes(recorded[0]), do)
    _stand_exits(state, now[1], recorded[1], do)
    guards.stand(state, tuple(recorded[0]))
    _stand_reductions(state, now[1], recorded[1], do)
    for audit in recorded[1]:
        if isinstance(audit, Halted):
            state.halt, state.halt_reason = audit.level, audit.reason
        elif isinstance(audit, LevelMoved):
            do(partial(_stand_level, state, audit))


def _placements(commands: Iterable[AnyCommand]) -> dict[OrderId, PlaceOrder]:
    return {one.order_id: one for one in commands if isinstance(one, PlaceOrder)}


def _changes(commands: Iterable[AnyCommand]) -> dict[OrderId, Change]:
    """The last change of each order: a later one replaces an earlier one."""
    return {one.order_id: one for one in commands if isinstance(one, ModifyOrder | CancelOrder)}


# -- placements


def _stand_placements(
    state: State,
    now: dict[OrderId, PlaceOrder],
    recorded: dict[OrderId, PlaceOrder],
    audits: Sequence[AnyAudit],
    do: Do,
) -> None:
    intents = {one.intent.position: one.intent for one in audits if isinstance(one, IntentFormed)}
    for order_id, command in now.items():
        if recorded.get(order_id) != command or _is_other(state, command, intents):
            do(partial(_unsend, state, order_id))
    for command in recorded.values():
        if command.order_id not in state.orders:
            do(partial(_send, state, command, intents.get(command.position)))


def _is_other(state: State, command: PlaceOrder, intents: dict[int, Intent]) -> bool:
    """Whether the same entry was recorded with another plan."""
    position = state.positions.get(command.position)
    is_entry = command.purpose is Purpose.ENTRY
    return is_entry and (position is None or position.intent != intents.get(command.position))


def _unsend(state: State, order_id: OrderId) -> None:
    """An order that was decided now never left: it is as if it had not been decided."""
    order = state.orders[order_id]
    position = state.positions[order.position]
    del state.orders[order_id]
    asking.forget(state, order)
    if order.purpose is Purpose.ENTRY:
        position.entries.remove(order_id)
        if not position.entries:
            _unopen(state, position)
        return
    attempts = _attempts(state, position.number, order.purpose)
    if order.purpose is Purpose.STOP:
        position.stop_attempts = attempts
    else:
        position.exit_attempts = attempts
    for names in (position.closers, position.strays):
        if order_id in names:
            names.remove(order_id)


def _unopen(state: State, position: Position) -> None:
    """No piece of its entry left: the position never was, and its number is free."""
    del state.positions[position.number]
    state.live.remove(position)
    for wait in ("entry", "close_out"):
        state.timers.clear(TimerKey(Rank.POSITION, position.number, wait))
    state.day.positions = max(state.positions, default=0)


def _attempts(state: State, number: int, purpose: Purpose) -> int:
    """The highest attempt of a purpose among the orders of a position, 0 without any."""
    prefix = state.settings.id_prefix
    reasons = [
        read_order_id(prefix, order.id)
        for order in state.orders.values()
        if order.position == number and order.purpose is purpose
    ]
    return max((reason.attempt for reason in reasons if reason is not None), default=0)


def _send(state: State, command: PlaceOrder, intent: Intent | None) -> None:
    """An order that was recorded and not decided now did leave."""
    reason = read_order_id(state.settings.id_prefix, command.order_id)
    position = state.positions.get(command.position)
    if position is None and intent is not None:
        position = adoption.open_position(state, intent, command.order_id)
        state.day.signals_seen.add(spent_key(intent.signal))
    if reason is None or position is None:
        return  # of another account or day: the book will show it
    order = adoption.link(state, position, reason, command.terms, sent_at_ns=state.now_ns)
    asking.watch(state, order, asking.READ_AFTER_NS)


# -- modifications and cancels


def _stand_changes(
    state: State, now: dict[OrderId, Change], recorded: dict[OrderId, Change], do: Do
) -> None:
    for order_id, command in now.items():
        order = state.orders.get(order_id)
        is_in_flight = order is not None and order.asked in (Action.MODIFY, Action.CANCEL)
        if order is not None and is_in_flight and recorded.get(order_id) != command:
            do(partial(_withdraw, state, order))
    for order_id, command in recorded.items():
        order = state.orders.get(order_id)
        if order is not None and now.get(order_id) != command:
            do(partial(_change, state, order, command))


def _withdraw(state: State, order: Order) -> None:
    order.withdraw()
    asking.forget(state, order)


def _change(state: State, order: Order, command: Change) -> None:
    """A recorded modification or cancel is in flight, where the order's state allows for one."""
    is_cancel = isinstance(command, CancelOrder)
    event = OrderEvent.CANCEL if is_cancel else OrderEvent.MODIFY
    if (rows_of(order.state), event) in FORBIDDEN:
        return
    order.broker_id = command.broker_id
    terms = order.terms if isinstance(command, CancelOrder) else command.terms
    order.ask(Action.CANCEL if is_cancel else Action.MODIFY, terms, state.now_ns)
    order.is_ordinary = isinstance(command, ModifyOrder) and command.is_ordinary
    asking.watch(state, order, asking.READ_AFTER_NS)


# -- decisions


def _stand_reductions(
    state: State, now: Sequence[AnyAudit], recorded: Sequence[AnyAudit], do: Do
) -> None:
    """What was booked as closed by others is closed; what is booked now is theirs as well."""
    known = [one for one in now if isinstance(one, ReducedOutside)]
    for audit in recorded:
        if isinstance(audit, ReducedOutside) and audit not in known and audit.order is not None:
            position = state.positions.get(audit.position)
            if position is not None and position.open_quantity >= audit.quantity:
                part = Fill(audit.quantity, audit.value_paise)
                do(partial(_reduce, state, position, audit.order, part))


def _reduce(state: State, position: Position, number: BrokerOrderId, part: Fill) -> None:
    """Book it again as it was booked; what is said of it was said."""
    commands, audits = len(state.out.commands), len(state.out.audits)
    reduction.fold_booked(state, position, number, part)
    answers.finish(state, position)
    del state.out.commands[commands:]
    del state.out.audits[audits:]


def _stand_exits(
    state: State, now: Sequence[AnyAudit], recorded: Sequence[AnyAudit], do: Do
) -> None:
    """An exit was decided when it was recorded, and not before."""
    then = {one.position: one.exit for one in recorded if isinstance(one, ExitDecided)}
    for audit in now:
        if isinstance(audit, ExitDecided) and audit.position in state.positions:
            position = state.positions[audit.position]
            is_decided_now = position.exit_at_ns == state.now_ns  # and not owed by an earlier step
            if audit.position not in then and is_decided_now and not position.is_closed:
                position.exit = None
                do(partial(compile_levels, position))
    for number, exit_ in then.items():
        if number in state.positions and state.positions[number].exit != exit_:
            state.positions[number].exit = exit_
            state.positions[number].exit_at_ns = state.now_ns


def _stand_level(state: State, moved: LevelMoved) -> None:
    position = state.positions.get(moved.position)
    if position is None or position.stop_paise == moved.stop_paise:
        return
    position.peak_paise, position.stop_paise = moved.peak_paise, moved.stop_paise
    if position.is_open and position.exit is None:
        compile_levels(position)
