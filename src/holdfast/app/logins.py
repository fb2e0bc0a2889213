"""What a person asks of the account at the broker outside a run: a session, and today's contracts."""

import asyncio
import datetime as dt
from collections.abc import Callable
from enum import StrEnum
from urllib.parse import parse_qs, urlsplit

import msgspec

from holdfast.app.config import Config
from holdfast.app.dhan import urls_of
from holdfast.app.realtime import Household, real_clock
from holdfast.brokers.dhan.account import Site, login_of
from holdfast.brokers.dhan.authhost import AppKey, Consent, Denied
from holdfast.brokers.dhan.instruments import Instruments
from holdfast.brokers.dhan.login import Got, NoToken
from holdfast.brokers.dhan.master import Wanted, by_kind
from holdfast.brokers.dhan.passwords import find_passwords
from holdfast.brokers.dhan.profile import DhanProfile, read_profile
from holdfast.brokers.dhan.rest import Rest
from holdfast.brokers.dhan.token import StoredToken, TokenHolder
from holdfast.domain.errors import BrokerUnavailable, DataRefused, InstanceRunning
from holdfast.facts.ist import ist_date
from holdfast.facts.load import contract_terms


class By(StrEnum):
    """How a session is opened: with PIN and one-time password, in a browser, by a given token."""

    PASSWORD = "password"  # noqa: S105 a word, no secret
    CONSENT = "consent"
    TOKEN = "token"  # noqa: S105 a word, no secret


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A session that the broker takes. `how`: "stored", or the way in which it was opened now.

    `fault` says why options cannot be traded in the account, empty when they can.
    """

    client_id: str
    how: str
    valid_until_ns: int
    fault: str


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Who sits there: `show` tells something, `ask` asks for a line that nobody else may read."""

    show: Callable[[str], None]
    ask: Callable[[str], str]


def log_in(
    config: Config, home: Household, person: Person, *, by: By | None, is_running: bool
) -> Opened:
    """Open a session, or find that one is open. `by` None: as there is means for.

    While the account `is_running`, a token that is alive is left alone: another one would kill it.
    Raises DataRefused, BrokerUnavailable, InstanceRunning.
    """
    require_broker(config)

    async def opened() -> Opened:
        entry = _Entry(config, home, person)
        try:
            return await entry.open(by, is_running=is_running)
        finally:
            await entry.close()

    return asyncio.run(opened())


class TodaysList(msgspec.Struct, frozen=True, kw_only=True):
    """What today's list of contracts came to. `last_modified` is the host's word."""

    day: str
    rows: int
    taken: dict[str, int]
    left_out: dict[str, int]
    sha256: str
    last_modified: str


def load_list(config: Config, home: Household, *, anew: bool) -> TodaysList:
    """Today's contracts: those kept of today, else, or when asked `anew`, from the broker.

    Raises DataRefused, BrokerUnavailable, UnknownDay.
    """
    require_broker(config)
    clock = real_clock(config)
    day = ist_date(clock.now_ns())
    wanted = Wanted(
        day=day, freeze={name: _freeze(name, day, home) for name in config.account.underlyings}
    )
    lists = Instruments(home.folder, urls_of(config.dhan), clock)
    master, kept = asyncio.run(lists.load(wanted, anew=anew))
    return TodaysList(
        day=kept.day,
        rows=master.rows,
        taken=dict(by_kind(master.instruments)),
        left_out=dict(master.left_out),
        sha256=kept.sha256,
        last_modified=kept.last_modified,
    )


def _freeze(name: str, day: dt.date, home: Household) -> int:
    return contract_terms(name, day, home.calendar).freeze_quantity


def require_broker(config: Config) -> None:
    """Raises DataRefused where the configuration names no account at a broker."""
    if not config.mode.is_real_time:
        raise DataRefused(
            f"mode {config.mode}",
            "has no account at a broker",
            'set mode = "paper" or "live", and client_id in [account]',
        )


