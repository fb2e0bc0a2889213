"""Every way in which a command can end has one code."""

import click
import pytest

from holdfast.app.cli.ending import ExitCode, end, unwrapped
from holdfast.domain.errors import DataRefused, HoldfastError, InstanceRunning, UnknownDay

# (what the command raises, code, what is said)
ENDINGS = [
    (click.UsageError("no such verb"), ExitCode.USAGE, "no such verb"),
    (click.Abort(), ExitCode.FORCED, "interrupted"),
    (
        DataRefused("x.toml:3", "is wrong", "mend it"),
        ExitCode.REFUSED,
        "x.toml:3: is wrong\n  mend",
    ),
    (UnknownDay("2031-01-01 is not known"), ExitCode.REFUSED, "2031-01-01 is not known"),
    (InstanceRunning("process 7"), ExitCode.ANOTHER_INSTANCE, "process 7"),
    (HoldfastError("odd"), ExitCode.INTERNAL, "odd"),
    (FileNotFoundError(2, "No such file", "tape"), ExitCode.REFUSED, "tape: cannot be used"),
    (OSError(28, "No space left on device"), ExitCode.REFUSED, "No space left on device"),
]


@pytest.mark.parametrize(
    ("raised", "code", "said"), ENDINGS, ids=[type(r[0]).__name__ for r in ENDINGS]
)
def test_what_a_command_raises_becomes_its_code_and_a_message(
    raised: Exception, code: ExitCode, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, never on stdout, never as a trace."""

    def command() -> int:
        raise raised

    assert end(command, []) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert "Traceback" not in printed.err


@pytest.mark.parametrize(("answered", "code"), [(0, 0), (None, 0), (10, 10), (21, 21)])
def test_what_a_command_answers_is_its_code(answered: int | None, code: int) -> None:
    """Help and version answer nothing and are clean."""
    assert end(lambda: answered, []) == code


def test_with_json_a_refusal_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    """A program that called finds code, place, fault and remedy apart."""

    def command() -> int:
        raise DataRefused("x.toml:3", "is wrong", "mend it")

    assert end(command, ["config", "check", "--json"]) == ExitCode.REFUSED
    assert capsys.readouterr().err == (
        '{"error":{"exit_code":3,"message":"x.toml:3: is wrong\\n  mend it",'
        '"where":"x.toml:3","what":"is wrong","remedy":"mend it"}}\n'
    )


def test_what_tasks_wrapped_is_refused_like_anything_else() -> None:
    """A tape found torn in the middle of a run is bad data, not a bug; a bug beside it is one."""
    refused = DataRefused("tape", "is torn", "import it again")
    with pytest.raises(DataRefused), unwrapped():
        raise ExceptionGroup("tasks", [ExceptionGroup("inner", [refused])])
    with pytest.raises(ExceptionGroup), unwrapped():
        raise ExceptionGroup("tasks", [refused, ZeroDivisionError()])
    with pytest.raises(ExceptionGroup), unwrapped():
        raise ExceptionGroup("tasks", [ZeroDivisionError()])


def test_a_bug_is_not_caught_here() -> None:
    """It goes on to the last resort, which writes its trace down."""

    def command() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        end(command, [])
