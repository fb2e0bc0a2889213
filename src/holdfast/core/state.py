"""Everything the engine knows, in one place, and the outbox of the step under way.

Only the functions of `core` that `Engine.step` calls change it; nothing of it leaves the core.
Books are walked in key order (position number, order id, instrument id), never in order of
insertion.
"""

import msgspec

from holdfast.core.books.positions import Position
from holdfast.core.books.postings import Ledger
from holdfast.core.market.quotes import Connection, Quote
from holdfast.core.orders.order import Order
from holdfast.core.settings import EngineSettings
from holdfast.core.timers import Timers
from holdfast.domain.audit import Anomaly, AnyAudit
from holdfast.domain.book import ForeignRow
from holdfast.domain.command import AnyCommand, Notify, Severity
from holdfast.domain.dated import ChargeRates, DayFacts, PriceRules, Session
from holdfast.domain.decision import Direction, HaltLevel, Values
from holdfast.domain.event import BookRead, Link, ServiceState
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


class BookWatch:
    """What whole-book reads have shown since the start (`core/bookread.py`).

    `is_listed`: two passes have shown the same orders of ours, so that a new id cannot be one of
    theirs. `moving` holds, for a key about which passes do not agree, since when; it is `unsettled`
    once that has lasted too long and was told, and then bars entries there only (T22). `awaited`
    are the keys that moved when the orders were listed and may yet settle: no new closers there.
    `open_points` is what bars entries until a read settles it, in words. `missing` holds, for an
    order that a stable read lacked, when the first such read began; `unknown`, for an order whose
    outcome was lost since the start, when. `anyway` are positions that a person closes without
    waiting. `is_applying`: a read is being taken over, nothing is asked. `clean_ns` is when the
    last read began after which nothing was awaited (0: none, as `open_points` says), `asked_ns` when the last one was asked for.
    `strangers` holds, for a key in which others trade beside us, when they were last heard of and
    no read has been taken since (T11). `orphans` holds, for a live order of ours that belongs to
    no position, when the first read that showed it began.
    """

    def __init__(self) -> None:
        self.began_ns = 0
        self.last: BookRead | None = None
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
    """A difference of one key that nobody has acknowledged: contracts here and at the broker.

    `since_ns` is when it was first seen as it is. `is_present`: the last stable read shows it
    still; `is_believed`: it is explained, or has been repeated for long enough (T5).
    """

    ours: int
    theirs: int
    since_ns: int
    is_present: bool = True
    is_believed: bool = False


class State:
    """The engine's books, clocks and levels."""

    def __init__(self, settings: EngineSettings) -> None:
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
        self.foreign: dict[BrokerOrderId, ForeignRow] = {}
        self.drifts: dict[BrokerKey, Drifted] = {}
        self.over_offered: set[BrokerKey] = set()
        self.self_test_fault: str | None = "not run"
        self.left_out: list[int] = []

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
