"""The account at the broker behind its port: the session, whose it is, and today's contracts."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from typing_extensions import override

from holdfast.brokers.dhan.authhost import AuthHost
from holdfast.brokers.dhan.chain import ChainReader
from holdfast.brokers.dhan.instruments import Instruments
from holdfast.brokers.dhan.login import Got, Login, NoToken
from holdfast.brokers.dhan.margin import MarginReader
from holdfast.brokers.dhan.master import Wanted
from holdfast.brokers.dhan.passwords import Passwords
from holdfast.brokers.dhan.profile import DhanProfile, read_profile
from holdfast.brokers.dhan.reads import NoAnswer
from holdfast.brokers.dhan.rest import Rest
from holdfast.brokers.dhan.settings import Urls
from holdfast.brokers.dhan.token import StoredToken, TokenHolder
from holdfast.brokers.dhan.tokenwatch import TokenWatch
from holdfast.domain.errors import BrokerUnavailable, DataRefused
from holdfast.domain.event import AnyEvent, TokenChanged
from holdfast.domain.instrument import Instrument, InstrumentId
from holdfast.facts.ist import ist_date
from holdfast.ports import Account, Profile, Timing, Token

TOKENS_TRIED_MAX: Final = 3
"""At one start: the file's, the environment's, and one made anew."""


class Trading(msgspec.Struct, frozen=True, kw_only=True):
    """What the day needs of the account.

    `opens_ns` and `closes_ns` are the session's (UTC); the token must outlive `closes_ns` by
    `margin_ns`. `freeze` is each underlying's first quantity refused, by the dated facts.
    """

    opens_ns: int
    closes_ns: int
    freeze: Mapping[str, int]
    margin_ns: int = 30 * 60 * 1_000_000_000


class DhanAccount(Account):
    """The account behind `ports.Account`."""

    def __init__(
        self,
        client: Rest,
        login: Login,
        lists: Instruments,
        *,
        day: Trading,
        timing: Timing,
        tell: Callable[[AnyEvent], None] = lambda _event: None,
    ) -> None:
        """`client` asks with the token that `login` keeps. `tell` hears of the session's token."""
        self._client = client
        self._login = login
        self._lists = lists
        self._day = day
        self._timing = timing
        self._tell = tell
        self.is_flat: Callable[[], bool] = lambda: True
        self.held: Callable[[], Collection[InstrumentId]] = tuple

    @override
    async def login(self) -> Token:
        """Open the session with a token that the broker takes. Tells `TokenChanged`.

        Raises BrokerUnavailable when there is none or nobody answers, DataRefused when a file of
        ours or the account itself cannot be used.
        """
        await self._ask_for_doubted()
        got = await self._login.open(
            until_ns=self._day.closes_ns + self._day.margin_ns,
            may_replace=self._timing.now_ns() < self._day.opens_ns and self.is_flat(),
        )
        for _ in range(TOKENS_TRIED_MAX):
            token = _granted(got)
            found = await read_profile(self._client)
            if isinstance(found, DhanProfile):
                return self._opened(token, found)
            if not found.is_token_dead:
                raise _unavailable(f"the profile was not answered: {found.reason}")
            got = await self._login.revive(token)
        raise _unavailable("the broker takes none of the tokens that it made")

    async def _ask_for_doubted(self) -> None:
        """Whether the broker takes again what it had called dead: then none is made anew (T20)."""
        if (doubted := self._login.doubted()) is None:
            return
        self._login.holder.put(doubted)
        if isinstance(await read_profile(self._client), DhanProfile):
            self._login.lives(doubted)

    def _opened(self, token: StoredToken, found: DhanProfile) -> Token:
        fault = found.fault(self._timing.now_ns())
        if fault:
            raise DataRefused(f"account {found.client_id}", fault, "see the broker's web page")
        ends = [token.valid_until_ns, found.token_until_ns]
        until_ns = min(end for end in ends if end is not None)
        at_ns = self._timing.now_ns()
        self._tell(TokenChanged(at_ns=at_ns, is_valid=True, valid_until_ns=until_ns))
        return Token(valid_until_ns=until_ns)

    @override
    async def profile(self) -> Profile:
        """Whose session it is. Raises ConnectionError when nobody says."""
        found = await read_profile(self._client)
        if isinstance(found, NoAnswer):
            raise ConnectionError(f"the profile was not answered: {found.reason}")
        return Profile(client_id=found.client_id)

    @override
    async def instruments(self) -> Sequence[Instrument]:
        """Today's contracts: indices first. Raises BrokerUnavailable, DataRefused."""
        wanted = Wanted(
            day=ist_date(self._timing.now_ns()),
            freeze=self._day.freeze,
            held=frozenset(self.held()),
        )
        master, _ = await self._lists.load(wanted)
        return master.instruments


def _granted(got: Got) -> StoredToken:
    if isinstance(got, NoToken):
        raise _unavailable(got.reason)
    return got


def _unavailable(reason: str) -> BrokerUnavailable:
    return BrokerUnavailable(
        f"no session at the broker: {reason}\n  look at the account with: holdfast login"
    )


class AccountSide(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of the account that is put together at once. `close` it last."""

    holder: TokenHolder
    login: Login
    account: DhanAccount
    watch: TokenWatch
    lists: Instruments
    chains: ChainReader
    margins: MarginReader
    auth: Rest

    async def close(self) -> None:
        """Give back the connections that no other part owns."""
        await self.auth.close()


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Who hears what: `tell` the events, `call_person` what only a person can mend."""

    tell: Callable[[AnyEvent], None]
    call_person: Callable[[str], None]


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Where the account's parts are at work.

    `folder` is the account's, whatever the mode: the token is one for all of them.
    """

    folder: Path
    urls: Urls
    timing: Timing


def login_of(
    holder: TokenHolder, rest: Rest, site: Site, *, passwords: Passwords
) -> tuple[Login, Rest]:
    """The logins of an account, and the connection to the auth host, which is to be closed."""
    auth = Rest(site.urls.auth, None, site.timing)
    host = AuthHost(auth, rest, url=site.urls.auth)
    return Login(holder, site.folder, host, passwords=passwords, timing=site.timing), auth


def account_side(
    holder: TokenHolder,
    rest: Rest,
    site: Site,
    *,
    day: Trading,
    passwords: Passwords,
    told: Told,
) -> AccountSide:
    """Put the account's parts together over `rest`, which asks with the tokens of `holder`."""
    login, auth = login_of(holder, rest, site, passwords=passwords)
    lists = Instruments(site.folder, site.urls, site.timing)
    timing = site.timing
    return AccountSide(
        holder=holder,
        login=login,
        account=DhanAccount(rest, login, lists, day=day, timing=timing, tell=told.tell),
        watch=TokenWatch(holder, login, rest, timing, tell=told.tell, call_person=told.call_person),
        lists=lists,
        chains=ChainReader(rest, timing),
        margins=MarginReader(rest, holder.client_id),
        auth=auth,
    )
