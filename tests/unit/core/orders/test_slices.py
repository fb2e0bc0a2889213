"""Pieces of a large order: whole lots, each taken, together never too much (T23)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from holdfast.core.orders.order import Order
from holdfast.core.orders.slices import SLICES_MAX, may_take_more, most_of, share_out, split
from holdfast.domain.instrument import Product
from holdfast.domain.order import OrderId, OrderState, OrderTerms, OrderType, Purpose, Side
from tests.support.desk import CALL, SECOND

NOW = 100 * SECOND
MOST = 130


def an_order(
    number: int, quantity: int, *, filled: int = 0, state: OrderState = OrderState.WORKING
) -> Order:
    """A closing order of so many contracts in all."""
    terms = OrderTerms(
        instrument=CALL.id,
        product=Product.INTRADAY,
        side=Side.SELL,
        order_type=OrderType.LIMIT,
        quantity=quantity,
        limit_paise=100,
    )
    order = Order(OrderId(f"x-{number}"), Purpose.EXIT, 1, terms)
    order.state, order.filled_quantity = state, filled
    return order


@pytest.mark.proves("T23")
@pytest.mark.parametrize(
    ("freeze", "lot", "most"),
    # the master shows the first quantity that is refused: 1,756 takes 1,755
    [
        (1_756, 65, 1_755),
        (1_755, 65, 1_690),
        (601, 30, 600),
        (66, 65, 65),
        (65, 65, 65),
        (0, 65, 65),
    ],
)
def test_the_freeze_quantity_itself_is_refused(freeze: int, lot: int, most: int) -> None:
    """Whole lots below it, and never less than one: what is held can always be closed."""
    assert most_of(replace(CALL, freeze_quantity=freeze, lot_size=lot)) == most


@pytest.mark.proves("T23")
def test_sixty_one_lots_are_three_orders() -> None:
    """The example of the design."""
    assert split(61 * 65, 1_755) == (1_755, 1_755, 455)
    assert (split(1_755, 1_755), split(65, 1_755), split(0, 1_755)) == ((1_755,), (65,), ())
    assert SLICES_MAX == 8


@pytest.mark.parametrize(
    ("orders", "quantity", "strays", "shares", "left"),
    [
        ([], 195, 0, [], 195),
        ([(130, 0)], 130, 0, [130], 0),
        ([(65, 0)], 130, 0, [130], 0),  # the last is enlarged up to the largest
        ([(65, 0)], 195, 0, [130], 65),  # then the next is opened
        ([(130, 65)], 130, 0, [65], 65),  # what it has filled counts against its size
        ([(130, 0), (130, 0)], 195, 0, [130, 65], 0),  # the youngest is cut
        ([(130, 0), (130, 0)], 65, 0, [65, 0], 0),
        ([(65, 0)], 130, 65, [65], 0),  # beside a stray nothing grows
        ([(65, 0)], 195, 65, [130], 0),
        ([(130, 0)], 65, 65, [65], 0),  # nor is anything cut for it: it is being cancelled
    ],
)
def test_shares(
    orders: list[tuple[int, int]], quantity: int, strays: int, shares: list[int], left: int
) -> None:
    """What each should still fill, and what is left for new orders."""
    made = [an_order(number, q, filled=f) for number, (q, f) in enumerate(orders)]
    found, rest = share_out(made, quantity, most=MOST, strays=strays, now_ns=NOW)
    assert ([found[order.name] for order in made], rest) == (shares, left)


@pytest.mark.proves("T4")
def test_an_order_that_cannot_be_asked_keeps_its_worst() -> None:
    """Unknown, it may fill all that was ever asked of it: the others leave it the room."""
    unknown, other = an_order(1, 130, state=OrderState.UNKNOWN), an_order(2, 65)
    unknown.terms = replace(unknown.terms, quantity=65)  # a cut that may not have been made
    shares, left = share_out([unknown, other], 195, most=MOST, strays=0, now_ns=NOW)
    assert (shares[unknown.name], shares[other.name], left) == (130, 65, 0)
    shares, left = share_out([unknown, other], 130, most=MOST, strays=0, now_ns=NOW)
    assert (shares[unknown.name], shares[other.name], left) == (130, 0, 0)


@pytest.mark.proves("T4", "T23")
@given(
    orders=st.lists(
        st.tuples(
            st.integers(1, 4), st.integers(0, 3), st.sampled_from([*OrderState]), st.booleans()
        ),
        max_size=5,
    ),
    held=st.integers(0, 12),
    strays=st.integers(0, 3),
)
def test_what_may_be_enlarged_or_opened_fits_what_is_held(
    orders: list[tuple[int, int, OrderState, bool]], held: int, strays: int
) -> None:
    """Nothing grows and nothing is left over unless all at their worst stay within it."""
    made = []
    for number, (lots, filled, state, is_held) in enumerate(orders):
        if not state.is_terminal and state is not OrderState.PLANNED:
            order = an_order(number, lots * 65, filled=min(filled, lots - 1) * 65, state=state)
            order.held_until_ns = NOW + 1 if is_held else 0
            made.append(order)
    shares, left = share_out(made, held * 65, most=260, strays=strays * 65, now_ns=NOW)
    worst = sum(max(shares[order.name], order.could_fill) for order in made)
    grown = any(shares[order.name] > order.could_fill for order in made)
    if grown or left:
        assert worst + left + strays * 65 <= held * 65
    for order in made:
        assert order.filled_quantity + shares[order.name] <= 260
        assert order.may_ask(NOW) or shares[order.name] == order.could_fill
    askable = sum(shares[order.name] for order in made if order.may_ask(NOW))
    fixed = sum(order.could_fill for order in made if not order.may_ask(NOW))
    assert askable <= max(held * 65 - fixed, 0)


@pytest.mark.parametrize(
    ("state", "quantity", "is_held", "waits"),
    [
        (OrderState.WORKING, 65, False, False),
        (OrderState.WORKING, 65, True, True),
        (OrderState.SENT, 65, False, True),
        (OrderState.SENT, MOST, False, False),
        (OrderState.MODIFYING, 65, False, True),
        (OrderState.CANCELLING, 65, False, True),
        (OrderState.UNKNOWN, 65, False, False),
    ],
)
def test_a_new_order_waits_for_one_that_can_be_enlarged_soon(
    state: OrderState, quantity: int, *, is_held: bool, waits: bool
) -> None:
    """Not for one that is full, nor for one whose fate may long be unknown."""
    order = an_order(1, quantity, state=state)
    order.held_until_ns = NOW + 1 if is_held else NOW
    assert may_take_more(order, most=MOST, now_ns=NOW) is waits


@pytest.mark.proves("T4", "I-37")
def test_an_older_request_that_may_come_last_is_taken_from_the_others_not_from_itself() -> None:
    """Cutting the order itself would send one more that may come last, and so on for ever."""
    first, second = an_order(1, 100), an_order(2, 93)
    first.most_quantity = 110
    shares, left = share_out([first], 100, most=MOST, strays=0, now_ns=NOW)
    assert (shares, left) == ({first.name: 100}, 0)
    shares, left = share_out([first, second], 193, most=MOST, strays=0, now_ns=NOW)
    assert (shares, left) == ({first.name: 100, second.name: 83}, 0)
    assert first.could_fill + 83 == 193
