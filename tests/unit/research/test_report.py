"""What a run came to, from a journal written by hand."""

import msgspec
import pytest

from holdfast.domain.audit import (
    AnyAudit,
    Denied,
    EntriesBlocked,
    EntryEnded,
    EntryFilled,
    IntentFormed,
    PositionOpened,
    QuotesFresh,
    QuotesStale,
)
from holdfast.domain.decision import Direction
from holdfast.domain.order import OrderId
from holdfast.research.parts import Report
from holdfast.research.report import fold_report, shortfalls
from holdfast.store.records import Decided
from tests.support.trades import (
    CALL,
    CHARGES,
    Diary,
    a_day,
    at,
    beginning,
    closed,
    corrected,
    first_trade,
    intent,
    order,
    second_trade,
    signal,
)


@pytest.fixture(scope="module")
def report() -> Report:
    """The report of the day written by hand."""
    return fold_report(a_day())


def test_the_work_is_counted(report: Report) -> None:
    """Ticks as the tape counts them; events with those of the tape; commands by what they ask."""
    work = report.work
    assert (work.ticks, work.instruments) == (2_500, 3)
    # 2 at the start, 375 candles, 2,500 ticks, 5 about the first trade's orders, 1 refusal.
    assert work.events == 2 + 375 + 2_500 + 5 + 1
    assert work.decisions == sum(type(record).__name__ == "Decided" for _, record in a_day())
    # 4 placed (two entries, a stop, a refused entry), 1 modified, 1 looked for.
    assert (work.orders_placed, work.orders_modified, work.orders_cancelled) == (4, 1, 0)
    assert (work.commands, work.orders_rejected) == (6, 1)
    assert (work.signals, work.denials, work.trades) == (4, 1, 2)


def test_the_run_is_named_by_its_newest_start() -> None:
    """And the record reaches to its latest stamp, wherever that stands."""
    diary = beginning()
    diary.decided("09:20:00")
    diary.add(diary.records[0][1])
    run = fold_report(diary.records).run
    assert (run.day, run.code_version, run.starts) == ("2026-11-20", "0.1.0", 2)
    assert run.libraries == ("TA-Lib 0.8.2",)
    assert run.ended_at_ns == at("09:20:00")


def test_trades_hold_what_the_position_closed_with(report: Report) -> None:
    """Contract, side, both ends, the rule, and the money with each charge."""
    first, second = report.trades
    assert (first.symbol, first.side, first.quantity) == ("NIFTY 25 Nov 26000 CE", "BUY", 130)
    assert (first.rule, second.rule) == ("take_profit", "trailing_stop")
    assert (first.opened_at_ns, first.closed_at_ns) == (at("09:31:01"), at("09:40:00"))
    assert (first.gross_paise, first.charges) == (130 * (187_50 - 150_20), CHARGES)
    assert first.net_paise == first.gross_paise - first.charges_paise
    assert (first.unprotected_ns, first.without_stop_ns) == (250_000_000, 1_500_000_000)
    assert first.signal.endswith("up")


def test_a_trade_is_told_as_the_trade_book_corrected_it() -> None:
    """What its fills were worth, what it made, and the day's sums with it; other trades stay."""
    diary = Diary()
    diary.records = list(a_day())
    before = fold_report(diary.records)
    diary.decided("15:00:00", corrected())
    after = fold_report(diary.records)
    first, second = after.trades
    assert first.entry_value_paise == 130 * 150_21
    assert first.net_paise == before.trades[0].net_paise - 130
    assert first.gross_paise - first.charges_paise == first.net_paise
    assert second == before.trades[1]
    assert after.totals.net_paise == before.totals.net_paise - 130


def test_a_position_whose_end_is_told_again_is_one_trade_as_told_last() -> None:
    """A crash took what its end was decided by; the time in the market passed once."""
    diary = beginning()
    first_trade(diary)
    before = fold_report(diary.records)
    opened = PositionOpened(position=1, instrument=CALL, venue_at_ns=at("09:31:02"))
    filled = EntryFilled(
        position=1, order_id=order("E0001-1-0"), quantity=130, value_paise=130 * 150_20
    )
    diary.decided("09:39:50", filled, opened)
    told = closed(1, "take_profit", "09:40:00", exit_paise=187_40, opened="09:31:02")
    diary.decided("09:41:00", told)
    diary.decided("09:41:01", told)
    after = fold_report(diary.records)
    [trade] = after.trades
    assert (trade.exit_value_paise, after.work.trades) == (130 * 187_40, 1)
    assert after.totals.gross_paise == trade.gross_paise != before.totals.gross_paise
    assert after.exposure == before.exposure
    assert after.still_open == ()


def test_a_signal_that_is_told_again_after_a_crash_is_one_signal() -> None:
    """Denied twice it is one denial, by the gate that was told last: as the projections say."""
    diary = Diary()
    diary.records = list(a_day())
    before = fold_report(diary.records)
    told = [
        r
        for _, r in diary.records
        if isinstance(r, Decided) and any(isinstance(a, Denied) for a in r.audits)
    ]
    diary.decided("15:00:00", *told[0].audits)
    after = fold_report(diary.records)
    assert before.denials == after.denials == {"cooldown": 1}
    assert (after.work.denials, after.work.signals) == (before.work.denials, before.work.signals)


