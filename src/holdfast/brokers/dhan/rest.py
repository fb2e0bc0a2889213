"""Calls to the broker's REST API: what was asked, and how it ended, as values.

No call is ever repeated here, and none raises: a reply is an answer of the broker, or says why there
is none and whether the request can have left (decisions 2.8). The token goes in headers only.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Protocol

import msgspec

from holdfast.domain.event import AnyEvent, Outcome
from holdfast.ports import Timing


class CallKind(StrEnum):
    """What a call is: it decides its time-out and the connection that it goes over.

    READ has 5 s and the connections for reads. PLACE and GUARD have 8 s, CHANGE (modify, cancel)
    2 s, all on the warm connections for orders (T3, T26). POLL is a read over the same ones.
    """

    READ = "read"
    POLL = "poll"
    PLACE = "place"
    CHANGE = "change"
    GUARD = "guard"


class Credentials(Protocol):
    """Whose calls they are. `secret` is the newest token, empty while there is none."""

    @property
    def secret(self) -> str: ...

    @property
    def client_id(self) -> str: ...


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker said, whatever its status. Redirects and unreadable bodies are no answer.

    `payload` is the decoded JSON, `None` for an empty body; numbers with a fraction or an exponent
    are `Decimal`, exact. `body` are the same bytes. `date_ns` is the broker's own stamp (UTC, whole
    seconds), `None` where it gave none. `at_ns` is when its last byte came.
    """

    status: int
    payload: object
    body: bytes
    at_ns: int
    date_ns: int | None = None

    @property
    def is_ok(self) -> bool:
        """Whether the status says that it was done or taken (2xx). The body may differ (dhan.md 1.10)."""
        return 200 <= self.status < 300  # noqa: PLR2004


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """There is no answer. NOT_SENT: no byte of the request left. UNANSWERED: it may have.

    `reason` holds neither token nor address.
    """

    outcome: Outcome
    reason: str
    at_ns: int


Reply = Answer | Failed


class Rest:
    """The REST API of one host for one account."""

    def __init__(
        self,
        base: str,
        credentials: Credentials | None,
        timing: Timing,
        *,
        tell: Callable[[AnyEvent], None] = lambda _event: None,
    ) -> None:
        """`base` is the address before every path. Without `credentials` no token is sent."""

    async def call(  # noqa: PLR0913 what is asked has this many sides
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        kind: CallKind = CallKind.READ,
    ) -> Reply:
        """Ask once and wait for how it ends. `body` goes as JSON; `headers` beside the token's."""
        raise NotImplementedError

    async def close(self) -> None:
        """Give every connection back. Calls after it are NOT_SENT."""
