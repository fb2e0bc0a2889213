"""The supervisor's decisions: each race is a list of inputs, each answer a list of words."""

from itertools import permutations

import pytest

from holdfast.domain.event import ServiceState
from holdfast.runtime.fault import Fault
from holdfast.runtime.service import Group
from holdfast.runtime.tree import (
    BadTree,
    Begin,
    Cancel,
    Change,
    Ended,
    Failed,
    Input,
    Passed,
    Plan,
    Policy,
    Told,
    Tree,
    Unwanted,
    ordered,
)

S = ServiceState
BROKE = Fault(kind="OSError", message="reset by peer")

STORE = Plan(name="store", group=Group.STATE)
FEED = Plan(name="feed", group=Group.PRICE, needs=("store",))
ENGINE = Plan(name="engine", group=Group.ORDER, needs=("store", "feed"))
ROUTER = Plan(name="router", group=Group.ORDER, needs=("engine",))
PAGE = Plan(name="page", group=Group.SIDE, needs=("engine",), is_critical=False)
CHAIN = (STORE, FEED, ENGINE, ROUTER)


class Play:
    """A tree with a hand on every input. Answers are words: `run feed`, `cancel feed`."""

    def __init__(self, *plans: Plan, policy: Policy | None = None) -> None:
        self.tree = Tree(plans or (*CHAIN, PAGE), policy)
        self.now = 0.0
        self.changes: list[Change] = []

    def tell(self, told: Input) -> list[str]:
        turn = self.tree.step(told, self.now)
        self.changes += turn.changes
        return [f"{'cancel' if isinstance(a, Cancel) else 'run'} {a.name}" for a in turn.actions]

    def begin(self) -> list[str]:
        return self.tell(Begin())

    def ready(self, name: str, *, life: int | None = None) -> list[str]:
        return self.tell(Told(name=name, life=life or self.life(name), is_ready=True))

    def revoke(self, name: str, reason: str = "quiet") -> list[str]:
        return self.tell(Told(name=name, life=self.life(name), is_ready=False, reason=reason))

    def end(self, name: str, fault: Fault | None = None, *, life: int | None = None) -> list[str]:
        return self.tell(Ended(name=name, life=life or self.life(name), fault=fault))

    def fail(self, name: str) -> list[str]:
        return self.tell(Failed(name=name, life=self.life(name), fault=BROKE))

    def drop(self, *names: str, within: float = 2.0) -> list[str]:
        return self.tell(Unwanted(names=names, until_s=self.now + within))

    def wait(self, seconds: float) -> list[str]:
        """Let time pass, stepping what is due on the way."""
        until, answers = self.now + seconds, list[str]()
        while (due := self.tree.due_s) is not None and due <= until:
            self.now = max(due, self.now)
            answers += self.tell(Passed())
        self.now = until
        return answers

    def life(self, name: str) -> int:
        return self.tree.nodes[name].life

    def state(self, name: str) -> ServiceState:
        return self.tree.nodes[name].state

    def reason(self, name: str) -> str:
        return self.tree.nodes[name].reason

    def is_over(self) -> bool:
        return self.tree.is_over

    def all_up(self) -> "Play":
        """Everything started and ready, in order."""
        started = self.begin()
        while started:
            started = [next_ for word in started for next_ in self.ready(word.split()[1])]
        assert self.tree.is_up
        return self


# -- what fits together


@pytest.mark.proves("SUP-17", "SUP-18")
@pytest.mark.parametrize(
    ("plans", "text"),
    [
        ([STORE, STORE], "two services are called store"),
        ([STORE, FEED, Plan(name="feed", group=Group.SIDE, is_critical=False)], "called feed"),
        ([FEED], "feed needs store, which is no service; there are feed"),
        (
            [
                Plan(name="a", group=Group.STATE, needs=("b",)),
                Plan(name="b", group=Group.STATE, needs=("c",)),
                Plan(name="c", group=Group.STATE, needs=("a",)),
            ],
            "services need each other: a -> b -> c -> a",
        ),
        ([Plan(name="a", group=Group.STATE, needs=("a",))], "need each other: a -> a"),
        (
            [PAGE, ENGINE, FEED, STORE, Plan(name="x", group=Group.ORDER, needs=("page",))],
            "x needs page, a side service: the core must run without those",
        ),
        (
            [ENGINE, FEED, STORE, Plan(name="x", group=Group.STATE, needs=("engine",))],
            "x needs engine, but its group state stops after group order",
        ),
        ([Plan(name="x", group=Group.SIDE)], "x is a side service and cannot be critical"),
    ],
)
def test_services_that_do_not_fit_together_are_refused_by_name(
    plans: list[Plan], text: str
) -> None:
    """Unknown, twice, in a circle, needing what stops earlier: nothing is built, nothing runs."""
    with pytest.raises(BadTree) as refused:
        Tree(plans)
    assert text in str(refused.value)


