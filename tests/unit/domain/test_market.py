"""A tick's own prices: the best level of each side, or nobody there."""

from holdfast.domain.market import Candle, Tick
from tests.support.desk import CALL


def test_the_best_level_is_the_first() -> None:
    """Levels come best first, as (price, quantity)."""
    tick = Tick(
        at_ns=1,
        instrument=CALL.id,
        last_paise=10_000,
        bids=((9_995, 65), (9_990, 650)),
        asks=((10_005, 130), (10_010, 65)),
    )
    assert (tick.bid_paise, tick.ask_paise) == (9_995, 10_005)


def test_an_empty_side_is_nobody_and_not_zero() -> None:
    """A contract may be bid without an offer, and the other way round."""
    bid_only = Tick(at_ns=1, instrument=CALL.id, last_paise=10_000, bids=((9_995, 65),))
    ask_only = Tick(at_ns=1, instrument=CALL.id, last_paise=10_000, asks=((10_005, 65),))
    assert (bid_only.bid_paise, bid_only.ask_paise) == (9_995, None)
    assert (ask_only.bid_paise, ask_only.ask_paise) == (None, 10_005)


def test_a_single_packet_stands_for_itself() -> None:
    """Without further words a tick is one packet, untraded today, with no extremes but its own."""
    tick = Tick(at_ns=1, instrument=CALL.id, last_paise=10_000)
    assert (tick.count, tick.volume, tick.oi, tick.venue_at_ns) == (1, 0, 0, None)
    assert tick.last_low_paise is tick.last_high_paise is None


def test_a_candle_is_complete_and_without_volume_unless_told() -> None:
    """History without volumes is still history."""
    candle = Candle(
        instrument=CALL.id,
        interval_s=60,
        start_ns=0,
        open_paise=10_000,
        high_paise=10_100,
        low_paise=9_900,
        close_paise=10_050,
    )
    assert (candle.volume, candle.complete) == (0, True)
