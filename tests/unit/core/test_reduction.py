"""What others close of ours is booked from their executions, once, and ends what is closed (T5)."""

import pytest
from msgspec.structs import replace

from holdfast.core.books.charges import fill_charges
from holdfast.core.books.postings import Account
from holdfast.core.engine import NOTHING, Step
from holdfast.domain.audit import ExitDecided, PositionClosed, ReducedOutside
from holdfast.domain.book import BookTrade, ForeignRow
from holdfast.domain.command import CancelOrder, Notify, PlaceOrder
from holdfast.domain.event import Action, Outcome
from holdfast.domain.instrument import BrokerKey, Product
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderState,
    Side,
)
from tests.support.desk import CALL, OPEN, PUT, RATES, SECOND, Desk

KEY = BrokerKey(CALL.id, Product.INTRADAY)
PRICE = 9_000
"""At which others trade, in paise."""


def order(
    quantity: int, number: str = "77", side: Side = Side.SELL, *, filled: int | None = None
) -> ForeignRow:
    """An order of the owner, filled in full unless told otherwise."""
    done = quantity if filled is None else filled
    return ForeignRow(
        broker_id=BrokerOrderId(number),
        instrument=CALL.id,
        product=Product.INTRADAY,
        side=side,
        quantity=quantity,
        filled_quantity=done,
        is_live=done < quantity,
    )


class Day:
    """195 contracts each of some positions with their stops; then others trade as the test says."""

    def __init__(self, positions: int = 1, side: Side = Side.BUY) -> None:
        self.desk = Desk()
        self.stops = [self.desk.hold_by_hand(side) for _ in range(positions)]
        self.entries = [
            one for one in self.desk.all(PlaceOrder) if one.order_id not in self.stop_ids
        ]
        self.see(70)
        self.desk.forget()

    @property
    def stop_ids(self) -> list[OrderId]:
        return [one.order_id for one in self.stops]

    def see(self, second: float) -> None:
        self.desk.at(second).tick()
        self.desk.tick(PUT)
        self.desk.spot()

    def rows(self) -> list[OrderRow]:
        """Our orders as the broker has them: each closing order as it was last asked for."""
        found = []
        for one in self.entries:
            row = self.desk.book_row(one, BrokerStatus.FILLED, filled=195, price=100, venue_ns=OPEN)
            found.append(row)
        for one in self.stops:
            known = self.desk.state.orders[one.order_id]
            is_ending = known.state in (OrderState.CANCELLING, OrderState.CANCELLED)
            status = BrokerStatus.CANCELLED if is_ending else BrokerStatus.WORKING
            is_asked = known.asked is not None and known.is_live
            terms, stamp = known.terms, self.desk.now if is_asked else known.venue_at_ns
            found.append(self.desk.book_row(one, status, terms=terms, venue_ns=stamp))
        return found

    def read(self, second: float, *foreign: ForeignRow, priced: bool = True) -> None:
        """A stable read of it; `priced`: it shows the executions of others too."""
        self.see(second)
        rows = self.rows()
        fills = [(one.broker_id, one.filled_quantity, one.filled_value_paise) for one in rows]
        if priced:
            fills += [
                (one.broker_id, one.filled_quantity, one.filled_quantity * PRICE) for one in foreign
            ]
        trades = tuple(
            BookTrade(trade_id=f"T{number}", broker_id=number, quantity=count, value_paise=value)
            for number, count, value in fills
            if count
        )
        self.desk.read_book(*rows, seconds=second, foreign=foreign, trades=trades)

    def take(self, *foreign: ForeignRow, since: int = 71) -> None:
        """Stable reads for ten seconds: what is early settles, what is asked is done."""
        for second in range(since, since + 10):
            self.read(second, *foreign)

    def held(self) -> list[int]:
        state = self.desk.state
        return [state.positions[number].holding.quantity for number in sorted(state.positions)]

    def reduced(self) -> list[tuple[int, int, int, str | None]]:
        told = self.desk.told(ReducedOutside)
        return [(one.position, one.quantity, one.value_paise, one.order) for one in told]


