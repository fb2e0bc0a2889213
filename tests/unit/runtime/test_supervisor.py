"""The supervisor over real tasks in virtual time: what runs, what is told, what is recorded."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import structlog
from typing_extensions import override

from holdfast.domain.event import ServiceChanged, ServiceState
from holdfast.runtime.fault import single
from holdfast.runtime.health import HEALTHY, Health, first_not_ready, unhealthy
from holdfast.runtime.service import Group, Ready
from holdfast.runtime.supervisor import StartFailed, Stopped, Supervisor
from holdfast.runtime.threads import StopFlag, Threads
from holdfast.runtime.tree import BadTree
from tests.support.services import Broke, Toy, Watched, supervised
from tests.support.virtual import NoWallClock, virtually

Story = Callable[[Watched], Awaitable[None]]


def chain(**acts: str) -> list[Toy]:
    """A store, a feed, an engine, a router and a page; `feed="crashes ready"` acts by lives."""

    def toy(name: str, group: Group, *needs: str) -> Toy:
        told = acts.get(name, "ready")
        return Toy(name, group=group, needs=needs, acts=told.replace("_", " ").split(","))

    return [
        toy("page", Group.SIDE, "engine"),
        toy("router", Group.ORDER, "engine"),
        toy("engine", Group.ORDER, "store", "feed"),
        toy("feed", Group.PRICE, "store"),
        toy("store", Group.STATE),
    ]


@pytest.mark.proves("SUP-3", "SUP-4", "SUP-10")
def test_services_start_in_order_and_end_in_reverse() -> None:
    """Registered the wrong way round; `start` returns when everything critical is ready."""

    async def story(watched: Watched) -> None:
        await watched.supervisor.start()
        assert watched.supervisor.progress().keys() == {"store", "feed", "engine", "router"}
        assert first_not_ready(watched.supervisor.status()) is None
        await watched.supervisor.stop(Group.ORDER, Group.SIDE, within_s=2.0)
        assert watched.supervisor.progress().keys() == {"store", "feed"}

    done = supervised(chain(feed="slow"), story)
    runs = [line.split()[1] for line in done.diary if line.startswith("run")]
    assert runs[:3] == ["store", "feed", "engine"]
    assert {*runs[3:]} == {"router", "page"}
    ends = [line.split()[1] for line in done.diary if line.startswith("cleanup")]
    assert [name for name in ends if name != "page"] == ["router", "engine", "feed", "store"]
    assert {one.reason for one in done.records} == {""}, "nothing went wrong"


@pytest.mark.proves("SUP-13")
def test_start_and_stop_may_be_called_as_often_as_one_likes() -> None:
    """At once and again, from several tasks: one start, one stop."""

    async def story(watched: Watched) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(watched.supervisor.start())
        await watched.supervisor.start()
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(watched.supervisor.stop(*Group, within_s=5.0))
        assert await watched.supervisor.stop(*Group, within_s=5.0) == Stopped()

    done = supervised(chain(), story)
    assert sorted(done.diary) == sorted(
        f"{what} {name}" for name in done.toys for what in ("run", "cancelled", "cleanup")
    )


@pytest.mark.proves("SUP-13", "SUP-16", "APP-15")
def test_a_life_that_is_cancelled_before_its_first_step_ends_too() -> None:
    """Start and stop in one turn of the loop: nothing of it ran, and nobody waits for its end."""

    async def story(watched: Watched) -> None:
        starting = asyncio.ensure_future(watched.supervisor.start())
        await asyncio.sleep(0)
        assert await watched.supervisor.stop(*Group, within_s=5.0) == Stopped()
        assert asyncio.get_running_loop().time() == 0.0
        await starting
        assert watched.supervisor.active_tasks() == ()

    done = supervised(chain(), story)
    assert done.diary == []
    ran = [one.state for one in done.records if one.service == "store"]
    assert ran == [
        ServiceState.WAITING,
        ServiceState.STARTING,
        ServiceState.STOPPING,
        ServiceState.STOPPED,
    ]


@pytest.mark.proves("SUP-14", "I-09")
def test_a_service_that_others_need_in_two_ways_comes_back_with_all_of_them() -> None:
    """A crash below two that need one another's need: each starts again once, and nothing spins."""

    async def story(watched: Watched) -> None:
        await watched.supervisor.start()
        await asyncio.sleep(5)
        assert {one.state for one in watched.supervisor.status()} == {ServiceState.READY}

    monitor = Toy("monitor", group=Group.ORDER, needs=["engine"])
    done = supervised([*chain(feed="crashes,ready"), monitor], story)
    lives = {name: toy.lives for name, toy in done.toys.items()}
    assert lives == {"store": 1, "feed": 2, "engine": 2, "router": 2, "monitor": 2, "page": 1}


