"""An order of the account as the order updates tell it (dhan.md 5), exactly as the samples do.

Names are camelCase, statuses begin with a capital, and a number that is zero is not there at all.
"""

from typing import Any, Final

from holdfast.domain.instrument import Instrument, Segment
from holdfast.facts.ist import OFFSET_NS, SECOND_NS, ist_date
from holdfast.simbroker.dhan.instruments import display_name, instrument_word, trading_symbol
from holdfast.simbroker.dhan.order import (
    CONFIRMED,
    TRADE_CONFIRMED,
    AccountOrder,
    DhanType,
    Status,
)
from holdfast.simbroker.dhan.quotes import rupees

NEVER: Final = "0001-01-01 00:00:00"
SYMBOL_SIZE: Final = 15
"""Symbols of derivatives are cut off here: `NIFTY-Mar2025-2`."""

_PRODUCTS: Final = {"CNC": "C", "INTRADAY": "I", "MARGIN": "M", "MTF": "F", "CO": "V", "BO": "B"}
_TYPES: Final = {
    DhanType.LIMIT: "LMT",
    DhanType.MARKET: "MKT",
    DhanType.STOP_LOSS: "SL",
    DhanType.STOP_LOSS_MARKET: "SLM",
}
_WORDS: Final = {
    Status.TRANSIT: "Transit",
    Status.PENDING: "Pending",
    Status.PART_TRADED: "Pending",  # no real frame was ever seen; decide by quantities (dhan.md 5)
    Status.TRIGGERED: "Pending",
    Status.TRADED: "Traded",
    Status.REJECTED: "Rejected",
    Status.CANCELLED: "Cancelled",
    Status.EXPIRED: "Expired",
}
_ALWAYS: Final = frozenset({"legNo", "lotSize", "multiplier", "tickSize"})
"""Numbers that are never zero, and stand in every message."""


def order_alert(
    row: AccountOrder, *, client_id: str, last_paise: int, decimals: int | None = None
) -> dict[str, Any]:
    """One message. `last_paise` is the price of the moment, `decimals` how means are rounded."""
    told = {**_order(row, client_id), **_quantities(row, decimals), **_times(row)}
    told |= _contract(row.instrument)
    told["refLtp"] = rupees(last_paise)
    ordered = {key: told[key] for key in _ORDER}
    return {"Data": _without_zeros(ordered), "Type": "order_alert"}


def _order(row: AccountOrder, client_id: str) -> dict[str, Any]:
    return {
        "source": row.source.value,
        "clientId": client_id,
        "exchOrderNo": row.exchange_id,
        "orderNo": row.order_id,
        "product": _PRODUCTS.get(row.product, "I"),
        "productName": row.product,
        "txnType": row.side.value[0],
        "orderType": _TYPES[row.order_type],
        "validity": row.validity,
        "strategyId": "NA",
        "offMktFlag": "1" if row.is_offline else "0",
        "remarks": " ",
        "mktType": "NL",
        "reasonDescription": _reason(row),
        "legNo": 1,
        "status": _status(row),
        "algoId": "0",
        "correlationId": row.correlation_id,
    }


def _status(row: AccountOrder) -> str:
    """A live order whose last change was a modification reads `Modified`."""
    is_changed = row.is_modified and row.status in (Status.PENDING, Status.PART_TRADED)
    return "Modified" if is_changed else _WORDS[row.status]


def _reason(row: AccountOrder) -> str:
    if row.reason:
        return row.reason
    return TRADE_CONFIRMED if row.filled_quantity else CONFIRMED


def _quantities(row: AccountOrder, decimals: int | None) -> dict[str, Any]:
    average = row.average_paise / 100
    average = average if decimals is None else round(average, decimals)
    return {
        "discQuantity": row.disclosed_quantity,
        "discQtyRem": min(row.disclosed_quantity, row.remaining_quantity),
        "remainingQuantity": row.remaining_quantity,
        "quantity": row.quantity,
        "tradedQty": row.filled_quantity,
        "price": rupees(row.price_paise),
        "triggerPrice": rupees(row.trigger_paise),
        "tradedPrice": rupees(row.fill_paise),
        "avgTradedPrice": int(average) if average.is_integer() else average,
    }


def _times(row: AccountOrder) -> dict[str, Any]:
    exchange = NEVER if row.exchange_ns is None else _clock(row.exchange_ns)
    return {
        "orderDateTime": _clock(row.created_ns),
        "exchOrderTime": exchange,
        "lastUpdatedTime": _clock(row.updated_ns),
        "goodTillDaysDate": ist_date(row.created_ns).isoformat(),
    }


def _contract(one: Instrument) -> dict[str, Any]:
    is_derivative = one.expiry is not None
    symbol = trading_symbol(one)
    return {
        "exchange": one.exchange.value,
        "segment": "D" if is_derivative else "E",
        "securityId": str(one.security_id),
        "instrument": instrument_word(one),
        "symbol": symbol[:SYMBOL_SIZE] if is_derivative else symbol,
        "lotSize": max(one.lot_size, 1),
        "strikePrice": rupees(one.strike_paise or 0),
        "expiryDate": one.expiry or NEVER,
        "optType": "XX" if one.option_type is None else one.option_type.value,
        "displayName": display_name(one),
        "isin": "NA" if one.segment is not Segment.NSE_EQ else f"INE{one.security_id:06d}010",
        "series": "XX" if is_derivative else "EQ",
        "tickSize": rupees(one.price_step_paise),
        "multiplier": 1,
    }


def _clock(at_ns: int) -> str:
    seconds = (at_ns + OFFSET_NS) // SECOND_NS % 86_400
    time = f"{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{ist_date(at_ns).isoformat()} {time}"


def _without_zeros(told: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in told.items()
        if key in _ALWAYS or isinstance(value, str) or value != 0
    }


_ORDER: Final = (
    "exchange",
    "segment",
    "source",
    "securityId",
    "clientId",
    "exchOrderNo",
    "orderNo",
    "product",
    "txnType",
    "orderType",
    "validity",
    "discQuantity",
    "discQtyRem",
    "remainingQuantity",
    "quantity",
    "tradedQty",
    "price",
    "triggerPrice",
    "tradedPrice",
    "avgTradedPrice",
    "strategyId",
    "offMktFlag",
    "orderDateTime",
    "exchOrderTime",
    "lastUpdatedTime",
    "remarks",
    "mktType",
    "reasonDescription",
    "legNo",
    "instrument",
    "symbol",
    "productName",
    "status",
    "lotSize",
    "strikePrice",
    "expiryDate",
    "optType",
    "displayName",
    "isin",
    "series",
    "goodTillDaysDate",
    "refLtp",
    "tickSize",
    "algoId",
    "multiplier",
    "correlationId",
)
"""The keys in the samples' order."""
