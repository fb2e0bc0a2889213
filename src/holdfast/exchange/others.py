"""Others act on the account: the owner with his thumb, the broker's risk desk, the exchange's whim.

What happens once in a window happens at the first tick at which there is something to strike.
"""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from holdfast.domain.instrument import BrokerKey, Product
from holdfast.domain.order import BrokerOrderId, BrokerStatus, OrderRow, OrderType, Side
from holdfast.exchange.faults import ONCE, FaultKind, Faults, FaultWindow
from holdfast.exchange.venue import SimulatedExchange

OWNER: Final = "by the owner"
DROPPED: Final = "cancelled by the exchange"

_Act = Callable[[FaultWindow, int], list[OrderRow] | None]
"""What a window does at an instant: rows of orders of ours, `None` when it found nothing yet."""


class Others:
    """Everybody but us, as the windows of a world have them act."""

    def __init__(self, exchange: SimulatedExchange, faults: Faults) -> None:
        self._exchange = exchange
        self._faults = faults
        self._left = [window for window in faults.windows if window.kind in ONCE]
        self._offered: list[tuple[int, BrokerOrderId]] = []
        self._is_idle = not self._left and not faults.has(FaultKind.STOP_DROPPED)
        self._acts: dict[FaultKind, _Act] = {
            FaultKind.OWNER_SELLS_PART: self._close_part,
            FaultKind.OWNER_SELLS_ALL: self._close_all,
            FaultKind.OWNER_BUYS: self._add,
            FaultKind.OWNER_OFFERS: self._offer,
            FaultKind.OWNER_CANCELS_STOP: self._cancel_stop,
            FaultKind.OWNER_CHANGES_STOP: self._change_stop,
            FaultKind.BROKER_SQUARES_OFF: self._square_off,
        }

    def step(self, at_ns: int) -> list[OrderRow]:
        """Act at an instant; rows of the orders of ours that it changed."""
        if self._is_idle:
            return []
        rows = self._drop_stops(at_ns)
        while self._offered and self._offered[0][0] <= at_ns:
            self._exchange.withdraw_foreign(self._offered.pop(0)[1], at_ns)
        for window in [one for one in self._left if one.from_ns <= at_ns]:
            if at_ns >= window.until_ns or not self._draws(window):
                self._left.remove(window)
                continue
            found = self._acts[window.kind](window, at_ns)
            if found is not None:
                self._left.remove(window)
                self._faults.strike(window.kind)
                rows += found
        return rows

    def _draws(self, window: FaultWindow) -> bool:
        key = f"once/{window.from_ns}"
        return self._faults.finds(window.kind, key, window.from_ns) is not None

    def _drop_stops(self, at_ns: int) -> list[OrderRow]:
        rows: list[OrderRow] = []
        if not any(window.is_on(at_ns) for window in self._faults.of(FaultKind.STOP_DROPPED)):
            return rows
        for row in self._resting_stops(None):
            key, instrument = f"drop/{row.broker_id}", row.terms.instrument
            if self._faults.strikes(FaultKind.STOP_DROPPED, key, at_ns, instrument=instrument):
                rows.append(self._exchange.end_by(row.broker_id, at_ns, reason=DROPPED))
        return rows

    def _close_part(self, window: FaultWindow, at_ns: int) -> list[OrderRow] | None:
        return self._close(window, at_ns, quantity=window.quantity)

    def _close_all(self, window: FaultWindow, at_ns: int) -> list[OrderRow] | None:
        key = self._held(window, at_ns)
        return None if key is None else self._close(window, at_ns, quantity=self._net(key))

    def _close(
        self, window: FaultWindow, at_ns: int, *, quantity: int | None
    ) -> list[OrderRow] | None:
        """Close `quantity` of what is held, one lot by default, at any price."""
        key = self._held(window, at_ns)
        if key is None:
            return None
        net = self._net(key)
        wanted = self._exchange.lot(key.instrument) if quantity is None else abs(quantity)
        side = Side.SELL if net > 0 else Side.BUY
        self._exchange.send_foreign(key, side, quantity=min(wanted, abs(net)), at_ns=at_ns)
        return []

    def _add(self, window: FaultWindow, at_ns: int) -> list[OrderRow] | None:
        """Add to what is held, or begin with the window's instrument."""
        key = self._held(window, at_ns)
        if key is None and window.instrument is not None:
            key = BrokerKey(window.instrument, Product.INTRADAY)
        if key is None or not self._exchange.is_open(key.instrument, at_ns):
            return None
        quantity = window.quantity or self._exchange.lot(key.instrument)
        side = Side.SELL if self._net(key) < 0 else Side.BUY
        self._exchange.send_foreign(key, side, quantity=quantity, at_ns=at_ns)
        return []

    def _offer(self, window: FaultWindow, at_ns: int) -> list[OrderRow] | None:
        """Rest a closing order at a price that nobody pays, and take it back."""
        key = self._held(window, at_ns)
        last = None if key is None else self._exchange.last_tick(key.instrument)
        if key is None or last is None:
            return None
        net = self._net(key)
        side = Side.SELL if net > 0 else Side.BUY
        limit_paise = last.last_paise * 3 if net > 0 else 5
        sent = self._exchange.send_foreign(
            key, side, quantity=abs(net), at_ns=at_ns, limit_paise=limit_paise
        )
        self._offered.append((at_ns + window.wait_ns, sent))
        self._offered.sort()
        return []

    def _cancel_stop(self, window: FaultWindow, at_ns: int) -> list[OrderRow] | None:
        for row in self._resting_stops(window):
            reason = f"cancelled {OWNER}"
            return [self._exchange.end_by(row.broker_id, at_ns, reason=reason)]
        return None

    def _change_stop(self, window: FaultWindow, at_ns: int) -> list[OrderRow] | None:
        """Limit and trigger one price step further from the market."""
        for row in self._resting_stops(window):
            terms = row.terms
            assert terms.trigger_paise is not None, "a stop has a trigger"
            away = terms.side.sign * self._exchange.price_step(terms.instrument)
            changed = replace(
                terms,
                limit_paise=terms.limit_paise + away,
                trigger_paise=terms.trigger_paise + away,
            )
            return [self._exchange.change_by(row.broker_id, changed, at_ns)]
        return None

    def _square_off(self, window: FaultWindow, at_ns: int) -> list[OrderRow] | None:
        if self._held(window, at_ns) is None:
            return None
        return self._exchange.exit_all(at_ns, reason="cancelled for a margin shortfall")

    def _resting_stops(self, window: FaultWindow | None) -> list[OrderRow]:
        only = None if window is None else window.instrument
        return [
            row
            for row in self._exchange.orders()
            if row.status is BrokerStatus.WORKING
            and row.terms.order_type is OrderType.STOP_LIMIT
            and only in (None, row.terms.instrument)
        ]

    def _held(self, window: FaultWindow, at_ns: int) -> BrokerKey | None:
        """The first key that is held and may be traded now."""
        for key, net in sorted(self._exchange.positions().items()):
            is_wanted = window.instrument in (None, key.instrument)
            if net and is_wanted and self._exchange.is_open(key.instrument, at_ns):
                return key
        return None

    def _net(self, key: BrokerKey) -> int:
        return self._exchange.positions().get(key, 0)
