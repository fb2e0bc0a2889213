"""The order desk: what it makes of the exchange's words."""

import asyncio

import pytest

from holdfast.exchange.checks import Behaviour, SelfTrade
from holdfast.simbroker.dhan.order import AccountOrder, Source, Status
from tests.support.desk import CLOSE, OPEN, SECOND
from tests.unit.simbroker.dhan.market_day import option_tick
from tests.unit.simbroker.dhan.served import BOOK, Served, in_server

TRADED = option_tick(
    OPEN + 5 * SECOND,
    112_00,
    volume=195,
    traded_at_ns=OPEN + 5 * SECOND,
    bids=((111_95, 650),),
    asks=((112_05, 650),),
)
STOP = {
    "transactionType": "SELL",
    "orderType": "STOP_LOSS",
    "price": 110,
    "triggerPrice": 112,
}


def heard(served: Served) -> list[AccountOrder]:
    """Every word from now on."""
    words: list[AccountOrder] = []
    served.server.host.on_row(words.append)
    return words


def test_a_word_is_said_for_each_thing_that_happens() -> None:
    """Taken, resting, triggered, traded: cumulative, with the last price and the last reason."""

    async def test(served: Served) -> None:
        await served.placed()
        words = heard(served)
        await served.placed(**STOP)
        served.go(OPEN + 6 * SECOND)
        assert [word.status for word in words] == [
            Status.TRANSIT,
            Status.PENDING,
            Status.TRIGGERED,
            Status.TRADED,
        ]
        last = words[-1]
        assert (last.filled_quantity, last.fill_paise, last.average_paise) == (65, 111_95, 111_95.0)
        assert [word.reason for word in words] == ["", "CONFIRMED", "CONFIRMED", "TRADE CONFIRMED"]
        assert (last.source, last.remaining_quantity) == (Source.API, 0)

    in_server(test, ticks=[BOOK, TRADED])


def test_a_modification_is_told_as_one() -> None:
    """Once: what happens to the order after it is not."""

    async def test(served: Served) -> None:
        order_id = await served.placed(price=100)
        words = heard(served)
        await served.ask("PUT", f"/orders/{order_id}", {"orderType": "LIMIT", "price": 118.7})
        served.wait(0.2)
        told = [(word.is_modified, word.status) for word in words]
        assert told == [(True, Status.PENDING), (False, Status.TRADED)]

    in_server(test)


@pytest.mark.proves("T29")
def test_a_stop_may_trigger_while_it_is_being_changed() -> None:
    """The trigger comes first; the change then meets an order in the book."""

    async def test(served: Served) -> None:
        await served.placed()
        order_id = await served.placed(**STOP)
        await served.faults({"kind": "modify_overtaken"})
        words = heard(served)
        change = {"orderType": "LIMIT", "price": 118.0}
        await served.ask("PUT", f"/orders/{order_id}", change)
        served.wait(0.2)
        assert [word.status for word in words][:2] == [Status.TRIGGERED, Status.TRADED]

    in_server(test)


@pytest.mark.parametrize("rule", list(SelfTrade))
@pytest.mark.proves("T29")
def test_self_trade_prevention_ends_one_of_two_own_orders(rule: SelfTrade) -> None:
    """The later, or the resting one, by the exchange's rule; the row names the other."""

    async def test(served: Served) -> None:
        await served.placed()
        resting = await served.placed(transactionType="SELL", price=119)
        later = await served.placed(price=119, quantity=1_300)
        rows = {one: await served.row(one) for one in (resting, later)}
        ended = later if rule is SelfTrade.LATER else resting
        assert rows[ended]["orderStatus"] in {"CANCELLED", "REJECTED"}
        assert "Self trade with order" in rows[ended]["omsErrorDescription"]
        other = resting if ended is later else later
        assert rows[other]["orderStatus"] in {"PENDING", "PART_TRADED"}

    how = Behaviour(self_trade=rule, quote_age_ns_max=3_600 * SECOND)
    in_server(test, behaviour=how, cash_paise=50_00_000_00)


def test_the_day_ends_with_square_off_and_close() -> None:
    """INTRADAY orders end before the close, the others with it."""

    async def test(served: Served) -> None:
        ids = [
            await served.placed(price=100, productType=product)
            for product in ("INTRADAY", "MARGIN")
        ]
        served.go(CLOSE - SECOND)
        rows = [(await served.row(one))["orderStatus"] for one in ids]
        assert rows == ["CANCELLED", "PENDING"]
        served.go(CLOSE + SECOND)
        assert (await served.row(ids[1]))["orderStatus"] == "EXPIRED"

    in_server(test)


def test_numbers_are_fourteen_digits_and_never_twice() -> None:
    """They tell the day, not the order of things."""

    async def test(served: Served) -> None:
        ids = []
        for _ in range(5):
            _, told = await served.place(price=1)
            ids.append(told["orderId"])
        assert len({*ids}) == 5
        for order_id in ids:
            assert (len(order_id), order_id[1:9]) == (14, "12261120")

    in_server(test)


def test_a_request_never_overtakes_the_one_before_it() -> None:
    """About one order; here all travel as long."""

    async def test(served: Served) -> None:
        _, told = await served.place(price=100)
        path = f"/orders/{told['orderId']}"
        for price in (101, 102, 103):
            await served.ask("PUT", path, {"orderType": "LIMIT", "price": price})
        served.wait(0.2)
        assert (await served.row(told["orderId"]))["price"] == 103.0

    in_server(test)


def test_orders_at_once_are_all_taken() -> None:
    """Each with a number of its own."""

    async def test(served: Served) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number in range(10):
                tasks.create_task(served.place(price=1 + number))
        assert len(served.server.desk.orders) == 10

    in_server(test)
