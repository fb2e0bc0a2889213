"""What the official SDK parsed, against the truth of the server that it asked.

Everything here is folded anew from the ticks of the market and the orders of the account; nothing
of the server's own code has a say. What the SDK gets wrong by itself is listed in `DEFECTS`.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

DEFECTS: Final = {
    "any frame": "its first packet alone is read, so the server puts one into each",
    "LTT": "a time of day without its date: compared as such",
    "market status": "always 'Markets Open'",
    "code 50": "becomes nothing: only some reasons are printed",
    "refusals of quotes and chain": "lose their number and text: all remarks are None",
    "generateAccessToken": "a refusal with status 200 looks like a success",
    "unknown correlation id": "a refusal differs from a failed transport by a type alone",
}
"""Known defects of dhanhq 2.3.0 (dhan.md 8): what is wrong there is not compared."""

IST: Final = timezone(timedelta(hours=5, minutes=30))
SECOND_NS: Final = 1_000_000_000


def paise(rupees: object) -> int:
    """A price of the SDK's, a text or a number, to the paisa."""
    return round(float(str(rupees)) * 100)


def clock(at_ns: int | None) -> str:
    """The wall clock in India; midnight stands for no trade yet."""
    seconds = 0 if at_ns is None else at_ns // SECOND_NS
    zone = UTC if at_ns is None else IST
    return datetime.fromtimestamp(seconds, zone).strftime("%H:%M:%S")


class Shown:
    """Every state in which an instrument stood, folded from its ticks."""

    def __init__(self, ticks: Iterable[Mapping[str, Any]]) -> None:
        self.states: list[dict[str, Any]] = []
        self.trades: list[tuple[int, int, int]] = []
        self._before: Mapping[str, Any] | None = None
        self._day: dict[str, int] = dict.fromkeys(
            ("open", "high", "low", "value", "last_quantity", "oi_high", "oi_low"), 0
        )
        for tick in ticks:
            self._take(tick)

    def _take(self, tick: Mapping[str, Any]) -> None:
        day, before = self._day, self._before
        traded = tick["volume"] - (0 if before is None else before["volume"])
        stamp = None if before is None else before["venue_at_ns"]
        if tick["venue_at_ns"] is not None and (traded > 0 or tick["venue_at_ns"] != stamp):
            last = tick["last_paise"]
            day["open"] = day["open"] or last
            day["high"] = max(day["high"], last)
            day["low"] = min(day["low"] or last, last)
            day["value"] += last * traded
            day["last_quantity"] = traded or day["last_quantity"]
            self.trades.append((tick["venue_at_ns"], last, traded))
        day["oi_high"] = max(day["oi_high"], tick["oi"])
        day["oi_low"] = min(day["oi_low"] or tick["oi"], tick["oi"])
        self._before = tick
        average = day["value"] // tick["volume"] if tick["volume"] else 0
        self.states.append({**tick, **day, "average": average})

    def has(self, told: Mapping[str, Any], names: Mapping[str, Callable[[Any], Any]]) -> bool:
        """Whether it stood so at some instant; `names` say how to read each field of a state."""
        return any(
            all(read(one) == told[key] for key, read in names.items()) for one in self.states
        )


def field(name: str) -> Callable[[Mapping[str, Any]], Any]:
    """Read a field of a state."""
    return lambda state: state[name]


TICKER: Final[Mapping[str, Callable[[Any], Any]]] = {
    "LTP": field("last_paise"),
    "LTT": lambda state: clock(state["venue_at_ns"]),
}
QUOTE: Final[Mapping[str, Callable[[Any], Any]]] = {
    **TICKER,
    "LTQ": lambda state: state["last_quantity"] % 65_536,
    "avg_price": field("average"),
    "volume": field("volume"),
    "total_sell_quantity": lambda state: sum(level[1] for level in state["asks"]),
    "total_buy_quantity": lambda state: sum(level[1] for level in state["bids"]),
    "open": field("open"),
    "high": field("high"),
    "low": field("low"),
}
FULL: Final[Mapping[str, Callable[[Any], Any]]] = {
    **QUOTE,
    "OI": field("oi"),
    "oi_day_high": field("oi_high"),
    "oi_day_low": field("oi_low"),
    "depth": lambda state: depth(state["bids"], state["asks"]),
}
FIELDS: Final = {"Ticker Data": TICKER, "Quote Data": QUOTE, "Full Data": FULL}
PRICES: Final = ("LTP", "avg_price", "open", "high", "low", "close")
SEGMENTS: Final = {0: "IDX_I", 2: "NSE_FNO"}


