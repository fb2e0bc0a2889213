"""The broker's own guards."""

from holdfast.domain.order import Refusal
from holdfast.exchange.guards import BrokerGuards


def test_nothing_is_switched_on_at_first() -> None:
    """Orders pass, and no loss is too large."""
    guards = BrokerGuards()
    assert (guards.is_killed, guards.is_loss_exit_set, guards.objection()) == (False, False, None)
    assert not guards.take_breach(-(10**12))


def test_a_killed_account_takes_no_order() -> None:
    """For a reason that a person can read."""
    guards = BrokerGuards()
    guards.kill()
    objection = guards.objection()
    assert objection is not None
    assert (objection.refusal, objection.text) == (Refusal.OTHER, "Kill switch is active")


def test_the_loss_exit_breaks_at_its_loss_and_once() -> None:
    """A gain never does; a later loss replaces an earlier one."""
    guards = BrokerGuards()
    guards.set_loss_exit(1_000)
    guards.set_loss_exit(500)
    assert not guards.take_breach(10_000)
    assert not guards.take_breach(-499)
    assert guards.take_breach(-500)
    assert not guards.is_loss_exit_set
    assert not guards.take_breach(-500)


def test_guards_are_lifted_again() -> None:
    """Orders are taken again, and no loss is waited for."""
    guards = BrokerGuards()
    guards.kill()
    guards.set_loss_exit(100)
    guards.revive()
    guards.forget_loss_exit()
    assert guards.objection() is None
    assert not guards.is_loss_exit_set
    assert not guards.take_breach(-100)
