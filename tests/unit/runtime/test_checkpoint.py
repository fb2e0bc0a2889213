"""Going back behind a step that raised: the engine as it was, for everybody who holds it."""

from holdfast.core.engine import Engine
from holdfast.domain.event import AnyEvent
from holdfast.runtime.checkpoint import Checkpoint
from tests.support.desk import Desk, Parrot, settings


def make() -> Engine:
    return Engine(settings(), [Parrot()])


def noted(desk: Desk, checkpoint: Checkpoint, seconds: float) -> None:
    """Tick once and note every event that it took."""
    known = len(desk.events)
    desk.at(seconds).tick()
    for number, event in enumerate(desk.events[known:], known + 1):
        checkpoint.note(number, event)


def test_it_goes_back_to_the_last_event_that_was_noted() -> None:
    """Through the image and the events since; who holds the engine sees it."""
    desk = Desk()
    checkpoint = Checkpoint(desk.engine, make, every=3)
    for second in range(1, 8):
        noted(desk, checkpoint, second)
    before = desk.engine.image()
    held = desk.engine
    desk.at(8).tick()
    assert held.image() != before
    assert checkpoint.go_back()
    assert held.image() == before


def test_an_image_is_kept_every_so_many_events() -> None:
    """With number and event of the last step in it."""
    kept: list[tuple[int, AnyEvent]] = []
    desk = Desk()
    checkpoint = Checkpoint(
        desk.engine, make, every=2, keep=lambda number, event, _: kept.append((number, event))
    )
    first = len(desk.events)
    for second in range(1, 6):
        noted(desk, checkpoint, second)
    assert len(kept) == (len(desk.events) - first) // 2
    assert all(desk.events[number - 1] == event for number, event in kept)


def test_where_a_strategy_hears_ticks_there_is_no_way_back() -> None:
    """And nothing is gathered meanwhile."""
    desk = Desk()
    desk.parrot.hears_ticks = True
    checkpoint = Checkpoint(desk.engine, make, every=2)
    noted(desk, checkpoint, 1)
    assert not checkpoint.go_back()
    assert checkpoint._since == []  # noqa: SLF001
