"""What is held, per broker key: the broker's net against our fills and the orders of others.

Each kind of difference has one remedy. What orders of others explain is taken out of ours at once;
a smaller net that nobody explains is believed once stable reads have repeated it for ten seconds
(T5); what is more than ours is never ours to close. Where somebody must look, entries in the
underlying stop until the difference has gone by evidence or a person has acknowledged it; one that
nobody could explain for ten seconds stays until then (promise 7).
"""

import msgspec
from msgspec.structs import replace

from holdfast.core import ration, reduction
from holdfast.core.bookread import SETTLED_NS, key_of_terms
from holdfast.core.orders import answers
from holdfast.core.settings import SECOND_NS
from holdfast.core.state import Drifted, State
from holdfast.domain.audit import Drift, DriftAcknowledged, DriftEnded, DriftKind
from holdfast.domain.command import Notify, Severity
from holdfast.domain.event import BookRead
from holdfast.domain.instrument import BrokerKey, InstrumentId, Product

BELIEVED_NS = 10 * SECOND_NS
"""A net that nobody explains is believed after stable reads have shown it so long (T5)."""


class OpenDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One difference with the broker in one key, in contracts, as a person reads it.

    `key` is what a person types, `text` a whole sentence. `is_present`: the last stable read shows
    it still; `is_acknowledged`: a person has seen it, and it bars nothing until it changes.
    """

    key: str
    instrument: InstrumentId
    product: Product
    symbol: str
    underlying: str
    kind: DriftKind
    text: str
    ours: int
    theirs: int
    since_ns: int
    is_present: bool
    is_acknowledged: bool


def open_drifts(state: State) -> tuple[OpenDrift, ...]:
    """Every difference that stands or that nobody has acknowledged, in order of the keys."""
    return tuple(_shown(state, key, found) for key, found in sorted(state.drifts.items()))


def _shown(state: State, key: BrokerKey, found: Drifted) -> OpenDrift:
    known = state.instruments.get(key.instrument)
    return OpenDrift(
        key=key_text(key),
        instrument=key.instrument,
        product=key.product,
        symbol=key.instrument if known is None else known.symbol,
        underlying="" if known is None else known.underlying,
        kind=found.kind,
        text=_text(state, key, found),
        ours=found.ours,
        theirs=found.theirs,
        since_ns=found.since_ns,
        is_present=found.is_present,
        is_acknowledged=found.is_acknowledged,
    )


def key_text(key: BrokerKey) -> str:
    """A broker key as a person types it."""
    return f"{key.instrument}:{key.product.value}"


def barring(state: State) -> tuple[BrokerKey, ...]:
    """The keys in whose underlying nothing may be entered, in order.

    Those with a difference that nobody has acknowledged, about which reads do not agree (T22), or
    in which others trade beside us at the moment (T11).
    """
    open_ = {key for key, found in state.drifts.items() if not found.is_acknowledged}
    return tuple(sorted(open_ | state.book.unsettled | state.book.strangers.keys()))


def acknowledge(state: State, key: BrokerKey | None, reason: str) -> None:
    """A person has seen the difference of a key (`None`: of every key) and takes it for true.

    It bars nothing until it changes, whatever restarts; ours are cut to what the broker holds.
    """
    asked = sorted(state.drifts) if key is None else [key]
    if not any(one in state.drifts for one in asked):
        name = "any key" if key is None else key.instrument
        state.alarm("no difference to acknowledge", {"key": name})
    for one in asked:
        found = state.drifts.get(one)
        if found is not None and not found.is_acknowledged:
            _acknowledge(state, one, found, reason)


def _acknowledge(state: State, key: BrokerKey, found: Drifted, reason: str) -> None:
    state.tell(
        DriftAcknowledged(
            kind=found.kind,
            instrument=key.instrument,
            product=key.product,
            ours=found.ours,
            theirs=found.theirs,
            reason=reason,
        )
    )
    if not found.is_present:
        del state.drifts[key]
        return
    state.drifts[key] = replace(found, is_acknowledged=True, is_believed=True)
    if not found.is_explained:
        _believe(state, key, found.excess - found.foreign)


def bar(state: State, key: BrokerKey) -> None:
    """An order bears our id and belongs to nothing: no entries there until a person has looked."""
    if key not in state.drifts:
        found = Drifted(
            kind=DriftKind.UNOWNED_ORDER,
            ours=0,
            theirs=0,
            since_ns=state.now_ns,
            is_present=False,
            is_believed=True,
        )
        state.drifts[key] = found


# -- comparing


def compare_nets(state: State, before: BookRead, read: BookRead) -> tuple[str, ...]:
    """Compare each key that is settled; returns what only a further read can decide, in words."""
    theirs = {net.key: net.net for net in read.nets}
    known = {position.key for position in state.positions.values()}
    keys = known | theirs.keys() | state.drifts.keys() | {one.key for one in read.foreign}
    points = [
        _compare(state, (before, read), key, theirs.get(key, 0))
        for key in sorted(keys - state.book.moving.keys())
    ]
    return tuple(point for point in points if point is not None)


def _compare(
    state: State, passes: tuple[BookRead, BookRead], key: BrokerKey, theirs: int
) -> str | None:
    """One key: agreed, explained by orders of others, waited for, or unexplained."""
    ours, foreign = ration.ours_in(state, key), ration.outside(state, key)
    extra = state.extra.get(key)
    if theirs == ours + foreign:
        state.extra.pop(key, None)
    elif extra is not None and theirs == ours + foreign + extra:
        pass  # what was believed before, and what others did since
    elif _is_early(state, passes, key):
        # Where reads go on for another key only, what was settled is not opened by a trade of ours.
        is_open = state.book.open_points or not state.book.unsettled
        return f"{key.instrument} was traded a moment ago" if is_open else None
    else:
        return _take_unexplained(state, key, ours=ours, theirs=theirs, foreign=foreign)
    point = None
    if ours == theirs:
        _agree(state, key, theirs)
    else:
        _take_explained(state, key, ours=ours, theirs=theirs, foreign=foreign)
        point = _book(state, passes, key, theirs)
    reduction.note_aside(state, key)
    _share_out(state, key)
    return point


def _book(
    state: State, passes: tuple[BookRead, BookRead], key: BrokerKey, theirs: int
) -> str | None:
    """Book what others have closed of ours, so that what is closed ends; says what it waits for."""
    if not reduction.is_due(state, key):
        return None
    is_early = _is_early(state, passes, key)
    reduced = None if is_early else reduction.take_closed(state, key, passes[1])
    if reduced is None:
        return f"{key.instrument}: what others closed is not booked yet"
    for position in reduced:
        answers.settle(state, position)
    if ration.ours_in(state, key) == theirs:
        _agree(state, key, theirs)
    return None


def _is_early(state: State, passes: tuple[BookRead, BookRead], key: BrokerKey) -> bool:
    """Whether a pass began within three seconds of the last that happened in a key, or before it.

    Positions are told later than orders, so that two passes may be early alike (T5). So may be the
    rows: one that shows less than was heard is of before. A pass that lacks an order of ours which
    the broker has shown is not the whole book: empty because failed is not flat (I-55).
    """
    began_ns = min(one.began_at_ns for one in passes)
    return began_ns - _touched_ns(state, key) < SETTLED_NS or _is_behind(state, passes[1], key)


def _touched_ns(state: State, key: BrokerKey) -> int:
    """When something last happened to an order in a key, ours or another's."""
    stamps = [
        max(order.venue_at_ns, order.sent_at_ns)
        for order in state.orders.values()
        if key_of_terms(order.terms) == key
    ]
    return max(*stamps, state.foreign_heard_ns.get(key, 0), 0)


