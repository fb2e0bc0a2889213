"""Everything that can happen to one entry and one closer, in every order."""

import os

import pytest
from msgspec.structs import replace

from holdfast.core.risk import polling
from holdfast.domain.order import BrokerStatus, OrderState, Purpose
from tests.support.explorer import KINDS, explore, root
from tests.support.walk import BadEnd, Walk

DEPTH = int(os.environ.get("HOLDFAST_DEPTH", "6"))
SILENCES = int(os.environ.get("HOLDFAST_SILENCES", "1"))
"""How many requests of one way nobody answers."""

ALL = frozenset(KINDS)
FLOORS = {False: (2_000, 2_600), True: (3_400, 4_400)}
"""States and transitions of each root: what five steps reach."""

WHOLE = {False: (33_000, 50_000), True: (43_000, 69_000)}
"""The same seven steps deep, a little under what was reached."""


@pytest.mark.timeout(3_600)
@pytest.mark.proves(
    "T2", "T3", "T9", "T11", "T14", "T15", "T21", "RACE-1", "RACE-2", "RACE-8",
    "I-28", "I-39", "I-40", "I-42",
)  # fmt: skip
@pytest.mark.parametrize("is_held", [False, True], ids=["an entry leaves", "a stop rests"])
def test_no_way_on_comes_to_a_bad_end(*, is_held: bool) -> None:
    """From an entry that leaves, and from where its stop rests, all kinds of steps, six deep.

    Nothing is placed twice, oversold, dropped or lost; what is held is covered, or a person is
    told. Bounded: one silence, one restart and one sale of the owner in each way. `make explore` goes
    seven steps deep.
    """
    base, start = root(is_held=is_held, silences=SILENCES)
    found = explore(base, start, depth=DEPTH, kinds=ALL, live_every=100)
    print(f"depth {DEPTH}: {found.states} states, {found.transitions} transitions,")  # noqa: T201 what was done is told with the result
    print(f"  {found.lived} lived on; {dict(found.kinds)}")  # noqa: T201 what was done is told with the result
    states, transitions = (WHOLE if DEPTH >= 7 else FLOORS)[is_held]
    assert found.states >= states
    assert found.transitions >= transitions
    assert sorted(ALL - found.kinds.keys()) == []


def _walk() -> Walk:
    base, start = root(is_held=True)
    return Walk(base, start)


def test_a_second_closing_order_would_be_found() -> None:
    """Floor of the search: its eyes see two closers for one position."""
    walk = _walk()
    [(identity, stop)] = [one for one in walk.truth.orders if one[1].purpose is Purpose.STOP]
    twin = type(identity)(f"{identity[:-1]}1")
    walk.state.orders[twin] = walk.state.orders[identity]
    walk.put(twin, stop)
    with pytest.raises(BadEnd, match="oversold"):
        walk.check()


def test_an_order_that_was_dropped_would_be_found() -> None:
    """And one that is open at the broker, and not here."""
    walk = _walk()
    [(identity, _)] = [one for one in walk.truth.orders if one[1].purpose is Purpose.STOP]
    del walk.state.orders[identity]
    with pytest.raises(BadEnd, match="dropped here"):
        walk.check()


def test_a_fill_that_was_lost_would_be_found() -> None:
    """And contracts that the broker holds and nobody here knows of."""
    walk = _walk()
    [(identity, entry)] = [one for one in walk.truth.orders if one[1].purpose is Purpose.ENTRY]
    walk.put(identity, entry._replace(filled=65, terms=replace(entry.terms, quantity=65)))
    with pytest.raises(BadEnd, match=r"oversold|held here"):
        walk.check()


def test_a_position_without_a_closer_would_be_found() -> None:
    """And one whose closing order never comes, however long the broker answers."""
    walk = _walk()
    state = walk.state
    state.facts = None if state.facts is None else replace(state.facts, sessions=())
    [(identity, _)] = [one for one in walk.truth.orders if one[1].purpose is Purpose.STOP]
    truth = dict(walk.truth.orders)
    gone = truth[identity]._replace(status=type(truth[identity].status)("cancelled"))
    walk.put(identity, gone)
    walk.say(identity, is_read=True)
    with pytest.raises(BadEnd, match="covered"):
        walk.assert_lives(3)


def test_equal_nodes_are_one() -> None:
    """Two ways to one node are walked on once: that is what makes the search end."""
    base, start = root(is_held=True)
    found = explore(base, start, depth=4, kinds=ALL, live_every=100)
    assert found.states < found.transitions


def test_a_position_that_nobody_hears_of_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one whose stop is gone at the broker while the engine believes in it for ever."""
    monkeypatch.setattr(polling, "_poll", lambda _state: None)
    walk = _walk()
    [(identity, stop)] = [one for one in walk.truth.orders if one[1].purpose is Purpose.STOP]
    walk.put(identity, stop._replace(status=BrokerStatus.CANCELLED))
    with pytest.raises(BadEnd, match="nobody is told"):
        walk.check()


def test_a_second_entry_would_be_found() -> None:
    """And one intention that is bought twice."""
    walk = _walk()
    [(identity, entry)] = [one for one in walk.truth.orders if one[1].purpose is Purpose.ENTRY]
    twin = type(identity)(f"{identity[:-1]}1")
    walk.state.orders[twin] = walk.state.orders[identity]
    live = entry._replace(filled=0, status=BrokerStatus.WORKING)
    walk.put(twin, live)
    walk.state.orders[twin].state = OrderState.WORKING
    with pytest.raises(BadEnd, match="entered twice"):
        walk.check()
