"""Tokens of an account: used while they are alive, replaced within bounds, never fought over."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest

from holdfast.brokers.dhan.authhost import Denied, Granted, Unanswered
from holdfast.brokers.dhan.login import Got, NoToken, one_time
from holdfast.brokers.dhan.loginrecord import RECORD_FILE, LoginRecord
from holdfast.brokers.dhan.token import TOKEN_FILE, StoredToken, TokenFile, token_of
from holdfast.domain.errors import DataRefused
from holdfast.facts.ist import SECOND_NS
from tests.support.dhan_account import (
    ENV,
    HOUR_NS,
    NOW_NS,
    PIN,
    TOTP_SECRET,
    Broker,
    Desk,
    HandClock,
    jwt,
)
from tests.support.dhan_wire import CLIENT_ID, Cut, said

Value = TypeVar("Value")
CLOSE_NS = NOW_NS + 7 * HOUR_NS


def run(
    folder: Path,
    act: Callable[[Desk], Awaitable[Value]],
    *,
    broker: Broker | None = None,
    clock: HandClock | None = None,
    env: Mapping[str, str] = ENV,
) -> Value:
    """One process of the account: what `act` makes of it."""

    async def main() -> Value:
        timing = clock or HandClock()
        async with Desk(broker or Broker(timing), timing, folder, env=env) as desk:
            return await act(desk)

    return asyncio.run(main())


async def opened(desk: Desk, *, may_replace: bool = False) -> Got:
    """A start in the session, or before it."""
    return await desk.side.login.open(until_ns=CLOSE_NS, may_replace=may_replace)


def kept(folder: Path, secret: str) -> StoredToken:
    """A token that was written down by an earlier process."""
    token = token_of(CLIENT_ID, secret, minted_ns=NOW_NS - HOUR_NS)
    TokenFile(folder, CLIENT_ID).save(token)
    return token


def test_a_start_without_a_token_mints_one(tmp_path: Path) -> None:
    """With the one-time password of the moment; it is written down and in use."""
    clock = HandClock()
    broker = Broker(clock)

    async def act(desk: Desk) -> str:
        got = await opened(desk)
        assert isinstance(got, StoredToken)
        assert desk.holder.secret == broker.alive == got.secret
        assert TokenFile(tmp_path, CLIENT_ID).load() == got
        return desk.server.heard[0].path

    path = run(tmp_path, act, broker=broker, clock=clock)
    totp = one_time(TOTP_SECRET, NOW_NS)
    assert path == f"/app/generateAccessToken?dhanClientId={CLIENT_ID}&pin={PIN}&totp={totp}"


@pytest.mark.proves("T20")
def test_a_restart_never_mints_while_the_stored_one_is_alive(tmp_path: Path) -> None:
    """Not even when it ends before the session does: positions may be open (T20)."""
    clock = HandClock()
    broker = Broker(clock)
    broker.life_ns = HOUR_NS
    stored = kept(tmp_path, broker.make())
    for _ in range(5):
        clock.pass_s(300)
        assert run(tmp_path, opened, broker=broker, clock=clock) == stored
    assert broker.minted == 0


@pytest.mark.proves("I-93")
def test_before_the_session_one_that_ends_in_it_is_replaced(tmp_path: Path) -> None:
    """So that it outlives the close; one that does is left alone."""
    clock = HandClock()
    broker = Broker(clock)
    kept(tmp_path, jwt(until_ns=CLOSE_NS - HOUR_NS))
    got = run(tmp_path, lambda desk: opened(desk, may_replace=True), broker=broker, clock=clock)
    assert isinstance(got, StoredToken)
    assert got.valid_until_ns >= CLOSE_NS
    again = run(tmp_path, lambda desk: opened(desk, may_replace=True), broker=broker, clock=clock)
    assert again == got
    assert broker.minted == 1


def test_one_from_the_brokers_page_is_renewed(tmp_path: Path) -> None:
    """By its own kind of request, which costs no password."""
    clock = HandClock()
    broker = Broker(clock)
    broker.kind, broker.life_ns = "SELF", HOUR_NS
    kept(tmp_path, broker.make())
    broker.life_ns = 24 * HOUR_NS
    got = run(tmp_path, lambda desk: opened(desk, may_replace=True), broker=broker, clock=clock)
    assert isinstance(got, StoredToken)
    assert got.secret == broker.alive
    assert broker.asked == ["/v2/RenewToken"]


def test_when_no_longer_one_is_to_be_had_the_old_one_is_used(tmp_path: Path) -> None:
    """It is alive: readiness tells that it ends too early."""
    clock = HandClock()
    broker = Broker(clock)
    broker.says = said(200, {"message": "Invalid TOTP", "status": "error"})
    stored = kept(tmp_path, jwt(until_ns=CLOSE_NS - HOUR_NS))
    got = run(tmp_path, lambda desk: opened(desk, may_replace=True), broker=broker, clock=clock)
    assert got == stored


@pytest.mark.proves("I-95")
def test_refused_passwords_are_asked_three_times_and_two_minutes_apart(tmp_path: Path) -> None:
    """Whatever restarts: a wrong one-time password must not lock the account out."""
    clock = HandClock()
    broker = Broker(clock)
    broker.says = said(200, {"message": "Invalid TOTP", "status": "error"})
    asked: list[int] = []
    for _ in range(60):
        before = broker.minted
        assert isinstance(run(tmp_path, opened, broker=broker, clock=clock), NoToken)
        asked += [clock.now_ns()] * (broker.minted - before)
        clock.pass_s(30)
    assert broker.minted == 3
    assert [(b - a) // SECOND_NS for a, b in pairwise(asked)] == [120, 120]
    got = run(tmp_path, opened, broker=broker, clock=clock)
    assert isinstance(got, NoToken)
    assert got.again_ns is None
    assert "3 times" in got.reason


@pytest.mark.proves("I-95")
def test_too_soon_is_no_wrong_password(tmp_path: Path) -> None:
    """The broker counts minutes: it is asked again, two minutes later, as long as it says so."""
    clock = HandClock()
    broker = Broker(clock)
    text = "Token can be generated once every 2 minutes"
    broker.says = said(200, {"message": text, "status": "error"})
    for _ in range(5):
        assert isinstance(run(tmp_path, opened, broker=broker, clock=clock), NoToken)
        clock.pass_s(120)
    broker.says = None
    assert isinstance(run(tmp_path, opened, broker=broker, clock=clock), StoredToken)


def test_an_answer_that_was_lost_is_counted_as_a_token(tmp_path: Path) -> None:
    """One may have been made: the next is asked for two minutes later."""
    clock = HandClock()
    broker = Broker(clock)
    broker.says = Cut(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{")
    got = run(tmp_path, opened, broker=broker, clock=clock)
    assert isinstance(got, NoToken)
    assert got.again_ns is not None
    broker.says = None
    assert isinstance(run(tmp_path, opened, broker=broker, clock=clock), NoToken)
    clock.pass_s(121)
    assert isinstance(run(tmp_path, opened, broker=broker, clock=clock), StoredToken)
    assert broker.minted == 2


def test_a_given_token_is_used_and_never_replaced_by_password(tmp_path: Path) -> None:
    """From the environment, with nothing else known."""
    secret = jwt(until_ns=NOW_NS + 20 * HOUR_NS)
    env = {"DHAN_ACCESS_TOKEN": secret}
    got = run(tmp_path, opened, env=env)
    assert isinstance(got, StoredToken)
    assert got.secret == secret
    gone = {"DHAN_ACCESS_TOKEN": jwt(until_ns=NOW_NS)}
    refused = run(tmp_path, opened, env=gone)
    assert isinstance(refused, NoToken)
    assert "holdfast login" in refused.reason


def test_the_youngest_of_the_given_and_the_written_one_is_used(tmp_path: Path) -> None:
    """Only it can be alive: each kills the one before."""
    young, old = jwt(until_ns=NOW_NS + 23 * HOUR_NS), jwt(until_ns=NOW_NS + 9 * HOUR_NS)
    for given, written in ((young, old), (old, young), ("opaque-token", young)):
        TokenFile(tmp_path, CLIENT_ID).save(token_of(CLIENT_ID, written, minted_ns=NOW_NS))
        got = run(tmp_path, opened, env={"DHAN_ACCESS_TOKEN": given})
        assert isinstance(got, StoredToken)
        assert got.secret == young


@pytest.mark.parametrize(
    "given", [jwt(until_ns=NOW_NS + HOUR_NS, client_id="2000000002"), "two words", "tök"]
)
def test_a_given_text_that_cannot_be_the_accounts_is_refused(tmp_path: Path, given: str) -> None:
    """Without showing it."""
    with pytest.raises(DataRefused) as refused:
        run(tmp_path, opened, env={"DHAN_ACCESS_TOKEN": given})
    assert given not in str(refused.value)


@pytest.mark.proves("T20")
def test_another_process_uses_the_first_ones_token_and_never_mints(tmp_path: Path) -> None:
    """It waits for the first one to have one (T20)."""
    clock = HandClock()
    broker = Broker(clock)

    async def second(desk: Desk) -> Got:
        desk.side.login.may_mint = False
        return await opened(desk)

    waits = run(tmp_path, second, broker=broker, clock=clock)
    assert isinstance(waits, NoToken)
    assert waits.again_ns is not None
    first = run(tmp_path, opened, broker=broker, clock=clock)
    assert run(tmp_path, second, broker=broker, clock=clock) == first
    assert broker.minted == 1


@pytest.mark.proves("T20")
def test_a_dead_token_is_replaced_once_and_then_it_is_a_war(tmp_path: Path) -> None:
    """The second death in ten minutes that is not ours: nothing is minted any more, but a token
    that somebody wrote down is used (T20).
    """
    clock = HandClock()
    broker = Broker(clock)

    async def act(desk: Desk) -> None:
        login = desk.side.login
        first = await opened(desk)
        assert isinstance(first, StoredToken)
        clock.pass_s(200)
        broker.make()  # the owner, on the broker's page
        second = await login.revive(first)
        assert isinstance(second, StoredToken)
        assert broker.minted == 2
        clock.pass_s(200)
        theirs = broker.make()
        for _ in range(3):
            got = await login.revive(second)
            assert isinstance(got, NoToken)
            assert got.again_ns is None
            clock.pass_s(600)
        assert broker.minted == 2
        login.adopt(theirs)
        assert desk.holder.secret == theirs

    run(tmp_path, act, broker=broker, clock=clock)


def test_a_death_by_age_is_no_act_of_war(tmp_path: Path) -> None:
    """Tokens end after a day; ours are replaced each time."""
    clock = HandClock()
    broker = Broker(clock)
    broker.life_ns = 150 * SECOND_NS

    async def act(desk: Desk) -> None:
        token = await opened(desk)
        for _ in range(4):
            clock.pass_s(150)
            assert isinstance(token, StoredToken)
            token = await desk.side.login.revive(token)
        assert isinstance(token, StoredToken)

    run(tmp_path, act, broker=broker, clock=clock)
    assert broker.minted == 5


def test_a_restart_knows_which_tokens_died(tmp_path: Path) -> None:
    """It does not begin with one of them, and minting stays within its bounds."""
    clock = HandClock()
    broker = Broker(clock)
    first = run(tmp_path, opened, broker=broker, clock=clock)
    assert isinstance(first, StoredToken)

    async def dies(desk: Desk) -> Got:
        desk.holder.put(first)
        return await desk.side.login.revive(first)

    clock.pass_s(60)
    assert isinstance(run(tmp_path, dies, broker=broker, clock=clock), NoToken)
    clock.pass_s(30)
    assert isinstance(run(tmp_path, opened, broker=broker, clock=clock), NoToken)
    clock.pass_s(31)
    assert isinstance(run(tmp_path, opened, broker=broker, clock=clock), StoredToken)


def test_a_dead_one_in_the_file_is_doubted_while_no_other_is_alive(tmp_path: Path) -> None:
    """Until its own end, and until it was replaced."""
    clock = HandClock()
    broker = Broker(clock)

    async def act(desk: Desk) -> None:
        login = desk.side.login
        token = await opened(desk)
        assert isinstance(token, StoredToken)
        assert login.doubted() is None
        login.record.died(token, clock.at_ns)
        assert login.doubted() == token
        login.lives(token)
        assert login.doubted() is None
        assert not login.record.is_dead(token)
        login.record.died(token, clock.at_ns)
        clock.pass_s(25 * 3_600)
        assert login.doubted() is None

    run(tmp_path, act, broker=broker, clock=clock)


def test_a_person_gives_a_token(tmp_path: Path) -> None:
    """It is checked, written down and used; what had ended the minting is forgiven."""
    clock = HandClock()

    async def act(desk: Desk) -> None:
        login = desk.side.login
        for _ in range(3):
            login.record.refused()
        with pytest.raises(DataRefused, match="ended"):
            login.adopt(jwt(until_ns=NOW_NS))
        given = jwt(until_ns=NOW_NS + HOUR_NS)
        assert login.adopt(f" {given}\n").secret == given
        assert desk.holder.secret == given
        assert login.newest() is None
        assert login.record.mint_held(NOW_NS) is None

    run(tmp_path, act, clock=clock)


def test_what_a_request_came_to_is_taken(tmp_path: Path) -> None:
    """A token is kept, a refusal and a silence are reasons."""

    async def act(desk: Desk) -> None:
        login = desk.side.login
        assert isinstance(login.take(Denied(message="expired")), NoToken)
        lost = login.take(Unanswered(reason="reset"))
        assert isinstance(lost, NoToken)
        assert lost.again_ns is not None
        given = jwt(until_ns=NOW_NS + 9 * HOUR_NS)
        made = login.take(Granted(secret=given, valid_until_ns=NOW_NS + HOUR_NS))
        assert isinstance(made, StoredToken)
        assert made.valid_until_ns == NOW_NS + HOUR_NS
        assert desk.holder.secret == given

    run(tmp_path, act)


def test_a_disk_that_takes_nothing_does_not_cost_the_session(tmp_path: Path) -> None:
    """The token is used and the bounds are kept in memory; they are written down when they can be."""
    clock = HandClock()
    broker = Broker(clock)
    # In the place of the files that are written before they get their names.
    blocks = [tmp_path / f".{name}.{os.getpid()}" for name in (TOKEN_FILE, RECORD_FILE)]
    for block in blocks:
        block.mkdir()

    async def act(desk: Desk) -> None:
        login = desk.side.login
        desk.holder.put(token_of(CLIENT_ID, "dead", minted_ns=NOW_NS - HOUR_NS))
        assert isinstance(await login.make(), StoredToken)
        assert desk.holder.secret == broker.alive
        assert isinstance(await login.make(), NoToken)
        clock.pass_s(120)
        for block in blocks:
            block.rmdir()
        assert isinstance(await login.make(), StoredToken)
        assert TokenFile(tmp_path, CLIENT_ID).load() == desk.holder.token
        assert LoginRecord(tmp_path).read() == login.record.read()

    run(tmp_path, act, broker=broker, clock=clock, env=ENV)


def test_a_one_time_password_is_that_of_the_moment() -> None:
    """RFC 6238's own example, and spaces as pages print them."""
    secret = "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ"  # noqa: S105 the RFC's
    assert one_time(secret, 59 * SECOND_NS) == "287082"
    assert len(one_time(TOTP_SECRET, NOW_NS)) == 6  # of 80 bits, as many pages give them
    with pytest.raises(DataRefused, match="base32") as refused:
        one_time("not base32!", NOW_NS)
    assert "not base32!" not in str(refused.value)
