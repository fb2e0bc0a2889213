"""A position as a fold of fills: what is held, what it cost, what it made.

Only fills change quantities and money here. Everything else on a position is a plan, a level or a
clock, and none of it can make a contract appear or vanish.
"""

from typing import NamedTuple

from holdfast.core.books.charges import Charges, statement
from holdfast.core.orders.order import Fill
from holdfast.domain.decision import Exit, Intent
from holdfast.domain.event import PositionCarried
from holdfast.domain.instrument import BrokerKey, Instrument, InstrumentId
from holdfast.domain.order import OrderId, Refusal, Side


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


def fold_correction(holding: Holding, side: Side, change_paise: int) -> tuple[Holding, int]:
    """What fills on `side` were worth turned out to be more by `change_paise`, contracts the same.

    Returns the new holding and by how much the realised profit changed. What is held of that side
    bears it, whatever of it was closed since: by its end the sum is the same.
    """
    held, cost = holding
    if held and (held > 0) is (side.sign > 0):
        return Holding(held, cost + side.sign * change_paise), 0
    return holding, -side.sign * change_paise


class Position:
    """One intent's position, from before its first fill to its end. Owned by the engine.

    `stop_paise` is the present stop level, trailing included; `floor_paise` and `ceiling_paise`
    bound the closing-side prices at which no rule can fire (see `risk/levels.py`). `entries` are
    the pieces of its entry. `closers` are the orders that close it together, in the order in which
    they were sent; `strays` are former ones that the broker has brought back to life, and the
    second of two under one id. `slice_most` bounds one closing order where the broker refused more
    (T13). `stop_touched_ns` is when somebody first cancelled or changed a stop of ours;
    `stop_is_owners`: it was done again, and no stop of ours stands against it (T14). `missing` are
    the signed contracts that our fills say are held and the broker does not hold: no fill of ours
    changes their number; 0 where books agree. One that an earlier day left open was `carried`; no
    order of today has opened it, and it has no entries.
    """

    def __init__(self, intent: Intent, instrument: Instrument, entry: OrderId | None) -> None:
        """`entry`: `None` where no order of today opens it."""
        self.number = intent.position
        self.intent = intent
        self.plan = intent.plan
        self.instrument = instrument
        self.key = BrokerKey(instrument.id, intent.product)
        self.side = intent.side
        self.sign = intent.side.sign
        self.entries: list[OrderId] = [] if entry is None else [entry]
        self.carried: PositionCarried | None = None
        self.fills = 0
        self.is_closed = False
        self._begin()
        self._begin_levels()
        self._begin_closing()
        self._begin_clocks()

    def _begin_levels(self) -> None:
        """Levels, what the market did to them, and marks."""
        self.stop_paise = self.plan.stop_paise
        self.peak_paise: int | None = None
        self.floor_paise = 0
        self.ceiling_paise = 0
        self.beyond_since_ns: int | None = None
        self.beyond_packets = 0
        self.spike_at_ns: int | None = None
        self.evaluated_at_ns = 0
        self.rules_raised: tuple[str, ...] = ()
        self.mark_paise: int | None = None
        self.close_charges_paise = 0
        self.share_paise = 0

    def _begin_closing(self) -> None:
        """The decision to get out, the orders that do it, and what was refused lately."""
        self.closers: list[OrderId] = []
        self.strays: list[OrderId] = []
        self.stop_attempts = 0
        self.exit_attempts = 0
        self.exit: Exit | None = None
        self.exit_at_ns = 0
        self.ladder_step = 0
        self.reprice_at_ns = 0
        self.reprice_same_rung = False
        self.retry_at_ns = 0
        self.missing = 0
        self.slice_most: int | None = None
        self.barred_told_ns = 0
        self.refusals = 0
        self.deaths = 0
        self.refused: Refusal | None = None
        self.refused_at_ns = 0
        self.band_refusals = 0
        self.band_refused_at_ns = 0
        self.distance_refusals = 0
        self.stop_touched_ns: int | None = None
        self.stop_is_owners = False

    def _begin_clocks(self) -> None:
        """Since when protection or a fresh price is missing, and for how long it was."""
        self.verified = False
        self.stop_missing_since_ns: int | None = None
        self.without_stop_ns = 0
        self.unprotected_since_ns: int | None = None
        self.unprotected_ns = 0
        self.stale_since_ns: int | None = None
        self.stale_told: tuple[str, ...] = ()

    def _begin(self) -> None:
        """Nothing held, nothing made."""
        self.holding = Holding()
        self.entry_quantity = 0
        self.entry_value_paise = 0
        self.exit_quantity = 0
        self.exit_value_paise = 0
        self.realised_paise = 0
        self.charges = Charges()
        self.opened_at_ns = 0
        self.held_since_ns = 0
        self.closed_at_ns = 0

    @property
    def id(self) -> InstrumentId:
        """The instrument held."""
        return self.instrument.id

    @property
    def entry(self) -> OrderId:
        """The first piece of its entry. A carried one has none."""
        return self.entries[0]

    @property
    def open_quantity(self) -> int:
        """Contracts held, without sign."""
        return abs(self.holding.quantity)

    @property
    def closable_quantity(self) -> int:
        """Contracts that may be closed: those held that the broker holds too (T4).

        What is missing of a long cannot be missing of the short that an excess has made of it.
        """
        held = self.holding.quantity
        if held > 0:
            return max(held - max(self.missing, 0), 0)
        return max(-held - max(-self.missing, 0), 0)

    @property
    def is_open(self) -> bool:
        """Whether contracts are held."""
        return self.holding.quantity != 0

    @property
    def is_excess(self) -> bool:
        """Whether more was closed than was held: what is open lies on the wrong side."""
        return self.holding.quantity * self.sign < 0

    @property
    def closing_side(self) -> Side:
        """The side that brings what is held to nothing."""
        return self.side if self.is_excess else self.side.opposite

    def take_entry(self, fill: Fill, at_ns: int) -> int:
        """Fold a fill on the position's own side; `at_ns` is the exchange's time of it.

        Returns the profit in paise, before charges, that it realised: none but on an excess.
        """
        self.entry_quantity += fill.quantity
        self.entry_value_paise += fill.value_paise
        return self._take(self.side, fill, at_ns)

    def take_exit(self, fill: Fill, at_ns: int) -> int:
        """Fold a fill on the other side; returns the profit realised in paise, before charges."""
        self.exit_quantity += fill.quantity
        self.exit_value_paise += fill.value_paise
        return self._take(self.side.opposite, fill, at_ns)

    def _take(self, side: Side, fill: Fill, at_ns: int) -> int:
        self.opened_at_ns = self.opened_at_ns or at_ns
        if not self.is_open:
            self.held_since_ns = at_ns
        self.fills += 1
        self.holding, realised_paise = fold_fill(self.holding, side, fill)
        self.realised_paise += realised_paise
        self.closed_at_ns = at_ns
        return realised_paise

    @property
    def net_paise(self) -> int:
        """What it has made after charges, these rounded as a contract note states them."""
        return self.realised_paise - statement(self.charges)["total"]

    def correct(self, side: Side, change_paise: int) -> int:
        """Take that fills on `side` were worth more by so much (T30).

        Returns by how much the realised profit changed, in paise, before charges.
        """
        if side is self.side:
            self.entry_value_paise += change_paise
        else:
            self.exit_value_paise += change_paise
        self.holding, realised_paise = fold_correction(self.holding, side, change_paise)
        self.realised_paise += realised_paise
        return realised_paise

    def take_carried(self, carried: PositionCarried) -> None:
        """Hold what an earlier day left: its fills count as made, at what they cost.

        An excess was left by what closed too much.
        """
        self.carried = carried
        self.stop_paise, self.peak_paise = carried.stop_paise, carried.peak_paise
        self.holding = Holding(carried.quantity, carried.cost_paise)
        self.fills = 1
        self.opened_at_ns = self.held_since_ns = carried.opened_at_ns
        if self.is_excess:
            self.exit_quantity, self.exit_value_paise = self._taken_over()
        else:
            self.entry_quantity, self.entry_value_paise = self._taken_over()

    def _taken_over(self) -> tuple[int, int]:
        return self.open_quantity, abs(self.holding.cost_paise)

    def begin_again(self) -> None:
        """It had ended and comes alive. What it made stays its own: its end is told anew, in all."""
        assert self.is_closed
        assert not self.is_open
        self.is_closed = False

    def open_profit_paise(self, price_paise: int) -> int:
        """Profit of what is held at `price_paise`, before charges."""
        return self.holding.quantity * price_paise - self.holding.cost_paise
