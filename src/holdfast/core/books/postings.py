"""Double entry: every fill moves money between accounts, and what moves sums to zero.

Amounts are 1/10,000 paisa, debits positive: cash and premium are what is owned, charges and
rounding what is spent, and `realised` is credited (negative) with a profit. What an earlier day left
open enters at what it cost.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from holdfast.core.books.charges import PAISA_E4, Charges, statement
from holdfast.domain.instrument import InstrumentId


class Account(StrEnum):
    """Where money is. `premium` is the cost of what is held, negative while options are short.

    `carried` is what earlier days paid for what today begins with.
    """

    CASH = "cash"
    PREMIUM = "premium"
    CHARGES = "charges"
    REALISED = "realised"
    ROUNDING = "rounding"
    CARRIED = "carried"


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """One side of an entry: `amount_e4` (1/10,000 paisa) to one account, debit positive."""

    account: Account
    amount_e4: int

    def __post_init__(self) -> None:
        """Money is never a float."""
        assert type(self.amount_e4) is int, self.amount_e4


class StatementLine(msgspec.Struct, frozen=True, kw_only=True):
    """One contract's charges of a day as the contract note shows them: component to paise."""

    instrument: InstrumentId
    charges: dict[str, int]


class Ledger:
    """What the accounts hold. It takes entries that sum to zero and no others."""

    def __init__(self) -> None:
        self._balances = dict.fromkeys(Account, 0)

    def post(self, postings: Iterable[Posting]) -> None:
        """Add one entry's postings to their accounts."""
        entry = tuple(postings)
        assert sum(posting.amount_e4 for posting in entry) == 0, f"an entry out of balance: {entry}"
        for posting in entry:
            self._balances[posting.account] += posting.amount_e4

    def balance_e4(self, account: Account) -> int:
        """What an account holds, in 1/10,000 paisa, debit positive."""
        return self._balances[account]


def postings_of_fill(
    cost_change_paise: int, realised_paise: int, charges: Charges
) -> tuple[Posting, ...]:
    """The entry of one fill: the change of the position's total cost, its profit, its charges.

    Cash moves by what the fill was worth: a purchase adds its value to the cost; a sale that
    closes releases the cost and realises what it brought beyond it.
    """
    return postings_of_correction(cost_change_paise, realised_paise, charges.total_e4)


def postings_of_correction(
    cost_change_paise: int, realised_paise: int, charges_e4: int
) -> tuple[Posting, ...]:
    """The same where fills turned out to be worth something else: each figure by its change."""
    return _entry(
        {
            Account.CASH: (realised_paise - cost_change_paise) * PAISA_E4 - charges_e4,
            Account.PREMIUM: cost_change_paise * PAISA_E4,
            Account.CHARGES: charges_e4,
            Account.REALISED: -realised_paise * PAISA_E4,
        }
    )


def postings_of_carried(cost_paise: int) -> tuple[Posting, ...]:
    """The opening entry of what an earlier day left: its cost, paid then and not from today's cash."""
    moved_e4 = cost_paise * PAISA_E4
    return _entry({Account.PREMIUM: moved_e4, Account.CARRIED: -moved_e4})


def day_statement(
    ledger: Ledger, charges: Mapping[InstrumentId, Charges]
) -> tuple[StatementLine, ...]:
    """Close the day: each contract's charges as they are rounded, in the order of its key.

    The difference between the rounded and the exact figures is posted to `rounding` against
    cash, so that cash ends as the broker's note has it. `charges` must be those that the ledger
    has seen, of all contracts; a day is closed once.
    """
    exact_e4 = sum(of_one.total_e4 for of_one in charges.values())
    posted_e4 = ledger.balance_e4(Account.CHARGES)
    assert exact_e4 == posted_e4, f"charges of {exact_e4} to state, {posted_e4} in the ledger"
    assert ledger.balance_e4(Account.ROUNDING) == 0, "this day has been stated already"
    lines = tuple(
        StatementLine(instrument=instrument, charges=statement(charges[instrument]))
        for instrument in sorted(charges)
    )
    rounded_e4 = sum(line.charges["total"] for line in lines) * PAISA_E4
    difference_e4 = rounded_e4 - exact_e4
    ledger.post(_entry({Account.ROUNDING: difference_e4, Account.CASH: -difference_e4}))
    return lines


def _entry(amounts_e4: Mapping[Account, int]) -> tuple[Posting, ...]:
    return tuple(
        Posting(account=account, amount_e4=amount_e4)
        for account, amount_e4 in amounts_e4.items()
        if amount_e4 != 0
    )