@pytest.mark.proves("T5", "T14", "I-42")
@pytest.mark.parametrize("side", Side)
def test_what_others_closed_whole_ends_at_their_price(side: Side) -> None:
    """Nothing is left open, and the result is that of the account."""
    day = Day(side=side)
    day.desk.foreign(order(195, side=side.opposite))
    day.take(order(195, side=side.opposite))
    assert day.reduced() == [(1, 195, 195 * PRICE, "77")]
    [closed] = day.desk.told(PositionClosed)
    assert (closed.rule, closed.quantity) == ("closed_by_others", 195)
    assert closed.gross_paise == -side.sign * 195 * 1_000
    assert (day.desk.engine.open_positions, day.held()) == (0, [0])
    assert [one.exit.rule for one in day.desk.told(ExitDecided)] == ["closed_by_others"]
    assert day.desk.engine.view.drifts == ()
    assert day.desk.all(PlaceOrder) == []
    texts = [one.text for one in day.desk.all(Notify)]
    assert any(text.startswith("closed by others: position 1") for text in texts)


@pytest.mark.proves("T5", "T14")
def test_it_costs_what_a_fill_of_ours_costs_and_the_books_stay_in_balance() -> None:
    """In two pieces of one order: the order's brokerage once."""
    day = Day()
    before = day.desk.state.positions[1].charges
    day.take(order(195, filled=65))
    day.take(order(195), since=91)
    parts = [
        fill_charges(
            RATES,
            Side.SELL,
            value_paise=quantity * PRICE,
            order_value_before_paise=earlier * PRICE,
            first_fill=not earlier,
        )
        for quantity, earlier in ((65, 0), (130, 65))
    ]
    assert day.desk.state.positions[1].charges == before + parts[0] + parts[1]
    ledger = day.desk.state.ledger
    assert ledger.balance_e4(Account.PREMIUM) == 0
    assert ledger.balance_e4(Account.REALISED) == 195 * 1_000 * 10_000
    assert [one[1] for one in day.reduced()] == [65, 130]


@pytest.mark.proves("T4", "T5")
def test_a_part_that_others_closed_is_taken_from_the_youngest() -> None:
    """260 of two times 195: the younger ends, the elder goes on with its stop for what is left."""
    day = Day(positions=2)
    day.desk.foreign(order(260))
    day.take(order(260))
    assert day.held() == [130, 0]
    assert [one.position for one in day.desk.told(PositionClosed)] == [2]
    state = day.desk.state
    assert state.positions[1].closable_quantity == 130
    assert state.orders[day.stops[0].order_id].terms.quantity == 130
    assert [one[:2] for one in day.reduced()] == [(2, 195), (1, 65)]


@pytest.mark.proves("T5")
def test_one_early_read_books_nothing() -> None:
    """Positions may lag orders: nothing before three seconds after the last word."""
    day = Day()
    day.desk.foreign(order(195))
    for second in (70.5, 71.5, 72.9):
        day.read(second, order(195))
    assert day.reduced() == []
    day.read(73.5, order(195))
    assert len(day.reduced()) == 1


@pytest.mark.proves("T5")
def test_without_the_price_it_waits_for_the_row_that_has_it() -> None:
    """The net is zero already, the executions are told later."""
    day = Day()
    for second in range(71, 100):
        day.read(second, order(195), priced=False)
    assert (day.reduced(), day.held()) == ([], [195])
    day.take(order(195), since=101)
    assert day.held() == [0]


@pytest.mark.proves("T4", "T5")
def test_while_an_order_of_ours_could_close_it_too_nothing_is_booked() -> None:
    """The cancel of the stop has no answer: one of both has closed it, and it is read which."""
    day = Day()
    day.desk.foreign(order(195))
    day.desk.fail(day.stops[0].order_id, Action.CANCEL, Outcome.UNANSWERED)
    rows = [day.rows()[0], day.desk.book_row(day.stops[0], venue_ns=OPEN)]
    for second in range(71, 90):
        day.see(second)
        day.desk.read_book(*rows, seconds=second, foreign=(order(195),))
    assert day.reduced() == []
    assert not day.desk.engine.is_book_settled
    day.take(order(195), since=91)
    assert day.held() == [0]


