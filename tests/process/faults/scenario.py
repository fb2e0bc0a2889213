"""What a scenario is: when it strikes, what goes wrong, what we do then, and what must hold."""

from enum import StrEnum
from typing import Any

import msgspec


class Moment(StrEnum):
    """What is under way when it strikes.

    HELD: a position whose stop was seen. ENTRY: nothing; the next entry, its fills and its stop are
    what is struck. EXIT: the position is being closed by a person. TRAIL: the price rises, so that
    the stop follows, and falls back through it. TRIGGER: the price falls through the stop.
    """

    HELD = "held"
    ENTRY = "entry"
    EXIT = "exit"
    TRAIL = "trail"
    TRIGGER = "trigger"


class Act(StrEnum):
    """What somebody does at the strike, beside the faults."""

    NOTHING = "nothing"
    LOGIN = "somebody else logs in"
    LOGIN_TWICE = "somebody else logs in again"
    SQUARE_OFF = "the broker squares off"
    SELL_PART = "the owner sells half"
    SELL_ALL = "the owner sells everything"
    KILL_BROKER = "the broker's server is killed and comes back"


class End(StrEnum):
    """What must have become of the position. OPEN: held, its stop seen; FLAT: nothing is held."""

    OPEN = "open"
    FLAT = "flat"
    EITHER = "either"


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One row. `faults` are asked of the control address at the strike; times are the server's.

    `for_s` is how long they stay. `disarmed` are terms of readiness of which one must have been
    shown while it lasted; empty: none has to. `exit_by` is how the program closes. `heals_s` is how
    soon after it entries must be armed again, 0: not on that day. `is_for_test`: `make test` plays
    it too. `is_last`: what it leaves behind lasts for the day, so that nothing can be played after
    it in the same life. `is_fresh`: a position to which nothing was done before (a stop that was
    cancelled once is placed again once, T11).
    """

    name: str
    ids: tuple[str, ...]
    moment: Moment
    faults: tuple[dict[str, Any], ...] = ()
    act: Act = Act.NOTHING
    for_s: float = 20.0
    ends: End = End.EITHER
    disarmed: tuple[str, ...] = ()
    exit_by: str = "modify"
    heals_s: float = 150.0
    is_for_test: bool = False
    is_last: bool = False
    is_fresh: bool = False


def fault(kind: str, *endpoints: str, **more: Any) -> dict[str, Any]:
    """A fault as the control address takes it; it stays until the scenario lifts it."""
    told = {"kind": kind, **more}
    return {**told, "endpoints": list(endpoints)} if endpoints else told


def once(kind: str, *endpoints: str, **more: Any) -> dict[str, Any]:
    """The same, for the first that it can strike."""
    return fault(kind, *endpoints, times=1, **more)
