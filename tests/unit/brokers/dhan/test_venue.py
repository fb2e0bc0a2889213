"""Commands to the broker over real sockets: each ends in one answer, whatever comes of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from holdfast.brokers.dhan.rest import Rest
from holdfast.brokers.dhan.rows import OrderWords, lowered
from holdfast.brokers.dhan.updates import UpdateStream
from holdfast.brokers.dhan.venue import DhanVenue
from holdfast.domain.command import (
    AnyCommand,
    BrokerKillSwitch,
    CancelOrder,
    ExitAll,
    FindOrder,
    ModifyOrder,
    PlaceOrder,
    ReadBook,
    ReadFunds,
    ReadQuotes,
    SetLossExit,
    Subscribe,
)
from holdfast.domain.event import (
    BOOK,
    Action,
    AnyEvent,
    BookRead,
    FundsRead,
    Guard,
    GuardAnswered,
    OrderAcknowledged,
    OrderUpdated,
    Outcome,
    QuotesRead,
    ReadFailed,
    SendFailed,
)
from holdfast.domain.instrument import (
    Exchange,
    Instrument,
    InstrumentId,
    Kind,
    OptionType,
    Product,
    Segment,
    instrument_id,
)
from holdfast.domain.order import (
    BrokerOrderId,
    OrderId,
    OrderTerms,
    OrderType,
    Purpose,
    Refusal,
    Side,
)
from holdfast.ports import VenueDriver
from holdfast.runtime.clock import ScaledClock
from tests.support.dhan_wire import (
    CLIENT_ID,
    PREFIX,
    SECRET,
    Cut,
    Heard,
    Said,
    Silence,
    Whose,
    WireServer,
    said,
    until,
)

NOW_NS = 1_763_700_000 * 1_000_000_000
ID = OrderId(f"{PREFIX}-X0001-1-0")
NUMBER = BrokerOrderId("512609150001")
OPTION = Instrument(
    id=instrument_id(Segment.NSE_FNO, 49_081),
    segment=Segment.NSE_FNO,
    security_id=49_081,
    symbol="NIFTY 24 NOV 25000 CALL",
    exchange=Exchange.NSE,
    kind=Kind.OPTION,
    underlying="NIFTY",
    lot_size=65,
    price_step_paise=5,
    freeze_quantity=1_756,
    expiry="2026-11-24",
    strike_paise=2_500_000,
    option_type=OptionType.CALL,
)
TERMS = OrderTerms(
    instrument=OPTION.id,
    product=Product.INTRADAY,
    side=Side.SELL,
    order_type=OrderType.LIMIT,
    quantity=65,
    limit_paise=10_005,
)
PLACE = PlaceOrder(order_id=ID, purpose=Purpose.EXIT, position=1, terms=TERMS, fills_seen=1)
MODIFY = ModifyOrder(order_id=ID, broker_id=NUMBER, terms=TERMS)
CANCEL = CancelOrder(order_id=ID, broker_id=NUMBER)
FIND = FindOrder(order_id=ID)
QUOTES = ReadQuotes(instruments=(OPTION.id,))
EVERY: Sequence[AnyCommand] = (
    PLACE, MODIFY, CANCEL, FIND, ReadFunds(), ReadBook(), QUOTES, ExitAll(), BrokerKillSwitch(),
    SetLossExit(loss_paise=500_000),
)  # fmt: skip
TAKEN = said(200, {"orderId": NUMBER, "orderStatus": "TRANSIT"})
ROW = {
    "orderId": NUMBER,
    "correlationId": ID,
    "orderStatus": "PENDING",
    "transactionType": "SELL",
    "exchangeSegment": "NSE_FNO",
    "productType": "INTRADAY",
    "orderType": "LIMIT",
    "securityId": "49081",
    "quantity": 65,
    "price": 100.05,
    "createTime": "2025-11-21 10:00:00",
    "updateTime": "2025-11-21 10:00:01",
    "filledQty": 0,
}


class Desk:
    """A venue on a server, and what it told."""

    def __init__(self, server: WireServer, *, speed: int = 2) -> None:
        self.clock = ScaledClock(NOW_NS, speed)
        self.told: list[AnyEvent] = []
        self.wanted: list[tuple[InstrumentId, ...]] = []
        self.words = OrderWords(PREFIX)
        self.rest = Rest(server.base, Whose(), self.clock, tell=self.told.append)
        self.venue = DhanVenue(
            self.rest,
            Whose(),
            self.clock,
            words=self.words,
            contracts={OPTION.id: OPTION},
            quotes=self._quotes,
            tell=self.told.append,
            want=self.wanted.append,
        )

    async def _quotes(self, instruments: Sequence[InstrumentId]) -> QuotesRead | ReadFailed | None:
        if not instruments:
            return None
        return QuotesRead(at_ns=self.clock.now_ns(), quotes=())

    def submit(self, *commands: AnyCommand) -> None:
        for command in commands:
            self.venue.submit(command, self.clock.now_ns())


Act = Callable[[Desk], Awaitable[None]]


def dealing(server: WireServer, act: Act, *, speed: int = 2) -> list[AnyEvent]:
    """What a venue tells while `act` goes on, to the end of every request."""

    async def main() -> list[AnyEvent]:
        async with server:
            desk = Desk(server, speed=speed)
            try:
                await act(desk)
                await desk.venue.settle()
            finally:
                await desk.venue.close()
                await desk.rest.close()
            return desk.told

    return asyncio.run(main())


def told_of(
    answer: Callable[[Heard], Said], *commands: AnyCommand, speed: int = 2
) -> list[AnyEvent]:
    """What is told of commands that are answered so."""

    async def act(desk: Desk) -> None:
        desk.submit(*commands)
        assert not desk.told, "nothing is told before submit returns"

    return dealing(WireServer(answer), act, speed=speed)


def test_it_is_a_venue_driver() -> None:
    """Nothing is ever due there: what happens is told when it happens."""
    venue: VenueDriver = Desk(WireServer(lambda _heard: TAKEN)).venue
    assert venue.due_ns is None
    assert venue.pop_due(NOW_NS) == ()


@pytest.mark.proves("I-128")
def test_a_placement_goes_out_whole_and_is_acknowledged() -> None:
    """The bytes that the broker was sent, and the number that it gave."""
    server = WireServer(lambda _heard: TAKEN)

    async def act(desk: Desk) -> None:
        desk.submit(PLACE)

    (event,) = dealing(server, act)
    assert event == OrderAcknowledged(at_ns=event.at_ns, order_id=ID, broker_id=NUMBER)
    (heard,) = server.heard
    assert (heard.method, heard.path) == ("POST", "/orders")
    assert heard.json == {
        "dhanClientId": CLIENT_ID,
        "correlationId": ID,
        "transactionType": "SELL",
        "exchangeSegment": "NSE_FNO",
        "productType": "INTRADAY",
        "orderType": "LIMIT",
        "validity": "DAY",
        "securityId": "49081",
        "quantity": 65,
        "price": 100.05,
        "afterMarketOrder": False,
    }


@pytest.mark.proves("I-128")
@pytest.mark.parametrize(
    ("command", "method", "answer"),
    [(MODIFY, "PUT", TAKEN), (CANCEL, "DELETE", TAKEN), (CANCEL, "DELETE", said(202))],
)
def test_a_change_of_an_order_is_asked_once_and_acknowledged(
    command: AnyCommand, method: str, answer: bytes
) -> None:
    """Asked is not done: the row tells what became of it."""
    server = WireServer(lambda _heard: answer)

    async def act(desk: Desk) -> None:
        desk.submit(command)

    (event,) = dealing(server, act)
    assert isinstance(event, OrderAcknowledged)
    assert [(one.method, one.path) for one in server.heard] == [(method, f"/orders/{NUMBER}")]


@pytest.mark.proves("T21")
def test_the_second_order_under_one_id_is_acknowledged_to_nobody() -> None:
    """Its number would take the place of the first one's (T21)."""

    async def act(desk: Desk) -> None:
        desk.words.order(lowered(ROW))
        desk.words.order(lowered({**ROW, "orderId": "512609150002"}))
        desk.submit(CancelOrder(order_id=ID, broker_id=BrokerOrderId("512609150002")))

    assert not dealing(WireServer(lambda _heard: TAKEN), act)


