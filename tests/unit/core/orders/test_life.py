"""The order table: every pair of state and event, written down a second time."""

from itertools import permutations

import pytest

from holdfast.core.orders.life import ALARMS, FORBIDDEN, TABLE, OrderEvent, advance, rows_of
from holdfast.domain.order import OrderState

E = OrderEvent
S = OrderState

# Columns are states; "-" we must not ask it, "!" the broker should not be able to say it.
GOLDEN = """
event                  planned  sent     working  modifying cancelling unknown  filled  cancelled expired  rejected
send                   sent     -        -        -         -          -        -       -         -        -
modify                 -        -        modifying modifying -         modifying -      -         -        -
cancel                 -        -        cancelling cancelling cancelling cancelling -  -         -        -
not_sent               unknown! rejected unknown! unknown!  unknown!   unknown! filled! cancelled! expired! rejected
refused                unknown! rejected unknown! unknown!  unknown!   unknown  filled! cancelled! expired! rejected
no_answer              unknown! unknown  working  unknown   unknown    unknown  filled  cancelled expired  rejected
acknowledged           unknown! working  working  modifying cancelling working  filled  cancelled expired  rejected
open                   unknown! working  working  working   cancelling working  filled  cancelled expired  unknown!
open_unchanged         unknown! working! working  modifying cancelling unknown  filled  cancelled expired  rejected
last_fill              unknown! filled   filled   filled    filled     filled   filled  filled    filled   filled
modify_refused         unknown! sent!    working  working   cancelling unknown  filled  cancelled expired  rejected
cancel_refused         unknown! sent!    working  modifying working    unknown  filled  cancelled expired  rejected
question               unknown! unknown! unknown  unknown   unknown    unknown  filled  cancelled expired  rejected
end_cancelled          unknown! cancelled cancelled cancelled cancelled cancelled filled! cancelled expired rejected!
end_rejected           unknown! rejected rejected rejected  rejected   rejected filled! cancelled! expired! rejected
end_expired            unknown! expired  expired  expired   expired    expired  filled! cancelled! expired rejected!
absent                 unknown! rejected unknown! unknown!  unknown!   rejected filled! cancelled! expired! rejected!
"""


def golden_rows() -> list[tuple[OrderState, OrderEvent, str]]:
    """Each cell of the golden table: state, event, cell."""
    lines = GOLDEN.strip().splitlines()
    states = [OrderState(name) for name in lines[0].split()[1:]]
    rows = []
    for line in lines[1:]:
        name, *cells = line.split()
        assert len(cells) == len(states)
        rows += [(s, OrderEvent[name.upper()], c) for s, c in zip(states, cells, strict=True)]
    return rows


@pytest.mark.proves("OUP-1")
@pytest.mark.parametrize(
    ("state", "event", "cell"), golden_rows(), ids=lambda value: str(value).replace(" ", "_")
)
def test_every_pair_is_decided_as_the_golden_table_says(
    state: OrderState, event: OrderEvent, cell: str
) -> None:
    """A state and an event lead where the second writing of the table says they do."""
    if cell == "-":
        with pytest.raises(AssertionError, match="not ours to ask"):
            advance(state, event, filled_quantity=0)
    else:
        expected = OrderState(cell.rstrip("!"))
        assert advance(state, event, filled_quantity=0) == (expected, cell.endswith("!"))


def test_the_three_tables_share_no_pair_and_leave_none_out() -> None:
    """Each pair stands in exactly one table: floor 10 states x 17 events."""
    pairs = [(s, e) for s in S if s is not S.PARTLY_FILLED for e in E]
    assert len(pairs) == 170
    for pair in pairs:
        assert (pair in TABLE) + (pair in ALARMS) + (pair in FORBIDDEN) == 1, pair


def test_working_with_fills_is_partly_filled_and_moves_like_working() -> None:
    """The name follows the quantity; the rows are those of WORKING."""
    assert advance(S.SENT, E.OPEN, filled_quantity=5) == (S.PARTLY_FILLED, False)
    assert rows_of(S.PARTLY_FILLED) is S.WORKING
    assert all(rows_of(s) is s for s in S if s is not S.PARTLY_FILLED)


@pytest.mark.proves("OUP-1")
@pytest.mark.parametrize(
    "arrival", list(permutations([E.ACKNOWLEDGED, E.END_CANCELLED, E.LAST_FILL])), ids=str
)
def test_a_fill_survives_a_lost_cancel_in_any_arrival_order(
    arrival: tuple[OrderEvent, ...],
) -> None:
    """We cancel as the order fills; in each of six orders of arrival the fill is the truth."""
    state, _ = advance(S.WORKING, E.CANCEL, filled_quantity=0)
    for event in arrival:
        state, _ = advance(state, event, filled_quantity=0)
    assert state is S.FILLED


def test_no_end_is_left_but_by_money_or_by_life() -> None:
    """A terminal state changes only to FILLED, or to UNKNOWN when a rejected order lives."""
    for (state, event), after in {**TABLE, **ALARMS}.items():
        if state.is_terminal and after is not state:
            assert after is S.FILLED or (state, event, after) == (S.REJECTED, E.OPEN, S.UNKNOWN)
