"""How many requests one account may make."""

import pytest

from holdfast.simbroker.dhan.limits import SECOND_NS, Limits
from holdfast.simbroker.dhan.route import Limit


@pytest.mark.parametrize(
    ("limit", "most", "seconds"),
    [
        (Limit.ORDERS, 10, 1),
        (Limit.DATA, 5, 1),
        (Limit.QUOTES, 1, 1),
        (Limit.READS, 20, 1),
        (Limit.CHAIN, 1, 3),
    ],
)
def test_so_many_fit_into_the_shortest_window(limit: Limit, most: int, seconds: int) -> None:
    """One more does not; a whole window after the first there is room again."""
    limits = Limits()
    assert [limits.take(limit, 0) for _ in range(most + 1)] == [True] * most + [False]
    assert not limits.take(limit, seconds * SECOND_NS - 1)
    assert limits.take(limit, seconds * SECOND_NS)


def test_orders_have_a_minute_an_hour_and_a_day() -> None:
    """What was refused does not count."""
    limits = Limits()
    taken = 0
    for second in range(86_400 + 1):
        taken += limits.take(Limit.ORDERS, second * SECOND_NS)
        if second == 59:
            assert taken == 60
        if second == 3_599:
            assert taken == 1_000
        if second == 86_399:
            assert taken == 7_000
    assert taken == 7_001


def test_two_hundred_and_fifty_in_a_minute() -> None:
    """Ten a second reach it after twenty-five."""
    limits = Limits()
    taken = sum(limits.take(Limit.ORDERS, at * SECOND_NS // 10) for at in range(600))
    assert taken == 250


def test_chains_are_counted_apart_by_what_they_ask() -> None:
    """Another underlying is another request."""
    limits = Limits()
    assert limits.take(Limit.CHAIN, 0, key="NIFTY")
    assert limits.take(Limit.CHAIN, 0, key="BANKNIFTY")
    assert not limits.take(Limit.CHAIN, 1, key="NIFTY")


def test_what_is_not_limited_is_not_counted() -> None:
    """The auth host and the files."""
    limits = Limits()
    assert all(limits.take(Limit.NONE, 0) for _ in range(1_000))
