"""The feed's packets: every documented layout, times, prices, and what is wrong with a message."""

import struct

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from holdfast.brokers.dhan import codec as codecs
from holdfast.brokers.dhan.codec import Codec, Flaw
from holdfast.domain.instrument import Exchange, Instrument, Segment, instrument_id
from holdfast.domain.market import Tick
from tests.support import feed_frames as frames
from tests.support.desk import CALL, NIFTY, OPEN, PUT, SECOND

NOW = OPEN + 600 * SECOND + 123
TRADED = OPEN + 598 * SECOND
ROWS: list[frames.Row] = [
    (101.35, 650, 101.45, 130),
    (101.30, 75, 101.50, 325),
    (101.25, 1_300, 101.55, 650),
    (101.20, 65, 101.60, 65),
    (101.15, 195, 101.70, 975),
]
FULL = frames.full("NSE_FNO", 40_001, 101.4, TRADED, volume=45_000_000, oi=1_250_000, rows=ROWS)
CALL_TICK = Tick(
    at_ns=NOW,
    instrument=CALL.id,
    last_paise=10_140,
    venue_at_ns=TRADED,
    volume=45_000_000,
    oi=1_250_000,
    bids=((10_135, 650), (10_130, 75), (10_125, 1_300), (10_120, 65), (10_115, 195)),
    asks=((10_145, 130), (10_150, 325), (10_155, 650), (10_160, 65), (10_170, 975)),
)
SENSEX_CALL = replace(
    CALL,
    id=instrument_id(Segment.BSE_FNO, 40_001),
    segment=Segment.BSE_FNO,
    exchange=Exchange.BSE,
    underlying="SENSEX",
)


def codec(*instruments: Instrument) -> Codec:
    """A codec that knows these, or an index, a call and a put."""
    return Codec(instruments or (NIFTY, CALL, PUT))


def test_a_full_packet_is_a_tick_with_its_depth_in_paise() -> None:
    """32-bit floats land on the contract's step, the trade's time is UTC, orders are left out."""
    one = codec()
    assert one.decode(FULL, NOW) == [CALL_TICK]
    assert one.decode(FULL, NOW) == [CALL_TICK]
    assert one.flaws == {}


def test_the_packet_seen_on_the_wire_is_of_this_layout() -> None:
    """A full packet began `08 a2 00 02 f4 d9 00 00`: 162 bytes, segment 2, id 55796 (dhan.md 4.2)."""
    seen = replace(CALL, id=instrument_id(Segment.NSE_FNO, 55_796), security_id=55_796)
    packet = bytes.fromhex("08 a2 00 02 f4 d9 00 00") + FULL[8:]
    [tick] = codec(seen).decode(packet, NOW)
    assert (tick.instrument, tick.last_paise) == (seen.id, 10_140)


def test_empty_levels_are_dropped_on_each_side_by_itself() -> None:
    """A book of two bids and one ask has just those; a level without a quantity is none."""
    rows: list[frames.Row] = [(101.35, 650, 101.45, 130), (101.3, 75, 0.0, 0), (99.0, 0, 0.0, 0)]
    packet = frames.full("NSE_FNO", 40_001, 101.4, TRADED, rows=rows)
    [tick] = codec().decode(packet, NOW)
    assert tick.bids == ((10_135, 650), (10_130, 75))
    assert tick.asks == ((10_145, 130),)


@pytest.mark.proves("T30")
def test_an_index_ticks_on_the_paisa() -> None:
    """It has no price step; at 24,567.35 a 32-bit float is still nearer than half a paisa (T30)."""
    [tick] = codec().decode(frames.ticker("IDX_I", 13, 24_567.35, TRADED), NOW)
    assert tick == Tick(at_ns=NOW, instrument=NIFTY.id, last_paise=2_456_735, venue_at_ns=TRADED)


@pytest.mark.parametrize(("sent", "paise"), [(0.05, 5), (368.149994, 36_815), (101.37, 10_135)])
def test_prices_of_contracts_land_on_their_step(sent: float, paise: int) -> None:
    """Whatever the wire's rounding made of them."""
    [tick] = codec().decode(frames.ticker("NSE_FNO", 40_001, sent, TRADED), NOW)
    assert tick.last_paise == paise


