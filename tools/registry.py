"""What the code says exists: the lists that the manual is made from and mutants are counted by.

Each function reads the code itself, so that a new gate or rule without a line in the manual, or
without a test that would notice its loss, fails `make check`.
"""

import ast
import importlib
import inspect
import re
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from holdfast.app.cli.frame import VerbCommand
from holdfast.app.cli.verbs import Verb
from holdfast.core.entries.gates import GATES
from holdfast.core.orders import life
from holdfast.core.readiness import TERMS
from holdfast.core.risk.exits import RULES
from holdfast.core.settings import LimitSettings
from holdfast.domain import audit, command, event
from tools import PACKAGE

PART: Final = re.compile(r"holdfast\.(brokers|core|exchange|runtime|store|strategies)\b")
"""The packages whose objects are parts of the running program; the others hold values."""

ROOT: Final = ("wiring.py", "program.py", "chain.py")
"""The composition root: what is chosen by the mode, and the services around it."""


def events() -> list[type[msgspec.Struct]]:
    """Everything that can happen: the journal's first, then the tape's."""
    return [*typing.get_args(event.JournalEvent), *typing.get_args(event.TapeEvent)]


def commands() -> list[type[msgspec.Struct]]:
    """Everything the engine can ask for."""
    return list(typing.get_args(command.AnyCommand))


def audits() -> list[type[msgspec.Struct]]:
    """Everything a step can tell."""
    return list(typing.get_args(audit.AnyAudit))


def rules() -> list[str]:
    """Exit rules by priority."""
    return [rule.name for rule in RULES]


def gates() -> list[str]:
    """Entry gates in the order asked."""
    return [gate.__name__ for gate in GATES]


def order_rows() -> list[str]:
    """Every decided pair of the order's life, as `state+event`; what is forbidden is no row."""
    return [f"{state.name}+{what.name}" for state, what in {**life.TABLE, **life.ALARMS}]


def terms() -> list[str]:
    """Terms of readiness in the order shown."""
    return [name for name, _ in TERMS]


def limits() -> list[str]:
    """What the account's day is limited by, as the settings name it."""
    return list(LimitSettings.__struct_fields__)


def wiring() -> list[str]:
    """The parts that the composition root builds, by class; each is an edge that may be wrong."""
    return sorted({name for file in ROOT for name in _built(PACKAGE / "app" / file)})


def _built(file: Path) -> set[str]:
    root = ast.parse(file.read_text("utf-8"))
    imported = {
        alias.asname or alias.name
        for node in root.body
        if isinstance(node, ast.ImportFrom) and PART.match(node.module or "")
        for alias in node.names
    }
    built = {
        node.func.id
        for node in ast.walk(root)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    return {name for name in imported & built if name[0].isupper()}


def verb_command(verb: Verb) -> VerbCommand:
    """The command behind a verb of the command line."""
    command = getattr(importlib.import_module(verb.module), verb.command)
    assert isinstance(command, VerbCommand), f"{verb.module}.{verb.command} is no command"
    return command


def required_guards() -> Mapping[str, Iterable[str]]:
    """What must have a mutant, by kind: `rule` and its names are the guards `rule:stop_loss`..."""
    return {
        "gate": gates(),
        "limit": limits(),
        "order": order_rows(),
        "rule": rules(),
        "term": terms(),
        "wiring": wiring(),
    }


def first_sentence(thing: object) -> str:
    """The first sentence of a docstring, on one line."""
    text = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    return text.split(". ")[0].removesuffix(".") + "."
