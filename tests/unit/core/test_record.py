"""The record stands: where the past decides otherwise now, the books become those of the record."""

from collections.abc import Callable
from functools import partial

import pytest
from msgspec.structs import replace

from holdfast.core.engine import NOTHING, Step
from holdfast.domain.audit import Halted, IntentFormed, LevelMoved
from holdfast.domain.command import CancelOrder, ModifyOrder, Notify, PlaceOrder, Severity
from holdfast.domain.decision import HaltLevel
from holdfast.domain.event import OperatorAsked, OperatorRequest
from holdfast.domain.order import BrokerStatus, OrderId, OrderState, Purpose, Side
from tests.support.desk import CALL, NIFTY, PUT, Desk


def entered(desk: Desk) -> tuple[PlaceOrder, Step]:
    """The entry that the desk sends at the first candle, and the step that sent it."""
    desk.at(59).spot()
    desk.tick()
    desk.tick(PUT)
    desk.signal()
    entry = desk.last(PlaceOrder)
    step = Step(commands=tuple(desk.commands), audits=tuple(desk.audits))
    return entry, step


def without(step: Step, *kinds: type) -> Step:
    return Step(
        commands=tuple(one for one in step.commands if not isinstance(one, kinds)),
        audits=tuple(one for one in step.audits if not isinstance(one, kinds)),
    )


def fresh() -> Desk:
    desk = Desk()
    desk.forget()
    return desk


def test_the_same_changes_nothing() -> None:
    """The usual case: code and configuration of the record."""
    desk = fresh()
    _, step = entered(desk)
    before = desk.engine.image()
    desk.engine.stand(step, step)
    assert desk.engine.image() == before


def test_an_entry_that_was_not_recorded_never_left() -> None:
    """No order, no position, and its number is free again."""
    desk = fresh()
    entry, step = entered(desk)
    desk.engine.stand(step, without(step, PlaceOrder, IntentFormed))
    state = desk.state
    assert (state.orders, state.positions, state.live, state.day.positions) == ({}, {}, [], 0)
    assert entry.order_id not in desk.engine.order_ids
    desk.at(200)


def test_an_entry_that_was_recorded_did_leave() -> None:
    """With the intent and the plan that were recorded, though nothing is decided now."""
    other = fresh()
    entry, step = entered(other)
    desk = fresh()
    desk.at(61)
    desk.engine.stand(NOTHING, step)
    position = desk.state.positions[1]
    assert position.intent == other.state.positions[1].intent
    assert desk.state.orders[entry.order_id].state is OrderState.SENT
    assert desk.state.day.signals_seen == other.state.day.signals_seen
    desk.acknowledge(entry.order_id)
    desk.fill(entry)
    assert position.open_quantity == entry.terms.quantity


def test_an_entry_recorded_with_another_plan_has_that_plan() -> None:
    """Newer settings would stop elsewhere: what was sent was sized by the old stop."""
    desk = fresh()
    entry, step = entered(desk)
    [formed] = [one for one in step.audits if isinstance(one, IntentFormed)]
    plan = replace(formed.intent.plan, stop_paise=7_777)
    terms = replace(entry.terms, quantity=65)
    recorded = Step(
        commands=(replace(entry, terms=terms),),
        audits=(IntentFormed(intent=replace(formed.intent, plan=plan, quantity=65)),),
    )
    desk.engine.stand(step, recorded)
    assert desk.state.positions[1].stop_paise == 7_777
    assert desk.state.orders[entry.order_id].terms.quantity == 65
    assert len(desk.state.live) == 1


def test_attempts_are_those_of_the_record() -> None:
    """A stop that is placed now and was not then leaves its number to the one that was."""
    desk = Desk()
    entry = desk.enter()
    desk.acknowledge(entry.order_id)
    desk.forget()
    desk.fill(entry)
    stop = desk.last(PlaceOrder)
    step = Step(commands=tuple(desk.commands), audits=tuple(desk.audits))
    desk.engine.stand(step, without(step, PlaceOrder))
    position = desk.state.positions[1]
    assert (position.closers, position.stop_attempts) == ([], 0)
    later = replace(stop, order_id=OrderId(stop.order_id.replace("-1-0", "-4-0")))
    desk.engine.stand(NOTHING, Step(commands=(later,)))
    assert (position.closers, position.stop_attempts) == ([later.order_id], 4)
    assert desk.state.orders[later.order_id].purpose is Purpose.STOP


