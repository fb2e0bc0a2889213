"""The broker's book against ours: each difference, its one remedy, and what nobody can explain."""

import pytest
from msgspec.structs import replace

from holdfast.core.orders.ids import OrderReason, order_id
from holdfast.core.readiness import first_failing
from holdfast.domain.audit import (
    Anomaly,
    BookReconciled,
    Difference,
    Drift,
    ExitDecided,
    PositionClosed,
    Remedied,
)
from holdfast.domain.book import ForeignRow
from holdfast.domain.command import CancelOrder, ModifyOrder, Notify, PlaceOrder, ReadBook, Severity
from holdfast.domain.event import Action, BookRead, Outcome
from holdfast.domain.instrument import BrokerKey, Instrument, Product
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderState,
    OrderTerms,
    OrderType,
    Purpose,
    Side,
)
from tests.support.desk import CALL, OPEN, PUT, SECOND, Desk, settings

PREFIX = settings().id_prefix


def name(purpose: Purpose, attempt: int, position: int = 1) -> OrderId:
    return order_id(PREFIX, OrderReason(purpose, position, attempt))


def seen(desk: Desk, second: float = 0) -> None:
    """Packets of everything, so that only what is tested bars an entry."""
    if second:
        desk.at(second)
    desk.spot()
    desk.tick()
    desk.tick(PUT)


def sale(identity: OrderId, *, quantity: int = 195, stop: float | None = None) -> PlaceOrder:
    """A closing order as a process that died may have sent it."""
    terms = OrderTerms(
        instrument=CALL.id,
        product=Product.INTRADAY,
        side=Side.SELL,
        order_type=OrderType.LIMIT if stop is None else OrderType.STOP_LIMIT,
        quantity=quantity,
        limit_paise=8_000,
        trigger_paise=None if stop is None else round(stop * 100),
    )
    purpose = Purpose.EXIT if stop is None else Purpose.STOP
    return PlaceOrder(order_id=identity, purpose=purpose, position=1, terms=terms, fills_seen=1)


class Held:
    """A desk that holds 195 contracts with a resting stop, and is begun again at 70 s."""

    def __init__(self, *, stop_rests: bool = True) -> None:
        self.desk = Desk()
        self.stop = self.desk.hold(stop_rests=stop_rests)
        self.entry = self.desk.all(PlaceOrder)[0]
        self.desk.at(61)
        self.desk.restart(70)
        self.desk.forget()

    @property
    def entered(self) -> OrderRow:
        return self.desk.book_row(self.entry, BrokerStatus.FILLED, filled=195, venue_ns=OPEN)

    @property
    def resting(self) -> OrderRow:
        return self.desk.book_row(self.stop, venue_ns=OPEN + 61 * SECOND)

    def remedies(self) -> list[Difference]:
        return [told.difference for told in self.desk.told(Remedied)]


def test_books_that_agree_change_nothing_and_let_entries_through() -> None:
    """The read of three seconds after the start lists the orders; nothing is read after it."""
    held = Held()
    held.desk.read_book(held.entered, held.resting, seconds=70.5)
    assert not held.desk.state.book.is_listed, "an order could still have been on its way"
    assert first_failing(held.desk.state) is not None
    held.desk.read_book(held.entered, held.resting, seconds=73)
    seen(held.desk)
    assert held.remedies() == []
    assert first_failing(held.desk.state) is None
    asked = len(held.desk.all(ReadBook))
    held.desk.at(100)
    assert len(held.desk.all(ReadBook)) == asked


@pytest.mark.parametrize(("alone_s", "is_listed"), [(77.4, True), (77.6, False), (90.0, False)])
def test_orders_of_a_process_that_was_dead_before_are_not_waited_for(
    alone_s: float, *, is_listed: bool
) -> None:
    """The three seconds count from when the account was ours alone, however long the start took."""
    held = Held()
    held.desk.restart(80, alone_s=alone_s)
    held.desk.read_book(held.entered, held.resting, seconds=80.5)
    assert held.desk.state.book.is_listed is is_listed
    assert held.desk.engine.may_place is is_listed


def test_the_figures_of_a_reconciliation_are_told() -> None:
    """Orders, remedies, drifts, and what is still awaited."""
    held = Held()
    held.desk.read_book(held.entered, held.resting, seconds=70.5)
    told = held.desk.told(BookReconciled)[-1]
    assert (told.orders, told.remedies, told.drifts) == (2, 0, 0)
    assert told.open_points == ("an order may still be on its way",)


