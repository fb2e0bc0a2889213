"""The sheets of mutants: what is refused in them, and that the seeded ones are what they say."""

import ast
import subprocess
import sys
from collections.abc import Mapping, Sequence

import msgspec
import pytest

from tools import CHECKOUT, PACKAGE, registry
from tools.mutants import FOLDER, Mutant, Rows, expand, faults, load
from tools.mutate_core import changes_of, draw

GATE = Mutant(
    name="no spread is too wide",
    guards="gate:spread",
    file="core/entries/gates.py",
    find="ok=bps <= most",
    replace="ok=True",
    test="tests/arch/test_mutants.py::test_a_sheet_without_faults_has_none",
)
PLACES: Mapping[str, Sequence[str]] = {"gate": ["spread"]}


def changed(**fields: str) -> Mutant:
    """The good mutant with something wrong in it."""
    return msgspec.structs.replace(GATE, **fields)


def test_a_sheet_without_faults_has_none() -> None:
    """The row that all others are made from is good."""
    assert list(faults([GATE], PLACES)) == []


@pytest.mark.parametrize(
    ("mutants", "fault"),
    [
        ([], "nothing breaks gate:spread"),
        ([GATE, GATE], "2 mutants are called"),
        ([GATE, changed(name="b", guards="gate:gone")], "the code names nothing of the kind"),
        ([changed(find="ok=bps <= least")], "its text stands 0 times"),
        ([changed(find="return")], "times in core/entries/gates.py"),
        ([changed(replace="ok=)")], "is no Python after it"),
        ([changed(replace="ok=bps <= most")], "it changes nothing"),
        ([changed(file="core/gone.py")], "does not exist"),
        ([changed(test="tests/arch/test_gone.py")], "there is no test"),
        ([changed(test="tests/arch/test_mutants.py::test_gone")], "there is no test"),
    ],
)
def test_each_fault_of_a_sheet_is_found(mutants: list[Mutant], fault: str) -> None:
    """A patch that no longer fits, a place without one, a test that is gone."""
    found = list(faults(mutants, PLACES))
    assert len(found) == 1
    assert fault in found[0]


def test_one_line_that_makes_several_places_is_guarded_at_once() -> None:
    """`*` stands for the rest of their names."""
    assert list(faults([changed(guards="gate:spr*")], {"gate": ["spread", "spring"]})) == []


def test_a_table_gets_a_mutant_for_each_row() -> None:
    """The value becomes the next one; the patch is the row alone and parses."""
    rows = Rows(
        kind="order",
        file="core/orders/life.py",
        row=r"^    \(S\.(?P<key>SENT), E\.(?P<key2>OPEN)\): S\.(?P<value>\w+),",
        values=("FILLED", "WORKING"),
        test="",
    )
    [mutant] = expand(rows)
    assert mutant.guards == "order:SENT+OPEN"
    assert mutant.find.strip() == "(S.SENT, E.OPEN): S.WORKING,"
    assert mutant.replace.strip() == "(S.SENT, E.OPEN): S.FILLED,"


def test_every_sheet_can_be_read() -> None:
    """Unknown keys are refused, so a misspelt one is not a patch without a guard."""
    assert len(load(FOLDER)) >= 1
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**msgspec.to_builtins(GATE), "guard": "gate:spread"}, Mutant)


def test_seeded_breaks_are_programs_and_differ() -> None:
    """Each changes the code, none is a syntax error: a test must notice it, not the parser."""
    for file in ("core/orders/life.py", "core/risk/exits.py", "core/market/candles.py"):
        text = (PACKAGE / file).read_bytes()
        made = [change.applied(text) for change in changes_of(file)]
        assert len(made) >= 10
        for broken in made:
            assert ast.unparse(ast.parse(broken)) != ast.unparse(ast.parse(text))


def test_a_seed_draws_the_same_breaks_again() -> None:
    """A survivor of yesterday can be looked for today; another seed draws others."""
    changes = [*changes_of("core/risk/exits.py"), *changes_of("core/market/candles.py")]
    drawn = draw(changes, seed=1, count=40)
    assert drawn == draw(list(reversed(changes)), seed=1, count=40)
    assert drawn != draw(changes, seed=2, count=40)
    assert len(set(drawn)) == 40
    assert len({(change.file, change.start, change.end) for change in drawn}) == 40


@pytest.mark.proves("I-12")
@pytest.mark.timeout(120)
def test_a_rule_that_is_deleted_fails_the_suite_and_one_without_a_mutant_fails_the_check() -> None:
    """The runner itself: rules broken one by one are all noticed; a new rule needs its mutant."""
    broken = subprocess.run(
        [sys.executable, "-m", "tools.mutants", "rule:*"],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert broken.returncode == 0, broken.stdout[-3_000:]
    assert "mutants: 9 of 9 noticed" in broken.stdout
    unguarded = {**registry.required_guards(), "rule": [*registry.rules(), "brand_new"]}
    required = {kind: list(names) for kind, names in unguarded.items()}
    assert [f for f in faults(load(FOLDER), required) if "rule" in f] == [
        "nothing breaks rule:brand_new: add a mutant to tests/mutants and the test that notices"
    ]
