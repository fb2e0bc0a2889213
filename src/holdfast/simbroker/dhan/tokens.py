"""The account's access tokens: one is active, a new one kills it, and after a day it is over."""

import base64
import hashlib
from collections.abc import Callable
from enum import StrEnum
from typing import Final

import msgspec
import pyotp

DAY_NS: Final = 86_400 * 1_000_000_000
MINT_EVERY_NS: Final = 120 * 1_000_000_000
CONSENTS_MAX: Final = 25
TOTP_STEP_S: Final = 30


class Consumer(StrEnum):
    """Who made a token (dhan.md 1.2): the web page, or a program."""

    SELF = "SELF"
    APP = "APP"


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that opens a session of the simulated account. None of it is anybody's."""

    client_id: str = "1000000001"
    pin: str = "135791"
    totp_secret: str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"  # noqa: S105 of a simulated account
    app_id: str = "simulated-app"
    app_secret: str = "simulated-secret"  # noqa: S105 the same


class Minted(msgspec.Struct, frozen=True, kw_only=True):
    """A token that was made: when, until when, for whom, and how it came about."""

    secret: str
    minted_ns: int
    until_ns: int
    consumer: Consumer
    by: str


class TokenState(StrEnum):
    """What a token is worth now; the streams tell the ways apart (dhan.md 4.4)."""

    GOOD = "good"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class Tokens:
    """Mints, checks and kills. Times are the server's, in UTC nanoseconds."""

    def __init__(self, login: Login, seed: int) -> None:
        """No token is active."""
        self.login = login
        self.minted: list[Minted] = []
        self.consents: dict[str, bool] = {}
        self._seed = seed
        self._limited_ns: int | None = None
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """Tell `listener` that another token is active: streams of the old one may end."""
        self._listeners.append(listener)

    @property
    def active(self) -> Minted | None:
        """The newest token, whether or not its day is over."""
        return self.minted[-1] if self.minted else None

    def may_mint(self, at_ns: int) -> bool:
        """Whether two minutes have passed since the last token by PIN or consent."""
        return self._limited_ns is None or at_ns - self._limited_ns >= MINT_EVERY_NS

    def mint(self, at_ns: int, *, consumer: Consumer, by: str, is_limited: bool = False) -> Minted:
        """Make a token. It is the active one from now on; `is_limited`: its like must wait."""
        made = Minted(
            secret=self._secret(at_ns, consumer),
            minted_ns=at_ns,
            until_ns=at_ns + DAY_NS,
            consumer=consumer,
            by=by,
        )
        self.minted.append(made)
        if is_limited:
            self._limited_ns = at_ns
        for listener in self._listeners:
            listener()
        return made

    def state(self, secret: str, at_ns: int) -> TokenState:
        """What a token is worth at `at_ns`."""
        active = self.active
        if active is None or secret != active.secret:
            return TokenState.UNKNOWN
        return TokenState.GOOD if at_ns < active.until_ns else TokenState.EXPIRED

    def knows_totp(self, code: str, at_ns: int) -> bool:
        """Whether a code is that of now or of the step beside it (RFC 6238)."""
        totp = pyotp.TOTP(self.login.totp_secret)
        now_s = at_ns // 1_000_000_000
        return code in {totp.at(now_s + step * TOTP_STEP_S) for step in (-1, 0, 1)}

    def consent(self) -> str | None:
        """A new consent, `None` when there were too many today."""
        if len(self.consents) >= CONSENTS_MAX:
            return None
        digest = hashlib.sha256(f"{self._seed}/consent/{len(self.consents)}".encode()).hexdigest()
        made = "-".join(
            (digest[:8], digest[8:12], "4" + digest[13:16], digest[16:20], digest[20:32])
        )
        self.consents[made] = False
        return made

    def _secret(self, at_ns: int, consumer: Consumer) -> str:
        """A JWT of the length and with the claims that were seen (dhan.md 1.2)."""
        claims = {
            "iss": "dhan",
            "partnerId": "",
            "exp": (at_ns + DAY_NS) // 1_000_000_000,
            "iat": at_ns // 1_000_000_000,
            "tokenConsumerType": consumer.value,
            "webhookUrl": "",
            "dhanClientId": self.login.client_id,
        }
        del claims["webhookUrl" if consumer is Consumer.APP else "partnerId"]
        signed = hashlib.sha512(f"{self._seed}/{len(self.minted)}/{at_ns}".encode()).digest()
        parts = (msgspec.json.encode({"typ": "JWT", "alg": "HS512"}), msgspec.json.encode(claims))
        return ".".join(_text(part) for part in (*parts, signed))


def _text(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")
