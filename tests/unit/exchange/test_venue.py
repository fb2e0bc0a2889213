"""The simulated exchange: what becomes of orders."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from holdfast.domain.instrument import BrokerKey, Product
from holdfast.domain.market import Tick
from holdfast.domain.order import BrokerStatus, OrderRow, OrderTerms, OrderType, Refusal, Side
from holdfast.exchange.account import Carried
from holdfast.exchange.checks import Behaviour, ModifyBehaviour, SelfTrade
from holdfast.exchange.venue import SimulatedExchange
from tests.support.desk import CALL, CLOSE, FACTS, NIFTY, OPEN, PUT, SESSION
from tests.unit.exchange.floor import (
    LAKH,
    around,
    at,
    buy,
    oid,
    opened,
    refused,
    rows,
    sell,
    stop,
    told,
)

W, T, F = BrokerStatus.WORKING, BrokerStatus.TRIGGERED, BrokerStatus.FILLED
C, R, X = BrokerStatus.CANCELLED, BrokerStatus.REJECTED, BrokerStatus.EXPIRED

KEY = BrokerKey(CALL.id, Product.INTRADAY)


def seen(found: list[OrderRow]) -> list[tuple[BrokerStatus, int, int]]:
    """Of each row the status, the contracts filled and their value."""
    return [(row.status, row.filled_quantity, row.filled_value_paise) for row in found]


def held(*ticks: Tick, behaviour: Behaviour | None = None) -> SimulatedExchange:
    """65 calls bought at 100.05, then told `ticks`."""
    exchange = opened(behaviour=behaviour)
    rows(exchange.place(oid("E"), buy(10_005), at(1)))
    for tick in ticks:
        exchange.on_tick(tick)
    return exchange


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        (buy(10_005), [(W, 0, 0), (F, 65, 65 * 10_005)]),
        (buy(10_100), [(W, 0, 0), (F, 65, 65 * 10_005)]),  # the level's price, not the limit's
        (buy(10_010, 195), [(W, 0, 0), (F, 195, 130 * 10_005 + 65 * 10_010)]),
        (buy(10_005, 195), [(W, 0, 0), (W, 130, 130 * 10_005)]),  # the rest rests
        (buy(10_000), [(W, 0, 0)]),
        (sell(9_990, 195), [(W, 0, 0), (F, 195, 130 * 9_995 + 65 * 9_990)]),
        (sell(10_000), [(W, 0, 0)]),
    ],
)
def test_an_order_trades_on_arrival_with_what_is_offered(
    terms: OrderTerms, expected: list[tuple[BrokerStatus, int, int]]
) -> None:
    """Within its limit, level by level; rows are cumulative and stamped with the exchange's time."""
    exchange = opened(cash=10 * LAKH)
    found = rows(exchange.place(oid("A"), terms, at(1)))
    assert seen(found) == expected
    assert {row.venue_at_ns for row in found} == {at(1)}
    assert exchange.find(oid("A")) == found[-1]
    signed = terms.side.sign * found[-1].filled_quantity
    assert exchange.positions() == ({KEY: signed} if signed else {})
    assert exchange.cash_paise == 10 * LAKH - terms.side.sign * found[-1].filled_value_paise
    exchange.assert_conserved()


def test_what_one_order_took_is_not_there_for_the_next() -> None:
    """Until the market tells the book again."""
    exchange = opened()
    exchange.place(oid("A"), buy(10_005, 130), at(1))
    assert seen(rows(exchange.place(oid("B"), buy(10_005), at(2)))) == [(W, 0, 0)]
    assert seen(exchange.on_tick(told(3))) == [(F, 65, 65 * 10_005)]


def test_a_rest_fills_as_quantity_comes_in() -> None:
    """Each tick brings what it brings; the exchange's time is that tick's."""
    exchange = opened()
    exchange.place(oid("A"), buy(10_005, 325), at(1))
    assert seen(exchange.on_tick(told(2))) == [(W, 260, 260 * 10_005)]
    (row,) = exchange.on_tick(told(3))
    assert (row.status, row.filled_quantity, row.venue_at_ns) == (F, 325, at(3))
    assert exchange.on_tick(told(4)) == []
    exchange.assert_conserved()


