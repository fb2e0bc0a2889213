"""The engine, told by hand: entries, stops, exits, in the order in which they must happen."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from holdfast.core.engine import Engine
from holdfast.core.settings import SECOND_NS, LimitSettings
from holdfast.core.strategy import Opinion, Warmup
from holdfast.domain.audit import (
    Anomaly,
    Denied,
    EntriesBlocked,
    EntryEnded,
    EntryFilled,
    ExitDecided,
    Halted,
    IntentFormed,
    LevelMoved,
    PositionClosed,
    PositionOpened,
    ProtectionLost,
    ProtectionVerified,
    QuotesFresh,
    QuotesStale,
    RuleFailed,
    SignalSeen,
    StalePolicyActed,
)
from holdfast.domain.command import (
    CancelOrder,
    FindOrder,
    ModifyOrder,
    Notify,
    PlaceOrder,
    ReadQuotes,
    Severity,
)
from holdfast.domain.decision import Direction, HaltLevel
from holdfast.domain.event import (
    Action,
    CandleLoaded,
    FactsLoaded,
    InstrumentsLoaded,
    OperatorRequest,
    Outcome,
    ProjectionDiffers,
    QuotesRead,
    TimerFired,
)
from holdfast.domain.instrument import InstrumentId, OptionType, Product, Segment, instrument_id
from holdfast.domain.market import Candle, Tick
from holdfast.domain.order import BrokerStatus, OrderTerms, OrderType, Purpose, Refusal, Side
from tests.support.desk import (
    CALL,
    CLOSE,
    FACTS,
    NIFTY,
    OPEN,
    PUT,
    SECOND,
    SESSION,
    Desk,
    option,
    settings,
)


def closed(desk: Desk, order: PlaceOrder, price: float) -> PositionClosed:
    """The exchange fills what the engine last asked of `order`; the position's end."""
    modified = [c for c in desk.all(ModifyOrder) if c.order_id == order.order_id]
    terms = modified[-1].terms if modified else order.terms
    desk.row(order.order_id, BrokerStatus.FILLED, terms=terms, filled=terms.quantity, price=price)
    return desk.told(PositionClosed)[-1]


def minute_of_history(number: int) -> Candle:
    """A minute of the day before, counted from its opening."""
    start_ns = OPEN - 86_400 * SECOND + number * 60 * SECOND
    return Candle(instrument=NIFTY.id, interval_s=60, start_ns=start_ns, open_paise=1,
                  high_paise=1, low_paise=1, close_paise=1)  # fmt: skip


# -- the way in


@pytest.mark.proves("ENT-1", "ENT-2", "ENT-3", "ENT-4", "TRK-1", "I-52")
def test_a_signal_becomes_an_order_and_then_a_protected_position() -> None:
    """One path: signal, intent with stop and target, order, fill, position, resting stop."""
    desk = Desk()
    entry = desk.enter()
    [intent] = [audit.intent for audit in desk.told(IntentFormed)]
    assert intent.plan.stop_paise < entry.terms.limit_paise < (intent.plan.target_paise or 0)
    assert (entry.purpose, entry.terms.side, entry.terms.quantity) == (Purpose.ENTRY, Side.BUY, 195)
    assert desk.told(PositionOpened) == []
    desk.acknowledge(entry.order_id)
    assert desk.told(PositionOpened) == [], "an acknowledgement is no fill"
    desk.fill(entry)
    assert [a.position for a in desk.told(PositionOpened)] == [1]
    assert [a.quantity for a in desk.told(EntryFilled)] == [195]
    stop = desk.last(PlaceOrder)
    assert stop.terms.order_type is OrderType.STOP_LIMIT
    assert (stop.terms.side, stop.terms.quantity) == (Side.SELL, 195)
    assert stop.terms.trigger_paise == intent.plan.stop_paise
    assert stop.terms.product is Product.INTRADAY
    desk.acknowledge(stop.order_id)
    assert desk.told(ProtectionVerified) == [], "an acknowledgement is no evidence"
    desk.row(stop.order_id, terms=stop.terms)
    assert [a.order_id for a in desk.told(ProtectionVerified)] == [stop.order_id]


def test_each_signal_ends_in_exactly_one_outcome() -> None:
    """Two signals, one entered, one denied: nothing vanishes."""
    desk = Desk()
    desk.enter(minute=1)
    desk.signal(Direction.UP, minute=1)
    desk.ask_operator(OperatorRequest.PAUSE)
    desk.signal(Direction.DOWN, minute=2)
    seen = [a.signal.id for a in desk.told(SignalSeen)]
    ended = [a.intent.signal.id for a in desk.told(IntentFormed)]
    ended += [a.signal.id for a in desk.told(Denied)]
    assert len(seen) == 2
    assert sorted(seen) == sorted(ended)


