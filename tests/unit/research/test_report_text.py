"""The report's text, to the byte."""

import msgspec
import pytest

from holdfast.research import report_text
from holdfast.research.parts import Outage, Report, StaleAct
from holdfast.research.report import fold_report
from tests.support.trades import (
    Diary,
    a_day,
    at,
    beginning,
    closed,
    denied_signal,
    resumed,
    unfilled_entry,
)

DAY = """\
Report of 2026-11-20, sim, rupees, times of India
holdfast 0.1.0, configuration 4dad86d43bfd, TA-Lib 0.8.2

Work
  2,500 ticks of 3 instruments
  2,883 events, 21 steps that decided something, 6 commands
  4 orders, 1 modification, 0 cancels, 1 rejection
  4 signals, 1 denial, 2 round trips

Signals
  4 seen, 3 entered, 1 denied
  gate      denied
  cooldown       1

Trades
  #  contract               side  qty        in      at       out      at  closed by         gross  charges       net
  1  NIFTY 25 Nov 26000 CE  BUY   130  09:31:01  150.20  09:40:00  187.50  take_profit    4,849.00    65.51  4,783.49
  2  NIFTY 25 Nov 26000 PE  BUY   130  10:00:02  150.20  10:30:00  150.00  trailing_stop    -26.00    65.51    -91.51
  closed by: take_profit 1, trailing_stop 1
  3 NIFTY 25 Nov 26000 CE: no fill by 11:00:01, rejected: funds

Exposure
  most premium at risk 19,526.00
  most positions at once 1
  time in the market 38 min 57 s

Protection
    #  unprotected  no stop at the broker
    1      0.250 s                1.500 s
    2      0.250 s                1.500 s
  all      0.500 s                3.000 s

Feed
  10:10:00 to 10:11:14, 74.0 s: silent; entries off after 1.900 s
    held: position 2
    10:10:01.900 position 2: alarmed
  stale alone            times  in all  longest
  NIFTY 25 Nov 26000 PE      1  72.6 s   72.6 s

Entries off
  term  times  in all
  feed      1  72.6 s

Halts, failures, anomalies
  11:20:00 halt pause: a rule failed
  11:20:00 take_profit failed: ValueError: x
  11:10:00 late trade, 2 times: age 1800 ms

Result
  2 round trips: 1 gained, 1 lost
  gross          4,823.00
  - brokerage       80.00
  - stt             36.00
  - transaction     15.02
  charges          131.02
  net            4,691.98
"""


def render(report: Report) -> str:
    """As a simulated run."""
    return report_text.render(report, "sim")


def test_the_text_of_a_day_is_this_one() -> None:
    """Simulated time only, Indian grouping, plain characters."""
    text = render(fold_report(a_day()))
    assert text == DAY
    assert text.isascii()
    assert not any(line.endswith(" ") for line in text.splitlines())


def only(*parts: object) -> Report:
    """The report of a beginning and these parts."""
    diary = beginning()
    for part in parts:
        assert callable(part)
        part(diary)
    return fold_report(diary.records)


# (what happened, why there was no trade)
NOTHING = [
    ((), "none: no strategy gave a signal"),
    ((denied_signal,), "none: every signal was denied, by cooldown 1"),
    ((unfilled_entry,), "none: 1 entry order ended without a fill"),
]


@pytest.mark.parametrize(("parts", "why"), NOTHING, ids=[row[1] for row in NOTHING])
def test_a_day_without_a_trade_says_why(parts: tuple[object, ...], why: str) -> None:
    """It is the first question of such an evening."""
    assert f"Trades\n  {why}\n" in render(only(*parts))


def test_a_position_left_open_cannot_be_overlooked() -> None:
    """It stands in the trades, in capitals, with what it cost."""
    diary = Diary()
    diary.records = a_day()
    cut = next(n for n, (_, record) in enumerate(diary.records) if "PositionClosed" in str(record))
    text = render(fold_report(diary.records[:cut]))
    assert "  1 NIFTY 25 Nov 26000 CE: STILL OPEN, BUY 130 at 150.20\n" in text
    assert "none: nothing was closed" in text


