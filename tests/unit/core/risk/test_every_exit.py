"""Every exit rule against every state that the stop can be in: flat at last, one closer at a time.

The broker's own books are looked at after each change (`MoodyBroker.check`): at most one closing
order lives, or is on its way, and it never closes more than is held.
"""

from collections.abc import Callable
from random import Random

import pytest
from msgspec.structs import replace

from holdfast.core.books.positions import Position
from holdfast.core.orders import asking
from holdfast.core.orders.order import Order
from holdfast.core.readiness import TERMS
from holdfast.core.risk.exits import RULES
from holdfast.domain.audit import ExitDecided, PositionClosed
from holdfast.domain.command import ModifyOrder
from holdfast.domain.decision import Trail
from holdfast.domain.event import (
    AccountChecked,
    ClockChanged,
    JournalChanged,
    Link,
    LinkChanged,
    OperatorRequest,
    StopAsked,
    TokenChanged,
)
from holdfast.domain.instrument import Exchange
from holdfast.domain.order import BrokerStatus, OrderState, OrderType, Purpose, Side
from tests.property.test_exit_life import Kept, MoodyBroker
from tests.support.by_hand import a_position
from tests.support.desk import SECOND, Desk

SWEEP_S = 1.1
"""Without a packet that says something the rules look once a second (RSK-4)."""

CALM_S = 90
"""Every exit is done so soon after the broker behaves again."""


class Table:
    """A long of 195 at 100 with a broker that does what it is told to, and no more."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.seconds, self.price = 60.0, 100.0
        self.desk.at(60).spot()
        self.broker = MoodyBroker(self.desk, Random(0), 1_801)
        self.desk.intend(Side.BUY, target=125, trail=Trail(arm_paise=10_800, giveback_bps=300))
        self.obey()
        [entry] = self.broker.live()
        self.broker.fill(entry, 195)
        self.hear()
        self.broker.collect()

    @property
    def position(self) -> Position:
        return self.desk.state.positions[1]

    @property
    def stop(self) -> Order:
        return self.desk.state.orders[self.position.closers[-1]]

    @property
    def kept(self) -> Kept:
        """The stop as the broker has it."""
        return self.broker.orders[self.stop.id]

    def obey(self, mood: int = 0) -> None:
        """The broker takes up what it was asked, and is heard."""
        self.broker.collect()
        for request in list(self.broker.requests):
            self.broker.handle(request, mood)
        self.hear()

    def hear(self) -> None:
        """What the broker has said is heard."""
        while self.broker.mail:
            self.broker.deliver(0, keep=False)

    def move(self, price: float, after: float = 0.25) -> None:
        """Time passes and the market trades here; both feeds speak."""
        self.price = price
        self.seconds += after
        self.desk.at(self.seconds).spot()
        self.desk.tick(last=price)
        self.broker.collect()

    def calm(self) -> None:
        """From now on the broker behaves and marketable orders fill."""
        self.desk.state.links[Link.ORDERS] = True
        for _ in range(CALM_S * 4):
            self.obey()
            for order in self.broker.live():
                distance = order.terms.limit_paise - round(self.price * 100)
                if not order.is_stop and distance * order.terms.side.sign >= -5:
                    self.broker.fill(order, order.open_quantity)
            self.move(self.price)


# -- the states of the stop


def none(table: Table) -> None:
    """It was refused, and is tried again in a while."""
    table.obey(mood=4)
    assert not table.stop.is_live


def resting(table: Table) -> None:
    """It was seen as it should be."""
    table.obey()
    assert table.position.verified


def triggered(table: Table) -> None:
    """It was released into the book, and works there."""
    table.obey()
    table.broker.trigger(table.kept, is_refused=False)
    table.hear()
    assert table.stop.is_released


def partly_filled(table: Table) -> None:
    """It was released, and a third of it filled."""
    triggered(table)
    table.broker.fill(table.kept, 65)
    table.hear()
    assert table.stop.state is OrderState.PARTLY_FILLED


def modify_in_flight(table: Table) -> None:
    """Its level has moved, and the broker has not answered."""
    table.obey()
    plan = table.position.plan
    table.position.plan = replace(plan, stop_paise=plan.stop_paise + 300)
    table.position.stop_paise += 300
    table.move(100.0)
    assert table.stop.state is OrderState.MODIFYING


def cancel_in_flight(table: Table) -> None:
    """It is to be replaced, and the broker has not answered."""
    table.obey()
    asking.cancel(table.desk.state, table.stop)
    table.move(100.0)
    assert table.stop.state is OrderState.CANCELLING


def unknown(table: Table) -> None:
    """The answer to its placement was lost; it rests at the broker all the same."""
    table.obey(mood=3)
    assert table.stop.state is OrderState.UNKNOWN


def unknown_by_word(table: Table) -> None:
    """An end word that may mean the modification (T15)."""
    modify_in_flight(table)
    table.obey(mood=6)
    assert table.stop.state is OrderState.UNKNOWN


def rejected(table: Table) -> None:
    """The broker took it, and its risk system refused it later."""
    table.obey(mood=6)
    assert table.stop.state is OrderState.REJECTED


STATES = (
    none,
    resting,
    triggered,
    partly_filled,
    modify_in_flight,
    cancel_in_flight,
    unknown,
    unknown_by_word,
    rejected,
)


# -- the rules


def kill_switch(table: Table) -> None:
    """A person wants a flat account."""
    table.desk.ask_operator(OperatorRequest.FLATTEN)


def close_out(table: Table) -> None:
    """The day is over for this position."""
    table.position.plan = replace(table.position.plan, close_out_ns=table.desk.now)
    table.move(100.0, SWEEP_S)


def daily_loss(table: Table) -> None:
    """The account's loss was confirmed."""
    table.desk.state.loss.is_confirmed = True
    table.move(100.0, SWEEP_S)


