"""Rows of the account: words, times, and trades that add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.domain.instrument import BrokerKey, Instrument, Product
from holdfast.domain.order import BrokerOrderId, Side
from holdfast.exchange.account import Execution
from holdfast.simbroker.dhan.order import AccountOrder, DhanType
from holdfast.simbroker.dhan.shown import (
    custom_symbol,
    fills,
    held,
    ist_stamp,
    option_word,
    rupees,
    trading_symbol,
)
from tests.support.desk import OPEN
from tests.unit.simbroker.dhan.market_day import CALL, INDEX, PUT

KEY = BrokerKey(CALL.id, Product.INTRADAY)
ORDER = AccountOrder(
    order_id="7",
    exchange_id="1",
    instrument=CALL,
    side=Side.BUY,
    product="INTRADAY",
    order_type=DhanType.LIMIT,
    quantity=65,
    created_ns=0,
    updated_ns=0,
)


def an_execution(quantity: int, value_paise: int, side: Side = Side.BUY) -> Execution:
    """Of order 1, at the open."""
    return Execution(
        order_id=None,
        broker_id=BrokerOrderId("1"),
        key=KEY,
        side=side,
        quantity=quantity,
        value_paise=value_paise,
        at_ns=OPEN,
    )


def test_times_are_indias_and_none_is_the_year_one() -> None:
    """Whole seconds."""
    assert ist_stamp(OPEN + 999_999_999) == "2026-11-20 09:15:00"
    assert ist_stamp(None) == "0001-01-01 00:00:00"


@pytest.mark.parametrize(
    ("contract", "symbol", "name", "word"),
    [
        (CALL, "NIFTY-Nov2026-24500-CE", "NIFTY 24 NOV 24500 CALL", "CALL"),
        (PUT, "NIFTY-Nov2026-24500-PE", "NIFTY 24 NOV 24500 PUT", "PUT"),
        (INDEX, "NIFTY", "NIFTY", "NA"),
    ],
)
def test_a_contract_has_the_brokers_names(
    contract: Instrument, symbol: str, name: str, word: str
) -> None:
    """As the recorded trades spell them."""
    told = trading_symbol(contract), custom_symbol(contract), option_word(contract)
    assert told == (symbol, name, word)


def test_means_keep_their_digits_unless_they_are_cut() -> None:
    """Rupees of paise."""
    assert (rupees(118_385), rupees(118.385), rupees(118.385, 2)) == (1183.85, 1.18385, 1.18)


@given(
    levels=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40_000)), min_size=1, max_size=5),
    unit=st.sampled_from([1, 65]),
    step=st.sampled_from([1, 5]),
)
def test_trades_add_up_to_their_execution(
    levels: list[tuple[int, int]], unit: int, step: int
) -> None:
    """To the paisa, at one or two prices a step apart, whatever was taken from the book."""
    quantity = sum(count * unit for count, _ in levels)
    value = sum(count * unit * price * step for count, price in levels)
    told = fills([an_execution(quantity, value)], [ORDER], lots={CALL.id: 65})
    assert sum(one.quantity for one in told) == quantity
    assert sum(one.quantity * one.price_paise for one in told) == value
    assert 1 <= len(told) <= 2
    assert [one.number for one in told] == list(range(1, len(told) + 1))
    if (unit, step) == (65, 5):
        assert {(one.quantity % 65, one.price_paise % 5) for one in told} == {(0, 0)}


def test_what_is_held_is_the_fold_of_executions() -> None:
    """Bought and sold apart, with their values."""
    (told,) = held([an_execution(130, 13_000), an_execution(65, 7_000, Side.SELL)])
    assert (told.bought, told.sold, told.net) == (130, 65, 65)
    assert (told.bought_paise, told.sold_paise) == (13_000, 7_000)
