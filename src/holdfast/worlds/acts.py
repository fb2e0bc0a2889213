"""What is done to a world: each act a value with its time, so that a story can be told and cut.

Times are nanoseconds after the world's beginning.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec
from typing_extensions import override

from holdfast.domain.event import Link, OperatorRequest
from holdfast.domain.instrument import Instrument
from holdfast.exchange.faults import FaultKind, FaultWindow
from holdfast.exchange.market_faults import MarketFaultKind, MarketFaultWindow
from holdfast.worlds.ground import BEGIN_NS, SECOND


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


class Lasting(Act, frozen=True, kw_only=True):
    """Something that is wrong for a while."""

    lasts_ns: int

    @property
    def until_ns(self) -> int:
        """When it is over."""
        return self.at_ns + self.lasts_ns

    def is_on(self, at_ns: int) -> bool:
        """Whether it is wrong at a time of the world."""
        return self.at_ns <= at_ns < self.until_ns


class Kill(Act, frozen=True, kw_only=True):
    """kill -9 at a boundary: the first of its kind from `at_ns` on, after `skip` others."""

    boundary: Boundary
    skip: int
    down_ns: int

    @override
    def __str__(self) -> str:
        """In words."""
        more = f", {self.skip} later" if self.skip else ""
        return f"the process is killed {self.boundary.value}{more}; down for {self.down_ns / SECOND:.1f} s"


class Stop(Act, frozen=True, kw_only=True):
    """The program is stopped in order, and started again."""

    down_ns: int

    @override
    def __str__(self) -> str:
        """In words."""
        return f"the program is stopped in order; down for {self.down_ns / SECOND:.1f} s"


class Ask(Act, frozen=True, kw_only=True):
    """A person asks. CLOSE means the lowest position that is open then."""

    request: OperatorRequest

    @override
    def __str__(self) -> str:
        """In words."""
        return f"a person asks: {self.request.value}"


class LinkDown(Lasting, frozen=True, kw_only=True):
    """A connection is gone for a while, and the program knows it."""

    link: Link

    @override
    def __str__(self) -> str:
        """In words."""
        return f"the connection of {self.link.value} is gone for {self.lasts_ns / SECOND:.1f} s"


class DiskFull(Lasting, frozen=True, kw_only=True):
    """The disk takes nothing for a while."""

    @override
    def __str__(self) -> str:
        """In words."""
        return f"the disk takes nothing for {self.lasts_ns / SECOND:.1f} s"


class Skew(Act, frozen=True, kw_only=True):
    """From the next start on the program's clock is `off_ns` away from the world's."""

    off_ns: int

    @override
    def __str__(self) -> str:
        """In words."""
        return f"the host's clock is set {self.off_ns / SECOND:+.3f} s off"


class BrokerFault(Lasting, frozen=True, kw_only=True):
    """For a while the broker does one thing wrong, or somebody else trades in the account.

    `delay_ns` and `quantity` mean what the kind says; `None` is the kind's default.
    """

    kind: FaultKind
    share_bps: int
    delay_ns: int | None = None
    quantity: int | None = None

    @property
    def window(self) -> FaultWindow:
        """The same as the exchange takes it."""
        return FaultWindow(
            kind=self.kind,
            from_ns=BEGIN_NS + self.at_ns,
            until_ns=BEGIN_NS + self.until_ns,
            share_bps=self.share_bps,
            delay_ns=self.delay_ns,
            quantity=self.quantity,
        )

    @override
    def __str__(self) -> str:
        """In words."""
        often = "" if self.share_bps == 10_000 else f" ({self.share_bps // 100} % of the times)"
        return f"{self.kind.value.replace('_', ' ')} for {self.lasts_ns / SECOND:.1f} s{often}"


class MarketFault(Lasting, frozen=True, kw_only=True):
    """For a while the market, or what the feed shows of it, is wrong.

    `contract` is the number of one contract, `None` all of them.
    """

    kind: MarketFaultKind
    share_bps: int
    delay_ns: int
    bps: int
    contract: int | None = None

    def window(self, contracts: Sequence[Instrument]) -> MarketFaultWindow:
        """The same as the market takes it."""
        one = None if self.contract is None else contracts[self.contract % len(contracts)].id
        return MarketFaultWindow(
            kind=self.kind,
            from_ns=BEGIN_NS + self.at_ns,
            until_ns=BEGIN_NS + self.until_ns,
            share_bps=self.share_bps,
            delay_ns=self.delay_ns,
            bps=self.bps,
            instrument=one,
        )

    @override
    def __str__(self) -> str:
        """In words."""
        whom = "market" if self.contract is None else f"contract {self.contract}"
        return f"{whom}: {self.kind.value.replace('_', ' ')} for {self.lasts_ns / SECOND:.1f} s"


AnyAct = Kill | Stop | Ask | LinkDown | DiskFull | Skew | BrokerFault | MarketFault


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
