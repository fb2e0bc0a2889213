"""What each step did, in the words people wait for. Pages, reports and `explain` fold these."""

from enum import StrEnum

import msgspec

from holdfast.domain.decision import Denial, Exit, HaltLevel, Intent, Signal, Values
from holdfast.domain.instrument import InstrumentId, Product
from holdfast.domain.order import BrokerOrderId, OrderId, Side


class Audit(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One thing worth telling, decided or found in the step of one event."""


class SignalSeen(Audit, frozen=True, kw_only=True):
    """A strategy spoke. Each signal ends in exactly one `Denied` or `IntentFormed`."""

    signal: Signal


class Denied(Audit, frozen=True, kw_only=True):
    """A signal was stopped by a gate of ours."""

    signal: Signal
    denial: Denial


class IntentFormed(Audit, frozen=True, kw_only=True):
    """A signal became an intent; its order follows in the same step."""

    intent: Intent


class EntryFilled(Audit, frozen=True, kw_only=True):
    """An entry order filled (further): cumulative quantity and value in paise."""

    position: int
    order_id: OrderId
    quantity: int
    value_paise: int


class EntryEnded(Audit, frozen=True, kw_only=True):
    """An entry order ended without any fill: the position never came to be."""

    position: int
    order_id: OrderId
    reason: str


class PositionOpened(Audit, frozen=True, kw_only=True):
    """The first fill of an entry. `venue_at_ns` is the exchange's time of it."""

    position: int
    instrument: InstrumentId
    venue_at_ns: int


class PositionResumed(Audit, frozen=True, kw_only=True):
    """What an earlier day left open goes on under today's number, with a plan for today (T24).

    `day` left it under the number `earlier`; it was opened on `opened_day`. `quantity` is in signed
    contracts, `cost_paise` what they cost in all.
    """

    intent: Intent
    day: str
    earlier: int
    opened_day: str
    opened_at_ns: int
    quantity: int
    cost_paise: int
    stop_paise: int
    peak_paise: int | None


class ProtectionVerified(Audit, frozen=True, kw_only=True):
    """A resting stop was seen at the broker with our type, trigger, limit and quantity."""

    position: int
    order_id: OrderId
    quantity: int
    trigger_paise: int
    limit_paise: int


class ProtectionLost(Audit, frozen=True, kw_only=True):
    """No resting stop protects the position; the local rules still do."""

    position: int
    reason: str


class LevelMoved(Audit, frozen=True, kw_only=True):
    """The peak moved the trailing stop: both in paise."""

    position: int
    peak_paise: int
    stop_paise: int


class ExitDecided(Audit, frozen=True, kw_only=True):
    """A rule decided to close a position."""

    position: int
    exit: Exit


class PositionClosed(Audit, frozen=True, kw_only=True):
    """The last contract of a position was sold or bought back.

    The figures are those of the whole position. Told again they replace those told before: contracts
    came after its end, or a crash took what its end was decided by. Money in paise; charges rounded as on a statement. `charges` names each component.
    """

    position: int
    rule: str
    quantity: int
    entry_value_paise: int
    exit_value_paise: int
    gross_paise: int
    charges: dict[str, int]
    net_paise: int
    opened_at_ns: int
    closed_at_ns: int
    unprotected_ns: int
    without_stop_ns: int


class FillsCorrected(Audit, frozen=True, kw_only=True):
    """The trade book told what an order's fills are worth: a mean price had told it nearly (T30).

    `value_paise` is theirs in all, `by_paise` by how much that differs from what was known; entry
    and exit value are the position's. Of one that had ended its result is told anew, in paise.
    """

    position: int
    order_id: OrderId
    side: Side
    quantity: int
    value_paise: int
    by_paise: int
    entry_value_paise: int
    exit_value_paise: int
    gross_paise: int | None = None
    charges: dict[str, int] | None = None
    net_paise: int | None = None

    def applied_to(self, closed: PositionClosed) -> PositionClosed:
        """How the end of the position is told now."""
        if self.gross_paise is None or self.charges is None or self.net_paise is None:
            return closed
        return msgspec.structs.replace(
            closed,
            entry_value_paise=self.entry_value_paise,
            exit_value_paise=self.exit_value_paise,
            gross_paise=self.gross_paise,
            charges=self.charges,
            net_paise=self.net_paise,
        )


class ReducedOutside(Audit, frozen=True, kw_only=True):
    """Contracts left a position without an order of its own, on `side`, worth `value_paise` in all.

    `order` is the broker's number of the order of others that closed them; `None`: a settlement, or
    an excess that was netted with what another position holds, as `reason` says.
    """

    position: int
    instrument: InstrumentId
    side: Side
    quantity: int
    value_paise: int
    venue_at_ns: int
    reason: str
    order: BrokerOrderId | None


class QuotesStale(Audit, frozen=True, kw_only=True):
    """An instrument (or, with `None`, the whole feed) stopped being fresh; `since_ns` of its last."""

    instrument: InstrumentId | None
    since_ns: int
    reason: str
    held: tuple[int, ...] = ()


class QuotesFresh(Audit, frozen=True, kw_only=True):
    """It is fresh again after `after_ns` without."""

    instrument: InstrumentId | None
    after_ns: int


class StalePolicyActed(Audit, frozen=True, kw_only=True):
    """The stale-price policy did something for one position: alarmed, asked, held, closed."""

    position: int
    action: str
    values: Values


class EntriesBlocked(Audit, frozen=True, kw_only=True):
    """Readiness of the account changed: `term` is the first failing one, `None` when ready."""

    term: str | None
    values: Values


class Halted(Audit, frozen=True, kw_only=True):
    """The halt level changed."""

    level: HaltLevel
    reason: str


class RuleFailed(Audit, frozen=True, kw_only=True):
    """A rule or strategy raised: a bug. Entries halt; the other rules run."""

    name: str
    position: int | None
    error: str


class Anomaly(Audit, frozen=True, kw_only=True):
    """Something that should not happen did, and was dealt with as the text says."""

    what: str
    values: Values


class SelfTested(Audit, frozen=True, kw_only=True):
    """A made-up breach was put to the rules in a scratch engine; an empty `fault`: they answered."""

    fault: str


class Difference(StrEnum):
    """In what the broker's book and ours may differ about one order of ours.

    ANSWER: what became of a request; MISSED_FILL; OTHER_TERMS; ENDED: it lives here and is dead
    there; UNKNOWN: it is not known here; ABSENT: it never arrived; SECOND: two orders under one id;
    ORPHAN: it lives there, belongs to no position, and would open one.
    """

    ANSWER = "answer"
    MISSED_FILL = "missed_fill"
    OTHER_TERMS = "other_terms"
    ENDED = "ended"
    UNKNOWN = "unknown"
    ABSENT = "absent"
    SECOND = "second"
    ORPHAN = "orphan"


class Remedied(Audit, frozen=True, kw_only=True):
    """The broker's book decided about one order: how we had it, how we have it now."""

    difference: Difference
    order_id: OrderId
    position: int | None
    before: Values
    after: Values


class DriftKind(StrEnum):
    """How the broker's net of one key differs from our fills; each has one remedy.

    LARGER: more on our side, never ours to close. SMALLER, GONE: less or nothing; what orders of
    others explain is cut from ours at once, else after ten seconds of stable reads. WRONG_SIDE: the
    other side; ours are cut to nothing, the rest is never closed. UNKNOWN_POSITION: nothing is ours
    there. LATE: orders of others filled and the net does not show it; it is read again.
    UNOWNED_ORDER: an order with an id of ours belongs to nothing that we know.
    """

    LARGER = "larger"
    SMALLER = "smaller"
    GONE = "gone"
    WRONG_SIDE = "wrong_side"
    UNKNOWN_POSITION = "unknown_position"
    LATE = "late"
    UNOWNED_ORDER = "unowned_order"


class Drift(Audit, frozen=True, kw_only=True):
    """The broker holds other than our fills say, in contracts; entries in the underlying stop.

    `foreign` is what orders that are not ours added; `reason` says in words what is known.
    `is_believed`: ours are cut to what the broker holds.
    """

    kind: DriftKind
    is_believed: bool
    instrument: InstrumentId
    product: Product
    ours: int
    theirs: int
    foreign: int
    reason: str


class DriftEnded(Audit, frozen=True, kw_only=True):
    """A stable read shows that the difference of a key is no more; entries are free of it."""

    kind: DriftKind
    instrument: InstrumentId
    product: Product
    ours: int
    theirs: int


class DriftAcknowledged(Audit, frozen=True, kw_only=True):
    """A person has seen the difference of a key and takes the broker's book for what it is."""

    kind: DriftKind
    instrument: InstrumentId
    product: Product
    ours: int
    theirs: int
    reason: str


class BookReconciled(Audit, frozen=True, kw_only=True):
    """A stable read of the whole book was compared. `open_points` says what is still awaited."""

    began_at_ns: int
    orders: int
    remedies: int
    drifts: int
    open_points: tuple[str, ...]


AnyAudit = (
    SignalSeen
    | Denied
    | IntentFormed
    | EntryFilled
    | EntryEnded
    | PositionOpened
    | PositionResumed
    | ProtectionVerified
    | ProtectionLost
    | LevelMoved
    | ExitDecided
    | PositionClosed
    | FillsCorrected
    | ReducedOutside
    | QuotesStale
    | QuotesFresh
    | StalePolicyActed
    | EntriesBlocked
    | Halted
    | RuleFailed
    | SelfTested
    | Remedied
    | Drift
    | DriftEnded
    | DriftAcknowledged
    | BookReconciled
    | Anomaly
)

OF_BOOKS = (
    EntryEnded, EntryFilled, ExitDecided, FillsCorrected, Halted, IntentFormed, LevelMoved,
    PositionClosed, PositionOpened, PositionResumed, ReducedOutside, Remedied,
)  # fmt: skip
"""What tells how orders, positions, money and the halt came to be as they are."""
