"""The projections' rules: records in, rows out."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import pytest
from msgspec.structs import replace

from holdfast.domain.audit import (
    Denied,
    Difference,
    FillsCorrected,
    Halted,
    PositionClosed,
    PositionResumed,
    ReducedOutside,
    Remedied,
)
from holdfast.domain.decision import HaltLevel
from holdfast.domain.event import (
    Action,
    BookRead,
    OrderUpdated,
    Outcome,
    Restarted,
    SendFailed,
    TimerFired,
)
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.order import BrokerOrderId, BrokerStatus, OrderId, Side
from holdfast.store import rows
from holdfast.store.fold import Rows, fold
from holdfast.store.records import Decided, Record
from tests.unit.store.samples import (
    DAY,
    T0,
    a_day,
    beginning,
    intent,
    placed,
    recorded,
    refusals,
    trade,
    updated,
)

BEGUN = Restarted(at_ns=T0, day=DAY, code_version="1", config_sha256="c")
ENTRY = Decided(at_ns=T0, cause=1, commands=(placed("E1", 1),), audits=())

CORRECTED = FillsCorrected(
    position=1,
    order_id=OrderId("P001E1"),
    side=Side.BUY,
    quantity=75,
    value_paise=750_300,
    by_paise=300,
    entry_value_paise=750_300,
    exit_value_paise=787_500,
    gross_paise=37_200,
    charges={"stt": 9_190},
    net_paise=28_010,
)
"""What the trade's purchase was worth, 3.00 rupees more than was told."""


def folded(records: Sequence[Record]) -> Rows:
    """The rows after these records, numbered from 1."""
    held = Rows()
    for sequence, record in enumerate(records, 1):
        fold(held, sequence, record)
    return held


def word(status: BrokerStatus, quantity: int = 0, value_paise: int = 0) -> OrderUpdated:
    """The broker's word about the entry."""
    return updated("E1", T0 + 5, status=status, filled=(quantity, value_paise))


def failed(outcome: Outcome, action: Action = Action.PLACE) -> SendFailed:
    """A request about the entry that did not succeed."""
    return SendFailed(
        at_ns=T0 + 1, order_id=OrderId("E1"), action=action, outcome=outcome, reason="why"
    )


def test_a_word_that_tells_nothing_new_changes_no_row() -> None:
    """Orders are looked at once a second: their rows say when something changed."""
    working = word(BrokerStatus.WORKING)
    held = folded([BEGUN, ENTRY, working])
    held.take_changed()
    before = held.held(rows.Order)
    fold(held, 4, replace(working, at_ns=working.at_ns + 2_000_000_000, is_read=True))
    assert held.held(rows.Order) == before
    assert held.take_changed() == []


ORDER_STATES = [
    ("placed", [], "sent"),
    ("never left", [failed(Outcome.NOT_SENT)], "planned"),
    ("refused", [failed(Outcome.REFUSED)], "rejected"),
    ("unanswered", [failed(Outcome.UNANSWERED)], "unknown"),
    ("a failed change leaves it", [failed(Outcome.REFUSED, Action.MODIFY)], "sent"),
    ("in transit", [word(BrokerStatus.TRANSIT)], "sent"),
    ("working", [word(BrokerStatus.WORKING)], "working"),
    ("partly filled", [word(BrokerStatus.WORKING, 25, 250_000)], "partly_filled"),
    ("triggered", [word(BrokerStatus.TRIGGERED)], "working"),
    ("filled", [word(BrokerStatus.FILLED, 75, 750_000)], "filled"),
    ("cancelled keeps fills", [word(BrokerStatus.CANCELLED, 25, 250_000)], "cancelled"),
    ("found after no answer", [failed(Outcome.UNANSWERED), word(BrokerStatus.WORKING)], "working"),
    (
        "an older word that arrives late",
        [word(BrokerStatus.FILLED, 75, 750_000), word(BrokerStatus.WORKING, 25, 250_000)],
        "filled",
    ),
    (
        "working again after an end, late",
        [word(BrokerStatus.CANCELLED), word(BrokerStatus.WORKING)],
        "cancelled",
    ),
    (
        "a fill after a cancel is real",
        [word(BrokerStatus.CANCELLED), word(BrokerStatus.FILLED, 75, 750_000)],
        "filled",
    ),
]