def depth(bids: Any, asks: Any) -> list[tuple[int, int, int, int]]:
    """Five rows of quantity and price on each side; zeros where nobody stands."""
    rows = [*zip(_five(bids), _five(asks), strict=True)]
    return [(bid[1], ask[1], bid[0], ask[0]) for bid, ask in rows]


def _five(levels: Any) -> list[Any]:
    return [*levels, *[(0, 0)] * (5 - len(levels))]


def feed_differences(mode: str, told: list[Any], shown: Mapping[str, Shown]) -> list[str]:
    """What the SDK's feed said that never stood so in the market."""
    found = []
    for one in told:
        names = FIELDS.get(one["type"]) if isinstance(one, dict) else None
        if names is None:
            continue
        market = shown[f"{SEGMENTS[one['exchange_segment']]}:{one['security_id']}"]
        read = {**one, **{key: paise(one[key]) for key in PRICES if key in one}}
        if "depth" in one:
            read["depth"] = [
                (
                    row["bid_quantity"],
                    row["ask_quantity"],
                    paise(row["bid_price"]),
                    paise(row["ask_price"]),
                )
                for row in one["depth"]
            ]
        if not market.has(read, names):
            found.append(f"{mode}: {one}")
    return found


def quote_differences(calls: Mapping[str, Any], shown: Mapping[str, Shown]) -> list[str]:
    """The three quotes and the chain's legs."""
    found = []
    for name in ("ltp", "ohlc", "quote"):
        for segment, rows in calls[name]["data"]["data"].items():
            for number, row in rows.items():
                if not shown[f"{segment}:{number}"].has(*_quoted(row)):
                    found.append(f"{name}: {number}: {row}")
    for strike, pair in calls["chain"]["data"]["data"]["oc"].items():
        for leg in pair.values():
            market = shown[f"NSE_FNO:{leg['security_id']}"]
            read = {
                "last": paise(leg["last_price"]),
                "book": (paise(leg["top_bid_price"]), leg["top_bid_quantity"]),
                "offer": (paise(leg["top_ask_price"]), leg["top_ask_quantity"]),
                "volume": leg["volume"],
                "oi": leg["oi"],
            }
            names = {
                "last": field("last_paise"),
                "book": lambda state: tuple(state["bids"][0]),
                "offer": lambda state: tuple(state["asks"][0]),
                "volume": field("volume"),
                "oi": field("oi"),
            }
            if not market.has(read, names):
                found.append(f"chain: {strike}: {leg}")
    return found


def _quoted(row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Callable[[Any], Any]]]:
    """What a quote says, and how a state says the same."""
    read: dict[str, Any] = {"last": paise(row["last_price"])}
    names: dict[str, Callable[[Any], Any]] = {"last": field("last_paise")}
    if "ohlc" in row:
        read |= {name: paise(row["ohlc"][name]) for name in ("open", "high", "low")}
        names |= {name: field(name) for name in ("open", "high", "low")}
    if "depth" in row:
        sides = row["depth"]["buy"], row["depth"]["sell"]
        read["depth"] = [
            (buy["quantity"], sell["quantity"], paise(buy["price"]), paise(sell["price"]))
            for buy, sell in zip(*sides, strict=True)
        ]
        read |= {name: row[name] for name in ("volume", "oi", "last_quantity")}
        names |= {
            "depth": lambda state: depth(state["bids"], state["asks"]),
            **{name: field(name) for name in ("volume", "oi", "last_quantity")},
        }
    return read, names


