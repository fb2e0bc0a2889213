"""When the feed may be dialled again after a connection ended: the broker's penalties first (T28).

Pure: time comes in, nothing is done. One of it serves every connection of the account, because the
broker counts them together (dhan.md 2).
"""

from collections import deque
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from holdfast.domain.dated import Session
from holdfast.exchange.draws import draw_within
from holdfast.facts.ist import SECOND_NS

BACKOFF_NS: Final = SECOND_NS // 2
BACKOFF_MAX_NS: Final = 30 * SECOND_NS
STEADY_NS: Final = 60 * SECOND_NS
"""A connection that brought data for so long had nothing wrong with it: the backoff begins anew."""

COOL_OFF_NS: Final = 60 * SECOND_NS
COOL_OFF_MAX_NS: Final = 300 * SECOND_NS
"""After 805 or a refused handshake: people wait 60 s to 5 min, no limit is published (dhan.md 2)."""

WINDOW_NS: Final = 300 * SECOND_NS
DIALS_MAX: Final = 3
RUSH_BEFORE_NS: Final = 60 * SECOND_NS
RUSH_AFTER_NS: Final = 120 * SECOND_NS
"""Around the open, 09:14 to 09:17, everybody connects, and the account's block takes minutes."""


class Loss(StrEnum):
    """How a connection ended, by what follows from it."""

    RESET = "reset"
    MUTE = "mute"
    PENALTY = "penalty"
    TOKEN = "token"  # noqa: S105 a word, not a secret
    REFUSED = "refused"


LOSSES: Final = {
    804: Loss.REFUSED,
    805: Loss.PENALTY,
    806: Loss.REFUSED,
    807: Loss.TOKEN,
    808: Loss.TOKEN,
    809: Loss.TOKEN,
    810: Loss.TOKEN,
}
"""What the codes of a disconnect packet mean (dhan.md 4.4); all others are resets."""

WORDS: Final = {
    804: "too many instruments",
    805: "too many connections or requests",
    806: "the account has no data plan",
    807: "the token expired",
    808: "authentication failed",
    809: "the token is invalid",
    810: "the client id is invalid",
}


class Ended(NamedTuple):
    """The end of one connection, in words without any secret."""

    loss: Loss
    reason: str


def ended_by_code(code: int) -> Ended:
    """What a disconnect packet says."""
    words = WORDS.get(code, "no documented reason")
    return Ended(LOSSES.get(code, Loss.RESET), f"disconnected with {code}: {words}")


def ended_by_status(status: int) -> Ended:
    """What the HTTP status of a refused handshake says (dhan.md 1.8, 2)."""
    if status == 429:
        loss = Loss.PENALTY
    elif status in {401, 403}:
        loss = Loss.TOKEN
    else:
        loss = Loss.RESET
    return Ended(loss, f"the handshake was refused with HTTP {status}")


class Dialing:
    """Says from when on a connection may be made. Times are UTC nanoseconds."""

    def __init__(self, sessions: Sequence[Session]) -> None:
        """`sessions` are the day's, of each exchange."""
        self._rushes = [
            (session.open_ns - RUSH_BEFORE_NS, session.open_ns + RUSH_AFTER_NS)
            for session in sessions
        ]
        self._dials: deque[int] = deque()
        self._free_ns: dict[int, int] = {}
        self._failures: dict[int, int] = {}
        self._penalties = self._refusals = 0
        self.penalty_ns = 0
        self._refused_mark: str | None = None
        self._refused_ns = 0

    def may_dial(self, line: int, now_ns: int, *, mark: str, is_silent: bool) -> bool:
        """Whether connection number `line` may be made now.

        `mark` tells the token at hand from others: one that was refused is not shown again before
        whoever logs in has had the time to look at it. `is_silent`: nothing has come for so long that there is an outage (T28).
        """
        if now_ns < self.penalty_ns or now_ns < self._free_ns.get(line, 0):
            return False
        if mark == self._refused_mark and now_ns < self._refused_ns:
            return False
        return is_silent or not (self._is_rush(now_ns) or self._is_spent(now_ns))

    def _is_rush(self, now_ns: int) -> bool:
        return any(start <= now_ns < end for start, end in self._rushes)

    def _is_spent(self, now_ns: int) -> bool:
        while self._dials and self._dials[0] <= now_ns - WINDOW_NS:
            self._dials.popleft()
        return len(self._dials) >= DIALS_MAX

    def dial(self, now_ns: int) -> None:
        """A connection is being made."""
        self._dials.append(now_ns)

    def end(self, line: int, ended: Ended, now_ns: int, *, mark: str, steady_ns: int) -> None:
        """Connection `line`, made with token `mark`, ended after `steady_ns` of data, 0 for none."""
        if steady_ns >= STEADY_NS:
            self._failures[line] = self._penalties = self._refusals = 0
        failures = self._failures[line] = self._failures.get(line, 0) + 1
        match ended.loss:
            case Loss.TOKEN:
                self._refuse(mark, now_ns)
            case Loss.PENALTY | Loss.REFUSED:
                self._penalties += 1
                self.penalty_ns = max(self.penalty_ns, now_ns + cool_off_ns(self._penalties))
            case Loss.RESET | Loss.MUTE:
                self._free_ns[line] = now_ns + backoff_ns(f"{line}/{now_ns}", failures)

    def _refuse(self, mark: str, now_ns: int) -> None:
        """The token of `mark` was refused. Two connections that hear of one death hear one."""
        if mark == self._refused_mark and now_ns < self._refused_ns:
            return
        self._refusals = self._refusals + 1 if mark == self._refused_mark else 1
        self._refused_mark = mark
        self._refused_ns = now_ns + cool_off_ns(self._refusals)

    def take_token(self) -> None:
        """The broker takes the token of the moment, whatever it said of it: it is shown again now."""
        self._refused_mark, self._refusals = None, 0

    def is_penalized(self, now_ns: int) -> bool:
        """Whether the broker must be left alone: REST quotes serve what is held only."""
        return now_ns < self.penalty_ns


def cool_off_ns(times: int) -> int:
    """How long the broker is left alone after it said so `times` in a row."""
    return min(COOL_OFF_NS << min(times - 1, 16), COOL_OFF_MAX_NS)


def backoff_ns(name: str, failures: int) -> int:
    """How long to wait after so many failures in a row: doubled each time, a quarter either way.

    The chance is a hash of the connection and the moment, so that two of them part.
    """
    wait_ns = min(BACKOFF_NS << min(failures - 1, 16), BACKOFF_MAX_NS)
    quarter_us = wait_ns // 4_000
    return wait_ns + draw_within(0, "dial", name, low=-quarter_us, high=quarter_us) * 1_000
