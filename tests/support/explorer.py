"""One entry and one closer against everything that can happen to them, breadth first.

A node is the engine and the truth at the broker, copied for every step taken from it. Nodes that
are equal are one: time moves only with a time-out or a restart, and an order's stamps only with
what happens to that order, so that the order of unrelated things leaves no trace.
"""

import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Final, NamedTuple

from msgspec.structs import replace

from holdfast.core.engine import _PARTS, Engine
from holdfast.core.state import State
from holdfast.domain.book import BookNet, BookTrade, ForeignRow
from holdfast.domain.command import (
    AnyCommand,
    CancelOrder,
    FindOrder,
    ModifyOrder,
    Notify,
    PlaceOrder,
    Severity,
)
from holdfast.domain.event import (
    Action,
    AnyEvent,
    BookRead,
    ForeignUpdated,
    FundsRead,
    JournalChanged,
    Link,
    LinkChanged,
    OrderAcknowledged,
    OrderUpdated,
    Outcome,
    ReadFailed,
    Restarted,
    SendFailed,
    ServiceChanged,
    ServiceState,
    TimerFired,
)
from holdfast.domain.instrument import Product
from holdfast.domain.market import Tick
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderTerms,
    OrderType,
    Purpose,
    Refusal,
    Side,
)
from holdfast.runtime.starting import simulated_access
from tests.support.desk import CALL, DAY, NIFTY, OPEN, SECOND, Desk

LOT: Final = 65
WHOLE: Final = 2 * LOT
OWNERS: Final = BrokerOrderId("77")
"""The broker's number of the owner's sale."""

CUT_S: Final = 12
"""So many seconds after the owner's sale our closing orders may still be cut."""

KEPT_S: Final = 10
"""What nothing covers is covered within so many seconds, or told.

A rule of ours protects it until calls have failed for five seconds; two later a person hears (T9).
"""

KINDS: Final = (
    "acknowledgement",
    "partial fill",
    "last fill",
    "trigger",
    "cancel",
    "cancel answer",
    "modify",
    "modify answer",
    "reject",
    "time-out",
    "restart",
    "foreign fill",
    "row read",
)
"""What may happen; the last answers a search of ours, which the others make necessary."""


class BadEnd(AssertionError):
    """A node that must not be, and the way to it."""


class Kept(NamedTuple):
    """One order in the broker's books. `stamp` counts what happened to it."""

    purpose: Purpose
    terms: OrderTerms
    status: BrokerStatus = BrokerStatus.WORKING
    filled: int = 0
    stamp: int = 1
    refusal: Refusal | None = None

    @property
    def is_live(self) -> bool:
        return self.status in (BrokerStatus.WORKING, BrokerStatus.TRIGGERED)

    @property
    def open_quantity(self) -> int:
        return self.terms.quantity - self.filled if self.is_live else 0

    @property
    def is_stop(self) -> bool:
        return self.terms.order_type is OrderType.STOP_LIMIT


class Asked(NamedTuple):
    """A request on its way; `is_done`: it has reached the broker, and nobody has said so."""

    command: PlaceOrder | ModifyOrder | CancelOrder | FindOrder
    is_done: bool = False


class Truth(NamedTuple):
    """What the broker's books hold and what is on its way, in order; `foreign` is the owner's."""

    now_ns: int
    orders: tuple[tuple[OrderId, Kept], ...] = ()
    asked: tuple[Asked, ...] = ()
    placed: tuple[OrderId, ...] = ()
    foreign: int = 0
    restarts: int = 0
    silences_left: int = 2
    is_told: bool = False
    """Whether a person was called since all that is held was last covered by closing orders."""

    def order(self, identity: OrderId) -> Kept | None:
        return dict(self.orders).get(identity)

    @property
    def net(self) -> int:
        """Contracts held, the owner's sales taken off."""
        ours = sum(kept.filled * kept.terms.side.sign for _, kept in self.orders)
        return ours - self.foreign


class Node(NamedTuple):
    """An engine, frozen, and the truth beside it; `way` is how it came about."""

    engine: bytes
    truth: Truth
    way: tuple[str, ...]


class Step(NamedTuple):
    """One thing that may happen now."""

    kind: str
    name: str
    act: Callable[["Walk"], None]