def _is_behind(state: State, read: BookRead, key: BrokerKey) -> bool:
    filled = {row.broker_id: row.filled_quantity for row in read.orders}
    known = {row.broker_id: row.filled_quantity for row in ration.foreign_in(state, key)}
    filled |= {row.broker_id: row.filled_quantity for row in read.foreign}
    for order in state.orders.values():
        if key_of_terms(order.terms) == key and order.broker_id is not None:
            known[order.broker_id] = order.filled_quantity
    return any(filled.get(number, -1) < quantity for number, quantity in known.items())


def _found(state: State, *, ours: int, theirs: int, foreign: int, is_believed: bool) -> Drifted:
    """A difference as it is seen now, for the first time as far as this knows."""
    return Drifted(
        kind=_kind(ours, theirs),
        ours=ours,
        theirs=theirs,
        foreign=foreign,
        since_ns=state.now_ns,
        is_believed=is_believed,
    )


def _kind(ours: int, theirs: int) -> DriftKind:
    if ours == theirs:
        return DriftKind.LATE
    if ours == 0:
        return DriftKind.UNKNOWN_POSITION
    if theirs == 0:
        return DriftKind.GONE
    if (ours > 0) != (theirs > 0):
        return DriftKind.WRONG_SIDE
    return DriftKind.LARGER if abs(theirs) > abs(ours) else DriftKind.SMALLER


