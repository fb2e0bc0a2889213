"""One supervised day as a program: its services, wired from parts that know no mode."""

import asyncio
import gc
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from holdfast.app.chain import Chain, Hooks, MakeMarket, Market
from holdfast.app.comparing import Comparison
from holdfast.app.config import Config, RuntimeSettings
from holdfast.app.mandate import Mandate, Until
from holdfast.control.operator import Operator
from holdfast.control.socket import Control
from holdfast.core.view import View
from holdfast.domain.command import Notify
from holdfast.domain.dated import Session
from holdfast.domain.errors import BrokerUnavailable, HoldfastError, StepGivenUp
from holdfast.domain.event import ServiceChanged, ServiceState
from holdfast.ports import FeedStatus, KeptFeed
from holdfast.runtime.application import Application, Parts
from holdfast.runtime.book import Compare
from holdfast.runtime.clock import DayClock, WallClock
from holdfast.runtime.day import Day, Standing
from holdfast.runtime.ending import DayEnd, Left
from holdfast.runtime.halting import WrittenHalt
from holdfast.runtime.monitor import Monitor
from holdfast.runtime.notifier import Notifier, is_urgent
from holdfast.runtime.service import Service
from holdfast.runtime.shutdown import StopLimits
from holdfast.runtime.signals import Signals
from holdfast.runtime.snapshots import Snapshots
from holdfast.runtime.starting import Ground, Starting
from holdfast.runtime.storing import Store
from holdfast.runtime.supervisor import StartFailed
from holdfast.runtime.systemd import Systemd
from holdfast.runtime.threads import Threads
from holdfast.runtime.trading import Trading
from holdfast.runtime.tree import Policy
from holdfast.runtime.watchdog import Watchdog
from holdfast.store.buffers import StoreSettings
from holdfast.store.halt import HaltFile
from holdfast.store.schema import FILE_NAME
from holdfast.store.segment import TapeHeader
from holdfast.store.served import OnChanged, ServedJournal

KNOWN_S: Final = 10.0
"""So long a program that is up waits for the broker's book before it says that it is ready."""

LOOK_S: Final = 0.05


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """What belongs to the process and not to the day. `beside` are services of whoever embeds it.

    With a `mandate` it trades no day, but ends when that is done.
    """

    signals: Signals | None = None
    systemd: Systemd | None = None
    control: Path | None = None
    beside: Sequence[Service] = ()
    mandate: Mandate | None = None


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """The day itself: what its engine is made of, its time, its hours, its tape, who watches."""

    ground: Ground
    clock: DayClock
    session: Session
    header: TapeHeader
    progress: Callable[[int], None]


