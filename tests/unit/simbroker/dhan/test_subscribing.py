"""What a client of the market feed asks for."""

import json
from typing import Any

import pytest

from holdfast.simbroker.dhan.packets import Reason
from holdfast.simbroker.dhan.subscribing import Subscriptions, Wish, read_wish
from tests.unit.simbroker.dhan.market_day import CALL, INDEX, share, wish


def test_a_message_names_a_mode_and_instruments() -> None:
    """Segment and id together, the id being a string."""
    told = read_wish(json.dumps(wish(21, INDEX, CALL)))
    assert told == Wish(21, (INDEX.id, CALL.id))
    assert read_wish('{"RequestCode":12}') == Wish(12)
    assert read_wish('{"RequestCode":11}') == Wish(11)


def test_a_hundred_instruments_fit() -> None:
    """One more does not."""
    hundred = [share(number) for number in range(100)]
    assert isinstance(read_wish(json.dumps(wish(15, *hundred))), Wish)
    assert read_wish(json.dumps(wish(15, *hundred, INDEX))) is Reason.TOO_MANY_INSTRUMENTS


@pytest.mark.parametrize(
    "told",
    [
        "",
        "[]",
        "{}",
        '{"RequestCode":"15"}',
        '{"RequestCode":15}',
        json.dumps({**wish(15), "InstrumentList": [{"ExchangeSegment": "IDX_I"}]}),
        json.dumps({**wish(15), "InstrumentList": ["13"]}),
        json.dumps(
            {**wish(15), "InstrumentList": [{"ExchangeSegment": "IDX_I", "SecurityId": 13}]}
        ),
        json.dumps(
            {**wish(15), "InstrumentList": [{"ExchangeSegment": "IDX", "SecurityId": "13"}]}
        ),
    ],
)
def test_what_is_no_request_ends_the_connection(told: Any) -> None:
    """A number is no id; a segment in other letters is none."""
    assert read_wish(told) is Reason.BAD_REQUEST


def test_the_richest_mode_is_served() -> None:
    """Taking it back leaves the one below, and at last nothing."""
    follows = Subscriptions()
    follows.add(CALL.id, 21)
    follows.add(CALL.id, 15)
    assert follows.mode(CALL.id) == 21
    follows.remove(CALL.id, 21)
    assert follows.all() == {CALL.id: 15}
    follows.remove(CALL.id, 15)
    follows.remove(INDEX.id, 15)
    assert (follows.mode(CALL.id), len(follows)) == (None, 0)
