"""Requests to a simulated broker: their names, what may lose them, what silence means to a client."""

from typing import Final, NamedTuple

from msgspec.structs import replace

from holdfast.brokers.memory import Request
from holdfast.domain.command import (
    BrokerKillSwitch,
    CancelOrder,
    ExitAll,
    FindOrder,
    GuardRequest,
    ModifyOrder,
    OrderRequest,
    PlaceOrder,
    ReadBook,
    ReadFunds,
    ReadQuotes,
    ReadRequest,
    SetLossExit,
)
from holdfast.domain.event import (
    BOOK,
    Action,
    Guard,
    GuardAnswered,
    Outcome,
    ReadFailed,
    SendFailed,
)
from holdfast.domain.market import Tick
from holdfast.domain.order import BrokerStatus, OrderRow, Purpose, Refusal
from holdfast.exchange.faults import FaultKind

_SECOND_NS: Final = 1_000_000_000
PLACE_TIMEOUT_NS: Final = 8 * _SECOND_NS
CHANGE_TIMEOUT_NS: Final = 2 * _SECOND_NS
READ_TIMEOUT_NS: Final = 5 * _SECOND_NS
"""How long the client waits for an answer before it calls the request unanswered (T3)."""

GUARDS: Final[dict[type[GuardRequest], Guard]] = {
    ExitAll: Guard.EXIT_ALL,
    BrokerKillSwitch: Guard.KILL_SWITCH,
    SetLossExit: Guard.LOSS_EXIT,
}
_ACTIONS: Final[dict[type[OrderRequest], Action]] = {
    PlaceOrder: Action.PLACE,
    ModifyOrder: Action.MODIFY,
    CancelOrder: Action.CANCEL,
}
_LOSSES: Final[dict[Action | Purpose, tuple[FaultKind, FaultKind]]] = {
    Purpose.ENTRY: (FaultKind.ENTRY_REQUEST_LOST, FaultKind.ENTRY_ANSWER_LOST),
    Purpose.EXIT: (FaultKind.EXIT_REQUEST_LOST, FaultKind.EXIT_ANSWER_LOST),
    Purpose.STOP: (FaultKind.STOP_REQUEST_LOST, FaultKind.STOP_ANSWER_LOST),
    Action.MODIFY: (FaultKind.MODIFY_REQUEST_LOST, FaultKind.MODIFY_ANSWER_LOST),
    Action.CANCEL: (FaultKind.CANCEL_REQUEST_LOST, FaultKind.CANCEL_ANSWER_LOST),
}


class Asked(NamedTuple):
    """A request on its way: its name (draws hang on it), when it left, over which connection.

    `heard_ns` is when we hear its answer; `None`: never, and what the client then makes of it is
    on its way already.
    """

    name: str
    at_ns: int
    connection: int
    heard_ns: int | None


def losses(command: OrderRequest) -> tuple[FaultKind, FaultKind]:
    """What loses the request, and what loses its answer."""
    if isinstance(command, PlaceOrder):
        return _LOSSES[command.purpose]
    return _LOSSES[_ACTIONS[type(command)]]


def subject(command: Request) -> str:
    """What a request is about: requests of one subject are numbered, and draws hang on that."""
    match command:
        case PlaceOrder() | ModifyOrder() | CancelOrder():
            return f"{_ACTIONS[type(command)].value}/{command.order_id}"
        case FindOrder():
            return f"find/{command.order_id}"
        case ExitAll() | BrokerKillSwitch() | SetLossExit():
            return "guard"
        case _:
            return what_of(command)


def what_of(command: ReadRequest) -> str:
    """What a failed read speaks of."""
    match command:
        case FindOrder():
            return f"order {command.order_id}"
        case ReadFunds():
            return "funds"
        case ReadBook():
            return BOOK
        case ReadQuotes():
            return "quotes"


def unanswered(command: Request, at_ns: int) -> SendFailed | GuardAnswered | ReadFailed:
    """What the client makes of no answer to a request of `at_ns`, stamped with its time-out."""
    reason = "time-out"
    match command:
        case PlaceOrder() | ModifyOrder() | CancelOrder():
            is_new = isinstance(command, PlaceOrder)
            return SendFailed(
                at_ns=at_ns + (PLACE_TIMEOUT_NS if is_new else CHANGE_TIMEOUT_NS),
                order_id=command.order_id,
                action=_ACTIONS[type(command)],
                outcome=Outcome.UNANSWERED,
                reason=reason,
            )
        case ExitAll() | BrokerKillSwitch() | SetLossExit():
            guard, late_ns = GUARDS[type(command)], at_ns + PLACE_TIMEOUT_NS
            return GuardAnswered(at_ns=late_ns, guard=guard, is_done=False, reason=reason)
        case _:
            late_ns = at_ns + READ_TIMEOUT_NS
            return ReadFailed(at_ns=late_ns, what=what_of(command), reason=reason)


def as_read(tick: Tick, at_ns: int) -> Tick:
    """A quote as a read answers it: the book and the last trade, no merged extremes."""
    return replace(
        tick,
        at_ns=at_ns,
        count=1,
        last_low_paise=None,
        last_high_paise=None,
        bid_low_paise=None,
        bid_high_paise=None,
        ask_low_paise=None,
        ask_high_paise=None,
    )


def as_if_dead(row: OrderRow, at_ns: int) -> OrderRow:
    """The stream's word for a refused modification, which reads like the order's end (T15)."""
    return replace(
        row,
        status=BrokerStatus.REJECTED,
        venue_at_ns=at_ns,
        refusal=Refusal.BAND,
        reason="Price is outside of the permitted range",
    )
