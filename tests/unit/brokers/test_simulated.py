"""The simulated exchange behind the port: when requests arrive, and when we hear of what."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from holdfast.brokers.memory import BrokerMemory, read_memory
from holdfast.brokers.simulated import SimulatedVenue, rebuilt
from holdfast.domain.command import (
    AnyCommand,
    CancelOrder,
    FindOrder,
    ModifyOrder,
    Notify,
    OrderRequest,
    PlaceOrder,
    ReadBook,
    ReadFunds,
    ReadQuotes,
    Severity,
    Subscribe,
)
from holdfast.domain.event import (
    Action,
    AnyEvent,
    BookRead,
    FundsRead,
    OrderAcknowledged,
    OrderUpdated,
    Outcome,
    QuotesRead,
    ReadFailed,
    SendFailed,
)
from holdfast.domain.market import Tick
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderRow,
    OrderTerms,
    Purpose,
    Refusal,
    Side,
)
from holdfast.exchange.checks import Behaviour, ModifyBehaviour
from holdfast.exchange.latency import MILLISECOND_NS, Latency
from holdfast.ports import VenueDriver
from tests.support.desk import CALL, CLOSE, NIFTY, PUT, SESSION
from tests.unit.exchange.floor import around, at, buy, oid, opened, sell, stop, told

REQUEST, RESPONSE, UPDATE = (ms * MILLISECOND_NS for ms in (50, 30, 100))
SECOND_MS = 1_000 * MILLISECOND_NS

FIXED = Latency(
    seed=1,
    request_ns=(REQUEST, REQUEST),
    response_ns=(RESPONSE, RESPONSE),
    update_ns=(UPDATE, UPDATE),
)


def venue(
    latency: Latency = FIXED,
    *,
    quotes_available: bool = True,
    behaviour: Behaviour | None = None,
) -> SimulatedVenue:
    """A venue that was told the usual book at the open."""
    exchange = opened(behaviour=behaviour)
    return SimulatedVenue(exchange, latency, quotes_available=quotes_available)


def place(name: str, terms: OrderTerms) -> PlaceOrder:
    """A placement of the first position."""
    return PlaceOrder(
        order_id=oid(name), purpose=Purpose.ENTRY, position=1, terms=terms, fills_seen=0
    )


def heard(found: Sequence[AnyEvent]) -> list[tuple[str, int]]:
    """What kind of event was heard, and how many milliseconds after the first second."""
    return [(type(event).__name__, (event.at_ns - at(1)) // MILLISECOND_NS) for event in found]


def words(found: Sequence[AnyEvent]) -> list[OrderRow]:
    """The rows among the events."""
    return [event.row for event in found if isinstance(event, OrderUpdated)]


def test_it_is_what_the_driver_steps() -> None:
    """The adapter keeps the port's protocol; mypy checks the rest."""
    driver: VenueDriver = venue()
    assert driver.due_ns == SESSION.square_off_ns  # nothing else is on its way


def test_an_order_travels_is_taken_and_answers_travel_back() -> None:
    """Each event is stamped with the instant at which it reaches us."""
    driver = venue()
    driver.submit(place("A", buy(10_005)), at(1))
    assert driver.due_ns == at(1) + REQUEST
    assert driver.pop_due(at(1) + REQUEST) == []  # it reached the exchange
    assert [row.status for row in driver.exchange.orders()] == [BrokerStatus.FILLED]
    assert driver.due_ns == at(1) + REQUEST + RESPONSE
    events = driver.pop_due(at(2))
    assert heard(events) == [
        ("OrderAcknowledged", 80),
        ("OrderUpdated", 150),
        ("OrderUpdated", 150),
    ]
    working, filled = words(events)
    assert (working.filled_quantity, filled.filled_quantity) == (0, 65)
    assert filled.venue_at_ns == at(1) + REQUEST  # the exchange's time of it
    assert driver.pop_due(at(3)) == []