def _agree(state: State, key: BrokerKey, net: int) -> None:
    """Books agree: everything held may be closed. What nobody could explain stays to be seen."""
    found = state.drifts.get(key)
    if found is None or not found.is_present:
        return
    if found.is_believed and not found.is_explained and not found.is_acknowledged:
        state.drifts[key] = replace(found, is_present=False)
        return
    del state.drifts[key]
    state.tell(
        DriftEnded(
            kind=found.kind, instrument=key.instrument, product=key.product, ours=net, theirs=net
        )
    )


def _take_explained(state: State, key: BrokerKey, *, ours: int, theirs: int, foreign: int) -> None:
    """Orders of others, and what was believed before, account for the whole difference."""
    found = _found(state, ours=ours, theirs=theirs, foreign=foreign, is_believed=True)
    _note(state, key, found)


def _take_unexplained(
    state: State, key: BrokerKey, *, ours: int, theirs: int, foreign: int
) -> str | None:
    """Nobody knows why: entries stop at once, ours are cut when it has been repeated (T5)."""
    seen = _found(state, ours=ours, theirs=theirs, foreign=foreign, is_believed=False)
    found = _note(state, key, seen)
    if state.now_ns - found.since_ns < BELIEVED_NS and not found.is_acknowledged:
        return f"{key.instrument}: {ours} here, {theirs} at the broker"
    if not found.is_believed:
        found = state.drifts[key] = replace(found, is_believed=True)
        _tell(state, key, found)
    _believe(state, key, theirs - ours - foreign)
    return None


def _believe(state: State, key: BrokerKey, extra: int) -> None:
    state.extra[key] = extra
    _share_out(state, key)


def _share_out(state: State, key: BrokerKey) -> None:
    """Cut ours to what the broker holds, the youngest first; while a read is applied it waits."""
    for position in ration.share_out(state, key):
        answers.settle(state, position)


def _note(state: State, key: BrokerKey, found: Drifted) -> Drifted:
    """Keep a difference; told when it is new, and since then while it stays what it is.

    It is the same while as much is too much or missing, whatever we trade there meanwhile.
    """
    known = state.drifts.get(key)
    if (
        known is not None
        and known.is_present
        and (known.excess, known.foreign) == (found.excess, found.foreign)
    ):
        state.drifts[key] = replace(
            found,
            since_ns=known.since_ns,
            is_believed=known.is_believed or found.is_believed,
            is_acknowledged=known.is_acknowledged,
        )
        return state.drifts[key]
    state.drifts[key] = found
    _tell(state, key, found)
    return found


def _tell(state: State, key: BrokerKey, found: Drifted) -> None:
    state.tell(
        Drift(
            kind=found.kind,
            is_believed=found.is_believed,
            instrument=key.instrument,
            product=key.product,
            ours=found.ours,
            theirs=found.theirs,
            foreign=found.foreign,
            reason=_reason(found),
        )
    )
    state.send(Notify(severity=Severity.ALARM, text=_text(state, key, found)))


def _text(state: State, key: BrokerKey, found: Drifted) -> str:
    instrument = state.instruments.get(key.instrument)
    name = key.instrument if instrument is None else instrument.symbol
    if found.kind is DriftKind.UNOWNED_ORDER:
        return f"{name} {key.product.value}: an order with an id of ours belongs to nothing known"
    held = f"{found.ours} contracts here, {found.theirs} at the broker"
    gone = "" if found.is_present else "; books agree again"
    return f"{name} {key.product.value}: {held} ({_reason(found)}){gone}"


def _reason(found: Drifted) -> str:
    if found.is_explained:
        return "orders that are not ours"
    return "nothing in the book explains it"
