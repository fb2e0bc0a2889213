"""What `measure_wire` measures, as a process of its own: ours, or the least that Python can do.

Ours: the adapter's feed, inbox, driver, engine, journal on a disk, router, the adapter's orders, put
together as a live day has them, with fifty positions whose stops rest. The broker's rate is set out
of the way: it would hold fifty exits back for five seconds, and that is not what is measured.

A line tells it to begin a round, which it answers with one line of JSON; another one ends the round.
"""

import asyncio
import gc
import json
import os
import struct
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from typing_extensions import override

from bench.fifty import CALLS, fifty_positions
from bench.wire_desk import PREFIX, STOP_BPS, NumberedDesk, stops_of
from holdfast.app.log import logging_to
from holdfast.brokers.dhan.feed import DhanFeed, FeedDay
from holdfast.brokers.dhan.orderline import OrderLine
from holdfast.brokers.dhan.quotes import QuoteReader
from holdfast.brokers.dhan.rest import Rest
from holdfast.brokers.dhan.rows import OrderWords
from holdfast.brokers.dhan.venue import DhanVenue
from holdfast.runtime import rates, router
from holdfast.runtime.clock import ScaledClock
from holdfast.runtime.day import Begun, Day
from holdfast.runtime.driver import ON_TAPE
from holdfast.store.segment import TapeHeader
from tests.support.desk import DAY, NIFTY, SECOND, SESSION, Desk
from tests.support.dhan_wire import Whose
from tests.support.journal import StoreJournal

FREE: Final = rates.Window(SECOND, 1_000_000, 1_000_000)
PING_S: Final = 1.0


def tell(**what: Any) -> None:
    """One line for the measurement."""
    print(json.dumps(what), flush=True, file=sys.__stdout__)


def set_rates_aside() -> None:
    """The windows of orders alone; reads keep theirs, or fifty orders would be read at once."""
    limits = {**rates.LIMITS, rates.Category.ORDERS: (FREE,)}
    vars(router)["Governor"] = partial(rates.Governor, limits)


async def told() -> str:
    """The next line that the measurement says; empty at its end."""
    return await asyncio.to_thread(sys.stdin.readline)


