"""The chain behind a position, an order or a signal, from a journal written by hand."""

import msgspec
import pytest

from holdfast.domain.command import FindOrder
from holdfast.domain.decision import Denial
from holdfast.domain.event import Action, Outcome
from holdfast.domain.order import BrokerStatus
from holdfast.research.explain import Explanation, explain
from holdfast.research.stories import Answered, Asked, Failed, Heard, Looked
from tests.support.trades import CHARGES, a_day, at, beginning, corrected, first_trade, order


def explained(asked: str) -> Explanation:
    """What the day written by hand says about it."""
    told = explain(a_day(), asked)
    assert told is not None
    return told


# (asked, number of the signal, position)
ASKED = [
    ("1", 1, 1),
    ("2", 3, 2),
    ("s1", 1, 1),
    ("S3", 3, 2),
    (order("S0001-1-0"), 1, 1),
    (order("E0003-1-0"), 4, 3),
    (f"supertrend|IDX_I:13|{at('09:59:00')}|down", 3, 2),
    ("s2", 2, None),
]


@pytest.mark.parametrize(("asked", "number", "position"), ASKED)
def test_a_story_is_found_by_any_of_its_names(
    asked: str, number: int, position: int | None
) -> None:
    """A position's number, a signal's number or id, the id of any of its orders."""
    told = explained(asked)
    assert (told.asked, told.number) == (asked, number)
    assert (told.intent.position if told.intent else None) == position


@pytest.mark.parametrize("asked", ["4", "0", "s5", "s0", "", "nobody", "E0001", "999999999999"])
def test_what_the_journal_does_not_know_has_no_story(asked: str) -> None:
    """Not a story of something else that looks alike."""
    assert explain(a_day(), asked) is None


def test_a_denied_signal_tells_gate_and_figures() -> None:
    """And nothing that never was: no intent, no order."""
    told = explained("s2")
    assert told.denial == Denial(gate="cooldown", values={"wanted_s": 300, "age_s": 121})
    assert (told.intent, told.symbol, told.orders, told.moments) == (None, None, (), ())
    assert told.closed is None
    assert told.underlying == "NIFTY"


def test_the_chain_of_a_trade_is_whole() -> None:
    """Signal, gates, sizing, orders with their times, protection, the exit, the charges."""
    told = explained("1")
    assert told.signal.values == {"close": 26_012.35, "supertrend": 25_990.5, "adx": 24.25}
    assert told.intent is not None
    assert [passed.gate for passed in told.intent.passed] == ["halted", "spread"]
    assert told.intent.sizing.loss_at_stop_paise == 4_219_01
    assert [story.order_id for story in told.orders] == [order("E0001-1-0"), order("S0001-1-0")]
    assert [type(moment.audit).__name__ for moment in told.moments] == [
        "ProtectionVerified",
        "ExitDecided",
        "PositionClosed",
    ]
    assert told.closed is not None
    assert told.closed.charges == CHARGES


def test_the_result_is_what_the_trade_book_made_of_it() -> None:
    """The end as it was told, with the money that was corrected since (T30)."""
    diary = beginning()
    first_trade(diary)
    diary.decided("09:40:05", corrected())
    told = explain(diary.records, "1")
    assert told is not None
    assert told.closed is not None
    assert told.closed.entry_value_paise == 130 * 150_21
    assert told.closed.net_paise == 130 * (187_50 - 150_21) - sum(CHARGES.values())
    assert type(told.moments[-1].audit).__name__ == "FillsCorrected"


def test_an_orders_turns_stand_in_order_and_news_stand_once() -> None:
    """What was asked, answered, looked for and heard; a row read again says nothing new."""
    entry, stop = explained("1").orders
    assert [(type(turn), turn.at_ns) for turn in entry.turns] == [
        (Asked, at("09:31:01.500")),
        (Answered, at("09:31:01.560")),
        (Heard, at("09:31:01.700")),
    ]
    assert [type(turn) for turn in stop.turns] == [Asked, Heard, Looked, Asked, Heard]
    bought = entry.turns[-1]
    assert isinstance(bought, Heard)
    assert (bought.status, bought.filled_quantity) == (BrokerStatus.FILLED, 130)
    modified = stop.turns[3]
    assert isinstance(modified, Asked)
    assert modified.action is Action.MODIFY


def test_reads_of_an_order_are_counted_and_not_listed() -> None:
    """An order that rests for an hour is read 3,600 times; that is one turn."""
    diary = beginning()
    first_trade(diary)
    for second in range(50):
        commands = (FindOrder(order_id=order("S0001-1-0")),)
        diary.decided(f"09:41:{second:02d}", commands=commands)
    told = explain(diary.records, "1")
    assert told is not None
    *_, looked = told.orders[1].turns
    assert looked == Looked(at_ns=at("09:41:00"), until_ns=at("09:41:49"), times=50)


def test_a_refused_entry_tells_the_class_of_the_refusal() -> None:
    """Where the broker gave no words of its own."""
    (entry,) = explained("3").orders
    failed = entry.turns[-1]
    assert isinstance(failed, Failed)
    assert (failed.action, failed.outcome, failed.reason) == (
        Action.PLACE,
        Outcome.REFUSED,
        "funds",
    )


def test_an_explanation_is_kept_by_json() -> None:
    """Its bytes give it back."""
    for asked in ("1", "s2"):
        told = explained(asked)
        assert msgspec.json.decode(msgspec.json.encode(told), type=Explanation) == told
