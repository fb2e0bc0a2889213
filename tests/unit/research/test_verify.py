"""Verification: the same day decides the same, and each kind of tampering is named."""

from collections.abc import Callable, Sequence
from functools import cache

import pytest
from msgspec.structs import replace

from holdfast.core.engine import Engine
from holdfast.core.settings import ExitSettings
from holdfast.domain.command import Notify, PlaceOrder, Severity
from holdfast.domain.dated import DayFacts
from holdfast.domain.decision import Direction
from holdfast.domain.event import (
    AnyEvent,
    CandleLoaded,
    FundsRead,
    InstrumentsLoaded,
    OrderUpdated,
    QuotesRead,
    TimerFired,
)
from holdfast.domain.instrument import Instrument
from holdfast.domain.market import Candle, Tick
from holdfast.domain.order import BrokerOrderId, BrokerStatus, OrderRow
from holdfast.research import verify as module
from holdfast.research.verify import Checked, verify
from holdfast.runtime.recover import in_order
from holdfast.store.records import Decided, TapeRange
from tests.support.desk import DAY, FACTS, NIFTY, OPEN, SECOND, Parrot, settings
from tests.support.shell import START, Shell, tick

Row = AnyEvent | Decided | TapeRange


class Scripted(Parrot):
    """A strategy that speaks at the first live candle, whoever runs it."""

    def __init__(self) -> None:
        super().__init__()
        self.say = Direction.UP


@cache
def recorded() -> tuple[Row, ...]:
    """A day with an entry, its fill, a stop and an exit, as the journal and tape keep it."""
    shell = Shell()
    shell.engine = Engine(settings(), [Scripted()])
    shell.driver._engine = shell.engine  # noqa: SLF001 the same strategy here and when rebuilt
    shell.begin()
    candle = Candle(instrument=NIFTY.id, interval_s=60, start_ns=START, open_paise=1, high_paise=1,
                    low_paise=1, close_paise=1)  # fmt: skip
    shell.driver.take(CandleLoaded(at_ns=START, candle=candle))
    entry = shell.enter()
    row = OrderRow(
        order_id=entry.order_id,
        broker_id=BrokerOrderId("B1"),
        status=BrokerStatus.FILLED,
        terms=entry.terms,
        filled_quantity=entry.terms.quantity,
        filled_value_paise=entry.terms.quantity * 10_000,
        venue_at_ns=OPEN + 60 * SECOND,
    )
    shell.venue.say(OrderUpdated(at_ns=OPEN + 61 * SECOND, row=row))
    for second in range(62, 80):
        shell.driver.take(tick(second, 10_000 - 50 * (second - 62)))
    shell.driver.take(QuotesRead(at_ns=OPEN + 80 * SECOND, quotes=()))
    return (*shell.journal.rows, *_ranges(shell.journal.rows))


def _ranges(rows: Sequence[Row]) -> list[TapeRange]:
    """What the writer would have said of one flush of each kind, at the end of the day."""
    kinds: dict[str, type] = {"candles": CandleLoaded, "quotes": QuotesRead, "ticks": Tick}
    written = []
    for name, kind in kinds.items():
        numbers = [number for number, row in enumerate(rows, 1) if type(row) is kind]
        written.append(
            TapeRange(
                at_ns=START,
                first=numbers[0],
                last=numbers[-1],
                count=len(numbers),
                sha256="s",
                segment=f"{DAY}/{name}-0001",
            )
        )
    return written


def rebuild(facts: DayFacts, instruments: tuple[Instrument, ...]) -> Engine:
    """The engine that the configuration describes."""
    assert (facts, NIFTY in instruments) == (FACTS, True)
    return Engine(settings(), [Scripted()])


def check(
    rows: Sequence[Row],
    build: Callable[[DayFacts, tuple[Instrument, ...]], Engine] = rebuild,
    *,
    config: str = "c",
    missing: frozenset[int] = frozenset(),
) -> Checked:
    """Verify rows that are numbered in their order; numbers in `missing` are not there."""
    on_tape = (Tick, CandleLoaded, QuotesRead)
    numbered = [(n, row) for n, row in enumerate(rows, 1) if n not in missing]
    journal = [(n, row.at_ns, row) for n, row in numbered if not isinstance(row, on_tape)]
    tape = [(n, row) for n, row in numbered if isinstance(row, on_tape)]
    return verify(
        lambda: in_order(journal, tape),
        lambda wanted: build if wanted == config else None,
        lambda *_: None,
    )


