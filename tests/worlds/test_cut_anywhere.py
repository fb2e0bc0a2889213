"""One reference day, cut off at every record and at every request: the next start ends even.

The exchange lives on; of ours is left what a disk had. The checkers of the worlds look after every
step: no order twice, no orphan, and at the end profit and positions are the exchange's.
"""

import pytest

from holdfast.domain.command import ModifyOrder, PlaceOrder
from holdfast.store.records import Decided
from holdfast.worlds.acts import Boundary, Kill, Script
from holdfast.worlds.disk import DiskPace
from holdfast.worlds.ground import SECOND
from holdfast.worlds.terms import Terms, terms
from holdfast.worlds.world import World

SEED = 19
DAY = Script(seed=SEED, mix="quiet", seconds=125, calm_s=95, close_s=65, acts=())
MS = 1_000_000
PACES = (
    DiskPace(commit_ns=0, flush_ns=0, wait_ns=0),
    DiskPace(commit_ns=1_000 * MS, flush_ns=700 * MS, wait_ns=40 * MS),
)

FLOORS = {Boundary.RECORD: 250, Boundary.BEFORE_SEND: 50, Boundary.AFTER_SEND: 50}
"""How many boundaries of each kind the day must have, at least."""


def made(pace: DiskPace) -> Terms:
    """The terms of the reference day on a disk of this pace."""
    drawn = terms(DAY)
    return Terms(
        settings=drawn.settings,
        contracts=drawn.contracts,
        behaviour=drawn.behaviour,
        pace=pace,
        cash_paise=drawn.cash_paise,
        speaks_bps=drawn.speaks_bps,
    )


def cut(boundary: Boundary, skip: int, pace: DiskPace) -> World:
    """The day, cut off at one boundary; raises where a checker sees something."""
    kill = Kill(at_ns=0, boundary=boundary, skip=skip, down_ns=2 * SECOND)
    world = World(
        Script(
            seed=DAY.seed,
            mix=DAY.mix,
            seconds=DAY.seconds,
            calm_s=DAY.calm_s,
            close_s=DAY.close_s,
            acts=(kill,),
        ),
        made(pace),
    )
    world.run()
    return world


def test_the_reference_day_has_what_can_be_cut() -> None:
    """Floor: several positions, stops that move, exits, and requests of each kind."""
    world = World(DAY, made(PACES[0]))
    world.run()
    commands = [
        command
        for _, record in world.disk.rows
        if isinstance(record, Decided)
        for command in record.commands
    ]
    assert sum(isinstance(one, PlaceOrder) for one in commands) >= 6
    assert sum(isinstance(one, ModifyOrder) for one in commands) >= 1
    assert len(world.exchange.executed) >= 6


@pytest.mark.proves("RACE-10")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("pace", PACES, ids=("each record", "now and then"))
@pytest.mark.parametrize(("boundary", "floor"), FLOORS.items())
def test_a_cut_anywhere_ends_in_even_books(boundary: Boundary, floor: int, pace: DiskPace) -> None:
    """At every boundary of the kind in turn, none left out, to the day's end."""
    skip = 0
    while cut(boundary, skip, pace).lives > 1:
        skip += 1
    print(f"cut {boundary.value}: at each of {skip}, the disk commits each {pace.commit_ns} ns")  # noqa: T201 what was done is told with the result
    assert skip >= floor
