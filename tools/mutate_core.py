"""Breaks the core in seeded ways that nobody chose: the tests must notice nearly all of them.

300 places are drawn from every place of `core` that can be broken. Each is judged first by the
module's own test file, then, if that did not notice, by all tests of the core, the properties and
the stories. Results, with a diff for each survivor, go to build/mutants.json. A survivor that
changes nothing anyone can see may stand in tests/mutants/survivors.toml, with the reason.

Options: `--seed N` (1), `--count N` (300), `--file PATH` (one module, all its places).
"""

import argparse
import ast
import difflib
import json
import random
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tools import CHECKOUT, PACKAGE
from tools.trial import Copy, Outcome, Workshop

KILLED_PERCENT_MIN: Final = 95
TIMEOUT_S: Final = 300.0
UNIT: Final = Path("tests/unit")
WIDER: Final = ("tests/unit/core", "tests/property", "tests/stories")
SURVIVORS: Final = CHECKOUT / "tests" / "mutants" / "survivors.toml"
RESULTS: Final = CHECKOUT / "build" / "mutants.json"

_COMPARISONS: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One break: what stands between two offsets of a file becomes something else."""

    file: str
    line: int
    kind: str
    start: int
    end: int
    becomes: str

    def applied(self, text: bytes) -> bytes:
        """The file's text with the break in it."""
        return text[: self.start] + self.becomes.encode() + text[self.end :]


class Accepted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A survivor that may live: where (`file`, the old and the new line) and why."""

    file: str
    before: str
    after: str
    reason: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one break."""

    change: Change
    killed_by: str | None


def changes_of(file: str) -> Iterator[Change]:
    """Every break of one file (relative to the package), in order of place."""
    text = (PACKAGE / file).read_bytes()
    starts = _line_starts(text)
    tree = ast.parse(text)
    for node in _living(tree):
        for kind, becomes in _breaks(node):
            assert node.end_lineno is not None
            assert node.end_col_offset is not None
            yield Change(
                file=file,
                line=node.lineno,
                kind=kind,
                start=starts[node.lineno - 1] + node.col_offset,
                end=starts[node.end_lineno - 1] + node.end_col_offset,
                becomes=becomes,
            )


def _line_starts(text: bytes) -> list[int]:
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def _living(tree: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """The nodes that do something: no annotations, docstrings, asserts, imports, protocol bodies."""
    for name, value in ast.iter_fields(tree):
        if name in {
            "annotation",
            "returns",
            "decorator_list",
            "bases",
            "keywords",
        } and not isinstance(tree, ast.Call):
            continue
        for node in value if isinstance(value, list) else [value]:
            if not isinstance(node, ast.AST) or _is_inert(node):
                continue
            if isinstance(node, ast.expr | ast.stmt):
                yield node
            yield from _living(node)


def _is_inert(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert | ast.Import | ast.ImportFrom | ast.JoinedStr | ast.Raise):
        return True
    if isinstance(node, ast.ClassDef):
        return any(ast.unparse(base) == "Protocol" for base in node.bases)
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    # An alias of a type ("Values = dict[str, int | str]") is read by the type checker alone.
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Subscript | ast.BinOp)
        and (
            ast.unparse(node.value).startswith(("dict[", "tuple[", "list[", "Callable["))
            or "NewType" in ast.unparse(node.value)
        )
    )


def _breaks(node: ast.expr | ast.stmt) -> Iterator[tuple[str, str]]:
    """What may become of one node: the kind of break and the new text."""
    if isinstance(node, ast.stmt):
        yield from _breaks_of_statement(node)
    elif isinstance(node, ast.Constant):
        yield from _breaks_of_constant(node)
    else:
        yield from _breaks_of_operation(node)


def _breaks_of_statement(node: ast.stmt) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Return(value=ast.expr() as value) if not _is_falsy(value):
            yield "return", "return None"
        case ast.Expr() | ast.AugAssign() | ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "dropped", "pass"
        case ast.Continue():
            yield "loop", "break"
        case ast.Break():
            yield "loop", "continue"
        case _:
            return


def _breaks_of_constant(node: ast.Constant) -> Iterator[tuple[str, str]]:
    match node.value:
        case bool() as truth:
            yield "constant", str(not truth)
        case int() as number:
            yield "constant", str(number + 1)
            yield "constant", str(number - 1) if number else "(-1)"
        case _:
            return


