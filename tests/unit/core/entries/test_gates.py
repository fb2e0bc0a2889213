"""The gates, one by one, at their boundaries: what passes and what the denial says."""

from typing import Any

import msgspec
import pytest

from holdfast.core.entries.candidate import Candidate
from holdfast.core.entries.entering import consider
from holdfast.core.entries.gates import (
    GATES,
    Gate,
    contract,
    cooldown,
    daily_loss,
    entry_hours,
    fresh_quotes,
    funds,
    halted,
    one_side,
    one_signal,
    pass_gates,
    plan,
    positions_open,
    ready,
    signal_key,
    spread,
    trades_per_day,
)
from holdfast.core.settings import (
    EntrySettings,
    ExitSettings,
    FreshnessSettings,
    LimitSettings,
    SizingSettings,
)
from holdfast.core.state import Drifted, State
from holdfast.domain.audit import Denied, DriftKind, IntentFormed
from holdfast.domain.book import ForeignRow
from holdfast.domain.command import PlaceOrder
from holdfast.domain.decision import Direction, HaltLevel, Passed, Values
from holdfast.domain.event import JournalChanged, Link, LinkChanged, OperatorRequest
from holdfast.domain.instrument import (
    BrokerKey,
    InstrumentId,
    OptionType,
    Product,
)
from holdfast.domain.order import BrokerOrderId, BrokerStatus, Side
from tests.support.by_hand import NOW, SIGNAL, a_position, held, packet, ready_state
from tests.support.by_hand import plan as exit_plan
from tests.support.desk import (
    CALL,
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

OTHER = msgspec.structs.replace(option(51_001, 58_900, OptionType.CALL), underlying="BANKNIFTY")

ENTRIES = EntrySettings(start_s=9 * 3600 + 15 * 60, cooldown_s=0)


def entries(**changes: object) -> EntrySettings:
    """Entry settings of the desk with changes."""
    return msgspec.structs.replace(ENTRIES, **changes)


def outcome(desk: Desk, direction: Direction = Direction.UP, *, minute: int = 1) -> str:
    """Let a signal through the gates: the gate that denied it, or "entered"."""
    before = len(desk.told(IntentFormed))
    desk.signal(direction, minute=minute)
    if len(desk.told(IntentFormed)) > before:
        return "entered"
    return desk.told(Denied)[-1].denial.gate


def test_the_gates_are_these_in_this_order() -> None:
    """The list is the documentation; a new gate is a row here and a test below."""
    assert [gate.__name__ for gate in GATES] == [
        "halted", "ready", "drift", "one_signal", "daily_loss", "positions_open", "trades_per_day",
        "cooldown", "contract", "entry_hours", "fresh_quotes", "spread", "plan", "one_side", "funds",
    ]  # fmt: skip


def test_nothing_in_the_way_enters() -> None:
    """The desk's usual signal passes every gate, and the intent keeps what each looked at."""
    desk = Desk()
    assert outcome(desk) == "entered"
    passed = desk.told(IntentFormed)[0].intent.passed
    assert [p.gate for p in passed] == [gate.__name__ for gate in GATES]


def test_halted() -> None:
    """A pause denies, a resume lets through again."""
    desk = Desk()
    desk.ask_operator(OperatorRequest.PAUSE)
    assert outcome(desk) == "halted"
    desk.ask_operator(OperatorRequest.RESUME)
    assert outcome(desk, minute=2) == "entered"


BROKEN = [
    JournalChanged(at_ns=OPEN, is_durable=False),
    *(LinkChanged(at_ns=OPEN, link=link, is_up=False) for link in Link),
]


@pytest.mark.parametrize("event", BROKEN, ids=["journal", *(link.value for link in Link)])
def test_ready(event: JournalChanged | LinkChanged) -> None:
    """Each thing the shell says is broken denies by its term."""
    desk = Desk()
    desk.tell(event)
    assert outcome(desk) == "ready"
    term = "journal" if isinstance(event, JournalChanged) else "links"
    assert desk.told(Denied)[-1].denial.values["term"] == term


def test_one_signal_per_candle_and_side() -> None:
    """The second of one candle and side is denied; the other side of it is not."""
    desk = Desk()
    assert outcome(desk) == "entered"
    desk.parrot.say = Direction.UP
    signal = desk.told(IntentFormed)[0].intent.signal
    consider(desk.engine._state, signal)  # noqa: SLF001 a second caller, as incident I-30 had seven
    consider(desk.engine._state, msgspec.structs.replace(signal, direction=Direction.DOWN))  # noqa: SLF001
    desk.at(62)
    assert [a.denial.gate for a in desk.told(Denied)] == ["one_signal"]
    assert len(desk.told(IntentFormed)) == 2


def test_daily_loss_counts_doubtful_legs_at_their_stop() -> None:
    """A position at its entry price whose book is one-sided is counted at its stop's limit."""
    desk = Desk(limits=LimitSettings(loss_per_day_paise_max=300_000))
    desk.hold()
    assert outcome(desk, Direction.DOWN, minute=3) == "entered"
    desk = Desk(limits=LimitSettings(loss_per_day_paise_max=300_000))
    desk.hold()
    # 195 x (79.20 - 100.05) rupees is beyond 3,000 once the call's bid is gone
    desk.at(179).spot()
    desk.tick(PUT)
    desk.tick(CALL, 100.0, bid=0, ask=100.1)
    desk.parrot.say = Direction.DOWN
    desk.at(180.2).spot()
    assert desk.told(Denied)[-1].denial.gate == "daily_loss"


def test_positions_open() -> None:
    """One fewer than the maximum enters, the maximum does not; pending ones count."""
    desk = Desk(entries=entries(positions_open_max=1))
    assert outcome(desk) == "entered"
    assert outcome(desk, Direction.DOWN, minute=2) == "positions_open"


def test_trades_per_day() -> None:
    """The day's count includes what closed."""
    desk = Desk(entries=entries(trades_per_day_max=1))
    stop = desk.hold()
    desk.breach(70)
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=stop.terms, filled=195, price=87.9)
    desk.funds()
    assert outcome(desk, Direction.DOWN, minute=3) == "trades_per_day"


