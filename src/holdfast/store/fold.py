"""The rules that make rows of the journal's records. Pure: they read nothing but their own rows.

Dropping the projections and folding the journal again therefore gives the same rows.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar, cast

import msgspec
from msgspec.structs import replace

from holdfast.domain import audit, command
from holdfast.domain.decision import Intent, Values
from holdfast.domain.event import (
    Action,
    BookRead,
    OrderAcknowledged,
    OrderUpdated,
    Outcome,
    Restarted,
    SendFailed,
)
from holdfast.domain.order import BrokerStatus, OrderRow, OrderState, Side
from holdfast.store import rows
from holdfast.store.records import Decided, Record

Key = tuple[int | str, ...]
Load = Callable[[type[rows.Row], Key], rows.Row | None]

_R = TypeVar("_R", bound=rows.Row)

_STATES: Final = {
    BrokerStatus.TRANSIT: OrderState.SENT,
    BrokerStatus.WORKING: OrderState.WORKING,
    BrokerStatus.TRIGGERED: OrderState.WORKING,
    BrokerStatus.FILLED: OrderState.FILLED,
    BrokerStatus.CANCELLED: OrderState.CANCELLED,
    BrokerStatus.REJECTED: OrderState.REJECTED,
    BrokerStatus.EXPIRED: OrderState.EXPIRED,
    BrokerStatus.UNKNOWN: OrderState.UNKNOWN,
}

_SEND_FAILED: Final = {
    Outcome.NOT_SENT: OrderState.PLANNED,
    Outcome.REFUSED: OrderState.REJECTED,
    Outcome.UNANSWERED: OrderState.UNKNOWN,
}


def key_of(row: rows.Row) -> Key:
    """The primary key of a row, in the order of its columns."""
    return tuple(getattr(row, name) for name in rows.KEYS[type(row)])


class _Result(NamedTuple):
    """What is to be added to a day: trades, and what they made before and after charges."""

    trades: int
    gross_paise: int
    net_paise: int


class Rows:
    """Rows as the fold sees them: those it changed, over those that `load` finds."""

    def __init__(self, load: Load | None = None, day: rows.Day | None = None) -> None:
        """Without `load` nothing is stored yet. `day` is the latest day stored."""
        self._load = load
        self._held: dict[tuple[type[rows.Row], Key], rows.Row] = {}
        self._absent: set[tuple[type[rows.Row], Key]] = set()
        self._changed: dict[tuple[type[rows.Row], Key], None] = {}
        self._day = day.day if day is not None else ""

    @property
    def day(self) -> str:
        """The trading day that records belong to: that of the last `Restarted`, "" before any."""
        return self._day

    def get(self, kind: type[_R], *key: int | str) -> _R | None:
        """The row of that key, `None` when there is none."""
        at = kind, key
        row = self._held.get(at)
        if row is None and self._load is not None and at not in self._absent:
            row = self._load(kind, key)
            if row is None:
                self._absent.add(at)
            else:
                self._held[at] = row
        return cast("_R | None", row)

    def put(self, row: rows.Row) -> None:
        """Insert a row, or replace the one of its key."""
        at = type(row), key_of(row)
        self._absent.discard(at)
        self._held[at] = row
        self._changed[at] = None
        if isinstance(row, rows.Day):
            self._day = row.day

    def take_changed(self) -> list[rows.Row]:
        """What changed since the last call, each row once."""
        changed = [self._held[at] for at in self._changed]
        self._changed.clear()
        return changed

    def held(self, kind: type[_R]) -> list[_R]:
        """Every row of a kind that was loaded or put, in order of keys."""
        found = [cast("_R", row) for (of, _), row in self._held.items() if of is kind]
        return sorted(found, key=key_of)


def fold(held: Rows, sequence: int, record: Record) -> None:
    """Apply one record to the rows."""
    match record:
        case Restarted():
            _restarted(held, sequence, record)
        case OrderAcknowledged():
            _acknowledged(held, sequence, record)
        case OrderUpdated():
            _order_updated(held, sequence, record)
        case BookRead():
            _book_read(held, sequence, record)
        case SendFailed():
            _send_failed(held, sequence, record)
        case Decided():
            _decided(held, sequence, record)
        case _:
            pass


def _stamp(sequence: int, at_ns: int) -> dict[str, int]:
    return {"changed_at_ns": at_ns, "sequence": sequence}


def _decided(held: Rows, sequence: int, record: Decided) -> None:
    for asked in record.commands:
        if isinstance(asked, command.PlaceOrder):
            _placed(held, sequence, record.at_ns, asked)
    for told in record.audits:
        _audit(held, sequence, record.at_ns, told)


def _restarted(held: Rows, sequence: int, event: Restarted) -> None:
    day = held.get(rows.Day, event.day) or rows.Day(
        day=event.day,
        first_sequence=sequence,
        restarts=0,
        code_version="",
        config_sha256="",
        signals=0,
        denials=0,
        trades=0,
        gross_paise=0,
        charges_paise=0,
        net_paise=0,
        halt="none",
        started_at_ns=event.at_ns,
        sequence=sequence,
    )
    held.put(
        replace(
            day,
            restarts=day.restarts + 1,
            code_version=event.code_version,
            config_sha256=event.config_sha256,
            sequence=sequence,
        )
    )


def _placed(held: Rows, sequence: int, at_ns: int, asked: command.PlaceOrder) -> None:
    held.put(
        rows.Order(
            order_id=asked.order_id,
            day=held.day,
            position=asked.position,
            purpose=asked.purpose.name.lower(),
            instrument=asked.terms.instrument,
            product=asked.terms.product.value,
            side=asked.terms.side.value,
            order_type=asked.terms.order_type.value,
            quantity=asked.terms.quantity,
            limit_paise=asked.terms.limit_paise,
            trigger_paise=asked.terms.trigger_paise,
            state=OrderState.SENT.value,
            broker_id=None,
            filled_quantity=0,
            filled_value_paise=0,
            reason="",
            placed_at_ns=at_ns,
            changed_at_ns=at_ns,
            sequence=sequence,
        )
    )


def _acknowledged(held: Rows, sequence: int, event: OrderAcknowledged) -> None:
    if order := held.get(rows.Order, event.order_id):
        held.put(replace(order, broker_id=event.broker_id, **_stamp(sequence, event.at_ns)))


def _send_failed(held: Rows, sequence: int, event: SendFailed) -> None:
    """A failed placement decides the state; a failed change leaves the order as it was."""
    order = held.get(rows.Order, event.order_id)
    if order is None or event.action is not Action.PLACE or order.state != OrderState.SENT.value:
        return
    state = _SEND_FAILED[event.outcome].value
    held.put(replace(order, state=state, reason=event.reason, **_stamp(sequence, event.at_ns)))


def _book_read(held: Rows, sequence: int, event: BookRead) -> None:
    """Take every row of the book as a word about its order; a second order of one id is not it."""
    for row in event.orders:
        known = held.get(rows.Order, row.order_id)
        if known is None or known.broker_id in (None, row.broker_id):
            told = OrderUpdated(at_ns=event.at_ns, row=row, is_read=True)
            _order_updated(held, sequence, told)


def _order_updated(held: Rows, sequence: int, event: OrderUpdated) -> None:
    """Take the broker's cumulative word; an older one that arrives late changes nothing."""
    row = event.row
    known = held.get(rows.Order, row.order_id)
    order = known or _unplaced(held, row, event.at_ns)
    if _is_overtaken(order, row):
        return
    quantity = row.filled_quantity - order.filled_quantity
    value_paise = _added_paise(order, row)
    told = replace(
        order,
        order_type=row.terms.order_type.value,
        quantity=row.terms.quantity,
        limit_paise=row.terms.limit_paise,
        trigger_paise=row.terms.trigger_paise,
        state=_state_of(row).value,
        broker_id=row.broker_id,
        filled_quantity=row.filled_quantity,
        filled_value_paise=order.filled_value_paise + value_paise,
        reason=row.reason,
    )
    if told != known:  # it is looked at once a second, and seldom anything has changed
        held.put(replace(told, **_stamp(sequence, event.at_ns)))
    if quantity or value_paise:
        _filled(held, sequence, event, quantity=quantity, value_paise=value_paise)


