"""The account as REST tells it: rows with Dhan's keys, in Dhan's order, rupees as floats."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from holdfast.domain.dated import DayFacts
from holdfast.domain.instrument import BrokerKey, Instrument, InstrumentId, Kind, OptionType
from holdfast.domain.order import Side
from holdfast.exchange.account import Execution
from holdfast.facts.ist import OFFSET_NS
from holdfast.simbroker.dhan.order import AccountOrder

NO_TIME: Final = "0001-01-01 00:00:00"
NO_DATE: Final = "0001-01-01"
NA: Final = "NA"
E7: Final = 10_000_000


def ist_stamp(at_ns: int | None) -> str:
    """`YYYY-MM-DD HH:MM:SS` in India, the sentinel for no time (dhan.md 3)."""
    return NO_TIME if at_ns is None else f"{ist_time(at_ns):%Y-%m-%d %H:%M:%S}"


def ist_time(at_ns: int) -> dt.datetime:
    """The time of the wall in India, whole seconds."""
    seconds = (at_ns + OFFSET_NS) // 1_000_000_000
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC)


def rupees(price_paise: float, decimals: int | None = None) -> float:
    """Paise as rupees; a mean keeps all of its digits unless `decimals` cuts them."""
    value = price_paise / 100
    return value if decimals is None else round(value, decimals)


def trading_symbol(contract: Instrument) -> str:
    """`NIFTY-Nov2026-26050-CE`, an index or share by its own name (dhan.md, trades_today.json)."""
    if contract.expiry is None:
        return contract.symbol
    month = f"{dt.date.fromisoformat(contract.expiry):%b%Y}"
    if contract.strike_paise is None or contract.option_type is None:
        return f"{contract.underlying}-{month}-FUT"
    return f"{contract.underlying}-{month}-{_strike(contract)}-{contract.option_type.value}"


def custom_symbol(contract: Instrument) -> str:
    """`NIFTY 24 NOV 26050 CALL` (dhan.md, trades_history.json)."""
    if contract.expiry is None or contract.option_type is None:
        return contract.symbol
    day = f"{dt.date.fromisoformat(contract.expiry):%d %b}".upper()
    return f"{contract.underlying} {day} {_strike(contract)} {option_word(contract)}"


def option_word(contract: Instrument) -> str:
    """CALL, PUT, or NA for what is no option."""
    return {OptionType.CALL: "CALL", OptionType.PUT: "PUT", None: NA}[contract.option_type]


def _strike(contract: Instrument) -> str:
    paise = contract.strike_paise or 0
    return f"{paise / 100:g}"


def _derivative(contract: Instrument) -> dict[str, Any]:
    return {
        "drvExpiryDate": contract.expiry or NO_DATE,
        "drvOptionType": option_word(contract),
        "drvStrikePrice": rupees(contract.strike_paise or 0),
    }


def order_row(
    order: AccountOrder, *, client_id: str, decimals: int | None = None
) -> dict[str, Any]:
    """One row of the order book (dhan.md 3.1; orders_list.json)."""
    return {
        "dhanClientId": client_id,
        "orderId": order.order_id,
        "exchangeOrderId": order.exchange_id,
        "correlationId": order.correlation_id,
        "orderStatus": order.status.value,
        "transactionType": order.side.value,
        "exchangeSegment": order.instrument.segment.value,
        "productType": order.product,
        "orderType": order.order_type.value,
        "validity": order.validity,
        "tradingSymbol": trading_symbol(order.instrument),
        "securityId": str(order.instrument.security_id),
        "quantity": order.quantity,
        "disclosedQuantity": order.disclosed_quantity,
        "price": rupees(order.price_paise),
        "triggerPrice": rupees(order.trigger_paise),
        "afterMarketOrder": order.is_offline,
        "boProfitValue": 0.0,
        "boStopLossValue": 0.0,
        "legName": NA,
        "createTime": ist_stamp(order.created_ns),
        "updateTime": ist_stamp(order.updated_ns),
        "exchangeTime": ist_stamp(order.exchange_ns),
        **_derivative(order.instrument),
        "omsErrorCode": "0",
        "omsErrorDescription": order.reason,
        "algoId": "0",
        "remainingQuantity": order.remaining_quantity,
        "averageTradedPrice": rupees(order.average_paise, decimals),
        "filledQty": order.filled_quantity,
    }


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One trade of the exchange: whole lots at one price on the step, in paise."""

    number: int
    order_id: str
    execution: Execution
    quantity: int
    price_paise: int