def test_a_fill_may_overtake_the_answer_to_its_own_order() -> None:
    """The stream and the answer are two ways."""
    driver = venue(replace(FIXED, response_ns=(2 * UPDATE, 2 * UPDATE)))
    driver.submit(place("A", buy(10_005)), at(1))
    kinds = [kind for kind, _ in heard(driver.pop_due(at(2)))]
    assert kinds == ["OrderUpdated", "OrderUpdated", "OrderAcknowledged"]


def test_a_request_meets_the_book_as_of_its_arrival() -> None:
    """Not as of when it was sent: ticks in between count, ticks after do not."""
    driver = venue()
    driver.submit(place("A", buy(10_100)), at(1))
    driver.on_tick(around(1.049, 10_050))
    driver.on_tick(around(1.051, 10_000))
    assert words(driver.pop_due(at(2)))[-1].filled_value_paise == 65 * 10_055


def test_the_words_about_one_order_keep_their_order() -> None:
    """However their draws fall; over many orders, some draws fall the wrong way."""
    driver = venue(Latency(seed=1, update_ns=(1, SECOND_MS)))
    names = [f"A{number}" for number in range(8)]
    for name in names:
        driver.submit(place(name, buy(10_005, 130)), at(1))
    for tick in range(2, 12):
        driver.on_tick(told(tick, asks=((10_005, 65),)))
    rows = words(driver.pop_due(at(60)))
    assert len(rows) > 2 * len(names)
    for name in names:
        filled = [row.filled_quantity for row in rows if row.order_id == name]
        assert filled == sorted(filled)


def test_events_come_in_due_order_and_equal_ones_as_they_were_made() -> None:
    """Whether popped at once or one by one."""

    def busy() -> SimulatedVenue:
        driver = venue(Latency(seed=3))
        for number in range(6):
            driver.submit(place(f"A{number}", buy(10_005)), at(1))
            driver.submit(ReadFunds(), at(1))
        return driver

    at_once, driver = busy().pop_due(at(2)), busy()
    one_by_one: list[AnyEvent] = []
    while driver.due_ns is not None and driver.due_ns <= at(2):
        one_by_one += driver.pop_due(driver.due_ns)
    assert one_by_one == at_once
    assert len(at_once) > 18
    due = [event.at_ns for event in at_once]
    assert due == sorted(due)


def test_one_request_more_changes_nothing_for_the_others() -> None:
    """Its latency is drawn by name, not from a stream (4.13)."""

    def answered(*, with_others: bool) -> list[AnyEvent]:
        driver = venue(Latency(seed=5))
        if with_others:
            driver.submit(ReadFunds(), at(1))
            driver.submit(place("B", buy(9_000)), at(1))
        driver.submit(place("A", buy(9_990)), at(1))
        events = driver.pop_due(at(2))
        return [replace(e, broker_id=BrokerOrderId("")) for e in events
                if isinstance(e, OrderAcknowledged) and e.order_id == "A"]  # fmt: skip

    assert answered(with_others=True) == answered(with_others=False)


def test_the_same_question_asked_again_travels_for_another_time() -> None:
    """Each request has a name of its own, so that one slow answer is not slow for ever."""
    driver = venue(Latency(seed=5))
    for _ in range(5):
        driver.submit(ReadFunds(), at(1))
    assert len({event.at_ns for event in driver.pop_due(at(2))}) == 5