def stale_price(table: Table) -> None:
    """The feed has been silent too long, and a quote was read outside of it."""
    table.position.stale_since_ns = table.desk.now - 100 * SECOND
    table.desk.state.connections[Exchange.NSE].last_at_ns = table.desk.now - 10 * SECOND
    table.desk.read(last=100.0, bid=99.9, ask=100.1)


def stop_loss(table: Table) -> None:
    """The price trades through the stop in two steps."""
    table.move(93.0)
    table.move(87.0)


def unprotected(table: Table) -> None:
    """No stop is seen and nothing of ours could act, for longer than allowed."""
    table.desk.state.links[Link.ORDERS] = False
    table.position.verified = False
    table.position.unprotected_since_ns = table.desk.now - 6 * SECOND
    table.move(100.0, SWEEP_S)


def take_profit(table: Table) -> None:
    """The closing side reaches the target."""
    table.move(112.0)
    table.move(126.0)


def trailing_stop(table: Table) -> None:
    """The peak armed the trail, and the price came back through it."""
    table.move(112.0)
    table.move(105.0)


def structure(table: Table) -> None:
    """The short leg that it was there for has ended."""
    short = a_position(2, Side.SELL, quantity=0)
    short.is_closed = True
    for position in (table.position, short):
        position.intent = replace(position.intent, structure=1)
    table.desk.state.positions[2] = short
    table.move(100.0, SWEEP_S)


def operator(table: Table) -> None:
    """A person closes this position."""
    table.desk.ask_operator(OperatorRequest.CLOSE, position=1)


FIRES = (
    kill_switch,
    close_out,
    daily_loss,
    stale_price,
    stop_loss,
    unprotected,
    take_profit,
    trailing_stop,
    structure,
    operator,
)


def test_the_table_has_every_rule() -> None:
    """A new rule is a row of the table; a person's own request is one too."""
    assert {fire.__name__ for fire in FIRES} == {*(rule.name for rule in RULES), "operator"}


@pytest.mark.proves("RSK-3", "RSK-6", "EXE-1", "EXE-2", "T2", "I-36", "I-38", "I-39")
@pytest.mark.parametrize("state", STATES, ids=lambda one: str(one.__name__))
@pytest.mark.parametrize("fire", FIRES, ids=lambda one: str(one.__name__))
def test_every_exit_ends_flat_from_every_state_of_the_stop(
    fire: Callable[[Table], None], state: Callable[[Table], None]
) -> None:
    """Decided once, one closing order live at each instant, and every contract closed once."""
    table = Table()
    state(table)
    was_leaving = table.position.exit is not None
    fire(table)
    table.broker.collect()
    [decided] = table.desk.told(ExitDecided)
    assert was_leaving or decided.exit.rule == fire.__name__
    table.calm()
    [closed] = table.desk.told(PositionClosed)
    assert (closed.quantity, table.broker.net(1)) == (195, 0)
    assert table.broker.live() == []
    assert table.desk.engine.live_orders == ()
    sold = [one for one in table.broker.orders.values() if one.purpose is not Purpose.ENTRY]
    assert sum(order.filled for order in sold) == 195
    assert all(order.status is not BrokerStatus.UNKNOWN for order in sold)


