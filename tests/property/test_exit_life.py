"""Exits against a broker that loses, repeats, reorders and refuses: never two closers, flat at last.

The broker's own books are the truth that is checked; what it says of them travels as mail that a
drawn script delivers, forgets or delivers twice, in any order. It never lies about an end.
"""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from holdfast.domain.audit import EntryEnded, PositionClosed
from holdfast.domain.command import (
    AnyCommand,
    CancelOrder,
    FindOrder,
    ModifyOrder,
    PlaceOrder,
    ReadFunds,
)
from holdfast.domain.event import (
    Action,
    AnyEvent,
    FundsRead,
    OperatorRequest,
    OrderAcknowledged,
    OrderUpdated,
    Outcome,
    ReadFailed,
    SendFailed,
    TimerFired,
)
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
from tests.support.desk import OPEN, SECOND, Desk

REFUSALS = tuple(Refusal)
REQUESTS_PER_SECOND_MAX = 12
"""More than this from one position, on average over ten quiet seconds, is a spin."""


class Kept:
    """One order in the broker's books."""

    def __init__(self, command: PlaceOrder) -> None:
        self.id = command.order_id
        self.purpose = command.purpose
        self.position = command.position
        self.terms = command.terms
        self.status = BrokerStatus.WORKING
        self.filled = 0
        self.value_paise = 0
        self.modifications = 0
        self.stamp_ns = 0
        self.refusal: Refusal | None = None

    @property
    def is_live(self) -> bool:
        return self.status in (BrokerStatus.WORKING, BrokerStatus.TRIGGERED)

    @property
    def open_quantity(self) -> int:
        return self.terms.quantity - self.filled if self.is_live else 0

    @property
    def is_stop(self) -> bool:
        return self.terms.order_type is OrderType.STOP_LIMIT


class Script:
    """The choices of one story; when they are used up, everything is as it should be (0)."""

    def __init__(self, choices: Sequence[int]) -> None:
        self._choices = iter(choices)

    def choose(self, among: int) -> int:
        return next(self._choices, 0) % among


