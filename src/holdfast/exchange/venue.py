"""The simulated exchange and the broker's own checks in front of it: pure, told the time.

Orders meet the book that the ticks tell, by price and time. Each method takes the instant at which
a request reached the exchange, and returns what the account would hear of it. Times never go back
from call to call.
"""

from collections.abc import Callable, Iterable

import msgspec

from holdfast.domain.book import BookNet, BookTrade, ForeignRow
from holdfast.domain.dated import DayFacts, Session
from holdfast.domain.instrument import BrokerKey, Instrument, InstrumentId, Kind, Product
from holdfast.domain.market import Tick
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderTerms,
    OrderType,
    Refusal,
    Side,
)
from holdfast.exchange.account import Account, Carried, Execution, book_nets
from holdfast.exchange.checks import Behaviour, Judge, ModifyBehaviour, Objection, SelfTrade
from holdfast.exchange.draws import draw
from holdfast.exchange.faults import Faults
from holdfast.exchange.guards import BrokerGuards
from holdfast.exchange.hindrances import Hindrances
from holdfast.exchange.intake import Intake, met
from holdfast.exchange.market import Market, Trade
from holdfast.exchange.matching import fill_from_book, fill_from_trade, is_touched
from holdfast.exchange.order import LiveOrder
from holdfast.exchange.settlement import settlement_paise
from holdfast.exchange.squareoff import REASON, ForeignOrder, ForeignOrders


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was answered no: it changed nothing, and no row tells of it."""

    order_id: OrderId
    refusal: Refusal
    reason: str


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """A placement as it was received; `refusal` where it was refused or rejected on arrival.

    `is_taken`: there is an order of it. What the broker refuses at its door leaves none behind.
    """

    order_id: OrderId
    terms: OrderTerms
    at_ns: int
    refusal: Refusal | None
    is_taken: bool


Result = OrderRow | Refused
"""What a request comes to: rows of the order as it went on, or one refusal."""


class SimulatedExchange:
    """One account at one broker, and the markets it trades in.

    It lives in the time of receipt: what a tick tells happens when the tick is received.
    Two orders may bear one id, as the broker does not tell them apart (T21): a request by id means
    the younger. Broker numbers begin at a drawn place, so that nothing may rely on their size.
    """

    def __init__(  # noqa: PLR0913 the parts of one account
        self,
        instruments: Iterable[Instrument],
        facts: DayFacts,
        *,
        cash_paise: int,
        seed: int,
        behaviour: Behaviour | None = None,
        faults: Faults | None = None,
        carried: Iterable[Carried] = (),
    ) -> None:
        """`carried`: what the account holds before the day, in contracts of it."""
        self.facts = facts
        self._hindrances = Hindrances(faults or Faults(seed))
        self._guards = BrokerGuards()
        self._placements: list[Placement] = []
        self._behaviour = behaviour or Behaviour()
        self._account = Account(cash_paise, carried)
        self._markets = {contract.id: _market(contract, facts) for contract in instruments}
        self._intake = Intake(self._markets, self._account, facts=facts, behaviour=self._behaviour)
        self._orders: list[LiveOrder] = []
        self._by_id: dict[OrderId, LiveOrder] = {}
        self._foreign = ForeignOrders()
        self._broker_number = draw(seed, "broker number", 0) * 10_000
        self._rank = 0

    def place(
        self,
        order_id: OrderId,
        terms: OrderTerms,
        at_ns: int,
        *,
        forced: Objection | None = None,
    ) -> list[Result]:
        """Take a new order. A row says that it was taken, or rejected by the exchange.

        `forced` is a no that stands before all checks.
        """
        forced = self._guards.objection() or forced
        objection = forced or self._intake.objection(terms, at_ns)
        refusal = None if objection is None else objection.refusal
        at_door = objection is not None and objection.judge is Judge.BROKER
        received = Placement(
            order_id=order_id, terms=terms, at_ns=at_ns, refusal=refusal, is_taken=not at_door
        )
        self._placements.append(received)
        if objection is not None and at_door:
            return [_refused(order_id, objection)]
        order = LiveOrder(
            order_id, self._next_number(), terms=terms, rank=self._next_rank(), at_ns=at_ns
        )
        self._orders.append(order)
        self._by_id[order_id] = order
        market = self._markets[terms.instrument]
        market.orders.append(order)
        if forced is not None and forced.refusal is Refusal.SELF_TRADE:
            return [order.row(), self._kill(order, BrokerStatus.CANCELLED, forced, at_ns)]
        if objection is not None:
            return [self._kill(order, BrokerStatus.REJECTED, objection, at_ns)]
        return [order.row(), *self._meet_book(market, order, at_ns)]

    def modify(
        self,
        order_id: OrderId,
        terms: OrderTerms,
        at_ns: int,
        *,
        forced: Objection | None = None,
    ) -> list[Result]:
        """Give a live order other terms, `quantity` being the total; it loses its place in time.

        A refused modification leaves the order as it was, but for self-trade prevention: there the
        modified order is the later one, and dies. An ignored one answers nothing. `forced` is a no
        that stands before all checks.
        """
        order = self._by_id.get(order_id)
        if order is None:
            return [_unknown(order_id)]
        forced = self._guards.objection() or forced
        objection = forced or self._intake.objection(terms, at_ns, order)
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

    def overtake(self, order_id: OrderId, at_ns: int) -> list[OrderRow]:
        """A resting stop triggers now, whatever the price; nothing for any other order."""
        order = self._by_id.get(order_id)
        if order is None or not order.is_live or not order.is_stop:
            return []
        market = self._markets[order.terms.instrument]
        row = order.release(rank=self._next_rank(), at_ns=at_ns)
        return [row, *self._enter(market, order, at_ns)]

    def fill_at_limit(
        self, order_id: OrderId, at_ns: int, *, quantity: int | None = None
    ) -> list[OrderRow]:
        """Somebody meets an order in the book at its limit, by default all of it."""
        order = self._by_id.get(order_id)
        if order is None or order.is_stop:
            return []
        filled = order.open_quantity if quantity is None else min(quantity, order.open_quantity)
        return self._fill(order, filled, filled * order.terms.limit_paise, at_ns)

    def end_by(self, broker_id: BrokerOrderId, at_ns: int, *, reason: str) -> OrderRow:
        """Somebody else cancels a live order of ours."""
        return self._end(self._order(broker_id), BrokerStatus.CANCELLED, at_ns, reason=reason)

    def change_by(self, broker_id: BrokerOrderId, terms: OrderTerms, at_ns: int) -> OrderRow:
        """Somebody else gives a live order of ours other terms."""
        order = self._order(broker_id)
        order.modify(terms, rank=self._next_rank(), at_ns=at_ns)
        return order.row()

    def send_foreign(
        self,
        key: BrokerKey,
        side: Side,
        *,
        quantity: int,
        at_ns: int,
        limit_paise: int | None = None,
    ) -> BrokerOrderId:
        """Somebody else sends an order for the account; it trades from the next tick on."""
        order = ForeignOrder(
            broker_id=self._next_number(),
            key=key,
            side=side,
            quantity=quantity,
            limit_paise=limit_paise,
            venue_at_ns=at_ns,
        )
        self._foreign.send(order)
        return order.broker_id

    def withdraw_foreign(self, broker_id: BrokerOrderId, at_ns: int) -> None:
        """Whoever sent it takes back what is left of it."""
        self._foreign.withdraw(broker_id, at_ns)

    def take_foreign_news(self) -> list[ForeignRow]:
        """What happened to orders that are not ours since this was asked last."""
        return self._foreign.take_news()

    def exit_all(self, at_ns: int, *, reason: str = REASON) -> list[OrderRow]:
        """The broker ends every order of the account and closes every position at any price."""
        rows = [
            self._end(order, BrokerStatus.CANCELLED, at_ns, reason=reason)
            for order in self._live_where(lambda _session: True)
        ]
        for order in self._foreign.all():
            self._foreign.withdraw(order.broker_id, at_ns)
        for key in self._account.positions():
            self._close_foreign(key, at_ns)
        return rows

    def kill_switch(self) -> str | None:
        """Refuse every order of the day from now on; the reason where the account is not flat."""
        if any(self._account.positions().values()):
            return "Kill switch needs all positions closed"
        if self._live_where(lambda _session: True) or any(
            order.open_quantity for order in self._foreign.all()
        ):
            return "Kill switch needs all pending orders cancelled"
        self._guards.kill()
        return None

    def lift_kill_switch(self) -> None:
        """Take orders again."""
        self._guards.revive()

    def lift_loss_exit(self) -> None:
        """Wait for no loss any more."""
        self._guards.forget_loss_exit()

    def set_loss_exit(self, loss_paise: int, at_ns: int) -> list[OrderRow]:
        """Exit all once the day has lost so much, at once where it has already."""
        self._guards.set_loss_exit(loss_paise)
        return self._exit_on_loss(at_ns)

    def settle(self, at_ns: int) -> list[tuple[InstrumentId, int, str]]:
        """After the close of its expiry day what is held of a contract is paid in cash (T24).

        Contract, paise a contract, source. The real exchange publishes a mean of the underlying's
        last half hour; here it is the last price told. Where none was told nothing is settled.
        """
        settled: dict[InstrumentId, tuple[InstrumentId, int, str]] = {}
        for key, net in self._account.positions().items():
            contract = self._markets[key.instrument].contract
            session = self.facts.session(contract.exchange)
            is_due = session is not None and session.close_ns <= at_ns
            closing = self._closing_paise(contract.underlying)
            if net and is_due and contract.expiry == self.facts.day and closing is not None:
                paise = settlement_paise(contract, closing)
                self._account.settle(key, paise=paise, at_ns=at_ns)
                source = f"{contract.exchange.value}: {contract.underlying} closed at {closing}"
                settled[contract.id] = (contract.id, paise, source)
        return list(settled.values())

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
        is_idle = not market.orders and not self._foreign.is_any
        if is_idle and not self._guards.is_loss_exit_set:
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
        return rows + self._exit_on_loss(tick.at_ns)

    def square_off(self, at_ns: int) -> list[OrderRow]:
        """The broker cancels our INTRADAY orders and closes INTRADAY positions itself (T11).

        Before its time, or asked again, it does nothing.
        """
        rows = [
            self._end(order, BrokerStatus.CANCELLED, at_ns, reason=REASON)
            for order in self._live_where(lambda session: session.square_off_ns <= at_ns)
            if order.terms.product is Product.INTRADAY
        ]
        for key in self._account.positions():
            session = self.facts.session(self._markets[key.instrument].contract.exchange)
            is_due = session is not None and session.square_off_ns <= at_ns
            if key.product is Product.INTRADAY and is_due:
                self._close_foreign(key, at_ns)
        return rows

    def expire(self, at_ns: int) -> list[OrderRow]:
        """At the close every order of the day ends."""
        for foreign in self._foreign.all():
            session = self.facts.session(self._markets[foreign.key.instrument].contract.exchange)
            if session is not None and session.close_ns <= at_ns:
                self._foreign.withdraw(foreign.broker_id, at_ns)
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
        """Net contracts of every key carried or traded today, zero included."""
        return self._account.positions()

    @property
    def placements(self) -> tuple[Placement, ...]:
        """Every placement that arrived, refused ones too, in order."""
        return tuple(self._placements)

    def orders(self) -> tuple[OrderRow, ...]:
        """Every order of ours that was taken, in order of arrival, as it stands."""
        return tuple(order.row() for order in self._orders)

    def book_nets(self) -> tuple[BookNet, ...]:
        """What is bought and sold of every key today; what was settled is there no more."""
        over = {settled.key for settled in self._account.settlements}
        nets = book_nets(self._account.executions, self._account.carried)
        return tuple(net for net in nets if net.key not in over)

    @property
    def carried(self) -> tuple[Carried, ...]:
        """What the account held before the day."""
        return self._account.carried

    def foreign_orders(self) -> tuple[ForeignOrder, ...]:
        """The orders that bear no id of ours, whole: for whoever speaks the broker's own words."""
        return self._foreign.all()

    def book_foreign(self) -> tuple[ForeignRow, ...]:
        """The orders that bear no id of ours, as the broker's book shows them."""
        return tuple(order.row() for order in self._foreign.all())

    def book_trades(self) -> tuple[BookTrade, ...]:
        """Every execution, as the broker's trade book shows it."""
        return self._account.trades()

    def lot(self, instrument: InstrumentId) -> int:
        """Contracts in one lot."""
        return self._markets[instrument].contract.lot_size

    def price_step(self, instrument: InstrumentId) -> int:
        """The price step in paise."""
        return self._markets[instrument].contract.price_step_paise

    def is_open(self, instrument: InstrumentId, at_ns: int) -> bool:
        """Whether its orders match at `at_ns`."""
        return self._is_open(self._markets[instrument], at_ns)

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
        rows = self._give_way(market, order, at_ns)
        most = None
        if self._hindrances.is_slowing:
            reach = market.book.reach(order.terms.side, limit_paise=order.terms.limit_paise)
            wanted = min(reach, order.open_quantity)
            most = self._hindrances.most(order, wanted, at_ns, lot=market.contract.lot_size)
        quantity, value_paise = fill_from_book(order, market.book, most=most)
        return rows + self._fill(order, quantity, value_paise, at_ns)

    def _enter(self, market: Market, order: LiveOrder, at_ns: int) -> list[OrderRow]:
        """Let a released stop meet the book; the last row of it says what it is then."""
        rows = self._meet_book(market, order, at_ns)
        is_told = any(row.broker_id == order.broker_id for row in rows)
        return rows if is_told else [*rows, order.row()]

    def _give_way(self, market: Market, order: LiveOrder, at_ns: int) -> list[OrderRow]:
        """Where self-trade prevention hits the resting side: end what `order` would trade with."""
        rows: list[OrderRow] = []
        while self._behaviour.self_trade is SelfTrade.RESTING:
            own = met(market, order.terms)
            if own is None:
                break
            text = f"Self trade with order {order.broker_id}"
            objection = Objection(judge=Judge.EXCHANGE, refusal=Refusal.SELF_TRADE, text=text)
            rows.append(self._kill(own, BrokerStatus.CANCELLED, objection, at_ns))
        return rows

    def _print(self, market: Market, trade: Trade, at_ns: int) -> list[OrderRow]:
        """Let resting orders trade by the prints of others, which are there once only."""
        rows: list[OrderRow] = []
        volume = trade.quantity
        for order in market.by_priority():
            quantity = 0
            if not order.is_stop:
                # Asked once for what would trade, and once more where something holds it back.
                ahead = order.ahead
                quantity = fill_from_trade(order, trade, volume=volume)
                lot = market.contract.lot_size
                most = self._hindrances.most(order, quantity, at_ns, lot=lot)
                if most is not None and most < quantity:
                    order.ahead = ahead
                    quantity = fill_from_trade(order, trade, volume=volume, most=most)
            volume -= quantity
            rows += self._fill(order, quantity, quantity * order.terms.limit_paise, at_ns)
        return rows

    def _trigger(self, market: Market, trade: Trade, at_ns: int) -> list[OrderRow]:
        """Release the stops that a trade touched. What the exchange refuses there, ends there."""
        rows: list[OrderRow] = []
        for order in market.by_priority():
            if not (order.is_stop and is_touched(order.terms, trade)):
                continue
            objection = self._hindrances.at_trigger(order, at_ns)
            objection = objection or self._intake.objection_at_trigger(order, at_ns)
            if objection is None:
                rows.append(order.release(rank=self._next_rank(), at_ns=at_ns))
                rows += self._enter(market, order, at_ns)
            else:
                word = _END_WORD[objection.refusal]
                rows.append(self._kill(order, word, objection, at_ns))
        return rows

    def _exit_on_loss(self, at_ns: int) -> list[OrderRow]:
        """The broker's loss exit, marked at the last prices; what has none yet today says nothing."""
        held = [key for key, net in self._account.positions().items() if net]
        is_priced = all(self._markets[key.instrument].last_paise is not None for key in held)
        if not (self._guards.is_loss_exit_set and is_priced):
            return []
        result = self._account.cash_paise - self._account.worth_before_paise
        for key, net in self._account.positions().items():
            result += net * (self._markets[key.instrument].last_paise or 0)
        if not self._guards.take_breach(result):
            return []
        return self.exit_all(at_ns, reason="cancelled by the broker's loss exit")

    def _close_foreign(self, key: BrokerKey, at_ns: int) -> None:
        """The broker closes a key at any price, as far as it can now."""
        market = self._markets[key.instrument]
        if not self._is_open(market, at_ns):
            return
        net = self._account.net(key)
        self._foreign.close(key, net=net, broker_id=self._next_number(), at_ns=at_ns)
        self._trade_foreign(market, at_ns)

    def _closing_paise(self, underlying: str) -> int | None:
        """The last price told of an index; `None` when none was."""
        for market in self._markets.values():
            contract, tick = market.contract, market.book.tick
            if contract.kind is Kind.INDEX and contract.underlying == underlying:
                return None if tick is None else tick.last_paise
        return None

    def _order(self, broker_id: BrokerOrderId) -> LiveOrder:
        """The order of ours with a broker's number that exists."""
        return next(order for order in self._orders if order.broker_id == broker_id)

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
