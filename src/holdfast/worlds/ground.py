"""The day on which worlds lie: contracts, hours and rates of a made-up exchange day.

They are parameters of the simulation, not facts: any values of the right kind would do.
"""

from typing import Final

from holdfast.domain.dated import ChargeRates, DayFacts, PriceRules, Session
from holdfast.domain.instrument import (
    Exchange,
    Instrument,
    Kind,
    OptionType,
    Segment,
    instrument_id,
)

SECOND: Final = 1_000_000_000
DAY: Final = "2026-11-20"
OPEN_NS: Final = 1_795_146_300 * SECOND  # 09:15 IST
BEGIN_NS: Final = OPEN_NS + 60 * SECOND  # 09:16 IST
BEGIN_S: Final = 9 * 3_600 + 16 * 60
"""When a world begins, in seconds after midnight IST."""

SPOT_PAISE: Final = 2_450_000
STRIKES: Final = (24_450, 24_500, 24_550)

RATES: Final = ChargeRates(
    since="2026-04-01",
    exchange=Exchange.NSE,
    kind=Kind.OPTION,
    brokerage_paise_max=2_000,
    brokerage_e7=0,
    stt_sell_e7=15_000,
    stt_exercise_e7=15_000,
    transaction_e7=3_503,
    ipft_e7=50,
    sebi_e7=10,
    stamp_buy_e7=300,
    gst_e7=1_800_000,
    source="a world",
)
PRICES: Final = PriceRules(
    since="2022-10-31",
    exchange=Exchange.NSE,
    band_pivot_paise=5_000,
    band_low_paise=2_000,
    band_bps=4_000,
    band_min_paise=0,
    band_reference_s=30,
    stop_distance_bps=2_000,
    stop_pivot_paise=5_000,
    stop_low_paise=1_000,
    source="a world",
)
SESSION: Final = Session(
    day=DAY,
    exchange=Exchange.NSE,
    windows=((OPEN_NS, OPEN_NS + (6 * 3_600 + 25 * 60) * SECOND),),
    square_off_ns=OPEN_NS + (6 * 3_600 + 5 * 60) * SECOND,
    underlying_ends_ns=OPEN_NS + 6 * 3_600 * SECOND,
)
FACTS: Final = DayFacts(day=DAY, sessions=(SESSION,), charges=(RATES,), prices=(PRICES,))

INDEX: Final = Instrument(
    id=instrument_id(Segment.IDX_I, 13),
    segment=Segment.IDX_I,
    security_id=13,
    symbol="NIFTY",
    exchange=Exchange.NSE,
    kind=Kind.INDEX,
    underlying="NIFTY",
    lot_size=0,
    price_step_paise=0,
    freeze_quantity=0,
)


def _option(security_id: int, strike: int, option_type: OptionType, freeze: int) -> Instrument:
    return Instrument(
        id=instrument_id(Segment.NSE_FNO, security_id),
        segment=Segment.NSE_FNO,
        security_id=security_id,
        symbol=f"NIFTY 24NOV26 {strike} {option_type.value}",
        exchange=Exchange.NSE,
        kind=Kind.OPTION,
        underlying="NIFTY",
        lot_size=65,
        price_step_paise=5,
        freeze_quantity=freeze,
        expiry="2026-11-24",
        strike_paise=strike * 100,
        option_type=option_type,
    )


def options(freeze: int) -> tuple[Instrument, ...]:
    """Calls and puts around the money; `freeze` is the first quantity that is refused."""
    return tuple(
        _option(40_001 + 2 * number + part, strike, kind, freeze)
        for number, strike in enumerate(STRIKES)
        for part, kind in enumerate((OptionType.CALL, OptionType.PUT))
    )
