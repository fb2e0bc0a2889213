"""Which price touches a stop: trades, a closing side that stands, and never a lone spike (T18)."""

import msgspec
import pytest

from holdfast.core.books.positions import Position
from holdfast.core.market.quotes import Connection, Quote
from holdfast.core.risk.touch import (
    confirmed_spike,
    is_spike,
    note_packet,
    stood_beyond,
    worst_trade,
)
from holdfast.domain.audit import ExitDecided
from holdfast.domain.market import Tick
from holdfast.domain.order import Side
from tests.support.by_hand import NOW, a_position, packet, plan
from tests.support.desk import CALL, PRICES, Desk

MS = 1_000_000

Book = tuple[int | None, int | None]
"""Best bid and ask in paise."""


class Tape:
    """A position with a stop at 88 (short: 112), and packets told one by one."""

    def __init__(self, side: Side = Side.BUY) -> None:
        stop = 8_800 if side is Side.BUY else 11_200
        self.position: Position = a_position(side=side, exits=plan(stop=stop))
        self.quote = Quote(CALL, Connection())
        self.volume = 0
        self.show(10_000)

    def show(
        self,
        last: int,
        book: Book = (9_995, 10_005),
        *,
        ms: float = 0,
        traded: bool = True,
        merged: tuple[int, int] | None = None,
    ) -> int | None:
        """One packet so many milliseconds after the beginning; the price that touched."""
        self.volume += traded
        at = NOW + round(ms * MS)
        bid, ask = book
        tick = packet(last=last, bid=bid, ask=ask, at=at, volume=self.volume, merged=merged)
        self.quote.take(tick)
        return note_packet(self.position, self.quote, now_ns=at, rules=PRICES, spread_bps_max=200)

    def stood(self, ms: float) -> int | None:
        """What the closing side says without a packet."""
        return stood_beyond(self.position, self.quote, NOW + round(ms * MS))

    def spike(self, ms: float) -> int | None:
        """What a spike says without a packet."""
        return confirmed_spike(self.position, self.quote, NOW + round(ms * MS))


BOTH = pytest.mark.parametrize("side", [Side.BUY, Side.SELL], ids=["long", "short"])


def mirrored(side: Side, price: int) -> int:
    """The price that is to a short what `price` is to a long: as far on the other side of 100."""
    return price if side is Side.BUY else 20_000 - price


def around(side: Side, near: int) -> Book:
    """A tight book whose closing side, for a long, is at `near`."""
    closing = mirrored(side, near)
    return (closing, closing + 10) if side is Side.BUY else (closing - 10, closing)


# -- trades


@pytest.mark.proves("T18")
@BOTH
@pytest.mark.parametrize(("price", "touches"), [(9_310, False), (8_805, False), (8_800, True)])
def test_a_trade_at_the_stop_touches_it(side: Side, price: int, *, touches: bool) -> None:
    """The level itself counts, a step before it does not; the price is part of the answer."""
    tape = Tape(side)
    assert tape.show(mirrored(side, 9_305)) is None
    shown = mirrored(side, price)
    assert tape.show(shown) == (shown if touches else None)


@BOTH
def test_a_price_that_did_not_trade_now_touches_nothing(side: Side) -> None:
    """A packet that repeats an old print is depth."""
    tape = Tape(side)
    tape.show(mirrored(side, 9_305))
    assert tape.show(mirrored(side, 8_800), traded=False) is None


def test_the_worst_trade_of_a_packet() -> None:
    """Its own for a single one; the low for a long, the high for a short of a merged one."""
    single, merged = packet(last=10_000), packet(last=10_000, merged=(9_000, 11_000))
    assert [worst_trade(tick, sign) for tick in (single, merged) for sign in (1, -1)] == [
        10_000,
        10_000,
        9_000,
        11_000,
    ]


@BOTH
def test_a_merged_packet_touches_by_its_extreme(side: Side) -> None:
    """A stop crossed inside a lag counts although the last trade is back before it."""
    tape = Tape(side)
    tape.show(mirrored(side, 9_300))
    low, high = sorted((mirrored(side, 8_700), mirrored(side, 9_300)))
    assert tape.show(mirrored(side, 9_200), merged=(low, high)) == mirrored(side, 8_700)


# -- spikes


