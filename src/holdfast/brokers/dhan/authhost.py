"""The host that makes tokens: by PIN and one-time password, by consent, and anew from an old one.

It answers a refusal with HTTP 200 as well, so that only an access token is a success (dhan.md 1.3).
Its addresses carry secrets and are shown nowhere.
"""

from typing import Final

import msgspec
from typing_extensions import override

from holdfast.brokers.dhan.fields import Unreadable, ist_stamp
from holdfast.brokers.dhan.rest import Answer, CallKind, Failed, Reply, Rest
from holdfast.brokers.dhan.token import StoredToken
from holdfast.domain.event import Outcome

MESSAGE_MAX: Final = 200

_EXPIRY_FORM: Final = "%Y-%m-%dT%H:%M:%S"
_NOT_THIS_VERB: Final = frozenset({404, 405})
_SECRET_MIN: Final = 4
"""Shorter texts are not looked for in messages: they would hide ordinary words."""


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """A token was made, and every earlier one is dead. `valid_until_ns`: as the broker said it."""

    secret: str
    valid_until_ns: int | None = None

    @override
    def __repr__(self) -> str:
        return f"Granted(secret=<hidden>, valid_until_ns={self.valid_until_ns})"


class Denied(msgspec.Struct, frozen=True, kw_only=True):
    """No token was made: the broker said so, in its words."""

    message: str


class Unanswered(msgspec.Struct, frozen=True, kw_only=True):
    """No word came that can be read: a token may have been made, and the one before be dead.

    `may_exist` is False when the request never left.
    """

    reason: str
    may_exist: bool = True


Made = Granted | Denied | Unanswered


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """A consent that waits for the person. `url` is for a browser; it holds no secret of ours."""

    consent_id: str
    url: str


class AppKey(msgspec.Struct, frozen=True, kw_only=True):
    """The key and secret of the consent flow; they live a year (dhan.md 1.5)."""

    app_id: str
    app_secret: str

    @override
    def __repr__(self) -> str:
        return f"AppKey(app_id={self.app_id!r}, app_secret=<hidden>)"

    @property
    def headers(self) -> dict[str, str]:
        """As the flow's requests carry them."""
        return {"app_id": self.app_id, "app_secret": self.app_secret}


class AuthHost:
    """The requests that make tokens. None is ever repeated here: each is counted by the broker."""

    def __init__(self, auth: Rest, api: Rest, *, url: str) -> None:
        """`auth` speaks to `url` without a token, `api` with one."""
        self._auth = auth
        self._api = api
        self._url = url

    async def mint(self, client_id: str, *, pin: str, totp: str) -> Made:
        """A new token by PIN and one-time password (dhan.md 1.3)."""
        query = {"dhanClientId": client_id, "pin": pin, "totp": totp}
        reply = await self._auth.call(
            "POST", "/app/generateAccessToken", query=query, kind=CallKind.GUARD
        )
        return made_of(reply, hidden=(pin, totp))

    async def renew(self, token: StoredToken) -> Made:
        """A new token from one that is alive and was made on the broker's page (dhan.md 1.4)."""
        headers = {"access-token": token.secret, "dhanClientId": token.client_id}
        reply = await self._api.call("GET", "/RenewToken", headers=headers, kind=CallKind.GUARD)
        return made_of(reply, hidden=(token.secret,))

    async def ask_consent(self, client_id: str, key: AppKey) -> Consent | Denied | Unanswered:
        """Begin the consent flow (dhan.md 1.5): the person goes on in a browser."""
        reply = await self._auth.call(
            "POST",
            "/app/generate-consent",
            query={"client_id": client_id},
            headers=key.headers,
            kind=CallKind.GUARD,
        )
        if isinstance(reply, Failed):
            return _unanswered(reply)
        body = reply.payload if isinstance(reply.payload, dict) else {}
        consent_id = body.get("consentAppId")
        if not isinstance(consent_id, str) or not consent_id:
            return _no_token(reply, body, hidden=(key.app_secret,))
        return Consent(
            consent_id=consent_id,
            url=f"{self._url}/login/consentApp-login?consentAppId={consent_id}",
        )

    async def use_consent(self, token_id: str, key: AppKey) -> Made:
        """End the flow with what the browser was sent back with. Documents differ on the verb."""
        made: Made = Denied(message="the broker knows no such request")
        for method in ("GET", "POST"):
            reply = await self._auth.call(
                method,
                "/app/consumeApp-consent",
                query={"tokenId": token_id},
                headers=key.headers,
                kind=CallKind.GUARD,
            )
            made = made_of(reply, hidden=(key.app_secret, token_id))
            if isinstance(reply, Failed) or reply.status not in _NOT_THIS_VERB:
                break
        return made


def made_of(reply: Reply, *, hidden: tuple[str, ...] = ()) -> Made:
    """What a request for a token came to. `hidden`: what no message may repeat."""
    if isinstance(reply, Failed):
        return _unanswered(reply)
    body = reply.payload if isinstance(reply.payload, dict) else {}
    secret = body.get("accessToken")
    if isinstance(secret, str) and secret:
        return Granted(secret=secret, valid_until_ns=_expiry_ns(body.get("expiryTime")))
    return _no_token(reply, body, hidden=hidden)


def _unanswered(failed: Failed) -> Unanswered:
    return Unanswered(reason=failed.reason, may_exist=failed.outcome is not Outcome.NOT_SENT)


def _no_token(
    reply: Answer, body: dict[str, object], *, hidden: tuple[str, ...]
) -> Denied | Unanswered:
    """A refusal says why; anything else may have made a token that we did not get to read."""
    for key in ("message", "errorMessage", "internalErrorMessage", "error"):
        if isinstance(said := body.get(key), str) and said:
            return Denied(message=without(said, hidden))
    if 400 <= reply.status < 500:
        return Denied(message=f"HTTP {reply.status}")
    return Unanswered(reason=f"HTTP {reply.status} without a token and without a reason")


def without(said: str, hidden: tuple[str, ...]) -> str:
    """A message of the broker, on one line, with what is secret taken out of it."""
    line = " ".join(said.split())
    for secret in hidden:
        if len(secret) >= _SECRET_MIN:
            line = line.replace(secret, "<hidden>")
    return line[:MESSAGE_MAX]


def _expiry_ns(given: object) -> int | None:
    """India's wall clock, with or without a fraction (dhan.md 1.3); `None` where it says nothing."""
    if not isinstance(given, str):
        return None
    try:
        return ist_stamp(given.partition(".")[0].replace(" ", "T"), _EXPIRY_FORM, "expiryTime")
    except Unreadable:
        return None
