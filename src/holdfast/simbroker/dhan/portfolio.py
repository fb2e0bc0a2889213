"""REST of what is held, of money, and of the broker's own guards (dhan.md 3.5 to 3.8)."""

from collections.abc import Sequence
from typing import Any, Final

from holdfast.domain.instrument import BrokerKey, Product
from holdfast.domain.market import Tick
from holdfast.domain.order import OrderTerms, OrderType, Side
from holdfast.exchange.margin import held_back
from holdfast.simbroker.dhan.asked import INVALID_IP, contract_of, paise, whole
from holdfast.simbroker.dhan.book import Book
from holdfast.simbroker.dhan.desk import Desk
from holdfast.simbroker.dhan.doubts import EmptyHoldings
from holdfast.simbroker.dhan.host import Host
from holdfast.simbroker.dhan.profile import Addresses
from holdfast.simbroker.dhan.route import (
    Answer,
    Call,
    Limit,
    Route,
    bad_input,
    order_error,
    refusal,
)
from holdfast.simbroker.dhan.shown import position_row, rupees
from holdfast.simbroker.dhan.wire_faults import Endpoint, WireFault, WireFaults

BROKERAGE: Final = 20.0
DONE: Final = "Kill Switch has been successfully"


class Portfolio:
    """Answers what is asked about the account as a whole."""

    def __init__(
        self, host: Host, desk: Desk, *, book: Book, addresses: Addresses, faults: WireFaults
    ) -> None:
        """`book` shows the account, `addresses` says who may trade."""
        self._host = host
        self._desk = desk
        self._book = book
        self._addresses = addresses
        self._faults = faults

    def routes(self) -> Sequence[Route]:
        """Positions, holdings, funds, margins, guards, ledger."""
        exit_all = Route(
            "DELETE", "/v2/positions", self._exit_all, Endpoint.EXIT_ALL, limit=Limit.ORDERS
        )
        return (
            exit_all,
            Route("GET", "/v2/positions", self._positions, Endpoint.POSITIONS),
            Route("GET", "/v2/holdings", self._holdings, Endpoint.HOLDINGS),
            Route("GET", "/v2/fundlimit", self._funds, Endpoint.FUNDS),
            Route("POST", "/v2/margincalculator", self._margin, Endpoint.MARGIN),
            Route("POST", "/v2/margincalculator/multi", self._margins, Endpoint.MARGIN),
            Route("GET", "/v2/ledger", self._ledger, Endpoint.LEDGER),
        )

    async def _positions(self, call: Call) -> Answer:
        rows = []
        for one in self._book.positions(call):
            tick = self._host.exchange.last_tick(one.key.instrument)
            rows.append(
                position_row(
                    one,
                    self._host.contracts[one.key.instrument],
                    client_id=call.client_id,
                    last_paise=0 if tick is None else tick.last_paise,
                    decimals=self._desk.doubts.average_decimals,
                )
            )
        return Answer(payload=rows)

    async def _exit_all(self, call: Call) -> Answer:
        if not self._addresses.may_trade(call):
            return bad_input(INVALID_IP)
        self._host.do("exit_all")
        message = "All orders and positions exited successfully"
        return Answer(payload={"status": "SUCCESS", "message": message})

    async def _holdings(self, _call: Call) -> Answer:
        """The simulated account holds no shares (holdings_empty_error_500.json)."""
        if self._desk.doubts.empty_holdings is EmptyHoldings.LIST:
            return Answer(payload=[])
        return refusal("HOLDING_ERROR", "DH-1111", "No holdings available", status=500)

    async def _funds(self, call: Call) -> Answer:
        is_zero = self._faults.strikes(
            WireFault.FUNDS_ZERO, call.key, call.at_ns, endpoint=call.endpoint
        )
        free = 0 if is_zero else self._host.exchange.funds_paise
        begun = self._host.cash_before_paise
        return Answer(
            payload={
                "dhanClientId": call.client_id,
                "availabelBalance": rupees(free),
                "sodLimit": rupees(begun),
                "collateralAmount": 0.0,
                "receiveableAmount": 0.0,
                "utilizedAmount": rupees(begun - self._host.exchange.funds_paise),
                "blockedPayoutAmount": 0.0,
                "withdrawableBalance": rupees(max(free, 0)),
            }
        )

    async def _margin(self, call: Call) -> Answer:
        need = self._need(call.fields)
        if need is None:
            return bad_input()
        free = self._host.exchange.funds_paise
        is_sale = call.fields["transactionType"] == Side.SELL
        return Answer(
            payload={
                "totalMargin": rupees(need),
                "spanMargin": rupees(need) if is_sale else 0.0,
                "exposureMargin": 0.0,
                "availableBalance": rupees(free),
                "variableMargin": 0.0,
                "insufficientBalance": rupees(max(need - free, 0)),
                "brokerage": BROKERAGE,
                "leverage": "1X",
            }
        )

    async def _margins(self, call: Call) -> Answer:
        """The form of the OpenAPI (dhan.md 3.7): each leg by itself, without relief."""
        scrips = call.fields.get("scripList", call.fields.get("scripts"))
        if not isinstance(scrips, list) or not scrips:
            return bad_input()
        needs = [self._need(one) if isinstance(one, dict) else None for one in scrips]
        if None in needs:
            return bad_input()
        total = rupees(sum(need for need in needs if need is not None))
        return Answer(
            payload={
                "clientId": call.client_id,
                "totalMargin": total,
                "spanMargin": total,
                "exposure": 0.0,
                "equityMargin": 0.0,
                "foMargin": total,
                "commodity": 0.0,
                "currency": 0.0,
            }
        )

    def _need(self, fields: dict[str, Any]) -> int | None:
        """What one order would hold back by itself, in paise; `None` for what is no order."""
        contract = contract_of(fields, self._host.contracts)
        side, product = fields.get("transactionType"), fields.get("productType")
        quantity, price = whole(fields.get("quantity")), paise(fields.get("price"))
        is_known = side in set(Side) and product in set(Product)
        if contract is None or not is_known or not quantity or price is None:
            return None
        tick = self._host.exchange.last_tick(contract.id)
        last = None if tick is None else tick.last_paise
        terms = OrderTerms(
            instrument=contract.id,
            product=Product(str(product)),
            side=Side(str(side)),
            order_type=OrderType.LIMIT,
            quantity=quantity,
            limit_paise=price or last or 1,
        )
        key = BrokerKey(contract.id, terms.product)
        net = self._host.exchange.positions().get(key, 0)
        return held_back(contract, net=net, orders=[(terms, quantity)], last_paise=last)

    async def _ledger(self, call: Call) -> Answer:
        """Balances only: nothing is paid in or out by day (ledger.json)."""
        if not call.query.get("from-date") or not call.query.get("to-date"):
            return bad_input()
        begun = f"{rupees(self._host.cash_before_paise):.2f}"
        return Answer(
            payload=[
                {
                    "dhanClientId": call.client_id,
                    "narration": narration,
                    "voucherdate": "Jan 01, 1970",
                    "exchange": "NSE_CASH",
                    "voucherdesc": narration,
                    "vouchernumber": "",
                    "debit": "0.00",
                    "credit": begun,
                    "runbal": begun,
                }
                for narration in ("CLOSING BALANCE", "OPENING BALANCE")
            ]
        )


