"""The market feed: one task takes packets, another sees that the connection answers."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from typing_extensions import override

from holdfast.domain.errors import HoldfastError
from holdfast.domain.event import AnyEvent, Link
from holdfast.domain.market import Tick
from holdfast.ports import Clock, MarketFeed
from holdfast.runtime.connected import Pings, Redial
from holdfast.runtime.fault import Fault
from holdfast.runtime.inbox import Inbox
from holdfast.runtime.service import Group, Ready

LISTENER: Final = "WebSocketListener"
KEEPER: Final = "FeedKeeper"

HearLink = Callable[[bool, str], None]
"""Hears each change of whether data comes, and why not."""

Keep = Callable[[HearLink, Callable[[AnyEvent], None]], Coroutine[Any, Any, None]]
"""Keeps a feed's data coming until cancelled; the second argument hears what else it learns."""


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
        keep: Keep | None = None,
    ) -> None:
        """Ticks go to `inbox` from when `may_begin` returns. `refuse` hears of unusable data.

        `may_be_silent` tells whether nothing need come now: the exchange is closed. A feed that is
        to be kept up by itself brings `keep`, which then says whether its data comes.
        """
        super().__init__(
            feed, tell, clock, interval_s=interval_s, timeout_s=timeout_s, redial=redial
        )
        self._may_be_silent = may_be_silent
        self._keep_feed = keep
        self._feed = feed
        self._inbox = inbox
        self._may_begin = may_begin
        self._refuse = refuse
        self._taken: Sequence[Tick] = ()
        self._is_refused = False
        self.packets = 0

    @override
    async def _connected(self, ready: Ready) -> None:
        if self._keep_feed is not None:
            self.task(self._keep_feed(self._hear_link, self._tell), name=KEEPER)
        self.task(self._listen(ready), name=LISTENER)

    def _hear_link(self, is_up: bool, reason: str) -> None:  # noqa: FBT001 a callback
        """The feed says whether its data comes."""
        if is_up:
            self._come_up()
        else:
            self._go_down(reason)

    def _begin(self, ready: Ready) -> None:
        """It can be worked with. One that is kept says itself when its data comes."""
        if self._keep_feed is None:
            self._come_up()
        ready()

    async def _listen(self, ready: Ready) -> None:
        """Bring packets to the inbox, then, when the data has ended or is refused, stay up.

        Refused is not ended: the day is not over, and nobody may act as if it were.
        """
        try:
            if not self._is_refused:
                await self._bring(ready)
        except HoldfastError as error:
            self._is_refused = True
            self._refuse(error)
        await self.stay()

    async def _bring(self, ready: Ready) -> None:
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
