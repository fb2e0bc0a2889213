"""Every fault of the market and its feed: what the feed tells, what the exchange trades."""

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from holdfast.domain.market import Tick
from holdfast.exchange.market_faults import (
    MOVING,
    MarketFaultKind,
    MarketFaults,
    MarketFaultWindow,
)
from tests.support.desk import CALL, NIFTY, PUT, SECOND
from tests.unit.exchange.floor import at, told

K = MarketFaultKind


def day() -> Iterator[Tick]:
    """A call each second, a put half a second later, an index without a book between."""
    for second in range(20):
        yield told(second, volume=1_000 + second)
        yield told(second + 0.25, last=2_450_000, bids=(), asks=(), instrument=NIFTY)
        yield told(second + 0.5, instrument=PUT, volume=500)


def window(kind: MarketFaultKind, **changes: object) -> MarketFaultWindow:
    """From the fifth to the tenth second."""
    made = MarketFaultWindow(kind=kind, from_ns=at(5), until_ns=at(10), delay_ns=2 * SECOND)
    return replace(made, **changes)


def heard(faults: MarketFaults) -> list[Tick]:
    """What the feed tells of the market as it is moved."""
    return list(faults.told(faults.moved(day())))


def seconds(ticks: list[Tick], instrument: str = CALL.id) -> list[float]:
    """When ticks of one instrument were received."""
    return [(t.at_ns - at(0)) / SECOND for t in ticks if t.instrument == instrument]


def mute(ticks: list[Tick]) -> None:
    """Nothing at all comes in the window, and all goes on after it."""
    assert seconds(ticks) == [0, 1, 2, 3, 4, *range(10, 20)]
    assert len(ticks) == 45


def lagging(ticks: list[Tick]) -> None:
    """Two seconds late, fresh by receipt and old by their volume; then the rest comes at once."""
    expected = [0, 1, 2, 3, 4, 7, 8, 9, 10, 11, *[11.5] * 2, *range(12, 20)]
    assert seconds(ticks) == expected
    assert [t.volume for t in ticks if t.instrument == CALL.id] == [*range(1_000, 1_020)]
    stamps = [tick.at_ns for tick in ticks]
    assert stamps == sorted(stamps)


def duplicated(ticks: list[Tick]) -> None:
    """Each twice, one after the other."""
    struck = [tick for tick in ticks if at(5) <= tick.at_ns < at(10)]
    assert struck[::2] == struck[1::2]
    assert len(struck) == 30


def silent(ticks: list[Tick]) -> None:
    """The put says nothing, the others go on."""
    assert seconds(ticks, PUT.id) == [0.5, 1.5, 2.5, 3.5, 4.5, *(n + 0.5 for n in range(10, 20))]
    assert len(ticks) == 55


def old_stamp(ticks: list[Tick]) -> None:
    """The trade times are older than they were."""
    old = [tick.venue_at_ns for tick in ticks if at(5) <= tick.at_ns < at(10)]
    assert old == [at(0) - 2 * SECOND] * 15
    assert ticks[0].venue_at_ns == at(0)


def reordered(ticks: list[Tick]) -> None:
    """Some come after newer ones of their own instrument."""
    volumes = [tick.volume for tick in ticks if tick.instrument == CALL.id]
    assert volumes != sorted(volumes)
    assert sorted(volumes) == [*range(1_000, 1_020)]


def of_call(ticks: list[Tick], second: int) -> Tick:
    """The call at a second."""
    (tick,) = [t for t in ticks if t.instrument == CALL.id and t.at_ns == at(second)]
    return tick


def freak_print(ticks: list[Tick]) -> None:
    """A trade far away, by its volume too; the book stays where it was."""
    tick = of_call(ticks, 5)
    assert (tick.last_paise, tick.bids) == (8_000, told(0).bids)
    assert of_call(ticks, 6).volume == 1_006 + 2
    assert (of_call(ticks, 10).last_paise, of_call(ticks, 10).volume) == (10_000, 1_010 + 5)


def gap(ticks: list[Tick]) -> None:
    """Everything at once elsewhere, on the price step, and back again."""
    tick = of_call(ticks, 5)
    assert (tick.last_paise, tick.bid_paise, tick.ask_paise) == (8_000, 7_995, 8_000)
    assert of_call(ticks, 9).last_paise == 8_000
    assert of_call(ticks, 10).last_paise == 10_000


def band_edge(ticks: list[Tick]) -> None:
    """Further and further away."""
    prices = [of_call(ticks, second).last_paise for second in range(4, 11)]
    assert prices == [10_000, 10_000, 9_600, 9_200, 8_800, 8_400, 10_000]


def crossed(ticks: list[Tick]) -> None:
    """More is bid than is asked."""
    tick = of_call(ticks, 5)
    assert (tick.bid_paise, tick.ask_paise) == (10_005, 9_995)


