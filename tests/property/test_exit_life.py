"""Exits against a broker that loses, repeats, reorders and refuses: never too much, flat at last.

The broker's own books are the truth that is checked; what it says of them travels as mail that a
drawn script delivers, forgets or delivers twice, in any order. It never lies about an end.
"""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from holdfast.domain.audit import Anomaly, EntryEnded, PositionClosed
from holdfast.domain.command import (
    AnyCommand,
    CancelOrder,
    FindOrder,
    ModifyOrder,
    OrderRequest,
    PlaceOrder,
    ReadFunds,
)
from holdfast.domain.decision import Trail
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
from tests.support.desk import CALL, NIFTY, PUT, Desk

REFUSALS: tuple[Refusal | None, ...] = (None, *Refusal)
COMMANDS_MAX = 40
"""More than this in a quarter of a second, answered at once and correctly, is a spin."""


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


class MoodyBroker:
    """Handles what the engine asks in any order and mood; checks its books after every change."""

    def __init__(self, desk: Desk, random: Random, freeze: int) -> None:
        self.desk = desk
        self.freeze = freeze
        self.random = random
        self.orders: dict[OrderId, Kept] = {}
        self.sides: dict[int, Side] = {}
        self.requests: list[AnyCommand] = []
        self.mail: list[AnyEvent] = []
        self.placed: Counter[OrderId] = Counter()
        self.most_closers = 0
        self._read = 0
        self._stamp_ns = 0

    # -- what the engine asks

    def collect(self) -> None:
        """Take the engine's new requests, and look at what could now happen."""
        for command in self.desk.commands[self._read :]:
            if isinstance(command, PlaceOrder):
                self.placed[command.order_id] += 1
                assert command.terms.quantity < self.freeze, "the exchange refuses so much"
                assert self.placed[command.order_id] == 1, "an id was placed twice"
                if command.purpose is Purpose.ENTRY:
                    self.sides[command.position] = command.terms.side
            if isinstance(command, OrderRequest | FindOrder | ReadFunds):
                self.requests.append(command)
        self._read = len(self.desk.commands)
        self.check()

    def check(self) -> None:
        """Whatever is on its way, closing orders never close more than is held (T4, T23)."""
        for position, side in self.sides.items():
            closers = [
                self._worst(order)
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
            self.most_closers = max(self.most_closers, len(closers))
            assert sum(closers) <= self.net(position), f"position {position} is closed twice"

    def _worst(self, order: Kept) -> int:
        """What an order could still fill if the worst of what was asked of it arrives."""
        asked = [
            request.terms.quantity
            for request in self.requests
            if isinstance(request, ModifyOrder) and request.order_id == order.id
        ]
        return max([order.terms.quantity, *asked]) - order.filled

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
        return self.random.choice(REFUSALS)


class Story:
    """One drawn day: positions of one side, a wild stretch, then a broker that behaves."""

    def __init__(self, seed: int, *, freeze: int = CALL.freeze_quantity) -> None:
        self.random = Random(seed)
        self.side = self.random.choice((Side.BUY, Side.BUY, Side.SELL))
        self.desk = Desk(ready=False)
        self.contract = replace(CALL, freeze_quantity=freeze)
        self.desk.load((NIFTY, self.contract, PUT))
        self.desk.at(60).spot()
        self.broker = MoodyBroker(self.desk, self.random, freeze)
        self.price = 100.0
        self.seconds = 60.0

    def play(self, steps: int) -> None:
        """A position, in half of the stories a second one later in the same key, and weather."""
        self._enter()
        second = self.random.choice((None, steps // 3))
        for number in range(steps):
            if number == second:
                self._enter()
            self._act()
            self.broker.collect()

    def _enter(self) -> None:
        sign = self.side.sign
        trail = Trail(arm_paise=10_000 + sign * 200, giveback_bps=300)
        target = 100 + sign * 15
        self.desk.intend(self.side, instrument=self.contract, target=target, trail=trail)
        self.broker.collect()

    def _act(self) -> None:
        broker, random, kind = self.broker, self.random, self.random.randrange(16)
        if kind < 3:
            self._move(random.randint(-10, 10) * 0.5, 0.02 + random.random())
        elif kind < 7 and broker.requests:
            broker.handle(
                random.choice(broker.requests), random.choice((0, 0, random.randrange(8)))
            )
        elif kind < 11 and broker.mail:
            broker.deliver(random.randrange(len(broker.mail)), keep=random.random() < 0.2)
        elif kind == 11 and broker.mail:
            broker.lose(random.randrange(len(broker.mail)))
        elif kind < 15:
            self._trade()
        elif random.random() < 0.1:
            self.desk.ask_operator(OperatorRequest.CLOSE, position=1)

    def _trade(self) -> None:
        live, kind = self.broker.live(), self.random.randrange(12)
        if not live:
            return
        order = self.random.choice(live)
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
        self.desk.tick(self.contract, last=self.price)
        self.broker.collect()

    def calm(self, seconds: int) -> None:
        """From now on each request is met and each word heard, and marketable orders fill."""
        self.desk.ask_operator(OperatorRequest.FLATTEN)
        broker = self.broker
        broker.collect()
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
            assert len(self.desk.commands) - asked < COMMANDS_MAX, "the engine spins"

    def _is_marketable(self, terms: OrderTerms) -> bool:
        distance = terms.limit_paise - round(self.price * 100)
        return distance * terms.side.sign >= -5


def assert_flat(story: Story) -> None:
    """Neither the broker nor the engine holds anything or has an order that could fill."""
    broker, engine = story.broker, story.desk.engine
    assert [broker.net(position) for position in broker.sides] == [0] * len(broker.sides)
    assert broker.live() == []
    assert engine.live_orders == ()
    assert engine.open_positions == 0


def assert_books_agree(story: Story) -> None:
    """What the engine told of each position, once, is what the broker's books hold of it."""
    desk, broker = story.desk, story.broker
    closed = {told.position: told for told in desk.told(PositionClosed)}
    assert len(closed) == len(desk.told(PositionClosed)), "a position was closed twice"
    ended = [told.position for told in desk.told(EntryEnded)]
    assert sorted([*closed, *ended]) == sorted(broker.sides)
    for position, side in broker.sides.items():
        orders = [order for order in broker.orders.values() if order.position == position]
        entered = sum(order.filled for order in orders if order.terms.side is side)
        earned = -sum(order.terms.side.sign * order.value_paise for order in orders)
        if position in closed:
            told = closed[position]
            assert (told.quantity, told.gross_paise) == (entered, earned)
        else:
            assert entered == 0


def assert_time_passed(story: Story) -> None:
    """No instant was stepped again and again: a deadline that is met is gone."""
    timers = Counter(event.at_ns for event in story.desk.events if isinstance(event, TimerFired))
    assert max(timers.values()) <= 3


@pytest.mark.proves("T4", "T23", "I-48", "PLC-7", "EXE-7", "OUP-7")
@given(freeze=st.sampled_from([66, 131, CALL.freeze_quantity]), seed=st.integers(0, 2**32 - 1))
def test_a_moody_broker_never_closes_too_much_and_the_position_ends_flat(
    freeze: int, seed: int
) -> None:
    """After every step no more can be closed than is held; at the end flat, told once (T4, T23)."""
    story = Story(seed, freeze=freeze)
    story.play(steps=350)
    story.calm(seconds=150)
    assert_flat(story)
    assert_books_agree(story)
    assert_time_passed(story)
    whats = {told.what for told in story.desk.told(Anomaly)}
    assert "closing orders could fill more than is held" not in whats


def test_the_stories_have_work() -> None:
    """Positions of both sides, stops replaced and triggered, exits tried again, words in question."""
    stories = [Story(seed, freeze=(1_801, 131, 66)[seed % 3]) for seed in range(40)]
    for story in stories:
        story.play(steps=350)
        story.calm(seconds=150)
    assert max(story.broker.most_closers for story in stories) >= 3
    kept = [order for story in stories for order in story.broker.orders.values()]
    asked = [command for story in stories for command in story.desk.commands]
    assert {story.side for story in stories} == {Side.BUY, Side.SELL}
    assert sum(order.purpose is Purpose.ENTRY and order.filled > 0 for order in kept) >= 40
    assert sum(order.id.split("-")[2] != "1" for order in kept) >= 12
    assert sum(isinstance(command, ModifyOrder) for command in asked) >= 80
    assert sum(isinstance(command, CancelOrder) for command in asked) >= 40
    assert {o.purpose for o in kept if o.status is BrokerStatus.FILLED} == set(Purpose)