@pytest.mark.parametrize(
    ("volumes", "filled"),
    [
        ((1_130,), 0),  # the 130 ahead
        ((1_130, 1_150), 20),
        ((1_195,), 65),
        ((1_000, 1_000), 0),  # nothing traded
    ],
)
def test_at_its_own_price_an_order_waits_for_the_queue_ahead(
    volumes: tuple[int, ...], filled: int
) -> None:
    """By traded volume: 130 contracts stood at 99.95 when it joined."""
    exchange = opened()
    exchange.place(oid("A"), buy(9_995), at(1))
    for second, volume in enumerate(volumes, start=2):
        exchange.on_tick(told(second, last=9_995, volume=volume))
    row = exchange.find(oid("A"))
    assert row is not None
    assert (row.filled_quantity, row.filled_value_paise) == (filled, filled * 9_995)


def test_a_print_through_its_price_fills_an_order_at_that_price() -> None:
    """The seller who traded lower had to take us first; he brought that much and no more."""
    exchange = opened()
    exchange.place(oid("A"), buy(9_995, 130), at(1))
    through = told(2, last=9_990, volume=1_100, bids=((9_985, 65),), asks=((10_000, 65),))
    assert seen(exchange.on_tick(through)) == [(W, 100, 100 * 9_995)]


def test_prints_are_shared_by_price_and_then_by_time() -> None:
    """The better price first, then the earlier order; a modification loses its place."""
    exchange = opened(told(0, bids=((9_980, 65),)))
    for name, price in (("A", 9_985), ("B", 9_985), ("C", 9_990)):
        exchange.place(oid(name), buy(price), at(1))
    exchange.modify(oid("A"), buy(9_985), at(2))
    book = {"bids": ((9_975, 65),), "asks": ((10_000, 65),)}
    exchange.on_tick(told(3, last=9_980, volume=1_140, **book))  # type: ignore[arg-type]
    filled = {row.order_id: row.filled_quantity for row in exchange.orders()}
    assert filled == {"A": 10, "B": 65, "C": 65}


@pytest.mark.parametrize(
    ("second", "expected"), [(5, [(W, 0, 0), (F, 65, 650_325)]), (5.1, [(W, 0, 0)])]
)
def test_nothing_matches_on_an_old_book(
    second: float, expected: list[tuple[BrokerStatus, int, int]]
) -> None:
    """The order rests until the market speaks; then it arrives, so to say, and takes levels."""
    exchange = opened()
    assert seen(rows(exchange.place(oid("A"), buy(10_100), at(second)))) == expected
    exchange.on_tick(told(6))
    row = exchange.find(oid("A"))
    assert row is not None
    assert seen([row]) == [(F, 65, 65 * 10_005)]


@pytest.mark.parametrize(
    ("terms", "touching", "before"),
    [
        (stop(Side.SELL, 9_900, 9_800), around(3, 9_900, volume=1_065), 9_905),
        (stop(Side.BUY, 10_100, 10_200), around(3, 10_100, volume=1_065), 10_095),
    ],
)
@pytest.mark.proves("T29")
def test_a_stop_rests_until_a_trade_touches_its_trigger(
    terms: OrderTerms, touching: Tick, before: int
) -> None:
    """Then it is a limit order at its limit, and says so before it fills."""
    exchange = opened()
    assert seen(rows(exchange.place(oid("S"), terms, at(1)))) == [(W, 0, 0)]
    assert exchange.on_tick(around(2, before, volume=1_001)) == []
    triggered, after = exchange.on_tick(touching)
    assert (triggered.status, after.status) == (T, F)
    assert triggered.terms.order_type is OrderType.LIMIT
    assert after.terms.limit_paise == terms.limit_paise
    assert after.filled_quantity == 65
    exchange.assert_conserved()


