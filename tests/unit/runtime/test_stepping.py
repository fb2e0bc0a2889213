"""One step, its fault kept."""

from holdfast.core.engine import NOTHING, Step
from holdfast.domain.event import AnyEvent, FundsRead
from holdfast.domain.order import BrokerStatus
from holdfast.runtime.stepping import StepFault, attempt, leave_out
from tests.support.desk import Desk

EVENT = FundsRead(at_ns=1, available_paise=1)


def test_what_a_step_answers_is_answered() -> None:
    """The step itself, not a copy."""
    assert attempt(lambda _: NOTHING, EVENT) is NOTHING


def test_what_it_raises_is_a_value() -> None:
    """With class and message, in words."""

    def broken(event: AnyEvent) -> Step:
        raise ZeroDivisionError(f"at {event.at_ns}")

    assert attempt(broken, EVENT) == StepFault(error="ZeroDivisionError: at 1")


def test_an_event_that_is_left_out_still_moves_the_books() -> None:
    """Its fill is money; nothing is decided about it, and the engine is disarmed."""
    desk = Desk()
    entry = desk.enter()
    desk.acknowledge(entry.order_id)
    row = desk.book_row(entry, BrokerStatus.FILLED, filled=195)
    told = desk.row_event(row)
    assert leave_out(desk.engine, 99, told) is NOTHING
    position = desk.state.positions[1]
    assert (position.open_quantity, desk.engine.left_out) == (195, (99,))
    assert position.realised_paise == 0
    assert desk.state.fills == 1


def test_what_not_even_the_books_can_take_is_left_out_altogether() -> None:
    """The start goes on all the same."""
    desk = Desk()
    entry = desk.enter()
    del desk.state.positions[1]
    told = desk.row_event(desk.book_row(entry, BrokerStatus.FILLED, filled=195))
    assert leave_out(desk.engine, 7, told) is NOTHING
    assert desk.engine.left_out == (7,)


def test_a_deadline_that_cannot_be_stepped_is_dropped_and_the_sweep_comes_back() -> None:
    """Else the driver would call for it for ever."""
    desk = Desk()
    desk.hold()
    due = desk.engine.deadline_ns
    assert due is not None
    leave_out(desk.engine, 5, desk.timer(due))
    after = desk.engine.deadline_ns
    assert after is not None
    assert due < after <= due + 1_000_000_000
