"""What fills were worth is told by the trade book; until then a mean price tells it nearly (T30)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from holdfast.core.books.postings import Account
from holdfast.core.engine import Step
from holdfast.domain.audit import FillsCorrected, PositionClosed
from holdfast.domain.command import PlaceOrder
from holdfast.domain.event import OrderUpdated
from holdfast.domain.order import BrokerStatus, OrderRow
from tests.support.desk import Desk

E4 = 10_000


class Trade:
    """195 contracts bought near 100.05 with their stop seen; then they are sold near 88.00."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.stop = self.desk.hold()
        self.entry = self.desk.all(PlaceOrder)[0]

    def tell(self, placed: PlaceOrder, value_paise: int, *, is_exact: bool, filled: int) -> Step:
        """The broker's word about one of both, as a read tells it."""
        whole = filled == placed.terms.quantity
        row = self.desk.book_row(
            placed, BrokerStatus.FILLED if whole else BrokerStatus.WORKING, filled=filled
        )
        row = replace(row, filled_value_paise=value_paise, is_exact=is_exact)
        return self.desk.tell_row(row, is_read=True)

    def close(self, value_paise: int = 195 * 8_800) -> None:
        """The stop trades; the stream tells a mean price."""
        self.desk.at(70).tick()
        self.tell(self.stop, value_paise, is_exact=False, filled=195)

    def cash_e4(self) -> int:
        """Cash as the ledger has it."""
        return self.desk.state.ledger.balance_e4(Account.CASH)


def test_what_an_open_positions_entry_cost_is_corrected_by_the_trade_book() -> None:
    """Its cost and the cash are the exact ones, no contract moved, and it is told."""
    trade = Trade()
    trade.tell(trade.entry, 195 * 10_005 + 60, is_exact=True, filled=195)
    position = trade.desk.state.positions[1]
    assert (position.holding.quantity, position.fills) == (195, 1)
    assert position.holding.cost_paise == position.entry_value_paise == 195 * 10_005 + 60
    assert trade.cash_e4() == -position.holding.cost_paise * E4 - position.charges.total_e4
    [told] = trade.desk.told(FillsCorrected)
    assert (told.quantity, told.value_paise, told.by_paise) == (195, 195 * 10_005 + 60, 60)
    assert (told.order_id, told.net_paise) == (trade.entry.order_id, None)


def test_what_an_ended_position_made_is_corrected_with_the_days_result() -> None:
    """The money that its end told is told anew; it stays ended."""
    trade = Trade()
    trade.close()
    [closed] = trade.desk.told(PositionClosed)
    trade.tell(trade.stop, 195 * 8_800 - 90, is_exact=True, filled=195)
    [told] = trade.desk.told(FillsCorrected)
    assert told.gross_paise == closed.gross_paise - 90
    assert told.charges is not None
    assert told.net_paise == told.gross_paise - sum(told.charges.values())
    assert trade.desk.state.day.realised_net_paise == told.net_paise
    assert trade.desk.state.positions[1].is_closed
    again = told.applied_to(closed)
    assert (again.exit_value_paise, again.net_paise) == (195 * 8_800 - 90, told.net_paise)
    assert again.entry_value_paise == closed.entry_value_paise


@pytest.mark.parametrize("is_over", [True, False])
def test_the_order_of_fills_and_corrections_changes_no_total(*, is_over: bool) -> None:
    """An entry whose price is told after it was sold has made what it would have made."""
    trade = Trade()
    if is_over:
        trade.close()
    trade.tell(trade.entry, 195 * 10_005 - 75, is_exact=True, filled=195)
    if not is_over:
        trade.close()
    position = trade.desk.state.positions[1]
    assert position.realised_paise == 195 * (8_800 - 10_005) + 75
    assert trade.desk.state.ledger.balance_e4(Account.REALISED) == -position.realised_paise * E4
    assert trade.desk.state.ledger.balance_e4(Account.PREMIUM) == 0
    assert trade.cash_e4() == position.realised_paise * E4 - position.charges.total_e4


@pytest.mark.parametrize(("filled", "is_exact"), [(195, False), (130, True), (130, False)], ids=str)
def test_nothing_but_the_trade_book_about_all_of_it_corrects(
    *, filled: int, is_exact: bool
) -> None:
    """Another mean price is no better than the first, and an older row tells of fewer contracts."""
    trade = Trade()
    before = trade.cash_e4()
    trade.tell(trade.entry, filled * 10_006, is_exact=is_exact, filled=filled)
    assert trade.cash_e4() == before
    assert not trade.desk.told(FillsCorrected)


def test_the_same_row_told_again_corrects_nothing_more() -> None:
    """Every read of the day tells it."""
    trade = Trade()
    for _ in range(3):
        trade.tell(trade.entry, 195 * 10_005 + 60, is_exact=True, filled=195)
    assert len(trade.desk.told(FillsCorrected)) == 1


@given(
    words=st.lists(st.tuples(st.integers(0, 3), st.integers(-90, 90), st.booleans()), max_size=12)
)
def test_quantities_never_go_back_and_cash_is_what_is_known(
    words: list[tuple[int, int, bool]],
) -> None:
    """Rows in any order, mean prices below each other: the books balance, the trade book is right."""
    desk = Desk()
    entry = desk.enter()
    desk.acknowledge(entry.order_id)
    most, exact = 0, None
    for lots, off_paise, is_exact in [*words, (3, 0, False), (3, 45, True)]:
        row: OrderRow = desk.book_row(
            entry,
            BrokerStatus.FILLED if lots == 3 else BrokerStatus.WORKING,
            filled=65 * lots,
        )
        value = max(65 * lots * 5 + (off_paise if lots else 0), 0)
        row = replace(row, filled_value_paise=value, is_exact=is_exact)
        desk.tell(OrderUpdated(at_ns=desk.now, row=row, is_read=True))
        if is_exact and 65 * lots == most:
            exact = value
        elif 65 * lots > most:
            exact = None
        most = max(most, 65 * lots)
        order = desk.state.orders[entry.order_id]
        assert order.filled_quantity == most
        assert exact in (None, order.filled_value_paise)
    position = desk.state.positions[1]
    assert position.holding == (195, 195 * 5 + 45)
    ledger = desk.state.ledger
    assert ledger.balance_e4(Account.PREMIUM) == (195 * 5 + 45) * E4
    assert ledger.balance_e4(Account.CHARGES) == position.charges.total_e4
    assert sum(ledger.balance_e4(account) for account in Account) == 0


def test_an_event_that_cannot_be_stepped_corrects_the_books_all_the_same() -> None:
    """Of what is left out, the money is not (decisions 2.5)."""
    trade = Trade()
    row = trade.desk.book_row(trade.entry, BrokerStatus.FILLED, filled=195)
    row = replace(row, filled_value_paise=195 * 10_005 + 60, is_exact=True)
    trade.desk.engine.step_books(OrderUpdated(at_ns=trade.desk.now, row=row, is_read=True))
    assert trade.desk.state.positions[1].holding.cost_paise == 195 * 10_005 + 60
