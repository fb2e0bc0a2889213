"""Worlds from the command line: many, counted against floors; or one, told and made short."""

import argparse
import os
import sys
from collections.abc import Sequence

from holdfast.worlds.campaign import Tally, campaign, judged
from holdfast.worlds.mixes import DIRECTED, MIXES, script
from holdfast.worlds.shrink import shrink
from holdfast.worlds.story import command_of, cut_to, told
from holdfast.worlds.verdict import Verdict, judge

STORIES_MAX = 3
"""So many broken worlds of a campaign are told; all of them are named."""

LINES_MAX = 120
"""So many lines of a story that was not asked for."""


def main(arguments: Sequence[str]) -> int:
    """0 where everything held and every floor was reached, else 1."""
    asked = _parser().parse_args(arguments)
    if asked.seed is not None:
        return _one(asked)
    return _many(asked)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m holdfast.worlds",
        description="Play made-up days under a seed, with everything going wrong that can.",
    )
    parser.add_argument("--seed", type=int, help="play one world and tell its story")
    parser.add_argument(
        "--mix", choices=[*MIXES, *DIRECTED], help="what is done to it; else by the seed"
    )
    parser.add_argument("--full", action="store_true", help="whole sessions, not ten minutes")
    parser.add_argument("--only", help="the numbers of the acts to keep, or 'none'")
    parser.add_argument(
        "--until", type=int, metavar="S", help="end the world after so many seconds"
    )
    parser.add_argument("--shrink", action="store_true", help="make a failing world short")
    parser.add_argument("--worlds", type=int, default=2_000, help="how many (default %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--processes", type=int, default=min(os.cpu_count() or 1, 2))
    parser.add_argument("--untold", action="store_true", help="name broken worlds, tell no story")
    parser.add_argument("--stop", action="store_true", help="end at the first broken world, untold")
    parser.add_argument("--skip", default="", metavar="N,N", help="seeds to leave out")
    parser.add_argument("--no-floors", action="store_true", help="a violation alone fails")
    return parser


def _one(asked: argparse.Namespace) -> int:
    whole = script(asked.seed, asked.mix, full=asked.full)
    one = cut_to(whole, only=asked.only, until=asked.until)
    if asked.shrink:
        one = shrink(one)
    verdict, world = judge(one)
    if world is not None:
        _say(*told(world))
    if verdict.checker is None:
        _say(
            f"nothing was broken: {verdict.ticks} ticks, {verdict.fills} fills, {verdict.lives} lives"
        )
        return 0
    _say(f"BROKEN at {verdict.second:.2f} s: {verdict.checker}: {verdict.text}")
    _say("again: " + command_of(one, full=asked.full))
    return 1


def _many(asked: argparse.Namespace) -> int:
    left_out = {int(seed) for seed in asked.skip.split(",") if seed}
    wanted = range(asked.first, asked.first + asked.worlds)
    seeds = [seed for seed in wanted if seed not in left_out]
    if asked.stop:
        return _until_broken(asked, seeds)
    progress = _Progress(asked.worlds, full=asked.full)
    tally = campaign(
        seeds, processes=asked.processes, mix=asked.mix, full=asked.full, progress=progress
    )
    _say(*tally.figures())
    for verdict in tally.broken[: 0 if asked.untold else STORIES_MAX]:
        _tell(verdict, asked)
    return _conclude(tally, has_floors=not asked.no_floors and asked.mix is None)


def _until_broken(asked: argparse.Namespace, seeds: Sequence[int]) -> int:
    """Name the first world in which something is broken; nothing else is wanted to be known."""
    scripts = (script(seed, asked.mix, full=asked.full) for seed in seeds)
    for number, verdict in enumerate(judged(scripts, processes=asked.processes), 1):
        if verdict.checker is not None:
            _say(f"{verdict.checker}: {verdict.text} [seed {verdict.seed}, world {number}]")
            return 1
    _say(f"nothing was broken in {len(seeds)} worlds")
    return 0


def _tell(verdict: Verdict, asked: argparse.Namespace) -> None:
    """Make a broken world short, and tell it."""
    short = shrink(script(verdict.seed, asked.mix, full=asked.full))
    again, world = judge(short)
    if world is not None:
        _say("", *told(world, last=LINES_MAX))
    _say(f"BROKEN at {again.second:.2f} s: {again.checker}: {again.text}")
    _say("again: " + command_of(short, full=asked.full))


def _conclude(tally: Tally, *, has_floors: bool) -> int:
    short = list(tally.short_of()) if has_floors else []
    for line in short:
        _say(f"too little: {line}")
    _say(f"{len(tally.broken)} of {tally.worlds} worlds broken")
    return 1 if tally.broken or short else 0


class _Progress:
    """Says how far a campaign is, on a terminal and now and then; a broken world at once."""

    def __init__(self, worlds: int, *, full: bool) -> None:
        self._worlds = worlds
        self._full = " --full" if full else ""
        self._done = 0

    def __call__(self, verdict: Verdict) -> None:
        """One more was judged."""
        self._done += 1
        if verdict.checker is not None:
            again = f"python -m holdfast.worlds --seed {verdict.seed}{self._full}"
            _say(f"{verdict.checker}: {verdict.text}  [{again}]")
        if self._done % max(self._worlds // 20, 1) == 0:
            _say(f"{self._done} of {self._worlds}")


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
