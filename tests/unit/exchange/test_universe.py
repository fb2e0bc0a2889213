"""What a generated day trades."""

import pytest
from msgspec.structs import replace

from holdfast.domain.instrument import Exchange, Kind, OptionType, Segment
from tests.support.desk import CALL, NIFTY
from tests.unit.exchange.made import UNIVERSE


def test_its_strikes_lie_around_the_close_before() -> None:
    """A call and a put for each, six steps to both sides, keyed one after the other."""
    options = UNIVERSE.options()
    strikes = [option.strike_paise for option in options[::2]]
    assert strikes == [24_200_00 + 50_00 * step for step in range(13)]
    assert [option.option_type for option in options] == [OptionType.CALL, OptionType.PUT] * 13
    assert [option.security_id for option in options] == list(range(40_001, 40_027))


def test_an_option_carries_the_terms_of_its_contract() -> None:
    """As a row of the instrument master would."""
    option = UNIVERSE.options()[12]
    assert (option.symbol, option.segment) == ("NIFTY 2026-11-24 24500 CE", Segment.NSE_FNO)
    assert (option.lot_size, option.freeze_quantity, option.price_step_paise) == (65, 1_801, 5)
    assert (option.kind, option.underlying, option.expiry) == (Kind.OPTION, "NIFTY", "2026-11-24")


def test_options_trade_where_their_index_is() -> None:
    """SENSEX options at the BSE."""
    sensex = replace(NIFTY, exchange=Exchange.BSE, symbol="SENSEX", underlying="SENSEX")
    option = replace(UNIVERSE, index=sensex).options()[0]
    assert (option.exchange, option.segment) == (Exchange.BSE, Segment.BSE_FNO)


@pytest.mark.parametrize(
    ("spot", "middle"),
    [(24_500_00, 24_500_00), (24_524_99, 24_500_00), (24_525_00, 24_550_00)],
)
def test_the_middle_is_the_nearest_strike(spot: int, middle: int) -> None:
    """The upper one of two as near."""
    assert replace(UNIVERSE, spot_paise=spot).middle_paise == middle


@pytest.mark.parametrize(
    "changes",
    [
        {"strikes_each_side": 1},
        {"strikes_each_side": 490},  # the lowest strike would be 0
        {"index": CALL},
    ],
)
def test_what_makes_no_market_is_refused(changes: dict[str, object]) -> None:
    """Before anything is generated."""
    with pytest.raises(ValueError, match="no option chain"):
        replace(UNIVERSE, **changes)
