"""The examples in the documents are run, so that they cannot lie."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from holdfast.app.cli.verbs import VERBS
from tests.support.examples import (
    KINDS,
    Block,
    blocks,
    environment,
    missing_line,
    run_holdfast,
    steps,
)
from tools import CHECKOUT
from tools.generate_docs import documents

DOCUMENTS = {path.relative_to(CHECKOUT).as_posix(): path for path in documents()}
IMPORTS_EVERYTHING_S = 60
RUNS_A_DAY_S = 180


def of_kind(kind: str, name: str) -> list[Block]:
    """The blocks of a kind in one document, in order."""
    return [block for block in blocks(DOCUMENTS[name].read_text("utf-8")) if block.kind == kind]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_block_is_of_a_kind_that_is_checked(name: str) -> None:
    """An unmarked block would be an example that nothing runs."""
    found = blocks(DOCUMENTS[name].read_text("utf-8"))
    assert [
        f"{name}:{block.line} {block.kind!r}" for block in found if block.kind not in KINDS
    ] == []


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.timeout(RUNS_A_DAY_S)
def test_commands_print_what_the_document_says(name: str, tmp_path: Path) -> None:
    """In order, in one fresh home, with the exit code that is shown."""
    for block in of_kind("console", name):
        if "live" in block.words:
            continue  # test_runbook.py has the session that it needs
        for step in steps(block.text):
            done = run_holdfast(step.command, tmp_path)
            where = f"{name}:{block.line} $ {step.command}\n{done.stdout}"
            assert done.returncode == step.exit_code, where
            assert missing_line(step.printed, done.stdout) is None, where


@pytest.mark.parametrize("name", DOCUMENTS)
def test_shell_lines_name_things_that_exist(name: str) -> None:
    """Their syntax is good, each make target is in the Makefile, each verb is one."""
    verbs = {verb.name.split(" ")[0] for verb in VERBS}
    targets = set(re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    for block in of_kind("bash", name):
        done = subprocess.run(["bash", "-n"], input=block.text, text=True, check=False)
        assert done.returncode == 0, f"{name}:{block.line}"
        asked = set(re.findall(r"^make +([a-z]+)", block.text, re.MULTILINE))
        spoken = set(
            re.findall(r"^\S*holdfast +(?:--\w+ +\S+ +)*([a-z][a-z-]*)", block.text, re.MULTILINE)
        )
        assert (asked - targets, spoken - verbs) == (set(), set()), f"{name}:{block.line}"


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.timeout(IMPORTS_EVERYTHING_S)
def test_python_runs(name: str, tmp_path: Path) -> None:
    """As a program of its own, warnings being errors."""
    for block in of_kind("python", name):
        command = [sys.executable, "-W", "error", "-c", block.text]
        done = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), check=False)
        assert done.returncode == 0, f"{name}:{block.line}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_toml_parses_and_configurations_load(name: str, tmp_path: Path) -> None:
    """What is marked `config` is accepted by the program itself."""
    for block in of_kind("toml", name):
        assert tomllib.loads(block.text), f"{name}:{block.line}"
        if "config" in block.words:
            file = tmp_path / f"line-{block.line}.toml"
            file.write_text(block.text)
            done = run_holdfast(f"holdfast config check {file}", tmp_path)
            assert done.returncode == 0, f"{name}:{block.line}\n{done.stdout}"


@pytest.mark.parametrize(
    ("expected", "printed", "missing"),
    [
        ((), "anything", None),
        (("a", "c"), "a\nb\nc", None),
        (("c", "a"), "a\nb\nc", "a"),
        (("took ... s",), "took 12 s", None),
        (("took ... s",), "took 12 ms", "took ... s"),
        (("a",), "ab", "a"),
    ],
)
def test_printed_lines_are_compared_in_order(
    expected: tuple[str, ...], printed: str, missing: str | None
) -> None:
    """Whole lines, in the order shown; what stands between them is free."""
    assert missing_line(expected, printed) == missing


def test_a_console_block_is_read_into_commands() -> None:
    """Lines below a command are what it prints; the last may be its exit code."""
    first, second = steps("$ holdfast status\nflat\n\n$ holdfast run --seed x\n(exit 2)\n")
    assert (first.command, first.printed, first.exit_code) == ("holdfast status", ("flat",), 0)
    assert (second.printed, second.exit_code) == ((), 2)
    with pytest.raises(ValueError, match="begins with a command"):
        steps("flat\n")