@pytest.mark.parametrize(("minute", "expected"), [(5, "cooldown"), (6, "entered")])
def test_cooldown(minute: int, expected: str) -> None:
    """Closed at 70 s: five minutes later the same direction may enter again, not before."""
    desk = Desk(entries=entries(cooldown_s=290))
    stop = desk.hold()
    desk.breach(70)
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=stop.terms, filled=195, price=87.9)
    desk.funds()
    assert outcome(desk, minute=minute) == expected


def test_cooldown_is_by_direction() -> None:
    """The other direction does not wait."""
    desk = Desk(entries=entries(cooldown_s=10_000))
    stop = desk.hold()
    desk.breach(70)
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=stop.terms, filled=195, price=87.9)
    desk.funds()
    assert outcome(desk, Direction.DOWN, minute=3) == "entered"


def test_contract() -> None:
    """No strike that far out is listed: no fallback to another one (I-53)."""
    desk = Desk(entries=entries(strike_offset=3))
    assert outcome(desk) == "contract"


HOURS = [(1, "entry_hours"), (2, "entered"), (4, "entered"), (5, "entry_hours")]


@pytest.mark.parametrize(("minute", "expected"), HOURS)
def test_entry_hours_are_half_open(minute: int, expected: str) -> None:
    """From 09:17 to before 09:20 here; the signal leaves 0.2 s after its minute."""
    opening = 9 * 3600 + 15 * 60
    desk = Desk(entries=entries(start_s=opening + 120, cutoff_s=opening + 300))
    assert outcome(desk, minute=minute) == expected


def test_the_cutoff_never_lies_after_the_close_out() -> None:
    """Whatever is set: what is entered must be able to leave."""
    desk = Desk(entries=entries(cutoff_s=16 * 3600))
    assert outcome(desk, minute=361) == "entry_hours"


def test_fresh_quotes() -> None:
    """The contract's own packets stopped 5 s ago while the feed goes on."""
    desk = Desk()
    desk.at(50).tick(CALL)
    for second in range(51, 60):
        desk.at(second).spot()
        desk.tick(PUT)
    desk.parrot.say = Direction.UP
    desk.at(60.2).spot()
    denial = desk.told(Denied)[-1].denial
    assert (denial.gate, denial.values["fault"]) == ("fresh_quotes", "packet old")


