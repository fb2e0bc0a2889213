"""DhanHQ put together: what is chosen of its list, who hears what it says, what is given back."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from holdfast.app.chain import Market
from holdfast.app.config import Config, DhanSettings, Mode
from holdfast.app.dhan import (
    Announced,
    DhanDay,
    Heard,
    KnownAccount,
    Morning,
    Wire,
    live_market,
    paper_market,
    tell_missing,
    traded,
    urls_of,
)
from holdfast.brokers.dhan.charts import History
from holdfast.brokers.dhan.settings import REAL, Urls
from holdfast.brokers.dhan.token import TokenHolder, token_of
from holdfast.brokers.paper import PaperBroker
from holdfast.brokers.played import PlayedAccount
from holdfast.brokers.simulated import SimulatedVenue
from holdfast.domain.command import (
    AnyCommand,
    BrokerKillSwitch,
    CancelOrder,
    ExitAll,
    ModifyOrder,
    SetLossExit,
)
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import (
    AccountChecked,
    AnyEvent,
    ClockChanged,
    FundsRead,
    TokenChanged,
)
from holdfast.domain.instrument import Instrument, instrument_id
from holdfast.domain.order import BrokerOrderId
from holdfast.exchange.latency import Latency
from holdfast.exchange.venue import SimulatedExchange
from holdfast.ports import Profile, Token, VenueDriver
from holdfast.runtime.clock import ScaledClock
from tests.support.chain import Shown, living
from tests.support.desk import CALL, DAY, FACTS, NIFTY, OPEN, PUT, SECOND, SESSION
from tests.support.dhan_wire import CLIENT_ID, SECRET, WireServer, said
from tests.support.shell import placement
from tests.support.virtual import virtually


def test_the_addresses_are_the_adapters_own() -> None:
    """Written down twice, because the configuration knows no broker: they must not part."""
    assert urls_of(DhanSettings()) == REAL
    here = DhanSettings(
        rest_url="http://127.0.0.1:1/v2",
        auth_url="http://127.0.0.1:2",
        feed_url="ws://127.0.0.1:3",
        updates_url="ws://127.0.0.1:4",
        instruments_url="http://127.0.0.1:5",
    )
    assert urls_of(here) == Urls(
        rest="http://127.0.0.1:1/v2",
        auth="http://127.0.0.1:2",
        feed="ws://127.0.0.1:3",
        updates="ws://127.0.0.1:4",
        instruments="http://127.0.0.1:5",
    )


# -- the list


def another(one: Instrument, number: int, **changed: str) -> Instrument:
    """The same contract under another number, with something else about it."""
    identity = instrument_id(one.segment, number)
    return msgspec.structs.replace(one, id=identity, security_id=number, **changed)


def test_what_expires_next_is_traded_and_the_index_comes_first() -> None:
    """Not what has expired, not what expires later, not another underlying."""
    other = another(NIFTY, 25, underlying="BANKNIFTY")
    past, next_week = another(CALL, 1, expiry="2026-11-17"), another(CALL, 2, expiry="2026-12-01")
    assert traded([past, CALL, next_week, PUT, other, NIFTY], ["NIFTY"], DAY) == (NIFTY, CALL, PUT)


@pytest.mark.parametrize("lacks", [NIFTY, CALL])
def test_a_list_without_what_is_traded_is_refused(lacks: Instrument) -> None:
    """Before anything begins, by the name of what it lacks."""
    with pytest.raises(DataRefused, match="lacks NIFTY or its options"):
        traded([one for one in (NIFTY, CALL) if one != lacks], ["NIFTY"], DAY)


@pytest.mark.parametrize(
    ("missing_ns", "told"),
    [
        ((), []),
        (
            (OPEN, OPEN + 60 * SECOND),
            [{"minutes": 2, "first": "09:15", "last": "09:16", "are_late": True}],
        ),
    ],
)
def test_minutes_that_the_charts_do_not_have_yet_are_named(
    missing_ns: tuple[int, ...], told: list[dict[str, object]]
) -> None:
    """A first start in the session has such a hole; nobody takes it for a quiet market."""
    found = History(candles=(), left_out={}, missing_ns=missing_ns, may_come=bool(missing_ns))
    with capture_logs() as logs:
        tell_missing("NIFTY", found)
    names = ("minutes", "first", "last", "are_late")
    assert [{name: one[name] for name in names} for one in logs] == told


# -- who hears what


def test_a_start_is_told_the_newest_of_each() -> None:
    """With its own stamp, in one order; clocks agree until an answer's stamp says otherwise."""
    heard = Heard()
    assert list(heard.access(5)) == [ClockChanged(at_ns=5, skew_ms=0)]
    for event in (
        ClockChanged(at_ns=1, skew_ms=700),
        TokenChanged(at_ns=1, is_valid=True, valid_until_ns=7),
        TokenChanged(at_ns=2, is_valid=True, valid_until_ns=8),
        AccountChecked(at_ns=2, orders_allowed=False, reason="Invalid IP"),
        FundsRead(at_ns=3, available_paise=1),
    ):
        heard.tell(event)
    assert list(heard.access(9)) == [
        TokenChanged(at_ns=9, is_valid=True, valid_until_ns=8),
        AccountChecked(at_ns=9, orders_allowed=False, reason="Invalid IP"),
        ClockChanged(at_ns=9, skew_ms=700),
    ]


