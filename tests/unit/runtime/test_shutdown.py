"""The stop in virtual time: its order, its deadline, its texts, and the record at its end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import structlog
from typing_extensions import override

from holdfast.app.config import RuntimeSettings
from holdfast.domain.errors import DataRefused
from holdfast.runtime.service import Group
from holdfast.runtime.shutdown import FinalState, Saved, Shutdown, StopLimits, StopReport
from holdfast.runtime.supervisor import Supervisor
from holdfast.runtime.threads import StopFlag, Threads
from tests.support.services import FOR_EVER, Broke, Toy
from tests.support.virtual import NoWallClock, virtually

STATE = {"positions": 1, "sequence": 4711}


class Ledger:
    """A final state kept in memory: what was saved is read back, and one connection is open."""

    def __init__(
        self, diary: list[str], *, save: str = "", verify: str = "", tidy: str = ""
    ) -> None:
        """Each may be told to "raise", to "hang", to "lag" (1.3 s), to "crawl" (2 s) or to "dawdle" (4.5 s)."""
        self.diary = diary
        self.acts = {"save": save, "verify": verify, "tidy": tidy}
        self.tidied_s: float | None = None
        self.kept: Saved | None = None
        self.saved = Saved(state=STATE, open_positions=1)

    async def _act(self, what: str) -> None:
        self.diary.append(what)
        await asyncio.sleep(0.1)
        if self.acts[what] == "lag":
            await asyncio.sleep(1.2)
        if self.acts[what] == "crawl":
            await asyncio.sleep(1.9)
        if self.acts[what] == "dawdle":
            await asyncio.sleep(4.45)
        if self.acts[what] == "hang":
            await asyncio.sleep(FOR_EVER)
        if self.acts[what] == "raise":
            raise DataRefused("journal.db", "row 7 is damaged", "restore it")

    async def save(self) -> Saved:
        """Keep it."""
        await self._act("save")
        self.kept = self.saved
        return self.saved

    async def verify(self, saved: Saved) -> None:
        """What was kept must be what was said to be."""
        await self._act("verify")
        assert self.kept == saved, "read back"

    async def tidy(self, within_s: float) -> None:
        """What may be left undone."""
        self.tidied_s = within_s
        if self.acts["tidy"]:
            await self._act("tidy")

    async def db_connections(self) -> int:
        """All are closed."""
        return 0


class Stage:
    """A stop, what was logged in it, and when it was over."""

    def __init__(self, report: StopReport, logs: list[Any], seconds: float) -> None:
        self.report = report
        self.logs = logs
        self.seconds = seconds

    def texts(self, level: str = "") -> list[str]:
        """What the stop itself logged, of one level or all."""
        own = [line for line in self.logs if not line["event"].startswith("service ")]
        return [line["event"] for line in own if level in {"", line["log_level"]}]


def chain(diary: list[str], **acts: str) -> list[Toy]:
    """One service of each kind, and what it does at its end."""

    def toy(name: str, group: Group, *needs: str) -> Toy:
        act = acts.get(name, "ready").replace("_", " ")
        return Toy(name, group=group, needs=needs, acts=[act], diary=diary)

    return [
        toy("store", Group.STATE),
        toy("feed", Group.PRICE, "store"),
        toy("engine", Group.ORDER, "feed"),
        toy("router", Group.ORDER, "engine"),
        toy("page", Group.SIDE, "engine"),
    ]


def stopped(
    services: list[Toy],
    final: FinalState,
    *,
    limits: StopLimits | None = None,
    ago_s: float = 0.0,
    exit_code: int = 0,
    act: Callable[[Shutdown], Awaitable[None]] | None = None,
) -> Stage:
    """Start, wait a little, stop; afterwards let go who hangs, so that the test can end."""

    async def play() -> tuple[StopReport, float]:
        threads = Threads()
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            supervisor = Supervisor(
                services,
                group=group,
                threads=threads,
                clock=NoWallClock(),
                record=lambda _change: None,
            )
            await supervisor.start()
            await asyncio.sleep(10)
            shutdown = Shutdown(supervisor, threads, final, limits=limits)
            began_s = loop.time()
            if act is not None:
                await act(shutdown)
            report = await shutdown.run("test", began_s=began_s - ago_s, exit_code=exit_code)
            seconds = loop.time() - began_s
            for toy in services:
                toy.is_let_go = True
            for task in asyncio.all_tasks():
                if task.get_name() in report.active_tasks:
                    task.cancel()
            await supervisor.close()
        return report, seconds

    with structlog.testing.capture_logs() as logs:
        report, seconds = virtually(play())
    return Stage(report, logs, seconds)


@pytest.mark.proves(
    "APP-5", "APP-8", "APP-10", "APP-11", "APP-13", "STM-2", "SUP-10", "EXE-4", "ACT-5"
)
def test_a_clean_stop_is_in_order_and_its_record_says_so() -> None:
    """Drain, order, price, save, state, verify; two texts, and the last has every field."""
    diary: list[str] = []
    stage = stopped(chain(diary), Ledger(diary))
    began = diary.index("drain store")
    ends = [line for line in diary[began:] if not line.startswith("cancelled")]
    ends.remove("cleanup page")  # at its own pace
    assert ends == [
        *(f"drain {name}" for name in ("store", "feed", "engine", "router")),
        *("cleanup router", "cleanup engine", "cleanup feed"),
        *("save", "cleanup store", "verify"),
    ]
    assert stage.texts() == ["Starting shutdown sequence", "Shutdown complete"]
    record = stage.logs[-1]
    assert (record["event"], record["log_level"]) == ("Shutdown complete", "info")
    assert {name: record[name] for name in record if name not in {"event", "log_level"}} == {
        "exit_code": 0,
        "final_state": STATE,
        "final_state_verified": True,
        "cleanup_status": dict.fromkeys(("store", "feed", "engine", "router", "page"), "stopped"),
        "active_threads": (),
        "active_tasks": (),
        "other_threads": (),
        "db_connections": 0,
        "open_positions": 1,
        "seconds": stage.report.seconds,
    }
    assert stage.seconds == pytest.approx(0.2), "what saving and reading back take"


def test_what_may_be_left_undone_has_half_of_what_is_left_after_the_verification() -> None:
    """The other half is for ending it; nothing is begun where the state was not verified."""
    ledger = Ledger([])
    assert stopped(chain([]), ledger).report.exit_code == 0
    assert ledger.tidied_s == pytest.approx((4.75 - 0.2) / 2)
    broken = Ledger([], verify="raise")
    assert stopped(chain([]), broken).report.exit_code == 21
    assert broken.tidied_s is None


def test_what_may_be_left_undone_delays_nothing_beyond_its_share() -> None:
    """It is told as an overrun: the state was verified before."""
    stage = stopped(chain([]), Ledger([], tidy="hang"))
    assert stage.report.exit_code == 20
    assert stage.report.cleanup_status["tidy"].startswith("TimeoutError")
    assert stage.seconds == pytest.approx(4.75)


def test_nothing_that_may_be_left_undone_is_begun_where_little_time_is_left() -> None:
    """The verification took it: the stop is as clean without."""
    ledger = Ledger([], verify="dawdle")
    stage = stopped(chain([]), ledger)
    assert (stage.report.exit_code, stage.report.final_state_verified) == (0, True)
    assert ledger.tidied_s is None


@pytest.mark.proves("APP-6", "SUP-16", "PRM-2", "ORM-2", "STM-2", "B-04")
@pytest.mark.parametrize(
    ("who", "manager"),
    [
        ("router", "OrderManager"),
        ("engine", "OrderManager"),
        ("page", "OrderManager"),
        ("feed", "PriceManager"),
        ("store", "StateManager"),
    ],
)
def test_each_overrun_is_told_and_the_stop_goes_on(who: str, manager: str) -> None:
    """One error with the fixed text, everybody else ended, state saved and verified, code 20."""
    diary: list[str] = []
    stage = stopped(chain(diary, **{who: "hangs"}), Ledger(diary))
    assert stage.texts("error") == [
        f"{manager} failed to stop in time",
        "State verification failed",
    ]
    overrun = next(line for line in stage.logs if "failed to stop in time" in line["event"])
    assert overrun["left"] == (who,)
    left = next(line for line in stage.logs if line["event"] == "State verification failed")
    assert left["message"] == f"threads: none; tasks: {who}"
    assert stage.texts()[-1] == "Shutdown complete"
    report = stage.report
    assert report.exit_code == 20
    assert report.active_tasks == (who,)
    assert not report.final_state_verified
    status = {name: told for name, told in report.cleanup_status.items() if told != "stopped"}
    assert status == {who: "failed to stop in time"}
    assert diary.index("save") < diary.index("verify")
    assert stage.seconds <= 2.0 + 0.2


@pytest.mark.proves("APP-7", "APP-14")
@pytest.mark.parametrize("save", ["", "hang"])
def test_whatever_hangs_it_is_over_within_five_seconds(save: str) -> None:
    """Every service, every drain, saving or verifying: each has its share and no more."""
    diary: list[str] = []
    names = ("store", "feed", "engine", "router", "page")
    services = chain(diary, **dict.fromkeys(names, "hangs"))

    async def never() -> None:
        await asyncio.sleep(FOR_EVER)

    for toy in services:
        toy.draining = never
    stage = stopped(services, Ledger(diary, save=save, verify="hang"))
    assert 4.0 <= stage.seconds <= 5.0 - StopLimits().end_s + 0.01
    assert save or stage.seconds == pytest.approx(4.75, abs=0.01), "all of it, and no more"
    assert stage.report.exit_code == 21
    assert set(stage.report.active_tasks) == set(names)
    assert [text for text in stage.texts("error") if text.endswith("in time")] == [
        "OrderManager failed to stop in time",
        "PriceManager failed to stop in time",
        "StateManager failed to stop in time",
    ]
    assert stage.texts()[-1] == "Shutdown complete"
    assert (stage.report.final_state is None) == (save == "hang")
    assert stage.report.open_positions == (None if save else 1), "unknown is not 0"


@pytest.mark.parametrize("ago_s", [1.0, 2.5, 3.5])
def test_a_late_beginning_costs_each_its_part_and_nobody_everything(ago_s: float) -> None:
    """The loop was blocked since the signal: who hangs in front still leaves time for saving."""
    diary: list[str] = []
    services = chain(diary, router="hangs", feed="hangs")

    async def never() -> None:
        await asyncio.sleep(FOR_EVER)

    services[0].draining = never
    stage = stopped(services, Ledger(diary), ago_s=ago_s)
    assert ago_s + stage.seconds <= 5.0 - StopLimits().end_s + 0.01
    assert stage.report.final_state == STATE
    assert "cleanup store" in diary
    assert stage.report.seconds == pytest.approx(ago_s + stage.seconds, abs=0.01)


@pytest.mark.proves("APP-9", "LOG-1", "LOG-3", "SUP-8", "B-03")
@pytest.mark.parametrize("what", ["end", "drain"])
def test_an_error_on_the_way_is_told_with_its_trace_and_the_stop_goes_on(what: str) -> None:
    """The state is good, the stop was not clean: code 20."""
    diary: list[str] = []
    services = chain(diary, **({"feed": "bad_end"} if what == "end" else {}))

    async def breaks() -> None:
        raise Broke("cannot drain")

    if what == "drain":
        services[1].draining = breaks
    stage = stopped(services, Ledger(diary))
    told = [line for line in stage.logs if line["event"] == "Shutdown error"]
    assert [(one["component"], one["error"]) for one in told] == [
        ("feed" if what == "end" else "drain of feed", "Broke")
    ]
    assert "raise Broke" in told[0]["stack"]
    assert stage.report.exit_code == 20
    assert stage.report.final_state_verified
    assert "verify" in diary
    assert stage.texts()[-1] == "Shutdown complete"


@pytest.mark.proves("APP-8", "APP-9", "APP-13", "VER-1", "VER-5", "B-04")
@pytest.mark.parametrize("act", ["raise", "hang"])
def test_a_state_that_does_not_read_back_is_an_exit_code_of_its_own(act: str) -> None:
    """21, with the trace, after everything else was stopped."""
    diary: list[str] = []
    stage = stopped(chain(diary), Ledger(diary, verify=act))
    assert stage.texts("error") == ["State verification failed"]
    line = next(one for one in stage.logs if one["event"] == "State verification failed")
    assert line["error"] == ("DataRefused" if act == "raise" else "TimeoutError")
    if act == "raise":
        assert "row 7 is damaged" in line["message"]
        assert "raise DataRefused" in line["stack"]
    assert stage.report.exit_code == 21
    assert not stage.report.final_state_verified
    assert stage.report.final_state == STATE, "it was saved, and it is told what"


@pytest.mark.parametrize("act", ["raise", "hang"])
def test_a_state_that_could_not_be_saved_is_not_verified(act: str) -> None:
    """Nothing is read back; both faults are told."""
    diary: list[str] = []
    stage = stopped(chain(diary, store="long_end"), Ledger(diary, save=act))
    assert stage.texts("error") == ["Shutdown error", "State verification failed"]
    assert "verify" not in diary
    assert stage.report.exit_code == 21
    assert stage.report.final_state is None
    assert "save" in stage.report.cleanup_status
    assert stage.report.cleanup_status["store"] == "stopped"
    assert "cleanup store" in diary


@pytest.mark.parametrize("lagging", ["save", "verify"])
def test_a_slow_disk_may_use_what_the_groups_before_have_left(lagging: str) -> None:
    """Saving and reading back have half a second each, and nobody else needed the other four."""
    diary: list[str] = []
    stage = stopped(chain(diary), Ledger(diary, **{lagging: "lag"}))
    assert (stage.report.exit_code, stage.report.final_state_verified) == (0, True)
    assert 1.3 <= stage.seconds <= 2.0


def test_a_save_that_takes_two_seconds_is_waited_for_and_read_back() -> None:
    """A whole day ended with 21 after 1.4 s of a disk that was merely slow, with three left."""
    stage = stopped(chain([]), Ledger([], save="crawl"))
    assert (stage.report.exit_code, stage.report.final_state_verified) == (0, True)
    assert 2.0 <= stage.seconds <= 2.7


@pytest.mark.proves("APP-10", "B-04")
@pytest.mark.parametrize(
    ("asked", "halted", "hangs", "code"),
    [
        *((0, False, False, 0), (0, True, False, 10), (5, False, False, 5), (5, True, False, 5)),
        *((0, True, True, 20), (5, False, True, 20)),
    ],
)
def test_the_exit_code_is_the_worst_that_is_true(
    *, asked: int, halted: bool, hangs: bool, code: int
) -> None:
    """A stop that was not clean outweighs why it was asked for, that outweighs a halt."""
    diary: list[str] = []
    final = Ledger(diary)
    final.saved = Saved(state=STATE, open_positions=0, is_halted=halted)
    services = chain(diary, **({"feed": "hangs"} if hangs else {}))
    assert stopped(services, final, exit_code=asked).report.exit_code == code


@pytest.mark.proves("APP-4", "SUP-13")
def test_there_is_one_stop_and_every_call_waits_for_it() -> None:
    """Called again before, in the middle and after: one sequence, one record, one answer."""
    diary: list[str] = []
    reports: list[StopReport] = []

    async def call_often(shutdown: Shutdown) -> None:
        async def call(after_s: float) -> None:
            await asyncio.sleep(after_s)
            reports.append(await shutdown.run(f"again after {after_s}"))

        assert not shutdown.shutting_down
        async with asyncio.TaskGroup() as group:
            for after_s in (0.0, 0.0, 0.3, 0.9, 5.0):
                group.create_task(call(after_s))
        assert shutdown.shutting_down

    stage = stopped(chain(diary, engine="long_end"), Ledger(diary), act=call_often)
    assert stage.texts() == ["Starting shutdown sequence", "Shutdown complete"]
    assert all(report is stage.report for report in reports)
    assert diary.count("save") == 1


@pytest.mark.proves("APP-9")
def test_the_record_comes_last_even_when_the_stop_itself_is_cancelled() -> None:
    """It says what is true then: nothing was saved, so nothing is verified."""
    diary: list[str] = []

    async def cancel(shutdown: Shutdown) -> None:
        task = asyncio.get_running_loop().create_task(shutdown.run("cancelled"))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait({task})

    services = chain(diary, router="long_end")
    stage = stopped(services, Ledger(diary), act=cancel)
    assert stage.texts()[-1] == "Shutdown complete"
    assert stage.report.exit_code == 21
    assert stage.report.final_state is None


@pytest.mark.proves("VER-2", "B-21", "BAS-4")
def test_a_thread_that_stays_is_named_with_its_stack() -> None:
    """Real ones: the stop ends in time without it, and the record names it."""
    loop_s = StopLimits(total_s=3.0, order_s=0.2, price_s=0.2, state_s=2.0, end_s=0.1)
    diary: list[str] = []

    async def play() -> StopReport:
        flags: list[StopFlag] = []
        let_go = asyncio.Event()

        def stays(flag: StopFlag) -> None:
            flags.append(flag)
            while not let_go.is_set():
                flag._event.wait(0.001)  # noqa: SLF001 a thread that looks at something else

        def ends(flag: StopFlag) -> None:
            flag.wait(60)

        threads = Threads()
        async with asyncio.TaskGroup() as group:
            supervisor = Supervisor(
                chain(diary),
                group=group,
                threads=threads,
                clock=NoWallClock(),
                record=lambda _change: None,
            )
            await supervisor.start()
            threads.start("Stays", stays, owner="application")
            threads.start("Ends", ends, owner="application")
            report = await Shutdown(supervisor, threads, Ledger(diary), limits=loop_s).run("test")
            assert threads.alive() == ("Stays",)
            let_go.set()
            await threads.stop()
            await supervisor.close()
        return report

    with structlog.testing.capture_logs() as logs:
        report = asyncio.run(play())
    assert report.active_threads == ("Stays",)
    assert (report.exit_code, report.final_state_verified) == (20, False)
    assert report.seconds < 3.0
    left = next(line for line in logs if line["event"] == "State verification failed")
    assert "in stays" in left["stack"]


@pytest.mark.proves("LOG-4", "APP-9")
def test_every_log_handler_is_flushed_after_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever buffers has nothing left when the process ends."""
    flushed: list[str] = []

    class Buffered(logging.Handler):
        @override
        def flush(self) -> None:
            flushed.append("flush")

    monkeypatch.setattr(logging.getLogger(), "handlers", [Buffered()])
    monkeypatch.setattr(logging.getLogger("other"), "handlers", [Buffered()])
    diary: list[str] = []
    stopped(chain(diary), Ledger(diary))
    assert len(flushed) == 2


@pytest.mark.proves("SET-2")
def test_the_limits_are_those_of_the_configuration() -> None:
    """2.0, 1.0 and 2.0, stated in two places that must not differ; five seconds in all."""
    limits, settings = StopLimits(), RuntimeSettings()
    caps = (limits.order_s, limits.price_s, limits.state_s)
    assert caps == (2.0, 1.0, 2.0)
    assert caps == (
        settings.shutdown_timeout_order_s,
        settings.shutdown_timeout_price_s,
        settings.shutdown_timeout_state_s,
    )
    assert limits.total_s == 5.0