def test_a_book_beyond_the_trigger_touches_nothing() -> None:
    """Without a trade: the exchange looks at the last price only (T18)."""
    exchange = held()
    exchange.place(oid("S"), stop(Side.SELL, 9_900, 9_800), at(1))
    assert exchange.on_tick(told(2, bids=((9_000, 65),), asks=((9_005, 65),))) == []
    low = replace(told(3, volume=1_001), count=2, last_low_paise=9_900, last_high_paise=10_000)
    assert [row.status for row in exchange.on_tick(low)] == [T, F]  # the low of a merged tick


def test_a_stop_whose_limit_was_jumped_over_rests_unfilled() -> None:
    """After a gap it is a plain limit order above the market (T2), and fills when it returns."""
    exchange = held()
    exchange.place(oid("S"), stop(Side.SELL, 9_900, 9_800), at(1))
    assert [r.status for r in exchange.on_tick(around(2, 9_000, volume=1_065))] == [T, W]
    assert exchange.on_tick(around(3, 9_100, volume=1_065)) == []
    assert seen(exchange.on_tick(around(4, 9_850, volume=1_065))) == [(F, 65, 65 * 9_800)]


def test_the_trade_that_releases_a_stop_does_not_fill_it() -> None:
    """It had happened before the stop was in the book."""
    exchange = held()
    exchange.place(oid("S"), stop(Side.SELL, 9_900, 9_800), at(1))
    tick = told(2, last=9_900, volume=5_000, bids=((9_700, 650),), asks=((9_905, 650),))
    assert seen(exchange.on_tick(tick)) == [(T, 0, 0), (W, 0, 0)]


@pytest.mark.proves("T29")
def test_the_band_is_checked_again_at_the_trigger() -> None:
    """In a fast fall the reference is old: limit 80 dies at a reference of 140 (T1)."""
    exchange = opened(around(0, 14_000))
    exchange.place(oid("E"), buy(14_005), at(1))
    exchange.place(oid("S"), stop(Side.SELL, 10_000, 8_000), at(1))
    (row,) = exchange.on_tick(around(20, 10_000, volume=1_065))
    assert (row.status, row.refusal) == (R, Refusal.BAND)
    assert row.reason == "Price 80.00 is outside of 84.00 to 196.00"
    assert row.terms.order_type is OrderType.STOP_LIMIT
    assert exchange.positions() == {KEY: 65}


def test_a_new_reference_lets_the_same_stop_through() -> None:
    """Half a minute of trades at 110 is enough."""
    exchange = opened(around(0, 14_000))
    exchange.place(oid("E"), buy(14_005), at(1))
    exchange.place(oid("S"), stop(Side.SELL, 10_000, 8_000), at(1))
    exchange.on_tick(around(31, 11_000, volume=1_065))
    assert [r.status for r in exchange.on_tick(around(61, 10_000, volume=1_130))] == [T, F]


@pytest.mark.parametrize(
    ("terms", "refusal"),
    [
        (buy(15_000), Refusal.BAND),
        (stop(Side.SELL, 10_000, 9_900), Refusal.BEYOND_TRIGGER),
        (stop(Side.SELL, 9_000, 7_000), Refusal.TRIGGER_DISTANCE),
        (sell(9_900), Refusal.SELF_TRADE),
    ],
)
@pytest.mark.proves("T29")
def test_the_exchange_rejects_in_the_row(terms: OrderTerms, refusal: Refusal) -> None:
    """The broker took the order and gave it a number; the exchange's no stands in its book."""
    exchange = opened()
    exchange.place(oid("E"), buy(9_900), at(1))
    (row,) = rows(exchange.place(oid("A"), terms, at(2)))
    assert (row.status, row.refusal, row.filled_quantity) == (R, refusal, 0)
    assert row.reason
    assert exchange.find(oid("A")) == row
    assert exchange.placements[-1].refusal is refusal