def test_direction_chooses_the_option_and_only_that() -> None:
    """UP buys the call, DOWN buys the put; both are long."""
    for direction, contract in ((Direction.UP, CALL), (Direction.DOWN, PUT)):
        desk = Desk()
        desk.signal(direction)
        entry = desk.last(PlaceOrder)
        assert (entry.terms.instrument, entry.terms.side) == (contract.id, Side.BUY)


@pytest.mark.proves("T18")
@pytest.mark.parametrize("wrong", [73_500.0, 0.0])
def test_an_index_at_a_price_that_cannot_be_names_no_strike_and_forms_no_candle(
    wrong: float,
) -> None:
    """Three times the index would choose the last strike of the list, and bend every average."""
    desk = Desk()
    far = option(40_003, 30_000, OptionType.CALL)
    desk.tell(InstrumentsLoaded(at_ns=desk.now, sha256="", instruments=(NIFTY, CALL, PUT, far)))
    desk.at(58).spot()
    desk.spot(wrong)
    desk.tick()
    desk.tick(far)
    desk.parrot.say = Direction.UP
    desk.at(60.5).tick()
    desk.tick(far)
    desk.spot(wrong)
    desk.at(61.6)
    told = [one.values for one in desk.told(Anomaly)]
    assert told == [{"instrument": NIFTY.id, "paise": round(wrong * 100), "after": 2_450_000}]
    [signal] = [told.signal for told in desk.told(SignalSeen)]
    assert signal.values["close"] == 24_500
    assert desk.last(PlaceOrder).terms.instrument == CALL.id


def test_partial_fills_grow_the_stop_with_them() -> None:
    """The stop covers what is filled, is modified to the new total, and never placed twice."""
    desk = Desk()
    entry = desk.enter()
    desk.acknowledge(entry.order_id)
    desk.fill(entry, quantity=65)
    stop = desk.last(PlaceOrder)
    assert stop.terms.quantity == 65
    desk.fill(entry, quantity=130)
    assert len(desk.all(PlaceOrder)) == 2, "the first stop has no number yet: wait"
    desk.acknowledge(stop.order_id)
    assert desk.last(ModifyOrder).terms.quantity == 130
    desk.fill(entry, quantity=195)
    desk.row(stop.order_id, terms=desk.last(ModifyOrder).terms)
    assert desk.last(ModifyOrder).terms.quantity == 195
    assert desk.told(ProtectionVerified) == [], "130 resting do not protect 195"
    desk.row(stop.order_id, terms=desk.last(ModifyOrder).terms)
    assert desk.told(ProtectionVerified)[-1].quantity == 195


def test_what_an_entry_did_not_fill_in_its_life_is_cancelled() -> None:
    """After five seconds the remainder goes; the part that filled stays protected."""
    desk = Desk()
    entry = desk.enter()
    desk.acknowledge(entry.order_id)
    desk.fill(entry, quantity=65)
    desk.at(66)
    assert [c.order_id for c in desk.all(CancelOrder)] == [entry.order_id]
    desk.row(entry.order_id, BrokerStatus.CANCELLED, terms=entry.terms, filled=65, price=100.05)
    assert isinstance(desk.commands[-1], FindOrder), "an end word in flight is a question (T15)"
    desk.row(entry.order_id, BrokerStatus.CANCELLED, terms=entry.terms, filled=65, price=100.05,
             is_read=True)  # fmt: skip
    desk.at(120)
    assert len(desk.all(CancelOrder)) == 1
    assert desk.engine.open_positions == 1


@pytest.mark.proves("I-52")
def test_an_entry_without_any_fill_leaves_no_position() -> None:
    """Refused, the position never came to be, and the next signal may enter."""
    desk = Desk()
    entry = desk.enter()
    desk.fail(entry.order_id, Action.PLACE, Outcome.REFUSED, Refusal.FUNDS)
    assert [a.position for a in desk.told(EntryEnded)] == [1]
    assert desk.engine.open_positions == 0
    second = desk.enter(minute=3)
    assert second.order_id != entry.order_id


