"""The entry point: handlers before anything else, and an end with the code of what happened."""

import signal
import sys
from collections.abc import Iterator
from typing import NoReturn

import pytest

from holdfast.app import main as module
from holdfast.app.cli import root as root_module
from holdfast.domain.errors import InstanceRunning
from holdfast.runtime.loopback import VARIABLE
from holdfast.runtime.signals import ENDING, Signals


class Ended(BaseException):
    """The process would have ended here."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@pytest.fixture(autouse=True)
def _still_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The test's process goes on, with the handlers and the hook that it had."""

    def finish(code: int) -> NoReturn:
        raise Ended(code)

    monkeypatch.delenv(VARIABLE, raising=False)  # a hook of the interpreter is never taken out
    monkeypatch.setattr(module, "finish", finish)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    for number, caught in before.items():
        signal.signal(number, caught)


def ended(*arguments: str) -> int:
    """The code with which the command line ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["holdfast", *arguments])
        with pytest.raises(Ended) as end:
            module.main()
    return end.value.code


class Root:
    """A command line that looks at what it is given, and ends as it is told."""

    def __init__(self, outcome: object) -> None:
        self.outcome = outcome
        self.signals: Signals | None = None
        self.catches: set[object] = set()

    def main(self, _args: list[str], *, obj: Signals, **_how: object) -> object:
        self.signals = obj
        self.catches = {signal.getsignal(number) for number in ENDING}
        if isinstance(self.outcome, signal.Signals):
            signal.raise_signal(self.outcome)
            obj.disarm()
            return 10
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.mark.proves("B-01", "APP-10")
@pytest.mark.parametrize(
    ("outcome", "code"), [(None, 0), (21, 21), (InstanceRunning("process 7 runs"), 4)]
)
def test_whatever_runs_finds_the_handlers_in_place_and_its_outcome_is_the_code(
    outcome: object, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one object that catches signals is handed down, not found."""
    root = Root(outcome)
    monkeypatch.setattr(root_module, "root", root)
    assert ended("run") == code
    assert root.signals is not None
    assert root.catches == {root.signals._take}  # noqa: SLF001 the handler itself
    assert {signal.getsignal(number) for number in ENDING} == root.catches


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_after_a_stop_no_further_signal_changes_how_it_ended(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Everything has been done and written; one that comes now would only spoil the code."""
    monkeypatch.setattr(root_module, "root", Root(number))
    assert ended("run") == 10
    assert {signal.getsignal(one) for one in ENDING} == {signal.SIG_IGN}
    assert "Caught signal" in capfd.readouterr().err


def test_a_line_that_is_not_understood_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    """The real command line; and one that needs no day gives the handlers back."""
    before = {number: signal.getsignal(number) for number in ENDING}
    assert ended("no-such-verb") == 2
    assert "no-such-verb" in capsys.readouterr().err
    assert ended("--version") == 0
    for number, caught in before.items():
        signal.signal(number, caught)
    assert ended("explain", "--no-such-option") == 2
    assert {number: signal.getsignal(number) for number in ENDING} == before