@pytest.mark.parametrize(
    ("bid", "ask", "expected"),
    [(99.0, 101.0, "entered"), (98.95, 101.0, "spread"), (0.0, 101.0, "spread")],
)
def test_spread(bid: float, ask: float, expected: str) -> None:
    """200 bps pass, a step more does not, a missing side does not."""
    desk = Desk()
    desk.at(59).spot()
    desk.tick(CALL, 100.0, bid=bid, ask=ask)
    desk.parrot.say = Direction.UP
    desk.at(60.2).spot()
    denied = desk.told(Denied)
    assert (denied[-1].denial.gate if denied else "entered") == expected


def test_plan() -> None:
    """A premium too small for a stop is not bought."""
    desk = Desk(entries=entries(spread_bps_max=20_000))
    desk.at(59).spot()
    desk.tick(CALL, 0.10, bid=0.05, ask=0.10)
    desk.parrot.say = Direction.UP
    desk.at(60.2).spot()
    assert desk.told(Denied)[-1].denial.gate == "plan"


def test_one_side() -> None:
    """An entry against what is held in its key would be netted away by the broker (T4)."""
    desk = Desk()
    desk.hold()
    position = desk.state.live[0]
    position.side = Side.SELL  # shorts come with a later strategy
    desk.state.over_offered.add(position.key)  # its stop is a sale all the same
    desk.at(176)  # nobody answers for that stop, but orders get through
    desk.tell(LinkChanged(at_ns=desk.now, link=Link.ORDERS, is_up=True))
    assert outcome(desk, minute=3) == "one_side"


@pytest.mark.proves("T4")
@pytest.mark.parametrize(
    ("side", "product", "gate"),
    [
        (Side.SELL, Product.INTRADAY, "one_side"),
        (Side.BUY, Product.INTRADAY, "entered"),
        (Side.SELL, Product.MARGIN, "entered"),
    ],
)
def test_nothing_is_entered_against_what_others_hold_in_its_key(
    side: Side, product: Product, gate: str
) -> None:
    """It would be missing of ours from the first fill (T4), though a person has acknowledged it."""
    desk = Desk()
    desk.at(0.1).tick()
    row = ForeignRow(
        broker_id=BrokerOrderId("77"),
        instrument=CALL.id,
        product=product,
        side=side,
        quantity=65,
        filled_quantity=65,
        is_live=False,
    )
    desk.foreign(row)
    if product is Product.INTRADAY:
        for second in (5, 10):
            desk.read_book(seconds=second, foreign=(row,))
        desk.acknowledge_drift()
    assert outcome(desk) == gate


def test_nothing_is_entered_against_what_is_missing_of_ours() -> None:
    """Nobody knows where it went: another entry there would be missing first (T4)."""
    desk = Desk()
    desk.hold()
    [position] = desk.state.live
    desk.state.extra[position.key] = -65
    assert outcome(desk, minute=2) == "one_side"


def test_funds_must_be_read_after_the_last_fill() -> None:
    """A fill makes the figure old; the next read makes it new (T19)."""
    desk = Desk()
    entry = desk.enter()
    desk.acknowledge(entry.order_id)
    desk.fill(entry)
    stop = desk.last(PlaceOrder)
    desk.acknowledge(stop.order_id)
    desk.row(stop.order_id, terms=stop.terms)
    assert outcome(desk, Direction.DOWN, minute=2) == "funds"
    desk.funds()
    assert outcome(desk, Direction.DOWN, minute=3) == "entered"


def test_sizing_denies_zero_lots() -> None:
    """The last gate of all shows its arithmetic."""
    desk = Desk(sizing=SizingSettings(capital_paise=10_000_00))
    assert outcome(desk) == "sizing"
    assert desk.told(Denied)[-1].denial.values["budget_paise"] == 10_000


def test_before_the_first_tick_nothing_is_ready() -> None:
    """An index that never spoke is no spot to choose by."""
    desk = Desk()
    desk.parrot.say = Direction.UP
    desk.at(61).tick(NIFTY, 24_500)
    assert desk.told(IntentFormed) == []
    assert desk.now > OPEN + 60 * SECOND


# -- gate by gate, on a state and a candidate made by hand


def a_candidate(**changes: object) -> Candidate:
    """A long of the call at 100.50 at most, stop 88, its limit 79.20."""
    state = ready_state()
    usual = Candidate(
        signal=SIGNAL,
        underlying=state.quote(NIFTY.id),
        instrument=CALL,
        quote=state.quote(CALL.id),
        product=Product.INTRADAY,
        side=Side.BUY,
        limit_paise=10_050,
        stop_limit_paise=7_920,
        plan=exit_plan(),
    )
    return msgspec.structs.replace(usual, **changes)


