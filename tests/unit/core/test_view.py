"""What people are shown of the engine: what is held, what bars entries, what differs, in order."""

from holdfast.core.drift import key_text
from holdfast.core.state import Drifted
from holdfast.core.view import view
from holdfast.domain.audit import DriftKind
from holdfast.domain.decision import HaltLevel
from holdfast.domain.event import OperatorRequest
from holdfast.domain.instrument import BrokerKey, Product
from tests.support.by_hand import NOW, ready_state
from tests.support.desk import CALL, PUT, Desk


def test_a_new_engine_shows_nothing_and_what_bars_entries() -> None:
    """Before the facts are loaded too: looking never fails."""
    shown = Desk(ready=False).engine.view
    assert (shown.positions, shown.live_orders, shown.drifts, shown.broker) == ((), (), (), ())
    assert shown.blocked_by == "facts"
    assert shown.broker_read_ns is None
    assert shown.is_flat


def test_looking_changes_nothing() -> None:
    """The image of the engine is the same before and after."""
    desk = Desk()
    before = desk.engine.image()
    assert desk.engine.view == desk.engine.view
    assert desk.engine.image() == before


def test_a_position_is_shown_with_its_stop_and_the_rule_that_closes_it() -> None:
    """Held, with a stop that was read back; and from the decision on, being closed."""
    desk = Desk()
    desk.hold()
    [held] = desk.engine.view.positions
    assert (held.position, held.symbol, held.exit_rule) == (1, CALL.symbol, None)
    assert (held.quantity, held.is_stop_seen, held.unprotected_ms) == (195, True, None)
    desk.ask_operator(OperatorRequest.CLOSE, position=1)
    [closing] = desk.engine.view.positions
    assert closing.exit_rule == "operator"
    assert desk.engine.view.live == (1,)
    assert not desk.engine.view.is_flat


def test_it_tells_for_how_long_nothing_has_protected_a_position() -> None:
    """Now, and in all since the first fill."""
    desk = Desk()
    desk.hold()
    [position] = desk.state.live
    position.unprotected_since_ns = desk.now - 1_500_000_000
    position.unprotected_ns = 700_000_000
    [held] = desk.engine.view.positions
    assert (held.unprotected_ms, held.was_unprotected_ms) == (1_500, 2_200)


def test_the_brokers_newest_book_is_shown_where_it_holds_something() -> None:
    """With when its read began: what is nothing is left out."""
    desk = Desk()
    desk.book(nets={CALL: 65, PUT: 0})
    shown = desk.engine.view
    assert [(one.symbol, one.net) for one in shown.broker] == [(CALL.symbol, 65)]
    read = desk.state.book.last
    assert read is not None
    assert shown.broker_read_ns == read.began_at_ns


def test_differences_are_listed_in_order_of_their_keys_until_they_are_gone() -> None:
    """One that agrees again is listed still: it ends with a person's word."""
    state = ready_state()
    first, second = (
        BrokerKey(one.id, Product.INTRADAY) for one in sorted((CALL, PUT), key=lambda x: x.id)
    )
    state.drifts[second] = Drifted(kind=DriftKind.LARGER, ours=65, theirs=0, since_ns=NOW)
    state.drifts[first] = Drifted(
        kind=DriftKind.LARGER, ours=0, theirs=65, since_ns=NOW, is_present=False
    )
    shown = view(state).drifts
    assert [one.key for one in shown] == [key_text(first), key_text(second)]
    assert [(one.ours, one.theirs, one.is_present) for one in shown] == [
        (0, 65, False),
        (65, 0, True),
    ]
    assert {one.underlying for one in shown} == {"NIFTY"}


def test_the_halt_is_shown_with_its_reason() -> None:
    """And it is what bars entries."""
    state = ready_state()
    state.halt, state.halt_reason = HaltLevel.PANIC, "by hand"
    shown = view(state)
    assert (shown.halt, shown.halt_reason, shown.blocked_by) == (
        HaltLevel.PANIC,
        "by hand",
        "halted",
    )


def test_an_acknowledged_difference_is_shown_and_is_not_open() -> None:
    """It bars nothing until it changes: `holdfast drift` has nothing to acknowledge."""
    state = ready_state()
    key = BrokerKey(CALL.id, Product.INTRADAY)
    known = Drifted(kind=DriftKind.LARGER, ours=0, theirs=65, since_ns=NOW, is_acknowledged=True)
    state.drifts[key] = known
    shown = view(state)
    assert [(one.key, one.kind, one.is_acknowledged) for one in shown.drifts] == [
        (key_text(key), DriftKind.LARGER, True)
    ]
    assert shown.drifts[0].text.startswith(f"{CALL.symbol} INTRADAY: 0 contracts here, 65")
    assert shown.open_drifts == ()
