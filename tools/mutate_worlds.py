"""Breaks the safety code on purpose and plays worlds until a checker notices: `make mutants-worlds`.

`tests/mutants/worlds/*.toml` hold the patches: each text must stand exactly once in its file, and
the runner fails loudly where one no longer does. Names as arguments run those alone; `--check` only
looks whether each patch still fits.
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
from typing import Final

import msgspec

from tools import CHECKOUT, PACKAGE

FOLDER: Final = CHECKOUT / "tests" / "mutants" / "worlds"
WORLDS: Final = int(os.environ.get("HOLDFAST_WORLDS", "500"))
TIMEOUT_S: Final = 600.0
WORKERS: Final = 2


class WorldMutant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One patch: `find`, which stands in `file` exactly once, becomes `replace`.

    `name` says what the broken program does; `file` is relative to the package. `checkers` are
    those that may notice it first; empty: any.
    """

    name: str
    file: str
    find: str
    replace: str
    checkers: tuple[str, ...] = ()


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


def baseline(worlds: int = WORLDS) -> tuple[str, ...]:
    """The seeds that are broken without any mutant: what they say proves nothing about one."""
    command = [sys.executable, "-m", "holdfast.worlds", "--worlds", str(worlds), "--untold"]
    done = subprocess.run(
        [*command, "--no-floors"],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    return tuple(re.findall(r"holdfast\.worlds --seed (\d+)", done.stdout))


def judge(mutant: WorldMutant, worlds: int = WORLDS, skip: Sequence[str] = ()) -> tuple[bool, str]:
    """Whether worlds notice the break, and in which words of which checker."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        shutil.copytree(PACKAGE, source / "holdfast", ignore=shutil.ignore_patterns("__pycache__"))
        path = source / "holdfast" / mutant.file
        path.write_text(path.read_text("utf-8").replace(mutant.find, mutant.replace), "utf-8")
        command = [sys.executable, "-m", "holdfast.worlds", "--worlds", str(worlds)]
        try:
            done = subprocess.run(
                [*command, "--processes", "1", "--stop", "--skip", ",".join(skip)],
                env={**os.environ, "PYTHONPATH": folder},
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False, "did not end in time"
    said = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or ["said nothing"]
    is_noticed = done.returncode == 1 and bool(done.stdout.strip())
    if mutant.checkers and not said[-1].startswith(mutant.checkers):
        is_noticed = False
    return is_noticed, said[-1]


def main(arguments: Sequence[str]) -> int:
    """Check the sheets, then run the mutants; exit status 1 when anything is wrong."""
    mutants = load()
    wrong = list(faults(mutants))
    chosen = [mutant for mutant in mutants if mutant.name in arguments]
    print(f"world mutants: {len(mutants)} patches")
    if wrong or arguments == ["--check"]:
        return _conclude(wrong)
    judged = chosen or mutants
    skip = baseline()
    print(f"world mutants: {len(skip)} of {WORLDS} seeds are broken as it is: {', '.join(skip)}")
    with ThreadPoolExecutor(WORKERS) as pool:
        answers = pool.map(lambda one: judge(one, skip=skip), judged)
        for number, (mutant, (is_noticed, text)) in enumerate(zip(judged, answers, strict=True), 1):
            word = "noticed" if is_noticed else "SURVIVED"
            print(f"[{number:>2}/{len(judged)}] {word}: {mutant.name}\n        {text}", flush=True)
            if not is_noticed:
                wrong.append(f"{mutant.name}: {mutant.file}: {text}")
        print(f"world mutants: {len(judged) - len(wrong)} of {len(judged)} noticed")
    return _conclude(wrong)


def _conclude(wrong: Sequence[str]) -> int:
    for fault in wrong:
        print(f"  {fault}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