@pytest.mark.parametrize(
    ("command", "action", "refusal"),
    [
        (place("A", buy(10_000, 66)), Action.PLACE, Refusal.QUANTITY),
        (
            ModifyOrder(order_id=oid("E"), broker_id=BrokerOrderId(""), terms=buy(99_000)),
            Action.MODIFY,
            Refusal.BAND,
        ),
        (CancelOrder(order_id=oid("Z"), broker_id=BrokerOrderId("1")), Action.CANCEL,
         Refusal.NOT_MODIFIABLE),
    ],
)  # fmt: skip
def test_a_no_is_a_failed_send_with_its_class(
    command: OrderRequest, action: Action, refusal: Refusal
) -> None:
    """It comes by the answer, as fast as an answer does."""
    driver = venue()
    (row, *_) = driver.exchange.place(oid("E"), buy(9_900), at(0.5))
    assert isinstance(row, OrderRow)
    if isinstance(command, ModifyOrder):
        command = replace(command, broker_id=row.broker_id)
    driver.submit(command, at(1))
    (event,) = driver.pop_due(at(2))
    assert isinstance(event, SendFailed)
    assert (event.action, event.outcome) == (action, Outcome.REFUSED)
    assert (event.order_id, event.refusal) == (command.order_id, refusal)
    assert event.reason
    assert event.at_ns == at(1) + REQUEST + RESPONSE


def test_an_order_that_the_exchange_rejects_was_acknowledged_first() -> None:
    """The broker took it; its end stands in the row, with class and text."""
    driver = venue()
    driver.submit(place("A", buy(15_000)), at(1))
    acknowledged, updated = driver.pop_due(at(2))
    assert isinstance(acknowledged, OrderAcknowledged)
    assert isinstance(updated, OrderUpdated)
    assert updated.row.status is BrokerStatus.REJECTED
    assert (updated.row.refusal, updated.row.broker_id) == (Refusal.BAND, acknowledged.broker_id)
    assert not updated.is_read


def test_modifications_and_cancels_answer_by_the_row() -> None:
    """Both name an order by its number; what the order becomes is the answer."""
    driver = venue()
    driver.submit(place("A", buy(9_900)), at(1))
    (row,) = words(driver.pop_due(at(2)))
    modify = ModifyOrder(order_id=oid("A"), broker_id=row.broker_id, terms=buy(9_950))
    driver.submit(modify, at(2))
    assert [found.terms for found in words(driver.pop_due(at(3)))] == [buy(9_950)]
    driver.submit(CancelOrder(order_id=oid("A"), broker_id=row.broker_id), at(3))
    assert [r.status for r in words(driver.pop_due(at(4)))] == [BrokerStatus.CANCELLED]


def test_a_number_that_is_not_the_orders_own_is_refused() -> None:
    """Of two orders with one id the elder cannot be hit by mistake."""
    driver = venue()
    driver.submit(place("A", buy(9_900)), at(1))
    driver.pop_due(at(2))
    modify = ModifyOrder(order_id=oid("A"), broker_id=BrokerOrderId("x"), terms=buy(9_950))
    driver.submit(modify, at(2))
    driver.submit(CancelOrder(order_id=oid("A"), broker_id=BrokerOrderId("x")), at(2))
    failed = driver.pop_due(at(3))
    assert [e.refusal for e in failed if isinstance(e, SendFailed)] == [Refusal.NOT_MODIFIABLE] * 2
    assert driver.exchange.orders()[0].terms == buy(9_900)


def test_an_ignored_modification_answers_nothing() -> None:
    """Silence, and the old terms in the row when it is asked for (T2)."""
    driver = venue(behaviour=Behaviour(stop_to_limit=ModifyBehaviour.IGNORES))
    driver.exchange.place(oid("E"), buy(10_005), at(0.5))
    resting = stop(Side.SELL, 9_900, 9_800)
    driver.submit(place("S", resting), at(1))
    (row,) = words(driver.pop_due(at(2)))
    modify = ModifyOrder(order_id=oid("S"), broker_id=row.broker_id, terms=sell(9_990))
    driver.submit(modify, at(2))
    assert driver.pop_due(at(3)) == []
    driver.submit(FindOrder(order_id=oid("S")), at(3))
    assert [found.terms for found in words(driver.pop_due(at(4)))] == [resting]


