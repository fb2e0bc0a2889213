"""The host that makes tokens: only a token is a success, and no message repeats a secret."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from holdfast.brokers.dhan.authhost import (
    MESSAGE_MAX,
    AppKey,
    AuthHost,
    Consent,
    Denied,
    Granted,
    Unanswered,
    made_of,
    without,
)
from holdfast.brokers.dhan.rest import Rest
from holdfast.brokers.dhan.token import TokenHolder, token_of
from holdfast.domain.event import Outcome
from holdfast.runtime.clock import ScaledClock
from tests.support.dhan_account import HOUR_NS, NOW_NS, answer, jwt, sample
from tests.support.dhan_wire import CLIENT_ID, Cut, Heard, Said, WireServer, said

Value = TypeVar("Value")

SECRET = jwt(until_ns=NOW_NS + 24 * HOUR_NS)
KEY = AppKey(app_id="app-1", app_secret="app-secret-1")  # noqa: S106
GRANTED = {
    "dhanClientId": CLIENT_ID,
    "dhanClientName": "TEST USER",
    "dhanClientUcc": "TEST01234A",
    "givenPowerOfAttorney": False,
    "accessToken": SECRET,
    "expiryTime": "2026-11-21T08:45:00.000",
}


def asked(
    answers: Callable[[Heard], Said], act: Callable[[AuthHost], Awaitable[Value]]
) -> tuple[Value, list[Heard]]:
    """What `act` came to, and what the server heard."""

    async def main() -> tuple[Value, list[Heard]]:
        clock = ScaledClock(NOW_NS, 20)
        holder = TokenHolder(CLIENT_ID)
        holder.put(token_of(CLIENT_ID, "the-old-one", minted_ns=NOW_NS))
        async with WireServer(answers) as server:
            auth, api = Rest(server.base, None, clock), Rest(f"{server.base}/v2", holder, clock)
            try:
                return await act(AuthHost(auth, api, url=server.base)), server.heard
            finally:
                await auth.close()
                await api.close()

    return asyncio.run(main())


def test_a_token_is_made_by_pin_and_one_time_password() -> None:
    """The request has no body and no token; the answer's end is India's wall."""
    made, heard = asked(
        lambda _: said(200, GRANTED), lambda host: host.mint(CLIENT_ID, pin="123456", totp="654321")
    )
    assert made == Granted(secret=SECRET, valid_until_ns=NOW_NS + 24 * HOUR_NS)
    assert (heard[0].method, heard[0].body) == ("POST", b"")
    assert (
        heard[0].path == f"/app/generateAccessToken?dhanClientId={CLIENT_ID}&pin=123456&totp=654321"
    )
    assert "access-token" not in heard[0].headers


@pytest.mark.parametrize(
    "name", ["auth_generate_token_invalid_totp.json", "auth_generate_token_unauthorized.json"]
)
def test_a_refusal_is_one_although_it_says_200(shared_data: Path, name: str) -> None:
    """The samples of the wire."""
    made = made_of(answer(sample(shared_data, name)))
    assert isinstance(made, Denied)
    assert made.message in ("Invalid TOTP", "Unauthorized Request")


@pytest.mark.parametrize(
    "ending", ["2026-11-21T08:45:00.000", "2026-11-21T08:45:00", "2026-11-21 08:45:00"]
)
def test_an_end_is_read_in_each_of_its_forms(ending: str) -> None:
    """With and without a fraction."""
    made = made_of(answer(f'{{"accessToken":"t","expiryTime":"{ending}"}}'))
    assert made == Granted(secret="t", valid_until_ns=NOW_NS + 24 * HOUR_NS)  # noqa: S106


@pytest.mark.proves("I-94")
@pytest.mark.parametrize("ending", ["null", '"soon"', "5", '""', "[]"])
def test_an_end_that_cannot_be_read_is_none(ending: str) -> None:
    """The token is a token all the same."""
    made = made_of(answer(f'{{"accessToken":"t","expiryTime":{ending}}}'))
    assert made == Granted(secret="t", valid_until_ns=None)  # noqa: S106


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, "[]", Unanswered),
        (200, "{}", Unanswered),
        (200, '{"accessToken":""}', Unanswered),
        (200, '{"accessToken":5}', Unanswered),
        (500, '{"status":"error"}', Unanswered),
        (403, "", Denied),
        (400, '{"errorCode":"DH-906","errorMessage":"Invalid Token"}', Denied),
        (200, '{"message":"Token can be generated once every 2 minutes","status":"error"}', Denied),
    ],
)
def test_only_a_token_is_a_success(status: int, body: str, expected: type) -> None:
    """Where neither a token nor a reason came, one may have been made."""
    assert isinstance(made_of(answer(body, status=status)), expected)


def test_no_message_repeats_a_secret() -> None:
    """Whatever the broker echoes, on one line and cut."""
    said_back = without("PIN 123456 of\n app-secret-1 " + "x" * 999, ("123456", "app-secret-1", ""))
    assert said_back.startswith("PIN <hidden> of <hidden> x")
    assert len(said_back) <= MESSAGE_MAX
    assert "app-secret-1" not in repr(KEY)
    assert SECRET not in repr(Granted(secret=SECRET))


def test_nobody_answers() -> None:
    """A cut answer may hide a token; a refused connection does not."""
    made, _ = asked(
        lambda _: Cut(b"HTTP/1.1 200 OK\r\n"),
        lambda host: host.mint(CLIENT_ID, pin="123456", totp="654321"),
    )
    assert isinstance(made, Unanswered)
    assert made.may_exist
    assert "123456" not in made.reason

    async def nobody() -> object:
        rest = Rest("http://127.0.0.1:9", None, ScaledClock(NOW_NS, 20))
        try:
            return await AuthHost(rest, rest, url="").mint(CLIENT_ID, pin="123456", totp="654321")
        finally:
            await rest.close()

    refused = asyncio.run(nobody())
    assert isinstance(refused, Unanswered)
    assert not refused.may_exist
    assert Outcome.NOT_SENT.value not in refused.reason


def test_a_token_is_renewed_with_the_headers_of_the_documents() -> None:
    """GET, the token, and the client's id in its odd spelling."""
    old = token_of(CLIENT_ID, "the-old-one", minted_ns=NOW_NS)
    made, heard = asked(lambda _: said(200, GRANTED), lambda host: host.renew(old))
    assert isinstance(made, Granted)
    assert (heard[0].method, heard[0].path) == ("GET", "/v2/RenewToken")
    assert heard[0].headers["access-token"] == "the-old-one"
    assert heard[0].headers["dhanclientid"] == CLIENT_ID


