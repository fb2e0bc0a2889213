"""What a contract is worth when it expires."""

import pytest
from msgspec.structs import replace

from holdfast.domain.instrument import Instrument, Kind
from holdfast.exchange.settlement import settlement_paise
from tests.support.desk import CALL, PUT

STRIKE = CALL.strike_paise or 0


@pytest.mark.parametrize(
    ("contract", "underlying", "paise"),
    [
        (CALL, STRIKE + 1_005, 1_005),
        (CALL, STRIKE, 0),
        (CALL, STRIKE - 1, 0),
        (PUT, (PUT.strike_paise or 0) - 1_005, 1_005),
        (PUT, (PUT.strike_paise or 0) + 1, 0),
        (replace(CALL, kind=Kind.FUTURE, strike_paise=None, option_type=None), 77, 77),
    ],
)
def test_a_contract_is_worth_what_it_is_in_the_money(
    contract: Instrument, underlying: int, paise: int
) -> None:
    """An option never less than nothing; a future its underlying."""
    assert settlement_paise(contract, underlying) == paise
