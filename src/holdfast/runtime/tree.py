"""What the supervisor decides: a pure fold over what happened to services.

It knows no task, no clock and no log. `step` is told one thing and the time, and answers which
services to run and to cancel; so a race between a crash, a late `ready` and a stop is a list of
inputs. The rules:

- A service starts when everything it needs is ready, and what it replaces has ended.
- One that cannot start is tried again; when a critical one is given up before everything was
  ready once, all that was started is stopped in reverse.
- One that crashed starts again after a growing pause; what needs it is stopped before and starts
  after it. Too many crashes in a row park it, and then what needs it is left alone: a position is
  better watched by an engine without a feed than by nothing.
- A service of the group `SIDE` restarts alone.
- What is not wanted any more is cancelled in reverse order of dependency; one that does not end
  in its share of the time is abandoned, and holds nobody up.
"""

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Final

import msgspec

from holdfast.domain.event import ServiceState
from holdfast.runtime.fault import Fault
from holdfast.runtime.service import Group

S = ServiceState

RUNNING: Final = frozenset({S.STARTING, S.READY, S.UNREADY})
"""States in which a life goes on that nobody has cancelled."""

PAUSING: Final = frozenset({S.WAITING, S.RESTARTING})
"""States in which there is no life, and one is wanted."""

STANDING: Final = frozenset({S.READY, S.UNREADY, S.PARKED})
"""States of a service in which those that need it may go on running."""

_STOPS_AFTER: Final = {Group.SIDE: 0, Group.ORDER: 0, Group.PRICE: 1, Group.STATE: 2}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One service as the tree knows it."""

    name: str
    needs: tuple[str, ...] = ()
    group: Group
    is_critical: bool = True
    ready_within_s: float = 10.0


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How long is waited and how often tried.

    `starts_max` starts in a row that did not get ready, or `crashes_max` crashes within
    `crashes_within_s`, park a service. The pause before a restart doubles from `backoff_s`.
    """

    starts_max: int = 3
    crashes_max: int = 3
    crashes_within_s: float = 60.0
    backoff_s: float = 0.2
    backoff_s_max: float = 10.0
    start_within_s: float = 120.0
    stop_within_s: float = 2.0
    rollback_within_s: float = 4.0


class BadTree(Exception):
    """The services do not fit together. The text names them."""


# -- what the tree is told


class Begin(msgspec.Struct, frozen=True):
    """Everything should run."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A life of a service says that it is ready, or is no more and why."""

    name: str
    life: int
    is_ready: bool
    reason: str = ""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A life is over; `fault` is what ended it, `None` when it was cancelled or returned."""

    name: str
    life: int
    fault: Fault | None = None


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """A life goes on and is worth nothing: it makes no progress, or lost a thread."""

    name: str
    life: int
    fault: Fault


class Unwanted(msgspec.Struct, frozen=True, kw_only=True):
    """These should not run any more, and have until `until_s` to end."""

    names: tuple[str, ...]
    until_s: float


class Passed(msgspec.Struct, frozen=True):
    """Time passed, in which nothing could move for `stalled_s`: bounds on others wait so long."""

    stalled_s: float = 0.0


Input = Begin | Told | Ended | Failed | Unwanted | Passed

# -- what it answers


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Begin this life of a service."""

    name: str
    life: int


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """Cancel a life; a second time when it did not end."""

    name: str
    life: int


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided or heard about a service. `fault` is what caused it."""

    name: str
    state: ServiceState
    reason: str
    restarts: int
    is_core: bool
    fault: Fault | None = None


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one input."""

    actions: tuple[Run | Cancel, ...] = ()
    changes: tuple[Change, ...] = ()


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why the start was given up."""

    name: str
    fault: Fault


class Node:
    """One service in the tree. Changed by the tree alone."""

    def __init__(self, plan: Plan) -> None:
        """Stopped and not wanted."""
        self.plan = plan
        self.state = S.STOPPED
        self.reason = ""
        self.life = 0
        self.is_alive = False
        self.is_wanted = False
        self.is_abandoned = False
        self.was_ready = False
        self.is_life_ready = False
        self.starts_failed = 0
        self.crashed_s: list[float] = []
        self.due_s: float | None = None
        self.until_s: float | None = None
        self.cause: Fault | None = None
        self.fault: Fault | None = None

    @property
    def name(self) -> str:
        """The service's name."""
        return self.plan.name

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return max(self.life - 1, 0)

    @property
    def holds(self) -> bool:
        """Whether what it needs must still wait for its end."""
        return self.is_alive and not self.is_abandoned and self.plan.group.is_core