@pytest.mark.parametrize(
    ("terms", "second", "refusal"),
    [
        (buy(10_000), -1.0, Refusal.CLOSED_MARKET),
        (buy(10_000, 66), 1.0, Refusal.QUANTITY),
        (buy(10_000, 1_820), 1.0, Refusal.QUANTITY),
        (buy(10_003), 1.0, Refusal.OTHER),
        (buy(10_000, 130), 1.0, Refusal.FUNDS),
        (replace(buy(10_000), instrument=NIFTY.id), 1.0, Refusal.OTHER),
    ],
)
@pytest.mark.proves("T29")
def test_the_broker_refuses_at_once(terms: OrderTerms, second: float, refusal: Refusal) -> None:
    """No number, no row; only the answer."""
    exchange = opened(cash=1_000_000)
    assert refused(exchange.place(oid("A"), terms, at(second))).refusal is refusal
    assert exchange.find(oid("A")) is None
    assert exchange.orders() == ()
    assert [placed.refusal for placed in exchange.placements] == [refusal]


def test_a_modification_gives_all_terms_anew() -> None:
    """The total quantity, the price; a stop becomes the exit (T2) and fills."""
    exchange = held()
    exchange.place(oid("S"), stop(Side.SELL, 9_900, 9_800), at(2))
    moved = rows(exchange.modify(oid("S"), stop(Side.SELL, 9_950, 9_850), at(3)))
    assert seen(moved) == [(W, 0, 0)]
    assert moved[0].terms.trigger_paise == 9_950
    out = rows(exchange.modify(oid("S"), sell(9_990), at(4)))
    assert seen(out) == [(W, 0, 0), (F, 65, 65 * 9_995)]
    assert out[0].terms == sell(9_990)
    assert exchange.positions() == {KEY: 0}
    exchange.assert_conserved()


def test_a_modified_total_below_the_fills_is_refused_and_equal_to_them_is_the_end() -> None:
    """The quantity of a modification is filled and open together."""
    exchange = opened()
    exchange.place(oid("A"), buy(10_005, 195), at(1))  # 130 fill
    no = refused(exchange.modify(oid("A"), buy(10_005, 65), at(2)))
    assert no.refusal is Refusal.QUANTITY
    (row,) = rows(exchange.modify(oid("A"), buy(10_005, 130), at(3)))
    assert seen([row]) == [(F, 130, 130 * 10_005)]
    assert exchange.on_tick(told(4)) == []


@pytest.mark.parametrize(
    ("behaviour", "answers", "type_after"),
    [
        (ModifyBehaviour.ACCEPTS, 2, OrderType.LIMIT),
        (ModifyBehaviour.REFUSES, 1, OrderType.STOP_LIMIT),
        (ModifyBehaviour.IGNORES, 0, OrderType.STOP_LIMIT),
    ],
)
@pytest.mark.proves("T29")
def test_what_a_broker_makes_of_a_stop_that_should_become_a_limit(
    behaviour: ModifyBehaviour, answers: int, type_after: OrderType
) -> None:
    """Three behaviours are known (2.11); moving the stop works under all of them."""
    exchange = held(behaviour=Behaviour(stop_to_limit=behaviour))
    exchange.place(oid("S"), stop(Side.SELL, 9_900, 9_800), at(2))
    rows(exchange.modify(oid("S"), stop(Side.SELL, 9_950, 9_850), at(3)))
    assert len(exchange.modify(oid("S"), sell(9_990), at(4))) == answers
    row = exchange.find(oid("S"))
    assert row is not None
    assert row.terms.order_type is type_after
    assert exchange.positions() == {KEY: 0 if behaviour is ModifyBehaviour.ACCEPTS else 65}


