"""DhanHQ put together for one day: what is asked before it begins, and what stands behind its ports.

Besides the wiring the only place that knows the adapter. Paper and live differ here and nowhere
below: in both the market is the broker's, in paper the exchange is ours.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import structlog
from typing_extensions import override

from holdfast.app.chain import Market
from holdfast.app.config import Config, DhanSettings, order_prefix
from holdfast.brokers.dhan.account import AccountSide, Site, Told, Trading, account_side
from holdfast.brokers.dhan.charts import History, read_history
from holdfast.brokers.dhan.feed import DhanFeed, FeedDay, TokenRefused
from holdfast.brokers.dhan.ip import checked, read_registration, watch_ip
from holdfast.brokers.dhan.orderline import OrderLine
from holdfast.brokers.dhan.passwords import find_passwords
from holdfast.brokers.dhan.quotes import QuoteReader
from holdfast.brokers.dhan.reads import NoAnswer
from holdfast.brokers.dhan.rest import Rest, Source
from holdfast.brokers.dhan.rows import OrderWords
from holdfast.brokers.dhan.settings import Urls
from holdfast.brokers.dhan.token import TokenHolder
from holdfast.brokers.dhan.updates import UpdateStream
from holdfast.brokers.dhan.venue import DhanVenue
from holdfast.brokers.paper import PaperAccount, PaperBroker
from holdfast.brokers.played import PlayedLine
from holdfast.domain.dated import DayFacts, Session
from holdfast.domain.errors import BrokerUnavailable, DataRefused
from holdfast.domain.event import (
    AccountChecked,
    AnyEvent,
    CandleLoaded,
    ClockChanged,
    TokenChanged,
)
from holdfast.domain.instrument import Instrument, Kind
from holdfast.facts.ist import ist_text
from holdfast.ports import Account, Connection, Profile, Timing, Token
from holdfast.runtime.beside import Beside
from holdfast.runtime.day import Day
from holdfast.runtime.health import HEALTHY, Health
from holdfast.runtime.service import Group, Ready, Service

_log = structlog.get_logger("dhan")

_OF_ACCESS: Final = (TokenChanged, AccountChecked, ClockChanged)


class DhanDay(msgspec.Struct, frozen=True, kw_only=True):
    """A day at the broker: whose account, which facts, and where its secrets lie.

    `past` are the sessions before, oldest first, whose candles warm up the strategies. `freeze` is
    each underlying's first quantity refused. `begun` are the contracts that the day was begun with.
    """

    config: Config
    facts: DayFacts
    session: Session
    clock: Timing
    folder: Path
    env: Mapping[str, str]
    freeze: Mapping[str, int]
    past: Sequence[Session]
    begun: tuple[Instrument, ...] = ()


class Heard:
    """What the broker said of token, account and clock, for a start and for the day.

    Of a token that a single answer calls dead only `suspect` hears: it asks the profile, and tells.
    `taken` hears that there is a living one.
    """

    def __init__(self) -> None:
        """Nobody listens yet. Clocks are taken to agree until an answer's stamp says otherwise."""
        self._newest: dict[type, AnyEvent] = {ClockChanged: ClockChanged(at_ns=0, skew_ms=0)}
        self._tell: Callable[[AnyEvent], None] | None = None
        self.suspect: Callable[[], None] = lambda: None
        self.taken: Callable[[], None] = lambda: None

    def listen(self, tell: Callable[[AnyEvent], None] | None) -> None:
        """Tell everything to `tell` from here on, `None`: to nobody any more."""
        self._tell = tell

    def tell(self, event: AnyEvent) -> None:
        """Take a word of the adapter."""
        if isinstance(event, _OF_ACCESS):
            self._newest[type(event)] = event
        if isinstance(event, TokenChanged) and event.is_valid:
            self.taken()
        if self._tell is not None:
            self._tell(event)

    def answer(self, event: AnyEvent) -> None:
        """Take what an answer of the broker's REST API said beside what was asked."""
        if isinstance(event, TokenChanged) and not event.is_valid:
            self.suspect()
        else:
            self.tell(event)

    def access(self, at_ns: int) -> Iterable[AnyEvent]:
        """The newest of each, as a start tells it."""
        for kind in _OF_ACCESS:
            newest = self._newest.get(kind)
            if newest is not None:
                yield msgspec.structs.replace(newest, at_ns=at_ns)


class Morning(msgspec.Struct, frozen=True, kw_only=True):
    """What is known before the day begins: a session, the contracts, and their past."""

    holder: TokenHolder
    heard: Heard
    instruments: tuple[Instrument, ...]
    candles: tuple[CandleLoaded, ...]
    order_sources: tuple[Source, ...]


def urls_of(dhan: DhanSettings) -> Urls:
    """The broker's addresses as the adapter takes them."""
    return Urls(
        rest=dhan.rest_url,
        auth=dhan.auth_url,
        feed=dhan.feed_url,
        updates=dhan.updates_url,
        instruments=dhan.instruments_url,
    )


