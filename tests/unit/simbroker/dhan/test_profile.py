"""Profile and static addresses over real sockets."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.simbroker.dhan.served import CLIENT, Served, in_server


def sample(shared_data: Path, name: str) -> Any:
    """A body that was recorded."""
    folder = shared_data.parent / "reference" / "dhan-samples"
    return json.loads((folder / f"{name}.json").read_text())


def test_the_profile_is_that_of_production(shared_data: Path) -> None:
    """Letters with a comma behind, the token's end in India's time, day first."""

    async def test(served: Served) -> None:
        _, told = await served.ask("GET", "/profile")
        recorded = sample(shared_data, "profile_live")
        assert list(told) == list(recorded)
        same = {name: value for name, value in recorded.items() if "alidity" not in name}
        assert {name: told[name] for name in same} == same
        assert told["tokenValidity"] == "21/11/2026 09:14"
        assert told["dataValidity"].endswith(":01.0")

    in_server(test)


@pytest.mark.proves("T29")
def test_orders_come_from_the_address_that_was_set() -> None:
    """It is told by getIP; another one is locked for a week, and with it orders are refused."""

    async def test(served: Served) -> None:
        _, told = await served.ask("GET", "/ip/getIP")
        assert (told["primaryIP"], told["ipMatchStatus"]) == ("127.0.0.1", "PRIMARY_MATCH")
        assert told["ordersAllowed"] is True
        body = {"dhanClientId": CLIENT, "ip": "192.0.2.10", "ipFlag": "PRIMARY"}
        assert (await served.ask("POST", "/ip/setIP", body))[0] == 400
        status, saved = await served.ask("PUT", "/ip/modifyIP", body)
        assert (status, saved["status"]) == (200, "SUCCESS")
        assert (await served.ask("PUT", "/ip/modifyIP", body))[0] == 400
        _, told = await served.ask("GET", "/ip/getIP")
        assert (told["ordersAllowed"], told["ipMatchStatus"]) == (False, "NO_MATCH")
        assert told["modifyDatePrimary"] == "2026-11-27"
        status, refused = await served.place()
        assert (status, refused["errorMessage"]) == (400, "Invalid IP")
        assert (await served.ask("GET", "/orders"))[0] == 200
        second = {**body, "ip": "127.0.0.1", "ipFlag": "SECONDARY"}
        assert (await served.ask("POST", "/ip/setIP", second))[0] == 200
        assert (await served.place())[0] == 200

    in_server(test)


@pytest.mark.parametrize(
    "fields", [{"ip": "nowhere"}, {"ipFlag": "THIRD"}, {"dhanClientId": "1"}], ids=str
)
def test_what_is_no_address_is_refused(fields: dict[str, str]) -> None:
    """400, and nothing is set."""

    async def test(served: Served) -> None:
        body = {"dhanClientId": CLIENT, "ip": "192.0.2.1", "ipFlag": "SECONDARY", **fields}
        assert (await served.ask("POST", "/ip/setIP", body))[0] == 400
        assert (await served.ask("GET", "/ip/getIP"))[1]["secondaryIP"] == ""

    in_server(test)


def test_without_any_address_the_answer_is_an_error_at_200(shared_data: Path) -> None:
    """In an array, as one account got it; orders are refused."""

    async def test(served: Served) -> None:
        recorded = 200, sample(shared_data, "ip_getip_error_200")
        assert await served.ask("GET", "/ip/getIP") == recorded
        assert (await served.place())[1]["errorMessage"] == "Invalid IP"

    in_server(test, static_ip="")