def test_a_fill_that_was_missed_is_applied_and_protected() -> None:
    """Rows are cumulative: 65 were heard of, 195 are held."""
    desk = Desk()
    entry = desk.enter()
    desk.acknowledge(entry.order_id)
    desk.fill(entry, quantity=65)
    stop = desk.last(PlaceOrder)
    desk.acknowledge(stop.order_id)
    desk.row(stop.order_id, terms=stop.terms)
    desk.restart(70)
    desk.forget()
    rows = desk.book_row(entry, BrokerStatus.FILLED, filled=195), desk.book_row(stop)
    desk.read_book(*rows, seconds=71)
    [told] = desk.told(Remedied)
    assert told.difference is Difference.MISSED_FILL
    assert (told.before["filled"], told.after["filled"]) == (65, 195)
    assert desk.state.positions[1].open_quantity == 195
    assert desk.last(ModifyOrder).terms.quantity == 195


def test_an_order_that_died_unheard_ends_by_its_row_and_the_next_waits_for_the_list() -> None:
    """The stop is gone: a new one goes out once the read of three seconds has shown no other."""
    held = Held()
    dead = replace(held.resting, status=BrokerStatus.CANCELLED)
    held.desk.read_book(held.entered, dead, seconds=70.5)
    assert held.remedies() == [Difference.ENDED]
    held.desk.at(72.9)
    assert held.desk.all(PlaceOrder) == []
    held.desk.read_book(held.entered, dead, seconds=73)
    seen(held.desk, 75)
    [stop] = held.desk.all(PlaceOrder)
    assert stop.order_id == name(Purpose.STOP, 2)


@pytest.mark.proves("T21")
def test_an_exit_that_the_record_lost_is_adopted_and_never_sent_again() -> None:
    """T21: its attempt is the highest known, the next one more."""
    held = Held()
    dead = replace(held.resting, status=BrokerStatus.CANCELLED)
    lost = held.desk.book_row(sale(name(Purpose.EXIT, 3)), venue_ns=OPEN + 66 * SECOND)
    held.desk.read_book(held.entered, dead, lost, seconds=73)
    position = held.desk.state.positions[1]
    assert held.remedies() == [Difference.ENDED, Difference.UNKNOWN]
    assert (position.closers, position.exit_attempts) == ([name(Purpose.EXIT, 3)], 3)
    assert position.exit is not None, "an order to sell is an exit, whoever decided it"
    assert held.desk.all(PlaceOrder) == []
    gone = replace(lost, status=BrokerStatus.REJECTED, venue_at_ns=held.desk.now)
    held.desk.at(74).tell_row(gone, is_read=True)
    held.desk.at(76)
    assert [one.order_id for one in held.desk.all(PlaceOrder)] == [name(Purpose.EXIT, 4)]


def test_a_stop_that_the_record_lost_counts_its_attempts() -> None:
    """A later stop than any that we know of: the next one follows it."""
    held = Held()
    dead = replace(held.resting, status=BrokerStatus.CANCELLED)
    lost = held.desk.book_row(sale(name(Purpose.STOP, 5), stop=88), BrokerStatus.REJECTED)
    held.desk.read_book(held.entered, dead, lost, seconds=73)
    assert held.desk.state.positions[1].stop_attempts == 5
    seen(held.desk, 80)
    assert [one.order_id for one in held.desk.all(PlaceOrder)] == [name(Purpose.STOP, 6)]


def test_a_second_closer_of_a_living_one_is_taken_back() -> None:
    """Two that live could close twice: the one that we had stays."""
    held = Held()
    other = held.desk.book_row(sale(name(Purpose.STOP, 2), stop=88))
    held.desk.read_book(held.entered, held.resting, other, seconds=73)
    position = held.desk.state.positions[1]
    assert (position.closers, position.strays) == ([held.stop.order_id], [name(Purpose.STOP, 2)])
    assert [one.order_id for one in held.desk.all(CancelOrder)] == [name(Purpose.STOP, 2)]


def test_the_exit_that_the_record_lost_closes_the_position() -> None:
    """Filled while nobody listened: the position ends with its money, under the stop's rule."""
    held = Held()
    sold = replace(
        held.resting,
        status=BrokerStatus.FILLED,
        filled_quantity=195,
        filled_value_paise=195 * 8_700,
    )
    held.desk.read_book(held.entered, sold, seconds=73)
    [closed] = held.desk.told(PositionClosed)
    assert (closed.quantity, closed.exit_value_paise) == (195, 195 * 8_700)
    assert held.desk.state.drifts == {}


