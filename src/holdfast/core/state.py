"""Everything the engine knows, in one place, and the outbox of the step under way.

Only the functions of `core` that `Engine.step` calls change it; nothing of it leaves the core.
Books are walked in key order (position number, order id, instrument id), never in order of
insertion.
"""

import msgspec

from holdfast.core.books.positions import Position
from holdfast.core.books.postings import Ledger
from holdfast.core.market.quotes import Connection, Quote
from holdfast.core.orders.order import Fill, Order
from holdfast.core.settings import EngineSettings
from holdfast.core.timers import Timers
from holdfast.domain.audit import Anomaly, AnyAudit, DriftKind
from holdfast.domain.book import ForeignRow
from holdfast.domain.command import AnyCommand, Notify, Severity
from holdfast.domain.dated import ChargeRates, DayFacts, PriceRules, Session
from holdfast.domain.decision import Direction, HaltLevel, Values
from holdfast.domain.event import BookRead, Guard, Link, ServiceState
from holdfast.domain.instrument import BrokerKey, Exchange, Instrument, InstrumentId
from holdfast.domain.order import BrokerOrderId, OrderId


class Outbox:
    """The commands and audits of one step, in the order in which they were decided."""

    __slots__ = ("audits", "commands")

    def __init__(self) -> None:
        self.commands: list[AnyCommand] = []
        self.audits: list[AnyAudit] = []


class DayCount:
    """What the limits of a day count, folded from the day's own events."""

    def __init__(self) -> None:
        self.positions = 0
        self.trades = 0
        self.realised_net_paise = 0
        self.signals_seen: set[str] = set()
        self.last_exit_ns: dict[tuple[InstrumentId, Direction], int] = {}


class LossWatch:
    """A breach of the daily loss, from its first fresh packet until it is confirmed or gone.

    `marked_ns` is when each position, by number, was last marked.
    """

    def __init__(self) -> None:
        self.since_ns: int | None = None
        self.marked_ns: dict[int, int] = {}
        self.is_confirmed = False


class PathWatch:
    """Whether calls about orders get through, and whether the stream tells of them (T9).

    `answered_ns` is when one last succeeded, `presumed_ns` until when they are taken to have, where
    good answers are not told; `waiting_since_ns` is since when an answer that must be told is
    awaited. Until `barred_until_ns` the broker has refused our orders for token or address.
    `polled` is the order that was read last. `unheard` holds, for an order, since when the stream
    owes a word of it; from `suspect_since_ns` on it is not believed to tell everything. `is_told`:
    a person heard that no call gets through.
    """

    def __init__(self) -> None:
        self.answered_ns = 0
        self.presumed_ns = 0
        self.waiting_since_ns: int | None = None
        self.barred_until_ns = 0
        self.polled = ""
        self.unheard: dict[OrderId, int] = {}
        self.suspect_since_ns: int | None = None
        self.is_told = False


class Access:
    """What the shell was told of our access to the broker since the start (`core/account.py`).

    `token_until_ns` is until when the session lasts, 0 without one; `token_reason` why there is
    none. `is_checked`: it was asked whether orders are taken from here; `is_refused`: they are not.
    `skew_ms` is how far our clock is ahead of the broker's, `None` before they were compared.
    """

    def __init__(self) -> None:
        self.token_until_ns = 0
        self.token_reason = ""
        self.is_checked = False
        self.is_refused = False
        self.refused_reason = ""
        self.skew_ms: int | None = None


class GuardWatch:
    """How far a panic has come, and what was asked of the broker's own guards (T25).

    `panic_since_ns`: `None` without a panic. `flat_since_ns`: when a stable read of the book showed
    the account flat of ours. `asks` counts, by the name of a guard, how often it was asked,
    `asked_ns` holds when last. `taken` are those that the broker took. `told_ns` is when a person
    last heard, by position or guard, that something waits.
    """

    def __init__(self) -> None:
        self.panic_since_ns: int | None = None
        self.flat_since_ns: int | None = None
        self.asks: dict[str, int] = {}
        self.asked_ns: dict[str, int] = {}
        self.taken: set[str] = set()
        self.told_ns: dict[str, int] = {}

    def begin(self) -> None:
        """A new panic, or none: what was asked in the one before counts no more."""
        for guard in (Guard.EXIT_ALL.value, Guard.KILL_SWITCH.value):
            self.asks.pop(guard, None)
            self.asked_ns.pop(guard, None)
            self.taken.discard(guard)
        self.told_ns.pop("panic", None)
        self.told_ns.pop("kill_switch", None)
        self.panic_since_ns = self.flat_since_ns = None