def test_an_entry_that_ended_empty_and_was_filled_after_all_is_a_trade() -> None:
    """The broker's word had changed."""
    diary = beginning()
    first_trade(diary)
    ended = EntryEnded(position=1, order_id=order("E0001-1-0"), reason="cancelled")
    told = next(n for n, (_, one) in enumerate(diary.records) if _fills(one))
    records = list(diary.records)
    diary.decided("09:31:01", ended)
    diary.decided("09:31:01", ended)
    first, second = diary.records[-2:]
    twice = fold_report([*records[:told], first, second])
    assert [one.position for one in twice.unfilled] == [1]
    found = fold_report([*records[:told], first, *records[told:]])
    assert (found.unfilled, len(found.trades)) == ((), 1)


def _fills(record: object) -> bool:
    return isinstance(record, Decided) and any(isinstance(a, EntryFilled) for a in record.audits)


def test_what_is_left_open_costs_what_the_trade_book_tells() -> None:
    """One that has not ended has no result yet."""
    diary = beginning()
    first_trade(diary)
    diary.records = diary.records[:-1]  # its end is not told
    diary.decided("09:39:00", corrected(is_over=False))
    [left] = fold_report(diary.records).still_open
    assert left.entry_value_paise == 130 * 150_21


def test_totals_are_the_sums_of_the_trades(report: Report) -> None:
    """Money, charges by component, and the time without protection."""
    totals, trades = report.totals, report.trades
    assert (totals.gained, totals.lost) == (1, 1)
    assert totals.gross_paise == sum(trade.gross_paise for trade in trades)
    assert totals.charges == {name: 2 * paise for name, paise in CHARGES.items()}
    assert totals.charges_paise == 2 * sum(CHARGES.values())
    assert totals.net_paise == totals.gross_paise - totals.charges_paise
    assert (totals.unprotected_ns, totals.without_stop_ns) == (500_000_000, 3_000_000_000)


def test_denials_and_exits_are_counted_by_name(report: Report) -> None:
    """And an entry that never filled is told apart from a trade."""
    assert report.denials == {"cooldown": 1}
    assert report.exits == {"take_profit": 1, "trailing_stop": 1}
    assert [(entry.position, entry.reason) for entry in report.unfilled] == [(3, "rejected: funds")]


def test_exposure_is_the_most_at_once_and_the_time_with_any() -> None:
    """Overlapping positions count their premium together and their time once."""
    apart = beginning()
    first_trade(apart)
    second_trade(apart)
    told = fold_report(apart.records).exposure
    assert (told.premium_paise_max, told.positions_open_max) == (130 * 150_20, 1)
    # 09:31:01 to 09:40:00, and 10:00:02 to 10:30:00.
    assert told.in_market_ns == (539 + 1_798) * 1_000_000_000
    # 09:00 to 09:10, 09:05 to 09:20, and from 09:30 on until the record ends at 09:31.
    diary = beginning()
    for number, opens in ((1, "09:00:00"), (2, "09:05:00")):
        held(diary, number, opens)
    diary.decided("09:10:00", closed(1, "x", "09:10:00", exit_paise=1_00, opened="09:00:00"))
    diary.decided("09:20:00", closed(2, "x", "09:20:00", exit_paise=1_00, opened="09:05:00"))
    held(diary, 3, "09:30:00")
    diary.decided("09:31:00")
    told = fold_report(diary.records).exposure
    assert (told.premium_paise_max, told.positions_open_max) == (2 * 130 * 150_20, 2)
    assert told.in_market_ns == (20 + 1) * 60 * 1_000_000_000


def held(diary: Diary, number: int, opens: str) -> None:
    """A position that is opened at once."""
    heard = signal(opens, Direction.UP)
    diary.decided(
        opens,
        IntentFormed(intent=intent(number, heard, CALL)),
        EntryFilled(position=number, order_id=OrderId("x"), quantity=130, value_paise=130 * 150_20),
        PositionOpened(position=number, instrument=CALL, venue_at_ns=at(opens)),
    )


def test_what_is_left_open_is_said() -> None:
    """A record that ends in the middle of a trade does not hide it."""
    diary = beginning()
    second_trade(diary)
    (held,) = fold_report(diary.records[:-1]).still_open
    assert (held.position, held.symbol, held.quantity) == (2, "NIFTY 25 Nov 26000 PE", 130)
    assert held.opened_at_ns == at("10:00:02")
    assert fold_report(diary.records).still_open == ()


