"""What every verb shares: where to look, the option `--json`, and the form of its help."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec
from typing_extensions import override

from holdfast.app.paths import Paths
from holdfast.runtime.signals import Signals


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """What was said before the verb: where things lie. `config_named`: the file was asked for.

    `signals` catches INT and TERM; `None` where the process belongs to somebody else.
    """

    paths: Paths
    config_file: Path
    config_named: bool
    signals: Signals | None = None


class VerbCommand(click.Command):
    """A command whose help ends with an example and with the shape of its JSON."""

    def __init__(self, *, example: str, shape: str, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.example = example
        self.shape = shape

    @override
    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, text in (("Example", self.example), ("With --json", self.shape)):
            with formatter.section(title):
                for line in text.splitlines():
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


def verb(*, example: str, shape: str) -> Callable[[Callable[..., int]], VerbCommand]:
    """Make a function a verb. It is called with the frame and `as_json`, and returns the exit code.

    `example` is a line to type, `shape` the stable form of what `--json` prints.
    """

    def made(function: Callable[..., int]) -> VerbCommand:
        told = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
        make = click.command(
            function.__name__.rpartition("_")[2], cls=VerbCommand, example=example, shape=shape
        )
        return make(told(click.pass_obj(function)))

    return made


def say(text: str) -> None:
    """Write a line to stderr: progress, costs and hints, which are no part of a result."""
    click.echo(text, err=True)


def emit(text: str) -> None:
    """Write to stdout in UTF-8, whatever the locale. A reader that went away is no failure."""
    try:
        # A folder whose name is no UTF-8 comes out as the bytes that it is.
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # The interpreter flushes stdout once more at its end: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def emit_json(value: object) -> None:
    """Write one value as one line of JSON."""
    emit(msgspec.json.encode(value).decode() + "\n")
