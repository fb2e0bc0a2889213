"""What the operator's verbs say: fixed texts, so that a script and a person read the same."""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from holdfast.core.drift import OpenDrift
from holdfast.core.view import Held, View
from holdfast.research.text import clock, figures, rupees, table

LIFT: Final = {"pause": "holdfast resume --reason TEXT"}
UNLOCK: Final = "holdfast unlock --reason TEXT"


class By(StrEnum):
    """Who has done what was asked."""

    PROGRAM = "done by the running program"
    HERE = "done here, nothing else runs"
    NOBODY_YET = "asked of the running program, which has not done it yet"


def told(do: str, view: View | None, *, by: By, durable: bool) -> str:
    """What came of a request, and what is left to do."""
    lines = [f"{do}: {by.value}"]
    if not durable:
        lines.append("  it is not on the disk yet: ask again before you rely on it")
    if view is None:
        lines.append("  the engine is still being recovered; it will do it then")
        return "\n".join(lines) + "\n"
    return "\n".join([*lines, *standing(view, runs=by is not By.HERE)]) + "\n"


def standing(view: View, *, runs: bool = True) -> list[str]:
    """How the account stands, and what a person must do about it. `runs`: a program trades there."""
    return [
        *_halt(view, runs=runs),
        *_positions(view),
        *_orders(view),
        *_not_ours(view),
        *[f"  {line}" for line in drifts(view.open_drifts).splitlines() if view.open_drifts],
    ]


def written_halt(run: str, level: str, reason: str, *, is_halted: bool) -> str:
    """What the halt file of a run that is not over says, and what the person must do."""
    if not is_halted:
        return f"{run} is not over and not halted\n"
    lines = [f"{run} is not over, and halted ({level}): {reason}"]
    lines.append("  the next run goes on with it and enters nothing")
    return "\n".join([*lines, f"  lift it with: {UNLOCK}"]) + "\n"


def drifts(found: Sequence[OpenDrift]) -> str:
    """Every open difference, and how to acknowledge it."""
    if not found:
        return "no difference is open\n"
    headings = ("key", "contract", "ours", "theirs", "since", "now")
    rows = [
        (one.key, one.symbol, str(one.ours), str(one.theirs), clock(one.since_ns), _now(one))
        for one in found
    ]
    shown = table(headings, rows, left=(0, 1, 5))
    return "\n".join([*shown, f"entries there are off until: {ACKNOWLEDGE}"]) + "\n"


ACKNOWLEDGE: Final = "holdfast drift acknowledge KEY --reason TEXT"


def _now(one: OpenDrift) -> str:
    return "differs" if one.is_present else "agrees again"


def _halt(view: View, *, runs: bool) -> list[str]:
    if view.halt.value == "none" and not runs:
        return ["  not halted: the next run may enter"]
    if view.halt.value == "none":
        if view.blocked_by is None:
            return ["  not halted; entries may go out"]
        return [
            f"  not halted; entries are off: {view.blocked_by} ({figures(view.blocked_values)})"
        ]
    lift = LIFT.get(view.halt.value, UNLOCK)
    return [f"  halted ({view.halt.value}): {view.halt_reason}", f"  lift it with: {lift}"]


def _positions(view: View) -> list[str]:
    if not view.positions:
        return ["  no position of ours is open"]
    return [_held(one) for one in view.positions]


def _held(one: Held) -> str:
    closing = f"being closed ({one.exit_rule})" if one.exit_rule else "held"
    closing += "" if one.carried_from is None else f", carried from {one.carried_from}"
    stop = "stop seen at the broker" if one.is_stop_seen else "no stop at the broker"
    bare = "" if one.unprotected_ms is None else f", unprotected for {one.unprotected_ms} ms"
    was = f", {one.was_unprotected_ms} ms in all" if one.was_unprotected_ms else ""
    return (
        f"  position {one.position}: {one.quantity} {one.symbol} {one.product.value}, {closing};"
        f" stop {rupees(one.stop_paise)}, {stop}{bare}{was}"
    )


def _orders(view: View) -> list[str]:
    if not view.live_orders:
        return []
    return [f"  orders that could still fill: {', '.join(view.live_orders)}"]


def _not_ours(view: View) -> list[str]:
    """What the broker holds and no position of ours explains: nobody here closes it (T14).

    Only by a read that tells of all that we did: who sold on an older one would sell twice (T5).
    """
    if not view.is_read_since:
        return []
    ours: Counter[tuple[str, str]] = Counter()
    for held in view.positions:
        ours[held.instrument, held.product.value] += held.quantity
    excess = [(one, one.net - ours[one.instrument, one.product.value]) for one in view.broker]
    return [
        f"  at the broker, not ours: {quantity} {one.symbol} {one.product.value};"
        " close it in the broker's app"
        for one, quantity in excess
        if quantity
    ]
