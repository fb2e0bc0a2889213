"""Commands out: each leaves once, and every id handed over is remembered.

Exits, cancels and stops wait for nothing but the broker's rate, and never behind anything else.
Entries leave when their intent is durable, a second after it was decided at most; nothing waits
with them, and nothing blocks. What surely did not leave is tried again here and nowhere else.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Final, NamedTuple, Protocol

import structlog

from holdfast.domain.command import (
    AnyCommand,
    CancelOrder,
    FindOrder,
    ModifyOrder,
    Notify,
    OrderRequest,
    PlaceOrder,
    ReadBook,
    ReadFunds,
    Severity,
    Subscribe,
)
from holdfast.domain.errors import HoldfastError
from holdfast.domain.event import (
    BOOK,
    Action,
    AnyEvent,
    BookRead,
    ForeignUpdated,
    FundsRead,
    Link,
    LinkChanged,
    OrderAcknowledged,
    OrderUpdated,
    Outcome,
    ReadFailed,
    SendFailed,
)
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.order import BrokerOrderId, OrderId, Purpose
from holdfast.exchange.draws import draw_within
from holdfast.ports import VenueDriver
from holdfast.runtime.breaker import FAILURES_MAX, WITHIN_NS, Breaker
from holdfast.runtime.outbox import Outbox, Waiting, category_of, is_ordinary
from holdfast.runtime.polls import Polls
from holdfast.runtime.rates import SECOND_NS, TRAVEL_NS, Category, Governor
from holdfast.runtime.tally import RouterCounts, Tally
from holdfast.store.records import Decided

_log = structlog.get_logger("router")

DURABLE_WAIT_S: Final = 1.0
DURABLE_WAIT_NS: Final = SECOND_NS
"""An entry whose intent is not on the disk by then does not leave: its price is gone."""

PATIENCE_NS: Final = SECOND_NS + TRAVEL_NS
"""So long ordinary traffic waits for the rate; a trailing stop that is later is stale (T7)."""

ATTEMPTS: Final = 3
RETRY_NS: Final = SECOND_NS // 5
"""What surely did not leave is tried so often, after so long at first, then twice that (ORT-1)."""

LATE_NS: Final = SECOND_NS // 10
UNSEEN_NS: Final = 3 * SECOND_NS
"""A placement that left `LATE_NS` after it was decided may be absent from a book read so soon (T3)."""

ALREADY: Final = "this id was already handed to the broker"
NOT_DURABLE: Final = "the journal could not make the intent durable"
NO_RATE: Final = "the share of ordinary traffic in the broker's rate is used up"
NO_PATH: Final = "the breaker of the order path is open"
STOPPING: Final = "the program is being stopped"
HALTED: Final = "entries were halted while it waited"
OUTDATED: Final = "the position's fills changed while it waited"


class DurableJournal(Protocol):
    """What the router asks of the journal before an entry leaves."""

    def wait_durable(self, sequence: int) -> Future[None]:
        """A future that is done once record `sequence` is on the disk."""
        ...


class Decider(Protocol):
    """What the router asks of the engine before something leaves that has waited."""

    @property
    def is_halted(self) -> bool:
        """Whether nothing may be entered any more."""
        ...

    def fills_of(self, position: int) -> int:
        """How many fills the position has had, 0 when it is not known."""
        ...

    def is_live(self, order_id: OrderId) -> bool:
        """Whether an order of this id could still fill, as far as the engine knows."""
        ...


class Sent(NamedTuple):
    """A request about orders that the journal tells of; `placed` is the id that it used up."""

    at_ns: int
    placed: OrderId | None


def sent_of(decided: Decided) -> tuple[Sent, ...]:
    """What of a recorded decision counts against the broker's rate of orders."""
    return tuple(
        Sent(decided.at_ns, one.order_id if isinstance(one, PlaceOrder) else None)
        for one in decided.commands
        if category_of(one) is Category.ORDERS
    )


