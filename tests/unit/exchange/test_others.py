"""When others act; what they do stands in the stories of order faults."""

from msgspec.structs import replace

from holdfast.domain.instrument import BrokerKey, Product
from holdfast.domain.order import Side
from holdfast.exchange.faults import FaultKind, Faults, FaultWindow
from holdfast.exchange.others import Others
from holdfast.exchange.venue import SimulatedExchange
from tests.support.desk import CALL, PUT
from tests.unit.exchange.floor import LAKH, at, buy, oid, opened, sell, stop, told

KEY = BrokerKey(CALL.id, Product.INTRADAY)
SELLS = FaultWindow(kind=FaultKind.OWNER_SELLS_ALL, from_ns=at(2), until_ns=at(10))


def others(exchange: SimulatedExchange, *windows: FaultWindow) -> tuple[Others, Faults]:
    """Everybody else under windows."""
    faults = Faults(1, windows)
    return Others(exchange, faults), faults


def sent(exchange: SimulatedExchange) -> list[tuple[Side, int]]:
    """What others have sent."""
    return [(order.side, order.quantity) for order in exchange.book_foreign()]


def test_a_window_waits_for_something_to_strike_and_strikes_once() -> None:
    """Before its time not, without a position not, and then once."""
    exchange = opened()
    they, faults = others(exchange, SELLS)
    exchange.place(oid("E"), sell(10_500), at(0))
    for second in (1, 3):
        assert they.step(at(second)) == []
    assert faults.struck[SELLS.kind] == 0
    exchange.place(oid("E2"), buy(10_005), at(3))
    for second in (4, 5):
        they.step(at(second))
    assert sent(exchange) == [(Side.SELL, 65)]
    assert faults.struck[SELLS.kind] == 1


def test_a_window_that_ends_before_strikes_never() -> None:
    """What begins to be held later is left alone."""
    exchange = opened()
    they, faults = others(exchange, SELLS)
    exchange.place(oid("E"), buy(10_005), at(3))
    they.step(at(10))
    assert (sent(exchange), dict(faults.struck)) == ([], {})


def test_a_short_is_closed_by_buying() -> None:
    """The owner's thumb goes the other way, too."""
    exchange = opened(cash=100 * LAKH)
    exchange.place(oid("E"), sell(9_995, 130), at(1))
    part = replace(SELLS, kind=FaultKind.OWNER_SELLS_PART)
    they, _ = others(exchange, part, replace(SELLS, kind=FaultKind.OWNER_BUYS))
    they.step(at(3))
    assert sent(exchange) == [(Side.BUY, 65), (Side.SELL, 65)]


def test_the_owner_may_begin_with_a_contract_of_his_own() -> None:
    """In the quantity that the window says."""
    exchange = opened()
    buys = replace(SELLS, kind=FaultKind.OWNER_BUYS, instrument=PUT.id, quantity=130)
    they, faults = others(exchange, buys)
    exchange.place(oid("E"), buy(10_005), at(1))
    they.step(at(3))
    (order,) = exchange.book_foreign()
    assert (order.key.instrument, order.quantity) == (PUT.id, 130)
    assert faults.struck[FaultKind.OWNER_BUYS] == 1


def test_a_share_of_the_stops_is_dropped_each_drawn_once() -> None:
    """Tick after tick the spared ones are spared."""
    exchange = opened(cash=1_000 * LAKH)
    drop = replace(SELLS, kind=FaultKind.STOP_DROPPED, share_bps=5_000)
    they, faults = others(exchange, drop)
    for number in range(20):
        exchange.place(oid(f"S{number}"), stop(Side.BUY, 10_100, 10_200), at(1))
    first = they.step(at(3))
    assert 4 < len(first) < 16
    assert they.step(at(4)) == []
    assert faults.struck[FaultKind.STOP_DROPPED] == len(first)


def test_nobody_trades_in_a_closed_market() -> None:
    """What is held stays."""
    exchange = opened()
    exchange.place(oid("E"), buy(10_005), at(1))
    they, _ = others(exchange, replace(SELLS, from_ns=at(-100)))
    they.step(at(-1))
    assert sent(exchange) == []
    exchange.on_tick(told(3))
    they.step(at(3))
    assert sent(exchange) == [(Side.SELL, 65)]