def fills(
    executions: Sequence[Execution],
    orders: Iterable[AccountOrder],
    *,
    lots: Mapping[InstrumentId, int],
) -> list[Fill]:
    """Executions as the trade book tells them: one row for each price.

    What took several levels comes as two rows whose sum is exact: some lots at one price and the
    rest a step higher. `lots` are lot sizes by instrument.
    """
    ids = {order.exchange_id: order.order_id for order in orders}
    told: list[Fill] = []
    for execution in executions:
        order_id = ids[str(execution.broker_id)]
        for quantity, price_paise in _parts(execution, lots[execution.key.instrument]):
            told.append(
                Fill(
                    number=len(told) + 1,
                    order_id=order_id,
                    execution=execution,
                    quantity=quantity,
                    price_paise=price_paise,
                )
            )
    return told


def _parts(execution: Execution, lot: int) -> list[tuple[int, int]]:
    """Quantities and prices that add up to an execution, on a step of 5 paise where they can."""
    quantity, value_paise = execution.quantity, execution.value_paise
    for unit, step in ((lot, 5), (1, 5), (lot, 1), (1, 1)):
        if quantity % unit or value_paise % (unit * step):
            continue
        units = quantity // unit
        low, more = divmod(value_paise // (unit * step), units)
        parts = [((units - more) * unit, low * step), (more * unit, (low + 1) * step)]
        return [part for part in parts if part[0]]
    raise AssertionError("paise and single contracts always divide")


def trade_row(fill: Fill, order: AccountOrder, *, client_id: str) -> dict[str, Any]:
    """One row of the day's trades (dhan.md 3.1; trades_today.json)."""
    stamp = ist_stamp(fill.execution.at_ns)
    return {
        "dhanClientId": client_id,
        "orderId": fill.order_id,
        "exchangeOrderId": order.exchange_id,
        "exchangeTradeId": str(200_700_000 + fill.number),
        "transactionType": fill.execution.side.value,
        "exchangeSegment": order.instrument.segment.value,
        "productType": order.product,
        "orderType": order.order_type.value,
        "tradingSymbol": trading_symbol(order.instrument),
        "customSymbol": None,
        "securityId": str(order.instrument.security_id),
        "tradedQuantity": fill.quantity,
        "tradedPrice": rupees(fill.price_paise),
        "createTime": stamp,
        "updateTime": stamp,
        "exchangeTime": stamp,
        # The day's trades of an option say NA here (trades_today.json), the order book does not.
        **_derivative(order.instrument),
        "drvOptionType": NA,
    }


def statement_row(
    fill: Fill, order: AccountOrder, *, client_id: str, facts: DayFacts
) -> dict[str, Any]:
    """One row of the statement of trades, with what it cost (dhan.md 3.8; trades_history.json)."""
    contract = order.instrument
    return {
        "dhanClientId": client_id,
        "orderId": fill.order_id,
        "exchangeOrderId": order.exchange_id,
        "exchangeTradeId": "0",
        "transactionType": fill.execution.side.value,
        "exchangeSegment": contract.segment.value,
        "productType": order.product,
        "orderType": order.order_type.value,
        "customSymbol": custom_symbol(contract),
        "securityId": str(contract.security_id),
        "tradedQuantity": fill.quantity,
        "tradedPrice": rupees(fill.price_paise),
        "isin": "",
        "instrument": "OPTIDX" if contract.kind is Kind.OPTION else contract.kind.value.upper(),
        **_costs(fill, contract, facts),
        "createTime": NA,
        "updateTime": NA,
        "exchangeTime": ist_stamp(fill.execution.at_ns),
        "drvExpiryDate": NA,
        "drvOptionType": option_word(contract),
        "drvStrikePrice": rupees(contract.strike_paise or 0),
    }


def _costs(fill: Fill, contract: Instrument, facts: DayFacts) -> dict[str, float]:
    """Charges in rupees, four digits."""
    rates = facts.charge_rates(contract.exchange, contract.kind)
    value = fill.quantity * fill.price_paise / 100
    is_sale = fill.execution.side is Side.SELL
    sebi = value * rates.sebi_e7 / E7
    fee = value * rates.transaction_e7 / E7
    brokerage = rates.brokerage_paise_max / 100
    return {
        "sebiTax": round(sebi, 4),
        "stt": round(value * rates.stt_sell_e7 / E7, 4) if is_sale else 0.0,
        "brokerageCharges": brokerage,
        "serviceTax": round((sebi + fee + brokerage) * rates.gst_e7 / E7, 4),
        "exchangeTransactionCharges": round(fee, 4),
        "stampDuty": 0.0 if is_sale else round(value * rates.stamp_buy_e7 / E7, 4),
    }


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What was traded of one key today: contracts, and their value in paise."""

    key: BrokerKey
    bought: int = 0
    sold: int = 0
    bought_paise: int = 0
    sold_paise: int = 0

    @property
    def net(self) -> int:
        """Contracts held, negative when short."""
        return self.bought - self.sold


def held(executions: Iterable[Execution]) -> list[Held]:
    """Every key traded, in order of its first trade, zero included."""
    told: dict[BrokerKey, Held] = {}
    for one in executions:
        before = told.get(one.key) or Held(key=one.key)
        is_buy = one.side is Side.BUY
        told[one.key] = Held(
            key=one.key,
            bought=before.bought + (one.quantity if is_buy else 0),
            sold=before.sold + (0 if is_buy else one.quantity),
            bought_paise=before.bought_paise + (one.value_paise if is_buy else 0),
            sold_paise=before.sold_paise + (0 if is_buy else one.value_paise),
        )
    return list(told.values())


def position_row(
    one: Held,
    contract: Instrument,
    *,
    client_id: str,
    last_paise: int,
    decimals: int | None = None,
) -> dict[str, Any]:
    """One row of the positions, closed ones too (dhan.md 3.5)."""
    buy = one.bought_paise / one.bought if one.bought else 0.0
    sell = one.sold_paise / one.sold if one.sold else 0.0
    closed = min(one.bought, one.sold)
    cost = buy if one.net > 0 else sell if one.net < 0 else 0.0
    return {
        "dhanClientId": client_id,
        "tradingSymbol": trading_symbol(contract),
        "securityId": str(contract.security_id),
        "positionType": "LONG" if one.net > 0 else "SHORT" if one.net < 0 else "CLOSED",
        "exchangeSegment": contract.segment.value,
        "productType": one.key.product.value,
        "buyAvg": rupees(buy, decimals),
        "costPrice": rupees(cost, decimals),
        "buyQty": one.bought,
        "sellAvg": rupees(sell, decimals),
        "sellQty": one.sold,
        "netQty": one.net,
        "realizedProfit": round(rupees(closed * (sell - buy)), 2),
        "unrealizedProfit": round(rupees(one.net * (last_paise - cost)), 2) if one.net else 0.0,
        "rbiReferenceRate": 1.0,
        "multiplier": 1,
        "carryForwardBuyQty": 0,
        "carryForwardSellQty": 0,
        "carryForwardBuyValue": 0.0,
        "carryForwardSellValue": 0.0,
        "dayBuyQty": one.bought,
        "daySellQty": one.sold,
        "dayBuyValue": rupees(one.bought_paise),
        "daySellValue": rupees(one.sold_paise),
        **_derivative(contract),
        "crossCurrency": False,
    }