@pytest.mark.proves("SUP-3")
@pytest.mark.parametrize(
    "plans", list(permutations(CHAIN)), ids=lambda ps: "-".join(plan.name for plan in ps)
)
def test_the_order_is_that_of_the_needs_whatever_was_given_first(plans: tuple[Plan, ...]) -> None:
    """Registration order decides nothing."""
    assert [plan.name for plan in ordered(plans)] == ["store", "feed", "engine", "router"]


# -- starting


@pytest.mark.proves("SUP-3", "SUP-4")
def test_each_starts_only_when_what_it_needs_is_ready() -> None:
    """Started is not ready: nothing follows from having been run."""
    play = Play()
    assert play.begin() == ["run store"]
    assert play.wait(5) == []
    assert play.ready("store") == ["run feed"]
    assert play.ready("feed") == ["run engine"]
    assert play.ready("engine") == ["run router", "run page"]
    assert not play.tree.is_up
    assert play.ready("router") == []
    assert play.tree.is_up, "a side service is not waited for"


@pytest.mark.proves("SUP-13")
def test_beginning_twice_changes_nothing() -> None:
    """The second request for a start finds it under way."""
    play = Play()
    assert play.begin() == ["run store"]
    assert play.begin() == []
    assert play.life("store") == 1


@pytest.mark.proves("SUP-4", "SUP-5", "SUP-7")
def test_one_that_never_gets_ready_is_tried_three_times_then_all_is_stopped_in_reverse() -> None:
    """Each wait is bounded, each retry pauses longer, and the reason names who and why."""
    play = Play()
    play.begin()
    play.ready("store")
    play.ready("feed")
    told: list[tuple[float, list[str]]] = []
    for _ in range(3):
        told.append((play.now, play.wait(10)))
        assert play.state("engine") is S.STOPPING
        told.append((play.now, play.end("engine")))
        if play.tree.failure is None:
            told.append((play.now, play.wait({1: 0.2, 2: 0.4}[play.life("engine")])))
    assert [(round(at, 1), words) for at, words in told if words] == [
        (0.0, ["cancel engine"]),
        (10.0, ["run engine"]),
        (10.2, ["cancel engine"]),
        (20.2, ["run engine"]),
        (20.6, ["cancel engine"]),
        (30.6, ["cancel feed"]),
    ]
    assert play.end("feed") == ["cancel store"]
    assert not play.is_over()
    play.end("store")
    assert play.is_over()
    assert play.tree.failure is not None
    assert play.tree.failure.name == "engine"
    assert play.tree.failure.fault.text == "NotReady: not ready within 10 s"
    assert play.reason("engine").startswith("3 starts failed, the last: NotReady")


@pytest.mark.proves("SUP-5", "SUP-7", "SUP-8")
def test_a_start_that_raises_is_tried_again_and_a_side_service_only_degrades() -> None:
    """I-126: what is not critical is given up alone, and the rest comes up."""
    play = Play()
    play.begin()
    for name in ("store", "feed", "engine", "router"):
        play.ready(name)
    assert play.end("page", BROKE) == []
    assert play.wait(0.2) == ["run page"]
    assert play.end("page", BROKE) == []
    assert play.wait(0.4) == ["run page"]
    assert play.end("page", BROKE) == []
    assert play.state("page") is S.PARKED
    assert play.tree.is_up
    assert play.wait(3_600) == []
    assert {play.state(name) for name in ("store", "feed", "engine", "router")} == {S.READY}