class Program:
    """Runs one day once. What went wrong is raised after everything has been stopped in order."""

    def __init__(
        self, config: Config, folder: Path, market: MakeMarket, work: Work, host: Host
    ) -> None:
        """Journal and tape lie in `folder`. Nothing runs before `run`, and `market` is made there."""
        self._config = config
        self._folder = folder
        self._make_market = market
        self._market: Market | None = None
        self._work = work
        self._host = host
        self._refused: HoldfastError | None = None
        self._day: Day | None = None
        self._monitor: Monitor | None = None
        self._starting: Starting | None = None
        self._operator: Operator | None = None
        self.application = Application(
            self._parts,
            signals=host.signals,
            systemd=host.systemd,
            watchdog=Watchdog(while_hung=self._while_hung),
        )

    def run(self) -> int:
        """The day, from its first service to its exit code. Raises what it failed for."""
        try:
            code = self.application.run()
        finally:
            gc.unfreeze()
            if self._market is not None:
                self._market.close()
        if self._host.signals is not None:
            self._host.signals.disarm()
        if self._refused is not None:
            raise self._refused
        if self.application.failed is not None:
            raise _refusal(self.application.failed)
        return code

    @property
    def standing(self) -> Standing:
        """How the day stands, or stood at its end."""
        assert self._day is not None, "it ran"
        return self._day.standing

    @property
    def view(self) -> View | None:
        """How the account stands, or stood at the end; `None` where there never was an engine."""
        engine = self._day.engine if self._day is not None else None
        return None if engine is None else engine.view

    # -- wiring

    def _parts(self) -> Parts:
        """Everything, made inside the event loop."""
        work, threads = self._work, Threads()
        notifier = Notifier(_to_terminal)
        day = self._day = Day(
            work.clock,
            ends_ns=work.session.close_ns,
            progress=self._progress,
            notify=notifier.put,
        )
        halt = WrittenHalt(HaltFile(self._folder), work.clock, aside=partial(_aside, threads))
        store = Store(
            self._journal(day.journal_changed),
            day.tell,
            work.clock,
            threaded=self._threaded,
            halt=halt,
        )
        self._operator = Operator(day, work.clock, halt.write)
        self._starting = self._start_of(threads, halt)
        market = self._market = self._make_market(day)
        chain = Chain(self._config, market, day, work.clock, notify=notifier.put)
        compare = Comparison(day, store, threads, self._folder / FILE_NAME)
        return Parts(
            services=[
                *self._core(chain, store, compare),
                notifier,
                *self._control(),
                *self._mandate(day),
                *self._host.beside,
            ],
            final=DayEnd(day, store, threads, self._left, halt=halt, compare=compare.at_the_close),
            clock=work.clock,
            record=self._record,
            threads=threads,
            policy=_policy(work.clock),
            limits=stop_limits(self._config.runtime),
            known=self._known,
        )

    async def _known(self) -> None:
        """Until the broker's book has told which ids are taken: before, no stop can be placed.

        A broker that does not tell makes nobody wait for ever: what can be done without is done.
        Played days stand still until all is ready.
        """
        wall_s, day = self._work.clock.wall_s, self._day
        assert day is not None, "it is made with the services"
        if not self._work.clock.is_real_time:
            return
        # What a start has made lasts for the day: a collector that walks all of it in the middle of
        # one stops the loop for 70 to 95 ms (docs/performance.md).
        gc.freeze()
        with suppress(TimeoutError):
            async with asyncio.timeout(wall_s(KNOWN_S)):
                while day.engine is None or not day.engine.may_place:  # noqa: ASYNC110 a look
                    await asyncio.sleep(min(wall_s(LOOK_S), LOOK_S))

    @property
    def _left(self) -> Left:
        return Left(
            date=self._work.ground.facts.day,
            folder=self._folder,
            clock=self._work.clock,
            had_past=self._work.ground.past is not None,
        )

    def _start_of(self, threads: Threads, halt: WrittenHalt) -> Starting:
        ground = self._work.ground
        snapshots = Snapshots(self._folder, ground.origin, inline=not self._threaded)
        return Starting(ground, self._folder, threads, snapshots, halt)

    def _core(self, chain: Chain, store: Store, compare: Compare) -> Sequence[Service]:
        assert self._starting is not None, "it is made first"
        self._monitor = chain.monitor
        hooks = Hooks(
            recover=self._starting,
            compare=compare,
            may_begin=self.application.wait_up,
            over=self._over,
            refuse=self._refuse,
        )
        session = self._work.session
        return chain.services(store, self._starting.snapshots, hooks, session=session)

    def _control(self) -> Sequence[Service]:
        if self._host.control is None:
            return ()
        assert self._operator is not None, "it is made before"
        answers = {"status": self._status, "view": self._operator.view}
        return (Control(self._host.control, answers, self._operator.do),)

    def _mandate(self, day: Day) -> Sequence[Service]:
        if self._host.mandate is None:
            return ()
        return (Until(day, self._host.mandate, self.application.ask_stop),)

    @property
    def _threaded(self) -> bool:
        """Whether time passes by itself. At the highest speed numbers and files hang on no thread."""
        return self._work.clock.is_real_time or self._config.sim.speed > 0

    def _journal(self, on_changed: OnChanged) -> ServedJournal:
        settings = StoreSettings(
            db_transaction_batch_size=self._config.runtime.db_transaction_batch_size,
            db_commit_interval_s=self._config.runtime.db_commit_interval_s,
            threaded=self._threaded,
        )
        clock = WallClock() if self._threaded else None
        return ServedJournal(
            self._folder, self._work.header, settings=settings, on_changed=on_changed, clock=clock
        )

    # -- what is said while it runs

    def _progress(self, ticks: int) -> None:
        """Show it. A terminal that went away is no reason to stop trading."""
        with suppress(OSError):
            self._work.progress(ticks)

    def _while_hung(self, age_s: float) -> None:
        """From the watchdog's thread, while the event loop is stuck.

        At the highest speed the market stands still meanwhile: nothing is late, and how busy the
        host is must change nothing of what is played.
        """
        if self._monitor is not None and self._threaded:
            self._monitor.while_hung(age_s)

    def _record(self, change: ServiceChanged) -> None:
        """Journal a decision of the supervisor. Without an engine there are no exits: that ends it."""
        assert self._day is not None, "it runs"
        self._day.tell(change)
        is_engine = change.service == Trading.name and change.state is ServiceState.PARKED
        if is_engine and self._day.has_begun:
            self._refuse(StepGivenUp(f"the engine was given up: {change.reason}"))

    def _over(self) -> None:
        self.application.ask_stop("the day is over")

    def _refuse(self, error: HoldfastError) -> None:
        """The day cannot go on, and there is no sense in trying again."""
        self._refused = error
        self.application.ask_stop(str(error), exit_code=error.exit_code)

    def _status(self) -> dict[str, Any]:
        assert self._day is not None, "it runs"
        assert self._starting is not None, "it runs"
        return {
            "services": self.application.status(),
            "feed": self._feed_status(),
            "shutting_down": self.application.shutting_down,
            "standing": self._day.standing,
            "recovered": self._starting.recovered,
            "view": self.view,
        }

    def _feed_status(self) -> FeedStatus | None:
        """How a feed is that keeps its own connections; a played one has none."""
        feed = None if self._market is None else self._market.feed
        return feed.status() if isinstance(feed, KeptFeed) else None


