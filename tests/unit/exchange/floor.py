"""The simulated exchange with one call and one put on it, and short words for ticks and orders."""

from msgspec.structs import replace

from holdfast.domain.instrument import Instrument, Product
from holdfast.domain.market import Level, Tick
from holdfast.domain.order import OrderId, OrderRow, OrderTerms, OrderType, Side
from holdfast.exchange.checks import Behaviour
from holdfast.exchange.venue import Refused, Result, SimulatedExchange
from tests.support.desk import CALL, FACTS, NIFTY, OPEN, PUT, SECOND

BIDS: tuple[Level, ...] = ((9_995, 130), (9_990, 260))
ASKS: tuple[Level, ...] = ((10_005, 130), (10_010, 260))
LAKH = 100_000_00


def at(seconds: float) -> int:
    """An instant in seconds after the open."""
    return OPEN + round(seconds * SECOND)


def told(
    seconds: float,
    *,
    last: int = 10_000,
    volume: int = 1_000,
    bids: tuple[Level, ...] = BIDS,
    asks: tuple[Level, ...] = ASKS,
    instrument: Instrument = CALL,
) -> Tick:
    """A packet whose trade time is that of the open, so that only its volume tells a trade."""
    return Tick(
        at_ns=at(seconds),
        instrument=instrument.id,
        last_paise=last,
        venue_at_ns=OPEN,
        volume=volume,
        bids=bids,
        asks=asks,
    )


def around(seconds: float, price: int, *, volume: int = 1_000) -> Tick:
    """A packet that trades at `price` with a book of one step around it."""
    bids, asks = ((price - 5, 650),), ((price + 5, 650),)
    return told(seconds, last=price, volume=volume, bids=bids, asks=asks)


def limit(side: Side, price: int, quantity: int = 65) -> OrderTerms:
    """A limit order on the call."""
    return OrderTerms(
        instrument=CALL.id,
        product=Product.INTRADAY,
        side=side,
        order_type=OrderType.LIMIT,
        quantity=quantity,
        limit_paise=price,
    )


def buy(price: int, quantity: int = 65) -> OrderTerms:
    """A limit order to buy the call."""
    return limit(Side.BUY, price, quantity)


def sell(price: int, quantity: int = 65) -> OrderTerms:
    """A limit order to sell the call."""
    return limit(Side.SELL, price, quantity)


def stop(side: Side, trigger: int, price: int, quantity: int = 65) -> OrderTerms:
    """A stop on the call: its trigger, and the limit behind it."""
    terms = limit(side, price, quantity)
    return replace(terms, order_type=OrderType.STOP_LIMIT, trigger_paise=trigger)


def opened(
    *ticks: Tick, cash: int = 10 * LAKH, behaviour: Behaviour | None = None
) -> SimulatedExchange:
    """An exchange that was told `ticks`; without any, the usual book at the open."""
    exchange = SimulatedExchange(
        (NIFTY, CALL, PUT), FACTS, cash_paise=cash, seed=1, behaviour=behaviour
    )
    for tick in ticks or (told(0),):
        exchange.on_tick(tick)
    return exchange


def oid(name: str) -> OrderId:
    """An order id of ours."""
    return OrderId(name)


def rows(results: list[Result]) -> list[OrderRow]:
    """What must be rows, and nothing else."""
    assert not [result for result in results if isinstance(result, Refused)], results
    return [result for result in results if isinstance(result, OrderRow)]


def refused(results: list[Result]) -> Refused:
    """What must be one refusal."""
    (only,) = results
    assert isinstance(only, Refused), only
    return only
