"""How far our clock is from the broker's, as far as a stamp in whole seconds can tell."""

import pytest

from holdfast.brokers.dhan.skew import SECOND_NS, SkewWatch, skew_ns

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
    sent_ns, heard_ns = (DATE_NS + round(one * SECOND_NS) for one in (sent_s, heard_s))
    assert skew_ns(sent_ns, heard_ns, DATE_NS) == round(skew_s * SECOND_NS)


def test_a_difference_is_told_when_it_changes_by_half_a_second_and_when_it_ends() -> None:
    """Each answer has a stamp: what says nothing new is not journaled (decisions 2.12)."""
    watch = SkewWatch()
    told = []
    for ahead_ms in (0, 100, 2_600, 2_700, 3_200, 0, 0):
        sent_ns = DATE_NS + SECOND_NS + ahead_ms * 1_000_000
        event = watch.hear(sent_ns, sent_ns + 1, DATE_NS)
        told.append(None if event is None else event.skew_ms)
    assert told == [None, None, 2_600, None, 3_200, 0, None]