def test_a_tighter_stop_at_the_broker_is_our_level() -> None:
    """What moved it is lost with the tape: the stop is never loosened again."""
    held = Held()
    tighter = replace(
        held.stop.terms, trigger_paise=9_500, limit_paise=held.stop.terms.limit_paise + 700
    )
    held.desk.read_book(held.entered, replace(held.resting, terms=tighter), seconds=73)
    assert held.remedies() == [Difference.OTHER_TERMS]
    assert held.desk.state.positions[1].stop_paise == 9_500
    seen(held.desk, 80)
    assert held.desk.all(ModifyOrder) == []


def test_an_entry_that_the_record_lost_becomes_a_position_with_a_plan() -> None:
    """No position without a stop: the settings make one of its price."""
    desk = Desk()
    desk.restart(70)
    desk.forget()
    buy = replace(sale(name(Purpose.ENTRY, 1, 4)).terms, side=Side.BUY, limit_paise=10_010)
    placed = PlaceOrder(
        order_id=name(Purpose.ENTRY, 1, 4),
        purpose=Purpose.ENTRY,
        position=4,
        terms=buy,
        fills_seen=0,
    )
    row = desk.book_row(placed, BrokerStatus.FILLED, filled=195, price=100)
    seen(desk, 73)
    desk.read_book(row, seconds=73)
    position = desk.state.positions[4]
    assert (position.open_quantity, position.stop_paise) == (195, 8_800)
    assert desk.state.day.positions == 4, "the next one is the fifth"
    seen(desk, 77)
    desk.read_book(row, seconds=77)
    assert [one.order_id for one in desk.all(PlaceOrder)] == [name(Purpose.STOP, 1, 4)]


@pytest.mark.parametrize(
    "purpose", [Purpose.STOP, Purpose.EXIT], ids=lambda purpose: str(purpose.value)
)
def test_a_closing_order_of_no_position_bars_its_underlying(purpose: Purpose) -> None:
    """It belongs to nothing we know: nothing is asked of it, a person is called once."""
    desk = Desk()
    desk.restart(70)
    desk.forget()
    stray = desk.book_row(sale(name(purpose, 1, 9), stop=88 if purpose is Purpose.STOP else None))
    desk.read_book(stray, seconds=73)
    assert desk.all(CancelOrder) == []
    assert [told.what for told in desk.told(Anomaly)] == ["order row for an order that is not ours"]
    assert [key.instrument for key in desk.state.drifts] == [CALL.id]


def test_an_order_that_two_reads_lack_three_seconds_apart_never_was() -> None:
    """T3: the first at least three seconds after the send; then the next attempt goes out."""
    held = Held(stop_rests=False)
    held.desk.read_book(held.entered, seconds=70.2)
    assert held.remedies() == []
    held.desk.read_book(held.entered, seconds=73.2)
    order = held.desk.state.orders[held.stop.order_id]
    assert order.state is OrderState.REJECTED
    assert held.remedies() == [Difference.ABSENT]
    seen(held.desk, 75)
    assert [one.order_id for one in held.desk.all(PlaceOrder)] == [name(Purpose.STOP, 2)]


def test_reads_too_soon_after_the_send_prove_no_absence() -> None:
    """A stop that was sent a moment before the process died may be on its way."""
    desk = Desk()
    stop = desk.hold(stop_rests=False)
    entry = desk.all(PlaceOrder)[0]
    desk.restart(60.3)
    row = desk.book_row(entry, BrokerStatus.FILLED, filled=195)
    for second in (60.5, 61.6, 62.7, 63.1, 64.2):
        desk.read_book(row, seconds=second)
    assert desk.state.orders[stop.order_id].state is OrderState.UNKNOWN
    desk.read_book(row, seconds=67.1)
    assert desk.state.orders[stop.order_id].state is OrderState.UNKNOWN
    desk.read_book(row, seconds=67.3)
    assert desk.state.orders[stop.order_id].state is OrderState.REJECTED


def test_an_order_that_is_gone_from_the_book_is_a_question() -> None:
    """It was seen at the broker: no read makes it one that never was."""
    held = Held()
    held.desk.read_book(held.entered, seconds=71)
    held.desk.read_book(held.entered, seconds=74.5)
    assert held.desk.state.orders[held.stop.order_id].state is OrderState.UNKNOWN
    told = [one.what for one in held.desk.told(Anomaly)]
    assert "an order is gone from the broker's book" in told
    assert held.desk.all(PlaceOrder) == []


# -- two orders under one id


