"""Where the sources disagree about Dhan (dhan.md 9): how this server behaves, each a switch."""

from enum import StrEnum

import msgspec


class DeadToken(StrEnum):
    """How the trading endpoints refuse a token: 401 DH-901 (2025) or 400 DH-906 (2026)."""

    DH_901 = "dh-901"
    DH_906 = "dh-906"


class CancelAnswer(StrEnum):
    """200 with a body, or 202 without one."""

    BODY = "body"
    EMPTY = "empty"


class External(StrEnum):
    """What the lookup by correlation id answers: one object, or an array of one."""

    OBJECT = "object"
    ARRAY = "array"


class EmptyHoldings(StrEnum):
    """No holdings: 500 DH-1111 as in production, or an empty list as in the sandbox."""

    ERROR = "error"
    LIST = "list"


class StopMarket(StrEnum):
    """A STOP_LOSS_MARKET order is refused, or becomes a STOP_LOSS with a price of Dhan's."""

    REFUSED = "refused"
    MANGLED = "mangled"


class Released(StrEnum):
    """What a stop is called once it triggered: LIMIT and PENDING, or STOP_LOSS and TRIGGERED."""

    LIMIT = "limit"
    TRIGGERED = "triggered"


class Frames(StrEnum):
    """Packets that are due together come in one frame, or each in its own: the official SDK reads
    the first packet of a frame and no more (dhan.md 8).
    """

    JOINED = "joined"
    SINGLE = "single"


class IndexPackets(StrEnum):
    """An index that is subscribed as quote or full comes as a ticker, or as asked for."""

    TICKER = "ticker"
    ASKED = "asked"


class IdleUpdates(StrEnum):
    """Order updates without a word outside the session are kept open, or reset within seconds."""

    KEPT = "kept"
    RESET = "reset"


class Doubts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One behaviour for each doubt. `average_decimals` `None`: mean prices keep all digits.

    `first_packet`: a subscription is answered by what stands, not only by the next change.
    `closes_for_all`: the close of the session before is told of every segment, not of indices only.
    """

    dead_token: DeadToken = DeadToken.DH_901
    cancel_answer: CancelAnswer = CancelAnswer.BODY
    external: External = External.OBJECT
    empty_holdings: EmptyHoldings = EmptyHoldings.ERROR
    stop_market: StopMarket = StopMarket.REFUSED
    released: Released = Released.LIMIT
    average_decimals: int | None = 2
    frames: Frames = Frames.JOINED
    first_packet: bool = True
    closes_for_all: bool = False
    index_packets: IndexPackets = IndexPackets.TICKER
    idle_updates: IdleUpdates = IdleUpdates.KEPT
