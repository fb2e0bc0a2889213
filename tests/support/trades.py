"""A small journal written by hand: what a report and an explanation are made from.

One position closed by its target, one by its trailing stop after an outage, one entry that never
filled, one denied signal. Times are of 2026-11-20 in India.
"""

from typing import Final

from holdfast.domain.audit import (
    Anomaly,
    AnyAudit,
    Denied,
    EntriesBlocked,
    EntryEnded,
    EntryFilled,
    ExitDecided,
    FillsCorrected,
    Halted,
    IntentFormed,
    LevelMoved,
    PositionClosed,
    PositionOpened,
    PositionResumed,
    ProtectionLost,
    ProtectionVerified,
    QuotesFresh,
    QuotesStale,
    RuleFailed,
    SignalSeen,
    StalePolicyActed,
)
from holdfast.domain.command import AnyCommand, FindOrder, ModifyOrder, PlaceOrder
from holdfast.domain.decision import (
    Denial,
    Direction,
    Exit,
    ExitPlan,
    HaltLevel,
    Intent,
    Passed,
    Signal,
    Sizing,
    Trail,
)
from holdfast.domain.event import (
    Action,
    InstrumentsLoaded,
    OrderAcknowledged,
    OrderUpdated,
    Outcome,
    Restarted,
    SendFailed,
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
from holdfast.domain.order import (
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    OrderTerms,
    OrderType,
    Purpose,
    Refusal,
    Side,
)
from holdfast.store.records import Decided, Record, TapeRange

MIDNIGHT_NS: Final = 1_795_132_800_000_000_000 - 19_800_000_000_000
INDEX: Final = instrument_id(Segment.IDX_I, 13)
CALL: Final = instrument_id(Segment.NSE_FNO, 40_001)
PUT: Final = instrument_id(Segment.NSE_FNO, 40_002)
CHARGES: Final = {"brokerage": 40_00, "stt": 18_00, "transaction": 7_51}


def at(face: str) -> int:
    """`09:30:00` or `09:30:00.250` of the day, in UTC nanoseconds."""
    clock, _, fraction = face.partition(".")
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    whole = (hours * 60 + minutes) * 60 + seconds
    return MIDNIGHT_NS + whole * 1_000_000_000 + int(f"{fraction or '0':0<3}") * 1_000_000


def order(tail: str) -> OrderId:
    """An id of the day: `E0001-1-0` is the first entry."""
    return OrderId(f"SIM0001261120-{tail}")


class Diary:
    """Records in order, numbered from 1."""

    def __init__(self) -> None:
        self.records: list[tuple[int, Record]] = []

    def add(self, record: Record) -> int:
        """Write one down; returns its number."""
        self.records.append((len(self.records) + 1, record))
        return len(self.records)

    def decided(self, face: str, *audits: AnyAudit, commands: tuple[AnyCommand, ...] = ()) -> None:
        """A step's decision."""
        self.add(Decided(at_ns=at(face), cause=len(self.records), commands=commands, audits=audits))


def instruments() -> tuple[Instrument, ...]:
    """An index, a call and a put on it."""
    index = Instrument(
        id=INDEX,
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
    return index, _option(40_001, OptionType.CALL), _option(40_002, OptionType.PUT)


def _option(number: int, kind: OptionType) -> Instrument:
    return Instrument(
        id=instrument_id(Segment.NSE_FNO, number),
        segment=Segment.NSE_FNO,
        security_id=number,
        symbol=f"NIFTY 25 Nov 26000 {kind}",
        exchange=Exchange.NSE,
        kind=Kind.OPTION,
        underlying="NIFTY",
        lot_size=65,
        price_step_paise=5,
        freeze_quantity=1_756,
        expiry="2026-11-25",
        strike_paise=26_000_00,
        option_type=kind,
    )


def signal(face: str, direction: Direction) -> Signal:
    """The opinion at the close of the candle that began at `face`."""
    return Signal(
        id=f"supertrend|{INDEX}|{at(face)}|{direction}",
        strategy="supertrend",
        underlying=INDEX,
        direction=direction,
        candle_start_ns=at(face),
        reason=f"the trend turned {direction}",
        values={"close": 26_012.35, "supertrend": 25_990.5, "adx": 24.25},
    )


def intent(number: int, of: Signal, instrument: InstrumentId) -> Intent:
    """130 contracts at 150.75 at worst; lost at the stop's limit: 4,153.50 and 65.51 of charges."""
    return Intent(
        position=number,
        signal=of,
        instrument=instrument,
        product=Product.INTRADAY,
        side=Side.BUY,
        quantity=130,
        limit_paise=150_75,
        plan=ExitPlan(
            stop_paise=132_00,
            target_paise=187_50,
            trail=Trail(arm_paise=162_00, giveback_bps=600),
            close_out_ns=at("15:15:00"),
        ),
        sizing=Sizing(
            lots=2,
            lot_size=65,
            budget_paise=5_000_00,
            entry_limit_paise=150_75,
            stop_limit_paise=118_80,
            charges_paise=65_51,
            loss_at_stop_paise=4_219_01,
            cash_paise=500_000_00,
            bound="risk",
        ),
        passed=(
            Passed(gate="halted", values={"level": "none"}),
            Passed(gate="spread", values={"spread_bps": 50, "max_bps": 200}),
        ),
    )


def terms(
    instrument: InstrumentId, side: Side, limit_paise: int, trigger_paise: int | None = None
) -> OrderTerms:
    """130 contracts; a trigger makes it a stop."""
    return OrderTerms(
        instrument=instrument,
        product=Product.INTRADAY,
        side=side,
        order_type=OrderType.LIMIT if trigger_paise is None else OrderType.STOP_LIMIT,
        quantity=130,
        limit_paise=limit_paise,
        trigger_paise=trigger_paise,
    )


def row(
    order_id: OrderId,
    status: BrokerStatus,
    asked: OrderTerms,
    venue: str,
    *,
    filled_at: int | None = None,
) -> OrderRow:
    """The broker's word; `filled_at` is the price in paise of all 130 contracts."""
    filled = 0 if filled_at is None else 130
    return OrderRow(
        order_id=order_id,
        broker_id=BrokerOrderId(f"B{order_id[-9:]}"),
        status=status,
        terms=asked,
        filled_quantity=filled,
        filled_value_paise=filled * (filled_at or 0),
        venue_at_ns=at(venue),
    )


def beginning() -> Diary:
    """A start, the master, and a tape of 2,500 ticks."""
    diary = Diary()
    diary.add(
        Restarted(
            at_ns=at("09:05:00"),
            day="2026-11-20",
            code_version="0.1.0",
            config_sha256="4dad86d43bfd16306b12385d6d85e3fa",
            libraries=("TA-Lib 0.8.2",),
        )
    )
    diary.add(InstrumentsLoaded(at_ns=at("09:05:00"), sha256="00", instruments=instruments()))
    for kind, count in (("candles", 375), ("ticks", 2_500)):
        diary.add(
            TapeRange(
                at_ns=at("09:15:00"),
                first=10_000,
                last=20_000,
                count=count,
                sha256="00",
                segment=f"2026-11-20/{kind}-0001",
            )
        )
    return diary


def closed(number: int, rule: str, out: str, *, exit_paise: int, opened: str) -> PositionClosed:
    """130 contracts bought at 150.20 and sold at `exit_paise`."""
    gross = 130 * (exit_paise - 150_20)
    return PositionClosed(
        position=number,
        rule=rule,
        quantity=130,
        entry_value_paise=130 * 150_20,
        exit_value_paise=130 * exit_paise,
        gross_paise=gross,
        charges=CHARGES,
        net_paise=gross - sum(CHARGES.values()),
        opened_at_ns=at(opened),
        closed_at_ns=at(out),
        unprotected_ns=250_000_000,
        without_stop_ns=1_500_000_000,
    )


def corrected(*, is_over: bool = True) -> FillsCorrected:
    """The trade book: the first trade's 130 contracts were bought for 1.30 rupees more in all."""
    gross = 130 * (187_50 - 150_21)
    return FillsCorrected(
        position=1,
        order_id=order("E0001-1-0"),
        side=Side.BUY,
        quantity=130,
        value_paise=130 * 150_21,
        by_paise=130,
        entry_value_paise=130 * 150_21,
        exit_value_paise=130 * 187_50 if is_over else 0,
        gross_paise=gross if is_over else None,
        charges=CHARGES if is_over else None,
        net_paise=gross - sum(CHARGES.values()) if is_over else None,
    )


def resumed() -> PositionResumed:
    """A call that was bought two days before, as today begins with it."""
    heard = signal("09:30:00", Direction.UP)
    return PositionResumed(
        intent=intent(1, heard, CALL),
        day="2026-11-19",
        earlier=3,
        opened_day="2026-11-18",
        opened_at_ns=at("09:31:00") - 2 * 86_400 * 1_000_000_000,
        quantity=130,
        cost_paise=130 * 150_20,
        stop_paise=140_00,
        peak_paise=160_00,
    )


def first_trade(diary: Diary) -> None:
    """A call, bought at 09:31 and sold at its target at 09:40."""
    entry, stop = order("E0001-1-0"), order("S0001-1-0")
    heard = signal("09:30:00", Direction.UP)
    bid = terms(CALL, Side.BUY, 150_75)
    rest = terms(CALL, Side.SELL, 118_80, 132_00)
    sale = terms(CALL, Side.SELL, 187_00)
    diary.decided(
        "09:31:01.500",
        SignalSeen(signal=heard),
        IntentFormed(intent=intent(1, heard, CALL)),
        commands=(
            PlaceOrder(order_id=entry, purpose=Purpose.ENTRY, position=1, terms=bid, fills_seen=0),
        ),
    )
    diary.add(
        OrderAcknowledged(
            at_ns=at("09:31:01.560"), order_id=entry, broker_id=BrokerOrderId("B0001-1-0")
        )
    )
    bought = row(entry, BrokerStatus.FILLED, bid, "09:31:01", filled_at=150_20)
    diary.add(OrderUpdated(at_ns=at("09:31:01.700"), row=bought))
    diary.decided(
        "09:31:01.700",
        EntryFilled(position=1, order_id=entry, quantity=130, value_paise=130 * 150_20),
        PositionOpened(position=1, instrument=CALL, venue_at_ns=at("09:31:01")),
        commands=(
            PlaceOrder(order_id=stop, purpose=Purpose.STOP, position=1, terms=rest, fills_seen=1),
        ),
    )
    resting = OrderUpdated(
        at_ns=at("09:31:02"), row=row(stop, BrokerStatus.WORKING, rest, "09:31:02")
    )
    diary.add(resting)
    diary.decided(
        "09:31:02",
        ProtectionVerified(
            position=1, order_id=stop, quantity=130, trigger_paise=132_00, limit_paise=118_80
        ),
        commands=(FindOrder(order_id=stop),),
    )
    diary.add(resting)
    diary.decided(
        "09:40:00.100",
        ExitDecided(
            position=1, exit=Exit(rule="take_profit", level_paise=187_50, price_paise=187_55)
        ),
        commands=(ModifyOrder(order_id=stop, broker_id=BrokerOrderId("B2"), terms=sale),),
    )
    sold = row(stop, BrokerStatus.FILLED, sale, "09:40:00", filled_at=187_50)
    diary.add(OrderUpdated(at_ns=at("09:40:00.300"), row=sold))
    diary.decided(
        "09:40:00.300",
        closed(1, "take_profit", "09:40:00", exit_paise=187_50, opened="09:31:01"),
    )


def denied_signal(diary: Diary) -> None:
    """A second one in the same direction, a minute later."""
    heard = signal("09:41:00", Direction.UP)
    denial = Denial(gate="cooldown", values={"wanted_s": 300, "age_s": 121})
    diary.decided("09:42:01.500", SignalSeen(signal=heard), Denied(signal=heard, denial=denial))


def second_trade(diary: Diary) -> None:
    """A put at 10:00, an outage of 74 s while it is held, out by its trailing stop at 10:30."""
    entry = order("E0002-1-0")
    heard = signal("09:59:00", Direction.DOWN)
    bid = terms(PUT, Side.BUY, 150_75)
    diary.decided(
        "10:00:01.500",
        SignalSeen(signal=heard),
        IntentFormed(intent=intent(2, heard, PUT)),
        commands=(
            PlaceOrder(order_id=entry, purpose=Purpose.ENTRY, position=2, terms=bid, fills_seen=0),
        ),
    )
    diary.decided(
        "10:00:02",
        EntryFilled(position=2, order_id=entry, quantity=130, value_paise=130 * 150_20),
        PositionOpened(position=2, instrument=PUT, venue_at_ns=at("10:00:02")),
    )
    diary.decided(
        "10:10:01.900",
        QuotesStale(instrument=None, since_ns=at("10:10:00"), reason="silent", held=(2,)),
        EntriesBlocked(term="feed", values={"exchange": "NSE", "fault": "silent"}),
        QuotesStale(instrument=PUT, since_ns=at("10:10:01.900"), reason="silent", held=(2,)),
        StalePolicyActed(position=2, action="alarmed", values={"fault": "silent"}),
    )
    diary.decided("10:11:14", QuotesFresh(instrument=None, after_ns=74_000_000_000))
    diary.decided(
        "10:11:14.500",
        QuotesFresh(instrument=PUT, after_ns=72_600_000_000),
        EntriesBlocked(term=None, values={}),
    )
    diary.decided("10:20:00", LevelMoved(position=2, peak_paise=170_00, stop_paise=159_80))
    diary.decided("10:25:00", ProtectionLost(position=2, reason="stop is cancelled"))
    diary.decided(
        "10:30:00",
        ExitDecided(
            position=2,
            exit=Exit(
                rule="trailing_stop",
                level_paise=159_80,
                price_paise=159_75,
                values={"peak_paise": 170_00},
            ),
        ),
    )
    diary.decided(
        "10:30:00.200",
        closed(2, "trailing_stop", "10:30:00", exit_paise=150_00, opened="10:00:02"),
    )


def unfilled_entry(diary: Diary) -> None:
    """Refused by the broker at 11:00: no position came of it."""
    entry = order("E0003-1-0")
    heard = signal("10:59:00", Direction.UP)
    bid = terms(CALL, Side.BUY, 150_75)
    diary.decided(
        "11:00:01.500",
        SignalSeen(signal=heard),
        IntentFormed(intent=intent(3, heard, CALL)),
        commands=(
            PlaceOrder(order_id=entry, purpose=Purpose.ENTRY, position=3, terms=bid, fills_seen=0),
        ),
    )
    diary.add(
        SendFailed(
            at_ns=at("11:00:01.600"),
            order_id=entry,
            action=Action.PLACE,
            outcome=Outcome.REFUSED,
            refusal=Refusal.FUNDS,
        )
    )
    diary.decided("11:00:01.600", EntryEnded(position=3, order_id=entry, reason="rejected: funds"))


def incidents(diary: Diary) -> None:
    """Two anomalies of one kind, a rule that failed, a halt."""
    for face in ("11:10:00", "11:11:00"):
        diary.decided(face, Anomaly(what="late trade", values={"age_ms": 1_800}))
    diary.decided("11:20:00", RuleFailed(name="take_profit", position=None, error="ValueError: x"))
    diary.decided("11:20:00.100", Halted(level=HaltLevel.PAUSE, reason="a rule failed"))


def a_day() -> list[tuple[int, Record]]:
    """All of it."""
    diary = beginning()
    for part in (first_trade, denied_signal, second_trade, unfilled_entry, incidents):
        part(diary)
    return diary.records
