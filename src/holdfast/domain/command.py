"""What the engine asks of the shell: imperative, and idempotent by id."""

from enum import StrEnum

import msgspec

from holdfast.domain.instrument import InstrumentId
from holdfast.domain.order import BrokerOrderId, OrderId, OrderTerms, Purpose


class Command(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One request to the shell."""


class PlaceOrder(Command, frozen=True, kw_only=True):
    """Send a new order. `fills_seen` is the position's fill count when this was decided."""

    order_id: OrderId
    purpose: Purpose
    position: int
    terms: OrderTerms
    fills_seen: int


class ModifyOrder(Command, frozen=True, kw_only=True):
    """Give an existing order these terms. Absolute, so repeating it changes nothing."""

    order_id: OrderId
    broker_id: BrokerOrderId
    terms: OrderTerms


class CancelOrder(Command, frozen=True, kw_only=True):
    """Cancel what is left of an existing order. Repeating it changes nothing."""

    order_id: OrderId
    broker_id: BrokerOrderId


class FindOrder(Command, frozen=True, kw_only=True):
    """Ask the broker for the row of one order of ours."""

    order_id: OrderId


class ReadFunds(Command, frozen=True, kw_only=True):
    """Ask for the free cash."""


class ReadBook(Command, frozen=True, kw_only=True):
    """Ask for one pass over the whole book: positions, orders, trades, funds."""


class ReadQuotes(Command, frozen=True, kw_only=True):
    """Ask for full quotes (depth and trade time) outside the feed."""

    instruments: tuple[InstrumentId, ...]


class Subscribe(Command, frozen=True, kw_only=True):
    """Add instruments to the wanted set of the feed."""

    instruments: tuple[InstrumentId, ...]


class Severity(StrEnum):
    """How urgently a person should look."""

    INFO = "info"
    WARNING = "warning"
    ALARM = "alarm"


class Notify(Command, frozen=True, kw_only=True):
    """Tell a person. Never on the trading path."""

    severity: Severity
    text: str


AnyCommand = (
    PlaceOrder
    | ModifyOrder
    | CancelOrder
    | FindOrder
    | ReadFunds
    | ReadBook
    | ReadQuotes
    | Subscribe
    | Notify
)