def test_what_needs_a_part_that_was_given_up_before_it_ever_ran_is_given_up_too() -> None:
    """It says whom it lacks; a critical one so ends the start."""
    optional = Plan(name="hints", group=Group.STATE, is_critical=False)
    reader = Plan(name="reader", group=Group.STATE, needs=("hints",), is_critical=False)
    play = Play(STORE, optional, reader, policy=Policy(starts_max=1))
    play.begin()
    play.end("hints", BROKE)
    assert play.state("reader") is S.PARKED
    assert play.reason("reader").startswith("NeedParked: needs hints: 1 starts failed")
    assert play.ready("store") == []
    assert play.tree.is_up

    critical = Plan(name="reader", group=Group.STATE, needs=("hints",))
    play = Play(STORE, optional, critical, policy=Policy(starts_max=1))
    play.begin()
    assert play.end("hints", BROKE) == ["cancel store"]
    assert play.tree.failure is not None
    assert play.tree.failure.name == "reader"


def test_a_start_in_which_everybody_waits_is_bounded_as_a_whole() -> None:
    """A need that lost its readiness before its dependents ran would be waited for for ever."""
    other = Plan(name="other", group=Group.STATE)
    both = Plan(name="both", group=Group.PRICE, needs=("store", "other"))
    play = Play(STORE, other, both)
    assert play.begin() == ["run store", "run other"]
    play.ready("store")
    play.revoke("store", "the disk is full")
    assert play.ready("other") == []
    assert play.wait(119.9) == []
    assert play.wait(0.2) == ["cancel other", "cancel store"]
    assert play.tree.failure is not None
    text = "NotReady: not ready within 120 s: the disk is full"
    assert (play.tree.failure.name, play.tree.failure.fault.text) == ("store", text)


# -- readiness


@pytest.mark.proves("PPR-3")
def test_lost_readiness_restarts_nothing_and_can_be_renewed() -> None:
    """It is told, in both directions, and that is all."""
    play = Play().all_up()
    play.changes.clear()
    assert play.revoke("feed", "no packet for 2 s") == []
    assert play.revoke("feed", "no packet for 3 s") == []
    assert play.ready("feed") == []
    assert [(c.name, c.state, c.reason) for c in play.changes] == [
        ("feed", S.UNREADY, "no packet for 2 s"),
        ("feed", S.READY, ""),
    ]


def test_a_word_of_an_earlier_life_is_not_believed() -> None:
    """`ready` can be under way while its service crashes; so can the news of an end."""
    play = Play().all_up()
    play.end("router", BROKE)
    play.wait(0.2)
    assert play.life("router") == 2
    assert play.ready("router", life=1) == []
    assert play.state("router") is S.STARTING
    assert play.end("router", BROKE, life=1) == []
    assert play.state("router") is S.STARTING


# -- crashes


@pytest.mark.proves("SUP-14", "I-09", "I-14")
def test_a_crash_restarts_it_within_a_second_with_what_depends_on_it_around() -> None:
    """Rest-for-one: the dependents end first, in reverse; then it runs; then they run, in order."""
    play = Play().all_up()
    assert play.end("feed", BROKE) == ["cancel router"]
    assert play.wait(0.2) == [], "its pause is over, but the engine still uses what it was"
    assert play.end("router") == ["cancel engine"]
    assert play.end("engine") == ["run feed"]
    assert play.now < 1
    assert play.ready("feed") == ["run engine"]
    assert play.ready("engine") == ["run router"]
    assert play.ready("router") == []
    assert [play.tree.nodes[n].restarts for n in ("store", "feed", "engine", "router", "page")] == [
        *(0, 1, 1, 1, 0)
    ], "the page restarts alone, and the store is below"


@pytest.mark.proves("SUP-14", "I-117")
@pytest.mark.parametrize("first", ["router", "monitor"])
def test_two_that_need_a_restarting_one_end_once_each_before_it_does(first: str) -> None:
    """The first to have ended waits for the other: started at once, it would hold the engine up.

    Two of them would then end and start in turns for ever, and the feed would never come back.
    """
    monitor = Plan(name="monitor", group=Group.ORDER, needs=("engine",))
    second = {"router": "monitor", "monitor": "router"}[first]
    play = Play(*CHAIN, monitor).all_up()
    assert sorted(play.end("feed", BROKE)) == ["cancel monitor", "cancel router"]
    assert play.end(first) == []
    assert play.end(second) == ["cancel engine"]
    assert play.end("engine") == []
    assert play.wait(0.2) == ["run feed"]
    assert play.ready("feed") == ["run engine"]
    assert sorted(play.ready("engine")) == ["run monitor", "run router"]


