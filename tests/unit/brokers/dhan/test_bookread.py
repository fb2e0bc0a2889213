"""Reads of the book over real sockets: what failed, what is empty and what is old are three things."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

from holdfast.brokers.dhan.bookread import BookReader, Rows, Stale, Unread, rows_of
from holdfast.brokers.dhan.rest import Failed, Rest
from holdfast.brokers.dhan.rows import OrderWords
from holdfast.domain.event import BOOK, BookRead, FundsRead, OrderUpdated, Outcome, ReadFailed
from holdfast.domain.order import BrokerOrderId, OrderId
from holdfast.runtime.clock import ScaledClock
from tests.support.dhan_samples import answer, exchanges, sample
from tests.support.dhan_wire import PREFIX, Cut, Heard, Said, Silence, Whose, WireServer, said

NOW_NS = 1_763_700_000 * 1_000_000_000
ID = OrderId(f"{PREFIX}-E0001-1-0")
FUNDS = {"dhanClientId": "1000000001", "availabelBalance": 250_000.25}
POSITION = {"securityId": "49081", "exchangeSegment": "NSE_FNO", "productType": "INTRADAY",
            "buyQty": 65, "sellQty": 0, "netQty": 65}  # fmt: skip
TRADE = {"orderId": "11", "exchangeTradeId": "7", "tradedQuantity": 65, "tradedPrice": 101.35}

_T = TypeVar("_T")


def row(number: str = "11", named: str = ID, **change: Any) -> dict[str, Any]:
    """A row of GET /orders."""
    return {
        "orderId": number,
        "correlationId": named,
        "orderStatus": "TRADED",
        "transactionType": "BUY",
        "exchangeSegment": "NSE_FNO",
        "productType": "INTRADAY",
        "orderType": "LIMIT",
        "securityId": "49081",
        "quantity": 65,
        "price": 101.4,
        "triggerPrice": 0.0,
        "createTime": "2025-11-21 10:00:00",
        "updateTime": "2025-11-21 10:00:01",
        "omsErrorDescription": "CONFIRMED",
        "averageTradedPrice": 101.35,
        "filledQty": 65,
        **change,
    }


PAGES: Mapping[str, object] = {
    "/positions": [POSITION],
    "/orders": [row()],
    "/trades": [TRADE],
    "/fundlimit": FUNDS,
}


def pages(changed: Mapping[str, Said] | None = None) -> WireServer:
    """A broker that shows one order, unless a path says otherwise."""

    def answer_to(heard: Heard) -> Said:
        if changed is not None and heard.path in changed:
            return changed[heard.path]
        return said(200, PAGES[heard.path])

    return WireServer(answer_to)


def reading(
    server: WireServer,
    act: Callable[[BookReader], Awaitable[_T]],
    *,
    words: OrderWords | None = None,
) -> _T:
    """What `act` reads from `server`."""

    async def main() -> _T:
        timing = ScaledClock(NOW_NS, 4)
        async with server:
            rest = Rest(server.base, Whose(), timing)
            try:
                return await act(BookReader(rest, words or OrderWords(PREFIX), timing))
            finally:
                await rest.close()

    return asyncio.run(main())


@pytest.mark.proves("T22")
def test_a_pass_asks_in_the_order_that_lets_it_explain_itself() -> None:
    """Positions, orders, trades, funds: no explanation is older than what it explains (T22)."""
    server = pages()
    read = reading(server, BookReader.book)
    assert isinstance(read, BookRead)
    assert [heard.path for heard in server.heard] == list(PAGES)
    assert NOW_NS <= read.began_at_ns < read.at_ns
    assert [net.net for net in read.nets] == [65]
    assert [(one.order_id, one.filled_quantity) for one in read.orders] == [(ID, 65)]
    assert [(one.trade_id, one.value_paise) for one in read.trades] == [("7", 65 * 10_135)]
    assert read.funds_paise == 25_000_025
    assert not read.foreign


@pytest.mark.parametrize(("traded", "expected"), [(65, 65 * 10_130), (40, 65 * 10_135)])
def test_in_a_pass_the_trades_tell_what_an_orders_fills_are_worth(
    traded: int, expected: int
) -> None:
    """A mean price is rounded; trades that are not all there tell nothing of the rest."""
    told = {
        "orderId": "11",
        "exchangeTradeId": "7",
        "tradedQuantity": traded,
        "tradedPrice": 101.3,
    }
    read = reading(pages({"/trades": said(200, [told])}), BookReader.book)
    assert isinstance(read, BookRead)
    assert [one.filled_value_paise for one in read.orders] == [expected]


@pytest.mark.proves("PSY-4", "T22")
def test_an_empty_book_is_read_and_a_failed_one_is_not() -> None:
    """An account that did nothing today answers `[]` three times."""
    empty = {path: said(200, []) for path in ("/positions", "/orders", "/trades")}
    read = reading(pages(empty), BookReader.book)
    assert isinstance(read, BookRead)
    assert (read.nets, read.orders, read.trades) == ((), (), ())


@pytest.mark.parametrize("path", list(PAGES))
@pytest.mark.parametrize(
    "answer_to",
    [
        pytest.param(said(200), id="empty body"),
        pytest.param(said(200, {}), id="empty object"),
        pytest.param(said(200, body=b"null"), id="null"),
        pytest.param(said(200, body=b"[{"), id="half a JSON"),
        pytest.param(said(200, [7]), id="no rows"),
        pytest.param(said(200, [{}]), id="an empty row"),
        pytest.param(said(500, []), id="500 with an empty array"),
        pytest.param(said(200, [{"message": "Something went wrong", "status": "ERROR"}]), id="200"),
        pytest.param(said(401, {"errorCode": "DH-901", "errorMessage": "invalid"}), id="401"),
        pytest.param(said(429, {"errorCode": "DH-904", "errorMessage": "Rate"}), id="429"),
        pytest.param(said(200, body=b"<html>"), id="HTML"),
        pytest.param(Cut(), id="cut"),
    ],
)
@pytest.mark.proves("PSY-4", "I-67")
def test_one_part_that_cannot_be_read_fails_the_pass(path: str, answer_to: Said) -> None:
    """Half a book would show positions that nobody can explain; empty and failed are not one."""
    read = reading(pages({path: answer_to}), BookReader.book)
    assert isinstance(read, ReadFailed), read
    assert read.what == BOOK
    assert read.reason


def test_a_pass_that_takes_too_long_is_given_up() -> None:
    """Five seconds for all of it: what it shows then is old."""
    read = reading(pages({"/trades": Silence()}), BookReader.book)
    assert isinstance(read, ReadFailed)


@pytest.mark.proves("T22")
def test_an_answer_older_than_one_before_is_stale_and_not_a_book() -> None:
    """By the broker's own stamps: something on the way has kept it."""
    new = {"Date": "Fri, 21 Nov 2025 04:40:10 GMT"}
    old = {"Date": "Fri, 21 Nov 2025 04:40:05 GMT"}
    changed = {
        "/positions": said(200, [POSITION], headers=new),
        "/orders": said(200, [row()], headers=old),
    }
    read = reading(pages(changed), BookReader.book)
    assert isinstance(read, ReadFailed)
    assert "older than one heard before" in read.reason


