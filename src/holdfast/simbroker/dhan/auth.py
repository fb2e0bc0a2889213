"""The auth host: tokens by PIN and one-time password, and the consent flow (dhan.md 1.3, 1.5)."""

from collections.abc import Sequence
from typing import Final

from holdfast.simbroker.dhan.host import Host, Values
from holdfast.simbroker.dhan.profile import token_body
from holdfast.simbroker.dhan.route import Answer, Call, Family, Limit, Route
from holdfast.simbroker.dhan.tokens import Consumer, Minted, Tokens
from holdfast.simbroker.dhan.wire_faults import Endpoint

UNAUTHORIZED: Final = "Unauthorized Request"
INVALID_TOTP: Final = "Invalid TOTP"
TOO_SOON: Final = "Token can be generated once every 2 minutes"
TOO_MANY: Final = "Consent limit of the day is reached"

LIMITED: Final = frozenset({"pin", "consent"})
"""The ways of making a token that must lie two minutes apart; the web page's need not."""


def failure(message: str) -> Answer:
    """The auth host fails with HTTP 200 (dhan.md 1.3)."""
    return Answer(payload={"message": message, "status": "error"})


class Auth:
    """Makes tokens for whoever proves to be the account's owner."""

    def __init__(self, host: Host, tokens: Tokens, *, redirect: str) -> None:
        """`redirect` is where the login page sends the browser."""
        self._host = host
        self._tokens = tokens
        self._redirect = redirect
        host.register("mint", self._mint)
        host.register("consent", self._consent)
        host.register("consented", self._consented)

    def routes(self) -> Sequence[Route]:
        """All of the auth host's paths that a single account uses."""
        made = (
            ("POST", "/app/generateAccessToken", self._by_pin, Endpoint.MINT),
            ("POST", "/app/generate-consent", self._begin, Endpoint.CONSENT),
            ("GET", "/login/consentApp-login", self._login, Endpoint.CONSENT),
            ("GET", "/app/consumeApp-consent", self._consume, Endpoint.CONSENT),
            ("POST", "/app/consumeApp-consent", self._consume, Endpoint.CONSENT),
        )
        return [
            Route(method, path, answer, endpoint, Family.OPEN, Limit.NONE)
            for method, path, answer, endpoint in made
        ]

    async def _by_pin(self, call: Call) -> Answer:
        """The identity is judged before the code, and both before the two minutes."""
        login, query = self._tokens.login, call.query
        is_known = (query.get("dhanClientId"), query.get("pin")) == (login.client_id, login.pin)
        if not is_known:
            return failure(UNAUTHORIZED)
        if not self._tokens.knows_totp(query.get("totp", ""), call.at_ns):
            return failure(INVALID_TOTP)
        if not self._tokens.may_mint(call.at_ns):
            return failure(TOO_SOON)
        return self._minted("pin")

    async def _begin(self, call: Call) -> Answer:
        client_id = call.query.get("client_id")
        if not self._is_app(call) or client_id != self._tokens.login.client_id:
            return failure(UNAUTHORIZED)
        made = self._host.do("consent")
        if made is None:
            return failure(TOO_MANY)
        return Answer(
            payload={"consentAppId": made, "consentAppStatus": "GENERATED", "status": "success"}
        )

    async def _login(self, call: Call) -> Answer:
        """The browser's page: the owner of the simulated account always says yes."""
        consent = call.query.get("consentAppId", "")
        if consent not in self._tokens.consents:
            return failure(UNAUTHORIZED)
        location = f"{self._redirect}?tokenId={consent}"
        return Answer(status=302, text="", headers={"Location": location})

    async def _consume(self, call: Call) -> Answer:
        """A consent makes one token."""
        consent = call.query.get("tokenId", "")
        is_open = self._tokens.consents.get(consent) is False
        if not self._is_app(call) or not is_open:
            return failure(UNAUTHORIZED)
        if not self._tokens.may_mint(call.at_ns):
            return failure(TOO_SOON)
        self._host.do("consented", {"consent": consent})
        return self._minted("consent")

    def _minted(self, by: str) -> Answer:
        minted = self._host.do("mint", {"consumer": Consumer.APP.value, "by": by})
        return Answer(payload=token_body(minted, self._tokens))

    def _is_app(self, call: Call) -> bool:
        login = self._tokens.login
        given = (call.headers.get("app_id"), call.headers.get("app_secret"))
        return given == (login.app_id, login.app_secret)

    def _mint(self, values: Values, at_ns: int) -> Minted:
        consumer, by = Consumer(values["consumer"]), values["by"]
        return self._tokens.mint(at_ns, consumer=consumer, by=by, is_limited=by in LIMITED)

    def _consent(self, _values: Values, _at_ns: int) -> str | None:
        return self._tokens.consent()

    def _consented(self, values: Values, _at_ns: int) -> None:
        self._tokens.consents[values["consent"]] = True
