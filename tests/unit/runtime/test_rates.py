"""The rate of the broker: no window is ever exceeded, and exits find what is kept for them (T7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.runtime.rates import LIMITS, SECOND_NS, TRAVEL_NS, Bucket, Category, Governor, Window

SMALL = (Window(10, 3, 2), Window(100, 5, 4))


@pytest.mark.proves("T7")
def test_the_limits_are_those_of_the_broker() -> None:
    """Every window of every category, and the share of ordinary traffic."""
    told = {
        category.value: [(w.length_ns // SECOND_NS, w.most, w.ordinary) for w in windows]
        for category, windows in LIMITS.items()
    }
    assert told == {
        "orders": [(1, 10, 8), (60, 250, 150), (3_600, 1_000, 600), (86_400, 7_000, 5_000)],
        "reads": [(1, 20, 10)],
        "quotes": [(1, 1, 1)],
        "data": [(1, 5, 5)],
        "chain": [(3, 1, 1)],
    }


def sent_by(bucket: Bucket, asked: list[tuple[int, bool]]) -> list[tuple[int, bool]]:
    """When requests leave that are asked for in this order, each as early as it may."""
    left: list[tuple[int, bool]] = []
    now_ns = 0
    for after_ns, is_ordinary in asked:
        now_ns = max(now_ns + after_ns, bucket.free_ns(is_ordinary=is_ordinary))
        bucket.take(now_ns)
        left.append((now_ns, is_ordinary))
    return left


@pytest.mark.proves("T7")
@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=40))
def test_no_stretch_of_any_window_holds_more_than_its_limit(asked: list[tuple[int, bool]]) -> None:
    """Wherever it begins; and an ordinary one leaves only below its share of all that left."""
    left = sent_by(Bucket(SMALL), asked)
    for window in SMALL:
        for number, (at_ns, is_ordinary) in enumerate(left):
            within = [one for one, _ in left[: number + 1] if one > at_ns - window.length_ns]
            assert len(within) <= window.most
            assert not is_ordinary or len(within) <= window.ordinary


@pytest.mark.proves("T7", "I-44")
def test_what_is_kept_for_exits_is_there_after_any_ordinary_traffic() -> None:
    """As many as the windows keep, at once, in each of them."""
    for length_ns, most, ordinary in LIMITS[Category.ORDERS]:
        bucket = Bucket((Window(length_ns, most, ordinary),))
        for _ in range(ordinary):
            assert bucket.free_ns(is_ordinary=True) == 0
            bucket.take(1)
        assert bucket.free_ns(is_ordinary=True) == 1 + length_ns
        for _ in range(most - ordinary):
            assert bucket.free_ns() == 0
            bucket.take(1)
        assert bucket.free_ns() == 1 + length_ns


def test_tokens_that_were_taken_elsewhere_come_back_in_their_own_order() -> None:
    """What the journal tells of may be told late; each comes back a window after it was taken."""
    bucket = Bucket(SMALL)
    for at_ns in (7, 3, 5):
        bucket.take(at_ns)
    assert (bucket.free_ns(), bucket.free_ns(is_ordinary=True)) == (13, 15)
    assert bucket.free_ns(cost=2) == 15
    assert bucket.used(8) == (3, 3)
    assert bucket.used(14) == (2, 3)
    with pytest.raises(AssertionError, match="never fit"):
        bucket.free_ns(cost=4)


def test_what_did_not_leave_is_given_back_once() -> None:
    """Its own token: others of the same moment stay taken, and what is not there cannot be given."""
    bucket = Bucket(SMALL)
    for at_ns in (3, 5, 5):
        bucket.take(at_ns)
    bucket.give_back(5)
    assert bucket.used(8) == (2, 2)
    bucket.give_back(4)
    bucket.give_back(9)
    assert bucket.used(8) == (2, 2)
    bucket.give_back(5)
    bucket.give_back(5)
    assert bucket.used(8) == (1, 1)


def test_a_bucket_forgets_what_no_window_can_hold_any_more() -> None:
    """A day of thousands of requests costs no more than its longest window."""
    bucket = Bucket((Window(10, 3, 2),))
    for at_ns in range(0, 1_000, 5):
        bucket.take(at_ns)
    assert bucket.used(995) == (2,)
    assert bucket.free_ns() <= 1_005


@pytest.mark.proves("T7")
@given(st.lists(st.integers(0, TRAVEL_NS), min_size=30, max_size=30))
def test_no_second_at_the_broker_holds_more_than_its_limit(travelled: list[int]) -> None:
    """It counts arrivals, and some requests travel longer than others."""
    bucket = Governor()[Category.ORDERS]
    left = sent_by(bucket, [(0, False)] * len(travelled))
    arrived = sorted(at_ns + late_ns for (at_ns, _), late_ns in zip(left, travelled, strict=True))
    for first_ns, eleventh_ns in zip(arrived, arrived[10:], strict=False):
        assert eleventh_ns - first_ns >= SECOND_NS


def test_categories_are_counted_apart() -> None:
    """Reading quotes never keeps an exit waiting."""
    governor = Governor()
    governor[Category.QUOTES].take(5)
    assert governor[Category.QUOTES].free_ns() == 5 + SECOND_NS + TRAVEL_NS
    assert governor[Category.ORDERS].free_ns() == 0
