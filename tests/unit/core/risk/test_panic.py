"""Panic in its order, known to be done by evidence, with the broker's guards at its end (T25)."""

import pytest
from msgspec.structs import replace

from holdfast.core.orders.ids import OrderReason, order_id
from holdfast.core.risk.panic import STUCK_NS, Stage, left, stage
from holdfast.core.settings import GuardSettings
from holdfast.domain.audit import Anomaly, ExitDecided, Halted
from holdfast.domain.book import ForeignRow
from holdfast.domain.command import (
    BrokerKillSwitch,
    CancelOrder,
    ExitAll,
    ModifyOrder,
    Notify,
    PlaceOrder,
    ReadBook,
)
from holdfast.domain.decision import HaltLevel
from holdfast.domain.event import (
    Action,
    Guard,
    GuardAnswered,
    Link,
    LinkChanged,
    OperatorRequest,
    Outcome,
)
from holdfast.domain.instrument import InstrumentId, Product
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderRow,
    OrderType,
    Purpose,
    Refusal,
    Side,
)
from tests.support.desk import CALL, PUT, Desk


class Panicking:
    """A desk that holds 195 calls with a resting stop while an entry for puts works, in panic."""

    def __init__(self, *, guards: GuardSettings | None = None) -> None:
        self.desk = Desk(guards=GuardSettings() if guards is None else guards)
        self.desk.at(60).spot()
        self.stop = self.desk.hold_by_hand(Side.BUY)
        self.entered = self.desk.all(PlaceOrder)[0]
        self.entry = self.desk.intend(Side.BUY, instrument=PUT)
        self.desk.acknowledge(self.entry.order_id)
        self.desk.row(self.entry.order_id, terms=self.entry.terms)
        self.desk.forget()
        self.desk.ask_operator(OperatorRequest.PANIC)

    def stage(self) -> Stage:
        """How far it has come."""
        return stage(self.desk.state)

    def halt(self) -> HaltLevel:
        """How far the account is halted."""
        return self.desk.engine.halt

    def rows(self) -> list[OrderRow]:
        """The broker's book of our orders, as they stand."""
        desk = self.desk
        made = []
        for placed in (self.entered, self.stop, self.entry):
            order = desk.state.orders[placed.order_id]
            assert order.seen is not None
            made.append(
                desk.book_row(
                    placed,
                    order.status or BrokerStatus.WORKING,
                    terms=order.seen,
                    filled=order.filled_quantity,
                    price=100.0,
                    venue_ns=order.venue_at_ns,
                )
            )
        return made

    def end_entry(self, word: BrokerStatus = BrokerStatus.CANCELLED) -> None:
        """The working entry is seen at its end: its cancel is answered."""
        self.desk.row(self.entry.order_id, word, terms=self.entry.terms, is_read=True)

    def fill_exit(self) -> None:
        """The exit fills at 100."""
        terms = self.desk.last(ModifyOrder).terms
        self.desk.row(self.stop.order_id, BrokerStatus.FILLED, terms=terms, filled=195, price=100.0)

    def finish(self) -> None:
        """A second later nothing of ours works or is held."""
        self.end_entry()
        self.desk.at(61)
        self.fill_exit()

    def place_anew(self) -> PlaceOrder:
        """The stop that was to become the exit is seen dead; the exit that takes its place."""
        self.desk.row(
            self.stop.order_id, BrokerStatus.REJECTED, terms=self.stop.terms, is_read=True
        )
        placed = self.desk.last(PlaceOrder)
        assert placed.purpose is Purpose.EXIT
        return placed


def owners(side: Side, quantity: int, *, is_live: bool = False) -> ForeignRow:
    """An order of the owner's for calls: filled, or still working with nothing filled."""
    return ForeignRow(
        broker_id=BrokerOrderId("X1"),
        instrument=CALL.id,
        product=Product.INTRADAY,
        side=side,
        quantity=quantity,
        filled_quantity=0 if is_live else quantity,
        is_live=is_live,
    )


@pytest.mark.proves("T25")
def test_the_halt_comes_first_then_entries_then_exits() -> None:
    """In one step: written, the entry taken back, the stop made the exit."""
    panic = Panicking()
    assert panic.desk.told(Halted) == [Halted(level=HaltLevel.PANIC, reason="test")]
    kinds = [c for c in panic.desk.commands if isinstance(c, CancelOrder | ModifyOrder)]
    assert [(type(c), c.order_id) for c in kinds] == [
        (CancelOrder, panic.entry.order_id),
        (ModifyOrder, panic.stop.order_id),
    ]
    assert panic.stage() is Stage.ENTRIES


