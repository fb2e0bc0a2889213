"""The breaker of the order path: when it opens, when it looks again, what closes it."""

import pytest

from holdfast.runtime.breaker import (
    ANSWER_NS,
    FAILURES_MAX,
    PROBE_AFTER_NS,
    PROBE_AFTER_NS_MAX,
    SECOND_NS,
    WITHIN_NS,
    Breaker,
    BreakerState,
)


def opened(at_ns: int = 0) -> Breaker:
    """One that has just opened."""
    breaker = Breaker()
    for _ in range(FAILURES_MAX):
        breaker.fail(at_ns)
    assert breaker.state is BreakerState.OPEN
    return breaker


@pytest.mark.proves("ORT-4", "CBR-1")
def test_five_failures_within_thirty_seconds_open_it_and_four_do_not() -> None:
    """The numbers are those of the decision; failures that are further apart are forgotten."""
    assert (FAILURES_MAX, WITHIN_NS, PROBE_AFTER_NS, PROBE_AFTER_NS_MAX) == (
        5, 30 * SECOND_NS, 15 * SECOND_NS, 120 * SECOND_NS,
    )  # fmt: skip
    apart, close = Breaker(), Breaker()
    assert [apart.fail(number * WITHIN_NS // 4) for number in range(20)] == [False] * 20
    assert [close.fail(number * WITHIN_NS // 5) for number in range(5)] == [False] * 4 + [True]
    assert (apart.is_closed, close.is_closed) == (True, False)
    assert close.opened == 1
    assert not close.fail(WITHIN_NS), "it is open already"


@pytest.mark.proves("ORT-4")
def test_it_probes_after_fifteen_seconds_and_then_twice_as_late_each_time() -> None:
    """Up to two minutes; a probe that is not answered in time has failed."""
    breaker, now_ns, waits = opened(), 0, []
    for _ in range(5):
        due_ns = breaker.due_ns
        assert due_ns is not None
        waits.append((due_ns - now_ns) // SECOND_NS)
        assert not breaker.turn(due_ns - 1)
        assert breaker.turn(due_ns)
        assert breaker.state.value == "half_open"
        now_ns = due_ns + ANSWER_NS
        assert breaker.due_ns == now_ns
        assert not breaker.turn(now_ns)
        assert breaker.state.value == "open"
    assert waits == [15, 30, 60, 120, 120]


def test_a_failure_while_it_probes_opens_it_again() -> None:
    """Whatever call it was: the path does not work."""
    breaker = opened()
    breaker.turn(PROBE_AFTER_NS)
    assert not breaker.fail(PROBE_AFTER_NS + 1)
    assert breaker.due_ns == PROBE_AFTER_NS + 1 + 2 * PROBE_AFTER_NS


def test_the_answer_to_a_read_closes_it_while_it_probes_and_not_before() -> None:
    """Reads can work where orders do not; then it was asked."""
    breaker = opened()
    assert not breaker.answer(1, is_order=False)
    breaker.turn(PROBE_AFTER_NS)
    assert breaker.answer(PROBE_AFTER_NS + 1, is_order=False)
    assert (breaker.is_closed, breaker.due_ns) == (True, None)
    assert not breaker.answer(PROBE_AFTER_NS + 2, is_order=True)


@pytest.mark.proves("CBR-4")
def test_an_exit_that_was_answered_closes_it_at_once() -> None:
    """It went through all the while, and is the best of all probes."""
    breaker = opened()
    assert breaker.answer(1, is_order=True)
    assert breaker.is_closed


def test_one_that_opens_again_soon_waits_longer_and_later_does_not() -> None:
    """Reads that answer while orders fail would otherwise have it flap every fifteen seconds."""
    breaker = opened()
    breaker.turn(PROBE_AFTER_NS)
    breaker.fail(PROBE_AFTER_NS)
    breaker.turn(3 * PROBE_AFTER_NS)
    closed_ns = 3 * PROBE_AFTER_NS
    breaker.answer(closed_ns, is_order=False)
    for _ in range(FAILURES_MAX):
        breaker.fail(closed_ns + 1)
    assert breaker.due_ns == closed_ns + 1 + 2 * PROBE_AFTER_NS
    breaker.answer(closed_ns + 2, is_order=True)
    later_ns = closed_ns + 2 + PROBE_AFTER_NS_MAX
    for _ in range(FAILURES_MAX):
        breaker.fail(later_ns)
    assert breaker.due_ns == later_ns + PROBE_AFTER_NS
    assert breaker.opened == 3


def test_a_read_that_is_answered_while_it_is_open_brings_the_next_probe_forward() -> None:
    """However long the wait has grown; one that comes sooner is not put off."""
    breaker = opened()
    at_ns = 0
    for _ in range(4):
        assert breaker.due_ns is not None
        at_ns = breaker.due_ns
        breaker.turn(at_ns)
        breaker.fail(at_ns)
    assert breaker.due_ns == at_ns + PROBE_AFTER_NS_MAX
    assert not breaker.answer(at_ns + 1, is_order=False)
    assert breaker.due_ns == at_ns + 1 + 2 * PROBE_AFTER_NS
    assert not breaker.answer(at_ns + SECOND_NS, is_order=False)
    assert breaker.due_ns == at_ns + 1 + 2 * PROBE_AFTER_NS
