"""Reads of the account's book. An answer that failed, one that is empty and one that is old are three things.

One pass asks for positions, then orders, then trades, then funds, so that an explanation is never
older than what it explains (T22). What cannot be read whole is not read at all.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from holdfast.brokers.dhan import rows
from holdfast.brokers.dhan.errors import text_of
from holdfast.brokers.dhan.fields import Unreadable, objects, shown, text
from holdfast.brokers.dhan.orders import checked_number
from holdfast.brokers.dhan.rest import TIMEOUT_S, Answer, CallKind, Failed, Reply, Rest
from holdfast.domain.book import BookNet, BookTrade, ForeignRow
from holdfast.domain.event import (
    BOOK,
    AnyEvent,
    BookRead,
    FundsRead,
    OrderUpdated,
    ReadFailed,
)
from holdfast.domain.instrument import BrokerKey
from holdfast.domain.order import OrderId, OrderRow
from holdfast.ports import Timing

STALE_NS: Final = 2_000_000_000
"""An answer stamped so long before one that was heard earlier shows an old book."""

_NOT_FOUND: Final = 404
_NO_HOLDINGS: Final = "DH-1111"
"""The broker's error for an account that holds no shares (dhan.md 3.5)."""


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of an answer, lowered; none is an answer too."""

    rows: tuple[rows.Row, ...]


class Unread(msgspec.Struct, frozen=True, kw_only=True):
    """There is no answer that can be used."""

    reason: str


class Stale(msgspec.Struct, frozen=True, kw_only=True):
    """The answer is older than one that was heard before: something between us and the broker kept it."""

    behind_ns: int

    @property
    def reason(self) -> str:
        """In words."""
        return f"the answer is {self.behind_ns // 1_000_000} ms older than one heard before"


Part = Rows | Unread | Stale


def rows_of(reply: Reply, *, single: str = "orderId") -> Rows | Unread:
    """The rows of an answer: an array, an object with `single`, or either below `data` (dhan.md 1.10)."""
    if isinstance(reply, Failed):
        return Unread(reason=reply.reason)
    payload = reply.payload
    if isinstance(payload, dict) and payload.get("errorCode") == _NO_HOLDINGS:
        return Rows(rows=())
    complaint = text_of(payload)
    if complaint or not reply.is_ok:
        return Unread(reason=f"HTTP {reply.status}: {complaint or 'no word why'}")
    if isinstance(payload, dict) and payload.get("status") == "success":
        payload = payload.get("data")
    if isinstance(payload, dict) and single in payload:
        payload = [payload]
    if not isinstance(payload, list):
        return Unread(reason=f"no array: {shown(payload)}")
    try:
        return Rows(rows=tuple(rows.lowered(objects(row, "a row")) for row in payload))
    except Unreadable as error:
        return Unread(reason=str(error))


class BookReader:
    """Asks for the book, one order, or the cash, each once, and says what came of it."""

    def __init__(self, rest: Rest, words: rows.OrderWords, timing: Timing) -> None:
        """`words` tells our orders from those of others."""
        self._rest = rest
        self._words = words
        self._timing = timing
        self._last_ns = 0

    # -- the whole book

    async def book(self) -> BookRead | ReadFailed:
        """One pass: five seconds for all of it."""
        try:
            async with asyncio.timeout(self._timing.wall_s(TIMEOUT_S[CallKind.READ])):
                return await self._pass()
        except TimeoutError:
            return self._unread(BOOK, "the pass took too long")

    async def _pass(self) -> BookRead | ReadFailed:
        began_ns = self._timing.now_ns()
        parts = {}
        for path, single in (
            ("/positions", "securityId"),
            ("/orders", "orderId"),
            ("/trades", "orderId"),
            ("/fundlimit", "dhanClientId"),
        ):
            part = await self._part(path, single)
            if not isinstance(part, Rows):
                return self._unread(BOOK, f"{path[1:]}: {part.reason}")
            parts[path] = part.rows
        try:
            ours, foreign = self._orders(parts["/orders"])
            trades = _trades(parts["/trades"])
            return BookRead(
                at_ns=self._timing.now_ns(),
                began_at_ns=began_ns,
                nets=_nets(parts["/positions"]),
                orders=tuple(_worth(row, trades) for row in ours),
                foreign=foreign,
                trades=trades,
                funds_paise=_funds(parts["/fundlimit"]),
            )
        except Unreadable as error:
            return self._unread(BOOK, str(error))

    async def _part(self, path: str, single: str) -> Part:
        reply = await self._rest.call("GET", path)
        return self._age(reply) or rows_of(reply, single=single)

    def _age(self, reply: Reply) -> Stale | None:
        """By the broker's own stamps alone: our clock may be off.

        Each is compared with the one before it, so that a clock of theirs that is set back costs one
        read and not every one until it has caught up.
        """
        if not isinstance(reply, Answer) or reply.date_ns is None:
            return None
        behind_ns, self._last_ns = self._last_ns - reply.date_ns, reply.date_ns
        return Stale(behind_ns=behind_ns) if behind_ns > STALE_NS else None

    def _orders(
        self, found: Sequence[rows.Row]
    ) -> tuple[tuple[OrderRow, ...], tuple[ForeignRow, ...]]:
        """Ours and those of others, each in the order in which the broker took them."""
        ours: list[OrderRow] = []
        foreign: list[ForeignRow] = []
        for row in sorted(found, key=_taken):
            match self._words.order(row):
                case OrderRow() as own:
                    ours.append(own)
                case ForeignRow() as other:
                    foreign.append(other)
                case None:
                    pass
        return tuple(ours), tuple(foreign)

    # -- one order

    async def find(self, order_id: OrderId) -> Sequence[AnyEvent]:
        """Its row, by the broker's number where that is known, else by our id.

        Two orders under one id are both told (T21). Not found proves nothing: an order in transit
        is not found either (dhan.md 3.1).
        """
        what = f"order {order_id}"
        number = self._words.number_of(order_id)
        try:
            named = f"external/{order_id}" if number is None else checked_number(number)
        except ValueError as error:
            return [self._unread(what, str(error))]
        reply = await self._rest.call("GET", f"/orders/{named}", kind=CallKind.POLL)
        if isinstance(reply, Answer) and reply.status == _NOT_FOUND:
            return [self._unread(what, f"not found: {text_of(reply.payload)}")]
        part = self._age(reply) or rows_of(reply)
        if not isinstance(part, Rows):
            return [self._unread(what, part.reason)]
        try:
            ours, _ = self._orders(part.rows)
        except Unreadable as error:
            return [self._unread(what, str(error))]
        found = [row for row in ours if row.order_id == order_id]
        at_ns = self._timing.now_ns()
        told = [OrderUpdated(at_ns=at_ns, row=row, is_read=True) for row in found]
        return told or [self._unread(what, "not found")]

    # -- the cash

    async def funds(self) -> FundsRead | ReadFailed:
        """Free cash."""
        part = await self._part("/fundlimit", "dhanClientId")
        if not isinstance(part, Rows):
            return self._unread("funds", part.reason)
        try:
            return FundsRead(at_ns=self._timing.now_ns(), available_paise=_funds(part.rows))
        except Unreadable as error:
            return self._unread("funds", str(error))

    async def holdings(self) -> Part:
        """Shares in the depository; an account without any answers with an error (dhan.md 3.5)."""
        return await self._part("/holdings", "securityId")

    def _unread(self, what: str, reason: str) -> ReadFailed:
        return ReadFailed(at_ns=self._timing.now_ns(), what=what, reason=reason)


def _taken(row: rows.Row) -> tuple[int, int, str]:
    """When the broker took it; within a second by its number."""
    number = text(row, "orderid")
    return rows.taken_ns(row), len(number), number


def _nets(found: Sequence[rows.Row]) -> tuple[BookNet, ...]:
    """One row per key: the broker may tell of one in two."""
    nets: dict[BrokerKey, BookNet] = {}
    for row in found:
        net = rows.net(row)
        if net is None:
            continue
        known = nets.get(net.key)
        if known is not None:
            net = msgspec.structs.replace(
                net, bought=net.bought + known.bought, sold=net.sold + known.sold
            )
        nets[net.key] = net
    return tuple(nets.values())


def _trades(found: Sequence[rows.Row]) -> tuple[BookTrade, ...]:
    return tuple(rows.trade(row, number) for number, row in enumerate(found, 1))


def _worth(row: OrderRow, trades: Sequence[BookTrade]) -> OrderRow:
    """A row with the value of its trades, where they are all there: a mean price is rounded (T30)."""
    own = [one for one in trades if one.broker_id == row.broker_id]
    if not own or sum(one.quantity for one in own) != row.filled_quantity:
        return row
    value = sum(one.value_paise for one in own)
    return msgspec.structs.replace(row, filled_value_paise=value, is_exact=True)


def _funds(found: Sequence[rows.Row]) -> int:
    if len(found) != 1:
        raise Unreadable(f"{len(found)} rows of funds")
    return rows.funds_paise(found[0])
