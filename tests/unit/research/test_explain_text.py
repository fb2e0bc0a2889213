"""The text of explanations, to the byte."""

import pytest

from holdfast.research.explain import explain
from holdfast.research.explain_text import render
from tests.support.trades import a_day, beginning, corrected, first_trade, order, resumed

TRADE = """\
Signal s1, 09:31:01: supertrend expects NIFTY to go up
  the trend turned up
  candle from 09:30:00: close 26012.35, supertrend 25990.5, adx 24.25

Gates
  gate            with
  halted  passed  level none
  spread  passed  spread 0.5 %, max 2 %

Position 1: BUY 130 NIFTY 25 Nov 26000 CE, INTRADAY, at 150.75 at worst
  size: 2 lots x 65 x (150.75 - 118.80) = 4,153.50, with charges 65.51 a loss of 4,219.01 at the stop's limit; budget 5,000.00, free cash 5,00,000.00; bound by risk
  plan: stop 132.00, target 187.50, trailing 6 % behind the peak once at 162.00, closed from 15:15:00 on

Order SIM0001261120-E0001-1-0, entry
  09:31:01.500  we ask: place BUY 130 limit 150.75
  09:31:01.560  the broker's number is B0001-1-0
  09:31:01.700  filled: BUY 130 limit 150.75, 130 filled at 150.20 (exchange 09:31:01)

Order SIM0001261120-S0001-1-0, stop
  09:31:01.700  we ask: place SELL 130 trigger 132.00 limit 118.80
  09:31:02.000  working: SELL 130 trigger 132.00 limit 118.80 (exchange 09:31:02)
  09:31:02.000  we read it, 1 times until 09:31:02
  09:40:00.100  we ask: modify SELL 130 limit 187.00
  09:40:00.300  filled: SELL 130 limit 187.00, 130 filled at 187.50 (exchange 09:40:00)

Protection, levels and exit
  09:31:02.000  stop seen at the broker: 130 trigger 132.00 limit 118.80
  09:40:00.100  exit: take_profit, level 187.50, price 187.55
  09:40:00.300  closed by take_profit

Result, closed by take_profit
  09:31:01 in at 150.20, 09:40:00 out at 187.50, 130 contracts
  unprotected 0.250 s, without a stop at the broker 1.500 s
  gross          4,849.00
  - brokerage       40.00
  - stt             18.00
  - transaction      7.51
  net            4,783.49
"""

DENIED = """\
Signal s2, 09:42:01: supertrend expects NIFTY to go up
  the trend turned up
  candle from 09:41:00: close 26012.35, supertrend 25990.5, adx 24.25

Gates
  gate              with
  cooldown  DENIED  wanted 300 s, age 121 s
"""

TRAILED = """\
Protection, levels and exit
  10:10:01.900  stale price, alarmed: fault silent
  10:20:00.000  peak 170.00 moves the stop to 159.80
  10:25:00.000  no stop at the broker: stop is cancelled
  10:30:00.000  exit: trailing_stop, level 159.80, price 159.75, peak 170.00
  10:30:00.200  closed by trailing_stop
"""

UNFILLED = """\
  11:00:01.500  we ask: place BUY 130 limit 150.75
  11:00:01.600  place refused: funds

Protection, levels and exit
  11:00:01.600  the entry ended without a fill: rejected: funds
"""


@pytest.mark.parametrize(("asked", "text"), [("1", TRADE), ("s2", DENIED)], ids=["trade", "denied"])
def test_the_text_of_a_story_is_this_one(asked: str, text: str) -> None:
    """From the candle to the charges, each figure with its unit."""
    told = explain(a_day(), asked)
    assert told is not None
    assert render(told) == text
    assert text.isascii()


@pytest.mark.parametrize(("asked", "part"), [("2", TRAILED), ("3", UNFILLED)])
def test_levels_and_ends_of_other_stories_are_told(asked: str, part: str) -> None:
    """A stop that followed its peak; an entry that came to nothing."""
    told = explain(a_day(), asked)
    assert told is not None
    assert part in render(told)


def test_a_corrected_price_is_told_with_its_order() -> None:
    """Which order's, and what the trade book says that a contract cost."""
    diary = beginning()
    first_trade(diary)
    diary.decided("09:40:05", corrected())
    told = explain(diary.records, "1")
    assert told is not None
    name = order("E0001-1-0")
    assert f"09:40:05.000  the trade book tells the price of {name}: 150.21" in render(told)


@pytest.mark.proves("T24")
def test_what_is_carried_tells_where_its_beginning_stands() -> None:
    """The intent with its plan of today, and the day and number that the rest is told under."""
    diary = beginning()
    diary.decided("09:05:00", resumed())
    told = explain(diary.records, "1")
    assert told is not None
    text = render(told)
    assert "Position 1: BUY 130 NIFTY 25 Nov 26000 CE" in text
    assert "Carried from 2026-11-19, there position 3, opened on 2026-11-18" in text
    assert "  130 contracts at 150.20, stop 140.00" in text