@pytest.mark.proves("T3", "I-45", "ORT-7", "RACE-8")
def test_an_unanswered_placement_is_looked_for_and_never_sent_again() -> None:
    """Unknown ends on evidence: find, find, find; then the row shows a fill and it is protected."""
    desk = Desk()
    entry = desk.enter()
    desk.forget()
    desk.fail(entry.order_id, Action.PLACE, Outcome.UNANSWERED)
    desk.at(64)
    assert desk.all(PlaceOrder) == []
    assert len(desk.all(FindOrder)) >= 3
    desk.row(entry.order_id, BrokerStatus.FILLED, terms=entry.terms, filled=195, price=100.05,
             is_read=True)  # fmt: skip
    assert desk.last(PlaceOrder).purpose is Purpose.STOP


def test_an_update_that_overtakes_the_answer_is_not_lost() -> None:
    """The fill comes before the acknowledgement; both end in the same position."""
    desk = Desk()
    entry = desk.enter()
    desk.fill(entry)
    desk.acknowledge(entry.order_id)
    desk.fill(entry)
    assert desk.engine.open_positions == 1
    assert len(desk.told(PositionOpened)) == 1
    assert len(desk.all(PlaceOrder)) == 2


# -- the way out


@pytest.mark.proves("EXE-1", "RSK-2", "RSK-3", "I-02")
def test_a_touched_stop_modifies_the_resting_order_into_the_exit() -> None:
    """The price trades at the stop: one closing order, no second one, closed by its fill."""
    desk = Desk()
    stop = desk.hold()
    desk.forget()
    desk.breach(70)
    [decided] = desk.told(ExitDecided)
    assert (decided.exit.rule, decided.exit.level_paise, decided.exit.price_paise) == (
        "stop_loss", 8_800, 8_800)  # fmt: skip
    [change] = desk.all(ModifyOrder)
    assert change.order_id == stop.order_id
    assert (change.terms.order_type, change.terms.limit_paise) == (OrderType.LIMIT, 8_790)
    assert change.terms.trigger_paise is None
    assert desk.all(PlaceOrder) == []
    assert desk.told(PositionClosed) == [], "asked is not done"
    end = closed(desk, stop, 87.90)
    # sold 195 at 87.90, bought at 100.05
    assert (end.rule, end.gross_paise) == ("stop_loss", 195 * (8_790 - 10_005))
    assert end.net_paise == end.gross_paise - sum(end.charges.values())
    assert desk.engine.open_positions == 0


@pytest.mark.proves("I-06", "T18")
def test_a_target_is_touched_by_the_bid_only() -> None:
    """A trade at the target sells nothing; a bid there does."""
    desk = Desk()
    stop = desk.hold()
    desk.at(70).tick(last=125.2, bid=124.9, ask=125.3)
    assert desk.told(ExitDecided) == []
    desk.at(71).tick(last=125.0, bid=125.1, ask=125.4)
    [decided] = desk.told(ExitDecided)
    assert (decided.exit.rule, decided.exit.price_paise) == ("take_profit", 12_510)
    assert closed(desk, stop, 125.1).rule == "take_profit"


@pytest.mark.proves("I-130")
def test_a_trailing_stop_follows_the_peak_and_closes_from_it() -> None:
    """Armed at +8 % of the ask, six percent behind the best bid, moved at the broker too."""
    desk = Desk()
    stop = desk.hold()
    desk.forget()
    desk.at(70).tick(last=110.0, bid=110.0, ask=110.1)
    [moved] = desk.told(LevelMoved)
    assert (moved.peak_paise, moved.stop_paise) == (11_000, 10_340)
    [change] = desk.all(ModifyOrder)
    assert change.terms.trigger_paise == 10_340
    desk.row(stop.order_id, terms=change.terms)
    desk.at(71).tick(last=111.0, bid=111.0, ask=111.1)
    assert len(desk.all(ModifyOrder)) == 1, "throttled: five seconds between moves"
    desk.at(74).tick(last=104.0, bid=104.0, ask=104.1)
    [decided] = desk.told(ExitDecided)
    assert (decided.exit.rule, decided.exit.level_paise) == ("trailing_stop", 10_430)


def test_the_close_out_needs_no_tick() -> None:
    """At 15:15 the position is closed although nothing arrives."""
    desk = Desk()
    stop = desk.hold()
    desk.forget()
    desk.at(6 * 3600 - 1)
    assert [a.exit.rule for a in desk.told(ExitDecided)] == []
    desk.at(6 * 3600)
    assert [a.exit.rule for a in desk.told(ExitDecided)] == ["close_out"]
    assert desk.last(ModifyOrder).order_id == stop.order_id