def test_a_clock_of_the_brokers_that_is_set_back_costs_one_read() -> None:
    """Were every answer stale until it has caught up, nothing would be reconciled for so long."""
    stamps = iter([10, 10, 5, 6, 6, 7, 7])

    def answer_to(heard: Heard) -> Said:
        date = {"Date": f"Fri, 21 Nov 2025 04:40:{next(stamps):02d} GMT"}
        return said(200, PAGES[heard.path], headers=date)

    async def twice(reader: BookReader) -> list[BookRead | ReadFailed]:
        return [await reader.book(), await reader.book()]

    first, second = reading(WireServer(answer_to), twice)
    assert isinstance(first, ReadFailed)
    assert isinstance(second, BookRead)


def test_a_single_row_may_come_as_an_object() -> None:
    """Documented so for orders by id, seen as arrays (dhan.md 9)."""
    changed = {
        "/orders": said(200, row()),
        "/trades": said(200, {"data": [TRADE], "status": "success"}),
        "/positions": said(200, POSITION),
        "/fundlimit": said(200, [FUNDS]),
    }
    read = reading(pages(changed), BookReader.book)
    assert isinstance(read, BookRead)
    assert (len(read.orders), len(read.trades), len(read.nets)) == (1, 1, 1)


def test_orders_stand_in_the_order_in_which_they_were_taken() -> None:
    """The broker may list the newest first; within a second the numbers decide."""
    rows = [
        row("103", named="NA", createTime="2025-11-21 10:00:02"),
        row("102", named=f"{PREFIX}-X0001-1-0", createTime="2025-11-21 10:00:00"),
        row("99", createTime="2025-11-21 10:00:00"),
        row("101", named="NA", createTime="2025-11-21 09:59:00", productType="CNC"),
    ]
    read = reading(pages({"/orders": said(200, rows)}), BookReader.book)
    assert isinstance(read, BookRead)
    assert [one.broker_id for one in read.orders] == ["99", "102"]
    assert [one.broker_id for one in read.foreign] == ["103"]


def test_two_rows_of_one_key_are_one_position() -> None:
    """The broker nets by security and product (T8)."""
    other = {**POSITION, "buyQty": 0, "sellQty": 65, "netQty": -65, "positionType": "SHORT"}
    read = reading(pages({"/positions": said(200, [POSITION, other])}), BookReader.book)
    assert isinstance(read, BookRead)
    assert [(net.bought, net.sold) for net in read.nets] == [(65, 65)]


# -- one order


def found(server: WireServer, words: OrderWords | None = None) -> list[Any]:
    return list(reading(server, lambda reader: reader.find(ID), words=words))