class _Entry:
    """One visit at the broker's door."""

    def __init__(self, config: Config, home: Household, person: Person) -> None:
        self._person = person
        self._clock = real_clock(config)
        self._client_id = config.account.client_id
        self._holder = TokenHolder(self._client_id)
        self._rest = Rest(config.dhan.rest_url, self._holder, self._clock)
        self._passwords = find_passwords(home.folder, self._client_id, home.env)
        site = Site(folder=home.folder, urls=urls_of(config.dhan), timing=self._clock)
        self._login, self._auth = login_of(
            self._holder, self._rest, site, passwords=self._passwords
        )

    async def close(self) -> None:
        await self._rest.close()
        await self._auth.close()

    async def open(self, by: By | None, *, is_running: bool) -> Opened:
        found = await self._stored()
        if found is not None and by is None:
            return self._opened(found, "stored")
        if found is not None and is_running:
            raise InstanceRunning(
                f"client id {self._client_id} is in use, and its token is alive\n"
                "  another token would kill it; stop the run first"
            )
        way = by or self._way()
        token = await self._make(way)
        return self._opened(await self._verified(token), way)

    async def _stored(self) -> DhanProfile | None:
        """Whose session the newest token that is written down is; `None` where it is dead."""
        token = self._login.newest()
        if token is None:
            return None
        self._holder.put(token)
        found = await self._asked()
        if found is None:
            self._login.record.died(token, self._clock.now_ns())
        return found

    async def _asked(self) -> DhanProfile | None:
        """The profile by the token in use; `None` where the broker calls it dead."""
        found = await read_profile(self._rest)
        if isinstance(found, DhanProfile):
            return found
        if found.is_token_dead:
            return None
        raise _unavailable(f"the profile was not answered: {found.reason}")

    async def _verified(self, token: StoredToken) -> DhanProfile:
        found = await self._asked()
        if found is None:
            self._login.record.died(token, self._clock.now_ns())
            raise _unavailable("the broker does not take this token")
        return found

    def _opened(self, found: DhanProfile, how: str) -> Opened:
        token = self._holder.token
        assert token is not None, "a profile is asked for with one"
        if found.client_id != self._client_id:
            raise DataRefused(
                f"account {self._client_id}",
                f"the broker's session is that of {found.client_id}",
                "log in to the account that the configuration names, or name the other one",
            )
        ends = (token.valid_until_ns, found.token_until_ns)
        return Opened(
            client_id=found.client_id,
            how=how,
            valid_until_ns=min(end for end in ends if end is not None),
            fault=found.fault(self._clock.now_ns()),
        )

    def _way(self) -> By:
        """The one that asks least of a person."""
        if self._passwords.can_mint:
            return By.PASSWORD
        return By.CONSENT if self._passwords.app_key is not None else By.TOKEN

    async def _make(self, way: By) -> StoredToken:
        match way:
            case By.PASSWORD:
                self._login.record.forgive()  # a person stands behind this attempt
                return _got(await self._login.make())
            case By.CONSENT:
                return await self._by_consent()
            case By.TOKEN:
                return await self._given()

    async def _given(self) -> StoredToken:
        """A token that was made on the broker's page; it is written down once the broker takes it."""
        self._person.show("make a token on web.dhan.co: My Profile, DhanHQ Trading APIs")
        token = self._login.check(self._person.ask("access token"))
        self._holder.put(token)
        await self._verified(token)
        return self._login.adopt(token.secret)

    async def _by_consent(self) -> StoredToken:
        key = self._passwords.app_key
        if key is None:
            raise DataRefused("consent", "needs an API key", "set DHAN_APP_ID and DHAN_APP_SECRET")
        consent = await self._consent(key)
        self._person.show(f"open this in a browser and log in:\n{consent.url}")
        token_id = token_id_of(self._person.ask("the address that it led to, or its tokenId"))
        return _got(self._login.take(await self._login.host.use_consent(token_id, key)))

    async def _consent(self, key: AppKey) -> Consent:
        held = self._login.record.begin_consent(self._clock.now_ns())
        if held is not None:
            raise _unavailable(held.reason)
        consent = await self._login.host.ask_consent(self._client_id, key)
        if isinstance(consent, Consent):
            return consent
        why = consent.message if isinstance(consent, Denied) else consent.reason
        raise _unavailable(f"the broker began no consent: {why}")


def token_id_of(given: str) -> str:
    """What the browser was sent back with: the whole address, or the id alone. Raises DataRefused."""
    text = given.strip()
    found = parse_qs(urlsplit(text).query).get("tokenId", [text])[0]
    if not found or not found.isascii() or not found.replace("-", "").replace("_", "").isalnum():
        raise DataRefused("the tokenId", "is none", "copy the whole address that the login led to")
    return found


def _got(got: Got) -> StoredToken:
    if isinstance(got, NoToken):
        raise _unavailable(got.reason)
    return got


def _unavailable(reason: str) -> BrokerUnavailable:
    return BrokerUnavailable(f"no session at the broker: {reason}")