class Guards:
    """The broker's kill switch and its exit on profit or loss (dhan.md 3.6)."""

    def __init__(self, host: Host, desk: Desk, addresses: Addresses) -> None:
        """Both are off."""
        self._host = host
        self._desk = desk
        self._addresses = addresses
        self._is_killed = False
        self._exit: dict[str, Any] | None = None
        host.register("guard_kept", self._keep)
        host.on_tick(self._watch)

    def routes(self) -> Sequence[Route]:
        """Everything under /v2/killswitch and /v2/pnlExit."""
        kill, pnl = "/v2/killswitch", "/v2/pnlExit"
        return (
            Route("POST", kill, self._kill, Endpoint.KILL_SWITCH, limit=Limit.ORDERS),
            Route("GET", kill, self._killed, Endpoint.KILL_SWITCH),
            Route("POST", pnl, self._set, Endpoint.PNL_EXIT, limit=Limit.ORDERS),
            Route("GET", pnl, self._told, Endpoint.PNL_EXIT),
            Route("DELETE", pnl, self._lift, Endpoint.PNL_EXIT, limit=Limit.ORDERS),
        )

    def _keep(self, values: Any, _at_ns: int) -> None:
        self._is_killed = values.get("is_killed", self._is_killed)
        self._exit = values.get("exit", self._exit)

    def _watch(self, _tick: Tick) -> None:
        """The exit on profit, marked at the last prices; that on loss is the exchange's own."""
        profit = self._exit["profit"] if self._exit else 0.0
        if profit and self._result() >= round(profit * 100):
            self._exit = {}
            self._host.at(self._host.at_ns, self._desk.exit_on_profit)

    def _result(self) -> int:
        """What the day has brought so far, in paise."""
        exchange = self._host.exchange
        result = exchange.cash_paise - self._host.cash_before_paise
        for key, net in exchange.positions().items():
            tick = exchange.last_tick(key.instrument)
            result += net * (0 if tick is None else tick.last_paise)
        return result

    async def _kill(self, call: Call) -> Answer:
        word = call.query.get("killSwitchStatus")
        if word not in {"ACTIVATE", "DEACTIVATE"}:
            return bad_input()
        if not self._addresses.may_trade(call):
            return bad_input(INVALID_IP)
        is_on = word == "ACTIVATE"
        reason = self._host.do("kill_switch", {"is_on": is_on})
        if reason is not None:
            return order_error(reason)
        self._host.do("guard_kept", {"is_killed": is_on})
        done = f"{DONE} {'activated' if is_on else 'deactivated'}"
        return Answer(payload={"dhanClientId": call.client_id, "killSwitchStatus": done})

    async def _killed(self, call: Call) -> Answer:
        word = "ACTIVATE" if self._is_killed else "DEACTIVATE"
        return Answer(payload={"dhanClientId": call.client_id, "killSwitchStatus": word})

    async def _set(self, call: Call) -> Answer:
        fields = call.fields
        if fields.get("dhanClientId") != call.client_id:
            return bad_input("dhanClientId is required")
        loss, profit = paise(fields.get("lossValue")), paise(fields.get("profitValue"))
        products = fields.get("productType")
        if loss is None or profit is None or not (loss or profit) or not isinstance(products, list):
            return bad_input()
        if not self._addresses.may_trade(call):
            return bad_input(INVALID_IP)
        kept = {
            "profit": rupees(profit),
            "loss": rupees(loss),
            "productType": products,
            "enableKillSwitch": fields.get("enableKillSwitch") is True,
        }
        self._host.do("guard_kept", {"exit": kept})
        self._host.do("loss_exit", {"loss_paise": loss or None})
        message = "P&L based exit configured successfully"
        return Answer(payload={"pnlExitStatus": "ACTIVE", "message": message})

    async def _told(self, _call: Call) -> Answer:
        if not self._exit:
            return Answer(payload={"pnlExitStatus": "INACTIVE"})
        return Answer(payload={"pnlExitStatus": "ACTIVE", **self._exit})

    async def _lift(self, call: Call) -> Answer:
        if not self._addresses.may_trade(call):
            return bad_input(INVALID_IP)
        self._host.do("guard_kept", {"exit": {}})
        self._host.do("loss_exit", {"loss_paise": None})
        message = "P&L based exit disabled successfully"
        return Answer(payload={"pnlExitStatus": "DISABLED", "message": message})
