"""The account at the broker."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from holdfast.domain.instrument import BrokerKey, Product
from holdfast.domain.order import BrokerOrderId, Side
from holdfast.exchange.account import Account, Carried, Execution, book_nets, book_trades
from tests.support.desk import CALL
from tests.unit.exchange.floor import at, oid

INTRADAY = BrokerKey(CALL.id, Product.INTRADAY)
MARGIN = BrokerKey(CALL.id, Product.MARGIN)

BOUGHT = Execution(
    order_id=oid("A"),
    broker_id=BrokerOrderId("1"),
    key=INTRADAY,
    side=Side.BUY,
    quantity=130,
    value_paise=130 * 10_000,
    at_ns=at(0),
)


@pytest.mark.proves("T29")
def test_cash_and_net_are_the_fold_of_executions_per_product() -> None:
    """A sale in another product is a new short: it closes nothing."""
    account = Account(5_000_000)
    sold = replace(BOUGHT, side=Side.SELL, quantity=65, value_paise=65 * 10_100)
    for execution in (BOUGHT, sold, replace(sold, key=MARGIN)):
        account.book(execution)
        account.assert_conserved()
    assert account.cash_paise == 5_000_000 - 1_300_000 + 2 * 656_500
    assert account.positions() == {INTRADAY: 65, MARGIN: -65}
    assert account.net(BrokerKey(CALL.id, Product.INTRADAY)) == 65


def lose_a_paisa(account: Account) -> None:
    account.cash_paise -= 1


def lose_an_execution(account: Account) -> None:
    account.executions.pop()


def book_nothing(account: Account) -> None:
    account.book(replace(BOUGHT, quantity=0, value_paise=0))


def book_for_free(account: Account) -> None:
    account.book(replace(BOUGHT, value_paise=129))


@pytest.mark.parametrize("spoil", [lose_a_paisa, lose_an_execution, book_nothing, book_for_free])
def test_what_is_not_conserved_is_found(spoil: Callable[[Account], None]) -> None:
    """A check that found nothing would also pass."""
    account = Account(5_000_000)
    account.book(BOUGHT)
    spoil(account)
    with pytest.raises(AssertionError):
        account.assert_conserved()


def test_what_is_settled_is_paid_and_held_no_more() -> None:
    """At so much a contract; a short pays. The sum of all is conserved."""
    account = Account(5_000_000)
    account.book(BOUGHT)
    account.book(replace(BOUGHT, key=MARGIN, side=Side.SELL))
    account.settle(INTRADAY, paise=700, at_ns=at(9))
    account.settle(MARGIN, paise=700, at_ns=at(9))
    assert account.cash_paise == account.worth_before_paise == 5_000_000
    assert account.positions() == {INTRADAY: 0, MARGIN: 0}
    assert [(one.net, one.paise) for one in account.settlements] == [(130, 700), (-130, 700)]
    account.assert_conserved()
    account.cash_paise += 700
    with pytest.raises(AssertionError):
        account.assert_conserved()


def test_the_books_are_folds_of_executions() -> None:
    """What was bought and sold per key, by key; the trades by number, in order."""
    sold = replace(BOUGHT, side=Side.SELL, quantity=65, value_paise=65 * 10_100)
    executions = [replace(BOUGHT, key=MARGIN), BOUGHT, sold]
    assert [(net.key, net.bought, net.sold) for net in book_nets(executions)] == [
        (INTRADAY, 130, 65),
        (MARGIN, 130, 0),
    ]
    assert [(t.trade_id, t.quantity) for t in book_trades(executions)] == [
        ("1", 130),
        ("2", 130),
        ("3", 65),
    ]
    assert (book_nets([]), book_trades([])) == ((), ())


@pytest.mark.proves("T24")
def test_what_is_carried_is_held_and_was_paid_before() -> None:
    """Long and short, of one key twice: net and book hold it, today's cash does not know of it."""
    long_ = Carried(key=INTRADAY, net=65, cost_paise=650_000)
    short = Carried(key=MARGIN, net=-130, cost_paise=-1_300_000)
    account = Account(5_000_000, (long_, long_, short))
    assert account.positions() == {INTRADAY: 130, MARGIN: -130}
    assert account.cash_paise == 5_000_000
    assert account.worth_before_paise == 5_000_000
    nets = book_nets((), account.carried)
    assert [(net.product, net.bought, net.sold) for net in nets] == [
        (Product.INTRADAY, 130, 0),
        (Product.MARGIN, 0, 130),
    ]
    account.book(replace(BOUGHT, side=Side.SELL))
    assert account.net(INTRADAY) == 0
    account.assert_conserved()
    assert [net.net for net in book_nets(account.executions, account.carried)] == [0, -130]
