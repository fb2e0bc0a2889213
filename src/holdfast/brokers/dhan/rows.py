"""The broker's rows, from its REST book and from its stream, as rows of ours.

Both speak of orders in two vocabularies: keys differ in name and case, an absent number of the stream
is zero (dhan.md 5), nothing is ever null but a sentinel. Quantities decide, words come last, and an
unknown word is UNKNOWN and logged, never guessed.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple

import structlog

from holdfast.brokers.dhan.errors import refusal_of
from holdfast.brokers.dhan.fields import Unreadable, ist_stamp, number, paise, shown, text, whole
from holdfast.core.orders.ids import read_order_id
from holdfast.domain.book import BookNet, BookTrade, ForeignRow
from holdfast.domain.instrument import (
    Instrument,
    InstrumentId,
    Product,
    Segment,
    instrument_id,
)
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderTerms,
    OrderType,
    Refusal,
    Side,
)

_log = structlog.get_logger("dhan")

_STAMP_FORM: Final = "%Y-%m-%d %H:%M:%S"
_NEVER: Final = "0001-01-01"
_NOTHING: Final = frozenset({"", "0", "NA"})

_STATUSES: Final[Mapping[str, BrokerStatus]] = {
    "TRANSIT": BrokerStatus.TRANSIT,
    "PENDING": BrokerStatus.WORKING,
    "PART_TRADED": BrokerStatus.WORKING,
    "PARTIALLY_TRADED": BrokerStatus.WORKING,
    "MODIFIED": BrokerStatus.WORKING,
    "TRIGGERED": BrokerStatus.TRIGGERED,
    "TRADED": BrokerStatus.FILLED,
    "CANCELLED": BrokerStatus.CANCELLED,
    "REJECTED": BrokerStatus.REJECTED,
    "EXPIRED": BrokerStatus.EXPIRED,
    "INACTIVE": BrokerStatus.UNKNOWN,
}
"""The broker's words (dhan.md 3 and 5). INACTIVE is documented and explained nowhere (T15)."""

_ENDED: Final = frozenset({BrokerStatus.CANCELLED, BrokerStatus.REJECTED, BrokerStatus.EXPIRED})

_SEGMENTS: Final[Mapping[tuple[str, str], Segment]] = {
    ("NSE", "E"): Segment.NSE_EQ,
    ("NSE", "D"): Segment.NSE_FNO,
    ("BSE", "E"): Segment.BSE_EQ,
    ("BSE", "D"): Segment.BSE_FNO,
    ("NSE", "I"): Segment.IDX_I,
    ("BSE", "I"): Segment.IDX_I,
}
"""The stream's exchange and segment. Others (currency, commodity) are no business of ours."""

_PRODUCTS: Final[Mapping[str, Product]] = {
    "INTRADAY": Product.INTRADAY,
    "I": Product.INTRADAY,
    "MARGIN": Product.MARGIN,
    "M": Product.MARGIN,
}
"""Products in which we hold anything. The broker nets each product apart (T8)."""

_SIDES: Final[Mapping[str, Side]] = {
    "BUY": Side.BUY,
    "B": Side.BUY,
    "SELL": Side.SELL,
    "S": Side.SELL,
}

_LIMITS: Final = frozenset({"LIMIT", "LMT", "MARKET", "MKT"})
_STOPS: Final = frozenset({"STOP_LOSS", "SL", "STOP_LOSS_MARKET", "SLM"})

_REST: Final[Mapping[str, str]] = {
    "orderno": "orderid",
    "orderstatus": "status",
    "filledqty": "tradedqty",
    "filled_qty": "tradedqty",
    "averagetradedprice": "avgtradedprice",
    "transactiontype": "txntype",
    "omserrordescription": "reason",
    "reasondescription": "reason",
    "producttype": "product",
}
"""Names of one thing in the two vocabularies, in lower case; the stream's stands."""

Row = Mapping[str, object]


