"""Work beside the day: ready at once, ended with the day, and what fails of it is its own affair."""

import asyncio

import pytest

from holdfast.runtime.beside import Beside
from holdfast.runtime.service import Group
from tests.support.chain import living
from tests.support.virtual import virtually


def test_it_is_ready_at_once_and_works_until_it_is_cancelled() -> None:
    """A side service with a heartbeat; nothing of the core may need it."""
    worked: list[float] = []

    async def work() -> None:
        while True:
            worked.append(asyncio.get_running_loop().time())
            await asyncio.sleep(7)

    async def story() -> None:
        service = Beside("token", work, needs=("login",))
        assert (service.name, service.needs, service.group) == ("token", ("login",), Group.SIDE)
        assert not service.critical
        async with living(service) as said:
            assert said == [(True, "")]
            assert service.health().is_healthy
            await asyncio.sleep(20)
            assert service.heartbeat_s is not None
            assert service.heartbeat_s >= 19

    virtually(story())
    assert [round(at_s) for at_s in worked] == [0, 7, 14]


def test_what_fails_ends_its_life() -> None:
    """The supervisor begins another one, of this service alone."""

    async def work() -> None:
        await asyncio.sleep(1)
        raise OSError("gone")

    async def story() -> None:
        async with living(Beside("address", work)):
            await asyncio.sleep(2)

    with pytest.raises(OSError, match="gone"):
        virtually(story())