@pytest.mark.proves("T21")
def test_the_second_order_under_one_id_is_taken_back() -> None:
    """T21: the broker does not de-duplicate; a request names it by its own number."""
    held = Held()
    twin = held.desk.book_row(held.stop, number="second")
    held.desk.read_book(held.entered, held.resting, twin, seconds=73)
    assert held.remedies() == [Difference.SECOND]
    [cancel] = held.desk.all(CancelOrder)
    assert (cancel.order_id, cancel.broker_id) == (held.stop.order_id, "second")
    gone = replace(twin, status=BrokerStatus.CANCELLED, venue_at_ns=held.desk.now + 1)
    held.desk.tell_row(gone, is_read=True)
    assert held.desk.state.orders[held.stop.order_id].state is OrderState.WORKING
    assert held.desk.state.positions[1].closers == [held.stop.order_id]


@pytest.mark.proves("T21")
def test_what_the_second_order_closed_too_much_is_bought_back() -> None:
    """Filled before anybody saw it: both sold 195, the excess of 195 is closed."""
    held = Held()
    sold = replace(
        held.resting, status=BrokerStatus.FILLED, filled_quantity=195, filled_value_paise=1_700_000
    )
    twin = replace(sold, broker_id=BrokerOrderId("second"))
    held.desk.read_book(held.entered, sold, twin, seconds=73)
    seen(held.desk, 75)
    [back] = held.desk.all(PlaceOrder)
    assert (back.terms.side, back.terms.quantity) == (Side.BUY, 195)
    assert "more was closed than was held, the excess is closed" in [
        told.what for told in held.desk.told(Anomaly)
    ]


@pytest.mark.proves("T21")
def test_of_two_orders_the_younger_is_taken_back_however_the_book_lists_them() -> None:
    """The placement had no answer, so that neither number is known: numbers grow."""
    desk = Desk()
    entry = desk.enter()
    desk.fail(entry.order_id, Action.PLACE, Outcome.UNANSWERED)
    older, younger = (desk.book_row(entry, number=number) for number in ("999", "1000"))
    desk.forget()
    desk.read_book(younger, older, seconds=66)
    known = desk.state.orders[entry.order_id]
    assert known.broker_id == "999"
    second = [one for one in desk.state.orders.values() if one.name != one.id]
    assert [one.broker_id for one in second] == ["1000"]


def test_a_second_entry_that_filled_closes_the_position() -> None:
    """Nobody decided to hold so much: out of all of it."""
    held = Held()
    twin = replace(held.entered, broker_id=BrokerOrderId("second"))
    held.desk.read_book(held.entered, twin, held.resting, seconds=73)
    [decided] = held.desk.told(ExitDecided)
    assert decided.exit.rule == "second_order"
    assert held.desk.last(ModifyOrder).terms.quantity == 390


@pytest.mark.proves("T21")
def test_a_second_order_heard_of_in_the_stream_is_taken_back_too() -> None:
    """Without any read of the book."""
    desk = Desk()
    stop = desk.hold()
    desk.forget()
    desk.tell_row(desk.book_row(stop, number="second"))
    [cancel] = desk.all(CancelOrder)
    assert (cancel.order_id, cancel.broker_id) == (stop.order_id, "second")
    texts = [one.text for one in desk.all(Notify) if one.severity is Severity.ALARM]
    assert f"two orders under {stop.order_id}: second is taken back" in texts


# -- what is held


def foreign(instrument: Instrument = CALL, side: Side = Side.SELL, filled: int = 195) -> ForeignRow:
    return ForeignRow(
        broker_id=BrokerOrderId("77"),
        instrument=instrument.id,
        product=Product.INTRADAY,
        side=side,
        quantity=filled,
        filled_quantity=filled,
        is_live=False,
    )


def test_a_net_that_nothing_explains_is_a_drift_and_bars_its_underlying() -> None:
    """T5, promise 7: told with both figures; entries stay off after the books agree again."""
    held = Held()
    for second in (74, 80, 84.5):
        held.desk.read_book(held.entered, held.resting, nets={CALL: 260}, seconds=second)
    drift, believed = held.desk.told(Drift)
    assert (drift.kind, drift.ours, drift.theirs, drift.foreign) == ("larger", 195, 260, 0)
    assert drift.reason == "nothing in the book explains it"
    assert (drift.is_believed, believed.is_believed) == (False, True)
    held.desk.read_book(held.entered, held.resting, seconds=90)
    [found] = held.desk.state.drifts.values()
    assert not found.is_present
    assert len(held.desk.told(Drift)) == 2


