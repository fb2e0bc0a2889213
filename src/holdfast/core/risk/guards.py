"""The broker's own guards over the whole account: asked for last, and never assumed (T25).

Each can be refused, stay unanswered or not be offered: that is told, and nothing here waits for it.
"""

from typing import Final

from holdfast.core.settings import SECOND_NS
from holdfast.core.state import State
from holdfast.domain.command import (
    AnyCommand,
    BrokerKillSwitch,
    ExitAll,
    Notify,
    SetLossExit,
    Severity,
)
from holdfast.domain.decision import Values
from holdfast.domain.event import Guard, GuardAnswered

AGAIN_NS: Final = 30 * SECOND_NS
"""Between two requests to the same guard."""

ASKS_MAX: Final = 5
"""A guard that was asked so often in one panic is asked no more: a person must."""


def ask_exit_all(state: State) -> None:
    """Let the broker close the account, where the configuration allows for it.

    Its answer is no evidence: the book tells what became of it.
    """
    if state.settings.guards.exit_all:
        _ask(state, Guard.EXIT_ALL, ExitAll())


def ask_kill_switch(state: State) -> None:
    """Let the broker refuse every further order of the day, where the configuration wants it."""
    if state.settings.guards.kill_switch:
        _ask(state, Guard.KILL_SWITCH, BrokerKillSwitch())


def set_loss_exit(state: State) -> None:
    """Once entries are armed, set the broker's own loss exit beyond our daily limit.

    It guards the account when this machine is gone. The figure is absolute: a start asks again.
    """
    guards = state.settings.guards
    is_armed = state.blocked_term is None
    if is_armed and guards.loss_exit_bps and Guard.LOSS_EXIT.value not in state.guard.asks:
        limit_paise = state.settings.limits.loss_per_day_paise_max
        loss_paise = limit_paise * guards.loss_exit_bps // 10_000
        _ask(state, Guard.LOSS_EXIT, SetLossExit(loss_paise=loss_paise))


def _ask(state: State, guard: Guard, command: AnyCommand) -> None:
    watch, name = state.guard, guard.value
    asks = watch.asks.get(name, 0)
    if name in watch.taken or asks >= ASKS_MAX:
        return
    if asks and state.now_ns - watch.asked_ns[name] < AGAIN_NS:
        return
    watch.asks[name], watch.asked_ns[name] = asks + 1, state.now_ns
    state.send(command)
    if asks + 1 == ASKS_MAX:
        state.alarm("a guard of the broker is asked for the last time", {"guard": name})


def stand(state: State, recorded: tuple[AnyCommand, ...]) -> None:
    """What was recorded was asked, whatever would be decided now."""
    kinds = {
        ExitAll: Guard.EXIT_ALL,
        BrokerKillSwitch: Guard.KILL_SWITCH,
        SetLossExit: Guard.LOSS_EXIT,
    }
    for command in recorded:
        guard = kinds.get(type(command))
        if guard is not None and state.guard.asked_ns.get(guard.value) != state.now_ns:
            state.guard.asks[guard.value] = state.guard.asks.get(guard.value, 0) + 1
            state.guard.asked_ns[guard.value] = state.now_ns


def take_answer(state: State, event: GuardAnswered) -> None:
    """The broker answered a request about one of its guards.

    That its loss exit is not offered is no danger by itself: our own limit stands.
    """
    values: Values = {"guard": event.guard.value, "reason": event.reason}
    if event.is_done:
        state.guard.taken.add(event.guard.value)
    if event.guard is Guard.LOSS_EXIT:
        word = "set" if event.is_done else f"not set: {event.reason}"
        severity = Severity.INFO if event.is_done else Severity.WARNING
        state.send(Notify(severity=severity, text=f"the broker's own loss exit is {word}"))
        return
    state.alarm("guard taken" if event.is_done else "guard refused", values)
