"""What an option is worth when it expires: the exchange pays the difference in cash (T24)."""

from holdfast.domain.instrument import Instrument, Kind, OptionType


def settlement_paise(contract: Instrument, underlying_paise: int) -> int:
    """The value of one contract, in paise, by the closing price of its underlying.

    An option out of the money is worth nothing; a future is worth its underlying.
    """
    if contract.kind is Kind.FUTURE:
        return underlying_paise
    assert contract.strike_paise is not None, "an option has a strike"
    beyond = underlying_paise - contract.strike_paise
    return max(beyond if contract.option_type is OptionType.CALL else -beyond, 0)
