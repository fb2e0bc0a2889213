"""DhanHQ put together: what is chosen of its list, who hears what it says, what is given back."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from structlog.testing import capture_logs

from holdfast.app.config import Config, DhanSettings
from holdfast.app.dhan import Announced, Heard, KnownAccount, Wire, tell_missing, traded, urls_of
from holdfast.brokers.dhan.charts import History
from holdfast.brokers.dhan.settings import REAL, Urls, is_loopback
from holdfast.brokers.played import PlayedAccount
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import (
    AccountChecked,
    AnyEvent,
    ClockChanged,
    FundsRead,
    TokenChanged,
)
from holdfast.domain.instrument import Instrument, instrument_id
from holdfast.ports import Profile, Token
from tests.support.chain import Shown, living
from tests.support.desk import CALL, DAY, NIFTY, OPEN, PUT, SECOND
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
    assert is_loopback(urls_of(here)) is here.is_here is True
    assert is_loopback(REAL) is Config().dhan.is_here is False


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
    heard.tell(dead)
    assert told == [refused, dead]
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
