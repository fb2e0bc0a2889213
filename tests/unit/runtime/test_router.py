"""The router: each id is handed over once, and only an entry waits for the disk."""

import pytest
import structlog

from holdfast.domain.command import (
    AnyCommand,
    CancelOrder,
    FindOrder,
    ModifyOrder,
    Notify,
    PlaceOrder,
    ReadFunds,
    ReadQuotes,
    Severity,
    Subscribe,
)
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import Action, AnyEvent, Outcome, SendFailed
from holdfast.domain.order import BrokerOrderId, OrderId, Purpose
from holdfast.runtime import router as module
from holdfast.runtime.router import Router
from tests.support.desk import SECOND
from tests.support.shell import MemoryJournal, ToldVenue, placement


class Desk:
    """A router between a venue and a journal; what it could not send is in `failed`."""

    def __init__(self) -> None:
        self.venue, self.journal = ToldVenue(), MemoryJournal()
        self.failed: list[AnyEvent] = []
        self.router = Router(self.venue, self.journal, self.failed.append)

    def execute(self, command: AnyCommand) -> None:
        self.router.execute(command, sequence=7, at_ns=99)


A, B1 = OrderId("A"), BrokerOrderId("B1")


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
