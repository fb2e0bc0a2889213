"""What the exchange shows of each instrument."""

from msgspec.structs import replace

from holdfast.domain.instrument import OptionType
from holdfast.simbroker.dhan.board import Board
from tests.support.desk import OPEN, SECOND
from tests.unit.simbroker.dhan.market_day import (
    CALL,
    EXPIRY,
    FOLLOWED,
    INDEX,
    PUT,
    candles,
    index_tick,
    option_tick,
)


def test_the_first_tick_without_a_trade_tells_the_close_before() -> None:
    """Nothing has opened yet, and the price that stands is yesterday's."""
    board = Board(FOLLOWED)
    board.tell(option_tick(OPEN, 110_00, volume=0, traded_at_ns=None))
    shown = board.snapshot(CALL.id)
    assert (shown.close_paise, shown.open_paise, shown.high_paise) == (110_00, 0, 0)
    assert shown.traded_at_ns is None


def test_a_day_is_the_fold_of_its_trades() -> None:
    """Open, high, low, mean, last quantity and open interest; a quote alone changes none of them."""
    board = Board(FOLLOWED)
    board.tell(option_tick(OPEN, 120_00, volume=65, oi=6_500))
    board.tell(option_tick(OPEN + SECOND, 110_00, volume=195, traded_at_ns=OPEN + SECOND, oi=6_435))
    quote = option_tick(OPEN + 2 * SECOND, 110_00, volume=195, traded_at_ns=OPEN + SECOND, oi=6_565)
    board.tell(replace(quote, bids=(), asks=()))
    shown = board.snapshot(CALL.id)
    assert (shown.open_paise, shown.high_paise, shown.low_paise) == (120_00, 120_00, 110_00)
    assert (shown.volume, shown.last_quantity) == (195, 130)
    assert shown.average_paise == (65 * 120_00 + 130 * 110_00) // 195
    assert (shown.oi, shown.oi_high, shown.oi_low) == (6_565, 6_565, 6_435)
    assert (shown.bought, shown.sold) == (0, 0)


def test_the_close_before_comes_from_history_where_there_is_one() -> None:
    """An index has candles of the session before."""
    board = Board(FOLLOWED, candles(3))
    board.tell(index_tick(OPEN, 24_450_00))
    assert board.snapshot(INDEX.id).close_paise == 24_405_10


def test_minutes_are_cut_by_the_time_of_trades() -> None:
    """History first, then today's; each holds its own trades only."""
    board = Board(FOLLOWED, candles(1))
    for second, paise in ((0, 100), (59, 130), (60, 90), (61, 95)):
        board.tell(index_tick(OPEN + second * SECOND, 24_500_00 + paise))
    _, first, second_minute = board.minutes(INDEX.id)
    assert (first.start_ns, first.open_paise, first.close_paise) == (OPEN, 24_501_00, 24_501_30)
    assert (second_minute.low_paise, second_minute.high_paise) == (24_500_90, 24_500_95)
    assert second_minute.volume == 0


def test_options_are_found_by_expiry_and_strike() -> None:
    """Lowest strike first, with both legs."""
    board = Board(FOLLOWED)
    strikes = board.strikes("NIFTY", EXPIRY)
    assert list(strikes) == [24_400_00, 24_450_00, 24_500_00, 24_550_00, 24_600_00]
    assert strikes[24_500_00] == {OptionType.CALL: CALL, OptionType.PUT: PUT}
    assert board.expiries("NIFTY") == [EXPIRY]
    assert board.expiries("BANKNIFTY") == []
    assert board.index("NIFTY") == INDEX
    assert board.index("BANKNIFTY") is None


def test_what_is_not_shown_is_passed_over() -> None:
    """A tick of a stranger changes nothing, and nobody has spoken."""
    board = Board([INDEX])
    board.tell(option_tick(OPEN, 110_00))
    assert not board.has(CALL.id)
    assert not board.has_spoken(INDEX.id)
    assert board.snapshot(INDEX.id, OPEN).last_paise == 0