def test_consent_begins_with_the_keys_and_goes_on_in_a_browser() -> None:
    """The address for the browser holds the consent and nothing else."""
    begun = {"consentAppId": "c-1", "consentAppStatus": "GENERATED", "status": "success"}
    made, heard = asked(lambda _: said(200, begun), lambda host: host.ask_consent(CLIENT_ID, KEY))
    assert isinstance(made, Consent)
    assert made.url.endswith("/login/consentApp-login?consentAppId=c-1")
    assert heard[0].path == f"/app/generate-consent?client_id={CLIENT_ID}"
    assert heard[0].headers["app_id"] == "app-1"
    assert heard[0].headers["app_secret"] == KEY.app_secret


@pytest.mark.parametrize(
    "body",
    [{"status": "error", "message": "Unauthorized app-secret-1"}, {"status": "success"}],
)
def test_consent_can_be_refused(body: dict[str, str]) -> None:
    """A status of success without an id is none."""
    made, _ = asked(lambda _: said(200, body), lambda host: host.ask_consent(CLIENT_ID, KEY))
    assert isinstance(made, Denied | Unanswered)
    assert "app-secret-1" not in repr(made)


@pytest.mark.parametrize("verb", ["GET", "POST"])
def test_consent_ends_by_whichever_verb_the_broker_knows(verb: str) -> None:
    """The documents disagree; a verb that is not known is no use of the consent."""

    def answers(heard: Heard) -> bytes:
        return (
            said(200, GRANTED) if heard.method == verb else said(405, {"error": "no", "path": "x"})
        )

    made, heard = asked(answers, lambda host: host.use_consent("tok-1", KEY))
    assert isinstance(made, Granted)
    assert [one.method for one in heard] == ["GET", "POST"][: len(heard)]
    assert heard[-1].path == "/app/consumeApp-consent?tokenId=tok-1"


def test_a_consent_that_was_refused_is_not_tried_by_the_other_verb() -> None:
    """It can be used once."""
    made, heard = asked(
        lambda _: said(200, {"status": "error", "message": "expired"}),
        lambda host: host.use_consent("tok-1", KEY),
    )
    assert made == Denied(message="expired")
    assert len(heard) == 1