def test_a_stop_before_any_start_has_nothing_to_do() -> None:
    """It does not wait for anything."""

    async def story(watched: Watched) -> None:
        assert await watched.supervisor.stop(*Group, within_s=5.0) == Stopped()
        assert asyncio.get_running_loop().time() == 0.0

    assert supervised(chain(), story).diary == []


@pytest.mark.proves("SUP-5", "SUP-6", "SUP-7")
@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("raises", "Broke: engine cannot start"),
        ("never", "NotReady: not ready within 10 s"),
        ("returns", "Returned: its run returned, which only a stop may cause"),
    ],
)
def test_a_critical_service_that_cannot_start_undoes_the_start_and_is_named(
    act: str, reason: str
) -> None:
    """Three attempts; then everything that ran has ended in reverse, and the error says why."""

    async def story(watched: Watched) -> None:
        with pytest.raises(StartFailed) as failed:
            await watched.supervisor.start()
        assert str(failed.value) == f"engine could not be started: {reason}"
        assert isinstance(failed.value.cause, Broke) == (act == "raises")
        assert watched.supervisor.active_tasks() == ()
        with pytest.raises(StartFailed):
            await watched.supervisor.start()

    done = supervised(chain(engine=act), story)
    assert done.toys["engine"].lives == 3
    ends = [line for line in done.diary if line.startswith("cleanup")]
    assert ends[-2:] == ["cleanup feed", "cleanup store"]
    assert done.toys["router"].lives == 0
    parked = [one for one in done.records if one.state is ServiceState.PARKED]
    assert [(one.service, reason in one.reason) for one in parked] == [("engine", True)]


@pytest.mark.proves("SUP-9")
def test_two_supervisors_are_two_objects() -> None:
    """Nothing is shared: both run at once in one process, and one ends without the other."""

    async def play() -> None:
        async with asyncio.TaskGroup() as group:
            both = [
                Supervisor(
                    chain(),
                    group=group,
                    threads=Threads(),
                    clock=NoWallClock(),
                    record=lambda _change: None,
                )
                for _ in range(2)
            ]
            for one in both:
                await one.start()
            await both[0].stop(*Group, within_s=5.0)
            assert all(status.ready for status in both[1].status())
            assert not any(status.running for status in both[0].status())
            await both[1].stop(*Group, within_s=5.0)
            for one in both:
                await one.close()

    virtually(play())


def test_services_that_do_not_fit_together_are_never_run() -> None:
    """The error is that of the tree; see there for the others."""

    async def story(watched: Watched) -> None:
        raise AssertionError(watched)

    with pytest.raises(ExceptionGroup) as refused:
        supervised([*chain(), Toy("store")], story)
    assert isinstance(single(refused.value), BadTree)


@pytest.mark.proves("SUP-14", "I-09", "I-14")
def test_a_crash_is_recorded_and_the_chain_is_whole_again_within_a_second() -> None:
    """What crashed and what depends on it run again; the record says why, in order."""

    async def story(watched: Watched) -> None:
        await watched.supervisor.start()
        await asyncio.sleep(1.1)
        assert watched.state("feed") == "restarting"
        await asyncio.sleep(0.9)
        assert first_not_ready(watched.supervisor.status()) is None
        status = {one.name: one for one in watched.supervisor.status()}
        assert status["feed"].last_error == "Broke: feed broke"
        assert {one.name: one.restarts for one in status.values()} == {
            "store": 0,
            "feed": 1,
            "engine": 1,
            "router": 1,
            "page": 0,
        }

    done = supervised(chain(feed="crashes,ready"), story)
    feed = [(one.state, one.reason) for one in done.records if one.service == "feed"]
    assert feed[:6] == [
        (ServiceState.WAITING, ""),
        (ServiceState.STARTING, ""),
        (ServiceState.READY, ""),
        (ServiceState.RESTARTING, "Broke: feed broke"),
        (ServiceState.STARTING, "Broke: feed broke"),
        (ServiceState.READY, ""),
    ]
    assert [one.at_ns for one in done.records] == sorted(one.at_ns for one in done.records)