def _breaks_of_operation(node: ast.expr) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Compare(left=left, ops=[first, *rest], comparators=others):
            for other in _COMPARISONS.get(type(first), ()):
                yield "comparison", _text(ast.Compare(left, [other(), *rest], others))
        case ast.BoolOp(op=op, values=values):
            swapped = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield "and/or", _text(ast.BoolOp(swapped, values))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "not", _text(operand)
        case ast.UnaryOp(op=ast.USub(), operand=operand) if not isinstance(operand, ast.Constant):
            yield "sign", _text(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            yield "arithmetic", _text(ast.BinOp(left, _ARITHMETIC[type(op)](), right))
        case ast.IfExp(test=test, body=body, orelse=alternative):
            yield "branches", _text(ast.IfExp(test, alternative, body))
        case _:
            return


def _text(node: ast.expr) -> str:
    return f"({ast.unparse(node)})"


def _is_falsy(node: ast.expr) -> bool:
    """Whether nobody who asks for its truth could tell it from `None`."""
    if isinstance(node, ast.Constant):
        return not node.value
    return isinstance(node, ast.Tuple | ast.List) and not node.elts


def draw(changes: Sequence[Change], *, seed: int, count: int) -> list[Change]:
    """`count` of them under a seed, at most one for each place as long as places last."""
    shuffled = sorted(changes, key=lambda change: (change.file, change.start, change.becomes))
    random.Random(seed).shuffle(shuffled)
    first_of_place: dict[tuple[str, int, int], Change] = {}
    for change in shuffled:
        first_of_place.setdefault((change.file, change.start, change.end), change)
    chosen = list(first_of_place.values())
    chosen += [change for change in shuffled if change not in set(chosen)]
    return chosen[:count]


def suites_of(file: str) -> list[tuple[str, ...]]:
    """The tests that a module's breaks are tried on, in order: its own, then all around it."""
    mirror = UNIT / Path(file).parent / f"test_{Path(file).name}"
    own = [(mirror.as_posix(),)] if (CHECKOUT / mirror).exists() else []
    return [*own, tuple(folder for folder in WIDER if (CHECKOUT / folder).is_dir())]


def judge(copy: Copy, change: Change) -> Verdict:
    """Break it and try each suite in turn; whatever is not a pass has noticed."""
    text = change.applied((PACKAGE / change.file).read_bytes()).decode()
    killed_by = None
    with copy.patched(change.file, text):
        for tests in suites_of(change.file):
            if copy.run(tests, timeout_s=TIMEOUT_S).outcome is not Outcome.PASSED:
                killed_by = " ".join(tests)
                break
    return Verdict(change=change, killed_by=killed_by)


def lines_of(change: Change) -> tuple[str, str]:
    """The lines touched, before and after, as they are compared with the accepted survivors."""
    text = (PACKAGE / change.file).read_bytes()
    changed = list(_diff(text, change.applied(text)))
    before = "\n".join(line[1:].strip() for line in changed if line.startswith("-"))
    after = "\n".join(line[1:].strip() for line in changed if line.startswith("+"))
    return before, after


def _diff(before: bytes, after: bytes) -> Iterable[str]:
    compared = difflib.unified_diff(
        before.decode().splitlines(), after.decode().splitlines(), lineterm="", n=0
    )
    return [line for line in compared if not line.startswith(("---", "+++", "@@"))]


def accepted() -> list[Accepted]:
    """The survivors that may live."""
    if not SURVIVORS.exists():
        return []
    rows = tomllib.loads(SURVIVORS.read_text("utf-8")).get("survivor", [])
    return msgspec.convert(rows, list[Accepted])


def report(verdicts: Sequence[Verdict], *, seed: int) -> int:
    """Write and print the results; returns the exit status."""
    reasons = {(a.file, a.before, a.after): a.reason for a in accepted()}
    survivors = []
    for verdict in verdicts:
        if verdict.killed_by is None:
            before, after = lines_of(verdict.change)
            reason = reasons.get((verdict.change.file, before, after))
            survivors.append(
                {
                    "at": f"src/holdfast/{verdict.change.file}:{verdict.change.line}",
                    "kind": verdict.change.kind,
                    "before": before,
                    "after": after,
                    "reason": reason,
                }
            )
    killed = len(verdicts) - len(survivors)
    percent = 100 * killed / len(verdicts)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps(
            {"seed": seed, "count": len(verdicts), "killed": killed, "survivors": survivors},
            indent=1,
        )
    )
    for survivor in survivors:
        why = survivor["reason"] or "NO REASON GIVEN"
        print(f"{survivor['at']} {survivor['kind']}: {why}")
        print(f"  - {survivor['before']}\n  + {survivor['after']}")
    print(
        f"core: {killed} of {len(verdicts)} killed, {percent:.1f} % (floor {KILLED_PERCENT_MIN} %)"
    )
    unexplained = sum(survivor["reason"] is None for survivor in survivors)
    return 1 if percent < KILLED_PERCENT_MIN or unexplained else 0


def _told(verdicts: Iterable[Verdict], count: int) -> Iterator[Verdict]:
    """Pass the verdicts on, printing each survivor and every twentieth number."""
    for number, verdict in enumerate(verdicts, start=1):
        if verdict.killed_by is None:
            place = f"{verdict.change.file}:{verdict.change.line}"
            print(f"[{number:>3}/{count}] SURVIVED {place} {verdict.change.kind}", flush=True)
        elif number % 20 == 0:
            print(f"[{number:>3}/{count}]", flush=True)
        yield verdict


def main(arguments: Sequence[str]) -> int:
    """Draw, judge, report; exit status 1 below the floor or with an unexplained survivor."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--file", help="all places of one module, as core/engine.py")
    chosen = parser.parse_args(arguments)
    files = sorted((PACKAGE / "core").rglob("*.py"))
    names = [chosen.file] if chosen.file else [f.relative_to(PACKAGE).as_posix() for f in files]
    places = [change for name in names for change in changes_of(name)]
    count = len(places) if chosen.file else chosen.count
    drawn = draw(places, seed=chosen.seed, count=count)
    if len(drawn) < count:
        print(f"core: only {len(drawn)} places to break, {count} wanted", file=sys.stderr)
        return 1
    print(
        f"core: {count} of {len(places)} breaks in {len(names)} files, seed {chosen.seed}",
        flush=True,
    )
    with Workshop() as workshop:
        suites = (tests for change in drawn for tests in suites_of(change.file))
        if sick := workshop.sick(suites, timeout_s=TIMEOUT_S):
            print("\n".join(sick))
            return 1
        verdicts = list(_told(workshop.each(judge, drawn), count))
    return report(verdicts, seed=chosen.seed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
