"""A small day in records: what the tests of the store put in and expect to find again."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from holdfast.domain.audit import (
    AnyAudit,
    Denied,
    EntryEnded,
    EntryFilled,
    ExitDecided,
    IntentFormed,
    LevelMoved,
    PositionClosed,
    PositionOpened,
    SignalSeen,
)
from holdfast.domain.command import AnyCommand, ModifyOrder, PlaceOrder, Subscribe
from holdfast.domain.decision import (
    Denial,
    Direction,
    Exit,
    ExitPlan,
    Intent,
    Passed,
    Signal,
    Sizing,
    Trail,
)
from holdfast.domain.event import (
    CandleLoaded,
    InstrumentsLoaded,
    JournalEvent,
    OrderAcknowledged,
    OrderUpdated,
    QuotesRead,
    Restarted,
    TapeEvent,
    TimerFired,
)
from holdfast.domain.instrument import (
    Exchange,
    Instrument,
    InstrumentId,
    Kind,
    OptionType,
    Product,
    Segment,
    instrument_id,
)
from holdfast.domain.market import Candle, Tick
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderTerms,
    OrderType,
    Purpose,
    Side,
)
from holdfast.ports import Journal
from holdfast.store.records import Decided, Record
from holdfast.store.segment import TapeHeader

DAY = "2025-12-15"
T0 = 1_765_770_300_000_000_000
"""2025-12-15 09:15:00 IST."""

SECOND_NS = 1_000_000_000

INDEX = Instrument(
    id=instrument_id(Segment.IDX_I, 13),
    segment=Segment.IDX_I,
    security_id=13,
    symbol="NIFTY",
    exchange=Exchange.NSE,
    kind=Kind.INDEX,
    underlying="NIFTY",
    lot_size=0,
    price_step_paise=0,
    freeze_quantity=0,
)


def option(security_id: int) -> Instrument:
    """A NIFTY call of a made-up strike."""
    return Instrument(
        id=instrument_id(Segment.NSE_FNO, security_id),
        segment=Segment.NSE_FNO,
        security_id=security_id,
        symbol=f"NIFTY-{security_id}-CE",
        exchange=Exchange.NSE,
        kind=Kind.OPTION,
        underlying="NIFTY",
        lot_size=75,
        price_step_paise=5,
        freeze_quantity=1_801,
        expiry="2025-12-16",
        strike_paise=security_id * 100,
        option_type=OptionType.CALL,
    )


INSTRUMENTS = (INDEX, option(26_000), option(26_050))
CALL = INSTRUMENTS[1].id

HEADER = TapeHeader(day=DAY, source="made for a test", instruments=INSTRUMENTS)


def tick(number: int, *, at_ns: int | None = None, instrument: InstrumentId = CALL) -> Tick:
    """The tick of the day with this number: a tenth of a second after the one before it."""
    depth = 5 - number % 3
    return Tick(
        at_ns=T0 + number * SECOND_NS // 10 if at_ns is None else at_ns,
        instrument=instrument,
        last_paise=10_000 + number % 40 * 5,
        venue_at_ns=None if number < 3 else T0 + number // 10 * SECOND_NS,
        volume=number * 75,
        oi=1_000 + number,
        bids=tuple((9_995 - 5 * level, 75 * (level + 1)) for level in range(depth)),
        asks=tuple((10_005 + 5 * level, 75 * (level + 1)) for level in range(5)),
    )


def merged(number: int) -> Tick:
    """A tick that stands for three."""
    return Tick(
        at_ns=T0 + number * SECOND_NS // 10,
        instrument=CALL,
        last_paise=10_000,
        count=3,
        last_low_paise=9_950,
        last_high_paise=10_050,
        bid_low_paise=9_900,
        ask_high_paise=10_100,
    )


def candle(number: int) -> CandleLoaded:
    """A minute of the index before the session."""
    start_ns = T0 - (100 - number) * 60 * SECOND_NS
    bar = Candle(
        instrument=INDEX.id,
        interval_s=60,
        start_ns=start_ns,
        open_paise=2_600_000,
        high_paise=2_600_500 + number,
        low_paise=2_599_500,
        close_paise=2_600_100,
        volume=number,
        complete=number % 7 != 0,
    )
    return CandleLoaded(at_ns=T0 - 60 * SECOND_NS, candle=bar)


def quotes(number: int, count: int = 2) -> QuotesRead:
    """A read of `count` quotes."""
    at_ns = T0 + number * SECOND_NS // 10
    found = tuple(tick(number + n, at_ns=at_ns, instrument=INSTRUMENTS[n].id) for n in range(count))
    return QuotesRead(at_ns=at_ns, quotes=found)


def signal(number: int) -> Signal:
    """The signal of one candle."""
    return Signal(
        id=f"supertrend:NIFTY:{number}:up",
        strategy="supertrend",
        underlying=INDEX.id,
        direction=Direction.UP,
        candle_start_ns=T0 + number * 60 * SECOND_NS,
        reason="the close crossed the band",
        values={"close_paise": 2_600_100, "adx": 27.431_2, "band": "lower"},
    )


def intent(position: int) -> Intent:
    """One lot at the market, with its plan and arithmetic."""
    return Intent(
        position=position,
        signal=signal(position),
        instrument=CALL,
        product=Product.INTRADAY,
        side=Side.BUY,
        quantity=75,
        limit_paise=10_050,
        plan=ExitPlan(
            stop_paise=8_800,
            target_paise=12_500,
            trail=Trail(arm_paise=10_800, giveback_bps=600),
            close_out_ns=T0 + 6 * 3600 * SECOND_NS,
        ),
        sizing=Sizing(
            lots=1,
            lot_size=75,
            budget_paise=500_000,
            entry_limit_paise=10_050,
            stop_limit_paise=8_700,
            charges_paise=9_200,
            loss_at_stop_paise=110_450,
            cash_paise=50_000_000,
            bound="lots_max",
        ),
        passed=(Passed(gate="spread", values={"spread_bps": 10}),),
    )


def terms(side: Side, *, trigger_paise: int | None = None) -> OrderTerms:
    """75 at 100.50, or a stop of the same."""
    return OrderTerms(
        instrument=CALL,
        product=Product.INTRADAY,
        side=side,
        order_type=OrderType.LIMIT if trigger_paise is None else OrderType.STOP_LIMIT,
        quantity=75,
        limit_paise=10_050,
        trigger_paise=trigger_paise,
    )


def placed(order: str, position: int, side: Side = Side.BUY) -> PlaceOrder:
    """The command that sends an order."""
    return PlaceOrder(
        order_id=OrderId(order),
        purpose=Purpose.ENTRY if side is Side.BUY else Purpose.EXIT,
        position=position,
        terms=terms(side),
        fills_seen=0,
    )


def updated(
    order: str, at_ns: int, *, status: BrokerStatus, filled: tuple[int, int], side: Side = Side.BUY
) -> OrderUpdated:
    """The broker's word: `filled` is cumulative quantity and value in paise."""
    row = OrderRow(
        order_id=OrderId(order),
        broker_id=BrokerOrderId(f"B{order}"),
        status=status,
        terms=terms(side),
        filled_quantity=filled[0],
        filled_value_paise=filled[1],
        venue_at_ns=at_ns - 40_000_000,
    )
    return OrderUpdated(at_ns=at_ns, row=row)