def _added_paise(order: rows.Order, row: OrderRow) -> int:
    """What a row adds to the value of an order's fills: known ones only the trade book corrects."""
    change_paise = row.filled_value_paise - order.filled_value_paise
    if row.filled_quantity > order.filled_quantity:
        return max(change_paise, 0)
    return change_paise if row.is_exact else 0


def _is_overtaken(order: rows.Order, row: OrderRow) -> bool:
    if row.filled_quantity != order.filled_quantity:
        return row.filled_quantity < order.filled_quantity
    return OrderState(order.state).is_terminal and not _state_of(row).is_terminal


def _state_of(row: OrderRow) -> OrderState:
    state = _STATES[row.status]
    return (
        OrderState.PARTLY_FILLED if state is OrderState.WORKING and row.filled_quantity else state
    )


def _unplaced(held: Rows, row: OrderRow, at_ns: int) -> rows.Order:
    """An order of ours whose placement was lost in a crash, as far as the broker's word tells."""
    return rows.Order(
        order_id=row.order_id,
        day=held.day,
        position=None,
        purpose=None,
        instrument=row.terms.instrument,
        product=row.terms.product.value,
        side=row.terms.side.value,
        order_type=row.terms.order_type.value,
        quantity=row.terms.quantity,
        limit_paise=row.terms.limit_paise,
        trigger_paise=row.terms.trigger_paise,
        state=OrderState.SENT.value,
        broker_id=row.broker_id,
        filled_quantity=0,
        filled_value_paise=0,
        reason="",
        placed_at_ns=at_ns,
        changed_at_ns=at_ns,
        sequence=0,
    )


