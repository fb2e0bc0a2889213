"""Questions that change nothing: a value, or why there is none."""

import asyncio
from pathlib import Path

import pytest

from holdfast.brokers.dhan.fields import Unreadable
from holdfast.brokers.dhan.reads import NoAnswer, ask
from holdfast.brokers.dhan.rest import Answer, Rest
from holdfast.domain.order import Refusal
from holdfast.runtime.clock import ScaledClock
from tests.support.dhan_account import NOW_NS, sample
from tests.support.dhan_wire import Cut, Said, Whose, WireServer, said


def read(said_back: Said) -> object:
    """What a question comes to."""

    def parse(answer: Answer) -> object:
        if answer.payload is None:
            raise Unreadable("it is empty")
        return answer.payload

    async def main() -> object:
        async with WireServer(lambda _: said_back) as server:
            rest = Rest(server.base, Whose(), ScaledClock(NOW_NS, 5))
            try:
                return await ask(rest, "GET", "/x", parse=parse)
            finally:
                await rest.close()

    return asyncio.run(main())


def test_a_good_answer_is_its_value() -> None:
    """Also an empty array: empty is not failed."""
    assert read(said(200, [])) == []


@pytest.mark.parametrize(
    ("name", "status", "refusal"),
    [
        ("charts_error_400_invalid_token.json", 400, Refusal.TOKEN),
        ("error_401_dh901.json", 401, Refusal.TOKEN),
        ("marketfeed_ltp_error_401_808.json", 401, Refusal.TOKEN),
        ("charts_error_429_dh904.json", 429, Refusal.RATE),
        ("expirylist_error_400_813.json", 400, Refusal.OTHER),
        ("charts_error_500_rs9005.json", 500, Refusal.OTHER),
        ("charts_error_400_rs9005_no_data.json", 400, Refusal.OTHER),
        ("charts_error_400_dh905_no_data.json", 400, Refusal.OTHER),
        ("charts_error_400_span_90_days.json", 400, Refusal.OTHER),
        ("error_404_unknown_path.json", 404, Refusal.OTHER),
        ("ip_getip_error_200.json", 200, Refusal.OTHER),
        ("auth_generate_token_unauthorized.json", 200, Refusal.OTHER),
    ],
)
def test_every_complaint_of_the_wire_is_no_answer(
    shared_data: Path, name: str, status: int, refusal: Refusal
) -> None:
    """With the broker's words and their class, whatever its status was."""
    found = read(said(status, body=sample(shared_data, name)))
    assert isinstance(found, NoAnswer)
    assert found.refusal is refusal
    assert found.is_token_dead is (refusal is Refusal.TOKEN)
    assert found.reason


@pytest.mark.parametrize(
    "said_back",
    [Cut(), said(200), said(200, body=b"<html></html>"), said(200, body=b'{"a":'), said(302)],
)
def test_what_cannot_be_read_is_no_answer(said_back: Said) -> None:
    """And no refusal."""
    found = read(said_back)
    assert isinstance(found, NoAnswer)
    assert found.refusal is None


def test_a_status_alone_is_a_complaint() -> None:
    """Without any word."""
    found = read(said(503))
    assert isinstance(found, NoAnswer)
    assert "503" in found.reason
