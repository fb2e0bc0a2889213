"""`holdfast login` and `holdfast instruments`: a person at the broker's door."""

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from typing_extensions import override

from holdfast.app.cli.ending import ExitCode
from holdfast.app.cli.root import root
from holdfast.app.logins import By, token_id_of
from holdfast.brokers.dhan.token import StoredToken, TokenFile, token_of
from holdfast.domain.errors import (
    BrokerUnavailable,
    DataRefused,
    HoldfastError,
    InstanceRunning,
)
from holdfast.runtime.lock import InstanceLock
from tests.support.dhan_account import ENV, NOW_NS, PIN, Broker, HandClock
from tests.support.dhan_wire import CLIENT_ID, Heard, Said, WireServer, said
from tests.unit.brokers.dhan.test_instruments import LIST

APP = {"DHAN_APP_ID": "app-1", "DHAN_APP_SECRET": "app-secret-1"}


class Door(Broker):
    """A broker that gives its list as well."""

    @override
    def __call__(self, heard: Heard) -> Said:
        """Answer as it does."""
        if heard.path.endswith(".csv"):
            self.asked.append(heard.path)
            return said(200, body=LIST)
        return super().__call__(heard)


@contextmanager
def served(broker: Broker) -> Iterator[str]:
    """The broker in a thread of its own: the verbs have an event loop of theirs. Yields its address."""
    ready, over = threading.Event(), threading.Event()
    base: list[str] = []

    async def serve() -> None:
        async with WireServer(broker) as server:
            base.append(server.base)
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="broker")
    thread.start()
    assert ready.wait(10)
    try:
        yield base[0]
    finally:
        over.set()
        thread.join()


class Home:
    """A home whose configuration names a broker of the test, and the hour of its day."""

    def __init__(self, folder: Path, base: str, *, mode: str = "paper") -> None:
        self.folder = folder
        self.account = folder / "data" / CLIENT_ID
        ws = base.replace("http", "ws")
        folder.joinpath("holdfast.toml").write_text(
            f'mode = "{mode}"\n[account]\nclient_id = "{CLIENT_ID}"\n'
            f'[dhan]\nrest_url = "{base}/v2"\nauth_url = "{base}"\nfeed_url = "{ws}"\n'
            f'updates_url = "{ws}"\ninstruments_url = "{base}"\n'
            + ('[clock]\nstart = "2026-11-20 08:45:00"\n' if mode == "paper" else "")
        )

    def type(self, *words: str, env: dict[str, str] | None = None, given: str = "") -> Result:
        """What the command line does. Refusals are raised, as the program's end tells them."""
        known = {name: None for name in os.environ if name.startswith("DHAN_")}
        result = CliRunner(env={**known, **(env or {})}).invoke(
            root, ["--home", str(self.folder), *words], input=given
        )
        if isinstance(result.exception, HoldfastError):
            raise result.exception
        return result

    @property
    def token(self) -> StoredToken:
        """What was written down."""
        found = TokenFile(self.account, CLIENT_ID).load()
        assert found is not None
        return found

    def keep(self, secret: str) -> None:
        """Write a token down."""
        token = token_of(CLIENT_ID, secret, minted_ns=NOW_NS)
        TokenFile(self.account, CLIENT_ID).save(token)


def test_a_session_is_opened_by_password_and_then_left_as_it_is(tmp_path: Path) -> None:
    """The second time nothing is made: it says how long the session lasts."""
    broker = Door(HandClock())
    with served(broker) as base:
        home = Home(tmp_path, base)
        told = home.type("login", env=ENV)
        assert told.exit_code == 0, told.output
        assert (
            told.stdout == f"session of {CLIENT_ID} (password), until 2026-11-21 08:45 in India\n"
        )
        again = home.type("login", "--json", env=ENV)
    assert home.token.secret == broker.alive
    assert broker.minted == 1
    found = json.loads(again.stdout)
    assert (found["client_id"], found["how"], found["fault"]) == (CLIENT_ID, "stored", "")


def test_a_token_is_given_from_a_pipe(tmp_path: Path) -> None:
    """It is never an argument, and written down only once the broker has taken it."""
    broker = Door(HandClock())
    with served(broker) as base:
        home = Home(tmp_path, base)
        dead = broker.make()
        given = broker.make()
        with pytest.raises(BrokerUnavailable, match="does not take this token"):
            home.type("login", "--by", "token", given=dead + "\n")
        assert not home.account.joinpath("token.json").exists()
        told = home.type("login", given=given + "\n")
    assert told.exit_code == 0
    assert home.token.secret == given
    assert given not in told.output
    assert "web.dhan.co" in told.stderr


