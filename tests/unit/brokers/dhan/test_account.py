"""The account behind its port: a session that the broker takes, or why there is none."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
import structlog
from typing_extensions import override

from holdfast.brokers.dhan.fields import ist_stamp
from holdfast.brokers.dhan.token import TokenFile, token_of
from holdfast.domain.errors import BrokerUnavailable, DataRefused
from holdfast.domain.event import TokenChanged
from holdfast.domain.instrument import Segment, instrument_id
from holdfast.ports import Account, Profile, Token
from tests.support.dhan_account import (
    DEAD,
    ENV,
    HOUR_NS,
    NOW_NS,
    OPENS_NS,
    PIN,
    PROFILE,
    TOTP_SECRET,
    Broker,
    Desk,
    HandClock,
    jwt,
)
from tests.support.dhan_wire import CLIENT_ID, Cut, Heard, Said, said
from tests.unit.brokers.dhan.test_instruments import LIST

Value = TypeVar("Value")


def run(
    folder: Path,
    act: Callable[[Desk], Awaitable[Value]],
    *,
    broker: Broker | None = None,
    clock: HandClock | None = None,
    env: Mapping[str, str] = ENV,
) -> Value:
    """One process of the account."""

    async def main() -> Value:
        timing = clock or HandClock()
        async with Desk(broker or Broker(timing), timing, folder, env=env) as desk:
            return await act(desk)

    return asyncio.run(main())


def written(folder: Path, secret: str) -> None:
    """A token of an earlier process."""
    TokenFile(folder, CLIENT_ID).save(token_of(CLIENT_ID, secret, minted_ns=NOW_NS - HOUR_NS))


def test_a_session_is_opened_and_told(tmp_path: Path) -> None:
    """Until the earlier end of the token's own and the profile's."""
    clock = HandClock()
    broker = Broker(clock)
    early = {**PROFILE, "tokenValidity": "20/11/2026 16:00"}
    broker.profile = said(200, early)

    async def act(desk: Desk) -> tuple[Token, Profile]:
        account: Account = desk.side.account
        token = await account.login()
        assert desk.told == [
            TokenChanged(at_ns=NOW_NS, is_valid=True, valid_until_ns=token.valid_until_ns)
        ]
        return token, await account.profile()

    token, profile = run(tmp_path, act, broker=broker, clock=clock)
    assert token.valid_until_ns == ist_stamp("2026-11-20 16:00", "%Y-%m-%d %H:%M", "it")
    assert profile == Profile(client_id=CLIENT_ID)


@pytest.mark.proves("I-93")
def test_a_stored_token_that_the_broker_calls_dead_is_replaced_at_the_start(tmp_path: Path) -> None:
    """Somebody else logged in over night."""
    clock = HandClock()
    broker = Broker(clock)
    written(tmp_path, broker.make())
    broker.make()

    async def act(desk: Desk) -> None:
        await desk.side.account.login()
        assert desk.holder.secret == broker.alive
        assert broker.asked == ["/v2/profile", "/app/generateAccessToken", "/v2/profile"]

    run(tmp_path, act, broker=broker, clock=clock)


@pytest.mark.proves("T20")
def test_restarts_in_the_session_never_mint(tmp_path: Path) -> None:
    """Twenty of them, with a token that ends before the close."""
    clock = HandClock(OPENS_NS + HOUR_NS)
    broker = Broker(clock)
    broker.life_ns = 2 * HOUR_NS
    written(tmp_path, broker.make())

    async def act(desk: Desk) -> None:
        await desk.side.account.login()

    for _ in range(20):
        clock.pass_s(60)
        run(tmp_path, act, broker=broker, clock=clock)
    assert set(broker.asked) == {"/v2/profile"}


@pytest.mark.proves("T20", "I-93")
def test_a_start_asks_whether_a_dead_token_is_taken_again_before_it_makes_one(
    tmp_path: Path,
) -> None:
    """The broker refused everybody for a while, and we were killed in that while."""
    clock = HandClock(OPENS_NS + HOUR_NS)
    broker = Broker(clock)
    written(tmp_path, broker.make())

    async def act(desk: Desk) -> None:
        token = desk.side.login.file.load()
        assert token is not None
        desk.side.login.record.died(token, clock.at_ns)
        await desk.side.account.login()
        assert desk.holder.secret == broker.alive

    run(tmp_path, act, broker=broker, clock=clock)
    assert set(broker.asked) == {"/v2/profile"}


@pytest.mark.parametrize(("positions", "minted"), [(0, 1), (1, 0)])
def test_before_the_session_a_short_one_is_replaced_unless_something_is_held(
    tmp_path: Path,
    positions: int,
    minted: int,
) -> None:
    """Holding over night, the token that is alive is used as long as it lasts."""
    clock = HandClock()
    broker = Broker(clock)
    broker.life_ns = 2 * HOUR_NS
    written(tmp_path, broker.make())
    broker.life_ns = 24 * HOUR_NS

    async def act(desk: Desk) -> None:
        desk.side.account.is_flat = lambda: not positions
        await desk.side.account.login()

    run(tmp_path, act, broker=broker, clock=clock)
    assert broker.minted == minted


def test_nobody_answers(tmp_path: Path) -> None:
    """No session is opened, and no token is thought dead or made."""
    clock = HandClock()
    broker = Broker(clock)
    written(tmp_path, broker.make())
    broker.profile = Cut()

    async def act(desk: Desk) -> None:
        with pytest.raises(BrokerUnavailable, match="the profile was not answered"):
            await desk.side.account.login()
        with pytest.raises(OSError, match="not answered"):
            await desk.side.account.profile()

    run(tmp_path, act, broker=broker, clock=clock)
    assert broker.minted == 0


def test_no_way_to_log_in_is_said(tmp_path: Path) -> None:
    """With what to do."""

    async def act(desk: Desk) -> None:
        with pytest.raises(BrokerUnavailable, match="DHAN_PIN"):
            await desk.side.account.login()

    run(tmp_path, act, env={})


def test_a_broker_that_takes_none_of_its_own_tokens_is_given_up(tmp_path: Path) -> None:
    """Without minting on and on."""
    clock = HandClock()
    broker = Broker(clock)
    broker.profile = said(400, DEAD)

    async def act(desk: Desk) -> None:
        for _ in range(10):
            with pytest.raises(BrokerUnavailable):
                await desk.side.account.login()
            clock.pass_s(130)

    run(tmp_path, act, broker=broker, clock=clock)
    assert broker.minted <= 2


@pytest.mark.parametrize(
    ("changed", "word"),
    [({"activeSegment": "E, C, "}, "derivatives"), ({"dataPlan": "Deactive"}, "data plan")],
)
def test_an_account_that_cannot_trade_options_is_refused(
    tmp_path: Path, changed: dict[str, str], word: str
) -> None:
    """At the start, in words."""
    clock = HandClock()
    broker = Broker(clock)
    broker.profile = said(200, {**PROFILE, **changed})

    async def act(desk: Desk) -> None:
        with pytest.raises(DataRefused, match=word):
            await desk.side.account.login()

    run(tmp_path, act, broker=broker, clock=clock)


def test_todays_contracts_and_what_is_held(tmp_path: Path) -> None:
    """From the list of the day in the account's folder."""

    class Lists(Broker):
        @override
        def __call__(self, heard: Heard) -> Said:
            if heard.path.endswith(".csv"):
                return said(200, body=LIST)
            return super().__call__(heard)

    clock = HandClock()

    async def act(desk: Desk) -> list[str]:
        desk.side.account.held = lambda: {instrument_id(Segment.NSE_EQ, 13)}
        return [one.id for one in await desk.side.account.instruments()]

    found = run(tmp_path, act, broker=Lists(clock), clock=clock)
    assert found == ["IDX_I:13", "NSE_EQ:13", "NSE_FNO:40001", "NSE_FNO:40002"]


