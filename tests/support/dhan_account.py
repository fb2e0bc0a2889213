"""What tests of the account's side share: tokens, a clock moved by hand, answers, recorded bodies."""

import asyncio
import base64
import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec
import pytest

from holdfast.brokers.dhan.account import Site, Told, Trading, account_side
from holdfast.brokers.dhan.passwords import find_passwords
from holdfast.brokers.dhan.rest import Answer, Rest
from holdfast.brokers.dhan.settings import REAL
from holdfast.brokers.dhan.token import TokenHolder
from holdfast.domain.event import AnyEvent
from holdfast.facts.ist import SECOND_NS
from holdfast.runtime.clock import ScaledClock
from tests.support.dhan_wire import CLIENT_ID, Heard, Said, WireServer, said

NOW_NS = 1_795_144_500 * SECOND_NS
"""2026-11-20 08:45:00 in India, a Friday."""

HOUR_NS = 3_600 * SECOND_NS
OPENS_NS = NOW_NS + 1_800 * SECOND_NS

TIMEOUTS_FROM_S = 8

_decoder = msgspec.json.Decoder(float_hook=Decimal)


class HandClock:
    """Time that a test moves. Waits are a thousandth of what they say; time-outs are longer and stay."""

    def __init__(self, at_ns: int = NOW_NS) -> None:
        self.at_ns = at_ns

    def now_ns(self) -> int:
        """UTC nanoseconds."""
        return self.at_ns

    def wall_s(self, seconds: float) -> float:
        """A busy machine is no silent broker; nobody waits for the rest."""
        return seconds if seconds >= TIMEOUTS_FROM_S else seconds / 1_000

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        self.at_ns += int(seconds * SECOND_NS)


def jwt(*, until_ns: int, kind: str = "APP", client_id: str = CLIENT_ID, salt: str = "x") -> str:
    """A token as the broker makes them, signed by nobody."""
    claims = {
        "iss": "dhan",
        "exp": until_ns // SECOND_NS,
        "tokenConsumerType": kind,
        "dhanClientId": client_id,
        "salt": salt,
    }
    parts = [{"typ": "JWT", "alg": "HS512"}, claims]
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts]
    return ".".join([*(text.rstrip("=") for text in texts), "c2lnbmF0dXJlLW9mLW5vYm9keQ"])


def answer(body: bytes | str, *, status: int = 200, at_ns: int = NOW_NS) -> Answer:
    """An answer of the broker, as the client of REST decodes it."""
    raw = body.encode() if isinstance(body, str) else body
    payload = _decoder.decode(raw) if raw.strip() else None
    return Answer(status=status, payload=payload, body=raw, at_ns=at_ns)


def sample(shared_data: Path, name: str) -> bytes:
    """A body seen on the wire; the test is skipped where it is absent."""
    file = shared_data.parent / "reference" / "dhan-samples" / name
    if not file.is_file():
        pytest.skip(f"{file} does not exist")
    return file.read_bytes()


class Exchange(NamedTuple):
    """A recorded request with its answer."""

    method: str
    uri: str
    request: str
    status: int
    body: str


def recorded(shared_data: Path) -> Iterator[Exchange]:
    """Every exchange that others recorded and nobody edited."""
    file = shared_data / "06_feed_frames" / "dhan_rest_recorded_vcr.jsonl.gz"
    if not file.is_file():
        pytest.skip(f"{file} does not exist")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["body_matches_content_length"] is not False:
                yield Exchange(
                    method=row["method"].upper(),
                    uri=row["uri"],
                    request=row["request"],
                    status=int(row["status"]),
                    body=row["body"],
                )


TOTP_SECRET = "JBSWY3DPEHPK3PXP"  # noqa: S105 a test's
PIN = "482915"
ENV = {"DHAN_PIN": PIN, "DHAN_TOTP_SECRET": TOTP_SECRET}


class Broker:
    """A broker's account: which token is alive, and what was asked. Tests kill tokens in it."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.alive = ""
        self.made = 0
        self.asked: list[str] = []
        self.kind = "APP"
        self.life_ns = 24 * HOUR_NS
        self.says: Said | None = None
        self.profile: Said | None = None

    def make(self) -> str:
        """Somebody has a token made: the one before is dead."""
        self.made += 1
        until_ns = self._clock.at_ns + self.life_ns
        self.alive = jwt(until_ns=until_ns, kind=self.kind, salt=f"salt-{self.made}")
        return self.alive

    def __call__(self, heard: Heard) -> Said:
        """Answer as the broker does."""
        path = heard.path.partition("?")[0]
        self.asked.append(path)
        if path == "/v2/profile":
            return self._profile(heard)
        if self.says is not None:
            return self.says
        if path == "/v2/RenewToken" and heard.headers["access-token"] != self.alive:
            return said(400, DEAD)
        if path in ("/app/generateAccessToken", "/v2/RenewToken", "/app/consumeApp-consent"):
            return said(200, {"dhanClientId": CLIENT_ID, "accessToken": self.make()})
        if path == "/app/generate-consent":
            return said(200, {"consentAppId": "c-1", "status": "success"})
        return said(404, {"status": 404, "error": "Not Found", "path": path})

    def _profile(self, heard: Heard) -> Said:
        if self.profile is not None:
            return self.profile
        if heard.headers["access-token"] != self.alive:
            return said(400, DEAD)
        return said(200, PROFILE)

    @property
    def minted(self) -> int:
        """How often a token was asked for by password."""
        return self.asked.count("/app/generateAccessToken")


DEAD = {"errorType": "Order_Error", "errorCode": "DH-906", "errorMessage": "Invalid Token"}
PROFILE = {
    "dhanClientId": CLIENT_ID,
    "tokenValidity": "21/11/2026 08:45",
    "activeSegment": "E, D, C, M, ",
    "ddpi": "Deactive",
    "mtf": "Deactive",
    "dataPlan": "Active",
    "dataValidity": "2026-12-29 17:52:44.0",
}


class Desk:
    """The account's parts over a server of a test. Use it as an async context."""

    def __init__(
        self,
        broker: Broker,
        clock: HandClock,
        folder: Path,
        *,
        env: Mapping[str, str] = ENV,
    ) -> None:
        self.broker = broker
        self.clock = clock
        self._folder = folder
        self._env = env
        self.told: list[AnyEvent] = []
        self.called: list[str] = []

    async def __aenter__(self) -> Self:
        self.server = await WireServer(self.broker).__aenter__()
        urls = msgspec.structs.replace(
            REAL, rest=f"{self.server.base}/v2", auth=self.server.base, instruments=self.server.base
        )
        self.holder = TokenHolder(CLIENT_ID)
        # Its time-outs are the wall's: a busy machine is no silent broker.
        self.rest = Rest(urls.rest, self.holder, ScaledClock(None, 1))
        site = Site(folder=self._folder, urls=urls, timing=self.clock)
        self.side = account_side(
            self.holder,
            self.rest,
            site,
            day=Trading(
                opens_ns=OPENS_NS, closes_ns=OPENS_NS + 6 * HOUR_NS, freeze={"NIFTY": 1_800}
            ),
            passwords=find_passwords(self._folder, CLIENT_ID, self._env),
            told=Told(tell=self.told.append, call_person=self.called.append),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.side.close()
        await self.rest.close()
        await self.server.__aexit__(kind, error, trace)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds, and not for ever."""
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 what is waited for is the program's own
                await asyncio.sleep(0.005)
