"""Double entry: what a fill moves, what a day's statement moves, and that both sum to zero."""

import msgspec
import pytest

from holdfast.core.books.charges import Charges
from holdfast.core.books.postings import (
    Account,
    Ledger,
    Posting,
    day_statement,
    postings_of_carried,
    postings_of_fill,
)
from holdfast.domain.instrument import InstrumentId

CALL, PUT = InstrumentId("NSE_FNO:2"), InstrumentId("NSE_FNO:1")


def balances(ledger: Ledger) -> dict[str, int]:
    """What every account holds, in 1/10,000 paisa."""
    return {account.value: ledger.balance_e4(account) for account in Account}


# name, change of cost, realised (paise), charges (1/10,000 paisa), the postings that follow.
FILLS = [
    # Bought for 100.00: cash falls by it and by the charge, the premium is worth it.
    ("buy to open", 100_00, 0, 7, {"cash": -100_00_0007, "premium": 100_00_0000, "charges": 7}),
    # Sold for 130.00 what had cost 100.00: cash 130.00, premium gone, 30.00 credited as profit.
    (
        "sell to close",
        -100_00,
        30_00,
        7,
        {"cash": 129_99_9993, "premium": -100_00_0000, "charges": 7, "realised": -30_00_0000},
    ),
    # Sold short for 80.00: cash comes in, the premium is owed.
    ("sell to open", -80_00, 0, 0, {"cash": 80_00_0000, "premium": -80_00_0000}),
    # Bought back for 90.00: 10.00 lost.
    (
        "buy to close",
        80_00,
        -10_00,
        0,
        {"cash": -90_00_0000, "premium": 80_00_0000, "realised": 10_00_0000},
    ),
]


@pytest.mark.parametrize(
    ("cost_change", "realised", "charges_e4", "expected"),
    [row[1:] for row in FILLS],
    ids=[row[0] for row in FILLS],
)
def test_a_fill_moves_money_between_accounts(
    cost_change: int, realised: int, charges_e4: int, expected: dict[str, int]
) -> None:
    """Debits positive; an account that nothing moves has no posting."""
    postings = postings_of_fill(cost_change, realised, Charges(gst_e4=charges_e4))
    assert {posting.account.value: posting.amount_e4 for posting in postings} == expected
    assert sum(posting.amount_e4 for posting in postings) == 0


def test_a_ledger_adds_up_a_round_trip() -> None:
    """Bought for 100.00, sold for 130.00, charges of 0.0014 paisa: flat, with 30.00 less charges."""
    ledger = Ledger()
    ledger.post(postings_of_fill(100_00, 0, Charges(stamp_e4=7)))
    ledger.post(postings_of_fill(-100_00, 30_00, Charges(stt_e4=7)))
    assert balances(ledger) == {
        "cash": 30_00_0000 - 14,
        "premium": 0,
        "charges": 14,
        "realised": -30_00_0000,
        "rounding": 0,
        "carried": 0,
    }


def test_what_is_carried_takes_nothing_from_todays_cash() -> None:
    """It was paid on an earlier day: premium stands against what was carried, short or long."""
    ledger = Ledger()
    ledger.post(postings_of_carried(100_00))
    ledger.post(postings_of_fill(-100_00, -10_00, Charges()))
    assert balances(ledger) == {
        "cash": 90_00_0000,
        "premium": 0,
        "charges": 0,
        "realised": 10_00_0000,
        "rounding": 0,
        "carried": -100_00_0000,
    }
    short = Ledger()
    short.post(postings_of_carried(-70_00))
    assert short.balance_e4(Account.CARRIED) == 70_00_0000


def test_an_entry_out_of_balance_is_not_taken() -> None:
    """It is a programmer's error, and leaves the accounts as they were."""
    ledger = Ledger()
    one_sided = (Posting(account=Account.CASH, amount_e4=1),)
    with pytest.raises(AssertionError, match="out of balance"):
        ledger.post(one_sided)
    assert set(balances(ledger).values()) == {0}
    ledger.post(())
    assert set(balances(ledger).values()) == {0}


# 17.55 of STT is shown as 18, 0.2925 of stamp as 0, 7.5139 of fees as 7.51.
OF_CALL = Charges(stt_e4=17_55_0000, stamp_e4=29_2500, transaction_e4=7_51_3900)
OF_PUT = Charges(brokerage_e4=40_00_0000, gst_e4=8_57_5675)


def test_a_day_is_stated_per_contract_and_the_difference_is_posted() -> None:
    """The lines come in the order of the contracts' keys; cash ends as the broker's note has it."""
    ledger = Ledger()
    for charges in (OF_CALL, OF_PUT):
        ledger.post(postings_of_fill(0, 0, charges))
    lines = day_statement(ledger, {CALL: OF_CALL, PUT: OF_PUT})
    assert [line.instrument for line in lines] == [PUT, CALL]
    assert [line.charges["total"] for line in lines] == [48_58, 25_51]
    # 48.58 - 48.575675 = 0.004325 and 25.51 - (17.55 + 0.2925 + 7.5139) = 0.1536 rupees.
    assert balances(ledger) == {
        "cash": -(48_58 + 25_51) * 10_000,
        "premium": 0,
        "charges": 48_57_5675 + 25_35_6400,
        "realised": 0,
        "rounding": 4325 + 15_3600,
        "carried": 0,
    }


def test_a_day_without_trades_has_an_empty_statement() -> None:
    """Nothing to state, nothing to post."""
    ledger = Ledger()
    assert day_statement(ledger, {}) == ()
    assert set(balances(ledger).values()) == {0}


def test_a_statement_states_what_the_ledger_saw() -> None:
    """Charges of a contract that was left out, or a second statement of a day, are errors."""
    ledger = Ledger()
    ledger.post(postings_of_fill(0, 0, OF_CALL))
    with pytest.raises(AssertionError, match="in the ledger"):
        day_statement(ledger, {PUT: OF_PUT})
    day_statement(ledger, {CALL: OF_CALL})
    with pytest.raises(AssertionError, match="stated already"):
        day_statement(ledger, {CALL: OF_CALL})


@pytest.mark.proves("B-13")
def test_a_posting_is_no_float() -> None:
    """Neither built nor decoded."""
    with pytest.raises(AssertionError):
        Posting(account=Account.CASH, amount_e4=0.5)  # type: ignore[arg-type]
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"account": "cash", "amount_e4": 0.5}', type=Posting)
