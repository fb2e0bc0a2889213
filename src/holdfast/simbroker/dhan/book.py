"""The book as a read shows it: the truth, or what a fault makes of it (T5, T22)."""

from typing import Final

from holdfast.domain.instrument import BrokerKey
from holdfast.exchange.account import Execution
from holdfast.simbroker.dhan.desk import Desk
from holdfast.simbroker.dhan.host import Host
from holdfast.simbroker.dhan.order import AccountOrder
from holdfast.simbroker.dhan.route import Call
from holdfast.simbroker.dhan.shown import Fill, Held, fills, held
from holdfast.simbroker.dhan.wire_faults import WireFault, WireFaults

_NOTHING: Final = -1


class Book:
    """Positions, orders and trades are services of their own and may speak of different instants."""

    def __init__(self, host: Host, desk: Desk, faults: WireFaults) -> None:
        """Show what `host` and `desk` keep."""
        self._host = host
        self._desk = desk
        self._faults = faults

    def orders(self, call: Call) -> list[AccountOrder]:
        """The order book, in order of arrival."""
        at_ns = self._as_of(call, torn=1)
        if at_ns is None:
            return list(self._desk.orders.values())
        return self._desk.orders_at(at_ns)

    def fills(self, call: Call) -> list[Fill]:
        """The day's trades."""
        at_ns = self._as_of(call, torn=2)
        told = self._executions(at_ns)
        lots = {one.id: one.lot_size for one in self._host.instruments}
        return fills(told, self._desk.orders.values(), lots=lots)

    def positions(self, call: Call) -> list[Held]:
        """What was traded per key, what was settled excepted."""
        at_ns = self._as_of(call, torn=0)
        executions = self._executions(at_ns)
        if executions and self._struck(WireFault.BOOK_FILL_BEHIND, call):
            executions = executions[:-1]
        open_keys = {net.key for net in self._host.exchange.book_nets()}
        told = [one for one in held(executions) if one.key in open_keys]
        missing = self._missing(told, call)
        return [one for one in told if one.key != missing]

    def _missing(self, told: list[Held], call: Call) -> BrokerKey | None:
        first = next((one.key for one in told if one.net), None)
        if first is None or not self._struck(WireFault.POSITION_MISSING, call):
            return None
        return first

    def _as_of(self, call: Call, *, torn: int) -> int | None:
        """As of when this service speaks: `None` now, negative before the day began.

        `torn`: how many delays of a torn book it is behind the positions.
        """
        if self._struck(WireFault.BOOK_EMPTY, call):
            return _NOTHING
        for kind, times in ((WireFault.BOOK_STALE, 1), (WireFault.BOOK_TORN, torn)):
            window = self._faults.finds(kind, call.key, call.at_ns, endpoint=call.endpoint)
            if window is not None and times:
                self._faults.strike(window)
                return call.at_ns - times * window.wait_ns
        return None

    def _struck(self, kind: WireFault, call: Call) -> bool:
        struck = self._faults.strikes(kind, call.key, call.at_ns, endpoint=call.endpoint)
        return struck is not None

    def _executions(self, at_ns: int | None) -> list[Execution]:
        every = self._host.exchange.executions
        return [one for one in every if at_ns is None or one.at_ns <= at_ns]