def test_a_net_just_after_a_fill_proves_nothing() -> None:
    """T5: positions are told later than orders; it is compared three seconds after the last."""
    held = Held()
    late = replace(held.entered, venue_at_ns=OPEN + 72 * SECOND)
    held.desk.read_book(late, held.resting, nets={}, seconds=73)
    assert held.desk.state.drifts == {}
    assert any("a moment ago" in point for point in held.desk.state.book.open_points)
    held.desk.read_book(late, held.resting, nets={}, seconds=75)
    assert held.desk.state.drifts != {}


def test_a_smaller_net_stops_new_closers_until_it_is_believed() -> None:
    """The order that rests goes on; after ten seconds of reads it is cut to what is there."""
    held = Held()
    for second in (74, 76, 80, 83):
        held.desk.read_book(held.entered, held.resting, nets={CALL: 65}, seconds=second)
    assert held.desk.all(ModifyOrder) == []
    assert len(held.desk.told(Drift)) == 1
    held.desk.read_book(held.entered, held.resting, nets={CALL: 65}, seconds=84.1)
    seen(held.desk, 84.5)
    assert held.desk.last(ModifyOrder).terms.quantity == 65
    assert held.desk.state.positions[1].open_quantity == 195, "our fills say so still"


def test_what_others_have_closed_is_not_sold_again() -> None:
    """Explained at once: the owner sold it in the app; the resting stop is taken away."""
    held = Held()
    held.desk.read_book(
        held.entered, held.resting, foreign=(foreign(),), nets={CALL: 0}, seconds=74
    )
    [drift] = held.desk.told(Drift)
    assert (drift.foreign, drift.reason) == (-195, "orders that are not ours")
    assert [one.order_id for one in held.desk.all(CancelOrder)] == [held.stop.order_id]


def test_no_new_closer_leaves_while_the_broker_holds_less_than_we_think() -> None:
    """The stop is dead and the net is nothing: selling would open a short."""
    held = Held()
    dead = replace(held.resting, status=BrokerStatus.CANCELLED)
    for second in range(74, 100, 2):
        held.desk.read_book(held.entered, dead, nets={CALL: 0}, seconds=second)
        seen(held.desk)
    assert held.desk.all(PlaceOrder) == []


def test_what_is_missing_is_missing_from_the_youngest() -> None:
    """T4: of two positions in one key the first keeps its stop whole."""
    desk = Desk()
    first = desk.hold_by_hand(Side.BUY)
    second = desk.hold_by_hand(Side.BUY)
    entries = [one for one in desk.all(PlaceOrder) if one.purpose is Purpose.ENTRY]
    desk.restart(70)
    desk.forget()
    rows = [
        *(
            desk.book_row(e, BrokerStatus.FILLED, filled=195, price=100, venue_ns=OPEN)
            for e in entries
        ),
        desk.book_row(first, venue_ns=OPEN),
        desk.book_row(second, venue_ns=OPEN),
    ]
    sold = (foreign(filled=130),)
    desk.read_book(*rows, foreign=sold, seconds=74)
    assert [one.missing for _, one in sorted(desk.state.positions.items())] == [0, 130]
    assert [one.order_id for one in desk.all(ModifyOrder)] == [second.order_id]
    assert desk.last(ModifyOrder).terms.quantity == 65


def test_a_row_that_is_older_than_what_was_heard_since_changes_nothing() -> None:
    """The passes began before the stream told of other terms: those stand."""
    held = Held()
    stop = held.desk.state.orders[held.stop.order_id]
    moved = replace(held.stop.terms, limit_paise=held.stop.terms.limit_paise + 5)
    held.desk.at(71).row(held.stop.order_id, terms=moved)
    held.desk.read_book(held.entered, held.resting, seconds=73)
    assert (stop.terms, stop.seen) == (moved, moved)
    assert held.remedies() == []


def test_a_row_from_before_a_request_says_nothing_about_it() -> None:
    """The exit was asked for while the book was on its way: it is neither denied nor repeated."""
    held = Held()
    seen(held.desk, 71)
    held.desk.at(72)
    held.desk.book(held.entered, held.resting, began_s=0.1)
    held.desk.breach(73)
    assert len(held.desk.all(ModifyOrder)) == 1
    late = replace(held.resting, venue_at_ns=held.desk.now + SECOND)
    held.desk.at(73.1).book(held.entered, late, began_s=0.5)
    assert held.desk.state.orders[held.stop.order_id].state is OrderState.MODIFYING
    assert held.remedies() == []


# -- a key that does not settle


