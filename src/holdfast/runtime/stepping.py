"""One step of the engine, its fault kept: what a step that raised decided is never sent."""

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

import msgspec

from holdfast.core.engine import NOTHING, Engine, Step
from holdfast.domain.event import AnyEvent

_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")


class StepFault(msgspec.Struct, frozen=True, kw_only=True):
    """What stepping an event raised, in words. The engine is half way through it."""

    error: str


def attempt(
    step: Callable[_Given, _Answer], *given: _Given.args, **named: _Given.kwargs
) -> _Answer | StepFault:
    """Step an event; an exception is a value, because an exit of somebody may hang on what follows."""
    try:
        return step(*given, **named)
    except Exception as error:  # noqa: BLE001 decisions 2.5: what raised is stepped once more, bare
        return StepFault(error=f"{type(error).__name__}: {error}")


def take_over(engine: Engine, cause: int, now: Step, recorded: Step) -> tuple[str, ...]:
    """Make the books those of the record, as far as they can be; returns each fault in words.

    With one they are not those of the record: the broker's book must tell, and the engine is
    disarmed from here on.
    """
    faults: list[str] = []

    def do(part: Callable[[], None]) -> None:
        done = attempt(part)
        if isinstance(done, StepFault):
            faults.append(done.error)

    do(partial(engine.stand, now, recorded, do))
    if faults:
        engine.disarm(cause)
    return tuple(faults)


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
