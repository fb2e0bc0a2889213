"""The order updates: a WebSocket that tells every change of every order of the account (dhan.md 5).

A login is one message and gets no answer; one that is not taken gets a reset a moment later. Words
are said once, to whoever is there: a reader that returns has missed what was said meanwhile.
"""

import asyncio
from collections import deque
from typing import Any, Final

import msgspec
from aiohttp import web

from holdfast.simbroker.dhan.alerts import order_alert
from holdfast.simbroker.dhan.board import Board
from holdfast.simbroker.dhan.doubts import Doubts, IdleUpdates
from holdfast.simbroker.dhan.host import Host
from holdfast.simbroker.dhan.order import AccountOrder
from holdfast.simbroker.dhan.peer import Peer, reset
from holdfast.simbroker.dhan.tokens import Tokens, TokenState
from holdfast.simbroker.dhan.truth import Truth
from holdfast.simbroker.dhan.wire_faults import Endpoint, WireFault, WireFaults, WireWindow

LOGIN_CODE: Final = 42
RESET_AFTER_S: Final = 0.01
"""How long after a bad login the reset comes, in seconds of the wall (dhan.md 1.8)."""

WATCH_S: Final = 0.25
IDLE_NS: Final = 5 * 1_000_000_000
"""How long a stream is silent outside the session before it is reset, where it is."""

GARBAGE: Final = ('{"Data":{"orderNo":', "2", '{"Type":"order_alert"}', "[]", "\ufffd\x00")
"""Messages that are no messages."""


class Listener:
    """One connection: open, and logged in once its message was taken."""

    def __init__(self, number: int, peer: Peer, since_ns: int) -> None:
        self.number = number
        self.peer = peer
        self.since_ns = since_ns
        self.secret: str | None = None
        self._words: deque[str] = deque()
        self._due = asyncio.Event()

    def say(self, text: str) -> None:
        """Send a message after those before it; nothing before the login."""
        if self.secret is not None:
            self._words.append(text)
            self._due.set()

    async def write(self) -> None:
        """Send what is said until cancelled, or until nobody is there."""
        try:
            while True:
                await self._due.wait()
                self._due.clear()
                while self._words:
                    await self.peer.send_text(self._words.popleft())
        except OSError:
            self.peer.is_over = True


