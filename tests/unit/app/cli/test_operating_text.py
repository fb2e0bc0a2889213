"""What a person reads: what stands, what lifts it, and nothing that would make him sell twice."""

import msgspec
import pytest

from holdfast.app.cli.operating_text import By, drifts, standing, told, written_halt
from holdfast.core.bookread import SETTLED_NS
from holdfast.core.view import BrokerHolds, View
from holdfast.domain.decision import HaltLevel
from holdfast.domain.instrument import Product
from tests.support.desk import CALL, Desk


def shown(view: View) -> str:
    """How it stands, as text."""
    return "\n".join(standing(view))


@pytest.mark.parametrize(
    ("level", "lift"),
    [
        (HaltLevel.PAUSE, "holdfast resume --reason TEXT"),
        (HaltLevel.FLATTEN, "holdfast unlock --reason TEXT"),
        (HaltLevel.PANIC, "holdfast unlock --reason TEXT"),
    ],
)
def test_a_halt_is_shown_with_what_lifts_it(level: HaltLevel, lift: str) -> None:
    """And the reason that somebody gave."""
    view = msgspec.structs.replace(Desk().engine.view, halt=level, halt_reason="because")
    assert f"  halted ({level.value}): because\n  lift it with: {lift}\n" in shown(view)


def test_what_bars_entries_is_named_where_nothing_is_halted() -> None:
    """The first failing term, with its figures."""
    text = shown(Desk(ready=False).engine.view)
    assert "not halted; entries are off: facts" in text
    assert "no position of ours is open" in text


def test_a_position_is_shown_with_its_protection() -> None:
    """What is held, its stop, whether the broker has it, and for how long nothing protected it."""
    desk = Desk()
    desk.hold()
    desk.state.live[0].unprotected_since_ns = desk.now - 1_500_000_000
    text = shown(desk.engine.view)
    assert f"position 1: 195 {CALL.symbol} INTRADAY, held; stop 88." in text
    assert "stop seen at the broker, unprotected for 1500 ms" in text


def test_a_carried_position_says_since_which_day() -> None:
    """Whoever reads it looks for its beginning there."""
    before = Desk(day="2026-11-19")
    before.hold()
    desk = Desk(ready=False)
    desk.load(carried=before.engine.left_over, nets={CALL: 195})
    assert f"195 {CALL.symbol} INTRADAY, held, carried from 2026-11-19; stop" in (
        shown(desk.engine.view)
    )


def test_what_is_not_ours_is_told_by_a_late_read_only() -> None:
    """An early one may not know of our own sale: who sells by it sells twice (T5, T14)."""
    desk = Desk()
    view = msgspec.structs.replace(
        desk.engine.view,
        broker=(
            BrokerHolds(instrument=CALL.id, product=Product.INTRADAY, symbol=CALL.symbol, net=65),
        ),
        broker_read_ns=desk.now,
        touched_ns=desk.now - SETTLED_NS,
    )
    line = f"at the broker, not ours: 65 {CALL.symbol} INTRADAY; close it in the broker's app"
    assert line in shown(view)
    early = msgspec.structs.replace(view, touched_ns=view.touched_ns + 1)
    assert "not ours" not in shown(early)
    desk.hold()
    ours = msgspec.structs.replace(view, positions=desk.engine.view.positions)
    assert "not ours: -130" in shown(ours), "what is missing is not hidden either"


def test_a_difference_is_listed_with_the_key_to_type() -> None:
    """And with what ends it; without one that is said."""
    desk = Desk()
    desk.read_book(nets={CALL: 65}, seconds=10)
    text = drifts(desk.engine.view.drifts)
    assert f"{CALL.id}:INTRADAY" in text
    assert "holdfast drift acknowledge KEY --reason TEXT" in text
    assert drifts(()) == "no difference is open\n"


def test_an_answer_says_who_did_it_and_whether_it_will_be_remembered() -> None:
    """Not on the disk yet is said; so is an engine that still recovers."""
    view = Desk().engine.view
    assert told("panic", view, by=By.PROGRAM, durable=True).startswith(
        "panic: done by the running program\n"
    )
    assert "not on the disk yet" in told("pause", view, by=By.PROGRAM, durable=False)
    waits = told("panic", None, by=By.NOBODY_YET, durable=False)
    assert "has not done it yet" in waits
    assert "still being recovered" in waits
    assert "the next run may enter" in told("unlock", view, by=By.HERE, durable=True)


def test_a_written_halt_is_shown_for_a_run_that_does_not_run() -> None:
    """With what the next run does and what lifts it."""
    text = written_halt("sim/x", "panic", "by hand", is_halted=True)
    assert "halted (panic): by hand" in text
    assert "holdfast unlock" in text
    assert "not halted" in written_halt("sim/x", "pause", "", is_halted=False)
