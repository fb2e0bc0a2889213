"""The levels of a position: stop, trail, target, and the prices between which nothing can fire.

Sign logic depends on the position's side only: a long put gains when its premium rises, whatever
the underlying does.
"""

from holdfast.core.books.positions import Position
from holdfast.domain.dated import PriceRules
from holdfast.domain.instrument import Instrument


def stop_limit_paise(
    instrument: Instrument,
    *,
    sign: int,
    trigger_paise: int,
    extremes: tuple[int, int],
    rules: PriceRules,
    distance_bps: int,
) -> int:
    """The limit of a resting stop that closes a position of `sign`, on the contract's step.

    Behind the trigger by `distance_bps`, but one step less than the exchange's bound, and inside
    the price band taken around the highest (for a buy stop: the lowest) trade of the last minute,
    because the band is checked when the stop triggers (T1). Never before the trigger.
    """
    step = instrument.price_step_paise
    allowed = rules.stop_distance(trigger_paise) - step
    distance = min(trigger_paise * distance_bps // 10_000, allowed)
    if sign == 1:
        band_low, _ = rules.band(extremes[1])
        limit = max(trigger_paise - distance, band_low, step)
        return min(instrument.round_up(limit), trigger_paise)
    _, band_high = rules.band(extremes[0])
    limit = min(trigger_paise + distance, band_high)
    return max(instrument.round_down(limit), trigger_paise)


def is_beyond(sign: int, price_paise: int, level_paise: int) -> bool:
    """Whether a price is at or past a stop level, from the position's point of view."""
    return sign * price_paise <= sign * level_paise


def trail_level(position: Position) -> int | None:
    """The trailing stop that the peak asks for, on the step, `None` while it is not armed."""
    trail = position.plan.trail
    peak = position.peak_paise
    if trail is None or peak is None or position.sign * peak < position.sign * trail.arm_paise:
        return None
    if position.sign == 1:
        level = peak * (10_000 - trail.giveback_bps) // 10_000
        return position.instrument.round_down(level)
    level = -(-peak * (10_000 + trail.giveback_bps) // 10_000)
    return position.instrument.round_up(level)


def move_peak(position: Position, closing_paise: int) -> bool:
    """Note a new best closing price; returns whether it moved the stop level.

    The stop only ever tightens.
    """
    sign = position.sign
    if position.peak_paise is None or sign * closing_paise > sign * position.peak_paise:
        position.peak_paise = closing_paise
        level = trail_level(position)
        if level is not None and sign * level > sign * position.stop_paise:
            position.stop_paise = level
            return True
    return False


def compile_levels(position: Position) -> None:
    """Set the bounds inside which a tick cannot make any rule fire, move a peak or end a wait.

    For a long: every price above `floor_paise` and a bid at or below `ceiling_paise` is quiet. A
    pending spike or a closing side beyond the stop leaves no quiet prices.
    """
    peak = position.peak_paise
    target = position.plan.target_paise
    if peak is None or position.spike_at_ns is not None or position.beyond_since_ns is not None:
        position.floor_paise, position.ceiling_paise = 1, 0
        return
    if position.sign == 1:
        best = peak if target is None else min(peak, target - 1)
        position.floor_paise, position.ceiling_paise = position.stop_paise, best
    else:
        best = peak if target is None else max(peak, target + 1)
        position.floor_paise, position.ceiling_paise = best, position.stop_paise