def test_a_side_service_crashes_alone() -> None:
    """Nobody of the chain is cancelled for it."""
    play = Play().all_up()
    assert play.end("page", BROKE) == []
    assert play.wait(0.2) == ["run page"]
    assert {play.state(name) for name in ("store", "feed", "engine", "router")} == {S.READY}


@pytest.mark.proves("SUP-19", "I-117", "PPR-3")
def test_three_crashes_within_a_minute_park_it_and_leave_its_dependents_alone() -> None:
    """Entries stay off by its state; what watches positions goes on without it."""
    play = Play().all_up()
    for pause in (0.2, 0.4):
        play.end("feed", BROKE)
        play.end("router")
        play.end("engine")
        assert play.wait(pause) == ["run feed"]
        for name in ("feed", "engine", "router"):
            play.ready(name)
    assert play.end("feed", BROKE) == []
    assert play.state("feed") is S.PARKED
    assert play.reason("feed") == "3 crashes within 60 s, the last: OSError: reset by peer"
    assert play.state("engine") is S.READY
    assert play.wait(3_600) == []
    assert play.end("engine", BROKE) == ["cancel router"]
    play.end("router")
    assert play.wait(0.2) == ["run engine"], "it starts without the feed, which it cannot have"


@pytest.mark.parametrize(("apart_s", "state"), [(29.9, S.PARKED), (30.0, S.RESTARTING)])
def test_only_crashes_close_together_park(apart_s: float, state: ServiceState) -> None:
    """Three in 59.8 s do; three of which the first is 60 s old do not."""
    play = Play().all_up()
    for _ in range(2):
        play.end("page", BROKE)
        play.wait(1.0)
        play.ready("page")
        play.wait(apart_s - 1.0)
    play.end("page", BROKE)
    assert play.state("page") is state


def test_the_pause_before_a_restart_doubles_up_to_its_bound() -> None:
    """From 0.2 s; a service that was ready again does not start over within the minute."""
    play = Play(policy=Policy(crashes_max=9, backoff_s_max=1.0)).all_up()
    pauses = []
    for _ in range(5):
        play.end("page", BROKE)
        due = play.tree.nodes["page"].due_s
        assert due is not None
        pauses.append(round(due - play.now, 3))
        assert play.wait(pauses[-1]) == ["run page"]
        play.ready("page")
    assert pauses == [0.2, 0.4, 0.8, 1.0, 1.0]


def test_returning_is_a_crash_while_it_is_wanted() -> None:
    """Only a stop may end a service."""
    play = Play().all_up()
    play.end("page")
    assert play.state("page") is S.RESTARTING
    assert play.reason("page").startswith("Returned:")


def test_only_starts_in_a_row_that_failed_count_as_failed_starts() -> None:
    """Neither a crash of one that was ready, nor failures before it was, end its chances."""
    play = Play(policy=Policy(crashes_max=99)).all_up()
    for _ in range(2):  # each: one crash of a ready one, two starts that fail
        for _ in range(3):
            play.end("page", BROKE)
            assert play.wait(10) == ["run page"]
        play.ready("page")
    for _ in range(3):
        play.end("page", BROKE)
        play.wait(10)
    assert play.state("page") is S.STARTING
    play.end("page", BROKE)
    assert play.reason("page").startswith("3 starts failed")


@pytest.mark.parametrize("first", ["feed", "engine"])
def test_a_crash_that_follows_from_anothers_counts_for_one_only(first: str) -> None:
    """The engine ends with the feed: whichever is heard of first, both run again."""
    play = Play().all_up()
    second = "engine" if first == "feed" else "feed"
    play.end(first, BROKE)
    play.end(second, BROKE)
    play.end("router")
    play.wait(0.2)
    assert play.state("feed") is S.STARTING
    crashes = [len(play.tree.nodes[name].crashed_s) for name in ("feed", "engine")]
    assert crashes == ([1, 0] if first == "feed" else [1, 1])
    play.ready("feed")
    assert play.state("engine") is S.STARTING