@pytest.mark.proves("T17")
def test_a_daily_loss_closes_everything_once_two_fresh_packets_confirm_it() -> None:
    """One packet is not believed; the same half a second later is (T17)."""
    desk = Desk(limits=LimitSettings(loss_per_day_paise_max=150_000))
    desk.hold()
    desk.forget()
    # 195 x (91 - 100.05) rupees = -1,764.75, above the stop at 88
    desk.at(70).tick(last=91.0, bid=91.0, ask=91.1)
    assert desk.told(ExitDecided) == []
    desk.at(70.3).tick(last=91.0, bid=91.0, ask=91.1)
    assert desk.told(ExitDecided) == []
    desk.at(70.8).tick(last=91.0, bid=91.0, ask=91.1)
    assert [a.level for a in desk.told(Halted)] == [HaltLevel.PAUSE]
    assert [a.exit.rule for a in desk.told(ExitDecided)] == ["daily_loss"]
    desk.ask_operator(OperatorRequest.RESUME)
    desk.signal(Direction.DOWN, minute=3)
    assert desk.told(Denied)[-1].denial.values["term"] == "daily_loss"


@pytest.mark.proves("T17")
def test_a_breach_that_goes_away_sells_nothing() -> None:
    """A phantom quote for one packet flattens nobody."""
    desk = Desk(limits=LimitSettings(loss_per_day_paise_max=150_000))
    desk.hold()
    desk.at(70).tick(last=95.0, bid=89.0, ask=95.1)
    desk.at(70.3).tick(last=95.0, bid=95.0, ask=95.1)
    desk.at(75).tick(last=95.0, bid=89.0, ask=95.1)
    desk.at(75.2).tick(last=95.0, bid=95.0, ask=95.1)
    desk.at(78)
    assert desk.told(ExitDecided) == []


@pytest.mark.parametrize("request_", [OperatorRequest.FLATTEN, OperatorRequest.PANIC])
def test_flatten_and_panic_close_every_position_at_once(request_: OperatorRequest) -> None:
    """The kill switch is the first rule; entries stop with it."""
    desk = Desk()
    stop = desk.hold()
    desk.forget()
    desk.ask_operator(request_)
    assert [a.exit.rule for a in desk.told(ExitDecided)] == ["kill_switch"]
    assert desk.last(ModifyOrder).order_id == stop.order_id


def test_one_position_can_be_closed_by_hand() -> None:
    """CLOSE names a position; a wrong number is said and changes nothing."""
    desk = Desk()
    stop = desk.hold()
    desk.ask_operator(OperatorRequest.CLOSE, position=7)
    assert desk.told(ExitDecided) == []
    assert "no such open position" in desk.told(Anomaly)[-1].what
    desk.ask_operator(OperatorRequest.CLOSE, position=1)
    assert desk.told(ExitDecided)[-1].exit.rule == "operator"
    assert closed(desk, stop, 99.0).rule == "operator"


def test_an_exit_is_priced_deeper_until_it_fills() -> None:
    """Touch, 0.5, 1, 2, 5 percent through it, the band's edge; after 1, 1, 2, 3, 5 seconds."""
    desk = Desk()
    stop = desk.hold()
    desk.breach(70)
    prices: list[tuple[float, int]] = []
    for second in range(700, 900):
        desk.at(second / 10)
        if second % 10 == 0:
            desk.tick(last=88.0, bid=87.9, ask=88.1)
        change = desk.last(ModifyOrder)
        if not prices or prices[-1][1] != change.terms.limit_paise:
            prices.append((second / 10, change.terms.limit_paise))
            desk.row(stop.order_id, terms=change.terms)
    times = [at for at, _ in prices]
    assert times == [70.0, 71.0, 72.0, 74.0, 77.0, 82.0]
    # 87.90; less 0.5 % = 87.46 -> 87.50 on the step, 1 %, 2 %, 5 %; the edge: 0.6 x 100 rupees
    assert [p for _, p in prices] == [8_790, 8_750, 8_705, 8_615, 8_355, 6_000]
    assert len(desk.all(PlaceOrder)) == 2


def test_a_stop_that_triggered_at_the_exchange_is_the_exit() -> None:
    """The row shows LIMIT: the rule is the stop, its remainder is priced on, nothing is placed."""
    desk = Desk()
    stop = desk.hold()
    desk.forget()
    limit = OrderTerms(
        instrument=CALL.id, product=Product.INTRADAY, side=Side.SELL, order_type=OrderType.LIMIT,
        quantity=195, limit_paise=stop.terms.limit_paise,
    )  # fmt: skip
    desk.at(70).row(stop.order_id, BrokerStatus.TRIGGERED, terms=limit, filled=65, price=87.5)
    assert [a.exit.rule for a in desk.told(ExitDecided)] == ["stop_loss"]
    assert desk.all(ModifyOrder) == []
    desk.at(70.9).tick(last=87.0, bid=86.9, ask=87.1)
    desk.at(71.1)
    change = desk.last(ModifyOrder)
    assert (change.terms.quantity, change.terms.limit_paise) == (195, 8_650)
    assert desk.all(PlaceOrder) == []
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=change.terms, filled=195, price=86.9)
    assert desk.told(PositionClosed)[-1].rule == "stop_loss"


