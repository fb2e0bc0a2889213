"""One life of our program in a world: made from what its disk has, until it dies or is stopped."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace
from typing_extensions import override

from holdfast.core.engine import Engine, Step
from holdfast.core.state import State
from holdfast.domain.audit import Halted
from holdfast.domain.command import AnyCommand, Notify
from holdfast.domain.event import (
    AccountChecked,
    AnyEvent,
    FactsLoaded,
    InstrumentsLoaded,
    JournalChanged,
    Link,
    LinkChanged,
    OperatorAsked,
    OperatorRequest,
    Restarted,
    ServiceChanged,
    ServiceState,
)
from holdfast.exchange.faults import FaultKind
from holdfast.exchange.market_faults import MarketFaultKind
from holdfast.runtime.clock import VirtualClock
from holdfast.runtime.day import Begun, Day
from holdfast.runtime.recover import recover
from holdfast.runtime.router import Sent, sent_of
from holdfast.runtime.starting import simulated_access
from holdfast.store.records import Decided
from holdfast.worlds.acts import (
    AnyAct,
    Ask,
    Boundary,
    BrokerFault,
    DiskFull,
    Kill,
    Lasting,
    LinkDown,
    MarketFault,
    Skew,
    Stop,
)
from holdfast.worlds.checkers import Broken
from holdfast.worlds.disk import DiskJournal
from holdfast.worlds.ground import BEGIN_NS, DAY, FACTS, SECOND
from holdfast.worlds.loop import Died, WorldLoop
from holdfast.worlds.outside import Line

if TYPE_CHECKING:
    from holdfast.worlds.world import World


SLOT_NS = SECOND // 2
"""So often the feed brings what has come, and everything else gets its turn."""

CHECK_NS = 10 * SECOND
"""So long after a refusal for our address the broker is asked whether it takes orders again (T27)."""


class WatchedEngine(Engine):
    """The engine, with somebody who looks after each of its steps."""

    watch: Callable[[AnyEvent, Step], None] | None = None
    has_structures = False

    @override
    def step(self, event: AnyEvent) -> Step:
        done = super().step(event)
        if self.has_structures:
            for position in self._state.live:
                position.intent = replace(position.intent, structure=1)
        if self.watch is not None:
            self.watch(event, done)
        return done

    @property
    def state(self) -> State:
        """The books, for checkers."""
        return self._state


class Process:
    """One life of our program in a world."""

    def __init__(self, world: "World", began_ns: int) -> None:
        """`began_ns` is when it starts, by the world's clock."""
        self.world = world
        self.began_ns = began_ns
        self.off_ns = world.off_ns
        self.is_dead = False
        self.is_stopping = False
        self.broken: Broken | None = None
        self.loop = WorldLoop(self._turn)
        self.journal = DiskJournal(world.disk, partial(self.boundary, Boundary.RECORD), self._later)
        self.engine: WatchedEngine
        self.day: Day
        self._kill: Kill | None = None
        self._skip = 0
        self._slot = 0

    @property
    def now_ns(self) -> int:
        """The world's time, by the loop of this process."""
        return self.began_ns + round(self.loop.time() * SECOND)

    @property
    def clock_ns(self) -> int:
        """What the clock of its host says."""
        return self.now_ns + self.off_ns

    def live(self) -> None:
        """To its end, however that comes."""
        try:
            came_through = self.loop.live(self._main())
        finally:
            self.loop.close()
        if came_through:
            self.journal.end()
        else:
            self._bury()

    def _bury(self) -> None:
        """What a dead process leaves: what its disk had, and a broker who hears nothing more."""
        self.journal.die()
        self.world.outside.hang_up(self.now_ns)

    # -- being cut off

    def boundary(self, boundary: Boundary) -> None:
        """Die here, if this is where it ends."""
        if self.is_dead:
            raise Died
        kill = self._kill
        if kill is None or kill.boundary is not boundary:
            return
        if self.now_ns >= self.world.calm_ns:
            return
        self._skip -= 1
        if self._skip < 0:
            self.die(kill.down_ns)

    def die(self, down_ns: int) -> None:
        """Be gone, for so long."""
        self.is_dead = True
        self.world.tell("the process is gone")
        self.world.be_down(self.now_ns, down_ns)
        raise Died

    def _turn(self) -> None:
        self.boundary(Boundary.TURN)

    def _sending(self, command: AnyCommand, at_ns: int) -> None:
        self.boundary(Boundary.BEFORE_SEND)
        self.world.on_send(command, at_ns)

    def _sent(self) -> None:
        self.boundary(Boundary.AFTER_SEND)

    # -- what it does

    async def _main(self) -> None:
        world = self.world
        clock = VirtualClock(self.clock_ns)
        self.day = Day(
            clock, ends_ns=world.end_ns + self.off_ns, progress=_nobody, notify=_nobody_notified
        )
        line = Line(world.outside, off_ns=self.off_ns, sending=self._sending, sent=self._sent)
        self._find_disk()
        begun = self._begun()
        self.engine.watch = self._watch
        self._arm_at_once()
        self.day.begin(begun, line, self.journal)
        self._schedule()
        await self.day.drive(_nobody_waits)

    def _watch(self, event: AnyEvent, done: Step) -> None:
        if self.is_dead:
            raise Died
        try:
            self.world.after_step(event, done)
        except Broken as broken:
            self.broken = broken
            self.is_dead = True
            raise Died from broken
        if self.world.images is not None:
            self.world.images.note(self.engine, self.journal.last, event)

    def _find_disk(self) -> None:
        """Room may have come while nobody was there to be told."""
        at_ns = self.began_ns - BEGIN_NS
        full = (act for act in self.world.script.acts if isinstance(act, DiskFull))
        self.world.disk.takes_nothing = any(act.is_on(at_ns) for act in full)

    def _begun(self) -> Begun:
        """The engine that the disk makes, and what this start tells it."""
        world = self.world
        start = None if world.images is None else world.images.lasting(world.disk.whole)
        found = recover(lambda: iter(world.disk.rows), world.make, start)
        engine: Engine = world.make(FACTS, world.master)
        if found is not None:
            engine, recovered = found
            world.recovered.append(recovered)
        assert isinstance(engine, WatchedEngine)
        self.engine = engine
        world.after_start()
        return Begun(
            engine=engine,
            beginning=tuple(self._beginning(engine)),
            write_halt=self._write_halt,
            sent=tuple(self._sent_before()),
        )

    def _sent_before(self) -> Iterator[Sent]:
        """What the journal tells of requests that earlier processes made."""
        for _, record in self.world.disk.rows:
            if isinstance(record, Decided):
                yield from sent_of(record)

    def _beginning(self, engine: Engine) -> Iterator[AnyEvent]:
        at_ns = self.clock_ns
        yield Restarted(at_ns=at_ns, day=DAY, code_version="1", config_sha256="c")
        yield FactsLoaded(at_ns=at_ns, sha256="f", facts=FACTS)
        yield InstrumentsLoaded(at_ns=at_ns, sha256="i", instruments=self.world.master)
        asked = self.world.disk.asked(engine.halt, at_ns)
        if asked is not None:
            yield asked
        yield ServiceChanged(at_ns=at_ns, service="engine", state=ServiceState.READY, is_core=True)
        for link in Link:
            yield LinkChanged(at_ns=at_ns, link=link, is_up=True)
        yield JournalChanged(at_ns=at_ns, is_durable=not self.world.disk.takes_nothing)
        yield from simulated_access(at_ns)

    def _write_halt(self, halted: Halted) -> None:
        self.world.disk.halted = halted

    # -- what is done to it

    def _arm_at_once(self) -> None:
        """A death at the very beginning may come before the first turn of the loop."""
        for act in self.world.script.acts:
            if isinstance(act, Kill) and BEGIN_NS + act.at_ns == self.began_ns:
                self._take(act)

    def _schedule(self) -> None:
        self._next_slot()
        self._later(CHECK_NS, self._check_address)
        for act in self.world.script.acts:
            at_ns = BEGIN_NS + act.at_ns
            if at_ns > self.began_ns or (at_ns == self.began_ns and not isinstance(act, Kill)):
                self._at(at_ns, partial(self._take, act))
            until_ns = BEGIN_NS + act.until_ns if isinstance(act, Lasting) else 0
            if until_ns >= self.began_ns:
                self._at(until_ns, partial(self._end, act))
                if at_ns < self.began_ns:
                    self._take(act)

    def _at(self, at_ns: int, call: Callable[[], None]) -> None:
        self.loop.call_at((at_ns - self.began_ns) / SECOND, call)

    def _later(self, after_ns: int, call: Callable[[], None]) -> None:
        self.loop.call_later(after_ns / SECOND, call)

    def _next_slot(self) -> None:
        """Let time pass, and bring what the feed shows."""
        now_ns = self.now_ns
        if self.is_stopping:
            return
        self.day.let_pass(now_ns + self.off_ns)
        for tick in self.world.feed.until(now_ns):
            shown = replace(tick, at_ns=tick.at_ns + self.off_ns) if self.off_ns else tick
            self.day.inbox.offer(shown)
        if now_ns >= self.world.end_ns:
            self.day.inbox.end_market()
            return
        self._at(min(now_ns + SLOT_NS, self.world.end_ns), self._next_slot)

    def _check_address(self) -> None:
        """The broker itself says whether it takes orders from here, as the account's watch asks it."""
        if self.engine.state.access.is_refused:
            at_ns = self.now_ns - BEGIN_NS
            faults = (act for act in self.world.script.acts if isinstance(act, BrokerFault))
            stands = any(act.kind is FaultKind.IP_REFUSED and act.is_on(at_ns) for act in faults)
            self.day.tell(AccountChecked(at_ns=self.clock_ns, orders_allowed=not stands))
        self._later(CHECK_NS, self._check_address)

    def _take(self, act: AnyAct) -> None:
        self.world.tell(act)
        match act:
            case Kill():
                self._kill, self._skip = act, act.skip
            case Stop():
                self._stop(act)
            case Ask():
                self._ask(act.request)
            case LinkDown():
                self._tell_link(act.link, is_up=False)
            case DiskFull():
                self._tell_disk(takes_nothing=True)
            case Skew():
                self.world.off_ns = act.off_ns
            case BrokerFault() | MarketFault():
                self._tell_feed(act, is_up=False)

    def _end(self, act: AnyAct) -> None:
        match act:
            case LinkDown():
                self._tell_link(act.link, is_up=True)
            case DiskFull():
                self._tell_disk(takes_nothing=False)
            case _:
                self._tell_feed(act, is_up=True)

    def _tell_feed(self, act: AnyAct, *, is_up: bool) -> None:
        """A feed that was cut off knows it; of everything else the exchange and the feed know."""
        if isinstance(act, MarketFault) and act.kind is MarketFaultKind.DISCONNECTED:
            self._tell_link(Link.FEED, is_up=is_up)

    def _ask(self, request: OperatorRequest) -> None:
        position = None
        if request is OperatorRequest.CLOSE:
            open_numbers = self.engine.open_numbers
            if not open_numbers:
                return
            position = open_numbers[0]
        asked = OperatorAsked(
            at_ns=self.clock_ns, request=request, reason="the seed", position=position
        )
        self.day.tell(asked)

    def _tell_link(self, link: Link, *, is_up: bool) -> None:
        self.day.tell(LinkChanged(at_ns=self.clock_ns, link=link, is_up=is_up, reason="the seed"))

    def _tell_disk(self, *, takes_nothing: bool) -> None:
        self.world.disk.takes_nothing = takes_nothing
        self.day.journal_changed(not takes_nothing, "the seed")

    def _stop(self, act: Stop) -> None:
        """Stop in order: entries are taken back, answers awaited, the last word written."""
        self.is_stopping = True
        self.world.be_down(self.now_ns, act.down_ns)
        self.day.pause()
        self.loop.create_task(self._settle())

    async def _settle(self) -> None:
        await self.day.settle()
        self.day.close()


def _nobody(_ticks: int) -> None:
    """Nobody hears of progress."""


def _nobody_notified(_notify: Notify) -> None:
    """There is no person in a world to be told."""


def _nobody_waits() -> None:
    """Nobody watches the heartbeat."""
