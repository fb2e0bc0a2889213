"""The handlers of INT and TERM, up to the point where they end the process (see tests/process)."""

import faulthandler
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.runtime.clock import steady_s
from holdfast.runtime.signals import ENDING, Signals, Stacks


@pytest.fixture
def signals() -> Iterator[Signals]:
    """Handlers that are put back, and what the first signal arms, disarmed."""
    made = Signals()
    yield made
    made.restore()
    faulthandler.cancel_dump_traceback_later()


class Heard:
    """What was said and called, in order."""

    def __init__(self) -> None:
        self.what: list[str] = []

    def say(self, text: str, stacks: Stacks | None = None) -> None:
        self.what.append(text if stacks is None else f"{text} with stacks")

    def wake(self) -> None:
        self.what.append("wake")


def describe() -> Stacks:
    """No stacks: nobody asks."""
    return {}


@pytest.mark.proves("APP-1", "APP-2", "B-01")
@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_the_first_signal_is_logged_with_its_number_and_wakes(
    signals: Signals, number: signal.Signals
) -> None:
    """Directly, in the handler; when it came is kept for the deadline."""
    heard = Heard()
    before_s = steady_s()
    signals.install()
    signals.log_by(heard.say)
    signals.attach(heard.wake, describe)
    signal.raise_signal(number)
    assert heard.what == [f"Caught signal {number.value}, initiating shutdown...", "wake"]
    assert signals.shutting_down
    assert signals.number == number
    assert signals.at_s is not None
    assert before_s <= signals.at_s <= steady_s()


@pytest.mark.proves("APP-15")
def test_a_signal_that_came_before_the_event_loop_wakes_it_when_there_is_one(
    signals: Signals, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Until then it is told on stderr; the bound on a stuck program is renewed for its log."""
    heard = Heard()
    signals.install()
    signal.raise_signal(signal.SIGTERM)
    assert capfd.readouterr().err == "Caught signal 15, initiating shutdown...\n"
    with (tmp_path / "stacks").open("wb") as stacks:
        signals.log_by(heard.say, stacks_to=stacks.fileno())
        signals.attach(heard.wake, describe)
    assert heard.what == ["wake"]


def test_a_log_that_fails_does_not_keep_the_loop_asleep(signals: Signals) -> None:
    """B-05: the end was asked for, whatever else goes wrong."""
    heard = Heard()

    def broken(text: str, stacks: Stacks | None = None) -> None:
        raise OSError(text, stacks)

    signals.install()
    signals.log_by(broken)
    signals.attach(heard.wake, describe)
    with pytest.raises(OSError, match="Caught"):
        signal.raise_signal(signal.SIGINT)
    assert heard.what == ["wake"]
    assert signals.shutting_down


@pytest.mark.proves("B-01")
def test_what_caught_them_before_is_put_back() -> None:
    """Installed twice is installed once; detached nobody is woken; ignored nothing happens."""
    before = {number: signal.getsignal(number) for number in ENDING}
    heard = Heard()
    signals = Signals()
    signals.install()
    signals.install()
    assert {signal.getsignal(number) for number in ENDING} == {signals._take}  # noqa: SLF001
    signals.attach(heard.wake, describe)
    signals.detach()
    signals.ignore()
    signal.raise_signal(signal.SIGINT)
    assert not signals.shutting_down
    signals.restore()
    assert {number: signal.getsignal(number) for number in ENDING} == before
    assert heard.what == []


@pytest.mark.parametrize("came", [None, *ENDING], ids=str)
def test_given_back_a_signal_that_came_ends_what_does_not_end_in_order(
    came: signal.Signals | None, capfd: pytest.CaptureFixture[str]
) -> None:
    """A verb without a day to stop: whoever caught it before gets it now, once, and no bound stays."""
    taken: list[int] = []
    before = {number: signal.signal(number, lambda one, _: taken.append(one)) for number in ENDING}
    try:
        signals = Signals()
        signals.install()
        if came is not None:
            signal.raise_signal(came)
        held_back = list(taken)
        signals.give_back()
        assert (held_back, taken) == ([], [] if came is None else [came])
        signal.raise_signal(signal.SIGINT)
        assert taken[-1] == signal.SIGINT
        assert len(taken) == (1 if came is None else 2)
    finally:
        for number, caught in before.items():
            signal.signal(number, caught)
    assert ("Caught signal" in capfd.readouterr().err) == (came is not None)


def test_disarmed_the_bound_on_a_stuck_program_is_gone(
    signals: Signals, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """What follows a stop, a report for one, may take longer than a stop may."""
    armed: list[str] = []
    monkeypatch.setattr(
        faulthandler, "dump_traceback_later", lambda _s, **_kw: armed.append("armed")
    )
    monkeypatch.setattr(
        faulthandler, "cancel_dump_traceback_later", lambda: armed.append("disarmed")
    )
    signals.install()
    signal.raise_signal(signal.SIGTERM)
    signals.disarm()
    assert armed == ["armed", "disarmed"]
    assert signals.shutting_down, "that it came is not forgotten"
    assert capfd.readouterr().err