def test_a_stop_refused_at_its_trigger_is_an_exit_in_the_same_step() -> None:
    """Read back and resting, it died in the band at the trigger: the next attempt leaves at once."""
    desk = Desk()
    stop = desk.hold()
    desk.at(70).tick(last=89.0, bid=87.0, ask=91.0)
    desk.forget()
    desk.row(stop.order_id, BrokerStatus.REJECTED, terms=stop.terms, refusal=Refusal.BAND,
             reason="price out of range")  # fmt: skip
    placed = desk.last(PlaceOrder)
    assert (placed.purpose, placed.terms.order_type) == (Purpose.EXIT, OrderType.LIMIT)
    assert [a.exit.rule for a in desk.told(ExitDecided)] == ["stop_loss"]


def test_a_stop_that_vanishes_far_from_its_level_is_placed_again() -> None:
    """Cancelled by somebody at a good price: protection is lost, said so, and restored."""
    desk = Desk()
    stop = desk.hold()
    desk.at(70).tick()
    desk.forget()
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=stop.terms)
    assert len(desk.told(ProtectionLost)) == 1
    assert desk.all(PlaceOrder) == []
    desk.at(71.1).tick()
    again = desk.last(PlaceOrder)
    assert again.purpose is Purpose.STOP
    assert again.order_id != stop.order_id


def test_a_stop_placed_beyond_the_price_is_a_breach_not_a_failure() -> None:
    """The broker refuses the trigger because the price is through it: exit now (T13)."""
    desk = Desk()
    stop = desk.hold(stop_rests=False)
    desk.forget()
    desk.fail(stop.order_id, Action.PLACE, Outcome.REFUSED, Refusal.BEYOND_TRIGGER)
    assert desk.told(ExitDecided)[-1].exit.rule == "stop_loss"
    assert desk.last(PlaceOrder).purpose is Purpose.EXIT


def test_a_refused_modification_is_followed_by_cancel_evidence_place() -> None:
    """The old order stands until it is known dead; only then the exit is placed anew."""
    desk = Desk()
    stop = desk.hold()
    desk.breach(70)
    desk.forget()
    desk.fail(stop.order_id, Action.MODIFY, Outcome.REFUSED, Refusal.OTHER)
    assert [c.order_id for c in desk.all(CancelOrder)] == [stop.order_id]
    assert desk.all(PlaceOrder) == []
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=stop.terms)
    assert desk.all(PlaceOrder) == [], "the word is a question until the row is read"
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=stop.terms, is_read=True)
    assert desk.last(PlaceOrder).purpose is Purpose.EXIT


def test_a_modification_that_nobody_sees_is_repeated_and_then_given_up() -> None:
    """Read at 1 s, repeated at 2 s, cancelled at 4 s; and replacing is the way for the day (T2)."""
    desk = Desk()
    stop = desk.hold()
    desk.breach(70)
    assert len(desk.all(ModifyOrder)) == 1
    desk.forget()
    desk.at(71)
    assert len(desk.all(FindOrder)) == 1
    desk.at(72.1)
    assert len(desk.all(ModifyOrder)) == 1
    desk.at(74.6)
    assert [c.order_id for c in desk.all(CancelOrder)] == [stop.order_id]
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=stop.terms, is_read=True)
    assert desk.last(PlaceOrder).purpose is Purpose.EXIT


def test_the_fill_of_a_dying_exit_counts_and_only_the_rest_is_sold_again() -> None:
    """Cancelled after a partial fill: the next attempt sells what is still held."""
    desk = Desk()
    stop = desk.hold()
    desk.breach(70)
    terms = desk.last(ModifyOrder).terms
    desk.row(stop.order_id, terms=terms, filled=65, price=87.9)
    desk.row(stop.order_id, BrokerStatus.CANCELLED, terms=terms, filled=130, price=87.9)
    again = desk.last(PlaceOrder)
    assert (again.purpose, again.terms.quantity) == (Purpose.EXIT, 65)


