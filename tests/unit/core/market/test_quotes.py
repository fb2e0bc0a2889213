"""Freshness (T10): silence, lag and age each at their boundary; what moved; the last minute."""

import msgspec
import pytest

from holdfast.core.market.quotes import Connection, Quote
from holdfast.core.settings import FreshnessSettings
from tests.support.by_hand import NOW, packet
from tests.support.desk import CALL, SECOND

LIMITS = FreshnessSettings()


def quote(*, at: int = NOW, venue: int | None = NOW) -> Quote:
    """A quote after one packet."""
    made = Quote(CALL, Connection())
    made.take(packet(at=at, venue=venue))
    return made


# -- the connection


@pytest.mark.proves("T10")
@pytest.mark.parametrize(
    ("silence_ns", "fault"), [(0, None), (2 * SECOND, None), (2 * SECOND + 1, "connection quiet")]
)
def test_a_connection_may_be_silent_for_two_seconds(silence_ns: int, fault: str | None) -> None:
    """Anything of its exchange within 2 s keeps it; an instant more does not."""
    assert quote().connection.fault(NOW + silence_ns, LIMITS) == fault


@pytest.mark.proves("T10")
@pytest.mark.parametrize(
    ("lag_ns", "fault"), [(0, None), (3 * SECOND, None), (3 * SECOND + 1, "feed lags")]
)
def test_a_connection_may_lag_three_seconds(lag_ns: int, fault: str | None) -> None:
    """A busy one that is further behind is stale, however young its packets are."""
    assert quote(venue=NOW - lag_ns).connection.fault(NOW, LIMITS) == fault


@pytest.mark.proves("T10")
def test_lag_is_receipt_less_the_newest_trade_of_the_whole_connection() -> None:
    """A quiet strike's old trade is illiquidity while another instrument trades now."""
    connection = Connection()
    busy, calm = Quote(CALL, connection), Quote(CALL, connection)
    busy.take(packet(at=NOW, venue=NOW))
    calm.take(packet(at=NOW + SECOND, venue=NOW - 600 * SECOND))
    assert connection.fault(NOW + SECOND, LIMITS) is None
    assert calm.fault(NOW + SECOND, LIMITS) is None
    calm.take(packet(at=NOW + 3 * SECOND + 1, venue=NOW - 600 * SECOND))
    assert connection.fault(NOW + 3 * SECOND + 1, LIMITS) == "feed lags"


def test_lag_is_measured_at_receipt_and_does_not_grow_with_silence() -> None:
    """Between two packets nothing lags; silence is another fault."""
    at = quote(venue=NOW - 3 * SECOND)
    assert at.connection.fault(NOW + 2 * SECOND, LIMITS) is None


def test_a_trade_of_the_future_does_not_hide_the_lag_after_it() -> None:
    """A stamp of an hour ahead counts as now: three seconds later the lag is seen again."""
    one = Quote(CALL, Connection())
    one.take(packet(at=NOW, venue=NOW + 3_600 * SECOND))
    assert one.connection.fault(NOW, LIMITS) is None
    for second in (1, 2, 3):
        one.take(packet(at=NOW + second * SECOND, venue=NOW - 40 * SECOND))
    assert one.connection.fault(NOW + 3 * SECOND, LIMITS) is None
    one.take(packet(at=NOW + 4 * SECOND, venue=NOW - 40 * SECOND))
    assert one.connection.fault(NOW + 4 * SECOND, LIMITS) == "feed lags"


def test_an_older_trade_changes_nothing() -> None:
    """The newest counts, in whatever order instruments speak; so does one without a trade today."""
    one = quote()
    one.take(packet(at=NOW, venue=NOW - 10 * SECOND))
    one.take(packet(at=NOW, venue=None))
    assert one.connection.fault(NOW, LIMITS) is None


def test_a_connection_must_have_shown_a_packet_and_a_trade() -> None:
    """Nothing known is not fresh."""
    connection = Connection()
    assert connection.fault(NOW, LIMITS) == "connection quiet"
    connection.take(packet(venue=None))
    assert connection.fault(NOW, LIMITS) == "no trade seen"


def test_a_new_connection_has_told_nothing() -> None:
    """It is neither armed nor stale."""
    connection = Connection()
    assert connection.is_armed is False
    assert (connection.stale_since_ns, connection.stale_reason) == (None, None)


# -- one instrument


def alive(one: Quote, at: int) -> None:
    """Another instrument of the connection trades at `at`."""
    one.connection.take(packet(at=at, venue=at))


@pytest.mark.proves("T10")
@pytest.mark.parametrize(
    ("age_ns", "fault"), [(0, None), (5 * SECOND - 1, None), (5 * SECOND, "packet old")]
)
def test_an_instruments_own_packet_must_be_younger_than_five_seconds(
    age_ns: int, fault: str | None
) -> None:
    """While the connection lives: at five seconds it is old."""
    one = quote()
    alive(one, NOW + age_ns)
    assert one.fault(NOW + age_ns, LIMITS) == fault