def empty(ticks: list[Tick]) -> None:
    """Nobody bids and nobody asks; the last price stands."""
    tick = of_call(ticks, 5)
    assert (tick.bids, tick.asks, tick.last_paise) == ((), (), 10_000)


def one_sided(ticks: list[Tick]) -> None:
    """Nobody bids."""
    tick = of_call(ticks, 5)
    assert (tick.bids, tick.ask_paise) == ((), 10_005)


STORIES: dict[MarketFaultKind, tuple[MarketFaultWindow, Callable[[list[Tick]], None]]] = {
    K.MUTE: (window(K.MUTE), mute),
    K.LAGGING: (window(K.LAGGING), lagging),
    K.DISCONNECTED: (window(K.DISCONNECTED), mute),
    K.DUPLICATED: (window(K.DUPLICATED), duplicated),
    K.SILENT_INSTRUMENT: (window(K.SILENT_INSTRUMENT, instrument=PUT.id), silent),
    K.OLD_STAMP: (window(K.OLD_STAMP), old_stamp),
    K.REORDERED: (window(K.REORDERED, share_bps=3_000), reordered),
    K.FREAK_PRINT: (window(K.FREAK_PRINT), freak_print),
    K.GAP: (window(K.GAP), gap),
    K.CROSSED_BOOK: (window(K.CROSSED_BOOK), crossed),
    K.EMPTY_BOOK: (window(K.EMPTY_BOOK), empty),
    K.ONE_SIDED_BOOK: (window(K.ONE_SIDED_BOOK), one_sided),
    K.BAND_EDGE: (window(K.BAND_EDGE), band_edge),
}


@pytest.mark.parametrize("kind", MarketFaultKind)
@pytest.mark.proves("T29")
def test_each_fault_of_the_market_strikes_and_is_counted(kind: MarketFaultKind) -> None:
    """Alone, and the same again; what moves the market moves no index."""
    one, story = STORIES[kind]
    faults = MarketFaults(1, [one])
    ticks = heard(faults)
    story(ticks)
    assert list(faults.struck) == [kind]
    assert faults.struck[kind] > 0
    assert heard(MarketFaults(1, [one])) == ticks
    if kind in MOVING:
        indices = [tick for tick in ticks if tick.instrument == NIFTY.id]
        assert indices == [tick for tick in day() if tick.instrument == NIFTY.id]
        assert list(faults.told(day())) == list(day()), "what moves is no fault of the feed"
    else:
        assert list(faults.moved(day())) == list(day()), "the feed's faults move nothing"


def test_without_faults_all_is_told_as_it_is() -> None:
    """Tick by tick."""
    faults = MarketFaults(1)
    assert heard(faults) == list(day())
    assert (dict(faults.struck), list(faults.cuts)) == ({}, [])


def test_one_instrument_may_be_struck_alone_and_by_a_share() -> None:
    """Silence is drawn once for an instrument, other faults tick by tick."""
    share = window(K.DUPLICATED, share_bps=5_000, from_ns=at(0), until_ns=at(20))
    faults = MarketFaults(1, [replace(share, instrument=CALL.id)])
    assert 60 + 2 < len(heard(faults)) < 60 + 18
    silence = window(K.SILENT_INSTRUMENT, share_bps=5_000)
    lengths = {len(heard(MarketFaults(seed, [silence]))) for seed in range(12)}
    assert lengths == {45, 50, 55, 60}


def test_the_connection_breaks_when_a_disconnection_begins() -> None:
    """In order of time."""
    late = window(K.DISCONNECTED, from_ns=at(7))
    faults = MarketFaults(1, [late, window(K.MUTE), window(K.DISCONNECTED)])
    assert list(faults.cuts) == [at(5), at(7)]


@pytest.mark.parametrize(
    "changes",
    [
        {"until_ns": at(5)},
        {"share_bps": 0},
        {"share_bps": 10_001},
        {"delay_ns": 0},
        {"bps": -10_000},
    ],
)
def test_what_could_never_be_is_no_window(changes: dict[str, int]) -> None:
    """An empty time, no share, a delay into the past, no price left."""
    given = {"kind": K.GAP, "from_ns": at(5), "until_ns": at(6), **changes}
    with pytest.raises(ValueError, match=r"never strikes|turns back time"):
        MarketFaultWindow(**given)  # type: ignore[arg-type]


def test_windows_are_added_and_cleared_while_the_market_is_told() -> None:
    """From the next tick on; those that were told stay told."""
    market = MarketFaults(1)
    told_so_far = market.moved(day())
    first = [next(told_so_far) for _ in range(20)]
    market.add([window(K.EMPTY_BOOK)])
    struck = [next(told_so_far) for _ in range(6)]
    market.clear()
    rest = list(told_so_far)
    plain = list(day())
    assert (first, rest) == (plain[:20], plain[26:])
    assert {tick.bids for tick in struck} == {()}
    assert not market.windows
