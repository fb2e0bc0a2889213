"""What goes wrong between us and the exchange: closed kinds, windows of time, and who is struck.

How to use it: make windows, give them to a `Faults` with a seed, and hand that one object to the
`SimulatedExchange` and to the `SimulatedVenue` of one world. A process that begins anew builds both
again with a new `Faults` of the same seed and windows: every draw is a hash of (seed, kind, what is
struck), so the rebuilt venue is struck in the same places.

    faults = Faults(7, [FaultWindow(kind=FaultKind.EXIT_ANSWER_LOST, from_ns=a, until_ns=b)])
    exchange = SimulatedExchange(contracts, facts, cash_paise=cash, seed=7, faults=faults)
    venue = SimulatedVenue(exchange, Latency(seed=7), quotes_available=True, faults=faults,
                           market=true_ticks)
    ...
    faults.struck[FaultKind.EXIT_ANSWER_LOST]  # how often it really happened

`faults.struck` counts what changed something, not what was scheduled: a stale read that showed the
truth is no strike. `market` is what really trades; the driver's ticks are then only what the feed
tells us (`market_faults`). Without it the two are the same.
"""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from holdfast.domain.instrument import InstrumentId
from holdfast.exchange.draws import draw

ALWAYS_BPS: Final = 10_000
_MS: Final = 1_000_000