def minute_differences(told: Mapping[str, Any], market: Shown) -> list[str]:
    """Candles, against the trades of their minutes."""
    found = []
    rows = zip(
        *(told[key] for key in ("timestamp", "open", "high", "low", "close", "volume")), strict=True
    )
    for start_s, *prices, volume in rows:
        trades = [one for one in market.trades if start_s <= one[0] / SECOND_NS < start_s + 60]
        values = [price for _, price, _ in trades]
        expected = [values[0], max(values), min(values), values[-1], sum(q for *_, q in trades)]
        if [*map(paise, prices), volume] != expected:
            found.append(f"minute {start_s}: {prices} {volume}, not {expected}")
    return found


def order_differences(calls: Mapping[str, Any], truth: Mapping[str, Any]) -> list[str]:
    """The order book, row by row."""
    told = {row["orderId"]: _order(row) for row in calls["orders"]["data"]}
    expected = {one["order_id"]: _true_order(one) for one in truth["orders"]}
    return [] if told == expected else [f"orders: {told}, not {expected}"]


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    value = round(row["averageTradedPrice"] * 100 * row["filledQty"])
    words = (
        "orderStatus",
        "correlationId",
        "transactionType",
        "orderType",
        "quantity",
        "filledQty",
    )
    prices = paise(row["price"]), paise(row["triggerPrice"]), value
    return (*(row[word] for word in words), *prices, row["securityId"])


def _true_order(one: Mapping[str, Any]) -> tuple[Any, ...]:
    words = ("status", "correlation_id", "side", "order_type", "quantity", "filled_quantity")
    prices = one["price_paise"], one["trigger_paise"], one["filled_value_paise"]
    return (*(one[word] for word in words), *prices, one["instrument"].partition(":")[2])


def account_differences(calls: Mapping[str, Any], truth: Mapping[str, Any]) -> list[str]:
    """Trades, positions and funds."""
    trades = [
        (row["orderId"], row["transactionType"], row["tradedQuantity"], paise(row["tradedPrice"]))
        for row in calls["trades"]["data"]
    ]
    true_trades = [
        (one["order_id"], one["side"], one["quantity"], one["price_paise"])
        for one in truth["trades"]
    ]
    positions = [
        (
            row["securityId"],
            row["buyQty"],
            row["sellQty"],
            round(row["buyAvg"] * 100 * row["buyQty"]),
            round(row["sellAvg"] * 100 * row["sellQty"]),
        )
        for row in calls["positions"]["data"]
    ]
    true_positions = [
        (
            one["instrument"].partition(":")[2],
            one["bought"],
            one["sold"],
            one["bought_paise"],
            one["sold_paise"],
        )
        for one in truth["positions"]
    ]
    funds = paise(calls["funds"]["data"]["availabelBalance"])
    pairs = (
        ("trades", sorted(trades), sorted(true_trades)),
        ("positions", positions, true_positions),
        ("funds", funds, truth["funds_paise"]),
    )
    return [f"{name}: {told}, not {true}" for name, told, true in pairs if told != true]


WORDS: Final = {"TRANSIT": "Transit", "PENDING": "Pending", "TRADED": "Traded"} | {
    "CANCELLED": "Cancelled",
    "REJECTED": "Rejected",
    "EXPIRED": "Expired",
    "PART_TRADED": "Pending",
}


def update_differences(told: Iterable[Mapping[str, Any]], truth: Mapping[str, Any]) -> list[str]:
    """Every order update in its order; what is absent is zero."""
    heard = [
        (
            data["orderNo"],
            data["status"],
            data.get("tradedQty", 0),
            paise(data.get("price", 0)),
            paise(data.get("tradedPrice", 0)),
            data["correlationId"],
        )
        for data in (one["Data"] for one in told)
    ]
    said = [
        (
            one["order_id"],
            "Modified" if one["is_modified"] else WORDS[one["status"]],
            one["filled_quantity"],
            one["price_paise"],
            one["fill_paise"],
            one["correlation_id"],
        )
        for one in truth["words"]
    ]
    return [] if heard == said else [f"updates: {heard}, not {said}"]
