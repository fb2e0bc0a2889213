"""The tree of commands, built from the table of verbs."""

import functools
import importlib
import os
import sys
from pathlib import Path
from typing import Any, Final

import click
from typing_extensions import override

from holdfast import __version__
from holdfast.app.cli.ending import MEANINGS, tell_uncaught
from holdfast.app.cli.frame import Frame
from holdfast.app.cli.verbs import FAMILIES, SUPERVISED, VERBS
from holdfast.app.paths import find_paths
from holdfast.runtime.signals import Signals


class Verbs(click.Group):
    """The verbs that begin with the words of `prefix`; each is imported when it is used."""

    def __init__(self, prefix: str = "", **attributes: Any) -> None:
        """`prefix` is "" or a family's word and a space."""
        super().__init__(**attributes)
        self._prefix = prefix

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._words())

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for verb in VERBS:
            if verb.name == self._prefix + cmd_name:
                command = getattr(importlib.import_module(verb.module), verb.command)
                assert isinstance(command, click.Command)
                return command
        if not self._prefix and (says := FAMILIES.get(cmd_name)):
            return Verbs(f"{cmd_name} ", name=cmd_name, help=says)
        return None

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The longest verb wins: a verb may be the first word of another one."""
        longer = " ".join(args[:2])
        if args[0] in self._words() and longer in self._words():
            return longer, self.get_command(ctx, longer), args[2:]
        return super().resolve_command(ctx, args)

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(self._words().items()))

    def _words(self) -> dict[str, str]:
        """The next word of each verb, with what it says; a family's word stands once.

        Where the first word is a verb of its own the second one stands with it.
        """
        words: dict[str, str] = {}
        for verb in VERBS:
            if verb.name.startswith(self._prefix):
                name = verb.name.removeprefix(self._prefix)
                word = name.partition(" ")[0]
                is_family = word != name and not self._prefix and word in FAMILIES
                words.setdefault(
                    word if is_family else name, FAMILIES[word] if is_family else verb.says
                )
        return words


class _Root(Verbs):
    @override
    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code.value), says) for code, says in MEANINGS.items()])
        with formatter.section("Begin with"):
            formatter.write_text("holdfast init")
            formatter.write_text("holdfast run")


def _begin(home: Path | None, config_file: Path | None) -> None:
    context = click.get_current_context()
    signals = context.obj if isinstance(context.obj, Signals) else None
    if signals is not None and context.invoked_subcommand not in SUPERVISED:
        signals.give_back()
    paths = find_paths(home, os.environ)
    sys.excepthook = functools.partial(tell_uncaught, log_file=paths.log_file)
    context.obj = Frame(
        paths=paths,
        config_file=config_file or paths.config_file,
        config_named=config_file is not None,
        signals=signals,
    )


root: Final = _Root(
    name="holdfast",
    help="A trading runtime for one account. It trades a simulated or a recorded day.",
    callback=_begin,
    params=[
        click.Option(
            ["--home"],
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Keep configuration and data under DIR.",
        ),
        click.Option(
            ["--config", "config_file"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Use this configuration.",
        ),
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
click.version_option(__version__, prog_name="holdfast")(root)