class Walk:
    """One engine under way from a node: the steps it takes and what they change."""

    def __init__(self, base: Engine, node: Node) -> None:
        self.engine: Engine = object.__new__(Engine)
        self.engine.__dict__.update(base.__dict__)
        self.engine.__dict__.update(pickle.loads(node.engine))  # noqa: S301 our own bytes, a copy
        self.truth = node.truth
        self.way = node.way

    @property
    def state(self) -> State:
        return self.engine._state  # noqa: SLF001 tests look inside

    def node(self) -> Node:
        return Node(frozen(self.engine), self.truth, self.way)

    def key(self) -> tuple[bytes, Truth]:
        """What makes two nodes one."""
        image = self.engine.image()
        assert image is not None
        return blake2b(image, digest_size=16).digest(), self.truth

    def tell(self, event: AnyEvent) -> None:
        """Let the engine hear something, and note what it asks."""
        for command in self.engine.step(event).commands:
            self._take(command)
        if self.truth.is_told and self.is_covered():
            self.truth = self.truth._replace(is_told=False)

    def _take(self, command: AnyCommand) -> None:
        truth = self.truth
        if isinstance(command, PlaceOrder):
            self._must(command.order_id not in truth.placed, f"{command.order_id} is placed twice")
            self.truth = truth._replace(placed=(*truth.placed, command.order_id))
        if isinstance(command, Notify) and command.severity is Severity.ALARM:
            self.truth = truth._replace(is_told=True)
        if isinstance(command, FindOrder):
            same = [one for one in self.truth.asked if one.command == command]
            if same:
                return  # one answer serves both
        if isinstance(command, PlaceOrder | ModifyOrder | CancelOrder | FindOrder):
            self.truth = self.truth._replace(asked=(*self.truth.asked, Asked(command)))

    def _must(self, is_right: bool, what: str) -> None:  # noqa: FBT001 an assertion with a story
        if not is_right:
            raise BadEnd(f"{what}\n  " + "\n  ".join(self.way) + f"\n  {self.truth}")

    # -- the broker's side

    def put(self, identity: OrderId, kept: Kept) -> None:
        """Change an order in the broker's books; its stamp moves on."""
        orders = dict(self.truth.orders)
        before = orders.get(identity)
        stamp = 1 if before is None else before.stamp + 1
        orders[identity] = kept._replace(stamp=stamp)
        self.truth = self.truth._replace(orders=tuple(orders.items()))

    def drop(self, asked: Asked) -> None:
        """A request was answered, or never will be."""
        rest = list(self.truth.asked)
        rest.remove(asked)
        self.truth = self.truth._replace(asked=tuple(rest))

    def forget_searches(self) -> None:
        """A search is answered next or never: the engine asks again by itself."""
        rest = (one for one in self.truth.asked if not isinstance(one.command, FindOrder))
        self.truth = self.truth._replace(asked=tuple(rest))

    def row(self, identity: OrderId, kept: Kept) -> OrderRow:
        return OrderRow(
            order_id=identity,
            broker_id=BrokerOrderId(f"B-{identity}"),
            status=kept.status,
            terms=kept.terms,
            filled_quantity=kept.filled,
            filled_value_paise=kept.filled * 10_000,
            venue_at_ns=OPEN + kept.stamp,
            refusal=kept.refusal,
        )

    def say(self, identity: OrderId, *, is_read: bool = False) -> None:
        """Tell the engine how an order stands."""
        kept = self.truth.order(identity)
        assert kept is not None
        row = self.row(identity, kept)
        self.tell(OrderUpdated(at_ns=self.truth.now_ns, row=row, is_read=is_read))

    def arrive(self, asked: Asked) -> bool:
        """Let a request reach the broker; returns whether it could do what was asked."""
        command = asked.command
        if isinstance(command, PlaceOrder):
            self.put(command.order_id, Kept(command.purpose, command.terms))
            return True
        kept = self.truth.order(command.order_id)
        if kept is None or not kept.is_live:
            return False
        if isinstance(command, CancelOrder):
            self.put(command.order_id, kept._replace(status=BrokerStatus.CANCELLED))
            return True
        assert isinstance(command, ModifyOrder)
        is_stop_again = command.terms.order_type is OrderType.STOP_LIMIT and not kept.is_stop
        if is_stop_again or command.terms.quantity <= kept.filled:
            return False
        self.put(command.order_id, kept._replace(terms=command.terms))
        return True

    def fail(self, asked: Asked, outcome: Outcome, refusal: Refusal | None = None) -> None:
        """Tell the engine that a request came to nothing, or that nobody knows."""
        kinds: dict[type, Action] = {
            PlaceOrder: Action.PLACE,
            ModifyOrder: Action.MODIFY,
            CancelOrder: Action.CANCEL,
            FindOrder: Action.FIND,
        }
        failed = SendFailed(
            at_ns=self.truth.now_ns,
            order_id=asked.command.order_id,
            action=kinds[type(asked.command)],
            outcome=outcome,
            refusal=refusal,
        )
        self.tell(failed)

    def pass_time(self, seconds: int) -> None:
        """Deadlines fire and the market is told, second by second."""
        for _ in range(seconds):
            until_ns = self.truth.now_ns + SECOND
            while (due := self.engine.deadline_ns) is not None and due < until_ns:
                self.tell(TimerFired(at_ns=due))
            self.truth = self.truth._replace(now_ns=until_ns)
            self._packet()

    def _packet(self) -> None:
        now = self.truth.now_ns
        for contract, paise in ((NIFTY, 2_450_000), (CALL, 10_000)):
            is_index = contract is NIFTY
            self.tell(
                Tick(
                    at_ns=now,
                    instrument=contract.id,
                    last_paise=paise,
                    venue_at_ns=now // SECOND * SECOND,
                    volume=(now - OPEN) // SECOND * LOT,
                    bids=() if is_index else ((paise - 5, 650),),
                    asks=() if is_index else ((paise + 5, 650),),
                )
            )

    def read_book(self) -> None:
        """Two passes that agree, of the books as they are, with the cash.

        They begin one after the other: one that began no later is no second opinion.
        """
        for before_ns in (1, 0):
            self.tell(self._pass(self.truth.now_ns - before_ns))
        self.tell(FundsRead(at_ns=self.truth.now_ns, available_paise=500_000_00))

    def _pass(self, began_at_ns: int) -> BookRead:
        truth = self.truth
        rows = tuple(self.row(identity, kept) for identity, kept in truth.orders)
        filled = [(row.broker_id, row.filled_quantity) for row in rows]
        foreign = (_foreign(truth.foreign),) if truth.foreign else ()
        filled += [(row.broker_id, row.filled_quantity) for row in foreign]
        bought = sum(k.filled for _, k in truth.orders if k.terms.side is Side.BUY)
        net = BookNet(
            instrument=CALL.id,
            product=Product.INTRADAY,
            bought=bought,
            sold=bought - truth.net,
        )
        trades = (
            BookTrade(trade_id=f"T{number}", broker_id=number, quantity=each, value_paise=each)
            for number, each in filled
            if each
        )
        return BookRead(
            at_ns=truth.now_ns,
            began_at_ns=began_at_ns,
            nets=(net,) if bought else (),
            orders=rows,
            foreign=foreign,
            trades=tuple(trades),
            funds_paise=500_000_00,
        )

    # -- what must hold

    def check(self) -> None:
        """No bad end is reached: nothing doubled, oversold or dropped, and the fills are known."""
        truth, state = self.truth, self.state
        if truth.foreign and self.closing_worst() > truth.net:
            self._must(self._cuts(), "the key stays oversold")
        else:
            self._must(self.closing_worst() <= truth.net, "the key is oversold")
        held = sum(position.holding.quantity for position in state.positions.values())
        booked = state.booked[OWNERS].quantity if OWNERS in state.booked else 0
        self._must(0 <= booked <= truth.foreign, f"{booked} are booked to the owner")
        ours = truth.net + truth.foreign - booked
        self._must(held == ours, f"{held} are held here")
        for identity, kept in truth.orders:
            order = state.orders.get(identity)
            is_known = order is not None and (order.is_live or not kept.is_live)
            self._must(is_known, f"{identity} is open at the broker and dropped here")
        closed = all(position.is_closed for position in state.positions.values())
        self._must(not (closed and truth.net > 0), "it is closed here and held at the broker")
        self._must(self.bought_worst() <= WHOLE, "it is entered twice")
        for is_heard in (True, False):
            what = f"what is held is not covered, is_heard {is_heard}, and nobody is told"
            self._must(self._is_kept(is_heard=is_heard), what)

    def is_covered(self) -> bool:
        """Whether closing orders stand, or are on their way, for all that is held."""
        return self.closing_worst() >= self.truth.net

    def _is_kept(self, *, is_heard: bool) -> bool:
        """Whether what is held is covered, or soon will be, or a person is called.

        `is_heard`: the broker answers meanwhile; otherwise all that was asked is lost.
        """
        if self.truth.is_told or self.is_covered():
            return True
        twin = Walk(self.engine, self.node())
        for _ in range(KEPT_S):
            twin.pass_time(1)
            if is_heard:
                twin.answer_all()
                twin.read_book()
            else:
                twin.lose_all()
            if twin.truth.is_told or twin.is_covered():
                return True
        return False

    def _cuts(self) -> bool:
        """Whether a broker that answers is asked to take back what the owner has sold meanwhile.

        A cut may be on its way, or wait for a number or for the end of a pause.
        """
        twin = Walk(self.engine, self.node())
        for _ in range(CUT_S):
            twin.answer_all()
            if twin.closing_worst() <= max(twin.truth.net, 0):
                return True
            twin.pass_time(1)
        return False

    def closing_worst(self) -> int:
        """What closing orders could still sell, those on their way and their new sizes included."""
        worst: Counter[OrderId] = Counter()
        for identity, kept in self.truth.orders:
            if kept.purpose is not Purpose.ENTRY:
                worst[identity] = kept.open_quantity
        for asked in self.truth.asked:
            command = asked.command
            if isinstance(command, PlaceOrder) and command.purpose is not Purpose.ENTRY:
                worst[command.order_id] = command.terms.quantity
            elif isinstance(command, ModifyOrder) and worst[command.order_id]:
                modified = self.truth.order(command.order_id)
                assert modified is not None
                size = command.terms.quantity - modified.filled
                worst[command.order_id] = max(worst[command.order_id], size)
        return sum(worst.values())

    def bought_worst(self) -> int:
        """What entries have bought and could still buy, those on their way included."""
        bought = sum(
            kept.filled + kept.open_quantity
            for _, kept in self.truth.orders
            if kept.purpose is Purpose.ENTRY
        )
        return bought + sum(
            asked.command.terms.quantity
            for asked in self.truth.asked
            if isinstance(asked.command, PlaceOrder) and asked.command.purpose is Purpose.ENTRY
        )

    def assert_lives(self, seconds: int) -> None:
        """With a broker that answers again, what is held is covered by one closer, or is gone."""
        for _ in range(seconds):
            self.answer_all()
            self.pass_time(1)
            self.read_book()
            self.check()
        self.answer_all()
        covered = sum(
            kept.open_quantity for _, kept in self.truth.orders if kept.purpose is not Purpose.ENTRY
        )
        is_left = any(position.stop_is_owners for position in self.state.live)  # T14: and told
        is_right = covered == max(self.truth.net, 0) or (is_left and self.truth.is_told)
        self._must(is_right, f"{covered} of {self.truth.net} are covered")

    def answer_all(self) -> None:
        """Everything that is on its way is done, and its answers are heard."""
        while self.truth.asked:
            asked = self.truth.asked[0]
            _answer(self, asked)

    def lose_all(self) -> None:
        """Nothing that is on its way arrives, and its senders give up."""
        for asked in self.truth.asked:
            self.drop(asked)
            self.fail(asked, Outcome.UNANSWERED)


