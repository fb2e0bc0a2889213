"""The router: each id is handed over once, and only an entry waits for the disk."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future

import pytest
import structlog
from msgspec.structs import replace
from typing_extensions import override

from holdfast.domain.book import ForeignRow
from holdfast.domain.command import (
    AnyCommand,
    CancelOrder,
    FindOrder,
    ModifyOrder,
    Notify,
    PlaceOrder,
    ReadBook,
    ReadFunds,
    ReadQuotes,
    Severity,
    Subscribe,
)
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import (
    Action,
    AnyEvent,
    BookRead,
    ForeignUpdated,
    FundsRead,
    Link,
    LinkChanged,
    OrderAcknowledged,
    OrderUpdated,
    Outcome,
    ReadFailed,
    SendFailed,
)
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    Purpose,
    Refusal,
)
from holdfast.runtime import router as module
from holdfast.runtime.breaker import ANSWER_NS, FAILURES_MAX, PROBE_AFTER_NS
from holdfast.runtime.rates import TRAVEL_NS
from holdfast.runtime.router import (
    ATTEMPTS,
    HALTED,
    LATE_NS,
    NO_PATH,
    NO_RATE,
    NOT_DURABLE,
    STOPPING,
    UNSEEN_NS,
    Router,
    Sent,
    retry_ns,
    sent_of,
)
from holdfast.runtime.tally import RouterCounts
from holdfast.store.records import Decided
from tests.support.desk import SECOND
from tests.support.shell import MemoryJournal, ToldVenue, empty_book, placement


class ToldBooks:
    """What a test says that the engine knows."""

    def __init__(self) -> None:
        self.is_halted = False
        self.fills = 0
        self.ended: set[str] = set()

    def fills_of(self, position: int) -> int:
        return self.fills if position == 1 else 0

    def is_live(self, order_id: OrderId) -> bool:
        return order_id not in self.ended


class SlowJournal(MemoryJournal):
    """A disk that takes its time: each future is there for the test to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.futures: list[Future[None]] = []

    @override
    def wait_durable(self, sequence: int) -> Future[None]:
        self.asked.append(sequence)
        self.futures.append(Future())
        return self.futures[-1]


class Desk:
    """A router between a venue and a journal; what it could not send is in `failed`."""

    def __init__(self, journal: MemoryJournal | None = None) -> None:
        self.venue, self.journal = ToldVenue(), journal or MemoryJournal()
        self.failed: list[AnyEvent] = []
        self.told: list[Notify] = []
        self.woken = 0
        self.books = ToldBooks()
        self.router = Router(
            self.venue, self.journal, self.failed.append, notify=self.told.append, wake=self._wake
        )
        self.router.check_by(self.books)

    def _wake(self) -> None:
        self.woken += 1

    def execute(self, command: AnyCommand, at_ns: int = 99) -> None:
        self.router.execute(command, sequence=7, at_ns=at_ns)

    def run(self, to_ns: int) -> list[tuple[int, AnyCommand]]:
        """Release whatever is due until then, each at its time; what left."""
        before = len(self.venue.submitted)
        while (due_ns := self.router.due_ns) is not None and due_ns <= to_ns:
            self.router.release(due_ns)
        return self.venue.submitted[before:]

    def use_up(self, count: int, at_ns: int = 99) -> None:
        """So many orders have left just now."""
        self.router.resume([Sent(at_ns, None)] * count)

    @property
    def counts(self) -> RouterCounts:
        return self.router.counts(99)

    def fail(
        self, outcome: Outcome, action: Action = Action.PLACE, *, name: str = "A", at_ns: int = 100
    ) -> AnyEvent | None:
        """The broker's line fails a request; what the engine is to hear of it."""
        return self.router.hear(
            SendFailed(at_ns=at_ns, order_id=OrderId(name), action=action, outcome=outcome)
        )


A, B1 = OrderId("A"), BrokerOrderId("B1")


def modify(
    limit: int = 10_000, *, is_ordinary: bool = False, fills: int | None = None
) -> ModifyOrder:
    """A modification of the order `A` of position 1."""
    return ModifyOrder(
        order_id=A,
        broker_id=B1,
        terms=replace(placement().terms, limit_paise=limit),
        position=1,
        fills_seen=fills,
        is_ordinary=is_ordinary,
    )


