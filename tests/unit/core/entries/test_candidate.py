"""The contract, prices and plan of a signal before any gate."""

import msgspec
import pytest

from holdfast.core.entries.candidate import (
    close_out_ns,
    cutoff_ns,
    day_start_ns,
    form,
    plan_of,
    start_ns,
)
from holdfast.core.market.prints import Prints
from holdfast.core.settings import EntrySettings, ExitSettings
from holdfast.domain.dated import Session
from holdfast.domain.decision import Direction, Signal, Trail
from holdfast.domain.instrument import Exchange, Product
from holdfast.domain.order import Side
from tests.support.by_hand import packet, ready_state
from tests.support.by_hand import plan as exit_plan
from tests.support.desk import (
    CALL,
    CLOSE,
    FACTS,
    NIFTY,
    OPEN,
    PUT,
    SECOND,
    SESSION,
    Desk,
    settings,
)

HOUR = 3_600 * SECOND
MINUTE = 60 * SECOND


def signal(direction: Direction = Direction.UP) -> Signal:
    """An opinion on the index."""
    return Signal(id="s", strategy="s", underlying=NIFTY.id, direction=direction,
                  candle_start_ns=1, reason="", values={})  # fmt: skip


def with_session(session: Session | None) -> Desk:
    """A desk on a day with these hours."""
    desk = Desk()
    sessions = () if session is None else (session,)
    desk.engine._state.facts = msgspec.structs.replace(FACTS, sessions=sessions)  # noqa: SLF001
    return desk


@pytest.mark.parametrize(("direction", "contract"), [(Direction.UP, CALL), (Direction.DOWN, PUT)])
def test_a_direction_becomes_a_bought_option_with_its_prices(
    direction: Direction, contract: object
) -> None:
    """Half a percent above the ask at most, on the step; stop, target and trail from the ask."""
    desk = Desk()
    desk.at(10).spot()
    for each in (CALL, PUT):
        desk.tick(each, 100.0, bid=99.9, ask=100.1)
    made = form(desk.engine._state, signal(direction))  # noqa: SLF001
    assert (made.instrument, made.side) == (contract, Side.BUY)
    # 100.10 x 1.005 = 100.60 (100.6005), stop 12 % below, target 25 % above, armed 8 % above
    assert made.limit_paise == 10_060
    assert made.plan is not None
    assert made.plan.stop_paise == 8_805
    assert made.plan.target_paise == 12_515
    assert made.plan.trail == Trail(arm_paise=10_810, giveback_bps=600)
    assert made.stop_limit_paise == 7_925  # 10 % behind the trigger, on the step towards it


def test_the_limit_never_lies_further_above_the_ask_than_was_set() -> None:
    """Half a percent of 12.10 is 6 paise: 12.15 is on the step, 12.20 would be too much."""
    state = ready_state()
    for ask, limit in ((1_210, 1_215), (990, 990)):
        state.quote(CALL.id).take(packet(last=ask, bid=ask - 5, ask=ask))
        assert form(state, signal()).limit_paise == limit


def test_basis_points_are_ten_thousandths() -> None:
    """Of a premium of 10,000 rupees, where each of them shows."""
    state = ready_state()
    state.quote(CALL.id).take(packet(last=1_000_000, bid=999_995, ask=1_000_000))
    made = form(state, signal())
    assert made.limit_paise == 1_005_000
    trail = Trail(arm_paise=1_080_000, giveback_bps=600)
    assert made.plan == exit_plan(stop=880_000, target=1_250_000, trail=trail)


def test_the_smallest_spot_is_a_spot() -> None:
    """One paisa is a price; nothing yet is none."""
    state = ready_state()
    state.quote(NIFTY.id).prints = Prints()
    state.quote(NIFTY.id).last_paise = 0
    state.quote(NIFTY.id).take(packet(NIFTY.id, 0, None, None))
    assert form(state, signal()).instrument is None
    state.quote(NIFTY.id).take(packet(NIFTY.id, 1, None, None))
    assert form(state, signal()).instrument == CALL


def test_a_product_is_fixed_by_the_settings() -> None:
    """It stands in the candidate before any order does (T8)."""
    entries = EntrySettings(product=Product.MARGIN)
    assert form(ready_state(settings(entries=entries)), signal()).product is Product.MARGIN