@pytest.mark.proves("I-68", "T10")
@pytest.mark.parametrize("traded", [None, OPEN - 86_400 * SECOND])
def test_a_contract_that_has_not_traded_today_has_no_trade_time(traded: int | None) -> None:
    """Neither zero nor yesterday's time is a time of today; nothing is invented instead."""
    [tick] = codec().decode(frames.quote("NSE_FNO", 40_001, 99.0, traded, volume=0), NOW)
    assert tick.venue_at_ns is None


def test_the_day_begins_anew_at_midnight_in_india() -> None:
    """What was traded before is of yesterday from then on, also for a codec that runs through."""
    one = codec()
    packet = frames.ticker("NSE_FNO", 40_001, 99.0, TRADED)
    assert one.decode(packet, NOW)[0].venue_at_ns == TRADED
    assert one.decode(packet, NOW + 86_400 * SECOND)[0].venue_at_ns is None


@pytest.mark.proves("I-64")
def test_a_contract_without_any_price_makes_no_tick_but_was_seen() -> None:
    """Before the first trade of its life the last price is zero, which is no price; not a flaw."""
    one = codec()
    packet = frames.full("NSE_FNO", 40_001, 0.0, None, oi=5, rows=ROWS[:1])
    quiet = frames.ticker("NSE_FNO", 40_002, 0.0, None)
    assert one.decode(packet + quiet, NOW) == []
    assert (one.wires[CALL.id].seen_ns, one.wires[PUT.id].seen_ns) == (NOW, NOW)
    assert one.flaws == {}


def test_open_interest_is_told_with_the_last_tick() -> None:
    """Quote mode sends it in a packet of its own; before the first tick it is kept for that."""
    one = codec()
    assert one.decode(frames.open_interest("NSE_FNO", 40_001, 777), NOW) == []
    quote = frames.quote("NSE_FNO", 40_001, 101.4, TRADED, volume=9)
    [tick] = one.decode(quote, NOW)
    assert (tick.oi, tick.volume) == (777, 9)
    [later] = one.decode(frames.open_interest("NSE_FNO", 40_001, 778), NOW + 5)
    assert later == replace(tick, oi=778, at_ns=NOW + 5)


def test_what_a_packet_does_not_carry_stays_as_it_was() -> None:
    """Packets come on change: a ticker says nothing new of volume, depth and open interest."""
    one = codec()
    one.decode(FULL, NOW)
    [tick] = one.decode(frames.ticker("NSE_FNO", 40_001, 101.5, TRADED + SECOND), NOW + 9)
    changed = {"last_paise": 10_150, "venue_at_ns": TRADED + SECOND, "at_ns": NOW + 9}
    assert tick == replace(CALL_TICK, **changed)


def test_rows_that_repeat_are_those_of_the_packet_before() -> None:
    """Only the same bytes are: a row that changes in one field is taken, and so is its way back."""
    one = codec()
    moved: list[frames.Row] = [(101.35, 651, 101.45, 130), *ROWS[1:]]
    packets = [
        frames.full("NSE_FNO", 40_001, last, TRADED, rows=rows)
        for last, rows in ((101.4, ROWS), (101.5, ROWS), (101.5, moved), (101.5, ROWS))
    ]
    ticks = [one.decode(packet, NOW)[0] for packet in packets]
    assert [tick.bids[0] for tick in ticks] == [(10_135, n) for n in (650, 650, 651, 650)]
    assert [tick.last_paise for tick in ticks] == [10_140, 10_150, 10_150, 10_150]
    assert {tick.asks for tick in ticks} == {CALL_TICK.asks}


@pytest.mark.parametrize(
    ("last", "rows"),
    [(float("nan"), [(99.0, 1, 99.5, 1)]), (99.2, [(float("nan"), 1, 99.5, 1)])],
)
def test_a_refused_packet_leaves_no_depth(last: float, rows: list[frames.Row]) -> None:
    """Neither for the next packet that tells none, nor for one that repeats its rows."""
    one = codec()
    good, bad = FULL, frames.full("NSE_FNO", 40_001, last, TRADED, rows=rows)
    one.decode(good, NOW)
    assert one.decode(bad, NOW) == one.decode(bad, NOW) == []
    [tick] = one.decode(frames.ticker("NSE_FNO", 40_001, 101.4, TRADED), NOW)
    assert (tick.bids, tick.asks) == (CALL_TICK.bids, CALL_TICK.asks)


