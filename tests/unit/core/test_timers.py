"""Deadlines: one per key, in order of time and then of key."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.timers import Rank, TimerKey, Timers

CANDLE = TimerKey(Rank.CANDLE, 60, "IDX_I:13")
FIVE_MINUTES = TimerKey(Rank.CANDLE, 300, "IDX_I:13")
SWEEP = TimerKey(Rank.SWEEP)


def test_what_runs_first_at_one_instant_is_written_down() -> None:
    """Candles, connections, orders, positions, the sweep, the session's edges, the book, polls (4.22)."""
    assert [(rank.name, rank.value) for rank in Rank] == [
        ("CANDLE", 0),
        ("CONNECTION", 1),
        ("ORDER", 2),
        ("POSITION", 3),
        ("SWEEP", 4),
        ("SESSION", 5),
        ("BOOK", 6),
        ("POLL", 7),
        ("PANIC", 8),
    ]
    assert tuple(SWEEP) == (Rank.SWEEP, 0, "")


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


def test_a_replaced_deadline_hides_no_other() -> None:
    """What was put off is skipped; the next one in time is found behind it."""
    timers = Timers()
    timers.set(SWEEP, 10)
    timers.set(CANDLE, 20)
    timers.set(SWEEP, 30)
    assert timers.deadline_ns == 20
    assert [timers.pop_due(at) for at in (10, 20, 30, 30)] == [None, CANDLE, SWEEP, None]


@given(
    orders=st.lists(
        st.tuples(
            st.sampled_from(["set", "earlier", "clear", "pop"]),
            st.sampled_from([CANDLE, FIVE_MINUTES, SWEEP]),
            st.integers(0, 20),
        ),
        max_size=40,
    )
)
def test_deadlines_are_those_of_a_plain_table(orders: list[tuple[str, TimerKey, int]]) -> None:
    """However they are set, put off and cleared: the earliest is next, ties by key."""
    timers = Timers()
    plain: dict[TimerKey, int] = {}
    for what, key, at_ns in orders:
        if what == "set":
            timers.set(key, at_ns)
            plain[key] = at_ns
        elif what == "earlier":
            timers.set_earlier(key, at_ns)
            plain[key] = min(at_ns, plain.get(key, at_ns))
        elif what == "clear":
            timers.clear(key)
            plain.pop(key, None)
        else:
            due = min(((at, one) for one, at in plain.items() if at <= at_ns), default=None)
            assert timers.pop_due(at_ns) == (None if due is None else due[1])
            if due is not None:
                del plain[due[1]]
        assert timers.deadline_ns == min(plain.values(), default=None)


def test_nobody_was_there_to_be_called_before_a_start() -> None:
    """What was due earlier is due then, in key order; what is later stays, and so does the count."""
    timers = Timers()
    timers.set(SWEEP, 20)
    timers.set(CANDLE, 10)
    timers.set(FIVE_MINUTES, 90)
    timers.postpone(50)
    assert timers.deadline_ns == 50
    assert [timers.pop_due(50) for _ in range(3)] == [CANDLE, SWEEP, None]
    assert timers.pop_due(90) == FIVE_MINUTES
