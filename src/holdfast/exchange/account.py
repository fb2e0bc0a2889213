"""The account at the broker: cash, net positions per broker key, and every execution behind them."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from holdfast.domain.book import BookNet, BookTrade
from holdfast.domain.instrument import BrokerKey
from holdfast.domain.order import BrokerOrderId, OrderId, Side


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One execution at the exchange. `order_id` is `None` for orders that the broker sent itself.

    `value_paise` is the sum of price times quantity over the levels it took.
    """

    order_id: OrderId | None
    broker_id: BrokerOrderId
    key: BrokerKey
    side: Side
    quantity: int
    value_paise: int
    at_ns: int


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What earlier days have left of a key: signed contracts, and what they cost in all, in paise."""

    key: BrokerKey
    net: int
    cost_paise: int


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was settled in cash: `net` contracts at `paise` each."""

    key: BrokerKey
    net: int
    paise: int
    at_ns: int


class Account:
    """Folds executions. Premium is paid and received at once; charges are booked after the day.

    What is `carried` was paid before the day: cash does not hold it any more.
    """

    def __init__(self, cash_paise: int, carried: Iterable[Carried] = ()) -> None:
        """`carried` may name a key more than once."""
        self._cash_before_paise = cash_paise
        self.cash_paise = cash_paise
        self.carried = tuple(carried)
        self.executions: list[Execution] = []
        self.settlements: list[Settlement] = []
        self._net = carried_nets(self.carried)
        self._trades: list[BookTrade] = []

    def book(self, execution: Execution) -> None:
        """Take one execution."""
        self.executions.append(execution)
        sign = execution.side.sign
        self.cash_paise -= sign * execution.value_paise
        self._net[execution.key] = self.net(execution.key) + sign * execution.quantity

    def settle(self, key: BrokerKey, *, paise: int, at_ns: int) -> None:
        """Pay what is held of `key` at `paise` a contract, and hold nothing of it any more."""
        net = self.net(key)
        self.settlements.append(Settlement(key=key, net=net, paise=paise, at_ns=at_ns))
        self.cash_paise += net * paise
        self._net[key] = 0

    @property
    def worth_before_paise(self) -> int:
        """Cash at the beginning of the day and the cost of what it began with, in paise."""
        return self._cash_before_paise + sum(one.cost_paise for one in self.carried)

    def trades(self) -> tuple[BookTrade, ...]:
        """Every execution, as the broker's trade book shows it."""
        made = len(self._trades)
        self._trades += book_trades(self.executions[made:], first=made + 1)
        return tuple(self._trades)

    def net(self, key: BrokerKey) -> int:
        """Contracts held in `key`, negative when short."""
        return self._net.get(key, 0)

    def positions(self) -> dict[BrokerKey, int]:
        """The net of every key carried or traded today, zero included, in order of their first."""
        return dict(self._net)

    def assert_conserved(self) -> None:
        """Cash and positions equal the fold of all executions, newly made."""
        cash_paise = self._cash_before_paise
        net = carried_nets(self.carried)
        for execution in self.executions:
            assert execution.quantity > 0, f"an execution of nothing: {execution}"
            assert execution.value_paise >= execution.quantity, f"below one paisa: {execution}"
            cash_paise -= execution.side.sign * execution.value_paise
            signed = execution.side.sign * execution.quantity
            net[execution.key] = net.get(execution.key, 0) + signed
        for settled in self.settlements:
            assert settled.net == net[settled.key], f"{settled} is not what was held"
            cash_paise += settled.net * settled.paise
            net[settled.key] = 0
        assert cash_paise == self.cash_paise, f"cash {self.cash_paise} is not {cash_paise}"
        assert net == self._net, f"positions {self._net} are not {net}"


def carried_nets(carried: Iterable[Carried]) -> dict[BrokerKey, int]:
    """The contracts that a day begins with, by key, in order of their mention."""
    nets: dict[BrokerKey, int] = {}
    for one in carried:
        nets[one.key] = nets.get(one.key, 0) + one.net
    return nets


def book_nets(
    executions: Iterable[Execution], carried: Iterable[Carried] = ()
) -> tuple[BookNet, ...]:
    """What is held of every key by `executions` and what was carried, as the broker shows it."""
    bought: Counter[BrokerKey] = Counter()
    sold: Counter[BrokerKey] = Counter()
    for key, net in carried_nets(carried).items():
        (bought if net > 0 else sold)[key] += abs(net)
    for one in executions:
        (bought if one.side.sign > 0 else sold)[one.key] += one.quantity
    return tuple(
        BookNet(instrument=key.instrument, product=key.product, bought=bought[key], sold=sold[key])
        for key in sorted(bought.keys() | sold.keys())
    )


def book_trades(executions: Iterable[Execution], *, first: int = 1) -> tuple[BookTrade, ...]:
    """`executions` as the broker's trade book shows them; `first` is the place in it of the first."""
    return tuple(
        BookTrade(
            trade_id=str(number),
            broker_id=one.broker_id,
            quantity=one.quantity,
            value_paise=one.value_paise,
        )
        for number, one in enumerate(executions, first)
    )
