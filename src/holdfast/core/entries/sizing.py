"""How many lots: what is lost at the stop's limit, charges both ways, must fit the budget (T19).

Zero lots means no trade, never one lot anyway.
"""

from holdfast.core.books.charges import closing_charges_paise
from holdfast.core.settings import SizingSettings
from holdfast.domain.dated import ChargeRates
from holdfast.domain.decision import Sizing
from holdfast.domain.instrument import Instrument
from holdfast.domain.order import Side


def charges_both_ways_paise(
    rates: ChargeRates, side: Side, quantity: int, *, entry_paise: int, exit_paise: int
) -> int:
    """Charges of entering at one price and closing at another, rounded up to the paisa."""
    return closing_charges_paise(rates, side, quantity * entry_paise) + closing_charges_paise(
        rates, side.opposite, quantity * exit_paise
    )


def size(
    settings: SizingSettings,
    instrument: Instrument,
    rates: ChargeRates,
    *,
    entry_limit_paise: int,
    stop_limit_paise: int,
    cash_paise: int,
) -> Sizing:
    """The largest number of lots of a long that every bound allows; `lots` may be 0.

    `loss_at_stop_paise` of the answer is that of its quantity. Asserts that the stop's limit lies
    below the entry's: anything else is not a long with a stop.
    """
    assert 0 < stop_limit_paise < entry_limit_paise, "a long needs a stop below its entry"
    budget = settings.capital_paise * settings.risk_bps // 10_000
    lot = instrument.lot_size
    bound, lots = "lots_max", max(settings.lots_max, 0)
    charges = loss = 0
    while lots:
        quantity = lots * lot
        charges = charges_both_ways_paise(
            rates,
            Side.BUY,
            quantity,
            entry_paise=entry_limit_paise,
            exit_paise=stop_limit_paise,
        )
        loss = quantity * (entry_limit_paise - stop_limit_paise) + charges
        if loss <= budget and quantity * entry_limit_paise + charges <= cash_paise:
            break
        bound = "risk" if loss > budget else "cash"
        lots -= 1
        charges = loss = 0
    return Sizing(
        lots=lots,
        lot_size=lot,
        budget_paise=budget,
        entry_limit_paise=entry_limit_paise,
        stop_limit_paise=stop_limit_paise,
        charges_paise=charges,
        loss_at_stop_paise=loss,
        cash_paise=cash_paise,
        bound=bound,
    )
