"""Login, master and book: whose account it is, and that differences are told, not traded around."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
import structlog
from typing_extensions import override

from holdfast.brokers.played import PlayedAccount
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import AnyEvent, ProjectionDiffers
from holdfast.ports import Profile
from holdfast.runtime.application import Application, Parts
from holdfast.runtime.book import RECONCILE_S, Book, InstrumentMaster, Login
from holdfast.runtime.clock import VirtualClock
from holdfast.runtime.shutdown import Saved
from holdfast.runtime.threads import Threads
from tests.support.chain import CLIENT, MASTER, Shown, living
from tests.support.desk import CLOSE, NIFTY, SECOND
from tests.support.services import Toy
from tests.support.shell import START
from tests.support.virtual import virtually


def account(*, valid_until_ns: int = 2 * CLOSE, client_id: str = CLIENT) -> PlayedAccount:
    """An account that answers."""
    return PlayedAccount(client_id, Shown(()), MASTER, valid_until_ns=valid_until_ns)


# -- login


@pytest.mark.parametrize(
    ("valid_until_ns", "now_ns", "reason"),
    [
        (CLOSE + 1, START, ""),
        (CLOSE, START, "the token ends before the session does"),
        (CLOSE + SECOND, CLOSE + SECOND, "the token ends before the session does"),
    ],
)
def test_a_login_is_good_while_its_token_outlives_the_close(
    valid_until_ns: int, now_ns: int, reason: str
) -> None:
    """And the present moment: a token that ran out is no login, whatever the hour."""

    async def story() -> None:
        clock = VirtualClock(now_ns)
        login = Login(account(valid_until_ns=valid_until_ns), clock, close_ns=CLOSE)
        assert login.health().reason == "not logged in"
        async with living(login) as said:
            assert said == [(True, "")]
            assert (login.health().is_healthy, login.health().reason) == (not reason, reason)

    virtually(story())


# -- instruments


@pytest.mark.parametrize(
    ("underlyings", "reason"),
    [
        (["NIFTY"], ""),
        (["NIFTY", "BANKEX", "SENSEX"], "today's master lacks BANKEX, SENSEX"),
    ],
)
def test_a_master_is_good_when_it_holds_every_underlying(
    underlyings: list[str], reason: str
) -> None:
    """What is missing is named, all of it."""

    async def story() -> None:
        master = InstrumentMaster(account(), underlyings=underlyings)
        assert master.health().reason == "not loaded"
        async with living(master):
            assert (master.health().is_healthy, master.health().reason) == (not reason, reason)

    virtually(story())


# -- the book


def book(
    compare: Callable[[], Awaitable[Sequence[str]]],
    told: list[AnyEvent],
    *,
    client_id: str = CLIENT,
) -> Book:
    """The service over an account that is `CLIENT`'s."""
    return Book(account(), client_id, compare=compare, tell=told.append, clock=VirtualClock(START))


@pytest.mark.proves("REC-1", "REC-3")
def test_books_are_compared_at_once_and_every_half_minute() -> None:
    """By the one task StateReconciliation; what agrees is not told."""
    looks: list[float] = []

    async def agree() -> Sequence[str]:
        looks.append(round(asyncio.get_running_loop().time(), 1))
        return ()

    async def story() -> None:
        told: list[AnyEvent] = []
        one = book(agree, told)
        healthy = [one.health().is_healthy]
        async with living(one) as said:
            assert said == [(True, "")]
            assert [task.get_name() for task in one.tasks] == ["StateReconciliation"]
            healthy.append(one.health().is_healthy)
            await asyncio.sleep(65)
        assert healthy == [False, True]
        assert (one.compared, told) == (3, [])

    virtually(story())
    assert looks == [0.0, 30.0, 60.0]
    assert RECONCILE_S == 30.0


@pytest.mark.proves("REC-1", "TRK-3", "ACT-4")
def test_every_difference_is_told_and_the_comparing_goes_on() -> None:
    """As one event with all of them, each time, until they agree."""
    answers: list[Sequence[str]] = [("one", "two"), ("one",), ()]

    async def compare() -> Sequence[str]:
        return answers.pop(0)

    told: list[AnyEvent] = []

    async def story() -> None:
        async with living(book(compare, told)):
            await asyncio.sleep(65)

    with structlog.testing.capture_logs() as logs:
        virtually(story())
    differences = [event.differences for event in told if isinstance(event, ProjectionDiffers)]
    assert differences == [("one", "two"), ("one",)]
    assert [line["what"] for line in logs] == [("one", "two"), ("one",)]
    assert {line["component"] for line in logs} == {"StateReconciliation"}


@pytest.mark.proves("I-09")
def test_a_comparison_that_fails_is_told_and_tried_again_and_says_nothing() -> None:
    """Failed is not different and not equal: no event, and the next turn looks again."""
    looks: list[int] = []

    async def fails() -> Sequence[str]:
        looks.append(1)
        if len(looks) < 3:
            raise OSError("database is locked")
        return ()

    told: list[AnyEvent] = []

    async def story() -> None:
        async with living(book(fails, told)):
            await asyncio.sleep(1)

    with structlog.testing.capture_logs() as logs:
        virtually(story())
    assert (len(looks), told) == (3, [])
    assert [line["error"] for line in logs] == ["OSError", "OSError"]


class Nothing:
    """A final state of a program that keeps none."""

    async def save(self) -> Saved:
        return Saved()

    async def verify(self, saved: Saved) -> None:
        assert saved == Saved()

    async def tidy(self, within_s: float) -> None:
        assert within_s > 0

    async def db_connections(self) -> int:
        return 0


def test_another_account_than_the_one_configured_ends_the_program_with_3() -> None:
    """Before any order could leave; both are named."""
    told: list[AnyEvent] = []

    async def nothing() -> Sequence[str]:
        raise AssertionError("nothing is compared with a stranger's book")

    async def play() -> tuple[int, BaseException | None]:
        stranger = book(nothing, told, client_id="1000000002")
        parts = Parts(
            services=[Toy("store"), Toy("login", needs=["store"]), stranger],
            final=Nothing(),
            clock=VirtualClock(START),
            record=lambda _change: None,
            threads=Threads(),
        )
        application = Application(lambda: parts)
        report = await application.serve()
        assert application.failed is not None
        return report.exit_code, application.failed.cause

    with structlog.testing.capture_logs():
        code, cause = virtually(play())
    assert code == 3
    assert isinstance(cause, DataRefused)
    assert str(cause).startswith("account 1000000002: the broker's session is that of 1000000001")
    assert told == []


def test_a_profile_that_is_not_answered_is_no_book() -> None:
    """Silence is not a yes: not ready, not healthy, and nothing is compared."""

    class Mute(PlayedAccount):
        @override
        async def profile(self) -> Profile:
            raise TimeoutError("nobody answers")

    async def nothing() -> Sequence[str]:
        raise AssertionError("nothing is known")

    async def story() -> None:
        mute = Mute(CLIENT, Shown(()), (NIFTY,), valid_until_ns=CLOSE)
        one = Book(mute, CLIENT, compare=nothing, tell=lambda _e: None, clock=VirtualClock(START))
        async with living(one) as said:
            assert (said, one.health().reason) == ([], "the profile was not answered")

    with pytest.raises(TimeoutError, match="nobody answers"):
        virtually(story())
