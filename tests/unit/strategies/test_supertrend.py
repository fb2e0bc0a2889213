"""The reference strategy: what it says, when, and that a restart does not change it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
import talib

from holdfast.core.strategy import Opinion, Warmup
from holdfast.domain.decision import Direction
from holdfast.domain.instrument import Segment, instrument_id
from holdfast.domain.market import Candle, Tick
from holdfast.strategies.supertrend import SupertrendAdx, SupertrendSettings

NIFTY = instrument_id(Segment.IDX_I, 13)
MINUTE_NS = 60_000_000_000
DAYS = 12
SESSION = 375


def strategy(**settings: Any) -> SupertrendAdx:
    """One with these settings, the others as they come."""
    return SupertrendAdx(
        name="supertrend", underlying=NIFTY, settings=SupertrendSettings(**settings)
    )


def answers(
    asked: SupertrendAdx, candles: Sequence[Candle], *, live: bool = True
) -> list[tuple[int, Opinion]]:
    """Every opinion with the start of its candle."""
    opinions = ((candle.start_ns, asked.on_candle(candle, live=live)) for candle in candles)
    return [(start_ns, opinion) for start_ns, opinion in opinions if opinion is not None]


def wave(*legs: tuple[int, int]) -> list[Candle]:
    """Minutes that move by a fixed number of points each: (minutes, points) per leg."""
    closes = np.cumsum([points * 100 for minutes, points in legs for _ in range(minutes)])
    return [
        Candle(
            instrument=NIFTY,
            interval_s=60,
            start_ns=number * MINUTE_NS,
            open_paise=close - step,
            high_paise=max(close, close - step) + 200,
            low_paise=min(close, close - step) - 200,
            close_paise=close,
        )
        for number, (close, step) in enumerate(
            zip(
                (2_500_000 + closes).tolist(),
                [points * 100 for minutes, points in legs for _ in range(minutes)],
                strict=True,
            )
        )
    ]


def expected(
    candles: Sequence[Candle], settings: SupertrendSettings
) -> list[tuple[int, Direction]]:
    """The same rule over whole arrays: one opinion per stretch of one trend and enough ADX."""
    high, low, close, open_ = (
        np.array([(c.high_paise, c.low_paise, c.close_paise, c.open_paise) for c in candles]).T
        / 100
    )
    line, sign = talib.SUPERTREND(
        high, low, close, timeperiod=10, multiplier=settings.multiplier_e2 / 100
    )
    adx = talib.ADX(high, low, close, timeperiod=14)
    side = np.where(np.round(adx, 6) >= settings.adx_min, sign, 0)
    side[:27] = 0
    begins = np.flatnonzero((side != 0) & (side != np.concatenate(([0], side[:-1]))))
    confirmed = (side * (close - open_) > 0) & (side * (close - line) > 0)
    spoken = []
    for begin in begins.tolist():
        for i in range(begin, len(candles)):
            if side[i] != side[begin]:
                break
            if confirmed[i] or not settings.confirm:
                spoken.append(i)
                break
    return [
        (candles[i].start_ns, Direction.UP if side[i] > 0 else Direction.DOWN)
        for i in spoken
        if i >= settings.warmup_candles
    ]


@pytest.mark.parametrize(
    "changes",
    [{}, {"confirm": False}, {"multiplier_e2": 150, "adx_min": 15}, {"multiplier_e2": 300}],
    ids=str,
)
def test_recorded_days_get_the_opinions_of_the_rule(
    nifty_minutes: list[Candle], changes: dict[str, Any]
) -> None:
    """Each of twelve recorded days brings opinions both ways, exactly those of the rule."""
    candles = nifty_minutes[: (DAYS + 1) * SESSION]
    changes = {"warmup_candles": SESSION, **changes}
    said = answers(strategy(**changes), candles)
    assert [(start_ns, opinion.direction) for start_ns, opinion in said] == expected(
        candles, SupertrendSettings(**changes)
    )
    ways = Counter(opinion.direction for _, opinion in said)
    per_day = Counter(start_ns // (1_440 * MINUTE_NS) for start_ns, _ in said)
    print(f"{changes}: {len(said)} opinions on {len(per_day)} days, floor {5 * DAYS}: {ways}")  # noqa: T201 the floor beside the result
    assert len(said) >= 5 * DAYS
    assert len(per_day) == DAYS
    assert min(ways.values()) >= 2 * DAYS


@pytest.mark.parametrize("cut", [0, 1, 40, 200, 374])
def test_a_restart_in_mid_day_changes_no_answer(nifty_minutes: list[Candle], cut: int) -> None:
    """Fed the warm-up and the day so far again, silently, it goes on with the same answers."""
    warmup, day = nifty_minutes[:SESSION], nifty_minutes[SESSION : 2 * SESSION]
    continued, restored = strategy(), strategy()
    for one in (continued, restored):
        assert answers(one, warmup, live=False) == []
    before = answers(continued, day[:cut])
    assert answers(restored, day[:cut], live=False) == []
    after = answers(continued, day[cut:])
    assert answers(restored, day[cut:]) == after
    assert len(before) + len(after) >= 5


def test_two_of_a_kind_answer_alike(nifty_minutes: list[Candle]) -> None:
    """Nothing is shared between two strategies stepped in turn: no state outside of them."""
    one, other = strategy(), strategy()
    for candle in nifty_minutes[: 3 * SESSION]:
        assert one.on_candle(candle, live=True) == other.on_candle(candle, live=True)


@pytest.mark.parametrize(("first", "then"), [(4, -4), (-4, 4)])
def test_it_speaks_once_per_turn_and_says_why(first: int, then: int) -> None:
    """A long move that turns gets one opinion when it turns, with the figures behind it."""
    candles = wave((100, first), (60, then))
    said = answers(strategy(warmup_candles=50), candles)
    direction = Direction.UP if then > 0 else Direction.DOWN
    assert [opinion.direction for _, opinion in said] == [direction]
    start_ns, opinion = said[0]
    values = opinion.values
    candle = candles[start_ns // MINUTE_NS]
    assert values["close"] == candle.close_paise / 100
    assert values["adx"] >= 18  # type: ignore[operator]  # a float, as the next line shows
    assert all(isinstance(value, float) and round(value, 6) == value for value in values.values())
    assert opinion.reason == (
        f"Supertrend(10, 2) turned {direction} and ADX(14) {values['adx']:.2f} is at least 18"
    )


def test_a_weak_trend_is_no_reason_until_it_is_strong() -> None:
    """While the ADX is low a trend says nothing; when the ADX arrives the standing trend speaks."""
    swings = [(2, 3), (2, -3)] * 30
    quiet = wave(*swings)
    assert answers(strategy(warmup_candles=50, multiplier_e2=300), quiet) == []
    said = answers(strategy(warmup_candles=50, multiplier_e2=300), wave(*swings, (40, 2)))
    assert [opinion.direction for _, opinion in said] == [Direction.UP]
    assert said[0][0] >= len(quiet) * MINUTE_NS


def test_confirmation_waits_for_a_candle_on_the_trend_s_side() -> None:
    """With `confirm` a turn on a candle against its own open is spoken of one candle later."""
    candles = wave((100, -4), (60, 4))
    turn_ns = answers(strategy(warmup_candles=50), candles)[0][0]
    number = turn_ns // MINUTE_NS
    gap = candles[number]
    candles[number] = msgspec.structs.replace(
        gap, open_paise=gap.close_paise + 100, high_paise=gap.high_paise + 100
    )
    eager = answers(strategy(warmup_candles=50, confirm=False), candles)
    patient = answers(strategy(warmup_candles=50), candles)
    assert [start_ns for start_ns, _ in eager] == [turn_ns]
    assert [start_ns for start_ns, _ in patient] == [turn_ns + MINUTE_NS]
    assert "is up" in patient[0][1].reason


def test_confirmation_does_not_follow_a_spike() -> None:
    """A candle that turns the trend but closes on the wrong side of the new line is no signal."""
    candles = wave((100, -4), (1, 40))
    spike = candles[-1]
    candles[-1] = msgspec.structs.replace(spike, high_paise=spike.open_paise + 30_000)
    [(_, opinion)] = answers(strategy(warmup_candles=50, confirm=False), candles)
    assert opinion.direction is Direction.UP
    assert opinion.values["close"] < opinion.values["supertrend"]  # type: ignore[operator]  # floats
    assert answers(strategy(warmup_candles=50), candles) == []


def test_the_minimum_itself_is_strong_enough() -> None:
    """In a move without a single step back the ADX is 100, which meets a minimum of 100."""
    candles = wave((60, 4))
    candles[:40] = [
        msgspec.structs.replace(one, open_paise=one.close_paise) for one in candles[:40]
    ]
    [(start_ns, opinion)] = answers(strategy(warmup_candles=28, adx_min=100), candles)
    assert (start_ns, opinion.values["adx"]) == (40 * MINUTE_NS, 100.0)


@pytest.mark.parametrize("live_from", [0, 30, 100])
def test_no_opinion_before_the_warm_up_is_complete(live_from: int) -> None:
    """One candle of history less than asked for is silence, however many of them were live."""
    candles = wave((100, 4), (60, -4))
    turn = answers(strategy(warmup_candles=50), candles)[0][0] // MINUTE_NS
    for warmup, count in ((turn, 1), (turn + 1, 0)):
        asked = strategy(warmup_candles=warmup)
        assert asked.warmup() == (Warmup(interval_s=60, candles=warmup),)
        answers(asked, candles[:live_from], live=False)
        assert len(answers(asked, candles[live_from:])) == count


@pytest.mark.parametrize("changes", [{"complete": False}, {"interval_s": 300}], ids=str)
def test_what_is_not_its_candle_is_not_heard(changes: dict[str, Any]) -> None:
    """An incomplete candle, or one of another interval, leaves no trace."""
    candles = wave((100, 4), (60, -4))
    clean, disturbed = strategy(warmup_candles=50), strategy(warmup_candles=50)
    for candle in candles:
        stray = msgspec.structs.replace(
            candle, start_ns=candle.start_ns + 1, high_paise=9_000_000, **changes
        )
        assert disturbed.on_candle(stray, live=True) is None
        assert disturbed.on_candle(candle, live=True) == clean.on_candle(candle, live=True)


def test_candles_of_another_instrument_are_a_fault() -> None:
    """An option's premium never reaches a strategy on the index (the price domains do not mix)."""
    stray = msgspec.structs.replace(wave((1, 1))[0], instrument=instrument_id(Segment.NSE_FNO, 13))
    with pytest.raises(AssertionError, match="its own underlying"):
        strategy().on_candle(stray, live=True)


