"""What the router did, counted."""

import msgspec


class RouterCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What the router did in this process, for people.

    `used` are the orders of the last second, minute, hour and day, other processes' and the
    owner's included. `slowest_ms` is the longest that the broker took to answer a placement.
    """

    waiting: int = 0
    refused: int = 0
    merged: int = 0
    retried: int = 0
    outdated: int = 0
    dropped: int = 0
    repeated: int = 0
    failed: int = 0
    polls_left_out: int = 0
    answers_left_out: int = 0
    answered: int = 0
    slowest_ms: int = 0
    breaker: str = "closed"
    breaker_opened: int = 0
    used: tuple[int, int, int, int] = (0, 0, 0, 0)


class Tally:
    """The same, while it is counted."""

    def __init__(self) -> None:
        self.refused = self.retried = self.outdated = self.dropped = self.repeated = 0
        self.failed = self.polls = self.answers = self.answered = self.slowest_ns = 0