class MoodyBroker:
    """Handles what the engine asks in any order and mood; checks its books after every change."""

    def __init__(self, desk: Desk, script: Script) -> None:
        self.desk = desk
        self.script = script
        self.orders: dict[OrderId, Kept] = {}
        self.sides: dict[int, Side] = {}
        self.requests: list[AnyCommand] = []
        self.mail: list[AnyEvent] = []
        self.placed: Counter[OrderId] = Counter()
        self._read = 0
        self._stamp_ns = 0

    # -- what the engine asks

    def collect(self) -> None:
        """Take the engine's new requests, and look at what could now happen."""
        for command in self.desk.commands[self._read :]:
            if isinstance(command, PlaceOrder):
                self.placed[command.order_id] += 1
                assert self.placed[command.order_id] == 1, "an id was placed twice"
                if command.purpose is Purpose.ENTRY:
                    self.sides[command.position] = command.terms.side
            if isinstance(command, PlaceOrder | ModifyOrder | CancelOrder | FindOrder | ReadFunds):
                self.requests.append(command)
        self._read = len(self.desk.commands)
        self.check()

    def check(self) -> None:
        """At most one closing order lives per position, and it never closes more than is held."""
        for position, side in self.sides.items():
            closers = [
                order.open_quantity
                for order in self.orders.values()
                if order.position == position and order.is_live and order.terms.side is not side
            ]
            closers += [
                request.terms.quantity
                for request in self.requests
                if isinstance(request, PlaceOrder)
                and request.position == position
                and request.purpose is not Purpose.ENTRY
            ]
            assert len(closers) <= 1, f"position {position} has {len(closers)} closing orders"
            assert sum(closers) <= self.net(position), f"position {position} is closed twice"

    def net(self, position: int) -> int:
        """What the broker's books hold of a position, positive on its own side."""
        side = self.sides[position]
        return sum(
            order.filled if order.terms.side is side else -order.filled
            for order in self.orders.values()
            if order.position == position
        )

    def handle(self, request: AnyCommand, mood: int) -> None:
        """Do what was asked, or not, and write what is said about it."""
        self.requests.remove(request)
        match request:
            case PlaceOrder():
                self._place(request, mood)
            case ModifyOrder():
                self._modify(request, mood)
            case CancelOrder():
                self._cancel(request, mood)
            case FindOrder():
                self._find(request, mood)
            case _:
                self.mail.append(FundsRead(at_ns=0, available_paise=100_000_00))
        self.check()

    def _place(self, request: PlaceOrder, mood: int) -> None:
        if mood in (4, 5):
            outcome = Outcome.REFUSED if mood == 4 else Outcome.NOT_SENT
            self._no(request.order_id, Action.PLACE, outcome)
            return
        order = self.orders[request.order_id] = Kept(request)
        if mood in (0, 2, 6):
            self.mail.append(
                OrderAcknowledged(
                    at_ns=0, order_id=order.id, broker_id=BrokerOrderId(f"B-{order.id}")
                )
            )
        if mood == 3:
            self._no(order.id, Action.PLACE, Outcome.UNANSWERED)
        if mood == 6:
            self._end(order, BrokerStatus.REJECTED, refusal=self._refusal())
        else:
            self._tell(order, is_lost=mood > 1)

    def _modify(self, request: ModifyOrder, mood: int) -> None:
        order = self.orders[request.order_id]
        cannot = not order.is_live or (not order.is_stop and request.terms.trigger_paise)
        if cannot or request.terms.quantity <= order.filled:
            self._no(order.id, Action.MODIFY, Outcome.REFUSED, Refusal.NOT_MODIFIABLE)
            return
        order.modifications += 1
        assert order.modifications <= 25, "more modifications than the broker takes"
        if mood in (0, 1, 2):
            order.terms = request.terms
            self._tell(order, is_lost=mood > 0)
        if mood in (2, 3):
            self._no(order.id, Action.MODIFY, Outcome.UNANSWERED)
        elif mood == 4:
            self._no(order.id, Action.MODIFY, Outcome.REFUSED)
        elif mood == 6:  # the word that means the modification (T15)
            self._tell(order, status=BrokerStatus.REJECTED)
        elif mood == 7:
            self._no(order.id, Action.MODIFY, Outcome.NOT_SENT)

    def _cancel(self, request: CancelOrder, mood: int) -> None:
        order = self.orders[request.order_id]
        if not order.is_live:
            self._no(order.id, Action.CANCEL, Outcome.REFUSED, Refusal.NOT_MODIFIABLE)
            return
        if mood in (0, 1, 2):
            self._end(order, BrokerStatus.CANCELLED, is_lost=mood > 0)
        if mood in (2, 3):
            self._no(order.id, Action.CANCEL, Outcome.UNANSWERED)
        elif mood == 4:
            self._no(order.id, Action.CANCEL, Outcome.REFUSED)

    def _find(self, request: FindOrder, mood: int) -> None:
        order = self.orders.get(request.order_id)
        if mood == 2:
            self._no(request.order_id, Action.FIND, Outcome.UNANSWERED)
        elif order is None or mood == 1:
            self.mail.append(ReadFailed(at_ns=0, what="order", reason="not found"))
        else:
            self._tell(order, is_read=True)

    # -- what happens at the exchange

    def fill(self, order: Kept, quantity: int) -> None:
        """Some of a limit order trades at its limit."""
        traded = min(quantity, order.open_quantity)
        order.filled += traded
        order.value_paise += traded * order.terms.limit_paise
        if order.filled == order.terms.quantity:
            order.status = BrokerStatus.FILLED
        self._tell(order)
        self.check()

    def trigger(self, order: Kept, *, is_refused: bool) -> None:
        """A stop is released into the book, or dies there."""
        if is_refused:
            self._end(order, BrokerStatus.REJECTED, refusal=Refusal.BAND)
            return
        order.terms = replace(order.terms, order_type=OrderType.LIMIT, trigger_paise=None)
        self._tell(order, status=BrokerStatus.TRIGGERED)

    def kill(self, order: Kept) -> None:
        """Somebody else cancels an order."""
        self._end(order, BrokerStatus.CANCELLED, refusal=self._refusal())

    def live(self) -> list[Kept]:
        """Orders that could still fill, oldest first."""
        return [order for order in self.orders.values() if order.is_live]

    # -- what is said

    def deliver(self, index: int, *, keep: bool) -> None:
        """Let the engine hear one piece of mail now."""
        event = self.mail[index] if keep else self.mail.pop(index)
        self.desk.tell(replace(event, at_ns=self.desk.now))
        self.collect()

    def lose(self, index: int) -> None:
        """Nobody ever hears this piece of mail; a no to a placement is not lost.

        (That an order never existed is proved by whole-book reads only, which are yet to come.)
        """
        event = self.mail[index]
        if not (isinstance(event, SendFailed) and event.action is Action.PLACE):
            self.mail.pop(index)

    def _tell(
        self,
        order: Kept,
        *,
        status: BrokerStatus | None = None,
        is_read: bool = False,
        is_lost: bool = False,
    ) -> None:
        if not is_read:
            self._stamp_ns = order.stamp_ns = max(self._stamp_ns + 1, self.desk.now)
        if is_lost:
            return
        row = OrderRow(
            order_id=order.id,
            broker_id=BrokerOrderId(f"B-{order.id}"),
            status=status or order.status,
            terms=order.terms,
            filled_quantity=order.filled,
            filled_value_paise=order.value_paise,
            venue_at_ns=order.stamp_ns,
            refusal=order.refusal,
        )
        self.mail.append(OrderUpdated(at_ns=0, row=row, is_read=is_read))

    def _end(
        self,
        order: Kept,
        status: BrokerStatus,
        *,
        refusal: Refusal | None = None,
        is_lost: bool = False,
    ) -> None:
        order.status, order.refusal = status, refusal
        self._tell(order, is_lost=is_lost)

    def _no(
        self,
        order_id: OrderId,
        action: Action,
        outcome: Outcome,
        refusal: Refusal | None = None,
    ) -> None:
        if outcome is Outcome.REFUSED and refusal is None:
            refusal = self._refusal()
        failed = SendFailed(
            at_ns=0, order_id=order_id, action=action, outcome=outcome, refusal=refusal
        )
        self.mail.append(failed)

    def _refusal(self) -> Refusal | None:
        index = self.script.choose(len(REFUSALS) + 1)
        return None if index == 0 else REFUSALS[index - 1]


