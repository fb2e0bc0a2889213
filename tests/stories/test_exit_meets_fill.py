"""An exit's rule and the broker's word meet: whichever comes first, one order closes, once.

We hold 195 with a resting stop at 88. The price falls through it: our rule sees the packets, the
exchange triggers the stop and fills it. Nothing of ours decides which of it is heard first, and a
word may be told twice.
"""

from collections.abc import Sequence
from itertools import combinations

import pytest

from holdfast.core.books.postings import Account
from holdfast.core.state import State
from holdfast.domain.audit import ExitDecided, PositionClosed
from holdfast.domain.command import PlaceOrder
from holdfast.domain.event import Action, Outcome
from holdfast.domain.order import BrokerStatus, OrderTerms, OrderType, Refusal
from tests.support.desk import Desk

HELD = 195
WORDS = ("triggered", "part", "part", "whole", "whole")
"""What the broker says, in its order; a word told twice changes nothing."""

RULES = ("near", "through", "below")
"""What the rule sees, in its order: two steps down to the level, and one packet more."""

ORDERS = [
    tuple("rule" if place in places else "word" for place in range(len(WORDS) + len(RULES)))
    for places in combinations(range(len(WORDS) + len(RULES)), len(RULES))
]
"""Every order in which the two can arrive."""

LASTS = {"near": 93.0, "through": 88.0, "below": 86.0}


def _say(desk: Desk, stop: PlaceOrder, word: str) -> None:
    """The row of the stop as the exchange has it: a limit order once it was released."""
    old = stop.terms
    terms = OrderTerms(
        instrument=old.instrument, product=old.product, side=old.side,
        order_type=OrderType.LIMIT, quantity=HELD, limit_paise=old.limit_paise,
    )  # fmt: skip
    status, filled = {
        "triggered": (BrokerStatus.TRIGGERED, 0),
        "part": (BrokerStatus.WORKING, 65),
        "whole": (BrokerStatus.FILLED, HELD),
    }[word]
    desk.row(stop.order_id, status, terms=terms, filled=filled, price=87.5 if filled else 0.0)


def _live(order: Sequence[str]) -> Desk:
    """The day in one order of arrival; what is asked of the stop meanwhile comes too late."""
    desk = Desk()
    stop = desk.hold()
    desk.forget()
    words, rules = list(WORDS), list(RULES)
    for step, whose in enumerate(order):
        desk.at(70 + 0.1 * step)
        if whose == "word":
            _say(desk, stop, words.pop(0))
        else:
            last = LASTS[rules.pop(0)]
            desk.tick(last=last, bid=last - 0.1, ask=last + 0.1)
    if desk.state.orders[stop.order_id].asked is not None:
        desk.fail(stop.order_id, Action.MODIFY, Outcome.REFUSED, Refusal.NOT_MODIFIABLE)
    desk.at(75).tick(last=80.0, bid=79.9, ask=80.1)
    desk.at(90)
    return desk


def _balances(state: State) -> dict[Account, int]:
    return {account: state.ledger.balance_e4(account) for account in Account}


@pytest.mark.proves("EXE-3", "OUP-3", "RACE-1")
@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "".join(one[0] for one in order))
def test_whatever_is_heard_first_it_is_closed_once_and_the_books_are_the_same(
    order: tuple[str, ...],
) -> None:
    """One decision, one end, one profit, no second order; whoever came later changes nothing."""
    desk = _live(order)
    [decided] = desk.told(ExitDecided)
    [closed] = desk.told(PositionClosed)
    assert (decided.exit.rule, closed.rule) == ("stop_loss", "stop_loss")
    assert closed.gross_paise == HELD * (8_750 - 10_005)
    assert closed.net_paise == closed.gross_paise - sum(closed.charges.values())
    assert desk.all(PlaceOrder) == []
    position, first = desk.state.positions[1], _live(ORDERS[0]).state
    assert (position.open_quantity, position.is_closed) == (0, True)
    assert (desk.engine.open_positions, desk.engine.live_orders) == (0, ())
    assert _balances(desk.state) == _balances(first)
    assert desk.state.day.realised_net_paise == first.day.realised_net_paise
    assert position.exit_quantity == first.positions[1].exit_quantity == HELD
