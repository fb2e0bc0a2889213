"""Breaks of safety code that one world is enough to notice; `make mutants-worlds` plays them all."""

import pytest

from tools.mutate_worlds import WORLDS, Plain, faults, judge, load

QUICK = (
    "what closes may be twice what is held",
    "an exit buys more",
    "a placement that nobody answered is sent again",
    "a stop counts as resting before it was read",
    "the long leg of a structure is given a stop",
)
SHEET = {mutant.name: mutant for mutant in load()}


def test_the_sheet_breaks_enough() -> None:
    """Floor: forty breaks at least, each under a name of its own, each of which still fits."""
    mutants = load()
    assert len(SHEET) == len(mutants) >= 40
    assert list(faults(mutants)) == []
    assert all(mutant.seed is None or mutant.seed < WORLDS for mutant in mutants)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", QUICK)
def test_a_world_notices_the_break(name: str) -> None:
    """The recorded seed, or one of the first three, shows what the break does; unbroken it is whole."""
    plain = Plain()
    answer = judge(SHEET[name], plain, worlds=3)
    assert answer.checker is not None, answer.text
    assert answer.checker != "raised", answer.text
    assert plain.broken == ()