def frozen(engine: Engine) -> bytes:
    """All that an engine has learnt; what it was built with is shared by every node."""
    names = [f"_{name}" for name in _PARTS]
    return pickle.dumps({name: getattr(engine, name) for name in names}, -1)


def _foreign(quantity: int) -> ForeignRow:
    return ForeignRow(
        broker_id=OWNERS,
        instrument=CALL.id,
        product=Product.INTRADAY,
        side=Side.SELL,
        quantity=quantity,
        filled_quantity=quantity,
        is_live=False,
    )


# -- what may happen


def steps(truth: Truth, kinds: frozenset[str]) -> Iterator[Step]:
    """Everything of these kinds that may happen at a node, in a fixed order."""
    for number, asked in enumerate(truth.asked):
        first = [one.command for one in truth.asked].index(asked.command)
        if first == number:
            yield from (
                step for step in _of_request(asked, truth.silences_left) if step.kind in kinds
            )
    for identity, kept in truth.orders:
        if kept.is_live:
            yield from (step for step in _of_order(identity, kept) if step.kind in kinds)
    if "restart" in kinds and truth.restarts < 1:
        yield Step("restart", "restart", _restart)
    if "foreign fill" in kinds and truth.net >= LOT and not truth.foreign:
        yield Step("foreign fill", "foreign fill", _foreign_fill)


