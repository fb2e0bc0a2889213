"""The doors between the runtime and the world. Adapters stand behind them; the core sees none."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from holdfast.domain.audit import AnyAudit
from holdfast.domain.command import AnyCommand
from holdfast.domain.event import AnyEvent, CandleLoaded, JournalEvent, TapeEvent
from holdfast.domain.instrument import Instrument
from holdfast.domain.market import Tick


class Clock(Protocol):
    """Time, for the shell only. The core gets it as `at_ns` of events."""

    def now_ns(self) -> int:
        """UTC nanoseconds, never going back within a process."""
        ...


class Timing(Clock, Protocol):
    """A clock whose seconds may be shorter than the wall's: every wait in real time asks it."""

    def wall_s(self, seconds: float) -> float:
        """How many seconds of the wall `seconds` of its time are: 15 at speed 15 are 1.0."""
        ...


class MarketSource(Protocol):
    """A day of market data: generated, or read from a tape."""

    @property
    def instruments(self) -> Sequence[Instrument]:
        """Every contract it speaks of, underlying first."""
        ...

    def history(self) -> Iterator[CandleLoaded]:
        """Candles from before the session, oldest first."""
        ...

    def ticks(self) -> Iterator[Tick]:
        """The session's ticks in order of `at_ns`."""
        ...


class Connection(Protocol):
    """A connection to a broker: kept up by the service that owns it, judged by an answered ping."""

    async def connect(self) -> None:
        """Make it. Raises HoldfastError when the other side says no, OSError when it is not there."""
        ...

    async def ping(self) -> None:
        """Return once the other side has answered. Raises OSError when the connection is gone."""
        ...

    async def close(self) -> None:
        """Give it back, however far it came. A second call does nothing."""
        ...


class MarketFeed(Connection, Protocol):
    """A connection that brings market data.

    `can_wait`: the data is played and waits for whoever takes it, so that none is ever merged.
    `is_real_time`: its time passes as the wall's does; that of others may stand still.
    """

    can_wait: bool
    is_real_time: bool

    async def packets(self) -> Sequence[Tick]:
        """The next ticks in order, at their time; empty once the data has ended.

        Raises OSError when the connection is gone, HoldfastError when the data cannot be used.
        """
        ...


class FeedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a feed is, for people. Ages and lags are milliseconds, `None` before the first packet.

    `lag_ms` is receipt minus the newest trade, by exchange, at the newest packet (T10). `dials`
    counts connections that were begun, `flaws` what came and could not be used, by its kind.
    `quotes_read` counts calls beside the connections. `penalty_until_ns` (UTC): the broker wants to
    be left alone until then.
    """

    is_up: bool
    connections: int
    dials: int
    wanted: int
    age_ms: int | None
    lag_ms: Mapping[str, int]
    flaws: Mapping[str, int]
    quotes_read: int
    penalty_until_ns: int


@runtime_checkable
class KeptFeed(MarketFeed, Protocol):
    """A feed that makes its own connections, and makes them anew, for as long as it is kept.

    A lost connection is none of its faults: it says that it is down, and later that it is up.
    """

    async def keep(
        self, link: Callable[[bool, str], None], tell: Callable[[AnyEvent], None]
    ) -> None:
        """Keep the data coming until cancelled.

        `link` hears each change of whether it comes, and why not; `tell` hears of quotes that were
        read outside the connections meanwhile.
        """
        ...

    def status(self) -> FeedStatus:
        """How it is now, from memory."""
        ...


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A session at the broker. `valid_until_ns` is UTC nanoseconds. The secret itself is not here."""

    valid_until_ns: int


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Whose account it is that answered."""

    client_id: str


class Account(Protocol):
    """The account at the broker, beside its orders."""

    async def login(self) -> Token:
        """Open the day's session. Raises HoldfastError when it is refused."""
        ...

    async def profile(self) -> Profile:
        """Whose session it is. Raises OSError when nobody answers."""
        ...

    async def instruments(self) -> Sequence[Instrument]:
        """The rows of today's master that are traded, underlying first. Raises HoldfastError."""
        ...


class VenueDriver(Protocol):
    """An exchange that the driver itself steps in order of time (sim, replay, paper)."""

    def submit(self, command: AnyCommand, at_ns: int) -> None:
        """Take a request; its answer becomes due after the modelled latency."""
        ...

    def on_tick(self, tick: Tick) -> None:
        """Take a market update: resting orders may match, stops may trigger."""
        ...

    @property
    def due_ns(self) -> int | None:
        """When its next answer or inner event is due."""
        ...

    def pop_due(self, at_ns: int) -> Sequence[AnyEvent]:
        """Answers due at or before `at_ns`, in due order, stamped with their due time."""
        ...


class Journal(Protocol):
    """The append-only record. Appending gives a sequence number and never waits for a disk."""

    def append(self, event: JournalEvent) -> int:
        """Keep an event; returns its sequence number."""
        ...

    def append_market(self, event: TapeEvent) -> int:
        """Keep a market event on the tape under the same run of numbers."""
        ...

    def append_decision(
        self, cause: int, at_ns: int, commands: Sequence[AnyCommand], audits: Sequence[AnyAudit]
    ) -> int:
        """Keep what the step of event number `cause` decided; returns the record's number."""
        ...
