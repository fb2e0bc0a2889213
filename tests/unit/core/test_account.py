"""The session at the broker, its right to order and our clock: what is told bars entries at once."""

import pytest

from holdfast.core.readiness import first_failing
from holdfast.domain.audit import EntriesBlocked
from holdfast.domain.command import ModifyOrder, Notify, Severity
from holdfast.domain.decision import Values
from holdfast.domain.event import (
    AccountChecked,
    Action,
    ClockChanged,
    Outcome,
    TokenChanged,
)
from holdfast.domain.order import Refusal, Side
from tests.support.desk import CLOSE, OPEN, SECOND, Desk
from tests.support.exits import a_desk, close


def a_ready_desk() -> Desk:
    """A desk at which something may be entered."""
    desk = a_desk().at(60)
    for paise in (24_500.0, 24_500.0):
        desk.spot(paise)
    desk.tick()
    assert first_failing(desk.state) is None
    desk.forget()
    return desk


def a_protected_desk() -> Desk:
    """The same with one position, whose stop rests."""
    desk = a_ready_desk()
    desk.hold_by_hand(Side.BUY)
    desk.forget()
    return desk


def failing(desk: Desk) -> tuple[str, Values] | None:
    """The first term that fails."""
    return first_failing(desk.state)


@pytest.mark.proves("T20")
def test_a_token_that_dies_ends_entries_at_once_and_calls_a_person_once() -> None:
    """With what is open and what rests for it; a new one arms again, all of it in the audit."""
    desk = a_protected_desk()
    for _ in range(2):
        desk.tell(TokenChanged(at_ns=desk.now, is_valid=False, reason="Invalid Token"))
    assert failing(desk) == ("token", {"token": "Invalid Token"})
    [told] = desk.all(Notify)
    assert told.severity is Severity.ALARM
    assert "Invalid Token; close in the broker's app: position 1: 195 NIFTY" in told.text
    assert "rests at 88.00" in told.text
    desk.tell(TokenChanged(at_ns=desk.now, is_valid=True, valid_until_ns=CLOSE + 1))
    assert failing(desk) is None
    blocked = [audit for audit in desk.audits if isinstance(audit, EntriesBlocked)]
    assert [audit.term for audit in blocked] == ["token", None]


def test_a_token_that_ends_with_the_session_is_none() -> None:
    """It must outlive the close: a second less and nothing is entered all day."""
    desk = a_ready_desk()
    desk.tell(TokenChanged(at_ns=desk.now, is_valid=True, valid_until_ns=CLOSE))
    assert failing(desk) == ("token", {"token": "ends before the close"})


@pytest.mark.proves("T27")
def test_a_refusal_for_the_address_is_believed_at_once() -> None:
    """Reads go on as ever, so only the refusal tells; the person hears what is open, and once."""
    desk = a_protected_desk()
    close(desk)
    leaving = desk.last(ModifyOrder)
    desk.forget()
    desk.fail(leaving.order_id, Action.MODIFY, Outcome.REFUSED, Refusal.IP)
    assert failing(desk) == ("account", {"orders": desk.state.access.refused_reason})
    calls = [one.text for one in desk.all(Notify) if "broker's app" in one.text]
    assert len(calls) == 1
    assert "position 1: 195 NIFTY" in calls[0]


@pytest.mark.proves("T27")
def test_exits_are_tried_every_ten_seconds_whatever_is_said_of_the_account() -> None:
    """Nobody may enter; what is held is still to be closed, and the broker is asked again."""
    desk = a_protected_desk()
    close(desk)
    for _ in range(3):
        desk.forget()
        leaving = desk.state.orders[desk.state.positions[1].closers[0]]
        desk.fail(leaving.id, Action.MODIFY, Outcome.REFUSED, Refusal.IP)
        seconds = (desk.now - OPEN) / SECOND
        desk.at(seconds + 9.9)
        assert desk.all(ModifyOrder) == []
        desk.at(seconds + 10.1)
        assert len(desk.all(ModifyOrder)) == 1


@pytest.mark.proves("T27")
def test_a_check_says_that_orders_are_taken_again() -> None:
    """Only a check can: that a read was answered proves nothing."""
    desk = a_ready_desk()
    desk.tell(AccountChecked(at_ns=desk.now, orders_allowed=False, reason="Invalid IP"))
    desk.tell(AccountChecked(at_ns=desk.now, orders_allowed=False, reason="Invalid IP"))
    assert failing(desk) == ("account", {"orders": "Invalid IP"})
    desk.funds()
    assert failing(desk) == ("account", {"orders": "Invalid IP"})
    desk.tell(AccountChecked(at_ns=desk.now, orders_allowed=True))
    assert failing(desk) is None
    assert [one.severity for one in desk.all(Notify)] == [Severity.ALARM, Severity.WARNING]
    assert "nothing is open" in desk.all(Notify)[0].text


@pytest.mark.proves("T30")
@pytest.mark.parametrize("skew_ms", [2_001, -2_001])
def test_a_clock_that_is_off_by_more_than_two_seconds_bars_entries(skew_ms: int) -> None:
    """Either way; two seconds are borne. One alarm, until it was right in between."""
    desk = a_ready_desk()
    desk.tell(ClockChanged(at_ns=desk.now, skew_ms=skew_ms // 2_001 * 2_000))
    assert failing(desk) is None
    for _ in range(2):
        desk.tell(ClockChanged(at_ns=desk.now, skew_ms=skew_ms))
    assert failing(desk) == ("clock", {"skew_ms": skew_ms})
    assert len(desk.all(Notify)) == 1
    desk.tell(ClockChanged(at_ns=desk.now, skew_ms=0))
    assert failing(desk) is None
