"""What a simulated Dhan remembers outside of its process."""

from pathlib import Path

import pytest

from holdfast.domain.errors import DataRefused
from holdfast.simbroker.dhan.clock import Pace
from holdfast.simbroker.dhan.memory import FILE, Begun, Memory

PACE = Pace(wall_ns=1, start_ns=2, speed=3)
BEGUN = Begun(world={"day": "2026-11-20"}, ports={"rest": 1}, pace=PACE)


def test_a_line_that_was_cut_off_did_not_happen(tmp_path: Path) -> None:
    """The file goes on behind the last whole one."""
    first = Memory(tmp_path)
    assert first.begun is None
    first.begin(BEGUN)
    first.keep("place", {"quantity": 65}, 7)
    first.close()
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"at_ns":9,"name":"pla')
    second = Memory(tmp_path)
    assert (second.begun, len(second.past)) == (BEGUN, 2)
    assert (second.past[1].name, second.past[1].values, second.past[1].at_ns) == (
        "place",
        {"quantity": 65},
        7,
    )
    second.keep("cancel", {}, 11)
    second.close()
    assert [one.name for one in Memory(tmp_path).past] == ["", "place", "cancel"]


def test_the_newest_pace_counts(tmp_path: Path) -> None:
    """The day goes on as it went last."""
    memory = Memory(tmp_path)
    memory.begin(BEGUN)
    stands = Pace(wall_ns=5, start_ns=6, speed=7, is_paused=True)
    memory.keep_pace(stands)
    memory.close()
    begun = Memory(tmp_path).begun
    assert begun is not None
    assert (begun.pace, begun.ports) == (stands, {"rest": 1})


def test_a_damaged_line_is_refused_with_its_number(tmp_path: Path) -> None:
    """A state that cannot be read is not half believed."""
    (tmp_path / FILE).write_text('{"name":"place"}\nnonsense\n')
    with pytest.raises(DataRefused, match="line 2"):
        Memory(tmp_path)
