"""One step of the engine, its fault kept: what a step that raised decided is never sent."""

from collections.abc import Callable

import msgspec

from holdfast.core.engine import NOTHING, Engine, Step
from holdfast.domain.event import AnyEvent


class StepFault(msgspec.Struct, frozen=True, kw_only=True):
    """What stepping an event raised, in words. The engine is half way through it."""

    error: str


def attempt(step: Callable[[AnyEvent], Step], event: AnyEvent) -> Step | StepFault:
    """Step an event; an exception is a value, because an exit of somebody may hang on what follows."""
    try:
        return step(event)
    except Exception as error:  # noqa: BLE001 decisions 2.5: what raised is stepped once more, bare
        return StepFault(error=f"{type(error).__name__}: {error}")


def leave_out(engine: Engine, sequence: int, event: AnyEvent) -> Step:
    """Leave an event that cannot be stepped out of everything but the books, and of them if need be.

    It decides nothing; the engine is disarmed from here on.
    """

    def fold(event: AnyEvent) -> Step:
        engine.step_books(event)
        return NOTHING

    engine.disarm(sequence)
    attempt(fold, event)
    return NOTHING