@pytest.mark.proves("T25")
def test_a_panic_goes_through_its_stages_and_ends_with_a_stable_read() -> None:
    """Flat is what two passes show that begin three seconds after the last order: not our fold."""
    panic = Panicking()
    panic.end_entry()
    assert panic.stage() is Stage.CLOSING
    assert left(panic.desk.state)[0] == f"SELL 195 {CALL.symbol}"
    panic.desk.at(61)
    panic.fill_exit()
    assert panic.stage() is Stage.VERIFYING
    panic.desk.forget()
    panic.desk.at(62.5)
    assert panic.desk.all(ReadBook) != []
    panic.desk.read_book(*panic.rows(), seconds=63)
    assert panic.stage() is Stage.VERIFYING, "a read so early proves nothing"
    panic.desk.at(65).book(*panic.rows())
    assert panic.stage() is Stage.FLAT
    assert left(panic.desk.state) == ()
    assert any("flat of ours" in told.text for told in panic.desk.all(Notify))
    assert panic.desk.all(BrokerKillSwitch) == [], "nobody configured it"


@pytest.mark.proves("T25", "I-67")
@pytest.mark.parametrize("case", ["one pass", "passes differ", "net left", "order works"])
def test_a_book_that_does_not_show_it_is_not_flat(case: str) -> None:
    """One pass, two that differ, contracts of ours, an order of ours at work."""
    panic = Panicking()
    panic.end_entry()
    panic.desk.at(61)
    panic.fill_exit()
    rows = panic.rows()
    panic.desk.at(70)
    if case == "one pass":
        panic.desk.state.book.last = None
        panic.desk.book(*rows)
    elif case == "passes differ":
        panic.desk.book(*rows, nets={CALL: 65})
        panic.desk.book(*rows)
    elif case == "net left":
        panic.desk.book(*rows, nets={CALL: 65})
        panic.desk.book(*rows, nets={CALL: 65})
    else:
        lives = [*rows[:-1], panic.desk.book_row(panic.entry)]
        panic.desk.book(*lives)
        panic.desk.book(*lives)
    assert panic.stage() is not Stage.FLAT


@pytest.mark.proves("T25")
def test_an_order_of_ours_that_nobody_here_knows_keeps_a_book_from_being_flat() -> None:
    """A lost record's order works at the broker: it could still fill, whatever our fold says."""
    panic = Panicking()
    panic.finish()
    reason = OrderReason(Purpose.STOP, position=9, attempt=1)
    lost = replace(panic.stop, order_id=order_id(panic.desk.state.settings.id_prefix, reason))
    panic.desk.at(70)
    orphan = panic.desk.book_row(lost)
    panic.desk.read_book(*panic.rows(), orphan, seconds=70)
    panic.desk.read_book(*panic.rows(), orphan, seconds=74)
    assert [one.order_id for one in panic.desk.all(CancelOrder)][-1] == lost.order_id
    assert panic.stage() is Stage.VERIFYING
    dead = replace(orphan, status=BrokerStatus.CANCELLED)
    panic.desk.read_book(*panic.rows(), dead, seconds=78)
    assert panic.stage() is Stage.FLAT


@pytest.mark.proves("T25")
def test_nothing_held_is_flat_whatever_others_are_said_to_have_done() -> None:
    """Their order explains a net that the broker does not show: there is nothing to close."""
    panic = Panicking()
    panic.finish()
    panic.desk.read_book(
        *panic.rows(), seconds=70, foreign=(owners(Side.SELL, 65),), nets={CALL: 0}
    )
    assert panic.stage() is Stage.FLAT


@pytest.mark.proves("T25")
def test_what_the_owner_holds_there_does_not_keep_a_panic_from_its_end() -> None:
    """His orders explain what is left; the kill switch, which demands an empty account, is not asked."""
    panic = Panicking(guards=GuardSettings(kill_switch=True))
    panic.finish()
    panic.desk.read_book(*panic.rows(), seconds=70, foreign=(owners(Side.BUY, 65),))
    assert panic.stage() is Stage.FLAT
    assert panic.desk.all(BrokerKillSwitch) == []
    told = [one for one in panic.desk.told(Anomaly) if "kill switch" in one.what]
    assert [one.values["in_the_way"] for one in told] == [str(CALL.id)]


