"""What the checkers of the exchange's own truth call broken, and what not."""

from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.domain.order import OrderId, Refusal
from holdfast.exchange.venue import Placement
from holdfast.worlds.checkers import Broken
from holdfast.worlds.truths import NoIdTwice
from tests.support.shell import placement

EXIT = OrderId("SSIM001261120-X0202-1-0")


def received(*, is_taken: bool) -> Placement:
    """An exit as the exchange received it."""
    refusal = None if is_taken else Refusal.IP
    terms = placement().terms
    return Placement(order_id=EXIT, terms=terms, at_ns=1, refusal=refusal, is_taken=is_taken)


def look(*lives: Placement) -> None:
    """Let the checker see one placement in each life of the program."""
    world: Any = SimpleNamespace(exchange=SimpleNamespace(placed_in_order=[]), lives=0)
    checker = NoIdTwice()
    for placed in lives:
        world.lives += 1
        world.exchange.placed_in_order.append(placed)
        checker.after_exchange(world, 1)


@pytest.mark.proves("T21")
def test_an_id_that_the_door_refused_may_come_again_in_the_next_life_and_then_never() -> None:
    """A crash took the record, no book holds it. Once it was taken it is an order's for good."""
    refused, taken = received(is_taken=False), received(is_taken=True)
    look(refused, refused, taken)
    with pytest.raises(Broken, match="twice"):
        look(refused, taken, refused)
    with pytest.raises(Broken, match="twice"):
        look(taken, taken)


def test_no_life_asks_twice_under_one_id() -> None:
    """Whatever was answered."""
    refused = received(is_taken=False)
    world: Any = SimpleNamespace(exchange=SimpleNamespace(placed_in_order=[refused] * 2), lives=1)
    with pytest.raises(Broken, match="twice"):
        NoIdTwice().after_exchange(world, 1)
