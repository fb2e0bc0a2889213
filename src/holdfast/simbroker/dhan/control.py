"""The control endpoint: what goes wrong, who else trades, how fast time passes, and the truth."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from holdfast.domain.instrument import BrokerKey, InstrumentId, Product, Segment, instrument_id
from holdfast.domain.order import Side
from holdfast.exchange.faults import ONCE, FaultKind, FaultWindow
from holdfast.exchange.market_faults import MOVING, MarketFaultKind, MarketFaultWindow
from holdfast.simbroker.dhan.clock import ServerClock
from holdfast.simbroker.dhan.desk import Desk
from holdfast.simbroker.dhan.host import Host, Values
from holdfast.simbroker.dhan.order import AccountOrder
from holdfast.simbroker.dhan.shown import fills, held
from holdfast.simbroker.dhan.tokens import Consumer, Tokens
from holdfast.simbroker.dhan.truth import Truth
from holdfast.simbroker.dhan.wire_faults import Endpoint, WireFault, WireFaults, WireWindow

TICKS_MAX: Final = 5_000
SECOND_NS: Final = 1_000_000_000
OF_OTHERS: Final = frozenset({FaultKind.STOP_DROPPED, *ONCE})
"""The kinds in which others act: they are stepped beside the market."""


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fault as it is asked for: from `in_s` seconds from now on, for `for_s` seconds.

    Seconds are the server's. `kind` is a word of `wire_faults`, of `exchange.faults` or one of
    those of `exchange.market_faults` that move the market; where a word is in two, the first.
    """

    kind: str
    in_s: float = 0.0
    for_s: float = 86_400.0
    share: float = 1.0
    delay_s: float | None = None
    endpoints: tuple[Endpoint, ...] = ()
    only: dict[str, str] = {}
    times: int | None = None
    quantity: int | None = None
    instrument: str | None = None
    bps: int = -2_000


class Owner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the owner does with his thumb: `trade`, `cancel` or `modify`. Prices in rupees."""

    act: str
    segment: Segment = Segment.NSE_FNO
    security_id: int | None = None
    side: Side | None = None
    quantity: int | None = None
    price: float | None = None
    trigger: float | None = None
    product: Product = Product.INTRADAY
    order_id: str | None = None


class Pacing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another speed, or a standstill of the server's time."""

    speed: int | None = None
    pause: bool | None = None


