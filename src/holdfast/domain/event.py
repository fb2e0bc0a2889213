"""What happened, as the engine learns it: past tense and complete.

Nothing enters a decision but these. Ticks, loaded candles and quotes lie on the tape, all others
in the journal, under one run of sequence numbers.
"""

from enum import StrEnum

import msgspec

from holdfast.domain.book import BookNet, BookTrade, ForeignRow
from holdfast.domain.dated import DayFacts
from holdfast.domain.decision import Exit, Intent
from holdfast.domain.instrument import BrokerKey, Instrument, InstrumentId
from holdfast.domain.market import Candle, Tick
from holdfast.domain.order import BrokerOrderId, OrderId, OrderRow, Refusal


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """`at_ns`: when our process received or made it (UTC nanoseconds), stamped once."""

    at_ns: int


class Restarted(Event, frozen=True, kw_only=True):
    """The engine begins or begins again; what `verify` must use from here on.

    `config_sha256` is the hash of the whole effective configuration. `libraries` names versions
    that can change a float ("TA-Lib 0.8.2"). Since `alone_ns` nobody else can have sent anything
    under ids of ours: this process holds the account; `None`: since `at_ns`.
    """

    day: str
    code_version: str
    config_sha256: str
    libraries: tuple[str, ...] = ()
    alone_ns: int | None = None


class FactsLoaded(Event, frozen=True, kw_only=True):
    """The day's dated facts."""

    sha256: str
    facts: DayFacts


class InstrumentsLoaded(Event, frozen=True, kw_only=True):
    """The rows of the instrument master that this day uses."""

    sha256: str
    instruments: tuple[Instrument, ...]


class PositionCarried(Event, frozen=True, kw_only=True):
    """A position that an earlier day left open, as a new day begins with it (T24).

    `day` is the trading day that left it, under the number of its `intent`; `opened_day` the one on
    which it was opened. `quantity` is in signed contracts, `cost_paise` what they cost in all (short:
    negative); charges of earlier days stay there. `stop_paise` is the stop level that was in force,
    `exit` what had been decided and did not get out.
    """

    day: str
    opened_day: str
    opened_at_ns: int
    intent: Intent
    quantity: int
    cost_paise: int
    stop_paise: int
    peak_paise: int | None
    exit: Exit | None


class CandleLoaded(Event, frozen=True, kw_only=True):
    """One candle of history, from before the engine's own."""

    candle: Candle


class OrderAcknowledged(Event, frozen=True, kw_only=True):
    """The broker answered a placement with its number. It says *asked*, not *done*."""

    order_id: OrderId
    broker_id: BrokerOrderId


class OrderUpdated(Event, frozen=True, kw_only=True):
    """The broker's word about one order of ours. Cumulative, never a delta.

    `is_read` tells the answer to a read of ours, which decides, from the stream, whose end words
    are only a question while a request of ours is in flight (T15).
    """

    row: OrderRow
    is_read: bool = False


class Action(StrEnum):
    """What was asked of the broker."""

    PLACE = "place"
    MODIFY = "modify"
    CANCEL = "cancel"
    FIND = "find"


class Outcome(StrEnum):
    """How a request failed: each has exactly one reaction."""

    NOT_SENT = "not_sent"
    REFUSED = "refused"
    UNANSWERED = "unanswered"


class SendFailed(Event, frozen=True, kw_only=True):
    """A request about an order did not succeed.

    NOT_SENT: it never left. REFUSED: an explicit no, with its class. UNANSWERED: it may exist.
    `is_outdated`: it never left because its position's fills changed while it waited for its turn;
    what is wanted now is decided anew.
    """

    order_id: OrderId
    action: Action
    outcome: Outcome
    refusal: Refusal | None = None
    reason: str = ""
    is_outdated: bool = False


class ForeignUpdated(Event, frozen=True, kw_only=True):
    """The stream's word about an order that bears no id of ours: the owner's, or the broker's own.

    Cumulative, never a delta (T11, T14).
    """

    row: ForeignRow


class Settled(Event, frozen=True, kw_only=True):
    """A contract was settled in cash: besides fills the only end of a position (T24).

    `settlement_paise` is the exchange's published value of one contract, never the last trade;
    `source` says where it comes from.
    """

    instrument: InstrumentId
    settlement_paise: int
    source: str


class Guard(StrEnum):
    """What the broker itself can do to the whole account (T25)."""

    EXIT_ALL = "exit_all"
    KILL_SWITCH = "kill_switch"
    LOSS_EXIT = "loss_exit"


class GuardAnswered(Event, frozen=True, kw_only=True):
    """The broker took, or refused, a request about one of its own guards."""

    guard: Guard
    is_done: bool
    reason: str = ""


class FundsRead(Event, frozen=True, kw_only=True):
    """Free cash at the broker, in paise."""

    available_paise: int


class BookRead(Event, frozen=True, kw_only=True):
    """One pass over the whole book: positions first, then orders, then trades, then funds (T22).

    One pass proves nothing: services settle at different moments, so two passes must agree first.
    `orders` are those with an id of ours, in the order in which the broker took them; one id may
    stand twice. `began_at_ns` is when its first request left.
    """

    began_at_ns: int
    nets: tuple[BookNet, ...]
    orders: tuple[OrderRow, ...]
    foreign: tuple[ForeignRow, ...]
    trades: tuple[BookTrade, ...]
    funds_paise: int


