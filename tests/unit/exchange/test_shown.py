"""The book as a read shows it; what each fault makes of it stands in the stories of order faults."""

from holdfast.domain.event import BookRead, ReadFailed
from holdfast.exchange.faults import FaultKind, Faults, FaultWindow
from holdfast.exchange.shown import ShownBook
from holdfast.exchange.venue import SimulatedExchange
from tests.support.desk import SECOND
from tests.unit.exchange.floor import at, buy, oid, opened, rows


def shown(exchange: SimulatedExchange, *windows: FaultWindow) -> tuple[ShownBook, Faults]:
    """The book of an exchange under windows."""
    faults = Faults(1, windows)
    return ShownBook(exchange, faults), faults


def read(book: ShownBook, second: float) -> BookRead | ReadFailed:
    """A pass that arrives at a second."""
    return book.read(
        name="book/0", at_ns=at(second), began_at_ns=at(second) - 5, due_ns=at(second) + 7
    )


def test_without_faults_it_is_the_truth() -> None:
    """With its times."""
    exchange = opened()
    exchange.place(oid("E"), buy(10_005), at(1))
    book, _ = shown(exchange)
    assert read(book, 2) == BookRead(
        at_ns=at(2) + 7,
        began_at_ns=at(2) - 5,
        nets=exchange.book_nets(),
        orders=exchange.orders(),
        foreign=(),
        trades=exchange.book_trades(),
        funds_paise=exchange.funds_paise,
    )


def test_an_old_view_that_is_true_is_no_strike() -> None:
    """Only what differs is counted."""
    exchange = opened()
    stale = FaultWindow(
        kind=FaultKind.BOOK_STALE, from_ns=at(0), until_ns=at(60), delay_ns=2 * SECOND
    )
    book, faults = shown(exchange, stale)
    for row in rows(exchange.place(oid("E"), buy(10_005), at(3))):
        book.note(row, at(3))
    old = read(book, 4.5)
    assert isinstance(old, BookRead)
    assert (old.orders, old.nets, old.trades) == ((), (), ())
    assert faults.struck[FaultKind.BOOK_STALE] == 1
    new = read(book, 5)
    assert isinstance(new, BookRead)
    assert new.orders == exchange.orders()
    assert new.nets == exchange.book_nets()
    assert faults.struck[FaultKind.BOOK_STALE] == 1


def test_a_failed_read_is_not_an_empty_book() -> None:
    """It fails before anything is looked at."""
    failing = FaultWindow(kind=FaultKind.BOOK_FAILED, from_ns=at(0), until_ns=at(60))
    book, faults = shown(opened(), failing)
    assert isinstance(read(book, 1), ReadFailed)
    assert faults.struck[FaultKind.BOOK_FAILED] == 1
