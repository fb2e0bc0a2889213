"""What the broker's door says before anybody looks at the order: rates, token, IP, and bad days."""

from typing import Final

import msgspec

from holdfast.domain.event import Action
from holdfast.domain.order import OrderTerms, OrderType, Refusal
from holdfast.exchange.checks import Judge, Objection
from holdfast.exchange.faults import FaultKind, Faults
from holdfast.exchange.rates import RateLimits, RequestRates

DEAD_TOKEN: Final = "Client ID or user generated access token is invalid or expired."  # noqa: S105

_PLACE: Final = (Action.PLACE,)
_TERMS: Final = (Action.PLACE, Action.MODIFY)
_NAMED: Final = (Action.MODIFY, Action.CANCEL)
_ALL: Final = (Action.PLACE, Action.MODIFY, Action.CANCEL)


class Bad(msgspec.Struct, frozen=True, kw_only=True):
    """One way of being refused without a reason of ours."""

    kind: FaultKind
    refusal: Refusal
    text: str
    actions: tuple[Action, ...] = _ALL
    judge: Judge = Judge.BROKER
    is_stops_only: bool = False

    def concerns(self, action: Action, terms: OrderTerms | None) -> bool:
        """Whether a request of this kind can meet it."""
        is_stop = terms is not None and terms.order_type is OrderType.STOP_LIMIT
        return action in self.actions and (is_stop or not self.is_stops_only)


# fmt: off
REFUSALS: Final = (
    Bad(kind=FaultKind.TOKEN_DEAD, refusal=Refusal.TOKEN, text=DEAD_TOKEN),
    Bad(kind=FaultKind.IP_REFUSED, refusal=Refusal.IP, text="Invalid IP"),
    Bad(kind=FaultKind.REFUSED_RATE, refusal=Refusal.RATE, text="Too many requests"),
    Bad(kind=FaultKind.REFUSED_CLOSED, refusal=Refusal.CLOSED_MARKET, text="Market is closed"),
    Bad(kind=FaultKind.REFUSED_DUPLICATE, refusal=Refusal.OTHER, actions=_PLACE,
        text="Duplicate correlation id"),
    Bad(kind=FaultKind.REFUSED_NOT_MODIFIABLE, refusal=Refusal.NOT_MODIFIABLE, actions=_NAMED,
        text="Incorrect request for order and cannot be processed"),
    Bad(kind=FaultKind.REFUSED_FUNDS, refusal=Refusal.FUNDS, actions=_TERMS,
        text="RMS: insufficient funds"),
    Bad(kind=FaultKind.REFUSED_QUANTITY, refusal=Refusal.QUANTITY, actions=_TERMS,
        text="Quantity exceeds the freeze quantity"),
    Bad(kind=FaultKind.REFUSED_OTHER, refusal=Refusal.OTHER, text="Something went wrong"),
    Bad(kind=FaultKind.REFUSED_BEYOND_TRIGGER, refusal=Refusal.BEYOND_TRIGGER, actions=_TERMS,
        judge=Judge.EXCHANGE, is_stops_only=True, text="Trigger price is beyond the last price"),
    Bad(kind=FaultKind.REFUSED_TRIGGER_DISTANCE, refusal=Refusal.TRIGGER_DISTANCE, actions=_TERMS,
        judge=Judge.EXCHANGE, is_stops_only=True, text="16448: limit is too far from the trigger"),
    Bad(kind=FaultKind.REFUSED_BAND, refusal=Refusal.BAND, actions=_TERMS,
        judge=Judge.EXCHANGE, text="Price is outside of the permitted range"),
    Bad(kind=FaultKind.SELF_TRADE_CANCELLED, refusal=Refusal.SELF_TRADE, actions=_PLACE,
        judge=Judge.EXCHANGE, text="Cancelled to prevent a self trade"),
)
# fmt: on
"""Every refusal that may come without a reason of ours, in the order in which it is looked for."""


class Door:
    """Asked once for each request when it arrives."""

    def __init__(self, faults: Faults, limits: RateLimits | None) -> None:
        """`limits` `None`: as many requests as anybody likes."""
        self._faults = faults
        self._rates = None if limits is None else RequestRates(limits)

    def objection(
        self, action: Action, terms: OrderTerms | None, *, name: str, at_ns: int
    ) -> Objection | None:
        """The no to the request `name` about an order, `None` when it may go on.

        `terms` are the order's; for a cancel, which needs none, `None`.
        """
        full = None if self._rates is None else self._rates.take(at_ns)
        if full is not None:
            text = f"Too many requests in a {full}"
            return Objection(judge=Judge.BROKER, refusal=Refusal.RATE, text=text)
        instrument = None if terms is None else terms.instrument
        for bad in REFUSALS:
            if bad.concerns(action, terms) and self._faults.strikes(
                bad.kind, name, at_ns, instrument=instrument
            ):
                return Objection(judge=bad.judge, refusal=bad.refusal, text=bad.text)
        return None

    def read_objection(self, *, name: str, at_ns: int) -> str | None:
        """The no to a request that is not about an order: only a dead token is in its way."""
        is_dead = self._faults.strikes(FaultKind.TOKEN_DEAD, name, at_ns) is not None
        return DEAD_TOKEN if is_dead else None