def _filled(
    held: Rows, sequence: int, event: OrderUpdated, *, quantity: int, value_paise: int
) -> None:
    order = held.get(rows.Order, event.row.order_id)
    assert order is not None, "the order was put before its fill"
    held.put(
        rows.Fill(
            sequence=sequence,
            day=order.day,
            order_id=order.order_id,
            position=order.position,
            instrument=order.instrument,
            side=order.side,
            quantity=quantity,
            value_paise=value_paise,
            at_ns=event.at_ns,
            venue_at_ns=event.row.venue_at_ns,
        )
    )
    paid_paise = value_paise * Side(order.side).sign
    moved = {"premium": paid_paise, "cash": -paid_paise}
    _post(held, sequence, event.at_ns, order.position, moved)


def _reduced(held: Rows, sequence: int, at_ns: int, told: audit.ReducedOutside) -> None:
    """A fill that no order of the position made: named by the order of others, and by the position."""
    name = f"{told.order or 'outside'}/{told.position}"
    while held.get(rows.Fill, sequence, name) is not None:
        name += "+"
    held.put(
        rows.Fill(
            sequence=sequence,
            day=held.day,
            order_id=name,
            position=told.position,
            instrument=told.instrument,
            side=told.side.value,
            quantity=told.quantity,
            value_paise=told.value_paise,
            at_ns=at_ns,
            venue_at_ns=told.venue_at_ns,
        )
    )
    paid_paise = told.value_paise * told.side.sign
    moved = {"premium": paid_paise, "cash": -paid_paise}
    _post(held, sequence, at_ns, told.position, moved)


def _post(
    held: Rows, sequence: int, at_ns: int, position: int | None, moved: dict[str, int]
) -> None:
    """Post amounts that sum to zero, after whatever this record posted before."""
    assert sum(moved.values()) == 0, "double entry"
    line = 0
    while held.get(rows.Posting, sequence, line) is not None:
        line += 1
    for offset, (account, amount_paise) in enumerate(moved.items()):
        held.put(
            rows.Posting(
                sequence=sequence,
                line=line + offset,
                day=held.day,
                position=position,
                account=account,
                amount_paise=amount_paise,
                at_ns=at_ns,
            )
        )


def _remedied(held: Rows, sequence: int, at_ns: int, told: audit.Remedied) -> None:
    """An order whose placement the record has lost belongs to the position that its id tells."""
    order = held.get(rows.Order, told.order_id)
    if order is not None and order.position is None and told.position is not None:
        held.put(replace(order, position=told.position, **_stamp(sequence, at_ns)))


