"""What is done to a world: each act a value with its time, so that a story can be told and cut.

Times are nanoseconds after the world's beginning.
"""

from enum import StrEnum

import msgspec

from holdfast.domain.event import Link, OperatorRequest
from holdfast.worlds.ground import SECOND


class Boundary(StrEnum):
    """Where a process can be cut off."""

    RECORD = "at a record of the journal"
    BEFORE_SEND = "before a request left"
    AFTER_SEND = "after a request had left"
    TURN = "between two turns of its event loop"


class Act(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """One thing that happens to the program from outside."""

    at_ns: int

    @property
    def second(self) -> float:
        """When, in seconds after the beginning."""
        return self.at_ns / SECOND


class Kill(Act, frozen=True, kw_only=True):
    """kill -9 at a boundary: the first of its kind from `at_ns` on, after `skip` others."""

    boundary: Boundary
    skip: int
    down_ns: int

    def __str__(self) -> str:
        """In words."""
        more = f", {self.skip} later" if self.skip else ""
        return f"the process is killed {self.boundary.value}{more}; down for {self.down_ns / SECOND:.1f} s"


class Stop(Act, frozen=True, kw_only=True):
    """The program is stopped in order, and started again."""

    down_ns: int

    def __str__(self) -> str:
        """In words."""
        return f"the program is stopped in order; down for {self.down_ns / SECOND:.1f} s"


class Ask(Act, frozen=True, kw_only=True):
    """A person asks. CLOSE means the lowest position that is open then."""

    request: OperatorRequest

    def __str__(self) -> str:
        """In words."""
        return f"a person asks: {self.request.value}"


class LinkDown(Act, frozen=True, kw_only=True):
    """A connection is gone for a while, and the program knows it."""

    link: Link
    lasts_ns: int

    def __str__(self) -> str:
        """In words."""
        return f"the connection of {self.link.value} is gone for {self.lasts_ns / SECOND:.1f} s"


class DiskFull(Act, frozen=True, kw_only=True):
    """The disk takes nothing for a while."""

    lasts_ns: int

    def __str__(self) -> str:
        """In words."""
        return f"the disk takes nothing for {self.lasts_ns / SECOND:.1f} s"


class Sight(StrEnum):
    """What is wrong with what the feed shows."""

    SILENT = "is silent"
    LATE = "lags behind"
    OLD = "repeats what it showed"
    SPIKE = "shows one price that was none"
    ONE_SIDED = "shows no bids"


class Blind(Act, frozen=True, kw_only=True):
    """The feed shows something else than the market, while its connection stands.

    `instrument` is the number of a contract, `None` all of them; `lag_ns` that of LATE.
    """

    sight: Sight
    lasts_ns: int
    instrument: int | None = None
    lag_ns: int = 0

    def __str__(self) -> str:
        """In words."""
        whom = "the feed" if self.instrument is None else f"the feed of contract {self.instrument}"
        return f"{whom} {self.sight.value} for {self.lasts_ns / SECOND:.1f} s"


class Skew(Act, frozen=True, kw_only=True):
    """From the next start on the program's clock is `off_ns` away from the world's."""

    off_ns: int

    def __str__(self) -> str:
        """In words."""
        return f"the host's clock is set {self.off_ns / SECOND:+.3f} s off"


class OwnerTrade(Act, frozen=True, kw_only=True):
    """The owner trades by hand: `lots` of the contract held (sold) or of any one (bought)."""

    lots: int
    is_sale: bool
    contract: int

    def __str__(self) -> str:
        """In words."""
        what = "sells by hand" if self.is_sale else "buys by hand"
        return f"the owner {what}: {self.lots} lots"


class BrokerSells(Act, frozen=True, kw_only=True):
    """The broker closes what is held in one contract by itself."""

    contract: int

    def __str__(self) -> str:
        """In words."""
        return "the broker closes a position by itself"


class Storm(Act, frozen=True, kw_only=True):
    """For a while the broker behaves badly: each chance it gets, with `bps` in 10,000."""

    kinds: tuple[str, ...]
    bps: int
    lasts_ns: int

    def __str__(self) -> str:
        """In words."""
        return f"for {self.lasts_ns / SECOND:.1f} s the broker: {', '.join(self.kinds)}"


AnyAct = (
    Kill
    | Stop
    | Ask
    | LinkDown
    | DiskFull
    | Blind
    | Skew
    | OwnerTrade
    | BrokerSells
    | Storm
)


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """A world as a value: its seed, how long it lasts, and everything that is done to it, in order.

    `calm_s` is when the last act must have ended; from `close_s` on positions are closed.
    """

    seed: int
    mix: str
    seconds: int
    calm_s: int
    close_s: int
    acts: tuple[AnyAct, ...]
