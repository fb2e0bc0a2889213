"""Whatever happens to services, in whatever order: what the supervisor never does."""

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from holdfast.domain.event import ServiceState
from holdfast.runtime.fault import Fault
from holdfast.runtime.service import Group
from holdfast.runtime.tree import (
    STANDING,
    Begin,
    Ended,
    Failed,
    Input,
    Passed,
    Plan,
    Policy,
    Run,
    Told,
    Tree,
    Unwanted,
)

PLANS = (
    Plan(name="store", group=Group.STATE),
    Plan(name="login", group=Group.STATE, needs=("store",)),
    Plan(name="hints", group=Group.STATE, needs=("store",), is_critical=False),
    Plan(name="feed", group=Group.PRICE, needs=("login",)),
    Plan(name="engine", group=Group.ORDER, needs=("store", "feed", "hints")),
    Plan(name="monitor", group=Group.ORDER, needs=("engine",)),
    Plan(name="updates", group=Group.ORDER, needs=("login", "engine")),
    Plan(name="router", group=Group.ORDER, needs=("engine", "updates")),
    Plan(name="page", group=Group.SIDE, needs=("engine",), is_critical=False),
)
NAMES = tuple(plan.name for plan in PLANS)
NEEDS = {plan.name: plan.needs for plan in PLANS}
CORE = {plan.name for plan in PLANS if plan.group.is_core}
FAULT = Fault(kind="OSError", message="broke")

happenings = st.tuples(
    st.sampled_from(["ready", "ready", "ready", "revoke", "crash", "hang", "obey", "obey", "wait"]),
    st.integers(0, len(NAMES) - 1),
    st.sampled_from([0.05, 0.3, 2.0, 11.0, 70.0]),
)


class World:
    """Services that do as they are told by the example, and what must hold after each step."""

    def __init__(self) -> None:
        self.tree = Tree(PLANS, Policy())
        self.now = 0.0
        self.alive: dict[str, int] = {}
        self.cancelled: set[str] = set()
        self.runs: list[tuple[float, str]] = []
        self.is_ending = False

    def tell(self, told: Input) -> None:
        """One step, and its actions on the services."""
        states = {name: node.state for name, node in self.tree.nodes.items()}
        was_up = self.tree.is_up
        for action in self.tree.step(told, self.now).actions:
            if isinstance(action, Run):
                self.run(action, states, was_up=was_up)
            else:
                assert self.alive.get(action.name) == action.life, "who is cancelled is alive"
                self.cancelled.add(action.name)

    def run(self, action: Run, states: dict[str, ServiceState], *, was_up: bool) -> None:
        """Nothing runs twice, before what it needs, under what still uses it, or in a stop."""
        name = action.name
        assert name not in self.alive, f"two lives of {name} at once"
        assert not self.is_ending, f"{name} was run in a stop"
        for need in NEEDS[name]:
            now = self.tree.nodes[need].state
            assert now is ServiceState.READY or (was_up and now in STANDING), (name, need, states)
        if name in CORE:
            users = [one for one in self.alive if name in NEEDS[one] and one in CORE]
            assert all(self.tree.nodes[one].is_abandoned for one in users), (name, users)
        self.alive[name] = action.life
        self.cancelled.discard(name)
        self.runs.append((self.now, name))

    def happen(self, what: str, name: str, seconds: float) -> None:
        """One thing of the example, if it can happen now."""
        life = self.alive.get(name)
        if what == "wait":
            self.wait(seconds)
        elif life is None:
            return
        elif what in {"ready", "revoke"}:
            self.tell(Told(name=name, life=life, is_ready=what == "ready", reason="so"))
        elif what == "hang":
            self.tell(Failed(name=name, life=life, fault=FAULT))
        elif what == "crash" or name in self.cancelled:
            self.end(name, FAULT if what == "crash" else None)

    def end(self, name: str, fault: Fault | None) -> None:
        """A life ends."""
        life = self.alive.pop(name)
        self.tell(Ended(name=name, life=life, fault=fault))

    def wait(self, seconds: float) -> None:
        """Time passes, step by step where something is due."""
        until, steps = self.now + seconds, 0
        while (due := self.tree.due_s) is not None and due <= until:
            self.now, steps = max(due, self.now), steps + 1
            assert steps < 1_000, "something is due for ever"
            self.tell(Passed())
        self.now = until

    def obey(self, hung: set[str]) -> Iterator[str]:
        """Everything cancelled ends, but for those that hang."""
        while ending := sorted(self.cancelled & self.alive.keys() - hung):
            for name in ending:
                self.end(name, None)
                yield name


