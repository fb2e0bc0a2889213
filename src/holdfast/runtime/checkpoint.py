"""The engine of a moment ago: an image of it and the events since, to go back behind a failed step.

A step that raises leaves the engine half way through an event: quantities taken over, orders not
yet asked for. Stepping on from there would count a fill as known that no position ever saw. So the
engine is made again as it was before that event.
"""

import gc
from collections.abc import Callable

from holdfast.core.engine import Engine
from holdfast.domain.event import AnyEvent

EVERY: int = 5_000
"""Events between two images: so many are stepped again at a failure (about a tenth of a second)."""

Keep = Callable[[int, AnyEvent, bytes], None]
"""Takes an image with number and event of the last step in it; it must not wait for a disk."""


class Checkpoint:
    """Keeps the newest image of one engine, and what it was told since."""

    def __init__(
        self,
        engine: Engine,
        make: Callable[[], Engine],
        *,
        every: int = EVERY,
        keep: Keep | None = None,
    ) -> None:
        """`make` gives an engine that was never stepped, with new strategies."""
        self._engine = engine
        self._make = make
        self._every = every
        self._keep = keep
        self._since: list[AnyEvent] = []
        self._image = self._taken()

    def note(self, sequence: int, event: AnyEvent) -> None:
        """An event was stepped whole."""
        if self._image is None:
            return
        self._since.append(event)
        if len(self._since) >= self._every:
            self.renew(sequence, event)

    def renew(self, sequence: int, event: AnyEvent) -> None:
        """Take an image now, after the step of this event."""
        self._image = self._taken()
        self._since.clear()
        if self._keep is not None and self._image is not None:
            self._keep(sequence, event, self._image)

    def _taken(self) -> bytes | None:
        """An image, made while the garbage collector waits: it would walk the whole process for it."""
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            return self._engine.image()
        finally:
            if was_enabled:
                gc.enable()

    def go_back(self) -> bool:
        """Make the engine as it was after the last event noted; `False` where that cannot be."""
        if self._image is None:
            return False
        again = self._make()
        again.restore(self._image)
        for event in self._since:
            again.step(event)
        self._engine.become(again)
        return True