@pytest.mark.parametrize(
    ("previous", "price", "spike"),
    [
        # a band of 40 % around 100: a quarter of it is 10 rupees
        (10_000, 9_000, False),
        (10_000, 8_999, True),
        (10_000, 11_000, False),
        (10_000, 11_001, True),
        # 20 rupees around 50: five
        (5_000, 4_500, False),
        (5_000, 4_499, True),
    ],
)
def test_a_spike_lies_further_away_than_a_quarter_of_the_band(
    previous: int, price: int, *, spike: bool
) -> None:
    """From the packet before, either way; exactly a quarter is none."""
    assert is_spike(price, previous, PRICES) is spike


@BOTH
def test_a_spike_is_confirmed_by_the_next_trade_beyond_the_stop(side: Side) -> None:
    """The second print makes it a market; its price counts."""
    tape = Tape(side)
    assert tape.show(mirrored(side, 8_000)) is None
    assert tape.position.spike_at_ns == NOW
    assert tape.show(mirrored(side, 8_100)) == mirrored(side, 8_100)
    assert tape.position.spike_at_ns is None


@BOTH
def test_a_spike_is_contradicted_by_the_next_trade_before_the_stop(side: Side) -> None:
    """Forgotten at once: half a second later nothing is left of it."""
    tape = Tape(side)
    tape.show(mirrored(side, 8_000))
    assert tape.show(mirrored(side, 10_000)) is None
    assert tape.position.spike_at_ns is None
    assert tape.spike(600) is None


@BOTH
def test_a_repeated_print_does_not_confirm_a_spike_but_its_book_may(side: Side) -> None:
    """Depth after a freak print repeats the print: the closing side says what the market is."""
    tape = Tape(side)
    tape.show(mirrored(side, 8_000))
    assert tape.show(mirrored(side, 8_000), around(side, 9_990), traded=False) is None
    assert tape.position.spike_at_ns is None
    tape.show(mirrored(side, 10_000))
    tape.show(mirrored(side, 8_000))
    answer = tape.show(mirrored(side, 8_000), around(side, 8_800), traded=False)
    assert answer == mirrored(side, 8_800)


@BOTH
def test_a_packet_without_trade_and_closing_side_leaves_a_spike_open(side: Side) -> None:
    """It says nothing either way; the half second runs on."""
    tape = Tape(side)
    tape.show(mirrored(side, 8_000))
    empty: Book = (None, 10_005) if side is Side.BUY else (9_995, None)
    assert tape.show(mirrored(side, 8_000), empty, traded=False, ms=100) is None
    assert tape.position.spike_at_ns == NOW
    assert tape.spike(500) == mirrored(side, 8_000)


@pytest.mark.proves("T18")
@BOTH
@pytest.mark.parametrize(("ms", "is_over"), [(499.999999, False), (500, True)])
def test_a_spike_that_nothing_contradicts_is_believed_after_half_a_second(
    side: Side, ms: float, *, is_over: bool
) -> None:
    """No packet follows and its own book agrees: at 500 ms it counts, once."""
    tape = Tape(side)
    tape.show(mirrored(side, 8_000), around(side, 7_990))
    assert tape.spike(ms) == (mirrored(side, 8_000) if is_over else None)
    assert (tape.position.spike_at_ns is None) is is_over
    assert not is_over or tape.spike(ms) is None


@BOTH
def test_a_book_that_stayed_contradicts_a_spike(side: Side) -> None:
    """One could still sell at 99.90: the print was no market, and is forgotten."""
    tape = Tape(side)
    tape.show(mirrored(side, 8_000), around(side, 9_990))
    assert tape.spike(500) is None
    assert tape.position.spike_at_ns is None


@BOTH
def test_a_book_at_the_stop_does_not_contradict(side: Side) -> None:
    """At the level counts as beyond it; a step before it does not."""
    for near, believed in ((8_800, True), (8_805, False)):
        tape = Tape(side)
        tape.show(mirrored(side, 8_000), around(side, near))
        assert (tape.spike(500) is not None) is believed


def test_a_spike_whose_level_moved_away_touches_nothing() -> None:
    """The level is asked again at the end of the wait."""
    tape = Tape()
    tape.show(8_000, around(Side.BUY, 7_990))
    tape.position.stop_paise = 7_500
    assert tape.spike(500) is None
    assert tape.position.spike_at_ns is None


