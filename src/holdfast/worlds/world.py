"""One world: market, exchange and broker under a seed, and one process of ours after the other.

The process is the runtime's own code (`Day`: inbox, driver, router; recovery at each start), in an
event loop of virtual time. The script says what is done to it; checkers look after every step.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, cast

import structlog
from msgspec.structs import replace
from typing_extensions import override

from holdfast.core.engine import Engine, Step
from holdfast.core.state import State
from holdfast.domain.audit import Halted
from holdfast.domain.command import AnyCommand, Notify
from holdfast.domain.dated import DayFacts
from holdfast.domain.event import (
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
from holdfast.domain.instrument import BrokerKey, Instrument
from holdfast.domain.market import Tick
from holdfast.exchange.faults import Faults
from holdfast.exchange.latency import Latency
from holdfast.exchange.market_faults import MarketFaultKind, MarketFaults
from holdfast.runtime.clock import VirtualClock
from holdfast.runtime.day import Begun, Day
from holdfast.runtime.recover import Recovered, recover
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
    LinkDown,
    MarketFault,
    Script,
    Skew,
    Stop,
)
from holdfast.worlds.beliefs import BELIEFS
from holdfast.worlds.checkers import Broken, Seen, Watchers
from holdfast.worlds.disk import Disk, DiskJournal
from holdfast.worlds.endings import ENDINGS
from holdfast.worlds.feed import Feed
from holdfast.worlds.ground import BEGIN_NS, DAY, FACTS, INDEX, SECOND
from holdfast.worlds.loop import Died, WorldLoop, no_threads
from holdfast.worlds.market import ticks
from holdfast.worlds.outside import Line, Outside, Tally, WatchedExchange
from holdfast.worlds.speaker import Speaker
from holdfast.worlds.terms import Terms, terms
from holdfast.worlds.troubles import Troubles, is_late_read, is_others, is_stream
from holdfast.worlds.truths import TRUTHS

SLOT_NS = SECOND // 2
"""So often the feed brings what has come, and everything else gets its turn."""


class Moment(NamedTuple):
    """Something that happened, for the story: by the world's time."""

    at_ns: int
    what: object


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


