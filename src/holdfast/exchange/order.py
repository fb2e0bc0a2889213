"""One order as the exchange keeps it, from its arrival until its end and after."""

from msgspec.structs import replace

from holdfast.domain.instrument import BrokerKey
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderTerms,
    OrderType,
    Refusal,
)


class LiveOrder:
    """The state of one order. The exchange owns it; only rows leave.

    `rank` is its place in time among equals. `is_passive` says that it met a fresh book and the
    rest of it waits at its own price; `ahead` is then the quantity that must trade at that price
    before it does, `None` while nobody can know.
    """

    def __init__(
        self,
        order_id: OrderId,
        broker_id: BrokerOrderId,
        *,
        terms: OrderTerms,
        rank: int,
        at_ns: int,
    ) -> None:
        self.order_id = order_id
        self.broker_id = broker_id
        self.terms = terms
        self.rank = rank
        self.status = BrokerStatus.WORKING
        self.filled_quantity = 0
        self.filled_value_paise = 0
        self.modifications = 0
        self.is_passive = False
        self.ahead: int | None = None
        self._refusal: Refusal | None = None
        self._reason = ""
        self._venue_at_ns = at_ns
        self._last: OrderRow | None = None

    @property
    def key(self) -> BrokerKey:
        """What the broker nets its fills by."""
        return BrokerKey(self.terms.instrument, self.terms.product)

    @property
    def is_live(self) -> bool:
        """Whether it can still fill."""
        return self.status.is_live

    @property
    def is_stop(self) -> bool:
        """Whether it waits for its trigger, outside the book."""
        return self.terms.order_type is OrderType.STOP_LIMIT

    @property
    def open_quantity(self) -> int:
        """What it can still fill, in contracts."""
        return self.terms.quantity - self.filled_quantity if self.is_live else 0

    def released(self) -> OrderTerms:
        """The terms under which a stop enters the book."""
        return replace(self.terms, order_type=OrderType.LIMIT, trigger_paise=None)

    def release(self, *, rank: int, at_ns: int) -> OrderRow:
        """A stop's trigger was touched: it enters the book last in time. Returns that row."""
        assert self.is_stop, "only a stop has a trigger"
        self._restate(self.released(), rank=rank, at_ns=at_ns)
        self.status = BrokerStatus.TRIGGERED
        row = self.row()
        self.status = BrokerStatus.WORKING
        return row

    def modify(self, terms: OrderTerms, *, rank: int, at_ns: int) -> None:
        """Take new terms and with them the last place in time. `quantity` is the total."""
        self._restate(terms, rank=rank, at_ns=at_ns)
        if self.filled_quantity == terms.quantity:
            self.status = BrokerStatus.FILLED

    def _restate(self, terms: OrderTerms, *, rank: int, at_ns: int) -> None:
        assert self.is_live, "an ended order keeps its terms"
        self.terms = terms
        self.rank = rank
        self.is_passive = False
        self.ahead = None
        self._venue_at_ns = at_ns

    def fill(self, quantity: int, value_paise: int, at_ns: int) -> None:
        """Add one execution; the last one ends the order."""
        assert 0 < quantity <= self.open_quantity, f"{quantity} of {self.open_quantity} open"
        self.filled_quantity += quantity
        self.filled_value_paise += value_paise
        self._venue_at_ns = at_ns
        if self.open_quantity == 0:
            self.status = BrokerStatus.FILLED

    def end(
        self,
        status: BrokerStatus,
        at_ns: int,
        *,
        refusal: Refusal | None = None,
        reason: str = "",
    ) -> OrderRow:
        """Nothing more will happen to it. What filled before stays filled. Returns its last row."""
        assert self.is_live, "an order ends once"
        self.status = status
        self._refusal = refusal
        self._reason = reason
        self._venue_at_ns = at_ns
        return self.row()

    def row(self) -> OrderRow:
        """The broker's view of it now; of one that has ended it is made once."""
        if self._last is not None:
            return self._last
        row = OrderRow(
            order_id=self.order_id,
            broker_id=self.broker_id,
            status=self.status,
            terms=self.terms,
            filled_quantity=self.filled_quantity,
            filled_value_paise=self.filled_value_paise,
            venue_at_ns=self._venue_at_ns,
            refusal=self._refusal,
            reason=self._reason,
        )
        if not self.is_live:
            self._last = row
        return row
