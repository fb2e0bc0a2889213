"""The engine's books: what an empty one says, and how it speaks to the outside."""

import msgspec
import pytest

from holdfast.core.books.postings import Account
from holdfast.core.state import DayCount, LossWatch, State
from holdfast.domain.audit import Anomaly
from holdfast.domain.command import Notify, ReadFunds, Severity
from holdfast.domain.decision import HaltLevel
from holdfast.domain.event import Link
from holdfast.domain.instrument import Exchange, instrument_id
from tests.support.desk import CALL, FACTS, PRICES, RATES, SESSION, settings


def test_a_new_state_knows_nothing_and_assumes_the_worst() -> None:
    """No link, no journal, no funds, no facts: whatever nobody has said is not there."""
    known = settings()
    state = State(known)
    assert state.settings is known
    assert (state.timers.deadline_ns, state.orders, state.live) == (None, {}, [])
    assert state.links == dict.fromkeys(Link, False)
    assert (state.journal_durable, state.rules_failed) == (False, False)
    assert (state.funds_paise, state.facts, state.blocked_term) == (None, None, None)
    assert (state.halt, state.halt_reason) == (HaltLevel.NONE, "")
    assert (state.now_ns, state.fills, state.live_net_paise, state.quotes_asked_ns) == (0, 0, 0, 0)
    assert state.funds_at_fills == -1, "funds were read after no number of fills, zero included"
    assert all(state.ledger.balance_e4(account) == 0 for account in Account)
    assert (
        vars(state.day)
        == vars(DayCount())
        == {
            "positions": 0,
            "trades": 0,
            "realised_net_paise": 0,
            "signals_seen": set(),
            "last_exit_ns": {},
        }
    )
    assert (
        vars(state.loss)
        == vars(LossWatch())
        == {"since_ns": None, "marked_ns": {}, "is_confirmed": False}
    )


@pytest.mark.parametrize("exit_by_modify", [True, False])
def test_how_exits_are_made_begins_as_set(*, exit_by_modify: bool) -> None:
    """The day may change it (T2), the settings stay."""
    state = State(settings(exit_by_modify=exit_by_modify))
    assert state.exit_by_modify is exit_by_modify


def test_what_is_sent_and_told_stands_in_the_outbox_in_order() -> None:
    """Commands and audits are two lists; an alarm is one of each."""
    state = State(settings())
    state.send(ReadFunds())
    state.alarm("two orders with one id", {"order": "X", "count": 2})
    assert state.out.audits == [
        Anomaly(what="two orders with one id", values={"order": "X", "count": 2})
    ]
    text = "two orders with one id: order X, count 2"
    assert state.out.commands == [ReadFunds(), Notify(severity=Severity.ALARM, text=text)]
    state.tell(Anomaly(what="later", values={}))
    assert [audit.what for audit in state.out.audits if isinstance(audit, Anomaly)][1] == "later"


def test_hours_are_unknown_until_facts_are_loaded() -> None:
    """Then they are those of the exchange, and none where it does not open."""
    state = State(settings())
    assert state.session(Exchange.NSE) is None
    state.facts = FACTS
    assert state.session(Exchange.NSE) is SESSION
    assert state.session(Exchange.BSE) is None


def test_rules_and_charges_are_those_of_the_instruments_exchange() -> None:
    """What an exchange's facts lack is an error, not a default."""
    state = State(settings())
    state.facts = FACTS
    assert state.price_rules(CALL) is PRICES
    assert state.charge_rates(CALL) is RATES
    elsewhere = msgspec.structs.replace(CALL, exchange=Exchange.BSE)
    with pytest.raises(LookupError):
        state.price_rules(elsewhere)
    with pytest.raises(LookupError):
        state.charge_rates(elsewhere)


def test_an_instrument_outside_the_master_has_no_quote() -> None:
    """It is never made up on the way."""
    with pytest.raises(KeyError):
        State(settings()).quote(instrument_id(CALL.segment, 1))
