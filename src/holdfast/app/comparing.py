"""Compares what is written with what is traded on, at one sequence number, beside the trading."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from holdfast.core.engine import Books
from holdfast.domain.errors import DataRefused
from holdfast.research.standing import differences
from holdfast.runtime.day import Day
from holdfast.runtime.storing import Store
from holdfast.runtime.threads import Threads
from holdfast.store import query

DURABLE_WAIT_S: Final = 2.0


class Comparison:
    """The books of one day against the projections in one database."""

    def __init__(self, day: Day, store: Store, threads: Threads, path: Path) -> None:
        """`path` is the database: read beside the event loop where the store is threaded."""
        self._day = day
        self._store = store
        self._threads = threads
        self._path = path

    async def __call__(self) -> Sequence[str]:
        """Every difference. None where the books move: meanwhile, or because the broker's is read.

        The journal says itself when it cannot be written.
        """
        engine = self._day.engine
        if engine is None or not engine.is_book_settled:
            return ()
        books = engine.books
        if not await self._is_durable():
            return ()
        found = await self._read(books)
        return found if self._day.books == books else ()

    async def _is_durable(self) -> bool:
        journal = self._store.journal
        waiting = asyncio.wrap_future(journal.wait_durable(journal.last_sequence))
        try:
            async with asyncio.timeout(DURABLE_WAIT_S):
                await waiting
        except (TimeoutError, DataRefused):
            return False
        return True

    async def _read(self, books: Books) -> Sequence[str]:
        def read() -> list[str]:
            header = query.day_header(self._path)
            if header is None:
                return []
            day = header.day
            return differences(
                books, query.orders(self._path, day), query.positions(self._path, day)
            )

        if self._store.threaded:
            return await self._threads.call("ProjectionRead", read, owner="book")
        return read()