def _audit(held: Rows, sequence: int, at_ns: int, told: audit.AnyAudit) -> None:
    match told:
        case audit.SignalSeen() | audit.Denied() | audit.IntentFormed():
            _signal(held, sequence, at_ns, told)
        case audit.Remedied():
            _remedied(held, sequence, at_ns, told)
        case audit.Halted(level=level):
            _count(held, sequence, halt=level.value)
        case (
            audit.PositionResumed()
            | audit.PositionClosed()
            | audit.FillsCorrected()
            | audit.ReducedOutside()
        ):
            _move_money(held, sequence, at_ns, told)
        case (
            audit.EntryFilled()
            | audit.EntryEnded()
            | audit.PositionOpened()
            | audit.LevelMoved()
            | audit.ExitDecided()
        ):
            if position := held.get(rows.Position, held.day, told.position):
                held.put(replace(_moved(position, told), sequence=sequence))
        case _:
            pass


def _move_money(
    held: Rows,
    sequence: int,
    at_ns: int,
    told: (
        audit.PositionResumed | audit.PositionClosed | audit.FillsCorrected | audit.ReducedOutside
    ),
) -> None:
    match told:
        case audit.PositionResumed():
            _resumed(held, sequence, at_ns, told)
        case audit.PositionClosed():
            _closed(held, sequence, at_ns, told)
        case audit.FillsCorrected():
            _corrected(held, sequence, at_ns, told)
        case audit.ReducedOutside():
            _reduced(held, sequence, at_ns, told)


def _count(held: Rows, sequence: int, *, halt: str | None = None, **more: int) -> None:
    """Add to the figures of the day. Before the first `Restarted` there is no day to add to."""
    day = held.get(rows.Day, held.day)
    if day is None:
        return
    sums = {name: getattr(day, name) + amount for name, amount in more.items()}
    held.put(replace(day, halt=halt or day.halt, sequence=sequence, **sums))


def _signal(
    held: Rows,
    sequence: int,
    at_ns: int,
    told: audit.SignalSeen | audit.Denied | audit.IntentFormed,
) -> None:
    """A signal is put when it is first heard of, whichever audit that is in, and then decided."""
    said = told.intent.signal if isinstance(told, audit.IntentFormed) else told.signal
    row = held.get(rows.Signal, held.day, said.id)
    if row is None:
        _count(held, sequence, signals=1)
        row = rows.Signal(
            day=held.day,
            signal_id=said.id,
            strategy=said.strategy,
            underlying=said.underlying,
            direction=said.direction.value,
            candle_start_ns=said.candle_start_ns,
            reason=said.reason,
            figures=_json(said.values),
            outcome="seen",
            gate=None,
            gate_figures=None,
            position=None,
            at_ns=at_ns,
            sequence=sequence,
        )
    if isinstance(told, audit.Denied):
        _count(held, sequence, denials=row.outcome != "denied")
        figures = _json(told.denial.values)
        row = replace(row, outcome="denied", gate=told.denial.gate, gate_figures=figures)
    elif isinstance(told, audit.IntentFormed):
        row = replace(row, outcome="entered", position=told.intent.position)
        held.put(_position(held, sequence, at_ns, told.intent))
    held.put(replace(row, sequence=sequence))


def _json(values: Values) -> str:
    return msgspec.json.encode(values).decode()


def _resumed(held: Rows, sequence: int, at_ns: int, told: audit.PositionResumed) -> None:
    """What an earlier day left open: it was paid then, today's cash does not know of it.

    A start before anything came of the day tells it again, and it is the same.
    """
    is_new = held.get(rows.Position, held.day, told.intent.position) is None
    row = _position(held, sequence, at_ns, told.intent)
    held.put(
        replace(
            row,
            carried_from=told.opened_day,
            quantity=abs(told.quantity),
            state="open",
            entry_value_paise=abs(told.cost_paise),
            stop_paise=told.stop_paise,
            peak_paise=told.peak_paise,
            opened_at_ns=told.opened_at_ns,
        )
    )
    if is_new:
        moved = {"premium": told.cost_paise, "carried": -told.cost_paise}
        _post(held, sequence, at_ns, told.intent.position, moved)