def changed(number: int, row: Row) -> list[Row]:
    """The day with another row under one number."""
    rows = list(recorded())
    rows[number - 1] = row
    return rows


def inserted(number: int, row: Row) -> list[Row]:
    """The day with a row more after one number; what refers to later numbers is moved with them."""

    def moved(row: Row) -> Row:
        if isinstance(row, Decided):
            return replace(row, cause=row.cause + (row.cause > number))
        if isinstance(row, TapeRange):
            return replace(row, first=row.first + 1, last=row.last + 1)
        return row

    rows = [moved(old) for old in recorded()]
    rows.insert(number, row)
    return rows


def decision_with(kind: type) -> tuple[int, Decided]:
    """The number of the first decision that holds something of a kind, and the decision."""
    for number, row in enumerate(recorded(), 1):
        if isinstance(row, Decided):
            for made in (*row.commands, *row.audits):
                if isinstance(made, kind):
                    return number, row
    raise AssertionError(kind)


def test_a_day_that_decides_the_same_again_has_no_difference() -> None:
    """Counted: every event and tick was stepped, every decision compared."""
    rows = recorded()
    events = [row for row in rows if not isinstance(row, Decided | TapeRange)]
    assert check(rows) == Checked(
        events=len(events),
        ticks=sum(isinstance(row, Tick) for row in events),
        decisions=sum(isinstance(row, Decided) for row in rows),
        first_difference=None,
    )
    assert any(isinstance(row, TimerFired) for row in events)


def test_a_changed_command_is_found() -> None:
    """Both writings are shown, and the number of the event that led to them."""
    number, decided = decision_with(PlaceOrder)
    [order] = [c for c in decided.commands if isinstance(c, PlaceOrder)]
    other = replace(order, terms=replace(order.terms, quantity=65))
    commands = tuple(other if c is order else c for c in decided.commands)
    told = check(changed(number, replace(decided, commands=commands))).first_difference
    assert told == f"event {decided.cause}: then {other}\n  now {order}"


def test_a_changed_audit_is_found() -> None:
    """What is told is compared like what is asked."""
    number, decided = decision_with(PlaceOrder)
    told = check(changed(number, replace(decided, audits=decided.audits[::-1]))).first_difference
    assert told is not None
    assert told.startswith(f"event {decided.cause}: then ")


@pytest.mark.parametrize("more", [False, True])
def test_a_decision_of_another_length_is_found(*, more: bool) -> None:
    """One command too few or one audit too many: counted."""
    number, decided = decision_with(PlaceOrder)
    count = len(decided.commands) + len(decided.audits)
    if more:
        other = replace(decided, audits=(*decided.audits, decided.audits[-1]))
    else:
        other = replace(decided, audits=decided.audits[:-1])
    told = check(changed(number, other)).first_difference
    then = count + 1 if more else count - 1
    assert told == f"event {decided.cause}: then {then} decisions, now {count}"


def test_a_missing_decision_is_found_at_the_next_event() -> None:
    """The engine decides something that nobody recorded."""
    number, decided = decision_with(PlaceOrder)
    result = check(recorded(), missing=frozenset({number}))
    assert result.first_difference is not None
    assert (
        f"event {decided.cause}: decided now, but nothing was recorded" in result.first_difference
    )
    assert result.events < check(recorded()).events, "and the comparison ends there"


def test_a_missing_last_decision_is_found_at_the_end() -> None:
    """No event follows that could show it."""
    number, _ = decision_with(PlaceOrder)
    told = check(recorded()[: number - 1]).first_difference
    assert told is not None
    assert "nothing was recorded" in told


def test_a_decision_too_many_is_found_where_it_stands() -> None:
    """Recorded about an event that now leads to nothing."""
    quiet = next(n for n, row in enumerate(recorded(), 1) if isinstance(row, FundsRead))
    notify = Notify(severity=Severity.INFO, text="never said")
    extra = Decided(at_ns=START, cause=quiet, commands=(notify,), audits=())
    told = check(inserted(quiet, extra)).first_difference
    assert told is not None
    assert told.startswith(f"event {quiet}: recorded, but nothing is decided now")


