"""What a person asks: told to the engine once, answered with what happened, and refused in words."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast.control.operator import TAKEN_S, Deed, Done, Operator, parse_key
from holdfast.core.drift import key_text
from holdfast.core.engine import Engine
from holdfast.domain.audit import Halted
from holdfast.domain.decision import HaltLevel
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import AnyEvent, OperatorAsked, OperatorRequest
from holdfast.domain.instrument import BrokerKey, Product
from holdfast.domain.order import Side
from holdfast.runtime.clock import VirtualClock
from tests.support.desk import CALL, Desk
from tests.support.virtual import virtually


class Counter:
    """A day at whose counter a person stands: it steps what it is asked, or is silent."""

    def __init__(self, desk: Desk | None) -> None:
        self.desk = desk
        self.asked: list[AnyEvent] = []
        self.halts: list[Halted] = []
        self.is_silent = self.is_closed = False
        self.durable: Callable[[], Awaitable[None]] = self._at_once

    @property
    def engine(self) -> Engine | None:
        return None if self.desk is None else self.desk.engine

    async def ask(self, event: OperatorAsked) -> int | None:
        if self.is_closed:
            return None
        self.asked.append(event)
        if self.is_silent or self.desk is None:
            await asyncio.sleep(1_000)
        assert self.desk is not None
        self.desk.tell(event)
        return len(self.asked)

    async def until_durable(self, sequence: int) -> None:
        assert sequence == len(self.asked)
        await self.durable()

    async def _at_once(self) -> None:
        """The disk is fast."""

    def do(self, request: OperatorRequest, **more: Any) -> Done:
        """What comes of one request."""
        now_ns = 0 if self.desk is None else self.desk.now
        operator = Operator(self, VirtualClock(now_ns), self.halts.append)
        return virtually(operator.do(Deed(do=request, reason="test", **more)))


def holding() -> Counter:
    """A position is held, with its stop at the broker."""
    desk = Desk()
    desk.hold()
    return Counter(desk)


@pytest.mark.parametrize(
    ("request_", "level"),
    [
        (OperatorRequest.PAUSE, HaltLevel.PAUSE),
        (OperatorRequest.FLATTEN, HaltLevel.FLATTEN),
        (OperatorRequest.PANIC, HaltLevel.PANIC),
    ],
)
def test_a_halt_is_answered_with_how_the_account_stands(
    request_: OperatorRequest, level: HaltLevel
) -> None:
    """Stepped and on the disk; the second time it is told again and changes nothing."""
    counter = holding()
    done = counter.do(request_)
    assert (done.refused, done.is_taken, done.is_durable) == ("", True, True)
    assert done.before is not None and done.before.halt is HaltLevel.NONE  # noqa: PT018
    assert done.after is not None and done.after.halt is level  # noqa: PT018
    assert [held.exit_rule for held in done.after.positions] == [
        None if request_ is OperatorRequest.PAUSE else "kill_switch"
    ]
    again = counter.do(request_)
    assert again.after == done.after
    assert counter.halts == [], "the engine writes it"


def test_a_halt_reaches_the_file_where_no_engine_lives_yet() -> None:
    """It is told to the engine as soon as there is one; a crash before that loses nothing."""
    counter = Counter(None)
    done = counter.do(OperatorRequest.PANIC)
    assert counter.halts == [Halted(level=HaltLevel.PANIC, reason="test")]
    assert [type(one) for one in counter.asked] == [OperatorAsked]
    assert (done.is_taken, done.after) == (False, None)


@pytest.mark.parametrize(
    "request_",
    [
        OperatorRequest.RESUME,
        OperatorRequest.UNLOCK,
        OperatorRequest.CLOSE,
        OperatorRequest.ACKNOWLEDGE,
    ],
)
def test_what_lifts_or_closes_one_thing_waits_for_the_engine(request_: OperatorRequest) -> None:
    """Without an engine nobody knows what would be lifted or closed."""
    counter = Counter(None)
    assert "still being recovered" in counter.do(request_).refused
    assert counter.asked == []


@pytest.mark.parametrize("halt", [OperatorRequest.FLATTEN, OperatorRequest.PANIC])
def test_resume_lifts_a_pause_and_nothing_more(halt: OperatorRequest) -> None:
    """What was flattened takes `unlock`, and so does what was panicked."""
    counter = holding()
    counter.do(OperatorRequest.PAUSE)
    resumed = counter.do(OperatorRequest.RESUME)
    assert resumed.after is not None and resumed.after.halt is HaltLevel.NONE  # noqa: PT018
    counter.do(halt)
    told = len(counter.asked)
    refused = counter.do(OperatorRequest.RESUME)
    assert "holdfast unlock" in refused.refused
    assert len(counter.asked) == told


def test_an_unlock_is_refused_while_anything_is_held() -> None:
    """With what is in the way; nobody is told."""
    counter = holding()
    counter.do(OperatorRequest.FLATTEN)
    told = len(counter.asked)
    assert "position 1 is open" in counter.do(OperatorRequest.UNLOCK).refused
    assert len(counter.asked) == told


@pytest.mark.parametrize("lift", [OperatorRequest.RESUME, OperatorRequest.UNLOCK])
def test_lifting_what_is_not_halted_is_done_already(lift: OperatorRequest) -> None:
    """Nobody is told, nothing is refused."""
    counter = holding()
    done = counter.do(lift)
    assert (done.was_done, done.refused, counter.asked) == (True, "", [])


def test_a_position_is_closed_once_and_an_unknown_one_is_named() -> None:
    """Its number is the engine's; what is closed already is done; asking twice decides once."""
    counter = holding()
    unknown = counter.do(OperatorRequest.CLOSE, position=7)
    assert unknown.refused == "there is no position 7; open: 1"
    first = counter.do(OperatorRequest.CLOSE, position=1)
    second = counter.do(OperatorRequest.CLOSE, position=1)
    assert first.is_taken and second.is_taken  # noqa: PT018
    assert counter.desk is not None
    counter.desk.state.positions[1].is_closed = True
    assert counter.do(OperatorRequest.CLOSE, position=1).was_done


