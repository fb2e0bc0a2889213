"""When a connection may be made: backoff, penalties, dead tokens, and the rush of the open."""

import pytest
from msgspec.structs import replace

from holdfast.brokers.dhan.dialing import (
    BACKOFF_MAX_NS,
    Dialing,
    Ended,
    Loss,
    backoff_ns,
    ended_by_code,
    ended_by_status,
)
from holdfast.domain.instrument import Exchange
from tests.support.desk import OPEN, SECOND, SESSION

NOON = OPEN + 3 * 3_600 * SECOND
RESET = Ended(Loss.RESET, "reset")


def dialing() -> Dialing:
    """A day on both exchanges."""
    return Dialing([SESSION, replace(SESSION, exchange=Exchange.BSE)])


def may(one: Dialing, now_ns: int, *, line: int = 0, mark: str = "t", silent: bool = False) -> bool:
    """Whether a connection may be made now."""
    return one.may_dial(line, now_ns, mark=mark, is_silent=silent)


@pytest.mark.parametrize(
    ("code", "loss"),
    [(804, Loss.REFUSED), (805, Loss.PENALTY), (806, Loss.REFUSED), (800, Loss.RESET)]
    + [(code, Loss.TOKEN) for code in (807, 808, 809, 810)],
)
def test_what_follows_from_each_reason_of_a_disconnect(code: int, loss: Loss) -> None:
    """807 to 810 are about the token, 805 about how often we come (dhan.md 4.4)."""
    ended = ended_by_code(code)
    assert ended.loss is loss
    assert str(code) in ended.reason


@pytest.mark.parametrize(
    ("status", "loss"),
    [(429, Loss.PENALTY), (401, Loss.TOKEN), (403, Loss.TOKEN), (502, Loss.RESET)],
)
def test_what_follows_from_a_refused_handshake(status: int, loss: Loss) -> None:
    """429 is the account's block; everything else that is no word on the token is tried again."""
    assert ended_by_status(status) == Ended(loss, f"the handshake was refused with HTTP {status}")


@pytest.mark.proves("DEG-2")
def test_the_backoff_doubles_and_two_connections_part() -> None:
    """Half a second at first, 30 s at most, a quarter either way by a hash of who and when."""
    waits = [backoff_ns("0/1", failures) for failures in range(1, 12)]
    for failures, wait_ns in enumerate(waits, 1):
        middle_ns = min(SECOND // 2 << (failures - 1), BACKOFF_MAX_NS)
        assert abs(wait_ns - middle_ns) <= middle_ns // 4
    assert backoff_ns("0/1", 3) == waits[2]
    assert len({backoff_ns(f"{line}/1", 3) for line in range(20)}) > 15
    assert backoff_ns("0/1", 10_000) <= BACKOFF_MAX_NS * 5 // 4


@pytest.mark.proves("DEG-2")
def test_a_reset_is_answered_after_a_while_and_a_steady_connection_begins_anew() -> None:
    """Failures in a row wait longer; a minute of data shows that nothing was wrong."""
    one = dialing()
    for _ in range(5):
        one.end(0, RESET, NOON, mark="t", steady_ns=0)
    assert not may(one, NOON + 5 * SECOND)
    assert may(one, NOON + 5 * SECOND, line=1), "each connection waits for itself"
    assert may(one, NOON + 11 * SECOND)
    one.end(0, RESET, NOON, mark="t", steady_ns=60 * SECOND)
    assert may(one, NOON + SECOND)


@pytest.mark.proves("I-60", "T28")
def test_a_penalty_is_of_the_account_and_lasts_minutes() -> None:
    """A minute, then twice that, five at most; silence is no reason to break it (T28)."""
    one = dialing()
    now = NOON
    for minutes in (1, 2, 4, 5, 5):
        one.end(0, Ended(Loss.PENALTY, "805"), now, mark="t", steady_ns=0)
        assert one.is_penalized(now)
        now += minutes * 60 * SECOND
        for line in (0, 1):
            assert not may(one, now - 1, line=line, silent=True)
            assert may(one, now, line=line)
        assert not one.is_penalized(now)
    one.end(0, RESET, now, mark="t", steady_ns=60 * SECOND)
    one.end(0, Ended(Loss.PENALTY, "805"), now, mark="t", steady_ns=0)
    assert may(one, now + 60 * SECOND)


def test_a_refused_token_is_not_shown_again_before_somebody_looked_at_it() -> None:
    """Another token may go at once; the same one, if it turns out to live, after a minute."""
    one = dialing()
    one.end(0, ended_by_code(807), NOON, mark="old", steady_ns=0)
    assert not may(one, NOON + 59 * SECOND, mark="old", silent=True)
    assert may(one, NOON, mark="new")
    assert may(one, NOON + 60 * SECOND, mark="old")
    one.end(0, ended_by_code(807), NOON + 60 * SECOND, mark="old", steady_ns=0)
    assert not may(one, NOON + 120 * SECOND, mark="old")
    one.end(0, ended_by_code(807), NOON + 60 * SECOND, mark="new", steady_ns=0)
    assert may(one, NOON + 120 * SECOND, mark="new"), "another token's refusals are its own"


@pytest.mark.proves("I-93")
def test_two_connections_that_hear_of_one_death_hear_one() -> None:
    """The second one's refusal is the first one's: a minute, not two."""
    one = dialing()
    one.end(0, ended_by_code(807), NOON, mark="t", steady_ns=0)
    one.end(1, ended_by_code(807), NOON + 1, mark="t", steady_ns=0)
    assert may(one, NOON + 60 * SECOND, mark="t")


@pytest.mark.proves("I-93", "T20")
def test_a_token_that_is_taken_again_is_shown_at_once() -> None:
    """The profile answered with it: nobody waits out a minute for nothing."""
    one = dialing()
    one.end(0, ended_by_code(807), NOON, mark="t", steady_ns=0)
    one.take_token()
    assert may(one, NOON + SECOND, mark="t")
    one.end(0, ended_by_code(807), NOON + SECOND, mark="t", steady_ns=0)
    assert may(one, NOON + 61 * SECOND, mark="t"), "it is refused for the first time again"


@pytest.mark.proves("T28")
@pytest.mark.parametrize(
    ("minute", "allowed"), [(-61, True), (-60, False), (0, False), (119, False), (120, True)]
)
def test_nobody_connects_in_the_rush_of_the_open_without_an_outage(
    minute: int, *, allowed: bool
) -> None:
    """From 09:14 to 09:17 only real silence is a reason (T28)."""
    one = dialing()
    assert may(one, OPEN + minute * SECOND) is allowed
    assert may(one, OPEN + minute * SECOND, silent=True)


@pytest.mark.proves("T28")
def test_a_fourth_connection_within_five_minutes_needs_an_outage() -> None:
    """The broker blocks accounts that come too often; silence is worth the risk (T28)."""
    one = dialing()
    for seconds in (0, 10, 20):
        assert may(one, NOON + seconds * SECOND)
        one.dial(NOON + seconds * SECOND)
    assert not may(one, NOON + 299 * SECOND)
    assert may(one, NOON + 299 * SECOND, silent=True)
    assert may(one, NOON + 300 * SECOND)