def test_modifications_run_out() -> None:
    """Twenty-five, ignored ones included, refused ones not; then only a cancel is left."""
    exchange = held(behaviour=Behaviour(stop_to_limit=ModifyBehaviour.IGNORES))
    exchange.place(oid("S"), stop(Side.SELL, 9_900, 9_800), at(2))
    exchange.modify(oid("S"), stop(Side.SELL, 9_900, 9_801), at(2))  # off the step: refused
    for number in range(25):
        is_ignored = number % 2
        terms = sell(9_990) if is_ignored else stop(Side.SELL, 9_900 - 5 * number, 9_700)
        assert len(exchange.modify(oid("S"), terms, at(3))) == 1 - is_ignored
    no = refused(exchange.modify(oid("S"), stop(Side.SELL, 9_900, 9_800), at(4)))
    assert no.refusal is Refusal.NOT_MODIFIABLE
    assert [row.status for row in rows(exchange.cancel(oid("S"), at(5)))] == [C]


def test_a_modification_refused_by_the_exchange_leaves_the_order_as_it_was() -> None:
    """The band is checked on modifications too."""
    exchange = held()
    (before,) = rows(exchange.place(oid("S"), stop(Side.SELL, 9_900, 9_800), at(2)))
    assert refused(exchange.modify(oid("S"), sell(5_000), at(3))).refusal is Refusal.BAND
    assert exchange.find(oid("S")) == before


@pytest.mark.proves("T29")
def test_a_modification_that_meets_our_own_order_kills_the_modified_one() -> None:
    """The exit dies and the entry lives: the later of the two (T6)."""
    exchange = held()
    exchange.place(oid("S"), stop(Side.SELL, 9_900, 9_800), at(2))
    exchange.place(oid("E2"), buy(9_990), at(2))
    (row,) = rows(exchange.modify(oid("S"), sell(9_990), at(3)))
    assert (row.status, row.refusal) == (C, Refusal.SELF_TRADE)
    assert [r.status for r in rows(exchange.cancel(oid("E2"), at(4)))] == [C]


@pytest.mark.proves("T29")
def test_where_the_resting_side_dies_the_later_order_goes_on() -> None:
    """The entry's remainder is cancelled by our own exit, which trades with the market (T6)."""
    exchange = held(behaviour=Behaviour(self_trade=SelfTrade.RESTING))
    exchange.place(oid("E2"), buy(9_990), at(2))
    taken, own, filled = rows(exchange.place(oid("X"), sell(9_985), at(3)))
    assert (own.order_id, own.status, own.refusal) == ("E2", C, Refusal.SELF_TRADE)
    assert (taken.order_id, filled.order_id, filled.status) == ("X", "X", F)
    assert filled.filled_value_paise == 65 * 9_995
    exchange.assert_conserved()


@pytest.mark.proves("T29")
def test_a_stop_that_meets_our_own_order_at_its_trigger_is_cancelled() -> None:
    """As the exchange does with the later of two orders of one owner."""
    exchange = held()
    exchange.place(oid("S"), stop(Side.SELL, 9_900, 9_800), at(2))
    exchange.place(oid("E2"), buy(9_850), at(2))
    (row,) = exchange.on_tick(told(3, last=9_900, volume=1_065, asks=((9_905, 65),)))
    assert (row.status, row.refusal) == (C, Refusal.SELF_TRADE)


@pytest.mark.parametrize(
    "end",
    [
        lambda exchange: exchange.cancel(oid("A"), at(2)),
        lambda exchange: exchange.expire(CLOSE),
        lambda exchange: exchange.on_tick(told(2, asks=((9_900, 650),))),
    ],
    ids=["cancelled", "expired", "filled"],
)
def test_an_ended_order_takes_no_more_requests(end: Callable[[SimulatedExchange], object]) -> None:
    """And the market leaves it alone."""
    exchange = opened()
    exchange.place(oid("A"), buy(9_950), at(1))
    end(exchange)
    before = exchange.find(oid("A"))
    assert refused(exchange.modify(oid("A"), buy(9_900), at(3))).refusal is Refusal.NOT_MODIFIABLE
    assert refused(exchange.cancel(oid("A"), at(3))).refusal is Refusal.NOT_MODIFIABLE
    assert exchange.on_tick(told(4, last=9_000, volume=9_000, asks=((9_005, 650),))) == []
    assert exchange.find(oid("A")) == before