@pytest.mark.proves("I-75")
def test_candles_out_of_order_are_refused() -> None:
    """A strategy never computes on a shuffled series."""
    first, second = wave((2, 1))
    asked = strategy()
    asked.on_candle(second, live=False)
    with pytest.raises(ValueError, match="came after"):
        asked.on_candle(first, live=True)


def test_ticks_say_nothing() -> None:
    """Opinions come from closed candles only."""
    assert strategy().on_tick(Tick(at_ns=1, instrument=NIFTY, last_paise=2_500_000)) is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"interval_s": 0}, "a candle lasts"),
        ({"interval_s": -60}, "a candle lasts"),
        ({"supertrend_period": 2}, "supertrend_period is 2, must be 3 to 100"),
        ({"multiplier_e2": 3}, "multiplier_e2 is 3, must be 150 to 300"),
        ({"adx_period": 1}, "adx_period is 1, must be 3 to 100"),
        ({"adx_min": 0}, "adx_min is 0, must be 1 to 100"),
        ({"adx_min": 101}, "adx_min is 101, must be 1 to 100"),
        ({"warmup_candles": 27}, "warmup_candles is 27, must be 28 to 5000"),
        ({"supertrend_period": 40, "warmup_candles": 40}, "must be 41 to 5000"),
    ],
)
def test_settings_outside_their_range_are_refused(changes: dict[str, Any], named: str) -> None:
    """Each parameter has a range, and the message names the parameter and both ends."""
    with pytest.raises(ValueError, match=named):
        SupertrendSettings(**changes)