def test_without_a_spot_a_quote_or_an_ask_the_candidate_says_so_by_what_it_lacks() -> None:
    """Nothing is guessed: each missing thing leaves what hangs on it missing."""
    desk = Desk()
    state = desk.engine._state  # noqa: SLF001
    nothing = form(state, signal())
    assert (nothing.instrument, nothing.quote, nothing.limit_paise) == (None, None, None)
    desk.at(10).spot()
    no_ask = form(state, signal())
    assert no_ask.instrument == CALL
    assert (no_ask.limit_paise, no_ask.plan, no_ask.stop_limit_paise) == (None, None, None)
    desk.tick(CALL, 100.0, bid=99.9, ask=0)
    assert form(state, signal()).limit_paise is None


def test_a_premium_of_a_few_steps_has_no_plan() -> None:
    """Two steps are the least a stop can lie at; below there is nothing to trigger."""
    state = Desk().engine._state  # noqa: SLF001
    assert plan_of(state, CALL, reference_paise=11) is None  # 88 % of it rounds to one step
    smallest = plan_of(state, CALL, reference_paise=12)
    assert smallest is not None
    assert smallest.stop_paise == 10


def test_target_and_trail_are_off_when_set_to_nothing() -> None:
    """0 means none, not a target at the entry."""
    desk = Desk(exits=ExitSettings(target_bps=0, trail_arm_bps=0))
    plan = plan_of(desk.engine._state, CALL, reference_paise=10_000)  # noqa: SLF001
    assert plan is not None
    assert (plan.target_paise, plan.trail) == (None, None)


def test_a_day_without_a_session_has_no_plan() -> None:
    """Unknown hours are no hours."""
    desk = with_session(None)
    assert plan_of(desk.engine._state, CALL, reference_paise=10_000) is None  # noqa: SLF001


CLOSE_OUTS = [
    # name, session, expected
    ("as set: 15:15", SESSION, OPEN + 6 * HOUR),
    # the broker squares off at 15:10: five minutes before it
    (
        "before the broker",
        msgspec.structs.replace(SESSION, square_off_ns=OPEN + 6 * HOUR - 5 * MINUTE),
        OPEN + 6 * HOUR - 10 * MINUTE,
    ),
    # an hour of Muhurat: a quarter of an hour before its end
    (
        "short session",
        Session(day=SESSION.day, exchange=Exchange.NSE, windows=((OPEN, OPEN + HOUR),),
                square_off_ns=CLOSE, underlying_ends_ns=CLOSE),
        OPEN + 45 * MINUTE,
    ),
    # two windows: the last one counts
    (
        "two windows",
        Session(day=SESSION.day, exchange=Exchange.NSE, square_off_ns=CLOSE,
                windows=((OPEN, OPEN + HOUR), (OPEN + 2 * HOUR, OPEN + 3 * HOUR)),
                underlying_ends_ns=CLOSE),
        OPEN + 3 * HOUR - 15 * MINUTE,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("session", "expected"), [row[1:] for row in CLOSE_OUTS],
                         ids=[row[0] for row in CLOSE_OUTS])  # fmt: skip
def test_the_close_out_comes_before_whatever_ends_first(session: Session, expected: int) -> None:
    """The time set, the session's end or the broker's own, whichever is earliest."""
    state = with_session(session).engine._state  # noqa: SLF001
    assert close_out_ns(state, CALL) == expected


def test_entry_hours_lie_within_the_close_out() -> None:
    """Start and cut-off as set; a cut-off after the close-out is moved before it."""
    late = EntrySettings(start_s=9 * 3600 + 20 * 60, cutoff_s=15 * 3600 + 30 * 60)
    state = Desk(entries=late).engine._state  # noqa: SLF001
    assert start_ns(state, CALL) == OPEN + 5 * MINUTE
    assert cutoff_ns(state, CALL) == close_out_ns(state, CALL) == OPEN + 6 * HOUR
    early = EntrySettings(cutoff_s=14 * 3600 + 50 * 60)
    state = Desk(entries=early).engine._state  # noqa: SLF001
    assert cutoff_ns(state, CALL) == OPEN + 5 * HOUR + 35 * MINUTE


def test_midnight_is_indian() -> None:
    """18:30 UTC of the evening before, at any instant of the day."""
    midnight = OPEN - (9 * 3_600 + 15 * 60) * SECOND
    for instant in (midnight, OPEN, CLOSE, midnight + 24 * HOUR - 1):
        assert day_start_ns(instant) == midnight
    assert day_start_ns(midnight - 1) == midnight - 24 * HOUR
