"""Breaks the code where a rule, gate, limit, order row or wiring edge stands; a test must notice.

`tests/mutants/*.toml` hold the patches (format: tests/mutants/README.md). `make mutants` runs them
all; `--check`, part of `make check`, only looks whether each patch still fits and nothing that the
code's own lists name is without one. Names or guards (`order:*`) as arguments run those alone.
"""

import ast
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import msgspec

from tools import CHECKOUT, PACKAGE, registry
from tools.trial import Copy, Outcome, Trial, Workshop

FOLDER: Final = CHECKOUT / "tests" / "mutants"
TIMEOUT_S: Final = 120.0


class Mutant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One patch: `find`, which stands in `file` exactly once, becomes `replace`.

    `guards` is `kind:name` of what it breaks, where `*` stands for the rest of names that one line
    of code makes together; `test` the test (or tests) that must then fail. `file` is relative to
    the package.
    """

    name: str
    guards: str
    file: str
    find: str
    replace: str
    test: str | tuple[str, ...]

    @property
    def tests(self) -> tuple[str, ...]:
        """The tests as node ids."""
        return (self.test,) if isinstance(self.test, str) else self.test


class Rows(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One mutant for each row of a table that is written one row to a line.

    `row` is an expression with the groups `key` (one or two) and `value`; the value is replaced by
    the next of `values`. The guard is `kind:key` or `kind:key+key`.
    """

    kind: str
    file: str
    row: str
    values: tuple[str, ...]
    test: str | tuple[str, ...]


class Sheet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of patches."""

    mutant: tuple[Mutant, ...] = ()
    rows: tuple[Rows, ...] = ()


def load(folder: Path) -> list[Mutant]:
    """Every mutant of every sheet. Raises ValueError naming the sheet."""
    found: list[Mutant] = []
    for path in sorted(folder.glob("*.toml")):
        if path.name == "survivors.toml":
            continue
        try:
            sheet = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Sheet)
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from error
        found += sheet.mutant
        for rows in sheet.rows:
            found += expand(rows)
    return found


def expand(rows: Rows) -> Iterator[Mutant]:
    """The mutants of a table. The patched text is the whole line, so it stands once."""
    text = (PACKAGE / rows.file).read_text("utf-8")
    for row in re.finditer(rows.row, text, re.MULTILINE):
        groups = row.groupdict()
        key = "+".join(groups[name] for name in ("key", "key2") if groups.get(name))
        after = rows.values[(rows.values.index(groups["value"]) + 1) % len(rows.values)]
        start, end = row.start("value") - row.start(), row.end("value") - row.start()
        line = row.group()
        yield Mutant(
            name=f"{key} leads to {after}",
            guards=f"{rows.kind}:{key}",
            file=rows.file,
            find=line,
            replace=line[:start] + after + line[end:],
            test=rows.test,
        )


def faults(mutants: Sequence[Mutant], required: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Everything that is wrong with the sheets themselves."""
    for name, times in Counter(mutant.name for mutant in mutants).items():
        if times > 1:
            yield f"{times} mutants are called {name!r}"
    for mutant in mutants:
        yield from _faults_of(mutant)
    guards = {mutant.guards for mutant in mutants}
    wanted = {f"{kind}:{name}" for kind, names in required.items() for name in names}
    for name in sorted(wanted):
        if not any(fnmatchcase(name, guard) for guard in guards):
            yield f"nothing breaks {name}: add a mutant to tests/mutants and the test that notices"
    for guard in sorted(guards):
        if not any(fnmatchcase(name, guard) for name in wanted):
            yield f"{guard} is guarded, but the code names nothing of the kind"


def _faults_of(mutant: Mutant) -> Iterator[str]:
    path = PACKAGE / mutant.file
    if not path.is_file():
        yield f"{mutant.name}: {mutant.file} does not exist"
        return
    text = path.read_text("utf-8")
    if (times := text.count(mutant.find)) != 1:
        yield f"{mutant.name}: its text stands {times} times in {mutant.file}"
    elif not _parses(text.replace(mutant.find, mutant.replace)):
        yield f"{mutant.name}: {mutant.file} is no Python after it"
    if mutant.find == mutant.replace:
        yield f"{mutant.name}: it changes nothing"
    for test in mutant.tests:
        file, _, name = test.partition("::")
        target = CHECKOUT / file
        function = name.split("[")[0].split("::")[-1]
        if not target.exists() or (
            function and f"def {function}(" not in target.read_text("utf-8")
        ):
            yield f"{mutant.name}: there is no test {test}"


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def judge(copy: Copy, mutant: Mutant) -> Trial:
    """Run the mutant's tests against it: only a test that fails has noticed."""
    text = (PACKAGE / mutant.file).read_text("utf-8").replace(mutant.find, mutant.replace)
    with copy.patched(mutant.file, text):
        return copy.run(mutant.tests, timeout_s=TIMEOUT_S)


def run(mutants: Sequence[Mutant]) -> list[str]:
    """Judge all; returns what is wrong, printing as it goes."""
    with Workshop() as workshop:
        if sick := workshop.sick((m.tests for m in mutants), timeout_s=TIMEOUT_S):
            return sick
        outcomes = (trial.outcome for trial in workshop.each(judge, mutants))
        return list(_told(mutants, outcomes))


def _told(mutants: Sequence[Mutant], outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Print each outcome as it comes; yields what is wrong."""
    for number, (mutant, outcome) in enumerate(zip(mutants, outcomes, strict=True), start=1):
        word = "noticed" if outcome is Outcome.FAILED else f"SURVIVED, tests {outcome.value}"
        print(f"[{number:>4}/{len(mutants)}] {word}: {mutant.guards}: {mutant.name}", flush=True)
        if outcome is not Outcome.FAILED:
            yield f"{mutant.name}: {mutant.file} broken, {' '.join(mutant.tests)} {outcome.value}"


def main(arguments: Sequence[str]) -> int:
    """Check the sheets, then run the mutants; exit status 1 when anything is wrong."""
    mutants = load(FOLDER)
    if chosen := [m for m in mutants if any(_is_named(m, wanted) for wanted in arguments)]:
        return conclude(chosen, run(chosen))
    required = {kind: list(names) for kind, names in registry.required_guards().items()}
    counts = ", ".join(f"{len(names)} {kind}" for kind, names in required.items())
    floor = sum(len(names) for names in required.values())
    print(f"mutants: {len(mutants)} patches for {floor} places ({counts})")
    wrong = list(faults(mutants, required))
    if wrong or arguments == ["--check"]:
        return conclude([], wrong)
    return conclude(mutants, run(mutants))


def _is_named(mutant: Mutant, wanted: str) -> bool:
    return mutant.name == wanted or fnmatchcase(mutant.guards, wanted)


def conclude(judged: Sequence[Mutant], wrong: Sequence[str]) -> int:
    """Say how it went; returns the exit status."""
    if judged:
        print(f"mutants: {len(judged) - len(wrong)} of {len(judged)} noticed")
    for fault in wrong:
        print(f"  {fault}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