# -- one answer to each


@pytest.mark.proves("EXE-6", "ORT-3", "PLC-8", "TST-6")
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Cut(), id="cut"),
        pytest.param(Cut(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"), id="cut body"),
        pytest.param(said(500, {"errorCode": "DH-908", "errorMessage": "x"}), id="500"),
        pytest.param(said(502, body=b"<html>"), id="HTML"),
        pytest.param(said(400, {"errorCode": "DH-905", "errorMessage": "no"}), id="refused"),
        pytest.param(said(401), id="401 without a word"),
        pytest.param(said(200, body=b"7"), id="nonsense"),
    ],
)
@pytest.mark.parametrize("command", EVERY, ids=lambda command: type(command).__name__)
def test_every_command_ends_in_one_answer(command: AnyCommand, answer: Said) -> None:
    """Nothing is raised, nothing is forgotten, nothing is told twice."""
    events = told_of(lambda _heard: answer, command)
    assert len(events) == 1, events
    assert not isinstance(events[0], BookRead | FundsRead)


@pytest.mark.proves("GWL-1", "T3")
@pytest.mark.parametrize(("command", "seconds"), [(PLACE, 8), (MODIFY, 2), (CANCEL, 2)])
def test_a_silent_broker_is_unanswered_after_its_time(command: AnyCommand, seconds: int) -> None:
    """Seconds of the clock: 8 for a placement, 2 for what may be repeated (T3)."""
    (event,) = told_of(lambda _heard: Silence(), command, speed=10)
    assert isinstance(event, SendFailed)
    assert event.outcome is Outcome.UNANSWERED
    assert seconds - 0.1 <= (event.at_ns - NOW_NS) / 1e9 <= seconds + 60