async def morning(day: DhanDay) -> Morning:
    """Log in, make sure whose account it is, and learn today's contracts and their past.

    No order socket is opened. Raises BrokerUnavailable, and DataRefused where it is another account.
    """
    heard, holder = Heard(), TokenHolder(day.config.account.client_id)
    rest = Rest(day.config.dhan.rest_url, holder, day.clock, tell=heard.answer)
    side = _account(day, holder, rest, Told(tell=heard.tell, call_person=_say))
    try:
        await side.account.login()
        await _require_own(side.account, day.config.account.client_id)
        instruments = day.begun or traded(
            await side.account.instruments(), day.config.account.underlyings, day.facts.day
        )
        return Morning(
            holder=holder,
            heard=heard,
            instruments=instruments,
            candles=() if day.begun else await _candles(rest, instruments, day),
            order_sources=await _order_sources(rest, heard, day),
        )
    finally:
        await rest.close()
        await side.close()


def _account(day: DhanDay, holder: TokenHolder, rest: Rest, told: Told) -> AccountSide:
    config, session = day.config, day.session
    side = account_side(
        holder,
        rest,
        Site(folder=day.folder, urls=urls_of(config.dhan), timing=day.clock),
        day=Trading(opens_ns=session.open_ns, closes_ns=session.close_ns, freeze=day.freeze),
        passwords=find_passwords(day.folder, config.account.client_id, day.env),
        told=told,
    )
    side.account.is_flat = lambda: not day.begun
    return side


async def _require_own(account: Account, client_id: str) -> None:
    """Raises DataRefused where the session is another account's (gate 9)."""
    try:
        profile = await account.profile()
    except OSError as error:
        raise BrokerUnavailable(f"the broker does not say whose session it is: {error}") from error
    if profile.client_id != client_id:
        raise DataRefused(
            f"account {client_id}",
            f"the broker's session is that of {profile.client_id}",
            "log in to the account that the configuration names, or name the other one",
        )


def traded(
    master: Iterable[Instrument], underlyings: Sequence[str], day: str
) -> tuple[Instrument, ...]:
    """Of today's list the indices that are traded and the options that expire next, indices first.

    Raises DataRefused where the list lacks one of them.
    """
    known = tuple(master)
    chosen: list[Instrument] = []
    for name in underlyings:
        index = [one for one in known if one.kind is Kind.INDEX and one.underlying == name]
        options = [one for one in known if one.kind is Kind.OPTION and one.underlying == name]
        expiries = (one.expiry for one in options if one.expiry is not None)
        nearest = min((expiry for expiry in expiries if expiry >= day), default=None)
        if not index or nearest is None:
            raise DataRefused(
                "today's list of contracts",
                f"lacks {name} or its options",
                "look at it on the broker's page; it is fetched anew tomorrow",
            )
        chosen += [*index[:1], *(one for one in options if one.expiry == nearest)]
    return tuple(sorted(chosen, key=lambda one: one.kind is not Kind.INDEX))


async def _candles(
    rest: Rest, instruments: Sequence[Instrument], day: DhanDay
) -> tuple[CandleLoaded, ...]:
    """The past of each underlying. Without it strategies are silent until they have seen enough."""
    now_ns = day.clock.now_ns()
    loaded: list[CandleLoaded] = []
    for index in (one for one in instruments if one.kind is Kind.INDEX):
        found = await read_history(rest, index, day.past, now_ns=now_ns) if day.past else None
        if found is None or isinstance(found, NoAnswer):
            reason = "no sessions" if found is None else found.reason
            _log.warning("no past candles", underlying=index.underlying, reason=reason)
            continue
        tell_missing(index.underlying, found)
        loaded += found.loaded(now_ns)
    return tuple(sorted(loaded, key=lambda one: one.candle.start_ns))


def tell_missing(underlying: str, found: History) -> None:
    """Say which closed minutes the charts do not have: strategies go on as over a restart's gap.

    After a start in the session these are the last two or so, because charts lag (dhan.md 3.9). Live
    candles follow without a break, and none may come before one that was heard.
    """
    if not found.missing_ns:
        return
    _log.warning(
        "candles are missing from the past",
        underlying=underlying,
        minutes=len(found.missing_ns),
        first=ist_text(found.missing_ns[0])[:5],
        last=ist_text(found.missing_ns[-1])[:5],
        are_late=found.may_come,
    )


async def _order_sources(rest: Rest, heard: Heard, day: DhanDay) -> tuple[Source, ...]:
    """Where orders leave from, the usual one first; on paper nobody looks at ours (T27)."""
    if not day.config.mode.is_live:
        heard.tell(AccountChecked(at_ns=day.clock.now_ns(), orders_allowed=True))
        return ()
    found = await read_registration(rest)
    heard.tell(checked(found, day.clock.now_ns()))
    if isinstance(found, NoAnswer):
        return ()
    return (found.source,) if found.spare is None else (found.source, found.spare)


def _say(text: str) -> None:
    _log.critical(text, component="login")


# -- the day


