"""The words of an order: sides, ends, and terms that an exchange could mean."""

import msgspec
import pytest

from holdfast.domain.instrument import Product
from holdfast.domain.order import OrderState, OrderTerms, OrderType, Side
from tests.support.desk import CALL

STOP = OrderTerms(
    instrument=CALL.id,
    product=Product.INTRADAY,
    side=Side.SELL,
    order_type=OrderType.STOP_LIMIT,
    quantity=65,
    limit_paise=7_920,
    trigger_paise=8_800,
)
LIMIT = msgspec.structs.replace(STOP, order_type=OrderType.LIMIT, trigger_paise=None)


def test_a_side_knows_its_sign_and_what_closes_it() -> None:
    """Bought is plus; each side closes the other."""
    assert (Side.BUY.sign, Side.SELL.sign) == (1, -1)
    assert Side.BUY.opposite is Side.SELL
    assert Side.SELL.opposite is Side.BUY


def test_four_states_are_ends_and_no_other() -> None:
    """An order that could still fill is never called ended, an unknown one least of all."""
    ends = {state for state in OrderState if state.is_terminal}
    assert ends == {
        OrderState.FILLED,
        OrderState.CANCELLED,
        OrderState.EXPIRED,
        OrderState.REJECTED,
    }


@pytest.mark.parametrize(
    ("terms", "fields", "says"),
    [
        (LIMIT, {"quantity": 0}, "quantity 0 at 7920 paise is no order"),
        (LIMIT, {"quantity": -65}, "is no order"),
        (LIMIT, {"limit_paise": 0}, "quantity 65 at 0 paise is no order"),
        (LIMIT, {"limit_paise": -5}, "is no order"),
        (LIMIT, {"trigger_paise": 8_800}, "a trigger stands on stop orders, and only there"),
        (STOP, {"trigger_paise": None}, "a trigger stands on stop orders, and only there"),
        (STOP, {"trigger_paise": 0}, "a trigger at 0 paise is no price"),
    ],
)
def test_terms_that_no_exchange_could_mean_are_refused(
    terms: OrderTerms, fields: dict[str, object], says: str
) -> None:
    """Nothing without a quantity or price leaves, and no limit order carries a trigger (T2)."""
    with pytest.raises(ValueError, match=says):
        msgspec.structs.replace(terms, **fields)


def test_the_least_that_is_an_order() -> None:
    """One contract at one paisa, triggered at one paisa."""
    least = msgspec.structs.replace(STOP, quantity=1, limit_paise=1, trigger_paise=1)
    assert (least.quantity, least.limit_paise, least.trigger_paise) == (1, 1, 1)