@pytest.mark.proves("T10")
@pytest.mark.parametrize(
    ("age_ns", "fault"), [(0, None), (5 * SECOND, None), (5 * SECOND + 1, "packet old")]
)
def test_a_read_within_the_last_five_seconds_shows_the_same_book(
    age_ns: int, fault: str | None
) -> None:
    """It takes the place of a packet; after five seconds it is old too."""
    one = quote(at=NOW - 3_600 * SECOND)
    one.take_read(packet(at=NOW, last=9_000, bid=8_995, ask=9_005))
    alive(one, NOW + age_ns)
    assert one.fault(NOW + age_ns, LIMITS) == fault
    assert one.has_read(NOW + age_ns, LIMITS) is (fault is None)


@pytest.mark.proves("T10")
def test_a_read_renews_the_price_and_not_the_connection() -> None:
    """Its price is shown, but a dead stream stays dead (T10)."""
    one = quote()
    one.take_read(packet(at=NOW + 3 * SECOND, last=9_000, bid=8_995, ask=9_005))
    assert (one.last_paise, one.bid_paise, one.ask_paise) == (9_000, 8_995, 9_005)
    assert one.fault(NOW + 3 * SECOND, LIMITS) == "connection quiet"
    assert one.has_read(NOW + 3 * SECOND, LIMITS)
    assert (one.at_ns, one.rest_at_ns) == (NOW, NOW + 3 * SECOND)


def test_the_newest_of_packet_and_read_counts() -> None:
    """Whichever came last; neither is neither."""
    one = Quote(CALL, Connection())
    newest = [one.newest_ns]
    for take, second in ((one.take_read, 0), (one.take, 1), (one.take_read, 2)):
        take(packet(at=NOW + second * SECOND))
        newest.append(one.newest_ns)
    assert newest == [None, NOW, NOW + SECOND, NOW + 2 * SECOND]
    assert quote().newest_ns == NOW


def test_an_instrument_that_never_spoke_is_not_fresh() -> None:
    """On a live connection too."""
    one = Quote(CALL, Connection())
    alive(one, NOW)
    assert one.fault(NOW, LIMITS) == "never seen"
    assert one.has_read(NOW, LIMITS) is False
    one.take_read(packet())
    assert one.fault(NOW, LIMITS) is None


def test_the_connections_fault_comes_first() -> None:
    """It explains the packet's age."""
    assert quote().fault(NOW + 60 * SECOND, LIMITS) == "connection quiet"
    late = quote(venue=NOW - 60 * SECOND)
    assert late.fault(NOW, LIMITS) == "feed lags"


# -- what a packet shows


def test_a_packet_shows_the_best_of_each_side_or_nobody() -> None:
    """A side that empties is empty, not what it was."""
    one = quote()
    assert (one.bid_paise, one.ask_paise) == (9_995, 10_005)
    assert (one.closing_paise(1), one.closing_paise(-1)) == (9_995, 10_005)
    one.take(packet(bid=None))
    assert (one.closing_paise(1), one.closing_paise(-1)) == (None, 10_005)
    one.take(packet(ask=None))
    assert (one.closing_paise(1), one.closing_paise(-1)) == (9_995, None)


@pytest.mark.parametrize(
    ("volume", "venue", "traded"),
    [
        (65, NOW, False),  # the same trade repeated: its news is depth
        (66, NOW, True),
        (65, NOW + SECOND, True),
        (65, NOW - SECOND, False),
        (64, NOW, False),
        (65, None, False),
        (66, None, True),
        (66, NOW - SECOND, True),
    ],
)
def test_a_trade_is_a_packet_whose_volume_or_trade_time_moved(
    volume: int, venue: int | None, *, traded: bool
) -> None:
    """Forward, that is; a repeated print touches nothing (T18)."""
    one = quote()
    one.take(packet(at=NOW + SECOND, volume=volume, venue=venue))
    assert one.traded is traded


def test_the_first_packet_is_no_trade_of_now() -> None:
    """It repeats the last one, which may be hours old; the first trade of the day is one."""
    assert quote().traded is False
    one = Quote(CALL, Connection())
    assert one.traded is False
    one.take(packet(volume=0, venue=None))
    one.take(packet(volume=0, venue=NOW))
    assert one.traded is True


def test_what_was_traded_before_is_remembered_through_packets_that_lack_it() -> None:
    """After a packet without a time, or with less volume, the same trade is still the same."""
    one = quote()
    one.take(packet(volume=66, venue=None))
    one.take(packet(volume=66, venue=NOW))
    assert one.traded is False
    one.take(packet(volume=10, venue=NOW))
    one.take(packet(volume=66, venue=NOW))
    assert one.traded is False


def test_a_print_is_compared_with_the_packet_before_it() -> None:
    """The first with itself; a contract that had no price yet has none to be far from."""
    one = Quote(CALL, Connection())
    assert (one.last_paise, one.previous_paise, one.volume) == (0, 0, 0)
    one.take(packet(last=0))
    one.take(packet(last=10_000))
    assert (one.last_paise, one.previous_paise) == (10_000, 10_000)
    one.take(packet(last=9_000))
    assert (one.last_paise, one.previous_paise) == (9_000, 10_000)


