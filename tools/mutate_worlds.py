"""Breaks the safety code on purpose and plays worlds until a checker notices: `make mutants-worlds`.

`tests/mutants/worlds/*.toml` hold the patches: each text must stand exactly once in its file, and
the runner fails loudly where one no longer does. Names as arguments run those alone; `--check` only
looks whether each patch still fits. A catch counts only where the same world is whole without the
patch; the seed that a sheet records is tried first.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Final

import msgspec

from tools import CHECKOUT, PACKAGE

FOLDER: Final = CHECKOUT / "tests" / "mutants" / "worlds"
RESULTS: Final = FOLDER / "RESULTS.md"
HEAD: Final = """# What notices each break

Written by `make mutants-worlds`: the first checker that saw it, and in the world of which seed. A
seed after which a mix stands in brackets is of that mix (`--mix`).
"""
WORLDS: Final = int(os.environ.get("HOLDFAST_WORLDS", "500"))
TIMEOUT_S: Final = 1_800.0
WORKERS: Final = 2


class WorldMutant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One patch: `find`, which stands in `file` exactly once, becomes `replace`.

    `name` says what the broken program does; `file` is relative to the package. `checkers` are
    those that may notice it first; empty: any. `mix` is what is done to the worlds, where only one
    mix can show it. `seed` is one that is known to notice it: it is played first.
    """

    name: str
    file: str
    find: str
    replace: str
    checkers: tuple[str, ...] = ()
    mix: str | None = None
    seed: int | None = None


class Sheet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of patches."""

    mutant: tuple[WorldMutant, ...] = ()


def load(folder: Path = FOLDER) -> list[WorldMutant]:
    """Every mutant of every sheet, in order. Raises ValueError at a sheet that cannot be read."""
    found: list[WorldMutant] = []
    for path in sorted(folder.glob("*.toml")):
        found += msgspec.convert(tomllib.loads(path.read_text("utf-8")), Sheet).mutant
    return found


def faults(mutants: Sequence[WorldMutant]) -> Iterator[str]:
    """Every patch that does not fit the code as it is."""
    for mutant in mutants:
        path = PACKAGE / mutant.file
        text = path.read_text("utf-8") if path.is_file() else ""
        if (times := text.count(mutant.find)) != 1:
            yield f"{mutant.name}: its text stands {times} times in {mutant.file}"
        if mutant.find == mutant.replace:
            yield f"{mutant.name}: it changes nothing"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one mutant: the checker that noticed it and at which seed, or `None`."""

    text: str
    checker: str | None = None
    seed: int | None = None


class Plain:
    """What the seeds say of the code as it is: one that is broken without a mutant proves nothing."""

    def __init__(self) -> None:
        """Nothing was played."""
        self._lock = Lock()
        self._broken: dict[tuple[str | None, int], bool] = {}

    def is_broken(self, mix: str | None, seed: int) -> bool:
        """Whether a world is broken without any mutant; played once."""
        with self._lock:
            if (mix, seed) not in self._broken:
                found = _play(PACKAGE.parent, mix, first=seed, worlds=1)
                self._broken[mix, seed] = found.checker is not None
            return self._broken[mix, seed]

    @property
    def broken(self) -> tuple[int, ...]:
        """The seeds that were found broken."""
        return tuple(sorted(seed for (_, seed), is_so in self._broken.items() if is_so))


def judge(mutant: WorldMutant, plain: Plain, worlds: int = WORLDS) -> Answer:
    """Whether worlds notice the break: first that of the recorded seed, then all from the first."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        shutil.copytree(PACKAGE, source / "holdfast", ignore=shutil.ignore_patterns("__pycache__"))
        path = source / "holdfast" / mutant.file
        path.write_text(path.read_text("utf-8").replace(mutant.find, mutant.replace), "utf-8")
        if mutant.seed is not None:
            found = _search(source, mutant, plain, range(mutant.seed, mutant.seed + 1))
            if found.checker is not None:
                return found
        return _search(source, mutant, plain, range(worlds))


def _search(source: Path, mutant: WorldMutant, plain: Plain, seeds: range) -> Answer:
    first = seeds.start
    while first < seeds.stop:
        found = _play(source, mutant.mix, first=first, worlds=seeds.stop - first)
        if found.seed is None:
            return found
        if not plain.is_broken(mutant.mix, found.seed):
            is_named = not mutant.checkers or found.checker in mutant.checkers
            return found if is_named else Answer(text=f"another checker: {found.text}")
        first = found.seed + 1
    return Answer(text="every world that is broken is so without it")


def _play(source: Path, mix: str | None, *, first: int, worlds: int) -> Answer:
    """Play worlds of the package in `source` until one is broken."""
    command = [sys.executable, "-m", "holdfast.worlds", "--stop", "--processes", "1"]
    command += ["--first", str(first), "--worlds", str(worlds)]
    command += ["--mix", mix] if mix is not None else []
    try:
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": str(source)},
            cwd=source,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(text="did not end in time")
    said = " ".join((done.stdout.strip() or done.stderr.strip()[-500:] or "said nothing").split())
    named = re.match(r"(?P<checker>[a-z ]+): .*\[seed (?P<seed>\d+), world \d+\]$", said)
    if done.returncode != 1 or named is None:
        return Answer(text=said)
    return Answer(text=said, checker=named["checker"], seed=int(named["seed"]))


def main(arguments: Sequence[str]) -> int:
    """Check the sheets, then run the mutants; exit status 1 when anything is wrong."""
    mutants = load()
    wrong = list(faults(mutants))
    chosen = [mutant for mutant in mutants if mutant.name in arguments]
    print(f"world mutants: {len(mutants)} patches")
    if wrong or arguments == ["--check"]:
        return _conclude(wrong)
    judged, plain = chosen or mutants, Plain()
    rows: list[tuple[WorldMutant, Answer]] = []
    with ThreadPoolExecutor(WORKERS) as pool:
        answers = pool.map(lambda one: judge(one, plain), judged)
        for number, (mutant, answer) in enumerate(zip(judged, answers, strict=True), 1):
            word = "noticed" if answer.checker is not None else "SURVIVED"
            print(f"[{number:>2}/{len(judged)}] {word}: {mutant.name}", flush=True)
            print(f"        {answer.text}", flush=True)
            rows.append((mutant, answer))
            if answer.checker is None:
                wrong.append(f"{mutant.name}: {mutant.file}: {answer.text}")
    print(f"world mutants: {len(judged) - len(wrong)} of {len(judged)} noticed")
    if plain.broken:
        print(f"world mutants: broken without any, so left out: seeds {plain.broken}")
    if not chosen:
        RESULTS.write_text(table(rows), "utf-8")
    return _conclude(wrong)


def table(rows: Sequence[tuple[WorldMutant, Answer]]) -> str:
    """What noticed each mutant, as a page."""
    lines = [HEAD, "| Mutant | File | Noticed by | Seed |", "|---|---|---|---|"]
    for mutant, answer in rows:
        mix = f" ({mutant.mix})" if mutant.mix is not None else ""
        seed = "" if answer.seed is None else f"{answer.seed}{mix}"
        checker = answer.checker or "**nobody**"
        lines.append(f"| {mutant.name} | `{mutant.file}` | {checker} | {seed} |")
    return "\n".join(lines) + "\n"


def _conclude(wrong: Sequence[str]) -> int:
    for fault in wrong:
        print(f"  {fault}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