def asked(
    gate: Gate, state: State | None = None, candidate: Candidate | None = None
) -> tuple[bool, Values]:
    """Whether a gate lets through, and the figures it looked at."""
    answer = gate(state or ready_state(), candidate or a_candidate())
    assert answer.gate == gate.__name__
    return isinstance(answer, Passed), answer.values


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.__name__)
def test_every_gate_passes_the_usual_candidate(gate: Gate) -> None:
    """What is denied below is denied for the one thing that was changed."""
    assert asked(gate)[0] is True


@pytest.mark.parametrize("level", [HaltLevel.PAUSE, HaltLevel.FLATTEN, HaltLevel.PANIC])
def test_every_halt_level_denies(level: HaltLevel) -> None:
    """The denial names it."""
    state = ready_state()
    state.halt = level
    assert asked(halted, state) == (False, {"level": level.value})


def test_ready_names_the_first_failing_term_with_its_figures() -> None:
    """So that nobody has to ask again."""
    state = ready_state()
    state.journal_durable = state.rules_failed = False
    expected = {"term": "journal", "journal": "not durable"}
    assert asked(ready, state) == (False, expected)


def test_one_signal_is_of_one_underlying_candle_and_side() -> None:
    """Whoever asks with the same three is denied; any of them other, and it is another signal."""
    state = ready_state()
    state.day.signals_seen.add(signal_key(a_candidate()))
    values = {"candle_start_ns": SIGNAL.candle_start_ns, "side": "up"}
    again = msgspec.structs.replace(SIGNAL, id="other", strategy="other", reason="other")
    assert asked(one_signal, state, a_candidate(signal=again)) == (False, values)
    others: list[dict[str, object]] = [
        {"direction": Direction.DOWN},
        {"candle_start_ns": SIGNAL.candle_start_ns + 1},
        {"underlying": CALL.id},
    ]
    for other in others:
        signal = msgspec.structs.replace(SIGNAL, **other)
        assert asked(one_signal, state, a_candidate(signal=signal))[0] is True, other


@pytest.mark.parametrize(("over", "passes"), [(1, True), (0, False), (-1, False)])
def test_the_days_loss_must_stay_above_its_limit(over: int, *, passes: bool) -> None:
    """At the limit it is reached."""
    state = ready_state()
    limit = state.settings.limits.loss_per_day_paise_max
    state.day.realised_net_paise = over - limit
    expected = {"worst_today_paise": over - limit, "limit_paise": limit}
    assert asked(daily_loss, state) == (passes, expected)


def test_the_maximum_of_open_positions_counts_those_on_their_way() -> None:
    """Two of three pass, three do not; a pending one is one."""
    state = held(ready_state(), a_position(1), a_position(2, quantity=0))
    assert asked(positions_open, state) == (True, {"open": 2, "max": 3})
    held(state, a_position(3))
    assert asked(positions_open, state) == (False, {"open": 3, "max": 3})


def test_trades_of_the_day_are_those_begun_and_those_on_their_way() -> None:
    """One that filled is counted by its first fill, one that has not by being there."""
    state = held(ready_state(), a_position(1), a_position(2, quantity=0), a_position(3))
    state.day.trades = 8
    assert asked(trades_per_day, state) == (True, {"trades": 9, "max": 10})
    state.day.trades = 9
    assert asked(trades_per_day, state) == (False, {"trades": 10, "max": 10})


@pytest.mark.parametrize(
    ("age_ns", "age_s", "passes"), [(300 * SECOND - 1, 299, False), (300 * SECOND, 300, True)]
)
def test_the_pause_is_over_at_its_last_instant(age_ns: int, age_s: int, *, passes: bool) -> None:
    """Of this underlying and direction; another's exit does not count."""
    state = ready_state(settings(entries=entries(cooldown_s=300)))
    state.day.last_exit_ns[NIFTY.id, Direction.DOWN] = NOW
    assert asked(cooldown, state) == (True, {"wanted_s": 300})
    state.day.last_exit_ns[NIFTY.id, Direction.UP] = NOW - age_ns
    assert asked(cooldown, state) == (passes, {"wanted_s": 300, "age_s": age_s})