class Key(NamedTuple):
    """What the broker nets by, and whether it can be one of ours."""

    instrument: InstrumentId
    product: Product


def lowered(row: Mapping[str, object]) -> Row:
    """The same row under one set of names, whatever its case and its source."""
    return {_REST.get(key.lower(), key.lower()): value for key, value in row.items()}


def key_of(row: Row) -> Key | None:
    """The key of a lowered row; `None` where we trade nothing: other segments, other products.

    Raises `Unreadable`.
    """
    segment = _segment(row)
    product_word = text(row, "product").upper()
    if not product_word:
        raise Unreadable("a row without its product")
    product = _PRODUCTS.get(product_word)
    if segment is None or product is None:
        return None
    security = text(row, "securityid")
    if not (security.isascii() and security.isdigit()):
        raise Unreadable(f"securityId is no number: {shown(security)}")
    return Key(instrument_id(segment, int(security)), product)


def _segment(row: Row) -> Segment | None:
    """Where it is traded, `None` when we do not trade there. Raises `Unreadable` when it says nothing."""
    name = text(row, "exchangesegment").upper()
    if name:
        return Segment(name) if name in set(Segment) else None
    pair = text(row, "exchange").upper(), text(row, "segment").upper()
    if "" in pair:
        raise Unreadable("a row without its segment")
    return _SEGMENTS.get(pair)


class OrderWords:
    """Reads order rows. It remembers which broker's numbers are ours: not every row bears our id."""

    def __init__(
        self, prefix: str, contracts: Mapping[InstrumentId, Instrument] | None = None
    ) -> None:
        """`prefix` is what every order id of ours of this day begins with.

        `contracts` are today's: what trades in lots and steps is worth whole ones.
        """
        self._prefix = prefix
        self._contracts = contracts or {}
        self._ours: dict[BrokerOrderId, OrderId] = {}
        self._first: dict[OrderId, BrokerOrderId] = {}
        self._unknown: set[str] = set()

    def know(self, order_id: OrderId, broker_id: BrokerOrderId) -> None:
        """The broker has taken an order of ours under its number."""
        self._ours[broker_id] = order_id
        self._first.setdefault(order_id, broker_id)

    def number_of(self, order_id: OrderId) -> BrokerOrderId | None:
        """The broker's number of an order of ours, of the first where there are two (T21)."""
        return self._first.get(order_id)

    def order(self, row: Row) -> OrderRow | ForeignRow | None:
        """One lowered order row; `None` where we trade nothing. Raises `Unreadable`."""
        key = key_of(row)
        if key is None:
            return None
        broker_id = BrokerOrderId(text(row, "orderid"))
        if broker_id in _NOTHING:
            raise Unreadable("an order without its number")
        order_id = self._own_id(row, broker_id)
        if order_id is None:
            return self._foreign(row, key, broker_id)
        self.know(order_id, broker_id)
        return self._own(row, key, order_id=order_id, broker_id=broker_id)

    def _own_id(self, row: Row, broker_id: BrokerOrderId) -> OrderId | None:
        """By the id that we sent with it, which the stream may leave out (dhan.md 5)."""
        named = text(row, "correlationid").strip()
        if read_order_id(self._prefix, named) is not None:
            return OrderId(named)
        return self._ours.get(broker_id)

    def _own(self, row: Row, key: Key, *, order_id: OrderId, broker_id: BrokerOrderId) -> OrderRow:
        terms, filled = _terms(row, key), _filled(row)
        status = self._status(row, terms.quantity, filled)
        said = _reason(row)
        return OrderRow(
            order_id=order_id,
            broker_id=broker_id,
            status=status,
            terms=terms,
            filled_quantity=filled,
            filled_value_paise=self._value_paise(row, filled, terms),
            venue_at_ns=stamp_ns(row),
            refusal=_refusal(status, said),
            reason=said,
        )

    def _value_paise(self, row: Row, filled: int, terms: OrderTerms) -> int:
        """What the fills are worth, as near as a mean price with few digits tells (T30).

        Fills are whole lots at prices on the step, so the nearest such value is the true one for as
        long as the digits decide between them: up to four lots. Above that the trade book tells.
        """
        value = _value_paise(row, filled, terms.limit_paise)
        contract = self._contracts.get(terms.instrument)
        if contract is None or not contract.lot_size or filled % contract.lot_size:
            return value
        whole_paise = contract.lot_size * contract.price_step_paise
        nearest = (2 * value + whole_paise) // (2 * whole_paise) * whole_paise
        return nearest if 2 * abs(nearest - value) <= filled else value

    def _foreign(self, row: Row, key: Key, broker_id: BrokerOrderId) -> ForeignRow | None:
        """Nothing is told of one for nothing: a leg that waits for its parent moves no position."""
        quantity, filled = _contracts(row, "quantity"), _filled(row)
        if not (quantity or filled):
            return None
        status = self._status(row, quantity, filled)
        return ForeignRow(
            broker_id=broker_id,
            instrument=key.instrument,
            product=key.product,
            side=_side(row),
            quantity=quantity,
            filled_quantity=filled,
            is_live=status not in _ENDED and status is not BrokerStatus.FILLED,
        )

    def _status(self, row: Row, quantity: int, filled: int) -> BrokerStatus:
        """The broker's word, unless the quantities say otherwise.

        No captured frame shows a partial fill, so no word means one (dhan.md 9).
        """
        word = text(row, "status").strip().upper().replace(" ", "_").replace("-", "_")
        status = _STATUSES.get(word)
        if status is None and word not in self._unknown:
            self._unknown.add(word)
            _log.error("an order status that nobody knows", status=shown(word))
        if filled >= quantity:
            return BrokerStatus.FILLED
        if status is BrokerStatus.FILLED:
            return BrokerStatus.WORKING if filled else BrokerStatus.UNKNOWN
        if status is BrokerStatus.TRANSIT and filled:
            return BrokerStatus.WORKING
        return BrokerStatus.UNKNOWN if status is None else status


