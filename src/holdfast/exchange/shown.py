"""The book as a read shows it: the truth, or the truth of another instant, per service.

Positions, orders and trades are different services at a broker and settle at different moments.
"""

from bisect import bisect_right
from typing import Final, NamedTuple

from msgspec.structs import replace

from holdfast.domain.book import BookNet, ForeignRow
from holdfast.domain.event import BOOK, BookRead, ReadFailed
from holdfast.domain.order import BrokerOrderId, OrderRow
from holdfast.exchange.account import Execution, book_nets, book_trades
from holdfast.exchange.faults import FaultKind, Faults
from holdfast.exchange.venue import SimulatedExchange

TURNED_BACK: Final = (FaultKind.BOOK_STALE, FaultKind.BOOK_FILL_BEHIND, FaultKind.BOOK_TORN)


class _Instants(NamedTuple):
    """As of when each service speaks."""

    nets_ns: int
    orders_ns: int
    trades_ns: int


class ShownBook:
    """Reads the exchange's book; where reads may be old it keeps what every order was."""

    def __init__(self, exchange: SimulatedExchange, faults: Faults) -> None:
        self._exchange = exchange
        self._faults = faults
        self._keeps = faults.has(*TURNED_BACK)
        self._rows: list[tuple[int, OrderRow]] = []
        self._foreign: list[tuple[int, ForeignRow]] = []

    def note(self, row: OrderRow, at_ns: int) -> None:
        """An order of ours became this."""
        if self._keeps:
            self._rows.append((at_ns, row))

    def note_foreign(self, row: ForeignRow, at_ns: int) -> None:
        """An order of somebody else became this."""
        if self._keeps:
            self._foreign.append((at_ns, row))

    def read(
        self, *, name: str, at_ns: int, began_at_ns: int, due_ns: int
    ) -> BookRead | ReadFailed:
        """The pass `name` over the book that reaches the broker at `at_ns` and us at `due_ns`."""
        if self._faults.strikes(FaultKind.BOOK_FAILED, name, at_ns):
            return ReadFailed(at_ns=due_ns, what=BOOK, reason="HTTP 500")
        exchange = self._exchange
        truth = BookRead(
            at_ns=due_ns,
            began_at_ns=began_at_ns,
            nets=exchange.book_nets(),
            orders=exchange.orders(),
            foreign=exchange.book_foreign(),
            trades=exchange.book_trades(),
            funds_paise=exchange.funds_paise,
        )
        for kind, shown in (
            (FaultKind.BOOK_EMPTY, _emptied(truth)),
            *((kind, None) for kind in TURNED_BACK),
            (FaultKind.BOOK_POSITION_MISSING, _without_a_position(truth)),
        ):
            window = self._faults.finds(kind, name, at_ns)
            if window is not None:
                old = self._turned_back(truth, kind, at_ns, window.wait_ns)
                told = old if shown is None else shown
                if told != truth:
                    self._faults.strike(kind)
                    return told
        return truth

    def _turned_back(self, truth: BookRead, kind: FaultKind, at_ns: int, wait_ns: int) -> BookRead:
        """The book with each service as of its own instant."""
        old = {
            FaultKind.BOOK_STALE: _Instants(at_ns - wait_ns, at_ns - wait_ns, at_ns - wait_ns),
            FaultKind.BOOK_FILL_BEHIND: _Instants(at_ns - wait_ns, at_ns, at_ns),
            FaultKind.BOOK_TORN: _Instants(at_ns, at_ns - wait_ns, at_ns - 2 * wait_ns),
        }.get(kind)
        if old is None:
            return truth
        nets, trades = truth.nets, truth.trades
        if old.nets_ns < at_ns:
            nets = book_nets(self._executions(old.nets_ns), self._exchange.carried)
        if old.trades_ns < at_ns:
            trades = book_trades(self._executions(old.trades_ns))
        if old.orders_ns == at_ns:
            return replace(truth, nets=nets, trades=trades)
        orders: dict[BrokerOrderId, OrderRow] = {
            row.broker_id: row for _, row in self._rows[: _until(self._rows, old.orders_ns)]
        }
        foreign: dict[BrokerOrderId, ForeignRow] = {
            row.broker_id: row for _, row in self._foreign[: _until(self._foreign, old.orders_ns)]
        }
        return replace(
            truth,
            nets=nets,
            trades=trades,
            orders=tuple(orders.values()),
            foreign=tuple(foreign.values()),
        )

    def _executions(self, until_ns: int) -> list[Execution]:
        return [one for one in self._exchange.executions if one.at_ns <= until_ns]


def _until(noted: list[tuple[int, OrderRow]] | list[tuple[int, ForeignRow]], at_ns: int) -> int:
    """How many were noted up to `at_ns`."""
    return bisect_right([when_ns for when_ns, _ in noted], at_ns)


def _emptied(truth: BookRead) -> BookRead:
    return replace(truth, nets=(), orders=(), foreign=(), trades=())


def _without_a_position(truth: BookRead) -> BookRead:
    """The first held key is left out."""
    held = next((net for net in truth.nets if net.net), None)
    nets: tuple[BookNet, ...] = tuple(net for net in truth.nets if net is not held)
    return replace(truth, nets=nets)