def test_without_a_spike_there_is_nothing_to_confirm() -> None:
    """However long one waits."""
    assert Tape().spike(10_000) is None


@BOTH
def test_a_merged_spike_is_judged_by_the_last_trade_of_its_batch(side: Side) -> None:
    """A freak print inside a batch that ends at 99 is no market; one that ends beyond the stop is."""
    for last, answer in ((9_900, None), (8_800, 8_000)):
        tape = Tape(side)
        low, high = sorted((mirrored(side, 8_000), mirrored(side, 10_000)))
        shown = tape.show(mirrored(side, last), merged=(low, high))
        assert shown == (None if answer is None else mirrored(side, answer))
        assert tape.position.spike_at_ns is None


@BOTH
def test_a_batch_that_ends_in_a_spike_waits_like_a_single_print(side: Side) -> None:
    """Its last trade is the far one: the next packet or half a second decides."""
    tape = Tape(side)
    low, high = sorted((mirrored(side, 8_000), mirrored(side, 10_000)))
    assert tape.show(mirrored(side, 8_000), merged=(low, high)) is None
    assert tape.position.spike_at_ns == NOW
    assert tape.show(mirrored(side, 8_000)) == mirrored(side, 8_000)


# -- the closing side


@BOTH
@pytest.mark.parametrize(("ms", "touches"), [(999.999999, False), (1_000, True)])
def test_a_closing_side_beyond_the_stop_must_stand_for_a_second(
    side: Side, ms: float, *, touches: bool
) -> None:
    """Over two packets at least; the closing price of now is what touched."""
    tape = Tape(side)
    assert tape.show(10_000, around(side, 8_800), traded=False) is None
    answer = tape.show(10_000, around(side, 8_790), traded=False, ms=ms)
    assert answer == (mirrored(side, 8_790) if touches else None)


@BOTH
def test_one_packet_does_not_stand_however_long(side: Side) -> None:
    """The second one makes it; then no third is needed."""
    tape = Tape(side)
    tape.show(10_000, around(side, 8_790), traded=False)
    assert tape.stood(5_000) is None
    tape.show(10_000, around(side, 8_790), traded=False, ms=100)
    assert tape.stood(999) is None
    assert tape.stood(1_000) == mirrored(side, 8_790)


@BOTH
@pytest.mark.parametrize("case", ["back", "gone", "wide", "one-sided"])
def test_a_closing_side_that_leaves_begins_its_second_anew(side: Side, case: str) -> None:
    """Back before the stop, gone, on a book wider than the bound, or without the other side."""
    tape = Tape(side)
    tape.show(10_000, around(side, 8_790), traded=False)
    tape.show(10_000, around(side, 8_790), traded=False, ms=400)
    beyond = mirrored(side, 8_790)
    other = beyond + 10 if side is Side.BUY else beyond - 10
    closing: int | None = beyond
    far: int | None = other
    if case == "back":
        closing, far = mirrored(side, 8_805), mirrored(side, 8_795)
    elif case == "gone":
        closing = None
    elif case == "one-sided":
        far = None
    else:
        far = mirrored(side, 9_100)
    book = (closing, far) if side is Side.BUY else (far, closing)
    tape.show(10_000, book, traded=False, ms=500)
    assert (tape.position.beyond_since_ns, tape.position.beyond_packets) == (None, 0)
    assert tape.stood(2_000) is None
    tape.show(10_000, around(side, 8_790), traded=False, ms=600)
    tape.show(10_000, around(side, 8_790), traded=False, ms=700)
    assert tape.stood(1_599) is None
    assert tape.stood(1_600) == beyond


@BOTH
def test_the_first_packet_of_a_position_is_one_and_the_next_the_second(side: Side) -> None:
    """Bought beyond its stop: a second with one packet closes nothing, with two it does."""
    tape = Tape(side)
    tape.position = a_position(side=side, exits=tape.position.plan)
    beyond = mirrored(side, 8_800)
    assert tape.show(10_000, around(side, 8_800), traded=False) is None
    assert tape.stood(1_000) is None
    assert tape.show(10_000, around(side, 8_800), traded=False, ms=1_000) == beyond


