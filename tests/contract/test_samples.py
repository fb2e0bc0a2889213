"""Every body that the broker is known to have sent, in both halves: read by one, made by the other.

The adapter decodes each of them to a value of its own, or to the broker's typed no; the server's
answer to the same question has its status, its keys in their order, its types and its formats.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from holdfast.brokers.dhan.authhost import Denied, made_of
from holdfast.brokers.dhan.bookread import Rows, Unread, rows_of
from holdfast.brokers.dhan.chain import Chain, chain_of, expiries_of
from holdfast.brokers.dhan.charts import series
from holdfast.brokers.dhan.errors import refusal_of, text_of
from holdfast.brokers.dhan.margin import Margin, margin_of
from holdfast.brokers.dhan.orders import Change, answered
from holdfast.brokers.dhan.profile import DhanProfile, profile_of
from holdfast.brokers.dhan.quotes import quotes_of
from holdfast.brokers.dhan.rest import Answer
from holdfast.brokers.dhan.rows import OrderWords, funds_paise, lowered, trade
from holdfast.brokers.dhan.updates import UpdateStream
from holdfast.domain.book import ForeignRow
from holdfast.domain.command import CancelOrder, ModifyOrder
from holdfast.domain.event import (
    AnyEvent,
    ForeignUpdated,
    OrderAcknowledged,
    Outcome,
    QuotesRead,
    SendFailed,
)
from holdfast.domain.instrument import Segment, instrument_id
from holdfast.domain.order import BrokerOrderId
from holdfast.runtime.clock import ScaledClock
from tests.support.desk import CALL, CLOSE, DAY, NIFTY, OPEN, SECOND
from tests.support.dhan_samples import answer, folder, sample
from tests.support.dhan_wire import PREFIX, Whose
from tests.support.shell import placement
from tests.unit.simbroker.dhan.market_day import candles, index_tick, option_tick
from tests.unit.simbroker.dhan.served import Served, order_body, serving

FLOOR = 62
"""So many bodies lie in the folder."""

PLACED = placement()
NUMBER = BrokerOrderId("512609150001")
MODIFY = ModifyOrder(order_id=PLACED.order_id, broker_id=NUMBER, terms=PLACED.terms)
CANCEL = CancelOrder(order_id=PLACED.order_id, broker_id=NUMBER)


# -- the adapter


def refused(told: Answer) -> bool:
    """A no with words, whose class is known, and which no reader of a book takes for rows."""
    words = text_of(told.payload)
    return bool(words) and bool(refusal_of(words)) and isinstance(rows_of(told), Unread)


def refused_order(command: Change) -> Callable[[Answer], bool]:
    """The same as an answer to an order."""

    def read(told: Answer) -> bool:
        event = answered(command, told)
        return isinstance(event, SendFailed) and event.outcome is Outcome.REFUSED and refused(told)

    return read


def rows(told: Answer) -> list[Mapping[str, object]]:
    """The rows of a book. Fails where it is none."""
    part = rows_of(told)
    assert isinstance(part, Rows), part
    return [lowered(row) for row in part.rows]


def orders(told: Answer) -> bool:
    """Each row is an order of somebody else, once it is of a segment that is traded at all."""
    words = OrderWords(PREFIX)
    ours = {"product": "INTRADAY", "exchangesegment": "NSE_FNO"}
    return all(isinstance(words.order({**row, **ours}), ForeignRow) for row in rows(told))


def trades(told: Answer) -> bool:
    """Each row is a trade."""
    found = [trade(row, number) for number, row in enumerate(rows(told))]
    return all(one.quantity > 0 and one.value_paise > 0 for one in found)


def quotes(told: Answer) -> bool:
    """Prices of those that have one; the others are left out, and none is a fault."""
    asked = [replace(NIFTY, id=instrument_id(Segment.IDX_I, 13), security_id=13)]
    asked += [replace(CALL, id=instrument_id(Segment.NSE_FNO, n), security_id=n) for n in (49_081,)]
    read = quotes_of(told, asked)
    return isinstance(read, QuotesRead) and all(one.last_paise > 0 for one in read.quotes)


def alert(told: Answer) -> bool:
    """A word about an order of somebody else."""
    heard: list[AnyEvent] = []
    stream = UpdateStream(
        "ws://127.0.0.1:1",
        Whose(),
        ScaledClock(OPEN, 1),
        words=OrderWords(PREFIX),
        tell=heard.append,
    )
    stream.take(told.body)
    return stream.refused == 0 and [type(one) for one in heard] == [ForeignUpdated]


def funds(told: Answer) -> bool:
    """Free cash."""
    assert isinstance(told.payload, dict)
    return funds_paise(lowered(told.payload)) > 0


READERS: dict[str, Callable[[Answer], bool]] = {
    r"auth_generate_token_\w+": lambda told: isinstance(made_of(told), Denied),
    r"charts_(?:historical|intraday)_(?!unknown)\w+": lambda told: len(series(told)) > 0,
    r"charts_intraday_unknown_security_empty": lambda told: series(told) == (),
    r"order_modify_error_\w+": refused_order(MODIFY),
    r"order_error_400_cancel_in_transit": refused_order(CANCEL),
    r"order_(?:place_)?error_400_(?!cancel)\w+": refused_order(PLACED),
    r"(?:charts|expirylist|order_external|ip_getip)_error_\w+|error_40\d_\w+": refused,
    r"marketfeed_ltp_error_401_808": refused,
    r"marketfeed_(?!ltp_error)\w+": quotes,
    r"optionchain_expirylist_\w+": lambda told: len(expiries_of(told)) > 5,
    r"optionchain_(?!expirylist)\w+": lambda told: is_chain(chain_of(told, NIFTY, DAY)),
    r"fundlimit(?:_sandbox)?": funds,
    r"holdings|ledger": lambda told: len(rows(told)) > 0,
    r"holdings_empty_error_500|positions_empty|trades_history_empty|order_by_id_unknown": (
        lambda told: rows(told) == []
    ),
    r"margincalculator": lambda told: isinstance(margin_of(told), Margin),
    r"order_place_amo": lambda told: isinstance(answered(PLACED, told), OrderAcknowledged),
    r"order_by_id|orders_list\w*": orders,
    r"trades_today": trades,
    r"trades_history": lambda told: len(rows(told)) > 0,
    r"order_update_\w+": alert,
    r"profile_\w+": lambda told: isinstance(profile_of(told), DhanProfile),
}
"""What reads a body, by its name, and whether it came to what it says."""


def is_chain(chain: Chain) -> bool:
    """Legs of both kinds at each strike."""
    return len(chain.legs) > 100 and chain.spot_paise is not None


def test_every_sample_is_decoded_by_the_adapter(shared_data: Path) -> None:
    """None is left out, none is unreadable, none is taken for something else."""
    index = json.loads(sample(shared_data, "index.json"))
    statuses = {entry["file"]: entry["status"] for entry in index}
    names = sorted(path.stem for path in folder(shared_data).glob("*.json") if path.stem != "index")
    wrong = []
    for name in names:
        fitting = [read for form, read in READERS.items() if re.fullmatch(form, name)]
        told = answer(sample(shared_data, f"{name}.json"), statuses.get(f"{name}.json") or 200)
        if len(fitting) != 1 or not fitting[0](told):
            wrong.append(f"{name}: {len(fitting)} readers")
    print(f"{len(names)} bodies, floor {FLOOR}")  # noqa: T201 the floor beside it
    assert wrong == []
    assert len(names) >= FLOOR


# -- the server

FORMS = {
    "nothing": r"|NA",
    "moment": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
    "moment with a fraction": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+",
    "India's moment": r"\d\d/\d\d/\d{4} \d\d:\d\d(?::\d\d)?",
    "day": r"\d{4}-\d\d-\d\d",
    "digits": r"-?\d+(?:\.\d+)?",
    "multiple": r"\d+(?:\.\d+)?X",
    "word": r"[A-Z_]+",
    "text": r"[\s\S]*",
}
"""The formats of texts, the narrowest first."""

FREE = {"correlationId", "tradingSymbol", "omsErrorDescription", "customSymbol", "narration"}
"""Texts of any kind."""

BY_DATA = {"oc", "IDX_I", "NSE_FNO", "NSE_EQ", "data"}
"""Objects whose keys are segments, ids or strikes: their values are compared, and not their keys."""

NEWER = {"average_price", "security_id"}
"""Keys of a chain since v2.5, which the samples are older than (dhan.md 3.11)."""


def form(told: Any, key: str = "") -> Any:
    """Keys in order, types, and formats of texts; an array is its first element."""
    if isinstance(told, dict):
        inner = [(name, form(value, name)) for name, value in told.items() if name not in NEWER]
        return [("any key", inner[0][1])] if key in BY_DATA and inner else inner
    if isinstance(told, list):
        return [form(told[0], key)] if told else []
    if isinstance(told, bool):
        return "yes or no"
    if isinstance(told, int | float):
        return "number"
    if told is None or key in FREE:
        return "text"
    return next(name for name, pattern in FORMS.items() if re.fullmatch(pattern, told))


def fits(ours: Any, theirs: Any) -> bool:
    """Whether two forms are one; a text that is empty on one side has none."""
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        pairs = zip(ours, theirs, strict=False)
        return len(ours) == len(theirs) and all(fits(one, other) for one, other in pairs)
    if ours in FORMS and theirs in FORMS and "nothing" in (ours, theirs):
        return True
    return bool(ours == theirs)


Asked = tuple[str, str, Any, dict[str, str] | None]
CHART = {"securityId": "13", "exchangeSegment": "IDX_I", "instrument": "INDEX", "interval": "1"}
BEFORE = "2026-11-19"
UNDERLYING = {"UnderlyingScrip": 13, "UnderlyingSeg": "IDX_I"}
BOUGHT = "bought"
"""Stands for the number of an order that was filled."""

QUESTIONS: dict[str, Asked] = {
    "order_place_amo": ("POST", "/orders", order_body(), None),
    "orders_list": ("GET", "/orders", None, None),
    "order_by_id": ("GET", f"/orders/{BOUGHT}", None, None),
    "order_by_id_unknown": ("GET", "/orders/1", None, None),
    "order_external_error_404": ("GET", "/orders/external/nobodys", None, None),
    "trades_today": ("GET", "/trades", None, None),
    "trades_history_empty": ("GET", "/trades/2025-11-20/2025-11-20/0", None, None),
    "fundlimit": ("GET", "/fundlimit", None, None),
    "holdings_empty_error_500": ("GET", "/holdings", None, None),
    "ledger": ("GET", "/ledger", None, {"from-date": "2026-11-01", "to-date": "2026-11-30"}),
    "margincalculator": ("POST", "/margincalculator", order_body(price=100), None),
    "profile_live": ("GET", "/profile", None, None),
    "optionchain_expirylist_idx": ("POST", "/optionchain/expirylist", UNDERLYING, None),
    "optionchain_idx": ("POST", "/optionchain", {**UNDERLYING, "Expiry": "2026-11-24"}, None),
    "expirylist_error_400_813": (
        *("POST", "/optionchain/expirylist"),
        *({"UnderlyingScrip": 1, "UnderlyingSeg": "IDX_I"}, None),
    ),
    "marketfeed_ltp_zero": ("POST", "/marketfeed/ltp", {"NSE_FNO": [CALL.security_id]}, None),
    "marketfeed_ltp_unknown_id": ("POST", "/marketfeed/ltp", {"NSE_FNO": [1]}, None),
    "marketfeed_ohlc_index": ("POST", "/marketfeed/ohlc", {"IDX_I": [13]}, None),
    "marketfeed_quote_fno_zero": (
        *("POST", "/marketfeed/quote"),
        *({"NSE_FNO": [CALL.security_id]}, None),
    ),
    "charts_intraday_1m_index": (
        *("POST", "/charts/intraday"),
        *({**CHART, "fromDate": BEFORE, "toDate": DAY}, None),
    ),
    "charts_historical_daily": (
        *("POST", "/charts/historical"),
        *({**CHART, "fromDate": BEFORE, "toDate": DAY}, None),
    ),
    "charts_error_400_dh905_no_data": (
        *("POST", "/charts/intraday"),
        *({**CHART, "securityId": "1", "exchangeSegment": "NSE_FNO"}
          | {"fromDate": BEFORE, "toDate": DAY}, None),
    ),
    "error_404_unknown_path": ("GET", "/nothing", None, None),
}  # fmt: skip
"""Which question of ours is answered with a body of each kind."""

TICKS = [
    option_tick(OPEN, 118_50, traded_at_ns=OPEN - SECOND),
    *(index_tick(OPEN + n * 30 * SECOND, 24_500_00 + n) for n in range(1, 12)),
]


async def bodies(served: Served) -> dict[str, tuple[int, Any]]:
    """The server's answer to each question, with an order that was filled and one that rests."""
    _, placed = await served.place()
    served.wait(360)
    told = {}
    for name, (method, path, body, query) in QUESTIONS.items():
        served.wait(4)
        asked = path.replace(BOUGHT, placed["orderId"])
        told[name] = await served.ask(method, asked, body, query=query)
    served.go(CLOSE + SECOND)
    told["trades_history"] = await served.ask("GET", f"/trades/{DAY}/{DAY}/0")
    return told


