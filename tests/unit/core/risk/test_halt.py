"""Halt levels only rise by themselves; a person alone lifts them, and not the day's loss."""

import itertools
from collections.abc import Callable

import pytest

from holdfast.core.orders import asking
from holdfast.core.orders.ids import OrderReason
from holdfast.core.readiness import first_failing
from holdfast.core.risk import protection
from holdfast.core.risk.halt import raise_halt, resume, take_request, unlock
from holdfast.core.state import Drifted, State
from holdfast.domain.audit import Anomaly, DriftKind, Halted
from holdfast.domain.command import Notify, Severity
from holdfast.domain.decision import HaltLevel
from holdfast.domain.event import OperatorAsked, OperatorRequest
from holdfast.domain.instrument import BrokerKey, Product
from holdfast.domain.order import Purpose
from tests.support.by_hand import NOW, a_position, held, ready_state
from tests.support.desk import CALL

LEVELS = [HaltLevel.NONE, HaltLevel.PAUSE, HaltLevel.FLATTEN, HaltLevel.PANIC]


@pytest.mark.parametrize(("present", "asked"), list(itertools.product(LEVELS, LEVELS)))
def test_a_halt_is_raised_and_never_lowered(present: HaltLevel, asked: HaltLevel) -> None:
    """For each pair of levels: the higher stands, with its reason, and only a rise is told."""
    state = ready_state()
    state.halt, state.halt_reason = present, "before"
    raise_halt(state, asked, "now")
    rises = LEVELS.index(asked) > LEVELS.index(present)
    assert (state.halt, state.halt_reason) == ((asked, "now") if rises else (present, "before"))
    assert state.out.audits == ([Halted(level=asked, reason="now")] if rises else [])
    text = f"halted ({asked.value}): now"
    assert state.out.commands == ([Notify(severity=Severity.ALARM, text=text)] if rises else [])


LIFTS = [
    (resume, HaltLevel.PAUSE),
    (unlock, HaltLevel.PAUSE),
    (unlock, HaltLevel.FLATTEN),
    (unlock, HaltLevel.PANIC),
]


@pytest.mark.parametrize(("lift", "level"), LIFTS)
def test_a_person_lifts_a_halt_with_a_reason(
    lift: Callable[[State, str], None], level: HaltLevel
) -> None:
    """A pause is resumed, any halt unlocked: told with the reason, a failed rule gets another chance."""
    state = ready_state()
    raise_halt(state, level, "why")
    state.rules_failed = True
    state.out.audits.clear()
    state.out.commands.clear()
    lift(state, "looked at it")
    assert (state.halt, state.halt_reason) == (HaltLevel.NONE, "looked at it")
    assert state.rules_failed is False
    assert state.out.audits == [Halted(level=HaltLevel.NONE, reason="looked at it")]
    assert state.out.commands == []


@pytest.mark.parametrize("level", [HaltLevel.FLATTEN, HaltLevel.PANIC])
def test_a_resume_does_not_lift_what_closed_everything(level: HaltLevel) -> None:
    """A slip of the finger after a panic would let entries through: it is told and stands."""
    state = ready_state()
    raise_halt(state, level, "why")
    resume(state, "go on")
    assert (state.halt, state.halt_reason) == (level, "why")
    assert [told.what for told in state.out.audits if isinstance(told, Anomaly)] == [
        "a resume lifts a pause only, unlock it"
    ]


def holds(state: State) -> None:
    held(state, a_position())


def has_a_live_order(state: State) -> None:
    position = a_position(2, quantity=0)
    held(state, position)
    terms = protection.stop_terms(state, a_position(), quantity=195)
    asking.place(state, position, OrderReason(Purpose.ENTRY, 2, 1, 0), terms=terms)


def has_read_nothing(state: State) -> None:
    state.book.open_points = ("not read since the start",)


def has_a_difference(state: State) -> None:
    state.drifts[BrokerKey(CALL.id, Product.INTRADAY)] = Drifted(
        kind=DriftKind.LARGER, ours=0, theirs=65, since_ns=1
    )


@pytest.mark.parametrize(
    ("spoil", "in_the_way"),
    [
        (holds, "position 1 is open"),
        (has_a_live_order, "order SSIM001261120-E0002-1-0 is sent"),
        (has_read_nothing, "the broker's book: not read since the start"),
        (has_a_difference, f"a difference in {CALL.id} that nobody has acknowledged"),
    ],
)
@pytest.mark.parametrize("level", LEVELS[1:])
def test_nothing_is_unlocked_while_the_book_is_not_clean(
    level: HaltLevel, spoil: Callable[[State], None], in_the_way: str
) -> None:
    """The halt stands, whatever its level, and the person hears what is in the way."""
    state = ready_state()
    raise_halt(state, level, "why")
    spoil(state)
    unlock(state, "go on")
    assert (state.halt, state.halt_reason) == (level, "why")
    [told] = [one for one in state.out.audits if isinstance(one, Anomaly)]
    assert (told.what, told.values) == ("not unlocked", {"in_the_way": in_the_way})


def test_lifting_what_is_not_halted_changes_nothing() -> None:
    """It is no event."""
    state = ready_state()
    resume(state, "for nothing")
    assert (state.halt_reason, state.out.audits) == ("", [])


@pytest.mark.parametrize("lift", [resume, unlock])
def test_the_days_loss_is_not_lifted_with_a_halt(lift: Callable[[State, str], None]) -> None:
    """That limit ends with the day, whatever a person says: entries stay off."""
    state = ready_state()
    state.loss.is_confirmed = True
    raise_halt(state, HaltLevel.PAUSE, "daily loss")
    lift(state, "try again")
    assert state.loss.is_confirmed is True
    assert state.halt is HaltLevel.NONE
    failing = first_failing(state)
    assert failing is not None
    assert failing[0] == "daily_loss"


def test_time_lifts_nothing() -> None:
    """A halt has no end of its own, however late it is."""
    state = ready_state()
    raise_halt(state, HaltLevel.PAUSE, "why")
    state.now_ns += 10**18
    raise_halt(state, HaltLevel.NONE, "later")
    assert state.halt is HaltLevel.PAUSE


def asks(state: State, request: OperatorRequest) -> None:
    """A person asks it of the account."""
    take_request(state, OperatorAsked(at_ns=NOW, request=request, reason="a person"))


@pytest.mark.parametrize(
    ("request_", "level"),
    [
        (OperatorRequest.PAUSE, HaltLevel.PAUSE),
        (OperatorRequest.FLATTEN, HaltLevel.FLATTEN),
        (OperatorRequest.PANIC, HaltLevel.PANIC),
        (OperatorRequest.CLOSE, HaltLevel.NONE),
        (OperatorRequest.RESUME, HaltLevel.NONE),
    ],
)
def test_each_request_means_its_level(request_: OperatorRequest, level: HaltLevel) -> None:
    """CLOSE is about one position and halts nothing."""
    state = ready_state()
    asks(state, request_)
    assert state.halt is level
    assert state.halt_reason == ("a person" if level is not HaltLevel.NONE else "")


def test_a_lift_is_asked_for_like_the_rest() -> None:
    """The reason given with it stands."""
    state = ready_state()
    asks(state, OperatorRequest.PANIC)
    asks(state, OperatorRequest.CLOSE)
    assert state.halt is HaltLevel.PANIC
    asks(state, OperatorRequest.RESUME)
    assert state.halt is HaltLevel.PANIC
    asks(state, OperatorRequest.UNLOCK)
    assert (state.halt, state.halt_reason) == (HaltLevel.NONE, "a person")