@pytest.mark.proves("LOG-1", "LOG-3", "SUP-6", "PPR-5")
def test_each_decision_is_logged_with_component_class_message_and_stack() -> None:
    """A crash says all four; what gives up is critical."""

    async def story(watched: Watched) -> None:
        await watched.supervisor.start()
        await asyncio.sleep(60)
        assert watched.state("page") == "parked"

    with structlog.testing.capture_logs() as logs:
        supervised(chain(page="crashes"), story)
    crashes = [line for line in logs if line["event"] == "service restarting"]
    assert [(one["component"], one["error"], one["message"]) for one in crashes] == [
        ("page", "Broke", "page broke")
    ] * 2
    assert all("in _act" in one["stack"] for one in crashes)
    assert {one["log_level"] for one in crashes} == {"warning"}
    parked = [line for line in logs if line["event"] == "service parked"]
    assert [one["log_level"] for one in parked] == ["critical"]


@pytest.mark.proves("SUP-19", "I-126")
def test_a_side_service_that_keeps_crashing_is_parked_and_touches_nobody() -> None:
    """The chain has the same tasks as before."""

    async def story(watched: Watched) -> None:
        await watched.supervisor.start()
        before = [task for toy in watched.toys.values() if toy.critical for task in toy.tasks]
        await asyncio.sleep(3_600)
        assert watched.state("page") == "parked"
        assert [
            task for toy in watched.toys.values() if toy.critical for task in toy.tasks
        ] == before
        assert first_not_ready(watched.supervisor.status()) is None

    done = supervised(chain(page="crashes"), story)
    assert {toy.lives for toy in done.toys.values() if toy.critical} == {1}
    assert done.toys["page"].lives == 3


def test_what_is_parked_is_neither_drained_nor_blamed_for_the_stop() -> None:
    """It ended long ago; its fault was told then."""

    async def story(watched: Watched) -> None:
        await watched.supervisor.start()
        await asyncio.sleep(60)
        assert watched.state("feed") == "parked"
        assert watched.state("engine") == "ready"
        watched.diary.clear()
        assert await watched.supervisor.drain(within_s=1.0) == {}
        assert "drain feed" not in watched.diary
        assert "drain engine" in watched.diary
        assert await watched.supervisor.stop(*Group, within_s=5.0) == Stopped()

    supervised(chain(feed="crashes"), story)


def test_one_that_did_not_get_ready_again_owes_no_heartbeat() -> None:
    """It runs and is not ready, which is told; to restart it again would change nothing."""

    async def story(watched: Watched) -> None:
        await watched.supervisor.start()
        await asyncio.sleep(120)
        assert watched.state("feed") == "unready"
        assert watched.state("router") == "ready"

    assert supervised(chain(feed="crashes,never"), story).toys["feed"].lives == 2


@pytest.mark.proves("SUP-11", "I-14", "B-20")
def test_running_means_moving() -> None:
    """A task that is alive and does not beat is not running, whatever it claims; it is replaced."""

    async def story(watched: Watched) -> None:
        await watched.supervisor.start()
        await asyncio.sleep(4.9)
        status = {one.name: one for one in watched.supervisor.status()}
        assert status["page"].running
        assert status["page"].heartbeat_age_ms is None
        assert 0 <= (status["store"].heartbeat_age_ms or 0) <= 1_000
        await asyncio.sleep(0.15)
        status = {one.name: one for one in watched.supervisor.status()}
        assert not status["page"].running
        assert not status["page"].ready
        await asyncio.sleep(1)
        assert watched.state("page") == "ready"

    with structlog.testing.capture_logs() as logs:
        done = supervised(chain(page="mute,ready"), story)
    assert done.toys["page"].lives == 2
    told = next(line for line in logs if line["event"] == "service stopping" and "error" in line)
    assert (told["error"], told["message"]) == ("NoProgress", "no heartbeat for 5.2 s")
    assert "asyncio.sleep(FOR_EVER)" in told["stack"], "where it hangs"


