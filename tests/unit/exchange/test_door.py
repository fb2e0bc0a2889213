"""What is refused before anybody looks at the order."""

import pytest

from holdfast.domain.event import Action
from holdfast.domain.order import OrderTerms, Refusal, Side
from holdfast.exchange.door import REFUSALS, Door
from holdfast.exchange.faults import FaultKind, Faults, FaultWindow
from holdfast.exchange.rates import RateLimits
from tests.unit.exchange.floor import at, buy, stop

ALL = tuple(a for a in Action if a is not Action.FIND)


def door(*kinds: FaultKind, limits: RateLimits | None = None) -> tuple[Door, Faults]:
    """A door on a day on which these kinds always strike."""
    windows = [FaultWindow(kind=kind, from_ns=at(0), until_ns=at(60)) for kind in kinds]
    faults = Faults(1, windows)
    return Door(faults, limits), faults


def asked(at_door: Door, action: Action, terms: OrderTerms | None) -> Refusal | None:
    """The class of the no."""
    objection = at_door.objection(action, terms, name="a", at_ns=at(1))
    return None if objection is None else objection.refusal


@pytest.mark.parametrize("bad", REFUSALS, ids=lambda bad: bad.kind.value)
def test_each_refusal_concerns_its_requests_and_no_others(bad: object) -> None:
    """Funds need terms, triggers need a stop, a cancel needs an order."""
    (row,) = [one for one in REFUSALS if one is bad]
    for action in ALL:
        for terms in (buy(10_000), stop(Side.SELL, 9_900, 9_800)):
            at_door, faults = door(row.kind)
            is_concerned = action in row.actions and (
                not row.is_stops_only or terms.trigger_paise is not None
            )
            assert asked(at_door, action, terms) == (row.refusal if is_concerned else None)
            assert faults.struck[row.kind] == int(is_concerned)


def test_every_class_of_refusal_can_be_met() -> None:
    """No reaction of ours goes untried."""
    assert {bad.refusal for bad in REFUSALS} == set(Refusal)


def test_the_rates_come_first_and_name_their_window() -> None:
    """A request beyond them is looked at no further."""
    at_door, faults = door(FaultKind.REFUSED_FUNDS, limits=RateLimits(second=1))
    assert asked(at_door, Action.PLACE, buy(10_000)) is Refusal.FUNDS
    objection = at_door.objection(Action.PLACE, buy(10_000), name="b", at_ns=at(1))
    assert objection is not None
    assert (objection.refusal, objection.text) == (
        Refusal.RATE,
        "Too many requests in a second",
    )
    assert faults.struck[FaultKind.REFUSED_FUNDS] == 1


def test_reads_are_refused_by_a_dead_token_alone() -> None:
    """A wrong address does not show in reads (T27)."""
    at_door, _ = door(FaultKind.IP_REFUSED, limits=RateLimits(second=0))
    assert at_door.read_objection(name="a", at_ns=at(1)) is None
    at_door, _ = door(FaultKind.TOKEN_DEAD)
    assert "invalid or expired" in (at_door.read_objection(name="a", at_ns=at(1)) or "")
