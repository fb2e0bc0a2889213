"""The rows of the projections: what people read with SQL, each a fold of the journal.

Field names are column names. Money is paise, times are UTC nanoseconds, quantities are contracts;
`sequence` is the number of the journal record that changed the row last.
"""

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row of one projection: one subclass per table."""


class Order(Row, frozen=True, kw_only=True):
    """One order of ours. `state` is in the words of `domain.order.OrderState`.

    `position` and `purpose` are absent where the record that placed it was lost in a crash.
    `filled_*` are cumulative.
    """

    order_id: str
    day: str
    position: int | None
    purpose: str | None
    instrument: str
    product: str
    side: str
    order_type: str
    quantity: int
    limit_paise: int
    trigger_paise: int | None
    state: str
    broker_id: str | None
    filled_quantity: int
    filled_value_paise: int
    reason: str
    placed_at_ns: int
    changed_at_ns: int
    sequence: int


class Fill(Row, frozen=True, kw_only=True):
    """What one broker's word added to an order: a row of the stream, or of the whole book.

    `quantity` is 0 where only the value of earlier fills was corrected.
    """

    sequence: int
    day: str
    order_id: str
    position: int | None
    instrument: str
    side: str
    quantity: int
    value_paise: int
    at_ns: int
    venue_at_ns: int


class Position(Row, frozen=True, kw_only=True):
    """One position. `state`: planned, open, closing, closed, or unfilled when its entry ended empty.

    `stop_paise` is the level in force. Money of the result is absent until it is closed.
    `carried_from` is the earlier day on which it was opened, absent where that is today.
    """

    day: str
    position: int
    strategy: str
    signal_id: str
    underlying: str
    instrument: str
    product: str
    side: str
    planned_quantity: int
    quantity: int
    state: str
    entry_value_paise: int
    stop_paise: int
    target_paise: int | None
    peak_paise: int | None
    exit_rule: str | None
    exit_value_paise: int | None
    gross_paise: int | None
    charges_paise: int | None
    net_paise: int | None
    planned_at_ns: int
    opened_at_ns: int | None
    closed_at_ns: int | None
    carried_from: str | None
    sequence: int


class Posting(Row, frozen=True, kw_only=True):
    """One line of double entry. The lines of one `sequence` sum to zero."""

    sequence: int
    line: int
    day: str
    position: int | None
    account: str
    amount_paise: int
    at_ns: int


class Signal(Row, frozen=True, kw_only=True):
    """One signal and what became of it. `outcome`: seen, denied, entered.

    `figures` and `gate_figures` are JSON objects.
    """

    day: str
    signal_id: str
    strategy: str
    underlying: str
    direction: str
    candle_start_ns: int
    reason: str
    figures: str
    outcome: str
    gate: str | None
    gate_figures: str | None
    position: int | None
    at_ns: int
    sequence: int


class Day(Row, frozen=True, kw_only=True):
    """One trading day: what it ran on, and what came of it so far."""

    day: str
    first_sequence: int
    restarts: int
    code_version: str
    config_sha256: str
    signals: int
    denials: int
    trades: int
    gross_paise: int
    charges_paise: int
    net_paise: int
    halt: str
    started_at_ns: int
    sequence: int


KEYS: dict[type[Row], tuple[str, ...]] = {
    Order: ("order_id",),
    Fill: ("sequence", "order_id"),
    Position: ("day", "position"),
    Posting: ("sequence", "line"),
    Signal: ("day", "signal_id"),
    Day: ("day",),
}
"""The primary key of each projection: all of them, in the order in which they are listed."""
