"""Commands on their way out: exits first, one change per order, each when its window allows it (T7).

Ordinary traffic (entries, trailing stops) is given back when it cannot leave in time; what belongs
to an exit, a stop or a cancel waits and is never dropped, only replaced by a newer word about the
same order. Time is an argument.
"""

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Final

from msgspec.structs import replace

from holdfast.domain.command import (
    AnyCommand,
    BrokerKillSwitch,
    CancelOrder,
    ExitAll,
    FindOrder,
    ModifyOrder,
    OrderRequest,
    PlaceOrder,
    ReadBook,
    ReadFunds,
    ReadQuotes,
    SetLossExit,
)
from holdfast.domain.order import OrderId, Purpose
from holdfast.runtime.rates import Category, Governor

FIRST: Final = 0
STOPS: Final = 1
LAST: Final = 2

_COUNTED: Final = (PlaceOrder, ModifyOrder, CancelOrder, ExitAll)
"""What the broker counts as orders."""

BOOK_COST: Final = 4
"""A pass over the book asks for positions, orders, trades and funds."""


def category_of(command: AnyCommand) -> Category:
    """What a command is counted as."""
    if isinstance(command, _COUNTED):
        return Category.ORDERS
    return Category.QUOTES if isinstance(command, ReadQuotes) else Category.READS


def is_ordinary(command: AnyCommand) -> bool:
    """Whether a command has only the ordinary share: an entry, a stop that trails, a poll."""
    match command:
        case PlaceOrder():
            return command.purpose is Purpose.ENTRY
        case ModifyOrder():
            return command.is_ordinary
        case FindOrder():
            return command.is_poll
        case _:
            return False


def rank_of(command: AnyCommand) -> int:
    """Who goes first where several wait: exits, and cancels in their order among them; then stops."""
    if is_ordinary(command):
        return LAST
    match command:
        case PlaceOrder():
            return FIRST if command.purpose is Purpose.EXIT else STOPS
        case ModifyOrder() | CancelOrder() | ExitAll() | BrokerKillSwitch() | SetLossExit():
            return FIRST
        case ReadBook():
            return FIRST  # among the reads: what is not found by its id only the book can prove
        case _:
            return STOPS


class Waiting:
    """One command that waits for its turn.

    It leaves at `from_ns` at the earliest, is given back at `until_ns` (`None`: never), and not
    before `durable` is done. `attempts` counts how often it was tried before, `left_ns` is when it
    was last; `has_waited` tells that others may have happened since it was decided at `at_ns`.
    """

    def __init__(
        self,
        command: AnyCommand,
        at_ns: int,
        *,
        until_ns: int | None = None,
        durable: Future[None] | None = None,
    ) -> None:
        self.command = command
        self.at_ns = self.from_ns = at_ns
        self.until_ns = until_ns
        self.durable = durable
        self.attempts = 0
        self.left_ns = at_ns
        self.has_waited = False

    @property
    def cost(self) -> int:
        """How many requests of its category it is."""
        return BOOK_COST if isinstance(self.command, ReadBook) else 1

    @property
    def is_held(self) -> bool:
        """Whether it waits for the disk."""
        return self.durable is not None and not self.durable.done()