class BookWatch:
    """What whole-book reads have shown since the start (`core/bookread.py`).

    `alone_ns` is since when no process before this one can have sent anything. `is_listed`: two passes have shown the same orders of ours, so that a new id cannot be one of
    theirs. `moving` holds, for a key about which passes do not agree, since when; it is `unsettled`
    once that has lasted too long and was told, and then bars entries there only (T22). `awaited`
    are the keys that moved when the orders were listed and may yet settle: no new closers there.
    `open_points` is what bars entries until a read settles it, in words. `missing` holds, for an
    order that a stable read lacked, when the first such read began; `unknown`, for an order whose
    outcome was lost since the start, when. `anyway` are positions that a person closes without
    waiting. `is_applying`: a read is being taken over, nothing is asked. `clean_ns` is when the
    last read began after which nothing was awaited (0: none, as `open_points` says), `asked_ns`
    when the last one was asked for. `strangers` holds, for a key in which others trade beside us,
    when they were last heard of and no read has been taken since (T11). `orphans` holds, for a live
    order of ours that belongs to no position, when the first read that showed it began. `shown` is
    the last pass that was told of, whatever became of it: one that repeats it is told in short.
    """

    def __init__(self) -> None:
        self.began_ns = 0
        self.alone_ns = 0
        self.last: BookRead | None = None
        self.shown: BookRead | None = None
        self.is_asked = False
        self.is_listed = False
        self.is_applying = False
        self.moving: dict[BrokerKey, int] = {}
        self.unsettled: set[BrokerKey] = set()
        self.awaited: set[BrokerKey] = set()
        self.open_points: tuple[str, ...] = ("not read since the start",)
        self.missing: dict[OrderId, int] = {}
        self.anyway: set[int] = set()
        self.unknown: dict[OrderId, int] = {}
        self.clean_ns = 0
        self.asked_ns = 0
        self.strangers: dict[BrokerKey, int] = {}
        self.orphans: dict[BrokerOrderId, int] = {}


class Drifted(msgspec.Struct, frozen=True, kw_only=True):
    """A difference of one key: contracts here and at the broker, and what others have added.

    `since_ns` is when it was first seen as it is. `is_present`: the last stable read shows it
    still; `is_believed`: it is explained, or has been repeated for long enough (T5).
    `is_acknowledged`: a person has seen just this difference; it bars nothing until it changes.
    """

    kind: DriftKind
    ours: int
    theirs: int
    since_ns: int
    foreign: int = 0
    is_present: bool = True
    is_believed: bool = False
    is_acknowledged: bool = False

    @property
    def excess(self) -> int:
        """What the broker holds beyond our fills, in signed contracts."""
        return self.theirs - self.ours

    @property
    def is_explained(self) -> bool:
        """Whether orders of others account for all of it."""
        return self.excess == self.foreign

    @property
    def is_doubt(self) -> bool:
        """Whether the broker may hold less of ours than our fills say: nobody knows yet (T5)."""
        return self.is_present and not self.is_believed and self.kind in _LACKING

    @property
    def is_missed(self) -> bool:
        """Whether the broker is believed to hold less of ours, and nobody has said why (T5)."""
        is_believed = self.is_present and self.is_believed and not self.is_explained
        return is_believed and not self.is_acknowledged and self.kind in _LACKING


_LACKING = (DriftKind.SMALLER, DriftKind.GONE, DriftKind.WRONG_SIDE)


