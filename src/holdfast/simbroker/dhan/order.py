"""One order of the account as Dhan's book keeps it, whoever sent it."""

from enum import StrEnum
from typing import Final

import msgspec

from holdfast.domain.instrument import Instrument
from holdfast.domain.order import Side


class Status(StrEnum):
    """The REST word of an order (dhan.md 3, enums). PART_TRADED stands in REST only."""

    TRANSIT = "TRANSIT"
    PENDING = "PENDING"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"
    PART_TRADED = "PART_TRADED"
    TRADED = "TRADED"
    EXPIRED = "EXPIRED"
    TRIGGERED = "TRIGGERED"


class DhanType(StrEnum):
    """The REST word of what sort of order it is."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    STOP_LOSS = "STOP_LOSS"
    STOP_LOSS_MARKET = "STOP_LOSS_MARKET"


class Source(StrEnum):
    """Where an order came from, as the order updates say it (dhan.md 5)."""

    API = "P"
    WEB = "W"


LIVE: Final = frozenset({Status.TRANSIT, Status.PENDING, Status.PART_TRADED, Status.TRIGGERED})
"""The words under which an order may still fill."""

NOT_REACHED: Final = "0"
"""What stands for the exchange's number until the exchange has the order (dhan.md 3)."""

UNTAGGED: Final = "NA"
"""The correlation id of orders that were made on the web or in the app (dhan.md 3.1)."""

CONFIRMED: Final = "CONFIRMED"
TRADE_CONFIRMED: Final = "TRADE CONFIRMED"


class AccountOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it stands, or one word about it. Prices are paise, times UTC nanoseconds.

    `product` and `validity` are Dhan's words, `quantity` the total. `price_paise` is 0 where there
    is none, `trigger_paise` too. `filled_value_paise` is the sum of price times quantity over all
    fills, `fill_paise` the price of the last fill. `exchange_ns` is `None` before the exchange had
    it. `is_modified`: the last thing that happened to it was a modification, which the order
    updates call `Modified` while the book says PENDING.
    """

    order_id: str
    instrument: Instrument
    side: Side
    product: str
    order_type: DhanType
    quantity: int
    created_ns: int
    updated_ns: int
    status: Status = Status.TRANSIT
    exchange_id: str = NOT_REACHED
    correlation_id: str = UNTAGGED
    validity: str = "DAY"
    disclosed_quantity: int = 0
    price_paise: int = 0
    trigger_paise: int = 0
    filled_quantity: int = 0
    filled_value_paise: int = 0
    fill_paise: int = 0
    exchange_ns: int | None = None
    reason: str = ""
    source: Source = Source.API
    is_modified: bool = False
    is_offline: bool = False

    @property
    def is_live(self) -> bool:
        """Whether it may still fill."""
        return self.status in LIVE

    @property
    def remaining_quantity(self) -> int:
        """What of the total has not traded, in contracts.

        0 once it was cancelled, as a recorded row of a cancelled order says; a rejected one keeps
        its whole quantity (orders_list_rejected_row.json).
        """
        is_taken_back = self.status in {Status.CANCELLED, Status.EXPIRED}
        return 0 if is_taken_back else self.quantity - self.filled_quantity

    @property
    def average_paise(self) -> float:
        """The mean price of its fills in paise, 0.0 without any."""
        return self.filled_value_paise / self.filled_quantity if self.filled_quantity else 0.0
