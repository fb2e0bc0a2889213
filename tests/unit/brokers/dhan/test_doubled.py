"""What two connections bring of one contract becomes one sequence of states."""

from collections.abc import Sequence

import pytest

from holdfast.brokers.dhan.doubled import AGAIN_NS, AHEAD_MAX, LATE_NS, Doubled
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.market import Tick

AT = 1_763_600_000_000_000_000
TRADE = AT - AT % 1_000_000_000
Told = tuple[int, int, int]
"""Who tells, after how many milliseconds, a book whose best bid is so many paise."""


def tick(after_ms: int, bid: int, *, volume: int = 100, trade_ns: int = TRADE) -> Tick:
    """One state of the contract."""
    return Tick(
        at_ns=AT + after_ms * 1_000_000,
        instrument=InstrumentId("NSE_FNO:1"),
        last_paise=10_000,
        venue_at_ns=trade_ns,
        volume=volume,
        bids=((bid, 65),),
    )


def given(told: Sequence[Told]) -> list[int]:
    """The bids of what counts as news."""
    doubled = Doubled()
    ticks = [(number, tick(after_ms, bid)) for number, after_ms, bid in told]
    return [one.bids[0][0] for number, one in ticks if doubled.is_news(number, one)]


@pytest.mark.proves("T28")
@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param([(0, 0, 1), (1, 1, 1), (0, 2, 2), (1, 3, 2)], [1, 2], id="side by side"),
        pytest.param(
            [(0, 0, 1), (1, 1, 1), (0, 2, 2), (0, 3, 3), (1, 900, 2), (1, 901, 3)],
            [1, 2, 3],
            id="an older book is none",
        ),
        pytest.param(
            [(0, 0, 1), (1, 1, 1), (0, 2, 2), (0, 3, 1), (1, 4, 2), (1, 5, 1)],
            [1, 2, 1],
            id="a book that came back",
        ),
        pytest.param(
            [(0, 0, 1), (1, 1, 1), (0, 2, 2), (0, 3, 3), (1, 4, 3), (1, 5, 4), (0, 6, 4)],
            [1, 2, 3, 4],
            id="one leaves out what the other told",
        ),
        pytest.param(
            [(0, 0, 1), (1, 1, 1), (1, 2, 2), (0, 3, 2), (0, 4, 3), (1, 5, 3)],
            [1, 2, 3],
            id="the first changes",
        ),
        pytest.param(
            [(0, 0, 1), (1, 1, 1), (0, 2, 3), (1, 3, 2), (1, 4, 3)],
            [1, 3, 2, 3],
            id="the newest state stands at the end whoever told something in between",
        ),
        pytest.param(
            [(0, 0, 1), (0, 1, 2), (1, 2, 1), (1, 3, 2)], [1, 2, 1, 2], id="the first word"
        ),
    ],
)
def test_a_book_goes_forward_only(told: Sequence[Told], expected: Sequence[int]) -> None:
    """Whichever connection is ahead, and whatever one of them leaves out."""
    assert given(told) == expected


def test_the_same_said_again_later_is_a_sign_of_life() -> None:
    """A second later by the other one; not before."""
    later_ms = AGAIN_NS // 1_000_000
    assert given([(0, 0, 1), (1, later_ms - 1, 1)]) == [1]
    assert given([(0, 0, 1), (1, later_ms, 1)]) == [1, 1]


def test_what_is_too_late_is_judged_by_its_trade_alone() -> None:
    """Nobody remembers for ever what was told: neither by time nor by number."""
    late_ms = LATE_NS // 1_000_000
    begun = [(0, 0, 1), (1, 1, 1), (0, 2, 2), (0, 3, 3)]
    assert given([*begun, (1, 2 + late_ms - 1, 2)]) == [1, 2, 3]
    assert given([*begun, (1, 2 + late_ms, 2)]) == [1, 2, 3, 2]
    many = [(0, 4, bid) for bid in range(4, 4 + AHEAD_MAX)]
    assert given([*begun, *many, (1, 5, 2)])[-1] == 2


def test_an_older_trade_is_none() -> None:
    """By its time, and by the volume of the day; a connection that ended is compared with nothing."""
    doubled = Doubled()
    assert doubled.is_news(0, tick(0, 1, volume=200))
    assert not doubled.is_news(1, tick(1, 2, volume=199))
    assert not doubled.is_news(1, tick(2, 2, volume=300, trade_ns=TRADE - 1_000_000_000))
    assert doubled.is_news(1, tick(3, 2, volume=200))
    doubled.forget(1)
    doubled.forget(0)
    assert doubled.is_news(1, tick(4, 3, volume=1))
