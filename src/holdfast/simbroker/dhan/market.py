"""The market side of the server in one piece: board, feed, updates, quotes, chain, charts, files."""

import asyncio
from typing import Final

from holdfast.domain.instrument import InstrumentId
from holdfast.simbroker.dhan.board import Board
from holdfast.simbroker.dhan.chain import Chain
from holdfast.simbroker.dhan.charts import Charts
from holdfast.simbroker.dhan.doubts import Doubts, Frames, IndexPackets
from holdfast.simbroker.dhan.feed import Feed
from holdfast.simbroker.dhan.feed_client import FeedManners
from holdfast.simbroker.dhan.host import Host
from holdfast.simbroker.dhan.instruments import Master
from holdfast.simbroker.dhan.quotes import Quotes
from holdfast.simbroker.dhan.route import Route
from holdfast.simbroker.dhan.tokens import Tokens
from holdfast.simbroker.dhan.truth import Truth
from holdfast.simbroker.dhan.updates import Updates
from holdfast.simbroker.dhan.wire_faults import WireFaults

FLUSH_MS: Final = 250
"""Changes of an instrument are gathered for so long: four packets a second (dhan.md 4.3)."""


class MarketSide:
    """Everything that tells of the market and of orders, made once for one host.

    `feed.serve` and `updates.serve` answer the WebSockets at `/` of their hosts, `files` are the
    routes of the host of the instrument files, `run` goes as long as the server does.
    """

    def __init__(
        self,
        host: Host,
        *,
        tokens: Tokens,
        wire: WireFaults,
        truth: Truth,
        doubts: Doubts | None = None,
        flush_ms: int = FLUSH_MS,
    ) -> None:
        """The board hears of each tick before the feed does."""
        history = (loaded.candle for loaded in host.source.history())
        self.board = Board(host.instruments, history)
        host.on_tick(self.board.tell)
        manners = _manners(doubts or Doubts(), flush_ms)
        self.feed = Feed(host, self.board, tokens=tokens, wire=wire, truth=truth, manners=manners)
        self.updates = Updates(
            host, self.board, tokens=tokens, wire=wire, truth=truth, doubts=doubts
        )
        self._host = host
        self._master = Master(host.instruments, day=host.facts.day)
        self._charts = Charts(self.board, host.facts)
        self._chain = Chain(self.board, host.facts)
        self._quotes = Quotes(self.board, self._circuit)

    def routes(self, files_url: str) -> list[Route]:
        """What the REST host offers of it; `files_url` is where the instrument files are."""
        return [
            *self._quotes.routes(),
            *self._chain.routes(),
            *self._charts.routes(),
            *self._master.routes(files_url),
        ]

    def files(self) -> list[Route]:
        """What the host of the instrument files offers."""
        return self._master.files()

    async def run(self) -> None:
        """Watch over the streams until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.feed.watch())
            tasks.create_task(self.updates.watch())

    def _circuit(self, instrument: InstrumentId) -> tuple[int, int]:
        """The band around the close of the session before; zeros for what has none."""
        contract = self.board.instruments[instrument]
        shown = self.board.snapshot(instrument)
        reference_paise = shown.close_paise or shown.last_paise
        if not contract.price_step_paise or not reference_paise:
            return 0, 0
        low, high = self._host.facts.price_rules(contract.exchange).band(reference_paise)
        return contract.round_up(low), contract.round_down(high)


def _manners(doubts: Doubts, flush_ms: int) -> FeedManners:
    return FeedManners(
        flush_ms=flush_ms,
        is_one_a_frame=doubts.frames is Frames.SINGLE,
        tells_first=doubts.first_packet,
        closes_for_all=doubts.closes_for_all,
        index_as_asked=doubts.index_packets is IndexPackets.ASKED,
    )