def test_an_exit_cancels_the_entrys_remainder_first() -> None:
    """The cancel leaves before the closing order, in the same step (T6)."""
    desk = Desk()
    entry = desk.enter()
    desk.acknowledge(entry.order_id)
    desk.fill(entry, quantity=65)
    stop = desk.last(PlaceOrder)
    desk.acknowledge(stop.order_id)
    desk.row(stop.order_id, terms=stop.terms)
    desk.forget()
    desk.breach(62)
    sent = [c for c in desk.commands if not isinstance(c, FindOrder)]
    kinds = [(type(c), getattr(c, "order_id", "")) for c in sent[:2]]
    assert kinds == [(CancelOrder, entry.order_id), (ModifyOrder, stop.order_id)]
    desk.fill(entry, quantity=130)
    desk.row(stop.order_id, terms=desk.last(ModifyOrder).terms)
    assert desk.last(ModifyOrder).terms.quantity == 130, "it grows with late fills"


def test_repeated_and_reordered_updates_change_nothing() -> None:
    """Every word twice, and an old one last: one position, one closing, the same money."""
    desk = Desk()
    entry = desk.enter()
    desk.acknowledge(entry.order_id)
    for quantity in (65, 65, 195, 65, 195):
        desk.fill(entry, quantity=quantity)
    stop = desk.last(PlaceOrder)
    desk.acknowledge(stop.order_id)
    desk.row(stop.order_id, terms=stop.terms)
    desk.breach(70)
    end = closed(desk, stop, 87.9)
    closed(desk, stop, 87.9)
    assert len(desk.told(PositionClosed)) == 1
    assert end.entry_value_paise == 195 * 10_005


# -- halts, faults, silence


def test_a_halt_cancels_entries_that_wait() -> None:
    """Every halt level takes back what has not filled yet."""
    desk = Desk()
    entry = desk.enter()
    desk.acknowledge(entry.order_id)
    desk.ask_operator(OperatorRequest.PAUSE)
    assert desk.last(CancelOrder).order_id == entry.order_id


def test_a_strategy_that_raises_is_parked_alone() -> None:
    """Its fault is told, it is asked no more, and exits go on."""
    desk = Desk()
    desk.hold()
    desk.parrot.fault = ZeroDivisionError("a bug of the user's")
    desk.at(125).spot()
    assert [a.name for a in desk.told(RuleFailed)] == ["strategy:parrot"]
    parked = "strategy parrot parked: ZeroDivisionError: a bug of the user's"
    assert [call.text for call in desk.all(Notify) if "parked" in call.text] == [parked]
    heard = desk.parrot.heard
    desk.at(185).spot()
    assert desk.parrot.heard == heard
    desk.breach(186)
    assert desk.told(ExitDecided)[-1].exit.rule == "stop_loss"


BANK = replace(NIFTY, id=instrument_id(Segment.IDX_I, 25), security_id=25, symbol="BANKNIFTY",
               underlying="BANKNIFTY")  # fmt: skip


class Listener:
    """A strategy that notes what it hears, and says at the next tick what it was told to say."""

    def __init__(self, name: str = "listener", underlying: InstrumentId = NIFTY.id) -> None:
        self.name = name
        self.underlying = underlying
        self.hears_ticks = True
        self.say: Direction | None = None
        self.fault: Exception | None = None
        self.heard: list[Tick | Candle] = []

    def warmup(self) -> Sequence[Warmup]:
        return (Warmup(interval_s=60, candles=0),)

    def on_candle(self, candle: Candle, *, live: bool) -> Opinion | None:
        assert live
        self.heard.append(candle)
        if self.fault is not None:
            raise self.fault
        return None

    def on_tick(self, tick: Tick) -> Opinion | None:
        self.heard.append(tick)
        if self.say is None:
            return None
        direction, self.say = self.say, None
        return Opinion(direction=direction, reason="told to", values={})


def listening(*strategies: Listener) -> Desk:
    """A desk with two indices and these strategies."""
    desk = Desk(ready=False)
    desk.engine = Engine(settings(underlyings=("NIFTY", "BANKNIFTY")), strategies)
    desk.load((NIFTY, BANK, CALL, PUT))
    return desk


def test_a_strategy_hears_of_its_own_underlying_alone_and_of_nothing_once_parked() -> None:
    """Ticks and candles of another index are not its own; one that raised hears neither."""
    own, other = Listener("own", NIFTY.id), Listener("other", BANK.id)
    desk = listening(own, other)
    desk.at(10).spot()
    desk.at(70).spot()
    assert [type(heard) for heard in own.heard] == [Tick, Candle, Tick]
    assert other.heard == []
    own.fault = ZeroDivisionError("a bug of the user's")
    desk.at(130).spot()
    assert [told.name for told in desk.told(RuleFailed)] == ["strategy:own"]
    del own.heard[:]
    desk.at(190).spot()
    desk.tick(BANK, 55_000.0)
    desk.at(250)
    assert own.heard == []
    assert [type(heard) for heard in other.heard] == [Tick, Candle]


