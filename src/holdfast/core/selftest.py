"""Before arming: a made-up position and a breach of its stop, through the very rules of the day.

A risk loop that nobody calls looks like a quiet day (I-05). So the scratch engine hears ticks as
the real one does, and must answer the breach with a decision and a request to the broker.
"""

from collections.abc import Iterator

from holdfast.core import adoption
from holdfast.core.orders.ids import OrderReason, order_id
from holdfast.core.settings import MINUTE_NS, SECOND_NS
from holdfast.core.state import State
from holdfast.domain.audit import ExitDecided
from holdfast.domain.command import AnyCommand, OrderRequest, PlaceOrder
from holdfast.domain.decision import Direction, ExitPlan, Intent, Signal, Sizing
from holdfast.domain.event import Link, OrderUpdated
from holdfast.domain.instrument import Instrument, Kind, Product
from holdfast.domain.market import Tick
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderTerms,
    OrderType,
    Purpose,
    Side,
)

PRICE_STEPS = 2_000
"""The made-up premium in steps of the contract: 100 rupees where a step is 5 paise."""

NUMBER = 1


def contract(state: State) -> Instrument | None:
    """A contract to try it on: the first of the master that can be traded today."""
    for identity in sorted(state.instruments):
        found = state.instruments[identity]
        if found.kind is Kind.OPTION and state.session(found.exchange) is not None:
            return found
    return None


def hold(state: State, instrument: Instrument) -> None:
    """Put one lot, bought at the made-up price, into the books of a scratch state."""
    session = state.session(instrument.exchange)
    assert session is not None
    state.links = dict.fromkeys(Link, True)
    state.book.is_listed = True
    state.now_ns = session.open_ns + MINUTE_NS
    reason = OrderReason(Purpose.ENTRY, NUMBER, 1)
    entry = order_id(state.settings.id_prefix, reason)
    intent = _intent(instrument, session.close_ns)
    position = adoption.open_position(state, intent, entry)
    terms = OrderTerms(
        instrument=instrument.id,
        product=intent.product,
        side=intent.side,
        order_type=OrderType.LIMIT,
        quantity=intent.quantity,
        limit_paise=intent.limit_paise,
    )
    order = adoption.sent(state, position, reason, terms, sent_at_ns=state.now_ns)
    row = _row(entry, terms, BrokerStatus.FILLED, state.now_ns)
    fill = order.fold_row(row, is_read=True, at_ns=state.now_ns)
    assert fill is not None
    position.take_entry(fill, state.now_ns)
    state.held[position.id] = [position]


def market(state: State, instrument: Instrument) -> Iterator[Tick]:
    """A packet at the price of the position, then two that fall through its stop."""
    price = _price(instrument)
    for second, paise in enumerate((price, price * 93 // 100, price * 85 // 100), 1):
        at_ns = state.now_ns + second * SECOND_NS
        last = instrument.round_down(paise)
        step = instrument.price_step_paise
        yield Tick(
            at_ns=at_ns,
            instrument=instrument.id,
            last_paise=last,
            venue_at_ns=at_ns,
            volume=second * instrument.lot_size,
            bids=((last - step, 10 * instrument.lot_size),),
            asks=((last + step, 10 * instrument.lot_size),),
        )


def resting(stop: PlaceOrder, at_ns: int) -> OrderUpdated:
    """The broker's word that the stop rests."""
    row = _row(stop.order_id, stop.terms, BrokerStatus.WORKING, at_ns)
    return OrderUpdated(at_ns=at_ns, row=row)


def _row(identity: OrderId, terms: OrderTerms, status: BrokerStatus, at_ns: int) -> OrderRow:
    filled = terms.quantity if status is BrokerStatus.FILLED else 0
    return OrderRow(
        order_id=identity,
        broker_id=BrokerOrderId(f"self-test {identity}"),
        status=status,
        terms=terms,
        filled_quantity=filled,
        filled_value_paise=filled * terms.limit_paise,
        venue_at_ns=at_ns,
    )


def fault_of(commands: tuple[AnyCommand, ...], audits: tuple[object, ...]) -> str:
    """What is wrong with the answer to the breach; empty when it is an exit."""
    if not any(isinstance(audit, ExitDecided) for audit in audits):
        return "a breach of the stop decided no exit"
    if not any(isinstance(one, OrderRequest) for one in commands):
        return "the exit that was decided asked nothing of the broker"
    return ""


def _price(instrument: Instrument) -> int:
    return PRICE_STEPS * instrument.price_step_paise


def _intent(instrument: Instrument, close_ns: int) -> Intent:
    price = _price(instrument)
    signal = Signal(
        id="self-test",
        strategy="self-test",
        underlying=instrument.id,
        direction=Direction.UP,
        candle_start_ns=0,
        reason="self-test",
        values={},
    )
    sizing = Sizing(
        lots=1,
        lot_size=instrument.lot_size,
        budget_paise=0,
        entry_limit_paise=price,
        stop_limit_paise=0,
        charges_paise=0,
        loss_at_stop_paise=0,
        cash_paise=0,
        bound="self-test",
    )
    plan = ExitPlan(
        stop_paise=instrument.round_down(price * 88 // 100),
        target_paise=None,
        trail=None,
        close_out_ns=close_ns,
    )
    return Intent(
        position=NUMBER,
        signal=signal,
        instrument=instrument.id,
        product=Product.INTRADAY,
        side=Side.BUY,
        quantity=instrument.lot_size,
        limit_paise=price,
        plan=plan,
        sizing=sizing,
        passed=(),
    )
