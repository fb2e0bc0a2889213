"""Money is conserved: whatever fills come, every entry and every day sums to zero."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.books.charges import Charges, fill_charges
from holdfast.core.books.positions import Holding, fold_fill
from holdfast.core.books.postings import Account, Ledger, day_statement, postings_of_fill
from holdfast.core.orders.order import Fill
from holdfast.domain.dated import ChargeRates
from holdfast.domain.instrument import Exchange, InstrumentId, Kind
from holdfast.domain.order import Side
from holdfast.facts.load import load_day_facts

RATES = load_day_facts(dt.date(2026, 4, 1)).charge_rates(Exchange.NSE, Kind.OPTION)
FUTURES = load_day_facts(dt.date(2026, 4, 1)).charge_rates(Exchange.NSE, Kind.FUTURE)
CONTRACTS = (InstrumentId("NSE_FNO:1"), InstrumentId("NSE_FNO:2"), InstrumentId("NSE_FNO:3"))

fills = st.tuples(
    st.sampled_from(CONTRACTS),
    st.sampled_from(Side),
    st.builds(Fill, quantity=st.integers(1, 5_000), value_paise=st.integers(1, 10**10)),
)


@given(st.lists(fills, max_size=30))
def test_every_fill_and_every_day_sums_to_zero(
    sequence: list[tuple[InstrumentId, Side, Fill]],
) -> None:
    """
    Purchases and sales of any size in three contracts, through zero and back: each entry sums
    to zero, cash is what the fills were worth less charges, the premium is the cost of what is
    held, and the day's statement leaves whole paise of charges and a ledger in balance.
    """
    ledger = Ledger()
    holdings = dict.fromkeys(CONTRACTS, Holding())
    charges = dict.fromkeys(CONTRACTS, Charges())
    worth_paise = realised_total = 0
    for contract, side, fill in sequence:
        before = holdings[contract]
        holdings[contract], realised = fold_fill(before, side, fill)
        added = fill_charges(
            RATES, side, value_paise=fill.value_paise, order_value_before_paise=0, first_fill=True
        )
        change = holdings[contract].cost_paise - before.cost_paise
        postings = postings_of_fill(change, realised, added)
        assert sum(posting.amount_e4 for posting in postings) == 0
        ledger.post(postings)
        charges[contract] += added
        worth_paise -= side.sign * fill.value_paise
        realised_total += realised
    charged_e4 = sum(of_one.total_e4 for of_one in charges.values())
    assert ledger.balance_e4(Account.CASH) == worth_paise * 10_000 - charged_e4
    assert ledger.balance_e4(Account.REALISED) == -realised_total * 10_000
    held_paise = sum(holding.cost_paise for holding in holdings.values())
    assert ledger.balance_e4(Account.PREMIUM) == held_paise * 10_000
    lines = day_statement(ledger, charges)
    stated_paise = sum(line.charges["total"] for line in lines)
    assert sum(ledger.balance_e4(account) for account in Account) == 0
    assert ledger.balance_e4(Account.CASH) == (worth_paise - stated_paise) * 10_000


@given(
    rates=st.sampled_from((RATES, FUTURES)),
    side=st.sampled_from(Side),
    values=st.lists(st.integers(1, 10**9), min_size=1, max_size=10),
)
def test_partial_fills_cost_what_one_fill_costs(
    rates: ChargeRates, side: Side, values: list[int]
) -> None:
    """
    An order in any number of pieces bears the brokerage of one, exactly; every other component
    differs by the rounding of each piece at most, half a ten-thousandth of a paisa.
    """
    whole = fill_charges(
        rates, side, value_paise=sum(values), order_value_before_paise=0, first_fill=True
    )
    pieces, before = Charges(), 0
    for value_paise in values:
        pieces += fill_charges(
            rates,
            side,
            value_paise=value_paise,
            order_value_before_paise=before,
            first_fill=before == 0,
        )
        before += value_paise
    assert pieces.brokerage_e4 == whole.brokerage_e4
    for name in ("stt_e4", "transaction_e4", "ipft_e4", "sebi_e4", "stamp_e4"):
        assert abs(getattr(pieces, name) - getattr(whole, name)) <= (len(values) + 1) / 2
    assert abs(pieces.gst_e4 - whole.gst_e4) <= len(values) + 1
