"""The broker's own guards over the whole account: asked for last, and never assumed (T25)."""

from holdfast.core.state import State
from holdfast.domain.decision import Values
from holdfast.domain.event import GuardAnswered


def take_answer(state: State, event: GuardAnswered) -> None:
    """The broker answered a request about one of its guards."""
    values: Values = {"guard": event.guard.value, "reason": event.reason}
    state.alarm("guard taken" if event.is_done else "guard refused", values)