Step = JournalEvent | TapeEvent | tuple[Sequence[AnyCommand], Sequence[AnyAudit]]


def beginning() -> list[Step]:
    """Start, master and history."""
    return [
        Restarted(
            at_ns=T0 - 120 * SECOND_NS,
            day=DAY,
            code_version="0.1.0",
            config_sha256="c0" * 32,
            libraries=("TA-Lib 0.8.2",),
        ),
        InstrumentsLoaded(at_ns=T0 - 100 * SECOND_NS, sha256="ab" * 32, instruments=INSTRUMENTS),
        *(candle(number) for number in range(20)),
        ([Subscribe(instruments=(CALL,))], []),
    ]


def trade(position: int, at_ns: int) -> Iterator[Step]:
    """A position from signal to close: bought at 100.00 in two fills, sold at 105.00."""
    entry, exit_ = f"P{position:03d}E1", f"P{position:03d}X1"
    formed = IntentFormed(intent=intent(position))
    yield [placed(entry, position)], [SignalSeen(signal=signal(position)), formed]
    yield OrderAcknowledged(
        at_ns=at_ns + 1, order_id=OrderId(entry), broker_id=BrokerOrderId(f"B{entry}")
    )
    yield updated(entry, at_ns + 2, status=BrokerStatus.WORKING, filled=(25, 250_000))
    yield (
        [],
        [
            PositionOpened(position=position, instrument=CALL, venue_at_ns=at_ns),
            EntryFilled(
                position=position, order_id=OrderId(entry), quantity=25, value_paise=250_000
            ),
        ],
    )
    yield updated(entry, at_ns + 3, status=BrokerStatus.FILLED, filled=(75, 750_000))
    full = EntryFilled(position=position, order_id=OrderId(entry), quantity=75, value_paise=750_000)
    yield [], [full, LevelMoved(position=position, peak_paise=10_900, stop_paise=10_246)]
    rule = Exit(rule="target", level_paise=12_500, price_paise=12_505)
    yield [placed(exit_, position, Side.SELL)], [ExitDecided(position=position, exit=rule)]
    sold = updated(
        exit_, at_ns + 4, status=BrokerStatus.FILLED, filled=(75, 787_500), side=Side.SELL
    )
    yield sold
    yield [], [closed(position, at_ns)]


