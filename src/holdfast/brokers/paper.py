"""Paper: a simulated exchange in this process, moved by the broker's own ticks.

What it knew outlives the process in a file of its requests. After a kill the exchange is built again
from them and from the tape, which holds every tick that it was shown, merged ones as such.
"""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from holdfast.brokers.memory import BrokerMemory, Remembered, read_memory
from holdfast.brokers.simulated import SimulatedVenue
from holdfast.domain.instrument import Instrument
from holdfast.domain.market import Tick
from holdfast.ports import Account, Profile, Token

TURN: Final = 2_000
"""Ticks that are shown to an exchange that is built again, between two turns of everybody else."""


class PaperBroker:
    """The simulated exchange of one day of paper, with what it remembers."""

    def __init__(
        self, venue: SimulatedVenue, shown: Iterator[Tick], memory: Path, *, until_ns: int | None
    ) -> None:
        """`shown` are the ticks of the tape so far. `until_ns`: how far it has come; `None`: nowhere."""
        self.venue = venue
        self._shown = shown
        self._file = memory
        self._memory: BrokerMemory | None = None
        self._until_ns = until_ns

    async def open(self) -> None:
        """Be as it was left. A second call does nothing. Raises DataRefused at a damaged memory."""
        if self._memory is not None:
            return
        if self._until_ns is not None:
            await self._rebuild(self._until_ns)
        self._memory = BrokerMemory(self._file)
        self.venue.remember(self._memory)

    async def _rebuild(self, until_ns: int) -> None:
        """Show it the same ticks and hand it the same requests in order of time, then hang up."""
        waiting = [one for one in read_memory(self._file) if one.request is not None]
        asked = 0
        for count, tick in enumerate(self._shown, 1):
            while asked < len(waiting) and waiting[asked].at_ns <= tick.at_ns:
                _hand_over(self.venue, waiting[asked])
                asked += 1
            self.venue.on_tick(tick)
            if count % TURN == 0:
                await asyncio.sleep(0)
        for one in waiting[asked:]:
            _hand_over(self.venue, one)
        self.venue.hang_up(until_ns)

    def close(self) -> None:
        """Give its memory back: the process ends, the exchange is built again at the next start."""
        if self._memory is not None:
            self._memory.close()


def _hand_over(venue: SimulatedVenue, remembered: Remembered) -> None:
    assert remembered.request is not None, "only requests are handed over"
    venue.submit(remembered.request, remembered.at_ns)


class PaperAccount:
    """The account at the real broker, whose market is traded on paper."""

    def __init__(self, account: Account, broker: PaperBroker) -> None:
        """`broker` is brought to where it was before anything is traded."""
        self._account = account
        self._broker = broker

    async def login(self) -> Token:
        """Open the day's session. Raises HoldfastError when it is refused."""
        token = await self._account.login()
        await self._broker.open()
        return token

    async def profile(self) -> Profile:
        """Whose session it is. Raises OSError when nobody answers."""
        return await self._account.profile()

    async def instruments(self) -> Sequence[Instrument]:
        """The rows of today's master that are traded."""
        return await self._account.instruments()