@pytest.mark.parametrize(
    ("records", "state"),
    [pytest.param(records, state, id=name) for name, records, state in ORDER_STATES],
)
def test_an_order_is_in_the_state_that_the_broker_says(records: list[Record], state: str) -> None:
    """In the words of the order table, cumulative, never back from an end without new fills."""
    (order,) = folded([BEGUN, ENTRY, *records]).held(rows.Order)
    assert order.state == state


def test_fills_are_what_each_word_added() -> None:
    """25 at 100.00, then 50 more for 5,005.00; a word that adds nothing is no fill."""
    held = folded(
        [
            BEGUN,
            ENTRY,
            word(BrokerStatus.WORKING, 25, 250_000),
            word(BrokerStatus.WORKING, 25, 250_000),
            word(BrokerStatus.FILLED, 75, 750_500),
        ]
    )
    found = [(fill.sequence, fill.quantity, fill.value_paise) for fill in held.held(rows.Fill)]
    assert found == [(3, 25, 250_000), (5, 50, 500_500)]


def test_a_corrected_price_is_a_fill_of_no_quantity() -> None:
    """The trade book makes provisional prices final; the difference is booked, not lost."""
    exact = word(BrokerStatus.FILLED, 75, 750_300)
    exact = replace(exact, row=replace(exact.row, is_exact=True))
    another = word(BrokerStatus.FILLED, 75, 749_900)
    held = folded([BEGUN, ENTRY, word(BrokerStatus.FILLED, 75, 750_000), exact, another])
    (order,) = held.held(rows.Order)
    assert order.filled_value_paise == 750_300, "another mean price is no better"
    assert [(f.quantity, f.value_paise) for f in held.held(rows.Fill)] == [(75, 750_000), (0, 300)]


def test_a_fill_that_mean_prices_tell_is_never_worth_less_than_nothing() -> None:
    """They have two digits: more contracts may seem to be worth less."""
    held = folded(
        [BEGUN, ENTRY, word(BrokerStatus.WORKING, 65, 520), word(BrokerStatus.WORKING, 70, 455)]
    )
    (order,) = held.held(rows.Order)
    assert (order.filled_quantity, order.filled_value_paise) == (70, 520)


def test_the_result_of_an_ended_position_is_corrected_with_the_days_sums() -> None:
    """Bought 75 at 100.04 after all: 372.00 gross; the premium stays empty, cash is what moved."""
    records = recorded([*beginning(), *trade(1, T0)])
    bought = updated("P001E1", T0 + 5, status=BrokerStatus.FILLED, filled=(75, 750_300))
    bought = replace(bought, row=replace(bought.row, is_exact=True))
    held = folded(
        [
            *records,
            bought,
            Decided(at_ns=T0, cause=len(records) + 1, commands=(), audits=(CORRECTED,)),
        ]
    )
    (position,) = held.held(rows.Position)
    assert (position.entry_value_paise, position.exit_value_paise) == (750_300, 787_500)
    result = (position.gross_paise, position.charges_paise, position.net_paise)
    assert result == (37_200, 9_190, 28_010)
    (day,) = held.held(rows.Day)
    assert (day.trades, day.gross_paise, day.charges_paise, day.net_paise) == (1, *result)
    totals: Counter[str] = Counter()
    for line in held.held(rows.Posting):
        totals[line.account] += line.amount_paise
    assert totals == {"premium": 0, "realised": -37_200, "charges": 9_190, "cash": 28_010}


