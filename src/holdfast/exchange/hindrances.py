"""What keeps an order at the exchange from what the market would give it: faults of matching."""

from holdfast.domain.order import BrokerOrderId, Refusal
from holdfast.exchange.checks import Judge, Objection
from holdfast.exchange.faults import FaultKind, Faults
from holdfast.exchange.order import LiveOrder


class Hindrances:
    """The faults of a seed, as they strike orders that could trade or trigger.

    `is_slowing`: some order may today get less than the market would give it.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._withheld: set[BrokerOrderId] = set()

    @property
    def is_slowing(self) -> bool:
        """Asked anew each time: faults may be set while the exchange runs."""
        return self._faults.has(FaultKind.FILLS_WITHHELD, FaultKind.FILLS_SLICED)

    def most(self, order: LiveOrder, wanted: int, at_ns: int, *, lot: int) -> int | None:
        """The most contracts that may trade now of `wanted` that could; `None`: all."""
        key, instrument = order.broker_id, order.terms.instrument
        if wanted == 0 or not self.is_slowing:
            return None
        kind = FaultKind.FILLS_WITHHELD
        if self._faults.finds(kind, key, at_ns, instrument=instrument):
            if key not in self._withheld:  # counted once for an order, however long it lasts
                self._withheld.add(key)
                self._faults.strike(kind)
            return 0
        kind = FaultKind.FILLS_SLICED
        window = self._faults.finds(kind, key, at_ns, instrument=instrument)
        slice_quantity = wanted if window is None else window.quantity or lot
        if slice_quantity >= wanted:
            return None
        self._faults.strike(kind)
        return slice_quantity

    def at_trigger(self, order: LiveOrder, at_ns: int) -> Objection | None:
        """What the exchange has against a stop that was touched; `None`: nothing."""
        kind, instrument = FaultKind.STOP_REFUSED_AT_TRIGGER, order.terms.instrument
        if not self._faults.strikes(kind, order.broker_id, at_ns, instrument=instrument):
            return None
        text = "Price is outside of the permitted range"
        return Objection(judge=Judge.EXCHANGE, refusal=Refusal.BAND, text=text)
