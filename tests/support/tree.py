"""The checkout as rules about code read it: its files, its modules, their syntax trees."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tools import CHECKOUT, PACKAGE

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module(NamedTuple):
    """One file of ours. `path` is relative to the package ("core/engine.py")."""

    path: str
    name: str
    text: str
    tree: ast.Module

    def at(self, node: ast.stmt | ast.expr | ast.excepthandler) -> str:
        """Where a node stands, as an editor opens it."""
        return f"src/holdfast/{self.path}:{node.lineno}"


def parse(path: str, text: str) -> Module:
    """A module from its text; `path` relative to the package."""
    dotted = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    name = "holdfast" if dotted == "__init__" else f"holdfast.{dotted}"
    return Module(path=path, name=name, text=text, tree=ast.parse(text))


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the package, by path."""
    files = sorted(PACKAGE.rglob("*.py"))
    return tuple(parse(f.relative_to(PACKAGE).as_posix(), f.read_text("utf-8")) for f in files)


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function and method, inner ones too."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


@cache
def project_files() -> tuple[Path, ...]:
    """What belongs to the project: tracked, or new and not ignored; without git, what is no product."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return tuple(_walk())
    paths = (CHECKOUT / name for name in listed.decode().split("\0") if name)
    return tuple(sorted(path for path in paths if path.is_file()))


def _walk() -> Iterator[Path]:
    products = {".git", ".venv", "build", "__pycache__", ".hypothesis"}
    for path in sorted(CHECKOUT.rglob("*")):
        if path.is_file() and not products & set(path.relative_to(CHECKOUT).parts):
            yield path
