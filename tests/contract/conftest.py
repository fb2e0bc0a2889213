"""Two brokers behind the same ports: every test of this folder is played on both."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.venues import (
    BEGINS,
    CASH,
    SEED,
    SPEED,
    Market,
    Stage,
    market,
    played_stage,
    wired_stage,
)
from tests.support.wired import Broker, serving

Scenario = Callable[[Stage], Coroutine[Any, Any, None]]
Perform = Callable[[Scenario], None]

IDS_EACH = 20


@pytest.fixture(scope="session")
def day() -> Market:
    """The market of all of them."""
    return market()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One server for all tests of a module."""
    words = ["--start-ist", BEGINS, "--speed", str(SPEED), "--seed", str(SEED)]
    with serving(tmp_path_factory.mktemp("server"), *words, "--cash", str(CASH)) as served:
        yield served


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    """Where the order ids of each test at one server begin."""
    return itertools.count(0, IDS_EACH)


@pytest.fixture(params=["played", "wired"])
def perform(request: pytest.FixtureRequest, tmp_path: Path) -> Perform:
    """Plays a scenario on a broker, and leaves a flat account behind."""
    if request.param == "played":
        day: Market = request.getfixturevalue("day")

        def opened() -> Any:
            return played_stage(day, tmp_path)
    else:
        broker: Broker = request.getfixturevalue("broker")
        first_id: int = next(request.getfixturevalue("numbers"))

        def opened() -> Any:
            return wired_stage(broker, tmp_path, first_id)

    async def play(scenario: Scenario) -> None:
        async with opened() as stage:
            try:
                await scenario(stage)
            finally:
                await stage.clear()

    return lambda scenario: asyncio.run(play(scenario))