def test_an_order_is_found_as_it_stood_when_the_question_arrived() -> None:
    """The answer is marked as a read; an order that is not there is a failed read."""
    driver = venue()
    driver.submit(FindOrder(order_id=oid("A")), at(1))
    driver.submit(place("A", buy(9_990)), at(2))
    driver.submit(FindOrder(order_id=oid("A")), at(3))
    missing, _, _, found = driver.pop_due(at(4))
    assert isinstance(missing, ReadFailed)
    assert (missing.what, missing.reason) == ("order A", "not found")
    assert isinstance(found, OrderUpdated)
    assert found.is_read
    assert found.at_ns == at(3) + REQUEST + RESPONSE


def test_funds_are_those_free_when_the_question_arrived() -> None:
    """What a working order holds back is not free."""
    driver = venue()
    before = driver.exchange.funds_paise
    driver.exchange.place(oid("A"), buy(9_900), at(0.5))
    driver.submit(ReadFunds(), at(1))
    (event,) = driver.pop_due(at(2))
    assert isinstance(event, FundsRead)
    assert event.available_paise == before - 65 * 9_900


def test_quotes_are_the_book_at_the_time_of_the_read() -> None:
    """An instrument that nobody heard of yet is left out; extremes of merged ticks too."""
    driver = venue()
    merged = replace(told(0.5), count=3, last_low_paise=1, last_high_paise=2, bid_low_paise=1,
                     bid_high_paise=2, ask_low_paise=1, ask_high_paise=2)  # fmt: skip
    driver.on_tick(merged)
    driver.submit(ReadQuotes(instruments=(CALL.id, PUT.id, NIFTY.id)), at(1))
    (event,) = driver.pop_due(at(2))
    assert isinstance(event, QuotesRead)
    assert event.quotes == (replace(told(0.5), at_ns=at(1) + REQUEST + RESPONSE),)


def test_a_tape_has_no_newer_quotes() -> None:
    """Failed is not empty."""
    driver = venue(quotes_available=False)
    driver.submit(ReadQuotes(instruments=(CALL.id,)), at(1))
    (event,) = driver.pop_due(at(2))
    assert isinstance(event, ReadFailed)
    assert event.what == "quotes"


def test_what_resting_orders_do_is_heard_by_the_stream() -> None:
    """Without any request: a stop that triggers and fills."""
    driver = venue()
    driver.exchange.place(oid("E"), buy(10_005), at(0.2))
    driver.exchange.place(oid("S"), stop(Side.SELL, 9_900, 9_800), at(0.3))
    driver.on_tick(around(1, 9_900, volume=1_065))
    events = driver.pop_due(at(2))
    assert [row.status for row in words(events)] == [BrokerStatus.TRIGGERED, BrokerStatus.FILLED]
    assert {event.at_ns for event in events} == {at(1) + UPDATE}


def test_the_broker_squares_off_and_the_day_expires_by_themselves() -> None:
    """As inner events at their times, though nobody asked and no tick came."""
    driver = venue()
    driver.exchange.place(oid("A"), buy(9_900), at(1))
    margin = replace(buy(9_900), product=type(buy(1).product).MARGIN)
    driver.exchange.place(oid("M"), margin, at(1))
    rows = words(driver.pop_due(CLOSE + SECOND_MS))
    assert [(r.order_id, r.status) for r in rows] == [
        ("A", BrokerStatus.CANCELLED),
        ("M", BrokerStatus.EXPIRED),
    ]
    assert [r.venue_at_ns for r in rows] == [SESSION.square_off_ns, CLOSE]
    assert driver.due_ns is None


@pytest.mark.parametrize("command", [Subscribe(instruments=(CALL.id,))])
def test_the_feed_is_always_on(command: AnyCommand) -> None:
    """A subscription is taken without a word."""
    driver = venue()
    driver.submit(command, at(1))
    assert driver.pop_due(at(5)) == []


def test_nobody_is_notified_by_a_venue() -> None:
    """Such a command went the wrong way."""
    with pytest.raises(AssertionError, match="nobody to notify"):
        venue().submit(Notify(severity=Severity.INFO, text="so"), at(1))


# -- the book, and an exchange built again


