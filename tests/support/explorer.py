"""One entry and one closer against everything that can happen to them, breadth first.

A node is the engine and the truth at the broker, copied for every step taken from it. Nodes that
are equal are one: time moves only with a time-out or a restart, and an order's stamps only with
what happens to that order, so that the order of unrelated things leaves no trace.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from msgspec.structs import replace

from holdfast.core.engine import Engine
from holdfast.domain.command import (
    FindOrder,
    ModifyOrder,
    PlaceOrder,
)
from holdfast.domain.event import (
    AnyEvent,
    ForeignUpdated,
    JournalChanged,
    Link,
    LinkChanged,
    Outcome,
    Restarted,
    ServiceChanged,
    ServiceState,
)
from holdfast.domain.order import (
    BrokerStatus,
    OrderId,
    OrderType,
    Refusal,
    Side,
)
from holdfast.runtime.starting import simulated_access
from tests.support.desk import DAY, Desk
from tests.support.walk import (
    LOT,
    WHOLE,
    Asked,
    Kept,
    Node,
    Truth,
    Walk,
    foreign_row,
    frozen,
)

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


class Step(NamedTuple):
    """One thing that may happen now."""

    kind: str
    name: str
    act: Callable[["Walk"], None]


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
        yield Step(verb, f"{verb} {name}", lambda walk: walk.answer(asked))
    else:
        if not asked.is_done:
            yield Step(verb, f"{verb} {name} arrives", lambda walk: _do(walk, asked))
        yield Step(f"{verb} answer", f"{verb} answer {name}", lambda walk: walk.answer(asked))
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
    walk.tell(ForeignUpdated(at_ns=walk.truth.now_ns, row=foreign_row(LOT)))


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
