"""What is asked before a program runs: a signal ends it in order, whatever it waits for."""

import asyncio
import signal
from collections.abc import Iterator

import pytest

from holdfast.runtime.attended import attended
from holdfast.runtime.signals import Signals


@pytest.fixture
def signals() -> Iterator[Signals]:
    """The handlers of a program, given back after the test."""
    made = Signals()
    made.install()
    yield made
    made.restore()


async def seven() -> int:
    await asyncio.sleep(0)
    return 7


def test_what_comes_of_it_is_returned_and_what_it_raises_raised(signals: Signals) -> None:
    """With the signals of a program, and without any."""

    async def fails() -> int:
        raise ConnectionError("nobody answers")

    assert attended(seven, None) == attended(seven, signals) == 7
    with pytest.raises(ConnectionError, match="nobody answers"):
        attended(fails, signals)


def test_a_signal_ends_it_at_once(signals: Signals) -> None:
    """However long it would have waited; what it holds is given back."""
    ended: list[str] = []

    async def waits() -> int:
        try:
            asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGTERM)
            await asyncio.sleep(1_000)
            return 1
        finally:
            ended.append("given back")

    assert attended(waits, signals) is None
    assert (ended, signals.number) == (["given back"], signal.SIGTERM)


def test_after_a_signal_nothing_is_begun(signals: Signals) -> None:
    """One that came before there was anything to end."""
    signal.raise_signal(signal.SIGINT)
    begun: list[int] = []

    async def begins() -> int:
        begun.append(1)
        return 1

    assert attended(begins, signals) is None
    assert begun == []
