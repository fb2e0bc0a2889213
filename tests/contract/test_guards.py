"""The broker's own guards through its ports: exit all, kill switch, exit on loss (T25).

Each test is played on the exchange in our process and on the adapter over the wire to another one.
"""

import pytest

from holdfast.domain.command import BrokerKillSwitch, CancelOrder, ExitAll, SetLossExit
from holdfast.domain.event import Guard, GuardAnswered
from holdfast.domain.order import BrokerStatus
from tests.contract.acts import (
    eager,
    filled,
    first,
    patient,
    pause,
    place,
    refusal,
    row,
    told,
    working,
)
from tests.contract.conftest import Perform
from tests.support.venues import Stage

pytestmark = pytest.mark.timeout(150)


async def answered(stage: Stage, guard: Guard) -> GuardAnswered:
    """What the broker said of it."""
    return await stage.until(
        first(stage, GuardAnswered, lambda one: one.guard is guard), f"{guard} is answered"
    )


async def flat(stage: Stage, *ids: int) -> None:
    """Return once nothing is held of the first contracts."""
    for number in ids:
        contract = stage.options()[number]
        for _ in range(60):
            if not await stage.net(contract):
                break
            await pause(stage)
        assert not await stage.net(contract)


def test_exit_all_closes_and_cancels_everything(perform: Perform) -> None:
    """Positions, resting orders of ours, and those of the owner."""

    async def scenario(stage: Stage) -> None:
        contract, other = stage.options()[:2]
        await filled(stage, place(stage, await eager(stage, contract)))
        await stage.owner_buys(other, other.lot_size)
        resting = place(stage, await patient(stage, contract))
        await working(stage, resting)
        stage.ask(ExitAll())
        assert (await answered(stage, Guard.EXIT_ALL)).is_done
        await row(stage, resting, lambda one: one.status is BrokerStatus.CANCELLED, "cancelled")
        await flat(stage, 0, 1)
        told(closed=2, cancelled=1)

    perform(scenario)


@pytest.mark.proves("T25")
def test_the_kill_switch_demands_a_flat_account(perform: Perform) -> None:
    """Refused with something held and with something resting; then nothing is taken any more."""

    async def scenario(stage: Stage) -> None:
        contract = stage.options()[0]
        resting = place(stage, await patient(stage, contract))
        number = (await working(stage, resting)).broker_id
        stage.ask(BrokerKillSwitch())
        no = await answered(stage, Guard.KILL_SWITCH)
        assert not no.is_done
        assert no.reason
        stage.heard.clear()
        stage.ask(CancelOrder(order_id=resting, broker_id=number))
        await row(stage, resting, lambda one: one.status is BrokerStatus.CANCELLED, "cancelled")
        stage.ask(BrokerKillSwitch())
        assert (await answered(stage, Guard.KILL_SWITCH)).is_done
        name = place(stage, await eager(stage, contract))
        assert await refusal(stage, name) is not None
        assert await stage.net(contract) == 0
        told(refused=2)

    perform(scenario)


@pytest.mark.proves("T25")
def test_the_loss_exit_closes_what_has_lost(perform: Perform) -> None:
    """Set and read back; breached already it fires at once, and the broker closes."""

    async def scenario(stage: Stage) -> None:
        contract = stage.options()[0]
        await filled(stage, place(stage, await eager(stage, contract, lots=4)))
        stage.ask(SetLossExit(loss_paise=100))
        assert (await answered(stage, Guard.LOSS_EXIT)).is_done
        await flat(stage, 0)
        told(closed=1)

    perform(scenario)
