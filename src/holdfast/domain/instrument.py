"""What can be traded, and the keys it is known by.

A security id alone is no key: the same number names different contracts in different segments.
An instrument is (segment, security id); a position at the broker is (instrument, product).
"""

from enum import StrEnum
from typing import NamedTuple, NewType

import msgspec

InstrumentId = NewType("InstrumentId", str)
"""`SEGMENT:SECURITY_ID`, made by `instrument_id` and never taken apart again."""


class Segment(StrEnum):
    """Exchange and product family, in the broker's words."""

    IDX_I = "IDX_I"
    NSE_EQ = "NSE_EQ"
    NSE_FNO = "NSE_FNO"
    BSE_EQ = "BSE_EQ"
    BSE_FNO = "BSE_FNO"


class Exchange(StrEnum):
    """Where orders match."""

    NSE = "NSE"
    BSE = "BSE"


class Kind(StrEnum):
    """What sort of contract it is: decides charges and price bands."""

    INDEX = "index"
    OPTION = "option"
    FUTURE = "future"
    EQUITY = "equity"


class OptionType(StrEnum):
    """Call or put. Direction of profit depends on the position's side, never on this."""

    CALL = "CE"
    PUT = "PE"


class Product(StrEnum):
    """The broker's product: a sale in another product is no exit but a new short."""

    INTRADAY = "INTRADAY"
    MARGIN = "MARGIN"


class BrokerKey(NamedTuple):
    """What the broker nets a position by."""

    instrument: InstrumentId
    product: Product


def instrument_id(segment: Segment, security_id: int) -> InstrumentId:
    """The key of an instrument. Equal inputs give equal strings; the text is opaque."""
    return InstrumentId(f"{segment.value}:{security_id}")


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the day's instrument master.

    `underlying` is the plain name ("NIFTY"), for an index its own. `freeze_quantity` is the first
    quantity that is refused (0: none known, which bars trading). `expiry` is an ISO date.
    `price_step_paise` is 0 for what cannot be traded.
    """

    id: InstrumentId
    segment: Segment
    security_id: int
    symbol: str
    exchange: Exchange
    kind: Kind
    underlying: str
    lot_size: int
    price_step_paise: int
    freeze_quantity: int
    expiry: str | None = None
    strike_paise: int | None = None
    option_type: OptionType | None = None

    def __post_init__(self) -> None:
        """Refuse a row whose key is not that of its columns, or an option without its terms."""
        if self.id != instrument_id(self.segment, self.security_id):
            raise ValueError(f"id {self.id} is not that of {self.segment}:{self.security_id}")
        if self.kind is Kind.OPTION and None in (self.expiry, self.strike_paise, self.option_type):
            raise ValueError(f"option {self.symbol} lacks expiry, strike or type")
        if self.kind is not Kind.INDEX and (self.lot_size <= 0 or self.price_step_paise <= 0):
            raise ValueError(f"{self.symbol} lacks a lot size or a price step")

    def round_down(self, price_paise: int) -> int:
        """The nearest valid price at or below `price_paise`."""
        return price_paise - price_paise % self.price_step_paise

    def round_up(self, price_paise: int) -> int:
        """The nearest valid price at or above `price_paise`."""
        return -(-price_paise // self.price_step_paise) * self.price_step_paise
