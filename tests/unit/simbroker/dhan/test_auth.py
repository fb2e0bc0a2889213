"""Tokens over real sockets: by PIN and one-time password, by consent, and renewed."""

import json
from pathlib import Path
from typing import Any

import pyotp
import pytest

from holdfast.simbroker.dhan.tokens import Login
from tests.unit.simbroker.dhan.served import CLIENT, Served, in_server

LOGIN = Login()
APP = {"app_id": LOGIN.app_id, "app_secret": LOGIN.app_secret}
KEYS = [
    "dhanClientId",
    "dhanClientName",
    "dhanClientUcc",
    "givenPowerOfAttorney",
    "accessToken",
    "expiryTime",
]


def sample(shared_data: Path, name: str) -> Any:
    """A body that was recorded."""
    folder = shared_data.parent / "reference" / "dhan-samples"
    return json.loads((folder / f"{name}.json").read_text())


async def by_pin(served: Served, **given: str) -> tuple[int, Any]:
    """Ask for a token with the right code, unless another is given."""
    code = pyotp.TOTP(LOGIN.totp_secret).at(served.server.host.at_ns // 1_000_000_000)
    query = {"dhanClientId": CLIENT, "pin": LOGIN.pin, "totp": code, **given}
    return await served.ask("POST", "/app/generateAccessToken", host="auth", query=query)


def test_pin_and_code_make_a_token_that_kills_the_one_before() -> None:
    """A day from now, in India's time, without an offset."""

    async def test(served: Served) -> None:
        status, told = await by_pin(served)
        assert (status, list(told)) == (200, KEYS)
        assert told["expiryTime"] == "2026-11-21T09:15:01.000"
        assert 280 <= len(told["accessToken"]) <= 303
        assert (await served.ask("GET", "/profile"))[0] == 400
        served.token = told["accessToken"]
        assert (await served.ask("GET", "/profile"))[0] == 200

    in_server(test)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"totp": "000000"}, "auth_generate_token_invalid_totp"),
        ({"pin": "000000"}, "auth_generate_token_unauthorized"),
        ({"dhanClientId": "1"}, "auth_generate_token_unauthorized"),
    ],
)
def test_a_failure_comes_with_200(shared_data: Path, given: dict[str, str], name: str) -> None:
    """In the recorded words; the token that was active stays so."""

    async def test(served: Served) -> None:
        assert await by_pin(served, **given) == (200, sample(shared_data, name))
        assert (await served.ask("GET", "/profile"))[0] == 200

    in_server(test)


def test_two_tokens_lie_two_minutes_apart() -> None:
    """The second one is refused, and nothing is made."""

    async def test(served: Served) -> None:
        _, first = await by_pin(served)
        served.wait(119)
        _, told = await by_pin(served)
        assert told == {
            "message": "Token can be generated once every 2 minutes",
            "status": "error",
        }
        served.token = first["accessToken"]
        assert (await served.ask("GET", "/profile"))[0] == 200
        served.wait(2)
        assert "accessToken" in (await by_pin(served))[1]

    in_server(test)


def test_a_consent_is_good_for_one_token() -> None:
    """Key and secret, a page that sends the browser on, and the token behind it."""

    async def test(served: Served) -> None:
        path = f"/app/generate-consent?client_id={CLIENT}"
        _, told = await served.ask("POST", path, host="auth", headers=APP)
        assert list(told) == ["consentAppId", "consentAppStatus", "status"]
        page = f"/login/consentApp-login?consentAppId={told['consentAppId']}"
        status, _, headers = await served.raw("GET", page, host="auth")
        assert status == 302
        token_id = headers["Location"].partition("?tokenId=")[2]
        consume = f"/app/consumeApp-consent?tokenId={token_id}"
        assert "accessToken" not in (await served.ask("GET", consume, host="auth"))[1]
        _, made = await served.ask("GET", consume, host="auth", headers=APP)
        assert list(made) == KEYS
        _, again = await served.ask("POST", consume, host="auth", headers=APP)
        assert again == {"message": "Unauthorized Request", "status": "error"}

    in_server(test)


def test_consents_of_strangers_and_too_many_are_refused() -> None:
    """Twenty-five a day."""

    async def test(served: Served) -> None:
        path = f"/app/generate-consent?client_id={CLIENT}"
        unauthorized = {"message": "Unauthorized Request", "status": "error"}
        assert (await served.ask("POST", path, host="auth"))[1] == unauthorized
        page = "/login/consentApp-login?consentAppId=unknown"
        assert (await served.ask("GET", page, host="auth"))[1] == unauthorized
        for _ in range(25):
            told = (await served.ask("POST", path, host="auth", headers=APP))[1]
            assert told["status"] == "success"
        assert (await served.ask("POST", path, host="auth", headers=APP))[1]["status"] == "error"

    in_server(test)


def test_a_token_of_the_web_page_is_renewed() -> None:
    """By GET and the header in its own spelling; the one before is dead, a POST is refused."""

    async def test(served: Served) -> None:
        named = {"dhanClientId": CLIENT}
        assert (await served.ask("POST", "/RenewToken", headers=named))[0] == 400
        assert (await served.ask("GET", "/RenewToken"))[0] == 400
        served.wait(60)
        status, told = await served.ask("GET", "/RenewToken", headers=named)
        assert (status, list(told)) == (200, KEYS)
        assert told["expiryTime"] == "2026-11-21T09:16:01.000"
        assert (await served.ask("GET", "/profile"))[0] == 400
        served.token = told["accessToken"]
        assert (await served.ask("GET", "/profile"))[0] == 200

    in_server(test)


def test_a_token_of_a_program_is_not_renewed() -> None:
    """400 Invalid Token, and it lives on."""

    async def test(served: Served) -> None:
        served.token = (await by_pin(served))[1]["accessToken"]
        named = {"dhanClientId": CLIENT}
        status, told = await served.ask("GET", "/RenewToken", headers=named)
        assert (status, told["errorMessage"]) == (400, "Invalid Token")
        assert (await served.ask("GET", "/profile"))[0] == 200

    in_server(test)


@pytest.mark.proves("T29")
def test_somebody_elses_login_kills_the_token() -> None:
    """The control endpoint logs in at the web page."""

    async def test(served: Served) -> None:
        _, told = await served.ask("POST", "/token", host="control")
        assert (await served.ask("GET", "/orders"))[0] == 401
        served.token = told["token"]
        assert (await served.ask("GET", "/orders"))[0] == 200
        truth = await served.truth()
        assert [one["by"] for one in truth["tokens"]] == ["page", "somebody else"]

    in_server(test)
