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
    """Give an existing order these terms. Absolute, so repeating it changes nothing.

    `is_ordinary`: a stop that trails, which a newer one replaces while it waits for its turn; all
    others belong to an exit (T7). `fills_seen` is the position's fill count when it was decided,
    `None` where what was filled since does not matter.
    """

    order_id: OrderId
    broker_id: BrokerOrderId
    terms: OrderTerms
    position: int | None = None
    fills_seen: int | None = None
    is_ordinary: bool = False


class CancelOrder(Command, frozen=True, kw_only=True):
    """Cancel what is left of an existing order. Repeating it changes nothing."""

    order_id: OrderId
    broker_id: BrokerOrderId


class FindOrder(Command, frozen=True, kw_only=True):
    """Ask the broker for the row of one order of ours.

    `is_poll`: it is asked each second, and an answer that tells nothing new need not be told (T9).
    """

    order_id: OrderId
    is_poll: bool = False


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


class ExitAll(Command, frozen=True, kw_only=True):
    """Let the broker close and cancel everything in the account, the owner's own too (T25)."""


class BrokerKillSwitch(Command, frozen=True, kw_only=True):
    """Let the broker refuse every order of the day. It demands a flat book without orders (T25)."""


class SetLossExit(Command, frozen=True, kw_only=True):
    """Let the broker close everything once the day has lost `loss_paise`: for a dead machine (T25)."""

    loss_paise: int


OrderRequest = PlaceOrder | ModifyOrder | CancelOrder
"""What asks something of one order."""

ReadRequest = FindOrder | ReadFunds | ReadBook | ReadQuotes
"""What the broker is only asked to tell."""

GuardRequest = ExitAll | BrokerKillSwitch | SetLossExit
"""What asks something of the broker's own guards (T25)."""

AnyCommand = OrderRequest | ReadRequest | Subscribe | GuardRequest | Notify
