"""What the engine holds, as frozen values for whoever only looks: the operator, above all."""

import msgspec

from holdfast.core.bookread import SETTLED_NS
from holdfast.core.books.positions import Position
from holdfast.core.drift import OpenDrift, open_drifts
from holdfast.core.readiness import first_failing
from holdfast.core.risk.halt import unclean
from holdfast.core.state import State
from holdfast.domain.decision import HaltLevel, Values
from holdfast.domain.instrument import InstrumentId, Product
from holdfast.domain.order import OrderId


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One open position. Prices in paise, times in milliseconds.

    `is_stop_seen`: its stop was read back at the broker. `exit_rule` decided to close it, `None`:
    nothing has. `unprotected_ms` is for how long nothing has protected it, `None`: something does;
    `was_unprotected_ms` all of it since the first fill. `carried_from` is the earlier day on which it
    was opened, `None`: today.
    """

    position: int
    instrument: InstrumentId
    symbol: str
    product: Product
    quantity: int
    stop_paise: int
    is_stop_seen: bool
    exit_rule: str | None
    unprotected_ms: int | None
    was_unprotected_ms: int
    carried_from: str | None = None


class BrokerHolds(msgspec.Struct, frozen=True, kw_only=True):
    """What the newest read of the broker's book shows of one key, in contracts."""

    instrument: InstrumentId
    product: Product
    symbol: str
    net: int


class View(msgspec.Struct, frozen=True, kw_only=True):
    """How the account stands, by the engine.

    `live` are the positions that are not at their end, those too that only wait for a fill;
    `closed` those that are. `live_orders` could still fill. `blocked_by` is the first thing that
    bars entries, `None`: they may go out. `drifts` are the differences with the broker's book,
    acknowledged ones too. `broker` is what the newest read of its book shows that is not nothing,
    and `broker_read_ns` when that read began, `None`: it was not read since the start. `touched_ns`
    is when something last happened to an order of ours, `open_points` what the next read must tell.
    `in_the_way` is why an unlock would lift nothing now, `None`: it would.
    """

    now_ns: int
    halt: HaltLevel
    halt_reason: str
    blocked_by: str | None
    blocked_values: Values
    positions: tuple[Held, ...]
    live: tuple[int, ...]
    closed: tuple[int, ...]
    live_orders: tuple[OrderId, ...]
    drifts: tuple[OpenDrift, ...]
    broker: tuple[BrokerHolds, ...]
    broker_read_ns: int | None
    touched_ns: int
    open_points: tuple[str, ...]
    in_the_way: str | None

    @property
    def open_drifts(self) -> tuple[OpenDrift, ...]:
        """The differences that nobody has acknowledged: each bars entries in its underlying."""
        return tuple(one for one in self.drifts if not one.is_acknowledged)

    @property
    def is_flat(self) -> bool:
        """Whether nothing of ours is held and no order of ours could fill, as far as we know."""
        return not self.positions and not self.live_orders

    @property
    def is_read_since(self) -> bool:
        """Whether the newest read of the broker's book tells of everything that we did (T5)."""
        read_ns = self.broker_read_ns
        return read_ns is not None and read_ns - self.touched_ns >= SETTLED_NS


def view(state: State) -> View:
    """How it stands now. Changes nothing."""
    blocked = first_failing(state)
    orders = [state.orders[name] for name in sorted(state.orders)]
    read = state.book.last
    return View(
        now_ns=state.now_ns,
        halt=state.halt,
        halt_reason=state.halt_reason,
        blocked_by=None if blocked is None else blocked[0],
        blocked_values={} if blocked is None else blocked[1],
        positions=tuple(_held(state, one) for one in _open(state)),
        live=tuple(n for n in sorted(state.positions) if not state.positions[n].is_closed),
        closed=tuple(n for n in sorted(state.positions) if state.positions[n].is_closed),
        live_orders=tuple(order.name for order in orders if order.is_live),
        drifts=open_drifts(state),
        broker=_broker(state),
        broker_read_ns=None if read is None else read.began_at_ns,
        touched_ns=state.touched_ns,
        open_points=state.book.open_points,
        in_the_way=unclean(state),
    )


def _open(state: State) -> list[Position]:
    return sorted((one for one in state.live if one.is_open), key=lambda one: one.number)


def _held(state: State, position: Position) -> Held:
    since_ns = position.unprotected_since_ns
    lasting_ns = None if since_ns is None else max(state.now_ns - since_ns, 0)
    return Held(
        position=position.number,
        instrument=position.id,
        symbol=position.instrument.symbol,
        product=position.key.product,
        quantity=position.holding.quantity,
        stop_paise=position.stop_paise,
        is_stop_seen=position.verified,
        exit_rule=None if position.exit is None else position.exit.rule,
        unprotected_ms=None if lasting_ns is None else lasting_ns // 1_000_000,
        carried_from=None if position.carried is None else position.carried.opened_day,
        was_unprotected_ms=(position.unprotected_ns + (lasting_ns or 0)) // 1_000_000,
    )


def _broker(state: State) -> tuple[BrokerHolds, ...]:
    read = state.book.last
    if read is None:
        return ()
    return tuple(
        BrokerHolds(
            instrument=net.instrument,
            product=net.product,
            symbol=_symbol(state, net.instrument),
            net=net.net,
        )
        for net in sorted(read.nets, key=lambda net: net.key)
        if net.net
    )


def _symbol(state: State, identity: InstrumentId) -> str:
    known = state.instruments.get(identity)
    return str(identity) if known is None else known.symbol
