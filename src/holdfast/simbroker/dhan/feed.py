"""The market feed: a WebSocket of binary packets (dhan.md 4).

A snapshot of an instrument goes out when something about it changed, at most four times a second,
and all that is due goes out together. Nothing is acknowledged, nothing is repeated.
"""

import asyncio
from collections import deque
from typing import Any, Final

import msgspec
from aiohttp import web

from holdfast.domain.instrument import Segment
from holdfast.domain.market import Tick
from holdfast.simbroker.dhan.board import Board
from holdfast.simbroker.dhan.feed_client import Backing, FeedClient, FeedManners
from holdfast.simbroker.dhan.host import Host
from holdfast.simbroker.dhan.packets import Reason, market_status
from holdfast.simbroker.dhan.peer import Peer, reset
from holdfast.simbroker.dhan.sent import SentTicks
from holdfast.simbroker.dhan.tokens import Tokens, TokenState
from holdfast.simbroker.dhan.truth import Truth
from holdfast.simbroker.dhan.wire_faults import Endpoint, WireFault, WireFaults, WireWindow

CONNECTIONS_MAX: Final = 5
RESET_S: Final = 300
"""After so long connections were seen to be reset (dhan.md 4.3)."""

WATCH_S: Final = 0.25
SECOND_NS: Final = 1_000_000_000


class Reconnecting(msgspec.Struct, frozen=True, kw_only=True):
    """When connecting too often blocks the account, and for how long; Dhan publishes neither."""

    connects_max: int = 10
    within_s: int = 60
    blocked_s: int = 60


class Feed:
    """Serves all connections of the one account."""

    def __init__(
        self,
        host: Host,
        board: Board,
        *,
        tokens: Tokens,
        wire: WireFaults,
        truth: Truth,
        manners: FeedManners,
    ) -> None:
        """`board` must be told of each tick before the feed is: it listens to `host` first."""
        self.reconnecting = Reconnecting()
        self.sent = SentTicks()
        self._host = host
        self._board = board
        self._backing = Backing(host, board, wire, self.sent, manners)
        self._tokens = tokens
        self._wire = wire
        self._truth = truth
        self._clients: list[FeedClient] = []
        self._made = 0
        self._connects: deque[int] = deque()
        self._blocked_ns = 0
        host.on_tick(self._tell)
        for session in host.facts.sessions:
            for instant_ns in (session.open_ns, session.close_ns):
                host.at(instant_ns, lambda _at_ns: self._tell_status())

    def connections(self) -> list[dict[str, Any]]:
        """Every connection that is open: its number, since when, what it follows."""
        return [client.about() for client in self._clients]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One connection from its handshake to its end."""
        at_ns = self._host.now()
        refused = self._refused(request, at_ns)
        if refused is not None:
            return refused
        secret, client_id = (request.query.get(name, "") for name in ("token", "clientId"))
        reason = self._no(secret, client_id, at_ns)
        peer = Peer(request, self._host.time)
        response = await peer.open()
        self._made += 1
        client = FeedClient(self._made, peer, self._backing, login=(secret, client_id))
        if reason is not None:
            client.end(reason)
        self._enter(client)
        try:
            await client.run()
        finally:
            self._clients.remove(client)
            self._truth.connection("feed", "closed", number=client.number)
        return response

    async def watch(self) -> None:
        """End what a fault or a dead token ends, until cancelled."""
        while True:
            at_ns = self._host.now()
            for client in tuple(self._clients):
                self._judge(client, at_ns)
            await asyncio.sleep(max(self._host.time.wall_s(WATCH_S), 0.01))

    def _enter(self, client: FeedClient) -> None:
        """One connection more; the sixth evicts the oldest (dhan.md 2)."""
        self._clients.append(client)
        self._truth.connection("feed", "opened", number=client.number)
        living = [one for one in self._clients if not one.is_ending]
        for oldest in living[:-CONNECTIONS_MAX]:
            oldest.end(Reason.TOO_MANY_CONNECTIONS)

    def _refused(self, request: web.Request, at_ns: int) -> web.Response | None:
        """The handshake that is no handshake: reset, or 429."""
        key = f"{at_ns}"
        if self._wire.strikes(WireFault.FEED_DROP, key, at_ns, endpoint=Endpoint.FEED):
            self._truth.connection("feed", "reset at the handshake")
            reset(request)
            return web.Response(status=503)
        is_struck = self._wire.strikes(
            WireFault.FEED_HANDSHAKE_429, key, at_ns, endpoint=Endpoint.FEED
        )
        if is_struck or self._is_blocked(at_ns):
            self._truth.connection("feed", "429 at the handshake")
            return web.Response(status=429, text="client id is blocked")
        return None

    def _is_blocked(self, at_ns: int) -> bool:
        """Whether the account has connected too often of late; counts this attempt."""
        rule = self.reconnecting
        if at_ns < self._blocked_ns:
            return True
        while self._connects and self._connects[0] <= at_ns - rule.within_s * SECOND_NS:
            self._connects.popleft()
        self._connects.append(at_ns)
        if len(self._connects) <= rule.connects_max:
            return False
        self._blocked_ns = at_ns + rule.blocked_s * SECOND_NS
        return True

    def _no(self, secret: str, client_id: str, at_ns: int) -> Reason | None:
        """Why nobody with this token is served, `None` where he is."""
        if client_id != self._tokens.login.client_id:
            return Reason.CLIENT_INVALID
        if secret.count(".") != 2:
            return Reason.AUTHENTICATION_FAILED
        state = self._tokens.state(secret, at_ns)
        is_struck = self._wire.finds(
            WireFault.TOKEN_DEAD, f"{at_ns}", at_ns, endpoint=Endpoint.FEED
        )
        if state is TokenState.EXPIRED or is_struck is not None:
            return Reason.TOKEN_EXPIRED
        return None if state is TokenState.GOOD else Reason.TOKEN_INVALID

    def _judge(self, client: FeedClient, at_ns: int) -> None:
        """What the windows and the token say of a connection that is open."""
        key = f"connection {client.number}"
        for kind in (WireFault.FEED_DROP, WireFault.FEED_EVICT, WireFault.FEED_RESET_300):
            window = self._wire.finds(kind, key, at_ns, endpoint=Endpoint.FEED)
            if window is None or client.is_ending or not _is_due(window, client, at_ns):
                continue
            self._wire.strike(window)
            self._truth.connection("feed", kind.value, number=client.number)
            if kind is WireFault.FEED_EVICT:
                client.end(Reason.TOO_MANY_CONNECTIONS)
            else:
                client.reset()
        reason = self._no(*client.login, at_ns)
        if reason is not None and not client.is_ending:
            client.end(reason)

    def _tell(self, tick: Tick) -> None:
        if not self._clients or not self._board.has(tick.instrument):
            return
        shown = self._board.snapshot(tick.instrument)
        for client in self._clients:
            client.tell(shown, tick.at_ns)

    def _tell_status(self) -> None:
        """A session began or ended: whoever follows a segment is told so."""
        for client in self._clients:
            for segment in Segment:
                client.tell_status(segment, market_status(segment))


def _is_due(window: WireWindow, client: FeedClient, at_ns: int) -> bool:
    """A window ends what was open when it began; resets come a fixed time after the handshake."""
    if window.kind is WireFault.FEED_RESET_300:
        return at_ns - client.since_ns >= RESET_S * SECOND_NS
    return client.since_ns < window.from_ns