class KnownAccount:
    """The account with the contracts that are known already: the list is read once a start."""

    def __init__(self, account: Account, instruments: tuple[Instrument, ...]) -> None:
        """`account` is asked for everything else."""
        self._account = account
        self._instruments = instruments

    async def login(self) -> Token:
        """Open the day's session, with the token that is there."""
        return await self._account.login()

    async def profile(self) -> Profile:
        """Whose session it is. Raises OSError when nobody answers."""
        return await self._account.profile()

    async def instruments(self) -> Sequence[Instrument]:
        """Those of the morning."""
        return self._instruments


class Announced:
    """A connection of which somebody hears each time that it is made (T27)."""

    def __init__(self, connection: Connection, made: Callable[[], None]) -> None:
        """`made` is called once it is there."""
        self._connection = connection
        self._made = made

    async def connect(self) -> None:
        """Make it. Raises HoldfastError or OSError."""
        await self._connection.connect()
        self._made()

    async def ping(self) -> None:
        """Return once the other side has answered. Raises OSError."""
        await self._connection.ping()

    async def close(self) -> None:
        """Give it back."""
        await self._connection.close()


class Wire(Service):
    """What all calls to the broker go over: there before the first of them, given back after the last."""

    name = "broker"
    needs: tuple[str, ...] = ("store",)
    group = Group.STATE

    def __init__(self, close: Sequence[Callable[[], object]], heard: Heard) -> None:
        """`close` are coroutine functions that give things back, in this order."""
        self._close = close
        self._heard = heard

    @override
    async def run(self, ready: Ready) -> None:
        ready()
        await self.stay()

    @override
    async def cleanup(self) -> None:
        self._heard.listen(None)  # the journal may be closed: what is given up, the book tells
        for close in self._close:
            done = close()
            if asyncio.iscoroutine(done):
                await done

    @override
    def health(self) -> Health:
        return HEALTHY


class _Parts:
    """What paper and live have in common, made inside the event loop of the day."""

    def __init__(self, day: DhanDay, known: Morning, lived: Day) -> None:
        """`lived` hears what the broker says."""
        config, clock = day.config, day.clock
        self.heard = known.heard
        self.heard.listen(lived.tell)
        self.rest = Rest(
            config.dhan.rest_url,
            known.holder,
            clock,
            tell=self.heard.answer,
            order_sources=known.order_sources,
        )
        told = Told(tell=self.heard.tell, call_person=lived.call_person)
        self.side = _account(day, known.holder, self.rest, told)
        self.heard.suspect = self.side.watch.suspect
        self.reader = QuoteReader(self.rest, clock, contracts=lambda: known.instruments)
        self.feed = DhanFeed(
            config.dhan.feed_url,
            known.holder,
            clock,
            day=FeedDay(
                contracts=lambda: known.instruments,
                sessions=day.facts.sessions,
                held=lambda: lived.touched,
            ),
            reader=self.reader,
            reject=self._reject,
        )
        self.heard.taken = self.feed.take_token
        self.account = KnownAccount(self.side.account, known.instruments)

    def _reject(self, refused: TokenRefused) -> None:
        del refused
        self.side.watch.suspect()

    @property
    def token_watch(self) -> Beside:
        """Keeps a living token for as long as the day lasts (T20)."""
        return Beside("token", self.side.watch.run, needs=("login",))


def paper_market(day: DhanDay, known: Morning, broker: PaperBroker, lived: Day) -> Market:
    """The broker's market, and an exchange of our own behind it."""
    parts = _Parts(day, known, lived)
    return Market(
        venue=broker.venue,
        account=PaperAccount(parts.account, broker),
        feed=parts.feed,
        updates=PlayedLine(),
        orders=PlayedLine(),
        close=broker.close,
        want=parts.feed.want,
        core=(Wire((parts.rest.close, parts.side.close), parts.heard),),
        beside=(parts.token_watch,),
    )


def live_market(day: DhanDay, known: Morning, lived: Day) -> Market:
    """The broker itself."""
    parts, config, clock = _Parts(day, known, lived), day.config, day.clock
    contracts = {one.id: one for one in known.instruments}
    words, moved = OrderWords(order_prefix(config, day.session), contracts), asyncio.Event()
    venue = DhanVenue(
        parts.rest,
        known.holder,
        clock,
        words=words,
        contracts=contracts,
        quotes=parts.reader.read,
        tell=parts.heard.tell,
        want=parts.feed.want,
    )
    stream = UpdateStream(
        config.dhan.updates_url, known.holder, clock, words=words, tell=parts.heard.tell
    )
    watch = partial(watch_ip, parts.rest, clock, parts.heard.tell, asked=moved)
    return Market(
        venue=venue,
        account=parts.account,
        feed=parts.feed,
        updates=Announced(stream, moved.set),
        orders=OrderLine(parts.rest),
        close=_nothing,
        want=parts.feed.want,
        settle=venue.settle,
        core=(Wire((venue.close, parts.rest.close, parts.side.close), parts.heard),),
        beside=(parts.token_watch, Beside("address", watch, needs=("login",))),
    )


def _nothing() -> None:
    """Every connection was given back by the service that holds it."""
