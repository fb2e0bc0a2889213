"""The windows of the wire's faults."""

from typing import Any

import pytest

from holdfast.simbroker.dhan.wire_faults import Endpoint, WireFault, WireFaults, WireWindow


def a_window(**rest: Any) -> WireWindow:
    """Lost answers from instant 10 to 20."""
    return WireWindow(**{"kind": WireFault.ANSWER_LOST, "from_ns": 10, "until_ns": 20, **rest})


def test_a_window_strikes_from_its_first_instant_until_its_last() -> None:
    """Its own kind only; a strike is counted, a find is not."""
    faults = WireFaults(1)
    faults.add([a_window()])
    hits = [at for at in range(30) if faults.finds(WireFault.ANSWER_LOST, "a", at)]
    assert hits == list(range(10, 20))
    assert faults.finds(WireFault.REQUEST_LOST, "a", 10) is None
    assert not faults.struck
    assert faults.strikes(WireFault.ANSWER_LOST, "a", 10) is not None
    assert faults.struck == {WireFault.ANSWER_LOST: 1}


def test_it_is_confined_to_endpoints_and_fields() -> None:
    """A caller that names no endpoint means all of them."""
    faults = WireFaults(1)
    faults.add([a_window(endpoints=(Endpoint.PLACE,), only={"quantity": "65"})])

    def is_struck(endpoint: Endpoint | None, **fields: Any) -> bool:
        kind = WireFault.ANSWER_LOST
        return faults.finds(kind, "a", 10, endpoint=endpoint, fields=fields) is not None

    assert is_struck(Endpoint.PLACE, quantity=65)
    assert is_struck(None, quantity=65)
    assert not is_struck(Endpoint.CANCEL, quantity=65)
    assert not is_struck(Endpoint.PLACE, quantity=130)
    assert not is_struck(Endpoint.PLACE)


def test_a_number_of_times_is_used_up() -> None:
    """Two windows alike count apart; clearing forgets both."""
    faults = WireFaults(1)
    faults.add([a_window(times=2), a_window(times=1)])
    struck = [faults.strikes(WireFault.ANSWER_LOST, "a", 10) is not None for _ in range(5)]
    assert struck == [True, True, True, False, False]
    faults.add([a_window()])
    faults.clear()
    assert faults.strikes(WireFault.ANSWER_LOST, "a", 10) is None


def test_a_share_is_drawn_by_what_is_struck() -> None:
    """The same key draws the same again; of many about half."""
    faults = WireFaults(1)
    faults.add([a_window(share_bps=5_000)])
    first = [faults.finds(WireFault.ANSWER_LOST, f"{n}", 10) is not None for n in range(400)]
    again = [faults.finds(WireFault.ANSWER_LOST, f"{n}", 10) is not None for n in range(400)]
    assert first == again
    assert 150 < sum(first) < 250
    assert {faults.coin(WireFault.SERVER_ERROR, f"{n}") for n in range(20)} == {True, False}


def test_a_delay_is_that_of_the_kind_unless_another_is_named() -> None:
    """In nanoseconds."""
    assert a_window(kind=WireFault.FEED_LAG).wait_ns == 40_000_000_000
    assert a_window(kind=WireFault.FEED_LAG, delay_ns=7).wait_ns == 7
    assert a_window().wait_ns == 0


@pytest.mark.parametrize("wrong", [{"until_ns": 10}, {"share_bps": 0}, {"share_bps": 10_001}])
def test_a_window_that_never_strikes_is_refused(wrong: dict[str, int]) -> None:
    """Before anything waits for it."""
    with pytest.raises(ValueError, match="never strikes"):
        a_window(**wrong)
