"""Five hundred worlds in every test run, and what the machine of the worlds promises about itself."""

import asyncio
import os
import threading

import pytest
from msgspec.structs import replace

from holdfast.domain.event import BookRead, BookRepeated, Restarted
from holdfast.domain.order import OrderState
from holdfast.runtime.recover import recover
from holdfast.worlds.acts import Boundary, Kill, Script, Skew
from holdfast.worlds.campaign import Tally, campaign
from holdfast.worlds.coverage import wanted
from holdfast.worlds.ground import SECOND
from holdfast.worlds.loop import Died, ThreadStarted, WorldLoop, no_threads
from holdfast.worlds.mixes import MIXES, script
from holdfast.worlds.shrink import shrink
from holdfast.worlds.story import command_of, cut_to, told
from holdfast.worlds.verdict import Verdict, judge
from holdfast.worlds.world import World

WORLDS = int(os.environ.get("HOLDFAST_WORLDS_IN_TEST", "500"))
FLOOR_WORLDS = 500
"""Fewer worlds than that cannot be held against the floors."""


@pytest.mark.worlds
@pytest.mark.proves("TST-1", "TST-2", "TST-3")
@pytest.mark.timeout(1_500)
def test_no_world_is_broken() -> None:
    """Signal to exit, several positions, failing calls, deaths: nothing that is promised breaks."""
    tally = campaign(range(WORLDS), processes=min(os.cpu_count() or 1, 2))
    for line in tally.figures():
        print(line)  # noqa: T201 shown with the result
    assert [(one.seed, one.checker, one.text) for one in tally.broken] == []
    if WORLDS >= FLOOR_WORLDS:
        assert list(tally.short_of()) == []


def test_a_seed_is_the_same_world_again() -> None:
    """Every event, command and fill, in the same order: two plays of a seed are one."""
    one, world = judge(script(4))
    again, other = judge(script(4))
    assert world is not None
    assert other is not None
    assert world.lives > 1
    assert [str(moment) for moment in world.moments] == [str(moment) for moment in other.moments]
    assert world.disk.rows == other.disk.rows
    assert (one.steps, one.struck, one.reached) == (again.steps, again.struck, again.reached)


@pytest.mark.timeout(300)
def test_a_whole_session_goes_on_from_images_and_ends_as_its_journal_says() -> None:
    """Forty minutes of one: its later starts fold little, and the fold of all of it is the same."""
    whole = script(3, "deaths", full=True)
    acts = tuple(act for act in whole.acts if act.at_ns < 2_400 * SECOND)
    verdict, world = judge(replace(whole, seconds=2_400, calm_s=2_250, close_s=2_340, acts=acts))
    assert verdict.checker is None, verdict.text
    assert world is not None
    starts = [one.snapshot for one in world.recovered]
    assert starts[-1] is not None
    assert world.recovered[-1].events < world.steps // 2
    assert world.process is not None
    again = recover(lambda: iter(world.disk.rows), world.make)
    assert again is not None
    assert again[1].snapshot is None
    assert again[0].image() == world.process.engine.image()


def test_a_read_of_the_book_bears_the_stamps_of_the_clock_that_asked() -> None:
    """A process whose clock is off asks after it began, by that clock: its reads are not of before."""
    acts = (
        Skew(at_ns=2 * SECOND, off_ns=-1_400_000_000),
        Kill(at_ns=3 * SECOND, boundary=Boundary.TURN, skip=0, down_ns=2 * SECOND),
    )
    day = Script(seed=19, mix="quiet", seconds=125, calm_s=95, close_s=65, acts=acts)
    world = World(day)
    world.run()
    records = [record for _, record in world.disk.rows]
    last = max(place for place, one in enumerate(records) if isinstance(one, Restarted))
    reads = [one for one in records[last:] if isinstance(one, BookRead | BookRepeated)]
    assert len(reads) >= 3
    assert world.lives == 2
    assert all(records[last].at_ns <= one.began_at_ns <= one.at_ns for one in reads)
    assert reads[1].began_at_ns - reads[0].at_ns < SECOND, "the first counts, and asks the second"


def test_another_seed_is_another_world() -> None:
    """A campaign does not play one world many times."""
    scripts = [script(seed) for seed in range(20)]
    assert len({one.acts for one in scripts if one.acts}) == 18  # every tenth world is quiet
    assert {one.mix for one in scripts} == set(MIXES)


def test_acts_that_are_left_out_move_no_other() -> None:
    """What is drawn hangs on what it is for: a shortened world is the same but for what is gone."""
    whole = script(7)
    cut = cut_to(whole, only="0,2", until=None)
    assert cut.acts == (whole.acts[0], whole.acts[2])
    assert cut_to(whole, only="none", until=90).seconds == 90


def test_a_failing_world_is_made_short() -> None:
    """Only what the break needs is left, and the command that is printed makes it again."""
    whole = script(4)
    needed = next(act for act in whole.acts if isinstance(act, Kill))

    def judged(one: Script) -> Verdict:
        broken = needed in one.acts
        return Verdict(
            seed=one.seed,
            checker="made up" if broken else None,
            text="",
            second=200.0,
            ticks=0,
            steps=0,
            lives=0,
            fills=0,
            fills_under_fault=0,
            seconds_of_cpu=0.0,
            struck={},
            reached=(),
        )

    short = shrink(whole, judged)
    assert short.acts == (needed,)
    assert short.seconds == 202
    number = whole.acts.index(needed)
    command = f"python -m holdfast.worlds --seed 4 --only {number} --until 202"
    assert command_of(short) == command
    assert cut_to(whole, only=str(number), until=202) == short


def test_a_story_tells_orders_fills_and_acts() -> None:
    """In the words of the domain, with the time of each."""
    _, world = judge(script(4))
    assert world is not None
    text = "\n".join(told(world))
    for words in ("the process is killed", "the process starts again", "is wanted", "place "):
        assert words in text
    assert "the exchange: " in text
    assert len(list(told(world, last=5))) < len(list(told(world)))


def test_a_campaign_below_its_floors_says_so() -> None:
    """What was never reached is named: each kind of fault, each row, fills, restarts, ticks."""
    short = list(Tally().short_of())
    assert any("struck 0 times" in line for line in short)
    assert any("no order was ever" in line for line in short)
    assert all(state is not OrderState.PARTLY_FILLED for state, _ in wanted())


def test_a_thread_in_a_world_fails_it() -> None:
    """Its order would differ from run to run."""
    with no_threads(), pytest.raises(ThreadStarted):
        threading.Thread(target=print).start()


def test_time_jumps_and_a_dead_process_does_nothing_more() -> None:
    """An hour passes at once; who has died runs not even its `finally`."""
    done: list[str] = []

    async def sleep() -> None:
        try:
            await asyncio.sleep(3_600)
            done.append("slept")
            await asyncio.sleep(3_600)
        finally:
            done.append("never")

    def turn() -> None:
        if done:
            raise Died

    loop = WorldLoop(turn)
    assert not loop.live(sleep())
    assert loop.time() == 3_600.0
    assert done == ["slept"]
    loop.close()


def test_a_callback_that_fails_ends_the_world() -> None:
    """Nobody awaits it: unheard it would leave a world that waits for ever."""
    loop = WorldLoop()

    async def wait() -> None:
        loop.call_soon(lambda: 1 // 0)
        await asyncio.sleep(60)

    with pytest.raises(ZeroDivisionError):
        loop.live(wait())
    loop.close()