@pytest.mark.proves("T5", "T14")
def test_it_is_booked_once_however_often_it_is_told() -> None:
    """By the stream and by reads, after an image, a restart, and with more of the same order."""
    day = Day()
    first = order(195, filled=65)
    day.take(first)
    taken = day.desk.engine.image()
    assert taken is not None
    day.desk.engine.restore(taken)
    day.desk.restart(90)
    day.desk.foreign(first)
    day.take(first, since=91)
    assert day.held() == [130]
    day.desk.foreign(order(195))
    day.take(order(195), since=111)
    day.desk.foreign(first)
    day.take(order(195), since=131)
    assert day.reduced() == [(1, 65, 65 * PRICE, "77"), (1, 130, 130 * PRICE, "77")]


@pytest.mark.proves("T14")
def test_what_others_add_and_take_back_is_theirs() -> None:
    """He bought 65 and sold 65: ours stay whole; the 65 after them were ours."""
    day = Day()
    bought = order(65, "70", Side.BUY)
    day.take(bought)
    day.take(bought, order(65, "71"), since=91)
    assert (day.held(), day.reduced()) == ([195], [])
    day.take(bought, order(65, "71"), order(65, "72"), since=111)
    assert day.reduced() == [(1, 65, 65 * PRICE, "72")]


@pytest.mark.proves("T14")
def test_what_others_held_before_us_is_theirs() -> None:
    """He was short before we bought: his sale has closed nothing of ours."""
    desk = Desk()
    for second in range(10, 20):
        desk.at(second).tick()
        desk.spot()
        desk.read_book(seconds=second, foreign=(order(65),))
    desk.acknowledge_drift()
    stop = desk.hold_by_hand(Side.BUY)
    entry = desk.all(PlaceOrder)[0]
    for second in range(30, 45):
        desk.at(second).tick()
        terms = desk.state.orders[stop.order_id].terms
        rows = (
            desk.book_row(entry, BrokerStatus.FILLED, filled=195, price=100, venue_ns=OPEN),
            desk.book_row(stop, terms=terms, venue_ns=desk.now),
        )
        desk.read_book(*rows, seconds=second, foreign=(order(65),))
    assert desk.told(ReducedOutside) == []
    assert desk.state.positions[1].holding.quantity == 195
    assert desk.state.positions[1].closable_quantity == 130


@pytest.mark.proves("T4", "T14")
def test_what_others_sell_while_an_entry_works_has_closed_what_it_fills() -> None:
    """He sold before the fill, and knew of no position; what is missing of ours is not left open."""
    desk = Desk()
    entry = desk.intend(Side.BUY)
    desk.acknowledge(entry.order_id)
    working = desk.book_row(entry)
    for second in (1, 2, 3, 4, 4.5):
        desk.at(second).tick()
        desk.spot()
        if second == 1:
            desk.foreign(order(65))
        desk.read_book(working, seconds=second, foreign=(order(65),), trades=(sold(),))
    desk.fill(entry, price=100.0)
    row = desk.book_row(entry, BrokerStatus.FILLED, filled=195, price=100, venue_ns=OPEN)
    trades = (sold(), bought(row))
    for second in range(5, 20):
        desk.at(second).tick()
        desk.spot()
        stops = [one for one in desk.all(PlaceOrder) if one.order_id != entry.order_id]
        rows = [
            desk.book_row(
                one, terms=desk.state.orders[one.order_id].terms, venue_ns=OPEN + 5 * SECOND
            )
            for one in stops
        ]
        nets = {CALL: 130}
        desk.read_book(row, *rows, seconds=second, foreign=(order(65),), trades=trades, nets=nets)
    told = [(one.position, one.quantity, one.order) for one in desk.told(ReducedOutside)]
    assert told == [(1, 65, "77")]
    assert desk.state.positions[1].closable_quantity == 130


def sold() -> BookTrade:
    """The execution of 65 that others sold."""
    number = BrokerOrderId("77")
    return BookTrade(trade_id="T77", broker_id=number, quantity=65, value_paise=65 * PRICE)


