"""Dhan's order desk: takes requests, shows them in TRANSIT, hands them on, and keeps the book.

An order is taken at once and judged later: its row is TRANSIT until it reached the exchange, and
the broker's own no (RMS) comes as a REJECTED row (dhan.md 3.1).
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final

from msgspec.structs import asdict, replace

from holdfast.domain.book import ForeignRow
from holdfast.domain.event import Action
from holdfast.domain.instrument import BrokerKey, Product
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
from holdfast.exchange.checks import ModifyBehaviour
from holdfast.exchange.door import Door
from holdfast.exchange.draws import draw_within
from holdfast.exchange.faults import FaultKind, Faults, FaultWindow
from holdfast.exchange.latency import Latency
from holdfast.exchange.others import Others
from holdfast.exchange.squareoff import ForeignOrder
from holdfast.exchange.venue import Refused, Result
from holdfast.facts.ist import ist_date
from holdfast.simbroker.dhan.asked import STOPS, Changing, Placing
from holdfast.simbroker.dhan.doubts import Doubts, Released
from holdfast.simbroker.dhan.host import Host, Values
from holdfast.simbroker.dhan.order import (
    CONFIRMED,
    TRADE_CONFIRMED,
    AccountOrder,
    DhanType,
    Source,
    Status,
)

MODIFICATIONS_MAX: Final = 25
PROTECTION_BPS: Final = 300
"""How far behind the book a MARKET order's protected price lies (dhan.md 9: nobody knows it)."""

_NUMBERS: Final = re.compile(r"\d+\.\d\d")
_STATUS: Final = {
    BrokerStatus.TRANSIT: Status.TRANSIT,
    BrokerStatus.WORKING: Status.PENDING,
    BrokerStatus.TRIGGERED: Status.TRIGGERED,
    BrokerStatus.FILLED: Status.TRADED,
    BrokerStatus.CANCELLED: Status.CANCELLED,
    BrokerStatus.REJECTED: Status.REJECTED,
    BrokerStatus.EXPIRED: Status.EXPIRED,
}


