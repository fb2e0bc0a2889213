"""How far our clock is from the broker's, as far as stamps in whole seconds can tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.brokers.dhan.skew import SECOND_NS, SkewWatch

DATE_NS = 1_763_700_000 * SECOND_NS


@pytest.mark.parametrize(
    ("sent_s", "heard_s", "skew_s"),
    [
        (0.1, 0.9, 0.0),
        (-3.0, 2.0, 0.0),
        (0.99, 5.0, 0.0),
        (-4.0, -3.0, -3.0),
        (3.5, 4.0, 2.5),
    ],
)
def test_only_what_the_stamp_rules_out_is_a_difference(
    sent_s: float, heard_s: float, skew_s: float
) -> None:
    """The stamp was made between sending and hearing, within its second."""
    watch = SkewWatch()
    sent_ns, heard_ns = (DATE_NS + round(one * SECOND_NS) for one in (sent_s, heard_s))
    watch.hear(sent_ns, heard_ns, DATE_NS)
    assert watch.skew_ns == round(skew_s * SECOND_NS)


def test_a_difference_is_told_when_it_changes_by_half_a_second_and_when_it_ends() -> None:
    """Each answer has a stamp: what says nothing new is not journaled (decisions 2.12)."""
    watch = SkewWatch()
    told = []
    for ahead_ms in (0, 100, 2_600, 2_700, 3_200, 0, 0):
        sent_ns = DATE_NS + SECOND_NS + ahead_ms * 1_000_000
        event = watch.hear(sent_ns, sent_ns + 1, DATE_NS)
        told.append(None if event is None else event.skew_ms)
    assert told == [None, None, 2_600, None, 3_200, 0, None]


@given(st.integers(-20_000, 20_000), st.lists(st.integers(0, 5_000), min_size=1, max_size=50))
def test_a_steady_difference_is_never_overstated_and_told_a_few_times_at_most(
    ahead_ms: int, after_ms: list[int]
) -> None:
    """Whole seconds blur each answer by one: that is no reason to tell each of them."""
    watch, told, theirs_ns = SkewWatch(), [], DATE_NS
    for wait_ms in after_ms:
        theirs_ns += wait_ms * 1_000_000
        sent_ns = theirs_ns + ahead_ms * 1_000_000
        stamp_ns = theirs_ns + 10_000_000
        heard_ns = sent_ns + 30_000_000
        told.append(watch.hear(sent_ns, heard_ns, stamp_ns - stamp_ns % SECOND_NS))
        assert abs(watch.skew_ns) <= abs(ahead_ms) * 1_000_000 + 20_000_000
    assert len([event for event in told if event is not None]) <= 3


def test_many_answers_narrow_it_down() -> None:
    """To how long an answer takes."""
    watch, ahead_ns = SkewWatch(), 10 * SECOND_NS
    for number in range(40):
        theirs_ns = DATE_NS + number * 123_000_000
        sent_ns = theirs_ns + ahead_ns
        watch.hear(sent_ns, sent_ns + 1_000_000, theirs_ns - theirs_ns % SECOND_NS)
    assert ahead_ns - 30_000_000 <= watch.skew_ns <= ahead_ns