UNSETTLED = "the broker's book does not settle, no entries there"


class Moving(Held):
    """The stop died with the old process; from 71 s on one key of the book differs in each pass."""

    def __init__(self, instrument: Instrument = PUT) -> None:
        super().__init__()
        self.instrument = instrument
        self.dead = replace(self.resting, status=BrokerStatus.CANCELLED)
        self.shown: list[OrderRow] = []

    def passes(self, start: int, end: int) -> None:
        """One each second; what the owner buys and sells makes the key another one each time."""
        for second in range(start, end):
            self.desk.at(second)
            seen(self.desk)
            side = Side.BUY if self.instrument is PUT else Side.SELL
            moved = (foreign(self.instrument, side, filled=second % 2 + 1),)
            nets = {CALL: 195, PUT: 0} | {self.instrument: 195 - second % 2}
            self.desk.book(self.entered, self.dead, *self.shown, foreign=moved, nets=nets)

    def unsettled(self) -> list[str]:
        return [str(one.values["key"]) for one in self.desk.told(Anomaly) if one.what == UNSETTLED]


def test_a_key_that_never_settles_holds_up_no_closer_of_another() -> None:
    """T22: the orders are listed three seconds after the start, and the next stop goes out."""
    held = Moving()
    held.passes(71, 73)
    assert held.remedies() == [Difference.ENDED], "the key that agrees is decided at once"
    assert held.desk.all(PlaceOrder) == []
    held.passes(73, 75)
    assert [one.order_id for one in held.desk.all(PlaceOrder)] == [name(Purpose.STOP, 2)]


def test_a_key_that_does_not_settle_in_ten_seconds_is_told_and_bars_entries_there_only() -> None:
    """It is told once; the account is ready again without it, and its underlying is barred."""
    held = Moving()
    held.passes(71, 75)
    [stop] = held.desk.all(PlaceOrder)
    held.desk.acknowledge(stop.order_id)
    held.desk.row(stop.order_id, terms=stop.terms)
    held.shown = [held.desk.book_row(stop)]
    held.passes(75, 82)
    assert held.unsettled() == []
    assert first_failing(held.desk.state) is not None
    asked = len(held.desk.all(ReadBook))
    held.passes(82, 100)
    assert len(held.desk.all(ReadBook)) > asked + 15, "it is read on, once a second"
    assert held.unsettled() == [PUT.id]
    assert held.desk.state.book.unsettled == {BrokerKey(PUT.id, Product.INTRADAY)}
    assert first_failing(held.desk.state) is None
    assert held.desk.all(PlaceOrder) == [stop]
    for _ in range(2):
        held.desk.book(held.entered, held.dead, *held.shown)
    assert held.desk.state.book.unsettled == set()


def test_in_a_key_that_moves_the_next_closer_waits_ten_seconds_and_no_longer() -> None:
    """Its own net may yet show less; when it is told, only entries stay barred."""
    held = Moving(CALL)
    held.passes(71, 82)
    assert held.desk.state.book.is_listed
    assert held.desk.all(PlaceOrder) == []
    held.passes(82, 84)
    assert held.unsettled() == [CALL.id]
    assert [one.order_id for one in held.desk.all(PlaceOrder)] == [name(Purpose.STOP, 2)]


def test_an_exit_of_a_lost_record_is_adopted_though_its_key_moves() -> None:
    """T21: listed is listed; nothing is sent that the broker may have already."""
    held = Moving(CALL)
    lost = sale(name(Purpose.EXIT, 3))
    for second in range(71, 75):
        filled = second - 70
        held.shown = [held.desk.book_row(lost, filled=filled, venue_ns=OPEN + second * SECOND)]
        held.passes(second, second + 1)
    position = held.desk.state.positions[1]
    assert (position.closers, position.exit_attempts) == ([name(Purpose.EXIT, 3)], 3)
    assert position.open_quantity < 195, "what it sold was heard of"
    held.passes(75, 110)
    assert held.desk.all(PlaceOrder) == []