class FaultKind(StrEnum):
    """Every fault of the order path. "It" is the request, the order, or the read that is struck.

    Those of the first block strike a request, those of the last happen once in their window, at
    the first tick at which there is something to strike.
    """

    # -- requests about orders: lost, slow, refused
    CONNECT_FAILED = "connect_failed"  # it never leaves: NOT_SENT
    ENTRY_REQUEST_LOST = "entry_request_lost"  # never arrives: UNANSWERED after the time-out
    EXIT_REQUEST_LOST = "exit_request_lost"
    STOP_REQUEST_LOST = "stop_request_lost"
    MODIFY_REQUEST_LOST = "modify_request_lost"
    CANCEL_REQUEST_LOST = "cancel_request_lost"
    ENTRY_ANSWER_LOST = "entry_answer_lost"  # it is done; UNANSWERED after the time-out
    EXIT_ANSWER_LOST = "exit_answer_lost"
    STOP_ANSWER_LOST = "stop_answer_lost"
    MODIFY_ANSWER_LOST = "modify_answer_lost"
    CANCEL_ANSWER_LOST = "cancel_answer_lost"
    SERVER_ERROR = "server_error"  # UNANSWERED at once; a draw decides whether it is done
    REQUEST_SLOW = "request_slow"  # arrives `delay_ns` later, reads and guards too
    ANSWER_SLOW = "answer_slow"  # answered `delay_ns` later; beyond the time-out never
    REFUSED_FUNDS = "refused_funds"
    REFUSED_QUANTITY = "refused_quantity"
    REFUSED_RATE = "refused_rate"  # 429
    REFUSED_BAND = "refused_band"  # in the row
    REFUSED_BEYOND_TRIGGER = "refused_beyond_trigger"  # stops only, in the row
    REFUSED_TRIGGER_DISTANCE = "refused_trigger_distance"  # stops only, in the row
    REFUSED_NOT_MODIFIABLE = "refused_not_modifiable"  # modifications and cancels of live orders
    REFUSED_CLOSED = "refused_closed"
    REFUSED_DUPLICATE = "refused_duplicate"  # placements; nothing was taken
    REFUSED_OTHER = "refused_other"
    TOKEN_DEAD = "token_dead"  # noqa: S105 a word. Requests, reads and guards alike
    IP_REFUSED = "ip_refused"  # requests about orders; reads go on (T27)
    SELF_TRADE_CANCELLED = "self_trade_cancelled"  # taken, then cancelled by the exchange (T6)

    # -- modifications, fills, stops
    MODIFY_IGNORED = "modify_ignored"  # answered yes, nothing changes (T2)
    MODIFY_REFUSED_LATER = "modify_refused_later"  # the stream says `rejected`; it lives (T15)
    MODIFY_OVERTAKEN = "modify_overtaken"  # the stop triggers before it arrives
    STOP_TO_LIMIT_REFUSED = "stop_to_limit_refused"
    FILLS_SLICED = "fills_sliced"  # at most `quantity` at a time, default one lot
    FILLS_WITHHELD = "fills_withheld"  # the market goes by
    FILLED_DURING_CANCEL = "filled_during_cancel"  # `quantity` at its limit, default all of it
    STOP_REFUSED_AT_TRIGGER = "stop_refused_at_trigger"  # T1
    STOP_DROPPED = "stop_dropped"  # the exchange cancels a resting stop

    # -- the stream
    UPDATE_DUPLICATED = "update_duplicated"  # said again `delay_ns` later
    UPDATE_LATE = "update_late"  # `delay_ns` later, and all words about that order after it
    UPDATE_REORDERED = "update_reordered"  # `delay_ns` later, others overtake it
    UPDATE_LOST = "update_lost"
    UPDATE_FIRST = "update_first"  # the answer to a placement comes after its words
    STREAM_MUTE = "stream_mute"  # up, and silent
    STREAM_DOWN = "stream_down"  # down at the beginning, up at the end; says nothing between

    # -- reads and guards
    BOOK_FAILED = "book_failed"
    BOOK_EMPTY = "book_empty"  # a success without rows
    BOOK_STALE = "book_stale"  # all of it as `delay_ns` ago
    BOOK_FILL_BEHIND = "book_fill_behind"  # positions as `delay_ns` ago (T5)
    BOOK_TORN = "book_torn"  # orders as `delay_ns` ago, trades as twice that
    BOOK_POSITION_MISSING = "book_position_missing"  # one held key lacks
    ORDER_NOT_FOUND = "order_not_found"  # 404 by id while it exists
    ORDER_READ_FAILED = "order_read_failed"
    QUOTES_FAILED = "quotes_failed"
    FUNDS_FAILED = "funds_failed"
    FUNDS_ZERO = "funds_zero"
    GUARD_FAILED = "guard_failed"

    # -- others trade in the account: once in their window
    OWNER_SELLS_PART = "owner_sells_part"  # `quantity` of a held long, default one lot
    OWNER_SELLS_ALL = "owner_sells_all"
    OWNER_BUYS = "owner_buys"  # `quantity` of `instrument` or of what is held, default one lot
    OWNER_OFFERS = "owner_offers"  # all of a held long at no price to be had; back after `delay_ns`
    OWNER_CANCELS_STOP = "owner_cancels_stop"
    OWNER_CHANGES_STOP = "owner_changes_stop"  # limit and trigger one step further away
    BROKER_SQUARES_OFF = "broker_squares_off"  # a margin sale at any hour (T11)


DELAYS_NS: Final[dict[FaultKind, int]] = {
    FaultKind.REQUEST_SLOW: 1_500 * _MS,
    FaultKind.ANSWER_SLOW: 9_000 * _MS,
    FaultKind.UPDATE_DUPLICATED: 700 * _MS,
    FaultKind.UPDATE_LATE: 3_000 * _MS,
    FaultKind.UPDATE_REORDERED: 1_000 * _MS,
    FaultKind.UPDATE_FIRST: 200 * _MS,
    FaultKind.BOOK_STALE: 5_000 * _MS,
    FaultKind.BOOK_FILL_BEHIND: 2_500 * _MS,
    FaultKind.BOOK_TORN: 1_500 * _MS,
    FaultKind.OWNER_OFFERS: 5_000 * _MS,
}
"""What `delay_ns` is where a window names none."""

