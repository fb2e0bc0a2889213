"""What a client asks of an order, read and judged before anything is taken (dhan.md 1.9, 3.1)."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from holdfast.domain.instrument import Instrument, InstrumentId, Segment, instrument_id
from holdfast.domain.order import Side
from holdfast.simbroker.dhan.order import AccountOrder, DhanType
from holdfast.simbroker.dhan.route import Answer, bad_input, order_error

TAG: Final = re.compile(r"[A-Za-z0-9 _-]{1,25}")
"""What a correlation id may be: 25 characters as measured, the charset as documented (dhan.md 6)."""

PRODUCTS: Final = frozenset({"CNC", "INTRADAY", "MARGIN", "MTF", "CO", "BO"})
VALIDITIES: Final = frozenset({"DAY", "IOC"})
REQUIRED: Final = (
    "transactionType",
    "exchangeSegment",
    "productType",
    "orderType",
    "validity",
    "securityId",
)
NO_SUCH: Final = "Incorrect request for order and cannot be processed"
IN_TRANSIT: Final = "Order is in Transit state"
CLOSED_PLACE: Final = "Market is Closed! Want to place an offline order?"
CLOSED_CHANGE: Final = "Market is Closed! You cannot modify/cancel an order now."
SELL_TRIGGER: Final = "Trigger Price should be greater than Price"
BUY_TRIGGER: Final = "Trigger Price should be less than Price"
INVALID_IP: Final = "Invalid IP"
INVALID_PRICE: Final = "Invalid Price for orderType"


class Placing(msgspec.Struct, frozen=True, kw_only=True):
    """A new order as it was asked for: plain values, prices in paise, 0 where there is none."""

    instrument: InstrumentId
    side: str
    product: str
    order_type: str
    validity: str
    quantity: int
    disclosed_quantity: int
    price_paise: int
    trigger_paise: int
    correlation_id: str
    is_offline: bool


class Changing(msgspec.Struct, frozen=True, kw_only=True):
    """New terms of an order. `quantity` is its total (dhan.md 3.1)."""

    order_id: str
    order_type: str
    quantity: int
    price_paise: int
    trigger_paise: int
    validity: str


def paise(value: object) -> int | None:
    """Rupees as JSON tells them, in paise; 0 for nothing, `None` for what is no price."""
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    whole = round(value * 100)
    return whole if abs(value * 100 - whole) < 1e-4 else None


def whole(value: object) -> int | None:
    """A quantity; 0 for nothing, `None` for what is none."""
    if value is None:
        return 0
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    is_whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if is_whole and isinstance(value, int) else None


def quantity_objection(fields: Mapping[str, Any]) -> Answer | None:
    """The first thing that is judged: an empty body, then the quantity."""
    if not fields or set(fields) <= {"dhanClientId"} or "" in fields.values():
        return bad_input()
    if not whole(fields.get("quantity")):
        return bad_input("quantity is required")
    return None


def read_placing(
    fields: Mapping[str, Any], contracts: Mapping[InstrumentId, Instrument], *, client_id: str
) -> Placing | Answer:
    """A new order of a body whose quantity stands; or the no to it."""
    contract = contract_of(fields, contracts)
    words = {name: str(fields.get(name) or "") for name in REQUIRED}
    prices = [paise(fields.get(name)) for name in ("price", "triggerPrice")]
    tag = fields.get("correlationId")
    quantity, disclosed = whole(fields.get("quantity")), whole(fields.get("disclosedQuantity"))
    is_bad = (
        fields.get("dhanClientId") != client_id
        or not _are_words(words)
        or None in (*prices, quantity, disclosed)
        or (tag is not None and not (isinstance(tag, str) and TAG.fullmatch(tag)))
    )
    if is_bad or contract is None or contract.lot_size == 0:
        return bad_input()
    price, trigger = prices
    assert quantity is not None and disclosed is not None and price is not None  # noqa: PT018
    assert trigger is not None, "asked above"
    if quantity % contract.lot_size:
        return bad_input()
    placing = Placing(
        instrument=contract.id,
        side=words["transactionType"],
        product=words["productType"],
        order_type=words["orderType"],
        validity=words["validity"],
        quantity=quantity,
        disclosed_quantity=disclosed,
        price_paise=price,
        trigger_paise=trigger,
        correlation_id="" if tag is None else tag,
        is_offline=fields.get("afterMarketOrder") is True,
    )
    return price_objection(placing.order_type, Side(placing.side), price, trigger) or placing


def read_changing(fields: Mapping[str, Any], order: AccountOrder) -> Changing | Answer:
    """New terms for `order`; what the body leaves out stays. Or the no to it."""
    order_type = str(fields.get("orderType") or order.order_type)
    validity = str(fields.get("validity") or order.validity)
    quantity = whole(fields.get("quantity"))
    price, trigger = (paise(fields.get(name)) for name in ("price", "triggerPrice"))
    is_bad = order_type not in set(DhanType) or validity not in VALIDITIES or "" in fields.values()
    if is_bad or quantity is None or price is None or trigger is None:
        return bad_input()
    asked = Changing(
        order_id=order.order_id,
        order_type=order_type,
        quantity=quantity or order.quantity,
        price_paise=price or (order.price_paise if order_type != DhanType.MARKET else 0),
        trigger_paise=(trigger or order.trigger_paise) if order_type in STOPS else 0,
        validity=validity,
    )
    if asked.quantity % order.instrument.lot_size:
        return bad_input()
    no = price_objection(order_type, order.side, asked.price_paise, asked.trigger_paise)
    return no or asked


STOPS: Final = frozenset({DhanType.STOP_LOSS, DhanType.STOP_LOSS_MARKET})


def price_objection(order_type: str, side: Side, price: int, trigger: int) -> Answer | None:
    """The no to prices that do not belong to the type. Paise, 0 where there is none."""
    needs_price = order_type in {DhanType.LIMIT, DhanType.STOP_LOSS}
    if needs_price and price == 0:
        return bad_input(INVALID_PRICE)
    if order_type in STOPS and trigger == 0:
        return bad_input()
    if order_type != DhanType.STOP_LOSS:
        return None
    if side is Side.SELL and trigger < price:
        return order_error(SELL_TRIGGER)
    if side is Side.BUY and trigger > price:
        return order_error(BUY_TRIGGER)
    return None


def contract_of(
    fields: Mapping[str, Any], contracts: Mapping[InstrumentId, Instrument]
) -> Instrument | None:
    """The contract that a body names, `None` when the master lacks it."""
    segment, number = fields.get("exchangeSegment"), str(fields.get("securityId") or "")
    if segment not in set(Segment) or not number.isdecimal():
        return None
    return contracts.get(instrument_id(Segment(segment), int(number)))


def _are_words(words: Mapping[str, str]) -> bool:
    return (
        words["transactionType"] in set(Side)
        and words["productType"] in PRODUCTS
        and words["orderType"] in set(DhanType)
        and words["validity"] in VALIDITIES
    )
