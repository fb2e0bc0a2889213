"""How many requests the broker takes."""

import pytest

from holdfast.exchange.rates import SECOND_NS, RateLimits, RequestRates


@pytest.mark.parametrize(
    ("limits", "name", "length_s"),
    [
        (RateLimits(second=3), "second", 1),
        (RateLimits(second=99, minute=3), "minute", 60),
        (RateLimits(second=99, minute=99, hour=3), "hour", 3_600),
        (RateLimits(second=99, minute=99, hour=99, day=3), "day", 86_400),
    ],
)
def test_every_window_has_its_limit(limits: RateLimits, name: str, length_s: int) -> None:
    """They slide: room is again when the oldest request has left the window, not before."""
    rates = RequestRates(limits)
    length_ns = length_s * SECOND_NS
    assert [rates.take(n) for n in (0, 0, 1)] == [None] * 3
    assert rates.take(length_ns - 1) == name
    assert rates.take(length_ns) is None, "both of instant 0 have left"
    assert rates.take(length_ns) is None
    assert rates.take(length_ns) == name


def test_what_was_refused_does_not_count() -> None:
    """Who asks too often loses nothing but the answer."""
    rates = RequestRates(RateLimits(second=1))
    assert rates.take(0) is None
    assert [rates.take(n) for n in range(1, 50)] == ["second"] * 49
    assert rates.take(SECOND_NS) is None


def test_the_limits_are_those_of_the_broker() -> None:
    """10 a second, 250 a minute, 1,000 an hour, 7,000 a day."""
    assert [limit for _, _, limit in RateLimits().windows()] == [10, 250, 1_000, 7_000]
