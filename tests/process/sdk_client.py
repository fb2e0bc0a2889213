"""What the official SDK makes of a server: run by `test_sdk.py` in an environment of its own.

It reads a plan (JSON) from stdin and prints what the SDK returned as JSON. Nothing of holdfast is
imported here; the SDK's own prints, which hold the token, go to stderr and are thrown away.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from dhanhq import DhanContext, DhanLogin, Security, dhanhq  # type: ignore[import-not-found, unused-ignore]
from dhanhq.dhan_http import DhanHTTP  # type: ignore[import-not-found, unused-ignore]
from dhanhq.marketfeed import MarketFeed  # type: ignore[import-not-found, unused-ignore]
from dhanhq.orderupdate import OrderUpdate  # type: ignore[import-not-found, unused-ignore]

MODES = {"ticker": 15, "quote": 17, "full": 21}
NSE_FNO, IDX = 2, 0


class Plan:
    """Where the server is, whose account it is, and what is traded there."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.urls: dict[str, str] = told["urls"]
        self.account: dict[str, str] = told["account"]
        self.token: str = told["token"]
        self.speed: float = told["speed"]
        self.now_ns: int = told["now_ns"]
        self.call, self.put = str(told["call"]), str(told["put"])
        self.lot: int = told["lot"]
        self.day: str = told["day"]
        self.before: str = told["before"]

    def rest(self, seconds: float) -> None:
        """Let so many seconds of the server's time pass."""
        time.sleep(seconds / self.speed)


def point_at(plan: Plan) -> DhanContext:
    """The SDK on the server: every address is an attribute of a class (dhan.md 8)."""
    DhanHTTP.API_BASE_URL = plan.urls["rest"]
    DhanLogin.API_BASE_URL = plan.urls["rest"]
    DhanLogin.AUTH_BASE_URL = plan.urls["auth"]
    MarketFeed.market_feed_wss = plan.urls["feed"] + "/"
    files = plan.urls["instruments"]
    Security.COMPACT_CSV_URL = f"{files}/api-scrip-master.csv"
    return DhanContext(plan.account["client_id"], plan.token)


def feeds(plan: Plan, context: DhanContext) -> dict[str, list[Any]]:
    """What the SDK's feed made of its packets in each mode."""
    return {name: feed(plan, context, mode) for name, mode in MODES.items()}


def feed(plan: Plan, context: DhanContext, mode: int) -> list[Any]:
    """Everything that comes in twenty seconds of the server's time.

    Its own `close_connection` waits for ever where its loop has ended before, so the coroutines
    that it is made of are run here.
    """
    wanted = [(NSE_FNO, plan.call, mode), (NSE_FNO, plan.put, mode), (IDX, "13", mode)]
    made = MarketFeed(context, wanted, "v2")
    told: list[Any] = []

    async def collect() -> None:
        await made.connect()
        ends = made.loop.time() + 20 / plan.speed
        with contextlib.suppress(asyncio.TimeoutError):
            while (left := ends - made.loop.time()) > 0:
                told.append(await asyncio.wait_for(made.get_instrument_data(), left))
        await made.disconnect()

    made.loop.run_until_complete(collect())
    return told


def listen(context: DhanContext, url: str, told: list[Any]) -> None:
    """Keep every order update, on a thread of its own that ends with the program."""
    made = OrderUpdate(context)
    made.order_feed_wss = url
    made.on_update = told.append
    threading.Thread(target=made.connect_to_dhan_websocket_sync, daemon=True).start()


