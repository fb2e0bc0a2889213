"""When each instrument of a generated day speaks, and what it says."""

import numpy as np
import pytest

from holdfast.exchange.noise import noise
from holdfast.exchange.packets import (
    NEVER,
    OptionTerms,
    Packets,
    index_packets,
    option_packets,
)
from tests.support.desk import OPEN, SECOND

SECONDS = 3_600
STARTS = OPEN + np.arange(SECONDS) * SECOND
TERMS = OptionTerms(lot_size=65, price_step_paise=5)


def option(*, fair: float = 12_000.0, away: float = 0.0, seed: int = 1) -> Packets:
    """An hour of one option at a price that does not move."""
    return option_packets(
        noise(seed, "option", "test"),
        fair=np.full(SECONDS, fair),
        steps_away=np.full(SECONDS, away),
        starts_ns=STARTS,
        terms=TERMS,
    )


def gaps_s(packets: Packets) -> list[float]:
    """Seconds between packets."""
    return [float(gap) for gap in np.diff(packets.at_ns) / SECOND]


@pytest.mark.parametrize(
    ("away", "least", "most", "longest"),
    [(0.0, 3_450, 3_600, 6), (2.5, 3_450, 3_600, 6), (5.0, 900, 1_500, 36), (8.0, 800, 1_350, 36)],
)
def test_near_strikes_speak_each_second_and_far_ones_now_and_then(
    away: float, least: int, most: int, longest: int
) -> None:
    """With quiet spells of five to thirty seconds."""
    packets = option(away=away)
    assert least < len(packets.at_ns) < most
    assert max(gaps_s(packets)) < longest
    assert (max(gaps_s(packets)) > 20) is (away > 3.5)


def test_the_first_second_tells_everybody_where_it_is() -> None:
    """Also in a quiet strike."""
    for seed in range(20):
        assert option(away=9.0, seed=seed).at_ns[0] < OPEN + SECOND


@pytest.mark.parametrize("fair", [0.0, 1.0, 7.5, 500.0, 12_000.0, 99_999.0])
@pytest.mark.parametrize("away", [0.0, 6.0])
def test_a_quote_lies_on_the_step_around_the_fair_price(fair: float, away: float) -> None:
    """The bid at least one step, the ask above it, in every packet."""
    packets = option(fair=fair, away=away)
    assert packets.bid.min() >= 5
    assert (packets.ask - packets.bid).min() >= 5
    assert not (packets.bid % 5).any()
    assert not (packets.ask % 5).any()
    if fair >= 500:
        assert np.abs((packets.bid + packets.ask) / 2 - fair).max() <= (
            (packets.ask - packets.bid).max() / 2 + 5
        )


def test_spreads_widen_away_from_the_money() -> None:
    """Near it about as recorded: 15 to 25 basis points."""

    def spread_bps(away: float) -> float:
        packets = option(away=away)
        return float(np.mean((packets.ask - packets.bid) / 12_000) * 10_000)

    assert 12 < spread_bps(0.0) < 28
    assert spread_bps(0.0) < spread_bps(3.0) < spread_bps(6.0)


def test_not_every_packet_is_a_trade_and_trades_move_volume_and_time_together() -> None:
    """A trade prints on a side of the quote, in whole lots, in the second of its packet."""
    packets = option()
    trades = np.diff(packets.volume, prepend=0) > 0
    assert 0.4 < trades.mean() < 0.6
    assert not (packets.volume % 65).any()
    assert (packets.traded_ns[trades] == packets.at_ns[trades] // SECOND * SECOND).all()
    on_bid, on_ask = packets.last == packets.bid, packets.last == packets.ask
    assert (on_bid | on_ask)[trades].all()
    assert min(on_bid[trades].mean(), on_ask[trades].mean()) > 0.4
    assert (np.diff(packets.last)[~trades[1:]] == 0).all()
    assert (np.diff(packets.traded_ns)[~trades[1:]] == 0).all()


def test_before_its_first_trade_an_option_has_no_trade_time() -> None:
    """Its last price is the close of the day before, its volume nothing."""
    packets = next(
        p for p in (option(away=9.0, seed=s) for s in range(9)) if p.traded_ns[0] == NEVER
    )
    untraded = packets.traded_ns == NEVER
    assert untraded.sum() > 1
    assert not packets.volume[untraded].any()
    assert len(np.unique(packets.last[untraded])) == 1


def test_open_interest_drifts_in_whole_lots_every_three_minutes() -> None:
    """And most of it lies near the money."""
    near, far = option(), option(away=9.0)
    assert not (near.oi % 65).any()
    assert near.oi.min() > 0
    assert 10 < len(np.unique(near.oi)) <= 20
    assert near.oi.mean() > far.oi.mean()


def test_an_index_follows_trades_until_its_underlying_ends() -> None:
    """Then it speaks rarely, and neither its value nor its trade time moves (T16)."""
    path = np.arange(SECONDS) + 2_450_000
    packets = index_packets(
        noise(1, "index", "test"), path=path, starts_ns=STARTS, ends_ns=OPEN + 1_800 * SECOND
    )
    follows = packets.at_ns < OPEN + 1_800 * SECOND
    assert follows.sum() > 1_700
    assert (packets.last[follows] == path[(packets.traded_ns[follows] - OPEN) // SECOND]).all()
    assert (packets.at_ns[follows] - packets.traded_ns[follows]).max() < SECOND
    assert 200 < (~follows).sum() < 600
    assert set(packets.last[~follows].tolist()) == {2_450_000 + 1_799}
    assert set(packets.traded_ns[~follows].tolist()) == {OPEN + 1_799 * SECOND}
    assert not packets.bid.any()


def test_packets_of_one_instrument_never_overtake_each_other() -> None:
    """Each is received within its own second, some way after it was sent."""
    packets = option()
    assert (np.diff(packets.at_ns) > 0).all()
    assert ((packets.at_ns - OPEN) % SECOND).min() >= 8_000_000