class Tree:
    """The services of one program, from nothing running to nothing running."""

    def __init__(self, plans: Sequence[Plan], policy: Policy | None = None) -> None:
        """Raises BadTree when the plans cannot all be kept."""
        self._policy = policy or Policy()
        self._order = tuple(Node(plan) for plan in ordered(plans))
        self.nodes: Mapping[str, Node] = {node.name: node for node in self._order}
        self._dependents: dict[str, list[Node]] = {node.name: [] for node in self._order}
        for node in self._order:
            for need in node.plan.needs:
                self._dependents[need].append(node)
        self._began_s: float | None = None
        self._actions: list[Run | Cancel] = []
        self._changes: list[Change] = []
        self.is_up = False
        self.failure: Failure | None = None

    @property
    def due_s(self) -> float | None:
        """When to step `Passed` if nothing happens before."""
        dues = [node.due_s for node in self._order if node.due_s is not None]
        if self._is_starting and self._began_s is not None:
            dues.append(self._began_s + self._policy.start_within_s)
        return min(dues, default=None)

    @property
    def is_over(self) -> bool:
        """Whether it began, nothing is wanted any more, and everything has ended."""
        return self._began_s is not None and self.has_ended(tuple(self.nodes))

    def has_ended(self, names: Sequence[str]) -> bool:
        """Whether none of these is wanted, or alive and still waited for."""
        return not any(
            node.is_wanted or (node.is_alive and not node.is_abandoned)
            for node in map(self.nodes.__getitem__, names)
        )

    @property
    def _is_starting(self) -> bool:
        return self._began_s is not None and not self.is_up and self.failure is None

    def step(self, told: Input, now_s: float) -> Turn:
        """Apply one input. Of a life that is over, or was replaced, nothing is believed."""
        match told:
            case Begin():
                self._begin(now_s)
            case Told() if self._is_current(told):
                self._hear(self.nodes[told.name], told)
            case Ended() if self._is_current(told):
                self._end(self.nodes[told.name], told.fault, now_s)
            case Failed() if self._is_current(told):
                self._fail(self.nodes[told.name], told.fault, now_s)
            case Unwanted():
                self._drop(told, now_s)
            case Passed():
                self._forgive(told.stalled_s)
            case _:
                pass  # the word of a life that is over
        self._run_out(now_s)
        self._settle(now_s)
        turn = Turn(actions=tuple(self._actions), changes=tuple(self._changes))
        self._actions.clear()
        self._changes.clear()
        return turn

    def _is_current(self, told: Told | Ended | Failed) -> bool:
        node = self.nodes[told.name]
        return node.is_alive and node.life == told.life

    # -- what is told

    def _begin(self, now_s: float) -> None:
        if self._began_s is not None:
            return
        self._began_s = now_s
        for node in self._order:
            node.is_wanted = True
            self._enter(node, S.WAITING)

    def _hear(self, node: Node, told: Told) -> None:
        if told.is_ready and node.state in {S.STARTING, S.UNREADY}:
            node.was_ready = node.is_life_ready = True
            node.starts_failed, node.due_s = 0, None
            self._enter(node, S.READY)
        elif not told.is_ready and node.state is S.READY:
            self._enter(node, S.UNREADY, told.reason)

    @property
    def _all_ready(self) -> bool:
        return all(node.state is S.READY for node in self._order if node.plan.is_critical)

    def _end(self, node: Node, fault: Fault | None, now_s: float) -> None:
        was, node.is_alive, node.due_s = node.state, False, None
        if was is S.PARKED:
            return  # abandoned, and ended after all
        cause, node.cause = node.cause, None
        if not node.is_wanted or (was is S.STOPPING and cause is None):
            state = S.WAITING if node.is_wanted else S.STOPPED
            node.fault = fault or node.fault
            self._enter(node, state, fault.text if fault else node.reason, fault=fault)
        elif (need := self._lost_need(node)) is not None and cause is None:
            node.fault = fault or node.fault
            self._enter(node, S.WAITING, f"ended with {need.name}", fault=fault)
        else:
            self._crash(node, cause or fault or _RETURNED, now_s)

    def _lost_need(self, node: Node) -> Node | None:
        """Something it needs that is gone or going, so that its own end is no wonder."""
        if not node.plan.group.is_core:
            return None
        needs = (self.nodes[name] for name in node.plan.needs)
        return next((need for need in needs if not self._stands(need)), None)

    def _stands(self, need: Node) -> bool:
        return need.state is S.PARKED or (need.state in STANDING and not self._must_stop(need))

    def _fail(self, node: Node, fault: Fault, now_s: float) -> None:
        if node.state in RUNNING:
            node.cause = node.fault = fault
            self._cancel(node, now_s, fault.text, fault)

    def _crash(self, node: Node, fault: Fault, now_s: float) -> None:
        policy = self._policy
        since_s = now_s - policy.crashes_within_s
        node.crashed_s = [*(at_s for at_s in node.crashed_s if at_s > since_s), now_s]
        node.starts_failed += 0 if node.is_life_ready else 1
        node.fault = fault
        crashes = len(node.crashed_s)
        if node.starts_failed >= policy.starts_max:
            self._park(
                node, f"{node.starts_failed} starts failed, the last: {fault.text}", fault, now_s
            )
        elif crashes >= policy.crashes_max:
            within = f"{crashes} crashes within {policy.crashes_within_s:g} s"
            self._park(node, f"{within}, the last: {fault.text}", fault, now_s)
        else:
            pause_s = min(policy.backoff_s * 2 ** (crashes - 1), policy.backoff_s_max)
            node.due_s = now_s + pause_s
            self._enter(node, S.RESTARTING, fault.text, fault=fault)

    def _park(self, node: Node, reason: str, fault: Fault, now_s: float) -> None:
        node.due_s = None
        self._enter(node, S.PARKED, reason, fault=fault)
        if node.plan.is_critical and self._is_starting:
            self._give_up(node, fault, now_s)

    def _give_up(self, node: Node, fault: Fault, now_s: float) -> None:
        """A critical service cannot start: stop everything that did."""
        self.failure = Failure(name=node.name, fault=fault)
        names = tuple(one.name for one in self._order)
        self._drop(Unwanted(names=names, until_s=now_s + self._policy.rollback_within_s), now_s)

    def _drop(self, told: Unwanted, now_s: float) -> None:
        for name in told.names:
            node = self.nodes[name]
            if node.is_wanted or node.until_s is None or told.until_s < node.until_s:
                node.is_wanted, node.until_s = False, told.until_s
        for node in self._order:
            if node.state is S.STOPPING and not node.is_wanted and not node.is_abandoned:
                node.due_s = now_s + self._share_s(node, now_s)

    def _forgive(self, stalled_s: float) -> None:
        """Nobody could move: what is bounded gets that time again, but the program's own end."""
        for node in self._order:
            if node.due_s is not None and node.is_wanted:
                node.due_s += stalled_s
        if self._began_s is not None:
            self._began_s += stalled_s

    # -- what time does

    def _run_out(self, now_s: float) -> None:
        for node in self._order:
            if node.due_s is not None and now_s >= node.due_s:
                node.due_s = None
                self._overdue(node, now_s)
        if self._is_starting and self._began_s is not None:
            late_s = self._policy.start_within_s
            if now_s >= self._began_s + late_s:
                late = next(n for n in self._order if n.plan.is_critical and n.state is not S.READY)
                self._give_up(late, _not_ready(late_s, late.reason), now_s)

    def _overdue(self, node: Node, now_s: float) -> None:
        match node.state:
            case S.RESTARTING:
                pass  # it has paused; `_settle` runs it when it may
            case S.STARTING if node.was_ready:
                self._enter(node, S.UNREADY, _not_ready(node.plan.ready_within_s).text)
            case S.STARTING:
                self._fail(node, _not_ready(node.plan.ready_within_s), now_s)
            case S.STOPPING:
                self._abandon(node, now_s)
            case _:
                raise AssertionError(f"nothing is due for {node.name}, which is {node.state}")

    def _abandon(self, node: Node, now_s: float) -> None:
        """It was cancelled and goes on. Nobody waits for it any more, and it is not run again."""
        node.is_abandoned = True
        fault = Fault(kind="NotEnded", message="it was cancelled and did not end in time")
        node.fault = fault
        self._actions.append(Cancel(name=node.name, life=node.life))
        if node.is_wanted:
            self._park(node, fault.text, fault, now_s)
        else:
            self._enter(node, S.STOPPING, fault.text, fault=fault)

    # -- what follows

    def _settle(self, now_s: float) -> None:
        self._stop_unwanted(now_s)
        for node in self._order:
            if node.is_wanted and node.state in PAUSING and node.due_s is None:
                self._try(node, now_s)
        self._stop_unwanted(now_s)  # what a start that was just given up leaves
        self.is_up = self.is_up or (self._is_starting and self._all_ready)

    def _stop_unwanted(self, now_s: float) -> None:
        for node in reversed(self._order):
            if node.state in RUNNING and self._must_stop(node) and not self._is_held(node):
                need = self._lost_need(node) if node.is_wanted else None
                self._cancel(node, now_s, f"starts again with {need.name}" if need else "")
            elif node.state in PAUSING and not node.is_wanted:
                node.due_s = None
                self._enter(node, S.STOPPED, node.reason)

    def _must_stop(self, node: Node) -> bool:
        return not node.is_wanted or self._lost_need(node) is not None

    def _is_held(self, node: Node) -> bool:
        return node.plan.group.is_core and any(one.holds for one in self._dependents[node.name])

    def _try(self, node: Node, now_s: float) -> None:
        """Run it when it may; park it when what it needs was never there."""
        needs = [self.nodes[name] for name in node.plan.needs]
        parked = next((need for need in needs if need.state is S.PARKED), None)
        if parked is not None and not parked.was_ready:
            fault = Fault(kind="NeedParked", message=f"needs {parked.name}: {parked.reason}")
            node.fault = fault
            self._park(node, fault.text, fault, now_s)
        elif self._lost_need(node) is not None or self._is_held(node):
            pass  # what it needs is about to end: started now, it would hold that up for ever
        elif all(self._satisfies(need) for need in needs):
            node.life += 1
            node.is_alive, node.is_abandoned, node.is_life_ready = True, False, False
            node.due_s = now_s + node.plan.ready_within_s
            self._actions.append(Run(name=node.name, life=node.life))
            self._enter(node, S.STARTING, node.reason)

    def _satisfies(self, need: Node) -> bool:
        """Ready; or, once everything was ready, as good as it gets: exits must go on."""
        return need.state is S.READY or (self.is_up and need.state in STANDING)

    def _cancel(self, node: Node, now_s: float, reason: str, fault: Fault | None = None) -> None:
        node.due_s = now_s + self._share_s(node, now_s)
        self._actions.append(Cancel(name=node.name, life=node.life))
        self._enter(node, S.STOPPING, reason, fault=fault)

    def _share_s(self, node: Node, now_s: float) -> float:
        """How long it may take to end: of what is left, one part for each that ends after it."""
        if node.is_wanted or node.until_s is None:
            return self._policy.stop_within_s
        return max(node.until_s - now_s, 0.0) / self._depth(node)

    def _depth(self, node: Node) -> int:
        """Itself and the longest chain of those that end after it and within the same bound."""
        if not node.plan.group.is_core:
            return 1  # nobody waits for it
        needs = (self.nodes[name] for name in node.plan.needs)
        below = (need for need in needs if need.is_alive and need.until_s == node.until_s)
        return 1 + max((self._depth(need) for need in below), default=0)

    def _enter(
        self, node: Node, state: ServiceState, reason: str = "", *, fault: Fault | None = None
    ) -> None:
        node.state, node.reason = state, reason
        self._changes.append(
            Change(
                name=node.name,
                state=state,
                reason=reason,
                restarts=node.restarts,
                is_core=node.plan.group.is_core,
                fault=fault,
            )
        )