class Story:
    """One drawn day: positions of either side, a wild stretch, then a broker that behaves."""

    def __init__(self, choices: Sequence[int]) -> None:
        self.script = Script(choices)
        self.desk = Desk()
        self.desk.at(60).spot()
        self.broker = MoodyBroker(self.desk, self.script)
        self.price = 100.0
        self.seconds = 60.0

    def play(self, steps: int) -> None:
        side = Side.BUY if self.script.choose(3) < 2 else Side.SELL
        self.desk.intend(side)
        self.broker.collect()
        for number in range(steps):
            if number == steps // 2 and self.script.choose(2):
                self.desk.intend(side)
            self._act(self.script.choose(16))
            self.broker.collect()

    def _act(self, kind: int) -> None:
        broker, choose = self.broker, self.script.choose
        if kind < 3:
            self._move((choose(21) - 10) * 0.5, 0.02 + choose(20) / 20)
        elif kind < 7 and broker.requests:
            request = broker.requests[choose(len(broker.requests))]
            broker.handle(request, choose(8) if choose(3) == 2 else 0)
        elif kind < 11 and broker.mail:
            broker.deliver(choose(len(broker.mail)), keep=choose(5) == 4)
        elif kind == 11 and broker.mail:
            broker.lose(choose(len(broker.mail)))
        elif kind < 15:
            self._trade()
        elif choose(8) == 7:
            self.desk.ask_operator(OperatorRequest.CLOSE, position=1 + choose(2))

    def _trade(self) -> None:
        live = self.broker.live()
        if not live:
            return
        order, kind = live[self.script.choose(len(live))], self.script.choose(12)
        if kind == 0:
            self.broker.kill(order)
        elif not order.is_stop:
            self.broker.fill(order, 195 if kind < 4 else 65)
        elif kind < 4:
            self.broker.trigger(order, is_refused=kind == 1)

    def _move(self, rupees: float, seconds: float) -> None:
        self.price = min(max(self.price + rupees, 60.0), 140.0)
        self.seconds += seconds
        self.desk.at(self.seconds).spot()
        self.desk.tick(last=self.price)
        self.broker.collect()

    def calm(self, seconds: int) -> None:
        """From now on each request is met and each word heard, and marketable orders fill."""
        broker = self.broker
        for _ in range(seconds * 4):
            asked = len(self.desk.commands)
            for request in list(broker.requests):
                broker.handle(request, 0)
            while broker.mail:
                broker.deliver(0, keep=False)
            for order in broker.live():
                if not order.is_stop and self._is_marketable(order.terms):
                    broker.fill(order, order.open_quantity)
            self._move(0.0, 0.25)
            assert len(self.desk.commands) - asked < 40, "the engine spins"

    def _is_marketable(self, terms: OrderTerms) -> bool:
        distance = terms.limit_paise - round(self.price * 100)
        return distance * terms.side.sign >= -5


def assert_books_agree(story: Story) -> None:
    """What the engine told of each position is what the broker's books hold of it."""
    desk, broker = story.desk, story.broker
    closed = {told.position: told for told in desk.told(PositionClosed)}
    assert len(closed) == len(desk.told(PositionClosed)), "a position was closed twice"
    ended = [told.position for told in desk.told(EntryEnded)]
    assert sorted([*closed, *ended]) == sorted(broker.sides)
    for position, side in broker.sides.items():
        bought = [o for o in broker.orders.values() if o.position == position]
        entered = sum(o.filled for o in bought if o.terms.side is side)
        if position in closed:
            told = closed[position]
            cash = -sum(o.terms.side.sign * o.value_paise for o in bought)
            assert (told.quantity, told.gross_paise) == (entered, cash)
        else:
            assert entered == 0


@pytest.mark.timeout(120)
@given(choices=st.lists(st.integers(0, 9_999), min_size=60, max_size=700))
def test_a_moody_broker_never_makes_two_closers_and_the_position_ends_flat(
    choices: list[int],
) -> None:
    """After every step: one closer at most, for no more than is held; at the end: flat, once."""
    story = Story(choices)
    story.play(steps=150)
    story.desk.ask_operator(OperatorRequest.FLATTEN)
    story.broker.collect()
    story.calm(seconds=150)
    broker = story.broker
    assert [broker.net(position) for position in broker.sides] == [0] * len(broker.sides)
    assert broker.live() == []
    assert story.desk.engine.live_orders == ()
    assert story.desk.engine.open_positions == 0
    assert_books_agree(story)
    assert_time_passes(story)


def assert_time_passes(story: Story) -> None:
    """No instant is stepped for ever: deadlines come to an end and do not crowd."""
    timers = Counter(e.at_ns for e in story.desk.events if isinstance(e, TimerFired))
    assert max(timers.values(), default=0) <= 3
    assert story.desk.now >= OPEN + 200 * SECOND