class Desk:
    """The account's orders at the broker. Everything that changes one goes through here."""

    def __init__(self, host: Host, doubts: Doubts, *, client_id: str, latency: Latency) -> None:
        """No order yet. `latency.request_ns` bounds the TRANSIT window."""
        self.orders: dict[str, AccountOrder] = {}
        self.doubts = doubts
        self.latency = latency
        self.history: list[tuple[int, AccountOrder]] = []
        self.modifications: Counter[str] = Counter()
        self._host = host
        self._client_id = client_id
        self._door = Door(host.faults, None)
        self._others: list[Others] = []
        self._reaches_ns: dict[str, int] = {}
        self._sent: Counter[str] = Counter()
        self._foreign: dict[BrokerOrderId, str] = {}
        self._last_ms = 0
        host.on_market(self._on_tick)
        for name, act in (
            ("place", self._place),
            ("modify", self._modify),
            ("cancel", self._cancel),
            ("exit_all", self._exit_all),
            ("square_off", self._square_off_now),
            ("kill_switch", self._kill_switch),
            ("loss_exit", self._loss_exit),
        ):
            host.register(name, act)
        for session in host.facts.sessions:
            host.at(session.square_off_ns, self._square_off)
            host.at(session.close_ns, self._expire)

    # -- what the endpoints ask

    def place(self, placing: Placing) -> AccountOrder:
        """Take a new order. Its row is TRANSIT."""
        order = self._host.do("place", asdict(placing))
        assert isinstance(order, AccountOrder), "an act of our own"
        return order

    def modify(self, changing: Changing) -> None:
        """Let new terms travel to the exchange."""
        self._host.do("modify", asdict(changing))

    def cancel(self, order_id: str) -> None:
        """Let a cancel travel to the exchange."""
        self._host.do("cancel", {"order_id": order_id})

    def reaches_ns(self, order_id: str) -> int:
        """When the newest request about an order reaches the exchange, or did (UTC)."""
        return self._reaches_ns.get(order_id, 0)

    def by_tag(self, correlation_id: str) -> AccountOrder | None:
        """The youngest order with a correlation id: nothing makes them unique (dhan.md 6)."""
        found = [one for one in self.orders.values() if one.correlation_id == correlation_id]
        return found[-1] if found else None

    def refuses_limit(self, order: AccountOrder, changing: Changing, at_ns: int) -> bool:
        """Whether a stop may not become a limit order: always, or for a while."""
        is_asked = order.order_type in STOPS and changing.order_type not in STOPS
        if not is_asked:
            return False
        key = f"{order.order_id}/{self.modifications[order.order_id]}"
        is_refused = self._host.faults.strikes(FaultKind.STOP_TO_LIMIT_REFUSED, key, at_ns)
        return (
            self._host.behaviour.stop_to_limit is ModifyBehaviour.REFUSES or is_refused is not None
        )

    def orders_at(self, at_ns: int) -> list[AccountOrder]:
        """The book as it was at an instant, in order of arrival."""
        then = {order.order_id: order for stamp, order in self.history if stamp <= at_ns}
        return list(then.values())

    def let_act(self, windows: Sequence[FaultWindow]) -> None:
        """Let others act in the account, as the windows of `exchange.faults` say."""
        faults = Faults(self._host.seed, windows)
        faults.struck = self._host.faults.struck  # one count of what happened, for the truth
        self._others.append(Others(self._host.exchange, faults))

    def exit_on_profit(self, at_ns: int) -> None:
        """The broker closes everything: the day has brought what was to be kept."""
        reason = "cancelled by the broker's profit exit"
        self._take(self._host.exchange.exit_all(at_ns, reason=reason), at_ns)

    def let_nobody_act(self) -> None:
        """From now on nobody else acts."""
        self._others.clear()

    def send_foreign(
        self,
        key: BrokerKey,
        side: Side,
        *,
        quantity: int,
        at_ns: int,
        limit_paise: int | None,
    ) -> str:
        """The owner trades by hand, at any price without a limit. Returns the order's number."""
        sent = self._host.exchange.send_foreign(
            key, side, quantity=quantity, at_ns=at_ns, limit_paise=limit_paise
        )
        self._take([], at_ns)
        return self._foreign[sent]

    def end_by_owner(self, order_id: str, at_ns: int) -> None:
        """The owner cancels a live order of the account, ours or his."""
        order = self.orders[order_id]
        number = BrokerOrderId(order.exchange_id)
        if number in self._foreign:
            self._host.exchange.withdraw_foreign(number, at_ns)
            self._take([], at_ns)
        else:
            reason = "cancelled by the owner"
            self._take([self._host.exchange.end_by(number, at_ns, reason=reason)], at_ns)

    def change_by_owner(
        self, order_id: str, at_ns: int, *, prices: tuple[int | None, int | None]
    ) -> None:
        """The owner gives a live order of ours another limit, another trigger (paise)."""
        order, row = self.orders[order_id], self._host.exchange.find(OrderId(order_id))
        assert row is not None, "judged before"
        limit, trigger = prices
        terms = replace(
            row.terms,
            limit_paise=row.terms.limit_paise if limit is None else limit,
            trigger_paise=row.terms.trigger_paise if trigger is None else trigger,
        )
        number = BrokerOrderId(order.exchange_id)
        changed = self._host.exchange.change_by(number, terms, at_ns)
        self._take([changed], at_ns, is_modified=True)

    # -- acts

    def _place(self, values: Values, at_ns: int) -> AccountOrder:
        order_id = self._next_id(at_ns)
        order = AccountOrder(
            order_id=order_id,
            instrument=self._host.contracts[values["instrument"]],
            side=Side(values["side"]),
            product=values["product"],
            order_type=DhanType(values["order_type"]),
            validity=values["validity"],
            quantity=values["quantity"],
            disclosed_quantity=values["disclosed_quantity"],
            price_paise=values["price_paise"],
            trigger_paise=values["trigger_paise"],
            correlation_id=values["correlation_id"] or self._own_tag(at_ns),
            created_ns=at_ns,
            updated_ns=at_ns,
            is_offline=values["is_offline"],
            status=Status.PENDING if values["is_offline"] else Status.TRANSIT,
        )
        self._keep(order, at_ns)
        if values["is_offline"]:
            session = self._host.facts.session(order.instrument.exchange)
            if session is not None and at_ns < session.open_ns:
                self._host.at(session.open_ns, partial(self._arrive, order_id))
        else:
            self._host.at(self._reach(order_id, "place", at_ns), partial(self._arrive, order_id))
        return order

    def _modify(self, values: Values, at_ns: int) -> None:
        order_id = values["order_id"]
        self.modifications[order_id] += 1
        due_ns = self._reach(order_id, "modify", at_ns)
        self._host.at(due_ns, partial(self._arrive_change, dict(values)))

    def _cancel(self, values: Values, at_ns: int) -> None:
        order_id = values["order_id"]
        due_ns = self._reach(order_id, "cancel", at_ns)
        self._host.at(due_ns, partial(self._arrive_cancel, order_id))

    def _exit_all(self, _values: Values, at_ns: int) -> None:
        self._take(self._host.exchange.exit_all(at_ns, reason="cancelled by exit all"), at_ns)

    def _square_off_now(self, _values: Values, at_ns: int) -> None:
        self._take(self._host.exchange.exit_all(at_ns), at_ns)

    def _kill_switch(self, values: Values, _at_ns: int) -> str | None:
        if values["is_on"]:
            return self._host.exchange.kill_switch()
        self._host.exchange.lift_kill_switch()
        return None

    def _loss_exit(self, values: Values, at_ns: int) -> None:
        if values["loss_paise"] is None:
            self._host.exchange.lift_loss_exit()
        else:
            self._take(self._host.exchange.set_loss_exit(values["loss_paise"], at_ns), at_ns)

    # -- requests reach the exchange

    def _reach(self, order_id: str, action: str, at_ns: int) -> int:
        """When a request gets there: never before the one about the same order before it."""
        name = f"{action}/{order_id}/{self._sent[order_id]}"
        self._sent[order_id] += 1
        due_ns = max(at_ns + self.latency.request(name), self._reaches_ns.get(order_id, 0))
        self._reaches_ns[order_id] = due_ns
        return due_ns

    def _arrive(self, order_id: str, at_ns: int) -> None:
        order = self.orders[order_id]
        if not order.is_live:
            return
        terms = self._terms(order, at_ns)
        if isinstance(terms, str):
            self._reject(order, terms, at_ns)
            return
        forced = self._door.objection(Action.PLACE, terms, name=f"place/{order_id}", at_ns=at_ns)
        results = self._host.exchange.place(OrderId(order_id), terms, at_ns, forced=forced)
        self._take(results, at_ns)
        if order.validity == "IOC" and self.orders[order_id].is_live:
            self._take(self._host.exchange.cancel(OrderId(order_id), at_ns), at_ns)

    def _terms(self, order: AccountOrder, at_ns: int) -> OrderTerms | str:
        """What the exchange is asked for, or why the risk desk asks nothing of it."""
        if order.product not in set(Product):
            return f"Product {order.product} is not allowed for this segment"
        price_paise = order.price_paise
        if order.order_type in {DhanType.MARKET, DhanType.STOP_LOSS_MARKET}:
            protected = self._protected(order, at_ns)
            if protected is None:
                return "No price to protect a market order with"
            price_paise = protected
        is_stop = order.order_type in STOPS
        return OrderTerms(
            instrument=order.instrument.id,
            product=Product(order.product),
            side=order.side,
            order_type=OrderType.STOP_LIMIT if is_stop else OrderType.LIMIT,
            quantity=order.quantity,
            limit_paise=price_paise,
            trigger_paise=order.trigger_paise if is_stop else None,
        )

    def _protected(self, order: AccountOrder, _at_ns: int) -> int | None:
        """The limit that stands in for a market price (dhan.md 3, the market-order caveat)."""
        tick = self._host.exchange.last_tick(order.instrument.id)
        if tick is None:
            return None
        levels = tick.asks if order.side is Side.BUY else tick.bids
        base = order.trigger_paise or (levels[0][0] if levels else tick.last_paise)
        away = base * PROTECTION_BPS // 10_000
        if order.side is Side.BUY:
            return order.instrument.round_up(base + away)
        return max(order.instrument.round_down(base - away), order.instrument.price_step_paise)

    def _arrive_change(self, values: Values, at_ns: int) -> None:
        order = self.orders[values["order_id"]]
        name = f"modify/{order.order_id}/{self.modifications[order.order_id]}"
        faults, exchange, order_id = self._host.faults, self._host.exchange, OrderId(order.order_id)
        if not order.is_live or faults.strikes(FaultKind.MODIFY_IGNORED, name, at_ns):
            return
        asked = replace(
            order,
            order_type=DhanType(values["order_type"]),
            quantity=values["quantity"],
            price_paise=values["price_paise"],
            trigger_paise=values["trigger_paise"],
            validity=values["validity"],
        )
        terms = self._terms(asked, at_ns)
        if isinstance(terms, str) or faults.strikes(FaultKind.MODIFY_REFUSED_LATER, name, at_ns):
            text = terms if isinstance(terms, str) else "Price is outside of the permitted range"
            self._say_refused(order, text, at_ns)
            return
        forced = self._door.objection(Action.MODIFY, terms, name=name, at_ns=at_ns)
        if order.order_type in STOPS and faults.strikes(FaultKind.MODIFY_OVERTAKEN, name, at_ns):
            self._take(exchange.overtake(order_id, at_ns), at_ns)
        results = exchange.modify(order_id, terms, at_ns, forced=forced)
        self._take(results, at_ns, is_modified=True)

    def _arrive_cancel(self, order_id: str, at_ns: int) -> None:
        faults, exchange, number = self._host.faults, self._host.exchange, OrderId(order_id)
        order = self.orders[order_id]
        if order.is_offline and order.is_live and exchange.find(number) is None:
            self._keep(replace(order, status=Status.CANCELLED, updated_ns=at_ns), at_ns)
            return
        name = f"cancel/{order_id}/{self._sent[order_id]}"
        if self._door.objection(Action.CANCEL, None, name=name, at_ns=at_ns) is not None:
            return
        window = faults.strikes(FaultKind.FILLED_DURING_CANCEL, name, at_ns)
        if window is not None:
            filled = exchange.fill_at_limit(number, at_ns, quantity=window.quantity)
            self._take(filled, at_ns)
        results = exchange.cancel(number, at_ns)
        self._take([one for one in results if isinstance(one, OrderRow)], at_ns)

    # -- what happens by itself

    def _on_tick(self, tick: Tick) -> None:
        """The market moves; then everybody else acts."""
        self._take(self._host.exchange.on_tick(tick), tick.at_ns)
        for others in self._others:
            self._take(others.step(tick.at_ns), tick.at_ns)

    def _square_off(self, at_ns: int) -> None:
        self._take(self._host.exchange.square_off(at_ns), at_ns)

    def _expire(self, at_ns: int) -> None:
        """The day's orders end; what expires is settled."""
        self._take(self._host.exchange.expire(at_ns), at_ns)
        self._host.exchange.settle(at_ns)

    # -- the book

    def _take(self, results: Sequence[Result], at_ns: int, *, is_modified: bool = False) -> None:
        """Let the book follow the exchange, and say each word of it."""
        for number, result in enumerate(results):
            order = self.orders[result.order_id]
            if isinstance(result, OrderRow):
                is_change = is_modified and number == 0
                told = self._followed(order, result, at_ns, is_change=is_change)
                self._keep(told, at_ns)
            elif is_modified and order.is_live:
                self._say_refused(order, _rms_text(result), at_ns)
            elif not is_modified:
                self._reject(order, _rms_text(result), at_ns)
        for row in self._host.exchange.take_foreign_news():
            self._take_foreign(row, at_ns)

    def _followed(
        self, order: AccountOrder, row: OrderRow, at_ns: int, *, is_change: bool
    ) -> AccountOrder:
        """An order as the exchange's row tells it; `is_change`: the row is a modification's."""
        status = _STATUS[row.status]
        if status is Status.PENDING and row.filled_quantity:
            status = Status.PART_TRADED
        more = row.filled_quantity - order.filled_quantity
        value_paise = row.filled_value_paise - order.filled_value_paise
        is_stop = row.terms.order_type is OrderType.STOP_LIMIT
        was_released = order.order_type in STOPS and not is_stop and not is_change
        told = replace(
            order,
            status=status,
            exchange_id=str(row.broker_id),
            quantity=row.terms.quantity,
            price_paise=row.terms.limit_paise,
            trigger_paise=row.terms.trigger_paise or 0,
            order_type=DhanType.STOP_LOSS if is_stop else DhanType.LIMIT,
            filled_quantity=row.filled_quantity,
            filled_value_paise=row.filled_value_paise,
            fill_paise=value_paise // more if more else order.fill_paise,
            exchange_ns=row.venue_at_ns,
            updated_ns=at_ns,
            reason=_reason(order, row, is_fill=more > 0),
            is_modified=is_change,
        )
        if was_released and self.doubts.released is Released.TRIGGERED:
            is_resting = status in {Status.PENDING, Status.TRIGGERED}
            return replace(
                told,
                order_type=DhanType.STOP_LOSS,
                trigger_paise=order.trigger_paise,
                status=Status.TRIGGERED if is_resting else status,
            )
        return told

    def _take_foreign(self, row: ForeignRow, at_ns: int) -> None:
        """Let the book follow an order of somebody else."""
        foreign = next(
            one for one in self._host.exchange.foreign_orders() if one.broker_id == row.broker_id
        )
        known = self._foreign.get(row.broker_id)
        if known is None:
            known = self._foreign[row.broker_id] = self._next_id(at_ns)
        before = self.orders.get(known) or self._begun(foreign, known, at_ns)
        more = foreign.filled_quantity - before.filled_quantity
        value_paise = foreign.filled_value_paise - before.filled_value_paise
        told = replace(
            before,
            status=_foreign_status(foreign),
            filled_quantity=foreign.filled_quantity,
            filled_value_paise=foreign.filled_value_paise,
            fill_paise=value_paise // more if more else before.fill_paise,
            exchange_ns=foreign.venue_at_ns,
            updated_ns=at_ns,
            reason=TRADE_CONFIRMED if more else CONFIRMED,
        )
        self._keep(told, at_ns)

    def _begun(self, foreign: ForeignOrder, order_id: str, at_ns: int) -> AccountOrder:
        return AccountOrder(
            order_id=order_id,
            exchange_id=str(foreign.broker_id),
            instrument=self._host.contracts[foreign.key.instrument],
            side=foreign.side,
            product=foreign.key.product.value,
            order_type=DhanType.MARKET if foreign.limit_paise is None else DhanType.LIMIT,
            quantity=foreign.quantity,
            price_paise=foreign.limit_paise or 0,
            source=Source.WEB,
            created_ns=at_ns,
            updated_ns=at_ns,
        )

    def _reject(self, order: AccountOrder, text: str, at_ns: int) -> None:
        """The risk desk ends an order that the exchange never saw."""
        reason = f"RMS:{order.order_id}:{text}"
        told = replace(order, status=Status.REJECTED, reason=reason, updated_ns=at_ns)
        self._keep(told, at_ns)

    def _say_refused(self, order: AccountOrder, text: str, at_ns: int) -> None:
        """The word for a refused modification reads like the order's end; it lives on (T15)."""
        reason = f"RMS:{order.order_id}:{text}"
        self._host.tell_row(replace(order, status=Status.REJECTED, reason=reason, updated_ns=at_ns))

    def _keep(self, order: AccountOrder, at_ns: int) -> None:
        self.orders[order.order_id] = order
        self.history.append((at_ns, order))
        self._host.tell_row(order)

    def _next_id(self, at_ns: int) -> str:
        """14 digits: a leg of the broker's, the day, a number of the day (dhan.md 3.1: 12 to 15)."""
        number = len(self.orders) + 1
        leg = draw_within(self._host.seed, "order leg", number, low=1, high=7)
        return f"{leg}12{ist_date(at_ns):%y%m%d}{number:05d}"

    def _own_tag(self, at_ns: int) -> str:
        """What Dhan writes for an API order without a correlation id (dhan.md 3.1)."""
        self._last_ms = max(at_ns // 1_000_000, self._last_ms + 1)
        return f"{self._client_id}-{self._last_ms}"


def _reason(order: AccountOrder, row: OrderRow, *, is_fill: bool) -> str:
    if row.status is BrokerStatus.REJECTED:
        text = _refusal_text(row.refusal, row.reason)
        return f"RMS:{order.order_id}:{text}"
    return row.reason or (TRADE_CONFIRMED if is_fill else CONFIRMED)


def _foreign_status(foreign: ForeignOrder) -> Status:
    if foreign.filled_quantity == foreign.quantity:
        return Status.TRADED
    if foreign.is_over:
        return Status.CANCELLED
    return Status.PART_TRADED if foreign.filled_quantity else Status.PENDING


def _rms_text(refused: Refused) -> str:
    return _refusal_text(refused.refusal, refused.reason)


def _refusal_text(refusal: Refusal | None, text: str) -> str:
    """Dhan's own words where they were seen (dhan.md 3.1), ours elsewhere."""
    told = [float(number) for number in _NUMBERS.findall(text)]
    if refusal is Refusal.FUNDS and len(told) == 2:
        return f"You have insufficient funds. Please add Rs.{told[0] - told[1]:.2f} to trade."
    if refusal is Refusal.BAND and len(told) == 3:
        return f"Order Price needs to be Circuit Limits of {told[1]:.2f} to {told[2]:.2f}"
    return text
