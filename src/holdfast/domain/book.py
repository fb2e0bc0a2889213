"""The broker's whole book as one read shows it: orders, trades and what is held per key."""

import msgspec

from holdfast.domain.instrument import BrokerKey, InstrumentId, Product
from holdfast.domain.order import BrokerOrderId, Side


class BookTrade(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of one order. `value_paise` is price times quantity."""

    trade_id: str
    broker_id: BrokerOrderId
    quantity: int
    value_paise: int


class BookNet(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker holds of one key: contracts bought and sold, carried ones included."""

    instrument: InstrumentId
    product: Product
    bought: int
    sold: int

    @property
    def key(self) -> BrokerKey:
        """What the broker nets by."""
        return BrokerKey(self.instrument, self.product)

    @property
    def net(self) -> int:
        """Contracts held, negative when short."""
        return self.bought - self.sold


class ForeignRow(msgspec.Struct, frozen=True, kw_only=True):
    """An order of the account that bears no id of ours: the owner's, or the broker's own."""

    broker_id: BrokerOrderId
    instrument: InstrumentId
    product: Product
    side: Side
    quantity: int
    filled_quantity: int
    is_live: bool

    @property
    def key(self) -> BrokerKey:
        """What the broker nets its fills by."""
        return BrokerKey(self.instrument, self.product)

    @property
    def signed_fill(self) -> int:
        """What it added to the net of its key, in contracts."""
        return self.side.sign * self.filled_quantity