class Ours:
    """One round: a day that begins with fifty positions."""

    def __init__(self, desk: Desk, ports: Mapping[str, int], stack: ExitStack) -> None:
        """Everything of it but the connections."""
        self.desk = desk
        self.clock = ScaledClock(desk.now + SECOND // 100, 1)
        self.day = Day(
            self.clock,
            ends_ns=SESSION.close_ns,
            progress=lambda _ticks: None,
            notify=lambda _notify: None,
        )
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-wire-")))
        self.journal = StoreJournal(folder, TapeHeader(day=DAY, source="bench"))
        stack.callback(self.journal.close)
        stack.enter_context(logging_to(folder))
        contracts = (NIFTY, *CALLS)
        self.rest = Rest(f"http://127.0.0.1:{ports['http']}/v2", Whose(), self.clock)
        reader = QuoteReader(self.rest, self.clock, contracts=lambda: contracts)
        held = FeedDay(lambda: contracts, (SESSION,), lambda: self.day.touched)
        self.feed = DhanFeed(
            f"ws://127.0.0.1:{ports['feed']}",
            Whose(),
            self.clock,
            day=held,
            reader=reader,
            reject=lambda _refused: None,
        )
        words = OrderWords(PREFIX)
        for order_id, broker_id in stops_of(desk).values():
            words.know(order_id, broker_id)
        venue = DhanVenue(
            self.rest,
            Whose(),
            self.clock,
            words=words,
            contracts={one.id: one for one in contracts},
            quotes=reader.read,
            tell=self.day.tell,
            want=self.feed.want,
        )
        self.line = OrderLine(self.rest)
        self.day.reach(want=self.feed.want)
        begun = Begun(engine=desk.engine, beginning=(), write_halt=lambda _halted: None)
        self.day.begin(begun, venue, self.journal)
        self.venue = venue

    async def write_morning(self) -> None:
        """What led to the fifty positions is in the journal, as on any day, and on the disk."""
        sequence = 0
        for event in self.desk.events:
            if isinstance(event, ON_TAPE):
                self.journal.append_market(event)
            else:
                sequence = self.journal.append(event)
        sequence = self.journal.append_decision(
            sequence, self.desk.now, self.desk.commands, self.desk.audits
        )
        await asyncio.wrap_future(self.journal.wait_durable(sequence))

    async def trade(self) -> None:
        """Trade until the measurement says that the round is over."""
        await self.write_morning()
        await self.line.connect()
        await self.feed.connect()
        self.feed.want([one.id for one in CALLS])
        gc.collect()
        gc.freeze()
        with suppress(asyncio.CancelledError):
            async with asyncio.TaskGroup() as group:
                running = [
                    group.create_task(self.feed.keep(lambda _is_up, _why: None, self.day.tell)),
                    group.create_task(self._bring()),
                    group.create_task(self._warm()),
                    group.create_task(self.day.drive(lambda: None)),
                ]
                await told()
                for one in running:
                    one.cancel()
        self.day.close()
        await self.venue.close()
        await self.feed.close()
        await self.rest.close()

    async def _bring(self) -> None:
        """As the feed's service does."""
        while True:
            for tick in await self.feed.packets():
                self.day.inbox.offer(tick)

    async def _warm(self) -> None:
        while True:
            await asyncio.sleep(PING_S)
            await self.line.ping()


async def ours(desk: Desk, ports: Mapping[str, int]) -> None:
    """One round."""
    stops = stops_of(desk)
    with ExitStack() as stack:
        one = Ours(desk, ports, stack)
        orders = {call.security_id: stops[call.id] for call in CALLS}
        tell(now_ns=one.clock.now_ns(), orders=orders)
        await one.trade()


def all_of_ours(ports: Mapping[str, int]) -> None:
    """Round after round, each in a copy of the process that bought the fifty."""
    set_rates_aside()
    desk = fifty_positions(NumberedDesk, stop_bps=STOP_BPS)
    while sys.stdin.readline():
        if copy := os.fork():
            os.waitpid(copy, 0)
        else:
            asyncio.run(ours(desk, ports))
            os._exit(0)


# -- the floor: WebSocket and HTTP by hand, one comparison, one prepared request

HOT: Final = struct.Struct("<4xIf")
BODY: Final = json.dumps({"dhanClientId": "1000000001", "orderId": "x" * 30, "orderType": "LIMIT",
                          "legName": "", "quantity": 65, "price": 1000.05, "disclosedQuantity": 0,
                          "triggerPrice": 0, "validity": "DAY"})  # fmt: skip
STOP_RUPEES: Final = 990.0
PACKET: Final = 162


class Http(asyncio.Protocol):
    """Writes; answers are for nobody."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def fire(self, security_id: int) -> None:
        """One request."""
        head = (
            f"PUT /v2/orders/{security_id} HTTP/1.1\r\nHost: 127.0.0.1\r\naccess-token: x\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
        )
        self.transport.write((head + BODY).encode())


class Socket(asyncio.Protocol):
    """Frames of up to 64 KiB, one after the other."""

    def __init__(self, http: Http) -> None:
        """Fires there."""
        self._http = http
        self._buffer = b""
        self._is_open = False
        self._fired: set[int] = set()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )

    @override
    def data_received(self, data: bytes) -> None:
        """Whole frames are looked at, the rest is kept."""
        data = self._buffer + data
        if not self._is_open:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._buffer = data
                return
            data, self._is_open = data[end + 4 :], True
        at, size = 0, len(data)
        while size - at >= 4:
            length, head = data[at + 1], 2
            if length == 126:
                length, head = data[at + 2] << 8 | data[at + 3], 4
            if size < at + head + length:
                break
            self._scan(data[at + head : at + head + length])
            at += head + length
        self._buffer = data[at:]

    def _scan(self, message: bytes) -> None:
        for offset in range(0, len(message), PACKET):
            security_id, last = HOT.unpack_from(message, offset)
            if last < STOP_RUPEES and security_id not in self._fired:
                self._fired.add(security_id)
                self._http.fire(security_id)


async def floor(ports: Mapping[str, int]) -> None:
    """Round after round, each over connections of its own."""
    loop = asyncio.get_running_loop()
    clock = ScaledClock(SESSION.open_ns + 3_600 * SECOND, 1)
    while await told():
        writer, http = await loop.create_connection(Http, "127.0.0.1", ports["http"])
        orders = {call.security_id: ("", str(call.security_id)) for call in CALLS}
        tell(now_ns=clock.now_ns(), orders=orders)
        reader, _ = await loop.create_connection(partial(Socket, http), "127.0.0.1", ports["feed"])
        gc.collect()
        gc.freeze()
        await told()
        reader.close()
        writer.close()


if __name__ == "__main__":
    sys.stdout = sys.stderr  # what is logged is for people
    asked = {"feed": int(sys.argv[2]), "http": int(sys.argv[3])}
    os.environ.setdefault("HOLDFAST_LOOPBACK_ONLY", "1")
    if sys.argv[1] == "ours":
        all_of_ours(asked)
    else:
        asyncio.run(floor(asked))