def _side(row: Row) -> Side:
    side = _SIDES.get(text(row, "txntype").upper())
    if side is None:
        raise Unreadable(f"transactionType is neither side: {shown(row.get('txntype'))}")
    return side


def _amount(row: Row, name: str) -> Decimal:
    """A number that is zero where it is absent."""
    value = row.get(name)
    return Decimal(0) if value is None or value in ("", "NA") else number(value, name)


def _contracts(row: Row, name: str) -> int:
    found = whole(_amount(row, name), name)
    if found < 0:
        raise Unreadable(f"{name} is negative: {found}")
    return found


def _quantity(row: Row) -> int:
    found = _contracts(row, "quantity")
    if found == 0:
        raise Unreadable("an order for nothing")
    return found


def _filled(row: Row) -> int:
    """Contracts traded so far. REST tells them, the stream where they are not zero."""
    return _contracts(row, "tradedqty")


def _terms(row: Row, key: Key) -> OrderTerms:
    """What rests, or rested. A market order, which only others can make of ours, has a price all the same."""
    word = text(row, "ordertype").upper()
    if word not in _LIMITS | _STOPS:
        raise Unreadable(f"orderType is unknown: {shown(word)}")
    trigger = paise(_amount(row, "triggerprice"), "triggerPrice")
    limit = paise(_amount(row, "price"), "price")
    is_stop = word in _STOPS and trigger > 0
    return OrderTerms(
        instrument=key.instrument,
        product=key.product,
        side=_side(row),
        order_type=OrderType.STOP_LIMIT if is_stop else OrderType.LIMIT,
        quantity=_quantity(row),
        limit_paise=_some_price(limit, trigger, paise(_amount(row, "avgtradedprice"), "average")),
        trigger_paise=trigger if is_stop else None,
    )


def _some_price(*prices: int) -> int:
    """The first that is a price; one paisa where there is none at all."""
    return next((price for price in prices if price > 0), 1)