class Calls:
    """The REST calls, each under a name, with what the SDK returned."""

    def __init__(self, plan: Plan, context: DhanContext) -> None:
        self.told: dict[str, Any] = {}
        self._plan = plan
        self._dhan = dhanhq(context)

    def note(self, name: str, call: Callable[..., Any], *values: Any, **named: Any) -> Any:
        """Make a call and keep what it returned; the limits of reads are never met."""
        self._plan.rest(0.15)
        answer = self.told[name] = call(*values, **named)
        return answer

    def all(self) -> None:
        """Everything, in an order in which each finds something."""
        self._reads()
        bought = self._orders()
        self._account(bought)
        self._controls()

    def _reads(self) -> None:
        plan, dhan = self._plan, self._dhan
        securities = {"NSE_FNO": [int(plan.call)], "IDX_I": [13]}
        for name, call in (
            ("ltp", dhan.ticker_data),
            ("ohlc", dhan.ohlc_data),
            ("quote", dhan.quote_data),
        ):
            plan.rest(1.2)
            self.note(name, call, securities)
        expiries = self.note("expiries", dhan.expiry_list, 13, "IDX_I")
        expiry = expiries["data"]["data"][0]
        began_s = time.monotonic()
        self.note("chain", dhan.option_chain, 13, "IDX_I", expiry)
        self.note("chain_too_soon", dhan.option_chain, 13, "IDX_I", expiry)
        self.told["chains_apart_s"] = (time.monotonic() - began_s) * plan.speed
        minutes = (plan.call, "NSE_FNO", "OPTIDX", plan.day, plan.day)
        self.note("minutes", dhan.intraday_minute_data, *minutes, oi=True)
        self.note("days", dhan.historical_daily_data, "13", "IDX_I", "INDEX", plan.before, plan.day)
        self.note(
            "rolling",
            dhan.expired_options_data,
            "13",
            "NSE_FNO",
            "OPTIDX",
            "WEEK",
            1,
            "ATM",
            "CALL",
            ["open", "close", "iv", "strike", "spot"],
            plan.day,
            plan.day,
        )
        listed = dhan.fetch_security_list("compact")
        self.told["securities"] = {
            "columns": list(listed.columns),
            "ids": sorted(
                int(one) for one in listed["SEM_SMST_SECURITY_ID"][listed["SEM_SEGMENT"] == "D"]
            ),
        }

    def _orders(self) -> str:
        """Rest, change, find and cancel one; buy and sell another. Returns its number."""
        plan, dhan = self._plan, self._dhan
        last = self._last()
        low = near(last * 0.8)
        terms = (plan.call, "NSE_FNO", "BUY", plan.lot, "LIMIT", "INTRADAY")
        placed = self.note("placed", dhan.place_order, *terms, low, tag="sdk-resting-1")
        number = placed["data"]["orderId"]
        self._settle(number)
        low = near(last * 0.82)
        self.note("modified", dhan.modify_order, number, "LIMIT", "NA", plan.lot, low, 0, 0, "DAY")
        plan.rest(1)
        self.note("by_id", dhan.get_order_by_id, number)
        self.note("by_correlation", dhan.get_order_by_correlationID, "sdk-resting-1")
        self.note("unknown_id", dhan.get_order_by_id, "1")
        self.note("unknown_correlation", dhan.get_order_by_correlationID, "nobody")
        self.note("cancelled", dhan.cancel_order, number)
        plan.rest(1)
        self.note("cancelled_again", dhan.cancel_order, number)
        high = near(self._last() * 1.05)
        bought = self.note("bought", dhan.place_order, *terms, high, tag="sdk-buying-1")
        self._settle(bought["data"]["orderId"])
        self.note("positions_held", dhan.get_positions)
        sale = (plan.call, "NSE_FNO", "SELL", plan.lot, "LIMIT", "INTRADAY")
        sold = self.note("sold", dhan.place_order, *sale, near(self._last() * 0.95))
        self._settle(sold["data"]["orderId"])
        stop = near(self._last() * 0.8)
        stop_terms = (plan.call, "NSE_FNO", "SELL", plan.lot, "STOP_LOSS", "INTRADAY")
        refused = self.note("too_long", dhan.place_order, *terms, low, tag="x" * 26)
        assert refused["status"] == "failure", refused
        kept = self.note("stop", dhan.place_order, *stop_terms, stop - 1, trigger_price=stop)
        self._settle(kept["data"]["orderId"])
        self.note("stop_cancelled", dhan.cancel_order, kept["data"]["orderId"])
        plan.rest(1)
        return str(bought["data"]["orderId"])

    def _account(self, bought: str) -> None:
        plan, dhan = self._plan, self._dhan
        self.note("orders", dhan.get_order_list)
        self.note("trades", dhan.get_trade_book)
        self.note("trades_of_one", dhan.get_trade_book, bought)
        self.note("positions", dhan.get_positions)
        self.note("holdings", dhan.get_holdings)
        self.note("funds", dhan.get_fund_limits)
        leg = {
            "securityId": plan.call,
            "exchangeSegment": "NSE_FNO",
            "transactionType": "BUY",
            "quantity": plan.lot,
            "productType": "INTRADAY",
            "price": 100.0,
            "triggerPrice": 0.0,
        }
        margin = (plan.call, "NSE_FNO", "BUY", plan.lot, "INTRADAY", 100)
        self.note("margin", dhan.margin_calculator, *margin)
        self.note("margins", dhan.margin_calculator_multi, [leg])
        self.note("ledger", dhan.ledger_report, plan.before, plan.day)
        self.note("history", dhan.get_trade_history, plan.before, plan.day)

    def _controls(self) -> None:
        plan, dhan = self._plan, self._dhan
        self.note("exit_set", dhan.set_pnl_exit, 1e6, 1e6, ["INTRADAY"])
        self.note("exit_told", dhan.get_pnl_exit)
        self.note("exit_stopped", dhan.stop_pnl_exit)
        self.note("killed", dhan.kill_switch, "activate")
        self.note("kill_told", dhan.status_kill_switch)
        self.note("revived", dhan.kill_switch, "deactivate")
        self.note("exited", dhan.exit_all_positions)
        login = DhanLogin(plan.account["client_id"])
        self.note("profile", login.user_profile, plan.token)
        self.note("ip", login.get_ip, plan.token)
        renewed = self.note("renewed", login.renew_token, plan.token)
        self.note("dead", dhan.get_order_list)
        code = one_time_password(plan.account["totp_secret"], plan)
        minted = self.note("minted", login.generate_token, plan.account["pin"], code)
        self.note("minted_wrongly", login.generate_token, "000000", code)
        self.told["tokens_differ"] = len({plan.token, *map(secret, (renewed, minted))}) == 3
        for told in (renewed, minted):
            if isinstance(told, dict) and "accessToken" in told:
                told["accessToken"] = "A TOKEN"

    def _last(self) -> float:
        self._plan.rest(1.2)
        data = self._dhan.ticker_data({"NSE_FNO": [int(self._plan.call)]})["data"]["data"]
        return float(data["NSE_FNO"][self._plan.call]["last_price"])

    def _settle(self, number: str) -> None:
        """Wait until an order is in transit no longer."""
        for _ in range(50):
            self._plan.rest(0.3)
            (row,) = self._dhan.get_order_by_id(number)["data"]
            if row["orderStatus"] != "TRANSIT":
                return
        raise TimeoutError(number)