@pytest.mark.parametrize(
    "command",
    [
        placement(Purpose.STOP),
        placement(Purpose.EXIT),
        ModifyOrder(order_id=A, broker_id=B1, terms=placement().terms),
        CancelOrder(order_id=A, broker_id=B1),
        FindOrder(order_id=A),
        ReadFunds(),
        ReadQuotes(instruments=()),
    ],
    ids=["stop", "exit", "modify", "cancel", "find", "funds", "quotes"],
)
def test_exits_cancels_and_reads_wait_for_nothing(command: AnyCommand) -> None:
    """The disk is not even asked (promise 4); each leaves at its time and is counted."""
    desk = Desk()
    desk.journal.durable = None
    desk.execute(command)
    assert desk.venue.submitted == [(99, command)]
    assert (desk.journal.asked, desk.failed, desk.router.sent) == ([], [], 1)


def test_a_subscription_is_handed_on_and_a_notice_is_not() -> None:
    """Neither is a request to the broker about orders."""
    desk = Desk()
    subscribe = Subscribe(instruments=())
    desk.execute(subscribe)
    for severity in Severity:
        desk.execute(Notify(severity=severity, text="test"))
    assert desk.venue.submitted == [(99, subscribe)]
    assert desk.router.sent == 0


def test_alarms_are_told_as_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person looks at those; the rest is for the record."""
    told: list[tuple[str, str, str]] = []

    class Log:
        def warning(self, event: str, *, severity: str, text: str) -> None:
            told.append(("warning", severity, f"{event} {text}"))

        def info(self, event: str, *, severity: str, text: str) -> None:
            told.append(("info", severity, f"{event} {text}"))

    monkeypatch.setattr(module, "_log", Log())
    desk = Desk()
    desk.execute(Notify(severity=Severity.ALARM, text="one"))
    desk.execute(Notify(severity=Severity.INFO, text="two"))
    assert told == [("warning", "alarm", "notify one"), ("info", "info", "notify two")]


def test_an_entry_leaves_once_its_intent_is_durable() -> None:
    """The record of the decision is what must be on the disk."""
    desk = Desk()
    desk.execute(placement())
    assert desk.journal.asked == [7]
    assert desk.venue.submitted == [(99, placement())]
    assert desk.failed == []


@pytest.mark.parametrize("answer", [None, DataRefused("journal", "is closed", "see above")])
def test_an_entry_whose_intent_cannot_be_made_durable_does_not_leave(
    answer: Exception | None,
) -> None:
    """After its second, or when the journal has ended: it never left, and the engine hears so."""
    desk = Desk()
    desk.journal.durable = answer
    desk.execute(placement())
    desk.router.hold_from(99)
    desk.router.release(99 + SECOND)
    assert (desk.venue.submitted, desk.router.sent) == ([], 0)
    [failed] = desk.failed
    assert failed == SendFailed(
        at_ns=99 if answer else 99 + SECOND,
        order_id=A,
        action=Action.PLACE,
        outcome=Outcome.NOT_SENT,
        reason="the journal could not make the intent durable",
    )


def test_the_wait_for_the_disk_is_a_second_at_most() -> None:
    """Longer, and the price it was decided on is gone."""
    assert module.DURABLE_WAIT_S == 1.0


def test_no_id_is_handed_to_the_broker_twice() -> None:
    """Whoever asks, whatever for: the second one is refused and said so (I-02, promise 1)."""
    desk = Desk()
    for purpose in (Purpose.EXIT, Purpose.EXIT, Purpose.ENTRY):
        desk.execute(placement(purpose))
    assert desk.venue.submitted == [(99, placement(Purpose.EXIT))]
    assert [failed.reason for failed in desk.failed if isinstance(failed, SendFailed)] == [
        "this id was already handed to the broker"
    ] * 2
    desk.execute(placement(Purpose.EXIT, "B"))
    assert desk.router.sent == 2


def test_an_id_that_never_left_may_leave_later() -> None:
    """Refusing it twice would lose the order for nothing."""
    desk = Desk()
    desk.journal.durable = DataRefused("journal", "is full", "make room")
    desk.execute(placement())
    desk.journal.durable = True
    desk.execute(placement())
    assert len(desk.venue.submitted) == 1
    assert isinstance(desk.venue.submitted[0][1], PlaceOrder)


@pytest.mark.proves("LOG-2")
def test_what_changes_something_at_the_broker_is_a_line_of_the_log() -> None:
    """With our id, and what was asked; after it left, because nothing may hold up an exit."""
    desk = Desk()
    terms = placement().terms
    with structlog.testing.capture_logs() as lines:
        desk.execute(placement(Purpose.EXIT))
        desk.execute(ModifyOrder(order_id=A, broker_id=B1, terms=terms))
        desk.execute(CancelOrder(order_id=A, broker_id=B1))
        desk.execute(ReadFunds())
    assert [line["event"] for line in lines] == ["PlaceOrder", "ModifyOrder", "CancelOrder"]
    assert [line["order_id"] for line in lines][1:] == [A, A]
    assert (lines[1]["side"], lines[1]["quantity"]) == (terms.side.value, terms.quantity)


@pytest.mark.proves("LOG-2")
def test_the_line_of_an_order_may_be_written_once_its_bytes_have_left() -> None:
    """A line costs more than the decision: where a task sends, it would come before the exit."""
    desk = Desk()
    later: list[Callable[[], None]] = []
    desk.router.log_by(later.append)
    with structlog.testing.capture_logs() as lines:
        desk.execute(placement(Purpose.EXIT))
        assert len(desk.venue.submitted) == 1
        assert not lines
        for line in later:
            line()
    assert [line["event"] for line in lines] == ["PlaceOrder"]


# -- the disk


def test_nothing_waits_with_an_entry_whose_intent_is_not_durable_yet() -> None:
    """It is held, exits and cancels decided later leave at once, and nobody is blocked (2.3)."""
    journal = SlowJournal()
    desk = Desk(journal)
    desk.execute(placement())
    assert (desk.venue.submitted, desk.router.is_holding) == ([], True)
    exit_, cancel = placement(Purpose.EXIT, "X"), CancelOrder(order_id=A, broker_id=B1)
    desk.execute(cancel, 100)
    desk.execute(exit_, 100)
    assert desk.venue.submitted == [(100, cancel), (100, exit_)]
    assert desk.woken == 0
    journal.futures[0].set_result(None)
    assert (desk.woken, desk.router.is_holding) == (1, False)
    desk.router.release(150)
    assert desk.venue.submitted[2:] == [(150, placement())]
    assert desk.failed == []


def test_an_entry_that_became_durable_too_late_has_been_given_back() -> None:
    """Once; the disk's late word moves nothing."""
    journal = SlowJournal()
    desk = Desk(journal)
    desk.execute(placement())
    assert desk.router.due_ns is None, "what passes before the next event says nothing of the disk"
    desk.router.hold_from(99)
    desk.router.hold_from(50)
    assert desk.run(99 + 2 * SECOND) == []
    journal.futures[0].set_result(None)
    assert desk.run(99 + 9 * SECOND) == []
    [failed] = desk.failed
    assert isinstance(failed, SendFailed)
    assert (failed.reason, failed.at_ns) == (NOT_DURABLE, 99 + SECOND)


