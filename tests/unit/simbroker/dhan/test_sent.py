"""Every packet that was sent."""

from holdfast.simbroker.dhan.board import Snapshot
from holdfast.simbroker.dhan.packets import full, ticker
from holdfast.simbroker.dhan.sent import SentTicks
from tests.support.desk import OPEN
from tests.unit.simbroker.dhan.market_day import CALL

SHOWN = Snapshot(contract=CALL, at_ns=OPEN, last_paise=118_50, traded_at_ns=OPEN, volume=65)


def test_what_was_sent_is_read_from_any_number_on() -> None:
    """In order, with its time, its connection and its fields."""
    sent = SentTicks()
    for number in range(10):
        sent.add(OPEN + number, number % 2 + 1, full(SHOWN) if number else ticker(SHOWN))
    first, *_ = sent.after(0)
    assert (first.number, first.code, first.packet) == (1, 2, ticker(SHOWN))
    assert [one.number for one in sent.after(7)] == [8, 9, 10]
    assert [one.number for one in sent.after(3, limit=2)] == [4, 5]
    (last,) = sent.after(9)
    assert (last.at_ns, last.connection, last.segment) == (OPEN + 9, 2, 2)
    assert last.security_id == CALL.security_id
    assert (last.fields["last_paise"], last.fields["volume"]) == (118_50, 65)
    assert (sent.after(10), len(sent)) == ([], 10)


def test_what_was_spoilt_is_kept_too() -> None:
    """It has bytes and no fields."""
    sent = SentTicks()
    sent.add(OPEN, 1, full(SHOWN)[:20])
    sent.add(OPEN, 1, b"")
    assert [(one.code, one.fields) for one in sent.after(0)] == [(8, {}), (0, {})]
