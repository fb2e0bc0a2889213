"""The simulated exchange and the broker's own checks in front of it: pure, told the time.

Orders meet the book that the ticks tell, by price and time. Each method takes the instant at which
a request reached the exchange, and returns what the account would hear of it. Times never go back
from call to call.
"""

from collections import Counter
from collections.abc import Callable, Iterable

import msgspec

from holdfast.domain.book import BookNet, BookTrade, ForeignRow
from holdfast.domain.dated import DayFacts, Session
from holdfast.domain.instrument import BrokerKey, Instrument, InstrumentId, Product
from holdfast.domain.market import Tick
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderTerms,
    OrderType,
    Refusal,
)
from holdfast.exchange.account import Account, Execution
from holdfast.exchange.checks import Behaviour, Judge, ModifyBehaviour, Objection
from holdfast.exchange.draws import draw
from holdfast.exchange.intake import Intake
from holdfast.exchange.market import Market, Trade
from holdfast.exchange.matching import fill_from_book, fill_from_trade, is_touched
from holdfast.exchange.order import LiveOrder
from holdfast.exchange.squareoff import REASON, ForeignOrder, ForeignOrders


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was answered no: it changed nothing, and no row tells of it."""

    order_id: OrderId
    refusal: Refusal
    reason: str


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """A placement as it was received; `refusal` where it was refused or rejected on arrival."""

    order_id: OrderId
    terms: OrderTerms
    at_ns: int
    refusal: Refusal | None


Result = OrderRow | Refused
"""What a request comes to: rows of the order as it went on, or one refusal."""


class SimulatedExchange:
    """One account at one broker, and the markets it trades in.

    It lives in the time of receipt: what a tick tells happens when the tick is received.
    Two orders may bear one id, as the broker does not tell them apart (T21): a request by id means
    the younger. Broker numbers begin at a drawn place, so that nothing may rely on their size.
    """

    def __init__(
        self,
        instruments: Iterable[Instrument],
        facts: DayFacts,
        *,
        cash_paise: int,
        seed: int,
        behaviour: Behaviour | None = None,
    ) -> None:
        self.facts = facts
        self._placements: list[Placement] = []
        self._behaviour = behaviour or Behaviour()
        self._account = Account(cash_paise)
        self._markets = {contract.id: _market(contract, facts) for contract in instruments}
        self._intake = Intake(self._markets, self._account, facts=facts, behaviour=self._behaviour)
        self._orders: list[LiveOrder] = []
        self._by_id: dict[OrderId, LiveOrder] = {}
        self._foreign = ForeignOrders()
        self._broker_number = draw(seed, "broker number", 0) * 10_000
        self._rank = 0

    def place(self, order_id: OrderId, terms: OrderTerms, at_ns: int) -> list[Result]:
        """Take a new order. A row says that it was taken, or rejected by the exchange."""
        objection = self._intake.objection(terms, at_ns)
        refusal = None if objection is None else objection.refusal
        received = Placement(order_id=order_id, terms=terms, at_ns=at_ns, refusal=refusal)
        self._placements.append(received)
        if objection is not None and objection.judge is Judge.BROKER:
            return [_refused(order_id, objection)]
        order = LiveOrder(
            order_id, self._next_number(), terms=terms, rank=self._next_rank(), at_ns=at_ns
        )
        self._orders.append(order)
        self._by_id[order_id] = order
        market = self._markets[terms.instrument]
        market.orders.append(order)
        if objection is not None:
            return [self._kill(order, BrokerStatus.REJECTED, objection, at_ns)]
        return [order.row(), *self._meet_book(market, order, at_ns)]

    def modify(self, order_id: OrderId, terms: OrderTerms, at_ns: int) -> list[Result]:
        """Give a live order other terms, `quantity` being the total; it loses its place in time.

        A refused modification leaves the order as it was, but for self-trade prevention: there the
        modified order is the later one, and dies. An ignored one answers nothing.
        """
        order = self._by_id.get(order_id)
        if order is None:
            return [_unknown(order_id)]
        objection = self._intake.objection(terms, at_ns, order)
        if objection is not None and objection.refusal is not Refusal.SELF_TRADE:
            return [_refused(order_id, objection)]
        order.modifications += 1
        if self._ignores(order, terms):
            return []
        if objection is not None:
            return [self._kill(order, BrokerStatus.CANCELLED, objection, at_ns)]
        order.modify(terms, rank=self._next_rank(), at_ns=at_ns)
        row = order.row()
        self._forget_if_ended(order)
        return [row, *self._meet_book(self._markets[terms.instrument], order, at_ns)]

    def cancel(self, order_id: OrderId, at_ns: int) -> list[Result]:
        """Cancel what is left of a live order; its fills stay."""
        order = self._by_id.get(order_id)
        if order is None:
            return [_unknown(order_id)]
        if not order.is_live:
            reason = f"Order is {order.status}"
            return [Refused(order_id=order_id, refusal=Refusal.NOT_MODIFIABLE, reason=reason)]
        return [self._end(order, BrokerStatus.CANCELLED, at_ns)]

    def find(self, order_id: OrderId) -> OrderRow | None:
        """The row of an order, `None` when none with this id was ever taken."""
        order = self._by_id.get(order_id)
        return None if order is None else order.row()

    def on_tick(self, tick: Tick) -> list[OrderRow]:
        """Take what the market tells: resting orders trade, stops trigger. Rows of what changed.

        On one tick the trades come before the book, which is what they left behind; a stop that
        they release was not there when they happened.
        """
        market = self._markets.get(tick.instrument)
        assert market is not None, f"a tick of {tick.instrument}, no instrument of the day"
        trade = market.tell(tick)
        if not market.orders and not self._foreign.is_any:
            return []
        if not self._is_open(market, tick.at_ns):
            return []
        rows: list[OrderRow] = []
        if trade is not None:
            rows += self._print(market, trade, tick.at_ns)
            rows += self._trigger(market, trade, tick.at_ns)
        for order in market.by_priority():
            rows += self._meet_book(market, order, tick.at_ns)
        self._trade_foreign(market, tick.at_ns)
        return rows

    def square_off(self, at_ns: int) -> list[OrderRow]:
        """The broker cancels our INTRADAY orders and closes INTRADAY positions itself (T11).

        Before its time, or asked again, it does nothing.
        """
        rows = [
            self._end(order, BrokerStatus.CANCELLED, at_ns, reason=REASON)
            for order in self._live_where(lambda session: session.square_off_ns <= at_ns)
            if order.terms.product is Product.INTRADAY
        ]
        for key, net in self._account.positions().items():
            market = self._markets[key.instrument]
            session = self.facts.session(market.contract.exchange)
            is_due = session is not None and session.square_off_ns <= at_ns
            if key.product is Product.INTRADAY and is_due and self._is_open(market, at_ns):
                self._foreign.close(key, net=net, broker_id=self._next_number(), at_ns=at_ns)
                self._trade_foreign(market, at_ns)
        return rows

    def expire(self, at_ns: int) -> list[OrderRow]:
        """At the close every order of the day ends."""
        return [
            self._end(order, BrokerStatus.EXPIRED, at_ns)
            for order in self._live_where(lambda session: session.close_ns <= at_ns)
        ]

    @property
    def cash_paise(self) -> int:
        """Cash in paise, what orders and shorts hold back included."""
        return self._account.cash_paise

    @property
    def funds_paise(self) -> int:
        """Free cash in paise: negative when shorts hold back more than there is."""
        return self._intake.free_paise()

    @property
    def executions(self) -> tuple[Execution, ...]:
        """Every execution, the broker's own orders included, in order."""
        return tuple(self._account.executions)

    def positions(self) -> dict[BrokerKey, int]:
        """Net contracts of every key traded today, zero included."""
        return self._account.positions()

    @property
    def placements(self) -> tuple[Placement, ...]:
        """Every placement that arrived, refused ones too, in order."""
        return tuple(self._placements)

    def orders(self) -> tuple[OrderRow, ...]:
        """Every order of ours that was taken, in order of arrival, as it stands."""
        return tuple(order.row() for order in self._orders)

    def foreign_orders(self) -> tuple[ForeignOrder, ...]:
        """The orders that the broker sent for the account."""
        return self._foreign.all()

    def book_nets(self) -> tuple[BookNet, ...]:
        """What is bought and sold of every key today, as the broker's positions show it."""
        bought: Counter[BrokerKey] = Counter()
        sold: Counter[BrokerKey] = Counter()
        for one in self._account.executions:
            (bought if one.side.sign > 0 else sold)[one.key] += one.quantity
        return tuple(
            BookNet(
                instrument=key.instrument, product=key.product, bought=bought[key], sold=sold[key]
            )
            for key in sorted(self._account.positions())
        )

    def book_foreign(self) -> tuple[ForeignRow, ...]:
        """The orders that bear no id of ours, as the broker's book shows them."""
        return tuple(
            ForeignRow(
                broker_id=order.broker_id,
                instrument=order.key.instrument,
                product=order.key.product,
                side=order.side,
                quantity=order.quantity,
                filled_quantity=order.filled_quantity,
                is_live=order.open_quantity > 0,
            )
            for order in self._foreign.all()
        )

    def book_trades(self) -> tuple[BookTrade, ...]:
        """Every execution, as the broker's trade book shows it."""
        return tuple(
            BookTrade(
                trade_id=str(number),
                broker_id=one.broker_id,
                quantity=one.quantity,
                value_paise=one.value_paise,
            )
            for number, one in enumerate(self._account.executions, 1)
        )

    def last_tick(self, instrument: InstrumentId) -> Tick | None:
        """What was last told of an instrument, `None` before its first tick."""
        market = self._markets.get(instrument)
        return None if market is None else market.book.tick

    def assert_conserved(self) -> None:
        """Orders, positions and cash agree with the executions, and no order is overfilled."""
        self._account.assert_conserved()
        filled: dict[BrokerOrderId, tuple[int, int]] = {}
        for execution in self._account.executions:
            quantity, value = filled.get(execution.broker_id, (0, 0))
            total = quantity + execution.quantity, value + execution.value_paise
            filled[execution.broker_id] = total
        orders: tuple[OrderRow | ForeignOrder, ...] = (*self.orders(), *self._foreign.all())
        for order in orders:
            seen = order.filled_quantity, order.filled_value_paise
            assert seen == filled.pop(order.broker_id, (0, 0)), f"{order} is not the sum of fills"
        for row in self.orders():
            assert row.filled_quantity <= row.terms.quantity, f"{row} is overfilled"
        assert not filled, f"executions of no order: {filled}"

    def _meet_book(self, market: Market, order: LiveOrder, at_ns: int) -> list[OrderRow]:
        """Let an order in the book trade with what is told; on an old book it only rests."""
        is_fresh = market.book.is_fresh(at_ns, self._behaviour.quote_age_ns_max)
        if order.is_stop or not order.is_live or not is_fresh:
            return []
        quantity, value_paise = fill_from_book(order, market.book)
        return self._fill(order, quantity, value_paise, at_ns)

    def _print(self, market: Market, trade: Trade, at_ns: int) -> list[OrderRow]:
        """Let resting orders trade by the prints of others, which are there once only."""
        rows: list[OrderRow] = []
        volume = trade.quantity
        for order in market.by_priority():
            quantity = 0 if order.is_stop else fill_from_trade(order, trade, volume=volume)
            volume -= quantity
            rows += self._fill(order, quantity, quantity * order.terms.limit_paise, at_ns)
        return rows

    def _trigger(self, market: Market, trade: Trade, at_ns: int) -> list[OrderRow]:
        """Release the stops that a trade touched. What the exchange refuses there, ends there."""
        rows: list[OrderRow] = []
        for order in market.by_priority():
            if not (order.is_stop and is_touched(order.terms, trade)):
                continue
            objection = self._intake.objection_at_trigger(order, at_ns)
            if objection is None:
                rows.append(order.release(rank=self._next_rank(), at_ns=at_ns))
                rows += self._meet_book(market, order, at_ns) or [order.row()]
            else:
                word = _END_WORD[objection.refusal]
                rows.append(self._kill(order, word, objection, at_ns))
        return rows

    def _fill(
        self, order: LiveOrder, quantity: int, value_paise: int, at_ns: int
    ) -> list[OrderRow]:
        if quantity == 0:
            return []
        order.fill(quantity, value_paise, at_ns)
        self._account.book(
            Execution(
                order_id=order.order_id,
                broker_id=order.broker_id,
                key=order.key,
                side=order.terms.side,
                quantity=quantity,
                value_paise=value_paise,
                at_ns=at_ns,
            )
        )
        self._forget_if_ended(order)
        return [order.row()]

    def _trade_foreign(self, market: Market, at_ns: int) -> None:
        if not market.book.is_fresh(at_ns, self._behaviour.quote_age_ns_max):
            return
        for order in self._foreign.working(market.contract.id):
            execution = self._foreign.trade(order, market.book, at_ns)
            if execution is not None:
                self._account.book(execution)

    def _kill(
        self, order: LiveOrder, status: BrokerStatus, objection: Objection, at_ns: int
    ) -> OrderRow:
        """The exchange ends an order because of an objection."""
        row = order.end(status, at_ns, refusal=objection.refusal, reason=objection.text)
        self._forget_if_ended(order)
        return row

    def _end(
        self, order: LiveOrder, status: BrokerStatus, at_ns: int, *, reason: str = ""
    ) -> OrderRow:
        row = order.end(status, at_ns, reason=reason)
        self._forget_if_ended(order)
        return row

    def _forget_if_ended(self, order: LiveOrder) -> None:
        if not order.is_live:
            self._markets[order.terms.instrument].orders.remove(order)

    def _live_where(self, is_due: Callable[[Session], bool]) -> list[LiveOrder]:
        """Live orders of the exchanges whose session is due, in order of arrival."""
        found = []
        for order in self._orders:
            contract = self._markets[order.terms.instrument].contract
            session = self.facts.session(contract.exchange)
            if order.is_live and session is not None and is_due(session):
                found.append(order)
        return found

    def _ignores(self, order: LiveOrder, terms: OrderTerms) -> bool:
        is_stop_to_limit = order.is_stop and terms.order_type is OrderType.LIMIT
        return is_stop_to_limit and self._behaviour.stop_to_limit is ModifyBehaviour.IGNORES

    def _is_open(self, market: Market, at_ns: int) -> bool:
        session = self.facts.session(market.contract.exchange)
        return session is not None and session.is_open(at_ns)

    def _next_number(self) -> BrokerOrderId:
        self._broker_number += 1
        return BrokerOrderId(f"{self._broker_number:014d}")

    def _next_rank(self) -> int:
        self._rank += 1
        return self._rank


_END_WORD = {Refusal.BAND: BrokerStatus.REJECTED, Refusal.SELF_TRADE: BrokerStatus.CANCELLED}
"""How a released stop ends: the band rejects it, self-trade prevention cancels it."""


def _market(contract: Instrument, facts: DayFacts) -> Market:
    is_tradable = contract.price_step_paise > 0 and facts.session(contract.exchange) is not None
    return Market(contract, facts.price_rules(contract.exchange) if is_tradable else None)


def _refused(order_id: OrderId, objection: Objection) -> Refused:
    return Refused(order_id=order_id, refusal=objection.refusal, reason=objection.text)


def _unknown(order_id: OrderId) -> Refused:
    reason = "Incorrect request for order and cannot be processed: no such order"
    return Refused(order_id=order_id, refusal=Refusal.NOT_MODIFIABLE, reason=reason)
