"""The services of a trading day, in the order in which they need each other."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from holdfast.app.config import Config
from holdfast.domain.command import Notify
from holdfast.domain.dated import Session
from holdfast.domain.errors import HoldfastError
from holdfast.ports import Account, Connection, MarketFeed, VenueDriver
from holdfast.runtime.book import RECONCILE_S, Book, Compare, InstrumentMaster, Login
from holdfast.runtime.clock import DayClock
from holdfast.runtime.connected import Redial
from holdfast.runtime.day import Begun, Day, Settle, Want
from holdfast.runtime.feed import FeedService
from holdfast.runtime.links import Routing, Updates
from holdfast.runtime.monitor import Monitor
from holdfast.runtime.service import Service
from holdfast.runtime.snapshots import Snapshots
from holdfast.runtime.storing import Recorder, Store
from holdfast.runtime.trading import Trading


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """What stands behind the ports: chosen by the mode, in `wiring`, and by nobody else.

    `close` gives back, at the very end, what no connection holds. `want` hears which instruments
    are to be brought, `settle` returns when a real broker has answered; `core` and `beside` are
    what else it needs to run: before the engine, and whether or not anything else does.
    """

    venue: VenueDriver
    account: Account
    feed: MarketFeed
    updates: Connection
    orders: Connection
    close: Callable[[], None]
    want: Want | None = None
    settle: Settle | None = None
    core: Sequence[Service] = ()
    beside: Sequence[Service] = ()


MakeMarket = Callable[[Day], Market]
"""Makes it inside the event loop: what the broker says of itself is told to the day."""

REDIAL_FIRST_S: Final = 1.0
REDIAL_MOST_S: Final = 30.0

PING_TIMEOUT_S_MIN: Final = 1.0
"""Of the wall's time: a host that is busy needs it, however fast the clock runs."""

LOOP_S_MIN: Final = 0.02
"""The same for loops: a faster clock is no reason to do nothing else but look."""


class Hooks(msgspec.Struct, frozen=True, kw_only=True):
    """What the services ask of the program: its engine, its comparison, its end.

    `may_begin` returns when everything is ready. `over` hears that the day has ended, `refuse` why
    it cannot go on.
    """

    recover: Callable[[], Awaitable[Begun]]
    compare: Compare
    may_begin: Callable[[], Awaitable[None]]
    over: Callable[[], None]
    refuse: Callable[[HoldfastError], None]


class Chain:
    """Makes the core services of one day."""

    def __init__(
        self,
        config: Config,
        market: Market,
        day: Day,
        clock: DayClock,
        *,
        notify: Callable[[Notify], None],
    ) -> None:
        """`clock` stamps what the services tell the day; `notify` tells people."""
        self._config = config
        self._market = market
        self._day = day
        self._clock = clock
        self._windows: Sequence[tuple[int, int]] = ()
        self.monitor = Monitor(
            lambda: day.watermark_s,
            interval_s=self._loop_s,
            notify=notify,
        )
        day.reach(want=market.want, settle=market.settle)

    @property
    def _loop_s(self) -> float:
        """The pause of a periodic loop, in seconds of the wall."""
        interval_s = self._config.runtime.monitor_loop_interval_s
        return max(self._clock.wall_s(interval_s), min(interval_s, LOOP_S_MIN))

    @property
    def _kept(self) -> dict[str, Any]:
        """How the connections are watched, in seconds of the wall."""
        runtime, wall_s = self._config.runtime, self._clock.wall_s
        timeout_s = runtime.websocket_ping_timeout_s
        return {
            "interval_s": wall_s(runtime.websocket_ping_interval_s),
            "timeout_s": max(wall_s(timeout_s), min(timeout_s, PING_TIMEOUT_S_MIN)),
            "redial": self._redial,
        }

    @property
    def _redial(self) -> Redial | None:
        """A real connection is made anew for as long as it takes; a played one has ended."""
        if not self._clock.is_real_time:
            return None
        wall_s = self._clock.wall_s
        return Redial(first_s=wall_s(REDIAL_FIRST_S), most_s=wall_s(REDIAL_MOST_S))

    def _may_be_silent(self) -> bool:
        """Whether no exchange trades now, by the day's clock: then no packet need come."""
        now_ns = self._clock.now_ns()
        is_open = any(start <= now_ns < end for start, end in self._windows)
        return self._clock.is_real_time and not is_open

    def _may_begin(self, hooks: Hooks) -> Callable[[], Awaitable[None]]:
        """Played ticks wait until everything is ready; nobody makes a market wait."""
        return _at_once if self._clock.is_real_time else hooks.may_begin

    def services(
        self, store: Store, snapshots: Snapshots, hooks: Hooks, *, session: Session
    ) -> Sequence[Service]:
        """All of them, from the store to the router, for the hours of `session`."""
        config, market, day, clock = self._config, self._market, self._day, self._clock
        self._windows, kept = session.windows, self._kept
        services: list[Service] = [
            store,
            Recorder(store.journal, snapshots, threaded=store.threaded),
            Login(market.account, clock, close_ns=self._token_until_ns(session)),
            *market.core,
            InstrumentMaster(market.account, underlyings=config.account.underlyings),
            Book(
                market.account,
                config.account.client_id,
                compare=hooks.compare,
                tell=day.tell,
                clock=clock,
                every_s=clock.wall_s(RECONCILE_S),
            ),
            FeedService(
                market.feed,
                day.inbox,
                clock,
                tell=day.tell,
                may_begin=self._may_begin(hooks),
                refuse=hooks.refuse,
                may_be_silent=self._may_be_silent,
                **kept,
            ),
            Trading(
                day,
                market.venue,
                store.journal,
                recover=hooks.recover,
                over=hooks.over,
                give_up=hooks.refuse,
            ),
            self.monitor,
            Updates(market.updates, day.tell, clock, **kept),
            Routing(market.orders, day.tell, clock, settle=day.settle, **kept),
            *market.beside,
        ]
        for service in services:
            service.loop_interval_s = self._loop_s
        return services

    def _token_until_ns(self, session: Session) -> int:
        """A played session must outlast the close; a real one is watched, and told as it changes."""
        return 0 if self._clock.is_real_time else session.close_ns


async def _at_once() -> None:
    """Nothing is waited for."""