def test_a_contract_needs_a_freeze_quantity_and_to_exist() -> None:
    """One is a quantity that is known, zero is not; without a contract the spot is shown."""
    for freeze, passes in ((0, False), (1, True)):
        bounded = msgspec.structs.replace(CALL, freeze_quantity=freeze)
        values = {"symbol": CALL.symbol, "freeze_quantity": freeze}
        assert asked(contract, None, a_candidate(instrument=bounded)) == (passes, values)
    none = a_candidate(instrument=None, quote=None)
    assert asked(contract, None, none) == (False, {"spot_paise": 2_450_000})


@pytest.mark.parametrize(
    ("after_s", "more_ns", "passes"),
    [(300, -1, False), (300, 0, True), (600, -1, True), (600, 0, False)],
)
def test_the_first_and_the_last_moment_for_entries(
    after_s: int, more_ns: int, *, passes: bool
) -> None:
    """The first belongs to them, the last does not; the figures are shown."""
    opening_s = 9 * 3600 + 15 * 60
    changed = entries(start_s=opening_s + 300, cutoff_s=opening_s + 600)
    now = OPEN + after_s * SECOND + more_ns
    state = ready_state(settings(entries=changed), now=now)
    values = {
        "start_ns": OPEN + 300 * SECOND,
        "cutoff_ns": OPEN + 600 * SECOND,
        "now_ns": now,
    }
    assert asked(entry_hours, state) == (passes, values)


def test_nothing_is_entered_in_the_gap_of_a_day_or_without_a_session() -> None:
    """Between two windows the exchange of the contract is closed, whatever another one does."""
    windows = ((OPEN, NOW), (NOW + 600 * SECOND, NOW + 7_200 * SECOND))
    gap = msgspec.structs.replace(SESSION, windows=windows)
    closed = (False, {"session": "closed"})
    state = ready_state()
    for sessions in ((gap,), ()):
        state.facts = msgspec.structs.replace(FACTS, sessions=sessions)
        assert asked(entry_hours, state) == closed
    state.facts = msgspec.structs.replace(FACTS, sessions=(gap,))
    state.now_ns = NOW - 1
    assert asked(entry_hours, state)[0] is True


@pytest.mark.parametrize("stale", ["the contract", "the underlying"])
def test_both_quotes_must_be_fresh(stale: str) -> None:
    """The one that is not is named; the same connection keeps both alive."""
    state = ready_state()
    state.now_ns += 6 * SECOND
    fresh = NIFTY if stale == "the contract" else CALL
    state.quote(fresh.id).take(packet(fresh.id, at=state.now_ns, venue=state.now_ns))
    made = a_candidate(underlying=state.quote(NIFTY.id), quote=state.quote(CALL.id))
    other = CALL if fresh is NIFTY else NIFTY
    expected = {"instrument": other.symbol, "fault": "packet old"}
    assert asked(fresh_quotes, state, made) == (False, expected)


@pytest.mark.proves("I-114")
@pytest.mark.parametrize("most", [10, 200, 2_000])
def test_one_key_bounds_every_spread(most: int) -> None:
    """It is the only number about spreads, and it decides the gate at its very value."""
    sections = (EntrySettings, SizingSettings, ExitSettings, LimitSettings, FreshnessSettings)
    fields = [name for section in sections for name in section.__struct_fields__]
    assert [name for name in fields if "spread" in name] == ["spread_bps_max"]
    state = ready_state(settings(entries=entries(spread_bps_max=most)))
    quote = state.quote(CALL.id)
    for half, passes in ((most, True), (most + 1, False)):
        quote.take(packet(bid=20_000 - half, ask=20_000 + half))
        made = a_candidate(quote=quote)
        assert asked(spread, state, made) == (passes, {"spread_bps": half, "max_bps": most})


@pytest.mark.parametrize(("bid", "ask"), [(None, 10_005), (9_995, None)])
def test_a_one_sided_book_is_no_market_to_enter(bid: int | None, ask: int | None) -> None:
    """Either side."""
    state = ready_state()
    state.quote(CALL.id).take(packet(bid=bid, ask=ask))
    made = a_candidate(quote=state.quote(CALL.id))
    assert asked(spread, state, made) == (False, {"book": "one-sided", "max_bps": 200})


@pytest.mark.proves("I-06")
@pytest.mark.parametrize("lacks", ["plan", "stop_limit_paise", "limit_paise"])
def test_nothing_is_entered_without_a_whole_plan(lacks: str) -> None:
    """No stop, no limit of it, no price: no entry."""
    made = a_candidate(**{lacks: None})
    assert asked(plan, None, made) == (False, {"plan": "no valid stop"})