def _value_paise(row: Row, filled: int, limit_paise: int) -> int:
    """Price times quantity over all fills, as near as an average of the broker's tells (T30)."""
    if not filled:
        return 0
    average = _amount(row, "avgtradedprice") or _amount(row, "tradedprice")
    return paise(average * filled, "value") if average > 0 else limit_paise * filled


def _reason(row: Row) -> str:
    """What the broker says of it; its word for all being well says nothing."""
    said = text(row, "reason").strip()
    return "" if said.upper() in (*_NOTHING, "CONFIRMED", "TRADE CONFIRMED") else said


def _refusal(status: BrokerStatus, said: str) -> Refusal | None:
    """The class of a rejection (T13), and of the one that is told as a cancel: a self trade (T6)."""
    if status is BrokerStatus.REJECTED:
        return refusal_of(said)
    if status is BrokerStatus.CANCELLED and refusal_of(said) is Refusal.SELF_TRADE:
        return Refusal.SELF_TRADE
    return None


def stamp_ns(row: Row) -> int:
    """When the last thing happened to an order, UTC nanoseconds, whole seconds; 0 when never."""
    names = ("updatetime", "lastupdatedtime", "exchangetime", "exchordertime")
    stamps = [_stamp(row, name) for name in names]
    return max(stamps) or max(_stamp(row, "createtime"), _stamp(row, "orderdatetime"))


def taken_ns(row: Row) -> int:
    """When the broker took an order, UTC nanoseconds."""
    return _stamp(row, "createtime")


def _stamp(row: Row, name: str) -> int:
    said = text(row, name).strip()
    if said in _NOTHING or said.startswith(_NEVER):
        return 0
    return ist_stamp(said.partition(".")[0].replace("T", " "), _STAMP_FORM, name)


def trade(row: Row, number_in_row: int) -> BookTrade:
    """One execution of the trade book. Raises `Unreadable`."""
    broker_id = BrokerOrderId(text(row, "orderid"))
    if broker_id in _NOTHING:
        raise Unreadable("a trade without its order")
    quantity = _contracts(row, "tradedquantity")
    price = _amount(row, "tradedprice")
    if quantity == 0 or price <= 0:
        raise Unreadable(f"a trade of {quantity} at {price}")
    named = text(row, "exchangetradeid").strip()
    return BookTrade(
        trade_id=f"{broker_id}/{number_in_row}" if named in _NOTHING else named,
        broker_id=broker_id,
        quantity=quantity,
        value_paise=paise(price * quantity, "value"),
    )


def net(row: Row) -> BookNet | None:
    """One row of positions; `None` where we trade nothing. Raises `Unreadable`.

    What is documented of carried contracts is unclear, so the sums must give the row's own net.
    """
    key = key_of(row)
    if key is None:
        return None
    held = whole(_amount(row, "netqty"), "netQty")
    for bought, sold in _sums(row):
        if bought - sold == held:
            return BookNet(instrument=key.instrument, product=key.product, bought=bought, sold=sold)
    raise Unreadable(f"a position whose quantities are not its net of {held}")


def _sums(row: Row) -> list[tuple[int, int]]:
    bought, sold = _contracts(row, "buyqty"), _contracts(row, "sellqty")
    carried = _contracts(row, "carryforwardbuyqty"), _contracts(row, "carryforwardsellqty")
    today = _contracts(row, "daybuyqty"), _contracts(row, "daysellqty")
    return [
        (bought, sold),
        (carried[0] + today[0], carried[1] + today[1]),
        (bought + carried[0], sold + carried[1]),
    ]


def funds_paise(row: Row) -> int:
    """Free cash. The broker misspells its name (dhan.md 3.7). Raises `Unreadable`."""
    for name in ("availabelbalance", "availablebalance"):
        if name in row:
            return paise(row[name], name)
    raise Unreadable("no free cash in the answer")