@pytest.mark.proves("T25")
def test_the_kill_switch_is_asked_last_and_for_an_empty_account() -> None:
    """Not before flat is verified; refused once, it is asked again, and then left alone."""
    panic = Panicking(guards=GuardSettings(kill_switch=True))
    panic.end_entry()
    panic.desk.at(61)
    panic.fill_exit()
    assert panic.desk.all(BrokerKillSwitch) == []
    panic.desk.read_book(*panic.rows(), seconds=70)
    assert len(panic.desk.all(BrokerKillSwitch)) == 1
    no = GuardAnswered(
        at_ns=panic.desk.now, guard=Guard.KILL_SWITCH, is_done=False, reason="pending"
    )
    panic.desk.tell(no)
    panic.desk.at(99)
    assert len(panic.desk.all(BrokerKillSwitch)) == 1
    panic.desk.at(101)
    assert len(panic.desk.all(BrokerKillSwitch)) == 2
    yes = GuardAnswered(at_ns=panic.desk.now, guard=Guard.KILL_SWITCH, is_done=True)
    panic.desk.tell(yes)
    panic.desk.book(*panic.rows())
    panic.desk.forget()
    panic.desk.at(200)
    assert panic.desk.all(BrokerKillSwitch) == []
    assert panic.desk.all(ReadBook) == [], "nothing is waited for any more"


def refuse_everything(panic: Panicking, until: int) -> None:
    """Whatever is asked about an order is refused for its address, packets go on."""
    desk = panic.desk
    for second in range(61, until + 1):
        seen = len(desk.commands)
        desk.at(second).tick()
        for command in desk.commands[seen - 1 :]:
            action = {PlaceOrder: Action.PLACE, ModifyOrder: Action.MODIFY}.get(type(command))
            if action is not None:
                assert isinstance(command, PlaceOrder | ModifyOrder)
                desk.fail(command.order_id, action, Outcome.REFUSED, Refusal.IP)