class Updates:
    """Serves all connections, and says to each what the host says of orders."""

    def __init__(
        self,
        host: Host,
        board: Board,
        *,
        tokens: Tokens,
        wire: WireFaults,
        truth: Truth,
        doubts: Doubts | None = None,
    ) -> None:
        """Listen to `host` from now on."""
        self._host = host
        self._board = board
        self._tokens = tokens
        self._wire = wire
        self._truth = truth
        self._doubts = doubts or Doubts()
        self._said_ns = 0
        self._listeners: list[Listener] = []
        self._made = 0
        self._said = 0
        self._held_ns: dict[str, int] = {}
        host.on_row(self._tell)

    def connections(self) -> list[dict[str, Any]]:
        """Every connection that is open: its number, since when, whether it is logged in."""
        return [
            {"number": one.number, "since_ns": one.since_ns, "is_logged_in": one.secret is not None}
            for one in self._listeners
        ]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One connection from its handshake to its end."""
        at_ns = self._host.now()
        if self._wire.strikes(WireFault.UPDATES_DROP, f"{at_ns}", at_ns, endpoint=Endpoint.UPDATES):
            self._truth.connection("updates", "reset at the handshake")
            reset(request)
            return web.Response(status=503)
        peer = Peer(request, self._host.time)
        response = await peer.open()
        self._made += 1
        listener = Listener(self._made, peer, at_ns)
        self._listeners.append(listener)
        self._truth.connection("updates", "opened", number=listener.number)
        try:
            await self._run(listener)
        finally:
            self._listeners.remove(listener)
            self._truth.connection("updates", "closed", number=listener.number)
        return response

    async def watch(self) -> None:
        """Cut what a fault or a dead token cuts, until cancelled."""
        while True:
            at_ns = self._host.now()
            for listener in tuple(self._listeners):
                self._judge(listener, at_ns)
            await asyncio.sleep(max(self._host.time.wall_s(WATCH_S), 0.01))

    async def _run(self, listener: Listener) -> None:
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(listener.write())
            keeping = tasks.create_task(listener.peer.keep())
            async for text in listener.peer.texts():
                if listener.secret is None:
                    await self._login(listener, text)
            writing.cancel()
            keeping.cancel()

    async def _login(self, listener: Listener, text: str) -> None:
        """Silence for a good one; for any other a reset, without a Close frame."""
        secret = self._secret_in(text)
        if secret is not None and self._is_good(secret, self._host.now()):
            listener.secret = secret
            self._truth.connection("updates", "logged in", number=listener.number)
            return
        await asyncio.sleep(RESET_AFTER_S)
        self._truth.connection("updates", "login refused", number=listener.number)
        listener.peer.reset()

    def _secret_in(self, text: str) -> str | None:
        """The token of a login message of this account, `None` where it is none."""
        try:
            told = msgspec.json.decode(text)
        except msgspec.DecodeError:
            return None
        asked = told.get("LoginReq") if isinstance(told, dict) else None
        if not isinstance(asked, dict) or asked.get("MsgCode") != LOGIN_CODE:
            return None
        is_ours = asked.get("ClientId") == self._tokens.login.client_id
        secret = asked.get("Token")
        return secret if is_ours and isinstance(secret, str) else None

    def _is_good(self, secret: str, at_ns: int) -> bool:
        is_struck = self._wire.finds(
            WireFault.TOKEN_DEAD, f"{at_ns}", at_ns, endpoint=Endpoint.UPDATES
        )
        return is_struck is None and self._tokens.state(secret, at_ns) is TokenState.GOOD

    def _judge(self, listener: Listener, at_ns: int) -> None:
        key = f"connection {listener.number}"
        window = self._wire.finds(WireFault.UPDATES_DROP, key, at_ns, endpoint=Endpoint.UPDATES)
        if window is not None and listener.since_ns < window.from_ns:
            self._wire.strike(window)
            self._truth.connection("updates", "updates_drop", number=listener.number)
            listener.peer.reset()
        elif listener.secret is not None and not self._is_good(listener.secret, at_ns):
            self._truth.connection("updates", "token dead", number=listener.number)
            listener.peer.reset()
        elif self._is_idle(listener, at_ns):
            self._truth.connection("updates", "idle", number=listener.number)
            listener.peer.reset()

    def _is_idle(self, listener: Listener, at_ns: int) -> bool:
        """Whether nothing was said to it for long outside the session, and Dhan minds (dhan.md 5)."""
        if self._doubts.idle_updates is IdleUpdates.KEPT:
            return False
        is_open = any(session.is_open(at_ns) for session in self._host.facts.sessions)
        return not is_open and at_ns - max(listener.since_ns, self._said_ns) > IDLE_NS

    # -- what is said

    def _tell(self, row: AccountOrder) -> None:
        """A word about an order; on its way it may be lost, doubled, held up or overtaken."""
        at_ns = self._host.at_ns
        self._said += 1
        last_paise = self._board.snapshot(row.instrument.id).last_paise
        alert = order_alert(
            row,
            client_id=self._tokens.login.client_id,
            last_paise=last_paise,
            decimals=self._doubts.average_decimals,
        )
        text = msgspec.json.encode(alert).decode()
        if self._strikes(WireFault.UPDATE_LOST, row, at_ns):
            return
        doubled = self._strikes(WireFault.UPDATE_DUPLICATED, row, at_ns)
        if doubled is not None:
            self._say_at(at_ns + doubled.wait_ns, text)
        overtaken = self._strikes(WireFault.UPDATE_REORDERED, row, at_ns)
        if overtaken is not None:
            self._say_at(at_ns + overtaken.wait_ns, text)
            return
        late = self._strikes(WireFault.UPDATE_LATE, row, at_ns)
        if late is not None:
            self._held_ns[row.order_id] = at_ns + late.wait_ns
        garbage = self._strikes(WireFault.UPDATE_GARBAGE, row, at_ns)
        if garbage is not None:
            self._say(GARBAGE[self._said % len(GARBAGE)])
        self._say_at(self._held_ns.get(row.order_id, 0), text)

    def _say_at(self, due_ns: int, text: str) -> None:
        """Say it at `due_ns`, at once where that has passed."""
        if due_ns <= self._host.at_ns:
            self._say(text)
        else:
            self._host.at(due_ns, lambda _at_ns: self._say(text))

    def _say(self, text: str) -> None:
        """To everybody who is logged in, unless the stream is mute."""
        at_ns = self._host.at_ns
        key = f"{self._said} {at_ns}"
        if self._wire.strikes(WireFault.UPDATES_MUTE, key, at_ns, endpoint=Endpoint.UPDATES):
            return
        self._said_ns = at_ns
        for listener in self._listeners:
            listener.say(text)

    def _strikes(self, kind: WireFault, row: AccountOrder, at_ns: int) -> WireWindow | None:
        if not self._wire.windows:
            return None
        fields = {
            "orderId": row.order_id,
            "correlationId": row.correlation_id,
            "orderType": row.order_type.value,
            "transactionType": row.side.value,
            "orderStatus": row.status.value,
            "securityId": row.instrument.security_id,
        }
        key = f"{row.order_id} {self._said}"
        return self._wire.strikes(kind, key, at_ns, endpoint=Endpoint.UPDATES, fields=fields)