ONCE: Final = frozenset(kind for kind in FaultKind if kind.value.startswith(("owner_", "broker_")))
"""The kinds that happen once in each of their windows."""


class FaultWindow(msgspec.Struct, frozen=True, kw_only=True):
    """One kind in [from_ns, until_ns). Of what it could strike it strikes `share_bps`.

    `delay_ns` and `quantity` (contracts) mean what the kind says; `None` is the kind's default.
    `instrument` confines it to what concerns one contract.
    """

    kind: FaultKind
    from_ns: int
    until_ns: int
    share_bps: int = ALWAYS_BPS
    delay_ns: int | None = None
    quantity: int | None = None
    instrument: InstrumentId | None = None

    def __post_init__(self) -> None:
        """Refuse what could never strike."""
        if not self.from_ns < self.until_ns or not 0 < self.share_bps <= ALWAYS_BPS:
            raise ValueError(f"{self} never strikes")

    @property
    def wait_ns(self) -> int:
        """Its delay, or that of its kind; 0 where a delay means nothing."""
        return DELAYS_NS.get(self.kind, 0) if self.delay_ns is None else self.delay_ns

    def is_on(self, at_ns: int, instrument: InstrumentId | None = None) -> bool:
        """Whether it may strike at `at_ns` what concerns `instrument` (`None`: no one contract)."""
        is_ours = self.instrument is None or instrument in (None, self.instrument)
        return is_ours and self.from_ns <= at_ns < self.until_ns


class Faults:
    """The windows of one world, and how often each kind really struck.

    A draw is a hash of the seed, the kind and a key, so one fault more moves no other.
    """

    def __init__(self, seed: int, windows: Sequence[FaultWindow] = ()) -> None:
        self.windows: tuple[FaultWindow, ...] = ()
        self.struck: Counter[FaultKind] = Counter()
        self._seed = seed
        self._by_kind: dict[FaultKind, list[FaultWindow]] = {}
        self.add(windows)

    def add(self, windows: Sequence[FaultWindow]) -> None:
        """Let these go wrong too: for a world whose faults are set while it runs."""
        self.windows += tuple(windows)
        for window in windows:
            self._by_kind.setdefault(window.kind, []).append(window)

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        self.windows = ()
        self._by_kind.clear()

    @property
    def is_any(self) -> bool:
        """Whether anything may ever go wrong."""
        return bool(self.windows)

    def has(self, *kinds: FaultKind) -> bool:
        """Whether one of these kinds has a window today."""
        return any(kind in self._by_kind for kind in kinds)

    def of(self, kind: FaultKind) -> Sequence[FaultWindow]:
        """The windows of one kind, as they were given."""
        return self._by_kind.get(kind, ())

    def finds(
        self, kind: FaultKind, key: str, at_ns: int, *, instrument: InstrumentId | None = None
    ) -> FaultWindow | None:
        """The window that would strike what `key` names, `None` when it is spared.

        Nothing is counted: who finds out whether it makes a difference says so by `strike`.
        """
        for window in self._by_kind.get(kind, ()):
            if window.is_on(at_ns, instrument) and self._draws(window, key):
                return window
        return None

    def strike(self, kind: FaultKind) -> None:
        """It happened."""
        self.struck[kind] += 1

    def strikes(
        self, kind: FaultKind, key: str, at_ns: int, *, instrument: InstrumentId | None = None
    ) -> FaultWindow | None:
        """The same as `finds`, and it happened."""
        window = self.finds(kind, key, at_ns, instrument=instrument)
        if window is not None:
            self.strike(kind)
        return window

    def coin(self, kind: FaultKind, key: str) -> bool:
        """Heads or tails about what was struck."""
        return draw(self._seed, f"coin {kind.value}", key) % 2 == 0

    def _draws(self, window: FaultWindow, key: str) -> bool:
        share = draw(self._seed, f"fault {window.kind.value}", key) * ALWAYS_BPS >> 32
        return share < window.share_bps
