"""What fills were worth, once the trade book has told (T30): quantities were final, prices were not.

The order stream and the order book tell a mean price with few digits. A correction moves money and
no contract, and decides nothing; of a position that had ended it changes the day's result.
"""

from holdfast.core.books.charges import corrected_charges, statement
from holdfast.core.books.positions import Position
from holdfast.core.books.postings import postings_of_correction
from holdfast.core.orders.order import Order
from holdfast.core.risk import limits
from holdfast.core.state import State
from holdfast.domain.audit import FillsCorrected


def take_correction(state: State, position: Position, order: Order) -> None:
    """Book by how much the last row of an order has corrected the value of its fills, if at all."""
    if not order.corrected_paise:
        return
    net_before = position.net_paise
    _book(state, position, order)
    if position.is_closed:
        state.day.realised_net_paise += position.net_paise - net_before
    limits.renew(state, position)
    _tell(state, position, order)


def _book(state: State, position: Position, order: Order) -> None:
    side, change = order.terms.side, order.corrected_paise
    cost_before, charges_before = position.holding.cost_paise, position.charges
    realised = position.correct(side, change)
    position.charges = corrected_charges(
        charges_before,
        state.charge_rates(position.instrument),
        side,
        before_paise=order.filled_value_paise - change,
        after_paise=order.filled_value_paise,
    )
    cost_change = position.holding.cost_paise - cost_before
    charges_e4 = position.charges.total_e4 - charges_before.total_e4
    state.ledger.post(postings_of_correction(cost_change, realised, charges_e4))


def _tell(state: State, position: Position, order: Order) -> None:
    charges = statement(position.charges)
    del charges["total"]
    is_over = position not in state.held.get(position.id, ())  # its end was told, and no fill since
    state.tell(
        FillsCorrected(
            position=position.number,
            order_id=order.id,
            side=order.terms.side,
            quantity=order.filled_quantity,
            value_paise=order.filled_value_paise,
            by_paise=order.corrected_paise,
            entry_value_paise=position.entry_value_paise,
            exit_value_paise=position.exit_value_paise,
            gross_paise=position.realised_paise if is_over else None,
            charges=charges if is_over else None,
            net_paise=position.net_paise if is_over else None,
        )
    )