def test_what_a_strategy_says_at_a_tick_is_a_signal_of_that_instant() -> None:
    """It goes the way of every other, and the entry is its own."""
    listener = Listener()
    desk = listening(listener)
    desk.at(60).tick()
    listener.say = Direction.UP
    desk.spot()
    [signal] = [told.signal for told in desk.told(SignalSeen)]
    assert (signal.strategy, signal.candle_start_ns) == ("listener", desk.now)
    assert signal.id == f"listener|{NIFTY.id}|{desk.now}|{Direction.UP.value}"
    assert [told.intent.signal for told in desk.told(IntentFormed)] == [signal]


def test_history_asks_no_strategy_for_its_opinion() -> None:
    """It is told that the candle is none of today's, and what it would say is not yet asked."""
    desk = Desk()
    desk.parrot.say = Direction.UP
    desk.tell(CandleLoaded(at_ns=desk.now, candle=minute_of_history(0)))
    assert (desk.parrot.heard, desk.parrot.say) == (1, Direction.UP)
    assert desk.told(SignalSeen) == []


NEAR = SESSION.square_off_ns - 60 * SECOND
"""A minute before the broker begins to close by itself (T11)."""


@pytest.mark.parametrize(
    ("loaded_ns", "edges"),
    [
        (OPEN - 1, [OPEN, NEAR, CLOSE]),
        (OPEN, [OPEN, NEAR, CLOSE]),
        (OPEN + 1, [NEAR, CLOSE]),
        (CLOSE, [CLOSE]),
        (CLOSE + 1, []),
    ],
    ids=["before", "at the opening", "after it", "at the close", "after both"],
)
def test_the_engine_is_called_at_each_edge_of_the_session_that_is_to_come(
    loaded_ns: int, edges: list[int]
) -> None:
    """And before the square-off; without an instrument or a packet, in whatever minute of the day it was started."""
    engine = Engine(settings(), [])
    engine.step(FactsLoaded(at_ns=loaded_ns, sha256="f", facts=FACTS))
    found = []
    while (deadline_ns := engine.deadline_ns) is not None:
        found.append(deadline_ns)
        engine.step(TimerFired(at_ns=deadline_ns))
    assert found == edges