def test_only_a_difference_that_is_listed_is_acknowledged() -> None:
    """By the key as it is listed, which is the key of the event."""
    desk = Desk()
    counter = Counter(desk)
    assert counter.do(OperatorRequest.ACKNOWLEDGE, key="nonsense").refused == (
        "there is no difference nonsense; open: none"
    )
    desk.read_book(nets={CALL: 65}, seconds=10)
    [drift] = desk.engine.view.drifts
    done = counter.do(OperatorRequest.ACKNOWLEDGE, key=drift.key)
    assert done.is_taken
    [asked] = counter.asked
    assert isinstance(asked, OperatorAsked)
    assert asked.key == BrokerKey(CALL.id, Product.INTRADAY)


@pytest.mark.parametrize("text", ["", "INTRADAY", "NSE_FNO:1:NONSENSE", ":INTRADAY"])
def test_a_key_is_read_as_it_is_written(text: str) -> None:
    """And nothing else is one."""
    key = BrokerKey(CALL.id, Product.MARGIN)
    assert parse_key(key_text(key)) == key
    assert parse_key(text) is None


def test_an_engine_that_does_not_step_and_a_disk_that_does_not_answer_are_told_apart() -> None:
    """Asked stays asked; within the bound the answer says what is known."""
    counter = holding()
    counter.is_silent = True
    silent = counter.do(OperatorRequest.PANIC)
    assert (silent.is_taken, silent.is_durable) == (False, False)
    counter.is_silent = False

    async def hangs() -> None:
        await asyncio.sleep(TAKEN_S + 1)

    async def fails() -> None:
        raise DataRefused("journal.db", "is gone", "look")

    for disk in (hangs, fails):
        counter.durable = disk
        done = counter.do(OperatorRequest.PANIC)
        assert (done.is_taken, done.is_durable) == (True, False)


def test_a_day_that_takes_nothing_any_more_says_so() -> None:
    """It is neither taken nor done: whoever asked carries it out elsewhere."""
    counter = holding()
    counter.is_closed = True
    done = counter.do(OperatorRequest.FLATTEN)
    assert (done.is_ending, done.is_taken, done.was_done, done.refused) == (True, False, False, "")


@pytest.mark.proves("ACT-7")
def test_of_two_positions_in_one_contract_the_one_that_was_named_is_closed() -> None:
    """A position is known by its number: the other one keeps its stop, and no exit is decided."""
    desk = Desk()
    first = desk.hold_by_hand(Side.BUY)
    desk.hold_by_hand(Side.BUY)
    counter = Counter(desk)
    done = counter.do(OperatorRequest.CLOSE, position=2)
    assert done.after is not None
    held = {one.position: (one.symbol, one.exit_rule) for one in done.after.positions}
    assert held == {1: (CALL.symbol, None), 2: (CALL.symbol, "operator")}
    assert first.order_id in done.after.live_orders


@pytest.mark.proves("ACT-2", "ACT-6")
def test_what_was_just_entered_is_watched_from_the_next_packet_on_and_after_a_restart() -> None:
    """The only way in puts it where ticks are looked up; the first ones after a start count."""
    desk = Desk()
    desk.hold()
    desk.breach(70)
    [held] = desk.engine.view.positions
    assert held.exit_rule == "stop_loss"
    again = Desk()
    again.hold()
    again.restart(65)
    again.breach(65.3)
    [held] = again.engine.view.positions
    assert held.exit_rule == "stop_loss"