def test_a_cancel_keeps_what_has_filled() -> None:
    """Cancelled after a partial fill."""
    exchange = opened()
    exchange.place(oid("A"), buy(10_005, 195), at(1))
    (row,) = rows(exchange.cancel(oid("A"), at(2)))
    assert seen([row]) == [(C, 130, 130 * 10_005)]
    assert exchange.positions() == {KEY: 130}


def test_what_was_never_placed_cannot_be_touched() -> None:
    """An unknown order is a refusal of its own class."""
    exchange = opened()
    assert refused(exchange.cancel(oid("A"), at(1))).refusal is Refusal.NOT_MODIFIABLE
    assert refused(exchange.modify(oid("A"), buy(10_000), at(1))).refusal is Refusal.NOT_MODIFIABLE


@pytest.mark.proves("T29")
def test_an_id_sent_twice_is_two_orders() -> None:
    """The broker does not tell them apart; a request by id means the younger (T21)."""
    exchange = opened()
    (first, *_) = rows(exchange.place(oid("A"), buy(9_900), at(1)))
    (second, *_) = rows(exchange.place(oid("A"), buy(9_900), at(2)))
    assert first.broker_id != second.broker_id
    (cancelled,) = rows(exchange.cancel(oid("A"), at(3)))
    assert cancelled.broker_id == second.broker_id
    assert [row.status for row in exchange.orders()] == [W, C]


@pytest.mark.parametrize("closed_at", [OPEN - 1, CLOSE])
@pytest.mark.proves("T29")
def test_nothing_happens_in_a_closed_market(closed_at: int) -> None:
    """Ticks before the open and after the close are told, and touch nothing."""
    exchange = opened(replace(told(0), at_ns=OPEN - 10))
    exchange.place(oid("A"), buy(9_990), at(1))
    exchange.place(oid("S"), stop(Side.BUY, 10_100, 10_200), at(1))
    tick = replace(around(0, 10_200, volume=2_000), at_ns=closed_at, asks=((9_000, 650),))
    assert exchange.on_tick(tick) == []
    assert [row.status for row in exchange.orders()] == [W, W]
    assert exchange.last_tick(CALL.id) == tick


def test_orders_of_the_day_expire_at_the_close_and_not_before() -> None:
    """Fills stay; ended orders are left alone."""
    exchange = opened()
    exchange.place(oid("A"), buy(10_005, 195), at(1))
    exchange.place(oid("B"), buy(10_005), at(1))
    exchange.cancel(oid("B"), at(2))
    assert exchange.expire(CLOSE - 1) == []
    assert seen(exchange.expire(CLOSE)) == [(X, 130, 130 * 10_005)]
    assert exchange.expire(CLOSE) == []


@pytest.mark.proves("T29")
def test_the_broker_squares_off_intraday_positions_with_orders_of_its_own() -> None:
    """Ours are cancelled first; another product is left alone; what the book lacks comes later."""
    exchange = opened(cash=100 * LAKH)
    margin = replace(buy(10_005, 65), product=Product.MARGIN)
    exchange.place(oid("M"), margin, at(1))
    exchange.on_tick(told(2, asks=((10_005, 650),)))
    exchange.place(oid("E"), buy(10_005, 455), at(2))
    exchange.place(oid("S"), stop(Side.SELL, 9_900, 9_800, 455), at(3))
    off = SESSION.square_off_ns
    exchange.on_tick(replace(told(0), at_ns=off - 1))
    assert exchange.square_off(off - 1) == []
    assert [(row.order_id, row.status) for row in exchange.square_off(off)] == [("S", C)]
    (foreign,) = exchange.book_foreign()
    assert (foreign.side, foreign.quantity, foreign.filled_quantity) == (Side.SELL, 455, 390)
    assert exchange.square_off(off) == []
    assert exchange.on_tick(replace(told(0), at_ns=off + 1)) == []
    assert exchange.book_foreign()[0].filled_quantity == 455
    assert exchange.positions() == {BrokerKey(CALL.id, Product.MARGIN): 65, KEY: 0}
    assert refused(exchange.place(oid("E2"), buy(10_005), off)).refusal is Refusal.CLOSED_MARKET
    assert rows(exchange.place(oid("M2"), margin, off + 1))
    exchange.assert_conserved()


