"""The token while the session runs: a death is verified, told, and mended within bounds."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from holdfast.brokers.dhan.token import StoredToken, TokenFile, token_of
from holdfast.brokers.dhan.tokenwatch import Asking
from holdfast.domain.event import FundsRead, TokenChanged
from holdfast.facts.ist import SECOND_NS
from tests.support.dhan_account import DEAD, HOUR_NS, NOW_NS, Broker, Desk, HandClock
from tests.support.dhan_wire import CLIENT_ID, Cut, said


@asynccontextmanager
async def watched(desk: Desk) -> AsyncIterator[None]:
    """Its loop at work."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(desk.side.watch.run())
        try:
            yield
        finally:
            task.cancel()


def session(folder: Path, act: Callable[[Desk], Awaitable[None]]) -> None:
    """A session that was opened in time; `act` is what happens in it."""

    async def main() -> None:
        clock = HandClock()
        async with Desk(Broker(clock), clock, folder) as desk:
            await desk.side.account.login()
            desk.told.clear()
            clock.pass_s(1_200)
            async with watched(desk):
                await act(desk)

    asyncio.run(main())


def changes(desk: Desk) -> list[bool]:
    """What was told about the token."""
    return [event.is_valid for event in desk.told if isinstance(event, TokenChanged)]


@pytest.mark.proves("I-93")
def test_a_death_is_told_and_mended(tmp_path: Path) -> None:
    """Killed by somebody else's login: entries learn it at once, and of the next one too."""

    async def act(desk: Desk) -> None:
        desk.broker.make()
        desk.side.watch.suspect()
        await desk.until(lambda: changes(desk) == [False, True])
        assert desk.holder.secret == desk.broker.alive
        assert desk.broker.minted == 2
        last = desk.told[-1]
        assert isinstance(last, TokenChanged)
        assert desk.holder.token is not None
        assert last.valid_until_ns == desk.holder.token.valid_until_ns

    session(tmp_path, act)


def test_a_suspicion_alone_is_no_death(tmp_path: Path) -> None:
    """A connection that was reset, while the profile answers: nothing is told, nothing is minted."""

    async def act(desk: Desk) -> None:
        desk.side.watch.hear(FundsRead(at_ns=NOW_NS, available_paise=0))
        asked = len(desk.broker.asked)
        desk.side.watch.hear(TokenChanged(at_ns=NOW_NS, is_valid=False, reason="Invalid Token"))
        await desk.until(lambda: len(desk.broker.asked) > asked)
        await asyncio.sleep(0.05)
        assert desk.told == []
        assert desk.broker.minted == 1

    session(tmp_path, act)


def test_a_profile_that_nobody_answers_is_asked_again(tmp_path: Path) -> None:
    """Silence is never proof: neither of life nor of death."""

    async def act(desk: Desk) -> None:
        desk.broker.profile = Cut()
        asked = len(desk.broker.asked)
        desk.side.watch.suspect()
        await desk.until(lambda: len(desk.broker.asked) > asked + 2)
        assert desk.told == []
        desk.broker.profile = None
        desk.broker.make()
        await desk.until(lambda: changes(desk) == [False, True])

    session(tmp_path, act)


@pytest.mark.proves("T20")
def test_the_second_death_calls_the_person_and_mints_no_more(tmp_path: Path) -> None:
    """And what the person, or another process, writes down is taken within seconds (T20)."""

    async def act(desk: Desk) -> None:
        watch = desk.side.watch
        desk.broker.make()
        watch.suspect()
        await desk.until(lambda: changes(desk) == [False, True])
        desk.clock.pass_s(200)
        theirs = desk.broker.make()
        watch.suspect()
        await desk.until(lambda: bool(desk.called))
        desk.clock.pass_s(900)
        await asyncio.sleep(0.1)
        assert changes(desk) == [False, True, False]
        assert desk.broker.minted == 2
        assert len(desk.called) == 1
        assert "somebody else" in desk.called[0]
        TokenFile(tmp_path, CLIENT_ID).save(token_of(CLIENT_ID, theirs, minted_ns=desk.clock.at_ns))
        await desk.until(lambda: changes(desk) == [False, True, False, True])
        assert desk.holder.secret == theirs
        assert desk.broker.minted == 2

    session(tmp_path, act)