def test_entries_stop_two_seconds_after_the_feed_falls_silent() -> None:
    """Told at the edge, with what is held; told again when it comes back (I-66)."""
    desk = Desk()
    desk.hold()
    desk.at(70).tick()
    desk.forget()
    desk.at(80)
    [stale] = [a for a in desk.told(QuotesStale) if a.instrument is None]
    assert (stale.since_ns, stale.held) == (OPEN + 70 * SECOND, (1,))
    assert desk.told(EntriesBlocked)[0].term == "feed"
    blocked = [type(a).__name__ for a in desk.audits].index("EntriesBlocked")
    assert blocked >= 0
    desk.at(90).tick()
    assert [a.after_ns // SECOND for a in desk.told(QuotesFresh) if a.instrument is None] == [20]
    assert desk.told(EntriesBlocked)[-1].term is None
    desk.at(100)
    assert len([a for a in desk.told(QuotesStale) if a.instrument is None]) == 2


def test_a_busy_feed_that_lags_is_stale() -> None:
    """Packets every second with trades forty seconds old bar entries (T10)."""
    desk = Desk()
    desk.at(50).tick()
    for second in range(51, 60):
        desk.at(second).tick(venue_age_s=40 if second > 52 else 0)
        desk.tick(NIFTY, 24_500, venue_age_s=40 if second > 52 else 0)
    assert desk.told(QuotesStale)[-1].reason == "feed lags"
    desk.parrot.say = Direction.UP
    desk.at(62).tick(NIFTY, 24_500, venue_age_s=0.9 + 40)
    assert desk.all(PlaceOrder) == []


def test_a_stale_price_with_a_resting_stop_holds_for_a_minute_then_closes_on_a_read() -> None:
    """Alarm, ask outside the feed, hold; after 60 s close by what was read (T16)."""
    desk = Desk()
    desk.hold()
    desk.at(70).tick()
    desk.forget()
    for second in range(71, 140):
        desk.at(second)
        asked = desk.all(ReadQuotes)
        if second > 80 and asked and not desk.told(ExitDecided):
            read = Tick(at_ns=desk.now, instrument=CALL.id, last_paise=9_900,
                        venue_at_ns=desk.now, volume=10_000, bids=((9_890, 650),),
                        asks=((9_910, 650),))  # fmt: skip
            desk.tell(QuotesRead(at_ns=desk.now, quotes=(read,)))
    actions = [a.action for a in desk.told(StalePolicyActed)]
    assert actions[0] == "held by the resting stop"
    assert {"alarmed", "asked for a quote outside the feed"} <= set(actions)
    assert "asked for a quote outside the feed" in actions
    [decided] = desk.told(ExitDecided)
    assert decided.exit.rule == "stale_price"
    elapsed_ms = decided.exit.values["stale_ms"]
    assert isinstance(elapsed_ms, int)
    assert 60_000 <= elapsed_ms <= 61_000


def test_with_no_price_from_either_source_the_stop_is_left_alone() -> None:
    """Two minutes of silence sell nothing while the stop rests; the close-out still may."""
    desk = Desk()
    desk.hold()
    desk.at(70).tick()
    desk.forget()
    desk.at(200)
    assert desk.told(ExitDecided) == []
    assert "no price from either source: stop left alone" in [
        a.action for a in desk.told(StalePolicyActed)
    ]
    desk.at(6 * 3600)
    assert desk.told(ExitDecided)[-1].exit.rule == "close_out"
    # No usable price: the band's edge around the last one, 100 rupees less 40 %.
    assert desk.last(ModifyOrder).terms.limit_paise == 6_000


def test_every_position_is_looked_at_each_second_without_ticks() -> None:
    """While something is held the next deadline is never more than a second ahead."""
    desk = Desk()
    desk.hold()
    for second in range(70, 100):
        desk.at(second)
        deadline = desk.engine.deadline_ns
        assert deadline is not None
        assert deadline - desk.now <= SECOND_NS


def test_two_positions_in_one_contract_coexist() -> None:
    """Each has its own stop and its own exit; together they never sell more than is held."""
    desk = Desk()
    first = desk.hold(minute=1)
    second = desk.hold(minute=3)
    assert first.order_id != second.order_id
    desk.forget()
    desk.breach(200)
    assert [c.order_id for c in desk.all(ModifyOrder)] == [first.order_id, second.order_id]
    closed(desk, first, 87.9)
    assert desk.engine.open_positions == 1
    closed(desk, second, 87.9)
    assert desk.engine.open_positions == 0


def test_nothing_is_placed_after_the_close() -> None:
    """A stop that expires at the close is not sent into a closed market."""
    desk = Desk()
    stop = desk.hold()
    desk.at((CLOSE - OPEN) // SECOND + 1)
    desk.forget()
    desk.row(stop.order_id, BrokerStatus.EXPIRED, terms=stop.terms)
    desk.at((CLOSE - OPEN) // SECOND + 60)
    assert desk.all(PlaceOrder) == []


def test_an_order_that_is_not_ours_is_an_alarm_not_a_guess() -> None:
    """A row with an unknown id changes no book."""
    desk = Desk()
    stop = desk.hold()
    stranger = stop.order_id.__class__("SSIM001261120-S0009-1-0")
    desk.row(stranger, BrokerStatus.FILLED, terms=stop.terms, filled=195, price=90.0)
    assert desk.engine.open_positions == 1
    assert "not ours" in desk.told(Anomaly)[-1].what


def test_history_in_minutes_warms_a_strategy_of_five() -> None:
    """Two hundred minutes become forty candles; the day's own follow without a seam."""
    desk = Desk(ready=False)
    desk.parrot.warmup = lambda: (Warmup(interval_s=300, candles=0),)  # type: ignore[method-assign]
    desk.load()
    for number in range(200):
        desk.tell(CandleLoaded(at_ns=desk.now, candle=minute_of_history(number)))
    assert desk.parrot.heard == 40
    desk.at(10).spot()
    desk.at(310).spot()
    assert desk.parrot.heard == 41


def test_books_for_people_that_differ_from_what_is_traded_on_call_a_person() -> None:
    """With the first of the differences; nothing else comes of it."""
    desk = Desk()
    desk.forget()
    desk.tell(ProjectionDiffers(at_ns=desk.now, differences=("position 1 is open", "more")))
    [anomaly] = desk.told(Anomaly)
    assert (anomaly.what, anomaly.values) == ("projections differ", {"first": "position 1 is open"})
    assert [one.severity for one in desk.all(Notify)] == [Severity.ALARM]