def secret(told: Any) -> str:
    """The token of an answer."""
    return str(told.get("accessToken")) if isinstance(told, dict) else ""


def near(rupees: float) -> float:
    """A price on the step of five paise."""
    return round(round(rupees * 20) / 20, 2)


def one_time_password(shared: str, plan: Plan) -> str:
    """RFC 6238 at the server's time, which is not the wall's."""
    at_s = plan.now_ns / 1e9 + (time.monotonic() - STARTED_S) * plan.speed
    counter = struct.pack(">Q", int(at_s) // 30)
    digest = hmac.new(base64.b32decode(shared), counter, hashlib.sha1).digest()
    offset = digest[-1] & 15
    (number,) = struct.unpack(">I", digest[offset : offset + 4])
    return f"{(number & 0x7FFFFFFF) % 1_000_000:06d}"


STARTED_S = time.monotonic()


def stay_at_home() -> None:
    """Look up no name but loopback's: the SDK's own addresses are those of the real broker."""
    ask = socket.getaddrinfo

    def guarded(host: Any, *rest: Any, **named: Any) -> Any:
        if host not in ("127.0.0.1", "localhost"):
            raise OSError(f"{host} is not this machine")
        return ask(host, *rest, **named)

    socket.getaddrinfo = guarded


def main() -> None:
    """Do what the plan says, and print what came of it."""
    stay_at_home()
    plan = Plan(json.load(sys.stdin))
    updates: list[Any] = []
    with contextlib.redirect_stdout(sys.stderr):
        context = point_at(plan)
        listen(context, plan.urls["updates"], updates)
        packets = feeds(plan, context)
        calls = Calls(plan, context)
        calls.all()
        plan.rest(2)
    json.dump({"calls": calls.told, "feeds": packets, "updates": updates}, sys.stdout)


if __name__ == "__main__":
    main()
