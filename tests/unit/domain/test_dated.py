"""The dated facts of one day: windows are half open, price rules meet at their pivots."""

import msgspec
import pytest

from holdfast.domain.dated import DayFacts, PriceRules, Session
from holdfast.domain.instrument import Exchange, Kind
from tests.support.desk import FACTS, PRICES, RATES, SESSION

SATURDAY = Session(
    day="2026-11-21",
    exchange=Exchange.NSE,
    windows=((100, 200), (300, 400)),
    square_off_ns=390,
    underlying_ends_ns=400,
    name="disaster recovery",
)


@pytest.mark.parametrize(
    ("at_ns", "is_open"),
    [
        (99, False),
        (100, True),
        (199, True),
        (200, False),
        (299, False),
        (300, True),
        (399, True),
        (400, False),
    ],
)
def test_orders_match_inside_the_windows_only(at_ns: int, *, is_open: bool) -> None:
    """The first instant of a window belongs to it, its last does not, nor does the gap."""
    assert SATURDAY.is_open(at_ns) is is_open


def test_a_session_lasts_from_its_first_window_to_its_last() -> None:
    """Two windows have one opening and one close."""
    assert (SATURDAY.open_ns, SATURDAY.close_ns) == (100, 400)
    assert SESSION.name == "regular"


BANDS = [
    # reference, low, high; to 50 rupees 20 rupees each way, above it 40 %
    (1_000, 1, 3_000),
    (2_000, 1, 4_000),
    (2_002, 2, 4_002),
    (5_000, 3_000, 7_000),
    (5_001, 3_001, 7_001),
    (100_000, 60_000, 140_000),
]


@pytest.mark.parametrize(("reference", "low", "high"), BANDS)
def test_a_price_band_lies_around_its_reference(reference: int, low: int, high: int) -> None:
    """The pivot belongs to the lower rule; no band reaches down to nothing."""
    assert PRICES.band(reference) == (low, high)


@pytest.mark.parametrize(("reference", "low"), [(5_001, 2_001), (7_500, 4_500), (7_505, 4_503)])
def test_a_band_has_a_least_width(reference: int, low: int) -> None:
    """At BSE 40 percent, here, but never less than 30 rupees."""
    rules = msgspec.structs.replace(PRICES, band_min_paise=3_000)
    assert rules.band(reference) == (low, 2 * reference - low)


@pytest.mark.parametrize(
    ("trigger", "distance"),
    [(4_999, 1_000), (5_000, 1_000), (5_001, 1_000), (5_005, 1_001), (50_000, 10_000)],
)
def test_a_stop_may_lie_a_fifth_behind_its_trigger(trigger: int, distance: int) -> None:
    """Ten rupees up to 50 rupees, the pivot included; a fifth, rounded down, above it."""
    assert PRICES.stop_distance(trigger) == distance


def test_the_rule_above_the_pivot_is_another_than_at_it() -> None:
    """Figures that do not meet at the pivot show on which side it lies."""
    rules: PriceRules = msgspec.structs.replace(PRICES, stop_low_paise=700, band_low_paise=10)
    assert [rules.stop_distance(trigger) for trigger in (5_000, 5_001)] == [700, 1_000]
    assert [rules.band(reference) for reference in (5_000, 5_001)] == [
        (4_990, 5_010),
        (3_001, 7_001),
    ]


def test_a_day_knows_its_own_exchanges_and_kinds() -> None:
    """What is in force is found by exchange and kind; an exchange may have no session."""
    assert FACTS.session(Exchange.NSE) is SESSION
    assert FACTS.session(Exchange.BSE) is None
    assert FACTS.charge_rates(Exchange.NSE, Kind.OPTION) is RATES
    assert FACTS.price_rules(Exchange.NSE) is PRICES


@pytest.mark.parametrize(
    ("exchange", "kind"), [(Exchange.NSE, Kind.FUTURE), (Exchange.BSE, Kind.OPTION)]
)
def test_unknown_charges_are_not_free(exchange: Exchange, kind: Kind) -> None:
    """Neither the other kind at this exchange nor this kind at the other one."""
    with pytest.raises(LookupError, match=f"no charges for {kind} at {exchange} on 2026-11-20"):
        FACTS.charge_rates(exchange, kind)


def test_unknown_price_rules_are_an_error() -> None:
    """A limit that no rule bounds would be refused, or filled anywhere."""
    with pytest.raises(LookupError, match="no price rules at BSE on 2026-11-20"):
        FACTS.price_rules(Exchange.BSE)


def test_a_day_without_trading_has_facts_and_no_session() -> None:
    """A holiday is known, and closed."""
    holiday = DayFacts(day="2026-11-22", sessions=(), charges=(RATES,), prices=(PRICES,))
    assert holiday.session(Exchange.NSE) is None
