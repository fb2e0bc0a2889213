"""One order as the fold of what was asked and said of it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.orders.order import Fill, Order
from holdfast.domain.event import Action, Outcome
from holdfast.domain.instrument import Product
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
from tests.support.desk import CALL

STOP = OrderTerms(
    instrument=CALL.id, product=Product.INTRADAY, side=Side.SELL, order_type=OrderType.STOP_LIMIT,
    quantity=195, limit_paise=7_920, trigger_paise=8_800,
)  # fmt: skip
LIMIT = msgspec.structs.replace(
    STOP, order_type=OrderType.LIMIT, limit_paise=8_790, trigger_paise=None
)


def sent() -> Order:
    """A stop that has just left."""
    order = Order(OrderId("x-S0001-1-0"), Purpose.STOP, 1, STOP)
    order.ask(Action.PLACE, STOP, 10)
    return order


def working() -> Order:
    """A stop whose row was seen."""
    order = sent()
    order.acknowledge(BrokerOrderId("B1"))
    order.fold_row(row(), is_read=False, at_ns=40)
    return order


def row(
    status: BrokerStatus = BrokerStatus.WORKING,
    terms: OrderTerms = STOP,
    filled: int = 0,
    value: int | None = None,
) -> OrderRow:
    """The broker's word."""  # fmt: skip
    return OrderRow(
        order_id=OrderId("x-S0001-1-0"), broker_id=BrokerOrderId("B1"), status=status, terms=terms,
        filled_quantity=filled, filled_value_paise=filled * 100 if value is None else value,
        venue_at_ns=20,
    )  # fmt: skip


def test_an_answer_makes_it_working_but_only_a_row_is_seen() -> None:
    """The acknowledgement gives the number; evidence is the row."""
    order = sent()
    order.acknowledge(BrokerOrderId("B1"))
    assert (order.state, order.broker_id, order.seen) == (OrderState.WORKING, "B1", None)
    order.fold_row(row(), is_read=False, at_ns=40)
    assert order.seen == STOP


def test_a_modification_is_done_when_a_row_shows_it() -> None:
    """An older row does not end it; the new terms do."""
    order = working()
    order.ask(Action.MODIFY, LIMIT, 30)
    order.fold_row(row(), is_read=False, at_ns=40)
    assert (order.state, order.asked) == (OrderState.MODIFYING, Action.MODIFY)
    order.fold_row(row(terms=LIMIT), is_read=False, at_ns=40)
    assert (order.state, order.asked, order.seen) == (OrderState.WORKING, None, LIMIT)


def test_a_refused_modification_brings_the_old_terms_back() -> None:
    """What stands at the broker is what stood before."""
    order = working()
    order.ask(Action.MODIFY, LIMIT, 30)
    order.fail(Action.MODIFY, Outcome.REFUSED)
    assert (order.state, order.terms) == (OrderState.WORKING, STOP)


def test_an_unanswered_modification_keeps_its_values_for_the_repeat() -> None:
    """The first asking is remembered over repeats of the same values, not over new ones."""
    order = working()
    order.ask(Action.MODIFY, LIMIT, 30)
    order.fail(Action.MODIFY, Outcome.UNANSWERED)
    assert (order.state, order.terms) == (OrderState.UNKNOWN, LIMIT)
    order.ask(Action.MODIFY, LIMIT, 40)
    assert (order.asked_first_ns, order.asked_at_ns, order.modifications) == (30, 40, 2)
    order.ask(Action.MODIFY, msgspec.structs.replace(LIMIT, limit_paise=8_700), 50)
    assert order.asked_first_ns == 50


@pytest.mark.parametrize("action", [Action.MODIFY, Action.CANCEL])
@pytest.mark.parametrize(
    "word", [BrokerStatus.REJECTED, BrokerStatus.CANCELLED, BrokerStatus.EXPIRED]
)
def test_an_end_word_while_a_request_is_in_flight_is_a_question(
    action: Action, word: BrokerStatus
) -> None:
    """The stream's word alone ends nothing; the row that was read does (T15)."""
    order = working()
    order.ask(action, LIMIT if action is Action.MODIFY else STOP, 30)
    order.fold_row(row(word), is_read=False, at_ns=40)
    assert order.state is OrderState.UNKNOWN
    order.fold_row(row(word), is_read=True, at_ns=40)
    assert order.state.is_terminal


def test_a_word_nobody_knows_is_no_end() -> None:
    """An unknown status is asked about, never guessed."""
    order = working()
    order.fold_row(row(BrokerStatus.UNKNOWN), is_read=False, at_ns=40)
    assert order.state is OrderState.UNKNOWN


def test_a_stop_that_triggered_shows_as_a_limit() -> None:
    """Its own terms still say stop; the row says what became of it."""
    order = working()
    assert not order.is_released
    triggered = msgspec.structs.replace(STOP, order_type=OrderType.LIMIT, trigger_paise=None)
    order.fold_row(row(BrokerStatus.TRIGGERED, triggered), is_read=False, at_ns=40)
    assert order.is_released


def test_a_fill_after_a_cancel_is_real() -> None:
    """The end came first, the money after it: it counts."""
    order = working()
    order.fold_row(row(BrokerStatus.CANCELLED, filled=65), is_read=False, at_ns=40)
    assert order.state is OrderState.CANCELLED
    assert order.fold_row(row(BrokerStatus.CANCELLED, filled=130), is_read=False, at_ns=40) == Fill(65, 6_500)


def test_full_at_the_brokers_quantity_is_the_end_whatever_we_asked() -> None:
    """We asked for more; the order filled what it was and is gone."""
    order = working()
    order.ask(Action.MODIFY, msgspec.structs.replace(STOP, quantity=260), 30)
    order.fold_row(row(BrokerStatus.FILLED, filled=195), is_read=False, at_ns=40)
    assert order.state is OrderState.FILLED


@given(quantities=st.lists(st.integers(0, 194), max_size=12))
def test_cumulative_words_in_any_order_add_up_to_the_largest(quantities: list[int]) -> None:
    """Repeated, reordered, lost: fills sum to the highest quantity told, never more."""
    order = working()
    total = 0
    for quantity in quantities:
        fill = order.fold_row(row(filled=quantity), is_read=False, at_ns=40)
        total += 0 if fill is None else fill.quantity
    assert total == order.filled_quantity == max(quantities, default=0)
