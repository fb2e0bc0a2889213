"""Which price touches a stop: trades, a closing side that stands, and never a lone spike (T18)."""

from holdfast.domain.audit import ExitDecided
from tests.support.desk import CALL, Desk


def exits(desk: Desk) -> list[tuple[str, int | None]]:
    """Rule and price of every exit decided."""
    return [(a.exit.rule, a.exit.price_paise) for a in desk.told(ExitDecided)]


def near(desk: Desk) -> None:
    """Bring the price to 93 so that the stop at 88 is no spike away."""
    desk.hold()
    desk.at(70).tick(CALL, 93.0, bid=92.9, ask=93.1)


def test_a_trade_at_the_stop_touches_it_and_one_step_above_does_not() -> None:
    """The level itself counts."""
    desk = Desk()
    near(desk)
    desk.at(71).tick(CALL, 88.05, bid=88.0, ask=88.2)
    assert exits(desk) == []
    desk.at(71.2).tick(CALL, 88.0, bid=88.0, ask=88.2)
    assert exits(desk) == [("stop_loss", 8_800)]


def test_a_last_price_that_did_not_trade_now_touches_nothing() -> None:
    """A packet that repeats an old trade is depth, not a print."""
    desk = Desk()
    near(desk)
    desk.now += 100_000_000
    desk.tick(CALL, 87.0, bid=92.9, ask=93.1, traded=False)
    assert exits(desk) == []


def test_a_bid_beyond_the_stop_must_stand_for_a_second_over_two_packets() -> None:
    """Without a trade: one packet is not enough, a second one after a second is."""
    desk = Desk()
    near(desk)
    desk.at(71).tick(CALL, 93.0, bid=87.9, ask=88.1, traded=False)
    desk.at(71.9).tick(CALL, 93.0, bid=87.9, ask=88.1, traded=False)
    assert exits(desk) == []
    desk.at(72.0).tick(CALL, 93.0, bid=87.9, ask=88.1, traded=False)
    assert exits(desk) == [("stop_loss", 8_790)]


def test_a_bid_that_comes_back_starts_its_second_anew() -> None:
    """Beyond, back, beyond: the first second does not count for the second stretch."""
    desk = Desk()
    near(desk)
    desk.at(71.0).tick(CALL, 93.0, bid=87.9, ask=88.1, traded=False)
    desk.at(71.5).tick(CALL, 93.0, bid=92.9, ask=93.1, traded=False)
    desk.at(71.6).tick(CALL, 93.0, bid=87.9, ask=88.1, traded=False)
    desk.at(72.1).tick(CALL, 93.0, bid=87.9, ask=88.1, traded=False)
    assert exits(desk) == []


def test_a_wide_book_beyond_the_stop_is_no_market() -> None:
    """A bid pulled away while the ask stays touches nothing, however long it stands."""
    desk = Desk()
    near(desk)
    for tenth in range(10, 60):
        desk.at(70 + tenth / 10).tick(CALL, 93.0, bid=80.0, ask=93.1, traded=False)
    assert exits(desk) == []


def test_a_spike_touches_only_when_the_next_packet_confirms_it() -> None:
    """A print 20 % away is recorded; contradicted it is forgotten, confirmed it is the stop."""
    desk = Desk()
    desk.hold()
    desk.at(70).tick(CALL, 100.0)
    desk.at(70.1).tick(CALL, 80.0, bid=99.9, ask=100.1)
    assert exits(desk) == []
    desk.at(70.2).tick(CALL, 100.0)
    desk.at(72).tick(CALL, 100.0)
    assert exits(desk) == []
    desk.at(72.1).tick(CALL, 80.0, bid=99.9, ask=100.1)
    desk.at(72.2).tick(CALL, 80.0, bid=79.9, ask=80.1)
    assert exits(desk) == [("stop_loss", 8_000)]


def test_a_spike_that_nothing_contradicts_for_half_a_second_is_believed() -> None:
    """No packet follows: at 500 ms it counts."""
    desk = Desk()
    desk.hold()
    desk.at(70).tick(CALL, 100.0)
    desk.at(70.1).tick(CALL, 80.0, bid=79.9, ask=80.1)
    desk.at(70.55)
    assert exits(desk) == []
    desk.at(70.61)
    assert exits(desk) == [("stop_loss", 8_000)]


def test_a_merged_packet_touches_by_its_extremes() -> None:
    """A stop crossed inside a lag fires although the last price is back above it."""
    import msgspec  # noqa: PLC0415

    from holdfast.domain.market import Tick  # noqa: PLC0415

    desk = Desk()
    near(desk)
    desk.at(71)
    single = Tick(at_ns=desk.now, instrument=CALL.id, last_paise=9_200, venue_at_ns=desk.now,
                  volume=100_000, bids=((9_190, 65),), asks=((9_210, 65),))  # fmt: skip
    desk.tell(msgspec.structs.replace(single, count=3, last_low_paise=8_700, last_high_paise=9_300,
                                      bid_low_paise=8_690, bid_high_paise=9_290,
                                      ask_low_paise=8_710, ask_high_paise=9_310))  # fmt: skip
    assert exits(desk) == [("stop_loss", 8_700)]
