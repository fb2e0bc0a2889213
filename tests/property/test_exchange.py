"""Whatever is asked of the simulated exchange, and whatever the market does."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from holdfast.brokers.simulated import SimulatedVenue
from holdfast.domain.command import AnyCommand, CancelOrder, FindOrder, ModifyOrder, PlaceOrder
from holdfast.domain.event import AnyEvent, OrderAcknowledged, OrderUpdated
from holdfast.domain.instrument import BrokerKey, Product
from holdfast.domain.market import Level, Tick
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderTerms,
    OrderType,
    Purpose,
    Side,
)
from holdfast.exchange.checks import Behaviour, ModifyBehaviour
from holdfast.exchange.latency import Latency
from holdfast.exchange.venue import Result, SimulatedExchange
from tests.support.desk import CALL, CLOSE, FACTS, OPEN, PUT, SECOND, SESSION

NAMES = ("A", "B", "C", "D")
CASH = 300_000_00
CASH_FOR_NO_SHORT = 150_000_00

prices = st.integers(1_985, 2_015).map(lambda steps: steps * 5)
quantities = st.integers(1, 6).map(lambda lots: lots * 65)
names = st.sampled_from(NAMES).map(OrderId)


@st.composite
def terms(draw: st.DrawFn) -> OrderTerms:
    """Any terms near the market, stops with their limit behind the trigger among them."""
    side, price = draw(st.sampled_from(Side)), draw(prices)
    is_stop = draw(st.booleans())
    behind = draw(st.integers(0, 40)) * 5 if is_stop else 0
    return OrderTerms(
        instrument=draw(st.sampled_from((CALL.id, PUT.id))),
        product=draw(st.sampled_from(Product)),
        side=side,
        order_type=OrderType.STOP_LIMIT if is_stop else OrderType.LIMIT,
        quantity=draw(quantities),
        limit_paise=price + side.sign * behind,
        trigger_paise=price if is_stop else None,
    )


@st.composite
def ticks(draw: st.DrawFn) -> Tick:
    """A market near a hundred rupees; its time and volume are increments still."""
    bid = draw(prices)
    ask = bid + 5 * draw(st.integers(1, 6))
    depths = st.lists(quantities, max_size=5)

    def side(best: int, outward: int) -> tuple[Level, ...]:
        return tuple((best + outward * 5 * n, q) for n, q in enumerate(draw(depths)))

    return Tick(
        at_ns=0,
        instrument=draw(st.sampled_from((CALL.id, PUT.id))),
        last_paise=draw(st.sampled_from((bid, ask))),
        venue_at_ns=OPEN,
        volume=draw(st.sampled_from((0, 0, 65, 650))),
        bids=side(bid, -1),
        asks=side(ask, 1),
    )


class Place(msgspec.Struct, frozen=True):
    """A new order."""

    order_id: OrderId
    terms: OrderTerms


class Modify(msgspec.Struct, frozen=True):
    """Other terms for an order."""

    order_id: OrderId
    terms: OrderTerms


class Cancel(msgspec.Struct, frozen=True):
    """No more of an order."""

    order_id: OrderId


class Pass(msgspec.Struct, frozen=True):
    """Time passes."""

    seconds: int


Step = Tick | Place | Modify | Cancel | Pass

steps = st.one_of(
    ticks(),
    ticks(),
    st.builds(Place, names, terms()),
    st.builds(Modify, names, terms()),
    st.builds(Cancel, names),
    st.builds(Pass, st.sampled_from((1, 6, 40))),
)
days = st.lists(steps, min_size=20, max_size=60)


class Checked:
    """An exchange whose every answer is looked at."""

    def __init__(
        self,
        *,
        begins_ns: int = OPEN,
        cash_paise: int = CASH,
        behaviour: Behaviour | None = None,
    ) -> None:
        self.exchange = SimulatedExchange(
            (CALL, PUT), FACTS, cash_paise=cash_paise, seed=1, behaviour=behaviour
        )
        self.now_ns = begins_ns
        self._volume = dict.fromkeys((CALL.id, PUT.id), 0)
        self._rows: dict[BrokerOrderId, OrderRow] = {}

    def take(self, step: Step) -> None:
        """Do one thing and check everything."""
        self.now_ns += SECOND // 10
        self._look(self._do(step))

    def _do(self, step: Step) -> list[OrderRow]:
        exchange = self.exchange
        match step:
            case Tick():
                self._volume[step.instrument] += step.volume
                volume = self._volume[step.instrument]
                return exchange.on_tick(replace(step, at_ns=self.now_ns, volume=volume))
            case Place():
                return _rows(exchange.place(step.order_id, step.terms, self.now_ns))
            case Modify():
                return _rows(exchange.modify(step.order_id, step.terms, self.now_ns))
            case Cancel():
                return _rows(exchange.cancel(step.order_id, self.now_ns))
            case Pass():
                self.now_ns += step.seconds * SECOND
                return exchange.square_off(self.now_ns) + exchange.expire(self.now_ns)

    def _look(self, rows: list[OrderRow]) -> None:
        for row in rows:
            before = self._rows.get(row.broker_id, row)
            assert row.filled_quantity >= before.filled_quantity
            assert row.filled_value_paise >= before.filled_value_paise
            assert row.venue_at_ns >= before.venue_at_ns
            assert row.filled_quantity <= row.terms.quantity
            assert (row.status is BrokerStatus.FILLED) == (
                row.filled_quantity == row.terms.quantity
            )
            self._rows[row.broker_id] = row
        self.exchange.assert_conserved()
        for row in self.exchange.orders():
            assert row == self._rows[row.broker_id], "a change that no row told"


def _rows(results: list[Result]) -> list[OrderRow]:
    return [result for result in results if isinstance(result, OrderRow)]


BEHAVIOURS = st.sampled_from(ModifyBehaviour).map(lambda how: Behaviour(stop_to_limit=how))


@given(days, BEHAVIOURS)
@pytest.mark.proves("T29")
def test_orders_cash_and_positions_are_conserved(taken: list[Step], behaviour: Behaviour) -> None:
    """Nothing is overfilled, goes back, or changes without a row; cash is the sum of fills."""
    checked = Checked(behaviour=behaviour)
    for step in taken:
        checked.take(step)


@given(days)
def test_the_broker_leaves_nothing_of_the_day(taken: list[Step]) -> None:
    """Through square-off and close: no order lives, INTRADAY is flat once the book allows it."""
    checked = Checked(begins_ns=SESSION.square_off_ns - 20 * SECOND)
    for step in taken:
        checked.take(step)
    checked.take(Pass(40))
    deep = tuple((10_000 - 5 * n, 6_500) for n in range(5))
    book = Tick(at_ns=0, instrument=CALL.id, last_paise=10_000, venue_at_ns=OPEN, bids=deep,
                asks=tuple((20_000 - price, quantity) for price, quantity in deep))  # fmt: skip
    checked.take(book)
    checked.take(replace(book, instrument=PUT.id))
    net = checked.exchange.positions()
    assert not [key for key, held in net.items() if key.product is Product.INTRADAY and held]
    checked.now_ns = CLOSE
    checked.take(Pass(1))
    assert not [r for r in checked.exchange.orders() if r.status is BrokerStatus.WORKING]


@given(days, st.sampled_from((OPEN - 3_600 * SECOND, CLOSE)))
def test_nothing_trades_in_a_closed_market(taken: list[Step], begins_ns: int) -> None:
    """Before the open and after the close no order is taken and none fills."""
    checked = Checked(begins_ns=begins_ns)
    for step in taken:
        checked.take(step)
    assert checked.exchange.orders() == ()
    assert checked.exchange.executions == ()
    assert checked.exchange.funds_paise == CASH


@given(days)
def test_who_only_buys_never_owes(taken: list[Step]) -> None:
    """Every resting buy holds its cash back, so free cash stays at or above zero."""
    checked = Checked()
    for step in taken:
        if isinstance(step, Place | Modify) and step.terms.side is Side.SELL:
            continue
        checked.take(step)
        assert checked.exchange.funds_paise >= 0


@given(days)
def test_a_sale_never_exceeds_what_is_held_without_cash_for_a_short(taken: list[Step]) -> None:
    """With too little cash for any short the net never falls below zero, and no sale could make it."""
    assert CASH_FOR_NO_SHORT < 65 * 294_000, "12 % of the strike for one lot"
    checked = Checked(cash_paise=CASH_FOR_NO_SHORT)
    for step in taken:
        checked.take(step)
        selling: dict[BrokerKey, int] = {}
        for row in checked.exchange.orders():
            if row.status is BrokerStatus.WORKING and row.terms.side is Side.SELL:
                key = BrokerKey(row.terms.instrument, row.terms.product)
                left = row.terms.quantity - row.filled_quantity
                selling[key] = selling.get(key, 0) + left
        net = checked.exchange.positions()
        assert not [key for key, left in selling.items() if left > net.get(key, 0)]
        assert not [key for key, held in net.items() if held < 0]


@given(days, st.integers(0, 2**32 - 1))
def test_what_is_heard_of_an_order_never_goes_back(taken: list[Step], seed: int) -> None:
    """Through all latencies: events in order of time, cumulative figures per order, no surprises."""
    exchange = SimulatedExchange((CALL, PUT), FACTS, cash_paise=CASH, seed=seed)
    venue = SimulatedVenue(exchange, Latency(seed=seed), quotes_available=True)
    events = list(_driven(venue, taken))
    due = [event.at_ns for event in events]
    assert due == sorted(due)
    last: dict[BrokerOrderId, OrderRow] = {}
    for event in events:
        if isinstance(event, OrderUpdated):
            row, before = event.row, last.get(event.row.broker_id, event.row)
            assert event.at_ns > row.venue_at_ns, "heard before it happened"
            assert row.filled_quantity >= before.filled_quantity
            assert row.venue_at_ns >= before.venue_at_ns
            last[row.broker_id] = row
    assert last == {row.broker_id: row for row in exchange.orders()}


def _driven(venue: SimulatedVenue, taken: list[Step]) -> list[AnyEvent]:
    """The driver in small: what is due first, then the next thing, each half a second later."""
    events: list[AnyEvent] = []
    numbers: dict[OrderId, BrokerOrderId] = {}
    volume = dict.fromkeys((CALL.id, PUT.id), 0)
    now_ns = OPEN
    for step in taken:
        now_ns += SECOND // 2
        events += venue.pop_due(now_ns)
        for event in events:
            if isinstance(event, OrderAcknowledged):
                numbers[event.order_id] = event.broker_id
        if isinstance(step, Tick):
            volume[step.instrument] += step.volume
            venue.on_tick(replace(step, at_ns=now_ns, volume=volume[step.instrument]))
        elif (command := _command(step, numbers)) is not None:
            venue.submit(command, now_ns)
    while venue.due_ns is not None:
        events += venue.pop_due(venue.due_ns)
    return events


def _command(step: Step, numbers: dict[OrderId, BrokerOrderId]) -> AnyCommand | None:
    match step:
        case Place():
            return PlaceOrder(
                order_id=step.order_id,
                purpose=Purpose.ENTRY,
                position=1,
                terms=step.terms,
                fills_seen=0,
            )
        case Modify(order_id=order_id) if order_id in numbers:
            return ModifyOrder(order_id=order_id, broker_id=numbers[order_id], terms=step.terms)
        case Cancel(order_id=order_id) if order_id in numbers:
            return CancelOrder(order_id=order_id, broker_id=numbers[order_id])
        case Pass():
            return FindOrder(order_id=OrderId("A"))
        case _:
            return None