@given(st.lists(happenings, max_size=60), st.sets(st.sampled_from(NAMES)))
def test_no_order_of_events_breaks_the_rules_of_the_tree(
    example: list[tuple[str, int, float]], hung: set[str]
) -> None:
    """
    Never two lives of one service, never a start before what it needs, never a restart under
    somebody who uses it, never more than a bounded number of starts; and a stop always ends.
    """
    world = World()
    world.tell(Begin())
    for what, index, seconds in example:
        world.happen(what, NAMES[index], seconds)
    for name in NAMES:
        starts = [at for at, one in world.runs if one == name]
        assert all(b - a >= 0.05 for a, b in pairwise(starts)), (name, starts)
    world.is_ending = True
    world.tell(Unwanted(names=NAMES, until_s=world.now + 5.0))
    list(world.obey(hung))
    for _ in NAMES:
        world.wait(1.0)
        list(world.obey(hung))
    assert world.tree.is_over
    assert set(world.alive) <= hung


@given(st.sets(st.sampled_from(NAMES)), st.floats(0.5, 5.0))
def test_who_hangs_in_a_stop_takes_nothing_from_the_others(hung: set[str], within: float) -> None:
    """Each of the others is cancelled with time left of its own."""
    world = World()
    world.tell(Begin())
    while not world.tree.is_up or "page" not in world.alive:
        for name in NAMES:
            world.happen("ready", name, 0.0)
    ends = world.now + within
    world.is_ending = True
    world.tell(Unwanted(names=NAMES, until_s=ends))
    left: dict[str, float] = {}
    while not world.tree.is_over:
        left |= dict.fromkeys(world.obey(hung), ends - world.now)
        due = world.tree.due_s
        if due is None:
            break
        world.wait(due - world.now)
    assert world.tree.is_over
    assert set(left) == set(NAMES) - hung
    assert min(left.values(), default=within) >= within / (len(NAMES) + 1)


@given(st.sampled_from(sorted(CORE)), st.permutations(NAMES))
def test_whoever_breaks_and_whoever_ends_first_everything_is_up_again_in_a_few_steps(
    broken: str, order: list[str]
) -> None:
    """Several services that need one another's need never keep it, or each other, from ending."""
    world = World()
    world.tell(Begin())
    _let_start(world, order)
    before = len(world.runs)
    world.end(broken, FAULT)
    _let_start(world, order)
    assert {node.state for node in world.tree.nodes.values()} == {ServiceState.READY}
    again = [name for _, name in world.runs[before:]]
    assert sorted(again) == sorted(set(again)), "each was started again once at most"
    assert broken in again


def _let_start(world: World, order: list[str]) -> None:
    """Who is cancelled ends, who runs gets ready, one at a time in this order of preference."""
    for _ in range(10 * len(NAMES)):
        ending = [name for name in order if name in world.cancelled & world.alive.keys()]
        starting = [name for name in order if name in world.alive and not _is_ready(world, name)]
        if ending:
            world.end(ending[0], None)
        elif starting:
            world.happen("ready", starting[0], 0.0)
        else:
            world.wait(0.3)


def _is_ready(world: World, name: str) -> bool:
    return world.tree.nodes[name].state is ServiceState.READY
