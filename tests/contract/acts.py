"""What every scenario does with a stage: orders of a kind, and waiting for the word about them."""

from collections.abc import Callable
from typing import TypeVar

from holdfast.domain.command import PlaceOrder, ReadBook
from holdfast.domain.event import (
    BOOK,
    Action,
    AnyEvent,
    BookRead,
    OrderAcknowledged,
    OrderUpdated,
    Outcome,
    ReadFailed,
    SendFailed,
)
from holdfast.domain.instrument import Instrument, Product
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderTerms,
    OrderType,
    Purpose,
    Refusal,
    Side,
)
from tests.support.venues import Stage

E = TypeVar("E", bound=AnyEvent)

READS_MAX = 10


def terms_of(contract: Instrument, side: Side, quantity: int, limit_paise: int) -> OrderTerms:
    """A limit order in the day's product."""
    return OrderTerms(
        instrument=contract.id,
        product=Product.INTRADAY,
        side=side,
        order_type=OrderType.LIMIT,
        quantity=quantity,
        limit_paise=limit_paise,
    )


def place(stage: Stage, terms: OrderTerms, order_id: OrderId | None = None) -> OrderId:
    """Send a new order; returns its id."""
    name = order_id or stage.new_id()
    stage.ask(
        PlaceOrder(order_id=name, purpose=Purpose.ENTRY, position=1, terms=terms, fills_seen=0)
    )
    return name


async def eager(stage: Stage, contract: Instrument, lots: int = 1) -> OrderTerms:
    """A buy at three per cent above the offer: it fills."""
    ask = (await stage.last(contract.id)).ask_paise
    assert ask is not None
    limit = contract.round_up(ask * 103 // 100)
    return terms_of(contract, Side.BUY, lots * contract.lot_size, limit)


async def patient(stage: Stage, contract: Instrument, lots: int = 1) -> OrderTerms:
    """A buy at fifteen per cent below the bid: it rests."""
    bid = (await stage.last(contract.id)).bid_paise
    assert bid is not None
    limit = contract.round_down(bid * 85 // 100)
    return terms_of(contract, Side.BUY, lots * contract.lot_size, limit)


def first(stage: Stage, kind: type[E], is_meant: Callable[[E], bool]) -> Callable[[], E | None]:
    """Finds the first event of a kind that is meant."""
    return lambda: next(
        (one for one in stage.heard if isinstance(one, kind) and is_meant(one)), None
    )


async def acknowledged(stage: Stage, order_id: OrderId) -> BrokerOrderId:
    """The broker's number, once it was told."""
    told = await stage.until(
        first(stage, OrderAcknowledged, lambda one: one.order_id == order_id), "acknowledged"
    )
    return told.broker_id


async def row(
    stage: Stage, order_id: OrderId, is_meant: Callable[[OrderRow], bool], what: str
) -> OrderRow:
    """The first word about an order that is meant."""
    told = await stage.until(
        first(stage, OrderUpdated, lambda one: one.row.order_id == order_id and is_meant(one.row)),
        what,
    )
    return told.row


async def working(stage: Stage, order_id: OrderId) -> OrderRow:
    """The word that it rests."""
    return await row(stage, order_id, lambda one: one.status is BrokerStatus.WORKING, "it rests")


async def filled(stage: Stage, order_id: OrderId) -> OrderRow:
    """The word that all of it is filled."""
    return await row(stage, order_id, lambda one: one.status is BrokerStatus.FILLED, "it fills")


async def failed(stage: Stage, order_id: OrderId, action: Action) -> SendFailed:
    """How a request about an order failed."""
    return await stage.until(
        first(stage, SendFailed, lambda one: (one.order_id, one.action) == (order_id, action)),
        f"{action} fails",
    )


async def refusal(stage: Stage, order_id: OrderId) -> Refusal | None:
    """Why an order was not taken: at once, or in its row, as the broker likes."""

    def found() -> SendFailed | OrderUpdated | None:
        for one in stage.heard:
            if isinstance(one, SendFailed) and one.order_id == order_id:
                assert one.outcome is Outcome.REFUSED
                return one
            if isinstance(one, OrderUpdated) and _is_rejected(one.row, order_id):
                return one
        return None

    told: SendFailed | OrderUpdated = await stage.until(found, "refused")
    return told.refusal if isinstance(told, SendFailed) else told.row.refusal


def _is_rejected(row: OrderRow, order_id: OrderId) -> bool:
    return row.order_id == order_id and row.status is BrokerStatus.REJECTED


async def book(stage: Stage) -> BookRead:
    """A new pass over the broker's book; one that failed is asked for again after a second."""
    reasons: list[str] = []
    while len(reasons) < READS_MAX:
        before = len(stage.heard)
        stage.ask(ReadBook())

        def found(since: int = before) -> BookRead | ReadFailed | None:
            return next(
                (one for one in map(_of_book, stage.heard[since:]) if one is not None), None
            )

        read: BookRead | ReadFailed = await stage.until(found, "the book is read")
        if isinstance(read, BookRead):
            return read
        reasons.append(read.reason)
        await pause(stage)
    raise AssertionError(f"the book was not read: {reasons}")


def _of_book(event: AnyEvent) -> BookRead | ReadFailed | None:
    """An event, where it tells how a pass over the book ended."""
    if isinstance(event, BookRead):
        return event
    return event if isinstance(event, ReadFailed) and event.what == BOOK else None


async def pause(stage: Stage, seconds: float = 1.0) -> None:
    """Let time pass."""
    until_ns = stage.now_ns() + round(seconds * 1e9)
    await stage.pass_by(lambda: stage.now_ns() >= until_ns, "time passes")


def told(**figures: object) -> None:
    """Print what was done."""
    print(figures)  # noqa: T201 a Show
