"""Free cash at the broker."""

import asyncio
from pathlib import Path

import pytest

from holdfast.brokers.dhan.fields import Unreadable
from holdfast.brokers.dhan.funds import funds_of, read_funds
from holdfast.brokers.dhan.rest import Rest
from holdfast.runtime.clock import ScaledClock
from tests.support.dhan_account import NOW_NS, answer, recorded, sample
from tests.support.dhan_wire import Whose, WireServer, said


def test_the_samples_are_read(shared_data: Path) -> None:
    """In paise, under the broker's spelling."""
    assert funds_of(answer(sample(shared_data, "fundlimit.json"))) == 115_64
    assert funds_of(answer(sample(shared_data, "fundlimit_sandbox.json"))) == 1_000_000_00
    bodies = [one.body for one in recorded(shared_data) if one.uri.endswith("/fundlimit")]
    assert bodies
    assert {funds_of(answer(body)) for body in bodies} == {115_64, 1_000_000_00}


def test_a_mended_spelling_is_read_too() -> None:
    """The day it is mended must not be the day on which nothing is traded."""
    assert funds_of(answer('{"availableBalance": -12.5}')) == -12_50


@pytest.mark.parametrize(
    "body", ["{}", "[]", "", '{"availabelBalance": null}', '{"availabelBalance": "x"}']
)
def test_what_does_not_say_is_unreadable(body: str) -> None:
    """No balance is not a balance of nothing."""
    with pytest.raises(Unreadable):
        funds_of(answer(body))


def test_it_is_asked_for() -> None:
    """Over the wire."""

    async def main() -> object:
        async with WireServer(lambda _: said(200, {"availabelBalance": 10})) as server:
            rest = Rest(server.base, Whose(), ScaledClock(NOW_NS, 5))
            try:
                found = await read_funds(rest)
                assert server.heard[0].path == "/fundlimit"
                return found
            finally:
                await rest.close()

    assert asyncio.run(main()) == 10_00