class Control:
    """Does what the person at the controls asks; only acts that were understood are done."""

    def __init__(
        self,
        host: Host,
        desk: Desk,
        *,
        clock: ServerClock,
        tokens: Tokens,
        truth: Truth,
        faults: WireFaults,
    ) -> None:
        """`told_pace` is called after another pace, `stop` when the server is to end."""
        self.told_pace: Callable[[], None] = _nothing
        self.stop: Callable[[], None] = _nothing
        self.streams: dict[str, Callable[[], list[dict[str, Any]]]] = {}
        self.sent: Callable[[int, int], list[Any]] | None = None
        self._host = host
        self._desk = desk
        self._clock = clock
        self._tokens = tokens
        self._truth = truth
        self._faults = faults
        faults.counted = self._keep_strike
        for name, act in (
            ("struck", self._restore_strike),
            ("faults", self._set_faults),
            ("no_faults", self._lift_faults),
            ("owner", self._owner_acts),
        ):
            host.register(name, act)

    def app(self) -> web.Application:
        """The endpoint as a web application."""
        made = web.Application()
        made.add_routes(
            [
                web.get("/truth", self._tell_truth),
                web.get("/ticks", self._tell_ticks),
                web.get("/packets", self._tell_packets),
                web.get("/time", self._tell_time),
                web.post("/faults", self._post_faults),
                web.delete("/faults", self._delete_faults),
                web.post("/market", self._post_market),
                web.post("/owner", self._post_owner),
                web.post("/squareoff", self._post_squareoff),
                web.post("/token", self._post_token),
                web.post("/shutdown", self._post_shutdown),
            ]
        )
        return made

    # -- what is told

    async def _tell_truth(self, request: web.Request) -> web.Response:
        """`?requests_after=N&words_after=M`: only what is behind the first N and M."""
        after = (int(request.query.get(f"{name}_after", "0")) for name in ("requests", "words"))
        return _json(self.truth(*after))

    def truth(self, requests_after: int = 0, words_after: int = 0) -> dict[str, Any]:
        """The account and everything that was asked of it. Money in paise, times in UTC ns."""
        at_ns, exchange, orders = self._host.now(), self._host.exchange, self._desk.orders
        lots = {one.id: one.lot_size for one in self._host.instruments}
        traded = fills(exchange.executions, orders.values(), lots=lots)
        return {
            "at_ns": at_ns,
            "requests": self._truth.requests[requests_after:],
            "counts": self._truth.counts,
            "orders": [_order(one) for one in orders.values()],
            "words": [
                {"at_ns": stamp, **_order(one)} for stamp, one in self._truth.words[words_after:]
            ],
            "trades": [
                {
                    "number": fill.number,
                    "order_id": fill.order_id,
                    "at_ns": fill.execution.at_ns,
                    "side": fill.execution.side,
                    "instrument": fill.execution.key.instrument,
                    "product": fill.execution.key.product,
                    "quantity": fill.quantity,
                    "price_paise": fill.price_paise,
                }
                for fill in traded
            ],
            "positions": [
                {
                    "instrument": one.key.instrument,
                    "product": one.key.product,
                    "bought": one.bought,
                    "sold": one.sold,
                    "bought_paise": one.bought_paise,
                    "sold_paise": one.sold_paise,
                }
                for one in held(exchange.executions)
            ],
            "cash_paise": exchange.cash_paise,
            "funds_paise": exchange.funds_paise,
            "tokens": [
                {
                    "minted_ns": one.minted_ns,
                    "until_ns": one.until_ns,
                    "consumer": one.consumer,
                    "by": one.by,
                }
                for one in self._tokens.minted
            ],
            "connections": self._truth.connections,
            "open": {name: told() for name, told in self.streams.items()},
            "ticks": self._truth.ticks_shown,
            "struck": {
                **{kind.value: n for kind, n in self._host.faults.struck.items()},
                **{kind.value: n for kind, n in self._host.market_faults.struck.items()},
                **{kind.value: n for kind, n in self._faults.struck.items()},
            },
        }

    async def _tell_ticks(self, request: web.Request) -> web.Response:
        """`?after=N`: the ticks that the market told behind the first N, at most 5000."""
        after = int(request.query.get("after", "0"))
        ticks = self._truth.ticks(after, TICKS_MAX)
        return _json({"after": after, "ticks": [msgspec.Raw(tick) for tick in ticks]})

    async def _tell_packets(self, request: web.Request) -> web.Response:
        """`?after=N`: the packets that the feed sent behind the first N, at most 5000."""
        after = int(request.query.get("after", "0"))
        packets = [] if self.sent is None else self.sent(after, TICKS_MAX)
        return _json({"after": after, "packets": packets})

    async def _tell_time(self, _request: web.Request) -> web.Response:
        pace = self._clock.pace
        now_ns = self._clock.now_ns()
        return _json({"now_ns": now_ns, "speed": pace.speed, "is_paused": pace.is_paused})

    # -- what is asked

    async def _post_faults(self, request: web.Request) -> web.Response:
        try:
            asked = msgspec.json.decode(await request.read(), type=list[Asked])
            windows = [_window(one, self._host.now()) for one in asked]
        except (msgspec.MsgspecError, ValueError) as error:
            return _no(error)
        self._host.do("faults", {"windows": msgspec.to_builtins(windows)})
        return _json({"set": len(windows)})

    async def _delete_faults(self, _request: web.Request) -> web.Response:
        self._host.do("no_faults")
        return _json({"set": 0})

    async def _post_market(self, request: web.Request) -> web.Response:
        try:
            asked = msgspec.json.decode(await request.read(), type=Pacing)
            self._host.now()
            pace = self._clock.change(speed=asked.speed, is_paused=asked.pause)
        except (msgspec.MsgspecError, ValueError) as error:
            return _no(error)
        self.told_pace()
        return _json({"speed": pace.speed, "is_paused": pace.is_paused})

    async def _post_owner(self, request: web.Request) -> web.Response:
        try:
            asked = msgspec.json.decode(await request.read(), type=Owner)
            self._judge(asked)
            done = self._host.do("owner", msgspec.to_builtins(asked))
        except (msgspec.MsgspecError, ValueError) as error:
            return _no(error)
        return _json({"order_id": done})

    async def _post_squareoff(self, _request: web.Request) -> web.Response:
        self._host.do("square_off")
        return _json({"positions": len(self._host.exchange.positions())})

    async def _post_token(self, _request: web.Request) -> web.Response:
        """Somebody else logs in at the web page: the token that was active is dead."""
        minted = self._host.do("mint", {"consumer": Consumer.SELF.value, "by": "somebody else"})
        return _json({"token": minted.secret, "until_ns": minted.until_ns})

    async def _post_shutdown(self, _request: web.Request) -> web.Response:
        self.stop()
        return _json({"stopping": True})

    # -- acts

    def _set_faults(self, values: Values, _at_ns: int) -> None:
        told = [_read(window) for window in values["windows"]]
        self._faults.add([one for one in told if isinstance(one, WireWindow)])
        self._host.market_faults.add([one for one in told if isinstance(one, MarketFaultWindow)])
        exchange = [one for one in told if isinstance(one, FaultWindow)]
        others = [one for one in exchange if one.kind in OF_OTHERS]
        self._host.faults.add([one for one in exchange if one.kind not in OF_OTHERS])
        if others:
            self._desk.let_act(others)

    def _keep_strike(self, number: int) -> None:
        """Remember that a window whose strikes are limited has one less left."""
        if self._host.keep is not None:
            self._host.keep("struck", {"window": number}, self._host.at_ns)

    def _restore_strike(self, values: Values, _at_ns: int) -> None:
        self._faults.restore(values["window"])

    def _lift_faults(self, _values: Values, _at_ns: int) -> None:
        self._faults.clear()
        self._host.market_faults.clear()
        self._host.faults.clear()
        self._desk.let_nobody_act()

    def _judge(self, asked: Owner) -> None:
        """Raises ValueError for what cannot be done."""
        if asked.act not in {"trade", "cancel", "modify"}:
            raise ValueError(f"{asked.act}: the owner can trade, cancel, modify")
        if asked.act == "trade":
            contract = self._host.contracts.get(_instrument(asked))
            if contract is None or not asked.side or not asked.quantity:
                raise ValueError("a trade needs a known security_id, a side and a quantity")
            return
        order = self._desk.orders.get(asked.order_id or "")
        if order is None or not order.is_live or order.exchange_id == "0":
            raise ValueError(f"{asked.order_id} is no live order")

    def _owner_acts(self, values: Values, at_ns: int) -> str | None:
        asked = msgspec.convert(dict(values), Owner)
        if asked.act == "trade":
            assert asked.side is not None and asked.quantity is not None  # noqa: PT018 judged
            key = BrokerKey(_instrument(asked), asked.product)
            limit = None if asked.price is None else round(asked.price * 100)
            return self._desk.send_foreign(
                key, asked.side, quantity=asked.quantity, at_ns=at_ns, limit_paise=limit
            )
        assert asked.order_id is not None, "judged"
        prices = [None if one is None else round(one * 100) for one in (asked.price, asked.trigger)]
        if asked.act == "cancel":
            self._desk.end_by_owner(asked.order_id, at_ns)
        else:
            self._desk.change_by_owner(asked.order_id, at_ns, prices=(prices[0], prices[1]))
        return asked.order_id