def _of_request(asked: Asked, silences_left: int) -> Iterator[Step]:
    command = asked.command
    name = str(command.order_id)[-8:]
    word = {PlaceOrder: "acknowledgement", FindOrder: "row read"}
    verb = word.get(type(command), "modify" if isinstance(command, ModifyOrder) else "cancel")
    if isinstance(command, PlaceOrder | FindOrder):
        yield Step(verb, f"{verb} {name}", lambda walk: _answer(walk, asked))
    else:
        if not asked.is_done:
            yield Step(verb, f"{verb} {name} arrives", lambda walk: _do(walk, asked))
        yield Step(f"{verb} answer", f"{verb} answer {name}", lambda walk: _answer(walk, asked))
    if not asked.is_done and not isinstance(command, FindOrder):
        yield Step("reject", f"{verb} {name} refused", lambda walk: _refuse(walk, asked))
    is_search = isinstance(command, FindOrder)  # one that fails says nothing
    for is_lost in (False, True) if silences_left and not is_search else ():
        what = "lost" if is_lost else "its answer lost"
        if not (is_lost and asked.is_done):  # what has arrived cannot get lost
            yield Step(
                "time-out",
                f"time-out of {verb} {name}, {what}",
                lambda walk, is_lost=is_lost: _time_out(walk, asked, is_lost=is_lost),  # type: ignore[misc]
            )