class Outbox:
    """What waits, in the order in which it leaves."""

    def __init__(self, governor: Governor) -> None:
        """Nothing waits."""
        self._governor = governor
        self._waiting: list[Waiting] = []
        self.merged = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._waiting)

    @property
    def is_holding(self) -> bool:
        """Whether something waits for the disk."""
        return bool(self._waiting) and any(one.is_held for one in self._waiting)

    def put(self, new: Waiting) -> None:
        """Add a command. One that waits and that it makes needless loses its place to it."""
        for number, old in enumerate(self._waiting):
            command = _merged(old.command, new.command)
            if command is not None:
                self.merged += 1
                new.command = command
                new.until_ns = new.until_ns if is_ordinary(command) else None
                del self._waiting[number]
                place = number if rank_of(command) == rank_of(old.command) else self._place(new)
                self._waiting.insert(place, new)
                return
        self._waiting.insert(self._place(new), new)

    def _place(self, new: Waiting) -> int:
        """Behind everything that goes before it or has waited longer."""
        rank = rank_of(new.command)
        return sum(1 for one in self._waiting if rank_of(one.command) <= rank)

    def has_change(self, order_id: OrderId) -> bool:
        """Whether something asked of this order waits."""
        waiting = (one.command for one in self._waiting)
        return any(isinstance(one, OrderRequest) and one.order_id == order_id for one in waiting)

    def free_ns(self, one: Waiting) -> int:
        """When its windows let it leave, at the earliest."""
        bucket = self._governor[category_of(one.command)]
        return bucket.free_ns(is_ordinary=is_ordinary(one.command), cost=one.cost)

    @property
    def due_ns(self) -> int | None:
        """When the next one is to be taken out; `None` when nothing waits, or all for the disk."""
        if not self._waiting:
            return None
        return min((due for due in self._dues() if due is not None), default=None)

    def _dues(self) -> Iterator[int | None]:
        """When each is to be taken out, in their order; `None`: it waits for the disk alone.

        A read waits behind those before it: one pass over the book needs several calls at once, and
        would never find them free while single searches take each as it comes.
        """
        reads_ns = 0
        free: dict[tuple[Category, bool, int], int] = {}  # fifty that wait ask for a few answers
        for one in self._waiting:
            if one.is_held:
                yield one.until_ns
                continue
            what = category_of(one.command), is_ordinary(one.command), one.cost
            free_ns = free.get(what)
            if free_ns is None:
                free_ns = free[what] = self.free_ns(one)
            ready_ns = max(one.from_ns, free_ns)
            if what[0] is Category.READS:
                ready_ns = reads_ns = max(ready_ns, reads_ns)
            yield ready_ns if one.until_ns is None else min(ready_ns, one.until_ns)

    def pop_due(self, now_ns: int) -> Waiting | None:
        """Take out the first one that may leave, or must be given back (`may_leave` tells)."""
        for number, due_ns in enumerate(self._dues()):
            if due_ns is not None and due_ns <= now_ns:
                return self._waiting.pop(number)
        return None

    def may_leave(self, one: Waiting, now_ns: int) -> bool:
        """Whether its turn has come, and not only its end."""
        return not one.is_held and max(one.from_ns, self.free_ns(one)) <= now_ns

    def pop_entries(self) -> list[Waiting]:
        """Take out what would open something new."""
        entries = [one for one in self._waiting if _is_entry(one.command)]
        self._waiting = [one for one in self._waiting if not _is_entry(one.command)]
        return entries


def _is_entry(command: AnyCommand) -> bool:
    return isinstance(command, PlaceOrder) and command.purpose is Purpose.ENTRY


def _is_same_order(old: ModifyOrder | CancelOrder, new: ModifyOrder | CancelOrder) -> bool:
    return (old.order_id, old.broker_id) == (new.order_id, new.broker_id)


def _merged(old: AnyCommand, new: AnyCommand) -> AnyCommand | None:
    """What stands for both where the newer makes the older needless; `None` where both are wanted.

    A placement is never replaced, and a modification never undoes a cancel. What an exit's
    modification asked is in the newer one too, so that is not ordinary either.
    """
    match old, new:
        case ModifyOrder(), ModifyOrder():
            both_ordinary = old.is_ordinary and new.is_ordinary
            return replace(new, is_ordinary=both_ordinary) if _is_same_order(old, new) else None
        case ((ModifyOrder() | CancelOrder()), CancelOrder()):
            return new if _is_same_order(old, new) else None
        case FindOrder(), FindOrder():
            both = replace(new, is_poll=old.is_poll and new.is_poll)
            return both if old.order_id == new.order_id else None
        case ReadQuotes(), ReadQuotes():
            wanted = dict.fromkeys((*old.instruments, *new.instruments))
            return replace(new, instruments=tuple(wanted))
        case (ReadFunds(), ReadFunds()) | (ReadBook(), ReadBook()):
            return new
        case _:
            return None