class BookRepeated(Event, frozen=True, kw_only=True):
    """A pass over the whole book that shows what the one before did, but for the cash.

    `repeats_ns` is when that one began. A book is read twice a minute all day long and seldom
    changes: told in full each time it would be most of the journal.
    """

    began_at_ns: int
    repeats_ns: int
    funds_paise: int


class QuotesRead(Event, frozen=True, kw_only=True):
    """Full quotes read outside the feed (REST). Each tick's `at_ns` is that of the read."""

    quotes: tuple[Tick, ...]


BOOK = "book"
"""What a `ReadFailed` speaks of when a pass over the whole book failed."""


CARRIED = "carried positions"
"""What a `ReadFailed` speaks of when nobody can tell what an earlier day has left open."""


class ReadFailed(Event, frozen=True, kw_only=True):
    """A read did not succeed. It changes nothing: failed is not empty.

    `what` names it: `BOOK` for a pass over the whole book, `CARRIED` for what an earlier day left.
    """

    what: str
    reason: str


class Link(StrEnum):
    """The connections that readiness looks at."""

    FEED = "feed"
    UPDATES = "updates"
    ORDERS = "orders"


class LinkChanged(Event, frozen=True, kw_only=True):
    """A connection came up or went down."""

    link: Link
    is_up: bool
    reason: str = ""


class JournalChanged(Event, frozen=True, kw_only=True):
    """The journal can (or can no longer) make events durable in time."""

    is_durable: bool
    reason: str = ""


class TokenChanged(Event, frozen=True, kw_only=True):
    """The session at the broker began, was prolonged, or is over (T20).

    `valid_until_ns`: until when the broker takes it, 0 without one. `reason`, never the secret,
    says why it is over.
    """

    is_valid: bool
    valid_until_ns: int = 0
    reason: str = ""


class AccountChecked(Event, frozen=True, kw_only=True):
    """Whether the broker takes orders from here: the address, the profile, the segment (T27).

    Reads do not notice a wrong address; only the profile, the address check and the refusal of an
    order tell.
    """

    orders_allowed: bool
    reason: str = ""


class ClockChanged(Event, frozen=True, kw_only=True):
    """How far this host's clock is ahead of the broker's, in milliseconds (T30)."""

    skew_ms: int


class ServiceState(StrEnum):
    """Where a part of the program is in its life, as its supervisor sees it.

    WAITING for what it needs; STARTING, not ready yet; READY; UNREADY: it runs and cannot do its
    work; RESTARTING: it failed and is tried again; STOPPING; STOPPED; PARKED: given up.
    """

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    UNREADY = "unready"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    PARKED = "parked"


class ServiceChanged(Event, frozen=True, kw_only=True):
    """The supervisor decided about a part of the program, or heard from it.

    `is_core`: nothing may be entered while it is not READY. `restarts` counts since the start.
    """

    service: str
    state: ServiceState
    is_core: bool
    reason: str = ""
    restarts: int = 0


class ProjectionDiffers(Event, frozen=True, kw_only=True):
    """What people read is not what is traded on. One line of words for each difference, at least one."""

    differences: tuple[str, ...]


class StepFailed(Event, frozen=True, kw_only=True):
    """Stepping event number `sequence` raised: nothing that it decided was sent (decisions 2.5).

    It is stepped once more without strategies and entries. `is_final`: that raised too, and the
    process ends.
    """

    sequence: int
    error: str
    is_final: bool = False


class StopAsked(Event, frozen=True, kw_only=True):
    """The process is about to end, in order: nothing is entered until the next start."""

    reason: str


class TimerFired(Event, frozen=True, kw_only=True):
    """The engine's own deadline passed; `at_ns` is that deadline, however late the wake-up."""


class OperatorRequest(StrEnum):
    """What a person may ask."""

    PAUSE = "pause"
    RESUME = "resume"
    FLATTEN = "flatten"
    PANIC = "panic"
    UNLOCK = "unlock"
    CLOSE = "close"
    ACKNOWLEDGE = "acknowledge"


class OperatorAsked(Event, frozen=True, kw_only=True):
    """A person asked. `position` and `is_anyway` stand with CLOSE only, `key` with ACKNOWLEDGE.

    RESUME lifts a pause, UNLOCK any halt. ACKNOWLEDGE: the person has seen the difference of `key`
    (`None`: of every key) and takes the broker's book for what it is.

    `is_anyway`: an order may leave although the book has not been read since the start; the person
    has looked that none is working already (decisions 2.7).
    """

    request: OperatorRequest
    reason: str
    position: int | None = None
    is_anyway: bool = False
    key: BrokerKey | None = None


JournalEvent = (
    Restarted
    | FactsLoaded
    | InstrumentsLoaded
    | PositionCarried
    | OrderAcknowledged
    | OrderUpdated
    | SendFailed
    | ForeignUpdated
    | Settled
    | GuardAnswered
    | FundsRead
    | BookRead
    | BookRepeated
    | ReadFailed
    | LinkChanged
    | JournalChanged
    | TokenChanged
    | AccountChecked
    | ClockChanged
    | ServiceChanged
    | ProjectionDiffers
    | StepFailed
    | StopAsked
    | TimerFired
    | OperatorAsked
)
"""Events that the journal keeps in full."""

TapeEvent = Tick | CandleLoaded | QuotesRead
"""Events that the tape keeps; the journal keeps their range and hash."""

AnyEvent = JournalEvent | TapeEvent