@pytest.mark.proves("T20", "I-93")
def test_a_token_that_is_taken_again_is_the_sessions_again(tmp_path: Path) -> None:
    """A broker that refused everybody for a while has killed nobody's: none is made, the person has
    nothing to do, and its next death is a first one (T20).
    """

    async def act(desk: Desk) -> None:
        watch = desk.side.watch
        desk.broker.make()
        watch.suspect()
        await desk.until(lambda: changes(desk) == [False, True])
        ours = desk.holder.secret
        desk.clock.pass_s(200)
        desk.broker.profile = said(400, DEAD)
        watch.suspect()
        await desk.until(lambda: bool(desk.called))
        desk.clock.pass_s(6)
        await asyncio.sleep(0.05)
        assert changes(desk) == [False, True, False]
        desk.broker.profile = None
        desk.clock.pass_s(11)
        await desk.until(lambda: changes(desk) == [False, True, False, True])
        assert (desk.holder.secret, desk.broker.minted) == (ours, 2)
        desk.broker.make()
        desk.clock.pass_s(400)
        watch.suspect()
        await desk.until(lambda: changes(desk) == [False, True, False, True, False, True])
        assert desk.broker.minted == 3

    session(tmp_path, act)


def test_it_is_asked_for_once_more_before_another_is_made(tmp_path: Path) -> None:
    """When the broker's two minutes are over: a new one would kill the one that lives again."""

    async def act(desk: Desk) -> None:
        desk.side.login.record.begin_mint(desk.clock.at_ns)
        desk.broker.profile = said(400, DEAD)
        desk.side.watch.suspect()
        await desk.until(lambda: changes(desk) == [False])
        desk.broker.profile = None
        desk.clock.pass_s(121)
        await desk.until(lambda: changes(desk) == [False, True])
        assert desk.broker.minted == 1

    session(tmp_path, act)


def test_the_asking_grows_rare() -> None:
    """After 5 s, 10, 20, 40, and once a minute then; and whenever another is about to be made."""
    asking = Asking(0)
    asked = [at_s for at_s in range(300) if asking.is_due(at_s * SECOND_NS, None)]
    assert asked == [5, 15, 35, 75, 135, 195, 255]
    assert asking.is_due(256 * SECOND_NS, 256 * SECOND_NS)
    assert not asking.is_due(257 * SECOND_NS, 258 * SECOND_NS)


def test_a_token_that_was_written_down_is_used_before_ours_dies(tmp_path: Path) -> None:
    """A person logged in again with `holdfast login`: his token has killed ours."""

    async def act(desk: Desk) -> None:
        desk.clock.pass_s(5)
        theirs = desk.broker.make()
        TokenFile(tmp_path, CLIENT_ID).save(token_of(CLIENT_ID, theirs, minted_ns=desk.clock.at_ns))
        await desk.until(lambda: changes(desk) == [True])
        assert desk.holder.secret == theirs
        assert desk.broker.minted == 1

    session(tmp_path, act)


def test_a_token_that_reaches_its_end_is_replaced(tmp_path: Path) -> None:
    """Nobody needs to be refused first."""

    async def act(desk: Desk) -> None:
        desk.clock.pass_s(24 * 3_600)
        await desk.until(lambda: changes(desk) == [False, True])

    session(tmp_path, act)


def test_the_broker_is_asked_again_when_its_two_minutes_are_over(tmp_path: Path) -> None:
    """A token that dies young waits for its successor; nobody is called for that."""

    async def act(desk: Desk) -> None:
        desk.side.login.record.begin_mint(desk.clock.at_ns)
        desk.broker.make()
        desk.side.watch.suspect()
        await desk.until(lambda: changes(desk) == [False])
        await asyncio.sleep(0.05)
        assert desk.broker.minted == 1
        desk.clock.pass_s(121)
        await desk.until(lambda: changes(desk) == [False, True])
        assert desk.called == []

    session(tmp_path, act)


def test_a_file_that_others_may_read_calls_the_person(tmp_path: Path) -> None:
    """Once; the token in memory goes on."""

    async def act(desk: Desk) -> None:
        desk.side.login.file.path.chmod(0o644)
        await desk.until(lambda: bool(desk.called))
        await asyncio.sleep(0.05)
        assert len(desk.called) == 1
        assert changes(desk) == []
        desk.side.login.file.path.chmod(0o600)

    session(tmp_path, act)


def test_an_older_token_in_the_file_is_not_taken(tmp_path: Path) -> None:
    """It is dead since ours was made."""

    async def act(desk: Desk) -> None:
        held = desk.holder.token
        assert isinstance(held, StoredToken)
        older = token_of(CLIENT_ID, "older", minted_ns=NOW_NS - HOUR_NS)
        TokenFile(tmp_path, CLIENT_ID).save(older)
        await asyncio.sleep(0.1)
        assert desk.holder.token is held

    session(tmp_path, act)
