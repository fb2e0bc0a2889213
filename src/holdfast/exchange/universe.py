"""What a generated day trades: one underlying, the strikes around it, one expiry."""

from collections.abc import Iterator

import msgspec

from holdfast.domain.instrument import (
    Exchange,
    Instrument,
    Kind,
    OptionType,
    Segment,
    instrument_id,
)

_SEGMENTS = {Exchange.NSE: Segment.NSE_FNO, Exchange.BSE: Segment.BSE_FNO}


class Universe(msgspec.Struct, frozen=True, kw_only=True):
    """An index and its options. Prices in paise, quantities in contracts.

    `spot_paise` is where the index closed the session before; the strikes lie around it. `expiry`
    is an ISO date. `volatility_bps` is what the options imply, in basis points a year: the index
    moves as much. Options take security ids from `first_security_id` on.
    """

    index: Instrument
    spot_paise: int
    strike_step_paise: int
    lot_size: int
    freeze_quantity: int
    price_step_paise: int
    expiry: str
    strikes_each_side: int = 6
    volatility_bps: int = 1_300
    first_security_id: int = 40_001

    def __post_init__(self) -> None:
        """Refuse what no market could be made of."""
        lowest = self.middle_paise - self.strikes_each_side * self.strike_step_paise
        if self.index.kind is not Kind.INDEX or self.strikes_each_side < 2 or lowest <= 0:
            raise ValueError(f"no option chain around {self.spot_paise} of {self.index.symbol}")

    @property
    def middle_paise(self) -> int:
        """The strike nearest to the close before, the upper of two as near."""
        step = self.strike_step_paise
        return (self.spot_paise + step // 2) // step * step

    @property
    def reach_paise(self) -> int:
        """How far from the middle the index may wander so that its strikes stay in the chain."""
        return (self.strikes_each_side - 1) * self.strike_step_paise + self.strike_step_paise // 2

    def options(self) -> tuple[Instrument, ...]:
        """Calls and puts, by strike, calls first."""
        return tuple(self._options())

    def _options(self) -> Iterator[Instrument]:
        segment = _SEGMENTS[self.index.exchange]
        security_id = self.first_security_id
        for steps in range(-self.strikes_each_side, self.strikes_each_side + 1):
            strike_paise = self.middle_paise + steps * self.strike_step_paise
            for option_type in OptionType:
                yield Instrument(
                    id=instrument_id(segment, security_id),
                    segment=segment,
                    security_id=security_id,
                    symbol=self._symbol(strike_paise, option_type),
                    exchange=self.index.exchange,
                    kind=Kind.OPTION,
                    underlying=self.index.underlying,
                    lot_size=self.lot_size,
                    price_step_paise=self.price_step_paise,
                    freeze_quantity=self.freeze_quantity,
                    expiry=self.expiry,
                    strike_paise=strike_paise,
                    option_type=option_type,
                )
                security_id += 1

    def _symbol(self, strike_paise: int, option_type: OptionType) -> str:
        return f"{self.index.underlying} {self.expiry} {strike_paise // 100} {option_type.value}"
