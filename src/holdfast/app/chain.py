"""The services of a trading day, in the order in which they need each other."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from holdfast.app.config import Config
from holdfast.domain.command import Notify
from holdfast.domain.errors import HoldfastError
from holdfast.ports import Account, Connection, MarketFeed, VenueDriver
from holdfast.runtime.book import Book, Compare, InstrumentMaster, Login
from holdfast.runtime.clock import VirtualClock
from holdfast.runtime.day import Begun, Day
from holdfast.runtime.feed import FeedService
from holdfast.runtime.links import Routing, Updates
from holdfast.runtime.monitor import Monitor
from holdfast.runtime.service import Service
from holdfast.runtime.snapshots import Snapshots
from holdfast.runtime.storing import Recorder, Store
from holdfast.runtime.trading import Trading


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """What stands behind the ports: chosen by the mode, in `wiring`, and by nobody else.

    `close` gives back, at the very end, what no connection holds.
    """

    venue: VenueDriver
    account: Account
    feed: MarketFeed
    updates: Connection
    orders: Connection
    close: Callable[[], None]


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
        clock: VirtualClock,
        *,
        notify: Callable[[Notify], None],
    ) -> None:
        """`clock` stamps what the services tell the day; `notify` tells people."""
        self._config = config
        self._market = market
        self._day = day
        self._clock = clock
        self.monitor = Monitor(
            lambda: day.watermark_s,
            interval_s=config.runtime.monitor_loop_interval_s,
            notify=notify,
        )

    def services(
        self, store: Store, snapshots: Snapshots, hooks: Hooks, *, close_ns: int
    ) -> Sequence[Service]:
        """All of them, from the store to the router. `close_ns`: the session's end."""
        config, market, day, clock = self._config, self._market, self._day, self._clock
        runtime = config.runtime
        kept: dict[str, Any] = {
            "interval_s": runtime.websocket_ping_interval_s,
            "timeout_s": runtime.websocket_ping_timeout_s,
        }
        services: list[Service] = [
            store,
            Recorder(store.journal, snapshots, threaded=store.threaded),
            Login(market.account, clock, close_ns=close_ns),
            InstrumentMaster(market.account, underlyings=config.account.underlyings),
            Book(
                market.account,
                config.account.client_id,
                compare=hooks.compare,
                tell=day.tell,
                clock=clock,
            ),
            FeedService(
                market.feed,
                day.inbox,
                clock,
                tell=day.tell,
                may_begin=hooks.may_begin,
                refuse=hooks.refuse,
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
        ]
        for service in services:
            service.loop_interval_s = runtime.monitor_loop_interval_s
        return services