def test_an_outage_says_when_entries_stopped_and_what_was_done(report: Report) -> None:
    """From the last fresh price on, with the positions held and each act of the stale policy."""
    (outage,) = report.outages
    assert (outage.since_ns, outage.until_ns) == (at("10:10:00"), at("10:11:14"))
    assert (outage.duration_ns, outage.held) == (74_000_000_000, (2,))
    assert outage.entries_stopped_ns == at("10:10:01.900")
    assert [act.action for act in outage.acts] == ["alarmed"]
    (stale,) = report.stale
    assert (stale.symbol, stale.times) == ("NIFTY 25 Nov 26000 PE", 1)
    assert stale.longest_ns == 72_600_000_000
    (blocked,) = report.blocked
    assert (blocked.term, blocked.times, blocked.total_ns) == ("feed", 1, 72_600_000_000)


def outage_diary(*blocked: tuple[str, str | None]) -> Diary:
    """An outage from 11:00:00 to 11:01:30, with changes of readiness at the times given."""
    diary = beginning()
    steps: list[tuple[str, AnyAudit]] = [
        (face, EntriesBlocked(term=term, values={})) for face, term in blocked
    ]
    stale = QuotesStale(instrument=None, since_ns=at("11:00:00"), reason="silent")
    steps.append(("11:00:02", stale))
    steps.append(("11:01:30", QuotesFresh(instrument=None, after_ns=90_000_000_000)))
    for face, audit in sorted(steps, key=lambda step: step[0]):
        diary.decided(face, audit)
    return diary


# (readiness changes, when entries stopped)
STOPPED: list[tuple[list[tuple[str, str | None]], str | None]] = [
    ([], None),
    ([("11:00:02", "feed")], "11:00:02"),
    ([("10:30:00", "links")], "10:30:00"),
    ([("10:30:00", "links"), ("10:59:00", None)], None),
    ([("10:30:00", "links"), ("10:59:00", None), ("11:00:02", "feed")], "11:00:02"),
    ([("10:59:50", "session"), ("11:00:02", "feed"), ("11:02:00", None)], "10:59:50"),
    ([("11:01:31", "feed")], None),
]


@pytest.mark.parametrize(("blocked", "stopped"), STOPPED, ids=str)
def test_entries_stop_with_an_outage_or_were_off_already(
    blocked: list[tuple[str, str | None]], stopped: str | None
) -> None:
    """The loss of readiness that overlaps the outage counts, whatever its term."""
    (outage,) = fold_report(outage_diary(*blocked).records).outages
    assert outage.entries_stopped_ns == (at(stopped) if stopped else None)


def test_an_outage_that_never_ends_lasts_until_the_end_of_the_record() -> None:
    """So does an instrument that nobody heard of again; one that was sold is watched no longer."""
    diary = beginning()
    diary.decided("11:00:02", QuotesStale(instrument=None, since_ns=at("11:00:00"), reason="x"))
    diary.decided(
        "11:00:05", QuotesStale(instrument=CALL, since_ns=at("11:00:05"), reason="x", held=(9,))
    )
    diary.decided("11:00:30")
    told = fold_report(diary.records)
    assert told.outages[0].until_ns is None
    assert told.outages[0].duration_ns == 30_000_000_000
    assert told.stale[0].total_ns == 25_000_000_000
    diary = beginning()
    second_trade(diary)
    # Without the two records by which the prices came back.
    kept = [r for r in diary.records if "QuotesFresh" not in str(r)]
    (sold,) = fold_report(kept).stale
    assert sold.total_ns == at("10:30:00.200") - at("10:10:01.900")


def test_halts_failures_and_oddities_are_told(report: Report) -> None:
    """Anomalies of one kind stand once, with their number and the first one's figures."""
    assert [(h.level, h.reason) for h in report.halts] == [("pause", "a rule failed")]
    assert [(f.name, f.position, f.error) for f in report.failures] == [
        ("take_profit", None, "ValueError: x")
    ]
    (oddity,) = report.oddities
    assert (oddity.what, oddity.times, oddity.first_at_ns) == ("late trade", 2, at("11:10:00"))


def test_an_empty_journal_has_a_report() -> None:
    """Zeros, and no exception: the first report of a run that never began."""
    told = fold_report([])
    assert (told.run.day, told.run.starts, told.work.events) == ("", 0, 0)
    assert told.totals.net_paise == 0
    assert told.exposure.in_market_ns == 0


def test_a_report_is_a_pure_fold_that_json_keeps(report: Report) -> None:
    """The same records give the same bytes, and the bytes give the report back."""
    encoded = msgspec.json.encode(report)
    assert msgspec.json.encode(fold_report(iter(a_day()))) == encoded
    assert msgspec.json.decode(encoded, type=Report) == report


def test_a_floor_that_was_not_reached_is_named(report: Report) -> None:
    """A result with too little work behind it is no result."""
    assert shortfalls(report.work, {"ticks": 2_500, "trades": 2}) == ()
    assert shortfalls(report.work, {"ticks": 2_501, "trades": 3}) == (
        "ticks 2500 of at least 2501",
        "trades 2 of at least 3",
    )
    with pytest.raises(KeyError):
        shortfalls(report.work, {"tics": 1})
