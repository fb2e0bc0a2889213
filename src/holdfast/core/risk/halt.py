"""The halt level: set by a person, a limit or a failed rule; it never expires by itself."""

from holdfast.core.state import State
from holdfast.domain.audit import Halted
from holdfast.domain.command import Notify, Severity
from holdfast.domain.decision import HaltLevel
from holdfast.domain.event import OperatorAsked, OperatorRequest

_ORDER = (HaltLevel.NONE, HaltLevel.PAUSE, HaltLevel.FLATTEN, HaltLevel.PANIC)


def raise_halt(state: State, level: HaltLevel, reason: str) -> None:
    """Halt at least to `level`. A lower level than the present one changes nothing."""
    if _ORDER.index(level) <= _ORDER.index(state.halt):
        return
    state.halt, state.halt_reason = level, reason
    state.tell(Halted(level=level, reason=reason))
    state.send(Notify(severity=Severity.ALARM, text=f"halted ({level.value}): {reason}"))


def resume(state: State, reason: str) -> None:
    """Lift the halt: only ever called for a person, who gives a reason.

    A confirmed daily loss is not lifted with it: that limit ends with the day.
    """
    if state.halt is HaltLevel.NONE:
        return
    state.halt, state.halt_reason = HaltLevel.NONE, reason
    state.rules_failed = False
    state.tell(Halted(level=HaltLevel.NONE, reason=reason))


def take_request(state: State, event: OperatorAsked) -> None:
    """Do what a person asked about the whole account."""
    match event.request:
        case OperatorRequest.PAUSE:
            raise_halt(state, HaltLevel.PAUSE, event.reason)
        case OperatorRequest.FLATTEN:
            raise_halt(state, HaltLevel.FLATTEN, event.reason)
        case OperatorRequest.PANIC:
            raise_halt(state, HaltLevel.PANIC, event.reason)
        case OperatorRequest.RESUME:
            resume(state, event.reason)
        case OperatorRequest.UNLOCK:
            resume(state, event.reason)
        case OperatorRequest.CLOSE | OperatorRequest.ACKNOWLEDGE:
            pass  # one position's own: `closing.close_by_hand`; one key's: `reconcile`
