"""Paper: an exchange of our own, built again after a kill from its requests and the tape."""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from holdfast.brokers.memory import FILE
from holdfast.brokers.paper import PaperAccount, PaperBroker
from holdfast.brokers.played import PlayedAccount
from holdfast.brokers.simulated import SimulatedVenue
from holdfast.domain.errors import DataRefused
from holdfast.domain.market import Tick
from holdfast.exchange.latency import Latency
from holdfast.exchange.venue import SimulatedExchange
from holdfast.ports import Profile, Token
from tests.support.chain import Shown
from tests.support.desk import CALL, FACTS, NIFTY, SECOND
from tests.support.shell import START, placement, tick

MASTER = (NIFTY, CALL)


def a_venue() -> SimulatedVenue:
    """An exchange that saw nothing yet."""
    exchange = SimulatedExchange(MASTER, FACTS, cash_paise=500_000_00, seed=1)
    return SimulatedVenue(exchange, Latency(seed=1), quotes_available=True)


def a_broker(
    folder: Path, shown: Iterable[Tick] = (), *, until_ns: int | None = None
) -> PaperBroker:
    """One that is open."""
    broker = PaperBroker(a_venue(), iter(shown), folder / FILE, until_ns=until_ns)
    asyncio.run(broker.open())
    return broker


def lived(broker: PaperBroker, ticks: Sequence[Tick]) -> None:
    """Ticks of a minute, with an order sent after the second of them."""
    for number, one in enumerate(ticks):
        broker.venue.on_tick(one)
        if number == 1:
            broker.venue.submit(placement(), one.at_ns + 1)
    broker.venue.pop_due(ticks[-1].at_ns)


TICKS = [tick(60 + second, 10_000) for second in range(10)]


@pytest.mark.parametrize("kept", [len(TICKS), 4, 2, 0])
def test_after_a_kill_it_is_the_exchange_that_it_was(tmp_path: Path, kept: int) -> None:
    """Also where the end of the tape was lost: what had been asked of it is not forgotten."""
    broker = a_broker(tmp_path)
    lived(broker, TICKS)
    broker.close()
    again = a_broker(tmp_path, TICKS[:kept], until_ns=TICKS[-1].at_ns)
    assert again.venue.exchange.find(placement().order_id) is not None
    if kept == len(TICKS):
        before, after = broker.venue.exchange, again.venue.exchange
        assert after.positions() == before.positions()
        assert after.cash_paise == before.cash_paise
        name = placement().order_id
        assert after.find(name) == before.find(name)
    assert again.venue.pop_due(TICKS[-1].at_ns) == [], "what was on its way to us is lost"
    again.close()


def test_it_goes_on_remembering_where_it_was_left(tmp_path: Path) -> None:
    """The second life's requests lie behind the first's; opening twice changes nothing."""
    broker = a_broker(tmp_path)
    lived(broker, TICKS)
    broker.close()
    lines = (tmp_path / FILE).read_bytes()
    again = a_broker(tmp_path, TICKS, until_ns=TICKS[-1].at_ns)
    asyncio.run(again.open())
    assert (tmp_path / FILE).read_bytes() == lines
    again.close()


def test_a_damaged_memory_is_refused(tmp_path: Path) -> None:
    """Nobody may trade on against an exchange that is not the one it was."""
    (tmp_path / FILE).write_bytes(b"{}\n")
    with pytest.raises(DataRefused):
        a_broker(tmp_path, until_ns=START + SECOND)


def test_the_account_is_the_brokers_and_its_login_opens_the_exchange(tmp_path: Path) -> None:
    """Session, profile and contracts are those of the real account."""
    broker = PaperBroker(a_venue(), iter(()), tmp_path / FILE, until_ns=None)
    real = PlayedAccount("1000000001", Shown(()), MASTER, valid_until_ns=7)

    async def story() -> None:
        account = PaperAccount(real, broker)
        assert await account.login() == Token(valid_until_ns=7)
        assert (tmp_path / FILE).exists()
        assert await account.profile() == Profile(client_id="1000000001")
        assert await account.instruments() == MASTER

    asyncio.run(story())
    broker.close()