def test_a_decision_before_the_master_is_compared_too() -> None:
    """The engine is built late; what was recorded until then is looked at when it is."""
    number = next(n for n, row in enumerate(recorded(), 1) if isinstance(row, Decided))
    first = recorded()[number - 1]
    assert isinstance(first, Decided)
    master = next(n for n, row in enumerate(recorded(), 1) if isinstance(row, InstrumentsLoaded))
    assert number < master
    told = check(changed(number, replace(first, audits=first.audits * 2))).first_difference
    assert told is not None
    assert told.startswith(f"event {first.cause}: then ")
    told = check(recorded(), missing=frozenset({number})).first_difference
    assert told is not None
    assert f"event {first.cause}: decided now, but nothing was recorded" in told


def test_a_decision_about_what_leads_to_nothing_before_the_master_is_found() -> None:
    """It stands before the engine does, and nothing answers to it."""
    assert check(inserted(2, FundsRead(at_ns=START, available_paise=1))).first_difference is None
    rows = inserted(2, FundsRead(at_ns=START, available_paise=1))
    notify = Notify(severity=Severity.INFO, text="never said")
    quiet = Decided(at_ns=START, cause=3, commands=(notify,), audits=())
    later = [replace(row, cause=row.cause + 1) if isinstance(row, Decided) else row
             for row in rows[3:]]  # fmt: skip
    told = check([*rows[:3], quiet, *later]).first_difference
    assert told is not None
    assert told.startswith("event 3: recorded, but nothing is decided now")


def test_another_configuration_is_found() -> None:
    """By its hash in the journal before anything else; and an engine of other settings differs."""
    told = check(recorded(), config="d").first_difference
    assert told == "event 1: the stored configuration is not the one that was in force"

    def other(facts: DayFacts, instruments: tuple[Instrument, ...]) -> Engine:
        del facts, instruments
        return Engine(settings(exits=ExitSettings(stop_bps=1_300)), [Scripted()])

    told = check(recorded(), other).first_difference
    assert told is not None
    assert "stop_paise" in told


def test_a_tick_that_vanished_from_the_tape_is_found() -> None:
    """Also one that decided nothing: the journal vouches for how many were written."""
    causes = {row.cause for row in recorded() if isinstance(row, Decided)}
    quiet = max(n for n, row in enumerate(recorded(), 1) if isinstance(row, Tick)
                and n not in causes)  # fmt: skip
    told = check(recorded(), missing=frozenset({quiet})).first_difference
    count = sum(isinstance(row, Tick) for row in recorded())
    assert told is not None
    assert told.endswith(f": {count} ticks were written to the tape, it holds {count - 1}")


def test_ranges_count_their_own_kind_between_their_own_numbers() -> None:
    """A second flush vouches for what came after the first."""
    rows = list(recorded())
    [ticks] = [row for row in rows if isinstance(row, TapeRange) and "ticks" in row.segment]
    numbers = [number for number, row in enumerate(rows, 1) if isinstance(row, Tick)]
    cut = len(numbers) // 2
    halves = [
        replace(ticks, last=numbers[cut - 1], count=cut),
        replace(ticks, first=numbers[cut], count=len(numbers) - cut),
    ]
    rest = [row for row in rows if row is not ticks]
    assert check([*rest, *halves]).first_difference is None
    late = replace(halves[0], first=numbers[1])
    told = check([*rest, late, halves[1]]).first_difference
    assert told is not None
    assert f"{cut} ticks were written to the tape, it holds {cut - 1}" in told


def test_a_journal_without_a_day_in_it_is_no_proof() -> None:
    """Nothing compared is not nothing different."""
    told = check([]).first_difference
    assert told == "no instruments were loaded: there is nothing to compare"
    assert check(recorded()[:1]).first_difference == told


def test_progress_is_told_every_few_thousand_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """With how many were stepped."""
    monkeypatch.setattr(module, "REPORT_EVERY", 10)
    told: list[tuple[int, int]] = []
    rows = recorded()
    journal = [(n, row.at_ns, row) for n, row in enumerate(rows, 1)
               if not isinstance(row, Tick | CandleLoaded | QuotesRead)]  # fmt: skip
    tape = [(n, row) for n, row in enumerate(rows, 1)
            if isinstance(row, Tick | CandleLoaded | QuotesRead)]  # fmt: skip
    verify(lambda: in_order(journal, tape), lambda _: rebuild, lambda *both: told.append(both))
    assert {done for done, _ in told} >= {10, 20, 30}
    assert {of for _, of in told} == {0}