class State:
    """The engine's books, clocks and levels.

    `foreign` are the orders of others, by the broker's number, `foreign_heard_ns` when a key's were
    last heard of. `booked` is how much of each has closed positions of ours and is in their fills;
    `aside` what others had done in a key when last nothing of ours was held there. `extra` is what
    the broker holds of a key beside our fills and theirs, once it is believed. `unowned` are orders
    that bear our id and belong to nothing, once told. `drifts` are the differences that a person
    should see. `owed` is what a process told before it died, and no record holds.
    """

    def __init__(self, settings: EngineSettings) -> None:  # noqa: PLR0915 one line for each thing it holds
        self.settings = settings
        self.now_ns = 0
        self.out = Outbox()
        self.timers = Timers()
        self.facts: DayFacts | None = None
        self.instruments: dict[InstrumentId, Instrument] = {}
        self.underlyings: dict[InstrumentId, str] = {}
        self.connections: dict[Exchange, Connection] = {}
        self.quotes: dict[InstrumentId, Quote] = {}
        self.orders: dict[OrderId, Order] = {}
        self.positions: dict[int, Position] = {}
        self.live: list[Position] = []
        self.held: dict[InstrumentId, list[Position]] = {}
        self.ledger = Ledger()
        self.day = DayCount()
        self.loss = LossWatch()
        self.live_net_paise = 0
        self.halt = HaltLevel.NONE
        self.halt_reason = ""
        self.is_stopping = False
        self.rules_failed = False
        self.is_partial = False
        self.links: dict[Link, bool] = dict.fromkeys(Link, False)
        self.journal_durable = False
        self.services: dict[str, ServiceState] = {}
        self.funds_paise: int | None = None
        self.funds_at_fills = -1
        self.fills = 0
        self.exit_by_modify = settings.exit_by_modify
        self.blocked_term: str | None = None
        self.called: set[tuple[int, str]] = set()
        self.quotes_asked_ns = 0
        self.book = BookWatch()
        self.path = PathWatch()
        self.access = Access()
        self.guard = GuardWatch()
        self.foreign: dict[BrokerOrderId, ForeignRow] = {}
        self.foreign_heard_ns: dict[BrokerKey, int] = {}
        self.booked: dict[BrokerOrderId, Fill] = {}
        self.aside: dict[BrokerKey, int] = {}
        self.extra: dict[BrokerKey, int] = {}
        self.unowned: set[BrokerOrderId] = set()
        self.drifts: dict[BrokerKey, Drifted] = {}
        self.over_offered: set[BrokerKey] = set()
        self.owed: list[AnyAudit] = []
        self.self_test_fault: str | None = "not run"
        self.left_out: list[int] = []

    def living(self) -> list[Order]:
        """Every order that could still fill, in order of its name.

        Each belongs to a position that has not ended, so that nobody walks the orders of the day.
        """
        names = {
            name
            for one in self.live
            for name in (*one.entries, *one.closers, *one.strays)
            if name in self.orders
        }
        return [self.orders[name] for name in sorted(names) if self.orders[name].is_live]

    @property
    def touched_ns(self) -> int:
        """When something last happened to an order of ours, or was asked of one; 0: never."""
        return max((order.touched_ns for order in self.orders.values()), default=0)

    def send(self, command: AnyCommand) -> None:
        """Ask something of the shell in this step."""
        self.out.commands.append(command)

    def tell(self, audit: AnyAudit) -> None:
        """Say what was decided or found in this step."""
        self.out.audits.append(audit)

    def alarm(self, what: str, values: Values) -> None:
        """Record what should not happen, and call a person."""
        self.tell(Anomaly(what=what, values=values))
        details = ", ".join(f"{name} {value}" for name, value in values.items())
        self.send(Notify(severity=Severity.ALARM, text=f"{what}: {details}"))

    def session(self, exchange: Exchange) -> Session | None:
        """The day's hours at an exchange, `None` while they are unknown or it does not open."""
        return None if self.facts is None else self.facts.session(exchange)

    def is_before_open(self, exchange: Exchange) -> bool:
        """Whether the day has not opened yet: what is told of prices now was traded before (T24)."""
        session = self.session(exchange)
        return session is not None and self.now_ns < session.open_ns

    def price_rules(self, instrument: Instrument) -> PriceRules:
        """The price rules for an instrument that can be held. Facts are loaded by then."""
        assert self.facts is not None
        return self.facts.price_rules(instrument.exchange)

    def charge_rates(self, instrument: Instrument) -> ChargeRates:
        """The charges for an instrument that can be held. Facts are loaded by then."""
        assert self.facts is not None
        return self.facts.charge_rates(instrument.exchange, instrument.kind)

    def quote(self, instrument: InstrumentId) -> Quote:
        """The quote of an instrument of today's master."""
        return self.quotes[instrument]