def test_one_id_in_two_segments_is_two_instruments() -> None:
    """A security id is unique only together with its segment (dhan.md 3.12)."""
    one = codec(CALL, SENSEX_CALL)
    packets = frames.ticker("BSE_FNO", 40_001, 9.0, TRADED) + FULL
    assert [tick.instrument for tick in one.decode(packets, NOW)] == [SENSEX_CALL.id, CALL.id]


def test_every_packet_of_a_message_is_decoded() -> None:
    """The official parser reads the first one only; all of them count, in order."""
    one = codec()
    message = (
        frames.close("IDX_I", 13, 24_500.0)
        + frames.ticker("IDX_I", 13, 24_567.35, TRADED)
        + frames.status()
        + FULL
        + frames.quote("NSE_FNO", 40_002, 88.5, TRADED, volume=3)
        + frames.open_interest("NSE_FNO", 40_002, 55)
    )
    ticks = one.decode(message, NOW)
    assert [(tick.instrument, tick.oi) for tick in ticks] == [
        (NIFTY.id, 0),
        (CALL.id, 1_250_000),
        (PUT.id, 0),
        (PUT.id, 55),
    ]
    assert {tick.at_ns for tick in ticks} == {NOW}
    assert one.flaws == {}


def test_a_disconnect_packet_tells_its_reason() -> None:
    """What came before it in the message is still told."""
    one = codec()
    assert one.decode(FULL + frames.disconnect(805), NOW) == [CALL_TICK]
    assert one.reason == 805


def _with_price(offset: int, price: float) -> bytes:
    return FULL[:offset] + struct.pack("<f", price) + FULL[offset + 4 :]


@pytest.mark.parametrize("price", [float("nan"), float("inf"), -101.4, 0.0, 1e30, -0.0, 0.001])
@pytest.mark.parametrize("offset", [8, 62 + 12, 62 + 4 * 20 + 16])
def test_a_packet_with_an_impossible_price_is_refused_as_a_whole(offset: int, price: float) -> None:
    """In the last price, the best bid or the last ask; its neighbours are decoded."""
    one = codec()
    other = frames.ticker("IDX_I", 13, 24_567.35, TRADED)
    [tick] = one.decode(_with_price(offset, price) + other, NOW)
    assert tick.instrument == NIFTY.id
    assert one.flaws == {Flaw.PRICE: 1}
    assert one.wires[CALL.id].tick is None
    assert one.decode(FULL, NOW) == [CALL_TICK]


@pytest.mark.parametrize(
    ("bad", "flaw"),
    [
        (frames.ticker(9, 40_001, 1.0, TRADED), Flaw.SEGMENT),
        (frames.ticker("NSE_FNO", 40_003, 1.0, TRADED), Flaw.INSTRUMENT),
        (frames.full("NSE_CURRENCY", 40_001, 1.0, TRADED), Flaw.INSTRUMENT),
        (frames.open_interest("NSE_FNO", 1, 1), Flaw.INSTRUMENT),
        (frames.header(99, 12, 2, 40_001) + b"abcd", Flaw.CODE),
        (frames.header(1, 20, 0, 13) + b"index packet", Flaw.CODE),
    ],
)
def test_what_is_unknown_is_counted_and_the_rest_is_decoded(bad: bytes, flaw: Flaw) -> None:
    """Packets of an unknown code are passed over by their own length."""
    one = codec()
    assert one.decode(bad + FULL, NOW) == [CALL_TICK]
    assert one.flaws == {flaw: 1}


@pytest.mark.parametrize(
    ("bad", "flaw"),
    [
        (b"", Flaw.EMPTY),
        (FULL[:-1], Flaw.TRUNCATED),
        (FULL[:3], Flaw.TRUNCATED),
        (frames.header(99, 0, 2, 40_001), Flaw.NO_LENGTH),
        (frames.header(99, 7, 2, 40_001), Flaw.NO_LENGTH),
        (frames.header(99, 9, 2, 40_001), Flaw.TRUNCATED),
        (b"\x63", Flaw.TRUNCATED),
        (b"<html>502 Bad Gateway</html>", Flaw.TRUNCATED),
        (bytes(codecs.MESSAGE_MAX + 1), Flaw.OVERSIZED),
    ],
)
def test_where_nobody_knows_how_long_it_is_the_message_ends(bad: bytes, flaw: Flaw) -> None:
    """What came before stands; nothing is read out of step."""
    one = codec()
    assert one.decode(bad, NOW) == []
    assert one.flaws == {flaw: 1}
    ticks = one.decode(FULL + bad, NOW)
    assert ticks == ([] if flaw is Flaw.OVERSIZED else [CALL_TICK])


