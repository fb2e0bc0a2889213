"""The market feed: one task takes packets, another sees that the connection answers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from typing_extensions import override

from holdfast.domain.errors import HoldfastError
from holdfast.domain.event import AnyEvent, Link
from holdfast.domain.market import Tick
from holdfast.ports import Clock, KeptFeed, MarketFeed
from holdfast.runtime.connected import Pings, Redial
from holdfast.runtime.fault import Fault
from holdfast.runtime.inbox import Inbox
from holdfast.runtime.service import Group, Ready

LISTENER: Final = "WebSocketListener"
KEEPER: Final = "FeedKeeper"


class FeedService(Pings):
    """Ready at its first packet, or when connected where none need come.

    Data that cannot be used ends the program, in order.
    """

    name = "feed"
    needs: tuple[str, ...] = ("login", "instruments")
    group = Group.PRICE
    link = Link.FEED
    loop_name = "KeepAliveTimer"

    def __init__(  # noqa: PLR0913 every one of them is another part of the program
        self,
        feed: MarketFeed,
        inbox: Inbox,
        clock: Clock,
        *,
        tell: Callable[[AnyEvent], None],
        may_begin: Callable[[], Awaitable[None]],
        refuse: Callable[[HoldfastError], None],
        interval_s: float,
        timeout_s: float,
        redial: Redial | None = None,
        may_be_silent: Callable[[], bool] = lambda: False,
    ) -> None:
        """Ticks go to `inbox` from when `may_begin` returns. `refuse` hears of unusable data.

        `may_be_silent` tells whether nothing need come now: the exchange is closed.
        """
        super().__init__(
            feed, tell, clock, interval_s=interval_s, timeout_s=timeout_s, redial=redial
        )
        self._may_be_silent = may_be_silent
        self._feed = feed
        self._inbox = inbox
        self._may_begin = may_begin
        self._refuse = refuse
        self._taken: Sequence[Tick] = ()
        self._is_refused = False
        self.packets = 0

    @override
    async def _connected(self, ready: Ready) -> None:
        self.task(self._listen(ready), name=LISTENER)

    async def _listen(self, ready: Ready) -> None:
        """Bring packets to the inbox, then, when the data has ended or is refused, stay up.

        Refused is not ended: the day is not over, and nobody may act as if it were.
        """
        try:
            if not self._is_refused:
                await self._bring_kept(ready)
        except HoldfastError as error:
            self._is_refused = True
            self._refuse(error)
        await self.stay()

    async def _bring_kept(self, ready: Ready) -> None:
        """Bring what comes; a feed that makes its own connections is kept meanwhile."""
        if not isinstance(self._feed, KeptFeed):
            await self._bring(ready)
            return
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(
                self._feed.keep(partial(self._hear, ready), self._tell), name=KEEPER
            )
            await self._bring(None)
            keeping.cancel()

    def _hear(self, ready: Ready, is_up: bool, reason: str) -> None:  # noqa: FBT001 a callback
        """The feed came up, or down: it comes up again by itself, so nothing begins anew."""
        if is_up:
            self._come_up()
            ready()
        else:
            self._go_down(reason)

    async def _bring(self, ready: Ready | None) -> None:
        """Bring packets until they end. `ready` is told of the first one; `None`: the feed tells."""
        is_early = not self._taken and self._may_be_silent()
        if is_early:
            self._begin(ready)
        self._taken = self._taken or await self._packets()
        if not is_early:
            self._begin(ready)
        await self._may_begin()
        self._inbox.is_played = not self._feed.is_real_time
        while self._taken and not self._inbox.is_left:
            await self._hand_over()
            self._taken = await self._packets()
        self._inbox.end_market()

    def _begin(self, ready: Ready | None) -> None:
        """It brings, or nothing need come yet."""
        if ready is not None:
            self._come_up()
            ready()

    async def _packets(self) -> Sequence[Tick]:
        """The next ones; over a new connection where the old one is gone and may be made anew."""
        while True:
            dialed = self._dialed
            try:
                return await self._feed.packets()
            except OSError as error:
                if self._redial is None:
                    raise
                await self._dial_again(self._redial, dialed, Fault.of(error).text)

    async def _hand_over(self) -> None:
        self.beat()
        self.packets += len(self._taken)
        if self._feed.can_wait:
            await self._inbox.put_market(self._taken)
        else:
            await self._inbox.wait_moving()
            for tick in self._taken:
                self._inbox.offer(tick)
        self._taken = ()