def _refusal(failed: StartFailed) -> BaseException:
    """What a person is told of a start that failed; a bug of ours stays the bug that it is."""
    if isinstance(failed.cause, HoldfastError):
        return failed.cause
    if failed.exit_code == BrokerUnavailable.exit_code:
        return BrokerUnavailable(
            f"{failed}\n  nothing was traded; start again when the broker answers"
        )
    return failed.cause or failed


def _policy(clock: DayClock) -> Policy:
    """How services are tried again. What a clock makes shorter is the pauses, not the bounds."""
    usual = Policy()
    return msgspec.structs.replace(
        usual,
        backoff_s=clock.wall_s(usual.backoff_s),
        backoff_s_max=clock.wall_s(usual.backoff_s_max),
    )


def stop_limits(runtime: RuntimeSettings) -> StopLimits:
    """The caps of a stop, under the one deadline that is nobody's to set."""
    return StopLimits(
        order_s=runtime.shutdown_timeout_order_s,
        price_s=runtime.shutdown_timeout_price_s,
        state_s=runtime.shutdown_timeout_state_s,
    )


def _aside(threads: Threads, work: Callable[[], None]) -> None:
    """Do it in a thread; where the system has none left, at once."""
    name = f"HaltSync-{len(threads.of('halt')) + 1}"
    try:
        threads.start(name, lambda _flag: work(), owner="halt").is_errand = True
    except RuntimeError:
        work()


def _to_terminal(notify: Notify) -> None:
    """The one channel so far: alarms, on the terminal of whoever started the program."""
    if is_urgent(notify):
        click.echo(f"{notify.severity.value}: {notify.text}", err=True)