def test_a_blocked_event_loop_is_nobodys_silence() -> None:
    """Ten seconds in which nothing could move: nothing is restarted when it goes on."""

    async def story(watched: Watched) -> None:
        await watched.supervisor.start()
        await asyncio.sleep(1.9)
        loop = asyncio.get_running_loop()
        loop._jumping.now_s += 10.0  # type: ignore[attr-defined]  # noqa: SLF001 as if blocked
        await asyncio.sleep(3)
        assert all(one.ready for one in watched.supervisor.status())

    with structlog.testing.capture_logs() as logs:
        done = supervised(chain(), story)
    assert {toy.lives for toy in done.toys.values()} == {1}
    assert [line["event"] for line in logs].count("the event loop was blocked") == 1


def test_a_blocked_event_loop_is_nobodys_slow_start() -> None:
    """What is starting has its ten seconds from then on, less what it had before."""

    async def story(watched: Watched) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(watched.supervisor.start())
            await asyncio.sleep(1)
            loop = asyncio.get_running_loop()
            loop._jumping.now_s += 60.0  # type: ignore[attr-defined]  # noqa: SLF001 as if blocked
            await asyncio.sleep(1)
            assert watched.state("store") == "starting"
            assert watched.toys["store"].said is not None
            watched.toys["store"].said()

    done = supervised([Toy("store", acts=["never"])], story)
    assert done.toys["store"].lives == 1


@pytest.mark.proves("SUP-11")
def test_ready_is_what_a_service_says_and_its_health_confirms() -> None:
    """Each can take it back; a health check that raises, or complains, is not healthy."""

    async def story(watched: Watched) -> None:
        async def told(health: Health | Exception = HEALTHY) -> tuple[bool, str]:
            page.healthy = health
            await asyncio.sleep(0.3)
            status = {one.name: one for one in watched.supervisor.status()}["page"]
            assert status.running
            return status.ready, status.reason

        await watched.supervisor.start()
        page = watched.toys["page"]
        assert page.said is not None
        assert await told() == (True, "")
        assert await told(unhealthy("no disk")) == (False, "no disk")
        assert await told() == (True, "")
        assert await told(Broke("oops")) == (False, "health: Broke: oops")
        assert await told() == (True, "")
        page.said.revoke("quiet")
        assert await told() == (False, "quiet")
        page.said()
        assert await told() == (True, "")

    assert supervised(chain(), story).toys["page"].lives == 1


def test_one_that_is_not_healthy_is_not_ready_when_it_says_so() -> None:
    """`ready()` alone starts nobody who needs it."""
    toys = chain()
    toys[-1].healthy = unhealthy("the chain of hashes is broken")

    async def story(watched: Watched) -> None:
        with pytest.raises(StartFailed, match="store could not be started: NotReady"):
            await watched.supervisor.start()

    assert supervised(toys, story).toys["feed"].lives == 0


@pytest.mark.proves("SUP-8", "B-03")
def test_one_that_raises_in_its_end_is_told_and_stops_nobody() -> None:
    """Everybody else ends as ever, and nothing is left."""

    async def story(watched: Watched) -> None:
        await watched.supervisor.start()
        stopped = await watched.supervisor.stop(*Group, within_s=5.0)
        assert {name: fault.text for name, fault in stopped.faults.items()} == {
            "engine": "Broke: engine raised in its end"
        }
        assert stopped.left == ()
        assert watched.supervisor.active_tasks() == ()

    done = supervised(chain(engine="bad_end"), story)
    assert {done.state(name) for name in done.toys} == {"stopped"}


