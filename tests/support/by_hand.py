"""Books, packets and positions made by hand, for tests of one module without the engine."""

from holdfast.core.books.positions import Position
from holdfast.core.market.quotes import Connection, Quote
from holdfast.core.orders.order import Fill
from holdfast.core.settings import EngineSettings
from holdfast.core.state import State
from holdfast.domain.decision import Direction, ExitPlan, Intent, Signal, Sizing, Trail
from holdfast.domain.event import Link, ServiceState
from holdfast.domain.instrument import Exchange, Instrument, InstrumentId, Product
from holdfast.domain.market import Level, Tick
from holdfast.domain.order import OrderId, Side
from tests.support.desk import CALL, FACTS, NIFTY, OPEN, PUT, SECOND, settings

NOW = OPEN + 3_600 * SECOND
"""An hour into the day, when the state of `ready_state` is ready."""

SIGNAL = Signal(
    id="parrot|up",
    strategy="parrot",
    underlying=NIFTY.id,
    direction=Direction.UP,
    candle_start_ns=NOW - 60 * SECOND,
    reason="told to",
    values={},
)


def packet(  # noqa: PLR0913 the fields of a tick, with defaults
    instrument: InstrumentId = CALL.id,
    last: int = 10_000,
    bid: int | None = 9_995,
    ask: int | None = 10_005,
    *,
    at: int = NOW,
    venue: int | None = NOW,
    volume: int = 65,
    merged: tuple[int, int] | None = None,
) -> Tick:
    """One packet in paise; `merged` makes it a batch with that lowest and highest trade."""
    low, high = (None, None) if merged is None else merged
    return Tick(
        at_ns=at,
        instrument=instrument,
        last_paise=last,
        venue_at_ns=venue,
        volume=volume,
        bids=_side(bid),
        asks=_side(ask),
        count=1 if merged is None else 3,
        last_low_paise=low,
        last_high_paise=high,
    )


def _side(price: int | None) -> tuple[Level, ...]:
    return () if price is None else ((price, 650),)


def ready_state(changed: EngineSettings | None = None, *, now: int = NOW) -> State:
    """A state in which nothing bars an entry at `now`: every link up, every quote just seen."""
    state = State(settings() if changed is None else changed)
    state.now_ns = now
    state.facts = FACTS
    connection = state.connections.setdefault(Exchange.NSE, Connection())
    for instrument in (NIFTY, CALL, PUT):
        state.instruments[instrument.id] = instrument
        state.quotes[instrument.id] = Quote(instrument, connection)
    state.underlyings[NIFTY.id] = "NIFTY"
    state.quotes[NIFTY.id].take(packet(NIFTY.id, 2_450_000, None, None, at=now, venue=now))
    for option in (CALL, PUT):
        state.quotes[option.id].take(packet(option.id, at=now, venue=now))
    state.services = {"engine": ServiceState.READY}
    state.links = dict.fromkeys(Link, True)
    state.journal_durable = True
    state.access.token_until_ns = now + 24 * 3_600 * SECOND
    state.access.is_checked, state.access.skew_ms = True, 0
    state.services = {"engine": ServiceState.READY}
    state.self_test_fault = None
    state.book.is_listed, state.book.open_points = True, ()
    state.funds_paise, state.funds_at_fills = 500_000_00, 0
    return state


def plan(
    stop: int = 8_800, target: int | None = 12_500, trail: Trail | None = None, close_out: int = 0
) -> ExitPlan:
    """An exit plan in paise; `close_out` 0 means six hours after the opening."""
    ends = close_out or OPEN + 6 * 3_600 * SECOND
    return ExitPlan(stop_paise=stop, target_paise=target, trail=trail, close_out_ns=ends)


def a_position(  # noqa: PLR0913 what makes a position, with defaults
    number: int = 1,
    side: Side = Side.BUY,
    *,
    instrument: Instrument = CALL,
    exits: ExitPlan | None = None,
    quantity: int = 65,
    price: int = 10_000,
    product: Product = Product.INTRADAY,
) -> Position:
    """A position that holds `quantity` contracts at `price` paise; 0 contracts: not filled yet."""
    intent = Intent(
        position=number,
        signal=SIGNAL,
        instrument=instrument.id,
        product=product,
        side=side,
        quantity=max(quantity, 65),
        limit_paise=price,
        plan=plan() if exits is None else exits,
        sizing=Sizing(
            lots=1,
            lot_size=65,
            budget_paise=5_000_00,
            entry_limit_paise=price,
            stop_limit_paise=1,
            charges_paise=0,
            loss_at_stop_paise=0,
            cash_paise=0,
            bound="risk",
        ),
        passed=(),
    )
    position = Position(intent, instrument, OrderId(f"SSIM001261120-E{number:04d}-1-0"))
    position.evaluated_at_ns = NOW
    if quantity:
        position.take_entry(Fill(quantity, quantity * price), NOW)
    return position


def held(state: State, *positions: Position) -> State:
    """Put positions into the books of a state."""
    for position in positions:
        state.positions[position.number] = position
        state.live.append(position)
        state.held.setdefault(position.id, []).append(position)
    return state
