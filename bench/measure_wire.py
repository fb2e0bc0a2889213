"""Feed bytes in, order bytes out: the stop of a position is touched, and the exit is on its way.

A server by hand sends full packets of fifty contracts, 2,000 a second and one in a frame, over every
connection that the program makes, and takes its HTTP. One clock stamps a packet before it is sent and
the first byte of the request that it leads to. The rows' ratio is to the least that an asyncio program
can do over the same sockets in the same run: WebSocket and HTTP by hand, one comparison, a prepared
body, no books, no journal.

Goals of the reference (D), in microseconds on its machine: p50 250, p99 500, p99.9 1,500 by default,
where its bare asyncio loop took 63, 114 and 202; so the bounds here are their ratios, with room for a
machine that others use.
"""

import base64
import hashlib
import json
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from itertools import chain
from typing import Any, Final

from bench.fifty import CALLS, ENTRY_RUPEES
from bench.wire_desk import STOP_BPS
from bench.yardstick import Row
from tests.support import feed_frames as frames

GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
RATE_S: Final = 1 / 2_000
PACED_ROUNDS: Final = 21
BURST_ROUNDS: Final = 7
QUIET_ROUNDS: Final = 11
TRIGGERS_MIN: Final = 500
CONNECTIONS: Final = {"floor": 1, "ours": 2}
"""Of the feed: what is held comes over two."""

BOUNDS: Final = (("p50", 500, 8.0), ("p95", 950, 10.0), ("p99", 990, 12.0), ("p99.9", 999, 20.0))

QUIET_TICKS: Final = 600
EVERY: Final = 29
"""Ticks between two triggers."""

SETTLE_S: Final = 0.4
QUIET_RUPEES: Final = ENTRY_RUPEES - 5.0
TOUCHED_RUPEES: Final = ENTRY_RUPEES * (1 - STOP_BPS / 10_000) - 0.5
SECOND_NS: Final = 1_000_000_000


class Orders:
    """The broker's REST side by hand: stamps the first request to change each order."""

    def __init__(self) -> None:
        """Listens from now on."""
        self.server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self.server.getsockname()[1]
        self.numbers: Mapping[str, tuple[int, str]] = {}
        self.heard_ns: dict[int, int] = {}
        threading.Thread(target=self._accept, daemon=True, name="Orders").start()

    def begin(self, orders: Mapping[str, tuple[str, str]]) -> None:
        """A round begins: `orders` are our id and the broker's, by contract."""
        self.heard_ns = {}
        self.numbers = {number: (int(one), name) for one, (name, number) in orders.items()}

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                one, _ = self.server.accept()
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, one: socket.socket) -> None:
        kept = b""
        with one, suppress(OSError):
            while data := one.recv(1 << 16):
                at_ns = time.monotonic_ns()
                kept += data
                while (size := _whole(kept)) is not None:
                    request, kept = kept[:size], kept[size:]
                    one.sendall(self._answer(request, at_ns))

    def _answer(self, request: bytes, at_ns: int) -> bytes:
        method, path, _ = request[: request.index(b"\r\n")].decode().split(" ")
        number = path.rpartition("/")[2]
        security_id, name = self.numbers.get(number, (0, ""))
        if method == "PUT":
            self.heard_ns.setdefault(security_id, at_ns)
            return _said({"orderId": number, "orderStatus": "TRANSIT"})
        if not security_id:
            return _said({"dhanClientId": "1000000001"})
        return _said([_row(number, name, security_id, is_done=security_id in self.heard_ns)])


def _whole(kept: bytes) -> int | None:
    """The size of the first request when all of it is there."""
    end = kept.find(b"\r\n\r\n")
    if end < 0:
        return None
    length = re.search(rb"(?i)content-length: *(\d+)", kept[:end])
    size = end + 4 + (int(length[1]) if length else 0)
    return size if len(kept) >= size else None