def _position(held: Rows, sequence: int, at_ns: int, intent: Intent) -> rows.Position:
    """A position as it is planned."""
    return rows.Position(
        day=held.day,
        position=intent.position,
        strategy=intent.signal.strategy,
        signal_id=intent.signal.id,
        underlying=intent.signal.underlying,
        instrument=intent.instrument,
        product=intent.product.value,
        side=intent.side.value,
        planned_quantity=intent.quantity,
        quantity=0,
        state="planned",
        entry_value_paise=0,
        stop_paise=intent.plan.stop_paise,
        target_paise=intent.plan.target_paise,
        peak_paise=None,
        exit_rule=None,
        exit_value_paise=None,
        gross_paise=None,
        charges_paise=None,
        net_paise=None,
        planned_at_ns=at_ns,
        opened_at_ns=None,
        closed_at_ns=None,
        carried_from=None,
        sequence=sequence,
    )


def _moved(
    position: rows.Position,
    told: audit.EntryFilled
    | audit.EntryEnded
    | audit.PositionOpened
    | audit.LevelMoved
    | audit.ExitDecided,
) -> rows.Position:
    match told:
        case audit.EntryFilled():
            return replace(position, quantity=told.quantity, entry_value_paise=told.value_paise)
        case audit.EntryEnded():
            return replace(position, state="unfilled")
        case audit.PositionOpened():
            return replace(position, state="open", opened_at_ns=told.venue_at_ns)
        case audit.LevelMoved():
            return replace(position, stop_paise=told.stop_paise, peak_paise=told.peak_paise)
        case audit.ExitDecided():
            return replace(position, state="closing", exit_rule=told.exit.rule)


def _closed(held: Rows, sequence: int, at_ns: int, told: audit.PositionClosed) -> None:
    """Close the position, add its result to the day, and post what its fills left in `premium`.

    Told again it replaces what was told before: only the difference is added and posted.
    """
    position = held.get(rows.Position, held.day, told.position)
    if position is None:  # its plan was lost: what it made is the day's all the same
        result = _Result(1, told.gross_paise, told.net_paise)
        _add_result(held, sequence, at_ns, told.position, result)
        return
    ended = replace(
        position,
        state="closed",
        quantity=told.quantity,
        entry_value_paise=told.entry_value_paise,
        exit_rule=told.rule,
        opened_at_ns=told.opened_at_ns,
        closed_at_ns=told.closed_at_ns,
        sequence=sequence,
    )
    _take_result(held, sequence, at_ns, ended, told)


def _corrected(held: Rows, sequence: int, at_ns: int, told: audit.FillsCorrected) -> None:
    """A position's figures as they are told now; the result of one that ended by its difference.

    The order's own figures, and what its fills moved, the row of the trade book has told.
    """
    position = held.get(rows.Position, held.day, told.position)
    if position is None:
        return
    position = replace(position, entry_value_paise=told.entry_value_paise, sequence=sequence)
    if told.gross_paise is None or told.net_paise is None:
        held.put(position)
        return
    _take_result(held, sequence, at_ns, position, told)


def _take_result(
    held: Rows,
    sequence: int,
    at_ns: int,
    position: rows.Position,
    told: audit.PositionClosed | audit.FillsCorrected,
) -> None:
    """Put what a position has made; what that is more than was known is the day's, and posted."""
    assert told.gross_paise is not None
    assert told.net_paise is not None
    more = _Result(
        trades=position.gross_paise is None,
        gross_paise=told.gross_paise - (position.gross_paise or 0),
        net_paise=told.net_paise - (position.net_paise or 0),
    )
    held.put(
        replace(
            position,
            exit_value_paise=told.exit_value_paise,
            gross_paise=told.gross_paise,
            charges_paise=told.gross_paise - told.net_paise,
            net_paise=told.net_paise,
        )
    )
    _add_result(held, sequence, at_ns, told.position, more)


def _add_result(held: Rows, sequence: int, at_ns: int, position: int, more: _Result) -> None:
    """Add to the day what its positions have made more, and post it."""
    charges_paise = more.gross_paise - more.net_paise
    _count(
        held,
        sequence,
        trades=more.trades,
        gross_paise=more.gross_paise,
        charges_paise=charges_paise,
        net_paise=more.net_paise,
    )
    if more.gross_paise:
        earned = {"premium": more.gross_paise, "realised": -more.gross_paise}
        _post(held, sequence, at_ns, position, earned)
    if charges_paise:
        paid = {"charges": charges_paise, "cash": -charges_paise}
        _post(held, sequence, at_ns, position, paid)
