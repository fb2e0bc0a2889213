"""Orders above the freeze quantity: how a quantity is cut into pieces that are taken (T23).

The pieces are orders of their own; only together they must not exceed what they are for.
"""

from collections.abc import Sequence
from typing import Final

from holdfast.core.orders.order import Order
from holdfast.domain.instrument import Instrument
from holdfast.domain.order import OrderId, OrderState

SLICES_MAX: Final = 8
"""An entry that needs more pieces is denied; an exit has as many as it needs (T23)."""


def most_of(instrument: Instrument) -> int:
    """The largest quantity of one order, in whole lots.

    The freeze quantity is the first that is refused. Where it is not known, or not even a lot is
    below it, it is one lot: such a contract is not entered, but what is held of it can be closed.
    """
    lot = instrument.lot_size
    return max((instrument.freeze_quantity - 1) // lot * lot, lot)


def split(quantity: int, most: int) -> tuple[int, ...]:
    """Pieces of at most `most` that add up to `quantity`, the largest first."""
    whole, rest = divmod(quantity, most)
    return (most,) * whole + ((rest,) if rest else ())


def share_out(
    orders: Sequence[Order], quantity: int, *, most: int, strays: int, now_ns: int
) -> tuple[dict[OrderId, int], int]:
    """What each live order should still fill of `quantity`, by name, and what is left for new ones.

    An order that cannot be asked anything now keeps what it could fill at worst. The youngest are
    cut first; what is missing enlarges the oldest up to `most` in total, filled part included.
    Beside what `strays` could fill nothing is enlarged or left over. What an order could fill beyond
    its terms, because an older request may come last, is taken from the others: no cut of its own
    would change it, and each cut would be one more request that may come last.
    """
    free = [order for order in orders if order.may_ask(now_ns)]
    shares = {order.name: order.could_fill for order in orders}
    slack = sum(order.could_fill - order.open_quantity for order in free)
    left = quantity - slack - sum(shares[o.name] for o in orders if o not in free)
    for order in free:
        own = order.could_fill - order.open_quantity
        shares[order.name] = min(order.open_quantity, max(left + own, 0))
        left -= shares[order.name]
    left = max(left - strays, 0)
    for order in free:
        more = min(max(most - order.filled_quantity - shares[order.name], 0), left)
        shares[order.name] += more if shares[order.name] else 0
        left -= more if shares[order.name] else 0
    return shares, left


def may_take_more(order: Order, *, most: int, now_ns: int) -> bool:
    """Whether a live order will be enlarged rather than joined by another one.

    One whose fate is not known takes nothing: that may last, and what is held cannot wait (T9).
    """
    if order.may_ask(now_ns) or order.state is OrderState.UNKNOWN:
        return False
    return order.terms.quantity < most
