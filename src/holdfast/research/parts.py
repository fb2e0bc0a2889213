"""The parts of a report, as values: money in paise, times in UTC nanoseconds."""

import msgspec

from holdfast.domain.decision import Values


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What ran, by the newest `Restarted` of the journal; `starts` counts them."""

    day: str
    code_version: str
    config_sha256: str
    libraries: tuple[str, ...]
    starts: int
    ended_at_ns: int


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """How much was done: a result without work behind it proves nothing."""

    ticks: int
    instruments: int
    events: int
    decisions: int
    commands: int
    orders_placed: int
    orders_modified: int
    orders_cancelled: int
    orders_rejected: int
    signals: int
    denials: int
    trades: int


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One round trip. Values are totals; `charges` names each component of today.

    `carried_from` is the earlier day on which it was opened, `None`: today.
    """

    position: int
    symbol: str
    side: str
    quantity: int
    strategy: str
    signal: str
    rule: str
    opened_at_ns: int
    closed_at_ns: int
    entry_value_paise: int
    exit_value_paise: int
    gross_paise: int
    charges: dict[str, int]
    charges_paise: int
    net_paise: int
    unprotected_ns: int
    without_stop_ns: int
    carried_from: str | None = None


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """All round trips together. Unprotected: nothing at all would have closed the position."""

    gained: int
    lost: int
    gross_paise: int
    charges: dict[str, int]
    charges_paise: int
    net_paise: int
    unprotected_ns: int
    without_stop_ns: int


class OpenPosition(msgspec.Struct, frozen=True, kw_only=True):
    """What was still held, or could still be, when the record ends; as in a `Trade`."""

    position: int
    symbol: str
    side: str
    quantity: int
    entry_value_paise: int
    opened_at_ns: int
    carried_from: str | None = None


class UnfilledEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An intent that never became a position."""

    position: int
    symbol: str
    at_ns: int
    reason: str


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """`premium_paise_max`: the most that had been paid for positions open at once."""

    premium_paise_max: int
    positions_open_max: int
    in_market_ns: int


class StaleAct(msgspec.Struct, frozen=True, kw_only=True):
    """What the stale-price policy did for one position."""

    at_ns: int
    position: int
    action: str
    values: Values


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """The whole feed was not fresh. `until_ns` is absent when it never came back.

    `entries_stopped_ns` is when readiness was lost: earlier than `since_ns` when it was lost
    already, absent when it never was.
    """

    since_ns: int
    until_ns: int | None
    duration_ns: int
    reason: str
    held: tuple[int, ...]
    entries_stopped_ns: int | None
    acts: tuple[StaleAct, ...]


class StaleInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how long one instrument alone was not fresh."""

    symbol: str
    times: int
    total_ns: int
    longest_ns: int


class Blocked(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how long one term of readiness kept entries off."""

    term: str
    times: int
    total_ns: int


class HaltChange(msgspec.Struct, frozen=True, kw_only=True):
    """The halt level changed."""

    at_ns: int
    level: str
    reason: str


class Oddity(msgspec.Struct, frozen=True, kw_only=True):
    """Something that should not happen: how often, and the first time with its figures."""

    what: str
    times: int
    first_at_ns: int
    values: Values


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A rule or strategy raised."""

    at_ns: int
    name: str
    position: int | None
    error: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run, told. Lists stand in the order in which things happened, counts in that of names."""

    run: Run
    work: Work
    denials: dict[str, int]
    trades: tuple[Trade, ...]
    totals: Totals
    exits: dict[str, int]
    still_open: tuple[OpenPosition, ...]
    unfilled: tuple[UnfilledEntry, ...]
    exposure: Exposure
    outages: tuple[Outage, ...]
    stale: tuple[StaleInstrument, ...]
    stale_acts: tuple[StaleAct, ...]
    blocked: tuple[Blocked, ...]
    halts: tuple[HaltChange, ...]
    oddities: tuple[Oddity, ...]
    failures: tuple[Failure, ...]