@pytest.mark.proves("SUP-16", "APP-6")
@pytest.mark.parametrize("who", ["router", "engine", "page"])
def test_one_that_hangs_is_named_and_the_others_end_in_time(who: str) -> None:
    """Within the two seconds of its group, and the services below it are not even touched."""

    async def story(watched: Watched) -> None:
        supervisor = watched.supervisor
        await supervisor.start()
        loop = asyncio.get_running_loop()
        began = loop.time()
        stopped = [await supervisor.stop(Group.ORDER, Group.SIDE, within_s=2.0)]
        assert loop.time() - began == pytest.approx(1.0 if who == "router" else 2.0)
        stopped.append(await supervisor.stop(Group.PRICE, within_s=1.0))
        stopped.append(await supervisor.stop(Group.STATE, within_s=2.0))
        assert [one.left for one in stopped] == [(who,), (), ()]
        assert supervisor.active_tasks() == (who,)
        assert watched.diary.count(f"cancelled {who}") == 2, "once more when it was given up"
        watched.toys[who].is_let_go = True
        for task in asyncio.all_tasks():
            if task.get_name() == who:
                task.cancel()

    supervised(chain(**{who: "hangs"}), story)


@pytest.mark.proves("SUP-15", "APP-15")
@pytest.mark.parametrize("after_s", [0.0, 0.5, 2.9, 3.1])
def test_a_stop_during_the_start_is_obeyed_and_ends_the_start(after_s: float) -> None:
    """Wherever it is: nobody is run after it, and `start` returns."""

    async def story(watched: Watched) -> None:
        async with asyncio.TaskGroup() as group:
            starting = group.create_task(watched.supervisor.start())
            await asyncio.sleep(after_s)
            await watched.supervisor.stop(*Group, within_s=5.0)
            await starting
        runs = len([line for line in watched.diary if line.startswith("run")])
        await asyncio.sleep(100)
        assert len([line for line in watched.diary if line.startswith("run")]) == runs
        assert watched.supervisor.active_tasks() == ()

    supervised(chain(store="slow", feed="slow"), story)


@pytest.mark.proves("RACE-12")
def test_draining_asks_all_in_order_before_anything_is_cancelled_and_never_raises() -> None:
    """Who is late or fails is named; the side services have nothing in flight."""
    toys = chain()
    by_name = {toy.name: toy for toy in toys}

    async def late() -> None:
        await asyncio.sleep(60)

    async def bad() -> None:
        raise Broke("cannot drain")

    by_name["router"].draining = late
    by_name["store"].draining = bad

    async def story(watched: Watched) -> None:
        await watched.supervisor.start()
        watched.diary.clear()
        faults = await watched.supervisor.drain(within_s=1.5)
        assert {name: fault.text for name, fault in faults.items()} == {
            "store": "Broke: cannot drain",
            "router": "TimeoutError: not done within 1.50 s",
        }
        assert watched.diary == [f"drain {name}" for name in ("store", "feed", "engine", "router")]
        assert {one.state for one in watched.supervisor.status()} == {ServiceState.READY}
        await asyncio.sleep(0)
        assert "drain router" not in watched.supervisor.active_tasks()

    supervised(toys, story)


@pytest.mark.proves("PHB-2", "THR-1")
@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_inside_a_service_is_not_swallowed(interrupt: type[BaseException]) -> None:
    """Only ordinary exceptions are a service's fault."""
    toy = Toy("store")

    async def drain() -> None:
        raise interrupt

    toy.draining = drain

    async def story(watched: Watched) -> None:
        await watched.supervisor.start()
        await watched.supervisor.drain(within_s=1.0)

    with pytest.raises(interrupt):
        supervised([toy], story)


class Interrupting(Toy):
    """A service that calls `sys.exit` one second after it was ready."""

    @override
    async def run(self, ready: Ready) -> None:
        ready()
        await asyncio.sleep(1)
        raise SystemExit(33)