def closed(position: int, at_ns: int) -> PositionClosed:
    """The result of `trade`: 375.00 gross, 92.00 charges."""
    return PositionClosed(
        position=position,
        rule="target",
        quantity=75,
        entry_value_paise=750_000,
        exit_value_paise=787_500,
        gross_paise=37_500,
        charges={"brokerage": 4_000, "stt": 1_200, "rest": 4_000},
        net_paise=28_300,
        opened_at_ns=at_ns,
        closed_at_ns=at_ns + 4,
        unprotected_ns=300_000_000,
        without_stop_ns=0,
    )


def refusals(number: int) -> list[Step]:
    """A signal that a gate stops, and an entry that ends empty."""
    stopped = signal(1_000 + number)
    position = 500 + number
    return [
        (
            [],
            [
                SignalSeen(signal=stopped),
                Denied(signal=stopped, denial=Denial(gate="spread", values={"spread_bps": 900})),
            ],
        ),
        (
            [
                ModifyOrder(
                    order_id=OrderId("P001X1"),
                    broker_id=BrokerOrderId("BP001X1"),
                    terms=terms(Side.SELL, trigger_paise=10_100),
                )
            ],
            [
                IntentFormed(intent=intent(position)),
                EntryEnded(position=position, order_id=OrderId("P500E1"), reason="not filled"),
            ],
        ),
    ]


def a_day(*, trades: int = 3, ticks: int = 300) -> list[Step]:
    """A whole day: beginning, ticks with quotes among them, trades spread over it, timers."""
    steps = beginning()
    each = max(ticks // max(trades, 1), 1)
    for number in range(ticks):
        steps.append(merged(number) if number % 50 == 49 else tick(number))
        at_ns = T0 + number * SECOND_NS // 10
        if number % each == each // 2 and number // each < trades:
            steps += trade(1 + number // each, at_ns)
            steps += refusals(number)
        if number % 100 == 20:
            steps.append(quotes(number, count=number // 100 % 3))
        if number % 10 == 0:
            steps.append(TimerFired(at_ns=at_ns))
    return steps


def play(journal: Journal, steps: Sequence[Step]) -> list[int]:
    """Append every step as the driver does; returns the number that each event got."""
    numbers, cause, at_ns = [], 0, 0
    for step in steps:
        if isinstance(step, tuple):
            journal.append_decision(cause, at_ns, *step)
            continue
        at_ns = step.at_ns
        if isinstance(step, Tick | CandleLoaded | QuotesRead):
            cause = journal.append_market(step)
        else:
            cause = journal.append(step)
        numbers.append(cause)
    return numbers


def recorded(steps: Sequence[Step]) -> list[Record]:
    """The steps as records; market events, which lie on the tape, are left out."""
    found: list[Record] = []
    for step in steps:
        if isinstance(step, tuple):
            commands, audits = step
            decided = Decided(at_ns=T0, cause=1, commands=tuple(commands), audits=tuple(audits))
            found.append(decided)
        elif not isinstance(step, Tick | CandleLoaded | QuotesRead):
            found.append(step)
    return found


def flip(path: Path, offset: int, mask: int) -> None:
    """Change one byte of a file."""
    assert mask, "a flip that changes nothing shows nothing"
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ mask]))