def test_one_that_failed_in_a_restart_is_not_given_up_for_being_slow() -> None:
    """Once it has been ready, not being so again costs readiness only: exits need the others."""
    play = Play().all_up()
    play.end("feed", BROKE)
    play.end("router")
    play.end("engine")
    assert play.wait(0.2) == ["run feed"]
    assert play.wait(10) == ["run engine"], "bounded: then it runs without"
    assert play.state("feed") is S.UNREADY
    assert play.reason("feed") == "NotReady: not ready within 10 s"
    assert play.ready("feed") == []
    assert play.state("feed") is S.READY


# -- hanging


def test_one_without_progress_is_cancelled_and_counts_as_crashed() -> None:
    """Its fault, not its end, is the reason that is told."""
    play = Play().all_up()
    assert play.fail("feed") == ["cancel feed", "cancel router"]
    assert play.fail("feed") == [], "it is being cancelled already"
    play.end("feed")
    assert play.state("feed") is S.RESTARTING
    assert play.reason("feed") == "OSError: reset by peer"


def test_a_hang_stays_the_reason_whatever_else_happens_until_its_end() -> None:
    """What it raises while it is cancelled is a consequence; so is the loss of what it needs."""
    late = Fault(kind="ValueError", message="on the way out")
    play = Play().all_up()
    play.fail("engine")
    play.end("feed", BROKE)
    play.end("router")
    play.end("engine", late)
    assert play.state("engine") is S.RESTARTING
    assert play.reason("engine") == "OSError: reset by peer"
    assert len(play.tree.nodes["engine"].crashed_s) == 1


def test_one_that_does_not_end_when_cancelled_is_parked_and_never_run_beside_itself() -> None:
    """After two seconds nobody waits for it, and it is cancelled once more."""
    play = Play().all_up()
    play.fail("feed")
    assert play.end("router") == ["cancel engine"]
    assert play.end("engine") == []
    assert play.wait(1.9) == []
    assert play.wait(0.1) == ["cancel feed", "run engine"], "without the feed"
    assert play.state("feed") is S.PARKED
    assert play.ready("engine") == ["run router"]
    play.ready("router")
    assert play.end("feed") == []
    assert play.wait(60) == []
    assert play.life("feed") == 1


def test_time_in_which_nobody_could_move_is_given_back() -> None:
    """The loop was blocked for a minute while the feed started: that is not the feed's fault."""
    play = Play()
    play.begin()
    play.ready("store")
    play.now = 60.0
    play.tell(Passed(stalled_s=59.0))
    assert play.state("feed") is S.STARTING
    assert play.wait(8.9) == []
    assert play.wait(0.2) == ["cancel feed"]
    play.end("feed")
    play.wait(0.3)
    play.ready("feed")
    play.now = 178.9
    play.tell(Passed())
    assert play.tree.failure is None, "the start as a whole has its two minutes too"
    play.now = 179.1
    play.tell(Passed())
    assert play.tree.failure is not None


# -- stopping


@pytest.mark.proves("SUP-10")
def test_what_is_stopped_ends_in_reverse_each_after_what_needs_it() -> None:
    """The router before the engine, the engine before the feed, the feed before the store."""
    play = Play().all_up()
    assert play.drop("engine", "router", "page") == ["cancel page", "cancel router"]
    assert play.end("router") == ["cancel engine"]
    assert play.end("page") == []
    assert play.end("engine") == []
    assert play.tree.has_ended(("engine", "router", "page"))
    assert play.drop("feed") == ["cancel feed"]
    assert play.end("feed") == []
    assert play.drop("store") == ["cancel store"]
    play.end("store")
    assert play.is_over()


@pytest.mark.proves("SUP-16")
def test_one_that_hangs_costs_its_share_of_the_time_and_no_more() -> None:
    """Of two seconds the router may take one; the engine has the other, and ends cleanly."""
    play = Play().all_up()
    play.drop("engine", "router", within=2.0)
    assert play.wait(0.99) == []
    assert play.wait(0.02) == ["cancel router", "cancel engine"]
    assert not play.tree.has_ended(("engine", "router"))
    play.end("engine")
    assert play.tree.has_ended(("engine", "router"))
    assert play.state("router") is S.STOPPING
    assert play.drop("feed", within=1.0) == ["cancel feed"], "it waits for nobody abandoned"


