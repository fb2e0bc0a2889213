"""Whether the projections, which people read, say what the engine, which trades, knows."""

from collections.abc import Iterator, Sequence

from holdfast.core.engine import Books
from holdfast.store import rows

_ENDED = frozenset({"closed", "unfilled"})


def differences(
    books: Books, orders: Sequence[rows.Order], positions: Sequence[rows.Position]
) -> list[str]:
    """Every difference in words, orders first. All of one day, at one sequence number."""
    return [*_orders(books, orders), *_positions(books, positions)]


def _orders(books: Books, orders: Sequence[rows.Order]) -> Iterator[str]:
    written = {order.order_id: order.filled_quantity for order in orders}
    for order_id, filled in books.orders:
        if order_id not in written:
            yield f"order {order_id}: traded on, but not written"
        elif written[order_id] != filled:
            yield f"order {order_id}: {written[order_id]} filled as written, {filled} as traded on"
    known: set[str] = {order_id for order_id, _ in books.orders}
    for other in written:
        if other not in known:
            yield f"order {other}: written, but not traded on"


def _positions(books: Books, positions: Sequence[rows.Position]) -> Iterator[str]:
    written = {position.position: position.state in _ENDED for position in positions}
    for number, is_closed in books.positions:
        if number not in written:
            yield f"position {number}: traded on, but not written"
        elif written[number] != is_closed:
            words = ("open", "ended")
            yield (
                f"position {number}: {words[written[number]]} as written,"
                f" {words[is_closed]} as traded on"
            )
