"""Readiness: each term with its figures, at its boundary, and the first failing one is shown."""

from collections.abc import Callable

import msgspec
import pytest

from holdfast.core.market.quotes import Connection
from holdfast.core.readiness import (
    TERMS,
    first_failing,
    quote_fault,
    unprotected_ns,
    unwatched_ns,
)
from holdfast.core.state import State
from holdfast.domain.dated import DayFacts
from holdfast.domain.decision import HaltLevel, Values
from holdfast.domain.event import Link, ServiceState
from holdfast.domain.instrument import Exchange
from tests.support.by_hand import NOW, a_position, held, packet, ready_state
from tests.support.desk import CALL, CLOSE, FACTS, OPEN, SECOND, SESSION

Break = Callable[[State], object]


def has_no_facts(state: State) -> None:
    state.facts = None


def has_a_holiday(state: State) -> None:
    state.facts = msgspec.structs.replace(FACTS, sessions=())


def is_after_the_close(state: State) -> None:
    state.now_ns = CLOSE


def is_halted(state: State) -> None:
    state.halt, state.halt_reason = HaltLevel.FLATTEN, "a person asked"


def has_a_failed_rule(state: State) -> None:
    state.rules_failed = True


def has_lost_too_much(state: State) -> None:
    state.loss.is_confirmed = True


def has_no_journal(state: State) -> None:
    state.journal_durable = False


def has_no_session(state: State) -> None:
    state.access.token_until_ns, state.access.token_reason = 0, "Invalid Token"


def has_a_session_that_ends_too_soon(state: State) -> None:
    state.access.token_until_ns = CLOSE


def has_not_asked_whether_orders_are_taken(state: State) -> None:
    state.access.is_checked = False


def is_refused_for_its_address(state: State) -> None:
    state.access.is_refused, state.access.refused_reason = True, "Invalid IP"


def has_not_compared_its_clock(state: State) -> None:
    state.access.skew_ms = None


def has_a_slow_clock(state: State) -> None:
    state.access.skew_ms = -2_001


def has_a_stopped_service(state: State) -> None:
    state.services = {"engine": ServiceState.READY, "feed": ServiceState.STOPPED}


def has_not_tested_itself(state: State) -> None:
    state.self_test_fault = "not run"


def has_a_mute_stream(state: State) -> None:
    state.path.suspect_since_ns = state.now_ns - SECOND


def has_an_open_point(state: State) -> None:
    state.book.open_points = ("an order is unknown",)


def has_not_seen_what_it_holds(state: State) -> None:
    position = a_position(6)
    position.evaluated_at_ns = state.now_ns
    held(state, position)
    state.book.began_ns = state.now_ns + 1


def has_no_feed(state: State) -> None:
    state.connections[Exchange.NSE].last_at_ns = None


def is_not_watched(state: State) -> None:
    position = a_position(7)
    position.evaluated_at_ns = state.now_ns - 2_001_000_000
    held(state, position)


def is_unprotected(state: State) -> None:
    position = a_position(8)
    position.evaluated_at_ns = state.now_ns
    position.unprotected_since_ns = state.now_ns - 2 * SECOND
    held(state, position)


