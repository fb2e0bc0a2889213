"""How long messages travel."""

import pytest

from holdfast.exchange.latency import MILLISECOND_NS, Latency


def test_every_leg_stays_within_its_bounds_and_uses_them() -> None:
    """Requests 40-120 ms, answers 20-80 ms, updates 30-150 ms, unless told otherwise."""
    latency = Latency(seed=1)
    for leg, low, high in (
        (latency.request, 40, 120),
        (latency.response, 20, 80),
        (latency.update, 30, 150),
    ):
        drawn = [leg(f"A/{number}") / MILLISECOND_NS for number in range(500)]
        assert low <= min(drawn) < low + 2
        assert high - 2 < max(drawn) <= high


def test_a_message_travels_as_long_whatever_else_was_sent() -> None:
    """Its name alone decides, so one request more shifts no other."""
    assert Latency(seed=1).update("A/1") == Latency(seed=1).update("A/1")
    assert Latency(seed=1).update("A/1") != Latency(seed=2).update("A/1")
    assert Latency(seed=1).update("A/1") != Latency(seed=1).update("A/2")


@pytest.mark.parametrize("bounds", [(-1, 5), (6, 5)])
def test_nothing_arrives_before_it_was_sent(bounds: tuple[int, int]) -> None:
    """Nor does a leg have bounds the wrong way round."""
    with pytest.raises(ValueError, match="no latency"):
        Latency(seed=1, response_ns=bounds)