_RETURNED: Final = Fault(kind="Returned", message="its run returned, which only a stop may cause")


def _not_ready(seconds: float, reason: str = "") -> Fault:
    why = f": {reason}" if reason else ""
    return Fault(kind="NotReady", message=f"not ready within {seconds:g} s{why}")


# -- what fits together


def ordered(plans: Sequence[Plan]) -> tuple[Plan, ...]:
    """The plans, each after what it needs, otherwise as given.

    Raises BadTree for a name that is used twice or not known, a circle, a core service that
    needs a side one, and a service that would stop after what it needs.
    """
    by_name: dict[str, Plan] = {}
    for plan in plans:
        if plan.name in by_name:
            raise BadTree(f"two services are called {plan.name}")
        by_name[plan.name] = plan
    for plan in plans:
        for fault in _faults(plan, by_name):
            raise BadTree(fault)
    sorter = TopologicalSorter({plan.name: plan.needs for plan in plans})
    try:
        sorter.prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        raise BadTree(f"services need each other: {' -> '.join(reversed(circle))}") from None
    return tuple(_walk(sorter, plans))


def _walk(sorter: TopologicalSorter[str], plans: Sequence[Plan]) -> Iterator[Plan]:
    """Level by level, each in the order given."""
    while sorter.is_active():
        level = frozenset(sorter.get_ready())
        yield from (plan for plan in plans if plan.name in level)
        sorter.done(*level)


def _faults(plan: Plan, by_name: Mapping[str, Plan]) -> Iterator[str]:
    if plan.is_critical and not plan.group.is_core:
        yield f"{plan.name} is a side service and cannot be critical: the rest trades without it"
    for name in plan.needs:
        need = by_name.get(name)
        if need is None:
            known = ", ".join(sorted(by_name))
            yield f"{plan.name} needs {name}, which is no service; there are {known}"
        elif plan.group.is_core and not need.group.is_core:
            yield f"{plan.name} needs {name}, a side service: the core must run without those"
        elif _STOPS_AFTER[plan.group] > _STOPS_AFTER[need.group]:
            yield (
                f"{plan.name} needs {name}, but its group {plan.group} stops after "
                f"group {need.group}: what is needed must end later"
            )