def _of_order(identity: OrderId, kept: Kept) -> Iterator[Step]:
    name = str(identity)[-8:]
    if kept.is_stop:
        yield Step("trigger", f"trigger {name}", lambda walk: _trigger(walk, identity))
        yield Step("reject", f"{name} dies at its trigger", lambda walk: _die(walk, identity))
    else:
        if kept.open_quantity > LOT:
            yield Step("partial fill", f"fill 65 of {name}", lambda w: _fill(w, identity, LOT))
        yield Step("last fill", f"last fill of {name}", lambda w: _fill(w, identity, WHOLE))
    yield Step("cancel", f"{name} is cancelled", lambda walk: _cancelled(walk, identity))


def _do(walk: Walk, asked: Asked) -> None:
    """It reaches the broker, and nobody says so yet."""
    walk.drop(asked)
    if walk.arrive(asked):
        walk.truth = walk.truth._replace(asked=(*walk.truth.asked, asked._replace(is_done=True)))
    else:
        walk.fail(asked, Outcome.REFUSED, Refusal.NOT_MODIFIABLE)


def _answer(walk: Walk, asked: Asked) -> None:
    """It is done, if it was not yet, and the engine hears of it."""
    command = asked.command
    if asked in walk.truth.asked:
        walk.drop(asked)
    if isinstance(command, FindOrder):
        if walk.truth.order(command.order_id) is None:
            what = f"order {command.order_id}"
            walk.tell(ReadFailed(at_ns=walk.truth.now_ns, what=what, reason="not found"))
        else:
            walk.say(command.order_id, is_read=True)
    elif not (asked.is_done or walk.arrive(asked)):
        walk.fail(asked, Outcome.REFUSED, Refusal.NOT_MODIFIABLE)
    elif isinstance(command, PlaceOrder):
        number = BrokerOrderId(f"B-{command.order_id}")
        taken = OrderAcknowledged(
            at_ns=walk.truth.now_ns, order_id=command.order_id, broker_id=number
        )
        walk.tell(taken)
        walk.say(command.order_id)
    else:
        walk.say(command.order_id)


def _refuse(walk: Walk, asked: Asked) -> None:
    walk.drop(asked)
    walk.fail(asked, Outcome.REFUSED, Refusal.OTHER)


def _time_out(walk: Walk, asked: Asked, *, is_lost: bool) -> None:
    """Nobody answers for two seconds; what was asked has happened or it has not."""
    walk.drop(asked)
    if not (is_lost or asked.is_done or isinstance(asked.command, FindOrder)):
        walk.arrive(asked)
    walk.truth = walk.truth._replace(silences_left=walk.truth.silences_left - 1)
    walk.pass_time(2)
    walk.fail(asked, Outcome.UNANSWERED)