def _said(payload: object) -> bytes:
    body = json.dumps(payload).encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _row(number: str, name: str, security_id: int, *, is_done: bool) -> dict[str, Any]:
    """An order as the broker tells it: a stop that rests, or the exit that it became."""
    trigger = ENTRY_RUPEES * (1 - STOP_BPS / 10_000)
    return {
        "orderId": number,
        "correlationId": name,
        "orderStatus": "TRADED" if is_done else "PENDING",
        "transactionType": "SELL",
        "exchangeSegment": "NSE_FNO",
        "productType": "INTRADAY",
        "orderType": "LIMIT" if is_done else "STOP_LOSS",
        "securityId": str(security_id),
        "quantity": 65,
        "price": round(trigger * 0.9, 2),
        "triggerPrice": 0.0 if is_done else trigger,
        "createTime": "2026-11-20 10:00:00",
        "updateTime": "2026-11-20 10:00:01",
        "omsErrorDescription": "CONFIRMED",
        "averageTradedPrice": TOUCHED_RUPEES if is_done else 0,
        "filledQty": 65 if is_done else 0,
    }


class Feed:
    """The market by hand: frames over every connection of the round."""

    def __init__(self) -> None:
        """Listens from now on."""
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.server.getsockname()[1]
        self.open: list[socket.socket] = []

    def accept(self, count: int) -> None:
        """Wait for so many connections, and take them."""
        self.server.settimeout(30)
        while len(self.open) < count:
            one, _ = self.server.accept()
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            head = b""
            while b"\r\n\r\n" not in head:
                head += one.recv(4096)
            key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)
            assert key is not None, head
            accepted = base64.b64encode(hashlib.sha1(key[1] + GUID).digest())  # noqa: S324 RFC 6455
            one.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accepted + b"\r\n\r\n"
            )
            self.open.append(one)

    def send(self, message: bytes) -> int:
        """One frame to each; returns when the first was about to go."""
        head = struct.pack("!BBH", 0x82, 126, len(message))
        frame = head + message
        at_ns = time.monotonic_ns()
        for one in self.open:
            one.sendall(frame)
        return at_ns

    def end(self) -> None:
        """The round is over."""
        for one in self.open:
            one.close()
        self.open.clear()


