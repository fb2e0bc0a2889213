"""Checkers of what the exchange itself saw: orders, fills, positions, and how much we asked of it."""

from collections import Counter, deque
from typing import TYPE_CHECKING

from typing_extensions import override

from holdfast.domain.command import AnyCommand, ModifyOrder, OrderRequest, PlaceOrder
from holdfast.domain.event import Outcome, SendFailed
from holdfast.domain.order import OrderId, Purpose
from holdfast.exchange.venue import Placement
from holdfast.worlds.checkers import Checker, Seen, reason_of
from holdfast.worlds.ground import SECOND

if TYPE_CHECKING:
    from holdfast.worlds.world import World


class NoIdTwice(Checker):
    """An id reaches the broker once; the broker does not tell two apart.

    One that it refused at its door is in no book. Where a crash took the record of it as well,
    nobody can know of it, and the next life may use it (T21): no life does so itself.
    """

    promise = "2.1, T21, GWL-5"

    def __init__(self) -> None:
        """Nothing was placed."""
        self._taken: set[OrderId] = set()
        self._refused_in: dict[OrderId, int] = {}
        self._count = 0

    @override
    def after_exchange(self, world: "World", at_ns: int) -> None:
        placements = world.exchange.placed_in_order
        while self._count < len(placements):
            placed = placements[self._count]
            self._count += 1
            name = placed.order_id
            if name in self._taken or self._refused_in.get(name) == world.lives:
                self.broken(f"{name} reached the broker twice")
            if placed.is_taken:
                self._taken.add(name)
            else:
                self._refused_in[name] = world.lives


class OneOrderPerIntent(Checker):
    """However often an entry is asked for, no more is ever bought than the intent said."""

    promise = "2.1, I-25"

    @override
    def after_exchange(self, world: "World", at_ns: int) -> None:
        for number, quantity in world.tally.entered.items():
            wanted = world.intents.get(number)
            if wanted is not None and quantity > wanted:
                self.broken(f"position {number} may come to {quantity}, {wanted} were wanted")


class NothingSoldThatIsNotHeld(Checker):
    """What our orders have sold of a key never exceeds what our orders have bought of it."""

    promise = "2.6, I-42, T4"

    @override
    def after_exchange(self, world: "World", at_ns: int) -> None:
        for key, net in world.tally.net.items():
            if net < 0:
                self.broken(
                    f"our orders have sold {-net} more of {key.instrument} than they bought"
                )


class CloserNeverExceedsPosition(Checker):
    """All closing orders of a position together can close no more than its own fills opened."""

    promise = "2.6, T2, T23, RACE-1"

    @override
    def after_exchange(self, world: "World", at_ns: int) -> None:
        held = world.tally.held
        for number, quantity in world.tally.closing.items():
            if quantity > max(held[number], 0):
                text = f"position {number} holds {held[number]}, {quantity} could be closed"
                self.broken(text)


class RationKept(Checker):
    """What could be sold at once is held, at the broker and by key, the owner's trades included.

    Where somebody else has traded the contract our books may be behind for a while.
    """

    promise = "2.6, T4"

    def __init__(self) -> None:
        """Not looked."""
        self._looked_ns = 0

    @override
    def after_step(self, seen: Seen) -> None:
        now_ns = seen.now_ns
        if now_ns - self._looked_ns >= SECOND // 2 and seen.world.is_anybody_else_in_it:
            self._looked_ns = now_ns
            seen.world.look_outside()
            self.after_exchange(seen.world, now_ns)

    @override
    def after_exchange(self, world: "World", at_ns: int) -> None:
        nets = world.exchange.positions()
        for key, quantity in world.tally.selling.items():
            held = max(nets.get(key, 0), 0)
            if quantity > held and not world.was_foreign(key, at_ns):
                self.broken(f"{quantity} of {key.instrument} could be sold, {held} are held")