def test_no_secret_appears_anywhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Logins, deaths, refusals and silences: nothing that is written, raised, told or shown holds a
    token, the PIN, the TOTP secret, a one-time password or the app's secret.
    """
    clock = HandClock()
    broker = Broker(clock)
    app_secret = "app-s3cr3t-2208"  # noqa: S105 a test's
    env = {**ENV, "DHAN_APP_ID": "app-1", "DHAN_APP_SECRET": app_secret}
    secrets = [PIN, TOTP_SECRET, app_secret]
    seen: list[str] = []

    async def act(desk: Desk) -> None:
        login, account = desk.side.login, desk.side.account
        structlog.get_logger("t").info("all", desk=desk.side, login=login, holder=desk.holder)
        for says in (None, said(200, {"message": f"bad {PIN} {TOTP_SECRET}", "status": "error"})):
            broker.says = says
            for profile in (None, said(400, DEAD), Cut(), said(200, body=b"<html>")):
                broker.profile = profile
                try:
                    await account.login()
                except (BrokerUnavailable, DataRefused) as error:
                    seen.append(f"{error} {error!r} {error.__cause__!r} {error.__context__!r}")
                seen.append(f"{desk.holder!r} {desk.side!r} {login.record.read()!r}")
                clock.pass_s(700)
        secrets.extend(
            heard.path.rpartition("totp=")[2]
            for heard in desk.server.heard
            if "totp=" in heard.path
        )
        structlog.get_logger("t").error("token", token=desk.holder.token, told=desk.told)
        logging.getLogger("t").error("%r %s", desk.holder.token, desk.holder)
        seen.append(str(msgspec.to_builtins(desk.told)))

    with caplog.at_level(logging.DEBUG):
        run(tmp_path, act, broker=broker, clock=clock, env=env)
    secrets += [jwt_part for made in range(1, broker.made + 1) for jwt_part in parts(clock, made)]
    out = " ".join([*capfd.readouterr(), caplog.text, *seen])
    assert broker.made > 1
    assert len(seen) > 8
    assert [secret for secret in secrets if secret in out] == []


def parts(clock: HandClock, made: int) -> list[str]:
    """What a token of the broker can be known by: its claims' tail, and its signature."""
    token = jwt(until_ns=clock.at_ns, salt=f"salt-{made}")
    return [token.split(".")[2], token.split(".")[1][-20:]]
