"""Deadlines: one per key, in order of time and then of key."""

from holdfast.core.timers import Rank, TimerKey, Timers

CANDLE = TimerKey(Rank.CANDLE, 60, "IDX_I:13")
FIVE_MINUTES = TimerKey(Rank.CANDLE, 300, "IDX_I:13")
SWEEP = TimerKey(Rank.SWEEP)


def test_a_key_has_one_deadline_and_the_last_one_set_holds() -> None:
    """Setting again replaces, earlier or later."""
    timers = Timers()
    timers.set(SWEEP, 50)
    timers.set(SWEEP, 20)
    timers.set(SWEEP, 90)
    assert timers.deadline_ns == 90
    assert timers.pop_due(89) is None
    assert timers.pop_due(90) == SWEEP
    assert timers.deadline_ns is None


def test_set_earlier_never_puts_a_call_off() -> None:
    """A call that is due anyway is not delayed."""
    timers = Timers()
    timers.set_earlier(SWEEP, 50)
    timers.set_earlier(SWEEP, 80)
    assert timers.deadline_ns == 50
    timers.set_earlier(SWEEP, 30)
    assert timers.deadline_ns == 30


def test_a_cleared_key_is_not_called() -> None:
    """Clearing removes the call, and clearing nothing is nothing."""
    timers = Timers()
    timers.set(SWEEP, 50)
    timers.clear(SWEEP)
    timers.clear(CANDLE)
    assert timers.deadline_ns is None
    assert timers.pop_due(100) is None


def test_equal_deadlines_run_in_key_order_whatever_the_order_of_setting() -> None:
    """Candles by interval, then the rest by rank (decisions 4.22)."""
    timers = Timers()
    for key in (SWEEP, FIVE_MINUTES, CANDLE):
        timers.set(key, 60)
    assert [timers.pop_due(60) for _ in range(4)] == [CANDLE, FIVE_MINUTES, SWEEP, None]


def test_a_key_set_back_to_an_old_deadline_is_called_once() -> None:
    """Entries left over from replaced deadlines call nobody."""
    timers = Timers()
    timers.set(SWEEP, 10)
    timers.set(SWEEP, 20)
    timers.set(SWEEP, 10)
    assert timers.pop_due(30) == SWEEP
    assert timers.pop_due(30) is None