@pytest.mark.proves("T21")
@pytest.mark.parametrize("payload", [row(), [row()]])
def test_an_order_whose_number_is_unknown_is_asked_for_by_our_id(payload: object) -> None:
    """Array or object."""
    server = pages({f"/orders/external/{ID}": said(200, payload)})
    (event,) = found(server)
    assert isinstance(event, OrderUpdated)
    assert event.is_read
    assert (event.row.order_id, event.row.broker_id) == (ID, "11")
    assert [heard.path for heard in server.heard] == [f"/orders/external/{ID}"]


def test_an_order_whose_number_is_known_is_asked_for_by_it() -> None:
    """The search by our id does not show orders in transit (dhan.md 3.1)."""
    words = OrderWords(PREFIX)
    words.know(ID, BrokerOrderId("11"))
    (event,) = found(pages({"/orders/11": said(200, [row()])}), words)
    assert isinstance(event, OrderUpdated)


@pytest.mark.proves("T21")
def test_two_orders_under_one_id_are_both_told() -> None:
    """The second is a difference of its own (T21)."""
    both = [row("12", createTime="2025-11-21 10:00:05"), row("11")]
    events = found(pages({f"/orders/external/{ID}": said(200, both)}))
    assert [event.row.broker_id for event in events] == ["11", "12"]


@pytest.mark.proves("T3")
@pytest.mark.parametrize(
    "answer_to",
    [
        said(404, {"errorCode": "DH-906", "errorMessage": "Incorrect request for order"}),
        said(200, []),
        said(200, [row(named="NA")]),
        said(200),
        said(500, {"errorCode": "DH-906", "errorMessage": "Transaction has Failed"}),
        said(200, [row(transactionType="HOLD")]),
        Cut(),
    ],
)
def test_what_is_not_found_is_a_failed_read_and_no_evidence(answer_to: Said) -> None:
    """An order in transit is answered with 404 too: only the whole book proves absence (T3)."""
    (event,) = found(pages({f"/orders/external/{ID}": answer_to}))
    assert isinstance(event, ReadFailed)
    assert event.what == f"order {ID}"


# -- the cash, and what is told apart


def test_the_cash_is_read_alone() -> None:
    """After each fill (T19)."""
    read = reading(pages(), BookReader.funds)
    assert isinstance(read, FundsRead)
    assert read.available_paise == 25_000_025


@pytest.mark.parametrize("answer_to", [said(200, []), said(200, {"dhanClientId": "1"}), Cut()])
def test_cash_that_cannot_be_read_is_not_zero(answer_to: Said) -> None:
    """No size is computed from it."""
    read = reading(pages({"/fundlimit": answer_to}), BookReader.funds)
    assert isinstance(read, ReadFailed)
    assert read.what == "funds"


def test_no_holdings_is_an_error_of_the_broker_and_empty_for_us(shared_data: Path) -> None:
    """HTTP 500 DH-1111; nothing is retried (dhan.md 3.5)."""
    body = sample(shared_data, "holdings_empty_error_500.json")
    assert rows_of(answer(body, 500)) == Rows(rows=())
    server = pages({"/holdings": said(500, body=body)})
    assert reading(server, BookReader.holdings) == Rows(rows=())
    assert len(server.heard) == 1
    full = rows_of(answer(sample(shared_data, "holdings.json")))
    assert isinstance(full, Rows)
    assert len(full.rows) == 1


def test_failed_empty_and_stale_are_distinct_types() -> None:
    """Nobody can take one for the other by mistake."""
    lost = rows_of(Failed(outcome=Outcome.UNANSWERED, reason="why", at_ns=1))
    assert isinstance(lost, Unread)
    assert isinstance(rows_of(answer(b"[]")), Rows)
    assert "ms older" in Stale(behind_ns=3_000_000_000).reason


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("orders_list.json", 1),
        ("order_by_id.json", 1),
        ("order_by_id_unknown.json", 0),
        ("positions_empty.json", 0),
        ("trades_history_empty.json", 0),
    ],
)
def test_the_sample_books_are_read(shared_data: Path, name: str, count: int) -> None:
    """An unknown number is answered with an empty array (dhan.md 3.1)."""
    part = rows_of(answer(sample(shared_data, name)))
    assert isinstance(part, Rows)
    assert len(part.rows) == count


def test_the_recorded_reads_of_the_account_are_rows_or_say_why_not(shared_data: Path) -> None:
    """Every recorded answer of the trading endpoints."""
    asked = ("/orders", "/trades", "/positions", "/holdings", "/fundlimit")
    seen = 0
    for one in exchanges(shared_data):
        path = one.uri.split("?")[0]
        if one.method != "get" or not any(word in path for word in asked):
            continue
        seen += 1
        single = "dhanClientId" if "fundlimit" in path else "orderId"
        part = rows_of(answer(one.body.encode(), one.status), single=single)
        assert isinstance(part, Rows if one.status < 300 else Unread), one.cassette
    assert seen >= 15