def test_the_widest_book_that_counts() -> None:
    """200 bps of the middle stand, a step more does not."""
    for ask, counts in ((8_890, True), (8_895, False)):
        tape = Tape()
        tape.show(10_000, (8_714, ask), traded=False)
        assert (tape.position.beyond_since_ns == NOW) is counts, ask


def test_a_trade_answers_before_a_closing_side() -> None:
    """Both touch: the print is the price of record, and the second begins all the same."""
    tape = Tape()
    tape.show(9_300, (8_790, 8_800))
    assert tape.show(8_750, (8_790, 8_800), ms=1_000) == 8_750
    assert tape.position.beyond_packets == 2


# -- in the whole engine


def exits(desk: Desk) -> list[tuple[str, int | None]]:
    """Rule and price of every exit decided."""
    return [(a.exit.rule, a.exit.price_paise) for a in desk.told(ExitDecided)]


def near(desk: Desk) -> None:
    """Bring the price to 93 so that the stop at 88 is no spike away."""
    desk.hold()
    desk.at(70).tick(CALL, 93.0, bid=92.9, ask=93.1)


def test_a_stop_is_decided_by_the_packet_that_touches_it() -> None:
    """The level itself counts, in the step of its packet."""
    desk = Desk()
    near(desk)
    desk.at(71).tick(CALL, 88.05, bid=88.0, ask=88.2)
    assert exits(desk) == []
    desk.at(71.2).tick(CALL, 88.0, bid=88.0, ask=88.2)
    assert exits(desk) == [("stop_loss", 8_800)]


def test_a_bid_that_stands_beyond_the_stop_closes_without_a_trade() -> None:
    """Also when the second ends between packets."""
    desk = Desk()
    near(desk)
    desk.at(71).tick(CALL, 93.0, bid=87.9, ask=88.1, traded=False)
    desk.at(71.9).tick(CALL, 93.0, bid=87.9, ask=88.1, traded=False)
    assert exits(desk) == []
    desk.at(72.01)
    assert exits(desk) == [("stop_loss", 8_790)]


@pytest.mark.proves("T18")
def test_a_wide_book_beyond_the_stop_is_no_market() -> None:
    """A bid pulled away while the ask stays touches nothing, however long it stands."""
    desk = Desk()
    near(desk)
    for tenth in range(10, 60):
        desk.at(70 + tenth / 10).tick(CALL, 93.0, bid=80.0, ask=93.1, traded=False)
    assert exits(desk) == []


@pytest.mark.proves("T18")
def test_a_freak_print_and_depth_after_it_sell_nothing() -> None:
    """A print 20 % away, then packets that repeat it over the old book, then the market as it was."""
    desk = Desk()
    desk.hold()
    desk.at(70).tick(CALL, 100.0)
    desk.at(70.1).tick(CALL, 80.0, bid=99.9, ask=100.1)
    for tenth in range(2, 9):
        desk.at(70 + tenth / 10).tick(CALL, 80.0, bid=99.9, ask=100.1, traded=False)
    desk.at(71.5).tick(CALL, 100.0)
    desk.at(73)
    assert exits(desk) == []


def test_a_spike_that_nothing_contradicts_closes_at_half_a_second() -> None:
    """No packet follows: the engine comes back by itself."""
    desk = Desk()
    desk.hold()
    desk.at(70).tick(CALL, 100.0)
    desk.at(70.1).tick(CALL, 80.0, bid=79.9, ask=80.1)
    desk.at(70.55)
    assert exits(desk) == []
    desk.at(70.61)
    assert exits(desk) == [("stop_loss", 8_000)]


def test_a_merged_packet_closes_by_its_low() -> None:
    """A stop crossed inside a lag fires although the last price is back above it."""
    desk = Desk()
    near(desk)
    desk.at(71)
    single = Tick(
        at_ns=desk.now,
        instrument=CALL.id,
        last_paise=9_200,
        venue_at_ns=desk.now,
        volume=100_000,
        bids=((9_190, 65),),
        asks=((9_210, 65),),
    )
    batch = {"last_low_paise": 8_700, "last_high_paise": 9_300, "bid_low_paise": 8_690}
    batch |= {"bid_high_paise": 9_290, "ask_low_paise": 8_710, "ask_high_paise": 9_310}
    desk.tell(msgspec.structs.replace(single, count=3, **batch))
    assert exits(desk) == [("stop_loss", 8_700)]