FAILURES: list[tuple[str, Break, Values]] = [
    ("facts", has_no_facts, {"facts": "not loaded"}),
    ("facts", has_a_holiday, {"day": "2026-11-20", "session": "none"}),
    ("instruments", lambda state: state.instruments.clear(), {"instruments": 0}),
    ("session", is_after_the_close, {"day": "2026-11-20", "session": "closed"}),
    ("halted", is_halted, {"level": "flatten", "reason": "a person asked"}),
    ("rules", has_a_failed_rule, {"rules": "a rule failed"}),
    ("daily_loss", has_lost_too_much, {"daily_loss": "reached"}),
    ("services", lambda state: state.services.clear(), {"services": "none told"}),
    ("services", has_a_stopped_service, {"service": "feed", "state": "stopped"}),
    ("journal", has_no_journal, {"journal": "not durable"}),
    ("token", has_no_session, {"token": "Invalid Token"}),
    ("token", has_a_session_that_ends_too_soon, {"token": "ends before the close"}),
    ("account", has_not_asked_whether_orders_are_taken, {"orders": "not asked"}),
    ("account", is_refused_for_its_address, {"orders": "Invalid IP"}),
    ("clock", has_not_compared_its_clock, {"clock": "not compared"}),
    ("clock", has_a_slow_clock, {"skew_ms": -2_001}),
    ("links", lambda state: state.links.update({Link.UPDATES: False}), {"link": "updates"}),
    ("stream", has_a_mute_stream, {"mute_ms": 1_000}),
    ("self_test", has_not_tested_itself, {"self_test": "not run"}),
    ("whole", lambda state: state.left_out.append(17), {"left_out": 17}),
    ("book", has_an_open_point, {"book": "an order is unknown", "points": 1}),
    ("seen", has_not_seen_what_it_holds, {"position": 6, "instrument": CALL.symbol}),
    ("feed", has_no_feed, {"exchange": "NSE", "fault": "connection quiet"}),
    ("evaluating", is_not_watched, {"position": 7, "evaluated_ms_ago": 2_001}),
    ("protected", is_unprotected, {"position": 8, "unprotected_ms": 2_000}),
]
IDS = [" ".join((name, *map(str, values.values()))) for name, _, values in FAILURES]


def test_every_term_stands_above_in_this_order() -> None:
    """A new term is a row in the table of failures."""
    assert list(dict.fromkeys(name for name, _, _ in FAILURES)) == [name for name, _ in TERMS]


def test_nothing_in_the_way_is_ready() -> None:
    """All terms hold: nothing is shown."""
    assert first_failing(ready_state()) is None


@pytest.mark.parametrize(("name", "breaks", "values"), FAILURES, ids=IDS)
def test_each_term_fails_with_its_figures(name: str, breaks: Break, values: Values) -> None:
    """One thing broken, that term shown, and why."""
    state = ready_state()
    breaks(state)
    assert first_failing(state) == (name, values)


@pytest.mark.parametrize("first", range(len(FAILURES)), ids=IDS)
def test_the_first_failing_term_is_shown(first: int) -> None:
    """Whatever else is broken behind it."""
    state = ready_state()
    for _, breaks, _ in reversed(FAILURES[max(first, 1) :]):
        breaks(state)
    FAILURES[first][1](state)
    failing = first_failing(state)
    assert failing is not None
    assert failing[0] == FAILURES[first][0]


@pytest.mark.parametrize(
    ("at_ns", "is_ready"), [(OPEN - 1, False), (OPEN, True), (CLOSE - 1, True), (CLOSE, False)]
)
def test_a_session_is_half_open(at_ns: int, *, is_ready: bool) -> None:
    """From the first instant of the opening to before the close."""
    assert (first_failing(ready_state(now=at_ns)) is None) is is_ready


@pytest.mark.parametrize("link", Link)
def test_every_link_is_needed(link: Link) -> None:
    """The one that is down is named."""
    state = ready_state()
    state.links[link] = False
    assert first_failing(state) == ("links", {"link": link.value})


def two_exchanges() -> State:
    """NSE with packets, BSE without any; BSE trades the first half hour only."""
    state = ready_state()
    half_an_hour = (OPEN, OPEN + 1_800 * SECOND)
    short = msgspec.structs.replace(SESSION, exchange=Exchange.BSE, windows=(half_an_hour,))
    state.facts = DayFacts(
        day=FACTS.day, sessions=(SESSION, short), charges=FACTS.charges, prices=FACTS.prices
    )
    state.connections[Exchange.BSE] = Connection()
    return state


