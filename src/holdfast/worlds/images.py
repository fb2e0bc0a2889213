"""The snapshots of a whole session: a start goes on from one, as it does in the program.

In a session of hours each start would otherwise fold the whole day once more. Which one there is
goes by the disk: the last whose event, with all before it, lasts. The whole day is folded at its end.
"""

from collections import deque

from holdfast.core.engine import Engine
from holdfast.domain.event import AnyEvent
from holdfast.runtime.recover import Start

EVERY = 1_000
"""Events between two images: the program takes fewer, and its starts may take longer."""

LONG_S = 1_800
"""A world that lasts for so long keeps images; shorter ones fold all of their past at each start."""


class Images:
    """The newest images of one world."""

    def __init__(self) -> None:
        """There are none."""
        self._made: deque[Start] = deque(maxlen=3)
        self._since = 0

    def note(self, engine: Engine, sequence: int, event: AnyEvent) -> None:
        """An engine has stepped event number `sequence`."""
        self._since += 1
        if self._since < EVERY:
            return
        self._since = 0
        image = engine.image()
        if image is not None:
            self._made.append(Start(sequence=sequence, event=event, image=image))

    def lasting(self, whole: int) -> Start | None:
        """The newest of which the disk has everything, up to number `whole`; the others are gone."""
        while self._made and self._made[-1].sequence > whole:
            self._made.pop()
        return self._made[-1] if self._made else None
