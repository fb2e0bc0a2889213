"""Rules about the tree: what stands where, what is reachable, what no file may contain."""

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

import grimp
import pytest

from holdfast.app.cli.verbs import VERBS
from tests.support.tree import functions, modules, project_files
from tools import CHECKOUT, PACKAGE

ROOT_ENTRIES_MAX = 15

MIRRORED = ("domain", "core", "store", "exchange", "facts", "strategies")
"""The packages in which each module has a unit test file of its own, in the mirrored place."""

NOT_MIRRORED = {
    "core/strategy.py": "a protocol: what keeps it is tested by each strategy",
    "domain/audit.py": "values without behaviour",
    "domain/command.py": "values without behaviour",
    "domain/decision.py": "values without behaviour",
    "domain/errors.py": "errors are tested where they are raised",
    "domain/event.py": "values without behaviour",
}
"""Modules of mirrored packages without a test file, each with the reason."""

LOADED_BY_NAME = {
    "holdfast.store.migrations.env": "loaded by alembic",
    "holdfast.worlds.__main__": "started as `python -m holdfast.worlds`",
}
"""Modules that nothing imports, each with what loads it."""

FORBIDDEN = {
    "a path of somebody's machine": r"(?<![\w~.])/(?:home|root|Users|work|workspace|mnt|opt|tmp)/[\w.]",
    "a package registry's host": r"pypi\.org|pythonhosted\.org|--(?:extra-)?index-url|registry\.npmjs",
    "a merge conflict": r"^(?:<<<<<<<|>>>>>>>) ",
}
"""What no file of the project may contain, as expressions that do not match themselves."""


def unreachable(graph: grimp.ImportGraph, entries: AbstractSet[str]) -> list[str]:
    """Modules that no chain of imports from `entries` reaches; a package is reached by its modules."""
    reached = set(entries)
    for entry in sorted(entries & graph.modules):
        reached |= graph.find_upstream_modules(entry)
    for name in sorted(reached):
        parts = name.split(".")
        reached.update(".".join(parts[:end]) for end in range(1, len(parts)))
    return sorted(graph.modules - reached)


def entry_points() -> dict[str, str]:
    """What pyproject.toml promises to install: name of the script to `module:function`."""
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    scripts: dict[str, str] = settings["project"]["scripts"]
    return scripts


def without_a_mirror(package: Path, tests: Path, exceptions: Mapping[str, str]) -> Iterator[str]:
    """Modules of `package` that lack their test file, and exceptions that no longer are ones."""
    for name in MIRRORED:
        for file in sorted((package / name).rglob("*.py")):
            path = file.relative_to(package)
            mirror = tests / path.parent / f"test_{path.name}"
            if file.name == "__init__.py" or "migrations" in path.parts:
                continue
            if mirror.exists() == (path.as_posix() in exceptions):
                yield path.as_posix()
    yield from (path for path in exceptions if not (package / path).exists())


@pytest.mark.proves("I-124")
def test_nothing_lies_beside_the_program() -> None:
    """Every module is reached from what is installed, computed from the imports."""
    graph = grimp.build_graph("holdfast", cache_dir=None)
    entries = {target.split(":")[0] for target in entry_points().values()} | set(LOADED_BY_NAME)
    entries |= {verb.module for verb in VERBS}
    assert unreachable(graph, entries) == []
    assert entries - graph.modules == set()


@pytest.mark.proves("I-124")
def test_a_module_that_nothing_imports_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it is imported only by another module that nothing imports."""
    for path, text in {
        "__init__.py": "",
        "main.py": "def main():\n    from floating.inner import used\n",
        "lost.py": "from floating import lost_too\n",
        "lost_too.py": "",
        "inner/__init__.py": "",
        "inner/used.py": "",
    }.items():
        file = tmp_path / "floating" / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    graph = grimp.build_graph("floating", cache_dir=None)
    assert unreachable(graph, {"floating.main"}) == ["floating.lost", "floating.lost_too"]


@pytest.mark.proves("I-124")
def test_every_module_imports_and_every_entry_point_exists() -> None:
    """A name bound late, or an import that broke, is found here and not in the morning."""
    for module in modules():
        if module.name not in LOADED_BY_NAME:
            importlib.import_module(module.name)
    targets = [tuple(target.split(":")) for target in entry_points().values()]
    for module_name, function in [*targets, *((verb.module, verb.command) for verb in VERBS)]:
        assert callable(getattr(importlib.import_module(module_name), function))


def test_each_module_has_its_own_test_file() -> None:
    """A newcomer finds the test of a module by its path; exceptions stand in a table, and are ones."""
    assert list(without_a_mirror(PACKAGE, CHECKOUT / "tests" / "unit", NOT_MIRRORED)) == []


def test_a_missing_mirror_and_a_stale_exception_are_found(tmp_path: Path) -> None:
    """A tested exception and an exception for a module that is gone are faults too."""
    for path in ("src/core/a.py", "src/core/b.py", "src/core/c.py", "tests/core/test_b.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    exceptions = {"core/b.py": "tested all the same", "core/gone.py": "deleted"}
    found = list(without_a_mirror(tmp_path / "src", tmp_path / "tests", exceptions))
    assert found == ["core/a.py", "core/b.py", "core/c.py", "core/gone.py"]


def test_every_test_says_what_holds() -> None:
    """In one sentence, as a specification does."""
    silent = []
    for file in sorted((CHECKOUT / "tests").rglob("test_*.py")):
        silent += [
            f"{file.relative_to(CHECKOUT)}:{function.lineno} {function.name}"
            for function in functions(ast.parse(file.read_text("utf-8")))
            if function.name.startswith("test_") and not ast.get_docstring(function)
        ]
    assert silent == []


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_contains(what: str) -> None:
    """Whatever was true on one machine only, and what was left unfinished, stays out."""
    pattern = re.compile(FORBIDDEN[what], re.MULTILINE)
    found = []
    for file in project_files():
        try:
            text = file.read_text("utf-8")
        except UnicodeDecodeError:
            continue  # a picture or a recorded packet
        lines = (text.count("\n", 0, hit.start()) + 1 for hit in pattern.finditer(text))
        found += [f"{file.relative_to(CHECKOUT)}:{line}" for line in lines]
    assert found == []


def test_a_newcomer_takes_in_the_root_at_a_glance() -> None:
    """What `ls` shows of a fresh clone fits on one screen."""
    entries = {file.relative_to(CHECKOUT).parts[0] for file in project_files()}
    shown = sorted(entry for entry in entries if not entry.startswith("."))
    assert len(shown) <= ROOT_ENTRIES_MAX, shown


def test_the_glossary_knows_every_word_of_the_domain() -> None:
    """Each public class of `domain` stands in GLOSSARY.md; one word means one thing."""
    glossary = (CHECKOUT / "GLOSSARY.md").read_text("utf-8")
    words = {
        node.name
        for module in modules()
        if module.path.startswith("domain/")
        for node in module.tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }
    assert sorted(word for word in words if not re.search(rf"\b{word}\b", glossary)) == []
