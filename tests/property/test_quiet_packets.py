"""The short way through a packet decides exactly what the long way decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.books.positions import Position
from holdfast.core.market.quotes import Quote
from holdfast.core.risk import watching
from holdfast.core.settings import ExitSettings
from holdfast.domain.audit import ExitDecided, LevelMoved
from holdfast.domain.market import Tick
from tests.support.desk import CALL, Desk

moves = st.lists(
    st.tuples(
        st.integers(1, 2_500),  # milliseconds since the packet before
        st.integers(-60, 60),  # the last price's move, in steps
        st.integers(1, 8),  # the spread, in steps
        st.booleans(),  # whether it traded
        st.integers(0, 19),  # 0: no bid
    ),
    min_size=20,
    max_size=120,
)


def play(sequence: list[tuple[int, int, int, bool, int]]) -> tuple[list[object], list[object], int]:
    """A position and a walk of its price; what was commanded, told, and how often it was quiet."""
    desk = Desk(exits=ExitSettings(stop_bps=1_200, target_bps=1_500, trail_arm_bps=300,
                                   trail_giveback_bps=400))  # fmt: skip
    stop = desk.hold()
    desk.forget()
    at_ms, steps, looked = 70_000, 2_000, 0
    for wait_ms, move, spread, traded, sided in sequence:
        at_ms += wait_ms
        steps = max(steps + move, 10)
        last = steps * 5 / 100
        bid = 0.0 if sided == 0 else last - spread * 0.05
        desk.at(at_ms / 1_000).tick(CALL, last, bid=bid, ask=last + 0.05, traded=traded)
        desk.spot()
        looked += 1
    assert stop.position == 1
    return list(desk.commands), list(desk.audits), looked


@given(sequence=moves)
def test_skipping_quiet_packets_changes_no_decision(
    sequence: list[tuple[int, int, int, bool, int]],
) -> None:
    """The same walk with the short way closed gives the same commands and audits, in order."""
    short = play(sequence)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watching, "is_quiet", lambda *_: False)
        long = play(sequence)
    assert short == long


def test_the_walks_reach_levels_and_the_short_way_is_taken() -> None:
    """The property has work: exits, moved levels, and packets that were skipped."""
    skipped = 0
    inner = watching.is_quiet

    def counting(position: Position, quote: Quote, tick: Tick) -> bool:
        nonlocal skipped
        answer = inner(position, quote, tick)
        skipped += answer
        return answer

    walk = [(400, move, 1, True, 1) for move in (5, 5, 5, -1, -2, 3, 40, 30, -2, -3, -40, -60, -60)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watching, "is_quiet", counting)
        _, audits, _ = play(walk)
    assert skipped >= 3
    assert [a for a in audits if isinstance(a, LevelMoved)]
    assert [a for a in audits if isinstance(a, ExitDecided)]
