"""One instruction to the broker: its terms, its words, and what the broker says of it."""

from enum import StrEnum
from typing import Final, NewType

import msgspec

from holdfast.domain.instrument import InstrumentId, Product

OrderId = NewType("OrderId", str)
"""Our id, sent with the order: a pure function of why the order exists. At most 25 characters."""

BrokerOrderId = NewType("BrokerOrderId", str)
"""The broker's number for the order, known once it answered."""


class Side(StrEnum):
    """Direction of an order. There is no default: an unknown side is an error at the edge."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sale."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        """The side that closes this one."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """Raw market and stop-market orders do not exist here: the broker mangles them."""

    LIMIT = "LIMIT"
    STOP_LIMIT = "STOP_LIMIT"


class Purpose(StrEnum):
    """Why an order exists; the letter stands in its id."""

    ENTRY = "E"
    EXIT = "X"
    STOP = "S"


class OrderState(StrEnum):
    """Where an order is in its life (the table is `core/orders/life.py`)."""

    PLANNED = "planned"
    SENT = "sent"
    WORKING = "working"
    PARTLY_FILLED = "partly_filled"
    MODIFYING = "modifying"
    CANCELLING = "cancelling"
    UNKNOWN = "unknown"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"

    @property
    def is_terminal(self) -> bool:
        """Whether the broker will do nothing more with the order."""
        return self in TERMINAL


TERMINAL: Final = frozenset(
    {OrderState.FILLED, OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED}
)
"""The states in which the broker does nothing more with an order."""


class OrderTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of the exchange. `quantity` is the total, filled part included.

    Prices are paise on the contract's step. `trigger_paise` stands on stop orders only.
    """

    instrument: InstrumentId
    product: Product
    side: Side
    order_type: OrderType
    quantity: int
    limit_paise: int
    trigger_paise: int | None = None

    def __post_init__(self) -> None:
        """Refuse terms that no exchange could mean."""
        if self.quantity <= 0 or self.limit_paise <= 0:
            raise ValueError(f"quantity {self.quantity} at {self.limit_paise} paise is no order")
        if (self.trigger_paise is not None) != (self.order_type is OrderType.STOP_LIMIT):
            raise ValueError("a trigger stands on stop orders, and only there")
        if self.trigger_paise is not None and self.trigger_paise <= 0:
            raise ValueError(f"a trigger at {self.trigger_paise} paise is no price")


class BrokerStatus(StrEnum):
    """The broker's word about an order, translated once at the edge.

    An unknown word is UNKNOWN and an alarm, never a guess.
    """

    TRANSIT = "transit"
    WORKING = "working"
    TRIGGERED = "triggered"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    UNKNOWN = "unknown"

    @property
    def is_live(self) -> bool:
        """Whether it says that the order could still fill."""
        return self in _LIVE

    @property
    def is_terminal(self) -> bool:
        """Whether it says that the broker will do nothing more with the order.

        UNKNOWN says neither.
        """
        return self in END_STATES


_LIVE: Final = frozenset({BrokerStatus.TRANSIT, BrokerStatus.WORKING, BrokerStatus.TRIGGERED})

END_STATES: Final = {
    BrokerStatus.FILLED: OrderState.FILLED,
    BrokerStatus.CANCELLED: OrderState.CANCELLED,
    BrokerStatus.REJECTED: OrderState.REJECTED,
    BrokerStatus.EXPIRED: OrderState.EXPIRED,
}
"""The words that say an order's end, and the state that each of them means."""


class Refusal(StrEnum):
    """Why an order, modification or cancel was refused: the class that decides the reaction."""

    BEYOND_TRIGGER = "beyond_trigger"
    BAND = "band"
    TRIGGER_DISTANCE = "trigger_distance"
    FUNDS = "funds"
    QUANTITY = "quantity"
    NOT_MODIFIABLE = "not_modifiable"
    SELF_TRADE = "self_trade"
    RATE = "rate"
    TOKEN = "token"  # noqa: S105 a word, no secret
    IP = "ip"
    CLOSED_MARKET = "closed_market"
    OTHER = "other"


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    """The broker's view of one order: a row of its book or an update. Cumulative, never a delta.

    `filled_value_paise` is the sum of price times quantity over all fills; with `is_exact` it is
    that of the trade book, else as near as a rounded mean price tells (T30). `venue_at_ns` is the
    exchange's stamp of the last thing that happened to the order. A rejected row carries the
    broker's text and, as the adapter read it, its class.
    """

    order_id: OrderId
    broker_id: BrokerOrderId
    status: BrokerStatus
    terms: OrderTerms
    filled_quantity: int
    filled_value_paise: int
    venue_at_ns: int
    refusal: Refusal | None = None
    reason: str = ""
    is_exact: bool = False
