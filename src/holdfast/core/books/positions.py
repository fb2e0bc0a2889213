"""A position as a fold of fills: what is held, what it cost, what it made.

Only fills change quantities and money here. Everything else on a position is a plan, a level or a
clock, and none of it can make a contract appear or vanish.
"""

from typing import NamedTuple

from holdfast.core.books.charges import Charges
from holdfast.core.orders.order import Fill
from holdfast.domain.decision import Exit, Intent
from holdfast.domain.instrument import BrokerKey, Instrument, InstrumentId
from holdfast.domain.order import OrderId, Side


class Holding(NamedTuple):
    """Signed contracts (long positive) and their total cost in paise (what was paid, long > 0).

    Cost is a total, never an average, so that nothing is lost to rounding.
    """

    quantity: int = 0
    cost_paise: int = 0


def fold_fill(holding: Holding, side: Side, fill: Fill) -> tuple[Holding, int]:
    """Apply one fill; returns the new holding and the realised profit in paise, before charges.

    A fill that reduces releases its share of the cost, `cost * closed // held`; the rest stays
    with the rest. A fill across zero closes first and opens with what remains.
    """
    signed = side.sign * fill.quantity
    held, cost = holding
    if held == 0 or (held > 0) == (signed > 0):
        return Holding(held + signed, cost + side.sign * fill.value_paise), 0
    closed = min(abs(held), fill.quantity)
    value_of_closed = fill.value_paise * closed // fill.quantity
    released = cost * closed // abs(held)
    realised = -side.sign * value_of_closed - released
    rest = Holding(held + side.sign * closed, cost - released)
    remaining = fill.quantity - closed
    if remaining == 0:
        return rest, realised
    opened = Fill(remaining, fill.value_paise - value_of_closed)
    return fold_fill(rest, side, opened)[0], realised


class Position:
    """One intent's position, from before its first fill to its end. Owned by the engine.

    `stop_paise` is the present stop level, trailing included; `floor_paise` and `ceiling_paise`
    bound the closing-side prices at which no rule can fire (see `risk/levels.py`).
    """

    def __init__(self, intent: Intent, instrument: Instrument, entry: OrderId) -> None:
        self.number = intent.position
        self.intent = intent
        self.plan = intent.plan
        self.instrument = instrument
        self.key = BrokerKey(instrument.id, intent.product)
        self.side = intent.side
        self.sign = intent.side.sign
        self.entry = entry
        self.holding = Holding()
        self.fills = 0
        self.entry_quantity = 0
        self.entry_value_paise = 0
        self.exit_quantity = 0
        self.exit_value_paise = 0
        self.realised_paise = 0
        self.charges = Charges()
        self.opened_at_ns = 0
        self.closed_at_ns = 0
        self.entry_is_over = False
        self.is_closed = False
        # Levels and what the market did to them.
        self.stop_paise = intent.plan.stop_paise
        self.peak_paise: int | None = None
        self.floor_paise = 0
        self.ceiling_paise = 0
        self.beyond_since_ns: int | None = None
        self.beyond_packets = 0
        self.spike_at_ns: int | None = None
        self.evaluated_at_ns = 0
        self.rules_raised: tuple[str, ...] = ()
        # Marks.
        self.mark_paise: int | None = None
        self.close_charges_paise = 0
        self.share_paise = 0
        # Closing.
        self.closer: OrderId | None = None
        self.stop_attempts = 0
        self.exit_attempts = 0
        self.exit: Exit | None = None
        self.exit_at_ns = 0
        self.ladder_step = 0
        self.reprice_at_ns = 0
        self.retry_at_ns = 0
        self.replace_closer = False
        self.band_refusals = 0
        self.last_band_paise: int | None = None
        self.trail_moves = 0
        self.trail_moved_at_ns = 0
        # Protection clocks.
        self.verified = False
        self.stop_missing_since_ns: int | None = None
        self.without_stop_ns = 0
        self.unprotected_since_ns: int | None = None
        self.unprotected_ns = 0
        self.stale_since_ns: int | None = None
        self.stale_told: tuple[str, ...] = ()

    @property
    def id(self) -> InstrumentId:
        """The instrument held."""
        return self.instrument.id

    @property
    def open_quantity(self) -> int:
        """Contracts held, without sign."""
        return abs(self.holding.quantity)

    @property
    def is_open(self) -> bool:
        """Whether contracts are held."""
        return self.holding.quantity != 0

    def take_entry(self, fill: Fill, at_ns: int) -> None:
        """Fold a fill of the entry order; `at_ns` is the exchange's time of it."""
        if self.fills == 0:
            self.opened_at_ns = at_ns
        self.fills += 1
        self.holding, _ = fold_fill(self.holding, self.side, fill)
        self.entry_quantity += fill.quantity
        self.entry_value_paise += fill.value_paise

    def take_exit(self, fill: Fill, at_ns: int) -> int:
        """Fold a fill of a closing order; returns the realised profit in paise, before charges."""
        self.fills += 1
        self.holding, realised_paise = fold_fill(self.holding, self.side.opposite, fill)
        self.exit_quantity += fill.quantity
        self.exit_value_paise += fill.value_paise
        self.realised_paise += realised_paise
        self.closed_at_ns = at_ns
        return realised_paise

    def open_profit_paise(self, price_paise: int) -> int:
        """Profit of what is held at `price_paise`, before charges."""
        return self.holding.quantity * price_paise - self.holding.cost_paise