@pytest.mark.parametrize("what", ["halted", "ended", "stopping"])
def test_an_entry_that_is_not_wanted_any_more_does_not_leave(what: str) -> None:
    """Halted, looked for and not found, or taken back by the stop while it waited for the disk."""
    journal = SlowJournal()
    desk = Desk(journal)
    desk.execute(placement())
    desk.books.is_halted = what == "halted"
    desk.books.ended = {A} if what == "ended" else set()
    if what == "stopping":
        desk.router.give_back_entries(100)
    journal.futures[0].set_result(None)
    desk.router.release(100)
    assert desk.venue.submitted == []
    reasons = [one.reason for one in desk.failed if isinstance(one, SendFailed)]
    assert reasons == {"halted": [HALTED], "stopping": [STOPPING], "ended": []}[what]
    assert desk.counts.dropped == (what == "ended")


# -- the rate


@pytest.mark.proves("T7")
def test_entries_are_refused_beyond_their_share_and_the_engine_is_told() -> None:
    """At once: an entry that waits for a rate is an entry at a price that is gone."""
    desk = Desk()
    for number in range(9):
        desk.execute(placement(name=f"E{number}"))
    assert len(desk.venue.submitted) == 8
    [failed] = desk.failed
    assert isinstance(failed, SendFailed)
    assert (failed.order_id, failed.outcome, failed.reason) == ("E8", Outcome.NOT_SENT, NO_RATE)
    assert desk.counts.refused == 1
    assert desk.router.due_ns is None