def test_the_closer_before_is_the_closer_again() -> None:
    """When the one that was decided now never left."""
    desk = Desk()
    stop = desk.hold()
    desk.row(stop.order_id, terms=stop.terms)
    position = desk.state.positions[1]
    extra = replace(stop, order_id=OrderId(stop.order_id.replace("-S", "-X")), purpose=Purpose.EXIT)
    desk.engine.stand(NOTHING, Step(commands=(extra,)))
    assert position.strays == [extra.order_id]
    assert position.closers == [stop.order_id]


def test_modifications_are_those_of_the_record() -> None:
    """One decided now and not then is taken back; one recorded and not decided is in flight."""
    desk = Desk()
    stop = desk.hold()
    desk.forget()
    desk.at(80).tick(last=112.0, bid=111.9, ask=112.1)
    [moved] = desk.all(ModifyOrder)
    step = Step(commands=tuple(desk.commands), audits=tuple(desk.audits))
    order = desk.state.orders[stop.order_id]
    desk.engine.stand(step, without(step, ModifyOrder))
    assert (order.state, order.asked, order.modifications) == (OrderState.WORKING, None, 0)
    assert order.terms == stop.terms
    other = replace(moved, terms=replace(moved.terms, limit_paise=moved.terms.limit_paise - 5))
    desk.engine.stand(NOTHING, Step(commands=(other,)))
    assert (order.state, order.terms) == (OrderState.MODIFYING, other.terms)
    cancel = CancelOrder(order_id=stop.order_id, broker_id=desk.broker_id(stop.order_id))
    desk.engine.stand(NOTHING, Step(commands=(cancel,)))
    assert order.state is OrderState.CANCELLING


def test_a_request_that_the_order_cannot_take_is_left_to_the_book() -> None:
    """It was asked of an order that has ended here: its row will tell."""
    desk = Desk()
    stop = desk.hold()
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=stop.terms, filled=195, price=90)
    cancel = CancelOrder(order_id=stop.order_id, broker_id=desk.broker_id(stop.order_id))
    desk.engine.stand(NOTHING, Step(commands=(cancel,)))
    assert desk.state.orders[stop.order_id].state is OrderState.FILLED


def test_exits_are_those_of_the_record() -> None:
    """Undecided now, decided then, and the other way round."""
    desk = Desk()
    desk.hold()
    desk.forget()
    desk.breach(70)
    step = Step(commands=tuple(desk.commands), audits=tuple(desk.audits))
    position = desk.state.positions[1]
    exits = [position.exit]
    for now, then in ((step, NOTHING), (NOTHING, step)):
        desk.engine.stand(now, then)
        exits.append(position.exit)
    assert exits[0] is not None
    assert exits[1:] == [None, exits[0]]
    assert desk.state.orders[position.closers[0]].state is OrderState.MODIFYING


def test_levels_and_halts_that_were_recorded_stand() -> None:
    """The tick that moved the peak is gone with the tape: the level is not (4.11)."""
    desk = Desk()
    desk.hold()
    moved = LevelMoved(position=1, peak_paise=11_500, stop_paise=10_800)
    halted = Halted(level=HaltLevel.PAUSE, reason="a rule failed")
    desk.engine.stand(NOTHING, Step(audits=(moved, halted)))
    position = desk.state.positions[1]
    assert (position.peak_paise, position.stop_paise) == (11_500, 10_800)
    assert (desk.state.halt, desk.state.halt_reason) == (HaltLevel.PAUSE, "a rule failed")


def test_a_halt_that_is_decided_now_stands_whatever_was_recorded() -> None:
    """A person's word or a loss is one: only a person lifts it, never a record that lacks it."""
    desk = Desk()
    desk.hold()
    asked = OperatorAsked(at_ns=desk.now, request=OperatorRequest.PAUSE, reason="a test")
    desk.engine.stand(desk.tell(asked), NOTHING)
    assert desk.state.halt is HaltLevel.PAUSE


def test_words_that_differ_change_nothing() -> None:
    """A notification in other words is counted by the caller, and that is all."""
    desk = Desk()
    desk.hold()
    before = desk.engine.image()
    told = Step(commands=(Notify(severity=Severity.INFO, text="now"),))
    desk.engine.stand(told, Step(commands=(Notify(severity=Severity.INFO, text="then"),)))
    assert desk.engine.image() == before


