"""What a part of the server offers: requests it answers, and everything the door asks about them."""

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from holdfast.simbroker.dhan.wire_faults import Endpoint


class Family(StrEnum):
    """How an endpoint says that a token is not taken, or that requests are too many (1.8, 1.10)."""

    TRADING = "trading"  # 401 DH-901, 429 DH-904
    RECENT = "recent"  # 400 DH-906 "Invalid Token", 429 DH-904: charts, profile, RenewToken
    QUOTES = "quotes"  # 401 and 429 with numbers in `data`: marketfeed, optionchain
    OPEN = "open"  # asks for no token: the auth host, the instrument files


class Limit(StrEnum):
    """What the broker counts apart (dhan.md 2)."""

    ORDERS = "orders"
    DATA = "data"
    QUOTES = "quotes"
    READS = "reads"
    CHAIN = "chain"  # one request with this body in three seconds
    NONE = "none"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request that came through the door.

    `payload` is the body read as JSON, `None` where there is none or it cannot be read. `key` names
    the request: draws hang on it. `remote` is the address it came from.
    """

    at_ns: int
    endpoint: Endpoint
    key: str
    client_id: str
    token: str = ""
    body: bytes = b""
    payload: Any = None
    query: Mapping[str, str] = {}
    named: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    remote: str = "127.0.0.1"

    @property
    def fields(self) -> dict[str, Any]:
        """The body's keys, none where it is no object."""
        return self.payload if isinstance(self.payload, dict) else {}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is answered. `payload` is told as JSON; `text` instead of it as it stands."""

    status: int = 200
    payload: Any = None
    text: str | None = None
    media: str = "application/json"
    headers: Mapping[str, str] = {}


Answering = Callable[[Call], Awaitable[Answer]]


class Route(NamedTuple):
    """One request that is answered: its place, its answer, and how its door behaves.

    `path` is that of the host it belongs to, names in braces (`/v2/orders/{order_id}`).
    """

    method: str
    path: str
    answer: Answering
    endpoint: Endpoint
    family: Family = Family.TRADING
    limit: Limit = Limit.READS
    needs_ip: bool = False


def refusal(error_type: str, code: str, message: str, *, status: int = 400) -> Answer:
    """The error of trading and charts (dhan.md 1.10)."""
    payload = {"errorType": error_type, "errorCode": code, "errorMessage": message}
    return Answer(status=status, payload=payload)


def numbered(code: str, message: str, *, status: int) -> Answer:
    """The error of quotes and option chain (dhan.md 1.10)."""
    return Answer(status=status, payload={"data": {code: message}, "status": "failed"})


BAD_FIELDS: Final = "Missing required fields, bad values for parameters etc."


def bad_input(message: str = BAD_FIELDS) -> Answer:
    """400 DH-905."""
    return refusal("Input_Exception", "DH-905", message)


def order_error(message: str, *, status: int = 400) -> Answer:
    """400 DH-906."""
    return refusal("Order_Error", "DH-906", message, status=status)
