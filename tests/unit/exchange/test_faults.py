"""Windows of faults, and who in them is struck."""

import pytest

from holdfast.exchange.faults import ALWAYS_BPS, DELAYS_NS, FaultKind, Faults, FaultWindow
from tests.support.desk import CALL, PUT, SECOND
from tests.unit.exchange.floor import at

KIND = FaultKind.UPDATE_LOST
WINDOW = FaultWindow(kind=KIND, from_ns=at(1), until_ns=at(2))


@pytest.mark.parametrize(
    ("second", "is_struck"), [(0.999, False), (1, True), (1.999, True), (2, False)]
)
def test_a_window_is_half_open(second: float, *, is_struck: bool) -> None:
    """It strikes from its first instant on, and not at its last."""
    faults = Faults(1, [WINDOW])
    assert (faults.strikes(KIND, "a", at(second)) is WINDOW) is is_struck
    assert faults.struck[KIND] == int(is_struck)


def test_only_what_strikes_is_counted() -> None:
    """Looking is not striking; another kind is another count."""
    faults = Faults(1, [WINDOW])
    assert faults.finds(KIND, "a", at(1)) is WINDOW
    assert faults.strikes(FaultKind.UPDATE_LATE, "a", at(1)) is None
    assert not faults.struck
    faults.strike(KIND)
    assert faults.struck == {KIND: 1}


def test_a_share_is_drawn_by_seed_and_key() -> None:
    """About so many of a thousand, others under another seed, the same ones again."""
    tenth = FaultWindow(kind=KIND, from_ns=at(1), until_ns=at(2), share_bps=ALWAYS_BPS // 10)

    def struck(seed: int) -> list[int]:
        faults = Faults(seed, [tenth])
        return [n for n in range(1_000) if faults.strikes(KIND, str(n), at(1))]

    assert 60 < len(struck(1)) < 140
    assert struck(1) == struck(1) != struck(2)


def test_a_window_may_concern_one_contract() -> None:
    """What concerns no one contract it strikes too."""
    faults = Faults(1, [FaultWindow(kind=KIND, from_ns=0, until_ns=9, instrument=CALL.id)])
    assert faults.finds(KIND, "a", 1, instrument=CALL.id)
    assert faults.finds(KIND, "a", 1)
    assert faults.finds(KIND, "a", 1, instrument=PUT.id) is None


def test_a_delay_is_the_kinds_own_unless_it_is_given() -> None:
    """In nanoseconds; 0 where it means nothing."""
    late = FaultWindow(kind=FaultKind.UPDATE_LATE, from_ns=0, until_ns=1)
    assert late.wait_ns == DELAYS_NS[FaultKind.UPDATE_LATE] == 3 * SECOND
    given = FaultWindow(kind=FaultKind.UPDATE_LATE, from_ns=0, until_ns=1, delay_ns=7)
    assert given.wait_ns == 7
    assert WINDOW.wait_ns == 0


@pytest.mark.parametrize(
    ("from_ns", "until_ns", "share"), [(1, 1, 1), (2, 1, 1), (0, 1, 0), (0, 1, 10_001)]
)
def test_what_could_never_strike_is_no_window(from_ns: int, until_ns: int, share: int) -> None:
    """An empty time, no share, more than all."""
    with pytest.raises(ValueError, match="never strikes"):
        FaultWindow(kind=KIND, from_ns=from_ns, until_ns=until_ns, share_bps=share)


def test_windows_are_found_by_kind() -> None:
    """And a day without any has none."""
    faults = Faults(1, [WINDOW])
    assert (faults.of(KIND), faults.has(KIND), faults.is_any) == ([WINDOW], True, True)
    none = Faults(1)
    assert (none.of(KIND), none.has(KIND), none.is_any) == ((), False, False)


def test_a_coin_has_two_sides() -> None:
    """The same ones for the same key."""
    faults = Faults(1)
    thrown = [faults.coin(KIND, str(n)) for n in range(100)]
    assert 30 < sum(thrown) < 70
    assert thrown == [faults.coin(KIND, str(n)) for n in range(100)]


def test_windows_are_added_and_cleared_while_it_runs() -> None:
    """A kind that had none before is known from then on, and forgotten again."""
    faults = Faults(1)
    window = FaultWindow(kind=FaultKind.FILLS_WITHHELD, from_ns=0, until_ns=10)
    faults.add([window])
    assert faults.has(FaultKind.FILLS_WITHHELD)
    assert faults.finds(FaultKind.FILLS_WITHHELD, "a", 5) is window
    faults.clear()
    assert not faults.is_any
    assert faults.finds(FaultKind.FILLS_WITHHELD, "a", 5) is None