def test_a_broker_that_is_not_there_was_sent_nothing() -> None:
    """Only this may be sent again by the router."""
    server = WireServer(lambda _heard: TAKEN)

    async def act(desk: Desk) -> None:
        server._server.close()  # noqa: SLF001 the test's own
        desk.submit(PLACE, MODIFY, CANCEL)

    events = dealing(server, act)
    assert [event.outcome for event in events if isinstance(event, SendFailed)] == [
        Outcome.NOT_SENT
    ] * 3


@pytest.mark.proves("PLC-3")
@pytest.mark.parametrize(
    "command",
    [
        replace(PLACE, terms=replace(TERMS, instrument=InstrumentId("BSE_FNO:49081"))),
        replace(PLACE, order_id=OrderId("a name that is much too long for it")),
        replace(CANCEL, broker_id=BrokerOrderId("../positions")),
        replace(MODIFY, broker_id=BrokerOrderId("")),
    ],
)
def test_what_cannot_be_asked_never_leaves(command: AnyCommand) -> None:
    """A contract that is not in the master, an id that the broker cannot give back."""
    server = WireServer(lambda _heard: TAKEN)

    async def act(desk: Desk) -> None:
        desk.submit(command)

    (event,) = dealing(server, act)
    assert isinstance(event, SendFailed)
    assert event.outcome is Outcome.NOT_SENT
    assert not server.heard


def test_a_fault_in_one_request_is_told_and_touches_no_other() -> None:
    """A bug of ours in a read must not cancel the exit beside it."""

    async def act(desk: Desk) -> None:
        async def broken(_instruments: Sequence[InstrumentId]) -> None:
            raise TypeError("a bug")

        desk.venue._quotes = broken  # noqa: SLF001 a fault of the test's
        desk.submit(QUOTES, PLACE)

    events = dealing(WireServer(lambda _heard: TAKEN), act)
    kinds = sorted(type(event).__name__ for event in events)
    assert kinds == ["OrderAcknowledged", "ReadFailed"]


@pytest.mark.proves("EXE-6")
def test_what_is_given_up_at_the_end_is_told_to_be_unknown() -> None:
    """It may have been done."""
    server = WireServer(lambda _heard: Silence())

    async def act(desk: Desk) -> None:
        desk.submit(PLACE, ReadBook())
        await until(lambda: len(server.heard) == 2)
        await desk.venue.close()

    events = dealing(server, act)
    outcomes = [one.outcome for one in events if isinstance(one, SendFailed)]
    assert outcomes == [Outcome.UNANSWERED]
    assert [one.what for one in events if isinstance(one, ReadFailed)] == [BOOK]