class Router:
    """Hands commands to the venue; refuses to hand an order id over twice, whoever asks.

    Who drives it hands it every event before the engine takes it (`hear`), and calls `release` at
    `due_ns`; then time is its own only in so far as events are.
    """

    def __init__(
        self,
        venue: VenueDriver,
        journal: DurableJournal,
        fail: Callable[[AnyEvent], None],
        *,
        notify: Callable[[Notify], None] = lambda _notify: None,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """`fail` hears of what did not leave, `notify` of what people should know.

        `wake` is called, on whatever thread, when what was waited for is on the disk.
        """
        self._venue = venue
        self._journal = journal
        self._fail = fail
        self._notify = notify
        self._wake = wake
        self._engine: Decider | None = None
        self._governor = Governor()
        self._outbox = Outbox(self._governor)
        self._breaker = Breaker()
        self._polls = Polls()
        self._tally = Tally()
        self._placed: set[OrderId] = set()
        self._known: set[BrokerOrderId] = set()
        self._out: dict[tuple[OrderId, Action], Waiting] = {}
        self._left_ns: dict[OrderId, int] = {}
        self._late_ns: int | None = None
        self._is_line_up = False
        self._want: Callable[[Sequence[InstrumentId]], None] | None = None
        self._later: Callable[[Callable[[], None]], object] = _at_once
        self.sent = 0

    # -- what it is told at a start

    def want_by(self, want: Callable[[Sequence[InstrumentId]], None]) -> None:
        """Tell `want` which instruments the engine would hear of; without it the venue is told."""
        self._want = want

    def log_by(self, later: Callable[[Callable[[], None]], object]) -> None:
        """Have `later` write the line of what was sent; without it that is done at once.

        Where the venue sends by a task, at once is before a byte has left.
        """
        self._later = later

    def check_by(self, engine: Decider) -> None:
        """Ask `engine` whether what has waited is still wanted."""
        self._engine = engine

    def remember(self, order_ids: Iterable[OrderId]) -> None:
        """Ids that the broker has had, from the record or from its book: none is sent again."""
        self._placed.update(order_ids)

    def resume(self, sent: Iterable[Sent]) -> None:
        """What processes before this one sent today: its ids and its share of the rate are used."""
        for one in sent:
            self._governor[Category.ORDERS].take(one.at_ns)
            if one.placed is not None:
                self._placed.add(one.placed)

    # -- commands

    def execute(self, command: AnyCommand, *, sequence: int, at_ns: int) -> None:
        """Send one command, decided in journal record `sequence` at `at_ns`; now, if it may."""
        match command:
            case PlaceOrder():
                self._place(command, sequence, at_ns)
            case Subscribe():
                self._subscribe(command, at_ns)
                return
            case Notify():
                level = "warning" if command.severity is Severity.ALARM else "info"
                getattr(_log, level)("notify", severity=command.severity.value, text=command.text)
                self._notify(command)
                return
            case FindOrder() if command.is_poll and not self._may_poll(command.order_id, at_ns):
                self._tally.polls += 1
                return
            case ModifyOrder() if command.is_ordinary:
                self._trail(command, at_ns)
            case _:
                self._outbox.put(Waiting(command, at_ns))
        self.release(at_ns)

    def _subscribe(self, command: Subscribe, at_ns: int) -> None:
        if self._want is None:
            self._venue.submit(command, at_ns)
        else:
            self._want(command.instruments)

    def _may_poll(self, order_id: OrderId, at_ns: int) -> bool:
        """A poll is worth something now or not at all: the next one comes in a second."""
        free_ns = self._governor[Category.READS].free_ns(is_ordinary=True)
        is_free = self._breaker.is_closed and free_ns <= at_ns
        return is_free and self._polls.may_poll(order_id, at_ns)

    def _place(self, command: PlaceOrder, sequence: int, at_ns: int) -> None:
        if command.order_id in self._placed:
            self._tally.repeated += 1
            self._give_back(command, at_ns, ALREADY)
        elif command.purpose is not Purpose.ENTRY:
            self._placed.add(command.order_id)
            self._outbox.put(Waiting(command, at_ns))
        else:
            self._enter(command, sequence, at_ns)

    def _enter(self, command: PlaceOrder, sequence: int, at_ns: int) -> None:
        """Entries are refused at once where they cannot leave now; only the disk may take a moment."""
        one = Waiting(command, at_ns)
        if not self._breaker.is_closed:
            self._give_back(command, at_ns, NO_PATH)
        elif self._outbox.free_ns(one) > at_ns:
            self._tally.refused += 1
            self._give_back(command, at_ns, NO_RATE)
        else:
            self._placed.add(command.order_id)
            one.durable = self._journal.wait_durable(sequence)
            self._outbox.put(one)
            if one.is_held:
                one.durable.add_done_callback(lambda _done: self._wake())

    def _trail(self, command: ModifyOrder, at_ns: int) -> None:
        """A stop that trails may wait for the rate, a moment only: then its price is stale."""
        one = Waiting(command, at_ns, until_ns=at_ns + PATIENCE_NS)
        if self._outbox.free_ns(one) > at_ns + PATIENCE_NS and not self._outbox.has_change(
            command.order_id
        ):
            self._tally.refused += 1
            self._give_back(command, at_ns, NO_RATE)
        else:
            self._outbox.put(one)

    # -- their turn

    @property
    def due_ns(self) -> int | None:
        """When to call `release` next; `None` when nothing waits but for the disk."""
        waiting_ns, probe_ns = self._outbox.due_ns, self._breaker.due_ns
        if waiting_ns is None or probe_ns is None:
            return probe_ns if waiting_ns is None else waiting_ns
        return min(waiting_ns, probe_ns)

    @property
    def is_holding(self) -> bool:
        """Whether an entry waits for the disk."""
        return self._outbox.is_holding

    def hold_from(self, now_ns: int, *, within_ns: int = DURABLE_WAIT_NS) -> None:
        """An entry that waits for the disk does so for a second from now, unless it does already.

        Whoever drives calls it after each event: how much of the market's time passes before the
        next one says nothing of the disk.
        """
        for one in self._outbox:
            if one.is_held and one.until_ns is None:
                one.until_ns = now_ns + within_ns

    def release(self, now_ns: int) -> None:
        """Let go what may leave by now, exits first, and give back what can not any more."""
        if self._breaker.turn(now_ns):
            self._submit(Waiting(ReadFunds(), now_ns), now_ns)
        while (one := self._outbox.pop_due(now_ns)) is not None:
            if self._outbox.may_leave(one, now_ns):
                self._let_go(one, now_ns)
            else:
                self._expire(one, now_ns)
        for one in self._outbox:
            one.has_waited = True

    def give_back_entries(self, at_ns: int, reason: str = STOPPING) -> None:
        """Nothing that waits may open anything any more."""
        for one in self._outbox.pop_entries():
            self._return(one, at_ns, reason)

    def _expire(self, one: Waiting, now_ns: int) -> None:
        is_held = one.is_held
        self._tally.refused += not is_held
        self._return(one, now_ns, NOT_DURABLE if is_held else NO_RATE)

    def _let_go(self, one: Waiting, now_ns: int) -> None:
        """Send it, unless it turns out that it must not leave (any more)."""
        command = one.command
        if one.durable is not None and one.durable.exception() is not None:
            self._return(one, now_ns, NOT_DURABLE)
        elif not one.has_waited or not isinstance(command, OrderRequest) or self._engine is None:
            self._submit(one, now_ns)
        elif not self._engine.is_live(command.order_id):
            self._tally.dropped += 1
            _log.warning("not wanted any more", order_id=command.order_id)
        elif _is_entry(command) and self._engine.is_halted:
            self._return(one, now_ns, HALTED)
        elif _is_outdated(command, self._engine):
            self._tally.outdated += 1
            self._give_back(command, now_ns, OUTDATED, is_outdated=True)
        else:
            self._submit(one, now_ns)

    def _submit(self, one: Waiting, at_ns: int) -> None:
        """Send it. It never raises: a venue that does has not answered."""
        command = one.command
        self.sent += 1
        self._governor[category_of(command)].take(at_ns, one.cost)
        if isinstance(command, FindOrder):
            self._polls.ask(command.order_id, at_ns, is_poll=command.is_poll)
        elif isinstance(command, OrderRequest):
            self._note(one, command, at_ns)
        try:
            self._venue.submit(command, at_ns)
        except (OSError, HoldfastError) as error:
            self._take_fault(command, at_ns, error)
        else:
            self._later(partial(_tell, command, at_ns))

    def _take_fault(self, command: AnyCommand, at_ns: int, error: Exception) -> None:
        """The venue raised instead of answering: it may have left all the same (ORT-3)."""
        reason = f"{type(error).__name__}: {error}"
        _log.error("a request failed", command=type(command).__name__, reason=reason)
        failed: AnyEvent | None
        if isinstance(command, OrderRequest | FindOrder):
            outcome, order_id = Outcome.UNANSWERED, command.order_id
            action = Action.FIND if isinstance(command, FindOrder) else action_of(command)
            failed = SendFailed(
                at_ns=at_ns, order_id=order_id, action=action, outcome=outcome, reason=reason
            )
        else:
            what = BOOK if isinstance(command, ReadBook) else type(command).__name__
            failed = ReadFailed(at_ns=at_ns, what=what, reason=reason)
        failed = self.hear(failed)
        if failed is not None:
            self._fail(failed)

    def _note(self, one: Waiting, command: OrderRequest, at_ns: int) -> None:
        """Remember what is out: the same may have to be sent again."""
        one.attempts += 1
        one.left_ns = at_ns
        self._out[command.order_id, action_of(command)] = one
        if isinstance(command, CancelOrder):
            self._out.pop((command.order_id, Action.MODIFY), None)
        elif isinstance(command, PlaceOrder):
            self._left_ns[command.order_id] = at_ns
            if at_ns - one.at_ns >= LATE_NS:
                self._late_ns = at_ns

    def _return(self, one: Waiting, at_ns: int, reason: str) -> None:
        """Give back what never left. Its id may be asked for again."""
        assert isinstance(one.command, OrderRequest), "only these are given back"
        if isinstance(one.command, PlaceOrder):
            self._placed.discard(one.command.order_id)
        self._give_back(one.command, at_ns, reason)

    def _give_back(
        self, command: OrderRequest, at_ns: int, reason: str, *, is_outdated: bool = False
    ) -> None:
        _log.error("order not sent", order_id=command.order_id, reason=reason)
        self._fail(
            SendFailed(
                at_ns=at_ns,
                order_id=command.order_id,
                action=action_of(command),
                outcome=Outcome.NOT_SENT,
                reason=reason,
                is_outdated=is_outdated,
            )
        )

    # -- what is heard

    def hear(self, event: AnyEvent) -> AnyEvent | None:
        """Take notice of an event before the engine does; returns what the engine is to hear of it.

        `None`: nothing. That is so for what is tried again, and for what tells nothing new.
        """
        match event:
            case SendFailed():
                return self._hear_failure(event)
            case OrderUpdated():
                return self._hear_word(event)
            case BookRead():
                return self._hear_book(event)
            case LinkChanged() if event.link is Link.ORDERS:
                self._is_line_up = event.is_up
                return event if self._breaker.is_closed else None
            case _:
                self._note_answer(event)
                return event

    def _note_answer(self, event: AnyEvent) -> None:
        match event:
            case OrderAcknowledged():
                self._hear_answer(event.order_id, event.at_ns)
            case FundsRead():
                self._answered(event.at_ns, is_order=False)
            case ForeignUpdated():
                self._count(event.row.broker_id, event.at_ns)
            case ReadFailed() if event.what.startswith("order "):
                self._polls.miss(OrderId(event.what.removeprefix("order ")))
            case _:
                pass

    def _hear_failure(self, event: SendFailed) -> AnyEvent | None:
        one = self._out.pop((event.order_id, event.action), None)
        if event.action is Action.FIND:
            self._polls.miss(event.order_id)
        if event.outcome is Outcome.REFUSED:
            self._answered(event.at_ns, is_order=True)
            return event
        self._tally.failed += 1
        if event.outcome is Outcome.NOT_SENT and one is not None:
            # An outage of minutes must not take the hour's requests from the exits after it.
            self._governor[category_of(one.command)].give_back(one.left_ns)
        if self._breaker.fail(event.at_ns):
            self._tell_open(event.at_ns)
        if event.outcome is Outcome.NOT_SENT and one is not None and _is_tried_again(one):
            self._try_again(one, event.at_ns)
            return None
        return event

    def _try_again(self, one: Waiting, at_ns: int) -> None:
        """No byte of it left: it is sent again after a while, unless something newer waits."""
        command = one.command
        assert isinstance(command, OrderRequest), "only these are tried again"
        if self._outbox.has_change(command.order_id):
            self._tally.dropped += 1
            return
        self._tally.retried += 1
        one.from_ns = at_ns + retry_ns(f"{action_of(command)}/{command.order_id}", one.attempts)
        one.has_waited = True
        self._outbox.put(one)

    def _hear_answer(self, order_id: OrderId, at_ns: int) -> None:
        """The broker took a placement."""
        self._out.pop((order_id, Action.PLACE), None)
        left_ns = self._left_ns.pop(order_id, None)
        if left_ns is not None:
            self._tally.answered += 1
            self._tally.slowest_ns = max(self._tally.slowest_ns, at_ns - left_ns)
        self._answered(at_ns, is_order=True)

    def _hear_word(self, event: OrderUpdated) -> AnyEvent | None:
        if event.is_read:
            self._answered(event.at_ns, is_order=False)
        at_ns = min(event.row.venue_at_ns, event.at_ns)
        self._count_own(event.row.order_id, event.row.broker_id, at_ns)
        if self._polls.is_news(event):
            return event
        self._tally.answers += 1
        return None

    def _hear_book(self, event: BookRead) -> AnyEvent:
        """A book in which an order cannot stand yet that left late would make it look absent."""
        self._answered(event.at_ns, is_order=False)
        for row in event.orders:
            self._count_own(row.order_id, row.broker_id, min(row.venue_at_ns, event.at_ns))
        self.remember(row.order_id for row in event.orders)
        for foreign in event.foreign:
            self._count(foreign.broker_id, event.began_at_ns - SECOND_NS)
        if self._late_ns is None or event.began_at_ns >= self._late_ns + UNSEEN_NS:
            return event
        return ReadFailed(at_ns=event.at_ns, what=BOOK, reason="an order had only just left")

    def _count_own(self, order_id: OrderId, broker_id: BrokerOrderId, at_ns: int) -> None:
        """An order of ours that this process did not send, and its record does not tell of."""
        if order_id in self._placed:
            self._known.add(broker_id)
        else:
            self._count(broker_id, at_ns)

    def _count(self, broker_id: BrokerOrderId, at_ns: int) -> None:
        """An order that somebody else sent takes from the same rate, once."""
        if broker_id not in self._known:
            self._known.add(broker_id)
            self._governor[Category.ORDERS].take(at_ns)

    # -- the breaker

    def _answered(self, at_ns: int, *, is_order: bool) -> None:
        if self._breaker.answer(at_ns, is_order=is_order):
            _log.info("the breaker of the order path closed")
            if self._is_line_up:
                reason = "the breaker closed"
                self._fail(LinkChanged(at_ns=at_ns, link=Link.ORDERS, is_up=True, reason=reason))

    def _tell_open(self, at_ns: int) -> None:
        """Journaled as the order path being down: nothing is entered, and protection counts anew."""
        reason = f"{FAILURES_MAX} calls failed within {WITHIN_NS // SECOND_NS} s"
        _log.error("the breaker of the order path opened", reason=reason)
        self._notify(Notify(severity=Severity.ALARM, text=f"{NO_PATH}: {reason}"))
        self._fail(LinkChanged(at_ns=at_ns, link=Link.ORDERS, is_up=False, reason=reason))

    # -- what is asked of it

    def counts(self, now_ns: int) -> RouterCounts:
        """What it did, for people."""
        tally = self._tally
        second, minute, hour, day = self._governor[Category.ORDERS].used(now_ns)
        return RouterCounts(
            waiting=len(self._outbox),
            refused=tally.refused,
            merged=self._outbox.merged,
            retried=tally.retried,
            outdated=tally.outdated,
            dropped=tally.dropped,
            repeated=tally.repeated,
            failed=tally.failed,
            polls_left_out=tally.polls,
            answers_left_out=tally.answers,
            answered=tally.answered,
            slowest_ms=tally.slowest_ns // 1_000_000,
            breaker=self._breaker.state.value,
            breaker_opened=self._breaker.opened,
            used=(second, minute, hour, day),
        )


def retry_ns(name: str, attempts: int) -> int:
    """How long to wait after so many attempts: doubled each time, a quarter more or less by chance.

    The chance is a hash of what is sent, so that it is the same in a replay.
    """
    quarter = RETRY_NS // 4
    spread = draw_within(0, "retry", f"{name}/{attempts}", low=-quarter, high=quarter)
    return (RETRY_NS + spread) << (attempts - 1)


def action_of(command: OrderRequest) -> Action:
    """What a command asks of the broker."""
    match command:
        case PlaceOrder():
            return Action.PLACE
        case ModifyOrder():
            return Action.MODIFY
        case CancelOrder():
            return Action.CANCEL


def _is_entry(command: OrderRequest) -> bool:
    return isinstance(command, PlaceOrder) and command.purpose is Purpose.ENTRY


def _is_tried_again(one: Waiting) -> bool:
    """Whether it belongs to an exit, a stop or a cancel, and was not tried too often (ORT-1)."""
    return not is_ordinary(one.command) and one.attempts < ATTEMPTS


def _is_outdated(command: OrderRequest, engine: Decider) -> bool:
    """Whether its position's fills are others than when it was decided (GWL-4, RACE-2)."""
    if isinstance(command, CancelOrder) or command.fills_seen is None or command.position is None:
        return False
    return engine.fills_of(command.position) != command.fills_seen


def _at_once(line: Callable[[], None]) -> None:
    line()


def _tell(command: AnyCommand, at_ns: int) -> None:
    """What changes something at the broker is a line of the log, after it left."""
    if not isinstance(command, OrderRequest):
        return
    say = partial(_log.info, type(command).__name__, order_id=command.order_id, market_at_ns=at_ns)
    if isinstance(command, CancelOrder):
        say()
        return
    terms = command.terms
    say(
        side=terms.side.value,
        quantity=terms.quantity,
        instrument=terms.instrument,
        order_type=terms.order_type.value,
        limit_paise=terms.limit_paise,
        trigger_paise=terms.trigger_paise,
    )