@pytest.mark.proves("T20")
def test_one_answer_kills_no_token() -> None:
    """It is a suspicion, which the profile confirms or not; everything else is told as it is."""
    heard, told, suspected = Heard(), list[AnyEvent](), list[int]()
    heard.listen(told.append)
    heard.suspect = lambda: suspected.append(1)
    dead = TokenChanged(at_ns=1, is_valid=False, reason="Invalid Token")
    refused = AccountChecked(at_ns=1, orders_allowed=False, reason="Invalid IP")
    heard.answer(dead)
    heard.answer(refused)
    assert (told, suspected) == ([refused], [1])
    taken: list[int] = []
    heard.taken = lambda: taken.append(1)
    heard.tell(dead)
    assert (told, taken) == ([refused, dead], [])
    heard.tell(TokenChanged(at_ns=2, is_valid=True, valid_until_ns=9))
    assert told.pop() == TokenChanged(at_ns=2, is_valid=True, valid_until_ns=9)
    assert taken == [1]
    heard.listen(None)
    heard.tell(dead)
    assert len(told) == 2


# -- what stands behind the ports


class Line:
    """A connection that fails as often as it is told."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.closed = 0

    async def connect(self) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("not yet")

    async def ping(self) -> None:
        raise ConnectionError("gone")

    async def close(self) -> None:
        self.closed += 1


@pytest.mark.proves("T27")
def test_the_address_is_checked_each_time_that_the_stream_is_made_anew() -> None:
    """Only when it was made; pings and closing pass through."""
    made: list[int] = []
    line = Line(1)
    announced = Announced(line, lambda: made.append(1))

    async def story() -> None:
        with pytest.raises(ConnectionError, match="not yet"):
            await announced.connect()
        assert made == []
        await announced.connect()
        assert made == [1]
        with pytest.raises(ConnectionError, match="gone"):
            await announced.ping()
        await announced.close()

    asyncio.run(story())
    assert line.closed == 1


def test_the_list_is_read_once_a_start() -> None:
    """The account itself is asked for everything else."""
    real = PlayedAccount("1000000001", Shown(()), (NIFTY,), valid_until_ns=7)
    account = KnownAccount(real, (NIFTY, CALL))

    async def story() -> None:
        assert await account.login() == Token(valid_until_ns=7)
        assert await account.profile() == Profile(client_id="1000000001")
        assert await account.instruments() == (NIFTY, CALL)

    virtually(story())


def test_everything_is_given_back_after_nobody_listens_any_more() -> None:
    """In the order given: what a request that was given up came to, the next start's book tells."""
    heard, told, closed = Heard(), list[AnyEvent](), list[str]()
    heard.listen(told.append)

    def closing(name: str) -> Callable[[], object]:
        async def close() -> None:
            heard.tell(FundsRead(at_ns=1, available_paise=1))
            closed.append(name)

        return close

    async def story() -> None:
        async with living(Wire([closing("venue"), closing("rest")], heard)) as said:
            assert said == [(True, "")]
            heard.tell(FundsRead(at_ns=1, available_paise=1))

    virtually(story())
    assert (closed, len(told)) == (["venue", "rest"], 1)


