"""What the engine decides, as values: opinions, plans, refusals of our own, exits."""

from enum import StrEnum

import msgspec

from holdfast.domain.instrument import InstrumentId, Product
from holdfast.domain.order import Side

Values = dict[str, int | float | str]
"""Named figures behind a decision, for people. Money in paise, ratios in basis points."""


class Direction(StrEnum):
    """Which way a strategy expects the underlying to go."""

    UP = "up"
    DOWN = "down"


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy's opinion on an underlying at the close of one candle. It holds no quantity.

    `id` is unique in the day: a function of strategy, underlying, candle and direction.
    """

    id: str
    strategy: str
    underlying: InstrumentId
    direction: Direction
    candle_start_ns: int
    reason: str
    values: Values


class Trail(msgspec.Struct, frozen=True, kw_only=True):
    """Once the closing side has reached `arm_paise`, the stop follows the peak."""

    arm_paise: int
    giveback_bps: int


class ExitPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How a position ends if nothing better happens. No position exists without one.

    Levels are prices of the held instrument in paise. `close_out_ns` is the instant from which the
    position is closed whatever its price.
    """

    stop_paise: int
    target_paise: int | None
    trail: Trail | None
    close_out_ns: int


class Sizing(msgspec.Struct, frozen=True, kw_only=True):
    """The arithmetic behind a quantity, all of it, so that it can be shown.

    `loss_at_stop_paise` is what is lost when the stop fills at its *limit*, charges both ways
    included; it fits `budget_paise`. `bound` names what limited the lots.
    """

    lots: int
    lot_size: int
    budget_paise: int
    entry_limit_paise: int
    stop_limit_paise: int
    charges_paise: int
    loss_at_stop_paise: int
    cash_paise: int
    bound: str


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """A gate let a signal through, with the figures it looked at."""

    gate: str
    values: Values


class Denial(msgspec.Struct, frozen=True, kw_only=True):
    """A gate of ours stopped a signal; the broker's no is a rejection, not a denial."""

    gate: str
    values: Values


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """Enter this, this much, because: formed once per signal, before any order exists.

    `position` is the day's number of the position it opens. `limit_paise` is the worst price paid.
    `structure` numbers what its legs have in common: there a long leg covers the short ones and is
    protected by them, not by a stop of its own (T12); `None` stands alone.
    """

    position: int
    signal: Signal
    instrument: InstrumentId
    product: Product
    side: Side
    quantity: int
    limit_paise: int
    plan: ExitPlan
    sizing: Sizing
    passed: tuple[Passed, ...]
    structure: int | None = None


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """A rule's decision to close a position: the level it holds and the price that touched it."""

    rule: str
    level_paise: int | None = None
    price_paise: int | None = None
    values: Values = {}


class HaltLevel(StrEnum):
    """How much is stopped. Each level includes the ones before it."""

    NONE = "none"
    PAUSE = "pause"
    FLATTEN = "flatten"
    PANIC = "panic"