def _nothing() -> None:
    """What is called while nobody listens."""


def _order(order: AccountOrder) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.structs.asdict(order)
    told["instrument"] = order.instrument.id
    return told


def _instrument(asked: Owner) -> InstrumentId:
    return instrument_id(asked.segment, asked.security_id or 0)


def _window(asked: Asked, at_ns: int) -> WireWindow | FaultWindow | MarketFaultWindow:
    """A fault at its instants. Raises ValueError for a word that is none."""
    from_ns = at_ns + round(asked.in_s * SECOND_NS)
    common: dict[str, Any] = {
        "from_ns": from_ns,
        "until_ns": from_ns + round(asked.for_s * SECOND_NS),
        "share_bps": round(asked.share * 10_000),
    }
    delay_ns = None if asked.delay_s is None else round(asked.delay_s * SECOND_NS)
    instrument = None if asked.instrument is None else InstrumentId(asked.instrument)
    if asked.kind in set(WireFault):
        return WireWindow(
            kind=WireFault(asked.kind),
            delay_ns=delay_ns,
            endpoints=asked.endpoints,
            only=asked.only,
            times=asked.times,
            **common,
        )
    if asked.kind in set(FaultKind):
        return FaultWindow(
            kind=_exchange_kind(asked.kind),
            delay_ns=delay_ns,
            quantity=asked.quantity,
            instrument=instrument,
            **common,
        )
    if asked.kind not in set(MOVING):
        raise ValueError(f"{asked.kind} is no fault of this server")
    delays = {} if delay_ns is None else {"delay_ns": delay_ns}
    return MarketFaultWindow(
        kind=MarketFaultKind(asked.kind), bps=asked.bps, instrument=instrument, **delays, **common
    )