@pytest.mark.proves("PHB-2")
def test_an_interrupt_of_a_service_ends_all_in_order_where_somebody_listens() -> None:
    """It is told to whoever can end the program; the event loop itself goes on."""
    told: list[BaseException] = []

    async def story(watched: Watched) -> None:
        watched.supervisor.interrupted = told.append
        await watched.supervisor.start()
        await asyncio.sleep(1.1)
        await watched.supervisor.stop(*Group, within_s=5.0)

    supervised([Interrupting("store")], story)
    assert [one.code for one in told if isinstance(one, SystemExit)] == [33]

    async def alone(watched: Watched) -> None:
        await watched.supervisor.start()
        await asyncio.sleep(1.1)

    with pytest.raises(SystemExit):
        supervised([Interrupting("store")], alone)


def test_a_cancellation_that_nobody_asked_for_is_a_crash() -> None:
    """A library may leak one; the service did not end because it should."""
    toys = chain()

    async def story(watched: Watched) -> None:
        await watched.supervisor.start()
        tasks = {task.get_name(): task for task in asyncio.all_tasks()}
        tasks["page"].cancel()
        await asyncio.sleep(0.1)
        status = next(one for one in watched.supervisor.status() if one.name == "page")
        assert status.last_error == "CancelledError: a cancellation that nobody asked for"
        assert status.state is ServiceState.RESTARTING

    supervised(toys, story)


class Writing(Toy):
    """A service whose work is done by a thread that dies in its first life."""

    @override
    async def run(self, ready: Ready) -> None:
        self.lives += 1
        self.thread("JournalWriter", self._die if self.lives == 1 else self._write)
        ready()
        await self.periodic("Watch", self._turn, every_s=0.1)

    def _die(self, _flag: StopFlag) -> None:
        raise OSError("no space left")

    def _write(self, flag: StopFlag) -> None:
        while not flag.wait(60):
            pass


@pytest.mark.proves("I-14", "SUP-11", "SUP-14")
def test_the_death_of_a_thread_is_noticed_and_its_service_runs_again() -> None:
    """A real one, in real time: within a second there is another writer, and the record says why."""
    records: list[ServiceChanged] = []

    async def play() -> None:
        writing = Writing("store")
        async with asyncio.TaskGroup() as group:
            again = asyncio.Event()

            def record(change: ServiceChanged) -> None:
                records.append(change)
                if (change.state, change.restarts) == (ServiceState.READY, 1):
                    again.set()

            supervisor = Supervisor(
                [writing], group=group, threads=Threads(), clock=NoWallClock(), record=record
            )
            await supervisor.start()
            async with asyncio.timeout(5):
                await again.wait()
            assert supervisor.status()[0].threads == ("JournalWriter",)
            await supervisor.stop(*Group, within_s=5.0)
            assert supervisor.status()[0].threads == ()
            await supervisor.close()

    asyncio.run(play())
    assert "ThreadLost: the thread JournalWriter ended" in [one.reason for one in records]
    assert records[-1].at_ns - records[0].at_ns < 2_000_000_000


class TwoLoops(Toy):
    """A service with two tasks of its own besides `run`."""

    @override
    async def run(self, ready: Ready) -> None:
        self.task(self.periodic("One", self._turn, every_s=1.0), name="WebSocketListener")
        self.task(self.periodic("Two", self._turn, every_s=1.0), name="KeepAliveTimer")
        ready()


@pytest.mark.proves("PRM-1", "B-07", "BAS-1")
def test_a_services_tasks_are_told_by_name_while_they_run_and_not_after() -> None:
    """Exactly the two it has, from `ready` until it has stopped."""

    async def story(watched: Watched) -> None:
        assert watched.supervisor.status()[0].tasks == ()
        await watched.supervisor.start()
        await asyncio.sleep(60)
        assert watched.supervisor.status()[0].tasks == ("WebSocketListener", "KeepAliveTimer")
        names = ("feed", "WebSocketListener", "KeepAliveTimer")
        assert watched.supervisor.active_tasks() == names
        await watched.supervisor.stop(*Group, within_s=5.0)
        assert watched.supervisor.status()[0].tasks == ()
        assert watched.supervisor.active_tasks() == ()

    supervised([TwoLoops("feed", group=Group.PRICE)], story)