def test_the_square_off_buys_shorts_back() -> None:
    """At any price, as soon as somebody offers."""
    exchange = opened(cash=100 * LAKH)
    exchange.place(oid("E"), sell(9_995, 65), at(1))
    off = SESSION.square_off_ns
    exchange.square_off(off)  # on a book that is hours old
    assert exchange.positions() == {KEY: -65}
    exchange.on_tick(replace(told(0, bids=(), asks=((50_000, 65),)), at_ns=off + 1))
    assert exchange.positions() == {KEY: 0}
    assert exchange.executions[-1].value_paise == 65 * 50_000


def test_a_tick_of_an_unknown_instrument_is_a_programmers_error() -> None:
    """The day's instruments are known before it begins."""
    with pytest.raises(AssertionError, match="no instrument of the day"):
        SimulatedExchange((NIFTY,), FACTS, cash_paise=0, seed=1).on_tick(told(0))


def test_the_exchange_tells_what_it_was_last_told() -> None:
    """For those who read quotes; of what it never heard of, nothing."""
    exchange = opened()
    assert exchange.last_tick(CALL.id) == told(0)
    assert exchange.last_tick(PUT.id) is None
    assert exchange.last_tick(NIFTY.id) is None


def test_broker_numbers_are_strange_and_never_the_same() -> None:
    """Another seed begins elsewhere."""
    numbers = []
    for seed in (1, 2):
        exchange = SimulatedExchange((CALL,), FACTS, cash_paise=LAKH * 10, seed=seed)
        numbers += [
            rows(exchange.place(oid(name), buy(9_900), at(1)))[0].broker_id for name in "AB"
        ]
    assert len(frozenset(numbers)) == 4


def test_guards_of_the_whole_account_are_lifted() -> None:
    """A killed account takes orders again, and a loss exit that was set closes nothing."""
    exchange = opened()
    assert exchange.kill_switch() is None
    assert refused(exchange.place(oid("E1"), buy(10_005), at(1))).refusal is Refusal.OTHER
    exchange.lift_kill_switch()
    assert seen(rows(exchange.place(oid("E2"), buy(10_005), at(1))))[-1][0] is F
    assert exchange.set_loss_exit(500_000, at(1)) == []
    exchange.lift_loss_exit()
    exchange.on_tick(around(2, 10))
    assert exchange.positions() == {KEY: 65}


@pytest.mark.proves("T24", "T25")
def test_what_is_carried_can_be_sold_and_is_marked_from_its_cost() -> None:
    """A stop on it is no short; the loss exit waits for a price and then counts from the cost."""
    key = BrokerKey(CALL.id, Product.INTRADAY)
    held = Carried(key=key, net=65, cost_paise=65 * 10_000)
    exchange = SimulatedExchange(
        (NIFTY, CALL, PUT), FACTS, cash_paise=1_000_00, seed=1, carried=[held]
    )
    assert [net.net for net in exchange.book_nets()] == [65]
    assert exchange.funds_paise == 1_000_00
    exchange.set_loss_exit(65 * 4_000, at(0))
    exchange.on_tick(told(0))
    taken = rows(exchange.place(oid("S"), stop(Side.SELL, 9_000, 8_500), at(1)))
    assert [row.status for row in taken] == [BrokerStatus.WORKING]
    assert exchange.book_foreign() == ()
    exchange.assert_conserved()