def test_the_last_packet_itself_is_kept() -> None:
    """Rules look at its depth and at the extremes of a merged one."""
    depth = ((9_995, 65), (9_990, 650))
    tick = msgspec.structs.replace(packet(), bids=depth, asks=((10_005, 65), (10_010, 650)))
    one = quote()
    one.take(tick)
    assert one.tick is tick
    assert (one.bid_paise, one.ask_paise) == (9_995, 10_005)
    assert one.instrument is CALL


# -- the spread


@pytest.mark.parametrize(
    ("bid", "ask", "bps"),
    [
        (9_900, 10_100, 200),
        (9_900, 10_105, 205),  # 204.95: rounded up
        (9_900, 10_101, 201),  # 200.99
        (10_000, 10_000, 0),
        (9_995, 10_005, 10),
        (3, 5, 5_000),
        (5_000, 15_001, 10_001),  # 10,000.5
    ],
)
def test_a_spread_is_of_the_middle_and_rounded_up(bid: int, ask: int, bps: int) -> None:
    """So that a spread over a limit never counts as one at it."""
    one = quote()
    one.take(packet(bid=bid, ask=ask))
    assert one.spread_bps() == bps


@pytest.mark.parametrize(("bid", "ask"), [(None, 10_005), (9_995, None), (None, None)])
def test_a_one_sided_book_has_no_spread(bid: int | None, ask: int | None) -> None:
    """Neither a wide nor a narrow one."""
    one = quote()
    one.take(packet(bid=bid, ask=ask))
    assert one.spread_bps() is None


# -- the last minute

EDGE = NOW // (15 * SECOND) * 15 * SECOND
"""The beginning of a quarter minute."""


def walk(*trades: tuple[int, int]) -> Quote:
    """A quote after trades of (nanoseconds after EDGE, price)."""
    one = Quote(CALL, Connection())
    for number, (after_ns, price) in enumerate(trades):
        one.take(packet(last=price, at=EDGE + after_ns, venue=EDGE, volume=number))
    return one


def test_the_extremes_are_those_of_the_trades_of_about_a_minute() -> None:
    """Quarter minutes: the present one and the four before it."""
    one = walk((0, 14_000), (15 * SECOND, 9_000), (60 * SECOND, 10_000))
    assert one.extremes(EDGE + 75 * SECOND - 1) == (9_000, 14_000)
    assert one.extremes(EDGE + 75 * SECOND) == (9_000, 10_000)
    assert one.extremes(EDGE + 90 * SECOND) == (10_000, 10_000)


def test_a_trade_forgets_what_is_older_than_a_minute() -> None:
    """What left the window stays out of it, whoever asks about an earlier instant."""
    one = walk((0, 14_000), (60 * SECOND, 10_000))
    assert one.extremes(EDGE + 60 * SECOND) == (10_000, 14_000)
    one = walk((0, 14_000), (75 * SECOND, 10_000))
    assert one.extremes(EDGE + 60 * SECOND) == (10_000, 10_000)


def test_the_extremes_of_one_quarter_minute_are_both_kept() -> None:
    """Up and down inside it, whatever came last."""
    assert walk((0, 10_000), (1, 9_000), (2, 9_500)).extremes(EDGE) == (9_000, 10_000)
    assert walk((0, 10_000), (1, 11_000), (2, 10_500)).extremes(EDGE) == (10_000, 11_000)


def test_each_quarter_minute_has_extremes_of_its_own() -> None:
    """What one of them saw does not hide what a later one saw, once it is forgotten."""
    early = ((0, 8_000), (1, 12_000))
    later = enumerate((10_000, 9_500, 10_500, 10_000))
    one = walk(*early, *((15 * SECOND + after, price) for after, price in later))
    assert one.extremes(EDGE + 74 * SECOND) == (8_000, 12_000)
    assert one.extremes(EDGE + 75 * SECOND) == (9_500, 10_500)


def test_a_merged_packet_brings_its_own_extremes() -> None:
    """What happened inside a lag belongs to the minute."""
    one = Quote(CALL, Connection())
    one.take(packet(last=10_000, at=EDGE, merged=(9_000, 14_000)))
    assert one.extremes(EDGE) == (9_000, 14_000)


def test_the_last_price_is_always_among_the_extremes() -> None:
    """Also one that is older than a minute, and one that did not trade again."""
    one = walk((0, 10_000))
    assert one.extremes(EDGE + 3_600 * SECOND) == (10_000, 10_000)
    one.take(packet(last=9_000, at=EDGE + 1, venue=EDGE, volume=0))
    assert one.extremes(EDGE + 1) == (9_000, 10_000)
    one.take(packet(last=11_000, at=EDGE + 2, venue=EDGE, volume=0))
    assert one.extremes(EDGE + 2) == (10_000, 11_000)
