"""Gates on a candidate made by hand: what the usual signal never shows them."""

import msgspec
import pytest

from holdfast.core.entries.candidate import Candidate, form
from holdfast.core.entries.gates import contract, plan
from holdfast.domain.audit import Denied, IntentFormed
from holdfast.domain.decision import Denial, Direction, Passed
from holdfast.domain.order import BrokerStatus
from tests.support.desk import CALL, Desk


def candidate(desk: Desk) -> Candidate:
    """The candidate of a signal that entered."""
    desk.enter()
    return form(desk.engine._state, desk.told(IntentFormed)[0].intent.signal)  # noqa: SLF001


@pytest.mark.proves("I-49")
def test_a_contract_without_a_known_freeze_quantity_is_not_traded() -> None:
    """Zero means that nobody knows it: a size could not be bounded (I-49)."""
    desk = Desk()
    made = candidate(desk)
    state = desk.engine._state  # noqa: SLF001
    assert isinstance(contract(state, made), Passed)
    unknown = msgspec.structs.replace(CALL, freeze_quantity=0)
    answer = contract(state, msgspec.structs.replace(made, instrument=unknown))
    assert isinstance(answer, Denial)
    assert answer.values["freeze_quantity"] == 0


def test_the_stops_limit_must_lie_below_the_entry() -> None:
    """At or above it there is no loss to size by."""
    desk = Desk()
    made = candidate(desk)
    state = desk.engine._state  # noqa: SLF001
    assert made.limit_paise is not None
    for stop_limit, expected in ((made.limit_paise - 5, Passed), (made.limit_paise, Denial)):
        changed = msgspec.structs.replace(made, stop_limit_paise=stop_limit)
        assert isinstance(plan(state, changed), expected)


def test_an_underlying_that_went_stale_bars_the_entry() -> None:
    """The contract ticks on, the index does not: six seconds old is no spot to choose by."""
    desk = Desk()
    stop = desk.hold()
    desk.breach(70)
    desk.row(stop.order_id, BrokerStatus.FILLED, terms=stop.terms, filled=195, price=87.9)
    desk.funds()
    signal = desk.told(IntentFormed)[0].intent.signal
    desk.at(100).spot()
    for second in range(101, 107):
        desk.at(second).tick(CALL)
    later = msgspec.structs.replace(signal, direction=Direction.DOWN, candle_start_ns=1)
    from holdfast.core.entries.entering import consider  # noqa: PLC0415 asked at a chosen instant

    consider(desk.engine._state, later)  # noqa: SLF001
    desk.at(106.1)
    denial = desk.told(Denied)[-1].denial
    assert denial.gate == "fresh_quotes"
    assert denial.values == {"instrument": "NIFTY", "fault": "packet old"}
