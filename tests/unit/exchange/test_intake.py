"""What the checks are shown."""

import pytest
from msgspec.structs import replace

from holdfast.domain.instrument import OptionType, Product
from holdfast.domain.order import OrderTerms, Refusal, Side
from holdfast.exchange.checks import Behaviour
from holdfast.exchange.venue import SimulatedExchange
from tests.support.desk import CALL, FACTS, option
from tests.unit.exchange.floor import LAKH, at, buy, oid, opened, refused, rows, sell, stop, told

LONG_65 = 65 * 10_005


def held(cash: int) -> SimulatedExchange:
    """An exchange with 65 calls bought at 100.05, and `cash` paise left of it all."""
    exchange = opened(cash=cash + LONG_65)
    rows(exchange.place(oid("E"), buy(10_005), at(1)))
    assert exchange.funds_paise == cash
    return exchange


@pytest.mark.parametrize(
    ("cash", "terms", "free"),
    [
        (700_000, buy(9_900), 700_000 - 65 * 9_900),
        (700_000, stop(Side.BUY, 10_100, 10_200), 700_000 - 65 * 10_200),  # resting too (T12)
        (700_000, sell(10_100), 700_000),  # what is held is sold without margin
        (700_000, stop(Side.SELL, 9_000, 8_900), 700_000),
        (30_000_000, sell(10_100, 130), 30_000_000 - 65 * (10_000 + 294_000)),
    ],
)
@pytest.mark.proves("T29")
def test_working_orders_hold_cash_back(cash: int, terms: OrderTerms, free: int) -> None:
    """Until they fill or end."""
    exchange = held(cash)
    rows(exchange.place(oid("X"), terms, at(2)))
    assert exchange.funds_paise == free
    exchange.cancel(oid("X"), at(3))
    assert exchange.funds_paise == cash


@pytest.mark.parametrize(("cash", "is_taken"), [(65 * 304_000, True), (65 * 304_000 - 1, False)])
@pytest.mark.proves("T29")
def test_a_second_closer_is_a_new_short(cash: int, *, is_taken: bool) -> None:
    """Closing counts against what already works: with cash for it the broker opens the short."""
    exchange = held(cash)
    rows(exchange.place(oid("S"), stop(Side.SELL, 9_000, 8_900), at(2)))
    results = exchange.place(oid("X"), sell(10_100), at(2))
    if is_taken:
        assert rows(results)
    else:
        assert refused(results).refusal is Refusal.FUNDS


def test_the_same_contract_in_another_product_is_not_held() -> None:
    """Its sale is a short (T8)."""
    exchange = held(700_000)
    other = replace(sell(10_100), product=Product.MARGIN)
    assert refused(exchange.place(oid("X"), other, at(2))).refusal is Refusal.FUNDS


def test_a_modification_needs_only_what_it_adds() -> None:
    """What the order held back before is free for itself."""
    exchange = opened(cash=65 * 10_000)
    rows(exchange.place(oid("E"), buy(9_900), at(1)))
    rows(exchange.modify(oid("E"), buy(10_000), at(2)))
    no = refused(exchange.modify(oid("E"), buy(10_005), at(3)))
    assert no.refusal is Refusal.FUNDS
    assert no.reason == "Insufficient funds: required 6503.25, available 6500.00"


def test_a_filled_part_is_not_paid_twice() -> None:
    """Only the open rest of a modified order holds cash back."""
    exchange = opened(cash=195 * 10_005)
    rows(exchange.place(oid("E"), buy(10_005, 195), at(1)))  # 130 fill
    rows(exchange.modify(oid("E"), buy(10_000, 195), at(2)))
    assert exchange.funds_paise == 65 * 5


@pytest.mark.parametrize(
    ("resting", "terms", "meets"),
    [
        (sell(10_100), buy(10_100), True),
        (sell(10_100), buy(10_095), False),
        (buy(9_900), sell(9_900), True),
        (buy(9_900), sell(9_905), False),
        (buy(9_900), buy(9_900), False),
        (stop(Side.BUY, 10_100, 10_200), sell(9_995), False),  # it is not in the book
        (sell(10_100), stop(Side.BUY, 10_050, 10_200), False),  # nor is this one
    ],
)
@pytest.mark.proves("T29")
def test_own_orders_meet_in_the_book_alone(
    resting: OrderTerms, terms: OrderTerms, *, meets: bool
) -> None:
    """Opposite sides whose prices cross; stops wait outside of it."""
    exchange = opened(cash=10**9, behaviour=Behaviour(quote_age_ns_max=0))
    rows(exchange.place(oid("A"), resting, at(1)))
    (row, *_) = rows(exchange.place(oid("B"), terms, at(1)))
    assert (row.refusal is Refusal.SELF_TRADE) is meets


HEDGE = option(40_003, 24_600, OptionType.CALL)
SHORT_PAISE = 65 * (10_000 + 294_000)
SPREAD_PAISE = 65 * (10_000 + 10_000)


def hedged(cash: int) -> SimulatedExchange:
    """One lot of the call short, one of the strike above it long; `cash` paise as of then."""
    exchange = SimulatedExchange((CALL, HEDGE), FACTS, cash_paise=cash, seed=1)
    for contract in (CALL, HEDGE):
        exchange.on_tick(told(0, instrument=contract))
    rows(exchange.place(oid("H"), replace(buy(10_005), instrument=HEDGE.id), at(1)))
    rows(exchange.place(oid("E"), sell(9_995), at(1)))
    return exchange


@pytest.mark.proves("T29")
def test_a_stop_on_a_hedge_costs_the_hedge_its_relief() -> None:
    """The broker takes the hedge for gone the moment it is for sale, and refuses without cash."""
    on_hedge = replace(stop(Side.SELL, 9_000, 8_900), instrument=HEDGE.id)
    exchange = hedged(300 * LAKH)
    before = exchange.funds_paise
    assert exchange.cash_paise - before == SPREAD_PAISE
    rows(exchange.place(oid("S"), on_hedge, at(2)))
    assert exchange.cash_paise - exchange.funds_paise == SHORT_PAISE
    exchange.cancel(oid("S"), at(3))
    assert exchange.funds_paise == before
    poor = hedged(SHORT_PAISE)
    assert refused(poor.place(oid("S"), on_hedge, at(2))).refusal is Refusal.FUNDS
    assert rows(poor.place(oid("S2"), stop(Side.BUY, 10_100, 10_200), at(2))) != []


def test_a_short_that_is_hedged_already_needs_less() -> None:
    """The same short alone is refused for funds."""
    assert rows(hedged(65 * 10_010 + SPREAD_PAISE).place(oid("X"), buy(9_000), at(2))) != []
    alone = opened(cash=SPREAD_PAISE)
    assert refused(alone.place(oid("E"), sell(9_995), at(1))).refusal is Refusal.FUNDS
