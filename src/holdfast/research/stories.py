"""What happened to each signal, position and order, gathered from the journal in one pass."""

from typing import Any

import msgspec

from holdfast.domain.audit import (
    AnyAudit,
    Denied,
    EntryEnded,
    ExitDecided,
    FillsCorrected,
    IntentFormed,
    LevelMoved,
    PositionClosed,
    PositionResumed,
    ProtectionLost,
    ProtectionVerified,
    ReducedOutside,
    SignalSeen,
    StalePolicyActed,
)
from holdfast.domain.command import (
    AnyCommand,
    CancelOrder,
    FindOrder,
    ModifyOrder,
    PlaceOrder,
)
from holdfast.domain.decision import Denial, Intent, Signal
from holdfast.domain.event import (
    Action,
    InstrumentsLoaded,
    OrderAcknowledged,
    OrderUpdated,
    Outcome,
    SendFailed,
)
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.order import BrokerStatus, OrderId, OrderTerms, Purpose
from holdfast.store.records import Decided, Record


class Asked(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """We asked the broker something about an order; `terms` where the request carries them."""

    at_ns: int
    action: Action
    terms: OrderTerms | None


class Looked(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """We read the order's row, once a second while it lives: so many times until something was new."""

    at_ns: int
    until_ns: int
    times: int


class Answered(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The broker gave the order its number."""

    at_ns: int
    broker_id: str


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A request did not succeed."""

    at_ns: int
    action: Action
    outcome: Outcome
    reason: str


class Heard(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The broker's word about an order that said something new. Quantities are cumulative."""

    at_ns: int
    venue_at_ns: int
    status: BrokerStatus
    terms: OrderTerms
    filled_quantity: int
    filled_value_paise: int
    reason: str


Turn = Asked | Looked | Answered | Failed | Heard
"""One turn in the talk with the broker about an order."""


class OrderStory(msgspec.Struct, frozen=True, kw_only=True):
    """One order, from why it exists to its end."""

    order_id: OrderId
    purpose: Purpose
    turns: tuple[Turn, ...]


AnyMoment = (
    ProtectionVerified
    | ProtectionLost
    | LevelMoved
    | StalePolicyActed
    | ExitDecided
    | EntryEnded
    | ReducedOutside
    | PositionClosed
    | FillsCorrected
)
"""What is told about a position after its intent."""


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """Something told about a position, and when it was decided or found."""

    at_ns: int
    audit: AnyMoment


class SignalStory(msgspec.Struct, frozen=True, kw_only=True):
    """One signal and its one outcome: a denial, or the number of the position it became."""

    number: int
    at_ns: int
    signal: Signal
    denial: Denial | None
    position: int | None


class PositionStory(msgspec.Struct, frozen=True, kw_only=True):
    """One intent and all that followed from it; `resumed`: an earlier day had left it open."""

    at_ns: int
    intent: Intent
    resumed: PositionResumed | None
    orders: tuple[OrderStory, ...]
    moments: tuple[Moment, ...]


class Stories:
    """The fold. Feed it every record in order, then ask."""

    def __init__(self) -> None:
        self._symbols: dict[InstrumentId, str] = {}
        self._signals: dict[str, tuple[int, Signal]] = {}
        self._denials: dict[str, Denial] = {}
        self._intents: dict[int, tuple[int, Intent]] = {}
        self._resumed: dict[int, PositionResumed] = {}
        self._moments: dict[int, list[Moment]] = {}
        self._orders: dict[OrderId, PlaceOrder] = {}
        self._turns: dict[OrderId, list[Turn]] = {}
        self._last_word: dict[OrderId, tuple[Any, ...]] = {}

    def take(self, record: Record) -> None:
        """Records that concern no signal, position or order are passed over."""
        match record:
            case Decided():
                for audit in record.audits:
                    self._take_audit(audit, record.at_ns)
                for command in record.commands:
                    self._take_command(command, record.at_ns)
            case InstrumentsLoaded():
                self._symbols.update((row.id, row.symbol) for row in record.instruments)
            case OrderAcknowledged() | OrderUpdated() | SendFailed():
                self._take_answer(record)
            case _:
                pass

    def symbol(self, instrument: InstrumentId) -> str:
        """The contract's name; its key where no master told it."""
        return self._symbols.get(instrument, instrument)

    def signals(self) -> tuple[SignalStory, ...]:
        """In the order in which they came, numbered from 1."""
        entered = {intent.signal.id: number for number, (_, intent) in self._intents.items()}
        return tuple(
            SignalStory(
                number=number,
                at_ns=at_ns,
                signal=signal,
                denial=self._denials.get(signal.id),
                position=entered.get(signal.id),
            )
            for number, (at_ns, signal) in enumerate(self._signals.values(), start=1)
        )

    def position_of(self, order: str) -> int | None:
        """The position an order belongs to."""
        placed = self._orders.get(OrderId(order))
        return placed.position if placed else None

    def position(self, number: int) -> PositionStory | None:
        """One position's story so far."""
        if number not in self._intents:
            return None
        at_ns, intent = self._intents[number]
        orders = (placed for placed in self._orders.values() if placed.position == number)
        return PositionStory(
            at_ns=at_ns,
            intent=intent,
            resumed=self._resumed.get(number),
            orders=tuple(
                OrderStory(
                    order_id=placed.order_id,
                    purpose=placed.purpose,
                    turns=tuple(self._turns[placed.order_id]),
                )
                for placed in orders
            ),
            moments=tuple(self._moments.get(number, ())),
        )

    def _take_audit(self, audit: AnyAudit, at_ns: int) -> None:
        match audit:
            case SignalSeen(signal=signal):
                self._signals[signal.id] = (at_ns, signal)
            case Denied(signal=signal, denial=denial):
                self._denials[signal.id] = denial
            case IntentFormed(intent=intent):
                self._intents[intent.position] = (at_ns, intent)
            case PositionResumed(intent=intent):
                self._signals.setdefault(intent.signal.id, (at_ns, intent.signal))
                self._intents[intent.position] = (at_ns, intent)
                self._resumed[intent.position] = audit
            case _ if isinstance(audit, AnyMoment):
                told = Moment(at_ns=at_ns, audit=audit)
                self._moments.setdefault(audit.position, []).append(told)
            case _:
                pass

    def _take_command(self, command: AnyCommand, at_ns: int) -> None:
        match command:
            case PlaceOrder(terms=terms):
                self._orders[command.order_id] = command
                asked = Asked(at_ns=at_ns, action=Action.PLACE, terms=terms)
            case ModifyOrder(terms=terms):
                asked = Asked(at_ns=at_ns, action=Action.MODIFY, terms=terms)
            case CancelOrder():
                asked = Asked(at_ns=at_ns, action=Action.CANCEL, terms=None)
            case FindOrder():
                self._look(command.order_id, at_ns)
                return
            case _:
                return
        self._say(command.order_id, asked)

    def _look(self, order: OrderId, at_ns: int) -> None:
        turns = self._turns.setdefault(order, [])
        if turns and isinstance(before := turns[-1], Looked):
            turns[-1] = msgspec.structs.replace(before, until_ns=at_ns, times=before.times + 1)
        else:
            turns.append(Looked(at_ns=at_ns, until_ns=at_ns, times=1))

    def _take_answer(self, event: OrderAcknowledged | OrderUpdated | SendFailed) -> None:
        at_ns = event.at_ns
        match event:
            case OrderAcknowledged():
                self._say(event.order_id, Answered(at_ns=at_ns, broker_id=event.broker_id))
            case SendFailed():
                why = event.reason or (event.refusal.value if event.refusal else "")
                self._say(
                    event.order_id,
                    Failed(at_ns=at_ns, action=event.action, outcome=event.outcome, reason=why),
                )
            case OrderUpdated():
                self._hear(event)

    def _hear(self, event: OrderUpdated) -> None:
        """Polled rows mostly repeat themselves: only a new word is part of the story."""
        row = event.row
        word = (row.status, row.terms, row.filled_quantity, row.filled_value_paise, row.reason)
        if self._last_word.get(row.order_id) == word:
            return
        self._last_word[row.order_id] = word
        self._say(
            row.order_id,
            Heard(
                at_ns=event.at_ns,
                venue_at_ns=row.venue_at_ns,
                status=row.status,
                terms=row.terms,
                filled_quantity=row.filled_quantity,
                filled_value_paise=row.filled_value_paise,
                reason=row.reason,
            ),
        )

    def _say(self, order: OrderId, turn: Turn) -> None:
        self._turns.setdefault(order, []).append(turn)
