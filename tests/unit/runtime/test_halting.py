"""A written halt: its level, what it waits for, and that nothing about it ends the program."""

from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from holdfast.domain.audit import Halted
from holdfast.domain.decision import HaltLevel
from holdfast.domain.event import OperatorRequest
from holdfast.runtime.clock import VirtualClock
from holdfast.runtime.halting import WrittenHalt
from holdfast.store.halt import HaltFile


def opened(folder: Path, aside: list[Callable[[], None]] | None = None) -> WrittenHalt:
    """The halt of a folder as a start finds it; what waits for the disk goes to `aside`."""
    waiting: list[Callable[[], None]] = [] if aside is None else aside
    halt = WrittenHalt(HaltFile(folder), VirtualClock(1_000), aside=waiting.append)
    halt.open()
    return halt


@pytest.mark.parametrize(
    ("written", "present", "asked"),
    [
        ("pause", HaltLevel.NONE, OperatorRequest.PAUSE),
        ("flatten", HaltLevel.NONE, OperatorRequest.FLATTEN),
        ("panic", HaltLevel.NONE, OperatorRequest.PANIC),
        ("panic", HaltLevel.PAUSE, OperatorRequest.PANIC),
        ("panic", HaltLevel.PANIC, None),
        ("pause", HaltLevel.FLATTEN, None),
        ("a word of a later version", HaltLevel.NONE, OperatorRequest.PAUSE),
    ],
)
def test_a_start_asks_for_the_level_that_was_written(
    tmp_path: Path, written: str, present: HaltLevel, asked: OperatorRequest | None
) -> None:
    """A panic whose record the journal lost is a panic at the next start, and closes what is held."""
    file = HaltFile(tmp_path)
    file.open(1)
    file.write("by hand", 2, level=written)
    file.close()
    told = opened(tmp_path).asked(present)
    assert (told.request if told is not None else None) == asked
    assert told is None or told.reason == "by hand"


def test_what_was_never_halted_asks_for_nothing(tmp_path: Path) -> None:
    """A new folder."""
    halt = opened(tmp_path)
    assert (halt.asked(HaltLevel.NONE), halt.stands) == (None, False)


def test_the_exits_of_a_halt_wait_for_no_disk(tmp_path: Path) -> None:
    """It is written when the call returns, for whoever reads; the disk itself is waited for aside."""
    aside: list[Callable[[], None]] = []
    halt = opened(tmp_path, aside)
    halt.write(Halted(level=HaltLevel.FLATTEN, reason="daily loss"))
    found = HaltFile(tmp_path).read()
    assert (found.is_halted, found.level, found.reason) == (True, "flatten", "daily loss")
    assert len(aside) == 1
    aside[0]()


def test_a_halt_that_cannot_be_written_is_told_and_ends_nothing(tmp_path: Path) -> None:
    """The engine is halted all the same; a lift without a reason leaves the halt where it is."""
    halt = opened(tmp_path)
    halt.write(Halted(level=HaltLevel.PAUSE, reason="enough"))
    with structlog.testing.capture_logs() as lines:
        halt.write(Halted(level=HaltLevel.NONE, reason=" "))
        halt.close()
        (tmp_path / "halt").unlink()
        (tmp_path / "halt").mkdir()
        halt.write(Halted(level=HaltLevel.PANIC, reason="now"))
    assert [line["error"] for line in lines] == ["DataRefused", "IsADirectoryError"]
    assert {line["log_level"] for line in lines} == {"critical"}