def test_a_mute_exchange_bars_entries_while_it_trades() -> None:
    """One exchange may be mute while the other streams (T10); it is named."""
    state = two_exchanges()
    state.now_ns = OPEN + 60 * SECOND
    state.connections[Exchange.NSE].take(packet(at=state.now_ns, venue=state.now_ns))
    assert first_failing(state) == ("feed", {"exchange": "BSE", "fault": "connection quiet"})


def test_an_exchange_that_does_not_trade_now_has_nothing_to_say() -> None:
    """Its silence bars nothing at the other one, on a holiday of its own or after its hours."""
    state = two_exchanges()
    assert first_failing(state) is None
    state.facts = FACTS
    assert first_failing(state) is None
    has_no_feed(state)
    assert first_failing(state) == ("feed", {"exchange": "NSE", "fault": "connection quiet"})


def test_exchanges_are_asked_in_order_of_name() -> None:
    """Which fault is shown does not depend on which exchange was met first."""
    state = two_exchanges()
    state.now_ns = OPEN + 60 * SECOND
    state.connections[Exchange.NSE].last_at_ns = None
    assert list(state.connections) == [Exchange.NSE, Exchange.BSE]
    assert first_failing(state) == ("feed", {"exchange": "BSE", "fault": "connection quiet"})


@pytest.mark.parametrize(
    ("age_ns", "answer"), [(2 * SECOND, None), (2 * SECOND + 1, 2_000_000_001)]
)
def test_a_position_not_looked_at_for_more_than_two_seconds(
    age_ns: int, answer: int | None
) -> None:
    """Two seconds are allowed, an instant more is not."""
    state, position = ready_state(), a_position()
    position.evaluated_at_ns = NOW - age_ns
    assert unwatched_ns(state, position) == answer
    assert (first_failing(held(state, position)) is None) is (answer is None)


def test_only_what_is_held_must_be_looked_at() -> None:
    """An entry that has not filled has no contracts to watch."""
    state, waiting = ready_state(), a_position(quantity=0)
    waiting.evaluated_at_ns = 0
    assert unwatched_ns(state, waiting) is None
    assert first_failing(held(state, waiting)) is None


@pytest.mark.parametrize(
    ("since_ns", "answer"), [(None, None), (2 * SECOND - 1, None), (2 * SECOND, 2 * SECOND)]
)
def test_a_position_without_protection_for_two_seconds(
    since_ns: int | None, answer: int | None
) -> None:
    """At two seconds entries stop for the account (T9), not before; a protected one counts never."""
    state, position = ready_state(), a_position()
    position.unprotected_since_ns = None if since_ns is None else NOW - since_ns
    assert unprotected_ns(state, position) == answer
    assert (first_failing(held(state, position)) is None) is (answer is None)


def test_of_several_positions_the_first_bad_one_is_named() -> None:
    """Good ones before it do not hide it."""
    state = held(ready_state(), a_position(1), a_position(2), a_position(3))
    state.live[1].evaluated_at_ns = state.live[2].evaluated_at_ns = NOW - 3_000 * SECOND
    assert first_failing(state) == ("evaluating", {"position": 2, "evaluated_ms_ago": 3_000_000})
    for position in state.live:
        position.evaluated_at_ns = NOW
    state.live[1].unprotected_since_ns = state.live[2].unprotected_since_ns = NOW - 3_000 * SECOND
    assert first_failing(state) == ("protected", {"position": 2, "unprotected_ms": 3_000_000})


def test_one_contracts_quote_is_judged_with_its_name() -> None:
    """Fresh says nothing; stale names the contract and the fault."""
    state = ready_state()
    quote = state.quote(CALL.id)
    assert quote_fault(state, quote) is None
    state.now_ns += 6 * SECOND
    state.connections[Exchange.NSE].take(packet(at=state.now_ns, venue=state.now_ns))
    symbol = "NIFTY 24NOV26 24500 CE"
    assert quote_fault(state, quote) == {"instrument": symbol, "fault": "packet old"}
