"""The gates, one by one, at their boundaries: what passes and what the denial says."""

import msgspec
import pytest

from holdfast.core.entries.gates import GATES
from holdfast.core.settings import EntrySettings, LimitSettings, SizingSettings
from holdfast.domain.audit import Denied, IntentFormed
from holdfast.domain.decision import Direction
from holdfast.domain.event import JournalChanged, Link, LinkChanged, OperatorRequest
from holdfast.domain.order import BrokerStatus
from tests.support.desk import CALL, NIFTY, OPEN, PUT, SECOND, Desk

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
        "halted", "ready", "one_signal", "daily_loss", "positions_open", "trades_per_day",
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
    from holdfast.core.entries.entering import consider  # noqa: PLC0415 the candle is the same one

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


@pytest.mark.proves("I-114")
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
    from holdfast.domain.order import Side  # noqa: PLC0415

    desk = Desk()
    desk.hold()
    position = desk.engine._state.live[0]  # noqa: SLF001 shorts come with a later strategy
    position.side = Side.SELL
    assert outcome(desk, minute=3) == "one_side"


def test_funds_must_be_read_after_the_last_fill() -> None:
    """A fill makes the figure old; the next read makes it new (T19)."""
    desk = Desk()
    entry = desk.enter()
    desk.acknowledge(entry.order_id)
    desk.fill(entry)
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