def test_a_wrong_length_is_forgiven_where_the_sizes_lead_to_the_end() -> None:
    """The size by code is what everybody relies on; the field is counted as wrong."""
    one = codec()
    odd = bytes((8, 154, 0)) + FULL[3:]
    index = frames.ticker("IDX_I", 13, 24_567.35, TRADED)
    assert one.decode(odd, NOW) == [CALL_TICK]
    assert [tick.instrument for tick in one.decode(odd + index, NOW)] == [CALL.id, NIFTY.id]
    assert one.flaws == {Flaw.LENGTH: 2}


def test_a_packet_of_a_new_layout_is_passed_over_by_its_length() -> None:
    """Nothing is read from places that may have moved; its neighbours are decoded."""
    one = codec()
    longer = bytes((8, 170, 0)) + FULL[3:] + bytes(8)
    [tick] = one.decode(longer + frames.ticker("IDX_I", 13, 24_567.35, TRADED), NOW)
    assert tick.instrument == NIFTY.id
    assert one.flaws == {Flaw.LENGTH: 1}


def test_where_neither_size_leads_to_the_end_the_message_ends() -> None:
    """A length that fits nothing is no reason to guess."""
    one = codec()
    assert one.decode(bytes((8, 100, 0)) + FULL[3:] + b"\x08\x02", NOW) == []
    assert one.flaws == {Flaw.LENGTH: 1}


@pytest.mark.parametrize("code", [4, 5, 6, 50])
def test_a_wrong_length_of_any_packet_is_counted(code: int) -> None:
    """Also of those whose content nobody needs."""
    whole = {
        4: frames.quote("NSE_FNO", 40_001, 9.0, TRADED),
        5: frames.open_interest("NSE_FNO", 40_001, 1),
        6: frames.close("NSE_FNO", 40_001, 9.0),
        50: frames.disconnect(807),
    }[code]
    one = codec()
    one.decode(whole[:1] + b"\x09\x00" + whole[3:], NOW)
    assert one.flaws == {Flaw.LENGTH: 1}
    assert one.reason == (807 if code == 50 else None)


def test_a_forgiven_packet_can_still_be_wrong() -> None:
    """Its flaws are counted beside its length, and it makes no tick."""
    one = codec()
    bad = _with_price(8, -1.0)
    assert one.decode(bytes((8, 9, 0)) + bad[3:], NOW) == []
    assert one.flaws == {Flaw.LENGTH: 1, Flaw.PRICE: 1}


def test_each_flaw_is_logged_once_with_what_was_seen() -> None:
    """The first shows the bytes; a broken feed must not fill the log."""
    one = codec()
    with capture_logs() as lines:
        for _ in range(3):
            one.decode(FULL[:20], NOW)
            one.decode(frames.header(99, 12, 2, 40_001) + b"abcd", NOW)
    assert one.flaws == {Flaw.TRUNCATED: 3, Flaw.CODE: 3}
    assert one.skipped == {99: 3}
    assert [line["flaw"] for line in lines] == ["truncated packet", "unknown packet code"]
    assert lines[1]["seen"] == "63 0c 00 02 41 9c 00 00 61 62 63 64"


def test_the_store_of_prices_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed of nonsense prices cannot fill the memory; the right ones are still right after it."""
    monkeypatch.setattr(codecs, "PRICES_MAX", 16)
    one = codec()
    for step in range(1, 40):
        [tick] = one.decode(frames.ticker("IDX_I", 13, step / 4, TRADED), NOW)
        assert tick.last_paise == step * 25
        assert one.decode(FULL, NOW) == [CALL_TICK]
    assert len(one.wires[NIFTY.id].paise) <= 16


def test_instruments_can_be_added_and_are_not_forgotten() -> None:
    """Known ones keep what they have shown."""
    one = codec(CALL)
    one.decode(FULL, NOW)
    one.know([CALL, PUT])
    assert one.wires[CALL.id].tick == CALL_TICK
    assert len(one.decode(frames.ticker("NSE_FNO", 40_002, 8.0, TRADED), NOW)) == 1