def test_settle_waits_for_what_left_and_returns_at_once_when_nothing_did() -> None:
    """The drain ends when every request was answered."""

    async def act(desk: Desk) -> None:
        await desk.venue.settle()
        desk.submit(PLACE, MODIFY, CANCEL)
        await desk.venue.settle()
        assert len(desk.told) == 3

    dealing(WireServer(lambda _heard: TAKEN), act)


# -- races


@pytest.mark.proves("I-40", "T21")
def test_a_word_of_the_stream_before_the_answer_is_the_same_order() -> None:
    """The socket told of the fill while the POST was on its way."""
    words: list[AnyEvent] = []

    async def act(desk: Desk) -> None:
        stream = UpdateStream(
            "ws://127.0.0.1:1", Whose(), desk.clock, words=desk.words, tell=desk.told.append
        )
        fill = {"orderNo": NUMBER, "correlationId": ID, "exchange": "NSE", "segment": "D",
                "securityId": "49081", "product": "I", "txnType": "S", "orderType": "LMT",
                "quantity": 65, "tradedQty": 65, "price": 100.05, "avgTradedPrice": 100.1,
                "lastUpdatedTime": "2025-11-21 10:00:00", "status": "Traded"}  # fmt: skip
        desk.submit(PLACE)
        stream.take(json.dumps({"Type": "order_alert", "Data": fill}))
        await desk.venue.settle()
        words.extend(desk.told)

    dealing(WireServer(lambda _heard: TAKEN), act)
    update, acknowledged = words
    assert isinstance(update, OrderUpdated)
    assert isinstance(acknowledged, OrderAcknowledged)
    assert update.row.broker_id == acknowledged.broker_id == NUMBER
    assert update.row.order_id == ID


@pytest.mark.proves("ORT-7", "T3")
def test_an_answer_that_was_lost_is_found_by_our_id_and_nothing_is_sent_twice() -> None:
    """The broker took it and the connection broke: the search finds it."""
    server = WireServer(lambda heard: Cut() if heard.method == "POST" else said(200, [ROW]))

    async def act(desk: Desk) -> None:
        desk.submit(PLACE)
        await desk.venue.settle()
        desk.submit(FIND)

    lost, found = dealing(server, act)
    assert isinstance(lost, SendFailed)
    assert (lost.action, lost.outcome) == (Action.PLACE, Outcome.UNANSWERED)
    assert isinstance(found, OrderUpdated)
    assert found.is_read
    assert (found.row.order_id, found.row.broker_id) == (ID, NUMBER)
    assert [one.method for one in server.heard] == ["POST", "GET"]


def test_two_answers_at_once_belong_to_their_own_requests() -> None:
    """Each command has its connection: the late answer to one is not taken for the other's."""
    refusal = {"errorCode": "DH-906", "errorMessage": "Order is in Transit state"}
    server = WireServer(lambda heard: said(400, refusal) if heard.method == "DELETE" else TAKEN)

    async def act(desk: Desk) -> None:
        desk.submit(MODIFY, CANCEL)

    events = dealing(server, act)
    assert {type(event) for event in events} == {OrderAcknowledged, SendFailed}
    (no,) = [event for event in events if isinstance(event, SendFailed)]
    assert (no.action, no.refusal) == (Action.CANCEL, Refusal.NOT_MODIFIABLE)


def test_an_answer_that_comes_twice_is_told_once() -> None:
    """What follows on the connection is no answer to the next request on it."""
    other = said(200, {"orderId": "999", "orderStatus": "TRANSIT"})
    server = WireServer(lambda heard: TAKEN + other if heard.method == "POST" else said(202))

    async def act(desk: Desk) -> None:
        desk.submit(PLACE)
        await desk.venue.settle()
        desk.submit(replace(CANCEL))

    first, second = dealing(server, act)
    assert isinstance(first, OrderAcknowledged)
    assert isinstance(second, OrderAcknowledged)
    assert first.broker_id == second.broker_id == NUMBER


# -- reads, guards, wishes