def outage(since: str, seconds: int, *, entries_off: str | None = None) -> Outage:
    """One of so many seconds."""
    return Outage(
        since_ns=at(since),
        until_ns=at(since) + seconds * 1_000_000_000,
        duration_ns=seconds * 1_000_000_000,
        reason="silent",
        held=(),
        entries_stopped_ns=at(entries_off) if entries_off else None,
        acts=(),
    )


def feed_lines(*outages: Outage) -> list[str]:
    """What the report says of these."""
    text = render(msgspec.structs.replace(only(), outages=outages))
    return text.split("\n\nFeed\n")[1].split("\n\n")[0].splitlines()


def test_long_outages_are_named_in_order_and_the_others_counted() -> None:
    """A feed that stutters all day must not bury the gaps that matter."""
    short = [outage(f"11:{minute:02d}:00", 9) for minute in range(20)]
    assert feed_lines(*short, outage("12:00:00", 124), outage("10:00:00", 10)) == [
        "  10:00:00 to 10:00:10, 10.0 s: silent; entries went on",
        "  12:00:00 to 12:02:04, 124.0 s: silent; entries went on",
        "  20 shorter outages, 180.0 s in all",
    ]
    many = feed_lines(*(outage(f"11:{minute:02d}:00", 20 + minute) for minute in range(50)))
    assert len(many) == 40 + 1
    assert many[0] == "  11:10:00 to 11:10:30, 30.0 s: silent; entries went on"
    assert many[40] == "  10 shorter outages, 245.0 s in all"


def act(face: str, position: int, action: str) -> StaleAct:
    """Something done for a position."""
    return StaleAct(at_ns=at(face), position=position, action=action, values={"stop_paise": 1})


def test_what_was_done_at_once_for_several_positions_stands_in_one_line() -> None:
    """And what was done outside of the outages that are named is counted."""
    inside = (
        act("11:00:02", 2, "alarmed"),
        act("11:00:02", 3, "alarmed"),
        act("11:00:03", 2, "held"),
    )
    told = msgspec.structs.replace(outage("11:00:00", 30), acts=inside, held=(2, 3))
    beside = (act("12:00:00", 2, "held"), act("12:10:00", 2, "held"), act("12:10:00", 2, "alarmed"))
    report = msgspec.structs.replace(only(), outages=(told,), stale_acts=inside + beside)
    assert render(report).split("entries went on\n")[1].split("\n\n")[0] == (
        "    held: position 2, position 3\n"
        "    11:00:02.000 position 2, 3: alarmed\n"
        "    11:00:03.000 position 2: held\n"
        "  stale prices of positions besides these: held 2 times, alarmed 1 time"
    )


def test_an_outage_tells_what_became_of_entries() -> None:
    """They stopped, had stopped before, or went on."""
    rows = {
        "11:00:01": "entries off after 1.000 s",
        "10:59:59": "entries were off already",
        None: "entries went on",
    }
    for entries_off, words in rows.items():
        told = outage("11:00:00", 30, entries_off=entries_off)
        assert words in render(msgspec.structs.replace(only(), outages=(told,)))
    endless = msgspec.structs.replace(outage("11:00:00", 30), until_ns=None)
    assert "11:00:00 to the end, 30.0 s" in render(
        msgspec.structs.replace(only(), outages=(endless,))
    )


@pytest.mark.proves("T24")
def test_what_is_carried_and_held_says_since_which_day() -> None:
    """Still open: the day on which it was opened stands beside it, and it counts as exposure."""
    diary = beginning()
    diary.decided("09:05:00", resumed())
    report = fold_report(iter(diary.records))
    assert "1 NIFTY 25 Nov 26000 CE: STILL OPEN, BUY 130 at 150.20, carried from 2026-11-18" in (
        report_text.render(report, "sim")
    )
    assert report.exposure.premium_paise_max == 130 * 150_20


@pytest.mark.proves("T24")
def test_what_is_carried_and_closed_was_in_since_that_day() -> None:
    """The table of round trips shows the day in the place of today's clock."""
    diary = beginning()
    diary.decided("09:05:00", resumed())
    ended = closed(1, "take_profit", "09:40:00", exit_paise=187_50, opened="09:31:01")
    diary.decided("09:40:00", ended)
    report = fold_report(iter(diary.records))
    (trade,) = report.trades
    assert trade.carried_from == "2026-11-18"
    assert "BUY   130  2026-11-18  150.20  09:40:00" in report_text.render(report, "sim")