def bought(row: OrderRow) -> BookTrade:
    """The execution of an order that filled at once."""
    return BookTrade(
        trade_id="T1",
        broker_id=row.broker_id,
        quantity=row.filled_quantity,
        value_paise=row.filled_value_paise,
    )


@pytest.mark.proves("T14")
def test_an_order_of_others_where_nothing_is_ours_is_not_touched() -> None:
    """Another product of the same contract is another key."""
    day = Day()
    other = replace(order(195), product=Product.MARGIN)
    day.take(other)
    assert (day.held(), day.reduced()) == ([195], [])


def test_an_exit_that_was_under_way_keeps_its_rule() -> None:
    """Others closed what it was closing: the first decision stands."""
    day = Day()
    day.desk.foreign(order(195))
    day.desk.breach(71)
    day.take(order(195), since=72)
    [closed] = day.desk.told(PositionClosed)
    assert closed.rule == "stop_loss"


@pytest.mark.proves("T5", "REC-4")
def test_what_was_recorded_as_booked_stays_booked_once() -> None:
    """Newer code that does not decide it takes it over, and no read books it again."""
    day, late = Day(positions=2), Day(positions=2)
    day.take(order(260))
    audits = tuple(a for a in day.desk.audits if isinstance(a, ReducedOutside | ExitDecided))
    late.desk.engine.stand(NOTHING, Step(audits=audits))
    assert late.held() == [130, 0]
    late.desk.engine.stand(Step(audits=audits), Step(audits=audits))
    assert late.desk.state.booked == day.desk.state.booked
    late.take(order(260))
    assert (late.held(), late.reduced()) == ([130, 0], [])
    assert [one.position for one in late.desk.told(PositionClosed)] == [2]


# -- an excess and what another position holds (T4, T21)


@pytest.mark.proves("T4", "T21", "I-42")
@pytest.mark.parametrize("side", Side)
def test_what_one_position_closed_too_much_has_closed_another(side: Side) -> None:
    """At the price of that sale, without an order: the broker holds neither, and P&L is his."""
    day = Day(positions=2, side=side)
    day.desk.forget()
    sold = day.desk.book_row(day.stops[0], BrokerStatus.FILLED, filled=195, price=90)
    twin = replace(sold, broker_id=BrokerOrderId("second"))
    day.desk.tell_row(sold)
    day.desk.tell_row(twin)
    assert day.held() == [0, 0]
    assert day.desk.all(PlaceOrder) == []
    assert day.desk.all(CancelOrder)[-1].order_id == day.stop_ids[1]
    dead = day.desk.book_row(day.stops[1], BrokerStatus.CANCELLED)
    day.desk.tell_row(dead, is_read=True)
    closed = sorted((one.position, one.gross_paise) for one in day.desk.told(PositionClosed))
    made = -side.sign * 195 * 1_000
    assert closed == sorted([(1, made), (1, made), (2, made)])
    ledger = day.desk.state.ledger
    assert ledger.balance_e4(Account.PREMIUM) == 0
    assert ledger.balance_e4(Account.REALISED) == side.sign * 2 * 195 * 1_000 * 10_000
    exits = [one.exit.rule for one in day.desk.told(ExitDecided)]
    assert exits[-1] == "closed_by_excess"


@pytest.mark.proves("T4", "T21")
def test_a_part_of_an_excess_that_nothing_covers_is_closed_by_an_order() -> None:
    """The other holds 195, 260 were sold too much: 65 are bought back."""
    day = Day(positions=2)
    row = day.desk.book_row(day.stops[0], BrokerStatus.FILLED, filled=195, price=90)
    day.desk.tell_row(row)
    terms = replace(row.terms, quantity=455)
    more = replace(row, terms=terms, filled_quantity=455, filled_value_paise=455 * PRICE)
    day.desk.forget()
    day.desk.tell_row(more)
    assert day.held() == [-65, 0]
    [back] = day.desk.all(PlaceOrder)
    assert (back.terms.side, back.terms.quantity) == (Side.BUY, 65)