@pytest.mark.proves("T25")
@pytest.mark.parametrize("allowed", [True, False])
def test_the_broker_closes_what_we_cannot_after_half_a_minute(*, allowed: bool) -> None:
    """Only where the owner has allowed it: it closes his positions too."""
    panic = Panicking(guards=GuardSettings(exit_all=allowed))
    panic.end_entry()
    panic.desk.fail(panic.stop.order_id, Action.MODIFY, Outcome.REFUSED, Refusal.IP)
    refuse_everything(panic, 60 + STUCK_NS // 1_000_000_000 - 1)
    assert panic.desk.all(ExitAll) == []
    refuse_everything(panic, 60 + STUCK_NS // 1_000_000_000 + 1)
    assert len(panic.desk.all(ExitAll)) == int(allowed)
    alarms = [one.text for one in panic.desk.all(Notify) if "panic is not done" in one.text]
    assert alarms
    assert f"SELL 195 {CALL.symbol}" in alarms[-1]


@pytest.mark.proves("T25")
def test_a_dead_order_path_calls_the_broker_too() -> None:
    """Nothing is refused, nothing is answered: the shell says that the path is down."""
    panic = Panicking(guards=GuardSettings(exit_all=True))
    panic.end_entry()
    panic.desk.tell(LinkChanged(at_ns=panic.desk.now, link=Link.ORDERS, is_up=False))
    panic.desk.at(95)
    assert len(panic.desk.all(ExitAll)) == 1
    assert panic.desk.all(ReadBook) != [], "what it does is read, not assumed"
    panic.desk.tell(GuardAnswered(at_ns=panic.desk.now, guard=Guard.EXIT_ALL, is_done=True))
    assert panic.stage() is Stage.CLOSING, "its answer is no evidence"


@pytest.mark.proves("T25")
def test_an_exit_that_rests_at_the_broker_is_closing() -> None:
    """However far the price runs away: exit-all would sell it a second time."""
    panic = Panicking(guards=GuardSettings(exit_all=True))
    panic.end_entry()
    for second in range(61, 130):
        panic.desk.row(panic.stop.order_id, terms=panic.desk.last(ModifyOrder).terms)
        panic.desk.at(second).tick()
    assert panic.desk.last(ModifyOrder).terms.order_type is OrderType.LIMIT
    panic.desk.tell(LinkChanged(at_ns=panic.desk.now, link=Link.ORDERS, is_up=False))
    panic.desk.at(135)
    assert panic.desk.all(ExitAll) == []


@pytest.mark.proves("T25")
def test_a_late_fill_of_the_entry_is_closed_too() -> None:
    """The cancel lost the race: the panic goes back to closing."""
    panic = Panicking()
    panic.desk.at(61)
    panic.fill_exit()
    panic.desk.row(
        panic.entry.order_id,
        BrokerStatus.CANCELLED,
        terms=panic.entry.terms,
        filled=65,
        price=100.0,
        is_read=True,
    )
    assert panic.stage() is Stage.CLOSING
    panic.desk.at(62)
    decided = {(one.position, one.exit.rule) for one in panic.desk.told(ExitDecided)}
    assert (2, "kill_switch") in decided
    closer = panic.desk.last(PlaceOrder)
    assert (closer.position, closer.terms.side, closer.terms.quantity) == (2, Side.SELL, 65)


def test_an_unlock_ends_the_panic_once_all_is_clean() -> None:
    """Not while something of ours is held; afterwards a new panic begins from nothing."""
    panic = Panicking()
    panic.desk.ask_operator(OperatorRequest.UNLOCK)
    assert panic.halt() is HaltLevel.PANIC
    panic.end_entry()
    panic.desk.at(61)
    panic.fill_exit()
    panic.desk.read_book(*panic.rows(), seconds=70)
    panic.desk.ask_operator(OperatorRequest.UNLOCK)
    assert panic.halt() is HaltLevel.NONE
    assert panic.stage() is Stage.NONE
    assert panic.desk.state.guard.panic_since_ns is None


@pytest.mark.proves("T25")
def test_a_panic_goes_on_after_a_restart() -> None:
    """What the process before could not finish this one does; the halt never expires."""
    panic = Panicking(guards=GuardSettings(exit_all=True))
    panic.end_entry()
    panic.desk.restart(300, links=False)
    assert panic.stage() is Stage.CLOSING
    panic.desk.at(305)
    assert len(panic.desk.all(ExitAll)) == 1


@pytest.mark.parametrize("request_", [OperatorRequest.FLATTEN, OperatorRequest.PAUSE])
def test_a_lesser_halt_asks_no_guard(request_: OperatorRequest) -> None:
    """FLATTEN closes and is no panic; PAUSE keeps what is held; CLOSE concerns one position."""
    desk = Desk(guards=GuardSettings(exit_all=True, kill_switch=True))
    desk.at(60).spot()
    desk.hold_by_hand(Side.BUY)
    desk.ask_operator(request_)
    desk.tell(LinkChanged(at_ns=desk.now, link=Link.ORDERS, is_up=False))
    desk.at(120)
    assert desk.all(ExitAll) == []
    assert desk.all(BrokerKillSwitch) == []
    assert stage(desk.state) is Stage.NONE
    assert InstrumentId(CALL.id) in desk.state.held


@pytest.mark.proves("T25")
def test_an_order_that_comes_back_to_life_is_ended_before_the_book_is_asked() -> None:
    """Nothing is held any more, and what the broker has revived could open a position."""
    panic = Panicking()
    panic.end_entry()
    placed = panic.place_anew()
    panic.desk.acknowledge(placed.order_id)
    panic.desk.at(61).fill(placed, price=100.0)
    assert panic.stage() is Stage.VERIFYING
    panic.desk.at(62).row(panic.stop.order_id, terms=panic.stop.terms)
    assert panic.stage() is Stage.ORDERS
    number = panic.desk.broker_id(panic.stop.order_id)
    assert left(panic.desk.state) == (f"CANCEL {panic.stop.order_id} ({number})",)


@pytest.mark.proves("T25")
def test_what_was_flat_is_read_again_after_anything_came_to_life() -> None:
    """An older verdict proves nothing of what happened since."""
    panic = Panicking()
    panic.end_entry(BrokerStatus.REJECTED)
    panic.desk.at(61)
    panic.fill_exit()
    panic.desk.read_book(*panic.rows(), seconds=70)
    assert panic.stage() is Stage.FLAT
    panic.desk.at(71).row(panic.entry.order_id, terms=panic.entry.terms)
    assert panic.stage() is Stage.ENTRIES
    panic.desk.at(73)
    panic.end_entry()
    assert panic.stage() is Stage.VERIFYING


@pytest.mark.proves("T25")
def test_what_others_have_closed_is_not_to_be_closed() -> None:
    """The owner sold all of it: our exit is taken back, nobody is told to sell it by hand."""
    panic = Panicking()
    panic.end_entry()
    panic.desk.foreign(owners(Side.SELL, 195))
    assert panic.stage() is Stage.ORDERS
    assert not [todo for todo in left(panic.desk.state) if todo.startswith("SELL")]


def stuck_exit() -> tuple[Panicking, PlaceOrder]:
    """A panic whose exit was placed anew, and of which nothing has been heard."""
    panic = Panicking(guards=GuardSettings(exit_all=True))
    panic.end_entry()
    return panic, panic.place_anew()


@pytest.mark.proves("T25")
def test_an_exit_that_the_broker_never_took_is_not_closing() -> None:
    """It may never have arrived; with a dead path the broker must close."""
    panic, _ = stuck_exit()
    panic.desk.tell(LinkChanged(at_ns=panic.desk.now, link=Link.ORDERS, is_up=False))
    panic.desk.at(95)
    assert len(panic.desk.all(ExitAll)) == 1


@pytest.mark.proves("T25")
@pytest.mark.parametrize("is_refused", [True, False])
def test_while_orders_get_through_the_broker_closes_nothing(*, is_refused: bool) -> None:
    """Calls succeed and the exit is on its way; one that is refused again and again is not."""
    panic, placed = stuck_exit()
    desk = panic.desk
    for second in range(61, 95):
        if is_refused:
            desk.fail(placed.order_id, Action.PLACE, Outcome.REFUSED, Refusal.OTHER)
        desk.at(second).tick()
        desk.answer_poll()
        placed = desk.last(PlaceOrder)
    assert len(desk.all(ExitAll)) == int(is_refused)


@pytest.mark.proves("T25")
def test_what_the_brokers_exit_all_does_is_read_each_second() -> None:
    """Its answer is no evidence, and neither is its silence."""
    panic, _ = stuck_exit()
    panic.desk.tell(LinkChanged(at_ns=panic.desk.now, link=Link.ORDERS, is_up=False))
    panic.desk.at(95)
    for second in (96, 97, 98):
        panic.desk.book(*panic.rows())
        panic.desk.forget()
        panic.desk.at(second)
        assert panic.desk.all(ReadBook) != []


@pytest.mark.proves("T25")
def test_what_is_left_is_told_each_half_minute() -> None:
    """A person hears it for as long as it lasts."""
    panic, _ = stuck_exit()
    alarms = []
    for second in (89, 91, 119, 121, 151):
        panic.desk.at(second)
        told = [one for one in panic.desk.all(Notify) if "panic is not done" in one.text]
        alarms.append(len(told))
    assert alarms == [0, 1, 1, 2, 3]


@pytest.mark.proves("T25")
def test_the_kill_switch_waits_until_the_owners_order_is_gone() -> None:
    """It demands an account without orders, anybody's: told once, and looked for each half minute."""
    panic = Panicking(guards=GuardSettings(kill_switch=True))
    panic.finish()
    works = (owners(Side.BUY, 65, is_live=True),)
    panic.desk.read_book(*panic.rows(), seconds=70, foreign=works)
    assert panic.stage() is Stage.FLAT
    assert panic.desk.all(BrokerKillSwitch) == []
    told = [one for one in panic.desk.told(Anomaly) if "kill switch" in one.what]
    assert [one.values["in_the_way"] for one in told] == ["X1"]
    panic.desk.forget()
    panic.desk.at(99)
    assert panic.desk.all(ReadBook) == []
    panic.desk.at(101)
    assert len(panic.desk.all(ReadBook)) == 1
    assert [one for one in panic.desk.told(Anomaly) if "kill switch" in one.what] == []
    panic.desk.read_book(*panic.rows(), seconds=102)
    panic.desk.at(104)
    assert len(panic.desk.all(BrokerKillSwitch)) == 1
