"""What the server saw and did, for tests and people to compare with: nothing in it is ever faulty."""

from typing import Any, Final

import msgspec

from holdfast.domain.market import Tick
from holdfast.simbroker.dhan.host import Host, Values
from holdfast.simbroker.dhan.order import AccountOrder
from holdfast.simbroker.dhan.wire_faults import Endpoint

REMEMBERED: Final = frozenset(
    {
        Endpoint.PLACE,
        Endpoint.MODIFY,
        Endpoint.CANCEL,
        Endpoint.EXIT_ALL,
        Endpoint.KILL_SWITCH,
        Endpoint.PNL_EXIT,
    }
)
"""The requests that are kept one by one with their bodies; of others only the number."""

_encoder: Final = msgspec.json.Encoder()


class Truth:
    """Every order request with its raw body, every word, every connection, every tick."""

    def __init__(self, host: Host) -> None:
        """Listen to `host` from its beginning."""
        self.requests: list[dict[str, Any]] = []
        self.counts: dict[str, int] = {}
        self.words: list[tuple[int, AccountOrder]] = []
        self.connections: list[dict[str, Any]] = []
        self._ticks: list[bytes] = []
        self._host = host
        host.register("request", self._note_request)
        host.register("connection", self._note_connection)
        host.on_tick(self._note_tick)
        host.on_row(self._note_word)

    def request(self, endpoint: Endpoint, values: Values) -> None:
        """A request came: `fate` says what became of it (`done`, `lost`, or its refusal's status)."""
        self.counts[endpoint] = self.counts.get(endpoint, 0) + 1
        if endpoint in REMEMBERED:
            self._host.jot("request", {"endpoint": endpoint.value, **values})

    def connection(self, stream: str, what: str, **about: Any) -> None:
        """A stream was opened, closed, refused or cut: `what` says it, `about` the rest."""
        self._host.jot("connection", {"stream": stream, "what": what, **about})

    def ticks(self, after: int, most: int) -> list[bytes]:
        """Ticks from number `after` on (the first is 0), as JSON, at most `most`."""
        return self._ticks[after : after + most]

    @property
    def ticks_shown(self) -> int:
        """How many ticks the market told."""
        return len(self._ticks)

    def _note_request(self, values: Values, at_ns: int) -> None:
        self.requests.append({"number": len(self.requests), "at_ns": at_ns, **values})

    def _note_connection(self, values: Values, at_ns: int) -> None:
        self.connections.append({"at_ns": at_ns, **values})

    def _note_tick(self, tick: Tick) -> None:
        self._ticks.append(_encoder.encode(tick))

    def _note_word(self, row: AccountOrder) -> None:
        self.words.append((self._host.at_ns, row))