@pytest.mark.proves("I-06")
@pytest.mark.parametrize(("stop_limit", "passes"), [(10_045, True), (10_050, False)])
def test_a_stop_must_lie_below_the_entry(stop_limit: int, *, passes: bool) -> None:
    """Its limit too: at the entry's there would be no loss to size by."""
    values = {"limit_paise": 10_050, "stop_paise": 8_800, "stop_limit_paise": stop_limit}
    made = a_candidate(stop_limit_paise=stop_limit)
    assert asked(plan, None, made) == (passes, values)


@pytest.mark.parametrize(
    ("held_fields", "passes"),
    [
        ({"side": Side.SELL}, False),
        ({"side": Side.BUY}, True),
        ({"side": Side.SELL, "instrument": PUT}, True),
        ({"side": Side.SELL, "product": Product.MARGIN}, True),
    ],
)
def test_one_key_holds_one_side(held_fields: dict[str, Any], *, passes: bool) -> None:
    """Another contract or another product is another key at the broker (T4, T8)."""
    state = held(ready_state(), a_position(1, instrument=PUT), a_position(7, **held_fields))
    assert asked(one_side, state) == (passes, {} if passes else {"position": 7})


@pytest.mark.parametrize(
    ("paise", "read_after", "passes", "shown"),
    [(None, 3, False, 0), (500, 2, False, 0), (500, 3, True, 500), (0, 3, True, 0)],
)
def test_funds_are_those_read_after_the_last_fill(
    paise: int | None, read_after: int, shown: int, *, passes: bool
) -> None:
    """Never read, or read before it, they are unknown; none at all are known."""
    state = ready_state()
    state.fills, state.funds_paise, state.funds_at_fills = 3, paise, read_after
    assert asked(funds, state) == (passes, {"funds_paise": shown})


def test_the_first_denial_ends_the_asking() -> None:
    """Those before it are shown as passed, in order."""
    state = ready_state()
    state.quote(CALL.id).take(packet(ask=None))
    passed, denial = pass_gates(state, a_candidate(quote=state.quote(CALL.id)))
    assert denial is not None
    assert denial.gate == "spread"
    assert [answer.gate for answer in passed] == [gate.__name__ for gate in GATES[:11]]
    passed, denial = pass_gates(ready_state(), a_candidate())
    assert denial is None
    assert [answer.gate for answer in passed] == [gate.__name__ for gate in GATES]


def drifted(desk: Desk, instrument: InstrumentId) -> None:
    key = BrokerKey(instrument, Product.INTRADAY)
    desk.state.drifts[key] = Drifted(
        kind=DriftKind.GONE, ours=65, theirs=0, since_ns=OPEN, is_present=False
    )


@pytest.mark.parametrize(
    ("instrument", "expected"),
    [
        (CALL.id, "drift"),
        (PUT.id, "drift"),
        (InstrumentId("NSE_FNO:99999"), "drift"),
        (OTHER.id, "entered"),
    ],
    ids=["the contract", "another of its underlying", "unknown", "another underlying"],
)
def test_drift(instrument: InstrumentId, expected: str) -> None:
    """A difference bars its underlying; one nobody can place bars all; agreed again, it stays."""
    desk = Desk(ready=False)
    desk.load((NIFTY, CALL, PUT, OTHER))
    drifted(desk, instrument)
    assert outcome(desk) == expected
    if expected == "drift":
        [denied] = desk.told(Denied)
        assert denied.denial.values == {"key": instrument, "ours": 65, "theirs": 0}


@pytest.mark.parametrize(
    ("instrument", "expected"),
    [(CALL.id, "drift"), (PUT.id, "drift"), (OTHER.id, "entered")],
    ids=["the contract", "another of its underlying", "another underlying"],
)
def test_a_key_whose_book_does_not_settle(instrument: InstrumentId, expected: str) -> None:
    """T22: it bars entries in its underlying, and nowhere else."""
    desk = Desk(ready=False)
    desk.load((NIFTY, CALL, PUT, OTHER))
    desk.state.book.unsettled.add(BrokerKey(instrument, Product.INTRADAY))
    assert outcome(desk) == expected
    if expected == "drift":
        [denied] = desk.told(Denied)
        assert denied.denial.values == {"key": instrument, "book": "does not settle"}