@pytest.mark.parametrize(
    "form", ["https://example.org/back?x=1&tokenId=tok-1", "tok-1", " tok-1\n"]
)
def test_the_consent_flow_ends_with_what_the_browser_was_sent_back_with(
    tmp_path: Path, form: str
) -> None:
    """The whole address, or the id alone."""
    broker = Door(HandClock())
    with served(broker) as base:
        home = Home(tmp_path, base)
        told = home.type("login", env=APP, given=form.strip() + "\n")
        assert f"{base}/login/consentApp-login?consentAppId=c-1" in told.stderr
    assert told.exit_code == 0
    assert home.token.secret == broker.alive
    assert "app-secret-1" not in told.output
    assert token_id_of(form) == "tok-1"


def test_nonsense_is_no_token_id() -> None:
    """An address without one, another thing, nothing."""
    for given in ("https://example.org/back?x=1", "two words", "", "tokenId="):
        with pytest.raises(DataRefused):
            token_id_of(given)


@pytest.mark.proves("T20")
def test_a_token_that_a_run_uses_is_left_alone(tmp_path: Path) -> None:
    """Making another one would kill it mid-position; when it is dead, a person may help (T20)."""
    broker = Door(HandClock())
    with served(broker) as base:
        home = Home(tmp_path, base)
        home.keep(broker.make())
        with InstanceLock.acquire(tmp_path / "locks", CLIENT_ID, at_ns=NOW_NS, purpose="paper"):
            assert home.type("login", env=ENV).exit_code == 0
            for way in By:
                with pytest.raises(InstanceRunning, match="alive"):
                    home.type("login", "--by", way.value, env={**ENV, **APP}, given="x\n")
            assert broker.made == 1
            broker.make()
            assert home.type("login", env=ENV).exit_code == 0
    assert home.token.secret == broker.alive


def test_a_person_stands_behind_the_next_attempt(tmp_path: Path) -> None:
    """Three refusals end what the program tries by itself, not what a person asks for."""
    broker = Door(HandClock())
    broker.says = said(200, {"message": f"Invalid TOTP for {PIN}", "status": "error"})
    with served(broker) as base:
        home = Home(tmp_path, base)
        with pytest.raises(BrokerUnavailable, match="Invalid TOTP for <hidden>"):
            home.type("login", env=ENV)
        with pytest.raises(BrokerUnavailable, match="two minutes"):
            home.type("login", env=ENV)
    assert broker.minted == 1
    assert BrokerUnavailable.exit_code == ExitCode.BROKER_UNAVAILABLE


def test_without_any_means_a_token_is_asked_for(tmp_path: Path) -> None:
    """And nothing is one."""
    with served(Door(HandClock())) as base:
        home = Home(tmp_path, base)
        with pytest.raises(DataRefused, match="is no token"):
            home.type("login", given="")
        with pytest.raises(DataRefused, match="DHAN_APP_ID"):
            home.type("login", "--by", "consent")


def test_a_simulated_account_has_no_session_at_a_broker(tmp_path: Path) -> None:
    """Nobody is asked."""
    folder = tmp_path / "sim"
    folder.mkdir()
    folder.joinpath("holdfast.toml").write_text('mode = "sim"\n')
    for words in (("login",), ("instruments",)):
        result = CliRunner().invoke(root, ["--home", str(folder), *words])
        assert isinstance(result.exception, DataRefused)
        assert "no account at a broker" in str(result.exception)


def test_todays_list_is_fetched_once_and_told(tmp_path: Path) -> None:
    """What of it is traded, with its hash; again only when asked."""
    broker = Door(HandClock())
    with served(broker) as base:
        home = Home(tmp_path, base)
        told = home.type("instruments")
        assert told.exit_code == 0, told.output
        assert "list of 2026-11-20, 5 rows" in told.stdout
        assert "1 NIFTY index" in told.stdout
        assert "2 NIFTY option" in told.stdout
        found = json.loads(home.type("instruments", "--json").stdout)
        assert found["taken"] == {"NIFTY index": 1, "NIFTY option": 2}
        assert len(broker.asked) == 1
        home.type("instruments", "--anew")
    assert len(broker.asked) == 2


def test_another_accounts_session_is_refused(tmp_path: Path) -> None:
    """It would trade somebody else's money."""
    broker = Door(HandClock())
    broker.profile = said(200, {"dhanClientId": "2000000002"})
    with served(broker) as base:
        home = Home(tmp_path, base)
        with pytest.raises(DataRefused, match="2000000002"):
            home.type("login", env=ENV)