def _exchange_kind(word: str) -> FaultKind:
    """The kinds that happen at the exchange; the wire's have words of their own here."""
    kind = FaultKind(word)
    if kind not in AT_THE_EXCHANGE:
        raise ValueError(f"{word} concerns the wire: use one of {', '.join(WireFault)}")
    return kind


AT_THE_EXCHANGE: Final = frozenset(
    {
        *ONCE,
        FaultKind.STOP_DROPPED,
        FaultKind.REFUSED_FUNDS,
        FaultKind.REFUSED_QUANTITY,
        FaultKind.REFUSED_BAND,
        FaultKind.REFUSED_BEYOND_TRIGGER,
        FaultKind.REFUSED_TRIGGER_DISTANCE,
        FaultKind.REFUSED_DUPLICATE,
        FaultKind.REFUSED_OTHER,
        FaultKind.SELF_TRADE_CANCELLED,
        FaultKind.MODIFY_IGNORED,
        FaultKind.MODIFY_REFUSED_LATER,
        FaultKind.MODIFY_OVERTAKEN,
        FaultKind.STOP_TO_LIMIT_REFUSED,
        FaultKind.FILLS_SLICED,
        FaultKind.FILLS_WITHHELD,
        FaultKind.FILLED_DURING_CANCEL,
        FaultKind.STOP_REFUSED_AT_TRIGGER,
    }
)
"""The kinds of `exchange.faults` that this server knows."""


def _read(window: Mapping[str, Any]) -> WireWindow | FaultWindow | MarketFaultWindow:
    """A window as it was written down."""
    kind = window["kind"]
    if kind in set(WireFault):
        return msgspec.convert(window, WireWindow)
    if kind in set(FaultKind):
        return msgspec.convert(window, FaultWindow)
    return msgspec.convert(window, MarketFaultWindow)


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def _no(error: Exception) -> web.Response:
    body = msgspec.json.encode({"error": str(error)})
    return web.Response(status=400, body=body, content_type="application/json")