@pytest.mark.proves("T7", "I-44")
def test_exits_wait_for_the_rate_and_are_never_dropped() -> None:
    """Thirty in one instant: ten each second, in their order, all of them."""
    desk = Desk()
    exits = [placement(Purpose.EXIT, f"X{number:02}") for number in range(30)]
    for one in exits:
        desk.execute(one)
    assert desk.counts.waiting == 20
    desk.run(99 + 10 * SECOND)
    assert [command for _, command in desk.venue.submitted] == exits
    assert [at_ns // SECOND for at_ns, _ in desk.venue.submitted] == [0] * 10 + [1] * 10 + [2] * 10
    assert desk.failed == []


@pytest.mark.proves("T7", "I-44")
def test_an_exit_has_what_entries_and_trailing_have_left_of_every_window() -> None:
    """The share of the hour is spent: nothing is entered, nothing trails, the exit leaves now."""
    desk = Desk()
    desk.router.resume(Sent(number * SECOND, None) for number in range(600))
    now_ns = 700 * SECOND
    desk.execute(placement(), now_ns)
    desk.execute(modify(is_ordinary=True), now_ns)
    assert [one.reason for one in desk.failed if isinstance(one, SendFailed)] == [NO_RATE] * 2
    desk.execute(placement(Purpose.EXIT, "X"), now_ns)
    desk.execute(modify(), now_ns)
    assert len(desk.venue.submitted) == 2
    assert desk.router.counts(now_ns).used == (2, 2, 602, 602)


@pytest.mark.proves("T7")
def test_a_trailing_stop_waits_a_moment_and_only_its_newest_values_leave() -> None:
    """Merged while it waits, given back when its price is stale, overtaken by its own exit."""
    desk = Desk()
    desk.use_up(8)
    for limit in (1, 2, 3):
        desk.execute(modify(limit, is_ordinary=True), 100)
    assert (desk.counts.waiting, desk.counts.merged) == (1, 2)
    desk.execute(modify(9), 101)
    assert desk.venue.submitted == [(101, modify(9))]
    desk.execute(modify(4, is_ordinary=True), 102)
    assert desk.run(98 + SECOND) == [], "all that left counts"
    assert desk.run(9 * SECOND) == [(99 + SECOND + TRAVEL_NS, modify(4, is_ordinary=True))]
    desk.use_up(20, 10 * SECOND)
    desk.execute(modify(5, is_ordinary=True), 10 * SECOND + 5)
    desk.use_up(9, 11 * SECOND - 1)
    assert desk.run(20 * SECOND) == []
    [failed] = desk.failed
    assert isinstance(failed, SendFailed)
    assert (failed.at_ns, failed.reason, failed.action) == (
        11 * SECOND + TRAVEL_NS + 5,
        NO_RATE,
        Action.MODIFY,
    )


@pytest.mark.proves("T7")
def test_what_is_used_up_by_others_is_not_assumed_to_be_free() -> None:
    """The journal's sends, rows that the record lacks, foreign orders: each counts once (T7)."""
    desk = Desk()
    decided = Decided(
        at_ns=50,
        cause=1,
        commands=(placement(name="J"), modify(), FindOrder(order_id=A), ReadFunds()),
        audits=(),
    )
    assert sent_of(decided) == (Sent(50, OrderId("J")), Sent(50, None))
    desk.router.resume(sent_of(decided))
    foreign = ForeignRow(
        broker_id=BrokerOrderId("F1"),
        instrument=placement().terms.instrument,
        product=placement().terms.product,
        side=placement().terms.side,
        quantity=65,
        filled_quantity=0,
        is_live=True,
    )
    for at_ns in (200, 300):
        desk.router.hear(book(at_ns, "J", "L", foreign=foreign))
        desk.router.hear(OrderUpdated(at_ns=at_ns, row=row("L")))
        desk.router.hear(ForeignUpdated(at_ns=at_ns, row=foreign))
    assert desk.counts.used[1:] == (4, 4, 4)
    for name in ("J", "L"):
        desk.execute(placement(Purpose.EXIT, name))
    assert desk.venue.submitted == []
    assert desk.counts.repeated == 2


def row(name: str, broker_id: str | None = None) -> OrderRow:
    """A row of an order that works."""
    return OrderRow(
        order_id=OrderId(name),
        broker_id=BrokerOrderId(broker_id or f"B-{name}"),
        status=BrokerStatus.WORKING,
        terms=placement().terms,
        filled_quantity=0,
        filled_value_paise=0,
        venue_at_ns=60,
    )


def book(at_ns: int, *names: str, foreign: ForeignRow | None = None, began_ns: int = 0) -> BookRead:
    """A pass over a book of these orders."""
    return replace(
        empty_book(at_ns, began_at_ns=began_ns or at_ns),
        orders=tuple(row(name) for name in names),
        foreign=() if foreign is None else (foreign,),
    )


# -- each id once


@pytest.mark.proves("RACE-3", "EXE-2", "GWL-5", "PLC-4")
def test_a_thousand_tasks_that_ask_for_one_exit_send_one() -> None:
    """Whoever asks, however often; and none in a process that has folded the record of the first."""
    desk, again = Desk(), Desk()
    exit_ = placement(Purpose.EXIT)

    async def ask(desk: Desk) -> None:
        await asyncio.sleep(0)
        desk.execute(exit_)

    async def story(desk: Desk) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(1_000):
                group.create_task(ask(desk))

    asyncio.run(story(desk))
    assert desk.venue.submitted == [(99, exit_)]
    assert (len(desk.failed), desk.counts.repeated) == (999, 999)
    again.router.resume(sent_of(Decided(at_ns=99, cause=1, commands=(exit_,), audits=())))
    asyncio.run(story(again))
    assert again.venue.submitted == []
    assert again.counts.repeated == 1_000


def test_an_id_that_waits_for_its_turn_counts_as_handed_over() -> None:
    """It will leave: a second one under its id would be a second order."""
    desk = Desk()
    desk.use_up(10)
    for _ in range(3):
        desk.execute(placement(Purpose.EXIT))
    assert desk.counts.waiting == 1
    assert [one for _, one in desk.run(2 * SECOND)] == [placement(Purpose.EXIT)]


# -- what did not leave, and what is outdated


@pytest.mark.proves("ORT-1", "ORT-6", "GWL-2", "I-46", "I-47")
@pytest.mark.parametrize(
    ("command", "action"),
    [
        (placement(Purpose.EXIT), Action.PLACE),
        (placement(Purpose.STOP), Action.PLACE),
        (modify(), Action.MODIFY),
        (CancelOrder(order_id=A, broker_id=B1), Action.CANCEL),
    ],
    ids=["exit", "stop", "modify", "cancel"],
)
def test_what_surely_did_not_leave_is_tried_three_times(
    command: AnyCommand, action: Action
) -> None:
    """By one owner, at 0.2 s doubled, a quarter more or less; then the engine hears of it."""
    desk = Desk()
    desk.execute(command)
    at_ns, waits = 99, []
    for _ in range(ATTEMPTS - 1):
        assert desk.fail(Outcome.NOT_SENT, action, at_ns=at_ns) is None
        [(left_ns, again)] = desk.run(at_ns + SECOND)
        assert again == command
        waits.append((left_ns - at_ns) / SECOND)
        at_ns = left_ns
    assert waits == [pytest.approx(0.2, rel=0.25), pytest.approx(0.4, rel=0.25)]
    heard = desk.fail(Outcome.NOT_SENT, action, at_ns=at_ns)
    assert isinstance(heard, SendFailed)
    assert len(desk.venue.submitted) == ATTEMPTS == 3
    assert (desk.counts.retried, desk.counts.failed) == (2, 3)
    assert desk.run(at_ns + 100 * SECOND)[1:] == []


@pytest.mark.proves("T7", "I-44")
def test_an_outage_takes_nothing_from_the_rate_of_the_exits_after_it() -> None:
    """World 1440: nothing could connect for minutes; the hour's requests were gone when it could."""
    desk = Desk()
    at_ns = 0
    for _ in range(500):
        at_ns += 2 * SECOND
        desk.execute(CancelOrder(order_id=A, broker_id=B1), at_ns)
        for _ in range(ATTEMPTS):
            left_ns, _ = desk.venue.submitted[-1]
            desk.fail(Outcome.NOT_SENT, Action.CANCEL, at_ns=left_ns)
            desk.run(left_ns + SECOND)
    assert len(desk.venue.submitted) >= 500 * ATTEMPTS
    desk.execute(placement(Purpose.EXIT, "X"), at_ns + SECOND)
    assert desk.venue.submitted[-1] == (at_ns + SECOND, placement(Purpose.EXIT, "X"))


@pytest.mark.parametrize("outcome", [Outcome.UNANSWERED, Outcome.REFUSED])
def test_what_may_have_reached_the_broker_stays_counted(outcome: Outcome) -> None:
    """Ten in a second, whatever came of them: the eleventh waits."""
    desk = Desk()
    for number in range(10):
        desk.execute(placement(Purpose.EXIT, f"X{number}"))
        desk.fail(outcome, name=f"X{number}")
    desk.execute(placement(Purpose.EXIT, "X10"))
    assert len(desk.venue.submitted) == 10


def test_the_wait_before_another_attempt_hangs_on_what_is_sent_alone() -> None:
    """The same in a replay, and not the same for everybody at once."""
    waits = {retry_ns(f"place/{number}", 1) for number in range(50)}
    assert len(waits) > 40
    assert min(waits) >= SECOND * 15 // 100
    assert max(waits) <= SECOND // 4
    assert retry_ns("place/1", 1) == retry_ns("place/1", 1)


@pytest.mark.proves("ORT-2", "ORT-7", "RACE-8", "I-45")
@pytest.mark.parametrize("outcome", [Outcome.UNANSWERED, Outcome.REFUSED])
def test_what_may_have_arrived_is_never_tried_again(outcome: Outcome) -> None:
    """An unanswered placement may exist, a refused one was answered: the engine decides (T3)."""
    desk = Desk()
    desk.execute(placement(Purpose.EXIT))
    event = SendFailed(at_ns=100, order_id=A, action=Action.PLACE, outcome=outcome)
    assert desk.router.hear(event) is event
    assert desk.run(100 * SECOND) == []
    assert desk.router.hear(replace(event, outcome=Outcome.NOT_SENT)) is not None, "nor after that"
    assert len(desk.venue.submitted) == 1


def test_entries_and_trailing_stops_are_not_tried_again() -> None:
    """Their price is gone; the engine hears of it at once."""
    desk = Desk()
    desk.execute(placement())
    desk.execute(modify(is_ordinary=True))
    for action in (Action.PLACE, Action.MODIFY):
        assert desk.fail(Outcome.NOT_SENT, action) is not None
    assert desk.run(100 * SECOND)[2:] == []


def test_what_is_tried_again_gives_way_to_newer_words_about_the_order() -> None:
    """A cancel takes the place of the modification that did not leave, and the reverse not at all."""
    desk = Desk()
    desk.execute(modify(1))
    desk.fail(Outcome.NOT_SENT, Action.MODIFY)
    cancel = CancelOrder(order_id=A, broker_id=B1)
    desk.execute(cancel, 101)
    assert [one for _, one in desk.run(SECOND)] == []
    assert desk.venue.submitted[1:] == [(101, cancel)]
    desk.use_up(10, 102)
    desk.execute(cancel, 103)
    assert desk.fail(Outcome.NOT_SENT, Action.CANCEL, at_ns=104) is None
    assert desk.counts.waiting == 1


@pytest.mark.proves("GWL-4")
@pytest.mark.parametrize("what", ["modify", "exit"])
def test_a_command_that_waited_is_checked_again_before_it_leaves(what: str) -> None:
    """Its position's fills changed: it never leaves, and the engine decides anew."""
    command = modify(fills=0) if what == "modify" else placement(Purpose.EXIT)
    outdated, current = Desk(), Desk()
    for desk in (outdated, current):
        desk.use_up(10)
        desk.execute(command)
    outdated.books.fills = 1
    assert outdated.run(2 * SECOND) == []
    assert [one for _, one in current.run(2 * SECOND)] == [command]
    [failed] = outdated.failed
    assert isinstance(failed, SendFailed)
    assert (failed.outcome, failed.is_outdated) == (Outcome.NOT_SENT, True)
    assert outdated.counts.outdated == 1


def test_what_was_sent_in_the_step_that_decided_it_is_not_checked() -> None:
    """The engine knew all there was to know; several fills may have been told in one step."""
    desk = Desk()
    desk.books.fills = 5
    desk.execute(modify(fills=4))
    assert len(desk.venue.submitted) == 1


@pytest.mark.proves("RACE-8", "ORT-7")
def test_an_order_that_the_engine_has_given_up_does_not_leave_late() -> None:
    """It was looked for, and another took its place: it would be the second."""
    desk = Desk()
    desk.execute(placement(Purpose.EXIT))
    desk.fail(Outcome.NOT_SENT)
    desk.books.ended = {A}
    assert desk.run(SECOND) == []
    assert (desk.counts.dropped, desk.failed) == (1, [])


@pytest.mark.proves("RACE-8", "T3")
def test_a_book_cannot_show_an_order_absent_that_only_just_left() -> None:
    """The engine counts from the decision; a pass that began too soon after it left is no evidence."""
    desk = Desk()
    desk.execute(placement(Purpose.EXIT))
    early = book(100)
    assert desk.router.hear(early) is early
    desk.fail(Outcome.NOT_SENT, at_ns=99 + LATE_NS)
    [(left_ns, _)] = desk.run(SECOND)
    for began_ns in (left_ns - 1, left_ns + UNSEEN_NS - 1):
        told = desk.router.hear(book(left_ns + 9 * SECOND, began_ns=began_ns))
        assert isinstance(told, ReadFailed)
        assert told.what == "book"
    later = book(left_ns + UNSEEN_NS, "Z")
    assert desk.router.hear(later) is later


# -- the breaker


def broken(at_ns: int = 100) -> Desk:
    """The order path has failed too often, its line being up."""
    desk = Desk()
    up = LinkChanged(at_ns=99, link=Link.ORDERS, is_up=True)
    assert desk.router.hear(up) is up
    for _ in range(FAILURES_MAX):
        desk.fail(Outcome.UNANSWERED, at_ns=at_ns)
    return desk


@pytest.mark.proves("ORT-4", "CBR-1")
def test_repeated_failures_are_journaled_as_the_order_path_being_down() -> None:
    """Once, so that the engine enters nothing and a replay sees why; a person is called."""
    desk = broken()
    [down] = desk.failed
    assert isinstance(down, LinkChanged)
    assert (down.link, down.is_up, down.at_ns) == (Link.ORDERS, False, 100)
    assert [one.severity for one in desk.told] == [Severity.ALARM]
    desk.execute(placement(), 101)
    assert desk.venue.submitted == []
    assert [one.reason for one in desk.failed if isinstance(one, SendFailed)] == [NO_PATH]
    assert (desk.counts.breaker, desk.counts.breaker_opened) == ("open", 1)


@pytest.mark.proves("CBR-4", "T7")
def test_an_open_breaker_stops_no_exit() -> None:
    """Nor a stop, a cancel, a modification, a search or the book; polls it does."""
    desk = broken()
    through: list[AnyCommand] = [
        placement(Purpose.EXIT, "X"),
        placement(Purpose.STOP, "S"),
        modify(),
        CancelOrder(order_id=A, broker_id=B1),
        FindOrder(order_id=A),
    ]
    for command in (*through, FindOrder(order_id=A, is_poll=True)):
        desk.execute(command, 101)
    assert [command for _, command in desk.venue.submitted] == through
    assert desk.counts.polls_left_out == 1


@pytest.mark.proves("ORT-4")
@pytest.mark.parametrize("is_up", [True, False])
def test_the_breaker_probes_by_a_read_and_gives_the_line_back_as_it_is(is_up: bool) -> None:  # noqa: FBT001
    """The engine hears that the path is up only if its line is; meanwhile nothing of the line."""
    desk = broken()
    assert desk.router.due_ns == 100 + PROBE_AFTER_NS
    if not is_up:
        down = LinkChanged(at_ns=200, link=Link.ORDERS, is_up=False)
        assert desk.router.hear(down) is None
    [(probed_ns, probe)] = desk.run(100 + PROBE_AFTER_NS)
    assert probe == ReadFunds()
    desk.run(probed_ns + ANSWER_NS)
    assert desk.counts.breaker == "open"
    [(probed_ns, _)] = desk.run(probed_ns + ANSWER_NS + 2 * PROBE_AFTER_NS)
    desk.router.hear(FundsRead(at_ns=probed_ns + 5, available_paise=1))
    assert desk.counts.breaker == "closed"
    up = [one for one in desk.failed if isinstance(one, LinkChanged) and one.is_up]
    assert [one.at_ns for one in up] == [probed_ns + 5] * is_up
    assert desk.router.due_ns is None


@pytest.mark.proves("CBR-1")
def test_a_refusal_is_an_answer_and_closes_the_breaker() -> None:
    """Somebody is there; five refusals never open it either."""
    desk = broken()
    desk.execute(placement(Purpose.EXIT, "X"), 101)
    refused = SendFailed(
        at_ns=102,
        order_id=OrderId("X"),
        action=Action.PLACE,
        outcome=Outcome.REFUSED,
        refusal=Refusal.BAND,
    )
    for _ in range(9):
        assert desk.router.hear(refused) is refused
    assert desk.counts.breaker == "closed"


# -- polls and figures


def test_an_order_is_polled_once_at_a_time_and_told_when_something_is_new() -> None:
    """Beyond the rate of reads polls are left out: the next one comes in a second."""
    desk = Desk()
    poll = FindOrder(order_id=A, is_poll=True)
    told = []
    for number in range(4):
        at_ns = 99 + number * SECOND
        desk.execute(poll, at_ns)
        desk.execute(poll, at_ns + 1)
        answer = OrderUpdated(at_ns=at_ns + 2, row=row("A"), is_read=True)
        told.append(desk.router.hear(answer) is answer)
    assert told == [True, False, True, False]
    assert len(desk.venue.submitted) == 4
    assert (desk.counts.polls_left_out, desk.counts.answers_left_out) == (4, 2)
    many = Desk()
    for number in range(30):
        many.execute(FindOrder(order_id=OrderId(f"O{number}"), is_poll=True))
        many.execute(FindOrder(order_id=OrderId(f"S{number}")))
    asked = [one for _, one in many.venue.submitted if isinstance(one, FindOrder)]
    assert 0 < sum(one.is_poll for one in asked) <= 10
    many.run(10 * SECOND)
    searched = [
        one for _, one in many.venue.submitted if isinstance(one, FindOrder) and not one.is_poll
    ]
    assert len(searched) == 30, "a search is never left out"


def test_a_search_that_found_nothing_ends_the_question() -> None:
    """Failed or not found: the order may be polled again."""
    desk = Desk()
    poll = FindOrder(order_id=A, is_poll=True)
    desk.execute(poll)
    desk.router.hear(ReadFailed(at_ns=100, what="order A", reason="not found"))
    desk.execute(poll, 101)
    desk.fail(Outcome.UNANSWERED, Action.FIND, at_ns=102)
    desk.execute(poll, 103)
    assert len(desk.venue.submitted) == 3


@pytest.mark.proves("ORT-5")
def test_attempts_failures_and_how_long_the_broker_took_are_counted() -> None:
    """The slowest answer to a placement, in milliseconds from when it left."""
    desk = Desk()
    for name, after_ns in (("A", 40_000_000), ("B", 7_000_000)):
        desk.execute(placement(Purpose.EXIT, name))
        answer = OrderAcknowledged(
            at_ns=99 + after_ns, order_id=OrderId(name), broker_id=BrokerOrderId(name)
        )
        assert desk.router.hear(answer) is answer
    assert (desk.counts.answered, desk.counts.slowest_ms) == (2, 40)
    assert desk.router.sent == 2


@pytest.mark.proves("ORT-3", "EXE-6")
@pytest.mark.parametrize("error", [ConnectionResetError("gone"), DataRefused("a", "b", "c")])
def test_a_venue_that_raises_has_not_answered(error: Exception) -> None:
    """The router never does: each request ends in one event, with class and message (design 6)."""
    desk = Desk()

    def submit(command: AnyCommand, at_ns: int) -> None:  # noqa: ARG001 a venue's door
        raise error

    desk.venue.submit = submit  # type: ignore[method-assign]
    commands: list[AnyCommand] = [
        placement(Purpose.EXIT),
        FindOrder(order_id=A),
        ReadBook(),
        ReadFunds(),
    ]
    for command in commands:
        desk.execute(command)
    text = f"{type(error).__name__}: {error}"
    place, find, *reads = desk.failed
    assert isinstance(place, SendFailed)
    assert isinstance(find, SendFailed)
    assert (place.action, place.outcome, place.reason) == (Action.PLACE, Outcome.UNANSWERED, text)
    assert (find.action, find.outcome) == (Action.FIND, Outcome.UNANSWERED)
    assert [one.what for one in reads if isinstance(one, ReadFailed)] == ["book", "ReadFunds"]
    assert desk.counts.failed == 2