class World:
    """Plays a script to its end. Raises `Broken` where something that was promised is not kept."""

    def __init__(self, script: Script, chosen: Terms | None = None) -> None:
        """Nothing has happened yet. `chosen` are the terms; else they are the seed's."""
        self.script = script
        self.terms = chosen or terms(script)
        self.master = (INDEX, *self.terms.contracts)
        self.faults = Faults(
            script.seed, [act.window for act in script.acts if isinstance(act, BrokerFault)]
        )
        self.market = MarketFaults(
            script.seed,
            [
                act.window(self.terms.contracts)
                for act in script.acts
                if isinstance(act, MarketFault)
            ],
        )
        truth = list(
            self.market.moved(iter(ticks(script.seed, self.terms.contracts, script.seconds)))
        )
        self.exchange = WatchedExchange(
            self.master,
            cash_paise=self.terms.cash_paise,
            seed=script.seed,
            behaviour=self.terms.behaviour,
            faults=self.faults,
            prefix=self.terms.settings.id_prefix,
        )
        self.exchange.watch = self._after_exchange
        latency = Latency(seed=script.seed)
        self.outside = Outside(self.exchange, latency, truth, self.faults)
        self.feed = Feed(list(self.market.told(iter(truth))))
        self.disk = Disk(self.terms.pace)
        self.watchers = Watchers(CHECKERS)
        self.moments: list[Moment] = []
        self.process: Process | None = None
        self.recovered: list[Recovered] = []
        self.intents: dict[int, int] = {}
        self.lives = self.steps = self.ticks = 0
        self.fills_under_fault = 0
        self.off_ns = 0
        self.down_until_ns = BEGIN_NS
        self.calm_ns = BEGIN_NS + script.calm_s * SECOND
        self._tally: Tally | None = None
        self._executed = 0
        self._foreign: Counter[BrokerKey] = Counter()
        self._foreign_ns: dict[BrokerKey, int] = {}
        acts = script.acts
        self._troubles = Troubles(acts)
        self._failures = Troubles(acts, but=is_others)
        self._deafness = Troubles(acts, but=is_stream)
        self._doubts = Troubles(acts, but=is_late_read)

    # -- the whole of it

    def run(self) -> None:
        """From the beginning to the end."""
        with quiet(), no_threads():
            try:
                while self.down_until_ns < self.end_ns:
                    self._live()
                for checker in self.watchers.at_end:
                    checker.at_end(self)
            except Broken as broken:
                self.tell(f"BROKEN: {broken}")
                raise

    def _live(self) -> None:
        """One process, from its start until it dies, is stopped, or the world ends."""
        self.outside.hang_up(self.down_until_ns)
        self.lives += 1
        began_ns, self.down_until_ns = self.down_until_ns, self.end_ns
        self.process = Process(self, began_ns)
        self.tell("the process starts" if self.lives == 1 else "the process starts again")
        self.process.live()
        if self.process.broken is not None:
            raise self.process.broken

    def be_down(self, at_ns: int, down_ns: int) -> None:
        """No process is there for so long."""
        self.down_until_ns = at_ns + down_ns
        for troubles in (self._troubles, self._failures, self._deafness, self._doubts):
            troubles.add(at_ns, self.down_until_ns)

    @property
    def end_ns(self) -> int:
        """When the world ends."""
        return BEGIN_NS + self.script.seconds * SECOND

    @property
    def now_ns(self) -> int:
        """The world's time."""
        return self.process.now_ns if self.process is not None else BEGIN_NS

    @property
    def state(self) -> State:
        """The books of the engine that lives, or lived last."""
        assert self.process is not None
        return self.process.engine.state

    def tell(self, what: object) -> None:
        """Keep something for the story."""
        self.moments.append(Moment(self.now_ns, what))

    def make(self, facts: DayFacts, instruments: tuple[Instrument, ...]) -> WatchedEngine:
        """An engine of this world that was never stepped."""
        assert (facts, instruments) == (FACTS, self.master)
        speaker = Speaker(self.script.seed, bps=self.terms.speaks_bps)
        engine = WatchedEngine(self.terms.settings, [speaker])
        engine.has_structures = self.terms.has_structures
        return engine

    # -- who looks

    def after_start(self) -> None:
        """An engine was made, and has been told nothing by this start."""
        for checker in self.watchers.on_start:
            checker.on_start(self)

    def after_step(self, event: AnyEvent, done: Step) -> None:
        """An engine has taken an event, and nothing of what it decided has left yet."""
        self.steps += 1
        seen = Seen(self, event, done, self.state)
        at_ns = self.state.now_ns - self.off_of_process
        if isinstance(event, Tick):
            self.ticks += 1
        else:
            self.moments.append(Moment(at_ns, event))
        if done.commands or done.audits:
            self.moments.append(Moment(at_ns, done))
        for checker in self.watchers.after_step:
            checker.after_step(seen)

    def on_send(self, command: AnyCommand, at_ns: int) -> None:
        """A request is about to leave, at this time of the process's clock."""
        for checker in self.watchers.on_send:
            checker.on_send(self, command, at_ns)

    def look_outside(self) -> None:
        """Count anew what the exchange shows: what others do to it is told to nobody."""
        self._tally = None
        self._count_executions()

    def _after_exchange(self, at_ns: int) -> None:
        self.look_outside()
        for checker in self.watchers.after_exchange:
            checker.after_exchange(self, at_ns)

    def _count_executions(self) -> None:
        executed = self.exchange.executed
        for one in executed[self._executed :]:
            if one.order_id is None:
                self._foreign[one.key] += one.side.sign * one.quantity
                self._foreign_ns[one.key] = one.at_ns
            elif self.is_troubled(one.at_ns, 0):
                self.fills_under_fault += 1
            self.moments.append(Moment(one.at_ns, one))
        self._executed = len(executed)

    # -- what checkers ask

    @property
    def tally(self) -> Tally:
        """What our orders come to at the exchange now."""
        if self._tally is None:
            self._tally = self.exchange.tally()
        return self._tally

    @property
    def is_anybody_else_in_it(self) -> bool:
        """Whether somebody else has traded in the account, up to now: the watch is on ours alone."""
        self._count_executions()
        return bool(self._foreign)

    def was_foreign(self, key: BrokerKey, at_ns: int) -> bool:
        """Whether somebody else has traded a key so lately that our books may be behind."""
        foreign_ns = self._foreign_ns.get(key)
        if foreign_ns is None:
            return False
        is_failing = self._failures.lie_at(at_ns, BEHIND_NS)
        return is_failing or at_ns - foreign_ns < (BEHIND_NS if self.is_young else TOLD_NS)

    def is_troubled(self, at_ns: int, within_ns: int) -> bool:
        """Whether something was wrong at a moment, or in the time before it."""
        return self._troubles.lie_at(at_ns, within_ns)

    def is_deaf(self, at_ns: int, within_ns: int) -> bool:
        """The same, of what is more than a stream that does not tell, or stops and fills."""
        return self._deafness.lie_at(at_ns, within_ns)

    def is_doubtful(self, at_ns: int, within_ns: int) -> bool:
        """The same, of what is more than positions that are told later than orders (T5)."""
        return self._doubts.lie_at(at_ns, within_ns)

    @property
    def is_young(self) -> bool:
        """Whether the present process has not yet read what it came upon."""
        return self.lives > 1 and self.since_start_ns < BEHIND_NS

    @property
    def since_start_ns(self) -> int:
        """How long the present process lives."""
        assert self.process is not None
        return self.now_ns - self.process.began_ns

    @property
    def off_of_process(self) -> int:
        """How far the clock of the present process is off."""
        assert self.process is not None
        return self.process.off_ns