def differing(shared_data: Path, told: Mapping[str, tuple[int, Any]]) -> Iterator[str]:
    """Where the server's answers are not of the samples' form."""
    index = json.loads(sample(shared_data, "index.json"))
    statuses = {entry["file"]: entry["status"] for entry in index}
    for name, (status, body) in told.items():
        recorded = json.loads(sample(shared_data, f"{name}.json"))
        ours, theirs = form(body), form(recorded)
        if status != statuses[f"{name}.json"] or not fits(ours, theirs):
            yield f"{name}: {status} {ours}\n  recorded: {statuses[f'{name}.json']} {theirs}"


def test_the_servers_bodies_have_the_form_of_the_samples(shared_data: Path) -> None:
    """Status, keys in their order, types, and how moments, days and numbers are written."""

    async def story() -> dict[str, tuple[int, Any]]:
        async with serving(TICKS, history=candles(375)) as served:
            return await bodies(served)

    told = asyncio.run(story())
    found = list(differing(shared_data, told))
    print(f"{len(told)} endpoints and answers")  # noqa: T201 a Show
    assert not found, "\n".join(found)


def test_a_wrong_form_would_be_seen(shared_data: Path) -> None:
    """The comparison itself: a key, a type, a format and a status that differ."""
    recorded = json.loads(sample(shared_data, "orders_list.json"))
    row = recorded[0]
    for wrong in (
        {**row, "more": 1},
        {key: row[key] for key in reversed(row)},
        {**row, "quantity": str(row["quantity"])},
        {**row, "createTime": "20/11/2026 09:15:01"},
    ):
        assert list(differing(shared_data, {"orders_list": (200, [wrong])}))
    assert list(differing(shared_data, {"orders_list": (400, recorded)}))
    assert not list(differing(shared_data, {"orders_list": (200, recorded)}))