@pytest.mark.proves("I-55")
def test_a_book_without_any_order_ends_none_where_some_were_numbered_today() -> None:
    """Empty because it failed: a stop whose answer was lost stays unknown, and is not sent again."""
    desk = Desk()
    stop = desk.hold(stop_rests=False)
    desk.fail(stop.order_id, Action.PLACE, Outcome.UNANSWERED)
    desk.forget()
    for second in (70, 72, 74, 76, 80):
        desk.read_book(seconds=second)
    assert desk.state.orders[stop.order_id].state is OrderState.UNKNOWN
    assert desk.all(PlaceOrder) == []
    entry = desk.state.orders[desk.state.positions[1].entry]
    assert entry.seen is not None
    shown = OrderRow(
        order_id=entry.id,
        broker_id=desk.broker_id(entry.id),
        status=BrokerStatus.FILLED,
        terms=entry.seen,
        filled_quantity=entry.filled_quantity,
        filled_value_paise=entry.filled_value_paise,
        venue_at_ns=entry.venue_at_ns,
    )
    for second in (82, 86, 90):
        desk.read_book(shown, seconds=second)
    assert desk.state.orders[stop.order_id].state is OrderState.REJECTED


def test_orders_of_ours_that_come_and_go_are_no_list() -> None:
    """Two passes must show the same ones, three seconds after the start or not."""
    held = Held()
    dead = replace(held.resting, status=BrokerStatus.CANCELLED)
    lost = held.desk.book_row(sale(name(Purpose.EXIT, 1)), BrokerStatus.REJECTED)
    for second in range(73, 100):
        held.desk.at(second)
        seen(held.desk)
        rows = (held.entered, dead, lost) if second % 2 else (held.entered, dead)
        held.desk.book(*rows)
    assert not held.desk.state.book.is_listed
    assert held.desk.all(PlaceOrder) == []


def test_a_position_without_a_stop_that_may_not_be_placed_calls_each_ten_seconds() -> None:
    """No exit is decided, nothing rests, no read comes: a person hears what to do by hand."""
    held = Held()
    dead = replace(held.resting, status=BrokerStatus.CANCELLED)
    held.desk.at(71).tell_row(dead, is_read=True)
    for second in range(72, 105):
        seen(held.desk, second)
        held.desk.answer_poll()
    calls = [one for one in held.desk.told(Anomaly) if "without a stop" in one.what]
    assert len(calls) == 3
    assert calls[0].values["by_hand"] == f"SELL 195 {CALL.symbol}"
    assert calls[0].values["or"] == "close it anyway"