def test_an_end_that_is_told_again_counts_once_as_it_was_told_last() -> None:
    """A crash took what the end was decided by, or more was bought after it: one trade, one result."""
    records = recorded([*beginning(), *trade(1, T0)])
    ended = records[-1]
    assert isinstance(ended, Decided)
    [told] = [one for one in ended.audits if isinstance(one, PositionClosed)]
    more = replace(
        told, quantity=150, gross_paise=told.gross_paise + 5_000, net_paise=told.net_paise + 4_900
    )
    again = (
        replace(ended, audits=(told,)),
        replace(ended, audits=(more,)),
        replace(ended, audits=(more,)),
    )
    before, after = folded(records), folded([*records, *again])
    (first,), (day,) = before.held(rows.Position), after.held(rows.Day)
    (position,) = after.held(rows.Position)
    assert first.gross_paise is not None
    assert position.gross_paise is not None
    assert (position.quantity, position.gross_paise) == (150, first.gross_paise + 5_000)
    assert (day.trades, day.gross_paise, day.charges_paise, day.net_paise) == (
        1, position.gross_paise, position.charges_paise, position.net_paise
    )  # fmt: skip
    totals: Counter[str] = Counter()
    for line in after.held(rows.Posting):
        totals[line.account] += line.amount_paise
    assert totals["realised"] == -position.gross_paise
    assert totals["charges"] == position.charges_paise


def test_a_trade_whose_plan_was_lost_is_the_days_all_the_same() -> None:
    """No row tells of its position; the money moved."""
    ended = recorded([*beginning(), *trade(1, T0)])[-1]
    held = folded([BEGUN, ended])
    (day,) = held.held(rows.Day)
    assert (day.trades, day.gross_paise, day.net_paise) == (1, 37_500, 28_300)
    assert held.held(rows.Position) == []


def test_a_result_that_is_only_corrected_is_a_trade_too() -> None:
    """The end itself was lost with a crash."""
    records = recorded([*beginning(), *trade(1, T0)])
    held = folded([*records[:-1], Decided(at_ns=T0, cause=9, commands=(), audits=(CORRECTED,))])
    (day,) = held.held(rows.Day)
    assert (day.trades, day.gross_paise, day.net_paise) == (1, 37_200, 28_010)


def test_a_signal_that_is_denied_again_after_a_crash_is_one_denial() -> None:
    """What the first process heard beyond its last whole record the next one hears again."""
    records = recorded(a_day())
    denied = [
        one
        for one in records
        if isinstance(one, Decided) and any(isinstance(a, Denied) for a in one.audits)
    ]
    (before,), (after,) = (folded(some).held(rows.Day) for some in (records, [*records, denied[0]]))
    assert denied
    assert (after.denials, after.signals) == (before.denials, before.signals)


def test_what_an_open_position_cost_is_corrected() -> None:
    """Its row tells what is paid for what is held."""
    records = recorded([*beginning(), *list(trade(1, T0))[:4]])
    told = FillsCorrected(
        position=1,
        order_id=OrderId("P001E1"),
        side=Side.BUY,
        quantity=75,
        value_paise=750_300,
        by_paise=300,
        entry_value_paise=750_300,
        exit_value_paise=0,
    )
    held = folded([*records, Decided(at_ns=T0, cause=len(records), commands=(), audits=(told,))])
    (position,) = held.held(rows.Position)
    assert (position.entry_value_paise, position.state) == (750_300, "open")
    assert position.gross_paise is None


def test_an_order_whose_placement_was_lost_is_kept_without_its_position() -> None:
    """A crash can lose the record of what was sent; the broker's book has the order."""
    (order,) = folded([BEGUN, word(BrokerStatus.FILLED, 75, 750_000)]).held(rows.Order)
    assert (order.order_id, order.state, order.position, order.purpose) == (
        "E1",
        "filled",
        None,
        None,
    )


def test_a_trade_is_one_position_from_plan_to_result() -> None:
    """Bought 75 at 100.00, sold at 105.00: 375.00 gross, 92.00 charges, 283.00 net."""
    held = folded(recorded([*beginning(), *trade(1, T0)]))
    (position,) = held.held(rows.Position)
    assert position.state == "closed"
    assert (position.quantity, position.exit_rule) == (75, "target")
    assert (position.gross_paise, position.charges_paise, position.net_paise) == (
        37_500,
        9_200,
        28_300,
    )
    (day,) = held.held(rows.Day)
    assert (day.signals, day.denials, day.trades, day.net_paise) == (1, 0, 1, 28_300)
    assert [(o.order_id, o.purpose, o.broker_id) for o in held.held(rows.Order)] == [
        ("P001E1", "entry", "BP001E1"),
        ("P001X1", "exit", "BP001X1"),
    ]