# -- whatever bars entries


def _no_services(desk: Desk) -> None:
    desk.state.services.clear()


def _no_journal(desk: Desk) -> None:
    desk.tell(JournalChanged(at_ns=desk.now, is_durable=False))


def _no_links(desk: Desk) -> None:
    for link in (Link.UPDATES, Link.ORDERS):
        desk.tell(LinkChanged(at_ns=desk.now, link=link, is_up=False))


def _mute_stream(desk: Desk) -> None:
    desk.state.path.suspect_since_ns = desk.now


def _confirmed_loss(desk: Desk) -> None:
    desk.state.loss.is_confirmed = True


def _failed_rule(desk: Desk) -> None:
    desk.state.rules_failed = True


def _failed_self_test(desk: Desk) -> None:
    desk.state.self_test_fault = "nobody answered"


def _open_point(desk: Desk) -> None:
    desk.state.book.open_points = ("an order is unknown",)


def _unseen(desk: Desk) -> None:
    desk.state.book.began_ns = desk.now + 1


def _silent_feed(desk: Desk) -> None:
    desk.keep(until=65)
    desk.at(69)


def _unwatched(desk: Desk) -> None:
    desk.state.positions[1].evaluated_at_ns = desk.now - 3 * SECOND


def _unprotected(desk: Desk) -> None:
    desk.state.positions[1].unprotected_since_ns = desk.now - 3 * SECOND


def _dead_token(desk: Desk) -> None:
    desk.tell(TokenChanged(at_ns=desk.now, is_valid=False, valid_until_ns=0, reason="test"))


def _refused_address(desk: Desk) -> None:
    desk.tell(AccountChecked(at_ns=desk.now, orders_allowed=False, reason="test"))


def _skewed_clock(desk: Desk) -> None:
    desk.tell(ClockChanged(at_ns=desk.now, skew_ms=60_000))


BARS: dict[str, Callable[[Desk], object]] = {
    "token": _dead_token,
    "account": _refused_address,
    "clock": _skewed_clock,
    "halted": lambda desk: desk.ask_operator(OperatorRequest.PAUSE),
    "rules": _failed_rule,
    "daily_loss": _confirmed_loss,
    "services": _no_services,
    "journal": _no_journal,
    "links": _no_links,
    "stream": _mute_stream,
    "self_test": _failed_self_test,
    "whole": lambda desk: desk.engine.disarm(7),
    "book": _open_point,
    "seen": _unseen,
    "feed": _silent_feed,
    "evaluating": _unwatched,
    "protected": _unprotected,
}
"""What makes each term of readiness fail while something is held."""

WITHOUT = ("facts", "instruments", "session")
"""Where these fail no order can be formed, or the market is closed."""


@pytest.mark.parametrize("term", [name for name, _ in TERMS if name not in WITHOUT])
def test_what_bars_entries_stops_no_exit(term: str) -> None:
    """For every term of readiness: the resting stop becomes the exit in the step that asks."""
    desk = Desk()
    desk.at(60).spot()
    stop = desk.hold_by_hand(Side.BUY)
    BARS[term](desk)
    assert dict(TERMS)[term](desk.state) is not None
    desk.ask_operator(OperatorRequest.CLOSE, position=1)
    [asked] = desk.all(ModifyOrder)
    assert (asked.order_id, asked.terms.order_type) == (stop.order_id, OrderType.LIMIT)
    assert asked.terms.quantity == 195


@pytest.mark.parametrize("term", [name for name, _ in TERMS if name not in (*WITHOUT, "feed")])
def test_what_bars_entries_stops_no_rule(term: str) -> None:
    """The same for a stop that the market touches, where there is a market to see."""
    desk = Desk()
    desk.at(60).spot()
    stop = desk.hold_by_hand(Side.BUY)
    BARS[term](desk)
    desk.breach(61)
    asked = desk.all(ModifyOrder)[0]
    assert (asked.order_id, asked.terms.order_type) == (stop.order_id, OrderType.LIMIT)


def test_a_program_that_is_being_stopped_still_closes() -> None:
    """Entries are taken back; what the market touches meanwhile leaves."""
    desk = Desk()
    desk.at(60).spot()
    stop = desk.hold_by_hand(Side.BUY)
    desk.tell(StopAsked(at_ns=desk.now, reason="test"))
    assert desk.all(ModifyOrder) == []
    desk.breach(61)
    asked = desk.last(ModifyOrder)
    assert (asked.order_id, asked.terms.order_type) == (stop.order_id, OrderType.LIMIT)
