"""Requests about orders as the broker takes them, and what its answers to them say (dhan.md 3.1).

Only LIMIT and STOP_LOSS can be built: there is no word here for an order without a price. Only fields
that apply are sent; an empty text is refused by the broker.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import quote

from holdfast.brokers.dhan.errors import refusal_of, text_of
from holdfast.brokers.dhan.rest import Answer, CallKind, Failed, Reply
from holdfast.core.orders.ids import LENGTH_MAX
from holdfast.domain.command import CancelOrder, ModifyOrder, PlaceOrder
from holdfast.domain.event import Action, OrderAcknowledged, Outcome, SendFailed
from holdfast.domain.instrument import Instrument
from holdfast.domain.order import BrokerOrderId, OrderTerms, OrderType

_WORDS: Final[Mapping[OrderType, str]] = {
    OrderType.LIMIT: "LIMIT",
    OrderType.STOP_LIMIT: "STOP_LOSS",
}
_ID: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{LENGTH_MAX}}}")
"""What the broker takes as our id, and a path as a part of it (dhan.md 6)."""

_NUMBER: Final = re.compile(r"[0-9A-Za-z]{1,40}")
_LEG: Final = "ENTRY_LEG"
_NO: Final = range(400, 500)
_MAYBE: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, 499})
"""Statuses of a 4xx that do not say whether the request was done: its time had passed."""

Change = PlaceOrder | ModifyOrder | CancelOrder


class Call(NamedTuple):
    """One call about an order."""

    method: str
    path: str
    body: Mapping[str, object] | None
    kind: CallKind


def rupees(paise: int) -> Decimal:
    """Exactly the same in rupees: 13120 is 131.20."""
    return Decimal(paise).scaleb(-2)


def place_call(command: PlaceOrder, contract: Instrument, client_id: str) -> Call:
    """A new order. Raises `ValueError` when our id is not one that the broker can give back."""
    if _ID.fullmatch(command.order_id) is None:
        raise ValueError(f"{command.order_id!r} is no id that the broker takes")
    terms = command.terms
    if contract.id != terms.instrument:
        raise ValueError(f"{contract.id} is not {terms.instrument}")
    body = {
        "dhanClientId": client_id,
        "correlationId": command.order_id,
        "transactionType": terms.side.value,
        "exchangeSegment": contract.segment.value,
        "productType": terms.product.value,
        "validity": "DAY",
        "securityId": str(contract.security_id),
        "afterMarketOrder": False,
        **_wanted(terms),
    }
    return Call("POST", "/orders", body, CallKind.PLACE)


def modify_call(command: ModifyOrder, client_id: str) -> Call:
    """New terms for an order; `quantity` is its total, filled part included. Raises `ValueError`."""
    number = checked_number(command.broker_id)
    body = {
        "dhanClientId": client_id,
        "orderId": number,
        "legName": _LEG,
        "validity": "DAY",
        **_wanted(command.terms),
    }
    return Call("PUT", f"/orders/{number}", body, CallKind.CHANGE)


def cancel_call(command: CancelOrder) -> Call:
    """The end of what is left of an order. Raises `ValueError`."""
    return Call("DELETE", f"/orders/{checked_number(command.broker_id)}", None, CallKind.CHANGE)


def checked_number(broker_id: BrokerOrderId) -> str:
    """A number of the broker's as a part of a path. Raises `ValueError`: another call would go out."""
    if _NUMBER.fullmatch(broker_id) is None:
        raise ValueError(f"{broker_id!r} is no number of an order")
    return quote(broker_id, safe="")


def _wanted(terms: OrderTerms) -> dict[str, object]:
    """A trigger stands on stops only: with LIMIT it is refused, or the old one stays (T2)."""
    wanted: dict[str, object] = {
        "orderType": _WORDS[terms.order_type],
        "quantity": terms.quantity,
        "price": rupees(terms.limit_paise),
    }
    if terms.trigger_paise is not None:
        wanted["triggerPrice"] = rupees(terms.trigger_paise)
    return wanted


def action_of(command: Change) -> Action:
    """What a command asks of the broker."""
    match command:
        case PlaceOrder():
            return Action.PLACE
        case ModifyOrder():
            return Action.MODIFY
        case CancelOrder():
            return Action.CANCEL


def answered(command: Change, reply: Reply) -> OrderAcknowledged | SendFailed:
    """What the reply to a command means: taken, refused, never sent, or nobody knows."""
    if isinstance(reply, Failed):
        return _failed(command, reply.outcome, reply.reason, at_ns=reply.at_ns)
    if not reply.is_ok:
        return _denied(command, reply)
    if isinstance(command, PlaceOrder):
        return _placed(command, reply)
    complaint = text_of(reply.payload)  # an error may come as HTTP 200 (dhan.md 1.10)
    if complaint:
        return _refused(command, complaint, at_ns=reply.at_ns)
    return OrderAcknowledged(
        at_ns=reply.at_ns, order_id=command.order_id, broker_id=command.broker_id
    )


def _placed(command: PlaceOrder, reply: Answer) -> OrderAcknowledged | SendFailed:
    """It is taken when there is a number; a success without one may be an order all the same."""
    row = reply.payload
    if isinstance(row, list) and len(row) == 1:
        row = row[0]
    number = row.get("orderId") if isinstance(row, dict) else None
    if isinstance(number, int) and not isinstance(number, bool):
        number = str(number)
    if isinstance(number, str) and _NUMBER.fullmatch(number) and number != "0":
        broker_id = BrokerOrderId(number)
        return OrderAcknowledged(at_ns=reply.at_ns, order_id=command.order_id, broker_id=broker_id)
    said = text_of(reply.payload) or "without an order's number"
    reason = f"HTTP {reply.status}: {said}"
    return _failed(command, Outcome.UNANSWERED, reason, at_ns=reply.at_ns)


def _denied(command: Change, reply: Answer) -> SendFailed:
    """Only a 4xx that says why is a no; behind any other status the request may be done (dhan.md 6)."""
    complaint = text_of(reply.payload)
    if complaint and reply.status in _NO and reply.status not in _MAYBE:
        return _refused(command, complaint, at_ns=reply.at_ns)
    reason = f"HTTP {reply.status}: {complaint}" if complaint else f"HTTP {reply.status}"
    return _failed(command, Outcome.UNANSWERED, reason, at_ns=reply.at_ns)


def _refused(command: Change, complaint: str, *, at_ns: int) -> SendFailed:
    return SendFailed(
        at_ns=at_ns,
        order_id=command.order_id,
        action=action_of(command),
        outcome=Outcome.REFUSED,
        refusal=refusal_of(complaint),
        reason=complaint,
    )


def _failed(command: Change, outcome: Outcome, reason: str, *, at_ns: int) -> SendFailed:
    return SendFailed(
        at_ns=at_ns,
        order_id=command.order_id,
        action=action_of(command),
        outcome=outcome,
        reason=reason,
    )
