"""What goes wrong on the wire itself: named kinds, windows of time, and which requests they strike.

What goes wrong at the exchange is in `exchange.faults`; here it is connections, answers and streams.
A draw is a hash of the seed, the kind and what is struck, so one fault more moves no other.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from holdfast.exchange.draws import draw

ALWAYS_BPS: Final = 10_000
_MS: Final = 1_000_000


class Endpoint(StrEnum):
    """What a request is about: faults and the truth speak of it in these words."""

    PLACE = "place"
    MODIFY = "modify"
    CANCEL = "cancel"
    ORDERS = "orders"
    ORDER = "order"
    EXTERNAL = "external"
    TRADES = "trades"
    POSITIONS = "positions"
    HOLDINGS = "holdings"
    FUNDS = "funds"
    MARGIN = "margin"
    LEDGER = "ledger"
    PROFILE = "profile"
    RENEW = "renew"
    IP = "ip"
    EXIT_ALL = "exit_all"
    KILL_SWITCH = "kill_switch"
    PNL_EXIT = "pnl_exit"
    QUOTES = "quotes"
    CHAIN = "chain"
    CHARTS = "charts"
    MINT = "mint"
    CONSENT = "consent"
    INSTRUMENTS = "instruments"
    FEED = "feed"
    UPDATES = "updates"


class WireFault(StrEnum):
    """Every fault of the wire. "It" is the request, answer, connection or word that is struck."""

    CONNECT_REFUSED = "connect_refused"  # the REST host takes no connection and cuts its own
    CONNECTIONS_CUT = "connections_cut"  # every connection of the REST host is cut, once

    # -- requests and their answers, of any endpoint
    REQUEST_LOST = "request_lost"  # the connection is reset and nothing was done
    ANSWER_LOST = "answer_lost"  # it is done, then the connection is reset
    REQUEST_SLOW = "request_slow"  # it is done `delay_ns` later
    ANSWER_SLOW = "answer_slow"  # it is done at once and answered `delay_ns` later
    SLOW_DRIP = "slow_drip"  # the body comes byte by byte over `delay_ns`
    SERVER_ERROR = "server_error"  # 500; a draw decides whether it is done
    BAD_GATEWAY = "bad_gateway"  # 502 and a page of HTML; nothing is done
    EMPTY_BODY = "empty_body"  # 200 without a body; it is done
    HALF_JSON = "half_json"  # 200 and half of the body; it is done
    RATE_STORM = "rate_storm"  # 429
    IP_REFUSED = "ip_refused"  # whatever needs the static IP
    TOKEN_DEAD = "token_dead"  # noqa: S105 a word: the token is not taken, streams included
    REFUSED_CLOSED = "refused_closed"  # requests about orders: the market is closed
    REFUSED_NOT_MODIFIABLE = "refused_not_modifiable"  # modifications and cancels: DH-906
    DATE_SKEWED = "date_skewed"  # the date of answers is `delay_ns` ahead
    UPDATE_FIRST = "update_first"  # a placement is answered `delay_ns` after its first word

    # -- reads of the book
    BOOK_EMPTY = "book_empty"  # a success without rows
    BOOK_STALE = "book_stale"  # as `delay_ns` ago
    BOOK_FILL_BEHIND = "book_fill_behind"  # positions as before the newest fill
    BOOK_TORN = "book_torn"  # orders as `delay_ns` ago, trades as twice that, positions as now
    POSITION_MISSING = "position_missing"  # the first held key lacks
    ORDER_NOT_FOUND = "order_not_found"  # by id nothing, by correlation id 404
    FUNDS_ZERO = "funds_zero"

    # -- the order updates
    UPDATES_MUTE = "updates_mute"  # up, and silent
    UPDATES_DROP = "updates_drop"  # reset at the beginning, no login until the end
    UPDATE_LOST = "update_lost"
    UPDATE_DUPLICATED = "update_duplicated"  # said again `delay_ns` later
    UPDATE_LATE = "update_late"  # `delay_ns` later, and what is said of that order after it
    UPDATE_REORDERED = "update_reordered"  # `delay_ns` later, others overtake it
    UPDATE_GARBAGE = "update_garbage"  # a message that is no message before it

    # -- the market feed
    FEED_MUTE = "feed_mute"  # open, pings answered, no packet
    FEED_LAG = "feed_lag"  # every packet `delay_ns` later
    FEED_DROP = "feed_drop"  # reset at the beginning, no handshake until the end
    FEED_EVICT = "feed_evict"  # packet 50 with 805 at the beginning, then closed
    FEED_HANDSHAKE_429 = "feed_handshake_429"
    FEED_DUPLICATED = "feed_duplicated"
    FEED_REORDERED = "feed_reordered"
    FEED_OLD_STAMP = "feed_old_stamp"  # trade times `delay_ns` older
    FEED_SILENT = "feed_silent"  # the instruments of the window say nothing, the others go on
    FEED_GARBAGE = "feed_garbage"  # packets that are no packets between the others
    FEED_TRUNCATED = "feed_truncated"  # a frame ends before its last packet does
    FEED_SPIKE = "feed_spike"  # a last price three times too high
    FEED_ZERO = "feed_zero"  # a last price of 0
    FEED_NAN = "feed_nan"  # a last price that is no number
    FEED_RESET_300 = "feed_reset_300"  # a reset 300 s after the handshake


DELAYS_NS: Final[dict[WireFault, int]] = {
    WireFault.REQUEST_SLOW: 1_500 * _MS,
    WireFault.ANSWER_SLOW: 9_000 * _MS,
    WireFault.SLOW_DRIP: 12_000 * _MS,
    WireFault.UPDATE_FIRST: 200 * _MS,
    WireFault.DATE_SKEWED: 5_000 * _MS,
    WireFault.BOOK_STALE: 5_000 * _MS,
    WireFault.BOOK_TORN: 1_500 * _MS,
    WireFault.UPDATE_DUPLICATED: 700 * _MS,
    WireFault.UPDATE_LATE: 3_000 * _MS,
    WireFault.UPDATE_REORDERED: 1_000 * _MS,
    WireFault.FEED_LAG: 40_000 * _MS,
    WireFault.FEED_OLD_STAMP: 30_000 * _MS,
    WireFault.FEED_REORDERED: 1_000 * _MS,
}
"""What `delay_ns` is where a window names none."""


class WireWindow(msgspec.Struct, frozen=True, kw_only=True):
    """One kind in [from_ns, until_ns). Of what it could strike it strikes `share_bps`.

    It is confined to `endpoints` (empty: all), to requests and rows whose fields equal `only`
    (`{"orderType": "STOP_LOSS"}`; for the feed `{"securityId": "40001"}`), and to the first `times`
    (`None`: no end).
    """

    kind: WireFault
    from_ns: int
    until_ns: int
    share_bps: int = ALWAYS_BPS
    delay_ns: int | None = None
    endpoints: tuple[Endpoint, ...] = ()
    only: dict[str, str] = {}
    times: int | None = None

    def __post_init__(self) -> None:
        """Refuse what could never strike."""
        if not self.from_ns < self.until_ns or not 0 < self.share_bps <= ALWAYS_BPS:
            raise ValueError(f"{self.kind} from {self.from_ns} to {self.until_ns} never strikes")

    @property
    def wait_ns(self) -> int:
        """Its delay, or that of its kind; 0 where a delay means nothing."""
        return DELAYS_NS.get(self.kind, 0) if self.delay_ns is None else self.delay_ns

    def is_on(self, at_ns: int, endpoint: Endpoint | None, fields: Mapping[str, Any]) -> bool:
        """Whether it may strike at `at_ns` what has these `fields`."""
        is_asked = endpoint is None or not self.endpoints or endpoint in self.endpoints
        is_meant = all(str(fields.get(key)) == value for key, value in self.only.items())
        return is_asked and is_meant and self.from_ns <= at_ns < self.until_ns


class WireFaults:
    """The windows that are set now, and how often each kind really struck."""

    def __init__(self, seed: int) -> None:
        """Nothing goes wrong. `counted` hears the number of a window whose strikes are limited."""
        self.counted: Callable[[int], None] | None = None
        self.windows: list[WireWindow] = []
        self.struck: Counter[WireFault] = Counter()
        self._times: Counter[int] = Counter()
        self._seed = seed

    def add(self, windows: Sequence[WireWindow]) -> None:
        """Let these go wrong too."""
        self.windows += windows

    def clear(self) -> None:
        """Nothing goes wrong any more; what is delayed already stays so."""
        self.windows.clear()
        self._times.clear()

    def finds(
        self,
        kind: WireFault,
        key: str,
        at_ns: int,
        *,
        endpoint: Endpoint | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> WireWindow | None:
        """The window that would strike what `key` names, `None` when it is spared. Nothing counts."""
        for window in self.windows:
            is_left = window.times is None or self._times[id(window)] < window.times
            is_on = window.kind is kind and window.is_on(at_ns, endpoint, fields or {})
            if is_on and is_left and self._draws(window, key):
                return window
        return None

    def strike(self, window: WireWindow) -> None:
        """It happened."""
        self.struck[window.kind] += 1
        self._times[id(window)] += 1
        if self.counted is not None and window.times is not None:
            self.counted(next(n for n, one in enumerate(self.windows) if one is window))

    def restore(self, number: int) -> None:
        """It happened before the server was killed: one strike less is left of that window."""
        self._times[id(self.windows[number])] += 1

    def strikes(
        self,
        kind: WireFault,
        key: str,
        at_ns: int,
        *,
        endpoint: Endpoint | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> WireWindow | None:
        """The same as `finds`, and it happened."""
        window = self.finds(kind, key, at_ns, endpoint=endpoint, fields=fields)
        if window is not None:
            self.strike(window)
        return window

    def coin(self, kind: WireFault, key: str) -> bool:
        """Heads or tails about what was struck."""
        return draw(self._seed, f"coin {kind.value}", key) % 2 == 0

    def _draws(self, window: WireWindow, key: str) -> bool:
        share = draw(self._seed, f"wire {window.kind.value}", key) * ALWAYS_BPS >> 32
        return share < window.share_bps
