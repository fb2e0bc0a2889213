"""Profit on any path: a function of fills and quotes, and levels that only its peak moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.books.charges import Charges
from holdfast.core.books.positions import Position
from holdfast.core.orders.order import Fill
from holdfast.core.risk import limits
from holdfast.core.settings import ExitSettings
from holdfast.domain.audit import ExitDecided, LevelMoved
from holdfast.domain.order import Side
from tests.support.by_hand import NOW, a_position, held, ready_state
from tests.support.desk import CALL, PUT, Desk

happenings = st.lists(
    st.tuples(
        st.integers(0, 1),  # which position
        st.sampled_from(["mark", "mark", "mark", "grow", "shrink", "second"]),
        st.integers(1, 30_000),  # a price
        st.integers(1, 4),  # lots
    ),
    min_size=1,
    max_size=60,
)


class Account:
    """What one position paid and got, kept beside the engine's own books in the plainest way."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.cash_paise = 0
        self.contracts = 0
        self.charges_paise = 0
        self.mark_paise: int | None = None

    def trade(self, side: Side, fill: Fill) -> None:
        """Pay for what is bought, get what is sold."""
        self.cash_paise -= side.sign * fill.value_paise
        self.contracts += side.sign * fill.quantity
        self.charges_paise += 30

    @property
    def worth_paise(self) -> int:
        """What would be in the purse if all were closed at the mark, but for that order's charges."""
        open_paise = 0 if self.mark_paise is None else self.contracts * self.mark_paise
        return self.cash_paise + open_paise - self.charges_paise


@pytest.mark.proves("PPR-6")
@given(sides=st.tuples(st.sampled_from(Side), st.sampled_from(Side)), happened=happenings)
def test_profit_is_what_was_got_less_what_was_paid_at_the_last_marks(
    sides: tuple[Side, Side], happened: list[tuple[int, str, int, int]]
) -> None:
    """After any run of fills and marks, long and short, nothing of the order they came in is left."""
    positions = [a_position(n, side, quantity=0) for n, side in enumerate(sides, start=1)]
    accounts = [Account(side) for side in sides]
    state = held(ready_state(), *positions)
    for which, what, price, lots in happened:
        position, account = positions[which], accounts[which]
        if what == "mark" and position.is_open:
            limits.mark(state, position, price)
            account.mark_paise = price
        elif what in {"grow", "shrink"}:
            _trade(position, account, what, Fill(lots * 65, lots * 65 * price))
            limits.renew(state, position)
        elif what == "second":
            limits.mark_charges(state, position)
        # An unmarked position counts what it realised only.
        known = [
            account.worth_paise if account.mark_paise is not None else _booked(position)
            for position, account in zip(positions, accounts, strict=True)
        ]
        to_close = sum(position.close_charges_paise for position in positions)
        assert limits.net_today_paise(state) == sum(known) - to_close


def _trade(position: Position, account: Account, what: str, fill: Fill) -> None:
    side = position.side
    if what == "shrink":
        quantity = min(fill.quantity, position.open_quantity)
        if quantity == 0:
            return
        fill = Fill(quantity, fill.value_paise * quantity // fill.quantity)
        position.take_exit(fill, NOW)
        account.trade(side.opposite, fill)
    else:
        position.take_entry(fill, NOW)
        account.trade(side, fill)
    position.charges = position.charges + Charges(brokerage_e4=30 * 10_000)


def _booked(position: Position) -> int:
    return position.realised_paise - position.charges.total_paise


walks = st.lists(
    st.tuples(
        st.integers(50, 1_500),  # milliseconds since the packet before
        st.integers(-40, 60),  # the last price's move, in steps
        st.integers(1, 6),  # the spread, in steps
        st.booleans(),  # whether it traded
        st.integers(0, 19),  # 0: no bid
    ),
    min_size=10,
    max_size=80,
)


@pytest.mark.proves("I-13")
@given(walk=walks, arm_bps=st.integers(50, 600), giveback_bps=st.integers(50, 3_000))
def test_peaks_and_levels_hold_on_every_path(
    walk: list[tuple[int, int, int, bool, int]], arm_bps: int, giveback_bps: int
) -> None:
    """Through the whole engine: no peak below the bid, no trail before its arm, no stop that falls."""
    exits = ExitSettings(target_bps=0, trail_arm_bps=arm_bps, trail_giveback_bps=giveback_bps)
    desk = Desk(exits=exits)
    desk.hold()
    desk.forget()
    [position] = desk.state.live
    trail = position.plan.trail
    assert trail is not None
    at_ms, steps, best, stop = 70_000, 2_000, 0, position.stop_paise
    for wait_ms, move, spread, traded, sided in walk:
        at_ms += wait_ms
        steps = max(steps + move, 10)
        last = steps * 5 / 100
        bid = 0.0 if sided == 0 else last - spread * 0.05
        desk.at(at_ms / 1_000).spot()
        desk.tick(PUT)
        desk.tick(CALL, last, bid=bid, ask=last + 0.05, traded=traded)
        if position.exit is not None:
            break
        best = max(best, round(bid * 100))
        assert (position.peak_paise or 0) >= best
        assert position.stop_paise >= stop
        assert position.stop_paise == stop or (position.peak_paise or 0) >= trail.arm_paise
        stop = position.stop_paise
    levels = [moved.stop_paise for moved in desk.told(LevelMoved)]
    assert levels == sorted(set(levels))
    assert all(moved.peak_paise >= trail.arm_paise for moved in desk.told(LevelMoved))
    trailed = [a.exit for a in desk.told(ExitDecided) if a.exit.rule == "trailing_stop"]
    assert all(exit_.values["peak_paise"] != 0 and levels for exit_ in trailed)


def test_the_paths_reach_what_they_are_about() -> None:
    """The property has work: an armed trail, a level that moved, and an exit by it."""
    desk = Desk(exits=ExitSettings(target_bps=0, trail_arm_bps=300, trail_giveback_bps=300))
    desk.hold()
    for tenth, last in enumerate((102.0, 105.0, 108.0, 107.0, 104.0)):
        desk.at(70 + tenth / 2).tick(CALL, last, bid=last - 0.05, ask=last + 0.05)
    assert [moved.peak_paise for moved in desk.told(LevelMoved)] == [10_495, 10_795]
    assert [a.exit.rule for a in desk.told(ExitDecided)] == ["trailing_stop"]