def _trigger(walk: Walk, identity: OrderId) -> None:
    kept = walk.truth.order(identity)
    assert kept is not None
    terms = replace(kept.terms, order_type=OrderType.LIMIT, trigger_paise=None)
    walk.put(identity, kept._replace(terms=terms, status=BrokerStatus.TRIGGERED))
    walk.say(identity)


def _die(walk: Walk, identity: OrderId) -> None:
    kept = walk.truth.order(identity)
    assert kept is not None
    walk.put(identity, kept._replace(status=BrokerStatus.REJECTED, refusal=Refusal.OTHER))
    walk.say(identity)


def _fill(walk: Walk, identity: OrderId, quantity: int) -> None:
    kept = walk.truth.order(identity)
    assert kept is not None
    filled = min(kept.filled + quantity, kept.terms.quantity)
    is_whole = filled == kept.terms.quantity
    status = BrokerStatus.FILLED if is_whole else kept.status
    walk.put(identity, kept._replace(filled=filled, status=status))
    walk.say(identity)


def _cancelled(walk: Walk, identity: OrderId) -> None:
    """Somebody else cancels it, and the stream says so."""
    kept = walk.truth.order(identity)
    assert kept is not None
    walk.put(identity, kept._replace(status=BrokerStatus.CANCELLED))
    walk.say(identity)


def _restart(walk: Walk) -> None:
    """The process ends: what was asked arrives, its answers are lost; four seconds, then a read."""
    for asked in walk.truth.asked:
        if not asked.is_done and not isinstance(asked.command, FindOrder):
            walk.arrive(asked)
    walk.truth = walk.truth._replace(asked=(), restarts=walk.truth.restarts + 1)
    for event in _beginning(walk.truth.now_ns):
        walk.tell(event)
    walk.pass_time(4)
    walk.read_book()


def _beginning(at_ns: int) -> Iterator[AnyEvent]:
    yield Restarted(at_ns=at_ns, day=DAY, code_version="2", config_sha256="c")
    for link in Link:
        yield LinkChanged(at_ns=at_ns, link=link, is_up=True)
    yield JournalChanged(at_ns=at_ns, is_durable=True)
    yield from simulated_access(at_ns)
    yield ServiceChanged(at_ns=at_ns, service="engine", state=ServiceState.READY, is_core=True)


def _foreign_fill(walk: Walk) -> None:
    """The owner sells a lot of what is held, in the broker's own app."""
    walk.truth = walk.truth._replace(foreign=LOT)
    walk.tell(ForeignUpdated(at_ns=walk.truth.now_ns, row=_foreign(LOT)))


# -- the search


class Found(NamedTuple):
    """What a search saw: nodes, steps between them by kind, and how many were let live on."""

    states: int
    transitions: int
    kinds: Mapping[str, int]
    lived: int


def root(*, is_held: bool, silences: int = 2) -> tuple[Engine, Node]:
    """An entry of two lots that has just left; or it is held, and its stop was seen to rest.

    `silences`: how many requests of one way nobody answers.
    """
    desk = Desk()
    desk.at(60).spot()
    entry = desk.intend(Side.BUY, quantity=WHOLE)
    node = Node(frozen(desk.engine), Truth(now_ns=desk.now, silences_left=silences), ())
    walk = Walk(desk.engine, node)
    walk._take(entry)  # noqa: SLF001 it left while the desk was set up
    if is_held:
        walk.answer_all()
        _fill(walk, entry.order_id, WHOLE)
        walk.answer_all()
    return desk.engine, walk.node()


def explore(
    base: Engine, start: Node, *, depth: int, kinds: frozenset[str], live_every: int
) -> Found:
    """Take every step from every node down to `depth`; each `live_every`-th new node lives on."""
    seen: set[tuple[object, ...]] = set()
    counts: Counter[str] = Counter()
    level, lived = [start], 0
    for _ in range(depth):
        further: list[Node] = []
        for node in level:
            for step in list(steps(node.truth, kinds)):
                walk = Walk(base, node)
                walk.way = (*node.way, step.name)
                walk.forget_searches()
                step.act(walk)
                counts[step.kind] += 1
                key = walk.key()
                if key in seen:
                    continue
                seen.add(key)
                walk.check()
                further.append(walk.node())
                if len(seen) % live_every == 0:
                    walk.assert_lives(12)
                    lived += 1
        level = further
    return Found(len(seen), sum(counts.values()), counts, lived)