class Rounds:
    """All rounds of one program: each one's delays in nanoseconds, and each burst's last order."""

    def __init__(self, kind: str, stack: ExitStack) -> None:
        """Start the program; it is ended with `stack`. `kind`: which program it is."""
        self.kind = kind
        self.delays: list[list[int]] = []
        self.bursts: list[int] = []
        self.lost = 0
        self._sent = 0
        self._orders, self._feed = Orders(), Feed()
        stack.enter_context(closing(self._orders.server))
        stack.enter_context(closing(self._feed.server))
        ports = (str(self._feed.port), str(self._orders.port))
        command = [sys.executable, "-m", "bench.wire_program", kind, *ports]
        self._program = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        stack.callback(self._program.kill)

    def play(self, *, is_burst: bool) -> None:
        """One round, over connections of its own."""
        assert self._program.stdout is not None
        self._say("begin")
        begun = json.loads(self._program.stdout.readline())
        self._now_ns, self._began_ns = begun["now_ns"], time.monotonic_ns()
        self._orders.begin(begun["orders"])
        self._feed.accept(CONNECTIONS[self.kind])
        self._trigger(self._orders, is_burst=is_burst)
        self._say("over")
        self._feed.end()

    def _say(self, word: str) -> None:
        assert self._program.stdin is not None
        self._program.stdin.write(f"{word}\n")
        self._program.stdin.flush()

    def _trigger(self, orders: Orders, *, is_burst: bool) -> None:
        """Quiet packets, then each contract through its stop: one by one, or all in one frame."""
        self._quiet(QUIET_TICKS)
        if is_burst:
            sent = self._feed.send(b"".join(self._packet(one, TOUCHED_RUPEES) for one in range(50)))
            sent_ns = dict.fromkeys((call.security_id for call in CALLS), sent)
        else:
            sent_ns = {}
            for one, call in enumerate(CALLS):
                self._quiet(EVERY)
                sent_ns[call.security_id] = self._feed.send(self._packet(one, TOUCHED_RUPEES))
        until = time.monotonic() + 5
        while len(orders.heard_ns) < len(CALLS) and time.monotonic() < until:
            self._quiet(1, above=50)
        self._quiet(round(SETTLE_S / RATE_S), above=50)
        self._note(sent_ns, orders.heard_ns, is_burst=is_burst)

    def _note(self, sent: Mapping[int, int], heard: Mapping[int, int], *, is_burst: bool) -> None:
        delays = [heard[one] - at_ns for one, at_ns in sent.items() if one in heard]
        self.lost += len(sent) - len(delays)
        if is_burst and delays:
            self.bursts.append(max(delays))
        elif not is_burst:
            self.delays.append(delays)

    def _quiet(self, count: int, *, above: int = 0) -> None:
        """So many packets at their pace; `above`: of the index alone, which nobody holds."""
        for _ in range(count):
            due_s = self._sent_s + RATE_S
            left_s = due_s - time.monotonic()
            if left_s > 0:
                time.sleep(left_s)
            number = (self._sent + 1) % 50
            self._feed.send(self._packet(number, QUIET_RUPEES, is_index=above > 0))
            self._sent_s = max(due_s, time.monotonic() - 0.005)

    _sent_s = 0.0

    def _packet(self, number: int, rupees: float, *, is_index: bool = False) -> bytes:
        """A trade: each one makes the day's volume grow, or it would be none to whoever reads it."""
        self._sent += 1
        at_ns = self._now_ns + time.monotonic_ns() - self._began_ns
        if is_index:
            return frames.ticker("IDX_I", 13, 24_500.0, at_ns)
        rows: list[frames.Row] = [
            (rupees - (level + 1) / 20, 650, rupees + (level + 1) / 20, 650) for level in range(5)
        ]
        security_id = CALLS[number].security_id
        return frames.full(
            "NSE_FNO",
            security_id,
            rupees,
            at_ns // SECOND_NS * SECOND_NS,
            volume=10**6 + self._sent,
            rows=rows,
        )


def share(values: list[int], per_mille: float) -> int:
    """The value below which so many thousandths lie; 0 of nothing."""
    if not values:
        return 0
    return sorted(values)[min(round(per_mille / 1_000 * (len(values) - 1)), len(values) - 1)]


def rows() -> Iterator[Row]:
    """Percentiles of single triggers, and the last of fifty in one frame; rounds of both in turn."""
    with ExitStack() as stack:
        both = [Rounds(kind, stack) for kind in CONNECTIONS]
        for number in range(PACED_ROUNDS + BURST_ROUNDS):
            for one in both:
                one.play(is_burst=number >= PACED_ROUNDS)
    floor, ours = both
    yield from judged(floor, ours)


def judged(floor: Rounds, ours: Rounds) -> Iterator[Row]:
    """One lost trigger is a failure: what never left would only make the others look fast.

    Of the pairs of rounds those count in which the floor was disturbed least: others use the machine.
    """
    pairs = sorted(zip(floor.delays, ours.delays, strict=True), key=lambda one: share(one[0], 950))
    quiet = pairs[:QUIET_ROUNDS]
    bare, delays = (list(chain.from_iterable(each)) for each in zip(*quiet, strict=True))
    print(f"  triggers that led to no order: {ours.lost} of ours, {floor.lost} of the floor")
    print("  the floor's p95 of each round, us:", *(share(one, 950) // 1_000 for one, _ in pairs))
    done = 0 if ours.lost else len(delays)
    for name, per_mille, bound in BOUNDS:
        ours_ns, bare_ns = share(delays, per_mille), share(bare, per_mille)
        yield Row(f"tick to order, {name}", "trigger", done, TRIGGERS_MIN, ours_ns, bare_ns, bound)
    last, first = share(ours.bursts, 500), share(floor.bursts, 500)
    many = len(ours.bursts) * len(CALLS)
    yield Row("tick to order, last of a burst of 50", "trigger", many, 300, last, first, 40.0)
