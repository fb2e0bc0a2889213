"""Faults that keep an order from what the market would give it."""

import pytest
from msgspec.structs import replace

from holdfast.domain.order import BrokerOrderId, OrderTerms, Refusal, Side
from holdfast.exchange.checks import Judge
from holdfast.exchange.faults import FaultKind, Faults, FaultWindow
from holdfast.exchange.hindrances import Hindrances
from holdfast.exchange.order import LiveOrder
from tests.support.desk import CALL, PUT
from tests.unit.exchange.floor import at, buy, oid, stop


def window(kind: FaultKind, quantity: int | None = None) -> FaultWindow:
    """Between the first second and the third, on the call."""
    return FaultWindow(
        kind=kind, from_ns=at(1), until_ns=at(3), quantity=quantity, instrument=CALL.id
    )


def an_order(terms: OrderTerms | None = None) -> LiveOrder:
    """Five lots of the call."""
    terms = buy(10_005, 325) if terms is None else terms
    return LiveOrder(oid("E"), BrokerOrderId("1"), terms=terms, rank=1, at_ns=at(0))


def test_without_such_faults_nothing_is_slowed() -> None:
    """A fault at the trigger slows nobody down."""
    hindrances = Hindrances(Faults(1, [window(FaultKind.STOP_REFUSED_AT_TRIGGER)]))
    assert not hindrances.is_slowing
    assert hindrances.most(an_order(), 325, at(1), lot=65) is None


def test_a_fault_that_is_set_while_the_exchange_runs_strikes() -> None:
    """A server's faults are set by its control address, long after its exchange was made."""
    faults = Faults(1)
    hindrances = Hindrances(faults)
    faults.add([window(FaultKind.FILLS_SLICED)])
    assert hindrances.is_slowing
    assert hindrances.most(an_order(), 325, at(1), lot=65) == 65
    faults.clear()
    assert not hindrances.is_slowing


def test_what_is_withheld_is_counted_once_for_an_order() -> None:
    """However often it would have traded; outside the window all of it may."""
    faults = Faults(1, [window(FaultKind.FILLS_WITHHELD)])
    hindrances, order = Hindrances(faults), an_order()
    assert hindrances.is_slowing
    most = [hindrances.most(order, 325, at(second), lot=65) for second in (0, 1, 2, 3)]
    assert most == [None, 0, 0, None]
    assert faults.struck == {FaultKind.FILLS_WITHHELD: 1}


@pytest.mark.parametrize(("quantity", "expected"), [(None, 65), (130, 130), (325, None)])
def test_slices_are_a_lot_unless_the_window_says(
    quantity: int | None, expected: int | None
) -> None:
    """A slice that is all there is to trade hinders nobody, and is not counted."""
    faults = Faults(1, [window(FaultKind.FILLS_SLICED, quantity)])
    hindrances, order = Hindrances(faults), an_order()
    assert hindrances.most(order, 325, at(1), lot=65) == expected
    assert hindrances.most(order, 0, at(1), lot=65) is None
    assert faults.struck[FaultKind.FILLS_SLICED] == int(expected is not None)


def test_a_touched_stop_may_be_refused_by_the_exchange() -> None:
    """In its window and its contract: outside the band, says the exchange."""
    faults = Faults(1, [window(FaultKind.STOP_REFUSED_AT_TRIGGER)])
    hindrances, order = Hindrances(faults), an_order(stop(Side.SELL, 9_900, 9_800))
    assert hindrances.at_trigger(order, at(0)) is None
    objection = hindrances.at_trigger(order, at(1))
    assert objection is not None
    assert (objection.judge, objection.refusal) == (Judge.EXCHANGE, Refusal.BAND)
    assert faults.struck == {FaultKind.STOP_REFUSED_AT_TRIGGER: 1}
    other = an_order(replace(stop(Side.SELL, 9_900, 9_800), instrument=PUT.id))
    assert hindrances.at_trigger(other, at(1)) is None