def test_a_position_that_a_changing_net_leaves_without_a_stop_calls_too() -> None:
    """No net is repeated for ten seconds, none is believed: it says what the broker shows."""
    held = Held()
    dead = replace(held.resting, status=BrokerStatus.CANCELLED)
    for second in range(74, 110):
        nets = {CALL: 130 if second // 5 % 2 else 65}
        held.desk.read_book(held.entered, dead, nets=nets, seconds=second)
        seen(held.desk)
    assert held.desk.all(PlaceOrder) == []
    calls = [one for one in held.desk.told(Anomaly) if "without a stop" in one.what]
    assert len(calls) == 3
    assert calls[0].values["at_broker"] in (65, 130)


def test_while_another_key_is_read_on_our_own_trades_open_nothing() -> None:
    """Our fill moves its key and its net comes late: neither entries nor closers wait for it."""
    held = Moving()
    held.passes(71, 90)
    held.shown = [held.desk.book_row(one) for one in held.desk.all(PlaceOrder)[-1:]]
    held.desk.state.book.last = None
    bought = replace(held.entered, venue_at_ns=OPEN + 90 * SECOND)
    for second in (90, 91):
        held.desk.at(second)
        moved = (foreign(PUT, Side.BUY, filled=second % 2 + 1),)
        held.desk.book(bought, held.dead, *held.shown, foreign=moved, nets={CALL: 130})
    state = held.desk.state
    assert state.drifts == {}
    assert (state.book.open_points, state.book.awaited) == ((), set())


def test_in_a_key_that_moves_nothing_is_absent_before_its_time_to_settle_is_over() -> None:
    """T3: its row may be late with the net; then two reads, three seconds apart, that lack it."""
    held = Held(stop_rests=False)
    order = held.desk.state.orders[held.stop.order_id]
    for second in range(71, 87):
        held.desk.at(second)
        seen(held.desk)
        held.desk.book(held.entered, nets={CALL: 195 - second % 2})
        if second == 84:
            assert order.state is OrderState.UNKNOWN
    assert order.state is OrderState.REJECTED
    assert held.remedies() == [Difference.ABSENT]


def test_cash_is_taken_from_a_book_that_stands_still() -> None:
    """While a key moves a fill may be on its way: what is free is not known to be after it."""
    held = Moving()
    held.passes(71, 80)
    assert held.desk.state.funds_paise is None
    held.desk.book(held.entered, held.dead, rupees=7)
    held.desk.book(held.entered, held.dead, rupees=7)
    assert held.desk.state.funds_paise == 700


# -- orders of ours that belong to nothing


class Orphaned:
    """A stop of ours rests, and no position of ours or the broker's is there for it."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.desk.at(70)
        self.desk.forget()
        self.stop = self.desk.book_row(sale(name(Purpose.STOP, 1, 9), stop=88))

    def cancels(self) -> list[BrokerOrderId]:
        return [one.broker_id for one in self.desk.all(CancelOrder)]


def test_a_stop_of_ours_without_a_position_is_cancelled_once_it_is_evident() -> None:
    """Stable reads three seconds apart show it, and nothing that it would close: it would open."""
    orphaned = Orphaned()
    desk = orphaned.desk
    desk.read_book(orphaned.stop, seconds=75)
    desk.read_book(orphaned.stop, seconds=77)
    assert orphaned.cancels() == []
    assert first_failing(desk.state) is not None
    desk.read_book(orphaned.stop, seconds=78.1)
    assert orphaned.cancels() == [orphaned.stop.broker_id]
    [told] = desk.told(Remedied)
    assert (told.difference, told.order_id) == (Difference.ORPHAN, orphaned.stop.order_id)
    gone = replace(orphaned.stop, status=BrokerStatus.CANCELLED)
    desk.read_book(gone, seconds=80)
    seen(desk)
    assert desk.state.book.open_points == ()
    assert orphaned.cancels() == [orphaned.stop.broker_id]
    desk.read_book(gone, seconds=85)
    assert [one.what for one in desk.told(Anomaly)] == ["order row for an order that is not ours"]


def test_a_stop_that_closes_what_the_broker_holds_is_left_alone() -> None:
    """Whatever it belongs to, it protects something: hands off, and a person is called."""
    orphaned = Orphaned()
    for second in range(75, 90, 2):
        orphaned.desk.read_book(orphaned.stop, nets={CALL: 195}, seconds=second)
    assert orphaned.cancels() == []
    assert [key.instrument for key in orphaned.desk.state.drifts] == [CALL.id]


@pytest.mark.proves("B-19")
def test_orders_of_others_are_never_touched() -> None:
    """However they look: hands off what bears no id of ours."""
    desk = Desk()
    desk.at(70)
    desk.forget()
    theirs = replace(foreign(filled=65), filled_quantity=0, is_live=True)
    named = replace(Orphaned().stop, order_id=OrderId("owners-own-name"))
    for second in range(75, 95, 2):
        desk.read_book(named, foreign=(theirs,), nets={}, seconds=second)
    assert desk.all(CancelOrder) == []
    assert desk.all(ModifyOrder) == []


def test_a_bar_that_was_acknowledged_is_not_raised_again_by_the_same_order() -> None:
    """Its row stays in the day's book."""
    orphaned = Orphaned()
    dead = replace(orphaned.stop, status=BrokerStatus.CANCELLED)
    orphaned.desk.read_book(dead, seconds=75)
    assert orphaned.desk.state.drifts != {}
    orphaned.desk.acknowledge_drift()
    assert orphaned.desk.state.drifts == {}
    orphaned.desk.read_book(dead, seconds=80)
    assert orphaned.desk.state.drifts == {}


@pytest.mark.proves("T22")
def test_one_pass_told_twice_is_no_second_opinion() -> None:
    """Nor is one that a later one has overtaken."""
    held = Held()
    pass_ = BookRead(
        at_ns=OPEN + 75 * SECOND,
        began_at_ns=OPEN + 75 * SECOND,
        nets=(),
        orders=(held.entered, replace(held.resting, status=BrokerStatus.CANCELLED)),
        foreign=(),
        trades=(),
        funds_paise=1,
    )
    held.desk.at(75).tell(pass_)
    held.desk.at(76).tell(replace(pass_, at_ns=held.desk.now))
    held.desk.at(77).tell(replace(pass_, at_ns=held.desk.now, began_at_ns=OPEN + 74 * SECOND))
    assert held.remedies() == []
    assert held.desk.state.orders[held.stop.order_id].is_live


@pytest.mark.proves("REC-4")
def test_every_remedy_is_told_with_before_and_after() -> None:
    """A fill that was missed and an order that never was, as figures."""
    held = Held(stop_rests=False)
    held.desk.read_book(held.entered, seconds=74)
    held.desk.read_book(held.entered, seconds=78)
    [told] = held.desk.told(Remedied)
    assert told.before["state"] == "unknown"
    assert told.after["state"] == "rejected"
    assert told.order_id == held.stop.order_id