def test_a_side_service_that_hangs_holds_nobody_up() -> None:
    """The chain is stopped as if it were not there, and it has the whole of the group's time."""
    play = Play().all_up()
    play.drop("engine", "router", "page", within=2.0)
    assert play.end("router") == ["cancel engine"]
    play.end("engine")
    assert not play.tree.has_ended(("page",))
    assert play.wait(1.99) == []
    assert play.wait(0.01) == ["cancel page"]
    assert play.tree.has_ended(("page",))


@pytest.mark.proves("SUP-13")
def test_stopping_twice_changes_nothing() -> None:
    """The second request cancels nobody again."""
    play = Play().all_up()
    assert play.drop("engine", "router") == ["cancel router"]
    assert play.drop("engine", "router") == []


@pytest.mark.parametrize("moment", ["waiting", "starting", "pausing", "restarting"])
def test_a_stop_is_obeyed_wherever_a_service_is_in_its_life(moment: str) -> None:
    """Before its start, in it, while it pauses after a crash, while it ends for a restart."""
    play = Play().all_up() if moment in {"pausing", "restarting"} else Play()
    match moment:
        case "waiting":
            play.begin()
        case "starting":
            play.begin()
            play.ready("store")
        case "pausing":
            play.end("feed", BROKE)
        case _:
            play.fail("feed")
    names = tuple(play.tree.nodes)
    cancelled = play.drop(*names, within=5.0)
    alive = [name for name in reversed(names) if play.tree.nodes[name].is_alive]
    for name in alive:
        cancelled += play.end(name)
    assert play.is_over()
    assert {play.state(name) for name in names} == {S.STOPPED}
    assert not [word for word in cancelled if word.startswith("run")]
    assert play.wait(3_600) == []


def test_an_error_while_it_stops_is_told_and_stops_nothing() -> None:
    """SUP-8: it ends as it would have, and what it raised stands beside its name."""
    play = Play().all_up()
    play.drop("router")
    play.end("router", BROKE)
    assert play.state("router") is S.STOPPED
    assert play.changes[-1].fault is BROKE
    assert play.drop("engine") == ["cancel engine"]


def test_a_crash_between_the_request_to_stop_and_its_turn_ends_it() -> None:
    """The engine waits for the router's end when it crashes: it is stopped, not run again."""
    play = Play().all_up()
    play.drop("engine", "router")
    play.changes.clear()
    assert play.end("engine", BROKE) == []
    assert [(c.name, c.state, c.reason) for c in play.changes] == [
        ("engine", S.STOPPED, "OSError: reset by peer")
    ]
    play.end("router")
    assert play.wait(60) == []


def test_an_earlier_bound_wins_and_a_later_one_gives_no_time_back() -> None:
    """A stop within a rollback ends when the first of the two says."""
    play = Play().all_up()
    play.drop("router", within=5.0)
    play.drop("router", within=1.0)
    play.drop("router", within=9.0)
    assert play.wait(1.0) == ["cancel router"]


# -- what is told


@pytest.mark.proves("SUP-6")
def test_every_decision_is_told_with_its_reason() -> None:
    """A day of one service, as the journal has it."""
    play = Play(Plan(name="a", group=Group.STATE))
    play.begin()
    play.ready("a")
    play.revoke("a", "quiet")
    play.end("a", BROKE)
    play.wait(0.2)
    play.ready("a")
    play.drop("a")
    play.end("a")
    assert [(c.state, c.reason, c.restarts) for c in play.changes] == [
        (S.WAITING, "", 0),
        (S.STARTING, "", 0),
        (S.READY, "", 0),
        (S.UNREADY, "quiet", 0),
        (S.RESTARTING, "OSError: reset by peer", 0),
        (S.STARTING, "OSError: reset by peer", 1),
        (S.READY, "", 1),
        (S.STOPPING, "", 1),
        (S.STOPPED, "", 1),
    ]
    assert all(change.is_core for change in play.changes)
