"""One world: market, exchange and broker under a seed, and one process of ours after the other.

The process is the runtime's own code (`Day`: inbox, driver, router; recovery at each start), in an
event loop of virtual time. The script says what is done to it; checkers look after every step.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import structlog

from holdfast.core.engine import Step
from holdfast.core.state import State
from holdfast.domain.command import AnyCommand
from holdfast.domain.dated import DayFacts
from holdfast.domain.event import AnyEvent, TimerFired
from holdfast.domain.instrument import BrokerKey, Instrument
from holdfast.domain.market import Tick
from holdfast.exchange.faults import Faults
from holdfast.exchange.latency import Latency
from holdfast.exchange.market_faults import MarketFaults
from holdfast.runtime.recover import Recovered
from holdfast.worlds.acts import BrokerFault, MarketFault, Script
from holdfast.worlds.beliefs import BELIEFS
from holdfast.worlds.checkers import Broken, Seen, Watchers
from holdfast.worlds.disk import Disk
from holdfast.worlds.endings import ENDINGS
from holdfast.worlds.feed import Feed
from holdfast.worlds.ground import BEGIN_NS, FACTS, INDEX, SECOND
from holdfast.worlds.images import LONG_S, Images
from holdfast.worlds.loop import no_threads
from holdfast.worlds.market import ticks
from holdfast.worlds.outside import Outside, Tally, WatchedExchange
from holdfast.worlds.process import Process, WatchedEngine
from holdfast.worlds.speaker import Speaker
from holdfast.worlds.terms import Terms, terms
from holdfast.worlds.troubles import Troubles, is_late_read, is_others, is_stream
from holdfast.worlds.truths import TRUTHS


class Moment(NamedTuple):
    """Something that happened, for the story: by the world's time."""

    at_ns: int
    what: object


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
        self.images = Images() if script.seconds >= LONG_S else None
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
        seen = Seen(self, event, done, self.state, self.now_ns)
        at_ns = self.state.now_ns - self.off_of_process
        if isinstance(event, Tick):
            self.ticks += 1
        else:
            self.moments.append(Moment(at_ns, event))
        if done.commands or done.audits:
            self.moments.append(Moment(at_ns, done))
        is_quiet = not done.commands and not done.audits and isinstance(event, Tick | TimerFired)
        for checker in self.watchers.quiet if is_quiet else self.watchers.after_step:
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
        self.exchange.put_aside()

    def _count_executions(self) -> None:
        executed = self.exchange.executed
        if len(executed) == self._executed:
            return
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

    def is_ours_alone(self, key: BrokerKey) -> bool:
        """Whether nobody else has traded this key, up to now."""
        self._count_executions()
        return key not in self._foreign

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