POSITION_STATES = [(1, "planned"), (4, "open"), (7, "closing"), (9, "closed")]


@pytest.mark.parametrize(("steps", "state"), POSITION_STATES)
def test_a_position_goes_through_its_states(steps: int, state: str) -> None:
    """Planned with the intent, open with the first fill, closing with the exit, then closed."""
    held = folded(recorded([*beginning(), *list(trade(1, T0))[:steps]]))
    assert [position.state for position in held.held(rows.Position)] == [state]


def test_a_signal_ends_in_one_outcome_with_its_figures() -> None:
    """Denied by a gate, or entered as a position; an entry without a fill leaves it unfilled."""
    held = folded(recorded([*beginning(), *refusals(0)]))
    denied, entered = sorted(held.held(rows.Signal), key=lambda signal: signal.outcome)
    assert (denied.outcome, denied.gate, denied.gate_figures) == (
        "denied",
        "spread",
        '{"spread_bps":900}',
    )
    assert (entered.outcome, entered.position) == ("entered", 500)
    assert entered.figures == '{"close_paise":2600100,"adx":27.4312,"band":"lower"}'
    assert [position.state for position in held.held(rows.Position)] == ["unfilled"]


def test_postings_of_every_record_sum_to_zero() -> None:
    """And when all is closed the premium is empty: what was earned stands under `realised`."""
    posted = folded(recorded(a_day())).held(rows.Posting)
    assert len(posted) >= 3 * 10
    for _, lines in groupby(posted, key=lambda line: line.sequence):
        assert sum(line.amount_paise for line in lines) == 0
    totals: dict[str, int] = {}
    for line in posted:
        totals[line.account] = totals.get(line.account, 0) + line.amount_paise
    assert totals == {
        "premium": 0,
        "realised": -3 * 37_500,
        "charges": 3 * 9_200,
        "cash": 3 * 28_300,
    }


def test_a_sale_first_earns_as_a_purchase_first_does() -> None:
    """A short sold at 105.00 and bought at 100.00 leaves nothing in the premium either."""
    steps = list(trade(1, T0))
    opening, *_, closing = recorded(steps)
    assert isinstance(closing, Decided)
    short = Decided(
        at_ns=T0, cause=1, commands=(placed("S", 1, Side.SELL), placed("B", 1)), audits=()
    )
    sold = updated("S", T0, status=BrokerStatus.FILLED, filled=(75, 787_500), side=Side.SELL)
    bought = updated("B", T0, status=BrokerStatus.FILLED, filled=(75, 750_000))
    posted = folded([BEGUN, opening, short, sold, bought, closing]).held(rows.Posting)
    assert sum(line.amount_paise for line in posted if line.account == "premium") == 0


def test_a_day_counts_its_restarts_and_takes_the_last_configuration() -> None:
    """Its first number stays; what it runs on is what it was last started with."""
    again = Restarted(at_ns=T0 + 9, day=DAY, code_version="2", config_sha256="d")
    halted = Decided(
        at_ns=T0 + 10, cause=3, commands=(), audits=(Halted(level=HaltLevel.PAUSE, reason="asked"),)
    )
    (day,) = folded([BEGUN, TimerFired(at_ns=T0), again, halted]).held(rows.Day)
    assert (day.first_sequence, day.restarts, day.code_version, day.started_at_ns) == (
        1,
        2,
        "2",
        T0,
    )
    assert (day.halt, day.sequence) == ("pause", 4)


def test_two_days_keep_their_positions_apart() -> None:
    """A position's number is that of its day."""
    tomorrow = Restarted(at_ns=T0, day="2025-12-16", code_version="1", config_sha256="c")
    one = recorded(list(trade(1, T0)))[0]
    held = folded([BEGUN, one, tomorrow, one])
    assert [(p.day, p.position) for p in held.held(rows.Position)] == [(DAY, 1), ("2025-12-16", 1)]


