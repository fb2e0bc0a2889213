"""What the checks are shown: an order's terms beside the account, its market and the day's facts."""

from collections.abc import Mapping

from holdfast.domain.dated import DayFacts
from holdfast.domain.instrument import BrokerKey, Instrument, InstrumentId
from holdfast.domain.order import OrderTerms, OrderType
from holdfast.exchange.account import Account
from holdfast.exchange.checks import (
    AT_TRIGGER,
    Behaviour,
    Objection,
    Proposal,
    first_objection,
)
from holdfast.exchange.margin import OpenOrder, hedge_relief, held_back, leg
from holdfast.exchange.market import Market
from holdfast.exchange.order import LiveOrder


class Intake:
    """Judges what is asked. It reads the exchange's markets and account, and changes nothing."""

    def __init__(
        self,
        markets: Mapping[InstrumentId, Market],
        account: Account,
        *,
        facts: DayFacts,
        behaviour: Behaviour,
    ) -> None:
        self._markets = markets
        self._account = account
        self._facts = facts
        self._behaviour = behaviour

    def objection(
        self, terms: OrderTerms, at_ns: int, current: LiveOrder | None = None
    ) -> Objection | None:
        """The first no to a new order, or to new terms of `current`."""
        return first_objection(self._proposal(terms, at_ns, current))

    def objection_at_trigger(self, stop: LiveOrder, at_ns: int) -> Objection | None:
        """The first no to a stop that is released into the book."""
        return first_objection(self._proposal(stop.released(), at_ns, stop), AT_TRIGGER)

    def free_paise(self, *, without: LiveOrder | None = None) -> int:
        """Cash less all that is held back, as if `without` did not exist; negative when short."""
        return self._account.cash_paise - self._held(without=without)

    def _proposal(self, terms: OrderTerms, at_ns: int, current: LiveOrder | None) -> Proposal:
        """All that a check may look at. An unknown contract has nothing but its terms."""
        market = self._markets.get(terms.instrument)
        if market is None:
            return Proposal(terms=terms, at_ns=at_ns, facts=self._facts, contract=None)
        filled = 0 if current is None else current.filled_quantity
        asked = (terms, max(terms.quantity - filled, 0))
        held_paise = self._held(without=current)
        return Proposal(
            terms=terms,
            at_ns=at_ns,
            facts=self._facts,
            contract=market.contract,
            behaviour=self._behaviour,
            current=current,
            last_paise=market.last_paise,
            reference_paise=market.reference_paise(at_ns),
            meets=met(market, terms),
            need_paise=self._held(asked, without=current) - held_paise,
            free_paise=self._account.cash_paise - held_paise,
        )

    def _held(self, *extra: OpenOrder, without: LiveOrder | None) -> int:
        """What all keys hold back together, `extra` orders included."""
        working: dict[BrokerKey, list[OpenOrder]] = {key: [] for key in self._account.positions()}
        for market in self._markets.values():
            for order in market.orders:
                if order is not without:
                    one = (order.terms, order.open_quantity)
                    working.setdefault(order.key, []).append(one)
        for terms, quantity in extra:
            key = BrokerKey(terms.instrument, terms.product)
            working.setdefault(key, []).append((terms, quantity))
        legs = [
            leg(self._contract(key), key.product, net=self._account.net(key), orders=orders)
            for key, orders in working.items()
        ]
        return sum(self._held_back(*of) for of in working.items()) - hedge_relief(legs)

    def _held_back(self, key: BrokerKey, orders: list[OpenOrder]) -> int:
        market = self._markets[key.instrument]
        return held_back(
            market.contract,
            net=self._account.net(key),
            orders=orders,
            last_paise=market.last_paise,
        )

    def _contract(self, key: BrokerKey) -> Instrument:
        return self._markets[key.instrument].contract


def met(market: Market, terms: OrderTerms) -> LiveOrder | None:
    """The first order of ours on the other side that `terms` would trade with in the book."""
    if terms.order_type is OrderType.STOP_LIMIT:
        return None
    for order in market.by_priority():
        is_opposite = order.terms.side is not terms.side
        reach_paise = (terms.limit_paise - order.terms.limit_paise) * terms.side.sign
        if is_opposite and not order.is_stop and reach_paise >= 0:
            return order
    return None