BEHIND_NS = 45 * SECOND
"""So long our books may be behind what somebody else did (REC-1 reads each 30 s)."""

TOLD_NS = 2 * SECOND
"""So long at most where nothing fails: the stream tells of it, and ours are cut (T4, T14)."""

CHECKERS = (*TRUTHS, *BELIEFS, *ENDINGS)
"""Everything that is looked after."""


class Process:
    """One life of our program in a world."""

    def __init__(self, world: World, began_ns: int) -> None:
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
        if not came_through:
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

    def _begun(self) -> Begun:
        """The engine that the disk makes, and what this start tells it."""
        world = self.world
        found = recover(lambda: iter(world.disk.rows), world.make)
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
        self.world.disk.takes_nothing = False
        for act in self.world.script.acts:
            at_ns = BEGIN_NS + act.at_ns
            if at_ns > self.began_ns or (at_ns == self.began_ns and not isinstance(act, Kill)):
                self._at(at_ns, partial(self._take, act))
            lasts_ns = getattr(act, "lasts_ns", 0)
            if lasts_ns and at_ns + lasts_ns >= self.began_ns:
                self._at(at_ns + lasts_ns, partial(self._end, act))
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


class _Mute:
    """A logger that says nothing, whatever it is told."""

    def __init__(self, *_made: object, **_parts: object) -> None:
        """As the library makes loggers."""

    def __getattr__(self, _level: str) -> Callable[..., None]:
        return _nothing_logged


def _nothing_logged(*_told: object, **_fields: object) -> None:
    """Nothing."""


@contextmanager
def quiet() -> Iterator[None]:
    """Let nothing be logged: the story is told from what happened."""
    before: dict[str, Any] = structlog.get_config()
    structlog.configure(wrapper_class=cast("Any", _Mute), cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)