# -- paper and live

PLACED = placement()
NUMBER = BrokerOrderId("512609150001")
WRITES: tuple[AnyCommand, ...] = (
    PLACED,
    ModifyOrder(order_id=PLACED.order_id, broker_id=NUMBER, terms=PLACED.terms),
    CancelOrder(order_id=PLACED.order_id, broker_id=NUMBER),
    ExitAll(),
    BrokerKillSwitch(),
    SetLossExit(loss_paise=500_000),
)
"""Everything that changes something at a broker."""


def day_at(server: WireServer, mode: Mode, folder: Path) -> tuple[DhanDay, Morning]:
    """A day whose every address is the server's, and what is known of it in the morning."""
    web, socket_url = server.base, server.base.replace("http", "ws")
    here = DhanSettings(
        rest_url=web,
        auth_url=web,
        feed_url=socket_url,
        updates_url=socket_url,
        instruments_url=web,
    )
    account = msgspec.structs.replace(Config().account, client_id=CLIENT_ID)
    clock = ScaledClock(OPEN + 60 * SECOND, 1)
    holder = TokenHolder(CLIENT_ID)
    holder.put(token_of(CLIENT_ID, SECRET, minted_ns=OPEN))
    day = DhanDay(
        config=Config(mode=mode, account=account, dhan=here),
        facts=FACTS,
        session=SESSION,
        clock=clock,
        folder=folder,
        env={},
        freeze={"NIFTY": 1_800},
        past=(),
    )
    known = Morning(
        holder=holder,
        heard=Heard(),
        instruments=(NIFTY, CALL, PUT),
        candles=(),
        order_sources=(),
    )
    return day, known


def market_of(mode: Mode, day: DhanDay, known: Morning) -> Market:
    """As a start makes it."""
    told = SimpleNamespace(tell=lambda _event: None, call_person=print, touched=frozenset())
    lived: Any = told
    if mode.is_live:
        return live_market(day, known, lived)
    exchange = SimulatedExchange(known.instruments, FACTS, cash_paise=500_000_00, seed=1)
    venue = SimulatedVenue(exchange, Latency(seed=1), quotes_available=True)
    broker = PaperBroker(venue, iter(()), day.folder / "memory", until_ns=None)
    return paper_market(day, known, broker, lived)


def written_to_the_broker(mode: Mode, folder: Path) -> list[str]:
    """The requests that reach the broker when everything is asked that changes something."""
    server = WireServer(lambda _heard: said(200, {"orderId": NUMBER, "orderStatus": "TRANSIT"}))

    async def story() -> None:
        async with server:
            day, known = day_at(server, mode, folder)
            market = market_of(mode, day, known)
            venue: VenueDriver = market.venue
            await market.orders.connect()
            server.heard.clear()
            for command in WRITES:
                venue.submit(command, day.clock.now_ns())
            await (market.settle or nothing_to_settle)()
            assert venue.pop_due(OPEN + 600 * SECOND) or mode.is_live
            await market.orders.close()
            for service in market.core:
                async with living(service):
                    pass

    asyncio.run(story())
    return [f"{heard.method} {heard.path}" for heard in server.heard]


async def nothing_to_settle() -> None:
    """What is asked of an exchange of ours is answered by its own time."""


@pytest.mark.proves("GWP-1")
def test_paper_takes_every_order_and_sends_none(tmp_path: Path) -> None:
    """The same port, the same commands: live sends each of them, and of paper nothing is heard."""
    live = written_to_the_broker(Mode.LIVE, tmp_path)
    assert len(live) >= len(WRITES)
    assert {"POST /orders", f"PUT /orders/{NUMBER}", f"DELETE /orders/{NUMBER}"} <= set(live)
    assert written_to_the_broker(Mode.PAPER, tmp_path) == []
