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
    """Lift a pause: only ever called for a person, who gives a reason.

    What was closed for stays closed: a flatten or a panic needs `unlock`. A confirmed daily loss is
    not lifted with either: that limit ends with the day.
    """
    if state.halt in (HaltLevel.FLATTEN, HaltLevel.PANIC):
        state.alarm("a resume lifts a pause only, unlock it", {"level": state.halt.value})
        return
    _lift(state, reason)


def unlock(state: State, reason: str) -> None:
    """Lift any halt, for a person, where the books are clean: flat, read, and explained.

    A refusal changes nothing and says what is in the way.
    """
    in_the_way = unclean(state)
    if in_the_way is not None:
        state.alarm("not unlocked", {"in_the_way": in_the_way})
        return
    _lift(state, reason)


def unclean(state: State) -> str | None:
    """What of ours is held, works or is not explained; `None` when an unlock may lift a halt."""
    for position in state.live:
        if position.is_open:
            return f"position {position.number} is open"
    for name in sorted(state.orders):
        if state.orders[name].is_live:
            return f"order {name} is {state.orders[name].state.value}"
    for point in state.book.open_points:
        return f"the broker's book: {point}"
    for key in sorted(key for key, one in state.drifts.items() if not one.is_acknowledged):
        return f"a difference in {key.instrument} that nobody has acknowledged"
    return None


def _lift(state: State, reason: str) -> None:
    if state.halt is HaltLevel.NONE:
        return
    state.halt, state.halt_reason = HaltLevel.NONE, reason
    state.rules_failed = False
    state.tell(Halted(level=HaltLevel.NONE, reason=reason))


def take_request(state: State, event: OperatorAsked) -> None:
    """Do what a person asked about the whole account.

    PAUSE: no entries. FLATTEN: and everything is closed. PANIC: and the book must show it, and the
    broker's guards are asked (T25). CLOSE concerns one position and halts nothing.
    """
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
            unlock(state, event.reason)
        case OperatorRequest.CLOSE | OperatorRequest.ACKNOWLEDGE:
            pass  # one position's own: `closing.close_by_hand`; one key's: `drift.acknowledge`