def test_of_a_decision_that_was_not_durable_only_entries_are_taken_back() -> None:
    """An entry waits for the disk; exits and stops do not, and may have left."""
    desk = fresh()
    entry, step = entered(desk)
    assert desk.engine.leave_entries(step) == (entry.order_id,)
    assert desk.state.orders == {}
    desk = Desk()
    entry = desk.enter()
    desk.acknowledge(entry.order_id)
    desk.forget()
    desk.fill(entry)
    stop = desk.last(PlaceOrder)
    step = Step(commands=tuple(desk.commands))
    assert desk.engine.leave_entries(step) == ()
    assert desk.state.orders[stop.order_id].state is OrderState.SENT


def test_each_part_is_done_for_itself() -> None:
    """Whoever folds a past may go on where one of them raises: an entry that left is taken over."""
    other = fresh()
    entry, step = entered(other)
    desk = fresh()
    desk.at(61)
    moved = LevelMoved(position=1, peak_paise=12_000, stop_paise=11_000)
    recorded = replace(step, audits=(*step.audits, moved))
    parts: list[str] = []

    def do(part: Callable[[], None]) -> None:
        parts.append(part.func.__name__ if isinstance(part, partial) else "?")
        if parts[-1] != "_stand_level":
            part()

    desk.engine.stand(NOTHING, recorded, do)
    assert parts == ["_send", "_stand_level"]
    assert desk.state.orders[entry.order_id].state is OrderState.SENT
    assert desk.state.positions[1].stop_paise != 11_000


def sliced(freeze: int = 66) -> Desk:
    """A desk whose call is frozen at so much."""
    desk = Desk(ready=False)
    desk.load((NIFTY, replace(CALL, freeze_quantity=freeze), PUT))
    desk.forget()
    return desk


@pytest.mark.proves("T23")
def test_slices_that_were_recorded_did_leave() -> None:
    """Each of them, of the entry and of the stops, though nothing is decided now."""
    desk = sliced()
    _, step = entered(desk)
    ids = [one.order_id for one in desk.all(PlaceOrder)]
    assert len(ids) > 1
    other = sliced()
    other.at(61)
    other.engine.stand(NOTHING, step)
    assert other.state.positions[1].entries == ids
    assert {other.state.orders[name].state for name in ids} == {OrderState.SENT}


@pytest.mark.proves("T23")
def test_slices_that_were_not_recorded_never_left() -> None:
    """The position goes with its last piece, and attempts are those of what is left."""
    desk = sliced()
    _, step = entered(desk)
    ids = [one.order_id for one in desk.all(PlaceOrder)]
    kept = tuple(
        one for one in step.commands if not isinstance(one, PlaceOrder) or one.order_id == ids[0]
    )
    desk.engine.stand(step, replace(step, commands=kept))
    assert desk.state.positions[1].entries == ids[:1]
    desk = sliced()
    _, step = entered(desk)
    assert desk.engine.leave_entries(step) == tuple(ids)
    assert (desk.state.orders, desk.state.positions, desk.state.live) == ({}, {}, [])


def test_a_slice_that_never_left_leaves_its_attempt_to_the_others() -> None:
    """The number is free only when no order of it stands."""
    desk = Desk()
    entry = desk.intend(Side.BUY)
    desk.state.positions[1].instrument = replace(CALL, freeze_quantity=66)
    desk.forget()
    desk.fill(entry, price=100.0)
    step = Step(commands=tuple(desk.commands), audits=tuple(desk.audits))
    [first, *others] = desk.all(PlaceOrder)
    assert len(others) == 2
    kept = tuple(one for one in step.commands if one not in others)
    desk.engine.stand(step, replace(step, commands=kept))
    position = desk.state.positions[1]
    assert (position.closers, position.stop_attempts) == ([first.order_id], 1)
    desk.engine.stand(Step(commands=(first,)), NOTHING)
    assert (position.closers, position.stop_attempts) == ([], 0)


def test_a_move_that_was_recorded_is_ordinary_still() -> None:
    """Repeated after the start it does not go before an exit (T7)."""
    desk = Desk()
    stop = desk.hold()
    desk.forget()
    desk.at(80).tick(last=112.0, bid=111.9, ask=112.1)
    [moved] = desk.all(ModifyOrder)
    other = Desk()
    other.hold()
    other.engine.stand(NOTHING, Step(commands=(moved,)))
    assert moved.is_ordinary
    assert other.state.orders[stop.order_id].is_ordinary
