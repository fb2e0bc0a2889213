"""The wanted set: kept apart from any connection, told in hundreds, and held ones stay in it."""

import json

import pytest

from holdfast.brokers.dhan.wanted import Wanted, messages
from holdfast.domain.instrument import InstrumentId, OptionType, Segment, instrument_id
from tests.support.desk import CALL, NIFTY, PUT, option

MANY = [option(50_000 + n, 20_000 + 50 * n, OptionType.CALL) for n in range(250)]


def wanted(*held: InstrumentId) -> Wanted:
    """A set that knows today's contracts."""
    one = Wanted(lambda: set(held))
    one.know([NIFTY, CALL, PUT])
    return one


def test_indices_are_wanted_from_the_beginning() -> None:
    """They are what shows whether the feed lives (T10)."""
    assert list(wanted().all()) == [NIFTY]


def test_what_is_held_comes_first_then_indices_then_the_order_of_wanting() -> None:
    """So the first message of a new connection brings back the eyes on the positions."""
    one = wanted(PUT.id)
    one.want([CALL.id, PUT.id, CALL.id])
    assert list(one.all()) == [PUT, NIFTY, CALL]
    assert list(one.held()) == [PUT, NIFTY]
    assert one.all() is one.all()


def test_a_second_connection_brings_nothing_while_nothing_is_held() -> None:
    """The indices alone need none."""
    one = wanted()
    one.want([CALL.id])
    assert list(one.held()) == []


def test_what_the_master_does_not_hold_yet_waits_for_it() -> None:
    """A position of yesterday is asked for before the master is loaded (I-57)."""
    one = Wanted(frozenset)
    one.want([CALL.id])
    assert list(one.all()) == []
    one.know([CALL, NIFTY])
    assert {each.id for each in one.all()} == {CALL.id, NIFTY.id}


@pytest.mark.proves("I-62")
def test_what_is_held_cannot_be_dropped() -> None:
    """Nor can an index; everything else goes, and can be wanted again."""
    held: set[InstrumentId] = {CALL.id}
    one = Wanted(lambda: held)
    one.know([NIFTY, CALL, PUT])
    one.want([CALL.id, PUT.id])
    assert one.drop([CALL.id, PUT.id, NIFTY.id]) == (CALL.id, NIFTY.id)
    assert {each.id for each in one.all()} == {CALL.id, NIFTY.id}
    held.clear()
    assert one.drop([CALL.id]) == ()
    assert list(one.all()) == [NIFTY]
    one.want([CALL.id])
    assert CALL in one.all()


def test_a_message_names_a_hundred_at_most_and_counts_them() -> None:
    """Options in full mode, indices by the ticker; ids are strings (dhan.md 4.1)."""
    told = [json.loads(text) for text in messages([NIFTY, *MANY])]
    assert [(text["RequestCode"], text["InstrumentCount"]) for text in told] == [
        (15, 1),
        (21, 100),
        (21, 100),
        (21, 50),
    ]
    assert all(len(text["InstrumentList"]) == text["InstrumentCount"] for text in told)
    assert told[0]["InstrumentList"] == [{"ExchangeSegment": "IDX_I", "SecurityId": "13"}]
    named = [entry["SecurityId"] for text in told[1:] for entry in text["InstrumentList"]]
    assert named == [str(each.security_id) for each in MANY]


def test_unsubscribing_has_codes_of_its_own() -> None:
    """16 for the ticker, 22 for full."""
    told = [json.loads(text) for text in messages([NIFTY, CALL], is_wanted=False)]
    assert [text["RequestCode"] for text in told] == [16, 22]


def test_nothing_to_ask_for_is_no_message() -> None:
    """An empty list could mean everything to somebody."""
    assert list(messages([])) == []


def test_an_unknown_instrument_is_dropped_without_a_word() -> None:
    """It was never wanted."""
    assert wanted().drop([instrument_id(Segment.NSE_FNO, 1)]) == ()
