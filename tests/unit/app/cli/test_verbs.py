"""The table of verbs is the command line: each has a command, help, an example, a JSON shape."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from holdfast.app.cli.ending import MEANINGS, ExitCode
from holdfast.app.cli.frame import VerbCommand
from holdfast.app.cli.root import root
from holdfast.app.cli.verbs import FAMILIES, VERBS


def reached(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that a user can type, by its words."""
    context = click.Context(group)
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        assert command is not None
        if isinstance(command, click.Group):
            yield from reached(command, (*words, word))
        else:
            yield " ".join((*words, word)), command


def test_the_tree_holds_exactly_the_verbs_of_the_table() -> None:
    """In the table's order; every family has its line."""
    assert [name for name, _ in reached(root)] == [verb.name for verb in VERBS]
    families = {verb.name.split(" ")[0] for verb in VERBS if " " in verb.name}
    assert families - {verb.name for verb in VERBS} == set(FAMILIES)


def test_a_verb_may_begin_another_one() -> None:
    """`drift` lists, `drift acknowledge KEY` acknowledges; neither swallows the other's words."""
    assert "Usage: holdfast drift [OPTIONS]\n" in CliRunner().invoke(root, ["drift", "-h"]).output
    told = CliRunner().invoke(root, ["drift", "acknowledge", "-h"]).output
    assert "Usage: holdfast drift acknowledge [OPTIONS] KEY\n" in told
    assert CliRunner().invoke(root, ["drift", "nonsense"]).exit_code == 2


@pytest.mark.parametrize("name", [verb.name for verb in VERBS])
def test_each_verb_explains_itself(name: str) -> None:
    """Help with an example that begins with the verb itself, and the shape of its JSON."""
    command = dict(reached(root))[name]
    assert isinstance(command, VerbCommand)
    told = CliRunner().invoke(root, [*name.split(" "), "--help"])
    assert told.exit_code == 0
    assert f"Usage: holdfast {name}" in told.output
    assert command.example.startswith(f"holdfast {name}")
    for line in (*command.example.splitlines(), *command.shape.splitlines()):
        assert f"  {line}\n" in told.output
    assert "--json" in told.output
    assert command.shape.startswith("{")
    assert command.help


def test_help_lists_every_verb_and_every_exit_code() -> None:
    """A newcomer finds all of it on one screen, with the first two things to type."""
    told = CliRunner().invoke(root, ["--help"]).output
    for verb in VERBS:
        assert verb.name.split(" ")[0] in told
        assert " " in verb.name or verb.says in told
    for code, meaning in MEANINGS.items():
        assert f"  {code.value:<3} {meaning}\n" in told
    assert set(MEANINGS) == set(ExitCode)
    assert told.index("holdfast init") < told.index("holdfast run")