def test_rows_are_handed_over_once() -> None:
    """What is stored after a record is what that record changed."""
    held = folded([BEGUN, ENTRY])
    assert [type(row) for row in held.take_changed()] == [rows.Day, rows.Order]
    assert held.take_changed() == []


def test_what_only_the_whole_book_tells_of_orders_is_projected_too() -> None:
    """Two fills in one record; a second order under an id that is known is not that order."""
    entry = word(BrokerStatus.FILLED, 75, 750_000).row
    second = replace(entry, broker_id=BrokerOrderId("other"), filled_quantity=150)
    lost = updated("X9", T0 + 5, status=BrokerStatus.WORKING, filled=(25, 200_000)).row
    book = BookRead(
        at_ns=T0 + 6,
        began_at_ns=T0 + 5,
        nets=(),
        orders=(entry, second, lost),
        foreign=(),
        trades=(),
        funds_paise=0,
    )
    taken = Remedied(
        difference=Difference.UNKNOWN, order_id=OrderId("X9"), position=3, before={}, after={}
    )
    held = folded(
        [BEGUN, ENTRY, book, Decided(at_ns=T0 + 6, cause=3, commands=(), audits=(taken,))]
    )
    found = [(fill.sequence, fill.order_id, fill.quantity) for fill in held.held(rows.Fill)]
    assert found == [(3, "E1", 75), (3, "X9", 25)]
    placed_at = {order.order_id: order.position for order in held.held(rows.Order)}
    assert placed_at == {"E1": 1, "X9": 3}
    assert sum(posting.amount_paise for posting in held.held(rows.Posting)) == 0


@pytest.mark.proves("T5", "T24")
@pytest.mark.parametrize(("number", "named"), [(BrokerOrderId("77"), "77/1"), (None, "outside/1")])
def test_contracts_that_left_without_an_order_of_ours_are_a_fill(
    number: BrokerOrderId | None, named: str
) -> None:
    """Others closed them, or they were settled: cash and premium move as by a fill of ours."""
    told = ReducedOutside(
        position=1,
        instrument=InstrumentId("NSE_FNO:1"),
        side=Side.SELL,
        quantity=65,
        value_paise=585_000,
        venue_at_ns=T0 + 1,
        reason="closed by others",
        order=number,
    )
    held = folded([BEGUN, Decided(at_ns=T0 + 2, cause=1, commands=(), audits=(told,))])
    [fill] = held.held(rows.Fill)
    assert (fill.order_id, fill.position, fill.side) == (named, 1, "SELL")
    assert (fill.quantity, fill.value_paise, fill.venue_at_ns) == (65, 585_000, T0 + 1)
    posted = {one.account: one.amount_paise for one in held.held(rows.Posting)}
    assert posted == {"premium": -585_000, "cash": 585_000}


@pytest.mark.proves("T24")
def test_what_is_carried_is_an_open_position_that_today_did_not_pay() -> None:
    """Its own day and cost; told again by a start before anything came of the day, it is the same."""
    told = PositionResumed(
        intent=intent(1),
        day="2026-11-19",
        earlier=4,
        opened_day="2026-11-18",
        opened_at_ns=T0 - 9,
        quantity=65,
        cost_paise=650_000,
        stop_paise=9_100,
        peak_paise=11_000,
    )
    decided = Decided(at_ns=T0 + 2, cause=1, commands=(), audits=(told,))
    records: list[Record] = [BEGUN, decided]
    held = folded([*records, *records])
    [position] = held.held(rows.Position)
    assert (position.state, position.carried_from) == ("open", "2026-11-18")
    assert (position.quantity, position.entry_value_paise) == (65, 650_000)
    assert (position.stop_paise, position.peak_paise) == (9_100, 11_000)
    assert position.opened_at_ns == T0 - 9
    posted = [(one.account, one.amount_paise) for one in held.held(rows.Posting)]
    assert posted == [("premium", 650_000), ("carried", -650_000)]
    assert held.held(rows.Signal) == []