def test_the_whole_book_is_shown_as_of_its_arrival() -> None:
    """Orders in the order taken, trades, nets and funds; begun when the request left."""
    driver = venue()
    driver.submit(place("A", buy(10_005)), at(1))
    driver.pop_due(at(2))
    driver.submit(ReadBook(), at(3))
    [read] = [event for event in driver.pop_due(at(4)) if isinstance(event, BookRead)]
    assert (read.began_at_ns, read.at_ns) == (at(3), at(3) + REQUEST + RESPONSE)
    assert read.orders == driver.exchange.orders()
    assert sum(trade.quantity for trade in read.trades) == read.orders[0].filled_quantity > 0
    assert [(net.key, net.net) for net in read.nets] == list(driver.exchange.positions().items())
    assert read.funds_paise == driver.exchange.funds_paise


@pytest.mark.parametrize("after_ns", [REQUEST // 2, REQUEST + 1])
def test_a_broken_connection_loses_answers_but_not_requests(after_ns: int) -> None:
    """What is on its way arrives; its answer finds nobody, and what was on its way to us is lost."""
    driver = venue()
    driver.submit(place("A", buy(10_005)), at(1))
    driver.submit(ReadFunds(), at(1))
    driver.hang_up(at(1) + after_ns)
    found = driver.pop_due(at(3))
    assert [type(event) for event in found] == [OrderUpdated] * len(found)
    assert bool(found) is (after_ns < REQUEST), "the stream tells what happens from here on"
    assert [row.order_id for row in driver.exchange.orders()] == [oid("A")]


def merged_market() -> list[Tick]:
    """Ticks as the exchange was shown them: the third stands for three of its instrument."""
    return [
        around(1, 10_000),
        around(1.5, 10_020),
        replace(
            around(4, 9_960, volume=900), count=3, last_low_paise=9_900, last_high_paise=10_040
        ),
        around(5, 10_000, volume=1_000),
        around(6, 10_050, volume=1_100),
    ]


def raw_market() -> list[Tick]:
    """The same as its source tells it."""
    shown = merged_market()
    parts = [around(2, 9_900, volume=500), around(3, 10_040, volume=700)]
    return [*shown[:2], *parts, around(4, 9_960, volume=900), *shown[3:]]


def test_an_exchange_is_built_again_exactly(tmp_path: Path) -> None:
    """From the source and the broker's memory: orders, trades, cash, and each later draw."""
    memory = BrokerMemory(tmp_path / "broker")
    first = venue(Latency(seed=3))
    first.remember(memory)
    for number, tick in enumerate(merged_market()):
        first.on_tick(tick)
        if number < 3:
            first.submit(place(f"A{number}", buy(10_100)), tick.at_ns)
    memory.close()
    until_ns = at(4.02)
    second = venue(Latency(seed=3))
    rest = rebuilt(second, iter(raw_market()), read_memory(tmp_path / "broker"), until_ns=until_ns)
    assert list(rest) == merged_market()[3:]
    for tick in merged_market()[3:]:
        second.on_tick(tick)
    for driver in (first, second):
        driver.pop_due(at(10))
        driver.submit(ReadBook(), at(10))
    [one], [other] = first.pop_due(at(11)), second.pop_due(at(11))
    assert one == other
    assert isinstance(one, BookRead)
    assert len(one.orders) == 3
    assert one.trades


def test_an_exchange_is_built_again_up_to_an_instant(tmp_path: Path) -> None:
    """What it was shown later does not count; what no request needed is not kept."""
    memory = BrokerMemory(tmp_path / "broker")
    first = venue()
    first.remember(memory)
    for tick in raw_market():
        first.on_tick(tick)
    memory.close()
    assert read_memory(tmp_path / "broker") == []
    second = venue()
    rest = rebuilt(second, iter(raw_market()), [], until_ns=at(2.5))
    assert [tick.at_ns for tick in rest] == [at(3), at(4), at(5), at(6)]
    last = second.exchange.last_tick(CALL.id)
    assert last is not None
    assert last.at_ns == at(2)
