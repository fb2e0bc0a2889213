"""Everything that can happen to one entry and one closer, in every order, seven steps deep."""

import pytest
from msgspec.structs import replace

from holdfast.domain.order import Purpose
from tests.support.explorer import KINDS, BadEnd, Walk, explore, root

DEPTH = 7
ALL = frozenset(KINDS)
OURS = ALL - {"foreign fill"}


def seen(
    name: str,
    *,
    is_held: bool,
    silences: int,
    kinds: frozenset[str] = OURS,
    depth: int = DEPTH,
) -> dict[str, int]:
    """Explore from one root, print what was seen, and return it."""
    base, start = root(is_held=is_held, silences=silences)
    found = explore(base, start, depth=depth, kinds=kinds, live_every=100)
    print(f"{name}, depth {depth}: {found.states} states, {found.transitions} transitions,")  # noqa: T201 what was done is told with the result
    print(f"  {found.lived} lived on; {dict(found.kinds)}")  # noqa: T201 what was done is told with the result
    return {"states": found.states, "transitions": found.transitions, **found.kinds}


BAD_ENDS = ("T2", "T3", "T15", "T21", "RACE-1", "RACE-8", "I-28", "I-39", "I-40")


@pytest.mark.timeout(300)
@pytest.mark.proves(*BAD_ENDS)
def test_no_way_on_from_an_entry_comes_to_a_bad_end() -> None:
    """Nothing is placed twice, oversold, dropped or lost, and what is held is covered in the end."""
    found = seen("an entry leaves", is_held=False, silences=1)
    assert found["states"] >= 12_000
    assert found["transitions"] >= 19_000
    assert [kind for kind in OURS if not found.get(kind)] == []


@pytest.mark.timeout(300)
@pytest.mark.proves(*BAD_ENDS)
def test_no_way_on_from_a_resting_stop_comes_to_a_bad_end() -> None:
    """The same from where the position is held and its stop was seen."""
    found = seen("a stop rests", is_held=True, silences=2)
    assert found["states"] >= 15_000
    assert found["transitions"] >= 28_000
    assert [kind for kind in OURS if not found.get(kind)] == []


@pytest.mark.timeout(120)
@pytest.mark.proves("T11", "T14", "RACE-2", "I-42")
@pytest.mark.xfail(reason="foreign orders of the stream do not act yet", strict=True)
def test_the_owners_sale_in_between_oversells_nothing() -> None:
    """The owner sells half of it at any moment: what is left to sell follows in the same step."""
    found = seen("the owner sells", is_held=True, silences=1, kinds=ALL, depth=5)
    assert found["foreign fill"] >= 20


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
    found = explore(base, start, depth=4, kinds=OURS, live_every=100)
    assert found.states < found.transitions