class ProductKept(Checker):
    """Every order of a position has its contract and product, and closers its other side."""

    promise = "T8"

    def __init__(self) -> None:
        """Nothing was entered."""
        self._entered: dict[int, Placement] = {}
        self._count = 0

    @override
    def after_exchange(self, world: "World", at_ns: int) -> None:
        placements = world.exchange.placed_in_order
        while self._count < len(placements):
            self._look(world, placements[self._count])
            self._count += 1

    def _look(self, world: "World", placed: Placement) -> None:
        reason = reason_of(world, placed.order_id)
        if placed.terms.product is not world.terms.settings.entries.product:
            self.broken(f"{placed.order_id} was sent as {placed.terms.product.value}")
        if reason.purpose is Purpose.ENTRY:
            self._entered.setdefault(reason.position, placed)
            return
        entered = self._entered.get(reason.position)
        if entered is None:
            self.broken(f"{placed.order_id} closes what was never entered")
        elif placed.terms.instrument != entered.terms.instrument:
            self.broken(f"{placed.order_id} is of another contract than its entry")
        elif placed.terms.side is entered.terms.side:
            self.broken(f"{placed.order_id} adds to what it should close")


class WithinRates(Checker):
    """No window of the broker's order limits is exceeded, and no order modified too often.

    Entries and stops that trail leave what exits keep of each window.
    A request of which no byte left (T26) is none of the broker's: it never knew of it.
    """

    promise = "T7, GWL-4"
    wants_quiet = False

    WINDOWS = ((1, 10, 8), (60, 250, 150))

    def __init__(self) -> None:
        """Nothing was sent."""
        self._sent: deque[int] = deque()
        self._modified: Counter[OrderId] = Counter()
        self._tries: dict[OrderId, tuple[AnyCommand, list[int]]] = {}

    @override
    def after_step(self, seen: Seen) -> None:
        event = seen.event
        if not isinstance(event, SendFailed):
            return
        command, stamps = self._tries.pop(event.order_id, (None, []))
        if event.outcome is Outcome.NOT_SENT:
            for stamp in stamps:
                if stamp in self._sent:
                    self._sent.remove(stamp)
            if isinstance(command, ModifyOrder):
                self._modified[event.order_id] -= len(stamps)

    @override
    def on_send(self, world: "World", command: AnyCommand, at_ns: int) -> None:
        if not isinstance(command, OrderRequest):
            return
        now_ns = at_ns - world.off_of_process
        self._sent.append(now_ns)
        last, stamps = self._tries.get(command.order_id, (None, []))
        stamps = [*stamps, now_ns] if command == last else [now_ns]
        self._tries[command.order_id] = command, stamps
        while now_ns - self._sent[0] >= 60 * SECOND:
            self._sent.popleft()
        for seconds, most, ordinary in self.WINDOWS:
            count = sum(1 for one in self._sent if now_ns - one < seconds * SECOND)
            if count > most:
                self.broken(f"{count} requests about orders in {seconds} s, {most} are allowed")
            if count > ordinary and _is_ordinary(command):
                self.broken(f"{command.order_id} took what exits keep: {count} in {seconds} s")
        if isinstance(command, ModifyOrder):
            self._modified[command.order_id] += 1
            if self._modified[command.order_id] > 25:
                self.broken(f"{command.order_id} is modified for the 26th time")


def _is_ordinary(command: OrderRequest) -> bool:
    if isinstance(command, PlaceOrder):
        return command.purpose is Purpose.ENTRY
    return isinstance(command, ModifyOrder) and command.is_ordinary


class LegsHaveNoStop(Checker):
    """A stop at the broker under the long leg of a structure would end the hedge's margin."""

    promise = "T12"

    @override
    def on_send(self, world: "World", command: AnyCommand, at_ns: int) -> None:
        if not world.terms.has_structures or not isinstance(command, PlaceOrder):
            return
        if command.purpose is Purpose.STOP:
            self.broken(f"{command.order_id} is the stop of a long leg")


class EntryDurableFirst(Checker):
    """An entry leaves only when its intent is on the disk."""

    promise = "invariant 2, I-31"

    @override
    def on_send(self, world: "World", command: AnyCommand, at_ns: int) -> None:
        if isinstance(command, PlaceOrder) and command.purpose is Purpose.ENTRY:
            assert world.process is not None
            journal = world.process.journal
            if not journal.is_durable(command.order_id):
                self.broken(f"{command.order_id} left before its intent was durable")


TRUTHS: tuple[type[Checker], ...] = (
    NoIdTwice,
    OneOrderPerIntent,
    NothingSoldThatIsNotHeld,
    CloserNeverExceedsPosition,
    RationKept,
    ProductKept,
    WithinRates,
    LegsHaveNoStop,
    EntryDurableFirst,
)