def test_reads_are_told_as_what_they_read() -> None:
    """One event each."""
    pages: dict[str, object] = {
        "/positions": [],
        "/orders": [ROW],
        "/trades": [],
        "/fundlimit": {"dhanClientId": CLIENT_ID, "availabelBalance": 7.5},
        f"/orders/external/{ID}": ROW,
        f"/orders/{NUMBER}": [ROW],
    }
    events = told_of(
        lambda heard: said(200, pages[heard.path]), ReadBook(), ReadFunds(), FIND, QUOTES
    )
    kinds = sorted(type(event).__name__ for event in events)
    assert kinds == ["BookRead", "FundsRead", "OrderUpdated", "QuotesRead"]


def test_a_read_of_quotes_that_another_takes_along_is_told_by_that() -> None:
    """One call a second is all that the broker answers."""
    assert not told_of(lambda _heard: TAKEN, ReadQuotes(instruments=()))


def test_a_wish_goes_to_the_feed() -> None:
    """No request leaves for it."""
    server = WireServer(lambda _heard: TAKEN)
    wanted: list[Any] = []

    async def act(desk: Desk) -> None:
        desk.submit(Subscribe(instruments=(OPTION.id,)))
        wanted.extend(desk.wanted)

    dealing(server, act)
    assert wanted == [(OPTION.id,)]
    assert not server.heard


@pytest.mark.proves("T25")
@pytest.mark.parametrize(
    ("command", "guard", "answer", "is_done"),
    [
        (ExitAll(), Guard.EXIT_ALL, said(200, {"status": "SUCCESS", "message": "exited"}), True),
        (ExitAll(), Guard.EXIT_ALL, said(202), True),
        (ExitAll(), Guard.EXIT_ALL, said(200, {"status": "ERROR", "message": "no"}), False),
        (BrokerKillSwitch(), Guard.KILL_SWITCH,
         said(200, {"killSwitchStatus": "Kill Switch has been successfully activated"}), True),
        (BrokerKillSwitch(), Guard.KILL_SWITCH,
         said(200, {"killSwitchStatus": "Kill Switch could not be activated"}), False),
        (BrokerKillSwitch(), Guard.KILL_SWITCH, said(200, {"killSwitchStatus": "DEACTIVATE"}),
         False),
    ],
)  # fmt: skip
def test_a_guard_is_done_when_the_broker_says_so(
    command: AnyCommand, guard: Guard, answer: bytes, *, is_done: bool
) -> None:
    """Both act on the whole account and are asked for once."""
    server = WireServer(lambda _heard: answer)

    async def act(desk: Desk) -> None:
        desk.submit(command)

    (event,) = dealing(server, act)
    assert isinstance(event, GuardAnswered)
    assert (event.guard, event.is_done) == (guard, is_done)
    assert bool(event.reason) is not is_done
    (heard,) = server.heard
    assert (heard.method, heard.path) in (
        ("DELETE", "/positions"),
        ("POST", "/killswitch?killSwitchStatus=ACTIVATE"),
    )


@pytest.mark.proves("T25")
@pytest.mark.parametrize(
    ("stands", "is_done"),
    [({"pnlExitStatus": "ACTIVE", "loss": 5000.0}, True), ({"pnlExitStatus": "INACTIVE"}, False)],
)
def test_the_loss_exit_is_set_and_read_back(stands: dict[str, object], *, is_done: bool) -> None:
    """Nothing is there to protect us that was not seen to stand (T25)."""
    server = WireServer(
        lambda heard: said(200, stands if heard.method == "GET" else {"pnlExitStatus": "ACTIVE"})
    )

    async def act(desk: Desk) -> None:
        desk.submit(SetLossExit(loss_paise=500_000))

    (event,) = dealing(server, act)
    assert isinstance(event, GuardAnswered)
    assert (event.guard, event.is_done) == (Guard.LOSS_EXIT, is_done)
    asked, read = server.heard
    assert (asked.method, read.method) == ("POST", "GET")
    assert asked.json["lossValue"] == 5_000
    assert asked.json["dhanClientId"] == CLIENT_ID


def test_no_event_shows_the_token() -> None:
    """Reasons are journaled, shown and sent to people."""
    for answer in (Cut(), said(400, {"errorCode": "DH-906", "errorMessage": "Invalid Token"})):
        assert SECRET not in str(told_of(lambda _heard: answer, *EVERY))  # noqa: B023
